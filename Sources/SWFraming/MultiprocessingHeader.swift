/// The length before each message of Python's `multiprocessing.connection`.
///
/// ```
///   ╭─ int32 ─────╮
///   │ 00 00 00 05 │                               0 … 2^31-1
///   │ ff ff ff ff │ 00 00 00 00 80 00 00 05 │     more: -1, then a uint64
///   ╰─────────────╯
/// ```
///
/// Both numbers are big-endian. The long form is written only where it is needed, and read with any length.
///
/// Source: CPython 3.13, `Lib/multiprocessing/connection.py` (`Connection._send_bytes`, `_recv_bytes`).
enum MultiprocessingHeader {
  static func encode(byteCount: Int) -> ShortBytes {
    var header = ShortBytes()
    if byteCount <= 0x7fff_ffff {
      header.append(bigEndian: UInt64(byteCount), byteCount: 4)
    } else {
      header.append(bigEndian: 0xffff_ffff, byteCount: 4)
      header.append(bigEndian: UInt64(byteCount), byteCount: 8)
    }
    return header
  }

  /// What is demanded of a frame that begins with these bytes.
  static func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
    guard received.count >= 4 else { return .atLeast(4) }
    let short = number(received, 0..<4)
    if short <= 0x7fff_ffff { return .frame(byteCount: 4 + Int(short), payload: 4..<(4 + Int(short))) }
    guard short == 0xffff_ffff else {
      throw FramingError(
        .malformedHeader, offset: 0,
        explanation: "expected a length, or -1 and a long one; found \(Int32(truncatingIfNeeded: short))")
    }
    guard received.count >= 12 else { return .atLeast(12) }
    let long = number(received, 4..<12)
    let limit = UInt64(Int.max - 12)
    if long > limit {
      throw FramingError(
        .tooLarge(declared: long, limit: limit), offset: 4,
        explanation: "the long header declares a payload that no Int can count")
    }
    return .frame(byteCount: 12 + Int(long), payload: 12..<(12 + Int(long)))
  }

  private static func number(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt64 {
    var number: UInt64 = 0
    for index in range { number = number << 8 | UInt64(bytes[index]) }
    return number
  }

  /// Holds no state: a header is at most twelve bytes and lies at the frame's start.
  struct Scanner: FrameScanner {
    func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      try MultiprocessingHeader.demand(in: received)
    }
  }
}
