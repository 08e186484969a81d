internal import CMsgPack
internal import SWCoding
internal import SWFraming

extension MsgPackDecoding: Decoder {
  var codingPath: [any CodingKey] { path(NoKey()) }
  var userInfo: [CodingUserInfoKey: Any] { state.options.userInfo }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    KeyedDecodingContainer(try MsgPackKeyedDecoding<Key>(self))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try MsgPackUnkeyedDecoding(self)
  }

  func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

  /// Returns the decoding of an inner value, with a path that holds out of order.
  func lasting(at index: Int, key: some CodingKey) -> MsgPackDecoding {
    let keys = path(key)
    return MsgPackDecoding(
      state: MsgPackDecodingState(of: state, prefix: keys), index: UInt32(index),
      depth: UInt32(keys.count))
  }
}

extension MsgPackDecoding: CodingKindTelling {
  var codingKind: CodingKind {
    switch own.what {
    case .null: .null
    case .true, .false: .bool
    case .int, .uint: .integer
    case .float, .double: .floatingPoint
    case .string: .text
    case .array: .array
    case .map: .map
    case .binary, .extension: .other
    }
  }
}

extension MsgPackDecoding: SingleValueDecodingContainer {
  func decodeNil() -> Bool { isNull(at: Int(index)) }

  @inline(__always)
  func decode<T: Decodable>(_ type: T.Type) throws -> T {
    try decode(type, at: Int(index), key: NoKey())
  }

  func decode(_ type: Int128.Type) throws -> Int128 { try wide(type, at: Int(index), key: NoKey()) }
  func decode(_ type: UInt128.Type) throws -> UInt128 { try wide(type, at: Int(index), key: NoKey()) }
}

/// The container of an array.
struct MsgPackUnkeyedDecoding: UnkeyedDecodingContainer {
  private let decoding: MsgPackDecoding
  private let end: Int
  private let elementCount: Int
  private var next: Int
  private(set) var currentIndex = 0

  init(_ decoding: MsgPackDecoding) throws {
    let isPairs = decoding.state.readsPairs && decoding.own.what == .map
    guard decoding.own.what == .array || isPairs else {
      throw decoding.mismatch([Any].self, at: Int(decoding.index), key: NoKey())
    }
    self.decoding = decoding
    end = Int(decoding.own.extent)
    elementCount = (isPairs ? 2 : 1) * decoding.own.elementCount
    next = Int(decoding.index) + 1
  }

  var codingPath: [any CodingKey] { decoding.codingPath }
  var count: Int? { elementCount }
  var isAtEnd: Bool { currentIndex == elementCount }

  private var key: PositionKey { PositionKey(currentIndex) }

  private func checkEnd(_ type: Any.Type) throws {
    if isAtEnd {
      throw DecodingError.valueNotFound(
        type,
        .init(
          codingPath: decoding.path(key),
          debugDescription: "expected another element; the array has \(elementCount)"))
    }
  }

  private mutating func advance() {
    next = decoding.token(next).next(after: next)
    currentIndex += 1
  }

  @inline(__always)
  mutating func decodeNil() throws -> Bool {
    try checkEnd(Any?.self)
    guard decoding.isNull(at: next) else { return false }
    advance()
    return true
  }

