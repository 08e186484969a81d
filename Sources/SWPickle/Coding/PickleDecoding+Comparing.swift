internal import SWCoding

// Values of a peer that are slow to compare or to hash are refused where a program's type does that: in the keys of a
// dictionary, in the elements of a set, and in a text that becomes a case of an enumeration.
//
// Each text and each number is looked at when it is decoded, and not in the pickle before that. So it does not matter which of
// the many sources it has, and the parts that a type does not read do not count.

extension PickleDecodingSession {
  /// Begins to decode a key of a dictionary or an element of a set. The caller puts the result back into `comparedLimit`
  /// afterwards.
  func startComparing(_ limit: Int) -> Int {
    let outer = comparedLimit
    comparedLimit = outer == 0 ? limit : min(outer, limit)
    return outer
  }

  /// Throws if a text has more combining marks in a row than the limit.
  @inline(__always)
  func checkCompared(_ text: String, _ limit: Int, at path: @autoclosure () -> [any CodingKey]) throws {
    if text.utf8.count > 2 * limit { try checkLong(text, limit, at: path()) }
  }

  @inline(never)
  private func checkLong(_ text: String, _ limit: Int, at path: @autoclosure () -> [any CodingKey]) throws {
    try charge(copied: text.utf8.count, at: path())
    if text.isFit(limit) { return }
    throw limit == CombiningMarks.mostInKey
      ? DecodingError.unfitKey(at: path()) : DecodingError.unfitText(at: path())
  }

  /// Throws if a value of Python's, with all its parts, is slow to compare as a value of a type: if a text has too many
  /// combining marks in a row, if a number is a nan, or if a part contains itself. All nans have the same hash, and none is equal
  /// to another. Values that contain themselves may have the same hash although they differ.
  func checkCompared(
    _ value: PickleValue, as type: Any.Type, at path: @autoclosure () -> [any CodingKey]
  ) throws {
    let limit = comparedLimit
    switch value.storage {
    case .none, .bool, .int: return
    case .float(let number): if number.isNaN { throw DecodingError.nanAsKey(at: path()) }
    case .string(let text): try checkCompared(text, limit, at: path())
    case .node(let graph, let index):
      if graph.isEndless(index) { throw DecodingError.endlessAsKey(at: path()) }
      // These two compare arrays by their bytes. Other types may take their elements.
      let looksIntoArrays = type != PickleValue.self && type != NumPyArray.self
      try checkParts(of: value, limit, looksIntoArrays, at: path())
    }
  }

  private func checkParts(
    of value: PickleValue, _ limit: Int, _ looksIntoArrays: Bool, at path: @autoclosure () -> [any CodingKey]
  ) throws {
    // A part may be shared.
    var seen: Set<PickleValue.Identity> = []
    var waiting = [value]
    while let value = waiting.popLast() {
      if let identity = value.identity, !seen.insert(identity).inserted { continue }
      switch value.content {
      case .float(let number): if number.isNaN { throw DecodingError.nanAsKey(at: path()) }
      case .complex(let number):
        if number.real.isNaN || number.imaginary.isNaN { throw DecodingError.nanAsKey(at: path()) }
      case .string(let text): try checkCompared(text, limit, at: path())
      case .list(let parts), .tuple(let parts), .set(let parts), .frozenSet(let parts):
        try charge(parts.count, at: path())
        waiting += parts
      case .dict(let pairs), .orderedDict(let pairs):
        try charge(2 * pairs.count, at: path())
        for (key, value) in pairs { waiting += [key, value] }
      case .object(let object):
        try charge(object.arguments.count + object.appended.count + 2 * object.items.count, at: path())
        waiting += object.arguments
        waiting += object.appended
        for (key, value) in object.items { waiting += [key, value] }
        if let state = object.state { waiting.append(state) }
      case .array(let array) where looksIntoArrays:
        for index in 0..<array.count {
          try charge(array.type.valueCost, at: path())
          try charge(copied: array.type.valueByteCount, at: path())
          waiting.append(array.value(at: index))
        }
      default: break
      }
    }
  }

  /// Does the same for elements on a tape. Returns false if one is a container, which this does not look into.
  func checkCompared(_ run: PickleRun, at path: @autoclosure () -> [any CodingKey]) throws -> Bool {
    for index in Int(run.start)..<Int(run.start + run.count) {
      let token = self[index]
      switch token.kind {
      case .float: if token.double.isNaN { throw DecodingError.nanAsKey(at: path()) }
      case .text: try checkCompared(token, CombiningMarks.mostInValue, at: path())
      case .list, .tuple, .dict: return false
      default: break
      }
    }
    return true
  }

  /// The same for a text on a tape.
  @inline(__always)
  func checkCompared(
    _ token: PickleToken, _ limit: Int, at path: @autoclosure () -> [any CodingKey]
  ) throws {
    if Int(token.count) > 2 * limit { try checkLong(token, limit, at: path()) }
  }

  @inline(never)
  private func checkLong(
    _ token: PickleToken, _ limit: Int, at path: @autoclosure () -> [any CodingKey]
  ) throws {
    // A long key that many dicts share is looked through for each.
    try charge(copied: Int(token.count), at: path())
    if unsafe !CombiningMarks.areTooMany(in: UnsafeRawBufferPointer(tape.bytes(token)), limit: limit) {
      return
    }
    throw limit == CombiningMarks.mostInKey
      ? DecodingError.unfitKey(at: path()) : DecodingError.unfitText(at: path())
  }
}

extension PickleSimple {
  // Most types have one value for each number, and compare it at once.
  @inline(__always)
  func checkCompared(_ session: PickleDecodingSession, at path: @autoclosure () -> [any CodingKey]) throws {}
}

extension PickleSimple where Self: BinaryFloatingPoint {
  @inline(__always)
  func checkCompared(_ session: PickleDecodingSession, at path: @autoclosure () -> [any CodingKey]) throws {
    if isNaN { throw DecodingError.nanAsKey(at: path()) }
  }
}

extension String {
  @inline(__always)
  func checkCompared(_ session: PickleDecodingSession, at path: @autoclosure () -> [any CodingKey]) throws {
    try session.checkCompared(self, session.comparedLimit, at: path())
  }
}
