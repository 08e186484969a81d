/// Any framing that also reports the progress of its frames. Long received frames are demanded in pieces; for sent
/// frames, the bytes are reported that the transport has accepted. The bytes are those of the inner framing.
///
/// ```
///   ╭── piece ──┬── piece ──┬── pie ─╮
///   │ header  payload                │      .atLeast(piece), .atLeast(2 * piece), .frame(…)
///   ╰────────────────────────────────╯
/// ```
///
/// The functions are called with a number of bytes of the frame, counting header and trailer, and with the frame's
/// length.
///
/// Receiving reports progress once the length is known, so a framing that searches for its frame's end reports
/// almost nothing. No call is made for the last piece; the message itself marks the end. Around a ``ByteFraming``,
/// a large payload is no longer received directly into its array: it is copied once.
///
/// The functions are called outside every lock, and must not call the endpoint.
public struct ProgressFraming<Base: Framing>: Framing {
  public let base: Base
  /// The length of a piece, in bytes.
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

  /// The scanner. It demands in pieces the frame that the inner scanner has found.
  public struct Scanner: FrameScanner {
    @usableFromInline var base: Base.Scanner
    @usableFromInline let pieceByteCount: Int
    @usableFromInline let received: (@Sendable (_ count: Int, _ total: Int) -> Void)?
    /// The final demand of the base, which must not be asked again after that.
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
      // Demands end at multiples of the piece size: the next one behind the received bytes. So they do not run ahead of the
      // bytes.
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

  @inlinable
  public func envelope(forByteCount byteCount: Int) throws(FramingError) -> FrameEnvelope? {
    try base.envelope(forByteCount: byteCount)
  }
}

extension Framing {
  /// This framing, with reports of progress.
  ///
  /// - Parameters:
  ///   - pieceByteCount: the number of bytes to demand at a time, at least 1.
  ///   - received: called with the number of received bytes of a frame, and its length.
  ///   - sent: called with the number of bytes of a frame that the transport has accepted, and its length.
  @inlinable
  public func progress(
    every pieceByteCount: Int = 65_536,
    received: (@Sendable (_ count: Int, _ total: Int) -> Void)? = nil,
    sent: (@Sendable (_ count: Int, _ total: Int) -> Void)? = nil
  ) -> ProgressFraming<Self> {
    ProgressFraming(self, every: pieceByteCount, received: received, sent: sent)
  }
}
