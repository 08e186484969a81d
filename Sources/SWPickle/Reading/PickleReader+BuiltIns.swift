// What the names that are understood out of the box make of their arguments: values, and nothing else.

extension PickleReader {
  /// What Python would make by calling a class or function, or, if `isNew`, by its `__new__` alone.
  mutating func call(
    _ builtIn: PickleBuiltIn, _ name: PickleName, _ arguments: [PickleSlot], isNew: Bool
  ) throws(PickleError) -> PickleSlot {
    switch builtIn {
    case .set: return try newSet(isNew ? [] : elements(arguments, name), isFrozen: false)
    case .frozenSet: return try newSet(elements(arguments, name), isFrozen: true)
    case .bytes: return try new(.bytes(bytes(arguments, name)))
    case .byteArray: return try new(.byteArray(isNew ? [] : bytes(arguments, name)))
    case .complex:
      guard 1...2 ~= arguments.count, let real = float(arguments[0]) else { throw mismatch(name, arguments) }
      guard let imaginary = arguments.count == 2 ? float(arguments[1]) : 0 else {
        throw mismatch(name, arguments)
      }
      return try new(.complex(PickleComplex(real: real, imaginary: imaginary)))
    case .encode:
      guard !isNew, 1...2 ~= arguments.count else { throw mismatch(name, arguments) }
      return try new(.bytes(encode(arguments, name)))
    case .reconstructor: return try reconstruct(arguments, name, isNew: isNew)
    case .object: throw mismatch(name, arguments)
    case .orderedDict: return try orderedDict(isNew ? [] : arguments, name)
    case .date, .time, .dateTime, .timeDelta, .timeZone: return try time(builtIn, name, arguments)
    case .decimal:
      guard arguments.count == 1, let text = string(arguments[0]), let decimal = PickleDecimal(text) else {
        throw mismatch(name, arguments)
      }
      return try new(.decimal(decimal))
    case .uuid:
      guard arguments.isEmpty else { throw mismatch(name, arguments) }
      return try newUnfinished(name)
    case .array: throw mismatch(name, arguments)
    case .arrayReconstructor, .arrayFromBuffer, .arrayType, .arrayScalar:
      return try array(builtIn, name, arguments, isNew: isNew)
    }
  }

  /// What becomes of an object that is given its state.
  mutating func finished(
    _ node: PickleNode, _ target: PickleSlot, _ state: PickleSlot
  ) throws(PickleError) -> PickleNode {
    switch node {
    case .unfinished(let name):
      unfinishedCount -= 1
      guard case .builtIn(let builtIn) = registry[name] else { break }
      if builtIn == .uuid { return .uuid(try uuid(state, name)) }
      return .array(try array(state, name))
    case .arrayType(let type):
      guard let state = tuple(state), state.count >= 8, let mark = string(state[1]),
        let ordered = type.with(orderMark: mark), state[2...4].allSatisfy(isNone)
      else { break }
      return .arrayType(ordered)
    default: break
    }
    throw error(.malformed, "an object that takes such a state", kind(target))
  }

  private mutating func newUnfinished(_ name: PickleName) throws(PickleError) -> PickleSlot {
    unfinishedCount += 1
    return try new(.unfinished(name))
  }

  private func mismatch(_ name: PickleName, _ arguments: [PickleSlot]) -> PickleError {
    let kinds = arguments.prefix(6).map(kind).joined(separator: ", ")
    return error(
      .malformed, "arguments that \(name) takes here", "(\(kinds)\(arguments.count > 6 ? ", …" : ""))")
  }

  // MARK: Arguments

  private func tuple(_ slot: PickleSlot) -> [PickleSlot]? {
    if case .node(let index) = slot, case .tuple(let slots) = arena.nodes[index] { return slots }
    return nil
  }

  private func isNone(_ slot: PickleSlot) -> Bool { if case .none = slot { true } else { false } }

