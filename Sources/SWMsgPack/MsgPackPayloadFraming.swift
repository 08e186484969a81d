public import SWFraming

/// Swift values as MessagePack in the payloads of any byte framing; the types of the two directions may differ.
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
/// The payload is one value and nothing else. A payload that is none, or not of the type, is a codec error with a
/// `DecodingError`: its frame is consumed and the stream goes on. For bare values, which need no other framing, use
/// ``MsgPackFraming``.
public struct MsgPackPayloadFraming<
  Base: ByteFraming, Incoming: Decodable & Sendable, Outgoing: Encodable & Sendable
>: Framing {
  public let base: Base
  public let encoder: MsgPackEncoder
  public let decoder: MsgPackDecoder

  /// - Parameters:
  ///   - base: the framing whose payload the value is.
  ///   - encoder: the options to send with.
  ///   - decoder: the options and limits to receive with.
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
  /// The framing for the other side of the conversation: what this one sends, that one receives, with the same
  /// options.
  public var flipped: MsgPackPayloadFraming<Base, Outgoing, Incoming> {
    .init(base, encoder: encoder, decoder: decoder)
  }
}

extension ByteFraming {
  /// Values as MessagePack in the payloads of this framing.
  ///
  /// - Parameters:
  ///   - receiving: the type of messages that arrive.
  ///   - sending: the type of messages that are sent.
  ///   - encoder: the options to send with.
  ///   - decoder: the options and limits to receive with.
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
