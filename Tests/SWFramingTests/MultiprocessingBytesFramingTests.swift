import SWTesting
import TestSupport
import Testing

@testable import SWFraming

@Suite(.lastResort, .leavesNothing) struct MultiprocessingBytesFramingTests {
  let framing: MultiprocessingBytesFraming = .multiprocessingBytes

  @Test(arguments: MultiprocessingVectors.golden.sendBytes)
  func `a message becomes the frame that Python writes, and back`(
    _ golden: MultiprocessingVectors.Frame
  ) throws {
    let payload = golden.payload.bytes
    #expect(payload.count == golden.length)
    let frame = try framing.frame(of: payload)
    #expect(frame == golden.frame.bytes)
    let (messages, end) = try readByHand(framing, chunks: [frame])
    #expect(messages == [payload])
    #expect(end == .betweenFrames)
  }

  @Test(arguments: MultiprocessingVectors.golden.longHeaders)
  func `the header of a message that is too large for a test is Python's`(
    _ golden: MultiprocessingVectors.LongHeader
  ) throws {
    let header = golden.header.bytes
    #expect(MultiprocessingBytesFraming.header(forByteCount: golden.length).array == header)
    let end = header.count + Int(golden.length)
    #expect(try framing.demand(in: header) == .frame(byteCount: end, payload: header.count..<end))
  }

  @Test(arguments: MultiprocessingVectors.golden.recv.filter { !$0.hasNegativeLength })
  func `a stream gives the messages that Python sees, and its end inside a frame is one`(
    _ golden: MultiprocessingVectors.Stream
  ) throws {
    let wire = golden.wire.bytes
    for lengths in [[], wire.map { _ in 1 }, [5, 3, 6]] {
      let (messages, end) = try readByHand(framing, chunks: wire.cut(into: lengths))
      #expect(messages == golden.connection.messages.map(\.bytes))
      #expect(messages == golden.socketwrapper.messages.map(\.bytes))
      // Where `Connection` sees a clean end behind a header, we do not, and neither does socketwrapper.
      let rest = golden.socketwrapper.partial.bytes
      #expect(end == (rest.isEmpty ? .betweenFrames : .insideFrame(rest)))
    }
  }

  // Where we differ: Python reads an empty message.
  @Test(arguments: MultiprocessingVectors.golden.recv.filter(\.hasNegativeLength))
  func `a negative length is refused, where Python reads an empty message`(
    _ golden: MultiprocessingVectors.Stream
  ) throws {
    #expect(golden.connection.messages.first?.bytes == [])
    let (messages, end) = try readByHand(framing, chunks: golden.wire.bytes.map { [$0] })
    #expect(messages.isEmpty)
    guard case .refused(let error) = end else {
      Issue.record("not refused: \(end)")
      return
    }
    #expect(error.kind == .malformedHeader)
    #expect(error.offset == 0)
  }

  @Test(arguments: MultiprocessingVectors.golden.hostile)
  func `a hostile length is refused, or limited by the endpoint`(
    _ golden: MultiprocessingVectors.Hostile
  ) throws {
    if let declared = Int(golden.declared), declared >= 0, declared <= Int.max - 12 {
      // For an endpoint to refuse, which knows its limit; the demand itself reserves nothing.
      #expect(
        try framing.demand(in: golden.wire.bytes)
          == .frame(byteCount: 12 + declared, payload: 12..<(12 + declared)))
      return
    }
    let error = #expect(throws: FramingError.self) { try framing.demand(in: golden.wire.bytes) }
    if let declared = UInt64(golden.declared) {
      #expect(error?.kind == .tooLarge(declared: declared, limit: UInt64(Int.max - 12)))
      #expect(error?.offset == 4)
    } else {
      #expect(error?.kind == .malformedHeader)
      #expect(error?.explanation.hasSuffix("found \(golden.declared)") == true)
    }
  }

  @Test(arguments: MultiprocessingVectors.golden.transcripts)
  func `a handshake of two Pythons lies in ordinary frames`(
    _ golden: MultiprocessingVectors.Transcript
  ) throws {
    for write in golden.wire {
      let (messages, end) = try readByHand(framing, chunks: [write.bytes])
      #expect(messages.count == 1)
      #expect(end == .betweenFrames)
    }
  }

  @Test func `a header is demanded before its payload`() throws {
    #expect(try framing.demand(in: []) == .atLeast(4))
    #expect(try framing.demand(in: [0xff, 0xff, 0xff]) == .atLeast(4))
    #expect(try framing.demand(in: [0xff, 0xff, 0xff, 0xff]) == .atLeast(12))
    #expect(
      try framing.demand(in: [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 2])
        == .frame(byteCount: 14, payload: 12..<14))
  }

  @Test func `the laws are kept`() throws {
    try checkFraming(
      framing, messages: [0, 1, 2, 3, 4, 255, 256, 65_535, 65_536].map(payload(byteCount:)),
      measuresTime: !isSanitized, largeMessage: payload(byteCount:))
  }
}
