internal import SWCoding

/// The encoder of one value. It has two words, so it needs no box as `any Encoder`.
struct PickleEncoding {
  let state: PickleEncodingState
  let level: Int

  var codingPath: [any CodingKey] {
    level < state.levelCount ? state.codingPath(state[level].depth) : state.codingPath()
  }
  var userInfo: [CodingUserInfoKey: Any] { state.options.userInfo }

  func path(_ key: some CodingKey) -> [any CodingKey] { key is PickleNoKey ? codingPath : codingPath + [key] }

  /// Throws if another value is being encoded: one in this value, or one after it.
  @inline(__always)
  func check() throws(EncodingError) {
    if level != state.levelCount - 1 { throw outOfTurn() }
  }

  /// The same for functions that cannot throw. The encoding ends with the error.
  @inline(__always)
  func isInTurn() -> Bool {
    if level == state.levelCount - 1 { return true }
    state.fail(outOfTurn())
    return false
  }

  @inline(never)
  private func outOfTurn() -> EncodingError { .outOfTurn(at: codingPath) }

  /// An encoder whose turn never comes.
  var disused: PickleEncoding { PickleEncoding(state: state, level: .max) }

  /// Makes the value a container, unless it is one already.
  @inline(__always)
  func open(_ kind: PickleEncodingState.Level.Kind) {
    guard isInTurn() else { return }
    let own = state[level].kind
    if own == .none { return state.open(kind, level) }
    if own != kind { refuse(own) }
  }

  @inline(never)
  private func refuse(_ own: PickleEncodingState.Level.Kind) {
    state.fail(
      own == .single
        ? .twoValues(PickleValue.none, at: codingPath) : .twoKinds(PickleValue.none, at: codingPath))
  }

  /// Ends the value. A value that encodes nothing becomes an empty dict, as in Foundation's coders.
  @inline(__always)
  func close() throws {
    try state.checkFailure()
    if state[level].kind == .none { state.open(.dict, level) }
    state.close(level)
    state[level].kind = .single
  }

  /// Writes a value at a new level, by a function that uses an encoder.
  @inline(__always)
  func nested<Key: CodingKey>(_ key: Key, _ body: (PickleEncoding) throws -> Void) throws {
    let depth = state[level].depth
    guard state.enter(key) else { throw tooDeep(key) }
    defer { state.leave(to: level, depth: depth) }
    let inner = PickleEncoding(state: state, level: level + 1)
    try body(inner)
    try inner.close()
  }

  @inline(never)
  private func tooDeep(_ key: some CodingKey) -> EncodingError {
    .tooDeep(PickleValue.none, limit: state.options.maximumDepth, at: path(key))
  }

  // MARK: All types

  @inline(__always)
  func encode<T: Encodable>(_ value: T, key: some CodingKey) throws {
    if PickleEncodingState.isPlain(T.self) { state.writePlain(value) } else { try other(value, key: key) }
  }

  // The work is split into several functions, so nested values use little of the stack.
  @inline(never)
  func other<T: Encodable>(_ value: T, key: some CodingKey) throws {
    switch PickleTypeCode(of: T.self) {
    case .unknown, .ordinary, .madeOfText, .set:
      try nested(key) { encoding in try value.encode(to: encoding) }
    case let code: try special(value, code, key: key)
    }
  }

  @inline(never)
  private func special<T: Encodable>(_ value: T, _ code: PickleTypeCode, key: some CodingKey) throws {
    switch code {
    case .simple:
      if let value = value as? any PickleEncodableSimple {
        state.boundary()
        return value.write(to: state)
      }
    case .convertible:
      if let convertible = value as? any PickleConvertible {
        do throws(PickleError) {
          return try state.write(convertible.pickleValue)
        } catch {
          throw EncodingError.invalidValue(
            value,
            .init(codingPath: path(key), debugDescription: error.description, underlyingError: error))
        }
      }
    case .bytes:
      if T.self == [UInt8].self {
        let bytes = unsafe unsafeBitCast(value, to: [UInt8].self)
        state.boundary()
        if state.options.bytesStrategy == .bytes { state.write(bytes) } else { state.writeSimple(bytes) }
        return
      }
    case .simpleArray:
      state.boundary()
      if T.self == [Int].self {
        return state.writeList(unsafe unsafeBitCast(value, to: [Int].self)) { state.write($0) }
      }
      if T.self == [Double].self {
        return state.writeList(unsafe unsafeBitCast(value, to: [Double].self)) { state.write($0) }
      }
      if T.self == [String].self {
        return state.writeList(unsafe unsafeBitCast(value, to: [String].self)) { state.write($0) }
      }
      if let array = value as? any PickleEncodableArray { return array.write(to: state) }
    case .array:
      if let array = value as? any PickleEncodableSequence {
        return try nested(key) { encoding in try array.encodeElements(encoding) }
      }
    case .dictionary:
      if let dictionary = value as? any PickleEncodableDictionary {
        return try nested(key) { encoding in try dictionary.encodePairs(encoding) }
      }
    case .foundation:
      if try PickleFoundation.encode(value, self, key: key) { return }
    case .unknown, .ordinary, .madeOfText, .set: break
    }
    try nested(key) { encoding in try value.encode(to: encoding) }
  }
}

