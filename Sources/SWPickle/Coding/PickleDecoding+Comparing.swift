internal import SWCoding

// Values of a peer that are slow to compare or to hash are refused where a program's type does that: in the keys of a
// dictionary, in the elements of a set, and in a text that becomes a case of an enumeration.

extension PickleDecodingSession {
  /// Throws if a value with all its parts is slow to compare: if a text has more combining marks in a row than the limit, or
  /// if a number is a nan. All nans have the same hash, and none is equal to another.
  func checkCompared(_ value: PickleValue, _ limit: Int, at path: @autoclosure () -> [any CodingKey]) throws {
    switch value.storage {
    case .none, .bool, .int: return
    case .float(let number): if number.isNaN { throw DecodingError.nanAsKey(at: path()) }
    case .string(let text): try checkCompared(text, limit, at: path())
    case .node: try checkParts(of: value, limit, at: path())
    }
  }

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

  private func checkParts(
    of value: PickleValue, _ limit: Int, at path: @autoclosure () -> [any CodingKey]
  ) throws {
    if let text = value.text { return try checkCompared(text, limit, at: path()) }
    // A part may be shared, or contain itself.
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
      default: break
      }
    }
  }

  /// The same for elements on a tape. Returns false if one is a container, which this does not look into.
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

extension PickleDecoding {
  /// Throws if a value that a type compares is slow to compare.
  func checkCompared(_ code: PickleTypeCode) throws {
    switch code {
    case .madeOfText:
      if let text = scalar.text {
        try session.checkCompared(text, CombiningMarks.mostInValue, at: codingPath)
      }
    case .set:
      if let sequence = try? sequence(), sequence.count > 1 {
        try checkElements(sequence, every: 1, CombiningMarks.mostInValue)
      }
    case .dictionary:
      // A dictionary that decodes itself reads an array in which keys and values alternate.
      if let sequence = try? sequence() { try checkElements(sequence, every: 2, CombiningMarks.mostInKey) }
    default: break
    }
  }

  private func checkElements(_ sequence: PickleSequence, every step: Int, _ limit: Int) throws {
    // The elements of a range are ints.
    if case .range = sequence { return }
    for index in stride(from: 0, to: sequence.count, by: step) {
      try session.charge(1, at: codingPath)
      if case .value(let element) = sequence[index] {
        try session.checkCompared(element, limit, at: codingPath)
      }
    }
  }
}
