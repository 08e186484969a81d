import Foundation
import SWCoding
import SWFraming
import SWJSON
import SWMsgPack
import SWPickle
import TestSupport
import Testing

/// Values of a peer that are slow to compare or to hash, where a type does that: texts with long runs of combining marks,
/// which Swift sorts in time with the square of their length, and nans, which have one hash and are not equal.
@Suite(.lastResort, .leavesNothing) struct ComparedValueTests {
  /// A value in both formats.
  struct Message {
    var packed: MsgPackValue
    var pickle: PickleValue

    static func text(_ text: String) -> Message { Message(packed: .string(text), pickle: PickleValue(text)) }
    static func int(_ int: Int) -> Message { Message(packed: .int(Int64(int)), pickle: PickleValue(int)) }
    static func double(_ number: Double) -> Message {
      Message(packed: .double(number), pickle: PickleValue(number))
    }
    static func list(_ parts: [Message]) -> Message {
      Message(packed: .array(parts.map(\.packed)), pickle: .list(parts.map(\.pickle)))
    }
    static func tuple(_ parts: [Message]) -> Message {
      Message(packed: .array(parts.map(\.packed)), pickle: .tuple(parts.map(\.pickle)))
    }
    static func map(_ pairs: [(Message, Message)]) -> Message {
      Message(
        packed: .map(pairs.map { .init($0.packed, $1.packed) }),
        pickle: .dict(pairs.map { ($0.pickle, $1.pickle) }))
    }

    /// The value that each decoder reads, or its error.
    func decoded<T: Decodable>(_ type: T.Type, _ strategy: CodingKeyStrategy = .unchanged) throws -> [Result<
      T, any Error
    >] {
      var (msgPack, decoder) = (MsgPackDecoder(), PickleDecoder())
      (msgPack.keyStrategy, decoder.keyStrategy) = (strategy, strategy)
      let (bytes, pickled) = (try packed.encoded(), try pickle.pickled())
      return [
        Result { try msgPack.decode(type, from: bytes) }, Result { try decoder.decode(type, from: pickled) },
        Result { try decoder.decode(type, from: PickleValue(pickle: pickled)) },
      ]
    }

    func isRefused<T: Decodable>(_ type: T.Type, _ words: String, _ strategy: CodingKeyStrategy = .unchanged)
      throws -> Bool
    {
      let results = try decoded(type, strategy)
      return results.allSatisfy { result in
        if case .failure(let error) = result { return "\(error)".contains(words) }
        return false
      }
    }

    func isRead<T: Decodable & Equatable>(_ value: T, _ strategy: CodingKeyStrategy = .unchanged) throws
      -> Bool
    {
      try decoded(T.self, strategy).allSatisfy { try $0.get() == value }
    }
  }

  static func text(_ marks: Int) -> String {
    "a" + (0..<marks).map { $0.isMultiple(of: 2) ? "\u{301}" : "\u{316}" }.joined()
  }

