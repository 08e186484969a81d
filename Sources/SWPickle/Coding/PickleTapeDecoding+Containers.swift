internal import SWCoding
internal import SWFraming

extension PickleTapeDecoding: Decoder {
  var codingPath: [any CodingKey] { path(PickleNoKey()) }
  var userInfo: [CodingUserInfoKey: Any] { session.options.userInfo }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    let token = own
    if token.kind == .dict {
      let run = session.run(token)
      if run.count > 2 * PickleDecodingSession.fewKeys {
        // Also the charges of earlier lists of keys become an error here.
        try session.charge(1, at: codingPath)
        try session.keyIndex(token.value, Int(run.start), Int(run.count) / 2, path: self)
        return KeyedDecodingContainer(PickleTapeKeyedDecoding<Key>(self, run))
      }
      if try session.hasDistinctKeys(run, at: codingPath) {
        return KeyedDecodingContainer(PickleTapeKeyedDecoding<Key>(self, run))
      }
    }
    return try general(at: Int(index), key: PickleNoKey()).container(keyedBy: type)
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    let token = own
    if token.kind == .list || token.kind == .tuple {
      let run = session.run(token)
      try session.charge(Int(run.count), at: codingPath)
      return PickleTapeUnkeyedDecoding(self, run)
    }
    return try general(at: Int(index), key: PickleNoKey()).unkeyedContainer()
  }

  func singleValueContainer() -> any SingleValueDecodingContainer { self }
}

extension PickleTapeDecoding: CodingLevelDecoder {
  func decodeMap<Value: Decodable>(of type: Value.Type) throws -> [String: Value] {
    if let found = try [String: Value].decode(self) { return found }
    return try general(at: Int(index), key: PickleNoKey()).decodeMap(of: type)
  }
}

extension PickleTapeDecoding: CodingKindTelling {
  var codingKind: CodingKind {
    switch own.kind {
    case .none: .null
    case .true, .false: .bool
    case .int: .integer
    case .float: .floatingPoint
    case .text: .text
    // Bytes are an array of integers for a type that has no bytes.
    case .list, .tuple, .bytes: .array
    case .dict: .map
    case .wide: .other
    }
  }
}

extension PickleTapeDecoding: SingleValueDecodingContainer {
  func decodeNil() -> Bool { own.kind == .none }

  @inline(__always)
  func decode<T: Decodable>(_ type: T.Type) throws -> T {
    try decode(type, at: Int(index), key: PickleNoKey())
  }

  func decode(_ type: Int128.Type) throws -> Int128 {
    try general(at: Int(index), key: PickleNoKey()).unbox(type)
  }
  func decode(_ type: UInt128.Type) throws -> UInt128 {
    try general(at: Int(index), key: PickleNoKey()).unbox(type)
  }
}

/// The container of a list or tuple.
struct PickleTapeUnkeyedDecoding: UnkeyedDecodingContainer {
  private let decoding: PickleTapeDecoding
  private let start: Int32
  private let end: Int32
  private var next: Int32

  init(_ decoding: PickleTapeDecoding, _ run: PickleRun) {
    self.decoding = decoding
    (start, next, end) = (run.start, run.start, run.start + run.count)
  }

  var codingPath: [any CodingKey] { decoding.codingPath }
  var count: Int? { Int(end - start) }
  var isAtEnd: Bool { next == end }
  var currentIndex: Int { Int(next - start) }

  private var key: PicklePosition { PicklePosition(currentIndex) }

  @inline(__always)
  private func checkEnd(_ type: Any.Type) throws {
    if isAtEnd { throw ended(type) }
  }

  @inline(never)
  private func ended(_ type: Any.Type) -> DecodingError {
    .valueNotFound(
      type, .init(codingPath: decoding.path(key), debugDescription: "only \(end - start) elements"))
  }

  @inline(__always)
  mutating func decodeNil() throws -> Bool {
    try checkEnd(Never.self)
    guard decoding.session[Int(next)].kind == .none else { return false }
    next += 1
    return true
  }

