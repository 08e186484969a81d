import Foundation
import SWFraming
import SWJSON
import SWTesting
import TestSupport
import Testing

/// Lines of JSON with which other libraries have failed, in public reports.
@Suite(.lastResort, .leavesNothing) struct JSONLineCaseTests {
  /// The results of a stream that arrives in chunks of a size.
  private func results(
    _ stream: [UInt8], chunk: Int = .max
  ) throws -> (results: [Result<JSONValue, any Error>], end: StreamEnd) {
    var chunks: [[UInt8]] = []
    var rest = stream[...]
    while !rest.isEmpty {
      chunks.append(Array(rest.prefix(chunk)))
      rest = rest.dropFirst(chunk)
    }
    let (messages, end) = try readByHand(LineFraming.lines.json(JSONValue.self).results, chunks: chunks)
    return (messages, end)
  }

  @Test(arguments: [
    "1", "-0", "-0.0", "1.0", "1e2", "18446744073709551615", "18446744073709551616", "-9223372036854775809",
    "0.1",
    "1e19", #""a\u00e9\ud83d\ude00\n\/\\""#, #""\u0000""#, "[]", " [ 1 , { } ] ", #"{"a":1,"a":2}"#, "null",
    "[true,false]",
    "\"\u{2028}\"", "[[[[[[{}]]]]]]",
  ])
  func `a value of any kind is what JSONDecoder reads`(_ text: String) throws {
    let framing = LineFraming.lines.json(JSONValue.self)
    #expect(
      try framing.decode(filling: Array(text.utf8) + [0x0a])
        == JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)))
  }

  @Test(arguments: [
    "", "[1,]", "01", "1.", "1e400", "[1 2]", #"{"a"}"#, #""\x""#, "\"\t\"", "[1] x", "nul", #""\ude00""#,
    String(repeating: "[", count: 513) + String(repeating: "]", count: 513),
  ])
  func `a text that is not JSON says where`(_ text: String) throws {
    let framing = LineFraming.lines.json(JSONValue.self)
    let error = #expect(throws: DecodingError.self) { try framing.decode(filling: Array(text.utf8) + [0x0a]) }
    #expect("\(try #require(error))".contains("at byte "))
  }

  /// Foundation would read it, by attempts.
  @Test(arguments: [[0x5b, 0x00], [0xff, 0xfe, 0x5b, 0x00], [0x00, 0x5b]] as [[UInt8]])
  func `a value in another encoding than UTF-8 is refused at its first byte`(_ start: [UInt8]) throws {
    let text = start + Array(repeating: [0x5b, 0x00] as [UInt8], count: 400).flatMap { $0 }
    let framing = LineFraming.lines.json(JSONValue.self)
    let error = #expect(throws: DecodingError.self) { try framing.decode(filling: text + [0x0a]) }
    let words = "\(try #require(error))"
    #expect(words.contains("at byte 0") || words.contains("at byte 1"))
  }

  @Test func `a decoder that reads infinity as a string does so in a value of any kind`() throws {
    let framing = LineFraming.lines.json(JSONValue.self) { _, decoder in
      decoder.nonConformingFloatDecodingStrategy = .convertFromString(
        positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    }
    #expect(try framing.decode(filling: Array("\"inf\"\n".utf8)) == .double(.infinity))
  }

  /// By attempts of a `JSONDecoder` this would take longer than the test may.
  @Test func `a deeply nested value takes time in proportion to its text`() throws {
    let texts = Array(repeating: #""a""#, count: 200_000).joined(separator: ",")
    let line = String(repeating: "[", count: 500) + texts + String(repeating: "]", count: 500) + "\n"
    var value = try LineFraming.lines.json(JSONValue.self).decode(filling: Array(line.utf8))
    for _ in 0..<499 { value = try #require(value[0]) }
    guard case .array(let elements) = value else { throw NotAnArray() }
    #expect(elements.count == 200_000)
  }

  struct NotAnArray: Error {}

  @Test(arguments: [
    #"{"a":NaN}"#, #"{"a":Infinity}"#, #"{"a":"\udff3"}"#, #"{"a":"\ud83d"}"#, #"{"a":"\ud83dx"}"#,
  ])
  func `case 29: a text that Foundation refuses costs its own line, and traps nowhere`(_ line: String) throws
  {
    let (results, end) = try results(Array("\(line)\n{\"a\":2}\n".utf8))
    try #require(results.count == 2)
    // Foundation decides how to treat a lone surrogate; an error names the line.
    if case .failure(let error) = results[0] {
      guard case DecodingError.dataCorrupted(let context) = error else { throw error }
      #expect((context.underlyingError as? JSONPayloadError)?.text == line)
    } else {
      #expect(line.contains("\\u"))
    }
    #expect(try results[1].get()["a"] == 2)
    #expect(end == .betweenFrames)
  }

  @Test func `case 29: a byte order mark before the first line is ignored`() throws {
    let (results, _) = try results([0xef, 0xbb, 0xbf] + Array("{\"a\":1}\n{\"a\":2}\n".utf8))
    #expect(try results.map { try $0.get()["a"] } == [1, 2])
  }

  @Test(arguments: [1, 2, 3, 5, .max])
  func `case 30: only a line feed ends a line, however the stream is cut`(
    _ chunk: Int
  ) throws {
    let stream = Array("{\"a\":\"x\u{2028}y\u{85}z\u{2029}\"}\n{\"a\":1}\r\n{\"a\":1}".utf8)
    let (results, end) = try results(stream, chunk: chunk)
    try #require(results.count == 2)
    #expect(try results[0].get()["a"] == "x\u{2028}y\u{85}z\u{2029}")
    #expect(try results[1].get()["a"] == 1)
    #expect(end == .insideFrame(Array("{\"a\":1}".utf8)))
  }
}
