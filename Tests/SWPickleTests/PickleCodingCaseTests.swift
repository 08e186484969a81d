import Foundation
import SWFraming
import SWPickle
import TestSupport
import Testing

/// Types of Swift's with which other libraries have lost something on the way to Python or from it.
@Suite(.lastResort, .leavesNothing) struct PickleCodingCaseTests: PickleCases {
  // MARK: Text

  @Test func `a lone surrogate spoils its str alone`() throws {
    let hex = "80049513000000000000007d948c0a636166edb3a92e747874944b01732e"
    let value = try value(hex)
    #expect(value.pairs?.count == 1 && value.pairs?[0].value == 1)
    let key = try #require(value.pairs?[0].key.object)
    #expect(
      key.name == PickleName("builtins", "str")
        && key.arguments[0] == .bytes([0x63, 0x61, 0x66, 0xed, 0xb3, 0xa9] + Array(".txt".utf8)))
    let error = #expect(throws: PickleError.self) { try self.value(hex, .strict) }
    #expect(error?.found == "a lone surrogate")
    let broken = #expect(throws: PickleError.self) { try self.value("8c02fffe2e") }
    #expect(broken?.found == "byte 0xff at byte 0 of it")
  }

  @Test func `an error names a lone surrogate, and not the call that makes it`() throws {
    #expect(
      try explanation(String.self, "8c03eda0802e") == "expected String, found a str with a lone surrogate")
  }

  @Test func `strs of Python 2 are read as they are told to be`() throws {
    var registry = PickleRegistry.standard
    #expect(throws: PickleError.self) { try value("5501e92e", registry) }
    registry.python2Strings = .latin1
    #expect(try value("5501e92e", registry) == "é")
    registry.python2Strings = .bytes
    #expect(try value("5501e92e", registry) == .bytes([0xe9]))
  }

  // MARK: Objects

  @Test func `NumPy's constant for an element that is masked is nil`() throws {
    let hex =
      "80049527000000000000008c0d6e756d70792e6d612e636f7265948c0e4d61736b6564436f6e7374616e749493942952942e"
    #expect(try decode(Double?.self, hex) == nil)
    #expect(throws: DecodingError.self) { try decode(Double.self, hex) }
  }

  @Test func `an array of strings of any length decodes as its strings`() throws {
    let hex =
      "800495a6000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b024b0186948c156e756d70792e5f636f72652e5f696e7465726e616c948c1e5f636f6e766572745f746f5f737472696e6764747970655f6b77617267739493944b0185945294895d94288c0161948c02626394657494622e"
    #expect(try decode([[String]].self, hex) == [["a"], ["bc"]])
    #expect(try value(hex).object?.objectArray?.shape == [2, 1])
  }

  @Test func `an object whose state has no names is no sequence of its arguments`() throws {
    // f(1, 2) with the state (3, 4).
    #expect(try decode([Int].self, "6366\(hex("\nf\n"))4b014b0286522e") == [1, 2])
    #expect(throws: DecodingError.self) {
      try decode([Int].self, "6366\(hex("\nf\n"))4b014b0286524b034b0486622e")
    }
  }

  @Test func `a UserDict and a UserList decode as what they hold`() throws {
    let dict =
      "80049533000000000000008c0b636f6c6c656374696f6e73948c0855736572446963749493942981947d948c0464617461947d948c0161944b017373622e"
    let list =
      "80049532000000000000008c0b636f6c6c656374696f6e73948c08557365724c6973749493942981947d948c0464617461945d94284b014b026573622e"
    #expect(try decode([String: Int].self, dict) == ["a": 1])
    struct Fields: Decodable { var a: Int }
    #expect(try decode(Fields.self, dict).a == 1)
    #expect(try decode([Int].self, list) == [1, 2])
  }

  @Test func `a dictionary has all attributes of a class with slots and a dict`() throws {
    let hex =
      "8004953d000000000000008c07636f6d70617265948c0e536c6f74746564416e64446963749493942981947d948c0163944b03737d94288c0161944b018c0162944b02758694622e"
    #expect(try decode([String: Int].self, hex) == ["a": 1, "b": 2, "c": 3])
  }

  // MARK: Framings

  @Test func `values compose over any byte framing`() throws {
    struct Note: Codable, Sendable, Equatable {
      var id: Int
      var text: String
    }
    let framing = LengthPrefixedFraming.lengthPrefixed(.uint32).pickle(Note.self)
    var parts = FrameParts()
    try framing.encode(Note(id: 7, text: "x"), into: &parts)
    #expect(parts.bytes.prefix(4) == [0, 0, 0, UInt8(parts.bytes.count - 4)])
    #expect(try framing.decode(filling: parts.bytes) == Note(id: 7, text: "x"))
    let client = VarIntFraming.varInt.pickle(receiving: Note.self, sending: Int.self)
    parts = FrameParts()
    try client.encode(5, into: &parts)
    #expect(try client.flipped.decode(filling: parts.bytes) == 5)
    #expect(throws: DecodingError.self) { try client.flipped.decode(filling: [4, 0x80, 4, 0x4e, 0x2e]) }
    // As logging.handlers.SocketHandler frames its records.
    let records = LengthPrefixedFraming.lengthPrefixed(.uint32).pickle()
    #expect(try records.decode(filling: [0, 0, 0, 4, 0x80, 4, 0x4e, 0x2e]).isNone)
  }

  // MARK: Numbers

  struct Order: Decodable { var price: Decimal }

  @Test func `an infinity is no Decimal, and an error`() throws {
    #expect(throws: DecodingError.self) {
      try decode(Order.self, "80047d8c057072696365477ff0000000000000732e")
    }
    #expect(throws: DecodingError.self) {
      try decode(Order.self, "80047d8c05707269636547fff0000000000000732e")
    }
  }

  static func decimal(_ text: String) throws -> PickleValue { PickleValue(try #require(PickleDecimal(text))) }

  @Test func `what does not fit is an error, and a double becomes the nearest Float`() throws {
    let decoder = PickleDecoder()
    func fails<T: Decodable>(_ type: T.Type, _ value: PickleValue) {
      #expect(throws: DecodingError.self) { try decoder.decode(type, from: value) }
      #expect(throws: DecodingError.self) { try decoder.decode([T].self, from: [value]) }
      #expect(throws: DecodingError.self) { try decoder.decode([String: T].self, from: ["k": value]) }
    }
    fails(Float.self, 1e300)
    fails(Double.self, PickleValue(PickleInt("1" + String(repeating: "0", count: 400)) ?? 0))
    for text in ["1." + String(repeating: "3", count: 46), "1E+200", "-Infinity", "Infinity", "sNaN"] {
      fails(Decimal.self, try Self.decimal(text))
    }
    fails(Decimal.self, PickleValue(PickleInt("0x1" + String(repeating: "0", count: 5000)) ?? 0))
    fails(Int8.self, 128)
    fails(Int.self, 1.5)
    fails(UInt.self, -1)
    #expect(try decoder.decode(Decimal.self, from: 3.133) == Decimal(string: "3.133"))
    #expect(try decoder.decode(Decimal.self, from: Self.decimal("NaN")).isNaN)
    #expect(try decoder.decode([Float].self, from: [0.1, .init(Double.infinity)]) == [0.1, .infinity])
  }

  @Test func `wide integers are fields, elements and values`() throws {
    struct Wide: Codable, Equatable { var x: Int128, y: UInt128, list: [UInt128] }
    let wide = Wide(x: .min, y: .max, list: [0, .max])
    let value = try PickleEncoder().encodeValue(wide)
    #expect(try PickleDecoder().decode(Wide.self, from: PickleValue(pickle: value.pickled())) == wide)
    #expect(try PickleDecoder().decode(Int128.self, from: PickleEncoder().encode(Int128.max)) == .max)
    #expect(throws: DecodingError.self) {
      try PickleDecoder().decode(Int128.self, from: PickleValue(UInt128.max))
    }
  }

  // MARK: Dates and identifiers

  @Test func `dates are seconds or text where that is asked for`() throws {
    let floats = "80049511000000000000007d948c0174944741d9d143e0100000732e"
    struct At: Codable, Equatable { var t: Date }
    #expect(try explanation(At.self, floats).contains("datetime"))
    var decoder = PickleDecoder()
    decoder.dateStrategy = .secondsSince1970
    #expect(
      try decoder.decode(At.self, from: bytes(floats)).t == Date(timeIntervalSince1970: 1_732_579_200.25))
    decoder.dateStrategy = .iso8601
    #expect(
      try decoder.decode(At.self, from: ["t": "2024-11-26T00:00:00.250000+00:00"] as PickleValue).t
        == Date(timeIntervalSince1970: 1_732_579_200.25))
    #expect(throws: DecodingError.self) {
      try decoder.decode(At.self, from: ["t": "yesterday"] as PickleValue)
    }
    var encoder = PickleEncoder()
    let error = try #require(throws: EncodingError.self) { try encoder.encode(Date.distantPast) }
    guard case .invalidValue(_, let context) = error else { throw error }
    #expect(context.debugDescription.contains("before year 1"))
    encoder.dateStrategy = .iso8601
    #expect(try encoder.encodeValue(Date(timeIntervalSince1970: 0.5)) == "1970-01-01T00:00:00.500Z")
    // The year 0, which ISO 8601 has and Python has not.
    #expect(throws: EncodingError.self) { try encoder.encode(Date(timeIntervalSince1970: -62_150_000_000)) }
    #expect(try encoder.encodeValue(Date(timeIntervalSince1970: -62_135_596_800)) == "0001-01-01T00:00:00Z")
    // A date that a datetime of Python's became comes back equal, and as the same datetime.
    for index in 0..<10_000 {
      let time = try #require(
        PickleDateTime(microsecondsSince1970: 800_000_000_000_000 + index * 123_456_789_123))
      let date = try PickleDecoder().decode(Date.self, from: PickleValue(time))
      #expect(try PickleEncoder().encodeValue(date) == PickleValue(time))
      #expect(try PickleDecoder().decode(Date.self, from: PickleEncoder().encodeValue(date)) == date)
    }
    let uuid = UUID()
    let digits = uuid.uuidString.replacing("-", with: "").lowercased()
    #expect(try PickleDecoder().decode(UUID.self, from: PickleValue(digits)) == uuid)
  }

  @Test func `a number that is no date is an error, because a program could not even print it`() throws {
    for strategy: CodingDateStrategy in [.secondsSince1970, .millisecondsSince1970, .deferredToDate] {
      var decoder = PickleDecoder()
      decoder.dateStrategy = strategy
      for number in [Double.nan, .infinity, -.infinity, .signalingNaN] {
        let value = PickleValue(number)
        #expect(throws: DecodingError.self) { try decoder.decode(Date.self, from: value) }
        #expect(throws: DecodingError.self) { try decoder.decode([Date].self, from: [value]) }
        #expect(throws: DecodingError.self) {
          try decoder.decode([Date?].self, from: PickleValue.list([value]).pickled())
        }
        #expect(throws: DecodingError.self) {
          try decoder.decode(
            [String: Date].self, from: PickleValue.dict([(PickleValue("t"), value)]).pickled())
        }
      }
      for number in [Double.greatestFiniteMagnitude, -Double.greatestFiniteMagnitude, 0] {
        let date = try decoder.decode(Date.self, from: PickleValue(number))
        #expect("\(date)".isEmpty == false)
        #expect(date.timeIntervalSinceReferenceDate.isFinite)
      }
    }
  }

  // MARK: Encoding

  @Test func `an empty array is a list, whatever its elements are`() throws {
    struct Lists: Codable {
      var tags: [String] = []
      var numbers: [Double] = []
      var raw: [UInt8] = []
      var nested: [[Int]] = [[]]
    }
    let value = try PickleEncoder().encodeValue(Lists())
    #expect(value == ["tags": [], "numbers": [], "raw": .bytes([]), "nested": [[]]])
  }

  struct Bad: Encodable {
    enum Key: CodingKey { case a }
    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: Key.self)
      try container.encode(1, forKey: .a)
      throw EncodingError.invalidValue(0, .init(codingPath: [], debugDescription: ""))
    }
  }
  struct Lossy: Encodable {
    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      do { try container.encode(Bad()) } catch { try container.encodeNil() }
    }
  }
  struct Twice: Encodable {
    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      try container.encode(1)
      try container.encode(2)
    }
  }
  struct SameKey: Encodable {
    enum Key: String, CodingKey {
      case userID
      case spelled = "user_id"
    }
    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: Key.self)
      try container.encode(1, forKey: .userID)
      try container.encode(2, forKey: .spelled)
    }
  }
  final class Endless: Encodable {
    enum Key: CodingKey { case next }
    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: Key.self)
      try container.encode(self, forKey: .next)
    }
  }

  @Test func `a failed encoding leaves nothing behind, and one value is one`() throws {
    #expect(try PickleEncoder().encodeValue([Lossy(), Lossy()]) == [nil, nil])
    #expect(throws: EncodingError.self) { try PickleEncoder().encode([Twice()]) }
    #expect(throws: EncodingError.self) { try PickleEncoder().encode(Endless()) }
    #expect(try PickleEncoder().encodeValue(SameKey()).pairs?.count == 2)
    var encoder = PickleEncoder()
    encoder.keyStrategy = .snakeCase
    #expect(throws: EncodingError.self) { try encoder.encode(SameKey()) }
  }

  @Test func `keys of types are in snake case, and those of dictionaries stay`() throws {
    struct Request: Codable, Equatable {
      var userID = 7
      var byName = ["HelloWorld": 1]
      struct Inner: Codable, Equatable { var deepValue = 2 }
      var innerPart = Inner()
    }
    var (encoder, decoder) = (PickleEncoder(), PickleDecoder())
    encoder.keyStrategy = .snakeCase
    encoder.sortsKeys = true
    decoder.keyStrategy = .snakeCase
    let value = try encoder.encodeValue(Request())
    #expect(
      value.description == #"{"by_name": {"HelloWorld": 1}, "inner_part": {"deep_value": 2}, "user_id": 7}"#)
    #expect(try decoder.decode(Request.self, from: value) == Request())
    let dictionary = Dictionary(uniqueKeysWithValues: (0..<100).map { ("key\($0)", $0) })
    #expect(try encoder.encode(dictionary) == encoder.encode(dictionary))
    let keys = try encoder.encodeValue(dictionary).pairs?.compactMap(\.key.text)
    #expect(keys == dictionary.keys.sorted())
  }

  @Test func `what Python could not read is not written, and traps nowhere`() throws {
    // A peer's values, put where only hashable ones may be.
    for value: PickleValue in [[], [:], .tuple([[]]), .byteArray([1]), .set([])] {
      #expect(!value.isHashable)
      let pairs: [(PickleValue, PickleValue)] = [(value, 1)]
      for made: PickleValue in [.set([value]), .frozenSet([1, value]), .dict(pairs), .orderedDict(pairs)] {
        let error = #expect(throws: PickleError.self) { try made.pickled() }
        #expect(error?.kind == .unrepresentable)
        #expect(!made.description.isEmpty && (made == made || made != made))
      }
    }
    #expect(PickleValue.tuple([1, "a", .frozenSet([2])]).isHashable)
    #expect(
      PickleDate(year: 70_000, month: 1, day: 1) == nil && PickleDate(year: 2023, month: 2, day: 29) == nil)
    #expect(PickleTime(hour: 300, minute: 0) == nil)
  }
}
