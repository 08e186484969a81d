import Foundation
import SWJSON
import SWMsgPack
import SWPickle
import TestSupport
import Testing

/// Objects as values of any kind: nothing is lost in silence.
@Suite(.lastResort, .leavesNothing) struct PickleKindTests: PickleCases {
  private static let name = PickleName("m", "C")

  private func json(_ value: PickleValue) throws -> JSONValue {
    let fromValue = try PickleDecoder().decode(JSONValue.self, from: value)
    let fromPickle = try PickleDecoder().decode(JSONValue.self, from: value.pickled())
    #expect(fromValue == fromPickle)
    return fromPickle
  }

  private func expectRefusal(_ value: PickleValue, _ part: String) throws {
    for type in [JSONValue.self, MsgPackValue.self] as [any Decodable.Type] {
      for value in [value, .list([1, value]), ["a": value]] {
        let pickle = try value.pickled()
        let error = try #require(throws: DecodingError.self) {
          try PickleDecoder().decode(type, from: pickle)
        }
        guard case .dataCorrupted(let context) = error else {
          Issue.record("\(error)")
          continue
        }
        #expect(context.debugDescription.contains(part), "\(context.debugDescription)")
      }
    }
  }

  @Test func `an object with arguments and attributes is no value of any kind`() throws {
    try expectRefusal(.object(Self.name, ["disk", "full"], state: ["code": 5]), "attributes")
    try expectRefusal(.object(Self.name, ["disk full"], state: ["code": 5]), "attributes")
    try expectRefusal(.object(Self.name, ["x"], state: ["__notes__": .list(["y"])]), "attributes")
    try expectRefusal(.object(Self.name, ["x"], state: .tuple([.none, ["slot": 1]])), "attributes")
    try expectRefusal(.object(Self.name, [.list([1, 2])], state: ["name": "set"]), "attributes")
    try expectRefusal(.object(Self.name, ["x"], state: 5), "state")
    try expectRefusal(.object(Self.name, ["x"], keywordArguments: ["k": 1], isNew: true), "keyword")
    try expectRefusal(
      .object(Self.name, ["x"], keywordArguments: ["k": 1], isNew: true, state: ["a": 1]), "keyword")
    try expectRefusal(.object(Self.name, [], keywordArguments: ["k": 1], isNew: true), "keyword")
    // operator.methodcaller('x', 1, k=2).
    let partial = PickleValue.object(
      PickleName("functools", "partial"), [.name(PickleName("operator", "methodcaller")), "x"],
      state: .tuple([.name(PickleName("operator", "methodcaller")), .tuple(["x"]), ["k": 2], .none]))
    try expectRefusal(.object(calling: partial, [1]), "partial")
  }

  @Test func `an object that is one thing decodes as that`() throws {
    #expect(try json(.object(Self.name, ["x"])) == "x")
    #expect(try json(.object(Self.name, ["x", 1])) == ["x", 1])
    #expect(try json(.object(Self.name, ["x"], state: [:])) == "x")
    #expect(try json(.object(Self.name, ["x"], state: PickleValue.none)) == "x")
    #expect(try json(.object(Self.name, [], state: ["code": 5])) == ["code": 5])
    #expect(try json(.object(Self.name, isNew: true, state: ["code": 5])) == ["code": 5])
    // A subclass of str, and one of list.
    #expect(try json(.object(Self.name, ["x"], isNew: true, state: ["a": 1])) == "x")
    #expect(try json(.object(Self.name, isNew: true, state: ["a": 1], appended: [1, 2])) == [1, 2])
    #expect(try json(.object(Self.name, [.list([]), 3], state: ["a": 1], appended: [1, 2])) == [1, 2])
    // A type that says what it wants gets that.
    let error = PickleValue.object(Self.name, ["disk full"], state: ["code": 5])
    #expect(try PickleDecoder().decode(String.self, from: error.pickled()) == "disk full")
    #expect(try PickleDecoder().decode([String: Int].self, from: error.pickled()) == ["code": 5])
  }

  @Test func `an object without attributes, or an empty one of a subclass of dict, is an empty object`()
    throws
  {
    let empty = PickleValue.object(Self.name, isNew: true)
    #expect(try json(empty) == [:])
    #expect(try PickleDecoder().decode(MsgPackValue.self, from: empty.pickled()) == [:])
    #expect(try json(["a": empty]) == ["a": [:]])
    #expect(try PickleDecoder().decode([Int].self, from: empty.pickled()) == [])
    // An exception without arguments has called its class.
    #expect(try json(.object(Self.name)) == [])
  }

  @Test func `a level of a value of any kind is one level`() throws {
    var lists = PickleValue(1)
    var dicts = PickleValue(1)
    var objects = PickleValue(1)
    for _ in 0..<511 {
      lists = .list([lists])
      dicts = ["a": dicts]
      objects = .object(Self.name, isNew: true, state: ["a": objects])
    }
    for value in [lists, dicts, objects] {
      for decode in [
        { try PickleDecoder().decode(JSONValue.self, from: $0) },
        { try PickleDecoder().decode(JSONValue.self, from: $0.pickled()) },
      ] as [(PickleValue) throws -> JSONValue] {
        var found = try decode(value)
        for _ in 0..<511 { found = found.elements?.first ?? found["a"] ?? .null }
        #expect(found == 1)
        #expect(throws: DecodingError.self) { try decode(.list([value])) }
        #expect(throws: DecodingError.self) { try decode(["a": value]) }
      }
    }
  }

  @Test func `an array of bytes of the machine is Data in all protocols`() throws {
    let type = PickleValue.name(PickleName("array", "array"))
    // Protocols 0 to 2, and 3 to 5.
    let old = PickleValue.object(PickleName("array", "array"), ["B", .list([1, 255])])
    let new = PickleValue.object(
      PickleName("array", "_array_reconstructor"), [type, "B", 0, .bytes([1, 255])])
    for value in [old, new] {
      #expect(try PickleDecoder().decode(Data.self, from: value.pickled()) == Data([1, 255]))
      #expect(try PickleDecoder().decode([UInt8].self, from: value.pickled()) == [1, 255])
    }
    for elements in [[1, 256], [-1]] as [[Int]] {
      let value = PickleValue.object(
        PickleName("array", "array"), ["B", .list(elements.map { PickleValue($0) })])
      #expect(throws: DecodingError.self) { try PickleDecoder().decode(Data.self, from: value.pickled()) }
    }
    let signed = PickleValue.object(PickleName("array", "array"), ["b", .list([1, 2])])
    #expect(throws: DecodingError.self) { try PickleDecoder().decode(Data.self, from: signed.pickled()) }
  }

  @Test func `a subclass of tuple or bytes is an array of simple elements`() throws {
    let tuple = PickleValue.object(Self.name, [.tuple([1, 2])], isNew: true)
    #expect(try PickleDecoder().decode([Int].self, from: tuple.pickled()) == [1, 2])
    #expect(try PickleDecoder().decode([Double].self, from: tuple.pickled()) == [1, 2])
    // A namedtuple with one field is not told apart.
    #expect(try PickleDecoder().decode([[Int]].self, from: tuple.pickled()) == [[1, 2]])
    let bytes = PickleValue.object(Self.name, [.bytes([1, 2])], isNew: true)
    #expect(try PickleDecoder().decode([Int].self, from: bytes.pickled()) == [1, 2])
    #expect(try PickleDecoder().decode([UInt8].self, from: bytes.pickled()) == [1, 2])
    let empty = PickleValue.object(Self.name, [.tuple([])], isNew: true)
    #expect(try PickleDecoder().decode([Int].self, from: empty.pickled()) == [])
    let named = PickleValue.object(Self.name, [1, 2], isNew: true)
    #expect(try PickleDecoder().decode([Int].self, from: named.pickled()) == [1, 2])
  }

  @Test func `the error of a missing key shows the start of a long one`() throws {
    struct Asking: Decodable {
      struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
      }
      init(from decoder: any Decoder) throws {
        let key = try #require(Key(stringValue: String(repeating: "x", count: 300_000)))
        _ = try decoder.container(keyedBy: Key.self).decode(Int.self, forKey: key)
      }
    }
    let value: PickleValue = ["a": 1]
    for decode in [
      { try PickleDecoder().decode(Asking.self, from: value) },
      { try PickleDecoder().decode(Asking.self, from: value.pickled()) },
      { try MsgPackDecoder().decode(Asking.self, from: MsgPackEncoder().encodeBytes(["a": 1])) },
    ] as [() throws -> Asking] {
      let error = try #require(throws: DecodingError.self) { try decode() }
      guard case .keyNotFound(_, let context) = error else {
        Issue.record("\(error)")
        continue
      }
      #expect(context.debugDescription.utf8.count < 300)
    }
  }
}
