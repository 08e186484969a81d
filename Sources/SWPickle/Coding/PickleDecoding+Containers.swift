internal import SWCoding
internal import SWFraming

/// The keys of a dict, for containers that look for more than a few.
final class PickleKeyIndex {
  var byText: [PickleText: Int] = [:]
  var byNumber: [Int: Int] = [:]

  init() {}

  init(_ pairs: PicklePairs) {
    for index in pairs.indices {
      let key = pairs[index].key
      if let text = key.text {
        byText[PickleText(text)] = index
      } else if let number = key.integer {
        byNumber[number] = index
      }
    }
  }
}

/// The container of a dict or of an object's attributes.
struct PickleKeyedDecoding<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let decoding: PickleDecoding
  /// The dicts to search, in this order.
  private let sources: [PicklePairs]
  /// Whether the keys are those of a dictionary, which no strategy changes.
  private let isDictionary: Bool
  /// Whether the object has arguments without names. Each of them may be the value of a missing key, so no key is absent.
  private let isIncomplete: Bool
  /// The converted keys, for a strategy that only converts keys of the message to keys of the type.
  private var converted: [PickleText: PickleValue]?
  /// The same keys in the order of the message.
  private var convertedNames: [PickleText] = []
  /// The most likely position of the next key: behind the one that was found last.
  private final class Hint { var next = 0 }
  private let hint = Hint()
  private static var smallCount: Int { 16 }

  init(_ decoding: PickleDecoding) throws {
    self.decoding = decoding
    isDictionary = Key.self == CodingDictionaryKeys.type
    sources = try decoding.keyedSources()
    isIncomplete = decoding.unnamedCount > 0
    let session = decoding.session
    if !isDictionary, case .custom(let convert) = session.options.keyStrategy.kind {
      var converted: [PickleText: PickleValue] = [:]
      var originals: [PickleText: PickleValue] = [:]
      let path = decoding.codingPath
      for source in sources.reversed() {
        try session.charge(source.count, at: path)
        for (key, value) in source {
          guard let text = Self.name(of: key) else { continue }
          try session.charge(copied: text.utf8.count, at: path)
          if !text.isFitForKey { throw DecodingError.unfitKey(at: path) }
          let name = PickleText(convert(path + [PickleKey(key)]).stringValue)
          // The same attribute may be in two dicts of an object.
          if let other = originals.updateValue(key, forKey: name), other != key {
            throw DecodingError.sameKey("\(other)", "\(key)", at: path)
          }
          // Not by `updateValue`, whose result would be compared with a nil that may be None.
          if converted.index(forKey: name) == nil { convertedNames.append(name) }
          converted[name] = value
        }
      }
      self.converted = converted
    } else {
      for source in sources { try checkKeys(source) }
    }
  }

  /// The name of a key that a custom strategy converts. A function of its own, and not inlined, because the optimizer of Swift
  /// 6.3.1 crashes otherwise.
  @inline(never)
  private static func name(of key: PickleValue) -> String? { key.text ?? key.integer.map { String($0) } }

  /// Throws if a key is slow to compare, because a type may compare it with its cases.
  private func checkKeys(_ source: PicklePairs) throws {
    if source.count > Self.smallCount, source.identity != nil {
      // Also the charges of earlier lists of keys become an error here.
      try decoding.session.charge(1, at: decoding.codingPath)
      _ = try keyIndex(source)
      return
    }
    if source.count > Self.smallCount { try decoding.session.charge(source.count, at: decoding.codingPath) }
    for index in source.indices {
      if let text = source[index].key.text {
        try decoding.session.checkCompared(text, CombiningMarks.mostInKey, at: decoding.codingPath)
      }
    }
  }

  var codingPath: [any CodingKey] { decoding.codingPath }

  private var usesSnakeCase: Bool {
    if case .snakeCase = decoding.session.options.keyStrategy.kind { return !isDictionary }
    return false
  }

  var allKeys: [Key] {
    var keys: [Key] = []
    // The search for keys that are neither text nor ints is a second visit.
    decoding.session.chargeLater(2 * sources.reduce(0) { $0 + $1.count })
    if converted != nil {
      keys = convertedNames.compactMap { Key(stringValue: $0.string) }
      if hasUnreadable, let key = unreadable { keys.append(key) }
      return keys
    }
    for source in decoding.namedAttributes ?? sources {
      for (key, _) in source {
        if let text = key.text {
          if usesSnakeCase {
            if let key: Key = decoding.session.key(inSnakeCase: text, of: source.count) { keys.append(key) }
          } else if let key = Key(stringValue: text) {
            keys.append(key)
          }
        } else if let number = key.integer {
          if let key = Key(intValue: number) { keys.append(key) }
        }
      }
    }
    if hasUnreadable, let key = unreadable { keys.append(key) }
    return keys
  }

  /// The start of the key that `allKeys` has for keys that are neither text nor an `Int`.
  private static var unreadableKey: String { "a key that is neither text nor an Int" }

  /// The first key that is neither text nor an `Int`.
  private var firstUnreadable: PickleValue? {
    for source in sources {
      for (key, _) in source where key.text == nil && key.integer == nil { return .some(key) }
    }
    return Optional.none
  }

  private var hasUnreadable: Bool {
    sources.contains { $0.contains { $0.key.text == nil && $0.key.integer == nil } }
  }

  /// The key that stands for these. A key type that accepts any text would silently drop their entries. To decode its value is
  /// an error. It is longer than each key that begins in the same way.
  private var unreadable: Key? {
    let start = Self.unreadableKey
    var length = start.utf8.count
    func avoid(_ text: String) {
      if text.utf8.count >= length, text.utf8.starts(with: start.utf8) { length = text.utf8.count + 1 }
    }
    for name in convertedNames { avoid(name.string) }
    for source in sources { for (key, _) in source { if let text = key.text { avoid(text) } } }
    return Key(stringValue: start + String(repeating: "?", count: length - start.utf8.count))
  }

  private func find(_ key: any CodingKey) throws -> PickleValue? {
    if let converted { return converted[PickleText(key.stringValue)] }
    // A key type that accepts any text has the keys that are not in snake case, too.
    if usesSnakeCase, let found = try find(decoding.session.name(key.stringValue), nil) { return found }
    return try find(key.stringValue, key.intValue)
  }

  private func find(_ name: String, _ intValue: Int?) throws -> PickleValue? {
    for (number, source) in sources.enumerated() {
      if let found = try find(name, intValue, source, isFirst: number == 0) { return found }
    }
    return nil
  }

  private func find(
    _ name: String, _ number: Int?, _ source: PicklePairs, isFirst: Bool
  ) throws -> PickleValue? {
    let count = source.count
    if count <= Self.smallCount {
      var index = isFirst && hint.next < count ? hint.next : 0
      for _ in 0..<count {
        if source.isKey(at: index, name) {
          if isFirst { hint.next = index + 1 }
          return source[index].value
        }
        index = index + 1 == count ? 0 : index + 1
      }
      guard let number else { return nil }
      for index in 0..<count { if source[index].key.integer == number { return source[index].value } }
      return nil
    }
    if hint.next < count, isFirst, source.isKey(at: hint.next, name) {
      hint.next += 1
      return source[hint.next - 1].value
    }
    let index = try keyIndex(source)
    guard let found = index.byText[PickleText(name)] ?? number.flatMap({ index.byNumber[$0] }) else {
      return nil
    }
    if isFirst { hint.next = found + 1 }
    return source[found].value
  }

  private func keyIndex(_ source: PicklePairs) throws -> PickleKeyIndex {
    let session = decoding.session
    if let identity = source.identity, let known = session.rare.indices[identity] { return known }
    try session.charge(source.count, at: decoding.codingPath)
    for index in source.indices {
      let key = source[index].key
      try session.chargeConversion(of: key, at: decoding.codingPath)
      if let text = key.text, !text.isFitForKey { throw DecodingError.unfitKey(at: decoding.codingPath) }
    }
    let index = PickleKeyIndex(source)
    if let identity = source.identity { session.rare.indices[identity] = index }
    return index
  }

  private func value(_ key: any CodingKey) throws -> PickleValue {
    guard let value = try find(key) else {
      if key.stringValue.utf8.starts(with: Self.unreadableKey.utf8), case .some(let key) = firstUnreadable {
        throw decoding.corrupted("the key \(key) is \(key.kind), which is neither text nor an Int")
      }
      let hint = decoding.namesNothing.map { "; \($0)" } ?? ""
      throw DecodingError.keyNotFound(
        key,
        .init(codingPath: codingPath, debugDescription: "no key \(key.stringValue.quoted())\(hint)"))
    }
    return value
  }

  private func child(_ key: any CodingKey) throws -> PickleDecoding {
    PickleDecoding(.value(try value(key)), path: PicklePath(key, in: decoding.path), decoding.session)
  }

  /// Decodes a simple value, without a decoder of its own if none is needed.
  @inline(__always)
  private func simple<T: PickleSimple>(_ key: any CodingKey) throws -> T {
    let value = try value(key)
    guard decoding.session.comparedLimit == 0, let found = T(direct: value) else {
      return try T(decoding: child(key))
    }
    return found
  }

  /// The error of a search comes again when the value is decoded, so no entry is lost silently.
  ///
  /// The result is not compared with nil: to the compiler `nil` is a `PickleValue`, too, which is None.
  func contains(_ key: Key) -> Bool {
    if isIncomplete { return true }
    do {
      if case .some = try find(key) { return true }
      return false
    } catch {
      return true
    }
  }
  func decodeNil(forKey key: Key) throws -> Bool { try value(key).isNil }
  func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try simple(key) }
  func decode(_ type: String.Type, forKey key: Key) throws -> String { try simple(key) }
  func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try simple(key) }
  func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try simple(key) }
  func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try simple(key) }
  func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try simple(key) }
  func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try simple(key) }
  func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try simple(key) }
  func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try simple(key) }
  func decode(_ type: Int128.Type, forKey key: Key) throws -> Int128 { try simple(key) }
  func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try simple(key) }
  func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try simple(key) }
  func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try simple(key) }
  func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try simple(key) }
  func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try simple(key) }
  func decode(_ type: UInt128.Type, forKey key: Key) throws -> UInt128 { try simple(key) }
  func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try child(key).unbox(type) }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> {
    try child(key).opened().container(keyedBy: type)
  }
  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try child(key).opened().unkeyedContainer()
  }
  func superDecoder() throws -> any Decoder { try child(PickleKey("super")).opened() }
  func superDecoder(forKey key: Key) throws -> any Decoder { try child(key).opened() }
}

