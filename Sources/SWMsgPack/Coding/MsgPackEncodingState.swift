internal import CMsgPack
internal import SWCoding

/// What the encoders share that write into the same sink, which it is.
///
/// Levels are the values that are being encoded, each in the one before. A level's container writes its
/// header when the level ends, for which its place is held free. Nested containers and the encoders of
/// superclasses may be used out of order: they get a state and a sink of their own.
@safe
final class MsgPackEncodingState: MsgPackSink {
  let options: MsgPackEncoder
  let prefix: [any CodingKey]
  /// How many containers may still lie in each other.
  let room: Int
  let convertsKeys: Bool
  let hasExtensions: Bool
  /// The first mistake of a value that its encoder could not throw at once. The value that is being encoded throws
  /// it.
  // Not of its own type, whose optional costs 50 instructions to make and to end.
  private var failure: (any Error)?
  /// What is looked at for each value, in memory of its own: in the object it would be checked for exclusive
  /// access each time.
  private let core: UnsafeMutablePointer<Core>

  struct Level {
    enum Kind {
      case none, array, map
      /// A value that is no container.
      case single
    }
    var kind = Kind.none
    /// The value is a dictionary with strings as keys, which differ and which no strategy changes.
    var hasTextKeys = false
    /// The value is a dictionary with integers as keys.
    var hasIntegerKeys = false
    /// The value is a dictionary that encodes itself as an array of keys and values, which are a map's here.
    var isPairs = false
    /// Keys are written as the text that they have: one question for each key, where there would be four.
    var hasPlainKeys: Bool
    /// Keys of which it is not known whether they differ have been written: they are compared at the end.
    var mayRepeatKeys = false
    var place = 0
    var count = 0
    /// A bit for each case of the type of keys that has been written.
    var seenKeys: UInt64 = 0
    /// How much of the path is its own.
    var depth: Int
    /// How many containers it lies in.
    var containers: Int
  }

  @safe
  private struct Core {
    /// First of all: the sink's memory is this.
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
    // Room for the first levels and the first bytes lies after, in the same memory.
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

  /// Where a level is until another is entered: for two or more accesses, each of which would be checked.
  @inline(__always)
  func pointer(to level: Int) -> UnsafeMutablePointer<Level> {
    precondition(level < levelCount, "no such level")
    return unsafe core.pointee.levels + level
  }

  // MARK: Failures

  /// Remembers a mistake that a function that does not throw has found.
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

  /// Leaves all that was entered since. Levels are plain numbers: nothing is left of them.
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

  /// Ends a value that was encoded apart. A value that encodes nothing is an empty map.
  func finish() throws {
    let encoding = MsgPackEncoding(state: self, level: 0)
    if self[0].kind == .none, count == 0 { encoding.open(.map) }
    try encoding.close(Any.self)
    self[0].kind = .single
    try gather()
  }
}
