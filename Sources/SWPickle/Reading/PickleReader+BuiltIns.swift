// The results of the built-in names. They make values, and run nothing.

extension PickleReader {
  /// Makes what Python would make by calling a class or function, or, if `isNew`, by its `__new__` alone.
  ///
  /// - Returns: nil if the arguments are not supported. Then the call becomes an object, or is refused.
  /// - Throws: an error if Python refuses the arguments as well, such as an array with too few bytes.
  mutating func make(
    _ builtIn: PickleBuiltIn, _ name: PickleName, _ callee: PickleSlot, _ arguments: [PickleSlot], isNew: Bool
  ) throws(PickleError) -> PickleSlot? {
    switch builtIn {
    case .set, .frozenSet:
      guard let elements = elements(isNew && builtIn == .set ? [] : arguments) else { return nil }
      return try newSet(elements, isFrozen: builtIn == .frozenSet)
    case .bytes:
      guard let bytes = try bytes(arguments, name) else { return nil }
      return try new(.bytes(bytes))
    case .byteArray:
      guard let bytes = try bytes(isNew ? [] : arguments, name) else { return nil }
      return try new(.byteArray(bytes))
    case .complex:
      guard 1...2 ~= arguments.count, let real = float(arguments[0]),
        let imaginary = arguments.count == 2 ? float(arguments[1]) : 0
      else { return nil }
      return try new(.complex(PickleComplex(real: real, imaginary: imaginary)))
    case .encode:
      guard !isNew, 1...2 ~= arguments.count, let bytes = try encode(arguments, name) else { return nil }
      return try new(.bytes(bytes))
    case .reconstructor: return try reconstruct(arguments, isNew: isNew)
    case .object, .array, .record: return nil
    case .orderedDict: return try orderedDict(isNew ? [] : arguments)
    case .date, .time, .dateTime, .timeDelta, .timeZone: return try time(builtIn, arguments)
    case .decimal:
      guard arguments.count == 1, let text = string(arguments[0]) else { return nil }
      try charge(work: text.utf8.count)
      guard let decimal = PickleDecimal(text) else { return nil }
      try charge(160)
      return try new(.decimal(decimal))
    case .uuid:
      guard arguments.isEmpty, isNew else { return nil }
      return try newObject(callee, [], isNew: true, awaited: .uuid)
    case .arrayReconstructor:
      // The arguments are the class and a placeholder shape and type. The state brings all that matters.
      guard arguments.count == 3, !isNew, case .builtIn(.array) = try calleeIfName(arguments[0])?.entry else {
        return nil
      }
      return try newObject(callee, arguments, isNew: false, awaited: .array)
    case .arrayFromBuffer, .arrayType, .arrayScalar:
      return try array(builtIn, callee, arguments, isNew: isNew)
    }
  }

  /// Completes an object with its state. Returns nil if the state is not supported.
  mutating func finish(
    _ awaited: PickleBuiltIn, _ object: PickleObjectNode, _ state: PickleSlot
  ) throws(PickleError) -> PickleNode? {
    if awaited == .uuid { return uuid(state).map { .uuid($0) } }
    return try array(state, calleeKind(object.callee)).map { .array($0) }
  }

  private mutating func calleeIfName(_ slot: PickleSlot) throws(PickleError) -> Callee? {
    name(slot) == nil ? nil : try callee(slot)
  }

  func mismatch(_ name: PickleName, _ arguments: [PickleSlot]) -> PickleError {
    let kinds = arguments.prefix(6).map(kind).joined(separator: ", ")
    return error(
      .malformed, "arguments that \(name) takes here", "(\(kinds)\(arguments.count > 6 ? ", …" : ""))")
  }

  // MARK: Arguments

  func tuple(_ slot: PickleSlot) -> [PickleSlot]? {
    if case .node(let index) = slot, case .tuple(let slots) = arena.nodes[index] { return slots }
    return nil
  }

  func isNone(_ slot: PickleSlot) -> Bool { if case .none = slot { true } else { false } }

