import SWFraming
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct ShortBytesTests {
  @Test(arguments: [0, 1, 2, 62, 63])
  func `bytes come back in order`(_ count: Int) {
    let bytes = (0..<count).map { index in UInt8(index) }
    let short = ShortBytes(bytes)
    #expect(short.array == bytes)
    #expect(short.count == count)
    #expect(short.isEmpty == (count == 0))

    var appended = ShortBytes()
    for byte in bytes { appended.append(byte) }
    #expect(appended.array == bytes)
  }

  @Test(arguments: 0...8)
  func `an integer's low bytes are written in either order`(_ byteCount: Int) {
    let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
    var big = ShortBytes()
    big.append(bigEndian: 0x0102_0304_0506_0708, byteCount: byteCount)
    #expect(big.array == bytes.suffix(byteCount))

    var little = ShortBytes()
    little.append(littleEndian: 0x0102_0304_0506_0708, byteCount: byteCount)
    #expect(little.array == bytes.suffix(byteCount).reversed())
  }

  @Test func `more than there is room for traps`() async {
    await #expect(processExitsWith: .failure) {
      var short = ShortBytes(repeatElement(0, count: ShortBytes.capacity - 1))
      short.append(bigEndian: 0x0102, byteCount: 2)
    }
  }

  @Test func `a literal is its bytes`() {
    let short: ShortBytes = [0x0d, 0x0a]
    #expect(short.array == [0x0d, 0x0a])
  }

  @Test func `copies go their own ways`() {
    for count in [0, 1, ShortBytes.capacity - 1] {
      let original = ShortBytes(repeatElement(7, count: count))
      var copy = original
      copy.append(8)
      #expect(original.count == count)
      #expect(copy.array == original.array + [8])
    }
  }
}
