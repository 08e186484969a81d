import SWFraming
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct FramePartsTests {
  @Test func `short pieces are gathered in one part`() {
    var parts = FrameParts()
    parts.append(1)
    parts.append([2, 3] as ShortBytes)
    parts.append([4, 5] as [UInt8])
    let more: [UInt8] = [6]
    parts.append(copying: more.span)
    #expect(parts.byteCount == 6)
    #expect(parts.bytes == [1, 2, 3, 4, 5, 6])
    #expect(parts.finish() == [[1, 2, 3, 4, 5, 6]])
  }

  @Test func `a long array is retained, between what stands before and after`() {
    let long = payload(byteCount: 5000)
    var parts = FrameParts()
    parts.append([1, 2] as ShortBytes)
    parts.append(long)
    parts.append(3)
    #expect(parts.byteCount == 5003)
    #expect(parts.bytes == [1, 2] + long + [3])

    let finished = parts.finish()
    #expect(finished == [[1, 2], long, [3]])
    #expect(unsafe address(of: finished[1]) == address(of: long))
  }

  @Test(arguments: [0, 1, 1023, 1024, 1025, 3000])
  func `no part is empty`(_ count: Int) {
    var parts = FrameParts()
    parts.append([] as ShortBytes)
    parts.append(payload(byteCount: count))
    parts.append(payload(byteCount: count))
    parts.append([] as ShortBytes)
    #expect(parts.byteCount == 2 * count)
    let finished = parts.finish()
    #expect(finished.allSatisfy { part in !part.isEmpty })
    #expect(Array(finished.joined()) == payload(byteCount: count) + payload(byteCount: count))
  }

  @Test(arguments: [0, 1, 1023, 1024, 3000], [0, 1, 1023, 1024, 3000])
  func `what a failed encoding has appended is taken off again`(_ kept: Int, _ failed: Int) {
    var parts = FrameParts()
    parts.append([9, 9] as ShortBytes)
    parts.append(payload(byteCount: kept))
    let end = parts.byteCount
    parts.append([1, 2, 3] as ShortBytes)
    parts.append(payload(byteCount: failed))
    parts.append(4)
    parts.truncate(to: end)
    #expect(parts.bytes == [9, 9] + payload(byteCount: kept))
    parts.append(5)
    #expect(parts.byteCount == end + 1)
    #expect(parts.bytes == [9, 9] + payload(byteCount: kept) + [5])
  }

  @Test(arguments: [0, 1, 900, 1023, 1024, 3000])
  func `a payload in its envelope lies between header and trailer`(_ count: Int) {
    var parts = FrameParts()
    parts.append(7)
    parts.append(payload(byteCount: count), in: FrameEnvelope(header: [1, 2], trailer: [3]))
    #expect(parts.bytes == [7, 1, 2] + payload(byteCount: count) + [3])
    #expect(parts.byteCount == count + 4)
  }

  private func address(of bytes: [UInt8]) -> UnsafePointer<UInt8>? {
    unsafe bytes.withUnsafeBufferPointer { buffer in buffer.baseAddress }
  }
}
