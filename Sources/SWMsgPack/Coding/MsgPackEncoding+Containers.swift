internal import CMsgPack
internal import SWCoding

extension MsgPackEncoding: CodingDictionaryEncoder {
  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    if level < state.levelCount, state[level].kind == .map {
      // Two key types may contain the same key.
      state[level].mayRepeatKeys = true
    }
    open(.map)
    return KeyedEncodingContainer(MsgPackKeyedEncoding<Key>(encoding: self))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    open(.array)
    return MsgPackUnkeyedEncoding(encoding: self)
  }

  func singleValueContainer() -> any SingleValueEncodingContainer { self }

  /// Returns an encoder for a value at this position that may be written out of order.
  fileprivate func apart(_ key: some CodingKey) -> MsgPackEncoding {
    let part = MsgPackEncodingState(
      state.options, prefix: path(key), room: max(0, state.room - state[level].containers - 1))
    state.reserve(for: part)
    return MsgPackEncoding(state: part, level: 0)
  }
}

extension MsgPackEncoding: SingleValueEncodingContainer {
  func encodeNil() throws {
    try checkSingle(Any?.self)
    unsafe swmp_write_nil(state.sink)
    state[level].kind = .single
  }

  @inline(__always)
  func encode<T: Encodable>(_ value: T) throws {
    try checkSingle(T.self)
    if state.writePlain(value) {
      state[level].kind = .single
    } else {
      try single(value)
    }
  }

  func encode(_ value: Int128) throws { try encode(narrow(value, key: NoKey())) }
  func encode(_ value: UInt128) throws { try encode(narrow(value, key: NoKey())) }

  @inline(never)
  private func single<T: Encodable>(_ value: T) throws {
    let start = state.mark
    do {
      try other(value, key: NoKey())
    } catch {
      // The container is as before, and accepts another value.
      state.truncate(to: start)
      throw error
    }
    if state.mark != start { state[level].kind = .single }
  }

  @inline(__always)
  private func checkSingle(_ type: Any.Type) throws {
    try check()
    if state[level].kind != .none { throw EncodingError.twoValues(type, at: codingPath) }
  }
}

struct MsgPackUnkeyedEncoding: UnkeyedEncodingContainer {
  fileprivate let encoding: MsgPackEncoding

  var codingPath: [any CodingKey] { encoding.codingPath }
  var count: Int {
    encoding.level < encoding.state.levelCount ? encoding.state[encoding.level].count : 0
  }

  func encodeNil() throws {
    try encoding.check()
    encoding.count()
    unsafe swmp_write_nil(encoding.state.sink)
  }

  @inline(__always)
  func encode<T: Encodable>(_ value: T) throws {
    let level = unsafe try encoding.state.innermost(encoding.level)
    if encoding.state.writePlain(value) {
      unsafe level.pointee.count += 1
    } else {
      try other(value)
    }
  }

  func encode(_ value: Int128) throws { try encode(encoding.narrow(value, key: PositionKey(count))) }
  func encode(_ value: UInt128) throws { try encode(encoding.narrow(value, key: PositionKey(count))) }

  private func other<T: Encodable>(_ value: T) throws {
    let start = encoding.state.mark
    do {
      try encoding.other(value, key: PositionKey(count))
    } catch {
      encoding.state.truncate(to: start)
      throw error
    }
    encoding.count()
  }

  func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    apart().container(keyedBy: type)
  }
  func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { apart().unkeyedContainer() }
  func superEncoder() -> any Encoder { apart() }

  private func apart() -> MsgPackEncoding {
    guard encoding.isInTurn() else { return encoding.disused }
    let part = encoding.apart(PositionKey(count))
    encoding.count()
    return part
  }
}

