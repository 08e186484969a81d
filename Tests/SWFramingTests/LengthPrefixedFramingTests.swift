import SWFraming
import SWTesting
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct LengthPrefixedFramingTests {
  typealias Width = LengthPrefixedFraming.Width
  typealias ByteOrder = LengthPrefixedFraming.ByteOrder

  static let hello: [UInt8] = Array("hello".utf8)

  static let frames: [(framing: LengthPrefixedFraming, header: [UInt8])] = [
    (.lengthPrefixed(.uint8), [5]),
    (.lengthPrefixed(.uint16), [0, 5]),
    (.lengthPrefixed(.uint16, byteOrder: .littleEndian), [5, 0]),
    (.lengthPrefixed(.uint32), [0, 0, 0, 5]),
    (.lengthPrefixed(.uint32, byteOrder: .littleEndian), [5, 0, 0, 0]),
    (.lengthPrefixed(.uint64), [0, 0, 0, 0, 0, 0, 0, 5]),
    (.lengthPrefixed(.uint64, byteOrder: .littleEndian), [5, 0, 0, 0, 0, 0, 0, 0]),
    (.lengthPrefixed(.uint8, countsHeader: true), [6]),
    (.lengthPrefixed(.uint16, countsHeader: true), [0, 7]),
    (.lengthPrefixed(.uint32, byteOrder: .littleEndian, countsHeader: true), [9, 0, 0, 0]),
    (.lengthPrefixed(.uint64, countsHeader: true), [0, 0, 0, 0, 0, 0, 0, 13]),
  ]

  @Test(arguments: frames)
  func `the length stands before the payload`(_ framing: LengthPrefixedFraming, _ header: [UInt8]) throws {
    let frame = try framing.frame(of: Self.hello)
    #expect(frame == header + Self.hello)
    let (messages, end) = try readByHand(framing, chunks: (frame + frame).map { [$0] })
    #expect(messages == [Self.hello, Self.hello])
    #expect(end == .betweenFrames)
  }

  @Test(arguments: [Width.uint8, .uint16], [false, true])
  func `what the length cannot count is not sent`(_ width: Width, _ countsHeader: Bool) throws {
    let framing = LengthPrefixedFraming(width, countsHeader: countsHeader)
    let largest = (1 << (8 * width.rawValue)) - 1 - (countsHeader ? width.rawValue : 0)
    #expect(framing.largestPayload == UInt64(largest))
    #expect(try framing.frame(of: payload(byteCount: largest)).count == largest + width.rawValue)
    let error = #expect(throws: FramingError.self) { try framing.frame(of: payload(byteCount: largest + 1)) }
    #expect(error?.kind == .unrepresentable)
    #expect(error?.offset == largest)
  }

  @Test(arguments: Width.allCases, ByteOrder.allCases)
  func `a length that does not count its own header is refused, where it should`(
    _ width: Width, _ byteOrder: ByteOrder
  ) throws {
    let framing = LengthPrefixedFraming(width, byteOrder: byteOrder, countsHeader: true)
    for length in 0..<width.rawValue {
      var header = Array(repeating: UInt8(0), count: width.rawValue)
      header[byteOrder == .bigEndian ? width.rawValue - 1 : 0] = UInt8(length)
      var scanner = framing.makeScanner()
      let error = #expect(throws: FramingError.self) { try scanner.demand(in: header) }
      #expect(error?.kind == .malformedHeader)
      #expect(error?.explanation.hasSuffix("found \(length)") == true)
    }
  }

  @Test func `a length that no Int can count is refused`() {
    var scanner = LengthPrefixedFraming(.uint64).makeScanner()
    let error = #expect(throws: FramingError.self) {
      try scanner.demand(in: Array(repeating: 0xff, count: 8))
    }
    #expect(error?.kind == .tooLarge(declared: .max, limit: UInt64(Int.max - 8)))
  }

  @Test(arguments: Width.allCases, [false, true])
  func `the laws are kept`(_ width: Width, _ countsHeader: Bool) throws {
    for byteOrder in ByteOrder.allCases {
      let framing = LengthPrefixedFraming(width, byteOrder: byteOrder, countsHeader: countsHeader)
      let lengths = [0, 1, 2, 127, 128, 247, 248, 255, 256, 5000].filter {
        UInt64($0) <= framing.largestPayload
      }
      try checkFraming(
        framing, messages: lengths.map(payload(byteCount:)), hostileInputs: 300, measuresTime: !isSanitized,
        largeMessage: { UInt64($0) <= framing.largestPayload ? payload(byteCount: $0) : nil })
    }
  }
}
