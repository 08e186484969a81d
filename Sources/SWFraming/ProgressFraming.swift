/// Any framing that tells how far its frames have come: long ones are asked for in pieces, and of sent ones
/// it tells what the transport has accepted. The bytes on the wire are those of the framing inside.
///
/// ```
///   ╭── piece ──┬── piece ──┬── pie ─╮
///   │ header  payload                │      .atLeast(piece), .atLeast(2 * piece), .frame(…)
///   ╰────────────────────────────────╯
/// ```
///
/// The functions are told bytes of the frame, header and trailer included, and the frame's length. Receiving,
/// that begins once the length is known, so a framing that searches for its frame's end tells next to
/// nothing; what comes after the last piece's begin is the message itself. They are called outside every lock
/// and must not call the endpoint. A framing of payloads gives up that a large one is received straight into
/// its array: it is copied once.
public struct ProgressFraming<Base: Framing>: Framing {
  public let base: Base
  /// How long a piece is, in bytes.
  public let pieceByteCount: Int
  @usableFromInline let received: (@Sendable (_ count: Int, _ total: Int) -> Void)?
  @usableFromInline let sent: (@Sendable (_ count: Int, _ total: Int) -> Void)?

  @inlinable
  public init(
    _ base: Base, every pieceByteCount: Int = 65_536,
    received: (@Sendable (_ count: Int, _ total: Int) -> Void)? = nil,
    sent: (@Sendable (_ count: Int, _ total: Int) -> Void)? = nil
  ) {
    precondition(pieceByteCount > 0, "a piece has at least one byte")
    self.base = base
    self.pieceByteCount = pieceByteCount
    self.received = received
    self.sent = sent
  }

  @inlinable
  public func makeScanner() -> Scanner {
    Scanner(base: base.makeScanner(), pieceByteCount: pieceByteCount, received: received)
  }

  @inlinable
  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Scanner
  ) throws -> Base.Incoming {
    try base.decode(frame, payload: payload, scanned: scanned.base)
  }

  @inlinable
  public func encode(_ message: Base.Outgoing, into parts: inout FrameParts) throws {
    try base.encode(message, into: &parts)
  }

  @inlinable
  public func didSend(count: Int, of total: Int) {
    base.didSend(count: count, of: total)
    sent?(count, total)
  }

  @inlinable
  public var observesSending: Bool { sent != nil || base.observesSending }

  @inlinable
  public var needsDatagrams: Bool { base.needsDatagrams }

  @inlinable
  public func decode(filling bytes: Span<UInt8>) throws -> Base.Incoming { try base.decode(filling: bytes) }

  /// Asks in pieces for the frame that the scanner inside has found.
  public struct Scanner: FrameScanner {
    @usableFromInline var base: Base.Scanner
    @usableFromInline let pieceByteCount: Int
    @usableFromInline let received: (@Sendable (_ count: Int, _ total: Int) -> Void)?
    /// What the base has demanded at last: once it has, it must not be asked again.
    @usableFromInline var whole: FrameDemand?

    @inlinable
    init(
      base: Base.Scanner, pieceByteCount: Int,
      received: (@Sendable (_ count: Int, _ total: Int) -> Void)?
    ) {
      self.base = base
      self.pieceByteCount = pieceByteCount
      self.received = received
    }

    @inlinable
    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      let whole: FrameDemand
      if let known = self.whole {
        whole = known
      } else {
        let demand = try base.demand(in: received)
        guard demand.isFinal, self.received != nil else { return demand }
        self.whole = demand
        whole = demand
      }
      self.received?(min(received.count, whole.byteCount), whole.byteCount)
      // On a grid, so that demands do not run ahead of the bytes: the next border behind what is there.
      let next = (received.count / pieceByteCount &+ 1).multipliedReportingOverflow(by: pieceByteCount)
      return next.overflow || next.partialValue >= whole.byteCount ? whole : .atLeast(next.partialValue)
    }

    @inlinable
    public mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
      whole == nil ? try base.atEnd(of: received) : .incomplete
    }
  }
}

extension ProgressFraming: ByteFraming where Base: ByteFraming {
  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    try base.envelope(for: payload)
  }
}

extension Framing {
  /// This framing, telling how far its frames have come.
  ///
  /// - Parameters:
  ///   - pieceByteCount: how many bytes to ask for at a time, at least 1.
  ///   - received: told how many bytes of a frame are there, and its length.
  ///   - sent: told how many bytes of a frame the transport has accepted, and its length.
  @inlinable
  public func progress(
    every pieceByteCount: Int = 65_536,
    received: (@Sendable (_ count: Int, _ total: Int) -> Void)? = nil,
    sent: (@Sendable (_ count: Int, _ total: Int) -> Void)? = nil
  ) -> ProgressFraming<Self> {
    ProgressFraming(self, every: pieceByteCount, received: received, sent: sent)
  }
}
