public import SWCoding

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Makes Python's values of `Encodable` ones.
///
/// | Swift | Python |
/// |---|---|
/// | struct, class | dict with str keys, in the order in which they are encoded |
/// | dictionary | dict; its keys are str, int, or whatever Python can hash |
/// | array, set | list |
/// | `nil` | None |
/// | `Bool`, integers, `Double`, `Float`, `String` | bool, int, float, str |
/// | `Data` | bytes |
/// | `[UInt8]` | bytes, or list: ``bytesStrategy`` |
/// | `Date` | datetime in UTC, to the microsecond; or ``dateStrategy`` |
/// | `UUID`, `Decimal`, `URL` | UUID, Decimal, str |
/// | ``PickleValue`` and its parts, ``NumPyArray`` | themselves |
///
/// ```swift
/// let pickle = try PickleEncoder().encode(Request(id: 7, text: "…"))       // {"id": 7, "text": "…"}
/// let value = try PickleEncoder().encodeValue(Request(id: 7, text: "…"))   // the same, as a PickleValue
/// ```
///
/// Encoding is finished, or has failed, before anything of it is seen.
public struct PickleEncoder: Sendable {
  /// How keys of types become keys of dicts.
  public var keyStrategy = CodingKeyStrategy.unchanged
  /// What a `Date` becomes.
  public var dateStrategy = CodingDateStrategy.native
  /// What `[UInt8]` becomes.
  public var bytesStrategy = CodingBytesStrategy.bytes
  /// Whether the keys of dicts are sorted by their bytes, ints first, so that equal values become equal pickles.
  public var sortsKeys = false
  /// How deep containers may be nested: a type that contains itself encodes by recursion.
  public var maximumDepth = 512
  /// The protocol of the pickles that are written.
  public var version = PickleProtocol.four
  /// What types see of their surroundings.
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

  /// Encodes a value as a value of Python's.
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
