internal import CMsgPack
public import SWCoding

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Encodes values as MessagePack, in the manner of Foundation's `JSONEncoder`.
///
/// | Swift | MessagePack |
/// |---|---|
/// | struct, class, `[String: …]` | map, keys in the order in which they are encoded |
/// | dictionaries with other keys | map; its keys are the encoded keys of the dictionary, such as integers |
/// | array, set | array |
/// | `nil` | nil |
/// | `Bool`, `String` | boolean, string |
/// | integers | integer in its shortest form; `Int128` and `UInt128` if the value fits 64 bits |
/// | `Float`, `Double` | floating point number of 32 and 64 bits |
/// | `Data` | binary data |
/// | `[UInt8]` | binary data, or an array: ``bytesStrategy`` |
/// | `Date` | timestamp extension, or as ``dateStrategy`` says |
/// | `UUID`, `URL`, `Decimal` | string |
/// | ``MsgPackValue``, ``MsgPackTimestamp`` | the value itself |
/// | types in ``extensions`` | their extension |
///
/// The keys of an `[Int: Value]` are integers wherever a container encodes the dictionary. A type whose
/// `encode(to:)` calls the dictionary's own `encode(to:)` gets strings instead, as with `JSONEncoder`: the
/// dictionary then shows only coding keys, which are the same for `[Int: Value]` and `[String: Value]`. Encode it
/// with `singleValueContainer().encode(dictionary)` to keep integers. ``MsgPackDecoder`` reads both forms.
///
/// An encoder is a value: tasks and threads may use copies of it at the same time.
public struct MsgPackEncoder: Sendable {
  /// How the keys of a type become keys of messages. The keys of dictionaries never change.
  public var keyStrategy: CodingKeyStrategy {
    get { shared.options.keyStrategy }
    set { change { $0.keyStrategy = newValue } }
  }
  /// Whether a key of a type is written as its integer value, if it has one; this is shorter. The keys of
  /// dictionaries are not affected.
  public var usesIntegerKeys: Bool {
    get { shared.options.usesIntegerKeys }
    set { change { $0.usesIntegerKeys = newValue } }
  }
  /// The form in which a `Date` is encoded.
  public var dateStrategy: CodingDateStrategy {
    get { shared.options.dateStrategy }
    set { change { $0.dateStrategy = newValue } }
  }
  /// The form in which a `[UInt8]` is encoded.
  public var bytesStrategy: CodingBytesStrategy {
    get { shared.options.bytesStrategy }
    set { change { $0.bytesStrategy = newValue } }
  }
  /// Whether the entries of each map are sorted by the bytes of their encoded keys, so that equal values have equal
  /// bytes. This needs a second pass over the message.
  public var sortsKeys: Bool {
    get { shared.options.sortsKeys }
    set { change { $0.sortsKeys = newValue } }
  }
  /// The extension types that the program defines.
  public var extensions: MsgPackExtensions {
    get { shared.options.extensions }
    set { change { $0.extensions = newValue } }
  }
  /// Whether to write the format as it was before 2013, for peers that do not know binary data. Binary data is then
  /// written as a string ("raw"), and no string has a header of 8 bits. Extensions, including timestamps, do not
  /// change.
  ///
  /// Source: the MessagePack specification, "Upgrading MessagePack specification".
  public var usesOldRaw: Bool {
    get { shared.options.usesOldRaw }
    set { change { $0.usesOldRaw = newValue } }
  }
  /// The deepest nesting of containers, in levels; 512 by default.
  ///
  /// A type that contains itself encodes by recursion, so this bounds the use of the stack. 512 levels take more than
  /// 256 KB, and up to 2 MB in a debug build, so a thread with a small stack needs a lower limit.
  ///
  /// - Requires: 1 to ``MsgPackLimits/deepest``.
  public var maximumDepth: Int {
    get { shared.options.maximumDepth }
    set {
      precondition(
        (1...MsgPackLimits.deepest).contains(newValue), "a depth from 1 to \(MsgPackLimits.deepest)")
      change { $0.maximumDepth = newValue }
    }
  }
  /// The values that a type's `encode(to:)` finds in `Encoder.userInfo`.
  public var userInfo: [CodingUserInfoKey: any Sendable] {
    get { shared.options.userInfo }
    set { change { $0.userInfo = newValue } }
  }

  private struct Options: Sendable {
    var keyStrategy = CodingKeyStrategy.unchanged
    var usesIntegerKeys = false
    var dateStrategy = CodingDateStrategy.native
    var bytesStrategy = CodingBytesStrategy.bytes
    var sortsKeys = false
    var extensions = MsgPackExtensions()
    var usesOldRaw = false
    var maximumDepth = 512
    var userInfo: [CodingUserInfoKey: any Sendable] = [:]
  }

  private final class Shared: Sendable {
    let options: Options
    init(_ options: Options) { self.options = options }
    static let standard = Shared(Options())
  }

  /// The options, which copies of an encoder share until one is changed. Each call copies the encoder, and to count the
  /// references of all options took 250 instructions of 5,200 for a small map.
  private var shared = Shared.standard

  private mutating func change(_ body: (inout Options) -> Void) {
    var options = shared.options
    body(&options)
    shared = Shared(options)
  }

  public init() {}

  /// Encodes a value.
  ///
  /// - Throws: `EncodingError` for a value that is nested too deeply, that is longer than the format can count,
  ///   that encodes nothing, that encodes the same key twice, or that MessagePack cannot express; and an error of
  ///   the value's own `encode(to:)`.
  public func encode(_ value: some Encodable) throws -> Data {
    try sink(encoding: value).data
  }

  /// Encodes a value as an array of bytes.
  ///
  /// - Throws: as ``encode(_:)``.
  public func encodeBytes(_ value: some Encodable) throws -> [UInt8] {
    try sink(encoding: value).array
  }

  /// Encodes a value as a ``MsgPackValue``.
  ///
  /// - Throws: as ``encode(_:)``; ``MsgPackError`` if there are more than ``MsgPackLimits/elements`` values.
  public func encodeValue(_ value: some Encodable) throws -> MsgPackValue {
    try MsgPackValue(
      sink(encoding: value).array, limits: MsgPackLimits(depth: maximumDepth), usesOldRaw: usesOldRaw)
  }

  func sink(encoding value: some Encodable) throws -> MsgPackSink {
    let state = MsgPackEncodingState(self, prefix: [], room: maximumDepth)
    try MsgPackEncoding(state: state, level: 0).encode(value, key: NoKey())
    if state.hasFailure, let failure = state.takeFailure() { throw failure }
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
