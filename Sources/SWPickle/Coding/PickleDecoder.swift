public import SWCoding

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Makes `Decodable` values of Python's.
///
/// The table of ``PickleEncoder`` holds in the other direction, and further:
/// - A sequence is a list, a tuple, a set or a frozenset; a deque, a range or an `array.array`; a NumPy array, of
///   several dimensions for a sequence of sequences, also one of objects, or a masked one, whose masked elements are nil.
/// - `[UInt8]` and `Data` are bytes, a bytearray, or a NumPy array of `uint8`; `[UInt8]` may also be a list of ints.
/// - Numbers convert as the table of `CodingNumbers` says: exactly, a float to the nearest `Float`, or it is an error.
///   A NumPy array without dimensions is a number.
/// - `Date` is a datetime or a date, or NumPy's `datetime64`; one without a time zone is taken for UTC. `UUID` may also
///   be a str, `Decimal` an int, a float or a str, `URL` a str or a path, `String` a path.
/// - A dictionary is a dict with keys of any kind, an OrderedDict, Counter or defaultdict, or an object's attributes.
/// - A struct may also be an object: its attributes by name. An object that names no attributes is the sequence of
///   its arguments, as a namedtuple is, or its one argument, as a member of an enum is.
///
/// A value may share its parts, and so stand for far more than its pickle had bytes. Decoding visits sixteen times
/// as many parts as the value has, and ``PickleLimits/repeatedParts`` more, before it gives up; and goes
/// ``maximumDepth`` deep.
///
/// Errors are `DecodingError` with the coding path, as those of Foundation's coders.
public struct PickleDecoder: Sendable {
  /// How keys of types are found among those of dicts and objects.
  public var keyStrategy = CodingKeyStrategy.unchanged
  /// What a `Date` is read from.
  public var dateStrategy = CodingDateStrategy.native
  /// Which names of a pickle are interpreted; for pickles, not for values.
  public var registry = PickleRegistry.standard
  /// How much a pickle may ask for.
  public var limits = PickleLimits()
  /// How deep containers may be nested: a type that contains itself decodes by recursion.
  public var maximumDepth = 512
  /// What types see of their surroundings.
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

  public init() {}

  /// - Throws: `DecodingError`, and what the type's own `init(from:)` throws.
  public func decode<T: Decodable>(_ type: T.Type, from value: PickleValue) throws -> T {
    var weight = 16
    if case .node(let graph, _) = value.storage { weight += graph.weight }
    let session = PickleDecodingSession(self, weight: weight)
    return try PickleDecoding(.value(value), path: nil, session).unbox(type)
  }

  /// Decodes a pickle.
  ///
  /// - Throws: ``PickleError`` too.
  public func decode<T: Decodable>(_ type: T.Type, from pickle: Span<UInt8>) throws -> T {
    try unsafe pickle.withUnsafeBufferPointer { pickle in try unsafe decode(type, from: pickle) }
  }

  /// Decodes a pickle.
  ///
  /// - Throws: ``PickleError`` too.
  public func decode<T: Decodable>(_ type: T.Type, from pickle: [UInt8]) throws -> T {
    try decode(type, from: pickle.span)
  }

  /// Decodes a pickle.
  ///
  /// - Throws: ``PickleError`` too.
  public func decode<T: Decodable>(_ type: T.Type, from pickle: Data) throws -> T {
    try decode(type, from: pickle.span)
  }

  /// Decodes from a tape, and by way of a value what no tape holds.
  private func decode<T: Decodable>(_ type: T.Type, from pickle: UnsafeBufferPointer<UInt8>) throws -> T {
    if case .custom = keyStrategy.kind {
      // It goes from the keys of the message to those of the type, and so through all of them.
    } else if let tape = unsafe PickleTapeScanner.scan(pickle, limits) {
      var session = PickleDecodingSession(self, weight: 16 + tape.weight)
      session.take(tape)
      let value = try PickleTapeDecoding(session: session, index: tape.root, depth: 0).decodeRoot(type)
      if !isKnownUniquelyReferenced(&session) { session.keepInput() }
      return value
    }
    return try decode(
      type, from: PickleValue(pickle: unsafe pickle.span, registry: registry, limits: limits))
  }
}
