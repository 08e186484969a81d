internal import CMsgPack
internal import SWCoding

/// The state that all encoders of one sink share. It is that sink.
///
/// The levels are a stack of the values that are being encoded. A level's container writes its header when the level ends,
/// and reserves room for it before. Nested containers and the encoders of superclasses may be used out of order. They get a
/// state and a sink of their own.
@safe
final class MsgPackEncodingState: MsgPackSink {
  let options: MsgPackEncoder
  let prefix: [any CodingKey]
  /// How many containers may still be nested.
  let room: Int
  let convertsKeys: Bool
  let hasExtensions: Bool
  /// The first error of a method that cannot throw. The value that is being encoded throws it. It is not an optional of its
  /// own type, because making and ending that takes 50 instructions.
  private var failure: (any Error)?
  /// The state that every value accesses, in separate memory. In the object, each access would be checked for exclusivity.
  private let core: UnsafeMutablePointer<Core>

  struct Level {
    enum Kind {
      case none, array, map
      /// A value that is not a container.
      case single
    }
    var kind = Kind.none
    /// Whether the value is a dictionary with string keys, which are distinct and which no strategy changes.
    var hasTextKeys = false
    /// Whether the value is a dictionary with integer keys.
    var hasIntegerKeys = false
    /// Whether the value is a dictionary that encodes itself as an array of keys and values, which become the pairs of a map
    /// here.
    var isPairs = false
    /// Whether keys are written as their own text. It replaces four tests for each key.
    var hasPlainKeys: Bool
    /// Whether keys have been written that may repeat. They are compared at the end.
    var mayRepeatKeys = false
    var place = 0
    var count = 0
    /// A bit for each case of the key type that has been written.
    var seenKeys: UInt64 = 0
    /// The number of elements of the path that belong to this level.
    var depth: Int
    /// The number of containers around it.
    var containers: Int
  }

  @safe
  private struct Core {
    /// The first member, because the sink's address is that of this memory.
    var sink: swmp_sink
    var path = CodingPathStack()
    var levels: UnsafeMutablePointer<Level>
    var hasFailure = false
    var levelCount = 1
    var levelCapacity: Int
  }

  init(_ options: MsgPackEncoder, prefix: [any CodingKey], room: Int) {
    self.options = options
    self.prefix = prefix
    self.room = room
    convertsKeys = !options.keyStrategy.isUnchanged || options.usesIntegerKeys
    hasExtensions = !options.extensions.isEmpty
    // The room for the first levels and the first bytes is behind it in the same memory.
    let (levelCount, byteCount) = (8, 256)
    let memory = unsafe swmp_allocate(
      MemoryLayout<Core>.stride + levelCount * MemoryLayout<Level>.stride + byteCount)
    unsafe core = unsafe memory.assumingMemoryBound(to: Core.self)
    let levels = unsafe Self.firstLevels(core)
    let bytes = unsafe UnsafeMutableRawPointer(levels + levelCount).assumingMemoryBound(to: UInt8.self)
    let sink = unsafe swmp_sink(
      bytes: bytes, count: 0, capacity: byteCount, parts: 0, first: bytes, uses_old_raw: options.usesOldRaw)
    unsafe core.initialize(to: Core(sink: sink, levels: levels, levelCapacity: levelCount))
    unsafe levels.initialize(to: Level(hasPlainKeys: !convertsKeys, depth: 0, containers: 0))
    unsafe super.init(in: memory.assumingMemoryBound(to: swmp_sink.self))
  }

  private static func firstLevels(_ core: UnsafeMutablePointer<Core>) -> UnsafeMutablePointer<Level> {
    unsafe UnsafeMutableRawPointer(core + 1).assumingMemoryBound(to: Level.self)
  }

  deinit {
    unsafe core.pointee.path.end()
    if unsafe core.pointee.levels != Self.firstLevels(core) { unsafe swmp_deallocate(core.pointee.levels) }
  }

  @inline(__always)
  var levelCount: Int { unsafe core.pointee.levelCount }

  @inline(__always)
  subscript(level: Int) -> Level {
    get { unsafe pointer(to: level).pointee }
    _modify { yield unsafe &pointer(to: level).pointee }
  }

  /// The address of a level until the next one is entered. For two or more accesses, each of which would be checked.
  @inline(__always)
  func pointer(to level: Int) -> UnsafeMutablePointer<Level> {
    precondition(level < levelCount, "no such level")
    return unsafe core.pointee.levels + level
  }

  /// The same for a level that has to be the innermost one: the others' containers are in use.
  @inline(__always)
  func innermost(_ level: Int) throws -> UnsafeMutablePointer<Level> {
    if level != levelCount - 1 { throw MsgPackEncoding(state: self, level: level).outOfTurn() }
    return unsafe core.pointee.levels + level
  }

  // MARK: Failures

  /// Keeps an error that was found in a function that cannot throw.
  @inline(never)
  func fail(_ error: EncodingError) {
    if failure == nil { failure = error }
    unsafe core.pointee.hasFailure = true
  }

  @inline(__always)
  var hasFailure: Bool { unsafe core.pointee.hasFailure }

  func takeFailure() -> (any Error)? {
    defer {
      failure = nil
      unsafe core.pointee.hasFailure = false
    }
    return failure
  }

  // MARK: Levels

  /// Enters a value under a key.
  @inline(__always)
  func enter<Key: CodingKey>(_ key: Key, containers: Int) {
    if Key.self != NoKey.self { unsafe core.pointee.path.append(key) }
    if unsafe levelCount == core.pointee.levelCapacity { grow() }
    unsafe (core.pointee.levels + levelCount).initialize(
      to: Level(hasPlainKeys: !convertsKeys, depth: core.pointee.path.count, containers: containers))
    unsafe core.pointee.levelCount += 1
  }

  /// Leaves all levels that were entered since. A level holds only numbers, so nothing has to be freed.
  @inline(__always)
  func leave(to level: Int, depth: Int) {
    unsafe core.pointee.levelCount = level + 1
    unsafe core.pointee.path.truncate(to: depth)
  }

  @inline(never)
  private func grow() {
    let (old, count) = unsafe (core.pointee.levels, levelCount)
    let larger = unsafe swmp_allocate(2 * count * MemoryLayout<Level>.stride)
      .assumingMemoryBound(to: Level.self)
    unsafe larger.moveInitialize(from: old, count: count)
    if unsafe old != Self.firstLevels(core) { unsafe swmp_deallocate(old) }
    unsafe core.pointee.levels = unsafe larger
    unsafe core.pointee.levelCapacity = 2 * count
  }

  func codingPath(_ depth: Int = .max) -> [any CodingKey] {
    unsafe prefix + core.pointee.path.keys(to: depth)
  }

  /// Ends a value that was encoded separately. A value that encodes nothing is an empty map.
  func finish() throws {
    let encoding = MsgPackEncoding(state: self, level: 0)
    if self[0].kind == .none, count == 0 { encoding.open(.map) }
    try encoding.close(Any.self)
    self[0].kind = .single
    try gather()
  }
}
