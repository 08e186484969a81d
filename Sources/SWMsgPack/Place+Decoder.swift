internal import CMsgPack

extension Place: Decoder {
  var codingPath: [any CodingKey] { path(NoKey()) }
  var userInfo: [CodingUserInfoKey: Any] { state.options.userInfo }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    KeyedDecodingContainer(try KeyedPlace<Key>(self))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try UnkeyedPlace(self)
  }

  func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

  /// The place of a value in this one, with a path that holds out of order.
  func lasting(at index: Int, key: some CodingKey) -> Place {
    let keys = path(key)
    return Place(
      state: DecodingState(of: state, prefix: keys, lookup: nil), index: UInt32(index),
      depth: UInt32(keys.count))
  }
}

extension Place: SingleValueDecodingContainer {
  func decodeNil() -> Bool { isNull(at: Int(index)) }

  @inline(__always)
  func decode<T: Decodable>(_ type: T.Type) throws -> T {
    try decode(type, at: Int(index), key: NoKey())
  }
}

/// An array that is being decoded.
struct UnkeyedPlace: UnkeyedDecodingContainer {
  private let place: Place
  private let end: Int
  private let elementCount: Int
  private var next: Int
  private(set) var currentIndex = 0

  init(_ place: Place) throws {
    guard place.own.what == .array else {
      throw place.mismatch([Any].self, at: Int(place.index), key: NoKey())
    }
    self.place = place
    end = Int(place.own.extent)
    elementCount = place.own.elementCount
    next = Int(place.index) + 1
  }

  var codingPath: [any CodingKey] { place.codingPath }
  var count: Int? { elementCount }
  var isAtEnd: Bool { currentIndex == elementCount }

  private var key: PositionKey { PositionKey(currentIndex) }

  private func checkEnd(_ type: Any.Type) throws {
    if isAtEnd {
      throw DecodingError.valueNotFound(
        type,
        .init(codingPath: place.path(key), debugDescription: "the array ends after \(elementCount) elements"))
    }
  }

  private mutating func advance() {
    next = place.token(next).next(after: next)
    currentIndex += 1
  }

  @inline(__always)
  mutating func decodeNil() throws -> Bool {
    try checkEnd(Any?.self)
    guard place.isNull(at: next) else { return false }
    advance()
    return true
  }

  @inline(__always)
  mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
    try checkEnd(type)
    let value = try place.decode(type, at: next, key: key)
    advance()
    return value
  }

  @inline(__always)
  mutating func decodeIfPresent<T: Decodable>(_ type: T.Type) throws -> T? {
    if isAtEnd { return nil }
    if place.isNull(at: next) {
      advance()
      return nil
    }
    return try decode(type)
  }

  mutating func nestedContainer<Key: CodingKey>(
    keyedBy type: Key.Type
  ) throws -> KeyedDecodingContainer<Key> {
    try checkEnd(KeyedDecodingContainer<Key>.self)
    let container = try KeyedPlace<Key>(place.lasting(at: next, key: PositionKey(currentIndex)))
    advance()
    return KeyedDecodingContainer(container)
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try checkEnd((any UnkeyedDecodingContainer).self)
    let container = try UnkeyedPlace(place.lasting(at: next, key: PositionKey(currentIndex)))
    advance()
    return container
  }

  mutating func superDecoder() throws -> any Decoder {
    try checkEnd((any Decoder).self)
    let decoder = place.lasting(at: next, key: PositionKey(currentIndex))
    advance()
    return decoder
  }
}

/// A map that is being decoded.
///
/// Small maps are searched from the key behind the last one found; larger ones, those with duplicates, and
/// those whose keys are converted have an index.
struct KeyedPlace<Key: CodingKey>: KeyedDecodingContainerProtocol {
  private let place: Place

  init(_ place: Place) throws {
    let map = place.own
    guard map.what == .map else {
      throw place.mismatch([String: Any].self, at: Int(place.index), key: NoKey())
    }
    let isSearched =
      unsafe map.elementCount <= 16 && !place.state.convertsKeys
      && !swmp_has_duplicates(place.state.tokens, place.index, place.state.start)
    if isSearched {
      self.place = place
    } else {
      let state = DecodingState(of: place.state, prefix: place.state.prefix, lookup: try KeyIndex(place))
      self.place = Place(state: state, index: place.index, depth: place.depth)
    }
  }

