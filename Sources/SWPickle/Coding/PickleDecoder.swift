public import SWCoding

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Decodes Python values into `Decodable` types.
///
/// The table of ``PickleEncoder`` holds in the other direction. In addition:
/// - A sequence is read from a list, tuple, set or frozenset, from a deque, range or `array.array`, or from a NumPy
///   array. A sequence of sequences is read from a NumPy array of several dimensions. Arrays of objects, of strings of
///   any length (`StringDType`) and masked arrays are sequences too; a masked element is nil.
/// - `[UInt8]` and `Data` are read from bytes, a bytearray, an `array.array('B')`, or a NumPy array of `uint8`;
///   `[UInt8]` also from a list of ints. `[String]` is also read from the characters of an `array.array('u')`.
/// - A number converts exactly, a float to the nearest `Float`; any other conversion is an error. A NumPy array
///   without dimensions is a number.
/// - `Date` is read from a datetime, a date, or NumPy's `datetime64`. A value without a time zone is taken as UTC.
/// - `UUID` is also read from a str; `Decimal` from an int, float or str; `URL` from a str or path; `String` from a
///   path.
/// - A dictionary is read from a dict with keys of any kind, an OrderedDict, Counter or defaultdict, or from the
///   attributes of an object.
/// - A struct is also read from the attributes of an object, by name. An object without named attributes is read as
///   the sequence of its arguments (a namedtuple), or as its only argument (a member of an enum).
///
/// A pickle may refer to one part many times, so that a few bytes stand for a very large value. A call therefore
/// visits at most 16 times as many parts as the value has, plus ``PickleLimits/repeatedParts``, and throws
/// `DecodingError.dataCorrupted` beyond that. Each byte of a bytes object is a part. It copies and converts at most 16 times as many bytes of text and data
/// as there are; beyond that, strings and `[UInt8]` share one copy, and 16 bytes of anything else count as a part. It
/// also throws for a value nested deeper than ``maximumDepth``.
///
/// The errors are `DecodingError` with a coding path, as in Foundation's coders. A decoder is a value: tasks and
/// threads may use copies of it at the same time.
public struct PickleDecoder: Sendable {
  /// How the keys of a type correspond to the keys of dicts and the attributes of objects.
  public var keyStrategy = CodingKeyStrategy.unchanged
  /// The form in which a `Date` is expected.
  public var dateStrategy = CodingDateStrategy.native
  /// The classes and functions that are interpreted when a pickle is read. Decoding from a ``PickleValue`` ignores
  /// it.
  public var registry = PickleRegistry.standard
  /// The limits on the size of a pickle.
  public var limits = PickleLimits()
  /// The deepest nesting of containers, in levels; one level more throws `DecodingError`. A type that contains itself
  /// decodes by recursion, so this bounds the use of the stack. 512 levels take 256 KB to 3 MB, and up to 6 MB in a
  /// debug build, so a thread with a small stack needs a lower limit. A value in a single-value container is a level of its own.
  public var maximumDepth = 512
  /// The values that a type's `init(from:)` finds in `Decoder.userInfo`.
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

  public init() {}

  /// Decodes a value that has been read already.
  ///
  /// - Throws: `DecodingError`, or an error of the type's own `init(from:)`.
  public func decode<T: Decodable>(_ type: T.Type, from value: PickleValue) throws -> T {
    var size = (weight: 0, dataCount: 0, byteCount: value.conversionByteCount)
    if case .node(let graph, _) = value.storage { size = graph.size }
    let session = PickleDecodingSession(
      self, weight: 16 + size.weight, dataCount: size.dataCount, byteCount: size.byteCount)
    return try PickleDecoding(.value(value), path: nil, session).unbox(type)
  }

  /// Decodes a pickle.
  ///
  /// - Throws: ``PickleError`` for bytes that are not a pickle, that exceed the limits, or that the registry refuses;
  ///   `DecodingError`; an error of the type's own `init(from:)`.
  public func decode<T: Decodable>(_ type: T.Type, from pickle: Span<UInt8>) throws -> T {
    try unsafe pickle.withUnsafeBufferPointer { pickle in try unsafe decode(type, from: pickle) }
  }

  /// Decodes a pickle.
  ///
  /// - Throws: ``PickleError`` for bytes that are not a pickle, that exceed the limits, or that the registry refuses;
  ///   `DecodingError`; an error of the type's own `init(from:)`.
  public func decode<T: Decodable>(_ type: T.Type, from pickle: [UInt8]) throws -> T {
    try decode(type, from: pickle.span)
  }

  /// Decodes a pickle.
  ///
  /// - Throws: ``PickleError`` for bytes that are not a pickle, that exceed the limits, or that the registry refuses;
  ///   `DecodingError`; an error of the type's own `init(from:)`.
  public func decode<T: Decodable>(_ type: T.Type, from pickle: Data) throws -> T {
    try decode(type, from: pickle.span)
  }

  /// Decodes from a tape. A pickle that no tape can hold is decoded from a value.
  private func decode<T: Decodable>(_ type: T.Type, from pickle: UnsafeBufferPointer<UInt8>) throws -> T {
    if unsafe PickleArrayScanner.mayBeArray(pickle),
      let array = unsafe PickleArrayScanner.scan(pickle, registry, limits)
    {
      return try decode(type, from: PickleValue(array))
    }
    if case .custom = keyStrategy.kind {
      // This strategy converts keys of the message to keys of the type, so all keys of the message are needed.
    } else if let tape = unsafe PickleTapeScanner.scan(pickle, limits) {
      var session = PickleDecodingSession(
        self, weight: 16 + tape.weight, dataCount: tape.dataCount, byteCount: pickle.count)
      session.take(tape)
      let value = try PickleTapeDecoding(session: session, index: tape.root, depth: 0).decodeRoot(type)
      if !isKnownUniquelyReferenced(&session) { session.keepInput() }
      return value
    }
    return try decode(
      type, from: PickleValue(pickle: unsafe pickle.span, registry: registry, limits: limits))
  }
}