  @inline(__always)
  mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
    try checkEnd(type)
    let value = try decoding.decode(type, at: Int(next), key: key)
    next += 1
    return value
  }

  mutating func decode(_ type: Int128.Type) throws -> Int128 { try wide(type) }
  mutating func decode(_ type: UInt128.Type) throws -> UInt128 { try wide(type) }

  private mutating func wide<T: Decodable>(_ type: T.Type) throws -> T {
    try checkEnd(type)
    let value = try decoding.general(at: Int(next), key: key).unbox(type)
    next += 1
    return value
  }

  mutating func nestedContainer<Key: CodingKey>(
    keyedBy type: Key.Type
  ) throws -> KeyedDecodingContainer<Key> {
    let container = try child([String: Any].self).container(keyedBy: type)
    next += 1
    return container
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    let container = try child([Any].self).unkeyedContainer()
    next += 1
    return container
  }

  mutating func superDecoder() throws -> any Decoder {
    let decoder = try child((any Decoder).self)
    next += 1
    return decoder
  }

  private func child(_ type: Any.Type) throws -> PickleTapeDecoding {
    try checkEnd(type)
    return try decoding.lasting(at: Int(next), key: key)
  }
}

/// The container of a dict.
///
/// A key is first looked for at the position where the same case of its type was found last. Then a small dict is searched
/// one by one, and a large dict by its index.
@safe
struct PickleTapeKeyedDecoding<Key: CodingKey>: KeyedDecodingContainerProtocol {
  private let decoding: PickleTapeDecoding
  /// The keys and values.
  // Invariant: the session's tape has them, and is there as long as the session is.
  private let tokens: UnsafePointer<PickleToken>
  private let start: Int32
  private let count: Int32
  private let table: PickleDecodingSession.KeyTable?

  init(_ decoding: PickleTapeDecoding, _ run: PickleRun) {
    self.decoding = decoding
    start = run.start
    count = run.count / 2
    unsafe tokens = unsafe UnsafePointer(decoding.session.tape.tokens + Int(run.start))
    table = decoding.session.table(Key.self)
  }

  // `decoding.session` is written out each time, because a property for it would retain the session for each field. Keys of
  // one byte are not a dictionary's. They are excluded first, because the dictionary's key type is a global that is
  // initialised on its first use.
  @inline(__always)
  private var isDictionary: Bool { MemoryLayout<Key>.size > 1 && Key.self == CodingDictionaryKeys.type }
  private var usesSnakeCase: Bool {
    if case .snakeCase = decoding.session.options.keyStrategy.kind { return !isDictionary }
    return false
  }

  var codingPath: [any CodingKey] { decoding.codingPath }

  var allKeys: [Key] {
    decoding.session.chargeLater(Int(count))
    if count <= PickleDecodingSession.fewKeys { return listedKeys }
    // Many elements may share a large dict.
    let known = PickleDecodingSession.DecodedRun(run: decoding.own.value, type: ObjectIdentifier(Key.self))
    if let keys = decoding.session.rare.runKeys[known] as? [Key] { return keys }
    let keys = listedKeys
    decoding.session.rare.runKeys[known] = keys
    return keys
  }

  private var listedKeys: [Key] {
    var keys: [Key] = []
    var seen: Set<PickleText> = []
    for position in 0..<Int(count) {
      let token = decoding.session[Int(start) + 2 * position]
      if token.kind == .int {
        if let key = Key(intValue: token.value) { keys.append(key) }
        continue
      }
      // No key may be missing here. Where short ones have been copied too often, what is decoded next is refused.
      let text = (try? decoding.session.text(token, at: [])) ?? decoding.session.tape.text(token)
      // A small dict has no repeated key.
      if count > PickleDecodingSession.fewKeys, !seen.insert(PickleText(text)).inserted { continue }
      if usesSnakeCase {
        if let key: Key = decoding.session.key(inSnakeCase: text, of: Int(count)) { keys.append(key) }
      } else if let key = Key(stringValue: text) {
        keys.append(key)
      }
    }
    return keys
  }