  var codingPath: [any CodingKey] { place.codingPath }

  var allKeys: [Key] {
    var keys: [Key] = []
    // Who takes any text, such as a dictionary, must not lose what has none.
    func appendUnreadable() { if let key = Key(stringValue: Place.unreadableKey) { keys.append(key) } }
    if let lookup = place.state.lookup {
      for (name, _) in lookup.ordered {
        if let key = name.intValue.flatMap({ Key(intValue: $0) }) ?? Key(stringValue: name.stringValue) {
          keys.append(key)
        }
      }
      if lookup.hasUnreadable { appendUnreadable() }
      return keys
    }
    var hasUnreadable = false
    var index = Int(place.index) + 1
    keys.reserveCapacity(place.own.elementCount)
    while index < Int(place.own.extent) {
      let token = place.token(index)
      if let name = place.name(token) {
        if let key = name.intValue.flatMap({ Key(intValue: $0) }) ?? Key(stringValue: name.stringValue) {
          keys.append(key)
        }
      } else {
        hasUnreadable = true
      }
      let value = token.next(after: index)
      index = place.token(value).next(after: value)
    }
    if hasUnreadable { appendUnreadable() }
    return keys
  }

  /// The index of the value of a key.
  @inline(__always)
  private func find(_ key: some CodingKey) -> Int? {
    if let lookup = place.state.lookup { return lookup.find(key) }
    let map = place.index
    let hint = place.state.hint(for: map, depth: place.depth)
    var name = key.stringValue
    let found = name.withUTF8 { name in
      let (tokens, start) = unsafe (place.state.tokens, place.state.start)
      // The first guess is tried in place.
      let first = hint > map ? hint : map + 1
      if unsafe first < tokens[Int(map)].extent, unsafe tokens[Int(first)].isText(name, start) {
        return first
      }
      return unsafe swmp_find_string(tokens, start, map, hint, name.baseAddress, name.count)
    }
    if found != .max {
      let value = Int(found) + 1
      place.state.setHint(UInt32(place.token(value).next(after: value)), for: map, depth: place.depth)
      return value
    }
    guard let number = key.intValue else { return nil }
    let other = unsafe swmp_find_integer(place.state.tokens, map, Int64(number))
    return other == .max ? nil : Int(other) + 1
  }

  @inline(__always)
  private func require(_ key: Key) throws -> Int {
    if let index = find(key) { return index }
    throw missing(key)
  }

  @inline(never)
  private func missing(_ key: Key) -> DecodingError {
    if key.stringValue == Place.unreadableKey, let error = place.unreadable() { return error }
    return .keyNotFound(
      key, .init(codingPath: codingPath, debugDescription: "the map has no key \(key.stringValue)"))
  }

  func contains(_ key: Key) -> Bool { find(key) != nil }

  func decodeNil(forKey key: Key) throws -> Bool { place.isNull(at: try require(key)) }

  @inline(__always)
  func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
    try place.decode(type, at: require(key), key: key)
  }

  @inline(__always)
  func decodeIfPresent<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T? {
    guard let index = find(key), !place.isNull(at: index) else { return nil }
    return try place.decode(type, at: index, key: key)
  }

  func nestedContainer<NestedKey: CodingKey>(
    keyedBy type: NestedKey.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<NestedKey> {
    KeyedDecodingContainer(
      try KeyedPlace<NestedKey>(place.lasting(at: require(key), key: key)))
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try UnkeyedPlace(place.lasting(at: require(key), key: key))
  }

  func superDecoder() throws -> any Decoder {
    if let index = find(PositionKey.super) {
      return place.lasting(at: index, key: PositionKey.super)
    }
    throw DecodingError.keyNotFound(
      PositionKey.super, .init(codingPath: codingPath, debugDescription: "the map has no key super"))
  }

  func superDecoder(forKey key: Key) throws -> any Decoder {
    place.lasting(at: try require(key), key: key)
  }
}

