import Foundation
import SWFraming
import TestSupport
import Testing

@testable import SWJSON

/// A `JSONValue` that is a part of another type, in a JSON framing.
@Suite(.lastResort, .leavesNothing) struct JSONPartTests {
  struct Message: Codable, Equatable, Sendable {
    var id: Int
    var anyValue: JSONValue?
    var list: [JSONValue]?
    var table: [String: JSONValue]?
    var inner: [Message]?
  }

  private func message<T: Codable & Sendable>(
    _ text: String, as type: T.Type = Message.self,
    configure: (JSONEncoder, JSONDecoder) -> Void = { _, _ in }
  ) throws -> T {
    try LineFraming.lines.json(T.self, configure: configure).decode(filling: Array("\(text)\n".utf8))
  }

  static let texts = [
    "1", "-0", "-0.0", "1.0", "1e2", "3.5", "18446744073709551615", "18446744073709551616",
    "-9223372036854775809",
    "9223372036854775808.0", "1e19", "0.1", "1e308", "true", "false", "[]", "{}",
    #""""#,
    #""a\u00e9\ud83d\ude00\n\/\\""#, #"[1,[2.0,{"a":[null,true,"x",{}]}],-3.5]"#, #"{"a":1,"b":{"a":2}}"#,
    #"{"a":1,"a":2}"#, #"{"a":[1],"a":{"b":2}}"#, #"{"":{"":0}}"#,
    "[[[[[[]]]]]]",
  ]

  @Test(arguments: texts) func `a part is what JSONDecoder reads by attempts`(_ text: String) throws {
    let whole =
      #"{"id":1,"anyValue":\#(text),"list":[\#(text),0,\#(text)],"table":{"a_b":\#(text)},"inner":[{"id":2,"anyValue":\#(text)}]}"#
    let expected = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
    let found = try message(whole)
    #expect(found == (try JSONDecoder().decode(Message.self, from: Data(whole.utf8))))
    #expect(found.anyValue == expected && found.list == [expected, 0, expected])
    #expect(found.table == ["a_b": expected] && found.inner?[0].anyValue == expected)
  }

  /// By attempts this would take hours.
  @Test(arguments: [false, true])
  func `a deeply nested part takes time in proportion to its text`(_ usesSnakeCase: Bool) throws {
    let texts = Array(repeating: #""a",1.5"#, count: 50_000).joined(separator: ",")
    let text =
      #"{"id":1,"anyValue":\#(String(repeating: #"{"a_b":["#, count: 250))\#(texts)\#(String(repeating: "]}", count: 250))}"#
    var value = try #require(
      try message(text) { _, decoder in
        if usesSnakeCase { decoder.keyDecodingStrategy = .convertFromSnakeCase }
      }.anyValue)
    for _ in 0..<249 { value = try #require(value["a_b"]?[0]) }
    guard case .array(let elements) = value["a_b"] else { throw NotAnArray() }
    #expect(elements.count == 100_000)
  }

  struct NotAnArray: Error {}

  @Test func `a key strategy finds the fields, and leaves the names of a part alone`() throws {
    let text =
      #"{"id":1,"any_value":{"one_two":{"x_y":1},"threeFour":2},"list":[{"a_b":0}],"table":{"c_d":{"e_f":3}}}"#
    for custom in [false, true] {
      let found = try message(text) { _, decoder in
        decoder.keyDecodingStrategy =
          custom
          ? .custom { path in
            let name = path.last?.stringValue ?? ""
            return Name(name == "any_value" ? "anyValue" : name)
          } : .convertFromSnakeCase
      }
      #expect(found.anyValue == ["one_two": ["x_y": 1], "threeFour": 2])
      #expect(found.list == [["a_b": 0]] && found.table == ["c_d": ["e_f": 3]])
    }
    let sameKeys = #"{"id":1,"any_value":{"a_b":1,"aB":2}}"#
    let error = #expect(throws: DecodingError.self) {
      try message(sameKeys) { _, decoder in decoder.keyDecodingStrategy = .convertFromSnakeCase }
    }
    #expect("\(try #require(error))".contains("cannot tell the keys aB and a_b apart"))
  }

  struct Name: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// A hostile value: attempts take seconds for each element.
  static let hostile: String = {
    let element = String(repeating: "[", count: 490) + String(repeating: "]", count: 490)
    return "[" + Array(repeating: element, count: 1_000).joined(separator: ",") + "]"
  }()