/// The container of a sequence.
struct PickleUnkeyedDecoding: UnkeyedDecodingContainer {
  let decoding: PickleDecoding
  let sequence: PickleSequence
  private(set) var currentIndex = 0

  init(_ decoding: PickleDecoding, _ sequence: PickleSequence) {
    self.decoding = decoding
    self.sequence = sequence
  }

  var codingPath: [any CodingKey] { decoding.codingPath }
  /// The number of elements. Nil if the limits do not allow that many: a pickle of a few bytes may claim any number for a
  /// range, or for an array that has an extent of zero, and a type may reserve memory for them.
  var count: Int? { sequence.count <= decoding.session.remainingParts ? sequence.count : nil }
  var isAtEnd: Bool { currentIndex == sequence.count }

  private func source(_ type: Any.Type) throws -> PickleDecoding.Source {
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(
        type,
        .init(
          codingPath: codingPath + [PickleKey(currentIndex)],
          debugDescription: "only \(sequence.count) elements"))
    }
    // The elements of a range, and the parts of an array that has an extent of zero, are not parts of the value. So they
    // are charged here.
    switch sequence {
    case .range: try decoding.session.charge(1, at: decoding.codingPath)
    case .view(let view): try view.chargeElement(to: decoding.session, at: decoding.codingPath)
    case .elements: break
    }
    return sequence[currentIndex]
  }

  /// The decoder of the current element.
  private func child(_ type: Any.Type) throws -> PickleDecoding {
    PickleDecoding(
      try source(type), path: PicklePath(PickleKey(currentIndex), in: decoding.path), decoding.session)
  }

  @inline(__always)
  private mutating func simple<T: PickleSimple>() throws -> T {
    let found: T
    if decoding.session.comparedLimit == 0, case .value(let value) = try source(T.self),
      let direct = T(direct: value)
    {
      found = direct
    } else {
      found = try T(decoding: child(T.self))
    }
    currentIndex += 1
    return found
  }

  mutating func decodeNil() throws -> Bool {
    // A record is not made to see that it is not nil.
    if case .view(let view) = sequence, !isAtEnd, view.hasNoNil { return false }
    guard case .value(let value) = try source(Never.self), value.isNil else { return false }
    currentIndex += 1
    return true
  }

  mutating func decode(_ type: Bool.Type) throws -> Bool { try simple() }
  mutating func decode(_ type: String.Type) throws -> String { try simple() }
  mutating func decode(_ type: Double.Type) throws -> Double { try simple() }
  mutating func decode(_ type: Float.Type) throws -> Float { try simple() }
  mutating func decode(_ type: Int.Type) throws -> Int { try simple() }
  mutating func decode(_ type: Int8.Type) throws -> Int8 { try simple() }
  mutating func decode(_ type: Int16.Type) throws -> Int16 { try simple() }
  mutating func decode(_ type: Int32.Type) throws -> Int32 { try simple() }
  mutating func decode(_ type: Int64.Type) throws -> Int64 { try simple() }
  mutating func decode(_ type: Int128.Type) throws -> Int128 { try simple() }
  mutating func decode(_ type: UInt.Type) throws -> UInt { try simple() }
  mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try simple() }
  mutating func decode(_ type: UInt16.Type) throws -> UInt16 { try simple() }
  mutating func decode(_ type: UInt32.Type) throws -> UInt32 { try simple() }
  mutating func decode(_ type: UInt64.Type) throws -> UInt64 { try simple() }
  mutating func decode(_ type: UInt128.Type) throws -> UInt128 { try simple() }

  mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
    let value = try child(type).unbox(type)
    currentIndex += 1
    return value
  }

  mutating func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type
  ) throws -> KeyedDecodingContainer<Nested> {
    let container = try child([String: Any].self).opened().container(keyedBy: type)
    currentIndex += 1
    return container
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    let container = try child([Any].self).opened().unkeyedContainer()
    currentIndex += 1
    return container
  }

  mutating func superDecoder() throws -> any Decoder {
    let decoder = try child((any Decoder).self).opened()
    currentIndex += 1
    return decoder
  }
}

