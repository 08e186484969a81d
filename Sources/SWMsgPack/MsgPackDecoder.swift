internal import CMsgPack

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Decodes values from MessagePack, in the manner of Foundation's `JSONDecoder`.
///
/// Integers and floating point numbers convert where nothing is lost, and else are an error. `Data` is binary
/// data,
/// `[UInt8]` that or an array, `Date` the timestamp extension unless told otherwise, `UUID` and `URL` are strings.
/// Of keys that come twice the last one counts. A key of a type with integer values is found under its string
/// and under its integer.
///
/// Safe to share between threads and tasks as long as nobody changes its options.
public struct MsgPackDecoder: Sendable {
  /// How dates are read.
  public enum DateDecodingStrategy: Sendable {
    /// From the timestamp extension.
    case timestamp
    /// As `Date` has it: a number of seconds since 2001.
    case deferredToDate
    case secondsSince1970
    case millisecondsSince1970
    /// From a string such as `2026-11-25T20:00:00Z`.
    case iso8601
    case custom(@Sendable (any Decoder) throws -> Date)
  }

  /// How the keys in the bytes become those of the types.
  public enum KeyDecodingStrategy: Sendable {
    case useDefaultKeys
    /// `one_two` becomes `oneTwo`.
    case convertFromSnakeCase
    case custom(@Sendable (_ codingPath: [any CodingKey]) -> any CodingKey)
  }

  public var dateDecodingStrategy = DateDecodingStrategy.timestamp
  public var keyDecodingStrategy = KeyDecodingStrategy.useDefaultKeys
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]
  public var limits = MsgPackLimits()

  public init() {}

  /// Decodes the one value that the bytes hold.
  ///
  /// - Throws: `DecodingError`; where the bytes are to blame, with a ``MsgPackError`` as the underlying error.
  public func decode<T: Decodable>(_ type: T.Type, from data: Data) throws -> T {
    try unsafe data.withUnsafeBytes { bytes in try unsafe decode(type, filling: bytes) }
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

  private func decode<T: Decodable>(_ type: T.Type, filling bytes: UnsafeRawBufferPointer) throws -> T {
    let tape: Tape
    do throws(MsgPackError) {
      tape = try unsafe Tape(filling: bytes, limits: limits)
    } catch {
      throw DecodingError.dataCorrupted(
        .init(codingPath: [], debugDescription: error.description, underlyingError: error))
    }
    return try unsafe decode(type, tape, bytes)
  }

  /// Decodes a value from its tape.
  func decode<T: Decodable>(_ type: T.Type, _ tape: Tape, _ bytes: UnsafeRawBufferPointer) throws -> T {
    var state = unsafe DecodingState(tape, bytes, self)
    defer {
      // Somebody has kept a decoder. The bytes were only lent to us.
      if !isKnownUniquelyReferenced(&state) { state.keepBytes() }
    }
    return try Place(state: state, index: 0, depth: 0, prefix: nil)
      .decode(type, at: 0, key: NoKey())
  }
}

/// What all decoders of one value share: its tape, its bytes, and where in the value one is.
///
/// The path is pushed and popped as values are entered and left. A decoder knows how much of it is its own,
/// and copies nothing. One that may be used later, out of order, has a ``PathPrefix`` instead.
@safe
final class DecodingState {
  let tape: Tape
  let options: MsgPackDecoder
  let tokens: UnsafePointer<swmp_token>
  fileprivate(set) var path: [any CodingKey] = []
  let convertsKeys: Bool
  private var ownsBytes = false
  /// What is looked at for each value, in memory of its own: in the object it would be checked for exclusive
  /// access each time.
  private let shared: UnsafeMutablePointer<Shared>

  @safe
  private struct Shared {
    var bytes: UnsafeRawBufferPointer
    /// Where the key was that was found last, for each of the outer levels.
    var hints = InlineArray<8, Hint>(repeating: Hint(map: .max, key: 0))
  }

  private struct Hint {
    var map: UInt32
    /// The key behind.
    var key: UInt32
  }

