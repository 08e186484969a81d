internal import SWCoding

extension PickleEncoding: CodingDictionaryEncoder {
  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    open(.dict)
    return KeyedEncodingContainer(PickleKeyedEncoding<Key>(encoding: self, table: state.table(type)))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    open(.list)
    return PickleUnkeyedEncoding(encoding: self)
  }

  func singleValueContainer() -> any SingleValueEncodingContainer { self }

  /// Returns an encoder for a value at this position that may be encoded out of order.
  fileprivate func apart(_ key: some CodingKey) -> PickleEncoding {
    PickleEncoding(state: state.apart(level, path(key)), level: 0)
  }
}

extension PickleEncodingState {
  /// Ends a value that was encoded separately, or the whole value.
  func finishPart() throws { try PickleEncoding(state: self, level: 0).close() }
}

extension PickleEncoding: SingleValueEncodingContainer {
  func encodeNil() throws {
    try checkSingle(PickleValue.none)
    state.boundary()
    state.write(PickleOpcode.none)
    state[level].kind = .single
  }

  @inline(__always)
  func encode<T: Encodable>(_ value: T) throws {
    try checkSingle(value)
    if PickleEncodingState.isPlain(T.self) { state.writePlain(value) } else { try single(value) }
    state[level].kind = .single
  }

  func encode(_ value: Int128) throws { try wide(value) }
  func encode(_ value: UInt128) throws { try wide(value) }

  private func wide(_ value: some FixedWidthInteger) throws {
    try checkSingle(value)
    state.boundary()
    state.write(value)
    state[level].kind = .single
  }

  @inline(never)
  private func single<T: Encodable>(_ value: T) throws {
    let start = state.mark
    do {
      try other(value, key: PickleNoKey())
    } catch {
      // The container is as before, and accepts another value.
      state.takeBack(to: start)
      throw error
    }
  }

  @inline(__always)
  private func checkSingle(_ value: Any) throws {
    try check()
    if state[level].kind != .none { throw EncodingError.twoValues(value, at: codingPath) }
  }

  /// Encodes a Python value as the only value.
  func encode(_ value: PickleValue) throws {
    try checkSingle(value)
    let start = state.mark
    do {
      try state.write(value)
    } catch {
      state.takeBack(to: start)
      throw error
    }
    state[level].kind = .single
  }
}

struct PickleUnkeyedEncoding: UnkeyedEncodingContainer {
  fileprivate let encoding: PickleEncoding

  var codingPath: [any CodingKey] { encoding.codingPath }
  var count: Int { encoding.level < encoding.state.levelCount ? encoding.state[encoding.level].count : 0 }

  func encodeNil() throws {
    try encoding.check()
    encoding.state.beginElement(encoding.level)
    encoding.state.boundary()
    encoding.state.write(PickleOpcode.none)
    encoding.state.endElement(encoding.level)
  }

  @inline(__always)
  func encode<T: Encodable>(_ value: T) throws {
    try encoding.check()
    let start = encoding.state.mark
    encoding.state.beginElement(encoding.level)
    if PickleEncodingState.isPlain(T.self) {
      encoding.state.writePlain(value)
    } else {
      try other(value, start)
    }
    encoding.state.endElement(encoding.level)
  }

  func encode(_ value: Int128) throws { try wide(value) }
  func encode(_ value: UInt128) throws { try wide(value) }

  private func wide(_ value: some FixedWidthInteger) throws {
    try encoding.check()
    encoding.state.beginElement(encoding.level)
    encoding.state.boundary()
    encoding.state.write(value)
    encoding.state.endElement(encoding.level)
  }

  @inline(never)
  private func other<T: Encodable>(_ value: T, _ start: PickleSink.Mark) throws {
    let batchCount = encoding.state[encoding.level].batchCount
    do {
      try encoding.other(value, key: PicklePosition(count))
    } catch {
      encoding.state.takeBack(to: start)
      // The batch that was taken back counts as full again.
      if batchCount == 0, count > 0 { encoding.state[encoding.level].batchCount = Int32(PickleWriter.batch) }
      throw error
    }
  }

  func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    apart().container(keyedBy: type)
  }
  func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { apart().unkeyedContainer() }
  func superEncoder() -> any Encoder { apart() }

  private func apart() -> PickleEncoding {
    guard encoding.isInTurn() else { return encoding.disused }
    encoding.state.beginElement(encoding.level)
    let part = encoding.apart(PicklePosition(count))
    encoding.state.endElement(encoding.level)
    return part
  }
}

