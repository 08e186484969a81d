import Foundation
import SWFraming
import SWJSON
import TestSupport
import Testing

/// Names of a peer that are slow to compare: Swift sorts the combining marks of each run, in time with the square of its length.
@Suite(.lastResort, .leavesNothing) struct JSONMarkTests {
  enum Kind: String, Codable, Sendable { case a, b }
  enum Command: Codable, Equatable, Sendable {
    case open(url: String)
    case close
  }
  struct Message: Codable, Equatable, Sendable {
    var id: Int
    var kind: Kind?
    var text: String?
  }

  static func marks(_ count: Int, _ marks: [String] = ["\u{301}", "\u{316}"]) -> String {
    (0..<count).map { marks[$0 % marks.count] }.joined()
  }

  static func decode<T: Codable & Sendable>(
    _ type: T.Type, _ text: some Sequence<UInt8>, configure: (JSONEncoder, JSONDecoder) -> Void = { _, _ in }
  ) throws -> T {
    try UntilEndFraming.untilEnd.json(type, configure: configure).decode(filling: Array(text))
  }

  static func isRefused<T: Codable & Sendable>(
    _ type: T.Type, _ text: some Sequence<UInt8>, configure: (JSONEncoder, JSONDecoder) -> Void = { _, _ in }
  ) -> Bool {
    do {
      _ = try decode(type, text, configure: configure)
      return false
    } catch {
      return "\(error)".contains("combining marks")
    }
  }