/// The container of a single value.
struct PickleSingleDecoding: SingleValueDecodingContainer {
  let decoding: PickleDecoding
  var codingPath: [any CodingKey] { decoding.codingPath }

  func decodeNil() -> Bool { decoding.value.isNil }
  func decode(_ type: Bool.Type) throws -> Bool { try .init(decoding: decoding) }
  func decode(_ type: String.Type) throws -> String { try .init(decoding: decoding) }
  func decode(_ type: Double.Type) throws -> Double { try .init(decoding: decoding) }
  func decode(_ type: Float.Type) throws -> Float { try .init(decoding: decoding) }
  func decode(_ type: Int.Type) throws -> Int { try .init(decoding: decoding) }
  func decode(_ type: Int8.Type) throws -> Int8 { try .init(decoding: decoding) }
  func decode(_ type: Int16.Type) throws -> Int16 { try .init(decoding: decoding) }
  func decode(_ type: Int32.Type) throws -> Int32 { try .init(decoding: decoding) }
  func decode(_ type: Int64.Type) throws -> Int64 { try .init(decoding: decoding) }
  func decode(_ type: Int128.Type) throws -> Int128 { try .init(decoding: decoding) }
  func decode(_ type: UInt.Type) throws -> UInt { try .init(decoding: decoding) }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try .init(decoding: decoding) }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try .init(decoding: decoding) }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try .init(decoding: decoding) }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try .init(decoding: decoding) }
  func decode(_ type: UInt128.Type) throws -> UInt128 { try .init(decoding: decoding) }
  func decode<T: Decodable>(_ type: T.Type) throws -> T { try decoding.unbox(type) }
}

