internal import SWCoding

/// The state that all decoders of one decoding share.
@safe
final class PickleDecodingSession {
  let options: PickleDecoder

  /// The state that few messages need, in a separate object.
  final class Rare {
    /// Arrays of simple elements that have been decoded. An array that is shared in Python is shared in Swift.
    var arrays: [Decoded: Any] = [:]
    /// The key indices of large dicts.
    var indices: [PickleIdentity: PickleKeyIndex] = [:]
    /// The keys that the strategy has converted.
    var snakeCase: [PickleText: String] = [:]
    /// The keys of types that the strategy has found for keys of the message: none or one.
    var snakeCaseKeys: [SnakeCaseKey: Any] = [:]

    // The long texts and bytes of a tape by their offset. They are kept once the message may refer to one often.
    var texts: [Int: String] = [:]
    var bytes: [Int: [UInt8]] = [:]
    // The same for a tape, by the number of the run.
    var runArrays: [DecodedRun: Any] = [:]
    var runIndices: [Int: PickleKeyIndex] = [:]
    /// The keys of large dicts, for a type of keys.
    var runKeys: [DecodedRun: Any] = [:]
    /// The containers of the pickle as values, by the number of the run. Made when one is asked for.
    var containers: [PickleValue]?
    /// The paths of containers and decoders that may be used out of order.
    var prefixes: [PicklePath?] = []
    /// The session's path in linked form, as far as it has been needed. The prefixes share it.
    var linkedPath: [PicklePath] = []
  }

  private var madeRare: Rare?

  var rare: Rare {
    if let madeRare { return madeRare }
    let made = Rare()
    madeRare = made
    return made
  }

  struct Decoded: Hashable {
    var object: PickleIdentity
    var type: ObjectIdentifier
  }

  struct SnakeCaseKey: Hashable {
    var text: PickleText
    var type: ObjectIdentifier
    var isAlone: Bool
  }

  struct DecodedRun: Hashable {
    var run: Int
    var type: ObjectIdentifier
  }

  /// Where a case of a key type was found last. Dicts that one program wrote have their keys in one order, and refer to the
  /// same strs. So two comparisons of numbers find most keys.
  struct FoundKey: BitwiseCopyable {
    /// The position of the key in the dict.
    var position: Int32 = 0
    /// The token of that key.
    var count: UInt32 = .max
    var offset = -1
  }

  typealias KeyTable = PickleKeyTables<FoundKey>.Table
  /// The number of cases of a type that have a row.
  static var tableRowCount: Int { 32 }

  /// The state that every value reads, in separate memory. In the object, each access would be checked for exclusivity.
  @safe
  private struct Own {
    var meter: PickleMeter
    var tape: PickleTape?
    /// How many bytes may still be copied and converted before they are charged.
    var copyRoom: Int
    /// How many parts may then be charged for bytes. Data has a share of its own in the meter, for elements that it decodes to.
    var copiedParts: Int
    var path = CodingPathStack()
    /// The number of keys of the path that `Rare.linkedPath` has.
    var linkedCount = 0
    var depth = 0
    var comparedLimit = 0
    /// A dict whose keys are known to differ: where its entries begin, and their number.
    var distinct = (start: 0, count: 0)
    var tables = PickleKeyTables(rowCount: PickleDecodingSession.tableRowCount, initial: FoundKey())
    /// The most likely position of the next key: behind the one that was found last.
    var hint = 0
  }

  private let own: UnsafeMutablePointer<Own>

  /// - Parameters:
  ///   - weight: how many parts the value has.
  ///   - dataCount: how many more parts it has if each byte of data is one.
  ///   - byteCount: how many bytes of text, data and numbers, about.
  init(_ options: PickleDecoder, weight: Int, dataCount: Int, byteCount: Int) {
    self.options = options
    unsafe own = .allocate(capacity: 1)
    let (room, isTooLarge) = byteCount.multipliedReportingOverflow(by: PickleMeter.visitsPerPart)
    unsafe own.initialize(
      to: Own(
        meter: PickleMeter(weight: weight + dataCount, limits: options.limits),
        copyRoom: isTooLarge ? .max : room,
        copiedParts: dataCount == 0
          ? .max : PickleMeter(weight: weight, limits: options.limits).remainingWork))
  }

  deinit {
    unsafe own.pointee.path.end()
    unsafe own.pointee.tape?.free()
    unsafe own.pointee.tables.end()
    unsafe own.deallocate()
  }

