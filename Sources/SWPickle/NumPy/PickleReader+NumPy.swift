// The results of NumPy's functions.

extension PickleReader {
  mutating func array(
    _ builtIn: PickleBuiltIn, _ callee: PickleSlot, _ arguments: [PickleSlot], isNew: Bool
  ) throws(PickleError) -> PickleSlot? {
    switch builtIn {
    case .arrayType:
      guard 1...3 ~= arguments.count else { return nil }
      let type: NumPyType?
      if let code = string(arguments[0]) {
        type = NumPyType(code: code)
      } else if let name = name(arguments[0]), case .builtIn(.record) = registry[name] {
        // The state brings its size.
        type = NumPyType(.raw, byteCount: 0)
      } else {
        type = nil
      }
      guard let type else {
        if registry.isStrict, let code = string(arguments[0]) {
          throw error(.unsupported, "a dtype of NumPy's own", "\(code.prefix(40).debugDescription)")
        }
        return nil
      }
      try charge(200)
      let slot = try new(.arrayType(type), depth: 1)
      if case .node(let index) = slot {
        origins[index] = PickleObjectNode(callee: callee, arguments: arguments, isNew: isNew)
      }
      return slot
    case .arrayScalar:
      guard arguments.count == 2, !isNew, let type = arrayType(arguments[0]), type.kind != .object,
        let bytes = packedArray(arguments[1])
      else { return nil }
      try charge(bytes.count + 200)
      try charge(work: bytes.count + type.partCount)
      guard let scalar = NumPyArray(scalar: type, bytes: bytes) else {
        throw wrongSize([], type, bytes)
      }
      switch type.kind {
      case .bool, .signed, .unsigned, .float, .complex:
        switch scalar.number(at: 0) {
        case .integer(let value): return type.kind == .bool ? .bool(value != 0) : try slot(PickleInt(value))
        case .float(let value): return .float(value)
        case .complex(let value): return try new(.complex(value))
        case .other: break
        }
      case .text, .bytes:
        switch scalar.value(at: 0).content {
        case .string(let text): return try new(.string(text))
        case .bytes(let bytes) where type.kind == .bytes: return try new(.bytes(bytes))
        default: break
        }
      case .date, .timeDelta:
        switch scalar.value(at: 0).content {
        case .date(let value): return try new(.date(value))
        case .dateTime(let value): return try new(.dateTime(value, zone: nil))
        case .timeDelta(let value): return try new(.timeDelta(value))
        default: break
        }
      default: break
      }
      return try new(.array(scalar))
    default:
      guard 4...5 ~= arguments.count, !isNew, let bytes = packedArray(arguments[0]),
        let type = arrayType(arguments[1]), let shape = shape(arguments[2]), let order = string(arguments[3])
      else { return nil }
      let axes = arguments.count == 5 ? arguments[4] : .none
      try charge(bytes.count + 200)
      switch PickleText(order) {
      case "C", "F":
        guard isNone(axes) else { return nil }
        let order: NumPyArray.Order = PickleText(order) == "F" ? .columnMajor : .rowMajor
        guard let array = NumPyArray(shape: shape, type: type, order: order, bytes: bytes) else {
          throw wrongSize(shape, type, bytes)
        }
        return try new(.array(array))
      case "K":
        guard let array = NumPyArray(shape: shape, type: type, bytes: bytes) else {
          throw wrongSize(shape, type, bytes)
        }
        guard let axes = self.shape(axes), case .some = tuple(arguments[4]),
          axes.map({ $0 < 0 ? $0 + shape.count : $0 }).sorted() == Array(shape.indices)
        else {
          throw error(
            .malformed, "an order of the \(shape.count) axes of the array",
            isNone(axes) ? "None" : kind(arguments[4]))
        }
        try charge(2 * bytes.count)
        try charge(work: array.count)
        return try new(.array(array.transposed(axes.map { $0 < 0 ? $0 + shape.count : $0 })))
      default:
        if registry.isStrict {
          throw error(.unsupported, "an array in the order C, F or K", "\(order.prefix(40).debugDescription)")
        }
        return nil
      }
    }
  }