extension PickleDecoding {
  /// This decoding, charged as the source of a container that is asked for without a value around it.
  fileprivate func opened() throws -> PickleDecoding {
    try session.charge(1, at: codingPath)
    if case .value(let value) = source { try session.chargeConversion(of: value, at: codingPath) }
    return self
  }

  /// The dicts in which keys are looked up.
  func keyedSources() throws -> [PicklePairs] {
    guard case .value(let value) = source else { throw mismatch([String: Any].self) }
    guard var sources = value.keyedSources else { throw mismatch([String: Any].self, namesNothing) }
    // A root model of pydantic has the key "root", and those of its root.
    if let root = value.root {
      try session.chargeConversion(of: root, at: codingPath)
      sources += root.keyedSources ?? []
    }
    return sources
  }

  /// The dicts whose keys are the names of attributes, if the sources have others, too: the state of a model of pydantic is
  /// one of them.
  var namedAttributes: [PicklePairs]? {
    guard case .value(var value) = source else { return nil }
    // Of a root model they are those of its root.
    if let root = value.root, let sources = root.keyedSources {
      guard case .object = root.content else { return sources }
      value = root
    }
    guard case .object(let object) = value.content, let attributes = object.attributes, attributes.count > 1,
      case .dict = object.state?.content,
      object.wrapped == nil
    else { return nil }
    return attributes.dropLast() + [object.entries].compactMap { $0 }
  }

