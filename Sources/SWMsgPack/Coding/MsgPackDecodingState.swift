internal import CMsgPack
internal import SWCoding

/// The state that all decoders of one value share: the tape, the bytes, and the current path.
///
/// The path is pushed and popped as values are entered and left. A decoder knows the length of its own path, and copies
/// nothing. A decoder that may be used later, out of order, has a state with its own path, and so does a map with an index.
/// So a container holds one reference and not three, which would be counted for each value whenever the box around the
/// container makes a copy.
@safe
final class MsgPackDecodingState {
  let options: MsgPackDecoder
  let tokens: UnsafePointer<swmp_token>
  /// Whether a function of the program converts keys, so every map has an index.
  let convertsKeys: Bool
  let usesSnakeCase: Bool
  let hasExtensions: Bool
  /// Whether the value is a dictionary that decodes itself from an array of keys and values, which are the pairs of a map
  /// here.
  let readsPairs: Bool
  /// The path of a container or decoder that may be used out of order.
  let prefix: [any CodingKey]?
  /// The index of a container's keys, if it has one.
  let lookup: MsgPackKeyIndex?
  /// The state that every value accesses, in separate memory. In the object, each access would be checked for exclusivity.
  private let shared: UnsafeMutablePointer<Shared>
  /// The owner of that memory.
  private let owner: MsgPackDecodingState?
  private let tape: MsgPackTape?

  @safe
  private struct Shared {
    var start: UnsafePointer<UInt8>
    var byteCount: Int
    var path = CodingPathStack()
    /// Freed at the end.
    var ownBytes: UnsafeMutablePointer<UInt8>?
    var ownTape: swmp_tape
    /// The position of the key that was found last, for each of the outer levels.
    var hints = InlineArray<8, Hint>(repeating: Hint(map: .max, key: 0))
  }

  private struct Hint {
    var map: UInt32
    /// The key behind it.
    var key: UInt32
  }

  /// Makes the state for a tape that belongs to a framing's scanner, or for a tape that it frees itself.
  init(
    _ tape: MsgPackTape?, own: swmp_tape = unsafe swmp_tape(), _ bytes: UnsafeRawBufferPointer,
    _ options: MsgPackDecoder
  ) {
    guard let tokens = unsafe tape?.tokens ?? UnsafePointer(own.tokens), let start = bytes.baseAddress else {
      preconditionFailure("a value has a token and a byte")
    }
    self.options = options
    unsafe self.tokens = unsafe tokens
    self.tape = tape
    owner = nil
    prefix = nil
    lookup = nil
    switch options.keyStrategy.kind {
    case .unchanged: (convertsKeys, usesSnakeCase) = (false, false)
    case .snakeCase: (convertsKeys, usesSnakeCase) = (false, true)
    case .custom: (convertsKeys, usesSnakeCase) = (true, false)
    }
    hasExtensions = !options.extensions.isEmpty
    readsPairs = false
    unsafe shared = unsafe swmp_allocate(MemoryLayout<Shared>.size).assumingMemoryBound(to: Shared.self)
    unsafe shared.initialize(
      to: Shared(
        start: start.assumingMemoryBound(to: UInt8.self), byteCount: bytes.count, ownTape: own))
  }

  /// Makes the state for a part of the value.
  init(
    of state: MsgPackDecodingState, prefix: [any CodingKey]?, lookup: MsgPackKeyIndex? = nil,
    readsPairs: Bool = false
  ) {
    options = state.options
    unsafe tokens = unsafe state.tokens
    convertsKeys = state.convertsKeys
    usesSnakeCase = state.usesSnakeCase
    hasExtensions = state.hasExtensions
    self.readsPairs = readsPairs
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

  /// The state of the whole value.
  @inline(__always)
  var whole: MsgPackDecodingState { owner ?? self }

  /// The first byte. A value has at least one.
  @inline(__always)
  var start: UnsafePointer<UInt8> { unsafe shared.pointee.start }

  var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: shared.pointee.start, count: shared.pointee.byteCount)
  }

  /// Copies the bytes, and uses the copy from now on.
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

  /// Runs `body` for the value at an index, with the first `depth` elements of the path, and a key behind them.
  @inline(__always)
  func within<Result, Key: CodingKey>(
    index: Int, depth: UInt32, key: Key, _ body: (MsgPackDecoding) throws -> Result
  ) throws -> Result {
    if prefix == nil, unsafe shared.pointee.path.count == Int(depth) {
      if Key.self == NoKey.self {
        return try body(MsgPackDecoding(state: whole, index: UInt32(index), depth: depth))
      }
      unsafe shared.pointee.path.append(key)
      defer { unsafe shared.pointee.path.truncate(to: Int(depth)) }
      return try body(MsgPackDecoding(state: whole, index: UInt32(index), depth: depth + 1))
    }
    return try outOfOrder(index: index, depth: depth, key: key, body)
  }

  /// The same for a decoder that is used later, or from within an inner value.
  @inline(never)
  private func outOfOrder<Result>(
    index: Int, depth: UInt32, key: some CodingKey, _ body: (MsgPackDecoding) throws -> Result
  ) throws -> Result {
    let outer = unsafe shared.pointee.path.keys()
    unsafe shared.pointee.path.replace(with: path(depth: depth, key))
    defer { unsafe shared.pointee.path.replace(with: outer) }
    let depth = unsafe shared.pointee.path.count
    return try body(MsgPackDecoding(state: whole, index: UInt32(index), depth: UInt32(depth)))
  }

  /// The first `depth` elements of the path, and a key behind them.
  func path(depth: UInt32, _ key: some CodingKey) -> [any CodingKey] {
    let path = unsafe prefix ?? shared.pointee.path.keys(to: Int(depth))
    return key is NoKey ? path : path + [key]
  }
}
