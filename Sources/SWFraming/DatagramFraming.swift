/// The bare form for transports that carry datagrams: a message is the datagram, with nothing around it. An empty
/// datagram is an empty message.
///
/// ```
///   68 65 6c 6c 6f       "hello"
///                        the empty message
/// ```
///
/// A stream has no datagrams: over one, sending and receiving throw ``FramingError/Kind/needsDatagrams``. Other
/// framings go over datagrams too: each datagram is one frame, and filled by it exactly.
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

  /// There is nothing to find in a stream.
  public struct Scanner: FrameScanner {
    @inlinable
    init() {}

    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      throw FramingError(.needsDatagrams, offset: 0)
    }
  }
}

extension Framing where Self == DatagramFraming {
  /// Datagrams as they are.
  @inlinable
  public static var datagram: DatagramFraming { DatagramFraming() }
}