  private func int(_ slot: PickleSlot) -> Int? {
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

  /// The elements of at most one argument that can be iterated over.
  private func elements(_ arguments: [PickleSlot], _ name: PickleName) throws(PickleError) -> [PickleSlot] {
    if arguments.isEmpty { return [] }
    guard arguments.count == 1, case .node(let index) = arguments[0] else { throw mismatch(name, arguments) }
    switch arena.nodes[index] {
    case .list(let slots), .tuple(let slots), .set(let slots), .frozenSet(let slots): return slots
    case .dict(let slots), .orderedDict(let slots):
      return stride(from: 0, to: slots.count, by: 2).map { slots[$0] }
    default: throw mismatch(name, arguments)
    }
  }

  /// Bytes from nothing, from bytes, from a list of ints, or from a str and its encoding. Not from a size, which
  /// would take that much memory.
  private func bytes(_ arguments: [PickleSlot], _ name: PickleName) throws(PickleError) -> [UInt8] {
    if arguments.isEmpty { return [] }
    if arguments.count == 2 { return try encode(arguments, name) }
    guard arguments.count == 1, case .node(let index) = arguments[0] else { throw mismatch(name, arguments) }
    switch arena.nodes[index] {
    case .bytes(let bytes), .byteArray(let bytes): return bytes
    case .list(let slots), .tuple(let slots):
      var bytes: [UInt8] = []
      for slot in slots {
        guard let value = int(slot), let byte = UInt8(exactly: value) else { throw mismatch(name, arguments) }
        bytes.append(byte)
      }
      return bytes
    default: throw mismatch(name, arguments)
    }
  }

  /// A str, character by character.
  private func encode(_ arguments: [PickleSlot], _ name: PickleName) throws(PickleError) -> [UInt8] {
    guard let text = string(arguments[0]) else { throw mismatch(name, arguments) }
    let encoding = arguments.count == 2 ? string(arguments[1]) : "utf-8"
    switch encoding?.lowercased() {
    case "latin1", "latin-1", "latin_1", "iso-8859-1", "iso8859-1":
      var bytes: [UInt8] = []
      bytes.reserveCapacity(text.unicodeScalars.count)
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
    default:
      throw error(
        .malformed, "latin1 as the encoding for \(name)",
        encoding.map { String($0.unicodeScalars.prefix(40)).debugDescription } ?? "no str")
    }
  }

  /// The bytes of bytes, or of a str of Latin-1 as Python 2 pickled them.
  private func packed(_ slot: PickleSlot) -> [UInt8]? {
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

  /// An object in protocols 0 and 1: its class, `object`, None; the state follows.
  private mutating func reconstruct(
    _ arguments: [PickleSlot], _ name: PickleName, isNew: Bool
  ) throws(PickleError) -> PickleSlot {
    guard !isNew, arguments.count == 3, let made = self.name(arguments[0]) else {
      throw mismatch(name, arguments)
    }
    if case .object = registry[made] {
      let isPlain = isNone(arguments[2])
      return try newObject(
        PickleObjectNode(name: made, arguments: [], isNew: true), isPlain ? [] : [arguments[2]])
    }
    guard isNone(arguments[2]), case .builtIn(.object) = self.name(arguments[1]).flatMap({ registry[$0] }),
      case .builtIn(let builtIn) = registry[made]
    else { throw mismatch(name, arguments) }
    return try call(builtIn, made, [], isNew: true)
  }

  private mutating func orderedDict(
    _ arguments: [PickleSlot], _ name: PickleName
  ) throws(PickleError) -> PickleSlot {
    let dict = try new(.orderedDict([]))
    if arguments.isEmpty { return dict }
    // Python 2: one list of lists of two.
    var pairs: [PickleSlot] = []
    if arguments.count == 1, case .node(let index) = arguments[0], case .dict(let slots) = arena.nodes[index]
    {
      pairs = slots
    } else {
      for pair in try elements(arguments, name) {
        let parts = try elements([pair], name)
        if parts.count != 2 { throw mismatch(name, arguments) }
        pairs += parts
      }
    }
    try set(pairs, in: dict, "OrderedDict")
    return dict
  }

  private func uuid(_ state: PickleSlot, _ name: PickleName) throws(PickleError) -> PickleUUID {
    if case .node(let index) = state, case .dict(let slots) = arena.nodes[index] {
      for place in stride(from: 0, to: slots.count, by: 2) where string(slots[place]) == "int" {
        switch slots[place + 1] {
        case .int(let value) where value >= 0: return PickleUUID(number: UInt128(value))
        case .node(let number):
          if case .integer(let value) = arena.nodes[number], let number = UInt128(exactly: value) {
            return PickleUUID(number: number)
          }
        default: break
        }
      }
    }
    throw error(.malformed, "a dict with an int of 128 bits for a \(name)", kind(state))
  }

  private mutating func time(
    _ builtIn: PickleBuiltIn, _ name: PickleName, _ arguments: [PickleSlot]
  ) throws(PickleError) -> PickleSlot {
    switch builtIn {
    case .timeDelta:
      let parts = arguments.map(int)
      if parts.count <= 3, !parts.contains(nil) {
        let numbers = parts.compactMap { $0 } + [0, 0, 0]
        if let delta = PickleTimeDelta(days: numbers[0], seconds: numbers[1], microseconds: numbers[2]) {
          return try new(.timeDelta(delta))
        }
      }
    case .timeZone:
      let text = arguments.count == 2 ? string(arguments[1]) : nil
      if (arguments.count == 2) == (text != nil), 1...2 ~= arguments.count,
        case .node(let index) = arguments[0],
        case .timeDelta(let delta) = arena.nodes[index],
        let zone = PickleTimeZone(offset: delta, name: text)
      {
        return try new(.timeZone(zone))
      }
    case .date:
      if arguments.count == 1, let bytes = packed(arguments[0]), let date = Self.date(bytes[...]) {
        return try new(.date(date))
      }
    case .time:
      if 1...2 ~= arguments.count, let bytes = packed(arguments[0]), let zone = zone(arguments.dropFirst()),
        let time = Self.time(bytes[...], zone)
      {
        return try new(.time(time, zone: arguments.dropFirst().first))
      }
    default:
      if 1...2 ~= arguments.count, var bytes = packed(arguments[0]), bytes.count == 10,
        let zone = zone(arguments.dropFirst())
      {
        let isFold = bytes[2] & 0x80 != 0
        bytes[2] &= 0x7f
        if let date = Self.date(bytes[..<4]), var time = Self.time(bytes[4...], zone) {
          time.isFold = time.isFold || isFold
          return try new(
            .dateTime(PickleDateTime(date: date, time: time), zone: arguments.dropFirst().first))
        }
      }
    }
    throw mismatch(name, arguments)
  }

  /// The time zone of at most one argument; `.some(nil)`: none.
  private func zone(_ arguments: ArraySlice<PickleSlot>) -> PickleTimeZone?? {
    guard let slot = arguments.first, !isNone(slot) else { return .some(nil) }
    guard case .node(let index) = slot, case .timeZone(let zone) = arena.nodes[index] else { return nil }
    return .some(zone)
  }

  /// Four bytes: year, month, day.
  private static func date(_ bytes: ArraySlice<UInt8>) -> PickleDate? {
    guard bytes.count == 4 else { return nil }
    let parts = bytes.map(Int.init)
    let year = parts[0] << 8 | parts[1]
    guard PickleDate.isValid(year: year, month: parts[2], day: parts[3]) else { return nil }
    return PickleDate(year: year, month: parts[2], day: parts[3])
  }

  /// Six bytes: hour, minute, second, and three of microseconds. The hour's top bit is the fold.
  private static func time(_ bytes: ArraySlice<UInt8>, _ zone: PickleTimeZone?) -> PickleTime? {
    guard bytes.count == 6 else { return nil }
    let parts = bytes.map(Int.init)
    let hour = parts[0] & 0x7f
    let microsecond = parts[3] << 16 | parts[4] << 8 | parts[5]
    guard PickleTime.isValid(hour: hour, minute: parts[1], second: parts[2], microsecond: microsecond)
    else { return nil }
    return PickleTime(
      hour: hour, minute: parts[1], second: parts[2], microsecond: microsecond, isFold: parts[0] & 0x80 != 0,
      timeZone: zone)
  }

  // MARK: NumPy

  private mutating func array(
    _ builtIn: PickleBuiltIn, _ name: PickleName, _ arguments: [PickleSlot], isNew: Bool
  ) throws(PickleError) -> PickleSlot {
    switch builtIn {
    case .arrayReconstructor:
      // The class, a shape and a type that say nothing: all of it comes with the state.
      if arguments.count == 3, let made = self.name(arguments[0]), case .builtIn(.array) = registry[made],
        !isNew
      {
        return try newUnfinished(made)
      }
    case .arrayType:
      if 1...3 ~= arguments.count, let code = string(arguments[0]) {
        if let type = NumPyType(code: code) { return try new(.arrayType(type)) }
        throw error(.unsupported, "a plain numeric dtype", "\(code.prefix(40).debugDescription)")
      }
    case .arrayScalar:
      if arguments.count == 2, let type = arrayType(arguments[0]), let bytes = packedArray(arguments[1]),
        let scalar = NumPyArray(shape: [], type: type, bytes: bytes), !isNew
      {
        switch scalar.number(at: 0) {
        case .integer(let value): return type.kind == .bool ? .bool(value != 0) : try slot(PickleInt(value))
        case .float(let value): return .float(value)
        case .complex(let value): return try new(.complex(value))
        }
      }
    default:
      if 4...5 ~= arguments.count, !isNew, let bytes = packedArray(arguments[0]),
        let type = arrayType(arguments[1]),
        let shape = shape(arguments[2]), let order = string(arguments[3]),
        arguments.dropFirst(4).allSatisfy(isNone)
      {
        guard order == "C" || order == "F" else {
          throw error(.unsupported, "an array in C or Fortran order", "\(order.prefix(40).debugDescription)")
        }
        let isColumnMajor = order == "F"
        guard
          let array = NumPyArray(
            shape: shape, type: type, order: isColumnMajor ? .columnMajor : .rowMajor, bytes: bytes)
        else { throw wrongSize(shape, type, bytes) }
        return try new(.array(array))
      }
    }
    throw mismatch(name, arguments)
  }

  /// An array's state: a version, the shape, the type, whether it is in Fortran's order, and the bytes.
  private func array(_ state: PickleSlot, _ name: PickleName) throws(PickleError) -> NumPyArray {
    guard let parts = tuple(state), parts.count == 5, let shape = shape(parts[1]),
      let type = arrayType(parts[2]),
      let isColumnMajor = int(parts[3])
    else { throw error(.malformed, "the state of a \(name) of plain numbers", kind(state)) }
    guard let bytes = packedArray(parts[4]) else {
      throw error(.unsupported, "the bytes of a \(name) of plain numbers", kind(parts[4]))
    }
    guard
      let array = NumPyArray(
        shape: shape, type: type, order: isColumnMajor != 0 ? .columnMajor : .rowMajor, bytes: bytes)
    else { throw wrongSize(shape, type, bytes) }
    return array
  }

  private func wrongSize(_ shape: [Int], _ type: NumPyType, _ bytes: [UInt8]) -> PickleError {
    let expected =
      NumPyArray.byteCount(shape: shape, type: type).map(String.init) ?? "an impossible number of"
    return error(
      .malformed, "\(expected) bytes for an array of shape \(shape.prefix(64)) of \(type)", "\(bytes.count)")
  }

  private func arrayType(_ slot: PickleSlot) -> NumPyType? {
    if case .node(let index) = slot, case .arrayType(let type) = arena.nodes[index] { return type }
    return nil
  }

  private func packedArray(_ slot: PickleSlot) -> [UInt8]? {
    guard case .node(let index) = slot else { return nil }
    switch arena.nodes[index] {
    case .bytes(let bytes), .byteArray(let bytes): return bytes
    default: return nil
    }
  }

  private func shape(_ slot: PickleSlot) -> [Int]? {
    if let extent = int(slot) { return [extent] }
    guard let slots = tuple(slot), slots.count <= 64 else { return nil }
    let shape = slots.compactMap(int)
    return shape.count == slots.count ? shape : nil
  }
}
