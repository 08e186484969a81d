import Foundation
import Testing

/// A value that uses one feature of Codable, and the Python value that a Python programmer would have written for it.
struct Feature: Sendable, CustomTestStringConvertible {
  var name: String
  /// Python's own spelling of the value, for each family of coders that can express it.
  var python: [String: String]
  var roundTrip: @Sendable (Coder) throws -> Bool
  var encode: @Sendable (Coder) throws -> [UInt8]
  var testDescription: String { name }

  /// - Parameters:
  ///   - python: the value in Python in every family.
  ///   - except: families in which it is another.
  ///   - without: families that cannot do it.
  init<T: Codable & Equatable & Sendable>(
    _ name: String, _ value: T, _ python: String, except: [String: String] = [:],
    without: Set<String> = []
  ) {
    self.name = name
    self.python = Dictionary(
      uniqueKeysWithValues: Coder.all.filter { !without.contains($0.name) }.map {
        ($0.name, except[$0.name] ?? python)
      })
    roundTrip = { coder in try coder.decode(T.self, coder.encode(value)) as? T == value }
    encode = { coder in try coder.encode(value) }
  }

  static let all: [Feature] = [
    Feature("a structure", Point(x: 1, y: -2.5), "{'x': 1, 'y': -2.5}"),
    Feature("nil fields are left out", Optionals(a: nil, b: 1), "{'b': 1}"),
    Feature("nil in arrays is None", [1, nil, 3] as [Int?], "[1, None, 3]"),
    Feature("nested optionals", Optionals(a: "x", b: nil), "{'a': 'x'}"),
    Feature(
      "an enum with payloads", [Shape.circle(radius: 1.5), .pair(1, "a"), .point],
      "[{'circle': {'radius': 1.5}}, {'pair': {'_0': 1, '_1': 'a'}}, {'point': {}}]"),
    Feature("an enum of text and of numbers", Raw(color: .red, level: .high), "{'color': 'red', 'level': 9}"),
    Feature("inheritance and superEncoder", Derived(), "{'number': 7, 'super': {'name': 'base'}}"),
    Feature("nested containers", Nested(), "{'inner': {'list': [1, 'two', []]}, 'empty': {}}"),
    Feature(
      "empty containers", Empties(),
      "{'texts': [], 'numbers': [], 'reals': [], 'nested': [[]], 'table': {}, 'none': {}}"),
    Feature(
      "a dictionary with text", ["a": 1, "HelloWorld": 2, "007": 3], "{'a': 1, 'HelloWorld': 2, '007': 3}"),
    Feature(
      "a dictionary with integers", [7: "a", -1: "b"], "{7: 'a', -1: 'b'}",
      except: ["JSON": "{'7': 'a', '-1': 'b'}"]),
    Feature("a dictionary with an enum", [Raw.Color.red: 1], "{'red': 1}"),
    Feature("a dictionary with numbers", [1.5: "a"], "{1.5: 'a'}", except: ["JSON": "[1.5, 'a']"]),
    Feature("a dictionary with small integers", [UInt8(7): 1], "{7: 1}", except: ["JSON": "[7, 1]"]),
    Feature("a dictionary with truth", [true: 1], "{True: 1}", except: ["JSON": "[True, 1]"]),
    Feature("bytes", Data([1, 2]), "b'\\x01\\x02'", except: ["JSON": "'AQI='"]),
    Feature("an array of bytes", [UInt8]([1, 2]), "b'\\x01\\x02'", except: ["JSON": "[1, 2]"]),
    Feature("an empty array of bytes", [UInt8](), "b''", except: ["JSON": "[]"]),
    Feature(
      "integers of all sizes", [Int64.min, -1, 0, .max], "[-9223372036854775808, -1, 0, 9223372036854775807]"),
    Feature("the largest integer", UInt64.max, "18446744073709551615"),
    Feature("a wide integer", Wide(x: 1 << 62), "{'x': 4611686018427387904}"),
    Feature("single precision", [Float(0.5), -1.25], "[0.5, -1.25]"),
    Feature(
      "an identifier", id, "'\(id.uuidString)'",
      except: ["pickle": "__import__('uuid').UUID('\(id.uuidString)')"]),
    Feature("an address", URL(string: "https://example.com/a?b=c"), "'https://example.com/a?b=c'"),
    Feature(
      "a decimal", Decimal(string: "1.5"), "'1.5'",
      except: ["JSON": "1.5", "pickle": "__import__('decimal').Decimal('1.5')"]),
    Feature(
      "a date", Date(timeIntervalSinceReferenceDate: 0.5),
      "__import__('datetime').datetime(2001, 1, 1, 0, 0, 0, 500000, __import__('datetime').timezone.utc)",
      except: ["JSON": "0.5"]),
    Feature("a set", Set([7]), "[7]"),
    // Foundation's JSONEncoder traps on this one.
    Feature(
      "a wrapper that encodes nil on failure", Wrapped(), "{'good': 1, 'bad': None, 'list': [None, None]}",
      without: ["JSON"]),
    Feature(
      "text of every kind", ["", "h\u{e9}llo", "\u{1f600}", "a\u{0}b"],
      "['', 'h\\xe9llo', '\\U0001f600', 'a\\x00b']"),
    Feature("null where a field may be nil", Nulls(), "{'a': None, 'b': 1}"),
    Feature(
      "null among many keys", Nulls(others: 20), "{'a': None, 'b': 1, **{f'k{i}': i for i in range(20)}}"),
    Feature("a value in a single value container", Alone(value: ["x": [1]]), "{'x': [1]}"),
  ]

