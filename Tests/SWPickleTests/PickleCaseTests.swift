import Foundation
import SWPickle
import TestSupport
import Testing

/// Values of Python's that other libraries have lost, each as Python pickles it.
@Suite(.lastResort, .leavesNothing) struct PickleCaseTests: PickleCases {
  // MARK: NumPy

  /// `np.arange(24, dtype='u1').reshape(2, 3, 4).transpose(2, 0, 1)`, protocol 5, with the axes as a pickle has them.
  private func transposed(axes: String) -> String {
    "80059598000000000000008c136e756d70792e5f636f72652e6e756d65726963948c0b5f66726f6d6275666665729493942896180000"
      + "0000000000000102030405060708090a0b0c0d0e0f1011121314151617948c056e756d7079948c0564747970659493948c02753194"
      + "898887945294284b038c017c944e4e4e4affffffff4affffffff4b007494624b024b034b0487948c014b94" + axes
      + "749452942e"
  }

  @Test func `an array of transposed memory has its shape and elements`() throws {
    let array = try #require(try value(transposed(axes: "4b024b004b018794")).array)
    #expect(array.shape == [4, 2, 3] && array.order == .rowMajor)
    #expect(array.bytes.prefix(14) == [0, 4, 8, 12, 16, 20, 1, 5, 9, 13, 17, 21, 2, 6])
    // Two axes exchanged: elements (i, j, k) of the memory are (i, k, j).
    let exchanged = try #require(try value(transposed(axes: "4b004b024b018794")).array)
    #expect(exchanged.shape == [2, 4, 3] && exchanged.bytes.prefix(6) == [0, 4, 8, 1, 5, 9])
    let nested = try decode([[[Int]]].self, transposed(axes: "4b024b004b018794"))
    #expect(nested[3][1] == [15, 19, 23] && nested.count == 4)
  }

  @Test(arguments: [
    "4b024b024b018794", "4b034b004b018794", "4b004b018694", "4b0085944e3094", "4e", "29",
    "8a08000000000000008085",
  ]) func `axes that are no order of the array's are an error`(_ axes: String) throws {
    let error = #expect(throws: PickleError.self) { try value(transposed(axes: axes)) }
    #expect(error?.kind == .malformed || error?.kind == .truncated)
  }

  static let text =
    "80049568000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079"
    + "948c0564747970659493948c02553394898887945294284b038c013c944e4e4e4b0c4b044b08749462430c63000000610000007400000094"
    + "869452942e"

  @Test func `a scalar of NumPy's text is a str`() throws {
    #expect(try value(Self.text) == "cat")
    #expect(try decode(String.self, Self.text) == "cat")
  }

  static let date =
    "8004957a000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c"
    + "0564747970659493948c024d3894898887945294284b048c013c944e4e4e4affffffff4affffffff4b004e28430144944b014b014b017494"
    + "869474946243080b4d00000000000094869452942e"

