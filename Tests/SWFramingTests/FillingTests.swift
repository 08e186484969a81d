import SWFraming
import TestSupport
import Testing

/// Rules for a datagram: it is one frame, and its length counts.
@Suite(.lastResort, .leavesNothing) struct FillingTests {
  private func decode(_ framing: some ByteFraming, _ bytes: [UInt8]) throws -> [UInt8] {
    try framing.decode(filling: bytes.span)
  }

  @Test func `a frame that fills a datagram is its message`() throws {
    #expect(try decode(.varInt, Array("\u{5}hello".utf8)) == Array("hello".utf8))
    #expect(try decode(.varInt, [0]).isEmpty)
    #expect(try decode(.lines, Array("hello\n".utf8)) == Array("hello".utf8))
    #expect(try decode(.fixedSize(2), [7, 8]) == [7, 8])
  }

  @Test func `fault 14: a frame that is longer than its datagram is refused`() throws {
    // As it was seen: socketwrapper makes "he" of it.
    let error = #expect(throws: FramingError.self) { try decode(.varInt, Array("\u{5}he".utf8)) }
    #expect(error?.kind == .misfit)
    #expect(error?.offset == 3)
    #expect(error?.explanation == "expected a frame of 6 bytes; found 3")
    let open = #expect(throws: FramingError.self) { try decode(.lines, Array("hello".utf8)) }
    #expect(open?.explanation == "expected a frame of at least 6 bytes; found 5")
    #expect(throws: FramingError.self) { try decode(.varInt, []) }
  }

  @Test func `fault 14: what lies behind a frame in its datagram is refused`() throws {
    let error = #expect(throws: FramingError.self) { try decode(.varInt, Array("\u{2}hel".utf8)) }
    #expect(error?.kind == .misfit)
    #expect(error?.offset == 3)
  }

  @Test func `a datagram that is no frame is a failure among results, and ends no loop`() throws {
    let results = VarIntFraming.varInt.results
    for bytes: [UInt8] in [[5, 0x68], [2, 1, 2, 3], [], [0x80]] {
      let found = try results.decode(filling: bytes)
      #expect(throws: FramingError.self) { try found.get() }
    }
    #expect(try results.decode(filling: [1, 7]).get() == [7])
    let malformed = try MultiprocessingBytesFraming.multiprocessingBytes.results.decode(filling: [
      0x80, 0, 0, 0,
    ])
    #expect(throws: FramingError.self) { try malformed.get() }
  }

  @Test func `a broken header is what the scanner says it is`() {
    let error = #expect(throws: FramingError.self) { try decode(.multiprocessingBytes, [0x80, 0, 0, 0]) }
    #expect(error?.kind == .malformedHeader)
  }

  /// A framing whose scanner gives the same answers to all bytes, and to their end.
  private struct Fixed: ByteFraming {
    var demand: FrameDemand
    var end = FrameEnd.incomplete

    struct Scanner: FrameScanner {
      var framing: Fixed
      func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand { framing.demand }
      func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd { framing.end }
    }
    func makeScanner() -> Scanner { Scanner(framing: self) }
    func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope { FrameEnvelope() }
  }

  private static let broken = [
    Fixed(demand: .atLeast(0)), Fixed(demand: .atLeast(-1)), Fixed(demand: .atLeast(2)),
    Fixed(demand: .frame(byteCount: 0, payload: 0..<0)),
    Fixed(demand: .atLeast(9), end: .frame(.frame(byteCount: 0, payload: 0..<0))),
    Fixed(demand: .atLeast(9), end: .frame(.atLeast(2))),
    Fixed(demand: .atLeast(9), end: .frame(.frame(byteCount: 3, payload: 0..<3))),
  ]

  @Test(arguments: broken.indices)
  func `a scanner that breaks its laws is named`(_ index: Int) throws {
    let framing = Self.broken[index]
    let error = #expect(throws: FramingError.self) { try decode(framing, [1, 2]) }
    #expect(error?.kind == .brokenScanner)
    // Without bytes, only the end is asked.
    guard case .frame = framing.end else { return }
    let empty = #expect(throws: FramingError.self) { try decode(framing, []) }
    #expect(empty?.kind == .brokenScanner)
  }
}
