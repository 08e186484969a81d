import Foundation
import SWPickle
import TestSupport
import Testing

/// Values of Python's that decode as what they hold, each as Python or pandas pickles it.
@Suite(.lastResort, .leavesNothing) struct PickleHoldingTests: PickleCases {
  @Test func `a member of an enum is a key as the text or number that it stands for`() throws {
    // {Str.X: 1} of `class Str(str, enum.Enum)`, {Num.ONE: 'a'} of an IntEnum, {Color.RED: 1, Color.BLUE: 2} of an Enum.
    let texts = "8004951e000000000000007d948c0468656c64948c035374729493948c02657894859452944b01732e"
    #expect(try decode([String: Int].self, texts) == ["ex": 1])
    let numbers = "8004951d000000000000007d948c0468656c64948c034e756d9493944b01859452948c016194732e"
    #expect(try decode([Int: String].self, numbers) == [1: "a"])
    let colors =
      "80049531000000000000007d94288c0468656c64948c05436f6c6f729493948c0372656494859452944b0168038c04626c75"
      + "6594859452944b02752e"
    #expect(try decode([String: Int].self, colors) == ["red": 1, "blue": 2])
    // The text that a member stands for is another key in Python.
    let red = PickleName("m", "Color")
    let both = try PickleValue.dict([(.object(red, ["red"]), 1), ("red", 2)]).pickled()
    #expect(throws: DecodingError.self) { try PickleDecoder().decode([String: Int].self, from: both) }
    // A member that stands for a number is no text.
    #expect(throws: DecodingError.self) { try decode([String: String].self, numbers) }
  }

  @Test func `a UserString is its text in every protocol`() throws {
    let old =
      "63636f70795f7265670a5f7265636f6e7374727563746f720a70300a286355736572537472696e670a55736572537472696e"
      + "670a70310a635f5f6275696c74696e5f5f0a6f626a6563740a70320a4e7470330a5270340a286470350a56646174610a7036"
      + "0a56780a70370a73622e"
    #expect(try decode(String.self, old) == "x")
  }

  @Test func `a subclass of set has its elements, whether or not Python names its attributes`() throws {
    // Of Python 3.8, with an empty dict of attributes.
    for pickle in [
      "8004951e000000000000008c0468656c64948c054d795365749493945d944b0361859452947d94622e",
      "6368656c640a4d795365740a70300a28286c70310a49330a617470320a5270330a286470340a622e",
    ] {
      #expect(try decode(Set<Int>.self, pickle) == [3])
    }
    // The arguments of an exception, of which one is a list, and attributes.
    let error = PickleValue.object(PickleName("m", "Error"), [[1, 2]], state: ["code": 7])
    #expect(try PickleDecoder().decode([[Int]].self, from: error.pickled()) == [[1, 2]])
  }

  @Test func `a path of Windows is the URL that Python makes of it`() throws {
    let path =
      "80049533000000000000008c0e706174686c69622e5f6c6f63616c948c0f5075726557696e646f7773506174689493948c06"
      + "433a5c615c6294859452942e"
    #expect(try decode(URL.self, path).absoluteString == "file:///C:/a/b")
    #expect(try decode(String.self, path) == #"C:\a\b"#)
    // Relative to the directory of another machine.
    for relative in [#"a\b"#, #"C:a"#, #"\\host\share"#, ""] {
      let value = PickleValue.object(PickleName("pathlib", "PureWindowsPath"), [PickleValue(relative)])
      #expect(throws: DecodingError.self) { try PickleDecoder().decode(URL.self, from: value.pickled()) }
    }
  }

