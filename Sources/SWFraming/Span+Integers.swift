extension Span<UInt8> {
  /// The big-endian integer of `byteCount` bytes from `start` on.
  @inlinable
  func bigEndian(from start: Int, byteCount: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in start..<(start &+ byteCount) { value = value << 8 | UInt64(self[index]) }
    return value
  }

  /// The little-endian integer of `byteCount` bytes from `start` on.
  @inlinable
  func littleEndian(from start: Int, byteCount: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in (start..<(start &+ byteCount)).reversed() { value = value << 8 | UInt64(self[index]) }
    return value
  }
}
