internal import CMsgPack
public import SWCoding

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Decodes values from MessagePack, in the manner of Foundation's `JSONDecoder`.
///
/// The table of ``MsgPackEncoder`` holds in the other direction. In addition:
/// - An integer and a floating point number convert into each other's types if nothing is lost; otherwise decoding
///   throws. A number of double precision becomes the nearest `Float`; a finite number that would become infinite
///   is an error.
/// - `Data` and `[UInt8]` are read from binary data or a string, `[UInt8]` also from an array.
/// - `UUID` is read from a string with or without dashes, or from 16 bytes; `Decimal` from a string or a number.
/// - A key of a type is found as a string, as binary data that is UTF-8, and, if it has an integer value, as an
///   integer.
/// - A dictionary is read from a map. If its keys are neither strings nor `Int`, it is also read from an array in
///   which keys and values alternate.
///
/// If a map repeats a key exactly, the last value counts. If two different keys become the same key of a
/// dictionary, or if the dictionary's type cannot express a key, decoding throws.
///
/// A decoder is a value: tasks and threads may use copies of it at the same time.
public struct MsgPackDecoder: Sendable {
  /// How the keys of a type correspond to the keys of messages. The keys of dictionaries never change.
  public var keyStrategy: CodingKeyStrategy {
    get { shared.options.keyStrategy }
    set { change { $0.keyStrategy = newValue } }
  }
  /// The form in which a `Date` is expected.
  public var dateStrategy: CodingDateStrategy {
    get { shared.options.dateStrategy }
    set { change { $0.dateStrategy = newValue } }
  }
  /// The extension types that the program defines.
  public var extensions: MsgPackExtensions {
    get { shared.options.extensions }
    set { change { $0.extensions = newValue } }
  }
  /// Whether a string that is not UTF-8 is read as ``MsgPackValue/binary(_:)`` in a ``MsgPackValue`` instead of an
  /// error. Peers that use the format as it was before 2013 send binary data as strings. `Data` and `[UInt8]` are
  /// always read from strings, too.
  public var usesOldRaw: Bool {
    get { shared.options.usesOldRaw }
    set { change { $0.usesOldRaw = newValue } }
  }
  /// The values that a type's `init(from:)` finds in `Decoder.userInfo`.
  public var userInfo: [CodingUserInfoKey: any Sendable] {
    get { shared.options.userInfo }
    set { change { $0.userInfo = newValue } }
  }
  /// The limits on the size of a value.
  public var limits: MsgPackLimits {
    get { shared.options.limits }
    set { change { $0.limits = newValue } }
  }
  /// The deepest nesting of containers, in levels: ``MsgPackLimits/depth`` of ``limits``.
  ///
  /// A type that contains itself decodes by recursion, so this bounds the use of the stack. 512 levels take more than
  /// 256 KB, and up to 2 MB in a debug build, so a thread with a small stack needs a lower limit.
  public var maximumDepth: Int {
    get { limits.depth }
    set { limits.depth = newValue }
  }

  private struct Options: Sendable {
    var keyStrategy = CodingKeyStrategy.unchanged
    var dateStrategy = CodingDateStrategy.native
    var extensions = MsgPackExtensions()
    var usesOldRaw = false
    var userInfo: [CodingUserInfoKey: any Sendable] = [:]
    var limits = MsgPackLimits()
  }

  private final class Shared: Sendable {
    let options: Options
    init(_ options: Options) { self.options = options }
    static let standard = Shared(Options())
  }

  /// The options, which copies of a decoder share until one is changed, as those of ``MsgPackEncoder`` do.
  private var shared = Shared.standard

  private mutating func change(_ body: (inout Options) -> Void) {
    var options = shared.options
    body(&options)
    shared = Shared(options)
  }

  public init() {}

  /// Decodes the one value that the bytes hold.
  ///
  /// - Throws: `DecodingError`, with a ``MsgPackError`` as its underlying error if the bytes are not MessagePack or exceed
  ///   the limits; an error of the type's own `init(from:)`.
  public func decode<T: Decodable>(_ type: T.Type, from data: Data) throws -> T {
    try unsafe data.bytes.withUnsafeBytes { bytes in try unsafe decode(type, filling: bytes) }
  }

  /// Decodes the one value that the bytes hold.
  ///
  /// - Throws: as ``decode(_:from:)-(_,Data)``.
  public func decode<T: Decodable>(_ type: T.Type, from bytes: [UInt8]) throws -> T {
    try unsafe bytes.withUnsafeBytes { bytes in try unsafe decode(type, filling: bytes) }
  }

  /// Decodes the one value that the bytes hold.
  ///
  /// - Throws: as ``decode(_:from:)-(_,Data)``.
  public func decode<T: Decodable>(_ type: T.Type, from bytes: Span<UInt8>) throws -> T {
    try unsafe bytes.withUnsafeBytes { bytes in try unsafe decode(type, filling: bytes) }
  }

  /// Decodes from a value that has been read already.
  ///
  /// - Throws: as ``decode(_:from:)-(_,Data)``, and `EncodingError` for a value that is nested too deeply.
  public func decode<T: Decodable>(_ type: T.Type, from value: MsgPackValue) throws -> T {
    try decode(type, from: value.encoded(limits: limits))
  }

  private func decode<T: Decodable>(_ type: T.Type, filling bytes: UnsafeRawBufferPointer) throws -> T {
    let tape: swmp_tape
    do throws(MsgPackError) {
      unsafe tape = try unsafe scan(bytes, limits)
    } catch {
      throw DecodingError.dataCorrupted(
        .init(codingPath: [], debugDescription: error.description, underlyingError: error))
    }
    return try unsafe decode(type, MsgPackDecodingState(nil, own: tape, bytes, self))
  }

  /// Decodes a value from its tape.
  func decode<T: Decodable>(_ type: T.Type, _ tape: MsgPackTape, _ bytes: UnsafeRawBufferPointer) throws -> T
  {
    try unsafe decode(type, MsgPackDecodingState(tape, bytes, self))
  }

  private func decode<T: Decodable>(_ type: T.Type, _ state: consuming MsgPackDecodingState) throws -> T {
    var state = state
    defer {
      // A decoder has been kept. The bytes were only lent, so it gets a copy.
      if !isKnownUniquelyReferenced(&state) { state.keepBytes() }
    }
    return try MsgPackDecoding(state: state, index: 0, depth: 0).decode(type, at: 0, key: NoKey())
  }
}
