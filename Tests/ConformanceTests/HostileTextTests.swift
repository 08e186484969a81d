import Foundation
import SWCoding
import SWFraming
import SWJSON
import SWMsgPack
import SWPickle
import TestSupport
import Testing

/// Texts that a peer chooses, in the errors of each coder: as long as a message, and with what terminals interpret.
@Suite(.lastResort, .leavesNothing) struct HostileTextTests {
  /// Clears a terminal, by 7-bit and by 8-bit control characters, ends a line, and turns the direction of the text.
  static let control = "\u{1b}[2J\u{9b}2J\n\u{2028}\u{202e}\u{7f}\u{0}"
  /// The text by itself, or as the start of a megabyte. Arguments of tests are shown, so a text is none.
  private func hostile(isLong: Bool) -> String {
    isLong ? Self.control + String(repeating: "x", count: 1_000_000) + Self.control : Self.control
  }

  /// The text of the error that a call throws.
  private func text<T>(_ call: () throws -> T) -> String? {
    do {
      _ = try call()
      return nil
    } catch let error as DecodingError {
      return switch error {
      case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
        .dataCorrupted(let context):
        context.debugDescription
      @unknown default: "\(error)"
      }
    } catch {
      return "\(error)"
    }
  }

  /// Expects a short text on one line, and that it says what was found.
  private func check(_ text: String?, _ title: String, says found: String = "\\u{1B}[2J") {
    guard let text else {
      Issue.record("\(title): no error")
      return
    }
    #expect(text.utf8.count < 2000, "\(title): \(text.utf8.count) bytes, \(text.prefix(300))")
    #expect(text.contains(found), "\(title): \(text.prefix(300))")
    for character in text.unicodeScalars {
      switch character.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator:
        Issue.record("\(title): U+\(String(character.value, radix: 16)) in \(text.prefix(300))")
        return
      default: break
      }
    }
  }

  @Test(arguments: [false, true]) func `MessagePack's errors show little of it, and escaped`(_ isLong: Bool)
    throws
  {
    let text = hostile(isLong: isLong)
    let value = MsgPackValue.string(text)
    func decode<T: Decodable>(_ type: T.Type, _ value: MsgPackValue, dates: CodingDateStrategy = .native)
      -> String?
    {
      var decoder = MsgPackDecoder()
      decoder.dateStrategy = dates
      return self.text { try decoder.decode(type, from: value) }
    }
    check(decode(URL.self, .string("http://[" + text)), "URL")
    check(decode(UUID.self, value), "UUID")
    check(decode(Date.self, value, dates: .iso8601), "Date")
    check(decode(Decimal.self, value), "Decimal")
    let twice: MsgPackValue = .map([.init(.string(text + "\u{e9}"), 1), .init(.string(text + "e\u{301}"), 2)])
    check(decode([String: Int].self, twice), "two keys")
    check(decode(Int.self, value), "Int", says: "Int")
  }

  @Test(arguments: [false, true]) func `the errors of pickles show little of it, and escaped`(_ isLong: Bool)
    throws
  {
    let text = hostile(isLong: isLong)
    func decode<T: Decodable>(_ type: T.Type, _ value: PickleValue, dates: CodingDateStrategy = .native)
      throws -> String?
    {
      var decoder = PickleDecoder()
      decoder.dateStrategy = dates
      let pickle = try value.pickled()
      let told = self.text { try decoder.decode(type, from: pickle) }
      #expect(told == self.text { try decoder.decode(type, from: PickleValue(pickle: pickle)) })
      return told
    }
    let value = PickleValue(text)
    check(try decode(URL.self, PickleValue("http://[" + text)), "URL")
    check(try decode(UUID.self, value), "UUID", says: "UUID")
    check(try decode(Date.self, value, dates: .iso8601), "Date")
    check(try decode(Decimal.self, value), "Decimal")
    let twice: [(PickleValue, PickleValue)] = [
      (PickleValue(text + "\u{e9}"), 1), (PickleValue(text + "e\u{301}"), 2),
    ]
    check(try decode([String: Int].self, .dict(twice)), "two keys")
    let noon = try #require(PickleTime(hour: 12, minute: 0, timeZone: PickleTimeZone(identifier: text)))
    let day = try #require(PickleDate(year: 2024, month: 1, day: 1))
    check(
      try decode(Date.self, PickleValue(PickleDateTime(date: day, time: noon))), "zone", says: "the time zone"
    )
    let name = PickleName("m", text)
    check(try decode(Int.self, .object(name, [])), "class")
    check(try decode(Int.self, .name(name)), "name")
    let long = PickleInt(twosComplement: [UInt8](repeating: 1, count: 1_000_000)[...])
    check(try decode(Int.self, PickleValue(long)), "int", says: "cannot represent")
    check(try decode(Double.self, PickleValue(long)), "int as Double", says: "Double")
    let int = try #require(NumPyType(.signed, byteCount: 4))
    let record = try #require(NumPyType(fields: [.init(text, int, offset: 0)], byteCount: 4))
    let array = try #require(NumPyArray(shape: [1], type: record, bytes: [0, 0, 0, 0]))
    check(try decode(Int.self, PickleValue(array)), "record")

    let strict = try PickleValue.object(name, []).pickled()
    check(self.text { try PickleValue(pickle: strict, registry: .strict) }, "strict registry")
    // Numbers, names and memo entries of protocols 0 and 1 are lines of text.
    for opcode in ["I", "L", "F", "g", "S"] {
      check(
        self.text { try PickleValue(pickle: Array("\(opcode)\(text.replacing("\n", with: ""))\n.".utf8)) },
        opcode)
    }
  }

  @Test(arguments: [false, true]) func `JSON's errors show little of it, and escaped`(_ isLong: Bool) throws {
    let text = hostile(isLong: isLong)
    func decode<T: Codable & Sendable>(
      _ type: T.Type, _ json: String, dates: JSONDecoder.DateDecodingStrategy = .iso8601
    ) -> String? {
      let framing = UntilEndFraming.untilEnd.json(type) { $1.dateDecodingStrategy = dates }
      return self.text { try framing.decode(filling: Array(json.utf8).span) }
    }
    let quoted = String(decoding: try JSONEncoder().encode(text), as: UTF8.self)
    for json in [quoted, "{\(quoted):1}", "[\(quoted)]"] {
      check(decode(Int.self, json), "Int", says: "found")
      check(decode(Date.self, json), "Date", says: "found")
      check(decode(UUID.self, json), "UUID", says: "found")
    }
    check(decode(Int.self, String(repeating: "9", count: 30 + text.utf8.count)), "Int", says: "999")
    check(decode([String: Int].self, text), "no JSON", says: "found")
    check(decode(JSONValue.self, text), "no JSON", says: "found")
  }

  @Test func `a short text is shown as it is`() {
    #expect("plain text".shown() == "plain text")
    #expect(
      "gr\u{fc}n \u{1f468}\u{200d}\u{1f469} \\ \"".shown() == "gr\u{fc}n \u{1f468}\u{200d}\u{1f469} \\ \"")
    #expect("a\tb\r\n\u{9b}".shown() == #"a\tb\r\n\u{9B}"#)
    #expect("abcd".shown(upTo: 4) == "abcd")
    #expect("\u{fc}\u{fc}\u{fc}\u{fc}".shown(upTo: 4) == "\u{fc}\u{fc}\u{fc}\u{fc}")
    #expect("abcde".shown(upTo: 4) == "abcd… (5 bytes)")
    #expect("a\"\\".quoted() == #""a\"\\""#)
    #expect("\u{fc}\u{fc}".quoted(upTo: 2) == "\"\u{fc}\u{fc}\"")
    #expect("abc".quoted(upTo: 2) == "\"ab\"… (3 bytes)")
  }
}
