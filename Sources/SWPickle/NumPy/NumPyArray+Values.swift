// The elements of arrays as Python values, as NumPy's `item()` and `tolist()` return them.

extension NumPyArray {
  /// The element at an index, as a Python value.
  ///
  /// - A number is a bool, int, float or complex; text and bytes have no padding.
  /// - A `datetime64` or `timedelta64` is a date, datetime or timedelta if it is exact; otherwise it is the stored
  ///   int. "Not a time" is None.
  /// - A record is a dict of its fields, where NumPy has a tuple.
  /// - An element that neither Python nor Swift has, such as a `longdouble`, is bytes.
  ///
  /// - Precondition: `index` is in `0..<count`, counted in the array's ``order``.
  public func value(at index: Int) -> PickleValue {
    precondition(0..<count ~= index, "no element \(index) in an array of \(count)")
    return value(type, at: index * type.byteCount)
  }

  /// The only element of an array without dimensions. Nil for a number that Swift has no type for, and for a time that
  /// Python does not have: a count without its unit would be taken for another number.
  var scalar: PickleValue? {
    guard shape.isEmpty, !isOpaque else { return nil }
    let value = value(at: 0)
    if let unit = type.unit, unit.code != "generic", value.integer != nil { return nil }
    return value
  }

  /// The count of an array without dimensions that is a time or a difference; nil for other arrays.
  private var timeCount: Int? {
    guard shape.isEmpty, type.unit != nil, case .integer(let number) = number(at: 0) else { return nil }
    return Int(exactly: number)
  }

  /// Whether it is NumPy's `NaT`, "not a time".
  var isNotATime: Bool { timeCount == .min }

  /// The datetime or timedelta for an array without dimensions that counts a finer unit than Python does. Nil for a count
  /// that is no whole number of microseconds.
  var exactTime: PickleValue? {
    guard let count = timeCount, count != .min, let unit = type.unit, let divisor = unit.perMicrosecond else {
      return nil
    }
    let (units, isTooMany) = count.multipliedReportingOverflow(by: unit.count)
    guard !isTooMany, units.isMultiple(of: divisor), let micro = NumPyType.Unit("us") else { return nil }
    return NumPyType(type.kind, of: micro).exactTime(units / divisor)
  }

  /// Whether the elements are numbers for which Swift has no type, such as a `longdouble`.
  var isOpaque: Bool {
    switch type.kind {
    case .float: type.byteCount > 8
    case .complex: type.byteCount > 16
    default: false
    }
  }

  private func value(_ type: NumPyType, at start: Int) -> PickleValue {
    let range = start..<(start + type.byteCount)
    switch type.kind {
    case .record:
      return .dict(type.fields.map { (PickleValue($0.name), value($0.type, at: start + $0.offset)) })
    case .subarray:
      guard let field = type.fields.first,
        let array = NumPyArray(shape: field.shape, type: field.type, bytes: Array(bytes[range]))
      else { return .bytes(Array(bytes[range])) }
      return PickleValue(array)
    case .text: return text(type, range) ?? .bytes(Array(bytes[range]))
    case .bytes:
      let end = bytes[range].lastIndex { $0 != 0 }.map { $0 + 1 } ?? start
      return .bytes(Array(bytes[start..<end]))
    case .raw, .object: return .bytes(Array(bytes[range]))
    case .date, .timeDelta:
      guard case .integer(let number) = number(type, at: start), let count = Int(exactly: number) else {
        return .none
      }
      if count == .min { return .none }
      return type.exactTime(count) ?? PickleValue(count)
    case .bool, .signed, .unsigned, .float, .complex:
      switch number(type, at: start) {
      case .integer(let value): return type.kind == .bool ? PickleValue(value != 0) : PickleValue(value)
      case .float(let value): return PickleValue(value)
      case .complex(let value): return PickleValue(value)
      case .other: return .bytes(Array(bytes[range]))
      }
    }
  }

