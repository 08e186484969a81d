import SWFraming

/// The varint framing as a framing whose message is not its payload: frames are handed over whole, with their scanner.
/// Scanner, decoder and encoder let others run. They are called outside every lock, so whatever happens meanwhile must do no
/// harm.
struct SimulatedFraming: Framing {
  unowned let world: EndpointWorld

  func makeScanner() -> Scanner { Scanner(world: world) }

  struct Scanner: FrameScanner {
    unowned let world: EndpointWorld
    private var scanner = VarIntFraming.Scanner()

    init(world: EndpointWorld) { self.world = world }

    mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      world.interlude(.runInsideScanner)
      return try scanner.demand(in: received)
    }
  }

  func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Scanner
  ) throws -> [UInt8] {
    world.interlude(.runInsideScanner)
    return payload.map { frame[$0] }
  }

  func encode(_ message: [UInt8], into parts: inout FrameParts) throws {
    try VarIntFraming().encode(message, into: &parts)
  }
}

/// The same as a byte framing. Its payloads are lent, copied or assembled.
struct SimulatedByteFraming: ByteFraming {
  unowned let world: EndpointWorld

  func makeScanner() -> SimulatedFraming.Scanner { SimulatedFraming.Scanner(world: world) }

  func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    try VarIntFraming().envelope(for: payload)
  }
}
