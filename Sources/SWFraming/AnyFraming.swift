/// A framing that is chosen at run time, for example from a command line or a configuration file.
///
/// ```swift
/// let framing: AnyFraming<[UInt8], [UInt8]> =
///   isTagged ? AnyFraming(TaggedFraming()) : AnyFraming(.varInt)
/// ```
///
/// Each frame costs a dynamic call, and an allocation if the scanner is larger than three words. ``AnyByteFraming``
/// does the same and keeps the optimisations of a ``ByteFraming``.
public struct AnyFraming<Incoming: Sendable, Outgoing: Sendable>: Framing {
  private let base: any Framing<Incoming, Outgoing>

  public init(_ base: some Framing<Incoming, Outgoing>) { self.base = base }

  public func makeScanner() -> AnyFrameScanner<Incoming> { AnyFrameScanner(for: base) }

  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing AnyFrameScanner<Incoming>
  ) throws -> Incoming {
    try scanned.decode(frame, payload: payload)
  }

  public func encode(_ message: Outgoing, into parts: inout FrameParts) throws {
    try base.encode(message, into: &parts)
  }

  public func didSend(count: Int, of total: Int) { base.didSend(count: count, of: total) }

  public var observesSending: Bool { base.observesSending }

  public var needsDatagrams: Bool { base.needsDatagrams }

  public func decode(filling bytes: Span<UInt8>) throws -> Incoming { try base.decode(filling: bytes) }
}

/// A ``ByteFraming`` that is chosen at run time; like ``AnyFraming``, for framings whose message is the payload.
public struct AnyByteFraming: ByteFraming {
  private let base: any ByteFraming

  public init(_ base: some ByteFraming) { self.base = base }

  public func makeScanner() -> AnyFrameScanner<[UInt8]> { AnyFrameScanner(for: base) }

  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    try base.envelope(for: payload)
  }

  public func envelope(forByteCount byteCount: Int) throws(FramingError) -> FrameEnvelope? {
    try base.envelope(forByteCount: byteCount)
  }

  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing AnyFrameScanner<[UInt8]>
  ) throws -> [UInt8] {
    try scanned.decode(frame, payload: payload)
  }

  public func encode(_ message: [UInt8], into parts: inout FrameParts) throws {
    try base.encode(message, into: &parts)
  }

  public func didSend(count: Int, of total: Int) { base.didSend(count: count, of: total) }

  public var observesSending: Bool { base.observesSending }

  public var needsDatagrams: Bool { base.needsDatagrams }

  public func decode(filling bytes: Span<UInt8>) throws -> [UInt8] { try base.decode(filling: bytes) }
}

/// The scanner of ``AnyFraming`` and ``AnyByteFraming``.
///
/// A framing decodes with the scanner that it made, and erasure loses the scanner's type. The framing and the
/// scanner are therefore erased together as one value, so that no cast is needed.
public struct AnyFrameScanner<Incoming: Sendable>: FrameScanner {
  private var scan: any Scan<Incoming>

  fileprivate init(for framing: some Framing<Incoming, some Any>) {
    scan = ScanOf(framing)
  }

  public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
    try scan.demand(in: received)
  }

  public mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
    try scan.atEnd(of: received)
  }

  fileprivate borrowing func decode(_ frame: Span<UInt8>, payload: Range<Int>) throws -> Incoming {
    try scan.decode(frame, payload: payload)
  }
}

private protocol Scan<Incoming>: FrameScanner {
  associatedtype Incoming: Sendable
  func decode(_ frame: Span<UInt8>, payload: Range<Int>) throws -> Incoming
}

private struct ScanOf<Base: Framing>: Scan {
  let framing: Base
  var scanner: Base.Scanner

  init(_ framing: Base) {
    self.framing = framing
    self.scanner = framing.makeScanner()
  }

  mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
    try scanner.demand(in: received)
  }

  mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
    try scanner.atEnd(of: received)
  }

  func decode(_ frame: Span<UInt8>, payload: Range<Int>) throws -> Base.Incoming {
    try framing.decode(frame, payload: payload, scanned: scanner)
  }
}
