internal import CMsgPack

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Encodes values to MessagePack, in the manner of Foundation's `JSONEncoder`.
///
/// Integers and headers take their shortest form; `Float` is of single precision and `Double` always of
/// double.
/// `Data` is binary data, `Date` the timestamp extension unless told otherwise, `UUID` and `URL` are strings, a
/// ``MsgPackValue`` itself.
///
/// Safe to share between threads and tasks as long as nobody changes its options.
public struct MsgPackEncoder: Sendable {
  /// How dates are written.
  @nonexhaustive
  public enum DateEncodingStrategy: Sendable {
    /// As the timestamp extension, in nanoseconds as far as a `Date` can tell them.
    case timestamp
    /// As `Date` has it: a number of seconds since 2001.
    case deferredToDate
    case secondsSince1970
    case millisecondsSince1970
    /// As a string such as `2026-11-25T20:00:00Z`.
    case iso8601
    case custom(@Sendable (Date, any Encoder) throws -> Void)
  }

  /// What becomes of keys.
  @nonexhaustive
  public enum KeyEncodingStrategy: Sendable {
    case useDefaultKeys
    /// `oneTwo` becomes `one_two`.
    case convertToSnakeCase
    /// A key with an integer value is written as the integer, which is shorter.
    case useIntegerKeys
    case custom(@Sendable (_ codingPath: [any CodingKey]) -> any CodingKey)
  }

  /// What `[UInt8]` becomes.
  @nonexhaustive
  public enum ByteArrayEncodingStrategy: Sendable {
    /// An array of integers, as any other array.
    case array
    case binary
  }

  public var dateEncodingStrategy = DateEncodingStrategy.timestamp
  public var keyEncodingStrategy = KeyEncodingStrategy.useDefaultKeys
  public var byteArrayEncodingStrategy = ByteArrayEncodingStrategy.array
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]
  /// How deep a value may be.
  public var limits = MsgPackLimits()

  public init() {}

  /// Encodes a value.
  ///
  /// - Throws: `EncodingError` for a value that is too deep, longer than the format can count, or encodes
  ///   nothing at all; what the value's own `encode(to:)` throws.
  public func encode(_ value: some Encodable) throws -> Data {
    try sink(encoding: value).data
  }

  /// Encodes a value, to an array.
  ///
  /// - Throws: as ``encode(_:)``.
  public func encodeBytes(_ value: some Encodable) throws -> [UInt8] {
    try sink(encoding: value).array
  }

  func sink(encoding value: some Encodable) throws -> Sink {
    let state = EncodingState(self, prefix: [], room: limits.depth)
    try Origin(state: state, level: 0).encode(value, key: NoKey())
    try state.gather()
    if state.count == 0 {
      throw EncodingError.invalidValue(value, .init(codingPath: [], debugDescription: "it encodes nothing"))
    }
    return state
  }
}

extension Sink {
  fileprivate var data: Data { withExtendedLifetime(self) { unsafe Data(bytes) } }
}

/// What the encoders share that write into the same sink, which it is.
///
/// Levels are the values that are being encoded, each in the one before. A level's container writes its
/// header when the level ends, for which its place is held free. Nested containers and the encoders of
/// superclasses may be used out of order: they get a state and a sink of their own.
@safe
final class EncodingState: Sink {
  let options: MsgPackEncoder
  fileprivate let prefix: [any CodingKey]
  /// How many containers may still lie in each other.
  fileprivate let room: Int
  let convertsKeys: Bool
  /// What is looked at for each value, in memory of its own: in the object it would be checked for exclusive
  /// access each time.
  private let core: UnsafeMutablePointer<Core>

  struct Level {
    enum Kind { case none, array, map }
    var kind = Kind.none
    var place = 0
    var count = 0
    /// How much of the path is its own.
    var depth: Int
    /// How many containers it lies in.
    var containers: Int
  }