  @Test func `a time of pandas is a Date, and its NaT is nil`() throws {
    // pandas.Timestamp('2024-01-01 12:00', tz='UTC') of pandas 3.1 and 2.0, and without a zone.
    let noon = Date(timeIntervalSince1970: 1_704_110_400)
    for pickle in [
      "80049581000000000000008c1e70616e6461732e5f6c6962732e74736c6962732e74696d657374616d7073948c135f756e70"
        + "69636b6c655f74696d657374616d70949394288a0700d00c1fe10d064e8c086461746574696d65948c0874696d657a6f6e65"
        + "94939468038c0974696d6564656c74619493944b004b004b0087945294859452944b09749452942e",
      "8004957d000000000000008c1e70616e6461732e5f6c6962732e74736c6962732e74696d657374616d7073948c135f756e70"
        + "69636b6c655f74696d657374616d70949394284a40a992654e8c086461746574696d65948c0874696d657a6f6e6594939468"
        + "038c0974696d6564656c74619493944b004b004b0087945294859452944b07749452942e",
      "8004954c000000000000008c1e70616e6461732e5f6c6962732e74736c6962732e74696d657374616d7073948c135f756e70"
        + "69636b6c655f74696d657374616d70949394288a0700d00c1fe10d064e4e4b09749452942e",
    ] {
      #expect(try decode(Date.self, pickle) == noon)
    }
    // pandas.Timestamp('2024-07-01 12:00:00.5', tz='Europe/Berlin'): the number is in UTC.
    let berlin =
      "800495a0000000000000008c1e70616e6461732e5f6c6962732e74736c6962732e74696d657374616d7073948c135f756e70"
      + "69636b6c655f74696d657374616d70949394288a0720690ba92c1c064e8c086275696c74696e73948c076765746174747294"
      + "93948c087a6f6e65696e666f948c085a6f6e65496e666f9493948c095f756e7069636b6c6594869452948c0d4575726f7065"
      + "2f4265726c696e944b01869452944b09749452942e"
    #expect(try decode(Date.self, berlin) == Date(timeIntervalSince1970: 1_719_828_000.5))
    // pandas.Timestamp(5), in nanoseconds.
    let nanoseconds =
      "80049545000000000000008c1e70616e6461732e5f6c6962732e74736c6962732e74696d657374616d7073948c135f756e70"
      + "69636b6c655f74696d657374616d70949394284b054e4e4b0a749452942e"
    #expect(try abs(decode(Date.self, nanoseconds).timeIntervalSince1970) < 1e-6)
    for pickle in [
      "80049536000000000000008c1b70616e6461732e5f6c6962732e74736c6962732e6e617474797065948c0d5f6e61745f756e"
        + "7069636b6c659493944e859452942e",
      "80049537000000000000008c1b70616e6461732e5f6c6962732e74736c6962732e6e617474797065948c0e5f5f6e61745f75"
        + "6e7069636b6c659493944e859452942e",
    ] {
      #expect(try decode(Date?.self, pickle) == nil)
      #expect(throws: DecodingError.self) { try decode(Date.self, pickle) }
    }
    let name = PickleName("pandas._libs.tslibs.timestamps", "_unpickle_timestamp")
    let odd: [[PickleValue]] = [
      [], [.none, .none, .none, 9], [1, .none, .none, 6], [1, .none, .none, .none], ["1", .none, .none, 9],
      [1, .none, .none, 9, 9],
    ]
    for arguments in odd {
      let value = PickleValue.object(name, arguments)
      #expect(throws: DecodingError.self) { try PickleDecoder().decode(Date.self, from: value.pickled()) }
    }
    for extreme in [Int.min, .max] {
      for unit in 7...10 {
        let value = PickleValue.object(name, [PickleValue(extreme), .none, .none, PickleValue(unit)])
        _ = try PickleDecoder().decode(Date.self, from: value.pickled())
      }
    }
  }

  @Test func `a tuple of the system's that has names decodes as its elements`() throws {
    // time.gmtime(0)
    let time =
      "80049554000000000000008c0474696d65948c0b7374727563745f74696d65949394284db2074b014b014b004b004b004b03"
      + "4b014b0074947d94288c07746d5f7a6f6e65948c03474d54948c09746d5f676d746f6666944b0075869452942e"
    #expect(try decode([Int].self, time) == [1970, 1, 1, 0, 0, 0, 3, 1, 0])
  }

  @Test func `the last datetime of Python becomes a Date that Python has`() throws {
    let last =
      "8004952a000000000000008c086461746574696d65948c086461746574696d65949394430a270f0c1f173b3b0f423f948594"
      + "52942e"
    let date = try decode(Date.self, last)
    #expect(date.timeIntervalSinceReferenceDate < 252_423_993_600)
    #expect(try PickleDecoder().decode(Date.self, from: PickleEncoder().encodeBytes(date)) == date)
    // The same as text.
    var (encoder, decoder) = (PickleEncoder(), PickleDecoder())
    (encoder.dateStrategy, decoder.dateStrategy) = (.iso8601, .iso8601)
    let text = try PickleValue("9999-12-31T23:59:59.999999+00:00").pickled()
    #expect(try decoder.decode(Date.self, from: text) == date)
    #expect(try decoder.decode(Date.self, from: encoder.encodeBytes(date)) == date)
  }

