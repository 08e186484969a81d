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