  func int(_ slot: PickleSlot) -> Int? {
    switch slot {
    case .int(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }

  private func float(_ slot: PickleSlot) -> Double? {
    if let value = int(slot) { return Double(value) }
    if case .float(let value) = slot { return value }
    return nil
  }

  /// The elements of an iterable argument. There may be one argument at most.
  private func elements(_ arguments: [PickleSlot]) -> [PickleSlot]? {
    if arguments.isEmpty { return [] }
    guard arguments.count == 1, case .node(let index) = arguments[0] else { return nil }
    switch arena.nodes[index] {
    case .list(let slots), .tuple(let slots), .set(let slots), .frozenSet(let slots): return slots
    default: return nil
    }
  }

  /// Makes bytes from no argument, from bytes, from a list of ints, or from a str and its encoding. A size as the argument
  /// is refused, because it would take that much memory.
  private mutating func bytes(_ arguments: [PickleSlot], _ name: PickleName) throws(PickleError) -> [UInt8]? {
    if arguments.isEmpty { return [] }
    if arguments.count == 2 { return try encode(arguments, name) }
    guard arguments.count == 1, case .node(let index) = arguments[0] else { return nil }
    switch arena.nodes[index] {
    case .bytes(let bytes), .byteArray(let bytes):
      // Charged as a copy, because it becomes one when it is changed, and is written as one.
      try charge(bytes.count)
      return bytes
    case .list(let slots), .tuple(let slots):
      try charge(slots.count)
      try charge(work: slots.count)
      var bytes: [UInt8] = []
      bytes.reserveCapacity(slots.count)
      for slot in slots {
        guard let value = int(slot), let byte = UInt8(exactly: value) else { return nil }
        bytes.append(byte)
      }
      return bytes
    default: return nil
    }
  }

  /// A str, character by character.
  private mutating func encode(_ arguments: [PickleSlot], _ name: PickleName) throws(PickleError) -> [UInt8]?
  {
    guard let text = string(arguments[0]) else { return nil }
    let encoding = arguments.count == 2 ? string(arguments[1]) : "utf-8"
    guard let encoding, encoding.utf8.count <= 20 else { return nil }
    try charge(text.utf8.count)
    try charge(work: text.utf8.count)
    switch encoding.lowercased() {
    case "latin1", "latin-1", "latin_1", "iso-8859-1", "iso8859-1":
      var bytes: [UInt8] = []
      bytes.reserveCapacity(text.utf8.count)
      for scalar in text.unicodeScalars {
        guard let byte = UInt8(exactly: scalar.value) else {
          throw error(
            .malformed, "characters of Latin-1 for \(name)",
            "U+\(String(scalar.value, radix: 16, uppercase: true))")
        }
        bytes.append(byte)
      }
      return bytes
    case "utf-8", "utf8": return Array(text.utf8)
    default: return nil
    }
  }

  /// The bytes of a bytes object, or of a Latin-1 str as Python 2 pickled it.
  func packed(_ slot: PickleSlot) -> [UInt8]? {
    guard case .node(let index) = slot else { return nil }
    switch arena.nodes[index] {
    case .bytes(let bytes): return bytes
    case .string(let text) where text.utf8.count <= 20:
      let bytes = text.unicodeScalars.compactMap { UInt8(exactly: $0.value) }
      return bytes.count == text.unicodeScalars.count ? bytes : nil
    default: return nil
    }
  }

  // MARK: Objects

  /// Makes an object of protocols 0 and 1 from its class, the class that it extends, and the arguments of that class's
  /// initialiser. The state follows.
  private mutating func reconstruct(
    _ arguments: [PickleSlot], isNew: Bool
  ) throws(PickleError) -> PickleSlot? {
    guard !isNew, arguments.count == 3, let made = name(arguments[0]), let base = name(arguments[1]) else {
      return nil
    }
    if base.isBuiltIn, PickleText(base.name) == "object", isNone(arguments[2]) {
      let slot = try call(arguments[0], [], keywords: nil, isNew: true)
      if case .node(let index) = slot, case .object(var object) = arena.nodes[index] {
        object.isMadeByObject = true
        arena.nodes[index] = .object(object)
      }
      return slot
    }
    if registry.isStrict {
      guard case .object = registry[made] else { return nil }
    }
    guard base.isBuiltIn else { return nil }
    let name = PickleText(base.name)
    switch name {
    // The initialiser of the base takes the elements.
    case "list", "dict":
      guard case .node(let index) = arguments[2] else { return nil }
      let object = try newObject(arguments[0], [], isNew: true)
      switch arena.nodes[index] {
      case .list(let slots) where name == "list": try append(slots, to: object)
      case .dict(let slots) where name == "dict": try set(slots, in: object, "_reconstructor")
      default: return nil
      }
      return object
    default: return try newObject(arguments[0], [arguments[2]], isNew: true, base: arguments[1])
    }
  }

  private mutating func orderedDict(_ arguments: [PickleSlot]) throws(PickleError) -> PickleSlot? {
    // Python 2 writes one list of lists of two elements.
    var pairs: [PickleSlot] = []
    if arguments.count == 1, case .node(let index) = arguments[0], case .dict(let slots) = arena.nodes[index]
    {
      pairs = slots
    } else {
      guard let elements = elements(arguments) else { return nil }
      try charge(2 * elements.count * PickleSlot.byteCount)
      for pair in elements {
        guard let parts = self.elements([pair]), parts.count == 2 else { return nil }
        pairs += parts
      }
    }
    let dict = try new(.orderedDict([], attributes: nil))
    try set(pairs, in: dict, "OrderedDict")
    return dict
  }

  private func uuid(_ state: PickleSlot) -> PickleUUID? {
    guard case .node(let index) = state, case .dict(let slots) = arena.nodes[index] else { return nil }
    var number: UInt128?
    var isSafe: Bool?
    for place in stride(from: 0, to: min(slots.count, 8), by: 2) {
      let value = slots[place + 1]
      if text(slots[place]) == "int" {
        switch value {
        case .int(let value): number = UInt128(exactly: value)
        case .node(let index):
          if case .integer(let value) = arena.nodes[index] { number = UInt128(exactly: value) }
        default: break
        }
      } else if text(slots[place]) == "is_safe", case .int(let value) = value {
        // Source: CPython, `Lib/uuid.py`, `SafeUUID`.
        isSafe = [0: true, -1: false][value]
      }
    }
    return number.map { PickleUUID(number: $0, isSafe: isSafe) }
  }

  private mutating func time(
    _ builtIn: PickleBuiltIn, _ arguments: [PickleSlot]
  ) throws(PickleError) -> PickleSlot? {
    try charge(160)
    switch builtIn {
    case .timeDelta:
      let parts = arguments.prefix(4).map(int)
      guard parts.count <= 3, !parts.contains(nil) else { return nil }
      let numbers = parts.compactMap { $0 } + [0, 0, 0]
      guard let delta = PickleTimeDelta(days: numbers[0], seconds: numbers[1], microseconds: numbers[2])
      else {
        return nil
      }
      return try new(.timeDelta(delta))
    case .timeZone:
      let text = arguments.count == 2 ? string(arguments[1]) : nil
      guard (arguments.count == 2) == (text != nil), 1...2 ~= arguments.count,
        case .node(let index) = arguments[0], case .timeDelta(let delta) = arena.nodes[index],
        let zone = PickleTimeZone(offset: delta, name: text)
      else { return nil }
      // Each zone has its name, and is written with it, although the pickle has the text once.
      if let text { try charge(text.utf8.count) }
      return try new(.timeZone(zone))
    case .date:
      guard arguments.count == 1, let bytes = packed(arguments[0]), bytes.count == 4 else { return nil }
      return try new(.date(date(bytes[...])))
    case .time:
      guard 1...2 ~= arguments.count, let bytes = packed(arguments[0]), bytes.count == 6 else { return nil }
      let zone = arguments.count == 2 ? arguments[1] : .none
      guard isZone(zone) else { return nil }
      return try new(
        .time(time(bytes[...], try self.zone(zone), mayFold: true), zone: isNone(zone) ? nil : zone),
        depth: depth(zone))
    default:
      guard 1...2 ~= arguments.count, var bytes = packed(arguments[0]), bytes.count == 10 else { return nil }
      let zone = arguments.count == 2 ? arguments[1] : .none
      guard isZone(zone) else { return nil }
      // The top bit of the month is the fold.
      let isFold = bytes[2] & 0x80 != 0
      bytes[2] &= 0x7f
      let date = try date(bytes[..<4])
      var time = try time(bytes[4...], try self.zone(zone), mayFold: false)
      time.isFold = isFold
      return try new(
        .dateTime(PickleDateTime(date: date, time: time), zone: isNone(zone) ? nil : zone), depth: depth(zone)
      )
    }
  }

  /// Four bytes: year, month, day.
  private func date(_ bytes: ArraySlice<UInt8>) throws(PickleError) -> PickleDate {
    if let date = PickleDate(packed: bytes) { return date }
    let parts = bytes.map(Int.init)
    throw error(
      .malformed, "a date of the calendar", "\(parts[0] << 8 | parts[1])-\(parts[2])-\(parts[3])")
  }

  /// Six bytes: hour, minute, second, and three of microseconds. The hour's top bit may be the fold.
  private func time(
    _ bytes: ArraySlice<UInt8>, _ zone: PickleTimeZone?, mayFold: Bool
  ) throws(PickleError) -> PickleTime {
    if let time = PickleTime(packed: bytes, mayFold: mayFold, timeZone: zone) { return time }
    let parts = bytes.map(Int.init)
    let (hour, microsecond) = (
      mayFold ? parts[0] & 0x7f : parts[0], parts[3] << 16 | parts[4] << 8 | parts[5]
    )
    throw error(.malformed, "a time of a day", "\(hour):\(parts[1]):\(parts[2]).\(microsecond)")
  }
}
