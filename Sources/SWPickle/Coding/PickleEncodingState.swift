internal import SWCoding

/// What the encoders share that write into the same sink, which it is: the values that are being encoded, each in
/// the one before, and the keys that have been written.
///
/// A container writes its MARK before its first element and takes it back if there is only one, as Python does.
/// Nested containers and the encoders of superclasses may be used out of order: they get a state and a sink of
/// their own, and ``PickleRelinker`` puts the parts together.
@safe
final class PickleEncodingState: PickleSink {
  let options: PickleEncoder
  /// What few messages need: an object of its own, so that the others do not pay for making it and taking it apart.
  var rare: Rare?

  final class Rare {
    /// The path to a value that is encoded apart, and how many values it lies in.
    var prefix: [any CodingKey] = []
    var outerDepth = 0
    /// The first mistake of a value that its encoder could not throw at once.
    var failure: EncodingError?
    /// What writers of values have numbered.
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
      /// A value that is no container.
      case single
    }
    var kind = Kind.none
    /// How many elements have been written since the last MARK.
    var batchCount: Int32 = 0
    var count = 0
    /// Where the MARK stands.
    var mark = 0
    /// How many cuts there were before.
    var cutCount = 0
    /// A bit for each of the first 64 keys that has been written.
    var seen: UInt64 = 0
    /// The number of the dict, if it has one: for keys beyond the first 64.
    var dict = 0
    /// Which dict it is among those to be sorted.
    var sorted = -1
    /// How much of the path is its own.
    var depth: Int
  }

  /// A key that has been written: its text lies where it was written first, so that nothing is kept of a `String`.
  struct Key {
    /// Where the text lies.
    var start: Int
    var count: Int
    /// The number of the str; -1 if it has none, because it would not fit.
    var number: Int32
  }

  typealias KeyTable = PickleKeyTables<UInt16>.Table

  /// What is looked at for each value, in memory of its own: in the object it would be checked for exclusive access
  /// each time.
  @safe
  struct Own {
    var path = CodingPathStack()
    var levels: UnsafeMutablePointer<Level>
    var levelCount = 1
    var levelCapacity: Int
    var keys: UnsafeMutablePointer<Key>
    var keyCount = 0
    var keyCapacity: Int
    /// A bit for each length, modulo 64, of a key's text: most new keys are told from all others by it.
    var lengths: UInt64 = 0
    /// Which key each case was written as, counted from 1; 0 is not known.
    var tables = PickleKeyTables<UInt16>(rowCount: 64, initial: 0)
    var outerDepth = 0
    let convertsKeys: Bool
    let sortsKeys: Bool
    var hasFailure = false
    var needsRelinking = false
  }

  private static let levelCapacity = 6
  /// Up to so many keys are compared one by one.
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

  /// Where a level is until another is entered: for two or more accesses, each of which would be checked.
  @inline(__always)
  func pointer(to level: Int) -> UnsafeMutablePointer<Level> {
    precondition(level < levelCount, "no such level")
    return unsafe own.pointee.levels + level
  }

  /// Enters a value under a key. False: it would lie too deep.
  @inline(__always)
  func enter<Key: CodingKey>(_ key: Key) -> Bool {
    if unsafe levelCount + own.pointee.outerDepth > options.maximumDepth { return false }
    if Key.self != PickleNoKey.self { unsafe own.pointee.path.append(key) }
    if unsafe levelCount == own.pointee.levelCapacity { growLevels() }
    unsafe (own.pointee.levels + levelCount).initialize(to: Level(depth: own.pointee.path.count))
    unsafe own.pointee.levelCount += 1
    return true
  }

  /// Leaves all that was entered since. Levels are plain numbers: nothing is left of them.
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

  /// A state for a value in a container of a level, which is encoded apart and belongs here.
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

  /// Keeps the first error of a method that cannot throw, which the encoding ends with.
  @inline(never)
  func fail(_ error: EncodingError) {
    if rarely.failure == nil { rarely.failure = error }
    unsafe own.pointee.hasFailure = true
  }

  @inline(__always)
  func checkFailure() throws {
    if unsafe own.pointee.hasFailure, let failure = rare?.failure { throw failure }
  }

  /// Takes back what was written after a mark, of a value whose encoding has failed.
  @inline(never)
  func takeBack(to mark: Mark) {
    truncate(to: mark)
    forgetKeys(from: mark.count)
    guard let rare else { return }
    // It refers to what is no longer there.
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

  /// Before an element of a list: a batch that is full ends.
  @inline(__always)
  func beginElement(_ level: Int) {
    if self[level].batchCount == PickleWriter.batch {
      write(.appends)
      write(.mark)
      self[level].batchCount = 0
    }
  }

  /// An element of a list has been written.
  @inline(__always)
  func endElement(_ level: Int) {
    let own = unsafe pointer(to: level)
    unsafe own.pointee.batchCount += 1
    unsafe own.pointee.count += 1
  }

  /// A key of a dict has been written, and its value. A batch that is full ends, and another follows in any case.
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
      // Nothing is moved, because places are remembered.
      sorting.holes.insert(own.mark)
    } else {
      moveKeys(after: own.mark)
      if removeByte(at: own.mark, cutCount: own.cutCount) { unsafe self.own.pointee.needsRelinking = true }
    }
  }

  // MARK: Values of Python's

  /// Writes a value that is there already.
  func write(_ value: PickleValue) throws(PickleError) {
    try withWriter { (writer) throws(PickleError) in try writer.write(value) }
  }

  func write(_ node: PickleNode) throws(PickleError) {
    try withWriter { (writer) throws(PickleError) in try writer.write(node) }
  }

  /// A writer that knows what those before it have written, so that what values share is shared. Where keys are
  /// sorted the values change places, so each is for itself.
  private func withWriter(_ body: (inout PickleWriter) throws(PickleError) -> Void) throws(PickleError) {
    let rare = rarely
    var known = PickleWriter.Known()
    if !options.sortsKeys { swap(&known, &rare.known) }
    var writer = PickleWriter(self, known)
    known = PickleWriter.Known()
    try body(&writer)
    rare.known = writer.known
  }

  /// The whole pickle, in parts.
  func finishParts() throws -> [[UInt8]] {
    if unsafe !own.pointee.needsRelinking, !options.sortsKeys { return finish() }
    return try PickleRelinker.relink(self)
  }

  /// The whole pickle in one.
  func finishBytes() throws -> [UInt8] {
    if unsafe !own.pointee.needsRelinking && !options.sortsKeys && core.pointee.cutCount == 0 {
      return finishFrame()
    }
    return try finishParts().inOne
  }
}