  @inline(__always)
  mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
    try checkEnd(type)
    let value = try decoding.decode(type, at: next, key: key)
    advance()
    return value
  }

  mutating func decode(_ type: Int128.Type) throws -> Int128 {
    try checkEnd(type)
    let value = try decoding.wide(type, at: next, key: key)
    advance()
    return value
  }

  mutating func decode(_ type: UInt128.Type) throws -> UInt128 {
    try checkEnd(type)
    let value = try decoding.wide(type, at: next, key: key)
    advance()
    return value
  }

  @inline(__always)
  mutating func decodeIfPresent<T: Decodable>(_ type: T.Type) throws -> T? {
    if isAtEnd { return nil }
    if decoding.isNull(at: next) {
      advance()
      return nil
    }
    return try decode(type)
  }

  mutating func nestedContainer<Key: CodingKey>(
    keyedBy type: Key.Type
  ) throws -> KeyedDecodingContainer<Key> {
    try checkEnd(KeyedDecodingContainer<Key>.self)
    let container = try MsgPackKeyedDecoding<Key>(decoding.lasting(at: next, key: PositionKey(currentIndex)))
    advance()
    return KeyedDecodingContainer(container)
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try checkEnd((any UnkeyedDecodingContainer).self)
    let container = try MsgPackUnkeyedDecoding(decoding.lasting(at: next, key: PositionKey(currentIndex)))
    advance()
    return container
  }

  mutating func superDecoder() throws -> any Decoder {
    try checkEnd((any Decoder).self)
    let decoder = decoding.lasting(at: next, key: PositionKey(currentIndex))
    advance()
    return decoder
  }
}

/// The container of a map.
///
/// Small maps are searched from the key behind the last one found. Larger maps, maps with duplicates, and maps whose keys
/// are converted have an index.
struct MsgPackKeyedDecoding<Key: CodingKey>: KeyedDecodingContainerProtocol {
  private let decoding: MsgPackDecoding

  init(_ decoding: MsgPackDecoding) throws {
    let map = decoding.own
    guard map.what == .map else {
      throw decoding.mismatch([String: Any].self, at: Int(decoding.index), key: NoKey())
    }
    let converts = decoding.state.convertsKeys && Key.self != CodingDictionaryKeys.type
    var isSearched = map.elementCount <= 16 && !converts
    if isSearched {
      let found = unsafe swmp_check_keys(decoding.state.tokens, decoding.index, decoding.state.start)
      isSearched = found != Int32(SWMP_KEYS_REPEATED)
      if found == Int32(SWMP_KEYS_LONG) { try decoding.checkLongKeys() }
    }
    if isSearched {
      self.decoding = decoding
    } else {
      let state = MsgPackDecodingState(
        of: decoding.state, prefix: decoding.state.prefix,
        lookup: try MsgPackKeyIndex(decoding, converts: converts))
      self.decoding = MsgPackDecoding(state: state, index: decoding.index, depth: decoding.depth)
    }
  }

  var codingPath: [any CodingKey] { decoding.codingPath }

  var allKeys: [Key] {
    if let lookup = decoding.state.lookup { return keys(in: lookup) }
    let usesSnakeCase = usesSnakeCase
    let count = decoding.own.elementCount
    var keys: [Key] = []
    var hasUnreadable = false
    var index = Int(decoding.index) + 1
    keys.reserveCapacity(count)
    while index < Int(decoding.own.extent) {
      let token = decoding.token(index)
      if let name = decoding.name(token) {
        if let key = Self.key(name, usesSnakeCase, of: count) { keys.append(key) }
      } else {
        hasUnreadable = true
      }
      let value = token.next(after: index)
      index = decoding.token(value).next(after: value)
    }
    if hasUnreadable, let key = unreadable { keys.append(key) }
    return keys
  }

  @inline(never)
  private func keys(in lookup: MsgPackKeyIndex) -> [Key] {
    let usesSnakeCase = usesSnakeCase
    let count = lookup.ordered.count
    var keys = lookup.ordered.compactMap { name in Self.key(name, usesSnakeCase, of: count) }
    if lookup.hasUnreadable, let key = unreadable { keys.append(key) }
    return keys
  }

  private var usesSnakeCase: Bool { decoding.state.usesSnakeCase && Key.self != CodingDictionaryKeys.type }

  /// A key type that accepts any string (such as a dictionary's) would silently drop entries whose key is not a
  /// string, so a stand-in key is listed for them.
  private var unreadable: Key? { Key(stringValue: decoding.unreadableKey()) }

