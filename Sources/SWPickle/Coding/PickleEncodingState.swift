internal import SWCoding

/// The state that all encoders of one sink share: the stack of values that are being encoded, and the keys that have been
/// written. The state is that sink.
///
/// A container writes its MARK before its first element, and removes it if there is only one element, as Python does. Nested
/// containers and the encoders of superclasses may be used out of order. They get a state and a sink of their own, and
/// ``PickleRelinker`` joins the parts.
@safe
final class PickleEncodingState: PickleSink {
  let options: PickleEncoder
  /// The state that few messages need. It is a separate object, so other messages need not allocate and free it.
  var rare: Rare?

  final class Rare {
    /// The path to a value that is encoded separately, and the number of values around it.
    var prefix: [any CodingKey] = []
    var outerDepth = 0
    /// The first error of a method that cannot throw.
    var failure: EncodingError?
    /// The objects that writers of values have numbered.
    var known = PickleWriter.Known()
    /// The keys by text, once there are more than a few.
    var index: [PickleText: Int] = [:]
    /// The keys beyond the first 64 that a dict has, each with the dict's own number.
    var seen: Set<SeenKey> = []
    var dictCount = 0
    var sorting = PickleSorting()
  }

  struct SeenKey: Hashable {
    var dict: Int
    var key: Int
  }

  /// Makes it, if it is not there.
  var rarely: Rare {
    if let rare { return rare }
    let made = Rare()
    rare = made
    return made
  }

  /// Which keys are in which order, if keys are to be sorted.
  var sorting: PickleSorting {
    get { rare?.sorting ?? PickleSorting() }
    _modify { yield &rarely.sorting }
  }

  struct Level {
    enum Kind: UInt8 {
      case none, list, dict
      /// A value that is not a container.
      case single
    }
    var kind = Kind.none
    /// The number of elements written since the last MARK.
    var batchCount: Int32 = 0
    var count = 0
    /// The position of the MARK.
    var mark = 0
    /// The number of cuts before it.
    var cutCount = 0
    /// A bit for each of the first 64 keys that have been written.
    var seen: UInt64 = 0
    /// The number of the dict, if it has one. Used for keys beyond the first 64.
    var dict = 0
    /// The index of the dict among those to be sorted.
    var sorted = -1
    /// The number of elements of the path that belong to this level.
    var depth: Int
  }

  /// A key that has been written. Its text is kept where it was written first, and not as a `String`.
  struct Key {
    /// The position of the text.
    var start: Int
    var count: Int
    /// The number of the str. -1 if it has none, because it would not fit.
    var number: Int32
  }

  typealias KeyTable = PickleKeyTables<UInt16>.Table

  /// The state that every value accesses, in separate memory. In the object, each access would be checked for exclusivity.
  @safe
  struct Own {
    var path = CodingPathStack()
    var levels: UnsafeMutablePointer<Level>
    var levelCount = 1
    var levelCapacity: Int
    var keys: UnsafeMutablePointer<Key>
    var keyCount = 0
    var keyCapacity: Int
    /// A bit for the length of each key's text, modulo 64. It shows that most new keys differ from all others.
    var lengths: UInt64 = 0
    /// The key number of each case, counted from 1. 0 if it is unknown.
    var tables = PickleKeyTables<UInt16>(rowCount: 64, initial: 0)
    var outerDepth = 0
    let convertsKeys: Bool
    let sortsKeys: Bool
    var hasFailure = false
    var needsRelinking = false
  }

  private static let levelCapacity = 6
  /// The number of keys up to which keys are compared one by one.
  static let fewKeys = 12

  private static var levelsByteCount: Int { levelCapacity * MemoryLayout<Level>.stride }

  @inline(__always)
  var own: UnsafeMutablePointer<Own> { unsafe extra.assumingMemoryBound(to: Own.self) }
  private var firstLevels: UnsafeMutablePointer<Level> {
    unsafe UnsafeMutableRawPointer(own + 1).assumingMemoryBound(to: Level.self)
  }
  var firstKeys: UnsafeMutablePointer<Key> {
    unsafe UnsafeMutableRawPointer(firstLevels + Self.levelCapacity).assumingMemoryBound(to: Key.self)
  }

