import SWFraming
import SWTesting
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct DelimitedFramingTests {
  @Test(arguments: DelimiterVectors.golden.frames)
  func `a message becomes the frame that Python writes, and back`(_ golden: DelimiterVectors.Frame) throws {
    let framing = DelimitedFraming(by: golden.delimiter.bytes)
    let frame = try framing.frame(of: golden.payload.bytes)
    #expect(frame == golden.frame.bytes)
    let (messages, end) = try readByHand(framing, chunks: [frame])
    #expect(messages == [golden.payload.bytes])
    #expect(end == .betweenFrames)
  }

  @Test(arguments: DelimiterVectors.golden.errors.filter { !$0.delimiter.bytes.isEmpty })
  func `a payload that holds the delimiter is refused, as Python does`(
    _ golden: DelimiterVectors.Refused
  ) throws {
    let framing = DelimitedFraming(by: golden.delimiter.bytes)
    let error = #expect(throws: FramingError.self) { try framing.frame(of: golden.payload.bytes) }
    #expect(error?.kind == .unrepresentable)
    let offset = try #require(error?.offset)
    #expect(golden.payload.bytes[offset...].starts(with: golden.delimiter.bytes))
  }

  @Test(arguments: DelimiterVectors.golden.ambiguous)
  func `fault 10: a payload that reads back otherwise is refused, where Python sends it`(
    _ golden: DelimiterVectors.Ambiguous
  ) throws {
    let framing = DelimitedFraming(by: golden.delimiter.bytes)
    let error = #expect(throws: FramingError.self) { try framing.frame(of: golden.payload.bytes) }
    #expect(error?.kind == .unrepresentable)
    #expect(error?.offset == golden.pythonReadsBack.first?.bytes.count)
    // We read bytes of Python as Python does.
    let (messages, end) = try readByHand(framing, chunks: [golden.frame.bytes])
    #expect(messages == golden.pythonReadsBack.map(\.bytes))
    #expect(end == .insideFrame(golden.leftover.bytes))
  }

  @Test func `fault 10: x- is refused before the delimiter --`() throws {
    let framing: DelimitedFraming = .delimited(by: "--")
    let error = #expect(throws: FramingError.self) { try framing.frame(of: Array("x-".utf8)) }
    #expect(error?.offset == 1)
    #expect(try framing.frame(of: Array("x".utf8)) == Array("x--".utf8))
    #expect(try framing.frame(of: Array("-x".utf8)) == Array("-x--".utf8))
  }

  @Test(arguments: ["a", "ab", "aa", "aab", "aabaaab", "abab"])
  func `of all short payloads just those are refused that read back otherwise`(_ delimiter: String) throws {
    let framing: DelimitedFraming = .delimited(by: delimiter)
    for length in 0...8 {
      for bits in 0..<(1 << length) {
        let payload = (0..<length).map { bit in bits >> bit & 1 == 0 ? UInt8(ascii: "a") : UInt8(ascii: "b") }
        let plain = payload + Array(delimiter.utf8)
        let (messages, end) = try readByHand(framing, chunks: [plain])
        let readsBack = messages == [payload] && end == .betweenFrames
        let frame = try? framing.frame(of: payload)
        #expect(frame == (readsBack ? plain : nil), "\(payload)")
      }
    }
  }

  @Test(arguments: DelimiterVectors.golden.streams)
  func `a stream gives the messages and the end that Python sees`(_ golden: DelimiterVectors.Stream) throws {
    let framing = DelimitedFraming(by: golden.delimiter.bytes)
    let wire = golden.wire.bytes
    // By hand, a long stream takes its time byte by byte.
    let ways =
      wire.count > 4096
      ? [golden.chunkLengths ?? [], []] : [golden.chunkLengths ?? [], [], wire.map { _ in 1 }]
    for lengths in ways {
      let (messages, end) = try readByHand(framing, chunks: wire.cut(into: lengths))
      #expect(messages == golden.messages.map(\.bytes))
      #expect(end == golden.expectedEnd)
    }
  }

  @Test func `no more is demanded than is missing of the delimiter, and no less`() throws {
    var scanner = DelimitedFraming(by: Array("abcabd".utf8)).makeScanner()
    #expect(try scanner.demand(in: []) == .atLeast(6))
    #expect(try scanner.demand(in: Array("xxxxxa".utf8)) == .atLeast(11))
    #expect(try scanner.demand(in: Array("xxxxxabcabc".utf8)) == .atLeast(14))
    #expect(try scanner.demand(in: Array("xxxxxabcabcabd".utf8)) == .frame(byteCount: 14, payload: 0..<8))
  }

  /// In Python, 16 MiB before a delimiter of one byte took 13 seconds: each chunk was searched from the
  /// beginning. A scanner that looks back here finds delimiters that were not there before.
  @Test(arguments: ["\0", "--", "abaabc"])
  func `fault 11: what was searched once is not searched again`(_ text: String) throws {
    let delimiter = Array(text.utf8)
    var scanner = DelimitedFraming(by: delimiter).makeScanner()
    var received: [UInt8] = []
    for _ in 0..<50 {
      received += Array(repeating: 0x78, count: 10)
      #expect(try scanner.demand(in: received) == .atLeast(received.count + delimiter.count))
      received.replaceSubrange((received.count - delimiter.count)..., with: delimiter)
    }
    received += [0x78] + delimiter
    #expect(try scanner.demand(in: received) == .frame(byteCount: received.count, payload: 0..<501))
  }

  @Test(arguments: ["\0", "\n", "\r\n", "--", "aba", "abaabc", "|boundary|"])
  func `the laws are kept`(_ delimiter: String) throws {
    let clean = [0, 1, 2, 39, 40, 41, 700].map { byteCount in
      payload(byteCount: byteCount).map { byte in delimiter.utf8.contains(byte) ? 0x7e : byte }
    }
    // The beginning of the delimiter, again and again, and never the end.
    let half = Array((0..<50).map { _ in delimiter.utf8.dropLast() + [0x7e] }.joined())
    try checkFraming(
      .delimited(by: delimiter), messages: clean + [half], measuresTime: !isSanitized,
      largeMessage: { byteCount in
        Array(repeating: delimiter.utf8.dropLast() + [0x7e], count: byteCount / delimiter.utf8.count).flatMap
        { $0 }
      })
  }
}
