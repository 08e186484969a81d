import SWFraming
import SWTesting
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct FixedSizeFramingTests {
  @Test func `records lie back to back`() throws {
    let (messages, end) = try readByHand(
      FixedSizeFraming.fixedSize(3), chunks: Array("onetwosi".utf8).cut(into: [1, 4]))
    #expect(messages == [Array("one".utf8), Array("two".utf8)])
    #expect(end == .insideFrame(Array("si".utf8)))
  }

  @Test(arguments: [0, 2, 4])
  func `a payload of another size is not sent`(_ byteCount: Int) {
    let error = #expect(throws: FramingError.self) {
      try FixedSizeFraming(3).frame(of: payload(byteCount: byteCount))
    }
    #expect(error?.kind == .unrepresentable)
    #expect(error?.offset == min(byteCount, 3))
    #expect(error?.explanation == "expected a record of 3 bytes; found \(byteCount)")
  }

  @Test(arguments: [1, 2, 100, 5000])
  func `the laws are kept`(_ byteCount: Int) throws {
    try checkFraming(
      .fixedSize(byteCount), messages: Array(repeating: payload(byteCount: byteCount), count: 3))
  }
}
