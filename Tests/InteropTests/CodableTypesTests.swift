import Foundation
import SWJSON
import SWMessaging
import SWMsgPack
import SWPickle
import TestSupport
import Testing

/// The tables of docs/Guide.docc/CodableTypes.md, with Python at the other end.
@Suite(
  .enabled(if: PythonPeer.isAvailable, Comment(rawValue: PythonPeer.missing)), .lastResort, .leavesNothing)
struct CodableTypesTests {
  /// A value of Swift's, and how JSON and Python show it. Nil: it cannot be encoded.
  struct Row: Sendable {
    let name: String
    let json: String?
    let msgPack: String?
    let pickle: String?
    let forms: @Sendable () -> Forms

    init<T: Codable & Equatable & Sendable>(
      _ name: String, _ value: T, json: String?, msgPack: String?, pickle: String?
    ) {
      (self.name, self.json, self.msgPack, self.pickle) = (name, json, msgPack, pickle)
      forms = { Forms(value) }
    }

    init<T: Codable & Equatable & Sendable>(_ name: String, _ value: T, json: String?, python: String?) {
      self.init(name, value, json: json, msgPack: python, pickle: python)
    }
  }

  /// The encoded forms of a value; nil: it cannot be encoded.
  struct Forms {
    var json: String?
    var msgPack: [UInt8]?
    var pickle: [UInt8]?
    /// Whether each form that there is decodes to the value.
    var returns = true

    init<T: Codable & Equatable>(_ value: T) {
      let (encoder, box) = (JSONEncoder(), Box(v: value))
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      if let data = try? encoder.encode(box) {
        json = String(decoding: data.dropFirst(5).dropLast(), as: UTF8.self)
        returns = returns && (try? JSONDecoder().decode(Box<T>.self, from: data)) == box
      }
      if let bytes = try? MsgPackEncoder().encodeBytes(box) {
        msgPack = bytes
        returns = returns && (try? MsgPackDecoder().decode(Box<T>.self, from: bytes)) == box
      }
      if let bytes = try? PickleEncoder().encodeBytes(box) {
        pickle = bytes
        returns = returns && (try? PickleDecoder().decode(Box<T>.self, from: bytes)) == box
      }
    }
  }

  struct Box<T: Codable & Equatable>: Codable, Equatable { var v: T }
  enum Color: String, Codable, Hashable { case red }
  enum Key: String, Codable, Hashable, CodingKeyRepresentable { case a }
  enum Shape: Codable, Equatable {
    case point
    case some(Int, label: String)
  }
  struct Point: Codable, Hashable {
    var x: Int
    var y: Int?
  }

  static let date = Date(timeIntervalSince1970: 1_700_000_000.25)
  static let moment =
    "datetime.datetime(2023, 11, 14, 22, 13, 20, 250000, tzinfo=datetime.timezone.utc)"
  static let uuid = UUID(
    uuid: (0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0, 0xc0, 0x4f, 0xd4, 0x30, 0xc8))
  static let uuidText = "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"

