/// Records that all have the same length, back to back: nothing is written around them.
///
/// ```
///   ╭─ record ──╮╭─ record ──╮
///   │ h e l l o ││ w o r l d │     .fixedSize(5)
///   ╰───────────╯╰───────────╯
/// ```
///
/// A payload of any other length is refused when it is to be sent. An end of the stream inside a record is an
/// end inside a frame.
///
/// Source: none; a file or a stream of C structures, say.
public struct FixedSizeFraming: ByteFraming {
  /// The length of each record, in bytes.
  public let byteCount: Int

  /// - Parameter byteCount: the length of each record, at least 1: of records that have no bytes, a stream
  ///   holds as many as one likes.
  @inlinable
  public init(_ byteCount: Int) {
    precondition(byteCount > 0, "a record has at least one byte")
    self.byteCount = byteCount
  }

  @inlinable
  public func makeScanner() -> Scanner { Scanner(byteCount: byteCount) }

  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    guard payload.count == byteCount else { throw wrongSize(payload.count) }
    return FrameEnvelope()
  }

  @usableFromInline
  func wrongSize(_ found: Int) -> FramingError {
    FramingError(
      .unrepresentable, offset: min(found, byteCount),
      explanation: "expected a record of \(byteCount) bytes; found \(found)")
  }

  /// Knows everything from the start.
  public struct Scanner: FrameScanner {
    @usableFromInline let byteCount: Int

    @inlinable
    init(byteCount: Int) { self.byteCount = byteCount }

    @inlinable
    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      .frame(byteCount: byteCount, payload: 0..<byteCount)
    }
  }
}

extension Framing where Self == FixedSizeFraming {
  /// Records of `byteCount` bytes each, at least 1, with nothing around them.
  @inlinable
  public static func fixedSize(_ byteCount: Int) -> FixedSizeFraming { FixedSizeFraming(byteCount) }
}
