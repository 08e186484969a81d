extension PickleValue {
  /// Reads a pickle of any protocol from 0 to 5. Like Python's `pickle.loads`, it ignores bytes after the STOP
  /// opcode.
  ///
  /// Nothing that the pickle names is looked up or called (``PickleRegistry``). Work and memory are proportional to
  /// the pickle's length, and bounded by the limits.
  ///
  /// - Throws: ``PickleError``, or an error of a registered reader.
  public init(
    pickle bytes: Span<UInt8>, registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits()
  ) throws {
    if let array = unsafe bytes.withUnsafeBufferPointer({ bytes in
      unsafe PickleArrayScanner.scan(bytes, registry, limits)
    }) {
      self.init(array)
    } else {
      self = try Self.reading(bytes, registry: registry, limits: limits).value
    }
  }

  /// Reads a pickle, as ``init(pickle:registry:limits:)-(Span<UInt8>,_,_)`` does.
  public init(
    pickle bytes: [UInt8], registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits()
  ) throws {
    try self.init(pickle: bytes.span, registry: registry, limits: limits)
  }

  /// Reads the pickle at the start of `bytes`.
  ///
  /// - Returns: the value, and the number of bytes up to and including STOP.
  /// - Throws: as ``init(pickle:registry:limits:)-(Span<UInt8>,_,_)`` does.
  public static func reading(
    _ bytes: Span<UInt8>, registry: PickleRegistry = .standard, limits: PickleLimits = PickleLimits()
  ) throws -> (value: PickleValue, byteCount: Int) {
    var reader = PickleReader(registry: registry, limits: limits)
    return try reader.read(bytes)
  }

  /// Returns the value as a pickle: the bytes that the C pickler of CPython writes for the same objects, with their
  /// sharing and recursion.
  ///
  /// The bytes may differ from Python's in four ways; the value that Python reads is the same:
  /// - Two equal strings are one object only if they were one when the value was read or made; Python may have one
  ///   object where this value has two. The names of one module are one object, where Python may have two.
  /// - The tuple of an object's arguments is an object of its own, also if Python has it elsewhere too.
  /// - The elements of a set are written in the value's order.
  /// - NumPy arrays, scalars and dtypes have the module names of NumPy 1, which NumPy 2 reads too. Arrays of one type
  ///   share its dtype.
  ///
  /// - Throws: ``PickleError`` if Python has no such value.
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