  @safe
  private struct Core {
    /// First of all: the sink's memory is this.
    var sink: swmp_sink
    var path = Trail()
    var levels: UnsafeMutablePointer<Level>
    /// The type that was last found to be no special one.
    var ordinary: UnsafeRawPointer?
    var levelCount = 1
    var levelCapacity: Int
  }

  init(_ options: MsgPackEncoder, prefix: [any CodingKey], room: Int) {
    self.options = options
    self.prefix = prefix
    self.room = room
    if case .useDefaultKeys = options.keyEncodingStrategy {
      convertsKeys = false
    } else {
      convertsKeys = true
    }
    // Room for the first levels and the first bytes lies behind, in the same memory.
    let (levelCount, byteCount) = (8, 256)
    let memory = unsafe swmp_allocate(
      MemoryLayout<Core>.stride + levelCount * MemoryLayout<Level>.stride + byteCount)
    unsafe core = unsafe memory.assumingMemoryBound(to: Core.self)
    let levels = unsafe Self.firstLevels(core)
    let bytes = unsafe UnsafeMutableRawPointer(levels + levelCount).assumingMemoryBound(to: UInt8.self)
    let sink = unsafe swmp_sink(bytes: bytes, count: 0, capacity: byteCount, parts: 0, first: bytes)
    unsafe core.initialize(to: Core(sink: sink, levels: levels, levelCapacity: levelCount))
    unsafe levels.initialize(to: Level(depth: 0, containers: 0))
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
  fileprivate var levelCount: Int { unsafe core.pointee.levelCount }

  @inline(__always)
  fileprivate subscript(level: Int) -> Level {
    get {
      precondition(level < levelCount, "no such level")
      return unsafe core.pointee.levels[level]
    }
    _modify {
      precondition(level < levelCount, "no such level")
      yield unsafe &core.pointee.levels[level]
    }
  }

  /// Whether this is the type that was last found to be no special one: as it is in an array of records.
  @inline(__always)
  fileprivate func isOrdinary<T>(_ type: T.Type) -> Bool {
    unsafe core.pointee.ordinary == unsafeBitCast(type as Any.Type, to: UnsafeRawPointer.self)
  }

  @inline(__always)
  fileprivate func setOrdinary<T>(_ type: T.Type) {
    unsafe core.pointee.ordinary = unsafe unsafeBitCast(type as Any.Type, to: UnsafeRawPointer.self)
  }

  /// Enters a value under a key.
  @inline(__always)
  fileprivate func enter<Key: CodingKey>(_ key: Key, containers: Int) {
    if Key.self != NoKey.self { unsafe core.pointee.path.append(key) }
    if unsafe levelCount == core.pointee.levelCapacity { grow() }
    unsafe (core.pointee.levels + levelCount).initialize(
      to: Level(depth: core.pointee.path.count, containers: containers))
    unsafe core.pointee.levelCount += 1
  }

  /// Leaves all that was entered since. Levels are plain numbers: nothing is left of them.
  @inline(__always)
  fileprivate func leave(to level: Int, depth: Int) {
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

  fileprivate func codingPath(_ depth: Int = .max) -> [any CodingKey] {
    unsafe prefix + core.pointee.path.keys(to: depth)
  }

  /// Ends what was encoded apart. What encodes nothing is an empty map.
  func finish() throws {
    let origin = Origin(state: self, level: 0)
    if self[0].kind == .none, count == 0 { origin.open(.map) }
    if self[0].kind != .none {
      try origin.checkRoom(Any.self, self[0])
      close(at: self[0].place, count: self[0].count, isMap: self[0].kind == .map)
      self[0].kind = .none
    }
    try gather()
  }
}

extension Sink {
  /// Writes a value of the plainest types; others are not written.
  ///
  /// Each question is a comparison of pointers, of which the compiler leaves none where it knows the type.
  @inline(__always)
  fileprivate func writePlain<T>(_ value: T) -> Bool {
    if T.self == String.self {
      let text = unsafe unsafeBitCast(value, to: String.self)
      if text.utf8.count > UInt32.max { return false }
      write(text)
    } else if T.self == Int.self {
      unsafe swmp_write_int(sink, Int64(unsafeBitCast(value, to: Int.self)))
    } else if T.self == Double.self {
      unsafe swmp_write_double(sink, unsafeBitCast(value, to: Double.self))
    } else if T.self == Bool.self {
      unsafe swmp_write_bool(sink, unsafeBitCast(value, to: Bool.self))
    } else if T.self == Float.self {
      unsafe swmp_write_float(sink, unsafeBitCast(value, to: Float.self))
    } else if T.self == Int64.self {
      unsafe swmp_write_int(sink, unsafeBitCast(value, to: Int64.self))
    } else if T.self == Int32.self {
      unsafe swmp_write_int(sink, Int64(unsafeBitCast(value, to: Int32.self)))
    } else if T.self == UInt8.self {
      unsafe swmp_write_uint(sink, UInt64(unsafeBitCast(value, to: UInt8.self)))
    } else if T.self == UInt64.self {
      unsafe swmp_write_uint(sink, unsafeBitCast(value, to: UInt64.self))
    } else if T.self == UInt.self {
      unsafe swmp_write_uint(sink, UInt64(unsafeBitCast(value, to: UInt.self)))
    } else if T.self == UInt32.self {
      unsafe swmp_write_uint(sink, UInt64(unsafeBitCast(value, to: UInt32.self)))
    } else if T.self == Int8.self {
      unsafe swmp_write_int(sink, Int64(unsafeBitCast(value, to: Int8.self)))
    } else if T.self == Int16.self {
      unsafe swmp_write_int(sink, Int64(unsafeBitCast(value, to: Int16.self)))
    } else if T.self == UInt16.self {
      unsafe swmp_write_uint(sink, UInt64(unsafeBitCast(value, to: UInt16.self)))
    } else {
      return false
    }
    return true
  }
}

/// The encoder of one value: two words, so that it needs no box as `any Encoder`.
struct Origin {
  let state: EncodingState
  let level: Int

  var codingPath: [any CodingKey] {
    level < state.levelCount ? state.codingPath(state[level].depth) : state.codingPath()
  }
  var userInfo: [CodingUserInfoKey: Any] { state.options.userInfo }

  func path(_ key: some CodingKey) -> [any CodingKey] { key is NoKey ? codingPath : codingPath + [key] }

  /// Makes the value a container, unless it is one.
  fileprivate func open(_ kind: EncodingState.Level.Kind) {
    check()
    let own = state[level].kind
    if own != .none {
      precondition(own == kind, "a value is encoded as an array and as a map")
      return
    }
    state[level].kind = kind
    state[level].place = unsafe swmp_open(state.sink)
  }

  @inline(__always)
  fileprivate func check() {
    precondition(level == state.levelCount - 1, "an encoder is used after its value has been encoded")
  }

  /// Counts an element.
  @inline(__always)
  fileprivate func count() { state[level].count += 1 }

  /// How many containers a value lies in that is written here.
  @inline(__always)
  private var containers: Int { state[level].containers + (state[level].kind == .none ? 0 : 1) }

  fileprivate func checkRoom(_ value: Any.Type, _ level: EncodingState.Level) throws {
    if level.containers >= state.room { throw tooDeep(value, NoKey()) }
  }

  @inline(__always)
  private func checkRoom(_ value: Any.Type, _ key: some CodingKey) throws {
    if containers >= state.room { throw tooDeep(value, key) }
  }

  /// Writes a value with a level of its own, by what it does to an encoder.
  @inline(__always)
  private func whole<Key: CodingKey>(key: Key, type: Any.Type, _ body: (Origin) throws -> Void) throws {
    let containers = containers
    // What lies in too deep a container: recursion ends here.
    if containers > state.room { throw tooDeep(type, key) }
    let depth = state[level].depth
    let start = state.mark
    state.enter(key, containers: containers)
    defer { state.leave(to: level, depth: depth) }
    let inner = Origin(state: state, level: level + 1)
    try body(inner)
    // What encodes nothing is an empty map, but for the whole message.
    if state[inner.level].kind == .none {
      if Key.self == NoKey.self || state.mark != start { return }
      inner.open(.map)
    }
    let own = state[inner.level]
    try inner.checkRoom(type, own)
    if own.count > UInt32.max { throw inner.tooMany(type) }
    state.close(at: own.place, count: own.count, isMap: own.kind == .map)
  }

  @inline(never)
  private func tooMany(_ type: Any.Type) -> EncodingError {
    .invalidValue(
      type, .init(codingPath: codingPath, debugDescription: "MessagePack counts to 4,294,967,295"))
  }

  @inline(never)
  private func tooDeep(_ value: Any.Type, _ key: some CodingKey) -> EncodingError {
    .invalidValue(
      value,
      .init(
        codingPath: path(key),
        debugDescription: "more than \(state.options.limits.depth) containers in each other"))
  }

  @inline(never)
  private func tooLong(_ value: some Encodable, _ count: Int, _ key: some CodingKey) -> EncodingError {
    .invalidValue(
      value,
      .init(codingPath: path(key), debugDescription: "MessagePack counts to 4,294,967,295, not to \(count)"))
  }

  // MARK: All types

  @inline(__always)
  func encode<T: Encodable>(_ value: T, key: some CodingKey) throws {
    if !state.writePlain(value) { try other(value, key: key) }
  }

  // In three parts, so that values in values take little of the stack.
  @inline(never)
  fileprivate func other<T: Encodable>(_ value: T, key: some CodingKey) throws {
    if state.isOrdinary(T.self) || !isSpecial(T.self) {
      state.setOrdinary(T.self)
      try nested(value, key: key)
    } else {
      try special(value, key: key)
    }
  }

  private func isSpecial<T>(_ type: T.Type) -> Bool {
    type == [String].self || type == [Int].self || type == [Int64].self || type == [Double].self
      || type == [Float].self || type == [Int32].self || type == [UInt8].self || type == Date.self
      || type == Data.self || type == UUID.self || type == URL.self || type == MsgPackValue.self
      || type == MsgPackTimestamp.self || type == String.self
  }

  @inline(never)
  private func nested<T: Encodable>(_ value: T, key: some CodingKey) throws {
    try whole(key: key, type: T.self) { origin in try value.encode(to: origin) }
  }

  @inline(never)
  private func special<T: Encodable>(_ value: T, key: some CodingKey) throws {
    let sink = unsafe state.sink
    if T.self == [String].self {
      let texts = unsafe unsafeBitCast(value, to: [String].self)
      try checkRoom([String].self, key)
      if texts.count > UInt32.max { throw tooLong(value, texts.count, key) }
      unsafe swmp_write_array(sink, texts.count)
      for index in texts.indices {
        if texts[index].utf8.count > UInt32.max { throw tooLong(value, texts[index].utf8.count, key) }
        state.write(texts[index])
      }
    } else if T.self == [Int].self || T.self == [Int64].self {
      try unsafe array(unsafeBitCast(value, to: [Int64].self), key) { unsafe swmp_write_int64s(sink, $0, $1) }
    } else if T.self == [Double].self {
      try unsafe array(unsafeBitCast(value, to: [Double].self), key) {
        unsafe swmp_write_doubles(sink, $0, $1)
      }
    } else if T.self == [Float].self {
      try unsafe array(unsafeBitCast(value, to: [Float].self), key) { unsafe swmp_write_floats(sink, $0, $1) }
    } else if T.self == [Int32].self {
      try unsafe array(unsafeBitCast(value, to: [Int32].self), key) { unsafe swmp_write_int32s(sink, $0, $1) }
    } else if T.self == [UInt8].self, case .binary = state.options.byteArrayEncodingStrategy {
      let bytes = unsafe unsafeBitCast(value, to: [UInt8].self)
      if bytes.count > UInt32.max { throw tooLong(value, bytes.count, key) }
      unsafe bytes.withUnsafeBytes { unsafe swmp_write_binary(sink, $0.baseAddress, $0.count) }
    } else if T.self == Data.self {
      let data = unsafe unsafeBitCast(value, to: Data.self)
      if data.count > UInt32.max { throw tooLong(value, data.count, key) }
      unsafe data.withUnsafeBytes { unsafe swmp_write_binary(sink, $0.baseAddress, $0.count) }
    } else if T.self == Date.self {
      try date(unsafe unsafeBitCast(value, to: Date.self), key: key)
    } else if T.self == UUID.self {
      state.write(unsafe unsafeBitCast(value, to: UUID.self).uuidString)
    } else if let url = T.self == URL.self ? value as? URL : nil {
      state.write(url.absoluteString)
    } else if let value = T.self == MsgPackValue.self ? value as? MsgPackValue : nil {
      try state.write(value, room: max(0, state.room - containers))
    } else if let timestamp = T.self == MsgPackTimestamp.self ? value as? MsgPackTimestamp : nil {
      unsafe swmp_write_timestamp(sink, timestamp.seconds, timestamp.nanoseconds)
    } else if T.self == String.self {
      throw tooLong(value, unsafe unsafeBitCast(value, to: String.self).utf8.count, key)
    } else {
      try nested(value, key: key)
    }
  }

  private func array<Element: Encodable>(
    _ values: [Element], _ key: some CodingKey, _ write: (UnsafePointer<Element>?, Int) -> Void
  ) throws {
    try checkRoom([Element].self, key)
    if values.count > UInt32.max { throw tooLong(values, values.count, key) }
    unsafe values.withUnsafeBufferPointer { values in unsafe write(values.baseAddress, values.count) }
  }

  private func date(_ date: Date, key: some CodingKey) throws {
    let sink = unsafe state.sink
    switch state.options.dateEncodingStrategy {
    case .timestamp:
      guard let timestamp = MsgPackTimestamp(date) else {
        throw EncodingError.invalidValue(
          date, .init(codingPath: path(key), debugDescription: "a date that 64 bits of seconds cannot say"))
      }
      unsafe swmp_write_timestamp(sink, timestamp.seconds, timestamp.nanoseconds)
    case .deferredToDate: unsafe swmp_write_double(sink, date.timeIntervalSinceReferenceDate)
    case .secondsSince1970: unsafe swmp_write_double(sink, date.timeIntervalSince1970)
    case .millisecondsSince1970: unsafe swmp_write_double(sink, date.timeIntervalSince1970 * 1000)
    case .iso8601: state.write(date.formatted(Date.ISO8601FormatStyle()))
    case .custom(let encode): try whole(key: key, type: Date.self) { origin in try encode(date, origin) }
    }
  }
}

extension MsgPackTimestamp {
  init?(_ date: Date) {
    let time = date.timeIntervalSince1970
    let whole = time.rounded(.down)
    guard var seconds = Int64(exactly: whole) else { return nil }
    var nanoseconds = ((time - whole) * 1e9).rounded()
    if nanoseconds >= 1e9 {
      nanoseconds = 0
      seconds += 1
    }
    self.init(seconds: seconds, nanoseconds: UInt32(nanoseconds))
  }
}

// MARK: Containers

extension Origin: Encoder {
  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    open(.map)
    return KeyedEncodingContainer(KeyedOrigin<Key>(origin: self))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    open(.array)
    return UnkeyedOrigin(origin: self)
  }

  func singleValueContainer() -> any SingleValueEncodingContainer { self }

  /// A state for what may be written out of order, in this place.
  fileprivate func apart(_ key: some CodingKey) -> Origin {
    let part = EncodingState(
      state.options, prefix: path(key), room: max(0, state.room - state[level].containers - 1))
    state.reserve(for: part)
    return Origin(state: part, level: 0)
  }
}

extension Origin: SingleValueEncodingContainer {
  func encodeNil() { unsafe swmp_write_nil(state.sink) }
  @inline(__always)
  func encode<T: Encodable>(_ value: T) throws { try encode(value, key: NoKey()) }
}

struct UnkeyedOrigin: UnkeyedEncodingContainer {
  fileprivate let origin: Origin

