internal import SWFraming

/// The messages of a handshake: those of `send_bytes`, of at most 256 bytes. A longer message is refused as soon as its
/// length is known.
struct HandshakeFraming: ByteFraming {
  /// The longest message, in bytes.
  static var longest: Int { 256 }

  func makeScanner() -> Scanner { Scanner() }

  func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    try MultiprocessingBytesFraming().envelope(for: payload)
  }

  struct Scanner: FrameScanner {
    private var base = MultiprocessingBytesFraming.Scanner()

    mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      let demand = try base.demand(in: received)
      if let payload = demand.payload, payload.count > HandshakeFraming.longest {
        throw FramingError(
          .tooLarge(declared: UInt64(payload.count), limit: UInt64(HandshakeFraming.longest)), offset: 0)
      }
      return demand
    }
  }
}