  /// How many values an object has that its class takes without names, beside its attributes: those of a subclass of tuple,
  /// str, or another type of Python's.
  var unnamedCount: Int {
    guard case .object(let object) = value.content else { return 0 }
    return object.unnamedCount
  }

  /// Why the attributes of an object cannot be found by name.
  var namesNothing: String? {
    let unnamedCount = unnamedCount
    if unnamedCount > 0 { return "it has \(unnamedCount) arguments without names" }
    guard case .object(let object) = value.content, object.attributes == nil, object.entries == nil else {
      return nil
    }
    if let values = object.stateValues {
      return "its state is a sequence of \(values.count) values without names"
    }
    if !object.arguments.isEmpty { return "it has \(object.arguments.count) arguments without names" }
    return object.state == nil ? "it has no attributes" : nil
  }
}

extension PickleValue {
  /// The dicts in which the keys of the value are looked up, those of its root apart. Nil for a value without keys.
  fileprivate var keyedSources: [PicklePairs]? {
    if let pairs { return [pairs] }
    if case .array(let array) = content, array.type.kind == .record, let pairs = array.scalar?.pairs {
      return [pairs]
    }
    guard case .object(let object) = content else { return nil }
    if let pairs = object.wrapped?.pairs { return [pairs] }
    var sources = object.attributes ?? []
    if let entries = object.entries { sources.append(entries) }
    return sources.isEmpty && !object.isEmpty ? nil : sources
  }
}