  /// Makes an array of its state: a version, the shape, the type, whether it is in Fortran order, and the bytes.
  mutating func array(_ state: PickleSlot, _ name: String) throws(PickleError) -> NumPyArray? {
    guard let parts = tuple(state), parts.count == 5, let shape = shape(parts[1]),
      let type = arrayType(parts[2]),
      let isColumnMajor = int(parts[3]), type.kind != .object, let bytes = packedArray(parts[4])
    else { return nil }
    try charge(bytes.count + 200)
    guard
      let array = NumPyArray(
        shape: shape, type: type, order: isColumnMajor != 0 ? .columnMajor : .rowMajor, bytes: bytes)
    else { throw wrongSize(shape, type, bytes) }
    return array
  }

  /// Completes a dtype with its state: a version, the byte order, the type and shape of a subarray, names and fields of a
  /// record, size, alignment, flags, and the unit of a date.
  mutating func finish(_ type: NumPyType, _ state: PickleSlot) throws(PickleError) -> NumPyType? {
    guard let parts = tuple(state), 8...9 ~= parts.count, let mark = string(parts[1]) else { return nil }
    if let subarray = tuple(parts[2]) {
      guard subarray.count == 2, let element = arrayType(subarray[0]), let shape = shape(subarray[1]),
        let byteCount = NumPyArray.byteCount(shape: shape, type: element), isNone(parts[3])
      else { return nil }
      return NumPyType(
        .subarray, fields: [.init("", element, offset: 0, shape: shape)], byteCount: byteCount)
    }
    guard isNone(parts[2]) else { return nil }
    if let names = tuple(parts[3]) {
      guard type.kind == .raw, names.count <= 1024, case .node(let index) = parts[4],
        case .dict(let slots) = arena.nodes[index], slots.count <= 4096, let byteCount = int(parts[5]),
        let flags = int(parts[7])
      else { return nil }
      try charge(names.count * 200)
      try charge(work: names.count + slots.count)
      var byName: [PickleText: (NumPyType, Int, title: String?)] = [:]
      for place in stride(from: 0, to: slots.count, by: 2) {
        guard let name = string(slots[place]), let field = tuple(slots[place + 1]), 2...3 ~= field.count,
          let type = arrayType(field[0]), let offset = int(field[1])
        else { return nil }
        try charge(work: type.partCount + name.utf8.count)
        let title = field.count == 3 ? string(field[2]) : nil
        if field.count == 3, title == nil { return nil }
        byName[PickleText(name)] = (type, offset, title)
      }
      var fields: [NumPyType.Field] = []
      for name in names {
        guard let name = string(name), let (type, offset, title) = byName[PickleText(name)] else {
          return nil
        }
        fields.append(.init(name, type, offset: offset, title: title))
      }
      return NumPyType(fields: fields, byteCount: byteCount, isAligned: flags & 0x80 != 0)
    }
    guard isNone(parts[3]), isNone(parts[4]) else { return nil }
    var unit: NumPyType.Unit?
    if parts.count == 9, let metadata = tuple(parts[8]) {
      guard metadata.count == 2, let parts = tuple(metadata[1]), parts.count == 4, let count = int(parts[1]),
        let code = packed(parts[0]),
        let found = NumPyType.Unit(String(decoding: code, as: UTF8.self), count: count)
      else { return nil }
      unit = found
    } else if parts.count == 9, !isNone(parts[8]) {
      return nil
    }
    if type.kind == .raw, type.byteCount == 0, let byteCount = int(parts[5]), byteCount > 0 {
      return NumPyType(.raw, byteCount: byteCount)
    }
    return type.with(orderMark: mark, unit: unit)
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

extension NumPyArray {
  /// Returns the array with its axes permuted.
  func transposed(_ axes: [Int]) -> NumPyArray {
    let (size, own) = (type.byteCount, strides)
    let (shape, steps) = (axes.map { self.shape[$0] }, axes.map { own[$0] })
    var copy: [UInt8] = []
    copy.reserveCapacity(bytes.count)
    var position = [Int](repeating: 0, count: shape.count)
    var place = 0
    for _ in 0..<count {
      copy += bytes[(place * size)..<((place + 1) * size)]
      // Advance the last index. At its end, reset it and advance the index in front of it.
      var axis = shape.count - 1
      while axis >= 0 {
        position[axis] += 1
        place += steps[axis]
        if position[axis] < shape[axis] { break }
        place -= steps[axis] * shape[axis]
        position[axis] = 0
        axis -= 1
      }
    }
    return NumPyArray(shape: shape, type: type, order: .rowMajor, bytes: copy) ?? self
  }
}