  init(_ tape: Tape, _ bytes: UnsafeRawBufferPointer, _ options: MsgPackDecoder) {
    self.tape = tape
    self.options = options
    unsafe tokens = unsafe tape.tokens
    if case .useDefaultKeys = options.keyDecodingStrategy {
      convertsKeys = false
    } else {
      convertsKeys = true
    }
    unsafe shared = .allocate(capacity: 1)
    unsafe shared.initialize(to: Shared(bytes: bytes))
  }

  deinit {
    if ownsBytes { unsafe bytes.deallocate() }
    unsafe shared.deallocate()
  }

  var bytes: UnsafeRawBufferPointer { unsafe shared.pointee.bytes }

  /// The first of the bytes; a value has one at least.
  var start: UnsafePointer<UInt8> {
    guard let start = unsafe bytes.baseAddress else { preconditionFailure("a value has a byte") }
    return unsafe UnsafePointer(start.assumingMemoryBound(to: UInt8.self))
  }

  /// Goes over to bytes of its own.
  func keepBytes() {
    ownsBytes = true
    let copy = unsafe UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    unsafe copy.copyMemory(from: bytes)
    unsafe shared.pointee.bytes = UnsafeRawBufferPointer(copy)
  }

  func hint(for map: Int, depth: Int) -> UInt32 {
    guard depth < 8, unsafe shared.pointee.hints[depth].map == map else { return 0 }
    return unsafe shared.pointee.hints[depth].key
  }

  func setHint(_ key: Int, for map: Int, depth: Int) {
    if depth < 8 { unsafe shared.pointee.hints[depth] = Hint(map: UInt32(map), key: UInt32(key)) }
  }

  /// Runs a body with the path so long, and a key behind it.
  func within<Result, Key: CodingKey>(
    depth: Int, prefix: PathPrefix?, key: Key, _ body: (_ depth: Int) throws -> Result
  ) throws -> Result {
    if prefix == nil, path.count == depth { return try push(key, body) }
    // Used out of order, or from within an inner value.
    let outer = path
    path = prefix?.keys ?? Array(path.prefix(depth))
    defer { path = outer }
    return try push(key, body)
  }

  @inline(__always)
  private func push<Result, Key: CodingKey>(
    _ key: Key, _ body: (_ depth: Int) throws -> Result
  ) throws -> Result {
    if Key.self == NoKey.self { return try body(path.count) }
    path.append(key)
    let depth = path.count
    defer { if path.count >= depth { path.removeSubrange((depth - 1)...) } }
    return try body(depth)
  }

  func codingPath(depth: Int, prefix: PathPrefix?) -> [any CodingKey] {
    prefix?.keys ?? Array(path.prefix(depth))
  }
}

/// The path of a decoder or an encoder that may be used out of order.
final class PathPrefix {
  let keys: [any CodingKey]

  init(_ keys: [any CodingKey]) { self.keys = keys }
}

/// For a value that has no key: the whole, and what a single value container holds. A type of its own costs
/// less than an optional key, whose metadata would be looked up at each value.
struct NoKey: CodingKey {
  var stringValue: String { "" }
  var intValue: Int? { nil }

  init() {}
  init?(stringValue: String) { nil }
  init?(intValue: Int) { nil }
}

/// A place in an array, or the place of what a class decodes first.
struct PositionKey: CodingKey {
  var position: Int
  var stringValue: String { position < 0 ? "super" : "Index \(position)" }
  var intValue: Int? { position < 0 ? nil : position }

  init(_ position: Int) { self.position = position }
  init?(stringValue: String) { nil }
  init?(intValue: Int) { position = intValue }

  static var `super`: PositionKey { PositionKey(-1) }
}

/// A key made of text, or of a number.
struct TextKey: CodingKey {
  var stringValue: String
  var intValue: Int?

  init(stringValue: String) { self.stringValue = stringValue }
  init(intValue: Int) {
    stringValue = "\(intValue)"
    self.intValue = intValue
  }
}
