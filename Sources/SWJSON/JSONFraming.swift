public import SWFraming

// The essentials alone, on Linux: all of Foundation would keep programs that never use JSON waiting when they
// start.
#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Values as JSON over any byte framing; the types of the two directions may differ.
///
/// ```
///   {"id":7,"text":"hello"} ␊                      over .lines
///   Content-Length: 23 ␍␊ ␍␊ {"id":7,"text":"…     over .contentLength
/// ```
///
/// ```swift
/// let client = LineFraming.lines.json(receiving: Reply.self, sending: Request.self)
/// let (left, right) = try makeSocketPair(framing: client, peer: client.flipped)
/// ```
///
/// A value goes out in compact form, on one line, in which a line feed is an escape. (If you have the encoder
/// print it prettily, `.lines` refuses to send it.) A payload that is no JSON, or not of the type, is a codec
/// error with Foundation's `DecodingError`: its frame is consumed and the stream goes on. So is one that
/// nests deeper than 512 levels, which is Foundation's limit. The error's text shows the payload, and its underlying
/// error is a ``JSONPayloadError`` that holds it, to be logged. A byte order mark before the text is passed over.
///
/// A stream of lines with blank ones and with noise between them:
///
/// ```swift
/// let framing = LineFraming.lines(skipsBlankLines: true, takesLastLine: true).json(JSONValue.self).results
/// for try await result in reader.messages { … }    // .failure for a line that is no JSON, and on with the next
/// ```
///
/// Source: RFC 8259; lines of it, <https://jsonlines.org>.
public struct JSONFraming<
  Base: ByteFraming, Incoming: Decodable & Sendable, Outgoing: Encodable & Sendable
>: Framing {
  public let base: Base
  // Both are safe to share: they copy their options when they are called, and nobody changes those any more.
  private let encoder: JSONEncoder
  private let decoder: JSONDecoder

  /// - Parameters:
  ///   - base: what the JSON text is the payload of.
  ///   - configure: sets options, once: for dates, keys, binary data, …
  public init(_ base: Base, configure: (JSONEncoder, JSONDecoder) -> Void = { _, _ in }) {
    let (encoder, decoder) = (JSONEncoder(), JSONDecoder())
    configure(encoder, decoder)
    self.init(base, encoder, decoder)
  }

  private init(_ base: Base, _ encoder: JSONEncoder, _ decoder: JSONDecoder) {
    self.base = base
    self.encoder = encoder
    self.decoder = decoder
  }

  public func makeScanner() -> Base.Scanner { base.makeScanner() }

  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Base.Scanner
  ) throws -> Incoming {
    try decode(unsafe frame.extracting(payload).withUnsafeBufferPointer { unsafe Data(buffer: $0) })
  }

  private func decode(_ payload: Data) throws -> Incoming {
    // Foundation refuses the mark, which .NET writes at the start of a stream.
    let text = payload.starts(with: [0xef, 0xbb, 0xbf]) ? payload.dropFirst(3) : payload
    do {
      return try decoder.decode(Incoming.self, from: text)
    } catch let error as DecodingError {
      throw error.showing(payload)
    }
  }

  public func encode(_ message: Outgoing, into parts: inout FrameParts) throws {
    try base.encode(Array(encoder.encode(message)), into: &parts)
  }

  public func didSend(count: Int, of total: Int) { base.didSend(count: count, of: total) }

  public var observesSending: Bool { base.observesSending }

  public var needsDatagrams: Bool { base.needsDatagrams }

  public func decode(filling bytes: Span<UInt8>) throws -> Incoming {
    try decode(Data(base.decode(filling: bytes)))
  }
}

extension JSONFraming where Incoming: Encodable, Outgoing: Decodable {
  /// The framing for the other side of the conversation: what this one sends, that one receives, with the
  /// same options.
  public var flipped: JSONFraming<Base, Outgoing, Incoming> { .init(base, encoder, decoder) }
}

extension ByteFraming {
  /// Values as JSON in the payloads of this framing.
  ///
  /// - Parameters:
  ///   - receiving: what arrives.
  ///   - sending: what is sent.
  ///   - configure: sets options, once: for dates, keys, binary data, …
  public func json<Incoming: Decodable & Sendable, Outgoing: Encodable & Sendable>(
    receiving: Incoming.Type, sending: Outgoing.Type,
    configure: (JSONEncoder, JSONDecoder) -> Void = { _, _ in }
  ) -> JSONFraming<Self, Incoming, Outgoing> {
    JSONFraming(self, configure: configure)
  }

  /// Values of one type, in both directions, as JSON in the payloads of this framing.
  public func json<Message: Codable & Sendable>(
    _ type: Message.Type, configure: (JSONEncoder, JSONDecoder) -> Void = { _, _ in }
  ) -> JSONFraming<Self, Message, Message> {
    JSONFraming(self, configure: configure)
  }
}
