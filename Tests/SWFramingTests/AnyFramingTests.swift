import SWFraming
import SWTesting
import Synchronization
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct AnyFramingTests {
  @Test func `an erased byte framing keeps the laws`() throws {
    try checkFraming(
      AnyByteFraming(.varInt), messages: [0, 1, 240, 241, 3000].map(payload(byteCount:)),
      measuresTime: !isSanitized, largeMessage: payload(byteCount:))
  }

  @Test func `an erased framing keeps the laws`() throws {
    try checkFraming(
      AnyFraming(.varInt), messages: [0, 1, 240, 241, 3000].map(payload(byteCount:)),
      measuresTime: !isSanitized, largeMessage: payload(byteCount:))
    try checkFraming(AnyFraming(TextLineFraming<Int, Int>()), messages: [0, -1, 10, .max])
  }

  @Test func `two sides may be erased and differ`() throws {
    let client = TextLineFraming<Int, String>()
    try checkFraming(
      AnyFraming(client), peer: AnyFraming(client.flipped), messages: [1, 22], isEqual: ==)
  }

  @Test(arguments: [0, 1, 2])
  func `framings of one kind are chosen at run time`(_ choice: Int) throws {
    let framings: [AnyFraming<[UInt8], [UInt8]>] = [
      AnyFraming(.varInt), AnyFraming(AnyByteFraming(.varInt)), AnyFraming(AnyFraming(.varInt)),
    ]
    let frame = try framings[choice].frame(of: [7, 8])
    #expect(frame == [2, 7, 8])
    let (messages, end) = try readByHand(framings[choice], chunks: frame.cut(into: [1, 1, 1]))
    #expect(messages == [[7, 8]])
    #expect(end == .betweenFrames)
  }

  @Test func `an erased byte framing gives the same envelope`() throws {
    let envelope = try AnyByteFraming(.varInt).envelope(for: payload(byteCount: 300).span)
    #expect(envelope.header.array == [0xf1, 60])
    #expect(envelope.trailer.isEmpty)
  }

  @Test func `sending is observed through the erasure`() {
    let progress = ProgressLog()
    let observed = VarIntFraming().progress(every: 10, log: progress)
    let framings: [any Framing] = [AnyFraming(observed), AnyByteFraming(observed)]
    for framing in framings {
      #expect(framing.observesSending)
      framing.didSend(count: 3, of: 4)
    }
    #expect(progress.entries == [.sent(3, of: 4), .sent(3, of: 4)])
    #expect(!AnyFraming(.varInt).observesSending)
    #expect(!AnyByteFraming(.varInt).observesSending)
  }

  @Test func `errors pass through the erasure`() {
    let lines = AnyFraming(TextLineFraming<String, String>())
    #expect(throws: FramingError(.unrepresentable, offset: 0)) { try lines.frame(of: "a\nb") }
    let numbers = AnyFraming(TextLineFraming<Int, String>())
    #expect(throws: TextLineFraming<Int, String>.NotReadable.self) {
      try readByHand(numbers, chunks: [Array("x\n".utf8)])
    }
  }
}
