internal import CMsgPack
public import SWCoding

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Decodes values from MessagePack, in the manner of Foundation's `JSONDecoder`.
///
/// The table of ``MsgPackEncoder`` holds in the other direction, and further:
/// - An integer and a floating point number become each other's types if nothing is lost, and else are an error. A
///   number of double precision becomes the nearest `Float`; a finite one that would become infinite is an error.
/// - `Data` and `[UInt8]` are binary data or a string, `[UInt8]` also an array.
/// - `UUID` is a string with or without dashes, or 16 bytes. `Decimal` is a string or a number.
/// - A key of a type is found as a string, as binary data that is UTF-8, and, if it has an integer value, as the integer.
/// - A dictionary is a map, and an array in which keys and values take turns if its keys are neither strings nor `Int`.
///
/// A key that a map repeats exactly counts with its last value. Two distinct keys that become the same key of a
/// dictionary are an error, and so is a key that the dictionary's type cannot express.
///
/// Safe to share between threads and tasks as long as no one changes its options meanwhile.
public struct MsgPackDecoder: Sendable {
  /// What the keys of types are in messages. Keys of dictionaries never change.
  public var keyStrategy = CodingKeyStrategy.unchanged
  /// How dates are read.
  public var dateStrategy = CodingDateStrategy.native
  /// The extension types of the program.
  public var extensions = MsgPackExtensions()
  /// Whether a string that is not UTF-8 becomes ``MsgPackValue/binary(_:)`` in a ``MsgPackValue`` instead of an error.
  /// Peers of the format as it was before 2013 send binary data as strings. `Data` and `[UInt8]` are read from strings
  /// in any case.
  public var usesOldRaw = false
  /// What types see of their surroundings.
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]
  /// How much a value may hold.
  public var limits = MsgPackLimits()
  /// How many levels of containers a value may have: ``MsgPackLimits/depth`` of ``limits``.
  public var maximumDepth: Int {
    get { limits.depth }
    set { limits.depth = newValue }
  }

  public init() {}

  /// Decodes the one value that the bytes hold.
  ///
  /// - Throws: `DecodingError`; where the bytes are to blame, with a ``MsgPackError`` as the underlying error.
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

  /// Decodes a value without a Swift type.
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
    return try unsafe decode(type, MsgPackDecodingState(taking: tape, bytes, self))
  }

  /// Decodes a value from its tape.
  func decode<T: Decodable>(_ type: T.Type, _ tape: MsgPackTape, _ bytes: UnsafeRawBufferPointer) throws -> T
  {
    try unsafe decode(type, MsgPackDecodingState(tape, bytes, self))
  }

  private func decode<T: Decodable>(_ type: T.Type, _ state: consuming MsgPackDecodingState) throws -> T {
    var state = state
    defer {
      // Somebody has kept a decoder. The bytes were only lent to us.
      if !isKnownUniquelyReferenced(&state) { state.keepBytes() }
    }
    return try MsgPackDecoding(state: state, index: 0, depth: 0).decode(type, at: 0, key: NoKey())
  }
}
