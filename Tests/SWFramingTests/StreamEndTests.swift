import SWFraming
import SWJSON
import SWTesting
import TestSupport
import Testing

/// How scanners treat the end of a stream, and bytes of strangers around their frames.
@Suite(.lastResort, .leavesNothing) struct StreamEndTests {
  /// Reads all messages of a stream that arrives at once, as an endpoint does: the payloads, and how it ended.
  func read<F: Framing>(_ framing: F, _ stream: [UInt8]) throws -> ([F.Incoming], FrameEnd) {
    var messages: [F.Incoming] = []
    var rest = stream[...]
    while true {
      var scanner = framing.makeScanner()
      let bytes = Array(rest)
      var demand = try scanner.demand(in: bytes.span)
      if !demand.isFinal {
        let end = try scanner.atEnd(of: bytes.span)
        guard case .frame(let last) = end else { return (messages, end) }
        demand = last
      }
      guard let payload = demand.payload, demand.byteCount <= bytes.count else {
        return (messages, .incomplete)
      }
      messages.append(
        try framing.decode(bytes.span.extracting(first: demand.byteCount), payload: payload, scanned: scanner)
      )
      rest = rest.dropFirst(demand.byteCount)
      if rest.isEmpty { return (messages, .nothing) }
    }
  }

  func texts(_ framing: some ByteFraming, _ stream: String) throws -> ([String], FrameEnd) {
    let (messages, end) = try read(framing, Array(stream.utf8))
    return (messages.map { String(decoding: $0, as: UTF8.self) }, end)
  }

  @Test func `a last line without its ending is a line on demand`() throws {
    #expect(try texts(.lines, "a\nb") == (["a"], .incomplete))
    #expect(try texts(.lines(takesLastLine: true), "a\nb") == (["a", "b"], .nothing))
    #expect(try texts(.lines(takesLastLine: true), "a\nb\r") == (["a", "b"], .nothing))
    #expect(try texts(.lines(takesLastLine: true), "a\n") == (["a"], .nothing))
    #expect(try texts(.lines(takesLastLine: true), "") == ([], .nothing))
    #expect(try LineFraming(takesLastLine: true).decode(filling: Array("x".utf8)) == Array("x".utf8))
    #expect(throws: FramingError.self) { try LineFraming().decode(filling: Array("x".utf8)) }
  }

  @Test func `blank lines are passed over on demand`() throws {
    let framing = LineFraming(skipsBlankLines: true)
    #expect(try texts(framing, "\n\r\n \t\na\n\n\nb\n\n") == (["a", "b"], .nothing))
    #expect(try texts(.lines, "\na\n") == (["", "a"], .nothing))
    for payload in ["", " ", "\t \r"] {
      #expect(throws: FramingError.self) { try framing.envelope(for: Array(payload.utf8).span) }
    }
  }

  @Test func `everything until the end is one message`() throws {
    #expect(try texts(.untilEnd, "a\nb") == (["a\nb"], .nothing))
    #expect(try texts(.untilEnd, "") == ([], .nothing))
    #expect(throws: FramingError.self) { try UntilEndFraming().envelope(for: [UInt8]().span) }
  }

  @Test(arguments: ["\n", "\r\n", "\n\r\n\n", "\u{feff}", "\n\u{feff}"])
  func `blank lines and a byte order mark before a header are borne with`(_ junk: String) throws {
    let message = "Content-Length: 2\r\n\r\n{}"
    #expect(try texts(.contentLength, junk + message + junk + message).0 == ["{}", "{}"])
  }

