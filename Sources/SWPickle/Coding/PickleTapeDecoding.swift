internal import SWCoding

/// The decoder of one value of a tape. It has three words, so it needs no box as `any Decoder`.
///
/// This type decodes plain values into the simplest types and containers. All other values, conversions and errors are left
/// to ``PickleDecoding``, so there is one set of rules.
struct PickleTapeDecoding {
  let session: PickleDecodingSession
  /// The index of the value's token.
  let index: Int32
  /// The number of elements of the session's path that belong to this value.
  let depth: Int32
  /// The index of the path among the session's prefixes, for a value that may be decoded out of order. -1 if the session's
  /// path is this value's. It is a number and not a reference, because the box around a container copies it for each value,
  /// and would count its references.
  let prefix: Int32

  @inline(__always)
  init(session: PickleDecodingSession, index: Int, depth: Int, prefix: Int32 = -1) {
    self.session = session
    self.index = Int32(truncatingIfNeeded: index)
    self.depth = Int32(truncatingIfNeeded: depth)
    self.prefix = prefix
  }

  @inline(__always)
  var own: PickleToken { session[Int(index)] }

  // MARK: The path

  func path(_ key: some CodingKey) -> [any CodingKey] {
    let keys =
      prefix >= 0 ? PicklePath.keys(session.rare.prefixes[Int(prefix)]) : session.keys(to: Int(depth))
    return key is PickleNoKey ? keys : keys + [key]
  }

  /// Returns the path in a form that holds out of order.
  private func lastingPath(_ key: some CodingKey) -> PicklePath? {
    let path = prefix >= 0 ? session.rare.prefixes[Int(prefix)] : session.linkedPath(to: Int(depth))
    return key is PickleNoKey ? path : PicklePath(key, in: path)
  }

  /// Returns the decoding of an inner value that may be decoded out of order.
  ///
  /// Its path is kept until the end, because a type may keep the decoder. So it is charged.
  func lasting(at index: Int, key: some CodingKey) throws -> PickleTapeDecoding {
    try session.charge(1, at: path(key))
    let path = lastingPath(key)
    session.rare.prefixes.append(path)
    return PickleTapeDecoding(
      session: session, index: index, depth: 0, prefix: Int32(session.rare.prefixes.count - 1))
  }

  // MARK: The general decoder

  /// Returns a value with the decoder that knows all rules.
  @inline(never)
  func general(at index: Int, key: some CodingKey) throws -> PickleDecoding {
    let value = try value(at: index, key: key)
    return PickleDecoding(.value(value), path: lastingPath(key), session)
  }

  private func value(at index: Int, key: some CodingKey) throws -> PickleValue {
    let token = session[index]
    switch token.kind {
    case .none: return .none
    case .false: return false
    case .true: return true
    case .int: return PickleValue(token.value)
    case .float: return PickleValue(token.double)
    case .text: return PickleValue(try session.text(token, at: path(key)))
    case .bytes: return .bytes(try session.bytes(token, at: path(key)))
    case .wide:
      try session.charge(copied: Int(token.count), at: path(key))
      return PickleValue(PickleInt(twosComplement: unsafe Array(session.tape.bytes(token))[...]))
    case .list, .tuple, .dict: return try session.value(ofRun: token.value)
    }
  }

  // MARK: Values

  func decodeRoot<T: Decodable>(_ type: T.Type) throws -> T {
    try decode(type, at: Int(index), key: PickleNoKey())
  }

