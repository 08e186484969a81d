internal import SWCoding

extension PickleEncoding: Encoder {
  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    open(.dict)
    return KeyedEncodingContainer(PickleKeyedEncoding<Key>(encoding: self, table: state.table(type)))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    open(.list)
    return PickleUnkeyedEncoding(encoding: self)
  }

  func singleValueContainer() -> any SingleValueEncodingContainer { self }

  /// An encoder for a value that may be encoded out of order, at this position.
  fileprivate func apart(_ key: some CodingKey) -> PickleEncoding {
    PickleEncoding(state: state.apart(level, path(key)), level: 0)
  }
}

extension PickleEncodingState {
  /// Ends a value that was encoded apart, or the whole.
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
    if !state.writePlain(value) { try single(value) }
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
      // The container is as it was, and takes another value.
      state.takeBack(to: start)
      throw error
    }
  }

  @inline(__always)
  private func checkSingle(_ value: Any) throws {
    check()
    if state[level].kind != .none { throw EncodingError.twoValues(value, at: codingPath) }
  }

  /// Encodes a value that is one of Python's as the only one.
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

  private var state: PickleEncodingState { encoding.state }

  func encodeNil() {
    encoding.check()
    state.beginElement(encoding.level)
    state.boundary()
    state.write(PickleOpcode.none)
    state.endElement(encoding.level)
  }

  @inline(__always)
  func encode<T: Encodable>(_ value: T) throws {
    encoding.check()
    let start = state.mark
    state.beginElement(encoding.level)
    if !state.writePlain(value) { try other(value, start) }
    state.endElement(encoding.level)
  }

  func encode(_ value: Int128) throws { wide(value) }
  func encode(_ value: UInt128) throws { wide(value) }

  private func wide(_ value: some FixedWidthInteger) {
    encoding.check()
    state.beginElement(encoding.level)
    state.boundary()
    state.write(value)
    state.endElement(encoding.level)
  }

  @inline(never)
  private func other<T: Encodable>(_ value: T, _ start: PickleSink.Mark) throws {
    let batchCount = state[encoding.level].batchCount
    do {
      try encoding.other(value, key: PicklePosition(count))
    } catch {
      state.takeBack(to: start)
      // The batch that ended is full again.
      if batchCount == 0, count > 0 { state[encoding.level].batchCount = Int32(PickleWriter.batch) }
      throw error
    }
  }

  func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    apart().container(keyedBy: type)
  }
  func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { apart().unkeyedContainer() }
  func superEncoder() -> any Encoder { apart() }

  private func apart() -> PickleEncoding {
    encoding.check()
    state.beginElement(encoding.level)
    let part = encoding.apart(PicklePosition(count))
    state.endElement(encoding.level)
    return part
  }
}

struct PickleKeyedEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
  fileprivate let encoding: PickleEncoding
  fileprivate let table: PickleEncodingState.KeyTable?

  var codingPath: [any CodingKey] { encoding.codingPath }

  private var state: PickleEncodingState { encoding.state }

  /// Which key it is.
  @inline(__always)
  private func number(of key: Key) -> Int {
    if let table, MemoryLayout<Key>.size <= 1 {
      let tag = MemoryLayout<Key>.size == 0 ? 0 : Int(unsafe unsafeBitCast(key, to: UInt8.self))
      if tag < PickleEncodingState.KeyTable.count {
        let row = unsafe Int(table.rows[tag])
        if row > 0 { return row - 1 }
        let number = find(key)
        if let row = UInt16(exactly: number + 1) { unsafe table.rows[tag] = row }
        return number
      }
    }
    return find(key)
  }

  @inline(never)
  private func find(_ key: Key) -> Int {
    if Key.self == CodingDictionaryKeys.type { return state.key(key.stringValue) }
    return switch state.options.keyStrategy.kind {
    case .unchanged: state.key(key.stringValue)
    case .snakeCase: state.key(key.stringValue.inSnakeCase)
    case .custom(let convert): state.key(convert(codingPath + [key]).stringValue)
    }
  }

  /// Writes a key, which must not be there yet.
  ///
  /// - Returns: which key it is.
  @inline(__always)
  private func begin(_ number: Int) throws -> Int {
    guard state.note(number, encoding.level) else { throw repeated(number) }
    state.write(key: number)
    return number
  }

  @inline(never)
  private func repeated(_ number: Int) -> EncodingError {
    .sameKey(state.text(of: number), at: codingPath)
  }

  @inline(__always)
  private func end(_ number: Int, _ start: PickleSink.Mark) {
    if state.options.sortsKeys { remember(number, start) }
    state.endPair(encoding.level)
  }

  @inline(never)
  private func remember(_ number: Int, _ start: PickleSink.Mark) {
    state.sorting.add(
      .text(state.text(of: number)), start.count..<state.count, start.memoCount,
      to: state[encoding.level].sorted)
  }

  func encodeNil(forKey key: Key) throws {
    encoding.check()
    let start = state.mark
    let number = try begin(number(of: key))
    state.boundary()
    state.write(PickleOpcode.none)
    end(number, start)
  }

  @inline(__always)
  func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
    encoding.check()
    let start = state.mark
    let number = try begin(number(of: key))
    if !state.writePlain(value) { try other(value, key, number, start) }
    end(number, start)
  }

  func encode(_ value: Int128, forKey key: Key) throws { try wide(value, key) }
  func encode(_ value: UInt128, forKey key: Key) throws { try wide(value, key) }

  private func wide(_ value: some FixedWidthInteger, _ key: Key) throws {
    encoding.check()
    let start = state.mark
    let number = try begin(number(of: key))
    state.boundary()
    state.write(value)
    end(number, start)
  }

  @inline(never)
  private func other<T: Encodable>(_ value: T, _ key: Key, _ number: Int, _ start: PickleSink.Mark) throws {
    do {
      try encoding.other(value, key: key)
    } catch {
      state.takeBack(to: start)
      state.forget(number, encoding.level)
      throw error
    }
  }

  func nestedContainer<NestedKey: CodingKey>(
    keyedBy type: NestedKey.Type, forKey key: Key
  ) -> KeyedEncodingContainer<NestedKey> {
    apart(number(of: key), key).container(keyedBy: type)
  }
  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
    apart(number(of: key), key).unkeyedContainer()
  }
  func superEncoder() -> any Encoder {
    let key = PickleKey("super")
    return apart(state.key(key.stringValue), key)
  }
  func superEncoder(forKey key: Key) -> any Encoder { apart(number(of: key), key) }

  private func apart(_ number: Int, _ key: some CodingKey) -> PickleEncoding {
    encoding.check()
    let start = state.mark
    guard state.note(number, encoding.level) else {
      // The encoding ends with the error: what is encoded until then is not seen.
      state.fail(repeated(number))
      return PickleEncoding(state: PickleEncodingState(state.options, prefix: encoding.path(key)), level: 0)
    }
    state.write(key: number)
    let part = encoding.apart(key)
    end(number, start)
    return part
  }
}