  struct Name: Codable, Hashable {
    var text: String
    init(_ text: String) { self.text = text }
    init(from decoder: any Decoder) throws { text = try decoder.singleValueContainer().decode(String.self) }
    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      try container.encode(text)
    }
  }
  struct Title: Codable, Hashable, RawRepresentable, CodingKeyRepresentable {
    var rawValue: String
  }
  enum Kind: String, Codable { case some, other }
  enum Command: Codable, Equatable {
    case open(Int)
    case close
  }
  struct Parts: Codable, Hashable {
    var a: Int?
    var list: [String]?
  }
  struct Fields: Codable, Equatable {
    var a: Int?
    var text: String?
    var kind: Kind?
  }

  @Test(arguments: [30, 31, 1000, 100_000], [1, 20])
  func `a key has thirty combining marks in a row at most`(_ count: Int, _ size: Int) throws {
    let text = Self.text(count)
    let others = (1..<size).map { (Message.text("k\($0)"), Message.int($0)) }
    let map = Message.map([(.text(text), .int(0))] + others)
    guard count <= 30 else {
      let words = "combining marks in a row"
      for strategy in [CodingKeyStrategy.unchanged, .snakeCase, .custom { $0.last ?? CodingKeyName("") }] {
        #expect(try map.isRefused([String: Int].self, words, strategy))
        #expect(try map.isRefused(JSONValue.self, words, strategy))
        #expect(try map.isRefused([Name: Int].self, words, strategy))
        #expect(try map.isRefused([Title: Int].self, words, strategy))
        #expect(try map.isRefused([Kind: Int].self, words, strategy))
        #expect(try map.isRefused(Fields.self, words, strategy))
        #expect(try map.isRefused(Command.self, words, strategy))
        #expect(try Message.list([map, map]).isRefused([[String: Int]].self, words, strategy))
      }
      return
    }
    let table = Dictionary(uniqueKeysWithValues: [(text, 0)] + (1..<size).map { ("k\($0)", $0) })
    #expect(try map.isRead(table))
    #expect(try map.isRead(Dictionary(uniqueKeysWithValues: table.map { (Name($0), $1) })))
    #expect(try map.isRead(Dictionary(uniqueKeysWithValues: table.map { (Title(rawValue: $0), $1) })))
    #expect(try map.isRead(JSONValue.object(table.mapValues { .int(Int64($0)) })))
    #expect(try map.isRead(Fields()))
  }

  @Test func `the parts of a key count, too`() throws {
    for count in [30, 31, 100_000] {
      let parts = Message.tuple([.text("b"), .text(Self.text(count))])
      let keys = Message.map([(parts, .int(1))])
      let pairs = Message.list([.text(Self.text(count)), .int(1)])
      if count <= 30 {
        #expect(try keys.isRead([["b", Self.text(count)]: 1]))
        #expect(try pairs.isRead([Name(Self.text(count)): 1]))
      } else {
        #expect(try keys.isRefused([[String]: Int].self, "combining marks"))
        #expect(try pairs.isRefused([Name: Int].self, "combining marks"))
      }
    }
  }

  @Test func `a text that is compared may have many more, and any other text any number`() throws {
    for count in [256, 257, 100_000] {
      let text = Self.text(count)
      let fields = Message.map([(.text("kind"), .text(text))])
      let set = Message.list([.text("b"), .text(text)])
      let nested = Message.list([.list([.text("b")]), .list([.text(text)])])
      #expect(try fields.isRefused(Fields.self, count > 256 ? "combining marks" : "Kind"))
      #expect(try Message.text(text).isRefused(Kind.self, count > 256 ? "combining marks" : "Kind"))
      if count <= 256 {
        #expect(try set.isRead(["b", text] as Set))
        #expect(try nested.isRead([["b"], [text]] as Set))
        #expect(try Message.text(text).isRead(Title(rawValue: text)))
      } else {
        #expect(try set.isRefused(Set<String>.self, "combining marks"))
        #expect(try set.isRefused(Set<Name>.self, "combining marks"))
        #expect(try nested.isRefused(Set<[String]>.self, "combining marks"))
      }
      let found = try Message.map([(.text("text"), .text(text))]).decoded(Fields.self)
      #expect(try found.allSatisfy { try $0.get().text?.utf8.elementsEqual(text.utf8) == true })
    }
    #expect(try Message.text("other").isRead(Kind.other))
    #expect(try Message.list([.text("other"), .text("some")]).isRead([.some, .other] as Set<Kind>))
  }

  @Test(arguments: [Double.nan, -.nan, .signalingNaN])
  func `a nan is no key, and no element of a set`(_ nan: Double) throws {
    let one = Message.map([(.double(1), .int(1)), (.double(nan), .int(2))])
    #expect(try one.isRefused([Double: Int].self, "not equal to itself"))
    #expect(try one.isRefused([Float: Int].self, "not equal to itself"))
    let part = Message.map([(.tuple([.double(1), .double(nan)]), .int(2))])
    #expect(try part.isRefused([[Double]: Int].self, "not equal to itself"))
    let pairs = Message.list([.double(nan), .int(2)])
    #expect(try pairs.isRefused([Double: Int].self, "not equal to itself"))
    #expect(try Message.list([.double(1), .double(nan)]).isRefused(Set<Double>.self, "not equal to itself"))
    #expect(
      try Message.list([.list([.double(1)]), .list([.double(nan)])]).isRefused(
        Set<[Double]>.self, "not equal to itself"))
    // A value may be one.
    #expect(
      try Message.map([(.double(1), .double(nan))]).decoded([Double: Double].self).allSatisfy {
        try $0.get()[1]?.isNaN == true
      })
    #expect(try Message.list([.double(1), .double(2)]).isRead([1, 2] as Set<Double>))
    #expect(try Message.map([(.double(1), .int(1)), (.double(2), .int(2))]).isRead([1.0: 1, 2.0: 2]))
    #expect(throws: DecodingError.self) {
      try PickleDecoder().decode(Set<Double>.self, from: PickleValue.set([PickleValue(nan), 1]).pickled())
    }
    #expect(throws: DecodingError.self) {
      try PickleDecoder().decode(
        [PickleValue: Int].self, from: PickleValue.dict([(PickleValue(nan), PickleValue(1))]).pickled())
    }
  }

  struct CodingKeyName: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  // MARK: Keys

  enum Action: Codable, Equatable {
    case openURL(String)
    case bigCircle(innerRadius: Double)
    case toJSONFile
    case loadIDsOfURLs(baseURL: Int)
    case spelled(Int)
    case acronym(path: String)
    case onlyAcronym(Int)

    enum CodingKeys: String, CodingKey {
      case openURL, bigCircle, toJSONFile, loadIDsOfURLs
      case spelled = "my_case"
      case acronym = "HTTPGet"
      case onlyAcronym = "URL"
    }
  }

  static let actions: [Action] = [
    .openURL("a"), .spelled(1), .bigCircle(innerRadius: 2), .acronym(path: "/"), .toJSONFile, .onlyAcronym(3),
    .loadIDsOfURLs(baseURL: 7),
  ]

  @Test(arguments: actions) func `snake case brings cases with payloads back`(_ action: Action) throws {
    var (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
    (encoder.keyStrategy, decoder.keyStrategy) = (.snakeCase, .snakeCase)
    #expect(try decoder.decode(Action.self, from: encoder.encodeBytes(action)) == action)
    var (pickler, unpickler) = (PickleEncoder(), PickleDecoder())
    (pickler.keyStrategy, unpickler.keyStrategy) = (.snakeCase, .snakeCase)
    let pickle = try pickler.encodeBytes(action)
    #expect(try unpickler.decode(Action.self, from: pickle) == action)
    #expect(try unpickler.decode(Action.self, from: PickleValue(pickle: pickle)) == action)
  }

  /// Collects all entries, with keys of any text.
  struct AnyText: Decodable, Equatable {
    var entries: [String: Int] = [:]
    init(_ entries: [String: Int]) { self.entries = entries }
    init(from decoder: any Decoder) throws {
      let map = try decoder.container(keyedBy: CodingKeyName.self)
      for key in map.allKeys { entries[key.stringValue] = try map.decode(Int.self, forKey: key) }
    }
  }

  /// Reads the keys that its type knows.
  struct Known: Decodable, Equatable {
    enum CodingKeys: String, CodingKey { case myURL, plainName }
    var found: [String: Int] = [:]
    init(_ found: [String: Int]) { self.found = found }
    init(from decoder: any Decoder) throws {
      let map = try decoder.container(keyedBy: CodingKeys.self)
      for key in map.allKeys { found[key.stringValue] = try map.decode(Int.self, forKey: key) }
    }
  }

  @Test(arguments: [0, 20]) func `snake case lists each key under a name that finds it`(_ others: Int) throws
  {
    let more = (0..<others).map { (Message.text("k\($0)"), Message.int($0)) }
    let rest = Dictionary(uniqueKeysWithValues: (0..<others).map { ("k\($0)", $0) })
    let map = Message.map(
      [(.text("one_two"), .int(1)), (.text("openURL"), .int(2)), (.text("__x_"), .int(3))] + more)
    #expect(
      try map.isRead(AnyText(rest.merging(["oneTwo": 1, "openURL": 2, "__x_": 3]) { $1 }), .snakeCase))
    let known = Message.map(
      [(.text("my_url"), .int(1)), (.text("plain_name"), .int(2)), (.text("no_url"), .int(3))] + more)
    #expect(try known.isRead(Known(["myURL": 1, "plainName": 2]), .snakeCase))
  }

  /// There are 8192 ways to spell it.
  @Test func `a name of many words has few spellings`() throws {
    let name = "aa_bb_cc_dd_ee_ff_gg_hh_ii_jj_kk_ll_mm"
    let map = Message.map([(.text(name), .int(1))])
    #expect(try map.isRead(Known([:]), .snakeCase))
    #expect(try map.isRead(AnyText(["aaBbCcDdEeFfGgHhIiJjKkLlMm": 1]), .snakeCase))
  }

  @Test func `a strategy that makes two keys one is an error`() throws {
    let lower = CodingKeyStrategy.custom { path in CodingKeyName(path.last?.stringValue.lowercased() ?? "") }
    let map = Message.map([(.text("A"), .int(1)), (.text("a"), .int(2))])
    #expect(try map.isRefused(Fields.self, "they become the same key", lower))
    #expect(try Message.map([(.text("A"), .int(1)), (.text("b"), .int(2))]).isRead(Fields(a: 1), lower))
    #expect(try map.isRead(["A": 1, "a": 2], lower))
  }

  enum Code: Int, Codable, CodingKeyRepresentable {
    case one = 1
    case two
  }

  @Test func `a key that converts itself is a text or an int`() throws {
    let none = Message(packed: .null, pickle: .none)
    let bytes = Message(packed: .bool(true), pickle: .bytes([0x61, 0x62]))
    for key in [
      none, bytes, .tuple([.int(1), .int(2)]), Message(packed: .double(1.5), pickle: PickleValue(1.5)),
    ] {
      let map = Message.map([(key, .int(1))])
      for result in try map.decoded([Title: Int].self) {
        #expect(throws: DecodingError.self) { try result.get() }
      }
      for result in try map.decoded([String: Int].self) {
        #expect(throws: DecodingError.self) { try result.get() }
      }
    }
    #expect(try Message.map([(.int(7), .int(1))]).isRead([Title(rawValue: "7"): 1]))
    #expect(try Message.map([(.int(1), .int(1)), (.text("2"), .int(2))]).isRead([Code.one: 1, .two: 2]))
    let member = PickleValue.object(PickleName("app", "Color"), ["red"])
    #expect(
      try PickleDecoder().decode([Title: Int].self, from: .dict([(member, PickleValue(1))])) == [
        Title(rawValue: "red"): 1
      ])
  }

  @Test func `no key of the message is taken for one that has no name`() throws {
    // The name that MessagePack's decoder gives to such a key.
    let name = "a key that is neither text nor an Int"
    for text in [name, name + "?", name + "??", name + " and more"] {
      for others in [0, 20] {
        let more: [MsgPackValue.Pair] = (0..<others).map { .init(.string("k\($0)"), 0) }
        let bytes = try MsgPackValue.map([.init(.string(text), 7), .init(nil, 9)] + more).encoded()
        let error = #expect(throws: DecodingError.self) {
          try MsgPackDecoder().decode([String: Int].self, from: bytes)
        }
        #expect("\(try #require(error))".contains("expected String, found nil"))
        #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(AnyText.self, from: bytes) }
        let plain = try MsgPackValue.map([.init(.string(text), 7)] + more).encoded()
        #expect(try MsgPackDecoder().decode([String: Int].self, from: plain)[text] == 7)
      }
    }
  }

  @Test func `MessagePack's values are equal if their bytes are`() throws {
    let hostile = MsgPackValue.map([.init(.string(Self.text(100_000)), 1), .init("x", 2)])
    for _ in 0..<20 { #expect(hostile["x"] == 2 && hostile["y"] == nil) }
    #expect(hostile == (try MsgPackValue(hostile.encoded())))
    #expect(hostile.hashValue == (try MsgPackValue(hostile.encoded())).hashValue)
    let (one, two) = (MsgPackValue.string("\u{e9}"), MsgPackValue.string("e\u{301}"))
    #expect(one != two)
    #expect(Set([one, two, one, "a", .array([one]), .array([two]), .map([.init(one, two)])]).count == 6)
    #expect(throws: EncodingError.self) { try JSONEncoder().encode(hostile) }
    let kinds: [MsgPackValue] = [
      nil, true, 1, .uint(.max), .float(1), .double(1), "1", .binary([1]), .extension(type: 1, [1]), [1],
      [1: 1],
    ]
    for (index, value) in kinds.enumerated() {
      for (place, other) in kinds.enumerated() { #expect((value == other) == (index == place)) }
    }
  }

  /// A level of the value is one level of the message.
  @Test func `a JSONValue of 500 levels is written and read`() throws {
    var value: JSONValue = 1
    for level in 0..<500 { value = level.isMultiple(of: 2) ? ["a": value] : [value] }
    #expect(try MsgPackDecoder().decode(JSONValue.self, from: MsgPackEncoder().encodeBytes(value)) == value)
    #expect(try PickleDecoder().decode(JSONValue.self, from: PickleEncoder().encodeBytes(value)) == value)
    let framing = LineFraming.lines.json(JSONValue.self)
    var parts = FrameParts()
    try framing.encode(value, into: &parts)
    #expect(try framing.decode(filling: parts.bytes) == value)
  }

  // MARK: Identifiers

  @Test(arguments: [
    "0x345678123456781234567812345678", "-1345678123456781234567812345678",
    " 1345678123456781234567812345678",
    "123456781234567812345678123456 8", "0x345678-1234-5678-1234-567812345678",
    "12345678-1234-5678-1234-56781234567 ", "12345678-1234-5678-1234-5678123456+8",
    "12345678 1234-5678-1234-567812345678", "1234567-81234-5678-1234-567812345678",
    "12345678-1234-5678-1234-5678123456é", "12345678123456781234567812345é8",
    "{2345678123456781234567812345678",
  ]) func `a text that spells no UUID is none`(_ text: String) throws {
    // JSON is read by Foundation's rules.
    let (pickle, packed) = (try PickleEncoder().encodeBytes(text), try MsgPackEncoder().encodeBytes(text))
    #expect(throws: DecodingError.self) { try PickleDecoder().decode(UUID.self, from: pickle) }
    #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(UUID.self, from: packed) }
  }

  @Test func `a UUID is spelled with dashes or without, in small letters and capitals`() throws {
    let uuid = try #require(UUID(uuidString: "12345678-9ABC-DEF0-1234-56789ABCDEF0"))
    for text in [
      "12345678-9abc-def0-1234-56789abcdef0", "12345678-9ABC-DEF0-1234-56789ABCDEF0",
      "123456789abcdef0123456789abcdef0", "123456789ABCDEF0123456789ABCDEF0",
    ] {
      let (pickle, packed) = (try PickleEncoder().encodeBytes(text), try MsgPackEncoder().encodeBytes(text))
      #expect(try PickleDecoder().decode(UUID.self, from: pickle) == uuid)
      #expect(try MsgPackDecoder().decode(UUID.self, from: packed) == uuid)
    }
  }
}