struct PickleKeyedEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
  fileprivate let encoding: PickleEncoding
  fileprivate let table: PickleEncodingState.KeyTable?

  // `encoding.state` is written out each time. A property for it would retain the state twice for each field.
  var codingPath: [any CodingKey] { encoding.codingPath }

  /// Writes a key, which must not be in the dict yet.
  ///
  /// - Returns: the number of the key.
  @inline(__always)
  private func begin(_ key: Key) throws(EncodingError) -> Int {
    if let table, MemoryLayout<Key>.size <= 1, key.caseNumber < 64 {
      let row = unsafe Int(table.rows[key.caseNumber])
      if row > 0 {
        guard encoding.state.note(row - 1, encoding.level) else { throw repeated(row - 1) }
        encoding.state.write(key: row - 1)
        return row - 1
      }
    }
    return try beginUnknown(key)
  }

  @inline(never)
  private func beginUnknown(_ key: Key) throws(EncodingError) -> Int {
    let number = try begin(text: text(of: key))
    if let table, MemoryLayout<Key>.size <= 1, key.caseNumber < 64, let row = UInt16(exactly: number + 1) {
      unsafe table.rows[key.caseNumber] = row
    }
    return number
  }

  @inline(__always)
  private func begin(text: String) throws(EncodingError) -> Int {
    let found = encoding.state.findOrWrite(text)
    let number = found < 0 ? ~found : found
    // A key whose text was written just now cannot be in a dict yet.
    guard encoding.state.note(number, encoding.level) else { throw repeated(number) }
    if found >= 0 { encoding.state.write(key: number) }
    return number
  }

  @inline(__always)
  private func text(of key: Key) -> String {
    unsafe encoding.state.own.pointee.convertsKeys ? converted(key) : key.stringValue
  }

  @inline(never)
  private func converted(_ key: Key) -> String {
    if Key.self == CodingDictionaryKeys.type { return key.stringValue }
    return switch encoding.state.options.keyStrategy.kind {
    case .unchanged: key.stringValue
    case .snakeCase: key.stringValue.inSnakeCase
    case .custom(let convert): convert(codingPath + [key]).stringValue
    }
  }

  @inline(never)
  private func repeated(_ number: Int) -> EncodingError {
    .sameKey(encoding.state.text(of: number), at: codingPath)
  }

  @inline(__always)
  private func end(_ number: Int, _ start: PickleSink.Mark) {
    if unsafe encoding.state.own.pointee.sortsKeys { remember(number, start) }
    encoding.state.endPair(encoding.level)
  }

  @inline(never)
  private func remember(_ number: Int, _ start: PickleSink.Mark) {
    encoding.state.sorting.add(
      .text(encoding.state.text(of: number)), start.count..<encoding.state.count, start.memoCount,
      to: encoding.state[encoding.level].sorted)
  }

  func encodeNil(forKey key: Key) throws {
    try encoding.check()
    let start = encoding.state.mark
    let number = try begin(key)
    encoding.state.boundary()
    encoding.state.write(PickleOpcode.none)
    end(number, start)
  }

  @inline(__always)
  func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
    try encoding.check()
    if unsafe !PickleEncodingState.isPlain(T.self) || encoding.state.own.pointee.sortsKeys {
      return try encodeAny(value, key)
    }
    _ = try begin(key)
    encoding.state.writePlain(value)
    encoding.state.endPair(encoding.level)
  }

  @inline(never)
  private func encodeAny<T: Encodable>(_ value: T, _ key: Key) throws {
    let start = encoding.state.mark
    let number = try begin(key)
    if PickleEncodingState.isPlain(T.self) {
      encoding.state.writePlain(value)
    } else {
      try other(value, key, number, start)
    }
    end(number, start)
  }

  func encode(_ value: Int128, forKey key: Key) throws { try wide(value, key) }
  func encode(_ value: UInt128, forKey key: Key) throws { try wide(value, key) }

  private func wide(_ value: some FixedWidthInteger, _ key: Key) throws {
    try encoding.check()
    let start = encoding.state.mark
    let number = try begin(key)
    encoding.state.boundary()
    encoding.state.write(value)
    end(number, start)
  }

  @inline(never)
  private func other<T: Encodable>(_ value: T, _ key: Key, _ number: Int, _ start: PickleSink.Mark) throws {
    do {
      try encoding.other(value, key: key)
    } catch {
      encoding.state.takeBack(to: start)
      encoding.state.forget(number, encoding.level)
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
  func superEncoder() -> any Encoder {
    let key = PickleKey("super")
    return apart(key) { () throws(EncodingError) in try begin(text: key.stringValue) }
  }
  func superEncoder(forKey key: Key) -> any Encoder { apart(key) }

  private func apart(_ key: Key) -> PickleEncoding {
    apart(key) { () throws(EncodingError) in try begin(key) }
  }

  private func apart(_ key: some CodingKey, _ begin: () throws(EncodingError) -> Int) -> PickleEncoding {
    guard encoding.isInTurn() else { return encoding.disused }
    let start = encoding.state.mark
    let number: Int
    do throws(EncodingError) {
      number = try begin()
    } catch {
      // The encoding ends with this error, so the value that was encoded until now is discarded.
      encoding.state.fail(error)
      return PickleEncoding(
        state: PickleEncodingState(encoding.state.options, prefix: encoding.path(key)), level: 0)
    }
    let part = encoding.apart(key)
    end(number, start)
    return part
  }
}
