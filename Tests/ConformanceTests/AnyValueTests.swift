import Foundation
import SWCoding
import SWFraming
import SWJSON
import SWMsgPack
import SWPickle
import TestSupport
import Testing

/// The types for values of any kind, and types of a program that accept any key, in the coders of other formats.
@Suite(.lastResort, .leavesNothing) struct AnyValueTests {
  private static func object(
    _ name: PickleName, _ arguments: [PickleValue] = [], isNew: Bool = false, state: PickleValue? = nil,
    appended: [PickleValue] = [], items: [(PickleValue, PickleValue)] = []
  ) -> PickleValue {
    .object(name, arguments, isNew: isNew, state: state, appended: appended, items: items)
  }

  private static func app(_ name: String) -> PickleName { PickleName("app", name) }

  /// Objects of Python, and the values that stand for them.
  static let objects: [(String, PickleValue, JSONValue)] = [
    ("a member of an enum", object(app("Num"), [2]), 2),
    ("a namedtuple", object(app("Pair"), [1, "a"], isNew: true), [1, "a"]),
    ("a dataclass", object(app("User"), isNew: true, state: ["name": "Ann"]), ["name": "Ann"]),
    (
      "a model of pydantic",
      object(
        app("Model"), isNew: true,
        state: [
          "__dict__": ["a": 1], "__pydantic_extra__": nil, "__pydantic_fields_set__": .set(["a"]),
          "__pydantic_private__": nil,
        ]), ["a": 1]
    ),
    (
      "a UserList", object(PickleName("collections", "UserList"), isNew: true, state: ["data": [1, 2]]),
      [1, 2]
    ),
    (
      "a UserDict", object(PickleName("collections", "UserDict"), isNew: true, state: ["data": ["a": 1]]),
      ["a": 1]
    ),
    ("a subclass of dict", object(app("MyDict"), isNew: true, items: [("a", 1)]), ["a": 1]),
    ("a subclass of list", object(app("MyList"), isNew: true, appended: [1, 2]), [1, 2]),
    (
      "a defaultdict",
      object(
        PickleName("collections", "defaultdict"), [.name(PickleName("builtins", "int"))], items: [("a", 1)]),
      ["a": 1]
    ),
    ("an OrderedDict", .orderedDict([("a", 1)]), ["a": 1]),
    ("a set", .set([1]), [1]),
    ("a Fraction", object(PickleName("fractions", "Fraction"), [1, 4]), 0.25),
    (
      "a whole Fraction", object(PickleName("fractions", "Fraction"), [9_007_199_254_740_993, 1]),
      9_007_199_254_740_993
    ),
    ("a deque", object(PickleName("collections", "deque"), [[]], appended: [1]), [1]),
    ("an array", PickleValue(NumPyArray([1, 2])), [1, 2]),
    ("a path", object(PickleName("pathlib", "PosixPath"), ["a", "b"]), "a/b"),
  ]

