internal import CMsgPack
internal import SWCoding

/// What all decoders of one value share: its tape, its bytes, and where in the value one is.
///
/// The path is pushed and popped as values are entered and left. A decoder knows how much of it is its own,
/// and copies nothing. One that may be used later, out of order, has a state with a path of its own, and so
/// has a map with an index. Thus a container holds one reference and not three, which are counted whenever
/// the box around it makes a copy: for each value.
@safe
final class MsgPackDecodingState {
  let options: MsgPackDecoder
  let tokens: UnsafePointer<swmp_token>
  /// Keys go through a function of the program's, so every map has an index of them.
  let convertsKeys: Bool
  let usesSnakeCase: Bool
  let hasExtensions: Bool
  /// The value is a dictionary that decodes itself from an array of keys and values, which are a map's here.
  let readsPairs: Bool
  /// Of a container or decoder that may be used out of order.
  let prefix: [any CodingKey]?
  /// Of a container with an index of its keys.
  let lookup: MsgPackKeyIndex?
  /// What is looked at for each value, in memory of its own: in the object it would be checked for exclusive
  /// access each time.
  private let shared: UnsafeMutablePointer<Shared>
  /// Whose memory this is.
  private let owner: MsgPackDecodingState?
  private let tape: MsgPackTape?

  @safe
  private struct Shared {
    var start: UnsafePointer<UInt8>
    var byteCount: Int
    var path = CodingPathStack()
    /// To be freed at the end.
    var ownBytes: UnsafeMutablePointer<UInt8>?
    var ownTape: swmp_tape
    /// Where the key was that was found last, for each of the outer levels.
    var hints = InlineArray<8, Hint>(repeating: Hint(map: .max, key: 0))
  }

  private struct Hint {
    var map: UInt32
    /// The key after.
    var key: UInt32
  }

  /// Of a tape that belongs to a framing's scanner, or of one that it frees itself.
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

  /// A state for a part of the value.
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

  /// The one that the whole value has.
  @inline(__always)
  var whole: MsgPackDecodingState { owner ?? self }

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

  /// Runs a body for the value at an index, with the path so long, and a key after it.
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

  /// The same, used later or from within an inner value.
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

  /// The path of what has so much of it, and a key after it.
  func path(depth: UInt32, _ key: some CodingKey) -> [any CodingKey] {
    let path = unsafe prefix ?? shared.pointee.path.keys(to: Int(depth))
    return key is NoKey ? path : path + [key]
  }
}