  var codingPath: [any CodingKey] { origin.codingPath }
  var count: Int {
    origin.level < origin.state.levelCount ? origin.state[origin.level].count : 0
  }

  func encodeNil() {
    origin.check()
    origin.count()
    unsafe swmp_write_nil(origin.state.sink)
  }

  @inline(__always)
  func encode<T: Encodable>(_ value: T) throws {
    origin.check()
    if !origin.state.writePlain(value) { try other(value) }
    origin.count()
  }

  private func other<T: Encodable>(_ value: T) throws {
    let start = origin.state.mark
    do {
      try origin.other(value, key: PositionKey(count))
    } catch {
      origin.state.truncate(to: start)
      throw error
    }
  }

  func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    apart().container(keyedBy: type)
  }
  func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { apart().unkeyedContainer() }
  func superEncoder() -> any Encoder { apart() }

  private func apart() -> Origin {
    origin.check()
    let part = origin.apart(PositionKey(count))
    origin.count()
    return part
  }
}

struct KeyedOrigin<Key: CodingKey>: KeyedEncodingContainerProtocol {
  fileprivate let origin: Origin

  var codingPath: [any CodingKey] { origin.codingPath }

  @inline(__always)
  private func write(_ key: some CodingKey) {
    if origin.state.convertsKeys {
      convert(key)
    } else {
      origin.state.write(key.stringValue)
    }
  }

