/// Any framing with messages of other types: two functions convert received and sent messages. The bytes, the
/// limits and the laws are those of the inner framing.
///
/// ```swift
/// let texts = LineFraming.lines.mapping(
///   receiving: { line in String(decoding: line, as: UTF8.self) },
///   sending: { (text: String) in Array(text.utf8) })
/// ```
///
/// An error that a function throws is a codec error. A received frame is then consumed, and the next receive reads
/// the next message; of a message to be sent, nothing is sent. The functions are called outside every lock,
/// possibly by several threads at once, and must not call the endpoint.
public struct MappedFraming<Base: Framing, Incoming: Sendable, Outgoing: Sendable>: Framing {
  public let base: Base
  @usableFromInline let receiving: @Sendable (Base.Incoming) throws -> Incoming
  @usableFromInline let sending: @Sendable (Outgoing) throws -> Base.Outgoing

  @inlinable
  public init(
    _ base: Base, receiving: @escaping @Sendable (Base.Incoming) throws -> Incoming,
    sending: @escaping @Sendable (Outgoing) throws -> Base.Outgoing
  ) {
    self.base = base
    self.receiving = receiving
    self.sending = sending
  }

  @inlinable
  public func makeScanner() -> Base.Scanner { base.makeScanner() }

  @inlinable
  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Base.Scanner
  ) throws -> Incoming {
    try receiving(base.decode(frame, payload: payload, scanned: scanned))
  }

  @inlinable
  public func encode(_ message: Outgoing, into parts: inout FrameParts) throws {
    try base.encode(sending(message), into: &parts)
  }

  @inlinable
  public func didSend(count: Int, of total: Int) { base.didSend(count: count, of: total) }

  @inlinable
  public var observesSending: Bool { base.observesSending }

  @inlinable
  public var needsDatagrams: Bool { base.needsDatagrams }

  @inlinable
  public func decode(filling bytes: Span<UInt8>) throws -> Incoming {
    try receiving(base.decode(filling: bytes))
  }
}

extension MappedFraming where Incoming == Outgoing {
  /// The framing for the other side of the connection, which is this framing.
  ///
  /// - Precondition: the base sends and receives one type. The counterpart of another base takes functions of its own: map
  ///   `base.flipped`. The functions of this framing have to undo each other.
  @inlinable
  public var flipped: Self {
    precondition(
      Base.Incoming.self == Base.Outgoing.self,
      "the base of the mapped framing sends another type than it receives: map base.flipped instead")
    return self
  }
}

extension Framing {
  /// This framing with messages of other types.
  ///
  /// - Parameters:
  ///   - receiving: converts a message that this framing received.
  ///   - sending: converts a message into one that this framing sends.
  @inlinable
  public func mapping<NewIncoming: Sendable, NewOutgoing: Sendable>(
    receiving: @escaping @Sendable (Incoming) throws -> NewIncoming,
    sending: @escaping @Sendable (NewOutgoing) throws -> Outgoing
  ) -> MappedFraming<Self, NewIncoming, NewOutgoing> {
    MappedFraming(self, receiving: receiving, sending: sending)
  }
}
