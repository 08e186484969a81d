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
  @nonexhaustive
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
  @nonexhaustive
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

  private func decode<T: Decodable>(_ type: T.Type, filling bytes: UnsafeRawBufferPointer) throws -> T {
    let tape: swmp_tape
    do throws(MsgPackError) {
      unsafe tape = try unsafe scan(bytes, limits)
    } catch {
      throw DecodingError.dataCorrupted(
        .init(codingPath: [], debugDescription: error.description, underlyingError: error))
    }
    return try unsafe decode(type, DecodingState(taking: tape, bytes, self))
  }

  /// Decodes a value from its tape.
  func decode<T: Decodable>(_ type: T.Type, _ tape: Tape, _ bytes: UnsafeRawBufferPointer) throws -> T {
    try unsafe decode(type, DecodingState(tape, bytes, self))
  }

  private func decode<T: Decodable>(_ type: T.Type, _ state: consuming DecodingState) throws -> T {
    var state = state
    defer {
      // Somebody has kept a decoder. The bytes were only lent to us.
      if !isKnownUniquelyReferenced(&state) { state.keepBytes() }
    }
    return try Place(state: state, index: 0, depth: 0).decode(type, at: 0, key: NoKey())
  }
}

/// What all decoders of one value share: its tape, its bytes, and where in the value one is.
///
/// The path is pushed and popped as values are entered and left. A decoder knows how much of it is its own,
/// and copies nothing. One that may be used later, out of order, has a state with a path of its own, and so
/// has a map with an index. Thus a container holds one reference and not three, which are counted whenever
/// the box around it makes a copy: for each value.
@safe
final class DecodingState {
  let options: MsgPackDecoder
  let tokens: UnsafePointer<swmp_token>
  let convertsKeys: Bool
  /// Of a container or decoder that may be used out of order.
  let prefix: [any CodingKey]?
  /// Of a container with an index of its keys.
  let lookup: KeyIndex?
  /// What is looked at for each value, in memory of its own: in the object it would be checked for exclusive
  /// access each time.
  private let shared: UnsafeMutablePointer<Shared>
  /// Whose memory this is.
  private let owner: DecodingState?
  private let tape: Tape?

  @safe
  private struct Shared {
    var start: UnsafePointer<UInt8>
    var byteCount: Int
    var path = Trail()
    /// The type that was last found to be no special one.
    var ordinary: UnsafeRawPointer?
    /// To be freed at the end.
    var ownBytes: UnsafeMutablePointer<UInt8>?
    var ownTape: swmp_tape
    /// Where the key was that was found last, for each of the outer levels.
    var hints = InlineArray<8, Hint>(repeating: Hint(map: .max, key: 0))
  }

  private struct Hint {
    var map: UInt32
    /// The key behind.
    var key: UInt32
  }

  private init(_ tape: Tape?, own: swmp_tape, _ bytes: UnsafeRawBufferPointer, _ options: MsgPackDecoder) {
    guard let tokens = unsafe tape?.tokens ?? UnsafePointer(own.tokens), let start = bytes.baseAddress else {
      preconditionFailure("a value has a token and a byte")
    }
    self.options = options
    unsafe self.tokens = unsafe tokens
    self.tape = tape
    owner = nil
    prefix = nil
    lookup = nil
    if case .useDefaultKeys = options.keyDecodingStrategy {
      convertsKeys = false
    } else {
      convertsKeys = true
    }
    unsafe shared = unsafe swmp_allocate(MemoryLayout<Shared>.size).assumingMemoryBound(to: Shared.self)
    unsafe shared.initialize(
      to: Shared(
        start: start.assumingMemoryBound(to: UInt8.self), byteCount: bytes.count, ownTape: own))
  }

  convenience init(taking tape: swmp_tape, _ bytes: UnsafeRawBufferPointer, _ options: MsgPackDecoder) {
    unsafe self.init(nil, own: tape, bytes, options)
  }

  convenience init(_ tape: Tape, _ bytes: UnsafeRawBufferPointer, _ options: MsgPackDecoder) {
    unsafe self.init(tape, own: swmp_tape(), bytes, options)
  }

  /// A state for a part of the value.
  init(of state: DecodingState, prefix: [any CodingKey]?, lookup: KeyIndex?) {
    options = state.options
    unsafe tokens = unsafe state.tokens
    convertsKeys = state.convertsKeys
    self.prefix = prefix
    self.lookup = lookup
    unsafe shared = unsafe state.shared
    owner = state.whole
    tape = nil
  }

  deinit {
    guard owner == nil else { return }
    unsafe shared.pointee.path.end()
    if let bytes = unsafe shared.pointee.ownBytes { unsafe swmp_deallocate(bytes) }
    unsafe swmp_tape_free(shared.pointee.ownTape)
    unsafe swmp_deallocate(shared)
  }

  /// The one that the whole value has.
  @inline(__always)
  var whole: DecodingState { owner ?? self }