extension Place {
  /// A map's key that is a string or an integer.
  func name(_ token: swmp_token) -> TextKey? {
    switch token.what {
    case .string: unsafe decodedText(token, state.start).map(TextKey.init(stringValue:))
    case .int: Int(exactly: token.int).map(TextKey.init(intValue:))
    default: nil
    }
  }

  /// What a map's keys that have no name are called, to who asks for all of them: asking for its value is an
  /// error.
  static var unreadableKey: String { "a key that is neither text nor an integer" }

  /// What is wrong with the first key that has no name.
  func unreadable() -> DecodingError? {
    var index = Int(index) + 1
    while index < Int(own.extent) {
      let token = token(index)
      if name(token) == nil {
        guard token.what == .string else { return mismatch(String.self, at: index, key: NoKey()) }
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
  /// Whether it is a string of these bytes. Short ones, which most keys are, are compared in place.
  @inline(__always)
  fileprivate func isText(_ name: UnsafeBufferPointer<UInt8>, _ start: UnsafePointer<UInt8>) -> Bool {
    guard what == .string, Int(extent) == name.count, let name = name.baseAddress else { return false }
    let (left, right) = unsafe (UnsafeRawPointer(start) + Int(value), UnsafeRawPointer(name))
    let count = Int(extent)
    // Two words that overlap are all of it.
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

/// Where the value of each key of a map is.
final class KeyIndex {
  /// Keys as bytes: that two texts look alike does not make them one key.
  private struct Name: Hashable {
    let text: String

    static func == (left: Name, right: Name) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    func hash(into hasher: inout Hasher) {
      var text = text
      text.withUTF8 { units in unsafe hasher.combine(bytes: UnsafeRawBufferPointer(units)) }
    }
  }

  private var strings: [Name: Int] = [:]
  private var integers: [Int: Int] = [:]
  /// Each key once, in order.
  private(set) var ordered: [(TextKey, Int)] = []
  /// Whether there are keys that are neither text nor an integer.
  private(set) var hasUnreadable = false

  init(_ place: Place) throws {
    var index = Int(place.index) + 1
    while index < Int(place.own.extent) {
      let token = place.token(index)
      let value = token.next(after: index)
      if let name = place.name(token) {
        let converted = place.convert(name)
        let isNew: Bool
        if let number = converted.intValue {
          isNew = integers.updateValue(value, forKey: number) == nil
        } else {
          isNew = strings.updateValue(value, forKey: Name(text: converted.stringValue)) == nil
        }
        if isNew { ordered.append((converted, value)) }
      } else {
        hasUnreadable = true
      }
      index = place.token(value).next(after: value)
    }
  }

  func find(_ key: some CodingKey) -> Int? {
    strings[Name(text: key.stringValue)] ?? key.intValue.flatMap { integers[$0] }
  }
}

extension Place {
  fileprivate func convert(_ key: TextKey) -> TextKey {
    switch state.options.keyDecodingStrategy {
    case .useDefaultKeys: return key
    case .convertFromSnakeCase:
      return key.intValue == nil ? TextKey(stringValue: key.stringValue.fromSnakeCase) : key
    case .custom(let convert):
      let converted = convert(codingPath + [key])
      if let number = converted.intValue { return TextKey(intValue: number) }
      return TextKey(stringValue: converted.stringValue)
    }
  }
}

extension String {
  /// `one_two` as `oneTwo`; underscores at either end stay.
  var fromSnakeCase: String {
    guard let first = firstIndex(where: { $0 != "_" }), let last = lastIndex(where: { $0 != "_" }) else {
      return self
    }
    let words = self[first...last].split(separator: "_")
    guard words.count > 1 else { return self }
    let joined =
      words[0].lowercased()
      + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst().lowercased() }.joined()
    return self[..<first] + joined + self[index(after: last)...]
  }

  /// `oneTwo` as `one_two`, `myURLKey` as `my_url_key`.
  var toSnakeCase: String {
    var result = ""
    let characters = Array(self)
    for (index, character) in characters.enumerated() {
      if character.isUppercase, index > 0, characters[index - 1] != "_" {
        let followsLower = !characters[index - 1].isUppercase
        let precedesLower = index + 1 < characters.count && characters[index + 1].isLowercase
        if followsLower || precedesLower { result += "_" }
      }
      result += character.lowercased()
    }
    return result
  }
}
