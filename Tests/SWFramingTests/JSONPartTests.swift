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
    #"{"a":1,"a":2}"#, #"{"a":[1],"a":{"b":2}}"#, #"{"\u00e9":1,"e\u0301":2}"#, #"{"":{"":0}}"#,
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

  /// Holds JSON in a string, and reads it with a decoder that has all that the framing's decoder has.
  struct Envelope: Codable, Equatable, Sendable {
    struct Inner: Codable, Equatable { var anyValue: JSONValue }
    var anyValue: JSONValue
    var inner: Inner

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      anyValue = try container.decode(JSONValue.self, forKey: .anyValue)
      let (text, other) = (try container.decode(String.self, forKey: .inner), JSONDecoder())
      // As if it were the framing's own.
      JSONMessage.Parts.mark(other)?.areMet = true
      inner = try other.decode(Inner.self, from: Data(text.utf8))
    }
  }

  @Test(arguments: [
    ("1", "2"), ("1", "[1]"), ("[1,2]", "[1]"), ("[1,2]", "[3,4]"), (#"{"a":null}"#, #"{"b":5}"#),
    (#"{"a":1}"#, #"{"a":2.5}"#),
    ("null", "3"), ("1.5", "\"x\""), ("2.5", "3"), ("true", "1"), ("[[1]]", "[[null]]"),
    ("18446744073709551615", "-1"),
  ])
  func `a decoder of another text reads its own`(_ outer: String, _ inner: String) throws {
    let quoted = String(decoding: try JSONEncoder().encode(#"{"anyValue":\#(inner)}"#), as: UTF8.self)
    let found = try message(#"{"anyValue":\#(outer),"inner":\#(quoted)}"#, as: Envelope.self)
    #expect(found.anyValue == (try JSONDecoder().decode(JSONValue.self, from: Data(outer.utf8))))
    #expect(found.inner.anyValue == (try JSONDecoder().decode(JSONValue.self, from: Data(inner.utf8))))
  }

  @Test(arguments: [
    "1e-308", "1e-320", "5e-324", "1e-400", "1e400", "9007199254740993.0", "-9223372036854775808.0",
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