  init(_ options: PickleEncoder, prefix: [any CodingKey] = [], outerDepth: Int = 0) {
    self.options = options
    super.init(
      options.version,
      extraByteCount: MemoryLayout<Own>.stride + Self.levelCapacity * MemoryLayout<Level>.stride
        + Self.fewKeys * MemoryLayout<Key>.stride)
    unsafe own.initialize(
      to: Own(
        levels: firstLevels, levelCapacity: Self.levelCapacity, keys: firstKeys, keyCapacity: Self.fewKeys,
        convertsKeys: !options.keyStrategy.isUnchanged, sortsKeys: options.sortsKeys))
    unsafe firstLevels.initialize(to: Level(depth: 0))
    if outerDepth > 0 {
      unsafe own.pointee.outerDepth = outerDepth
      rarely.prefix = prefix
    }
  }

  deinit {
    unsafe own.pointee.path.end()
    unsafe own.pointee.tables.end()
    if unsafe own.pointee.levels != firstLevels { unsafe own.pointee.levels.deallocate() }
    if unsafe own.pointee.keys != firstKeys { unsafe own.pointee.keys.deallocate() }
  }

  // MARK: Levels

  @inline(__always)
  var levelCount: Int { unsafe own.pointee.levelCount }

  @inline(__always)
  subscript(level: Int) -> Level {
    get { unsafe pointer(to: level).pointee }
    _modify { yield unsafe &pointer(to: level).pointee }
  }

  /// The address of a level until the next one is entered. For two or more accesses, each of which would be checked.
  @inline(__always)
  func pointer(to level: Int) -> UnsafeMutablePointer<Level> {
    precondition(level < levelCount, "no such level")
    return unsafe own.pointee.levels + level
  }

  /// Enters a value under a key. Returns false if it would be nested too deeply.
  @inline(__always)
  func enter<Key: CodingKey>(_ key: Key) -> Bool {
    if unsafe levelCount + own.pointee.outerDepth > options.maximumDepth { return false }
    if Key.self != PickleNoKey.self { unsafe own.pointee.path.append(key) }
    if unsafe levelCount == own.pointee.levelCapacity { growLevels() }
    unsafe (own.pointee.levels + levelCount).initialize(to: Level(depth: own.pointee.path.count))
    unsafe own.pointee.levelCount += 1
    return true
  }

  /// Leaves all levels that were entered since. A level holds only numbers, so nothing has to be freed.
  @inline(__always)
  func leave(to level: Int, depth: Int) {
    unsafe own.pointee.levelCount = level + 1
    unsafe own.pointee.path.truncate(to: depth)
  }

  @inline(never)
  private func growLevels() {
    let (old, count) = unsafe (own.pointee.levels, levelCount)
    let larger = UnsafeMutablePointer<Level>.allocate(capacity: 2 * count)
    unsafe larger.moveInitialize(from: old, count: count)
    if unsafe old != firstLevels { unsafe old.deallocate() }
    unsafe own.pointee.levels = unsafe larger
    unsafe own.pointee.levelCapacity = 2 * count
  }

  func codingPath(_ depth: Int = .max) -> [any CodingKey] {
    unsafe (rare?.prefix ?? []) + own.pointee.path.keys(to: depth)
  }

  /// Returns a state for a value that is encoded separately, and belongs into a container of this level.
  func apart(_ level: Int, _ path: [any CodingKey]) -> PickleEncodingState {
    let depth = unsafe own.pointee.outerDepth + level + 1
    let part = PickleEncodingState(options, prefix: path, outerDepth: depth)
    reserve(for: part)
    unsafe own.pointee.needsRelinking = true
    if depth > options.maximumDepth {
      fail(.tooDeep(PickleValue.none, limit: options.maximumDepth, at: path))
    }
    return part
  }

  // MARK: Failures

  /// Keeps the first error of a method that cannot throw. The encoding ends with it.
  @inline(never)
  func fail(_ error: EncodingError) {
    if rarely.failure == nil { rarely.failure = error }
    unsafe own.pointee.hasFailure = true
  }