struct MsgPackKeyedEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
  fileprivate let encoding: MsgPackEncoding

  var codingPath: [any CodingKey] { encoding.codingPath }

  @inline(__always)
  private func write(_ key: Key, _ level: UnsafeMutablePointer<MsgPackEncodingState.Level>) {
    if unsafe !level.pointee.hasPlainKeys { return writeOther(key) }
    unsafe note(key, level)
    encoding.state.write(key.stringValue)
  }

  @inline(never)
  private func writeOther(_ key: Key) {
    if encoding.state[encoding.level].hasTextKeys { return encoding.state.write(key.stringValue) }
    unsafe note(key, encoding.state.pointer(to: encoding.level))
    if encoding.state.convertsKeys || encoding.state[encoding.level].hasIntegerKeys {
      convert(key)
    } else {
      encoding.state.write(key.stringValue)
    }
  }

  /// Notes a key, to detect one that is encoded twice.
  ///
  /// Nearly all key types are enumerations without payloads, with less than 64 cases and values of one byte. A bit for each
  /// case is exact. (To search the map for each key would cost more than to write it.) Keys of a dictionary are distinct.
  /// Other keys are compared when the map ends.
  @inline(__always)
  private func note(_ key: Key, _ level: UnsafeMutablePointer<MsgPackEncodingState.Level>) {
    let size = MemoryLayout<Key>.size
    if size <= 1 {
      let tag = size == 0 ? 0 : unsafe unsafeBitCast(key, to: UInt8.self)
      let bit: UInt64 = tag < 64 ? 1 << UInt64(tag) : .max
      if unsafe level.pointee.seenKeys & bit != 0 { unsafe level.pointee.mayRepeatKeys = true }
      unsafe level.pointee.seenKeys |= bit
    } else {
      noteUnknown()
    }
  }

  @inline(never)
  private func noteUnknown() {
    if Key.self != CodingDictionaryKeys.type { encoding.state[encoding.level].mayRepeatKeys = true }
  }

  @inline(never)
  private func convert(_ key: Key) {
    let sink = encoding.state
    let options = encoding.state.options
    let level = encoding.state[encoding.level]
    if Key.self == CodingDictionaryKeys.type {
      if level.hasIntegerKeys, let number = key.intValue {
        unsafe swmp_write_int(sink.sink, Int64(number))
      } else {
        sink.write(key.stringValue)
      }
      return
    }
    if case .unchanged = options.keyStrategy.kind {
    } else {
      encoding.state[encoding.level].mayRepeatKeys = true
    }
    if options.usesIntegerKeys, let number = key.intValue {
      unsafe swmp_write_int(sink.sink, Int64(number))
      return
    }
    switch options.keyStrategy.kind {
    case .unchanged: sink.write(key.stringValue)
    case .snakeCase: sink.write(key.stringValue.inSnakeCase)
    case .custom(let convert):
      let converted = convert(codingPath + [key])
      if options.usesIntegerKeys, let number = converted.intValue {
        unsafe swmp_write_int(sink.sink, Int64(number))
      } else {
        sink.write(converted.stringValue)
      }
    }
  }

  func encodeNil(forKey key: Key) throws {
    let level = unsafe try encoding.state.innermost(encoding.level)
    unsafe write(key, level)
    unsafe level.pointee.count += 1
    unsafe swmp_write_nil(encoding.state.sink)
  }

  @inline(__always)
  func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
    let level = unsafe try encoding.state.innermost(encoding.level)
    let start = encoding.state.mark
    unsafe write(key, level)
    if encoding.state.writePlain(value) {
      unsafe level.pointee.count += 1
    } else {
      try other(value, key, start)
    }
  }

  func encode(_ value: Int128, forKey key: Key) throws {
    try encode(encoding.narrow(value, key: key), forKey: key)
  }
  func encode(_ value: UInt128, forKey key: Key) throws {
    try encode(encoding.narrow(value, key: key), forKey: key)
  }

  private func other<T: Encodable>(_ value: T, _ key: Key, _ start: MsgPackSink.Mark) throws {
    do {
      try encoding.other(value, key: key)
    } catch {
      encoding.state.truncate(to: start)
      throw error
    }
    encoding.count()
  }

  func nestedContainer<NestedKey: CodingKey>(
    keyedBy type: NestedKey.Type, forKey key: Key
  ) -> KeyedEncodingContainer<NestedKey> {
    apart(key).container(keyedBy: type)
  }

  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
    apart(key).unkeyedContainer()
  }

  func superEncoder(forKey key: Key) -> any Encoder { apart(key) }

  func superEncoder() -> any Encoder {
    guard encoding.isInTurn() else { return encoding.disused }
    encoding.count()
    // A key of the type may have the same name.
    encoding.state[encoding.level].mayRepeatKeys = true
    encoding.state.write(PositionKey.super.stringValue)
    return encoding.apart(PositionKey.super)
  }

  private func apart(_ key: Key) -> MsgPackEncoding {
    guard encoding.isInTurn() else { return encoding.disused }
    unsafe write(key, encoding.state.pointer(to: encoding.level))
    encoding.count()
    return encoding.apart(key)
  }
}
