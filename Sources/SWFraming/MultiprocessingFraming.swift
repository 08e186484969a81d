/// Python's values, as `multiprocessing.connection.Connection` sends them with `send` and gives them from `recv`: a
/// pickle behind its length.
///
/// ```
///   ╭─ int32 ─────╮╭─ pickle ────────────────────────────╮
///   │ 00 00 00 05 ││ 80 04  4b 07  2e                    │     7
///   │ 00 00 00 0d ││ 80 04  7d 94 8c 02 69 64 94 4b 07 … │     {"id": 7}
///   ╰─────────────╯╰─────────────────────────────────────╯
/// ```
///
/// The length is big-endian; beyond 2^31-1 it is -1 and a uint64 follows. Other negative lengths, which Python reads
/// as an empty message and nobody sends, are a ``FramingError``. A message that cannot be decoded throws a
/// ``PickleError`` and is consumed; the stream goes on with the next.
///
/// The peer's pickles run nothing here: see ``PickleRegistry``. Python trusts its peer: do not send to a Python
/// what you would not have it run, and nothing that others wrote unread.
///
/// Source: CPython 3.13, `Lib/multiprocessing/connection.py` (`_ConnectionBase.send`, `recv`) and `pickle`.
public struct MultiprocessingFraming: Framing {
  /// Which names the peer's pickles may use.
  public var registry: PickleRegistry
  /// How much one pickle of the peer's may ask for.
  public var limits: PickleLimits
  /// What is written; what is read may be any.
  public var version: PickleProtocol

  public init(
    registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits(),
    version: PickleProtocol = .four
  ) {
    self.registry = registry
    self.limits = limits
    self.version = version
  }

  public func makeScanner() -> MultiprocessingScanner { MultiprocessingScanner() }

  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing MultiprocessingScanner
  ) throws -> PickleValue {
    try PickleValue(pickle: frame.extracting(payload), registry: registry, limits: limits)
  }

  public func encode(_ message: PickleValue, into parts: inout FrameParts) throws {
    let pickle = try PickleWriter.write(message, version)
    parts.append(MultiprocessingHeader.encode(byteCount: pickle.reduce(0) { $0 + $1.count }))
    for part in pickle { parts.append(part) }
  }
}

/// Finds the end of a frame of `multiprocessing.connection`.
public struct MultiprocessingScanner: FrameScanner {
  private let header = MultiprocessingHeader.Scanner()

  init() {}

  public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
    try header.demand(in: received)
  }
}

/// ``MultiprocessingFraming`` with types of Swift's at both ends: what Python sends as dicts and lists arrives as
/// `Incoming`, and `Outgoing` leaves as such.
public struct TypedMultiprocessingFraming<Incoming: Decodable & Sendable, Outgoing: Encodable & Sendable>:
  Framing
{
  public var decoder: PickleDecoder
  public var encoder: PickleEncoder
  public var version: PickleProtocol

  public init(
    receiving: Incoming.Type, sending: Outgoing.Type, decoder: PickleDecoder = PickleDecoder(),
    encoder: PickleEncoder = PickleEncoder(), version: PickleProtocol = .four
  ) {
    self.decoder = decoder
    self.encoder = encoder
    self.version = version
  }

  public func makeScanner() -> MultiprocessingScanner { MultiprocessingScanner() }

  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing MultiprocessingScanner
  ) throws -> Incoming {
    let value = try PickleValue(
      pickle: frame.extracting(payload), registry: decoder.registry, limits: decoder.limits)
    return try decoder.decode(Incoming.self, from: value)
  }

  public func encode(_ message: Outgoing, into parts: inout FrameParts) throws {
    try MultiprocessingFraming(version: version).encode(encoder.encode(message), into: &parts)
  }
}

extension TypedMultiprocessingFraming where Incoming: Encodable, Outgoing: Decodable {
  /// The same for the other end.
  public var flipped: TypedMultiprocessingFraming<Outgoing, Incoming> {
    TypedMultiprocessingFraming<Outgoing, Incoming>(
      receiving: Outgoing.self, sending: Incoming.self, decoder: decoder, encoder: encoder, version: version)
  }
}

extension Framing where Self == MultiprocessingFraming {
  /// Python's values as pickles, for `Connection.send` and `recv`.
  public static var multiprocessing: MultiprocessingFraming { MultiprocessingFraming() }

  /// Python's values as pickles, with names registered, limits, or protocol 5.
  public static func multiprocessing(
    registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits(),
    version: PickleProtocol = .four
  ) -> MultiprocessingFraming {
    MultiprocessingFraming(registry: registry, limits: limits, version: version)
  }
}

extension Framing {
  /// Python's values as pickles, and Swift's types on this side.
  public static func multiprocessing<In: Decodable & Sendable, Out: Encodable & Sendable>(
    receiving: In.Type, sending: Out.Type, decoder: PickleDecoder = PickleDecoder(),
    encoder: PickleEncoder = PickleEncoder(), version: PickleProtocol = .four
  ) -> Self where Self == TypedMultiprocessingFraming<In, Out> {
    TypedMultiprocessingFraming(
      receiving: receiving, sending: sending, decoder: decoder, encoder: encoder, version: version)
  }
}