  /// The number of containers around the value that is being decoded.
  var depth: Int {
    @inline(__always) get { unsafe own.pointee.depth }
    @inline(__always) set { unsafe own.pointee.depth = newValue }
  }

  /// Nonzero while a part of a dictionary's key or of a set's element is decoded: how many combining marks in a row a text may
  /// have there. Set by ``startComparing(_:)``.
  var comparedLimit: Int {
    @inline(__always) get { unsafe own.pointee.comparedLimit }
    @inline(__always) set { unsafe own.pointee.comparedLimit = newValue }
  }

  /// Charges visited parts of the value.
  @inline(__always)
  func charge(_ parts: Int, at path: @autoclosure () -> [any CodingKey]) throws {
    do throws(PickleMeter.Exceeded) {
      try unsafe own.pointee.meter.charge(work: parts)
    } catch {
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: path(),
          debugDescription: "the value's parts are shared so often that it is too large"))
    }
  }

  /// Charges visited parts where no error can be thrown. If they are too many, the next charge throws.
  func chargeLater(_ parts: Int) {
    do { try charge(parts, at: []) } catch {}
  }

  /// How many parts of the value may still be visited.
  var remainingParts: Int { unsafe own.pointee.meter.remainingWork }

  /// Charges bytes of a part of the value that are copied or converted.
  ///
  /// A pickle may refer to one str again and again, in two bytes each time. As many bytes as there are may be copied
  /// sixteen times, so that nothing else is counted for a value without sharing. Beyond that, sixteen bytes cost as
  /// much as another part.
  @inline(__always)
  func charge(copied byteCount: Int, at path: @autoclosure () -> [any CodingKey]) throws {
    if unsafe own.pointee.copyRoom >= byteCount {
      unsafe own.pointee.copyRoom -= byteCount
    } else {
      try chargeParts(copied: byteCount, at: path())
    }
  }

  @inline(never)
  private func chargeParts(copied byteCount: Int, at path: @autoclosure () -> [any CodingKey]) throws {
    let parts = 1 + byteCount / 16
    unsafe own.pointee.copiedParts -= parts
    // If these are too many, so are all.
    try charge(unsafe own.pointee.copiedParts < 0 ? remainingParts + 1 : parts, at: path())
  }

  /// Charges what a conversion of a value looks at.
  func chargeConversion(of value: PickleValue, at path: @autoclosure () -> [any CodingKey]) throws {
    let byteCount = value.conversionByteCount
    if byteCount > 0 { try charge(copied: byteCount, at: path()) }
  }

  // MARK: Text and bytes of a tape

  /// The text of a str. A long one is made once if the pickle refers to it often.
  @inline(__always)
  func text(_ token: PickleToken, at path: @autoclosure () -> [any CodingKey]) throws -> String {
    // Strings up to that length take no memory of their own.
    if token.count <= 15 { return tape.text(token) }
    let count = Int(token.count)
    if unsafe own.pointee.copyRoom < count { return try sharedText(token, at: path()) }
    unsafe own.pointee.copyRoom -= count
    return tape.text(token)
  }

  /// The length from which a copy is shared, in bytes. A shorter copy is made faster than found.
  private static var sharedLength: UInt32 { 256 }

  @inline(never)
  private func sharedText(_ token: PickleToken, at path: @autoclosure () -> [any CodingKey]) throws -> String
  {
    guard token.count >= Self.sharedLength else {
      try chargeParts(copied: Int(token.count), at: path())
      return tape.text(token)
    }
    if let known = rare.texts[token.value] { return known }
    let text = tape.text(token)
    rare.texts[token.value] = text
    return text
  }

  /// The same of bytes.
  @inline(never)
  func bytes(_ token: PickleToken, at path: @autoclosure () -> [any CodingKey]) throws -> [UInt8] {
    let count = Int(token.count)
    if unsafe own.pointee.copyRoom >= count {
      unsafe own.pointee.copyRoom -= count
      return unsafe Array(tape.bytes(token))
    }
    guard token.count >= Self.sharedLength else {
      try chargeParts(copied: count, at: path())
      return unsafe Array(tape.bytes(token))
    }
    if let known = rare.bytes[token.value] { return known }
    let bytes = unsafe Array(tape.bytes(token))
    rare.bytes[token.value] = bytes
    return bytes
  }

  /// Returns a key of a type, converted by the strategy.
  @inline(__always)
  func name(_ text: String) -> String {
    guard case .snakeCase = options.keyStrategy.kind else { return text }
    return snakeCaseName(text)
  }

  @inline(never)
  private func snakeCaseName(_ text: String) -> String {
    if let known = rare.snakeCase[PickleText(text)] { return known }
    let name = text.inSnakeCase
    rare.snakeCase[PickleText(text)] = name
    return name
  }

  /// Returns the key of a type for a key of the message, by the strategy. Each text is converted once, because many dicts may
  /// share it.
  func key<Key: CodingKey>(inSnakeCase text: String, of count: Int) -> Key? {
    let asked = SnakeCaseKey(text: PickleText(text), type: ObjectIdentifier(Key.self), isAlone: count == 1)
    if let known = rare.snakeCaseKeys[asked] as? [Key] { return known.first }
    let key = Key(inSnakeCase: text, of: count)
    rare.snakeCaseKeys[asked] = key.map { [$0] } ?? []
    return key
  }

  // MARK: The tape

  /// Takes over a tape, and frees it at the end.
  func take(_ tape: PickleTape) { unsafe own.pointee.tape = tape }

  func keepInput() { unsafe own.pointee.tape?.keepInput() }

  @inline(__always)
  var tape: PickleTape {
    guard let tape = unsafe own.pointee.tape else { preconditionFailure("a decoding of a tape") }
    return tape
  }

  @inline(__always)
  subscript(token: Int) -> PickleToken { unsafe tape.tokens[token] }

  @inline(__always)
  func run(_ token: PickleToken) -> PickleRun { unsafe tape.runs[token.value] }

  /// Returns a container as a value. The first call reads the pickle a second time.
  func value(ofRun run: Int) throws -> PickleValue {
    if let containers = rare.containers { return containers[run] }
    var reader = PickleReader(registry: options.registry, limits: options.limits)
    reader.containers = []
    let tape = tape
    let (value, _) = try reader.read(
      unsafe UnsafeBufferPointer(start: tape.input, count: tape.inputCount).span)
    guard case .node(let graph, _) = value.storage else { preconditionFailure("a value with a container") }
    let found = (reader.containers ?? []).map { PickleValue(.node($0), in: graph) }
    rare.containers = found
    return found[run]
  }

  // MARK: The path

  @inline(__always)
  var pathCount: Int { unsafe own.pointee.path.count }

  @inline(__always)
  func enter(_ key: some CodingKey) { unsafe own.pointee.path.append(key) }

  @inline(__always)
  func leave(to count: Int) {
    unsafe own.pointee.path.truncate(to: count)
    if unsafe own.pointee.linkedCount > count { unsafe own.pointee.linkedCount = count }
  }

  func keys(to count: Int) -> [any CodingKey] { unsafe own.pointee.path.keys(to: count) }

  /// The first keys of the path in linked form. Each key is linked once, however many values below it need their path.
  func linkedPath(to count: Int) -> PicklePath? {
    let count = min(count, pathCount)
    let known = unsafe own.pointee.linkedCount
    if known < count {
      rare.linkedPath.removeLast(rare.linkedPath.count - known)
      for key in unsafe own.pointee.path.keys(from: known, to: count) {
        rare.linkedPath.append(PicklePath(key, in: rare.linkedPath.last))
      }
      unsafe own.pointee.linkedCount = count
    }
    return count == 0 ? nil : rare.linkedPath[count - 1]
  }

  // MARK: Keys

  /// The number of keys up to which keys are compared one by one.
  static var fewKeys: Int32 { 16 }

  var hint: Int {
    @inline(__always) get { unsafe own.pointee.hint }
    @inline(__always) set { unsafe own.pointee.hint = newValue }
  }

  /// The rows of a key type. Nil if its values do not have one byte.
  @inline(__always)
  func table<Key: CodingKey>(_ type: Key.Type) -> KeyTable? { unsafe own.pointee.tables.table(type) }

  // The searches are here and not in the container. If a function of a generic type captures `self`, the runtime looks up
  // that type: 330 instructions for each key.

  /// Returns the position of the key with this text in a small dict whose first key is at `start`.
  func position(of name: String, _ start: Int, _ count: Int) -> Int? {
    // The bytes are compared in place, because a copy would retain the text.
    if let found = unsafe name.utf8.withContiguousStorageIfAvailable({ name in
      unsafe position(of: name, start, count)
    }) {
      return found
    }
    var name = name
    return name.withUTF8 { name in unsafe position(of: name, start, count) }
  }

  @inline(__always)
  private func position(of name: UnsafeBufferPointer<UInt8>, _ start: Int, _ count: Int) -> Int? {
    let (tokens, input) = unsafe (tape.tokens + start, tape.input)
    var position = hint < count ? hint : 0
    for _ in 0..<count {
      let token = unsafe tokens[2 * position]
      if unsafe token.kind == .text && Int(token.count) == name.count
        && haveSameBytes(
          UnsafeRawBufferPointer(start: input + token.value, count: name.count), UnsafeRawBufferPointer(name))
      {
        hint = position + 1
        return position
      }
      position = position + 1 == count ? 0 : position + 1
    }
    return nil
  }

  /// Returns the position of the key that is this int.
  @inline(never)
  func position(of number: Int, _ start: Int, _ count: Int) -> Int? {
    (0..<count).first { position in
      let token = self[start + 2 * position]
      return token.kind == .int && token.value == number
    }
  }

  /// Finds a key in a large dict, which has an index.
  func positionInLarge(
    _ run: Int, of name: String, _ number: Int?, _ start: Int, _ count: Int, path: PickleTapeDecoding
  ) throws -> Int? {
    let index = try keyIndex(run, start, count, path: path)
    return index.byText[PickleText(name)] ?? number.flatMap { index.byNumber[$0] }
  }

  /// The index of the keys of a large dict. Throws if one is slow to compare.
  @discardableResult
  func keyIndex(_ run: Int, _ start: Int, _ count: Int, path: PickleTapeDecoding) throws -> PickleKeyIndex {
    if let known = rare.runIndices[run] { return known }
    try charge(count, at: path.codingPath)
    let index = PickleKeyIndex()
    for position in 0..<count {
      let token = self[start + 2 * position]
      if token.kind == .text {
        // A shared key is looked through for each dict.
        try charge(copied: Int(token.count), at: path.codingPath)
        let text = try text(token, at: path.codingPath)
        if !text.isFitForKey { throw DecodingError.unfitKey(at: path.codingPath) }
        index.byText[PickleText(text)] = position
      } else {
        index.byNumber[token.value] = position
      }
    }
    rare.runIndices[run] = index
    return index
  }

  /// Whether no two keys of a small dict are equal. Throws if one is slow to compare.
  ///
  /// The dict before this one usually has the same keys, and then the result is known.
  @inline(__always)
  func hasDistinctKeys(_ run: PickleRun, at path: @autoclosure () -> [any CodingKey]) throws -> Bool {
    let tokens = unsafe tape.tokens + Int(run.start)
    let count = Int(run.count)
    let known = unsafe own.pointee.distinct
    if known.count == count {
      let others = unsafe tape.tokens + known.start
      var isSame = true
      for index in stride(from: 0, to: count, by: 2)
      where unsafe tokens[index].value != others[index].value || tokens[index].kind != others[index].kind {
        isSame = false
        break
      }
      if isSame { return true }
    }
    if try !compareKeys(run, at: path()) { return false }
    unsafe own.pointee.distinct = (Int(run.start), count)
    return true
  }

  @inline(never)
  private func compareKeys(_ run: PickleRun, at path: @autoclosure () -> [any CodingKey]) throws -> Bool {
    let tape = tape
    let tokens = unsafe tape.tokens + Int(run.start)
    for index in stride(from: 0, to: Int(run.count), by: 2) {
      let token = unsafe tokens[index]
      if token.kind == .text { try checkCompared(token, CombiningMarks.mostInKey, at: path()) }
      for place in stride(from: 0, to: index, by: 2) {
        let other = unsafe tokens[place]
        if token.kind != other.kind || token.count != other.count { continue }
        if token.value == other.value { return false }
        guard token.kind == .text else { continue }
        // Long keys that many dicts share are compared for each of them, so that is charged.
        if token.count > 64 { try charge(Int(token.count) / 16, at: path()) }
        if unsafe haveSameBytes(
          UnsafeRawBufferPointer(tape.bytes(token)), UnsafeRawBufferPointer(tape.bytes(other)))
        {
          return false
        }
      }
    }
    return true
  }
}

/// A key of a coding path, and the path in front of it.
final class PicklePath {
  let key: any CodingKey
  let parent: PicklePath?

  init(_ key: any CodingKey, in parent: PicklePath?) {
    self.key = key
    self.parent = parent
  }

  static func keys(_ path: PicklePath?) -> [any CodingKey] {
    var keys: [any CodingKey] = []
    var path = path
    while let found = path {
      keys.append(found.key)
      path = found.parent
    }
    return keys.reversed()
  }
}