  @inline(__always)
  private static func key(_ name: TextKey, _ usesSnakeCase: Bool, of count: Int) -> Key? {
    if let number = name.intValue, let key = Key(intValue: number) { return key }
    if usesSnakeCase { return Key(inSnakeCase: name.stringValue, of: count) }
    return Key(stringValue: name.stringValue)
  }

  /// The index of a key's value.
  @inline(__always)
  private func find(_ key: some CodingKey) -> Int? {
    if decoding.state.usesSnakeCase, Key.self != CodingDictionaryKeys.type { return findInSnakeCase(key) }
    return search(key)
  }

  /// Finds a key under its unchanged name, if its type accepts any text.
  @inline(never)
  private func findInSnakeCase(_ key: some CodingKey) -> Int? {
    let snake = TextKey(stringValue: key.stringValue.inSnakeCase)
    return search(snake) ?? search(key)
  }

  @inline(__always)
  private func search(_ key: some CodingKey) -> Int? {
    if let lookup = decoding.state.lookup { return lookup.find(key) }
    let map = decoding.index
    let hint = decoding.state.hint(for: map, depth: decoding.depth)
    var name = key.stringValue
    let found = name.withUTF8 { name in
      let (tokens, start) = unsafe (decoding.state.tokens, decoding.state.start)
      // The most likely entry is compared during decoding.
      let first = hint > map ? hint : map + 1
      if unsafe first < tokens[Int(map)].extent, unsafe tokens[Int(first)].isText(name, start) {
        return first
      }
      return unsafe swmp_find_string(tokens, start, map, hint, name.baseAddress, name.count)
    }
    if found != .max {
      let value = Int(found) + 1
      decoding.state.setHint(
        UInt32(decoding.token(value).next(after: value)), for: map, depth: decoding.depth)
      return value
    }
    guard let number = key.intValue else { return nil }
    let other = unsafe swmp_find_integer(decoding.state.tokens, map, Int64(number))
    return other == .max ? nil : Int(other) + 1
  }

  @inline(__always)
  private func require(_ key: Key) throws -> Int {
    if let index = find(key) { return index }
    throw missing(key)
  }

  @inline(never)
  private func missing(_ key: Key) -> DecodingError {
    if key.stringValue.utf8.starts(with: MsgPackDecoding.unreadableKey.utf8),
      let error = decoding.unreadable()
    {
      return error
    }
    return .keyNotFound(
      key,
      .init(
        codingPath: codingPath,
        debugDescription: "expected the key \(key.stringValue.shown(upTo: 100)); the map does not have it"))
  }

  func contains(_ key: Key) -> Bool { find(key) != nil }

  func decodeNil(forKey key: Key) throws -> Bool { decoding.isNull(at: try require(key)) }

  @inline(__always)
  func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
    try decoding.decode(type, at: require(key), key: key)
  }

  func decode(_ type: Int128.Type, forKey key: Key) throws -> Int128 {
    try decoding.wide(type, at: require(key), key: key)
  }

  func decode(_ type: UInt128.Type, forKey key: Key) throws -> UInt128 {
    try decoding.wide(type, at: require(key), key: key)
  }

  @inline(__always)
  func decodeIfPresent<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T? {
    guard let index = find(key), !decoding.isNull(at: index) else { return nil }
    return try decoding.decode(type, at: index, key: key)
  }

  func nestedContainer<NestedKey: CodingKey>(
    keyedBy type: NestedKey.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<NestedKey> {
    KeyedDecodingContainer(
      try MsgPackKeyedDecoding<NestedKey>(decoding.lasting(at: require(key), key: key)))
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try MsgPackUnkeyedDecoding(decoding.lasting(at: require(key), key: key))
  }

  func superDecoder() throws -> any Decoder {
    if let index = find(PositionKey.super) {
      return decoding.lasting(at: index, key: PositionKey.super)
    }
    throw DecodingError.keyNotFound(
      PositionKey.super,
      .init(codingPath: codingPath, debugDescription: "expected the key super; the map does not have it"))
  }

  func superDecoder(forKey key: Key) throws -> any Decoder {
    decoding.lasting(at: try require(key), key: key)
  }
}

