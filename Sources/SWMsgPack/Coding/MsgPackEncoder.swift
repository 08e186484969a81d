internal import CMsgPack
public import SWCoding

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Encodes values to MessagePack, in the manner of Foundation's `JSONEncoder`.
///
/// | Swift | MessagePack |
/// |---|---|
/// | struct, class, `[String: …]` | map, keys in the order in which they are encoded |
/// | dictionaries with other keys | map; its keys are what the dictionary's keys encode to, such as integers |
/// | array, set | array |
/// | `nil` | nil |
/// | `Bool`, `String` | boolean, string |
/// | integers | integer in its shortest form; `Int128` and `UInt128` if 64 bits hold them |
/// | `Float`, `Double` | floating point number of 32 and 64 bits |
/// | `Data` | binary data |
/// | `[UInt8]` | binary data, or an array: ``bytesStrategy`` |
/// | `Date` | timestamp extension, or as ``dateStrategy`` says |
/// | `UUID`, `URL`, `Decimal` | string |
/// | ``MsgPackValue``, ``MsgPackTimestamp`` | themselves |
/// | types in ``extensions`` | their extension |
///
/// Safe to share between threads and tasks as long as no one changes its options meanwhile.
public struct MsgPackEncoder: Sendable {
  /// What becomes of the keys of types. Keys of dictionaries never change.
  public var keyStrategy = CodingKeyStrategy.unchanged
  /// Whether a key of a type that has an integer value is written as the integer, which is shorter. Keys of
  /// dictionaries are written as what they are in any case.
  public var usesIntegerKeys = false
  /// How dates are written.
  public var dateStrategy = CodingDateStrategy.native
  /// How `[UInt8]` is written.
  public var bytesStrategy = CodingBytesStrategy.bytes
  /// Whether the entries of each map are sorted by the bytes of their encoded keys, so that equal values have equal
  /// bytes. Costs a second pass over the message.
  public var sortsKeys = false
  /// The extension types of the program.
  public var extensions = MsgPackExtensions()
  /// Whether to write the format as it was before 2013, for peers that know no binary data: binary data goes out as a
  /// string ("raw"), and a string takes no header of 8 bits. Extensions, and so timestamps, stay what they are.
  ///
  /// Source: the MessagePack specification, "Upgrading MessagePack specification".
  public var usesOldRaw = false
  /// How many levels of containers a value may have: 512 unless told otherwise.
  ///
  /// - Requires: 1 to ``MsgPackLimits/deepest``.
  public var maximumDepth = 512 {
    willSet {
      precondition(
        (1...MsgPackLimits.deepest).contains(newValue), "a depth from 1 to \(MsgPackLimits.deepest)")
    }
  }
  /// What types see of their surroundings.
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

  public init() {}

  /// Encodes a value.
  ///
  /// - Throws: `EncodingError` for a value that is nested too deeply, longer than the format can count, that encodes
  ///   nothing at all, that encodes the same key twice, or that MessagePack cannot express; and the errors of the
  ///   value's own `encode(to:)`.
  public func encode(_ value: some Encodable) throws -> Data {
    try sink(encoding: value).data
  }

  /// Encodes a value to an array of bytes.
  ///
  /// - Throws: as ``encode(_:)``.
  public func encodeBytes(_ value: some Encodable) throws -> [UInt8] {
    try sink(encoding: value).array
  }

  /// Encodes a value to a value without a Swift type.
  ///
  /// - Throws: as ``encode(_:)``. A value of more than ``MsgPackLimits/elements`` values throws ``MsgPackError``.
  public func encodeValue(_ value: some Encodable) throws -> MsgPackValue {
    try MsgPackValue(
      sink(encoding: value).array, limits: MsgPackLimits(depth: maximumDepth), usesOldRaw: usesOldRaw)
  }

  func sink(encoding value: some Encodable) throws -> MsgPackSink {
    let state = MsgPackEncodingState(self, prefix: [], room: maximumDepth)
    try MsgPackEncoding(state: state, level: 0).encode(value, key: NoKey())
    if let failure = state.takeFailure() { throw failure }
    try state.gather()
    if state.count == 0 {
      throw EncodingError.invalidValue(
        value, .init(codingPath: [], debugDescription: "\(type(of: value)) encodes nothing"))
    }
    if sortsKeys { state.sortKeys() }
    return state
  }
}

extension MsgPackSink {
  fileprivate var data: Data { withExtendedLifetime(self) { unsafe Data(bytes) } }
}