  private func convert(_ key: some CodingKey) {
    let sink = origin.state
    switch origin.state.options.keyEncodingStrategy {
    case .useDefaultKeys: sink.write(key.stringValue)
    case .convertToSnakeCase: sink.write(key.stringValue.toSnakeCase)
    case .useIntegerKeys:
      if let number = key.intValue {
        unsafe swmp_write_int(sink.sink, Int64(number))
      } else {
        sink.write(key.stringValue)
      }
    case .custom(let convert): sink.write(convert(codingPath + [key]).stringValue)
    }
  }

  func encodeNil(forKey key: Key) {
    origin.check()
    origin.count()
    write(key)
    unsafe swmp_write_nil(origin.state.sink)
  }

  @inline(__always)
  func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
    origin.check()
    let start = origin.state.mark
    write(key)
    if !origin.state.writePlain(value) { try other(value, key, start) }
    origin.count()
  }

  private func other<T: Encodable>(_ value: T, _ key: Key, _ start: Sink.Mark) throws {
    do {
      try origin.other(value, key: key)
    } catch {
      origin.state.truncate(to: start)
      throw error
    }
  }

  func nestedContainer<NestedKey: CodingKey>(
    keyedBy type: NestedKey.Type, forKey key: Key
  ) -> KeyedEncodingContainer<NestedKey> {
    apart(key).container(keyedBy: type)
  }

  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
    apart(key).unkeyedContainer()
  }

  func superEncoder() -> any Encoder { apart(PositionKey.super) }
  func superEncoder(forKey key: Key) -> any Encoder { apart(key) }

  private func apart(_ key: some CodingKey) -> Origin {
    origin.check()
    origin.count()
    write(key)
    return origin.apart(key)
  }
}