  static let rows: [Row] = [
    Row("Bool", true, json: "true", python: "True"),
    Row("Int", -7, json: "-7", python: "-7"),
    Row("UInt64", UInt64.max, json: "18446744073709551615", python: "18446744073709551615"),
    Row(
      "Int128", Int128.max, json: "170141183460469231731687303715884105727", msgPack: nil,
      pickle: "170141183460469231731687303715884105727"),
    Row("Int128, small", Int128(5), json: "5", python: "5"),
    Row("Double", 2.5, json: "2.5", python: "2.5"),
    Row("Double, whole", 3.0, json: "3", python: "3.0"),
    Row("Float", Float(0.1), json: "0.1", python: "0.10000000149011612"),
    Row("infinity", Double.infinity, json: nil, python: "inf"),
    Row("String", "é\n", json: #""é\n""#, python: #"'é\n'"#),
    Row("nil as an element", [1, nil] as [Int?], json: "[1,null]", python: "[1, None]"),
    Row("nil as a value", ["a": nil] as [String: Int?], json: #"{"a":null}"#, python: "{'a': None}"),
    Row("nil as a property", Point(x: 1), json: #"{"x":1}"#, python: "{'x': 1}"),
    Row("[Int]", [1, 2], json: "[1,2]", python: "[1, 2]"),
    Row("Set<Int>", Set([1]), json: "[1]", python: "[1]"),
    Row("Range<Int>", 1..<5, json: "[1,5]", python: "[1, 5]"),
    Row("an empty array", [String](), json: "[]", python: "[]"),
    Row("[UInt8]", [1, 2] as [UInt8], json: "[1,2]", python: #"b'\x01\x02'"#),
    Row("Data", Data([1, 2]), json: #""AQI=""#, python: #"b'\x01\x02'"#),
    Row("ContiguousArray<UInt8>", [1, 2] as ContiguousArray<UInt8>, json: "[1,2]", python: "[1, 2]"),
    Row("Set<UInt8>", Set([1 as UInt8]), json: "[1]", python: "[1]"),
    Row("Date", date, json: "721692800.25", python: moment),
    Row(
      "UUID", uuid, json: "\"\(uuidText)\"", msgPack: "'\(uuidText)'",
      pickle: "UUID('\(uuidText.lowercased())')"),
    Row("URL", URL(filePath: "/a"), json: #""file:///a""#, python: "'file:///a'"),
    Row(
      "Decimal", Decimal(sign: .plus, exponent: -1, significand: 15), json: "1.5", msgPack: "'1.5'",
      pickle: "Decimal('1.5')"),
    Row(
      "Duration", Duration.milliseconds(1500), json: "[0,1500000000000000000]",
      python: "[0, 1500000000000000000]"),
    Row("[String: Int]", ["a": 1], json: #"{"a":1}"#, python: "{'a': 1}"),
    Row("[Int: String]", [1: "a"], json: #"{"1":"a"}"#, python: "{1: 'a'}"),
    Row("representable keys", [Key.a: 1], json: #"{"a":1}"#, python: "{'a': 1}"),
    Row(
      "[UUID: Int]", [uuid: 1], json: "[\"\(uuidText)\",1]", msgPack: "{'\(uuidText)': 1}",
      pickle: "{UUID('\(uuidText.lowercased())'): 1}"),
    Row("[Color: Int]", [Color.red: 1], json: #"["red",1]"#, python: "{'red': 1}"),
    Row("[Int8: Int]", [Int8(1): 2], json: "[1,2]", python: "{1: 2}"),
    Row("[Double: Int]", [1.5: 2], json: "[1.5,2]", python: "{1.5: 2}"),
    Row("[Date: Int]", [date: 2], json: "[721692800.25,2]", python: "{\(moment): 2}"),
    Row(
      "[Point: Int]", [Point(x: 1): 2], json: #"[{"x":1},2]"#, msgPack: "TypeError", pickle: nil),
    Row("struct", Point(x: 1, y: 2), json: #"{"x":1,"y":2}"#, python: "{'x': 1, 'y': 2}"),
    Row("raw values", Color.red, json: #""red""#, python: "'red'"),
    Row("a case", Shape.point, json: #"{"point":{}}"#, python: "{'point': {}}"),
    Row(
      "a case with values", Shape.some(3, label: "x"), json: #"{"some":{"_0":3,"label":"x"}}"#,
      python: "{'some': {'_0': 3, 'label': 'x'}}"),
    Row(
      "JSONValue", JSONValue.object(["a": [1, nil]]), json: #"{"a":[1,null]}"#, python: "{'a': [1, None]}"),
    Row("PickleValue", PickleValue.tuple([1, nil]), json: nil, msgPack: nil, pickle: "(1, None)"),
    Row("NumPyArray", NumPyArray([UInt8]()), json: nil, msgPack: nil, pickle: "array([], dtype=uint8)"),
  ]

  @Test func `Python sees what the table says of each type of Swift's`() async throws {
    let rows = Self.rows.map { ($0, $0.forms()) }
    var input = ""
    for (_, forms) in rows {
      if let bytes = forms.msgPack { input += "msgpack \(hex(bytes))\n" }
      if let bytes = forms.pickle { input += "pickle \(hex(bytes))\n" }
    }
    var seen = try await python("read", input: input).split(separator: "\n").map(String.init)[...]
    for (row, forms) in rows {
      #expect(forms.json == row.json, "\(row.name) as JSON")
      #expect(forms.returns, "\(row.name) is decoded as it was")
      let msgPack = forms.msgPack == nil ? nil : seen.popFirst()
      #expect(msgPack == row.msgPack, "\(row.name) in MessagePack")
      let pickle = forms.pickle == nil ? nil : seen.popFirst()
      if row.pickle?.hasPrefix("array(") == true, pickle == "ModuleNotFoundError" { continue }
      #expect(pickle == row.pickle, "\(row.name) in a pickle")
    }
    #expect(seen.isEmpty)
  }

  @Test func `Swift reads what the table says of each type of Python's`() async throws {
    let lines = try await python("write").split(separator: "\n")
    #expect(lines.count > 30)
    var values: [String: (pickle: [UInt8], msgPack: [UInt8]?)] = [:]
    for line in lines {
      let parts = line.split(separator: "\t").map(String.init)
      try #require(parts.count == 3)
      values[parts[0]] = (try bytes(hex: parts[1]), parts[2] == "-" ? nil : try bytes(hex: parts[2]))
    }
    /// Decodes a value of Python's from both formats, and compares.
    ///
    /// - Parameters:
    ///   - pickled: the value from the pickle; nil: it cannot be decoded.
    ///   - packed: the same of MessagePack; nil at the outer level: Python cannot pack the value.
    func check<T: Decodable & Equatable>(_ name: String, _ pickled: T?, packed: T??) throws {
      let (pickle, msgPack) = try #require(values[name])
      let fromPickle = try? PickleDecoder().decode(T.self, from: pickle)
      #expect(fromPickle == pickled, "\(name) as \(T.self), from a pickle")
      guard let packed else {
        #expect(msgPack == nil, "\(name) is not in MessagePack")
        return
      }
      let fromMsgPack = try? MsgPackDecoder().decode(T.self, from: #require(msgPack))
      #expect(fromMsgPack == packed, "\(name) as \(T.self), from MessagePack")
    }
    func both<T: Decodable & Equatable>(_ name: String, _ value: T) throws {
      try check(name, value, packed: .some(value))
    }
    func pickleOnly<T: Decodable & Equatable>(_ name: String, _ value: T) throws {
      try check(name, value, packed: nil)
    }
    func neither<T: Decodable & Equatable>(_ name: String, _ type: T.Type) throws {
      try check(name, T?.none, packed: .some(nil))
    }

    try both("3", 3)
    try both("3", 3.0)
    try both("3", Decimal(3))
    try both("3.0", 3)
    try neither("3.5", Int.self)
    try neither("2**53+1", Double.self)
    try neither("'3'", Int.self)
    try neither("3", String.self)
    try both("'3'", Decimal(3))
    try check("'3'", [UInt8]?.none, packed: .some([0x33]))
    try both("b'ab'", [0x61, 0x62] as [UInt8])
    try both("b'ab'", Data([0x61, 0x62]))
    try both("bytearray", Data([0x61, 0x62]))
    try both("[1, 2]", [1, 2])
    try both("[1, 2]", [1, 2] as [UInt8])
    try both("(1, 2)", Set([1, 2]))
    try pickleOnly("{1, 2}", Set([1, 2]))
    for name in ["frozenset", "deque", "range", "array"] { try pickleOnly(name, [1, 2]) }
    try both("{'a': 1}", ["a": 1])
    try both("{1: 'a'}", [1: "a"])
    try both("{1: 'a'}", ["1": "a"])
    try both("{'1': 'a'}", [1: "a"])
    for name in ["OrderedDict", "Counter", "defaultdict"] { try both(name, ["a": 1]) }
    try neither("{1: 'a', '1': 'b'}", [String: String].self)
    try both("datetime", Self.date)
    try pickleOnly("naive", Self.date)
    try pickleOnly("date", Date(timeIntervalSince1970: 1_704_153_600))
    try neither("seconds", Date.self)
    try pickleOnly("UUID", Self.uuid)
    try both("str(UUID)", Self.uuid)
    try both("UUID.bytes", Self.uuid)
    try pickleOnly("Decimal", Decimal(sign: .plus, exponent: -1, significand: 15))
    try pickleOnly("Fraction", 0.5)
    try pickleOnly("Fraction", Decimal(sign: .plus, exponent: -1, significand: 5))
    try pickleOnly("path", "/a/b")
    try pickleOnly("path", URL(filePath: "/a/b"))
    try both("url", try #require(URL(string: "https://a.b/c")))
    try pickleOnly("enum", "red")
    try pickleOnly("enum", Color.red)
    try both("IntEnum", 2)
    try both("namedtuple", [1, 2])
    try pickleOnly("dataclass", Point(x: 1, y: 2))
    try pickleOnly("dataclass", ["x": 1, "y": 2])
    try pickleOnly("exception", "no")
    try both("None", Int?.none)
  }

  private func python(_ role: String, input: String = "") async throws -> String {
    let interpreter = try #require(PythonPeer.interpreter)
    let script = try #require(Bundle.module.resourceURL).appending(path: "Peers/codable_types.py").path
    let result = try await Command(interpreter, arguments: [script, role]).run(input: Array(input.utf8))
    #expect(result.status.isSuccess, "\(result.errorText)")
    return result.outputText
  }

  private func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  private func bytes(hex text: String) throws -> [UInt8] {
    let digits = Array(text.utf8)
    return try stride(from: 0, to: digits.count, by: 2).map { index in
      try #require(UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16))
    }
  }
}
