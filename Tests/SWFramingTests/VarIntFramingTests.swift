import SWFraming
import SWTesting
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct VarIntFramingTests {
  let framing: VarIntFraming = .varInt

  @Test(arguments: VarIntVectors.golden.frames)
  func `a message becomes the frame that Python writes, and back`(
    _ golden: VarIntVectors.Frame
  ) throws {
    let payload = golden.payload.bytes
    #expect(payload.count == golden.length)
    let envelope = try framing.envelope(for: payload.span)
    #expect(envelope.header.array == golden.header.bytes)
    #expect(envelope.trailer.isEmpty)
    let frame = try framing.frame(of: payload)
    #expect(frame == golden.frame.bytes)

    let (messages, end) = try readByHand(framing, chunks: [frame])
    #expect(messages == [payload])
    #expect(end == .betweenFrames)
  }

  @Test(arguments: VarIntVectors.golden.framesNoncanonicalAccepted)
  func `a frame with an overlong length is accepted`(_ golden: VarIntVectors.OverlongFrame) throws {
    let (messages, end) = try readByHand(framing, chunks: [golden.frame.bytes])
    #expect(messages == [golden.payload.bytes])
    #expect(end == .betweenFrames)
  }

  @Test(arguments: VarIntVectors.golden.truncated)
  func `a header cut short ends inside a frame`(_ golden: VarIntVectors.Stream) throws {
    let (messages, end) = try readByHand(framing, chunks: [golden.wire.bytes])
    #expect(messages.isEmpty)
    #expect(end == golden.expectedEnd)
  }

  @Test(arguments: VarIntVectors.golden.streams.filter { !$0.declaresTheUncountable })
  func `a stream gives the messages and the end that Python sees`(
    _ golden: VarIntVectors.Stream
  ) throws {
    let wire = golden.wire.bytes
    for lengths in [golden.chunkLengths ?? [], [], wire.map { _ in 1 }] {
      let (messages, end) = try readByHand(framing, chunks: wire.cut(into: lengths))
      #expect(messages == golden.messages.map(\.bytes))
      #expect(end == golden.expectedEnd)
    }
  }

  // Where we differ: Python waits for 2^64-1 bytes until memory or the stream ends.
  @Test(arguments: VarIntVectors.golden.streams.filter(\.declaresTheUncountable))
  func `a length that no Int can count is refused, where Python waits`(
    _ golden: VarIntVectors.Stream
  ) throws {
    let (messages, end) = try readByHand(framing, chunks: [golden.wire.bytes])
    #expect(messages.isEmpty)
    let limit = UInt64(Int.max - VarInt.longestByteCount)
    guard case .refused(let error) = end else {
      Issue.record("not refused: \(end)")
      return
    }
    #expect(error.kind == .tooLarge(declared: .max, limit: limit))
    #expect(error.offset == 0)
  }

  @Test(arguments: [UInt64(Int.max) + 1, UInt64(Int.max), UInt64(Int.max) - 8])
  func `a length that leaves no room for its header is refused`(_ length: UInt64) {
    var scanner = framing.makeScanner()
    let limit = UInt64(Int.max - VarInt.longestByteCount)
    let header = VarInt.encode(length).array
    let error = #expect(throws: FramingError.self) { try scanner.demand(in: header) }
    #expect(error?.kind == .tooLarge(declared: length, limit: limit))
  }

  @Test func `the longest frame that an Int can count is demanded`() throws {
    var scanner = framing.makeScanner()
    let header = VarInt.encode(UInt64(Int.max - 9)).array
    let demand = try scanner.demand(in: header)
    #expect(demand == .frame(byteCount: .max, payload: 9..<Int.max))
  }

  @Test func `a header is demanded before its payload`() throws {
    var scanner = framing.makeScanner()
    #expect(try scanner.demand(in: []) == .atLeast(1))
    #expect(try scanner.demand(in: [0xf9]) == .atLeast(3))
    #expect(try scanner.demand(in: [0xf9, 0x00]) == .atLeast(3))
    #expect(
      try scanner.demand(in: [0xf9, 0x00, 0x01]) == .frame(byteCount: 2292, payload: 3..<2292))
  }

  @Test func `the scanner takes no memory`() {
    #expect(MemoryLayout<VarIntFraming.Scanner>.size == 0)
  }

  @Test func `the laws are kept`() throws {
    let lengths = [0, 1, 2, 239, 240, 241, 495, 496, 2287, 2288, 2289, 67823, 67824]
    try checkFraming(
      .varInt, messages: lengths.map(payload(byteCount:)), measuresTime: !isSanitized,
      largeMessage: payload(byteCount:))
  }
}

extension VarIntVectors.Stream {
  var declaresTheUncountable: Bool { wire.bytes.starts(with: [0xff, 0xff]) }
}

/// A payload in which every byte's place can be told from its neighbours.
func payload(byteCount: Int) -> [UInt8] {
  makeBytes(byteCount) { index in UInt8(truncatingIfNeeded: index ^ index >> 8) }
}
