/// Any framing with messages of other types: two functions turn what it receives into what you receive, and
/// what you send into what it sends. The bytes on the wire, the limits and the laws are those of the framing
/// inside.
///
/// ```swift
/// let texts = LineFraming.lines.mapping(
///   receiving: { line in String(decoding: line, as: UTF8.self) },
///   sending: { (text: String) in Array(text.utf8) })
/// ```
///
/// What the functions throw is a codec error: the received frame is consumed and the stream goes on; of the
/// message that was to be sent nothing has gone out. They are called outside every lock, by several threads
/// at once, and must not call the endpoint.
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

extension Framing {
  /// This framing with messages of other types.
  ///
  /// - Parameters:
  ///   - receiving: makes a message of what this framing received.
  ///   - sending: makes what this framing sends of a message.
  @inlinable
  public func mapping<NewIncoming: Sendable, NewOutgoing: Sendable>(
    receiving: @escaping @Sendable (Incoming) throws -> NewIncoming,
    sending: @escaping @Sendable (NewOutgoing) throws -> Outgoing
  ) -> MappedFraming<Self, NewIncoming, NewOutgoing> {
    MappedFraming(self, receiving: receiving, sending: sending)
  }
}
