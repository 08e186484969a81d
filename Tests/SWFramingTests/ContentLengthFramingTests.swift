import SWFraming
import SWTesting
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct ContentLengthFramingTests {
  let framing: ContentLengthFraming = .contentLength

  @Test func `a message stands behind its length, as the protocol has it`() throws {
    let frame = try framing.frame(of: Array("{}".utf8))
    #expect(String(decoding: frame, as: UTF8.self) == "Content-Length: 2\r\n\r\n{}")
    let long = try framing.frame(of: payload(byteCount: 12_345))
    #expect(long.starts(with: Array("Content-Length: 12345\r\n\r\n".utf8)))
  }

  @Test(arguments: [
    "Content-Length: 2\r\n\r\n{}",
    "Content-Length:2\r\n\r\n{}",
    "Content-Length:\t 2 \t\r\n\r\n{}",
    "content-length: 2\r\n\r\n{}",
    "CONTENT-LENGTH: 2\r\n\r\n{}",
    "Content-Length: 2\n\n{}",
    "Content-Length: 2\r\n\n{}",
    "Content-Length: 0002\r\n\r\n{}",
    "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}",
    "Content-Length: 2\r\nContent-Type: application/vscode-jsonrpc\r\n\r\n{}",
    "X-Empty:\r\nContent-Length-Hint: 7\r\nContent-Length: 2\r\n\r\n{}",
  ])
  func `what real peers write is read`(_ text: String) throws {
    let stream = Array((text + text).utf8)
    for chunks in [[stream], stream.map { [$0] }] {
      let (messages, end) = try readByHand(framing, chunks: chunks)
      #expect(messages == [Array("{}".utf8), Array("{}".utf8)])
      #expect(end == .betweenFrames)
    }
  }

  @Test func `an empty message is one`() throws {
    let (messages, end) = try readByHand(framing, chunks: [Array("Content-Length: 0\r\n\r\n".utf8)])
    #expect(messages == [[]])
    #expect(end == .betweenFrames)
  }

  /// The refused bytes, the offset, and the end of the explanation.
  static let refused: [(text: String, offset: Int, found: String)] = [
    ("Foo: 1\r\n\r\n", 8, "found none"),
    ("Starting server\r\n", 0, #"found "Starting server""#),
    (": 5\r\n", 0, #"found ": 5""#),
    ("A: b\r\n folded: 5\r\n", 6, #"found " folded: 5""#),
    ("Content-Length : 5\r\n", 14, #"found "Content-Length : 5""#),
    ("Content-Length: \r\n", 16, #"found "Content-Length: ""#),
    ("Content-Length: -1\r\n", 16, #"found "Content-Length: -1""#),
    ("Content-Length: +1\r\n", 16, #"found "Content-Length: +1""#),
    ("Content-Length: 0x10\r\n", 17, #"found "Content-Length: 0x10""#),
    ("Content-Length: 1 2\r\n", 17, #"found "Content-Length: 1 2""#),
    ("Content-Length: 5, 5\r\n", 17, #"found "Content-Length: 5, 5""#),
    ("Content-Length: 2\r\nContent-Length: 3\r\n", 35, #"found 2 and then "Content-Length: 3""#),
    ("Content-Length: \u{0662}\r\n", 16, #"found "Content-Length: \#u{0662}""#),
  ]

  @Test(arguments: refused)
  func `what breaks the rules is refused as soon as its line is there`(
    _ text: String, _ offset: Int, _ found: String
  ) throws {
    for chunks in [[Array(text.utf8)], Array(text.utf8).map { [$0] }] {
      let (messages, end) = try readByHand(framing, chunks: chunks)
      #expect(messages.isEmpty)
      guard case .refused(let error) = end else {
        Issue.record("not refused: \(end)")
        continue
      }
      #expect(error.kind == .malformedHeader)
      #expect(error.offset == offset)
      #expect(error.explanation.hasSuffix(found), "\(error)")
    }
  }

  @Test(arguments: [
    "18446744073709551616", "99999999999999999999", "18446744073709551615", "9223372036854775807",
  ])
  func `a length that no Int can count is refused`(_ digits: String) throws {
    let text = "Content-Length: \(digits)\r\n\r\n"
    var scanner = framing.makeScanner()
    let error = #expect(throws: FramingError.self) { try scanner.demand(in: Array(text.utf8)) }
    guard case .tooLarge(let declared, _) = error?.kind else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(declared == UInt64(digits) ?? .max)
    #expect(error?.offset == 16)
  }

  @Test func `a header section may be as long as its limit, and no longer`() throws {
    let end = "\r\nContent-Length: 0\r\n\r\n"
    func section(_ byteCount: Int) -> [UInt8] {
      Array(("X: " + String(repeating: "y", count: byteCount - 3 - end.utf8.count) + end).utf8)
    }
    var scanner = framing.makeScanner()
    #expect(try scanner.demand(in: section(8192)) == .frame(byteCount: 8192, payload: 8192..<8192))
    scanner = framing.makeScanner()
    let error = #expect(throws: FramingError.self) { try scanner.demand(in: section(8193)) }
    #expect(error?.kind == .malformedHeader)
    #expect(error?.offset == 8192)
    scanner = framing.makeScanner()
    #expect(throws: FramingError.self) { try scanner.demand(in: Array(repeating: 0x78, count: 8192)) }
    scanner = ContentLengthFraming(headerLimit: 10_000).makeScanner()
    #expect(try scanner.demand(in: section(8193)) == .frame(byteCount: 8193, payload: 8193..<8193))
  }

  @Test func `a line that was read once is not read again`() throws {
    var scanner = framing.makeScanner()
    #expect(try scanner.demand(in: Array("Content-Length: 3\r\n".utf8)) == .atLeast(20))
    // A scanner that looks back finds another length than was there before.
    #expect(
      try scanner.demand(in: Array("Content-Length: x\r\nX: y\r\n\r\n".utf8))
        == .frame(byteCount: 30, payload: 27..<30))
  }

  @Test func `the laws are kept`() throws {
    try checkFraming(
      framing, messages: [0, 1, 9, 10, 99, 100, 4096].map(payload(byteCount:)),
      measuresTime: !isSanitized, largeMessage: payload(byteCount:))
  }

  @Test func `the laws are kept with a header section that is nearly all of the frame`() throws {
    try checkFraming(
      Padded(), messages: [[], [1]], measuresTime: !isSanitized,
      largeMessage: { byteCount in Array(repeating: 0x79, count: byteCount) })
  }

  /// Reads as `.contentLength`; writes the message as headers.
  private struct Padded: Framing {
    struct NotPadded: Error {}

    let base = ContentLengthFraming(headerLimit: 1 << 20)

    func makeScanner() -> ContentLengthFraming.Scanner { base.makeScanner() }

    func decode(
      _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing ContentLengthFraming.Scanner
    ) throws -> [UInt8] {
      let prefix = "Content-Length: 0\r\nX:".utf8.count
      guard frame.count >= prefix + 4 else { throw NotPadded() }
      return (prefix..<(frame.count - 4)).map { index in frame[index] }
    }

    func encode(_ message: [UInt8], into parts: inout FrameParts) throws {
      parts.append(Array("Content-Length: 0\r\nX:".utf8) + message + Array("\r\n\r\n".utf8))
    }
  }
}
