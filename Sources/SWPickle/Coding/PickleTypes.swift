internal import SWCoding

/// An array of simple elements.
protocol PickleArray: SendableMetatype {
  /// Returns nil if the array has to be decoded element by element.
  static func decode(_ decoding: PickleDecoding) throws -> Self?
  static func decode(_ session: PickleDecodingSession, _ run: PickleRun) -> Self?
}

extension Array: PickleArray where Element: PickleSimple {
  static func decode(_ decoding: PickleDecoding) throws -> [Element]? { try decoding.array(Element.self) }
  static func decode(_ session: PickleDecodingSession, _ run: PickleRun) -> [Element]? {
    session.elements(run, Element.self)
  }
}

/// A dictionary, which is a Python dict whatever its keys are.
protocol PickleDictionary: SendableMetatype {
  /// Returns nil if the dictionary has to be decoded by its own initialiser.
  static func decode(_ decoding: PickleDecoding) throws -> Self?
  /// Decodes a dict on a tape in the same way.
  static func decode(_ decoding: PickleTapeDecoding) throws -> Self?
}

/// The counterpart for encoding.
protocol PickleEncodableDictionary {
  func encodePairs(_ encoding: PickleEncoding) throws
}

extension Dictionary: PickleDictionary where Key: Decodable, Value: Decodable {
  /// The charge for an entry, because it takes several times the memory of an array's element.
  private static var visitsPerEntry: Int { 4 }

  static func decode(_ decoding: PickleDecoding) throws -> [Key: Value]? {
    guard case .value(var value) = decoding.source else { return try decodeAlternating(decoding) }
    let pairs: PicklePairs
    if let root = value.root {
      // A root model of pydantic is its root.
      try decoding.session.chargeConversion(of: root, at: decoding.codingPath)
      value = root
    }
    if let found = value.pairs {
      pairs = found
    } else if case .object(let object) = value.content {
      guard let found = object.wrapped?.pairs ?? object.entries ?? object.onlyAttributes else {
        if object.isEmpty { return [:] }
        if object.unnamedCount > 0 { throw decoding.mismatch([Key: Value].self, decoding.namesNothing) }
        return try decodeAlternating(decoding)
      }
      pairs = found
    } else {
      return try decodeAlternating(decoding)
    }
    try decoding.session.charge(visitsPerEntry * pairs.count, at: decoding.codingPath)
    var dictionary: [Key: Value] = [:]
    dictionary.reserveCapacity(Swift.min(pairs.count, 1 << 16))
    for (pythonKey, value) in pairs {
      // A key is converted, looked through and shown for each dict that it is in.
      try decoding.session.chargeConversion(of: pythonKey, at: decoding.codingPath)
      let key: Key = try decode(key: pythonKey, decoding)
      let name = PickleKey(pythonKey)
      let path = PicklePath(name, in: decoding.path)
      if dictionary[key] != nil {
        let first = try pairs.first { try decode(key: $0.key, decoding) == key }
        throw DecodingError.sameKey(
          first.map { "\($0.key)" } ?? "\(key)", "\(pythonKey)", at: decoding.codingPath)
      }
      dictionary[key] = try PickleDecoding(.value(value), path: path, decoding.session).unbox(Value.self)
    }
    return dictionary
  }

  /// Decodes an array in which keys and values alternate, as a dictionary of such keys does that decodes itself. Here, only the
  /// keys are compared. Returns nil for other kinds of keys.
  private static func decodeAlternating(_ decoding: PickleDecoding) throws -> [Key: Value]? {
    guard keyKind == .other else { return nil }
    var elements = try decoding.unkeyedContainer()
    if let count = elements.count, !count.isMultiple(of: 2) {
      throw decoding.corrupted("the number of keys and values, which alternate, is odd: \(count)")
    }
    var dictionary: [Key: Value] = [:]
    while !elements.isAtEnd {
      let key = try decodeKey(&elements, decoding.session)
      dictionary[key] = try elements.decode(Value.self)
    }
    return dictionary
  }

  private static func decodeKey(
    _ elements: inout any UnkeyedDecodingContainer, _ session: PickleDecodingSession
  ) throws -> Key {
    let outer = session.startComparing(CombiningMarks.mostInKey)
    defer { session.comparedLimit = outer }
    return try elements.decode(Key.self)
  }

  /// Decodes a dict whose keys are strs. The general decoder converts ints and other types of keys, and compares repeated
  /// keys.
  static func decode(_ decoding: PickleTapeDecoding) throws -> [Key: Value]? {
    guard Key.self == String.self else { return nil }
    let session = decoding.session
    let run = session.run(decoding.own)
    let keys = stride(from: Int(run.start), to: Int(run.start + run.count), by: 2)
    // All keys are looked at before a value is decoded, because the general decoder starts again. If it did so in each of
    // several levels, the inner values would be charged as often.
    for index in keys where session[index].kind != .text { return nil }
    try session.charge(visitsPerEntry * Int(run.count) / 2, at: decoding.codingPath)
    var dictionary: [Key: Value] = [:]
    dictionary.reserveCapacity(Int(run.count) / 2)
    for index in keys {
      let token = session[index]
      if token.count > 15 { try session.charge(copied: Int(token.count), at: decoding.codingPath) }
      let text = try session.text(token, at: decoding.codingPath)
      if !text.isFitForKey { throw DecodingError.unfitKey(at: decoding.codingPath) }
      let value = try decoding.decode(Value.self, at: index + 1, key: PickleKey(text))
      if dictionary.updateValue(value, forKey: unsafe unsafeBitCast(text, to: Key.self)) != nil { return nil }
    }
    return dictionary
  }