  /// A mark as itself, as an escape, and as a pair of escapes.
  static let forms = [
    ["\u{301}", "\u{316}"], [#"\u0301"#, #"\u0316"#], [#"\ud834\udd65"#], ["\u{301}", #"\u0316"#],
  ]

  @Test(arguments: forms) func `a name has thirty combining marks in a row at most`(_ form: [String]) throws {
    for (count, isFit) in [(30, true), (31, false), (200_000, false)] {
      let name = #""a\#(Self.marks(count, form))""#
      let text = #"{"id":1, \#(name) : 2}"#.utf8
      #expect(Self.isRefused(JSONValue.self, text) != isFit)
      #expect(Self.isRefused([String: Int].self, text) != isFit)
      #expect(Self.isRefused(Message.self, text) != isFit)
      #expect(Self.isRefused(Message.self, text) { $1.allowsJSON5 = true } != isFit)
      #expect(Self.isRefused([String: JSONValue].self, text) != isFit)
      if !isFit { #expect(Self.isRefused(Command.self, #"{\#(name):{}}"#.utf8)) }
      let parts = #"[{"id":1, \#(name):2}]"#.utf8
      #expect(Self.isRefused([JSONValue].self, parts) != isFit)
      #expect(Self.isRefused([[String: JSONValue]].self, parts) != isFit)
    }
  }

  @Test func `other strings may have many more, and letters end a run`() throws {
    for form in Self.forms {
      for count in [200, 256] {
        let text = try Self.decode(Message.self, #"{"id":1,"text":"a\#(Self.marks(count, form))"}"#.utf8).text
        #expect(text?.unicodeScalars.count == count + 1)
      }
      for count in [257, 200_000] {
        #expect(Self.isRefused(Message.self, #"{"id":1,"kind":"a\#(Self.marks(count, form))"}"#.utf8))
      }
      let words = Array(repeating: "a" + Self.marks(30, form), count: 100)
      for separator in ["", "日", "가", " ", #"\n"#, #"\u0020"#, "😀", #"\ud83d\ude00"#, "é"] {
        let name = words.joined(separator: separator)
        #expect(try Self.decode([String: Int].self, #"{"\#(name)":2}"#.utf8).count == 1)
      }
    }
    // A quote and a backslash in a string do not end it, and a colon does not make it a name.
    let tricky = #"{"id":1,"text":"\":\\\":\#(Self.marks(100)):\"","kind":"a"}"#
    #expect(try Self.decode(Message.self, tricky.utf8).kind == .a)
    #expect(Self.isRefused([String: Int].self, #"{"\":\\\":\#(Self.marks(100)):\"":1}"#.utf8))
  }

  @Test func `a text in another encoding than UTF-8 is looked through, too`() throws {
    for encoding in [
      String.Encoding.utf16LittleEndian, .utf16BigEndian, .utf32LittleEndian, .utf32BigEndian, .utf16, .utf32,
    ] {
      for (count, isFit) in [(30, true), (31, false), (100_000, false)] {
        let text = try #require(#"{"id":1,"a\#(Self.marks(count))":2}"#.data(using: encoding))
        #expect(Self.isRefused(Message.self, text) != isFit)
        // Foundation does not read a byte order mark in these encodings.
        if isFit, encoding != .utf16, encoding != .utf32 {
          #expect(try Self.decode(Message.self, text) == Message(id: 1))
        }
      }
    }
  }

  @Test func `JSON5's names without quotes, and its line ends in strings, hide nothing`() throws {
    let json5: (JSONEncoder, JSONDecoder) -> Void = { $1.allowsJSON5 = true }
    for name in [
      "a\(Self.marks(40))", "'a\(Self.marks(40))'",
      "'\(Array(repeating: Self.marks(20), count: 3).joined(separator: "\\\n"))'",
    ] {
      #expect(Self.isRefused(Message.self, "{id:1,\(name):2}".utf8, configure: json5))
    }
    #expect(try Self.decode(Message.self, "{id:1,'b\(Self.marks(30))':2,}".utf8, configure: json5).id == 1)
  }

  @Test func `two spellings of a name lose no entry`() throws {
    let text = #"{"\u00e9":1,"e\u0301":2}"#
    for json in [text, #"[\#(text)]"#] {
      let error = #expect(throws: DecodingError.self) { try Self.decode(JSONValue.self, json.utf8) }
      #expect("\(try #require(error))".contains("cannot tell the keys"))
    }
    #expect(throws: DecodingError.self) { try Self.decode([JSONValue].self, "[\(text)]".utf8) }
    // Of a name that stands twice, the first counts.
    #expect(try Self.decode(JSONValue.self, #"{"\u00e9":1,"é":2}"#.utf8) == ["é": 1])
  }

  /// JSON in memory: what a coder writes for an object.
  @Test func `a key strategy leaves the names of a JSONValue alone, and loses none`() throws {
    let value: JSONValue = ["fooBar": 1, "foo_bar": 2, "inner": [["aB": ["cD": nil]]]]
    struct Holder: Codable, Equatable, Sendable {
      var someValue: JSONValue
    }
    let framing = UntilEndFraming.untilEnd
    for strategy in [JSONEncoder.KeyEncodingStrategy.convertToSnakeCase, .useDefaultKeys] {
      let whole = framing.json(JSONValue.self) { encoder, _ in encoder.keyEncodingStrategy = strategy }
      #expect(try whole.decode(filling: Self.bytes(value, whole)) == value)
      let part = framing.json(Holder.self) { encoder, decoder in
        encoder.keyEncodingStrategy = strategy
        if case .convertToSnakeCase = strategy { decoder.keyDecodingStrategy = .convertFromSnakeCase }
      }
      let bytes = try Self.bytes(Holder(someValue: value), part)
      // The decoder has its own rule for two names that a strategy makes one.
      let plain = framing.json(JSONValue.self)
      let found = try plain.decode(filling: bytes)
      #expect(found[strategy.name] == value)
    }
  }

  private static func bytes<F: Framing>(_ message: F.Outgoing, _ framing: F) throws -> [UInt8] {
    var parts = FrameParts()
    try framing.encode(message, into: &parts)
    return parts.bytes
  }
}

extension JSONEncoder.KeyEncodingStrategy {
  fileprivate var name: String {
    if case .convertToSnakeCase = self { "some_value" } else { "someValue" }
  }
}