  @Test func `the error of a datetime whose zone has neither offset nor name has no hole`() throws {
    let zone = PickleValue.object(PickleName("m", "Zone"))
    let time = PickleValue.object(
      PickleName("datetime", "datetime"), [.bytes([7, 0xe8, 1, 2, 3, 4, 5, 0, 0, 0]), zone])
    let pickle = try time.pickled()
    let error = try #require(throws: DecodingError.self) {
      try PickleDecoder().decode(Date.self, from: pickle)
    }
    guard case .dataCorrupted(let context) = error else { throw error }
    #expect(
      context.debugDescription.contains("the offset of the time zone, whose name is not known, at 2024-01-02")
    )
  }

  @Test func `a namedtuple whose subclass has attributes keeps both, and no field is nil in silence`() throws
  {
    // class Sub(namedtuple('P', 'x y')): pass, with an attribute `extra`, in protocols 0, 2 and 4.
    struct Fields: Decodable { var extra: Int }
    struct Optionals: Decodable { var x: Int?, y: Int?, extra: Int? }
    for pickle in [
      "63636f70795f7265670a5f7265636f6e7374727563746f720a70300a28636d0a5375620a70310a635f5f6275696c74696e5f5f0a74"
        + "75706c650a70320a2849310a49320a7470330a7470340a5270350a286470360a5665787472610a70370a49330a73622e",
      "8002636d0a5375620a71004b014b028671018171027d71035805000000657874726171044b0373622e",
      "80049523000000000000008c016d948c035375629493944b014b02869481947d948c056578747261944b0373622e",
    ] {
      #expect(try decode([Int].self, pickle) == [1, 2])
      #expect(try decode(Fields.self, pickle).extra == 3)
      #expect(try explanation(Optionals.self, pickle).contains("2 arguments without names"))
      #expect(throws: DecodingError.self) { try decode([String: Int].self, pickle) }
      let object = try #require(value(pickle).object)
      #expect(object["extra"] == 3 && object.arguments.first != nil)
    }
    // An exception's arguments are its message, and no fields: see the class that names them.
    let error = PickleValue.object(PickleName("m", "Failure"), [7, "x"], state: ["code": 7])
    #expect(try PickleDecoder().decode(Optionals.self, from: error.pickled()).x == nil)
  }

  @Test func `a root model of pydantic decodes as its root, and by the name of it`() throws {
    let list =
      "80049552000000000000008c016d948c034964739493942981947d94288c085f5f646963745f5f947d948c04726f6f74945d94284b014b"
      + "0265738c175f5f707964616e7469635f6669656c64735f7365745f5f948f942868079075622e"
    let text =
      "8004954f000000000000008c016d948c044e616d659493942981947d94288c085f5f646963745f5f947d948c04726f6f74948c01619473"
      + "8c175f5f707964616e7469635f6669656c64735f7365745f5f948f942868079075622e"
    let dict =
      "80049555000000000000008c016d948c055461626c659493942981947d94288c085f5f646963745f5f947d948c04726f6f74947d948c01"
      + "61944b0173738c175f5f707964616e7469635f6669656c64735f7365745f5f948f942868079075622e"
    struct Root<Value: Decodable>: Decodable { var root: Value }
    #expect(try decode([Int].self, list) == [1, 2])
    #expect(try decode(Root<[Int]>.self, list).root == [1, 2])
    #expect(try decode(String.self, text) == "a")
    #expect(try decode(Root<String>.self, text).root == "a")
    #expect(try decode(Root<[String: Int]>.self, dict).root == ["a": 1])
    #expect(try decode([String: Int].self, dict) == ["a": 1])
    #expect(throws: DecodingError.self) { try decode(Int.self, text) }
    #expect(throws: DecodingError.self) { try decode([Int].self, dict) }
  }

  @Test func `a model of pydantic has the attributes that its class does not declare, too`() throws {
    let state: PickleValue = [
      "__dict__": ["id": 7], "__pydantic_extra__": ["note": "n"], "__pydantic_private__": ["_seen": true],
      "__pydantic_fields_set__": .set(["id"]),
    ]
    let pickle = try PickleValue.object(PickleName("m", "Model"), isNew: true, state: state).pickled()
    struct Model: Decodable { var id: Int, note: String?, _seen: Bool? }
    let model = try PickleDecoder().decode(Model.self, from: pickle)
    #expect(model.id == 7 && model.note == "n" && model._seen == true)
    let object = try #require(PickleValue(pickle: pickle).object)
    #expect(object["id"] == 7 && object["note"] == "n" && object["_seen"] == true)
  }

  @Test func `a duration of pandas is a timedelta`() throws {
    let name = PickleName("pandas._libs.tslibs.timedeltas", "_timedelta_unpickle")
    func delta(_ arguments: [PickleValue], _ name: PickleName = name) throws -> PickleTimeDelta {
      try PickleDecoder().decode(PickleTimeDelta.self, from: PickleValue.object(name, arguments).pickled())
    }
    let expected = PickleTimeDelta(days: 1, seconds: 2, microseconds: 3)
    // pandas.Timedelta(days=1, seconds=2, microseconds=3) of pandas 2.0 and 3.1.
    let earlier =
      "80049548000000000000008c1e70616e6461732e5f6c6962732e74736c6962732e74696d6564656c746173948c135f74696d6564656c74615f756e7069636b6c659493948a06b89f8408954e4b0a869452942e"
    let later =
      "80049547000000000000008c1e70616e6461732e5f6c6962732e74736c6962732e74696d6564656c746173948c135f74696d6564656c74615f756e7069636b6c659493948a0583e4f51d144b09869452942e"
    for pickle in [earlier, later] {
      #expect(try decode(PickleTimeDelta.self, pickle) == expected)
      #expect(
        try decode([PickleTimeDelta?].self, "80045d" + pickle.dropFirst(22).dropLast(2) + "612e") == [
          expected
        ])
    }
    #expect(try delta([86_402_000_003_000, 10]) == expected)
    #expect(try delta([86_402_000_003, 9]) == expected)
    #expect(try delta([-1, 7]) == PickleTimeDelta(days: 0, seconds: -1))
    #expect(try delta([1500, 8]) == PickleTimeDelta(days: 0, seconds: 1, microseconds: 500_000))
    #expect(
      try delta([3000], PickleName("pandas._libs.tslibs.timedeltas", "Timedelta"))
        == PickleTimeDelta(days: 0, microseconds: 3))
    // Finer than a microsecond, a unit that is none, and more days than Python has.
    let odd: [[PickleValue]] = [
      [1, 10], [-999, 10], [1, 6], [1, 11], [.init(Int.max), 7], [.init(Int.min), 8], [], [1, .none],
      ["1", 10], [1, 10, 10],
    ]
    for arguments in odd { #expect(throws: DecodingError.self) { try delta(arguments) } }
  }

  @Test func `a number that Swift has no type for is its bytes, and no sequence of numbers`() throws {
    let type = try #require(NumPyType(.float, byteCount: 16))
    let bytes = (0..<16).map { UInt8($0) }
    let array = try #require(NumPyArray(shape: [2], type: type, bytes: bytes + bytes))
    let pickle = try PickleValue(array).pickled()
    #expect(try PickleDecoder().decode([Data].self, from: pickle) == [Data(bytes), Data(bytes)])
    #expect(try PickleDecoder().decode([[UInt8]].self, from: pickle) == [bytes, bytes])
    #expect(throws: DecodingError.self) { try PickleDecoder().decode([[Double]].self, from: pickle) }
    #expect(throws: DecodingError.self) { try PickleDecoder().decode([UUID].self, from: pickle) }
    let scalar = try PickleValue(#require(NumPyArray(scalar: type, bytes: bytes))).pickled()
    #expect(try PickleDecoder().decode(Data.self, from: scalar) == Data(bytes))
    #expect(throws: DecodingError.self) { try PickleDecoder().decode(UUID.self, from: scalar) }
    #expect(throws: DecodingError.self) { try PickleDecoder().decode([Double].self, from: scalar) }
  }

  @Test func `the count of a datetime64 is no number, and so no number of seconds`() throws {
    // numpy.datetime64('-5000-01-01'), which Python's dates do not reach.
    let type = NumPyType.date(try #require(NumPyType.Unit("D")))
    let days = (0..<8).map { UInt8(truncatingIfNeeded: -2_545_740 >> (8 * $0)) }
    let value = PickleValue(try #require(NumPyArray(scalar: type, bytes: days)))
    #expect(throws: DecodingError.self) { try PickleDecoder().decode(Int.self, from: value) }
    #expect(try PickleDecoder().decode(NumPyArray.self, from: value).elements(as: Int.self) == [-2_545_740])
    for strategy: CodingDateStrategy in [.secondsSince1970, .millisecondsSince1970, .deferredToDate] {
      var decoder = PickleDecoder()
      decoder.dateStrategy = strategy
      #expect(throws: DecodingError.self) { try decoder.decode(Date.self, from: value) }
    }
  }

  @Test func `a zone of dateutil has the name that its pickle gives`() throws {
    func text(_ text: String) -> String { "8c" + Self.byte(text.utf8.count) + hex(text) }
    func name(_ zone: String) throws -> String? {
      let moment = "800463" + hex("datetime\ndatetime\n") + "430a" + "07e80101000000000000" + zone + "86522e"
      guard case .dateTime(let time) = try value(moment).content else { return nil }
      return time.time.timeZone?.name
    }
    // Of dateutil 4.0, tz.gettz('Asia/Tokyo'); and one that was made of a file alone.
    let file = "/usr/share/zoneinfo/Asia/Tokyo"
    for identifier in [text("Asia/Tokyo"), "4e"] {
      let zone =
        "63" + hex("dateutil.tz._tzfile\n_unpickle\n") + "2863" + hex("dateutil.tz._tzfile\ntzfile\n")
        + identifier
        + text(file) + "29297452"
      #expect(try name(zone) == "Asia/Tokyo")
    }
    let string = "63" + hex("dateutil.tz.tz\ntzstr\n") + "29817d" + text("_s") + text("EST5EDT") + "7362"
    #expect(try name(string) == "EST5EDT")
  }

  private static func byte(_ byte: Int) -> String { hex(String(UnicodeScalar(UInt8(byte & 0x7f)))) }

  @Test func `an int beyond a Double is no complex number`() throws {
    #expect(try PickleDecoder().decode(PickleComplex.self, from: PickleValue(7)).real == 7)
    #expect(try PickleDecoder().decode(PickleComplex.self, from: PickleValue(1 << 62)).real == 0x1p62)
    for int in [PickleInt("1" + String(repeating: "0", count: 400)) ?? 0, PickleInt(UInt64.max)] {
      #expect(throws: DecodingError.self) {
        try PickleDecoder().decode(PickleComplex.self, from: PickleValue(int))
      }
    }
  }

  @Test func `a tilde in a path of Python's is no home directory`() throws {
    let path = PickleValue.object(PickleName("pathlib", "PosixPath"), ["~/x"])
    let url = try PickleDecoder().decode(URL.self, from: path.pickled())
    #expect(url.path.hasSuffix("/~/x") && url.relativePath.hasSuffix("~/x"))
    #expect(try PickleDecoder().decode(String.self, from: path.pickled()) == "~/x")
  }

  @Test func `calls of Python's own classes are read with each form of their arguments`() throws {
    let (one, two) = ("473ff8000000000000", "47c000000000000000")
    let complex = "800463" + hex("builtins\ncomplex\n")
    #expect(
      try decode(PickleComplex.self, complex + one + two + "86522e")
        == PickleComplex(real: 1.5, imaginary: -2))
    #expect(
      try decode(PickleComplex.self, complex + one + "85522e") == PickleComplex(real: 1.5, imaginary: 0))
    for arguments in ["29", one + one + one + "87"] {
      #expect(try value(complex + arguments + "522e").object?.name == PickleName("builtins", "complex"))
    }
    // As Python 2 writes it: of a list of lists.
    let ordered = try value(
      "800463" + hex("collections\nOrderedDict\n") + "5d" + "5d4b01614b026161" + "85522e")
    #expect(ordered == .orderedDict([(1, 2)]))
    // Subclasses of dict and list in protocols 0 and 1.
    func reconstructed(_ base: String, _ content: String) -> String {
      "800463" + hex("copyreg\n_reconstructor\n") + "2863" + hex("m\nC\n") + "63" + hex("builtins\n\(base)\n")
        + content + "74522e"
    }
    let dict = reconstructed("dict", "7d4b014b0273")
    #expect(try value(dict).object?.items.map { $0.value } == [2])
    #expect(try decode([Int: Int].self, dict) == [1: 2])
    let list = reconstructed("list", "5d4b0361")
    #expect(try value(list).object?.appended.map { $0 } == [3])
    #expect(try decode([Int].self, list) == [3])
  }
}
