internal import SWFraming

/// The element type of a NumPy array: its dtype.
public struct NumPyType: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    case bool
    case signed
    case unsigned
    case float
    case complex
    /// `U`: text in UTF-32, padded with zeros.
    case text
    /// `S`: bytes, padded with zeros.
    case bytes
    /// `V`: bytes without a meaning in NumPy.
    case raw
    /// `M8`, `datetime64`: a count of ``unit`` since the start of 1970, or "not a time".
    case date
    /// `m8`, `timedelta64`: a count of ``unit``.
    case timeDelta
    /// A structured type, with ``fields``.
    case record
    /// An array inside a record. Its only field has the array's type and shape.
    case subarray
    /// `O`: Python objects. They have no bytes.
    case object
  }

  /// The step of a `datetime64` or `timedelta64`: ``count`` times a unit of time.
  public struct Unit: Hashable, Sendable {
    /// NumPy's code: `Y`, `M`, `W`, `D`, `h`, `m`, `s`, `ms`, `us`, `ns`, `ps`, `fs`, `as`, or `generic`.
    public let code: String
    /// The number of units in a step, at least 1; usually 1.
    public let count: Int

    static let codes = ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "generic"]

    /// A step of `count` units.
    ///
    /// - Returns: nil if NumPy has no such unit.
    public init?(_ code: String, count: Int = 1) {
      guard Self.codes.contains(where: { $0.hasSameBytes(as: code) }), 1...Int(Int32.max) ~= count else {
        return nil
      }
      self.code = code
      self.count = count
    }

    /// The number of microseconds in the unit. Nil if it is not a whole number.
    var microseconds: Int? {
      let one =
        switch code {
        case "W": 604_800_000_000
        case "D": 86_400_000_000
        case "h": 3_600_000_000
        case "m": 60_000_000
        case "s": 1_000_000
        case "ms": 1000
        case "us": 1
        default: 0
        }
      let (product, isTooLarge) = one.multipliedReportingOverflow(by: count)
      return one == 0 || isTooLarge ? nil : product
    }

    /// The number of units in a microsecond. Nil for a unit that is not finer.
    var perMicrosecond: Int? {
      switch PickleText(code) {
      case "ns": 1000
      case "ps": 1_000_000
      case "fs": 1_000_000_000
      case "as": 1_000_000_000_000
      default: nil
      }
    }
  }

  /// A field of a record.
  public struct Field: Hashable, Sendable {
    public let name: String
    public let type: NumPyType
    /// The offset of the field from the start of the record, in bytes.
    public let offset: Int
    /// Not empty for the field of a ``NumPyType/Kind/subarray``.
    let shape: [Int]
    /// A second name that NumPy finds the field by; most fields have none.
    let title: String?

    public init(_ name: String, _ type: NumPyType, offset: Int) {
      self.init(name, type, offset: offset, shape: [])
    }

    init(_ name: String, _ type: NumPyType, offset: Int, shape: [Int] = [], title: String? = nil) {
      self.title = title
      self.name = name
      self.type = type
      self.offset = offset
      self.shape = shape
    }

    // Texts are compared by their bytes, as in Python.

    public static func == (a: Field, b: Field) -> Bool {
      PickleText(a.name) == PickleText(b.name) && a.type == b.type && a.offset == b.offset
        && a.shape == b.shape
        && a.title.map { PickleText($0) } == b.title.map { PickleText($0) }
    }

    public func hash(into hasher: inout Hasher) {
      hasher.combine(PickleText(name))
      hasher.combine(type)
      hasher.combine(offset)
      hasher.combine(shape)
      hasher.combine(title.map { PickleText($0) })
    }
  }

  public let kind: Kind
  /// The size of one element in bytes: 1 for a bool, 1 to 8 for an integer, 2 to 16 for a float, 8 to 32 for a
  /// complex.
  public let byteCount: Int
  /// Whether the most significant byte comes first; false for elements of one byte.
  public let isBigEndian: Bool
  /// The step of a date or time difference; nil for other types.
  public let unit: Unit?
  /// The fields of a record; empty for other types.
  public let fields: [Field]
  /// Whether the type is aligned, which a pickle also says.
  let isAligned: Bool
  /// The number of types that it consists of, and their nesting depth. Both are limited, because every element visits the
  /// whole type.
  let partCount: Int
  let depth: Int
  /// The number of bytes that the value of an element has: those of all fields, which may overlap.
  let valueByteCount: Int

  private static let mostParts = 1024
  private static let deepest = 8

  /// A numeric type.
  ///
  /// A float of 10, 12 or 16 bytes is a `longdouble`, and a complex of twice that size a `clongdouble`. Their bytes
  /// depend on the machine, and are passed on unchanged.
  ///
  /// - Returns: nil if NumPy has no such size.
  public init?(_ kind: Kind, byteCount: Int, isBigEndian: Bool = false) {
    let isPossible =
      switch kind {
      case .bool: byteCount == 1
      case .signed, .unsigned: [1, 2, 4, 8].contains(byteCount)
      case .float: [2, 4, 8, 10, 12, 16].contains(byteCount)
      case .complex: [8, 16, 20, 24, 32].contains(byteCount)
      case .text: byteCount >= 0 && byteCount.isMultiple(of: 4)
      case .bytes, .raw: byteCount >= 0
      case .object: byteCount == 8
      case .date, .timeDelta, .record, .subarray: false
      }
    guard isPossible, byteCount <= Int(Int32.max) else { return nil }
    let isOrdered = byteCount > 1 && kind != .bytes && kind != .raw && kind != .object
    self.init(kind, byteCount, isBigEndian: isBigEndian && isOrdered)
  }

  /// A `datetime64`.
  public static func date(_ unit: Unit, isBigEndian: Bool = false) -> NumPyType {
    NumPyType(.date, 8, isBigEndian: isBigEndian, unit: unit)
  }

  /// A `timedelta64`.
  public static func timeDelta(_ unit: Unit, isBigEndian: Bool = false) -> NumPyType {
    NumPyType(.timeDelta, 8, isBigEndian: isBigEndian, unit: unit)
  }

  init(_ kind: Kind, of unit: Unit) { self.init(kind, 8, isBigEndian: false, unit: unit) }

  /// A structured type of `byteCount` bytes.
  ///
  /// - Returns: nil if a field lies outside these bytes, holds objects, or has the name of another field; or if
  ///   there are more than 1,024 fields, or structures nested deeper than 8 levels.
  public init?(fields: [Field], byteCount: Int, isAligned: Bool = false) {
    guard Set(fields.map { PickleText($0.name) }).count == fields.count else { return nil }
    self.init(.record, fields: fields, byteCount: byteCount, isAligned: isAligned)
  }

  init?(_ kind: Kind, fields: [Field], byteCount: Int, isAligned: Bool = false) {
    guard fields.count <= Self.mostParts else { return nil }
    var (partCount, depth, valueByteCount) = (1, 0, 0)
    for field in fields {
      let (end, isTooFar) = field.offset.addingReportingOverflow(field.type.byteCount)
      guard field.offset >= 0, !isTooFar, kind == .subarray || end <= byteCount, field.type.kind != .object
      else {
        return nil
      }
      partCount += field.type.partCount
      depth = max(depth, field.type.depth + 1)
      valueByteCount += kind == .subarray ? byteCount : field.type.valueByteCount
    }
    guard partCount <= Self.mostParts, depth <= Self.deepest, 0...Int(Int32.max) ~= byteCount else {
      return nil
    }
    self.init(
      kind, byteCount, isBigEndian: false, fields: fields, isAligned: isAligned, partCount: partCount,
      depth: depth, valueByteCount: valueByteCount)
  }

  private init(
    _ kind: Kind, _ byteCount: Int, isBigEndian: Bool, unit: Unit? = nil, fields: [Field] = [],
    isAligned: Bool = false, partCount: Int = 1, depth: Int = 0, valueByteCount: Int? = nil
  ) {
    self.kind = kind
    self.byteCount = byteCount
    self.isBigEndian = isBigEndian
    self.unit = unit
    self.fields = fields
    self.isAligned = isAligned
    self.partCount = partCount
    self.depth = depth
    self.valueByteCount = valueByteCount ?? byteCount
  }

  /// The charge for the value of an element, in parts. An entry of a dict takes several times the memory of a number.
  var valueCost: Int { partCount == 1 ? 1 : 6 * partCount }

  /// Makes a type in the byte order of this machine.
  init(native kind: Kind, byteCount: Int) {
    self.init(kind, byteCount, isBigEndian: byteCount > 1 && 1.bigEndian == 1)
  }

  /// NumPy's code without the byte order, such as `f8`.
  var code: String {
    switch kind {
    case .bool: "b1"
    case .signed: "i\(byteCount)"
    case .unsigned: "u\(byteCount)"
    case .float: "f\(byteCount)"
    case .complex: "c\(byteCount)"
    case .text: "U\(byteCount / 4)"
    case .bytes: "S\(byteCount)"
    case .date: "M8"
    case .timeDelta: "m8"
    case .raw, .record, .subarray: "V\(byteCount)"
    case .object: "O8"
    }
  }

  /// Reads a code such as `f8` or `<f8`, or one of NumPy's letters that mean the same on every machine. The state brings a
  /// unit or fields.
  init?(code: String) {
    guard code.utf8.count <= 16 else { return nil }
    var bytes = Array(code.utf8)[...]
    var isBigEndian = 1.bigEndian == 1
    if let mark = bytes.first,
      [UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "="), UInt8(ascii: "|")].contains(mark)
    {
      if mark == UInt8(ascii: "<") { isBigEndian = false }
      if mark == UInt8(ascii: ">") { isBigEndian = true }
      bytes.removeFirst()
    }
    guard let letter = bytes.popFirst() else { return nil }
    let kind: Kind
    switch letter {
    case UInt8(ascii: "b"): kind = .bool
    case UInt8(ascii: "i"): kind = .signed
    case UInt8(ascii: "u"): kind = .unsigned
    case UInt8(ascii: "f"): kind = .float
    case UInt8(ascii: "c"): kind = .complex
    case UInt8(ascii: "U"): kind = .text
    case UInt8(ascii: "S"), UInt8(ascii: "a"): kind = .bytes
    case UInt8(ascii: "V"): kind = .raw
    case UInt8(ascii: "M"): kind = .date
    case UInt8(ascii: "m"): kind = .timeDelta
    case UInt8(ascii: "O"): kind = .object
    case UInt8(ascii: "?") where bytes.isEmpty:
      self.init(.bool, byteCount: 1)
      return
    default: return nil
    }
    guard 1...10 ~= bytes.count, bytes.allSatisfy({ 0x30...0x39 ~= $0 }),
      let size = Int(String(decoding: bytes, as: UTF8.self)), size <= Int(Int32.max) / 4
    else { return nil }
    if kind == .date || kind == .timeDelta {
      guard size == 8, let unit = Unit("generic") else { return nil }
      self.init(kind, 8, isBigEndian: isBigEndian, unit: unit)
    } else {
      self.init(kind, byteCount: kind == .text ? 4 * size : size, isBigEndian: isBigEndian)
    }
  }

  /// The mark of the byte order in a pickle.
  var orderMark: String {
    switch kind {
    case .bytes, .raw, .record, .subarray, .object: "|"
    default: byteCount == 1 ? "|" : isBigEndian ? ">" : "<"
    }
  }

  func with(orderMark: String, unit: Unit?) -> NumPyType? {
    let isBigEndian: Bool
    switch PickleText(orderMark) {
    case "<": isBigEndian = false
    case ">": isBigEndian = true
    case "=": isBigEndian = 1.bigEndian == 1
    case "|" where self.orderMark == "|" || byteCount == 0: return self
    default: return nil
    }
    switch kind {
    case .date, .timeDelta: return NumPyType(kind, 8, isBigEndian: isBigEndian, unit: unit ?? self.unit)
    case .record, .subarray: return nil
    default: return NumPyType(kind, byteCount: byteCount, isBigEndian: isBigEndian)
    }
  }
}

extension NumPyType: CustomStringConvertible {
  public var description: String {
    switch kind {
    case .date, .timeDelta:
      let unit =
        unit.map { $0.code == "generic" ? "" : "[\($0.count == 1 ? "" : "\($0.count)")\($0.code)]" } ?? ""
      return orderMark + code + unit
    case .record:
      // The names are the peer's.
      let names = fields.prefix(16).map { "\($0.name.shown(upTo: 40)): \($0.type)" }.joined(separator: ", ")
      return "{\(names)\(fields.count > 16 ? ", …" : "")}".shown()
    case .subarray: return fields.first.map { "\($0.type)\($0.shape.prefix(64))" } ?? code
    default: return orderMark + code
    }
  }
}
