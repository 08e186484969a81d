internal import CMsgPack
internal import SWCoding

#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

extension MsgPackSink {
  /// Writes a value of one of the simplest types. Returns false for other types, and writes nothing then.
  ///
  /// Each test compares pointers. If the compiler knows the type, it removes the tests.
  @inline(__always)
  func writePlain<T>(_ value: T) -> Bool {
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

/// The encoder of one value. It has two words, so it needs no box as `any Encoder`.
struct MsgPackEncoding {
  let state: MsgPackEncodingState
  let level: Int

  var codingPath: [any CodingKey] {
    level < state.levelCount ? state.codingPath(state[level].depth) : state.codingPath()
  }
  var userInfo: [CodingUserInfoKey: Any] { state.options.userInfo }

  func path(_ key: some CodingKey) -> [any CodingKey] { key is NoKey ? codingPath : codingPath + [key] }

  /// Makes the value a container, unless it is one already.
  func open(_ kind: MsgPackEncodingState.Level.Kind) {
    guard isInTurn() else { return }
    let own = state[level].kind
    if own != .none {
      if own != kind {
        state.fail(
          own == .single ? .twoValues(Any.self, at: codingPath) : .twoKinds(Any.self, at: codingPath))
      }
      return
    }
    state[level].kind = kind
    state[level].place = unsafe swmp_open(state.sink)
  }

  /// Throws if another value is being encoded: one in this value, or one after it.
  @inline(__always)
  func check() throws {
    if level != state.levelCount - 1 { throw outOfTurn() }
  }

  /// The same for functions that cannot throw. The other value throws the error.
  @inline(__always)
  func isInTurn() -> Bool {
    if level == state.levelCount - 1 { return true }
    state.fail(outOfTurn())
    return false
  }

  @inline(never)
  func outOfTurn() -> EncodingError { .outOfTurn(at: codingPath) }

  /// An encoder whose turn never comes.
  var disused: MsgPackEncoding { MsgPackEncoding(state: state, level: .max) }

  /// Counts an element.
  @inline(__always)
  func count() { state[level].count += 1 }

  /// The number of containers around a value that is written here.
  @inline(__always)
  private var containers: Int { state[level].containers + (state[level].kind == .none ? 0 : 1) }

  func checkRoom(_ value: Any.Type, _ level: MsgPackEncodingState.Level) throws {
    if level.containers >= state.room { throw tooDeep(value, NoKey()) }
  }

  @inline(__always)
  private func checkRoom(_ value: Any.Type, _ key: some CodingKey) throws {
    if containers >= state.room { throw tooDeep(value, key) }
  }

  /// Writes a value at a new level, by a function that uses an encoder.
  @inline(__always)
  private func whole<Key: CodingKey>(
    key: Key, type: Any.Type, kind: MsgPackTypeKind = .ordinary, _ body: (MsgPackEncoding) throws -> Void
  ) throws {
    let own = unsafe state.pointer(to: level)
    let containers = unsafe own.pointee.containers + (own.pointee.kind == .none ? 0 : 1)
    // The nesting limit ends the recursion.
    if containers > state.room { throw tooDeep(type, key) }
    let depth = unsafe own.pointee.depth
    let start = state.mark
    state.enter(key, containers: containers)
    defer { state.leave(to: level, depth: depth) }
    let inner = MsgPackEncoding(state: state, level: level + 1)
    if kind.isDictionary { inner.setDictionary(kind) }
    try body(inner)
    // A value that encodes nothing is an empty map, unless it is the whole message.
    if state[inner.level].kind == .none, Key.self != NoKey.self, state.mark == start { inner.open(.map) }
    try inner.close(type)
  }

  @inline(never)
  private func setDictionary(_ kind: MsgPackTypeKind) {
    state[level].hasTextKeys = kind == .textDictionary
    state[level].hasIntegerKeys = kind == .integerDictionary
    state[level].isPairs = kind == .otherDictionary
    state[level].hasPlainKeys = false
  }

  /// Writes the header of a value's container.
  @inline(__always)
  func close(_ type: Any.Type) throws {
    if state.hasFailure, let failure = state.takeFailure() { throw failure }
    let own = state[level]
    if own.kind != .array, own.kind != .map { return }
    try checkRoom(type, own)
    if own.count > UInt32.max { throw tooMany(type) }
    if own.isPairs { return try closePairs(own) }
    state.close(at: own.place, count: own.count, isMap: own.kind == .map)
    if own.mayRepeatKeys { try compareKeys(own.place) }
  }

  @inline(never)
  private func closePairs(_ own: MsgPackEncodingState.Level) throws {
    // A dictionary encodes as many values as keys.
    let isMap = own.kind == .map || own.count.isMultiple(of: 2)
    state.close(
      at: own.place, count: own.kind == .array && isMap ? own.count / 2 : own.count, isMap: isMap)
    if isMap { try compareKeys(own.place) }
  }

  @inline(never)
  private func compareKeys(_ place: Int) throws {
    if let key = state.repeatedKey(inMapAt: place) { throw EncodingError.sameKey(key, at: codingPath) }
  }

  @inline(never)
  private func tooMany(_ type: Any.Type) -> EncodingError {
    .invalidValue(
      type,
      .init(
        codingPath: codingPath,
        debugDescription: "cannot encode more than 4,294,967,295 elements in one MessagePack container"))
  }

  @inline(never)
  private func tooDeep(_ value: Any.Type, _ key: some CodingKey) -> EncodingError {
    .tooDeep(value, limit: state.options.maximumDepth, at: path(key))
  }

  @inline(never)
  private func tooLong(_ value: some Encodable, _ count: Int, _ key: some CodingKey) -> EncodingError {
    .invalidValue(
      value,
      .init(
        codingPath: path(key),
        debugDescription: "cannot encode \(count) bytes or elements as one MessagePack value; "
          + "the limit is 4,294,967,295"))
  }

  // MARK: All types

  @inline(__always)
  func encode<T: Encodable>(_ value: T, key: some CodingKey) throws {
    if !state.writePlain(value) { try other(value, key: key) }
  }

  /// Converts a 128-bit integer to 64 bits, which is MessagePack's limit.
  func narrow(_ value: some BinaryInteger, key: some CodingKey) throws -> MsgPackValue {
    guard let value = MsgPackValue(value) else {
      throw EncodingError.invalidValue(
        value,
        .init(codingPath: path(key), debugDescription: "cannot encode \(value): MessagePack has 64 bits"))
    }
    return value
  }

  // The work is split into three functions, so nested values use little of the stack.
  @inline(never)
  func other<T: Encodable>(_ value: T, key: some CodingKey) throws {
    if state.hasExtensions, try writeExtension(value, key: key) { return }
    let kind = MsgPackTypeKind(of: T.self)
    if kind == .special {
      try special(value, key: key)
    } else {
      try nested(value, key: key, kind: kind)
    }
  }

  @inline(never)
  private func writeExtension<T: Encodable>(_ value: T, key: some CodingKey) throws -> Bool {
    guard let entry = state.options.extensions.entry(for: T.self) else { return false }
    let bytes = try entry.encode(value)
    if bytes.count >= UInt32.max { throw tooLong(value, bytes.count, key) }
    unsafe bytes.withUnsafeBytes { bytes in
      unsafe swmp_write_extension(state.sink, entry.type, bytes.baseAddress, bytes.count)
    }
    return true
  }

  @inline(never)
  private func nested<T: Encodable>(_ value: T, key: some CodingKey, kind: MsgPackTypeKind) throws {
    try whole(key: key, type: T.self, kind: kind) { encoding in try value.encode(to: encoding) }
  }

  @inline(never)
  private func special<T: Encodable>(_ value: T, key: some CodingKey) throws {
    let sink = unsafe state.sink
    if T.self == [String].self {
      let texts = unsafe unsafeBitCast(value, to: [String].self)
      try checkRoom([String].self, key)
      if texts.count > UInt32.max { throw tooLong(value, texts.count, key) }
      unsafe swmp_write_array(sink, texts.count)
      // The strings where they lie: each index of an array is checked.
      unsafe try texts.withUnsafeBufferPointer { texts in
        for index in texts.indices {
          let text = unsafe texts[index]
          if text.utf8.count > UInt32.max { throw tooLong(value, text.utf8.count, key) }
          state.write(text)
        }
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
    } else if T.self == [UInt8].self, state.options.bytesStrategy == .bytes {
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
    } else if let decimal = T.self == Decimal.self ? value as? Decimal : nil {
      state.write(decimal.description)
    } else if let url = T.self == URL.self ? value as? URL : nil {
      state.write(url.absoluteString)
    } else if let value = T.self == MsgPackValue.self ? value as? MsgPackValue : nil {
      try state.write(value, room: max(0, state.room - containers))
    } else if let timestamp = T.self == MsgPackTimestamp.self ? value as? MsgPackTimestamp : nil {
      unsafe swmp_write_timestamp(sink, timestamp.seconds, timestamp.nanoseconds)
    } else if T.self == String.self {
      throw tooLong(value, unsafe unsafeBitCast(value, to: String.self).utf8.count, key)
    } else {
      try nested(value, key: key, kind: .ordinary)
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
    func unrepresentable(_ explanation: String) -> EncodingError {
      // Errors show seconds and not the date, because Foundation's description of a date that is not a number traps.
      .invalidValue(
        date.timeIntervalSinceReferenceDate,
        .init(codingPath: path(key), debugDescription: "cannot encode \(explanation)"))
    }
    switch state.options.dateStrategy.kind {
    case .native:
      guard let instant = CodingInstant(date) else {
        throw unrepresentable("a date beyond 64 bits of seconds from 1970 as a timestamp")
      }
      unsafe swmp_write_timestamp(sink, instant.seconds, instant.nanoseconds)
    case .deferredToDate: unsafe swmp_write_double(sink, date.timeIntervalSinceReferenceDate)
    case .secondsSince1970: unsafe swmp_write_double(sink, date.timeIntervalSince1970)
    case .millisecondsSince1970: unsafe swmp_write_double(sink, date.timeIntervalSince1970 * 1000)
    case .iso8601:
      guard let text = CodingInstant(date)?.iso8601 else {
        throw unrepresentable("a date outside of the years 0 to 9999 as text of ISO 8601")
      }
      state.write(text)
    case .custom(let encode, _):
      guard let encode else { throw EncodingError.noDateFunction(Date.self, at: path(key)) }
      try whole(key: key, type: Date.self) { encoding in try encode(date, encoding) }
    }
  }
}