  /// Returns nil if the text contains a surrogate.
  private func text(_ type: NumPyType, _ range: Range<Int>) -> PickleValue? {
    var scalars = String.UnicodeScalarView()
    var end = range.upperBound
    while end > range.lowerBound, bytes[(end - 4)..<end].allSatisfy({ $0 == 0 }) { end -= 4 }
    for start in stride(from: range.lowerBound, to: end, by: 4) {
      var value: UInt32 = 0
      for position in 0..<4 {
        value = value << 8 | UInt32(bytes[start + (type.isBigEndian ? position : 3 - position)])
      }
      guard let scalar = Unicode.Scalar(value) else { return nil }
      scalars.append(scalar)
    }
    return PickleValue(String(scalars))
  }
}

extension NumPyType {
  /// The date, datetime or timedelta for a count of this type's unit. Nil if Python has none.
  func exactTime(_ count: Int) -> PickleValue? {
    guard let unit else { return nil }
    let (units, isTooMany) = count.multipliedReportingOverflow(by: unit.count)
    if isTooMany { return nil }
    if kind == .date {
      switch unit.code {
      case "Y", "M":
        let (years, months) = unit.code == "Y" ? (units, 0) : units.flooredDivision(by: 12)
        guard -9999...9999 ~= years else { return nil }
        return PickleDate(year: 1970 + years, month: months + 1, day: 1).map { PickleValue($0) }
      case "W", "D":
        guard -1_000_000_000...1_000_000_000 ~= units else { return nil }
        return PickleDate(daysSince1970: unit.code == "W" ? 7 * units : units).map { PickleValue($0) }
      default: break
      }
    }
    guard let size = unit.microseconds else { return nil }
    let (microseconds, isTooLong) = count.multipliedReportingOverflow(by: size)
    if isTooLong { return nil }
    if kind == .date {
      return PickleDateTime(microseconds: microseconds, in: nil).map { PickleValue($0) }
    }
    return PickleTimeDelta(days: 0, microseconds: microseconds).map { PickleValue($0) }
  }
}

extension PickleObject {
  /// The shape and the elements of a NumPy array of objects or of strings of any length (`StringDType`); nil if the object
  /// is not one. The elements are in row-major order, in which the last index changes fastest.
  public var objectArray: (shape: [Int], elements: PickleElements)? {
    guard name?.canonical == PickleName("numpy._core.multiarray", "_reconstruct"),
      case .tuple(let parts) = state?.content, parts.count == 5, case .tuple(let extents) = parts[1].content,
      // The flag at 3 is the order that the array has in memory. NumPy writes the list in row-major order in any case.
      //
      // Source: NumPy, `numpy/_core/src/multiarray/methods.c`, `_getlist_pkl` and `array_setstate`.
      Self.isTypeOfObjects(parts[2]), Self.truth(parts[3]) != nil,
      let elements = parts[4].elements, extents.count <= 64
    else { return nil }
    let shape = extents.compactMap(\.integer)
    guard shape.count == extents.count, NumPyArray.elementCount(shape) == elements.count else { return nil }
    return (shape, elements)
  }

  private static func isTypeOfObjects(_ type: PickleValue) -> Bool {
    switch type.content {
    case .arrayType(let type): type.kind == .object
    case .object(let object):
      object.name?.canonical == PickleName("numpy._core._internal", "_convert_to_stringdtype_kwargs")
    default: false
    }
  }

  private static func truth(_ value: PickleValue) -> Bool? {
    if let bool = value.boolean { return bool }
    if let int = value.integer { return int != 0 }
    return nil
  }

  /// The data of a masked array, and for each element, in the same order, whether it is masked; nil if the object
  /// is not one.
  public var maskedArray: (array: NumPyArray, mask: [Bool])? {
    guard let name,
      name == PickleName("numpy.ma.core", "_mareconstruct")
        || name == PickleName("numpy.ma", "_mareconstruct"), case .tuple(let parts) = state?.content,
      parts.count == 7,
      case .tuple(let extents) = parts[1].content, case .arrayType(let type) = parts[2].content,
      let isColumnMajor = Self.truth(parts[3]), let bytes = parts[4].bytes,
      let mask = parts[5].bytes, extents.count <= 64
    else { return nil }
    let shape = extents.compactMap(\.integer)
    guard shape.count == extents.count,
      let array = NumPyArray(
        shape: shape, type: type, order: isColumnMajor ? .columnMajor : .rowMajor, bytes: bytes),
      mask.count == array.count
    else { return nil }
    return (array, mask.map { $0 != 0 })
  }
}