  @Test func `a scalar of NumPy's dates is a date, and one that is finer keeps its unit`() throws {
    #expect(try value(Self.date) == PickleDate(year: 2024, month: 1, day: 1).map { PickleValue($0) })
    #expect(try decode(Date.self, Self.date) == Date(timeIntervalSince1970: 1_704_067_200))
    // The same with nanoseconds as the unit, and a count of 1.5 seconds.
    let fine = Self.date.replacingOccurrences(of: "43014494", with: "43026e7394")
      .replacingOccurrences(of: "0b4d000000000000", with: "002f685900000000")
      .replacingOccurrences(of: "7a00000000000000", with: "7b00000000000000")
    let array = try #require(try value(fine).array)
    #expect(
      array.shape == [] && array.type.unit == NumPyType.Unit("ns") && array.value(at: 0) == 1_500_000_000)
    #expect(try decode(Date.self, fine) == Date(timeIntervalSince1970: 1.5))
    #expect(try value(fine) == PickleValue(pickle: value(fine).pickled()))
  }

  @Test func `a memory-mapped array is an array`() throws {
    let hex =
      "8004958b000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563749493948c056e75"
      + "6d7079948c066d656d6d61709493944b0085944301629487945294284b014b03859468038c0564747970659493948c02753194898887945294"
      + "284b038c017c944e4e4e4affffffff4affffffff4b00749462894303010203947494622e"
    #expect(try value(hex).array?.bytes == [1, 2, 3])
    #expect(try decode([UInt8].self, hex) == [1, 2, 3])
    #expect(try decode(Data.self, hex) == Data([1, 2, 3]))
    // A program that registers the class gets the object.
    let object = try #require(try value(hex, .standard.registering("numpy", "memmap")).object)
    #expect(object.arguments.first == .name(PickleName("numpy", "memmap")))
  }

  @Test func `arrays decode as what they hold`() throws {
    let decoder = PickleDecoder()
    func array(_ shape: [Int], _ type: NumPyType, _ bytes: [UInt8], _ order: NumPyArray.Order = .rowMajor)
      throws
      -> PickleValue
    {
      PickleValue(try #require(NumPyArray(shape: shape, type: type, order: order, bytes: bytes)))
    }
    let byte = UInt8.numPyType
    #expect(try decoder.decode(Int.self, from: array([], byte, [7])) == 7)
    #expect(try decoder.decode(Double.self, from: array([], byte, [7])) == 7)
    #expect(
      try decoder.decode([[Int]].self, from: array([2, 2], byte, [1, 2, 3, 4])) == [[1, 2], [3, 4]])
    #expect(
      try decoder.decode([[Int]].self, from: array([2, 2], byte, [1, 2, 3, 4], .columnMajor)) == [
        [1, 3], [2, 4],
      ])
    #expect(
      try decoder.decode([[UInt8]].self, from: array([2, 2], byte, [1, 2, 3, 4])) == [[1, 2], [3, 4]])
    #expect(try decoder.decode([[Int]].self, from: array([0, 3], byte, [])) == [])
    #expect(
      try decoder.decode(Data.self, from: array([2, 2], byte, [1, 2, 3, 4], .columnMajor))
        == Data([1, 3, 2, 4]))
    let text = try #require(NumPyType(.text, byteCount: 8))
    #expect(
      try decoder.decode(
        [String].self, from: array([2], text, [97, 0, 0, 0, 98, 0, 0, 0, 99] + .init(repeating: 0, count: 7)))
        == ["ab", "c"])
    let point = try #require(
      NumPyType(
        fields: [.init("x", byte, offset: 0), .init("y", Int16.numPyType, offset: 1)], byteCount: 3))
    struct Point: Codable, Equatable { var x: Int, y: Int }
    #expect(
      try decoder.decode([Point].self, from: array([2], point, [1, 2, 0, 3, 4, 0]))
        == [Point(x: 1, y: 2), Point(x: 3, y: 4)])
    #expect(try decoder.decode(Point.self, from: array([], point, [1, 2, 0])) == Point(x: 1, y: 2))
    #expect(throws: DecodingError.self) { try decoder.decode([Int].self, from: array([], byte, [7])) }
  }

  // MARK: Time zones

  static let berlin =
    "8004957f000000000000008c086461746574696d65948c086461746574696d65949394430a07e8030a011e00000000948c086275696c74696e73"
    + "948c07676574617474729493948c087a6f6e65696e666f948c085a6f6e65496e666f9493948c095f756e7069636b6c6594869452948c0d4575"
    + "726f70652f4265726c696e944b0186945294869452942e"

  @Test func `a datetime in a ZoneInfo knows the zone's name, and goes back with it`() throws {
    let value = try value(Self.berlin)
    guard case .dateTime(let time) = value.content else {
      Issue.record("no datetime: \(value)")
      return
    }
    #expect(
      time.date == PickleDate(year: 2024, month: 3, day: 10) && time.time.hour == 1 && time.time.minute == 30)
    #expect(time.time.timeZone?.name == "Europe/Berlin" && time.time.timeZone?.offset == nil)
    #expect(time.microsecondsSince1970 == nil)
    #expect(try value.pickled() == bytes(Self.berlin))
    // Taken out and put in again, it is written as a ZoneInfo too.
    #expect(try PickleValue(pickle: PickleValue(time).pickled()).description == value.description)
    #expect(throws: PickleError.self) { try self.value(Self.berlin, .strict) }
  }

  @Test func `pytz's UTC is UTC`() throws {
    let hex =
      "800463" + hex("datetime\ndatetime\n") + "430a07e80101000000000000" + "63" + hex("pytz\n_UTC\n")
      + "295286522e"
    guard case .dateTime(let time) = try value(hex).content else {
      Issue.record("no datetime")
      return
    }
    #expect(time.time.timeZone?.offset?.microseconds == 0)
    #expect(try decode(Date.self, hex) == Date(timeIntervalSince1970: 1_704_067_200))
  }

  // MARK: Keys

  static let keys =
    "80049564000000000000007d9428430474656d70944740358000000000008c0161944b0186944740000000000000004e47400800000000000088"
    + "474010000000000000473ff80000000000004740140000000000004b074740180000000000008c017394473ff0000000000000752e"

  @Test func `a key that no String stands for is an error for a dictionary, and no entry is lost`() throws {
    let text = try explanation([String: Double].self, Self.keys)
    #expect(text.contains("bytes(74656d70)") && text.contains("String"))
    #expect(throws: DecodingError.self) { try decode([Int: Double].self, Self.keys) }
    #expect(try decode([PickleValue: Double].self, Self.keys).count == 7)
    struct Named: Decodable { var s: Double?, missing: Double? }
    #expect(try decode(Named.self, Self.keys).s == 1)
    // Ints beyond Int are keys like others.
    let pairs: [(PickleValue, PickleValue)] = [(PickleValue(UInt64.max), 1), ("a", 2)]
    let huge = PickleValue.dict(pairs)
    #expect(
      try PickleDecoder().decode([String: Int].self, from: huge) == ["18446744073709551615": 1, "a": 2])
    #expect(throws: DecodingError.self) { try PickleDecoder().decode([Int: Int].self, from: huge) }
    // 7 and "7" would become one.
    let twins = PickleValue.dict([(7, 1), ("7", 2)])
    #expect(throws: DecodingError.self) { try PickleDecoder().decode([String: Int].self, from: twins) }
    #expect(throws: DecodingError.self) { try PickleDecoder().decode([Int: Int].self, from: twins) }
    let accents = PickleValue.dict([("\u{e9}", 1), ("e\u{301}", 2)])
    #expect(throws: DecodingError.self) { try PickleDecoder().decode([String: Int].self, from: accents) }
  }

  @Test func `dictionaries of every kind of key come and go as dicts`() throws {
    let uuid = UUID()
    let byUUID = try PickleEncoder().encodeValue([uuid: 1])
    #expect(byUUID.pairs?.count == 1)
    #expect(try PickleDecoder().decode([UUID: Int].self, from: byUUID) == [uuid: 1])
    #expect(try PickleEncoder().encodeValue([UInt64.max: "x"]).pairs?.first?.key == PickleValue(UInt64.max))
    enum Color: String, Codable, CodingKeyRepresentable { case red }
    #expect(try PickleEncoder().encodeValue([Color.red: 1]) == ["red": 1])
    #expect(try PickleDecoder().decode([Color: Int].self, from: ["red": 1]) == [.red: 1])
    #expect(try PickleEncoder().encodeValue([1.5: 2]) == .dict([(1.5, 2)]))
    // Python could not hash a list.
    #expect(throws: EncodingError.self) { try PickleEncoder().encodeValue([[1, 2]: 3]) }
  }

  // MARK: Objects

  @Test func `an OrderedDict with attributes keeps both`() throws {
    let hex =
      "80049538000000000000008c0b636f6c6c656374696f6e73948c0b4f726465726564446963749493942952948c0161944b01737d948c046e6f7465"
      + "948c01789473622e"
    let value = try value(hex)
    guard case .orderedDict(let pairs) = value.content else {
      Issue.record("no OrderedDict: \(value)")
      return
    }
    #expect(pairs.count == 1 && pairs["a"] == 1)
    #expect(value.attributes == ["note": "x"])
    #expect(try value.pickled() == bytes(hex))
    #expect(try decode([String: Int].self, hex) == ["a": 1])
  }

  struct Point: Codable, Equatable { var x: Int, y: Int }

  @Test func `values without names are a sequence, and an error where names are asked for`() throws {
    // A frozen dataclass with slots.
    let frozen = "80049517000000000000008c016d948c01509493942981945d94284b014b0265622e"
    #expect(try decode([Int].self, frozen) == [1, 2])
    #expect(try explanation(Point.self, frozen).contains("2 values without names"))
    // A namedtuple.
    let named = try PickleEncoder().encodeBytes(
      PickleValue.object(PickleName("m", "Point"), [3, 4], isNew: true))
    #expect(try PickleDecoder().decode([Int].self, from: named) == [3, 4])
    #expect(throws: DecodingError.self) { try PickleDecoder().decode(Point.self, from: named) }
    // Optional fields do not hide it.
    struct Optionals: Decodable { var x: Int?, y: Int? }
    #expect(throws: DecodingError.self) { try PickleDecoder().decode(Optionals.self, from: named) }
    #expect(throws: DecodingError.self) { try decode(Optionals.self, frozen) }
  }

  @Test func `a pydantic model decodes by its fields`() throws {
    let hex =
      "80049586000000000000008c016d948c054d6f64656c9493942981947d94288c085f5f646963745f5f947d94288c026964944b078c046e616d6594"
      + "8c016194758c125f5f707964616e7469635f65787472615f5f944e8c175f5f707964616e7469635f6669656c64735f7365745f5f948f942868"
      + "07908c145f5f707964616e7469635f707269766174655f5f944e75622e"
    struct Model: Decodable, Equatable { var id: Int, name: String, note: String? }
    #expect(try decode(Model.self, hex) == Model(id: 7, name: "a", note: nil))
    let object = try value(hex).object
    #expect(object?["id"] == 7)
  }

  @Test func `a path of Python 3_13 is text and a URL`() throws {
    let hex =
      "8004952f000000000000008c0e706174686c69622e5f6c6f63616c948c0d50757265506f736978506174689493948c042f612f6294859452942e"
    #expect(try decode(String.self, hex) == "/a/b")
    #expect(try decode(URL.self, hex).path() == "/a/b")
    let registry = PickleRegistry.strict.registering("pathlib", "PurePosixPath") { path in
      .list(path.arguments)
    }
    #expect(try value(hex, registry) == ["/a/b"])
    let parts = PickleValue.object(PickleName("pathlib", "PosixPath"), ["/", "a", "b"])
    #expect(try PickleDecoder().decode(String.self, from: parts) == "/a/b")
  }

  @Test func `Python's own classes decode as what they hold`() throws {
    let decoder = PickleDecoder()
    func object(_ module: String, _ name: String, _ arguments: PickleValue...) -> PickleValue {
      .object(PickleName(module, name), arguments)
    }
    #expect(try decoder.decode([Int].self, from: object("builtins", "range", 0, 10, 3)) == [0, 3, 6, 9])
    #expect(try decoder.decode([Int].self, from: object("builtins", "range", 3, 0, -1)) == [3, 2, 1])
    #expect(throws: DecodingError.self) {
      try decoder.decode([Int].self, from: object("builtins", "range", 0, 1_000_000_000_000, 1))
    }
    #expect(
      try decoder.decode(
        [Int].self, from: .object(PickleName("collections", "deque"), [[], 5], appended: [1, 2]))
        == [1, 2])
    #expect(try decoder.decode([Int].self, from: .object(PickleName("collections", "deque"), [[], 5])) == [])
    #expect(
      try decoder.decode([String: Int].self, from: object("collections", "Counter", ["a": 2])) == ["a": 2])
    let list = PickleValue.name(PickleName("builtins", "list"))
    #expect(
      try decoder.decode(
        [String: [Int]].self,
        from: .object(PickleName("collections", "defaultdict"), [list], items: [("a", [1])]))
        == ["a": [1]])
    #expect(
      try decoder.decode([String: Int].self, from: .object(PickleName("collections", "defaultdict"), [list]))
        == [:])
    #expect(try decoder.decode(Double.self, from: object("fractions", "Fraction", "1/4")) == 0.25)
    #expect(try decoder.decode(Double.self, from: object("fractions", "Fraction", 1, 4)) == 0.25)
    enum Color: String, Decodable { case red }
    #expect(try decoder.decode(Color.self, from: object("app", "Color", "red")) == .red)
    let member = object("builtins", "getattr", .name(PickleName("app", "Color")), "red")
    #expect(try decoder.decode(Color.self, from: member) == .red)
    #expect(try decoder.decode(String.self, from: .exception("ValueError", "no such id")) == "no such id")
    let state: PickleValue = .tuple([nil, ["x": 1, "y": 2]])
    #expect(
      try decoder.decode(Point.self, from: .object(PickleName("m", "P"), isNew: true, state: state))
        == Point(x: 1, y: 2))
    let doubles = PickleValue.bytes([0, 0, 0, 0, 0, 0, 0xf8, 0x3f])
    #expect(
      try decoder.decode(
        [Double].self,
        from: object("array", "_array_reconstructor", .name(PickleName("array", "array")), "d", 16, doubles))
        == [1.5])
    // array.array('B', [255]) and array.array('u', 'ab').
    let octets =
      "80048c056172726179948c145f61727261795f7265636f6e7374727563746f72949394288c056172726179948c05617272617994"
      + "93948c0142944b004301ff94749452942e"
    #expect(try decode(Data.self, octets) == Data([255]) && decode([UInt8].self, octets) == [255])
    let characters =
      "80048c056172726179948c145f61727261795f7265636f6e7374727563746f72949394288c056172726179948c05617272617994"
      + "93948c0175944b144308610000006200000094749452942e"
    #expect(try decode([String].self, characters) == ["a", "b"])
  }

  /// It became a time in UTC.
  @Test func `a time in a zone that nobody knows is passed on as it is, and not made of its parts`() throws {
    // datetime.datetime(2001, 1, 1, tzinfo=m.Zone())
    let bytes: [UInt8] =
      Array("cdatetime\ndatetime\n(C\u{a}".utf8) + [7, 0x51, 1, 1, 0, 0, 0, 0, 0, 0]
      + Array("cm\nZone\n)RtR.".utf8)
    let value = try PickleValue(pickle: bytes)
    guard case .dateTime(let time) = value.content else { throw NotATime() }
    #expect(time.time.timeZone?.offset == nil && time.time.timeZone?.name == nil)
    #expect(
      try PickleValue(pickle: value.pickled()).object == nil && PickleValue(pickle: value.pickled()) == value)
    #expect(throws: PickleError.self) { try PickleValue(time).pickled() }
    let error = #expect(throws: EncodingError.self) { try PickleEncoder().encode(["at": time]) }
    #expect("\(try #require(error))".contains("time zone of unknown name"))
  }

  struct NotATime: Error {}

  @Test func `objects are made, and never another object's fields are read`() throws {
    let user = PickleValue.object(PickleName("app", "User"), isNew: true, state: ["name": "Ann"])
    let object = try #require(try PickleValue(pickle: user.pickled()).object)
    #expect(object.name == PickleName("app", "User") && object.isNew && object["name"] == "Ann")
    struct User: Decodable { var name: String }
    #expect(try PickleDecoder().decode(User.self, from: user).name == "Ann")
    // A call of an object, with every part.
    let partial = PickleValue.object(calling: user, [1], state: [2], appended: [3], items: [("k", 4)])
    let again = try #require(try PickleValue(pickle: partial.pickled()).object)
    #expect(again.name == nil && again.callee.object?.name == PickleName("app", "User"))
    #expect(
      again.arguments.first == 1 && again.state == [2] && again.appended.first == 3 && again.items["k"] == 4)
    // A state that a function sets.
    let set = PickleValue.object(
      PickleName("m", "C"), state: ["name": "Bob"], stateSetter: .name(PickleName("m", "set")))
    let written = try PickleValue(pickle: set.pickled())
    #expect(written == set && written.object?.stateSetter == .name(PickleName("m", "set")))
    #expect(try PickleDecoder().decode(User.self, from: set).name == "Bob")
    // BUILD behind the call of the setter sets a state without it.
    let both = try PickleValue(
      pickle: Array("cm\nC\n)Rq\0cm\nset\n(h\0X\u{3}\0\0\0BobtR0X\u{3}\0\0\0Annb.".utf8))
    #expect(both == .object(PickleName("m", "C"), state: "Ann"))
    let keywords = PickleValue.object(PickleName("m", "C"), [1], keywordArguments: ["k": 2])
    #expect(try PickleValue(pickle: keywords.pickled()) == keywords)
    let types = PickleValue.list([
      PickleValue(Double.numPyType), .name(PickleName("m", "f")), .orderedDict([("a", 1)]),
    ])
    #expect(try PickleValue(pickle: types.pickled()) == types)
  }
}
