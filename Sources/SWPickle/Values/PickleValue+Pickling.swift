extension PickleValue {
  /// Reads a pickle of any protocol from 0 to 5, as Python's `pickle.loads` does: what stands behind its STOP is
  /// ignored.
  ///
  /// Nothing that the pickle names is looked up or run (``PickleRegistry``). The work and the memory are in
  /// proportion to the pickle's length, and bounded by the limits.
  ///
  /// - Throws: ``PickleError``, or what a registered reader throws.
  public init(
    pickle bytes: Span<UInt8>, registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits()
  ) throws {
    var reader = PickleReader(registry: registry, limits: limits)
    self = try reader.read(bytes).value
  }

  /// Reads a pickle, as ``init(pickle:registry:limits:)-(Span<UInt8>,_,_)`` does.
  public init(
    pickle bytes: [UInt8], registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits()
  ) throws {
    try self.init(pickle: bytes.span, registry: registry, limits: limits)
  }

  /// Reads the pickle at the start of `bytes`.
  ///
  /// - Returns: its value, and how many bytes it took up to its STOP.
  /// - Throws: as ``init(pickle:registry:limits:)-(Span<UInt8>,_,_)`` does.
  public static func reading(
    _ bytes: Span<UInt8>, registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits()
  ) throws -> (value: PickleValue, byteCount: Int) {
    var reader = PickleReader(registry: registry, limits: limits)
    return try reader.read(bytes)
  }

  /// The pickle of the value, byte for byte as Python's `pickle.dumps` writes it, sharing and recursion included.
  ///
  /// Two strings are one object here only where they were one when the value was read or made; Python may have
  /// one where we have two, and then refers back. Elements of a set stand in the value's order.
  ///
  /// - Throws: ``PickleError`` where Python has no such value.
  public func pickled(_ version: PickleProtocol = .four) throws(PickleError) -> [UInt8] {
    let parts = try PickleWriter.write(self, version)
    return parts.inOne
  }
}

extension [[UInt8]] {
  /// The parts in one array.
  var inOne: [UInt8] {
    if count == 1 { return self[0] }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(reduce(0) { $0 + $1.count })
    for part in self { bytes.append(contentsOf: part) }
    return bytes
  }
}