  @Test func `names are converted as JSONDecoder converts them`() throws {
    struct Names: Decodable {
      var names: [String]
      init(from decoder: any Decoder) throws {
        names = try decoder.container(keyedBy: Name.self).allKeys.map(\.stringValue)
      }
    }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let words = [
      "", "a", "bC", "B", "2", "256sum", "b2c", "x-y", "x.y z", "o'neil", "é", "e\u{301}x", "ß", "ﬁn", "ǆx",
      "İI", "ΑΣ",
      "xⅷ", "\u{301}b", "日本", "😀a",
    ]
    for first in words {
      for second in words {
        for name in ["\(first)_\(second)", "_\(first)__\(second)_c__", "\(first)\(second)"] {
          let text = try JSONEncoder().encode([name: 0])
          #expect(try decoder.decode(Names.self, from: text).names == [name.asFoundationConverts])
        }
      }
    }
  }

  @Test(arguments: ["a_b2c", "aB2C", "a_b2C"])
  func `a name with a digit finds its part without attempts`(_ name: String) throws {
    struct Digits: Codable, Sendable { var aB2C: JSONValue }
    let found = try message(#"{"\#(name)":\#(Self.hostile)}"#, as: Digits.self) { _, decoder in
      decoder.keyDecodingStrategy = .convertFromSnakeCase
    }
    #expect(found.aB2C[999] != nil)
  }

