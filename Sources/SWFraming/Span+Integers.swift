extension Span<UInt8> {
  /// The integer that `byteCount` bytes from `start` on are, the most significant first.
  @inlinable
  func bigEndian(from start: Int, byteCount: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in start..<(start &+ byteCount) { value = value << 8 | UInt64(self[index]) }
    return value
  }

  /// The integer that `byteCount` bytes from `start` on are, the least significant first.
  @inlinable
  func littleEndian(from start: Int, byteCount: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in (start..<(start &+ byteCount)).reversed() { value = value << 8 | UInt64(self[index]) }
    return value
  }
}
