public import SWFraming

/// Python values as pickles in the payloads of any byte framing.
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
/// A message that cannot be decoded throws a ``PickleError`` and is consumed; the next receive reads the next
/// message. Reading never runs code that the peer names (``PickleRegistry``). Python does run it: a Python peer
/// must trust what you send.
///
/// Source: CPython 3.13, `Modules/_pickle.c`.
public struct PickleFraming<Base: ByteFraming>: Framing {
  /// The framing that carries the pickles.
  public let base: Base
  /// The classes and functions that are interpreted in received pickles.
  public var registry: PickleRegistry
  /// The limits on the size of a received pickle.
  public var limits: PickleLimits
  /// The protocol of sent pickles. Every protocol from 0 to 5 is received.
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

/// Swift values as pickles: received dicts and lists are decoded as `Incoming`, and values of `Outgoing` are encoded.
///
/// A message that is no pickle, or whose value is not an `Incoming`, throws the codec error and is consumed; the next
/// receive reads the next message.
public struct TypedPickleFraming<
  Base: ByteFraming, Incoming: Decodable & Sendable, Outgoing: Encodable & Sendable
>: Framing {
  /// The framing that carries the pickles.
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
  /// Python values as pickles in the payloads of this framing.
  ///
  /// - Parameters:
  ///   - registry: the classes and functions that are interpreted in received pickles.
  ///   - limits: the limits on the size of a received pickle.
  ///   - version: the protocol of sent pickles.
  public func pickle(
    registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits(),
    version: PickleProtocol = .four
  ) -> PickleFraming<Self> {
    PickleFraming(self, registry: registry, limits: limits, version: version)
  }

  /// Swift values as pickles in the payloads of this framing.
  ///
  /// - Parameters:
  ///   - receiving: the type of received messages.
  ///   - sending: the type of sent messages.
  ///   - encoder: the options for sending.
  ///   - decoder: the options, the registry and the limits for receiving.
  public func pickle<In: Decodable & Sendable, Out: Encodable & Sendable>(
    receiving: In.Type, sending: Out.Type, encoder: PickleEncoder = PickleEncoder(),
    decoder: PickleDecoder = PickleDecoder()
  ) -> TypedPickleFraming<Self, In, Out> {
    TypedPickleFraming(self, receiving: receiving, sending: sending, encoder: encoder, decoder: decoder)
  }

  /// Swift values of one type, in both directions, as pickles in the payloads of this framing.
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
