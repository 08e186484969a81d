import SWFraming
import SWTesting
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct LineFramingTests {
  private func lines(_ framing: LineFraming, _ text: String) throws -> (lines: [String], end: StreamEnd) {
    let (messages, end) = try readByHand(framing, chunks: Array(text.utf8).map { [$0] })
    return (messages.map { String(decoding: $0, as: UTF8.self) }, end)
  }

  @Test func `a line ends with LF, and a CR before it is borne with`() throws {
    let (lines, end) = try lines(.lines, "one\ntwo\r\n\n\r\na\rb\n\r\r\n")
    #expect(lines == ["one", "two", "", "", "a\rb", "\r"])
    #expect(end == .betweenFrames)
  }

  @Test func `where LF alone is agreed on, a CR belongs to the line`() throws {
    let (lines, end) = try lines(.lines(ending: .lineFeed), "one\r\n\r\n")
    #expect(lines == ["one\r", "\r"])
    #expect(end == .betweenFrames)
  }

  @Test func `a last line without its ending is an end inside a frame`() throws {
    let (lines, end) = try lines(.lines, "one\ntwo")
    #expect(lines == ["one"])
    #expect(end == .insideFrame(Array("two".utf8)))
  }

  @Test func `each ending writes what it says`() throws {
    let line = Array("line".utf8)
    #expect(try LineFraming.lines.frame(of: line) == Array("line\n".utf8))
    #expect(try LineFraming.lines(ending: .lineFeed).frame(of: line) == Array("line\n".utf8))
    #expect(try LineFraming.lines(ending: .carriageReturnLineFeed).frame(of: line) == Array("line\r\n".utf8))
  }

  @Test(arguments: LineFraming.Ending.allCases)
  func `a line feed inside a line is refused`(_ ending: LineFraming.Ending) {
    let error = #expect(throws: FramingError.self) {
      try LineFraming(ending: ending).frame(of: Array("ab\nc\n".utf8))
    }
    #expect(error?.kind == .unrepresentable)
    #expect(error?.offset == 2)
  }

  @Test func `a CR at a line's end is refused where it would be taken for part of the ending`() throws {
    let line = Array("ab\r".utf8)
    let error = #expect(throws: FramingError.self) { try LineFraming.lines.frame(of: line) }
    #expect(error?.offset == 2)
    for ending in [LineFraming.Ending.lineFeed, .carriageReturnLineFeed] {
      let framing = LineFraming(ending: ending)
      let (messages, end) = try readByHand(framing, chunks: [framing.frame(of: line)])
      #expect(messages == [line])
      #expect(end == .betweenFrames)
    }
  }

  @Test(arguments: LineFraming.Ending.allCases)
  func `what was searched once is not searched again`(_ ending: LineFraming.Ending) throws {
    var scanner = LineFraming(ending: ending).makeScanner()
    #expect(try scanner.demand(in: Array("one line".utf8)) == .atLeast(9))
    // A scanner that looks back finds a line feed that was not there before.
    #expect(try scanner.demand(in: Array("one\nlines".utf8)) == .atLeast(10))
    #expect(try scanner.demand(in: Array("one\nlines\n".utf8)) == .frame(byteCount: 10, payload: 0..<9))
  }

  @Test(arguments: LineFraming.Ending.allCases)
  func `the laws are kept`(_ ending: LineFraming.Ending) throws {
    let messages = [0, 1, 2, 80, 1000].map { byteCount in
      payload(byteCount: byteCount).map { byte in byte == 0x0a || byte == 0x0d ? 0x7e : byte }
    }
    try checkFraming(
      .lines(ending: ending), messages: messages + [Array("\rmid\rdle".utf8)], measuresTime: !isSanitized,
      largeMessage: { byteCount in Array(repeating: 0x0d, count: byteCount) + [0x7e] })
  }
}
