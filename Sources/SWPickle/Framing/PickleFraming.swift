public import SWFraming

/// Python's values as pickles in the payloads of any byte framing.
///
/// ```swift
/// .multiprocessing                         // Python's Connection.send and recv
/// .lengthPrefixed(.uint32).pickle()        // Python's logging.handlers.SocketHandler
/// ```
///
/// ```
///   ╭─ header ────╮╭─ pickle ────────────────────────────╮
///   │ 00 00 00 05 ││ 80 04  4b 07  2e                    │     7
///   │ 00 00 00 0d ││ 80 04  7d 94 8c 02 69 64 94 4b 07 … │     {"id": 7}
///   ╰─────────────╯╰─────────────────────────────────────╯
/// ```
///
/// A message that cannot be decoded throws a ``PickleError`` and is consumed; the stream goes on with the next.
/// Reading runs nothing of the peer's (``PickleRegistry``). Python trusts its peer: send it only what it may run.
///
/// Source: CPython 3.13, `Modules/_pickle.c`.
public struct PickleFraming<Base: ByteFraming>: Framing {
  /// The framing whose payloads the pickles are.
  public let base: Base
  /// Which names of the peer's pickles are interpreted.
  public var registry: PickleRegistry
  /// How much one pickle of the peer's may take.
  public var limits: PickleLimits
  /// The protocol of the pickles that are sent. All are received.
  public var version: PickleProtocol

  public init(
    _ base: Base, registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits(),
    version: PickleProtocol = .four
  ) {
    self.base = base
    self.registry = registry
    self.limits = limits
    self.version = version
  }

  public func makeScanner() -> Base.Scanner { base.makeScanner() }

  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Base.Scanner
  ) throws -> PickleValue {
    try PickleValue(pickle: frame.extracting(payload), registry: registry, limits: limits)
  }

  public func encode(_ message: PickleValue, into parts: inout FrameParts) throws {
    try base.encode(pickle: PickleWriter.write(message, version), into: &parts)
  }

  public func decode(filling bytes: Span<UInt8>) throws -> PickleValue {
    try PickleValue(pickle: base.decode(filling: bytes), registry: registry, limits: limits)
  }

  public func didSend(count: Int, of total: Int) { base.didSend(count: count, of: total) }

  public var observesSending: Bool { base.observesSending }

  public var needsDatagrams: Bool { base.needsDatagrams }
}

/// ``PickleFraming`` with types of Swift's at both ends: dicts and lists of Python's arrive as `Incoming`, and
/// `Outgoing` leaves as such.
///
/// A message that is no pickle, or not of the type, is a codec error: its frame is consumed and the stream goes on.
public struct TypedPickleFraming<
  Base: ByteFraming, Incoming: Decodable & Sendable, Outgoing: Encodable & Sendable
>: Framing {
  /// The framing whose payloads the pickles are.
  public let base: Base
  public var encoder: PickleEncoder
  public var decoder: PickleDecoder

  public init(
    _ base: Base, receiving: Incoming.Type, sending: Outgoing.Type, encoder: PickleEncoder = PickleEncoder(),
    decoder: PickleDecoder = PickleDecoder()
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
    try base.encode(pickle: encoder.encodeParts(message), into: &parts)
  }

  public func decode(filling bytes: Span<UInt8>) throws -> Incoming {
    try decoder.decode(Incoming.self, from: base.decode(filling: bytes))
  }

  public func didSend(count: Int, of total: Int) { base.didSend(count: count, of: total) }

  public var observesSending: Bool { base.observesSending }

  public var needsDatagrams: Bool { base.needsDatagrams }
}

extension TypedPickleFraming where Incoming: Encodable, Outgoing: Decodable {
  /// The framing for the other side of the conversation, with the same options.
  public var flipped: TypedPickleFraming<Base, Outgoing, Incoming> {
    TypedPickleFraming<Base, Outgoing, Incoming>(
      base, receiving: Outgoing.self, sending: Incoming.self, encoder: encoder, decoder: decoder)
  }
}

extension ByteFraming {
  /// Python's values as pickles in the payloads of this framing.
  ///
  /// - Parameters:
  ///   - registry: which names of the peer's pickles are interpreted.
  ///   - limits: how much one pickle of the peer's may take.
  ///   - version: the protocol of the pickles that are sent.
  public func pickle(
    registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits(),
    version: PickleProtocol = .four
  ) -> PickleFraming<Self> {
    PickleFraming(self, registry: registry, limits: limits, version: version)
  }

  /// Values of Swift's types as pickles in the payloads of this framing.
  ///
  /// - Parameters:
  ///   - receiving: the type of what arrives.
  ///   - sending: the type of what is sent.
  public func pickle<In: Decodable & Sendable, Out: Encodable & Sendable>(
    receiving: In.Type, sending: Out.Type, encoder: PickleEncoder = PickleEncoder(),
    decoder: PickleDecoder = PickleDecoder()
  ) -> TypedPickleFraming<Self, In, Out> {
    TypedPickleFraming(self, receiving: receiving, sending: sending, encoder: encoder, decoder: decoder)
  }

  /// Values of one type, in both directions, as pickles in the payloads of this framing.
  public func pickle<Message: Codable & Sendable>(
    _ type: Message.Type, encoder: PickleEncoder = PickleEncoder(), decoder: PickleDecoder = PickleDecoder()
  ) -> TypedPickleFraming<Self, Message, Message> {
    TypedPickleFraming(self, receiving: type, sending: type, encoder: encoder, decoder: decoder)
  }

  /// Appends the frame whose payload consists of these parts. They are not copied if the framing gives its envelope
  /// for a length.
  func encode(pickle: [[UInt8]], into parts: inout FrameParts) throws {
    if pickle.count == 1 { return try encode(pickle[0], into: &parts) }
    let byteCount = pickle.reduce(0) { $0 + $1.count }
    guard let envelope = try envelope(forByteCount: byteCount) else {
      return try encode(pickle.inOne, into: &parts)
    }
    parts.append(envelope.header)
    for part in pickle { parts.append(part) }
    parts.append(envelope.trailer)
  }
}