  @Test func `blank lines at the end of the stream mean nothing`() throws {
    for end in ["", "\n", "\r\n", "\n\r\n", "\r"] {
      #expect(try texts(.contentLength, "Content-Length: 2\r\n\r\n{}" + end) == (["{}"], .nothing))
    }
    #expect(try texts(.contentLength, "Content-Length: 2\r\n").1 == .incomplete)
    #expect(try texts(.contentLength, "Cont").1 == .incomplete)
    #expect(throws: FramingError.self) {
      try texts(.contentLength(headerLimit: 64), String(repeating: "\n", count: 99))
    }
  }

  @Test(
    arguments: [
      "Starting server: port 80\r\n", "[info]: ready\r\n", "Content-Length : 2\r\n", " Content-Length: 2\r\n",
      "Content-Length: 2\r\r\n", "Content-Length: x2\r\n", "Content-Length: -2\r\n", "Content-Length: +2\r\n",
      "Content-Length:\r\n", "Content-Length: 99999999999999999999\r\n", "no colon\r\n", "caf\u{e9}: 1\r\n",
    ])
  func `a line that is no header is refused with the line`(_ line: String) throws {
    let error = #expect(throws: FramingError.self) { try texts(.contentLength, line + "\r\n{}") }
    let shown = String(reflecting: line.replacing("\r\n", with: ""))
    #expect(
      error?.explanation.contains(shown.dropFirst().dropLast().prefix(30)) == true,
      "\(error?.explanation ?? "")")
  }

  @Test func `a line that is no JSON is an error with the line, and a loop goes on`() throws {
    let framing = LineFraming.lines(skipsBlankLines: true, takesLastLine: true).json(JSONValue.self)
    let stream = "\n{\"id\":1}\nStarting...\n\r\n{\"a\":NaN}\n\u{feff}{\"id\":2}\n[\"\\ud83d\"]\n{\"id\":3}"
    let (results, end) = try read(framing.results, Array(stream.utf8))
    #expect(end == .nothing)
    #expect(results.compactMap { try? $0.get()["id"]?.integer } == [1, 2, 3])
    guard case .failure(DecodingError.dataCorrupted(let context)) = results[1] else {
      Issue.record("\(results[1])")
      return
    }
    #expect((context.underlyingError as? JSONPayloadError)?.text == "Starting...")
    #expect(context.debugDescription.contains("Starting..."))
    let typed = LineFraming.lines.json([Int].self)
    let error = #expect(throws: DecodingError.self) { try typed.decode(filling: Array("{}\n".utf8)) }
    #expect("\(String(describing: error))".contains("{}"))
  }

  @Test func `any JSON value comes back`() throws {
    let value: JSONValue = [
      "a": [1, -2.5, nil, true, "x"], "big": .uint(.max), "small": .int(.min), "o": [:],
    ]
    let framing = LineFraming.lines.json(JSONValue.self)
    var parts = FrameParts()
    try framing.encode(value, into: &parts)
    #expect(try framing.decode(filling: parts.bytes) == value)
    #expect(value["a"]?[4]?.text == "x")
    #expect(value["a"]?[9] == nil)
    let error = #expect(throws: DecodingError.self) { try framing.decode(filling: Array("[1e400]\n".utf8)) }
    #expect("\(String(describing: error))".contains("1e400"))
  }

  @Test func `the new framings keep the laws`() throws {
    let messages: [[UInt8]] = [[1], Array("hello".utf8), Array(repeating: 7, count: 3000)]
    try checkFraming(LineFraming(skipsBlankLines: true), messages: messages)
    try checkFraming(LineFraming(takesLastLine: true), messages: messages + [[]])
    try checkFraming(ContentLengthFraming(), messages: messages + [[]])
  }

  // MARK: What strangers get wrong

  /// A length as text and a colon before the payload, read as a stranger might.
  struct Textual: ByteFraming {
    enum Mistake { case zeroDemand, none }
    var mistake = Mistake.none

    struct Scanner: FrameScanner {
      var mistake: Mistake
      mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
        for index in 0..<received.count where received[index] == 0x3a {
          var text: [UInt8] = []
          for digit in 0..<index { text.append(received[digit]) }
          guard let length = Int(String(decoding: text, as: UTF8.self)), length < 1 << 40 else { break }
          if mistake == .none, length < 0 { break }
          if length < 0 { return .atLeast(index + 1 + length) }
          return .frame(byteCount: index + 1 + length, payload: (index + 1)..<(index + 1 + length))
        }
        if received.count > 24 { throw FramingError(.malformedHeader, offset: 0) }
        for index in 0..<received.count where received[index] == 0x3a {
          throw FramingError(.malformedHeader, offset: index)
        }
        return .atLeast(received.count + 1)
      }
    }
    func makeScanner() -> Scanner { Scanner(mistake: mistake) }
    func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
      FrameEnvelope(header: ShortBytes("\(payload.count):".utf8))
    }
  }

  @Test func `a negative length is found out, and a demand of zero is reported and does not trap`() {
    let messages: [[UInt8]] = [[], [1], Array(repeating: 9, count: 100)]
    let violation = #expect(throws: FramingViolation.self) {
      try checkFraming(Textual(mistake: .zeroDemand), messages: messages)
    }
    #expect(violation?.law == .demandGetsOn || violation?.law == .demandNeverShrinks)
    #expect(FrameDemand.atLeast(0).byteCount == 0)
    #expect(FrameDemand.frame(byteCount: 0, payload: 0..<0) == .atLeast(0))
  }
}

/// Tuples have no `==` of their own kind that `#expect` could show.
private func == (left: ([String], FrameEnd), right: ([String], FrameEnd)) -> Bool {
  left.0 == right.0 && left.1 == right.1
}