  @inline(__always)
  func checkFailure() throws {
    if unsafe own.pointee.hasFailure, let failure = rare?.failure { throw failure }
  }

  /// Removes what was written since a mark, for a value whose encoding has failed.
  @inline(never)
  func takeBack(to mark: Mark) {
    truncate(to: mark)
    forgetKeys(from: mark.count)
    guard let rare else { return }
    // Its entries may refer to removed objects.
    rare.known = PickleWriter.Known()
    rare.sorting.truncate(to: mark.count)
  }

  // MARK: Containers

  /// Begins the container of a level.
  @inline(__always)
  func open(_ kind: Level.Kind, _ level: Int) {
    boundary()
    if options.sortsKeys, kind == .dict { self[level].sorted = sorting.open(at: count, memoCount) }
    write(kind == .dict ? .emptyDict : .emptyList)
    memoize()
    self[level].kind = kind
    self[level].mark = count
    unsafe self[level].cutCount = core.pointee.cutCount
    write(.mark)
  }

  /// Called before an element of a list: ends a full batch.
  @inline(__always)
  func beginElement(_ level: Int) {
    if self[level].batchCount == PickleWriter.batch {
      write(.appends)
      write(.mark)
      self[level].batchCount = 0
    }
  }

  /// Called after an element of a list.
  @inline(__always)
  func endElement(_ level: Int) {
    let own = unsafe pointer(to: level)
    unsafe own.pointee.batchCount += 1
    unsafe own.pointee.count += 1
  }

  /// Called after a key and a value of a dict. A full batch ends, and another always follows.
  @inline(__always)
  func endPair(_ level: Int) {
    let own = unsafe pointer(to: level)
    unsafe own.pointee.batchCount += 1
    unsafe own.pointee.count += 1
    if unsafe own.pointee.batchCount == PickleWriter.batch {
      write(.setItems)
      write(.mark)
      unsafe own.pointee.batchCount = 0
    }
  }

  /// Ends the container of a level.
  @inline(__always)
  func close(_ level: Int) {
    let own = self[level]
    if own.kind != .dict, own.kind != .list { return }
    if own.count > 1 {
      write(own.kind == .dict ? .setItems : .appends)
    } else if own.count == 1 {
      write(own.kind == .dict ? .setItem : .append)
      removeMark(own)
    } else {
      unsafe core.pointee.count -= 1
    }
    if own.sorted >= 0 { sorting.close(own.sorted, at: count, memoCount) }
  }

  private func removeMark(_ own: Level) {
    if options.sortsKeys {
      // No byte is moved, because positions are remembered.
      sorting.holes.insert(own.mark)
    } else {
      moveKeys(after: own.mark)
      if removeByte(at: own.mark, cutCount: own.cutCount) { unsafe self.own.pointee.needsRelinking = true }
    }
  }

  // MARK: Values of Python's

  /// Writes a Python value.
  func write(_ value: PickleValue) throws(PickleError) {
    try withWriter { (writer) throws(PickleError) in try writer.write(value) }
  }

  func write(_ node: PickleNode) throws(PickleError) {
    try withWriter { (writer) throws(PickleError) in try writer.write(node) }
  }

  /// Runs a writer that knows what earlier writers have written, so parts that values share are written once. If keys are
  /// sorted, the values change places, so each value is written by itself.
  private func withWriter(_ body: (inout PickleWriter) throws(PickleError) -> Void) throws(PickleError) {
    let rare = rarely
    var known = PickleWriter.Known()
    if !options.sortsKeys { swap(&known, &rare.known) }
    var writer = PickleWriter(self, known)
    known = PickleWriter.Known()
    try body(&writer)
    rare.known = writer.known
  }

  /// Returns the whole pickle, in parts.
  func finishParts() throws -> [[UInt8]] {
    if unsafe !own.pointee.needsRelinking, !options.sortsKeys { return finish() }
    return try PickleRelinker.relink(self)
  }

  /// Returns the whole pickle in one array.
  func finishBytes() throws -> [UInt8] {
    if unsafe !own.pointee.needsRelinking && !options.sortsKeys && core.pointee.cutCount == 0 {
      return finishFrame()
    }
    return try finishParts().inOne
  }
}