extension PickleEncodingState {
  /// Whether a type is one of the simplest.
  ///
  /// Each test compares pointers. If the compiler knows the type, it removes the tests.
  @inline(__always)
  static func isPlain<T>(_ type: T.Type) -> Bool {
    type == String.self || type == Int.self || type == Double.self || type == Bool.self || type == Float.self
      || type == Int64.self || type == Int32.self || type == UInt8.self || type == UInt64.self
      || type == UInt.self || type == UInt32.self || type == Int8.self || type == Int16.self
      || type == UInt16.self
  }

  /// Writes a value of one of the simplest types.
  @inline(__always)
  func writePlain<T>(_ value: T) {
    if T.self == String.self {
      boundary()
      write(unsafe unsafeBitCast(value, to: String.self))
    } else if T.self == Int.self {
      boundary()
      write(unsafe unsafeBitCast(value, to: Int.self))
    } else if T.self == Double.self {
      boundary()
      write(unsafe unsafeBitCast(value, to: Double.self))
    } else if T.self == Bool.self {
      boundary()
      write(unsafe unsafeBitCast(value, to: Bool.self))
    } else if T.self == Float.self {
      boundary()
      write(Double(unsafe unsafeBitCast(value, to: Float.self)))
    } else if T.self == Int64.self {
      boundary()
      write(Int(unsafe unsafeBitCast(value, to: Int64.self)))
    } else if T.self == Int32.self {
      boundary()
      write(Int(unsafe unsafeBitCast(value, to: Int32.self)))
    } else if T.self == UInt8.self {
      boundary()
      write(Int(unsafe unsafeBitCast(value, to: UInt8.self)))
    } else if T.self == UInt64.self {
      boundary()
      write(unsafe unsafeBitCast(value, to: UInt64.self))
    } else if T.self == UInt.self {
      boundary()
      write(unsafe unsafeBitCast(value, to: UInt.self))
    } else if T.self == UInt32.self {
      boundary()
      write(Int(unsafe unsafeBitCast(value, to: UInt32.self)))
    } else if T.self == Int8.self {
      boundary()
      write(Int(unsafe unsafeBitCast(value, to: Int8.self)))
    } else if T.self == Int16.self {
      boundary()
      write(Int(unsafe unsafeBitCast(value, to: Int16.self)))
    } else if T.self == UInt16.self {
      boundary()
      write(Int(unsafe unsafeBitCast(value, to: UInt16.self)))
    }
  }

  /// Writes a list of simple values.
  @inline(__always)
  func writeSimple<Element: PickleEncodableSimple>(_ elements: [Element]) {
    writeList(elements) { element in element.write(to: self) }
  }
}

/// A Swift value that is written without a container.
protocol PickleEncodableSimple: Encodable {
  func write(to sink: PickleSink)
}

extension Bool: PickleEncodableSimple {
  func write(to sink: PickleSink) { sink.write(self) }
}
extension String: PickleEncodableSimple {
  func write(to sink: PickleSink) { sink.write(self) }
}
extension PickleEncodableSimple where Self: FixedWidthInteger {
  func write(to sink: PickleSink) { sink.write(self) }
}
extension Double: PickleEncodableSimple {
  func write(to sink: PickleSink) { sink.write(self) }
}
extension Float: PickleEncodableSimple {
  func write(to sink: PickleSink) { sink.write(Double(self)) }
}
extension Float16: PickleEncodableSimple {
  func write(to sink: PickleSink) { sink.write(Double(self)) }
}
extension Int: PickleEncodableSimple {}
extension Int8: PickleEncodableSimple {}
extension Int16: PickleEncodableSimple {}
extension Int32: PickleEncodableSimple {}
extension Int64: PickleEncodableSimple {}
extension Int128: PickleEncodableSimple {}
extension UInt: PickleEncodableSimple {}
extension UInt8: PickleEncodableSimple {}
extension UInt16: PickleEncodableSimple {}
extension UInt32: PickleEncodableSimple {}
extension UInt64: PickleEncodableSimple {}
extension UInt128: PickleEncodableSimple {}

/// An array of simple values, which is written as a list without a call for each element.
protocol PickleEncodableArray {
  func write(to state: PickleEncodingState)
}

extension Array: PickleEncodableArray where Element: PickleEncodableSimple {
  func write(to state: PickleEncodingState) { state.writeSimple(self) }
}

/// An array of other values. Its elements are encoded directly, and not through a boxed container.
protocol PickleEncodableSequence {
  func encodeElements(_ encoding: PickleEncoding) throws
}

extension Array: PickleEncodableSequence where Element: Encodable {
  func encodeElements(_ encoding: PickleEncoding) throws {
    let (state, level) = (encoding.state, encoding.level)
    state.open(.list, level)
    // This is not `enumerated()`, because the runtime would look up its types for each element.
    for index in indices {
      state.beginElement(level)
      try encoding.encode(self[index], key: PicklePosition(index))
      state.endElement(level)
    }
  }
}