  private static func decode(key: PickleValue, _ decoding: PickleDecoding) throws -> Key {
    let path = PicklePath(PickleKey(key), in: decoding.path)
    let child = PickleDecoding(.value(key), path: path, decoding.session)
    let session = decoding.session
    let outer = session.startComparing(CombiningMarks.mostInKey)
    defer { session.comparedLimit = outer }
    // Here, so that the path in the error does not have the key, which takes long to print and to search.
    if keyKind != .integer { try key.text?.checkCompared(session, at: decoding.codingPath) }
    switch keyKind {
    case .text:
      // As in JSON, the text of a number is its digits.
      let text = key.text ?? key.bigInteger?.description ?? child.scalar.text
      if let text { try text.checkCompared(session, at: decoding.codingPath) }
      if let text, let found = text as? Key { return found }
      throw child.corrupted("the key \(key) is \(key.kind), which no String stands for")
    case .integer:
      if let found = (key.integer ?? child.scalar.integer) as? Key { return found }
      if let text = key.text, let found = Int(text) as? Key { return found }
      throw child.corrupted("the key \(key) is \(key.kind), which no Int stands for")
    case .representable:
      // A coding key is a text or an int, also for a member of an enum. No description stands for another key.
      let (text, number) = (key.text ?? child.scalar.text, key.bigInteger ?? child.scalar.bigInteger)
      if let text { try text.checkCompared(session, at: decoding.codingPath) }
      let codingKeys = [
        text.map { PickleKey($0) }, number.map { PickleKey(PickleValue($0)) },
        // As in JSON, the digits of a number stand for it.
        text.flatMap { Int($0) }.map { PickleKey(PickleValue($0)) },
      ]
      if let type = Key.self as? any CodingKeyRepresentable.Type {
        for case let codingKey? in codingKeys {
          if let found = type.init(codingKey: codingKey) as? Key { return found }
        }
      }
      return try child.unbox(Key.self)
    case .other: return try child.unbox(Key.self)
    }
  }
}

extension Dictionary: PickleEncodableDictionary where Key: Encodable, Value: Encodable {
  func encodePairs(_ encoding: PickleEncoding) throws {
    let (state, level) = (encoding.state, encoding.level)
    let kind = Self.keyKind
    var keys = PickleKeys()
    var seen: Set<Int> = []
    // The arena retains the keys, so no two have the same identity.
    var arena = PickleArena()
    state.open(.dict, level)
    for (key, value) in self {
      let start = state.mark
      let name: PickleKey
      let sorted: PickleSorting.Key
      if kind == .text {
        let text = key as? String ?? ""
        (name, sorted) = (PickleKey(text), .text(text))
        state.write(keyText: text)
      } else if kind == .integer {
        let number = key as? Int ?? 0
        (name, sorted) = (PickleKey(number), .int(number))
        state.boundary()
        state.write(number)
      } else {
        let pythonKey = try Self.pythonKey(key, encoding)
        try Self.check(pythonKey, arena.link(pythonKey), &keys, in: arena, &seen, encoding)
        name = PickleKey(pythonKey)
        sorted = try Self.write(pythonKey, to: state)
      }
      try encoding.encode(value, key: name)
      if state.options.sortsKeys {
        state.sorting.add(sorted, start.count..<state.count, start.memoCount, to: state[level].sorted)
      }
      state.endPair(level)
    }
  }

  /// The Python key of a key that is neither a `String` nor an `Int`: the value that it encodes to, or that it states.
  private static func pythonKey(_ key: Key, _ encoding: PickleEncoding) throws -> PickleValue {
    if keyKind == .representable, let codingKey = (key as? any CodingKeyRepresentable)?.codingKey {
      return codingKey.intValue.map { PickleValue($0) } ?? PickleValue(codingKey.stringValue)
    }
    return try encoding.state.options.encodeValue(key)
  }

  // This is a separate function, because Swift 6.3.1's optimiser fails if it is compiled as part of its caller.
  @inline(never)
  private static func write(
    _ key: PickleValue, to state: PickleEncodingState
  ) throws(PickleError) -> PickleSorting.Key {
    if let text = key.text {
      state.write(keyText: text)
      return .text(text)
    }
    let start = state.count
    try state.write(key)
    return key.integer.map { .int($0) } ?? .other(unsafe Array(state.bytes(start..<state.count)))
  }

  private static func check(
    _ key: PickleValue, _ slot: PickleSlot, _ keys: inout PickleKeys, in arena: PickleArena,
    _ seen: inout Set<Int>, _ encoding: PickleEncoding
  ) throws {
    do throws(PickleKeys.NotHashable) {
      if try seen.insert(keys.number(slot, in: arena)).inserted { return }
    } catch {
      throw EncodingError.invalidValue(
        key,
        .init(
          codingPath: encoding.codingPath,
          debugDescription: "cannot encode a key that becomes \(error.kind), which Python cannot hash"))
    }
    throw EncodingError.sameKey("\(key)", at: encoding.codingPath)
  }
}
