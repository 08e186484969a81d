import SWFraming
import SWTesting
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct ProtobufDelimitedFramingTests {
  let framing: ProtobufDelimitedFraming = .protobufDelimited

  /// From protobuf's encoding document: a byte and its rest, the low bits first.
  @Test(
    arguments: [
      (0, [0]), (1, [1]), (127, [0x7f]), (128, [0x80, 1]), (150, [0x96, 1]), (300, [0xac, 2]),
      (16_383, [0xff, 0x7f]), (16_384, [0x80, 0x80, 1]), (100_000, [0xa0, 0x8d, 6]),
    ] as [(Int, [UInt8])])
  func `the length is a protobuf varint`(_ byteCount: Int, _ header: [UInt8]) throws {
    let frame = try framing.frame(of: payload(byteCount: byteCount))
    #expect(frame == header + payload(byteCount: byteCount))
  }

  @Test(
    arguments: [[0x85, 0], [0x85, 0x80, 0], [0x85, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]]
      as [[UInt8]])
  func `an overlong length is accepted`(_ header: [UInt8]) throws {
    let (messages, end) = try readByHand(framing, chunks: (header + Array("hello".utf8)).map { [$0] })
    #expect(messages == [Array("hello".utf8)])
    #expect(end == .betweenFrames)
  }

  @Test(arguments: [2, 0x7f, 0x80, 0x81, 0xff] as [UInt8])
  func `more than 64 bits are refused at the tenth byte`(_ tenth: UInt8) {
    let error = #expect(throws: FramingError.self) {
      try framing.demand(in: Array(repeating: 0x80, count: 9) + [tenth])
    }
    #expect(error?.kind == .malformedHeader)
    #expect(error?.offset == 9)
  }

  @Test func `a length that no Int can count is refused`() {
    let error = #expect(throws: FramingError.self) {
      try framing.demand(in: Array(repeating: 0xff, count: 9) + [1])
    }
    #expect(error?.kind == .tooLarge(declared: .max, limit: UInt64(Int.max - 10)))
  }

  @Test func `a header is demanded byte by byte`() throws {
    #expect(try framing.demand(in: []) == .atLeast(1))
    #expect(try framing.demand(in: [0x80]) == .atLeast(2))
    #expect(try framing.demand(in: [0x80, 1]) == .frame(byteCount: 130, payload: 2..<130))
  }

  @Test func `the laws are kept`() throws {
    try checkFraming(
      framing, messages: [0, 1, 127, 128, 129, 16_383, 16_384].map(payload(byteCount:)),
      measuresTime: !isSanitized, largeMessage: payload(byteCount:))
  }
}