  // MARK: Finding

  /// Returns the position of a key's value.
  @inline(__always)
  private func find(_ key: Key) throws -> Int? {
    guard let table, MemoryLayout<Key>.size <= 1 else { return try search(key)?.index }
    let tag = key.caseNumber
    guard tag < PickleDecodingSession.tableRowCount, count <= PickleDecodingSession.fewKeys else {
      return try search(key)?.index
    }
    let row = unsafe table.rows[tag]
    if row.position < count {
      let token = unsafe tokens[2 * Int(row.position)]
      if token.value == row.offset, token.count == row.count, token.kind == .text {
        return Int(start + 2 * row.position) + 1
      }
    }
    return try searchAndRemember(key, tag, table)
  }

  @inline(never)
  private func searchAndRemember(
    _ key: Key, _ tag: Int, _ table: PickleDecodingSession.KeyTable
  ) throws -> Int? {
    guard let found = try search(key) else { return nil }
    let token = decoding.session[found.index - 1]
    if token.kind == .text {
      unsafe table.rows[tag] = PickleDecodingSession.FoundKey(
        position: Int32(found.position), count: token.count, offset: token.value)
    }
    return found.index
  }

  @inline(never)
  private func search(_ key: some CodingKey) throws -> (position: Int, index: Int)? {
    if usesSnakeCase {
      // A key type that accepts any text has the keys that are not in snake case, too.
      return try search(decoding.session.name(key.stringValue), nil)
        ?? search(key.stringValue, key.intValue)
    }
    return try search(key.stringValue, key.intValue)
  }

  private func search(_ name: String, _ number: Int?) throws -> (position: Int, index: Int)? {
    let (start, count) = (Int(start), Int(count))
    let position: Int?
    if count <= PickleDecodingSession.fewKeys {
      position =
        decoding.session.position(of: name, start, count)
        ?? number.flatMap { decoding.session.position(of: $0, start, count) }
    } else {
      position = try decoding.session.positionInLarge(
        decoding.own.value, of: name, number, start, count, path: decoding)
    }
    return position.map { ($0, start + 2 * $0 + 1) }
  }

  @inline(__always)
  private func require(_ key: Key) throws -> Int {
    if let index = try find(key) { return index }
    throw missing(key)
  }

  @inline(never)
  private func missing(_ key: some CodingKey) -> DecodingError {
    .keyNotFound(
      key, .init(codingPath: codingPath, debugDescription: "no key \(key.stringValue.quoted())"))
  }

  // MARK: Decoding

  /// The error of a search comes again when the value is decoded, so no entry is lost silently.
  func contains(_ key: Key) -> Bool {
    do { return try find(key) != nil } catch { return true }
  }

  func decodeNil(forKey key: Key) throws -> Bool { decoding.session[try require(key)].kind == .none }

  @inline(__always)
  func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
    try decoding.decode(type, at: require(key), key: key)
  }

  func decode(_ type: Int128.Type, forKey key: Key) throws -> Int128 {
    try decoding.general(at: require(key), key: key).unbox(type)
  }
  func decode(_ type: UInt128.Type, forKey key: Key) throws -> UInt128 {
    try decoding.general(at: require(key), key: key).unbox(type)
  }

  @inline(__always)
  func decodeIfPresent<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T? {
    guard let index = try find(key), decoding.session[index].kind != .none else { return nil }
    return try decoding.decode(type, at: index, key: key)
  }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> {
    try decoding.lasting(at: require(key), key: key).container(keyedBy: type)
  }
  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try decoding.lasting(at: require(key), key: key).unkeyedContainer()
  }
  func superDecoder() throws -> any Decoder {
    let key = PickleKey("super")
    guard let found = try search(key) else { throw missing(key) }
    return try decoding.lasting(at: found.index, key: key)
  }
  func superDecoder(forKey key: Key) throws -> any Decoder {
    try decoding.lasting(at: require(key), key: key)
  }
}