  /// The first of the bytes; a value has one at least.
  @inline(__always)
  var start: UnsafePointer<UInt8> { unsafe shared.pointee.start }

  var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: shared.pointee.start, count: shared.pointee.byteCount)
  }

  /// Goes over to bytes of its own.
  func keepBytes() {
    let count = unsafe shared.pointee.byteCount
    let copy = unsafe swmp_allocate(count).assumingMemoryBound(to: UInt8.self)
    unsafe copy.update(from: start, count: count)
    unsafe shared.pointee.start = unsafe UnsafePointer(copy)
    unsafe shared.pointee.ownBytes = unsafe copy
  }

  @inline(__always)
  func hint(for map: UInt32, depth: UInt32) -> UInt32 {
    guard depth < 8, unsafe shared.pointee.hints[Int(depth)].map == map else { return 0 }
    return unsafe shared.pointee.hints[Int(depth)].key
  }

  @inline(__always)
  func setHint(_ key: UInt32, for map: UInt32, depth: UInt32) {
    if depth < 8 { unsafe shared.pointee.hints[Int(depth)] = Hint(map: map, key: key) }
  }

  /// Whether this is the type that was last found to be no special one: as it is in an array of records.
  @inline(__always)
  func isOrdinary<T>(_ type: T.Type) -> Bool {
    unsafe shared.pointee.ordinary == unsafeBitCast(type as Any.Type, to: UnsafeRawPointer.self)
  }

  @inline(__always)
  func setOrdinary<T>(_ type: T.Type) {
    unsafe shared.pointee.ordinary = unsafe unsafeBitCast(type as Any.Type, to: UnsafeRawPointer.self)
  }

  /// Runs a body for the value at an index, with the path so long, and a key behind it.
  @inline(__always)
  func within<Result, Key: CodingKey>(
    index: Int, depth: UInt32, key: Key, _ body: (Place) throws -> Result
  ) throws -> Result {
    if prefix == nil, unsafe shared.pointee.path.count == Int(depth) {
      if Key.self == NoKey.self { return try body(Place(state: whole, index: UInt32(index), depth: depth)) }
      unsafe shared.pointee.path.append(key)
      defer { unsafe shared.pointee.path.truncate(to: Int(depth)) }
      return try body(Place(state: whole, index: UInt32(index), depth: depth + 1))
    }
    return try outOfOrder(index: index, depth: depth, key: key, body)
  }

  /// The same, used later or from within an inner value.
  @inline(never)
  private func outOfOrder<Result>(
    index: Int, depth: UInt32, key: some CodingKey, _ body: (Place) throws -> Result
  ) throws -> Result {
    let outer = unsafe shared.pointee.path.keys()
    unsafe shared.pointee.path.replace(with: path(depth: depth, key))
    defer { unsafe shared.pointee.path.replace(with: outer) }
    let depth = unsafe shared.pointee.path.count
    return try body(Place(state: whole, index: UInt32(index), depth: UInt32(depth)))
  }

  /// The path of what has so much of it, and a key behind it.
  func path(depth: UInt32, _ key: some CodingKey) -> [any CodingKey] {
    let path = unsafe prefix ?? shared.pointee.path.keys(to: Int(depth))
    return key is NoKey ? path : path + [key]
  }
}

/// The keys that lead to where one is, in plain memory: an array in an object would be checked for exclusive
/// access and for other holders at each value. Whoever makes it ends it.
@safe
struct Trail {
  private var memory: UnsafeMutablePointer<any CodingKey>?
  private var capacity = 0
  private(set) var count = 0

  @inline(__always)
  mutating func append(_ key: some CodingKey) {
    if count == capacity { grow() }
    guard let memory = unsafe memory else { preconditionFailure("there is room") }
    unsafe (memory + count).initialize(to: key)
    count += 1
  }

  @inline(never)
  private mutating func grow() {
    let larger = UnsafeMutablePointer<any CodingKey>.allocate(capacity: max(8, 2 * capacity))
    if let memory = unsafe memory {
      unsafe larger.moveInitialize(from: memory, count: count)
      unsafe memory.deallocate()
    }
    unsafe memory = unsafe larger
    capacity = max(8, 2 * capacity)
  }

  @inline(__always)
  mutating func truncate(to count: Int) {
    while self.count > count {
      self.count -= 1
      if let memory = unsafe memory { unsafe (memory + self.count).deinitialize(count: 1) }
    }
  }

  func keys(to depth: Int = .max) -> [any CodingKey] {
    unsafe Array(UnsafeBufferPointer(start: memory, count: min(count, depth)))
  }

  mutating func replace(with keys: [any CodingKey]) {
    truncate(to: 0)
    for key in keys { append(key) }
  }

  mutating func end() {
    truncate(to: 0)
    if let memory = unsafe memory { unsafe memory.deallocate() }
  }
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