  /// Decodes a value in this decoding, or the value of this decoding.
  ///
  /// Each test compares pointers. If the compiler knows the type, it removes all tests but one. No function here returns an
  /// optional `T`: for an unknown type the runtime would look up the optional for each value, in 370 instructions.
  @inline(__always)
  func decode<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    let token = session[index]
    if type == String.self {
      if token.kind == .text {
        return unsafe unsafeBitCast(try session.text(token, at: path(key)), to: type)
      }
    } else if type == Double.self {
      if token.kind == .float { return unsafe unsafeBitCast(token.double, to: type) }
    } else if type == Bool.self {
      if token.kind == .true || token.kind == .false {
        return unsafe unsafeBitCast(token.kind == .true, to: type)
      }
    } else if type == Float.self {
      if token.kind == .float, let value = CodingNumbers.nearestFloat(token.double) {
        return unsafe unsafeBitCast(value, to: type)
      }
    } else if token.kind == .int {
      if type == Int.self { return unsafe unsafeBitCast(token.value, to: type) }
      if type == Int64.self { return unsafe unsafeBitCast(Int64(token.value), to: type) }
      if type == Int32.self {
        if let value = Int32(exactly: token.value) { return unsafe unsafeBitCast(value, to: type) }
      } else if type == UInt8.self {
        if let value = UInt8(exactly: token.value) { return unsafe unsafeBitCast(value, to: type) }
      } else if type == UInt.self {
        if let value = UInt(exactly: token.value) { return unsafe unsafeBitCast(value, to: type) }
      } else if type == UInt64.self {
        if let value = UInt64(exactly: token.value) { return unsafe unsafeBitCast(value, to: type) }
      } else if type == UInt32.self {
        if let value = UInt32(exactly: token.value) { return unsafe unsafeBitCast(value, to: type) }
      } else if type == Int8.self {
        if let value = Int8(exactly: token.value) { return unsafe unsafeBitCast(value, to: type) }
      } else if type == Int16.self {
        if let value = Int16(exactly: token.value) { return unsafe unsafeBitCast(value, to: type) }
      } else if type == UInt16.self {
        if let value = UInt16(exactly: token.value) { return unsafe unsafeBitCast(value, to: type) }
      }
    }
    return try other(type, at: index, key: key)
  }

  @inline(never)
  private func other<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    try session.charge(1, at: path(key))
    switch PickleTypeCode(of: type) {
    case .unknown, .ordinary, .array: return try nested(type, at: index, key: key)
    case .madeOfText:
      let token = session[index]
      if token.kind == .text { try session.checkCompared(token, CombiningMarks.mostInValue, at: path(key)) }
      return try nested(type, at: index, key: key)
    case .set:
      let token = session[index]
      // One element is not compared.
      if token.kind == .list || token.kind == .tuple,
        try session.run(token).count < 2 || session.checkCompared(session.run(token), at: path(key))
      {
        return try nested(type, at: index, key: key)
      }
    case .simpleArray: return try simpleArray(type, at: index, key: key)
    case .bytes:
      if session[index].kind == .bytes {
        return unsafe unsafeBitCast(try session.bytes(session[index], at: path(key)), to: type)
      }
    case .dictionary: return try dictionary(type, at: index, key: key)
    case .simple, .convertible, .foundation: break
    }
    return try general(at: index, key: key).unbox(type)
  }

  @inline(never)
  private func dictionary<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    if session[index].kind == .dict, let dictionary = type as? any PickleDictionary.Type,
      let found = try within(at: index, key: key, { try dictionary.decode($0) }) as? T
    {
      return found
    }
    return try general(at: index, key: key).unbox(type)
  }

  @inline(never)
  private func nested<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    try within(at: index, key: key) { decoding in try T(from: decoding) }
  }

  /// Runs `body` for an inner value, with its key appended to the path.
  @inline(__always)
  private func within<Result, Key: CodingKey>(
    at index: Int, key: Key, _ body: (PickleTapeDecoding) throws -> Result
  ) throws -> Result {
    let limit = session.options.maximumDepth
    if session.depth >= limit { throw DecodingError.tooDeep(limit: limit, at: path(key)) }
    session.depth += 1
    defer { session.depth -= 1 }
    let depth = Int(depth)
    guard prefix < 0, session.pathCount == depth else { return try body(lasting(at: index, key: key)) }
    if Key.self == PickleNoKey.self {
      return try body(PickleTapeDecoding(session: session, index: index, depth: depth))
    }
    session.enter(key)
    defer { session.leave(to: depth) }
    return try body(PickleTapeDecoding(session: session, index: index, depth: depth + 1))
  }

  // MARK: Arrays

  /// Decodes an array of simple elements. A value of another kind, and elements that need a conversion, are left to the
  /// general decoder.
  ///
  /// In three functions, because one that has an optional of the array's type begins by looking that type up, in 320
  /// instructions: a short array of plain elements needs none.
  @inline(never)
  private func simpleArray<T: Decodable>(_ type: T.Type, at index: Int, key: some CodingKey) throws -> T {
    let token = session[index]
    guard token.kind == .list || token.kind == .tuple else {
      return try general(at: index, key: key).unbox(type)
    }
    let run = session.run(token)
    // An array that is shared in Python is shared in Swift. Decoding a short array is faster than finding it.
    if run.count >= 16 { return try longArray(type, run, at: index, key: key) }
    return try array(type, run, at: index, key: key)
  }

  @inline(never)
  private func longArray<T: Decodable>(
    _ type: T.Type, _ run: PickleRun, at index: Int, key: some CodingKey
  ) throws -> T {
    let known = PickleDecodingSession.DecodedRun(run: session[index].value, type: ObjectIdentifier(type))
    if let array = session.rare.runArrays[known] as? T { return array }
    let array = try array(type, run, at: index, key: key)
    session.rare.runArrays[known] = array
    return array
  }

  @inline(__always)
  private func array<T: Decodable>(
    _ type: T.Type, _ run: PickleRun, at index: Int, key: some CodingKey
  ) throws -> T {
    try session.charge(Int(run.count), at: path(key))
    if type == [Int].self, let array = session.elements(run, Int.self) {
      return unsafe unsafeBitCast(array, to: type)
    }
    if type == [Double].self, let array = session.elements(run, Double.self) {
      return unsafe unsafeBitCast(array, to: type)
    }
    if type == [String].self, let array = try session.texts(run, at: path(key)) {
      return unsafe unsafeBitCast(array, to: type)
    }
    return try otherArray(type, run, at: index, key: key)
  }

  @inline(never)
  private func otherArray<T: Decodable>(
    _ type: T.Type, _ run: PickleRun, at index: Int, key: some CodingKey
  ) throws -> T {
    if type != [String].self, let found = (type as? any PickleArray.Type)?.decode(session, run),
      let array = found as? T
    {
      return array
    }
    return try general(at: index, key: key).unbox(type)
  }
}