  private static let id = UUID()
}

struct Point: Codable, Equatable { var x: Int, y: Double }
struct Optionals: Codable, Equatable { var a: String?, b: Int? }
enum Shape: Codable, Equatable {
  case circle(radius: Double)
  case pair(Int, String)
  case point
}
struct Raw: Codable, Equatable {
  enum Color: String, Codable, CodingKeyRepresentable { case red, green }
  enum Level: Int, Codable {
    case low = 1
    case high = 9
  }
  var color: Color, level: Level
}
struct Wide: Codable, Equatable { var x: Int128 }
struct Alone: Codable, Equatable {
  var value: [String: [Int]]
  init(value: [String: [Int]]) { self.value = value }
  init(from decoder: any Decoder) throws {
    value = try decoder.singleValueContainer().decode([String: [Int]].self)
  }
  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(value)
  }
}
struct Empties: Codable, Equatable {
  struct None: Codable, Equatable {}
  var texts: [String] = [], numbers: [Int] = [], reals: [Double] = [], nested: [[String]] = [[]]
  var table: [String: Int] = [:]
  var none = None()
}

// Invariant: it never changes after it is made.
class Base: Codable, @unchecked Sendable {
  var name = "base"
  init() {}
}
// Invariant: it never changes after it is made.
final class Derived: Base, Equatable, @unchecked Sendable {
  var number = 7
  enum CodingKeys: String, CodingKey { case number }
  override init() { super.init() }
  required init(from decoder: any Decoder) throws {
    let map = try decoder.container(keyedBy: CodingKeys.self)
    number = try map.decode(Int.self, forKey: .number)
    try super.init(from: map.superDecoder())
  }
  override func encode(to encoder: any Encoder) throws {
    var map = encoder.container(keyedBy: CodingKeys.self)
    try map.encode(number, forKey: .number)
    try super.encode(to: map.superEncoder())
  }
  static func == (left: Derived, right: Derived) -> Bool {
    left.name == right.name && left.number == right.number
  }
}

struct Nested: Codable, Equatable {
  enum CodingKeys: String, CodingKey { case inner, empty }
  enum InnerKeys: String, CodingKey { case list }
  init() {}
  init(from decoder: any Decoder) throws {
    let map = try decoder.container(keyedBy: CodingKeys.self)
    var list = try map.nestedContainer(keyedBy: InnerKeys.self, forKey: .inner).nestedUnkeyedContainer(
      forKey: .list)
    guard try list.decode(Int.self) == 1, try list.decode(String.self) == "two",
      try list.nestedUnkeyedContainer().isAtEnd, list.isAtEnd
    else { throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "another list")) }
  }
  func encode(to encoder: any Encoder) throws {
    var map = encoder.container(keyedBy: CodingKeys.self)
    var inner = map.nestedContainer(keyedBy: InnerKeys.self, forKey: .inner)
    _ = map.nestedContainer(keyedBy: InnerKeys.self, forKey: .empty)
    var list = inner.nestedUnkeyedContainer(forKey: .list)
    try list.encode(1)
    try list.encode("two")
    _ = list.nestedUnkeyedContainer()
  }
}

/// Encodes its value, or nil if that fails half-way.
struct Lossy: Codable, Equatable {
  struct Failing: Encodable {
    enum CodingKeys: CodingKey { case a }
    func encode(to encoder: any Encoder) throws {
      var map = encoder.container(keyedBy: CodingKeys.self)
      try map.encode(1, forKey: .a)
      throw EncodingError.invalidValue(0, .init(codingPath: [], debugDescription: "failing"))
    }
  }
  var value: Int?
  init(_ value: Int?) { self.value = value }
  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    value = container.decodeNil() ? nil : try container.decode(Int.self)
  }
  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    do {
      if let value { try container.encode(value) } else { try container.encode(Failing()) }
    } catch { try container.encodeNil() }
  }
}
struct Wrapped: Codable, Equatable { var good = Lossy(1), bad = Lossy(nil), list = [Lossy(nil), Lossy(nil)] }

/// Tells a key whose value is null from a missing one.
struct Nulls: Codable, Equatable {
  struct Key: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  var others: Int

  init(others: Int = 0) { self.others = others }

  init(from decoder: any Decoder) throws {
    let map = try decoder.container(keyedBy: Key.self)
    others = map.allKeys.count - 2
    guard map.contains(Key("a")), try map.decodeNil(forKey: Key("a")), map.contains(Key("b")),
      !map.contains(Key("missing")), try map.decodeIfPresent(Int.self, forKey: Key("a")) == nil,
      try map.decode(Int?.self, forKey: Key("a")) == nil, try map.decodeNil(forKey: Key("b")) == false
    else { throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "another map")) }
  }

  func encode(to encoder: any Encoder) throws {
    var map = encoder.container(keyedBy: Key.self)
    try map.encodeNil(forKey: Key("a"))
    try map.encode(1, forKey: Key("b"))
    for number in 0..<others { try map.encode(number, forKey: Key("k\(number)")) }
  }
}
