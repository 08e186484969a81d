import SWCoding
import SWJSON
import SWMsgPack
import SWPickle
import TestSupport
import Testing

/// A `JSONValue` in the coders of this package, which tell the kind of a value.
@Suite(.lastResort, .leavesNothing) struct JSONValueTests {
  static let values: [JSONValue] = [
    nil, true, 0, -1, 1.5, "", "a", [], [:], [1, [nil, "x"], ["a": [true]]], .uint(.max), .int(.min),
    .double(.infinity),
  ]

  @Test(arguments: values) func `a value of any kind comes back`(_ value: JSONValue) throws {
    for value in [value, ["part": value, "parts": [value, value]]] {
      let (packed, pickle) = (try MsgPackEncoder().encodeBytes(value), try PickleEncoder().encodeBytes(value))
      #expect(try MsgPackDecoder().decode(JSONValue.self, from: packed) == value)
      #expect(try PickleDecoder().decode(JSONValue.self, from: pickle) == value)
      #expect(try PickleDecoder().decode(JSONValue.self, from: PickleValue(pickle: pickle)) == value)
    }
  }

  @Test func `a number has the form that it has in JSON`() throws {
    #expect(try MsgPackDecoder().decode(JSONValue.self, from: .double(3)) == .int(3))
    #expect(try PickleDecoder().decode(JSONValue.self, from: PickleValue(3.0)) == .int(3))
    #expect(
      try PickleDecoder().decode(
        JSONValue.self, from: PickleValue("1267650600228229401496703205376" as PickleInt))
        == .double(0x1p100))
    #expect(throws: DecodingError.self) {
      try PickleDecoder().decode(
        JSONValue.self, from: PickleValue("1267650600228229401496703205377" as PickleInt))
    }
  }

  @Test func `no key is lost, and none is changed`() throws {
    let pairs: [(PickleValue, PickleValue)] = [(7, 1), ("a_b", 2), ("aB", 3)]
    let expected: JSONValue = ["7": 1, "a_b": 2, "aB": 3]
    var decoder = PickleDecoder()
    var packed = MsgPackDecoder()
    for strategy in [CodingKeyStrategy.unchanged, .snakeCase, .custom { _ in PathKey("x") }] {
      (decoder.keyStrategy, packed.keyStrategy) = (strategy, strategy)
      #expect(try decoder.decode(JSONValue.self, from: .dict(pairs)) == expected)
      #expect(try decoder.decode(JSONValue.self, from: PickleValue.dict(pairs).pickled()) == expected)
      #expect(try packed.decode(JSONValue.self, from: [7: 1, "a_b": 2, "aB": 3]) == expected)
    }
    let lost: [PickleValue] = [.dict([(7, 1), ("7", 2)]), .dict([(.none, 1)]), .dict([(.tuple([1]), 1)])]
    for value in lost {
      #expect(throws: DecodingError.self) { try PickleDecoder().decode(JSONValue.self, from: value) }
    }
    #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(JSONValue.self, from: [7: 1, "7": 2]) }
    #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(JSONValue.self, from: [nil: 1]) }
  }

  struct PathKey: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  @Test(arguments: values) func `a decoder that tells the kind is asked once`(_ value: JSONValue) throws {
    let attempts = Attempts()
    #expect(try JSONValue(from: TellingDecoder(value: value, attempts: attempts)) == value)
    #expect(attempts.failed == (value == .uint(.max) ? 1 : 0))
  }

  /// Counts the attempts that fail.
  // Invariant: one test uses it, in one task.
  final class Attempts { var failed = 0 }

  /// A decoder of a value in memory.
  struct TellingDecoder: Decoder, SingleValueDecodingContainer, CodingKindTelling {
    struct WrongType: Error {}

    var value: JSONValue
    let attempts: Attempts
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    var codingKind: CodingKind {
      switch value {
      case .null: .null
      case .bool: .bool
      case .int, .uint: .integer
      case .double: .floatingPoint
      case .string: .text
      case .array: .array
      case .object: .map
      }
    }

    func singleValueContainer() -> any SingleValueDecodingContainer { self }
    func decodeNil() -> Bool { value.isNull }

    func decode<T: Decodable>(_ type: T.Type) throws -> T {
      let found: Any
      switch value {
      case .null: found = ()
      case .bool(let value): found = value
      case .int(let value): found = value
      case .uint(let value): found = value
      case .double(let value): found = value
      case .string(let value): found = value
      case .array(let elements): found = try elements.map { try JSONValue(from: child($0)) }
      case .object(let members): found = try members.mapValues { try JSONValue(from: child($0)) }
      }
      if let found = found as? T { return found }
      throw wrongType()
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
      throw wrongType()
    }
    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { throw wrongType() }

    private func child(_ value: JSONValue) -> TellingDecoder { .init(value: value, attempts: attempts) }
    private func wrongType() -> WrongType {
      attempts.failed += 1
      return WrongType()
    }
  }
}
