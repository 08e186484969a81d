public import SWFraming

/// Swift values as MessagePack in the payloads of any byte framing. The types of the two directions may differ.
///
/// ```
///   00 00 00 07  82 a2 i d 07 a1 …        over .lengthPrefixed(.uint32)
/// ```
///
/// ```swift
/// let client = LengthPrefixedFraming.lengthPrefixed(.uint32).msgPack(receiving: Reply.self, sending: Request.self)
/// let (left, right) = try makeSocketPair(framing: client, peer: client.flipped)
/// ```
///
/// A payload is exactly one value. A payload that is not, or whose value is not of the expected type, throws a
/// codec error with a `DecodingError`. The frame is consumed, and the next receive reads the next message. Bare
/// values need no other framing; ``MsgPackFraming`` has them.
public struct MsgPackPayloadFraming<
  Base: ByteFraming, Incoming: Decodable & Sendable, Outgoing: Encodable & Sendable
>: Framing {
  public let base: Base
  public let encoder: MsgPackEncoder
  public let decoder: MsgPackDecoder

  /// Puts MessagePack into the payloads of a framing.
  ///
  /// - Parameters:
  ///   - base: the framing whose payloads hold the values.
  ///   - encoder: the options for sending.
  ///   - decoder: the options and limits for receiving.
  public init(
    _ base: Base, encoder: MsgPackEncoder = MsgPackEncoder(), decoder: MsgPackDecoder = MsgPackDecoder()
  ) {
    self.base = base
    self.encoder = encoder
    self.decoder = decoder
  }

  public func makeScanner() -> Base.Scanner { base.makeScanner() }

  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Base.Scanner
  ) throws -> Incoming {
    try decoder.decode(Incoming.self, from: frame.extracting(payload))
  }

  public func encode(_ message: Outgoing, into parts: inout FrameParts) throws {
    try base.encode(encoder.encodeBytes(message), into: &parts)
  }

  public func didSend(count: Int, of total: Int) { base.didSend(count: count, of: total) }

  public var observesSending: Bool { base.observesSending }

  public var needsDatagrams: Bool { base.needsDatagrams }

  public func decode(filling bytes: Span<UInt8>) throws -> Incoming {
    try decoder.decode(Incoming.self, from: base.decode(filling: bytes))
  }
}

extension MsgPackPayloadFraming where Incoming: Encodable, Outgoing: Decodable {
  /// The framing for the other side of the connection: it sends what this framing receives, and receives what this
  /// framing sends, with the same options.
  public var flipped: MsgPackPayloadFraming<Base, Outgoing, Incoming> {
    .init(base, encoder: encoder, decoder: decoder)
  }
}

extension ByteFraming {
  /// Values as MessagePack in the payloads of this framing.
  ///
  /// - Parameters:
  ///   - receiving: the type of received messages.
  ///   - sending: the type of sent messages.
  ///   - encoder: the options for sending.
  ///   - decoder: the options and limits for receiving.
  public func msgPack<Incoming: Decodable & Sendable, Outgoing: Encodable & Sendable>(
    receiving: Incoming.Type, sending: Outgoing.Type, encoder: MsgPackEncoder = MsgPackEncoder(),
    decoder: MsgPackDecoder = MsgPackDecoder()
  ) -> MsgPackPayloadFraming<Self, Incoming, Outgoing> {
    MsgPackPayloadFraming(self, encoder: encoder, decoder: decoder)
  }

  /// Values of one type, in both directions, as MessagePack in the payloads of this framing.
  public func msgPack<Message: Codable & Sendable>(
    _ type: Message.Type, encoder: MsgPackEncoder = MsgPackEncoder(),
    decoder: MsgPackDecoder = MsgPackDecoder()
  ) -> MsgPackPayloadFraming<Self, Message, Message> {
    MsgPackPayloadFraming(self, encoder: encoder, decoder: decoder)
  }

  /// Values of any shape, in both directions, as MessagePack in the payloads of this framing.
  public func msgPack(
    encoder: MsgPackEncoder = MsgPackEncoder(), decoder: MsgPackDecoder = MsgPackDecoder()
  ) -> MsgPackPayloadFraming<Self, MsgPackValue, MsgPackValue> {
    MsgPackPayloadFraming(self, encoder: encoder, decoder: decoder)
  }
}
