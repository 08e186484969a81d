public import SWFraming

/// Python values as `multiprocessing.connection.Connection` sends them with `send` and returns them from `recv`: a
/// length, then a pickle.
///
/// The length is a big-endian int32. A length above 2^31-1 is written as -1 followed by a uint64
/// (`MultiprocessingBytesFraming`).
///
/// Source: CPython 3.13, `Lib/multiprocessing/connection.py` (`_ConnectionBase.send`, `recv`) and `pickle`.
public typealias MultiprocessingFraming = PickleFraming<MultiprocessingBytesFraming>

extension Framing where Self == MultiprocessingFraming {
  /// Python values as pickles, for `Connection.send` and `recv`: `.multiprocessingBytes.pickle()`.
  public static var multiprocessing: MultiprocessingFraming { MultiprocessingBytesFraming().pickle() }

  /// Python values as pickles, with a registry, limits and a protocol version.
  public static func multiprocessing(
    registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits(),
    version: PickleProtocol = .four
  ) -> MultiprocessingFraming {
    MultiprocessingBytesFraming().pickle(registry: registry, limits: limits, version: version)
  }
}

extension Framing {
  /// Swift values as pickles, for `Connection.send` and `recv`.
  public static func multiprocessing<In: Decodable & Sendable, Out: Encodable & Sendable>(
    receiving: In.Type, sending: Out.Type, encoder: PickleEncoder = PickleEncoder(),
    decoder: PickleDecoder = PickleDecoder()
  ) -> Self where Self == TypedPickleFraming<MultiprocessingBytesFraming, In, Out> {
    MultiprocessingBytesFraming().pickle(
      receiving: receiving, sending: sending, encoder: encoder, decoder: decoder)
  }
}