  /// The decoder takes the first name in the text, and the parser does not know which that is.
  @Test func `names that a strategy makes one are an error on the way to a part, without attempts`() throws {
    let framing = LineFraming.lines.json(Message.self) { _, decoder in
      decoder.keyDecodingStrategy = .convertFromSnakeCase
    }
    for members in [
      #""any_value":\#(Self.hostile),"anyValue":1"#, #""anyValue":1,"any_value":\#(Self.hostile)"#,
      #""any_value":1,"any__value":\#(Self.hostile)"#, #""table":{"a_b":\#(Self.hostile),"aB":1}"#,
      #""inner":[{"id":2,"any_value":\#(Self.hostile),"anyValue":1}]"#,
    ] {
      let error = #expect(throws: DecodingError.self) {
        try framing.decode(filling: Array("{\"id\":1,\(members)}\n".utf8))
      }
      #expect("\(try #require(error))".contains("cannot tell the keys"))
    }
    // Only names on the way count.
    let text = #"{"id":1,"a_b":1,"aB":2,"table":{"c_d":3,"cd":4}}"#
    #expect(try framing.decode(filling: Array("\(text)\n".utf8)).table == ["c_d": 3, "cd": 4])
  }

  /// By a scan of all names for each part this would take hours.
  @Test func `a part among many names is found at the cost of one`() throws {
    let names = (0..<20_000).map { #""n_\#($0)":0"# }.joined(separator: ",")
    let list = Array(repeating: "{}", count: 50_000).joined(separator: ",")
    struct Parts: Codable, Sendable { var someParts: [JSONValue] }
    let found = try message(#"{\#(names),"some_parts":[\#(list)]}"#, as: Parts.self) { _, decoder in
      decoder.keyDecodingStrategy = .convertFromSnakeCase
    }
    #expect(found.someParts.count == 50_000)
  }

  struct Node: Codable, Sendable {
    var kids: [Node]
    var meta: JSONValue?
  }

  /// Foundation makes the path of each part in time with the square of its depth.
  @Test func `many parts at a great depth are refused, and many elsewhere are not`() throws {
    func text(depth: Int, count: Int) -> String {
      let leaves = Array(repeating: #"{"kids":[],"meta":0}"#, count: count).joined(separator: ",")
      return String(repeating: #"{"kids":["#, count: depth) + leaves + String(repeating: "]}", count: depth)
    }
    let error = #expect(throws: DecodingError.self) {
      try message(text(depth: 240, count: 5_000), as: Node.self)
    }
    #expect("\(try #require(error))".contains("too many parts"))
    for (depth, count) in [(240, 10), (10, 2_000), (6, 20_000)] {
      var node = try message(text(depth: depth, count: count), as: Node.self)
      for _ in 0..<depth - 1 { node = try #require(node.kids.first) }
      #expect(node.kids.count == count && node.kids.last?.meta == 0)
    }
  }

  struct Inner: Codable, Equatable, Sendable { var anyValue: JSONValue }

  /// Holds JSON in a string, and reads it with a decoder or a framing of its own.
  struct Envelope<Reading: Reader>: Codable, Equatable, Sendable {
    var anyValue: JSONValue
    var inner: Inner

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      let text = try container.decode(String.self, forKey: .inner)
      // Before and after the part, which may be the first that the framing meets.
      inner = try Reading.read(text, decoder)
      anyValue = try container.decode(JSONValue.self, forKey: .anyValue)
      #expect(try Reading.read(text, decoder) == inner)
    }
  }

  protocol Reader: Equatable, Sendable {
    static func read(_ text: String, _ decoder: any Decoder) throws -> Inner
  }

  enum OwnDecoder: Reader {
    static func read(_ text: String, _ decoder: any Decoder) throws -> Inner {
      try JSONDecoder().decode(Inner.self, from: Data(text.utf8))
    }
  }

  enum OwnFraming: Reader {
    static func read(_ text: String, _ decoder: any Decoder) throws -> Inner {
      try LineFraming.lines.json(Inner.self).decode(filling: Array("\(text)\n".utf8))
    }
  }

  /// Its decoder has the mark of the framing's decoder, as one of a program's own type can have.
  enum CopiedDecoder: Reader {
    static func read(_ text: String, _ decoder: any Decoder) throws -> Inner {
      let other = JSONDecoder()
      other.userInfo = decoder.userInfo.compactMapValues { $0 as? JSONMessage.Parts }
      return try other.decode(Inner.self, from: Data(text.utf8))
    }
  }

  static let pairs = [
    ("1", "2"), ("1", "[1]"), ("[1,2]", "[1]"), ("[1,2]", "[3,4]"), (#"{"a":null}"#, #"{"b":5}"#),
    (#"{"a":1}"#, #"{"a":2.5}"#), ("null", "3"), ("1.5", "\"x\""), ("2.5", "3"), ("true", "1"),
    ("[[1]]", "[[null]]"), ("18446744073709551615", "-1"),
  ]

  private func open<R: Reader>(_ outer: String, _ inner: String, _: R.Type) throws -> Envelope<R> {
    let quoted = String(decoding: try JSONEncoder().encode(#"{"anyValue":\#(inner)}"#), as: UTF8.self)
    return try message(#"{"anyValue":\#(outer),"inner":\#(quoted)}"#, as: Envelope<R>.self)
  }

  @Test(arguments: pairs) func `a type's own decoder reads its own text`(_ outer: String, _ inner: String)
    throws
  {
    let expected = try JSONDecoder().decode(JSONValue.self, from: Data(outer.utf8))
    let expectedInner = try JSONDecoder().decode(JSONValue.self, from: Data(inner.utf8))
    let found = try open(outer, inner, OwnDecoder.self)
    #expect(found.anyValue == expected && found.inner.anyValue == expectedInner)
    let other = try open(outer, inner, OwnFraming.self)
    #expect(other.anyValue == expected && other.inner.anyValue == expectedInner)
  }

  /// The kinds are those of the framing's message, and the values those of the decoder's text.
  @Test(arguments: pairs)
  func `a decoder with the userInfo of the framing's decoder fails or reads its own text`(
    _ outer: String, _ inner: String
  ) throws {
    guard let found = try? open(outer, inner, CopiedDecoder.self) else { return }
    #expect(found.inner.anyValue == (try JSONDecoder().decode(JSONValue.self, from: Data(inner.utf8))))
  }

  @Test func `a decoder with the userInfo of the framing's decoder makes no attempts`() throws {
    let error = #expect(throws: DecodingError.self) { try open("1", Self.hostile, CopiedDecoder.self) }
    #expect("\(try #require(error))".contains("reads another text"))
  }

  @Test func `the decoder that a program configures remains its own`() throws {
    var kept: JSONDecoder?
    let framing = LineFraming.lines.json(Message.self) { _, decoder in
      decoder.dateDecodingStrategy = .secondsSince1970
      kept = decoder
    }
    let decoder = try #require(kept)
    let text = #"{"id":1,"anyValue":[1,"a"]}"#
    for _ in 0..<2 {
      #expect(try decoder.decode(Message.self, from: Data(text.utf8)).anyValue == [1, "a"])
      // The framing has its own options.
      decoder.keyDecodingStrategy = .custom { $0.last ?? Name("") }
      #expect(try framing.decode(filling: Array("\(text)\n".utf8)).anyValue == [1, "a"])
    }
  }

  @Test func `options that the program sets are those of the framing`() throws {
    struct Options: Codable, Sendable {
      var day: Date
      var data: Data
      var number: Double
      var info: String
      init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        day = try container.decode(Date.self, forKey: .day)
        data = try container.decode(Data.self, forKey: .data)
        number = try container.decode(Double.self, forKey: .number)
        info = CodingUserInfoKey(rawValue: "key").flatMap { decoder.userInfo[$0] as? String } ?? "none"
      }
    }
    let text = "'the_day':7,'the_data':[1],'the_number':'inf',"
    let found = try message(text, as: Options.self) { _, decoder in
      decoder.dateDecodingStrategy = .secondsSince1970
      decoder.dataDecodingStrategy = .custom { decoder in
        Data(try decoder.singleValueContainer().decode([UInt8].self))
      }
      decoder.nonConformingFloatDecodingStrategy = .convertFromString(
        positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
      decoder.keyDecodingStrategy = .custom { path in
        Name(String((path.last?.stringValue ?? "").dropFirst(4)))
      }
      decoder.allowsJSON5 = true
      decoder.assumesTopLevelDictionary = true
      if let key = CodingUserInfoKey(rawValue: "key") { decoder.userInfo[key] = "value" }
    }
    #expect(found.day == Date(timeIntervalSince1970: 7) && found.data == Data([1]))
    #expect(found.number == .infinity && found.info == "value")
  }

  /// As two connections do that share a framing, and get their first message at the same time.
  @Test func `a framing that meets its first part during another message makes no attempts`() throws {
    struct First: Codable, Sendable {
      static let framing = LineFraming.lines.json(First.self)
      var anyValue: JSONValue

      init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if (try? container.decode(Int.self, forKey: .anyValue)) == nil {
          _ = try Self.framing.decode(filling: Array("{\"anyValue\":1}\n".utf8))
        }
        anyValue = try container.decode(JSONValue.self, forKey: .anyValue)
      }
    }
    let found = try First.framing.decode(filling: Array("{\"anyValue\":\(JSONPartTests.hostile)}\n".utf8))
    #expect(found.anyValue[999] != nil)
  }

  @Test func `a missing member for a superclass is null`() throws {
    struct Sub: Codable, Sendable {
      var own: JSONValue
      var above: JSONValue
      init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        own = try container.decode(JSONValue.self, forKey: .own)
        above = try JSONValue(from: container.superDecoder())
      }
    }
    #expect(try message(#"{"own":[1]}"#, as: Sub.self).above == .null)
    #expect(try message(#"{"own":[1],"super":[2]}"#, as: Sub.self).above == [2])
  }

  @Test(arguments: [
    "1e-308", "1e-320", "5e-324", "1e-400", "1e400", "0e5", "0E-10", "-0.0e3", "9007199254740993.0",
    "-9223372036854775808.0",
  ])
  func `a number at the edge is what a whole message is`(_ text: String) throws {
    let whole = Result { try message(text, as: JSONValue.self) }
    let part = Result { try message("[[\(text)]]", as: [[JSONValue]].self)[0][0] }
    // Foundation refuses numbers that no normal Double comes near.
    #expect((try? part.get()) == (try? whole.get()) || text == "1e-400")
    #expect(
      (try? JSONDecoder().decode([Double].self, from: Data("[\(text)]".utf8))) == nil
        || (try? part.get()) != nil)
  }

  @Test func `a part that is not JSON of RFC 8259 is refused without attempts`() throws {
    #expect(throws: DecodingError.self) { try message(#"{"id":1,"anyValue":[1,]}"#) }
    // A message without such a part is the decoder's own affair.
    #expect(try message(#"{"id":1,"other":[1,]}"#).id == 1)
  }

  @Test func `options that change how values are read are obeyed`() throws {
    let text = #"{"id":1,"anyValue":["inf",1]}"#
    let found = try message(text) { _, decoder in
      decoder.nonConformingFloatDecodingStrategy = .convertFromString(
        positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    }
    #expect(found.anyValue == [.double(.infinity), 1])
  }

  @Test func `a type that catches the error of a part reads the first message as the others`() throws {
    struct Lenient: Codable, Equatable, Sendable {
      var part: JSONValue?
      init(from decoder: any Decoder) throws {
        part = try? decoder.container(keyedBy: Name.self).decode(JSONValue.self, forKey: Name("part"))
      }
    }
    let framing = LineFraming.lines.json(Lenient.self)
    for _ in 0..<2 {
      #expect(try framing.decode(filling: Array("{\"part\":[1]}\n".utf8)).part == [1])
    }
  }

  @Test func `an enumeration with a part of any kind is read`() throws {
    enum Event: Codable, Equatable, Sendable {
      case changed(JSONValue, to: JSONValue)
      case ended
    }
    let events = [Event.changed([1, "a"], to: ["x": nil]), .ended]
    let text = String(decoding: try JSONEncoder().encode(events), as: UTF8.self)
    #expect(try message(text, as: [Event].self) == events)
  }
}
