public import SWCoding

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Encodes `Encodable` values as Python values.
///
/// | Swift | Python |
/// |---|---|
/// | struct, class | dict with str keys, in the order in which they are encoded |
/// | dictionary | dict; a key is a str, an int, or any value that Python can hash |
/// | array, set | list |
/// | `nil` | None |
/// | `Bool`, integers, `Double`, `Float`, `String` | bool, int, float, str |
/// | `Data` | bytes |
/// | `[UInt8]` | bytes, or list: ``bytesStrategy`` |
/// | `Date` | datetime in UTC, rounded to the microsecond; or ``dateStrategy`` |
/// | `UUID`, `Decimal`, `URL` | UUID, Decimal, str |
/// | ``PickleValue`` and its parts, ``NumPyArray`` | the value itself |
///
/// ```swift
/// let pickle = try PickleEncoder().encode(Request(id: 7, text: "…"))       // {"id": 7, "text": "…"}
/// let value = try PickleEncoder().encodeValue(Request(id: 7, text: "…"))   // the same, as a PickleValue
/// ```
///
/// The keys of an `[Int: Value]` are ints wherever a container encodes the dictionary. A type whose `encode(to:)`
/// calls the dictionary's own `encode(to:)` gets str keys instead, as with `JSONEncoder`: the dictionary then shows
/// only coding keys, which are the same for `[Int: Value]` and `[String: Value]`. Encode it with
/// `singleValueContainer().encode(dictionary)` to keep ints. ``PickleDecoder`` reads both forms.
///
/// A call returns the whole encoding or throws; it never returns a part of it. An encoder is a value: tasks and
/// threads may use copies of it at the same time.
public struct PickleEncoder: Sendable {
  /// How the keys of a type become keys of dicts.
  public var keyStrategy = CodingKeyStrategy.unchanged
  /// The form in which a `Date` is encoded.
  public var dateStrategy = CodingDateStrategy.native
  /// The form in which a `[UInt8]` is encoded.
  public var bytesStrategy = CodingBytesStrategy.bytes
  /// Whether the keys of each dict are sorted: ints first, then the others by their bytes. Equal values then have
  /// equal pickles.
  public var sortsKeys = false
  /// The deepest nesting of containers, in levels; one level more throws `EncodingError`. A type that contains itself
  /// encodes by recursion, so this bounds the use of the stack. 512 levels take more than 256 KB, and up to 4 MB in a
  /// debug build, so a thread with a small stack needs a lower limit. A value in a single-value container is a level of its own.
  public var maximumDepth = 512
  /// The pickle protocol that is written.
  public var version = PickleProtocol.four
  /// The values that a type's `encode(to:)` finds in `Encoder.userInfo`.
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

  public init() {}

  /// Encodes a value as a pickle.
  ///
  /// - Throws: `EncodingError` if Python has no such value, and what the value's own `encode(to:)` throws.
  public func encode(_ value: some Encodable) throws -> Data { Data(try encodeBytes(value)) }

  /// Encodes a value as a pickle.
  ///
  /// - Throws: `EncodingError` if Python has no such value, and what the value's own `encode(to:)` throws.
  public func encodeBytes(_ value: some Encodable) throws -> [UInt8] {
    try encoded(value).finishBytes()
  }

  /// Encodes a value as a ``PickleValue``.
  ///
  /// - Throws: `EncodingError` if Python has no such value, and what the value's own `encode(to:)` throws.
  public func encodeValue(_ value: some Encodable) throws -> PickleValue {
    if let value = value as? any PickleConvertible { return value.pickleValue }
    return try PickleValue(pickle: encodeBytes(value), limits: .unlimited)
  }

  /// - Returns: the pickle in parts; large bytes are a part of their own and have not been copied.
  func encodeParts(_ value: some Encodable) throws -> [[UInt8]] { try encoded(value).finishParts() }

  private func encoded(_ value: some Encodable) throws -> PickleEncodingState {
    let state = PickleEncodingState(self)
    try PickleEncoding(state: state, level: 0).encode(value, key: PickleNoKey())
    state[0].kind = .single
    return state
  }
}
