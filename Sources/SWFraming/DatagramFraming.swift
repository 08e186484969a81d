/// The framing for transports that carry datagrams: a message is exactly one datagram, with nothing around it. An
/// empty datagram is an empty message.
///
/// ```
///   68 65 6c 6c 6f       "hello"
///                        the empty message
/// ```
///
/// A stream has no datagrams: over a stream, sending and receiving throw ``FramingError/Kind/needsDatagrams``.
/// Other framings also work over datagrams; each datagram must then hold exactly one frame.
public struct DatagramFraming: ByteFraming {
  @inlinable
  public init() {}

  @inlinable
  public var needsDatagrams: Bool { true }

  @inlinable
  public func makeScanner() -> Scanner { Scanner() }

  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope { FrameEnvelope() }

  public func decode(filling bytes: Span<UInt8>) throws -> [UInt8] {
    unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
  }

  /// The scanner. It throws, because a stream has no datagrams.
  public struct Scanner: FrameScanner {
    @inlinable
    init() {}

    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      throw FramingError(.needsDatagrams, offset: 0)
    }
  }
}

extension Framing where Self == DatagramFraming {
  /// Messages that are datagrams.
  @inlinable
  public static var datagram: DatagramFraming { DatagramFraming() }
}
