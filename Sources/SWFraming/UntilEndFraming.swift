/// All bytes until the end of the stream as one message, such as the body of an HTTP/1.0 response.
///
/// ```
///   ╭─ payload ─────────╮
///   │ h e l l o …       │ end of the stream
///   ╰───────────────────╯
/// ```
///
/// A stream without bytes has no message. The sender sends one message and then ends the stream; bytes that it
/// sends later would belong to the same message.
///
/// The message has fewer bytes than the endpoint's `maximumFrameSize`. One byte more is demanded until the stream ends, and the
/// demand counts.
///
/// Source: RFC 9112, section 6.3, "Message Body Length", case 8.
public struct UntilEndFraming: ByteFraming {
  @inlinable
  public init() {}

  @inlinable
  public func makeScanner() -> Scanner { Scanner() }

  /// Returns an empty header and an empty trailer.
  ///
  /// - Throws: ``FramingError`` for an empty payload, which a receiver could not see.
  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    if payload.isEmpty {
      throw FramingError(
        .unrepresentable, offset: 0, explanation: "expected at least one byte; found an empty payload")
    }
    return FrameEnvelope()
  }

  /// The scanner. It demands more bytes until the stream ends.
  public struct Scanner: FrameScanner {
    @inlinable
    init() {}

    @inlinable
    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      .atLeast(received.count &+ 1)
    }

    @inlinable
    public mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
      received.isEmpty ? .nothing : .frame(.frame(byteCount: received.count, payload: 0..<received.count))
    }
  }
}

extension Framing where Self == UntilEndFraming {
  /// All bytes until the end of the stream as one payload.
  @inlinable
  public static var untilEnd: UntilEndFraming { UntilEndFraming() }
}