extension MsgPackDecoding {
  /// A map's key that is a string, text in binary data (as old peers and Python programs with keys of `bytes` send
  /// it), or an integer.
  func name(_ token: swmp_token) -> TextKey? {
    switch token.what {
    case .string, .binary: unsafe decodedText(token, state.start).map(TextKey.init(stringValue:))
    case .int: Int(exactly: token.int).map(TextKey.init(intValue:))
    default: nil
    }
  }

  /// The start of the key reported by `allKeys` for map keys that are neither text nor an `Int`. Decoding its value throws.
  static var unreadableKey: String { "a key that is neither text nor an Int" }

  /// That key, which is longer than each key of the map that begins in the same way.
  func unreadableKey() -> String {
    let start = Self.unreadableKey
    var length = start.utf8.count
    func avoid(_ name: TextKey) {
      let text = name.stringValue.utf8
      if text.count >= length, text.starts(with: start.utf8) { length = text.count + 1 }
    }
    // A strategy of the program has converted these.
    state.lookup?.ordered.forEach(avoid)
    forEachKey { index in if let name = name(token(index)) { avoid(name) } }
    return start + String(repeating: "?", count: length - start.utf8.count)
  }

  /// Runs `body` for each key of the map.
  private func forEachKey(_ body: (Int) throws -> Void) rethrows {
    var index = Int(index) + 1
    while index < Int(own.extent) {
      try body(index)
      let value = token(index).next(after: index)
      index = token(value).next(after: value)
    }
  }

  /// Throws if a key of the map is slow to compare, because a type may compare it with its cases.
  @inline(never)
  fileprivate func checkLongKeys() throws {
    try forEachKey { index in
      let token = token(index)
      if token.what == .string || token.what == .binary,
        unsafe CombiningMarks.areTooMany(in: token.payload(in: state.bytes))
      {
        throw DecodingError.unfitKey(at: codingPath)
      }
    }
  }

  /// The error for the first key that has no name.
  func unreadable() -> DecodingError? {
    var index = Int(index) + 1
    while index < Int(own.extent) {
      let token = token(index)
      if name(token) == nil {
        guard token.what == .string || token.what == .binary else {
          return mismatch(String.self, at: index, key: NoKey())
        }
        return corrupted(
          unsafe MsgPackError(.notUTF8, offset: Int(token.value), in: state.bytes), key: NoKey())
      }
      let value = token.next(after: index)
      index = self.token(value).next(after: value)
    }
    return nil
  }
}

extension swmp_token {
  /// Whether the key is a string of these bytes. Short strings, which most keys are, are compared here and not by a call.
  @inline(__always)
  fileprivate func isText(_ name: UnsafeBufferPointer<UInt8>, _ start: UnsafePointer<UInt8>) -> Bool {
    guard what == .string, Int(extent) == name.count, let name = name.baseAddress else { return false }
    let (left, right) = unsafe (UnsafeRawPointer(start) + Int(value), UnsafeRawPointer(name))
    let count = Int(extent)
    // Two overlapping words cover the whole string.
    func isSame<Word: FixedWidthInteger & BitwiseCopyable>(_ type: Word.Type) -> Bool {
      let last = count - MemoryLayout<Word>.size
      return unsafe left.loadUnaligned(as: Word.self) == right.loadUnaligned(as: Word.self)
        && left.loadUnaligned(fromByteOffset: last, as: Word.self)
          == right.loadUnaligned(fromByteOffset: last, as: Word.self)
    }
    switch count {
    case 4..<8: return isSame(UInt32.self)
    case 8...16: return isSame(UInt64.self)
    case 2..<4: return isSame(UInt16.self)
    default: return unsafe memcmp(left, right, count) == 0
    }
  }
}
