/// Records of one length, one directly after another.
///
/// ```
///   ╭─ record ──╮╭─ record ──╮
///   │ h e l l o ││ w o r l d │     .fixedSize(5)
///   ╰───────────╯╰───────────╯
/// ```
///
/// Sending refuses a payload of any other length. If the stream ends inside a record, it ends inside a frame.
///
/// Source: none; files and streams of C structures have this form.
public struct FixedSizeFraming: ByteFraming {
  /// The length of each record, in bytes.
  public let byteCount: Int

  /// A framing with records of one length.
  ///
  /// - Parameter byteCount: the length of each record in bytes, at least 1.
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

  /// The scanner. It knows the length of a frame without reading a byte.
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
  /// Records of `byteCount` bytes each, at least 1.
  @inlinable
  public static func fixedSize(_ byteCount: Int) -> FixedSizeFraming { FixedSizeFraming(byteCount) }
}