  @Test(arguments: objects) func `all types of any value agree about an object`(
    _ name: String, _ object: PickleValue, _ expected: JSONValue
  ) throws {
    let decoder = PickleDecoder()
    for (value, expected) in [
      (object, expected), (["k": object], ["k": expected]), ([object, 1], [expected, 1]),
    ] {
      let pickle = try value.pickled()
      for packed in [
        try decoder.decode(MsgPackValue.self, from: value),
        try decoder.decode(MsgPackValue.self, from: pickle),
      ] {
        #expect(try MsgPackDecoder().decode(JSONValue.self, from: packed.encoded()) == expected)
        if case .map(let pairs) = packed { #expect(Set(pairs.map(\.key)).count == pairs.count) }
      }
      #expect(try decoder.decode(JSONValue.self, from: value) == expected)
      #expect(try decoder.decode(JSONValue.self, from: pickle) == expected)
    }
  }

  @Test func `a text with a lone surrogate is an error`() throws {
    // "a\ud800" in protocols 4 and 2.
    for pickle: [UInt8] in [
      [0x80, 4, 0x95, 8, 0, 0, 0, 0, 0, 0, 0, 0x8c, 4, 0x61, 0xed, 0xa0, 0x80, 0x94, 0x2e],
      [0x80, 2, 0x58, 4, 0, 0, 0, 0x61, 0xed, 0xa0, 0x80, 0x71, 0, 0x2e],
    ] {
      #expect(throws: DecodingError.self) { try PickleDecoder().decode(JSONValue.self, from: pickle) }
      #expect(throws: DecodingError.self) { try PickleDecoder().decode(MsgPackValue.self, from: pickle) }
      #expect(throws: DecodingError.self) { try PickleDecoder().decode([PickleValue].self, from: pickle) }
    }
  }

  // MARK: Keys

  struct AnyKey: CodingKey {
    var stringValue: String
    var intValue: Int?
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { (stringValue, self.intValue) = ("\(intValue)", intValue) }
  }

  struct AnyEntries: Decodable, Equatable {
    var entries: [String: String] = [:]
    init(_ entries: [String: String]) { self.entries = entries }
    init(from decoder: any Decoder) throws {
      let map = try decoder.container(keyedBy: AnyKey.self)
      for key in map.allKeys { entries[key.stringValue] = try map.decode(String.self, forKey: key) }
    }
  }

  enum Fields: String, CodingKey { case s }
  struct Known: Decodable, Equatable {
    var s: String
  }

  static let strategies: [CodingKeyStrategy] = [
    .unchanged, .snakeCase, .custom { path in path[path.count - 1] },
  ]

  @Test(arguments: [
    [1.5, .bytes([0x6b]), .none, true, PickleValue("1180591620717411303424" as PickleInt), .tuple([1])]
      as [PickleValue],
    [.none], [1.5], [true], ["1.5", 1.5],
  ])
  func `a key that is neither text nor an int is not lost`(_ keys: [PickleValue]) throws {
    let pairs = keys.map { ($0, PickleValue("x")) } + [("s", "f")]
    for more in [0, 20] {
      let value = PickleValue.dict(pairs + (0..<more).map { (PickleValue("k\($0)"), "y") })
      for strategy in Self.strategies {
        var decoder = PickleDecoder()
        decoder.keyStrategy = strategy
        for type: any Decodable.Type in [
          AnyEntries.self, MsgPackValue.self, JSONValue.self, [String: String].self,
        ] {
          #expect(throws: DecodingError.self) { try decoder.decode(type, from: value) }
          #expect(throws: DecodingError.self) { try decoder.decode(type, from: value.pickled()) }
        }
        #expect(try decoder.decode(Known.self, from: value) == Known(s: "f"))
      }
    }
  }

  @Test func `ints are keys of any type`() throws {
    let value = PickleValue.dict([(7, "a"), ("s", "f")])
    for strategy in Self.strategies {
      var decoder = PickleDecoder()
      decoder.keyStrategy = strategy
      #expect(try decoder.decode(AnyEntries.self, from: value) == AnyEntries(["7": "a", "s": "f"]))
      #expect(try decoder.decode(AnyEntries.self, from: value.pickled()) == AnyEntries(["7": "a", "s": "f"]))
      #expect(try decoder.decode(MsgPackValue.self, from: value) == .map([.init("7", "a"), .init("s", "f")]))
    }
  }

  // MARK: MessagePack's values in JSON

  private func decode<T: Codable & Sendable>(_ type: T.Type, _ text: String) throws -> T {
    try LineFraming.lines.json(type).decode(filling: Array(text.utf8 + [0x0a]))
  }

  struct Part<Value: Codable & Sendable & Equatable>: Codable, Sendable, Equatable {
    var k: Value
  }

  static let texts: [(String, MsgPackValue)] = [
    ("null", .null), ("true", true), ("-3", -3), ("18446744073709551615", .uint(.max)), ("0.5", 0.5),
    (#""a""#, "a"),
    ("[]", .array([])), ("{}", .map([])),
    (
      #"[1,[null,"x"],{"a":[true]}]"#, .array([1, .array([.null, "x"]), .map([.init("a", .array([true]))])])
    ),
  ]

  @Test(arguments: texts)
  func `MessagePack's values are read from JSON`(_ text: String, _ expected: MsgPackValue) throws {
    #expect(try decode(MsgPackValue.self, text) == expected)
    #expect(try decode(Part<MsgPackValue>.self, "{\"k\":\(text)}") == Part(k: expected))
    #expect(try decode([MsgPackValue].self, "[\(text),\(text)]") == [expected, expected])
    // A decoder of the program's own.
    #expect(try JSONDecoder().decode([MsgPackValue].self, from: Data("[\(text)]".utf8)) == [expected])
  }

  @Test func `a deep JSON text is read as MessagePack's values in little time`() throws {
    let text =
      String(repeating: "[", count: 480) + Array(repeating: "1", count: 1000).joined(separator: ",")
      + String(repeating: "]", count: 480)
    let start = ContinuousClock.now
    _ = try decode(MsgPackValue.self, text)
    _ = try decode(Part<MsgPackValue>.self, "{\"k\":\(text)}")
    // By attempts it took 8 s for each.
    #expect(start.duration(to: .now) < .seconds(4))
  }

  @Test func `a number that is too small is 0, also inside a message`() throws {
    #expect(try decode(JSONValue.self, "-31e-4003") == 0)
    #expect(try decode(Part<JSONValue>.self, #"{"k":-31e-4003}"#).k == 0)
  }
}
