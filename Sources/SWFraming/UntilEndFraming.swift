/// Everything until the end of the stream as one message, such as the body of an HTTP/1.0 response.
///
/// ```
///   ╭─ payload ─────────╮
///   │ h e l l o …       │ end of the stream
///   ╰───────────────────╯
/// ```
///
/// A stream without bytes holds no message. The sender sends one message and ends the stream behind it: what is sent
/// later belongs to the same message.
///
/// Source: RFC 9112, section 6.3, "Message Body Length", case 8.
public struct UntilEndFraming: ByteFraming {
  @inlinable
  public init() {}

  @inlinable
  public func makeScanner() -> Scanner { Scanner() }

  /// - Throws: ``FramingError`` for an empty payload, which no receiver could see.
  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    if payload.isEmpty {
      throw FramingError(
        .unrepresentable, offset: 0, explanation: "expected at least one byte; found an empty payload")
    }
    return FrameEnvelope()
  }

  /// Asks for more until the stream ends.
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
  /// Everything until the end of the stream as one payload.
  @inlinable
  public static var untilEnd: UntilEndFraming { UntilEndFraming() }
}
