/// SQLite4's variable-length integer: 1 to 9 bytes for 0 to 2^64-1. The first byte gives the length.
///
/// ```
///   00 … f0                      1 byte    the byte itself                     … 240
///   f1 … f8  B                   2 bytes   240 + 256 × (first byte − f1) + B   … 2287
///   f9  B  C                     3 bytes   2288 + big-endian BC                … 67823
///   fa  B  C  D                  4 bytes   big-endian BCD                      … 2^24-1
///   fb  B  C  D  E               5 bytes   big-endian BCDE                     … 2^32-1
///    ⋮                           ⋮
///   ff  B  C  D  E  F  G  H  I   9 bytes   big-endian BCDEFGHI                 … 2^64-1
/// ```
///
/// The encoder writes the shortest form, so that encoded integers sort like the integers. The decoder also accepts
/// longer forms, such as `f100` for 240 or `ff0000000000000000` for 0, as Python does.
///
/// Source: SQLite4's design document, <https://sqlite.org/src4/doc/trunk/www/varint.wiki>. Python's socketwrapper
/// 0.2.0 wrote the golden data of the tests.
public enum VarInt {
  /// The length of the longest encoding, in bytes.
  @inlinable public static var longestByteCount: Int { 9 }

  /// The length of an encoding in bytes, from its first byte.
  @inlinable
  public static func byteCount(startingWith first: UInt8) -> Int {
    switch first {
    case ...0xf0: 1
    case ...0xf8: 2
    default: Int(first &- 0xf6)
    }
  }

  /// The shortest encoding of a value.
  @inlinable
  public static func encode(_ value: UInt64) -> ShortBytes {
    var bytes = ShortBytes()
    switch value {
    case ...240:
      bytes.append(UInt8(truncatingIfNeeded: value))
    case ...2287:
      let rest = value &- 240
      bytes.append(0xf1 &+ UInt8(truncatingIfNeeded: rest >> 8))
      bytes.append(UInt8(truncatingIfNeeded: rest))
    case ...67823:
      bytes.append(0xf9)
      bytes.append(bigEndian: value &- 2288, byteCount: 2)
    default:
      let byteCount = 8 &- value.leadingZeroBitCount / 8
      bytes.append(0xf7 &+ UInt8(truncatingIfNeeded: byteCount))
      bytes.append(bigEndian: value, byteCount: byteCount)
    }
    return bytes
  }

  /// Decodes the value at the start of `bytes`.
  ///
  /// - Returns: the value and the length of its encoding; nil if the encoding is not complete. If there is a first
  ///   byte, ``byteCount(startingWith:)`` then gives the length.
  @inlinable
  public static func decode(_ bytes: Span<UInt8>) -> (value: UInt64, byteCount: Int)? {
    if bytes.isEmpty { return nil }
    let first = bytes[0]
    if first <= 0xf0 { return (UInt64(first), 1) }  // the most frequent by far

    let byteCount = byteCount(startingWith: first)
    guard byteCount <= bytes.count else { return nil }
    var rest: UInt64 = 0
    for index in 1..<byteCount { rest = rest << 8 | UInt64(bytes[index]) }
    switch first {
    case ...0xf8: return (240 &+ UInt64(first &- 0xf1) << 8 &+ rest, byteCount)
    case 0xf9: return (2288 &+ rest, byteCount)
    default: return (rest, byteCount)
    }
  }
}