extension PickleDecodingSession {
  /// Decodes the elements of a list or tuple. Returns nil if an element needs a conversion.
  @inline(__always)
  func elements<Element: PickleSimple>(_ run: PickleRun, _ type: Element.Type) -> [Element]? {
    let tape = tape
    let tokens = unsafe tape.tokens + Int(run.start)
    var isComplete = true
    let elements = unsafe [Element](unsafeUninitializedCapacity: Int(run.count)) { memory, count in
      for index in 0..<Int(run.count) {
        guard let element = unsafe Element(tokens[index], in: tape) else {
          isComplete = false
          return
        }
        unsafe memory.initializeElement(at: index, to: element)
        count += 1
      }
    }
    return isComplete ? elements : nil
  }

  /// The same of strs.
  @inline(__always)
  func texts(_ run: PickleRun, at path: @autoclosure () -> [any CodingKey]) throws -> [String]? {
    let tokens = unsafe tape.tokens + Int(run.start)
    for index in 0..<Int(run.count) where unsafe tokens[index].kind != .text { return nil }
    // Array's initialiser with a closure looks up the array's type: 350 instructions more.
    var texts: [String] = []
    texts.reserveCapacity(Int(run.count))
    for index in 0..<Int(run.count) { texts.append(try text(unsafe tokens[index], at: path())) }
    return texts
  }
}
