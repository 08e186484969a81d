import SWFraming
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct VarIntTests {
  @Test(arguments: VarIntVectors.golden.encode)
  func `a value is encoded as Python encodes it, and decoded again`(
    _ golden: VarIntVectors.Encoding
  ) throws {
    let bytes = VarInt.encode(golden.value.value).array
    #expect(bytes == golden.hex.bytes)
    let decoded = try #require(VarInt.decode(bytes))
    #expect(decoded == (golden.value.value, bytes.count))
    #expect(VarInt.byteCount(startingWith: bytes[0]) == bytes.count)
  }

  @Test(arguments: VarIntVectors.golden.decodeNoncanonical)
  func `an overlong encoding is decoded, and not written`(_ golden: VarIntVectors.Overlong) throws {
    let bytes = golden.hex.bytes
    let decoded = try #require(VarInt.decode(bytes))
    #expect(decoded == (golden.value.value, bytes.count))
    #expect(VarInt.encode(decoded.value).array == golden.canonicalHex.bytes)
  }

  @Test(arguments: VarIntVectors.golden.headerLength)
  func `the first byte tells the length`(_ golden: VarIntVectors.HeaderLength) {
    #expect(VarInt.byteCount(startingWith: golden.firstByte.bytes[0]) == golden.total)
  }

  @Test func `lengths grow with the first byte, from one to nine`() {
    let lengths = (0...255).map { first in VarInt.byteCount(startingWith: UInt8(first)) }
    #expect(lengths == lengths.sorted())
    #expect(Set(lengths) == Set(1...VarInt.longestByteCount))
  }

  @Test(arguments: VarIntVectors.golden.encode)
  func `an encoding cut short is not decoded`(_ golden: VarIntVectors.Encoding) {
    for count in golden.hex.bytes.indices {
      #expect(VarInt.decode(Array(golden.hex.bytes.prefix(count))) == nil)
    }
  }

  @Test(arguments: VarIntVectors.golden.encode)
  func `what follows an encoding is left alone`(_ golden: VarIntVectors.Encoding) throws {
    let followed = golden.hex.bytes + [0xff, 0xff]
    let decoded = try #require(VarInt.decode(followed))
    #expect(decoded == (golden.value.value, golden.hex.bytes.count))
  }

  @Test func `encodings sort like their values`() {
    let values = VarIntVectors.golden.encode.map(\.value.value).sorted()
    let encodings = values.map { value in VarInt.encode(value).array }
    for (smaller, larger) in zip(encodings, encodings.dropFirst()) {
      #expect(smaller == larger || smaller.lexicographicallyPrecedes(larger))
    }
  }

  @Test(arguments: zip([240, 2287, 67823] + (3...7).map { UInt64(1) << (8 * $0) - 1 }, 1...8))
  func `the last value of a length is followed by the first of the next`(
    _ last: UInt64, byteCount: Int
  ) {
    #expect(VarInt.encode(last).count == byteCount)
    #expect(VarInt.encode(last + 1).count == byteCount + 1)
  }

  @Test func `what Python refuses to encode is no UInt64`() {
    #expect(VarIntVectors.golden.encodeErrors.count == 5)
    for refused in VarIntVectors.golden.encodeErrors { #expect(UInt64(refused.value) == nil) }
  }
}
