public import SWFraming

/// Swift values as bare MessagePack values, one after another. The types of the two directions may differ.
///
/// ```swift
/// let client = MsgPackFraming(receiving: Reply.self, sending: Request.self)
/// let (left, right) = try makeSocketPair(framing: client, peer: client.flipped)
/// ```
///
/// The bytes, the limits and the laws are those of ``MsgPackValueFraming``. A value that is not of the expected
/// type throws a codec error with a `DecodingError`. The frame is consumed, and the next receive reads the next
/// message.
public struct MsgPackFraming<Incoming: Decodable & Sendable, Outgoing: Encodable & Sendable>: Framing {
  public let encoder: MsgPackEncoder
  /// The decoder of received messages. Its limits are the limits of the framing.
  public let decoder: MsgPackDecoder

  public init(
    receiving: Incoming.Type = Incoming.self, sending: Outgoing.Type = Outgoing.self,
    encoder: MsgPackEncoder = MsgPackEncoder(), decoder: MsgPackDecoder = MsgPackDecoder()
  ) {
    self.encoder = encoder
    self.decoder = decoder
  }

  public func makeScanner() -> MsgPackScanner { MsgPackScanner(limits: decoder.limits) }

  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing MsgPackScanner
  ) throws -> Incoming {
    guard let tape = scanned.tape else { preconditionFailure("the scanner has not seen the frame") }
    return try unsafe frame.withUnsafeBytes { bytes in try unsafe decoder.decode(Incoming.self, tape, bytes) }
  }

  public func encode(_ message: Outgoing, into parts: inout FrameParts) throws {
    try encoder.sink(encoding: message).move(to: &parts)
  }
}

extension MsgPackFraming where Incoming: Encodable, Outgoing: Decodable {
  /// The framing for the other side of the connection: it sends what this framing receives, and receives what this
  /// framing sends, with the same options.
  public var flipped: MsgPackFraming<Outgoing, Incoming> {
    MsgPackFraming<Outgoing, Incoming>(encoder: encoder, decoder: decoder)
  }
}

extension Framing {
  /// Swift values as bare MessagePack values.
  ///
  /// - Parameters:
  ///   - receiving: the type of received messages.
  ///   - sending: the type of sent messages.
  ///   - encoder: the options for sending.
  ///   - decoder: the options and limits for receiving.
  public static func msgPack<Incoming: Decodable & Sendable, Outgoing: Encodable & Sendable>(
    receiving: Incoming.Type, sending: Outgoing.Type, encoder: MsgPackEncoder = MsgPackEncoder(),
    decoder: MsgPackDecoder = MsgPackDecoder()
  ) -> Self where Self == MsgPackFraming<Incoming, Outgoing> {
    MsgPackFraming(encoder: encoder, decoder: decoder)
  }

  /// Swift values of one type, in both directions, as bare MessagePack values.
  public static func msgPack<Message: Codable & Sendable>(
    _ type: Message.Type, encoder: MsgPackEncoder = MsgPackEncoder(),
    decoder: MsgPackDecoder = MsgPackDecoder()
  ) -> Self where Self == MsgPackFraming<Message, Message> {
    MsgPackFraming(encoder: encoder, decoder: decoder)
  }
}
