extension FrameDemand {
  /// Returns the demand of a header, a payload of a declared length, and no trailer.
  ///
  /// - Parameter offset: the offset of the length in the header, for the error.
  /// - Throws: ``FramingError/Kind/tooLarge(declared:limit:)`` when no `Int` can count the frame.
  @inlinable
  static func frame(
    header: Int, payloadByteCount length: UInt64, lengthAt offset: Int
  ) throws(FramingError) -> FrameDemand {
    guard length <= UInt64(Int.max &- header) else {
      throw FramingError.uncountable(length, header: header, at: offset)
    }
    let end = header &+ Int(truncatingIfNeeded: length)
    return .frame(byteCount: end, payload: header..<end)
  }
}

extension FramingError {
  /// Not inlined, because it is rare and long.
  @usableFromInline
  static func uncountable(_ length: UInt64, header: Int, at offset: Int) -> FramingError {
    let limit = UInt64(Int.max - header)
    return FramingError(
      .tooLarge(declared: length, limit: limit), offset: offset,
      explanation: "the header declares a payload that no Int can count")
  }
}
