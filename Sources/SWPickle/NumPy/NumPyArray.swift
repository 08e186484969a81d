/// A NumPy array of plain numbers: shape, element type, order, and the bytes as NumPy has them.
///
/// ```swift
/// if let array = value.array, array.shape == [480, 640] {
///   let sum = try array.withElements(as: Float.self) { pixels in pixels.reduce(0, +) }
/// }
/// let reply = NumPyArray([1.5, 2.5, 3.5])
/// ```
///
/// The bytes are copied once, out of the frame that they came in, and shared from then on.
public struct NumPyArray: Hashable, Sendable {
  /// How the elements of several dimensions follow each other.
  public enum Order: Hashable, Sendable {
    /// The last index changes fastest, as in C.
    case rowMajor
    /// The first index changes fastest, as in Fortran.
    case columnMajor
  }

  /// How many elements there are along each dimension; none for a single number.
  public let shape: [Int]
  public let type: NumPyType
  public let order: Order
  /// All elements in that order, without gaps.
  public let bytes: [UInt8]

  /// How many elements there are.
  public var count: Int { bytes.count / type.byteCount }

  /// - Returns: nil when the bytes are not as many as shape and type say, or the shape has more than NumPy's 64
  ///   dimensions.
  public init?(shape: [Int], type: NumPyType, order: Order = .rowMajor, bytes: [UInt8]) {
    guard shape.count <= 64, Self.byteCount(shape: shape, type: type) == bytes.count else { return nil }
    self.shape = shape
    self.type = type
    self.order = order
    self.bytes = bytes
  }

  /// An array of one dimension.
  public init<Element: NumPyElement>(_ elements: [Element]) {
    shape = [elements.count]
    type = Element.numPyType
    order = .rowMajor
    bytes = unsafe elements.withUnsafeBytes { bytes in unsafe Array(bytes) }
  }

  /// nil: negative, or more than an `Int` counts.
  static func byteCount(shape: [Int], type: NumPyType) -> Int? {
    if shape.contains(where: { $0 < 0 }) { return nil }
    if shape.contains(0) { return 0 }
    var count = type.byteCount
    for extent in shape {
      let (product, isTooLarge) = count.multipliedReportingOverflow(by: extent)
      if isTooLarge { return nil }
      count = product
    }
    return count
  }

  /// The array's type is not the one that was asked for.
  public struct Mismatch: Error, Hashable, Sendable, CustomStringConvertible {
    public let expected: NumPyType
    public let found: NumPyType
    public var description: String { "an array of \(found), and not of \(expected)" }
  }

  /// Lends all elements, in their order and without a copy.
  ///
  /// - Throws: ``Mismatch`` when the array holds another type, or has the other byte order; ``elements(as:)``
  ///   takes any.
  public func withElements<Element: NumPyElement, Result>(
    as type: Element.Type, _ body: (borrowing Span<Element>) throws -> Result
  ) throws -> Result {
    guard self.type == Element.numPyType else {
      throw Mismatch(expected: Element.numPyType, found: self.type)
    }
    return try unsafe bytes.withUnsafeBytes { raw in
      if Int(bitPattern: raw.baseAddress) % MemoryLayout<Element>.alignment == 0 {
        // Invariant: the memory is aligned and holds whole elements, and any bits make a number.
        return try body(unsafe Span(_unsafeElements: raw.bindMemory(to: Element.self)))
      }
      let count = raw.count / MemoryLayout<Element>.stride
      let copies = (0..<count).map { index in
        unsafe raw.loadUnaligned(fromByteOffset: index * MemoryLayout<Element>.stride, as: Element.self)
      }
      return try body(copies.span)
    }
  }

  /// Copies all elements in their order, as numbers of another type where that loses nothing.
  ///
  /// - Throws: ``Mismatch`` when some element cannot be represented.
  public func elements<Element: NumPyElement>(as type: Element.Type = Element.self) throws -> [Element] {
    if self.type == Element.numPyType {
      return try withElements(as: type) { span in span.indices.map { index in span[index] } }
    }
    return try (0..<count).map { index in
      let element: Element? =
        switch number(at: index) {
        case .integer(let value): Element(integer: value)
        case .float(let value): Element(float: value)
        case .complex: nil
        }
      guard let element else { throw Mismatch(expected: Element.numPyType, found: self.type) }
      return element
    }
  }

  enum Number {
    case integer(Int128)
    case float(Double)
    case complex(PickleComplex)
  }

