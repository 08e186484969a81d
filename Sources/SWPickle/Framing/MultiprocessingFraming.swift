public import SWFraming

/// Python's values, as `multiprocessing.connection.Connection` sends them with `send` and returns them from `recv`:
/// a pickle behind its length.
///
/// The length is big-endian; beyond 2^31-1 it is -1 and a uint64 follows (`MultiprocessingBytesFraming`).
///
/// Source: CPython 3.13, `Lib/multiprocessing/connection.py` (`_ConnectionBase.send`, `recv`) and `pickle`.
public typealias MultiprocessingFraming = PickleFraming<MultiprocessingBytesFraming>

extension Framing where Self == MultiprocessingFraming {
  /// Python's values as pickles, for `Connection.send` and `recv`: `.multiprocessingBytes.pickle()`.
  public static var multiprocessing: MultiprocessingFraming { MultiprocessingBytesFraming().pickle() }

  /// Python's values as pickles, with names registered, limits, or protocol 5.
  public static func multiprocessing(
    registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits(),
    version: PickleProtocol = .four
  ) -> MultiprocessingFraming {
    MultiprocessingBytesFraming().pickle(registry: registry, limits: limits, version: version)
  }
}

extension Framing {
  /// Python's values as pickles, with types of Swift's on this side.
  public static func multiprocessing<In: Decodable & Sendable, Out: Encodable & Sendable>(
    receiving: In.Type, sending: Out.Type, encoder: PickleEncoder = PickleEncoder(),
    decoder: PickleDecoder = PickleDecoder()
  ) -> Self where Self == TypedPickleFraming<MultiprocessingBytesFraming, In, Out> {
    MultiprocessingBytesFraming().pickle(
      receiving: receiving, sending: sending, encoder: encoder, decoder: decoder)
  }
}
