public import SWFraming

// Only the essentials on Linux, because all of Foundation would delay the start of programs that never use JSON.
#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Values as JSON in the payloads of any byte framing. The types of the two directions may differ.
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
/// A value is sent in compact form on one line; a line feed in a string is an escape. (If you configure the encoder
/// to print prettily, `.lines` refuses to send the value.)
///
/// A payload that is not JSON, or not of the expected type, throws a codec error with Foundation's `DecodingError`.
/// So does a payload nested deeper than 512 levels, which is Foundation's limit. The frame is consumed, and the
/// next receive reads the next message. The error's text shows the payload. Its underlying error is a
/// ``JSONPayloadError``, which holds the payload, for example for a log. A byte order mark before the text is
/// ignored.
///
/// To read a stream with blank lines and with lines that are not JSON:
///
/// ```swift
/// let framing = LineFraming.lines(skipsBlankLines: true, takesLastLine: true).json(JSONValue.self).results
/// for try await result in reader.messages { … }    // a .failure for a line that is not JSON, then the next line
/// ```
///
/// Source: RFC 8259; for lines, <https://jsonlines.org>.
public struct JSONFraming<
  Base: ByteFraming, Incoming: Decodable & Sendable, Outgoing: Encodable & Sendable
>: Framing {
  public let base: Base
  // Both can be shared: they copy their options when they are called, and the options no longer change.
  private let encoder: JSONEncoder
  private let decoder: JSONDecoder
  private let parts: JSONMessage.Parts?

  /// Puts JSON into the payloads of a framing.
  ///
  /// - Parameters:
  ///   - base: the framing whose payloads hold the JSON text.
  ///   - configure: sets options of the encoder and decoder, such as date and key strategies; called once.
  public init(_ base: Base, configure: (JSONEncoder, JSONDecoder) -> Void = { _, _ in }) {
    let (encoder, decoder) = (JSONEncoder(), JSONDecoder())
    configure(encoder, decoder)
    // The program may keep the decoder, and use it for other texts.
    let own = JSONDecoder()
    own.dateDecodingStrategy = decoder.dateDecodingStrategy
    own.dataDecodingStrategy = decoder.dataDecodingStrategy
    own.nonConformingFloatDecodingStrategy = decoder.nonConformingFloatDecodingStrategy
    own.keyDecodingStrategy = decoder.keyDecodingStrategy
    own.userInfo = decoder.userInfo
    own.allowsJSON5 = decoder.allowsJSON5
    own.assumesTopLevelDictionary = decoder.assumesTopLevelDictionary
    self.init(base, encoder, own, JSONMessage.Parts.mark(own))
  }

  private init(_ base: Base, _ encoder: JSONEncoder, _ decoder: JSONDecoder, _ parts: JSONMessage.Parts?) {
    self.base = base
    self.encoder = encoder
    self.decoder = decoder
    self.parts = parts
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
      if Incoming.self == JSONValue.self, let value = try value(text) as? Incoming { return value }
      return try message(text)
    } catch let error as DecodingError {
      throw error.showing(payload)
    }
  }

  /// Decodes a message that may have a ``JSONValue`` as a part.
  private func message(_ text: Data) throws -> Incoming {
    if JSONMarks.areTooMany(in: text, isJSON5: decoder.allowsJSON5) {
      throw DecodingError.unfitText
    }
    guard let parts else { return try decoder.decode(Incoming.self, from: text) }
    if !parts.areMet {
      let message = Result { try decoder.decode(Incoming.self, from: text) }
      // If a part was met now, the result may be an error that a type has caught.
      if !parts.areMet { return try message.get() }
    }
    return try JSONMessage.$current.withValue(JSONMessage(text, of: parts)) {
      try decoder.decode(Incoming.self, from: text)
    }
  }

  /// Reads a value of any kind. Returns nil if the decoder's options ask for another reading.
  private func value(_ payload: Data) throws -> JSONValue? {
    let text = Array(payload)
    guard case .useDefaultKeys = decoder.keyDecodingStrategy,
      case .throw = decoder.nonConformingFloatDecodingStrategy, !decoder.allowsJSON5,
      !decoder.assumesTopLevelDictionary
    else { return nil }
    var parser = JSONValueParser(text)
    do throws(JSONValueParser.Failure) {
      return try parser.parse()
    } catch {
      throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: error.explanation))
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
  /// The framing for the other side of the connection: it sends what this framing receives, and receives what this
  /// framing sends, with the same options.
  public var flipped: JSONFraming<Base, Outgoing, Incoming> { .init(base, encoder, decoder, parts) }
}

extension ByteFraming {
  /// Values as JSON in the payloads of this framing.
  ///
  /// - Parameters:
  ///   - receiving: the type of received messages.
  ///   - sending: the type of sent messages.
  ///   - configure: sets options of the encoder and decoder, such as date and key strategies; called once.
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