  /// The element that stands at a place in the order.
  func number(at index: Int) -> Number {
    let start = index * type.byteCount
    func bits(_ offset: Int, _ byteCount: Int) -> UInt64 {
      var bits: UInt64 = 0
      for position in 0..<byteCount {
        let byte = bytes[start + offset + (type.isBigEndian ? position : byteCount - 1 - position)]
        bits = bits << 8 | UInt64(byte)
      }
      return bits
    }
    func float(_ offset: Int, _ byteCount: Int) -> Double {
      switch byteCount {
      case 2: Double(Self.half(UInt16(truncatingIfNeeded: bits(offset, 2))))
      case 4: Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits(offset, 4))))
      default: Double(bitPattern: bits(offset, 8))
      }
    }
    switch type.kind {
    case .bool: return .integer(bytes[start] == 0 ? 0 : 1)
    case .unsigned: return .integer(Int128(bits(0, type.byteCount)))
    case .signed:
      let shift = 64 - 8 * type.byteCount
      return .integer(Int128(Int64(bitPattern: bits(0, type.byteCount) << UInt64(shift)) >> Int64(shift)))
    case .float: return .float(float(0, type.byteCount))
    case .complex:
      let half = type.byteCount / 2
      return .complex(PickleComplex(real: float(0, half), imaginary: float(half, half)))
    }
  }

  /// Swift has no `Float16` on every machine.
  private static func half(_ bits: UInt16) -> Float {
    let sign: Float = bits & 0x8000 == 0 ? 1 : -1
    let fraction = Float(bits & 0x3ff)
    switch bits >> 10 & 0x1f {
    case 0: return sign * fraction * 0x1p-24
    case 31: return fraction == 0 ? sign * .infinity : .nan
    case let exponent:
      return sign * (1 + fraction * 0x1p-10)
        * Float(sign: .plus, exponent: Int(exponent) - 15, significand: 1)
    }
  }
}

extension NumPyArray: CustomStringConvertible {
  public var description: String {
    "array(\(type), shape: \(shape.prefix(64))\(order == .columnMajor ? ", column-major" : ""))"
  }
}

/// The type of a NumPy array's elements: `bool`, or a plain number.
public struct NumPyType: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    case bool
    case signed
    case unsigned
    case float
    case complex
  }

  public let kind: Kind
  /// The size of one element: 1 for a bool, 1 to 8 for an integer, 2 to 8 for a float, 8 or 16 for a complex.
  public let byteCount: Int
  /// False where there is only one byte.
  public let isBigEndian: Bool

  /// - Returns: nil for a size that NumPy does not have, or that not every machine has (`longdouble`).
  public init?(_ kind: Kind, byteCount: Int, isBigEndian: Bool = false) {
    let sizes =
      switch kind {
      case .bool: [1]
      case .signed, .unsigned: [1, 2, 4, 8]
      case .float: [2, 4, 8]
      case .complex: [8, 16]
      }
    guard sizes.contains(byteCount) else { return nil }
    self.kind = kind
    self.byteCount = byteCount
    self.isBigEndian = isBigEndian && byteCount > 1
  }

  fileprivate init(native kind: Kind, byteCount: Int) {
    self.kind = kind
    self.byteCount = byteCount
    isBigEndian = byteCount > 1 && 1.bigEndian == 1
  }

  /// NumPy's code without the byte order, such as `f8`.
  var code: String {
    let letter =
      switch kind {
      case .bool: "b"
      case .signed: "i"
      case .unsigned: "u"
      case .float: "f"
      case .complex: "c"
      }
    return letter + String(byteCount)
  }

  /// Reads a code such as `f8` or `<f8`, or one of NumPy's letters that stand for the same type everywhere.
  init?(code: String) {
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
    case UInt8(ascii: "?") where bytes.isEmpty:
      self.init(.bool, byteCount: 1)
      return
    default: return nil
    }
    guard 1...2 ~= bytes.count, let byteCount = Int(String(decoding: bytes, as: UTF8.self)) else {
      return nil
    }
    self.init(kind, byteCount: byteCount, isBigEndian: isBigEndian)
  }

  /// The mark of its byte order in a pickle.
  var orderMark: String { byteCount == 1 ? "|" : isBigEndian ? ">" : "<" }

  func with(orderMark: String) -> NumPyType? {
    switch orderMark {
    case "<": NumPyType(kind, byteCount: byteCount)
    case ">": NumPyType(kind, byteCount: byteCount, isBigEndian: true)
    case "=": NumPyType(native: kind, byteCount: byteCount)
    case "|": byteCount == 1 ? self : nil
    default: nil
    }
  }
}

extension NumPyType: CustomStringConvertible {
  public var description: String { orderMark + code }
}

/// A type of Swift's that NumPy has too. Do not conform others to it.
public protocol NumPyElement: BitwiseCopyable, Sendable {
  /// In the byte order of this machine.
  static var numPyType: NumPyType { get }
  /// nil: not that number.
  init?(integer: Int128)
  /// nil: not that number.
  init?(float: Double)
}

extension NumPyElement where Self: FixedWidthInteger {
  public static var numPyType: NumPyType {
    NumPyType(native: isSigned ? .signed : .unsigned, byteCount: bitWidth / 8)
  }
  public init?(integer: Int128) { self.init(exactly: integer) }
  public init?(float: Double) { nil }
}

extension NumPyElement where Self: BinaryFloatingPoint {
  public static var numPyType: NumPyType {
    NumPyType(native: .float, byteCount: MemoryLayout<Self>.size)
  }
  public init?(integer: Int128) { self.init(exactly: integer) }
  public init?(float: Double) {
    if float.isNaN {
      self = .nan
    } else {
      self.init(exactly: float)
    }
  }
}

extension Int8: NumPyElement {}
extension Int16: NumPyElement {}
extension Int32: NumPyElement {}
extension Int64: NumPyElement {}
extension Int: NumPyElement {}
extension UInt8: NumPyElement {}
extension UInt16: NumPyElement {}
extension UInt32: NumPyElement {}
extension UInt64: NumPyElement {}
extension UInt: NumPyElement {}
extension Float: NumPyElement {}
extension Double: NumPyElement {}
