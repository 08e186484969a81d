/// A NumPy array: its shape, element type, order, and its bytes in NumPy's own form. An array of objects is a
/// ``PickleObject``; see ``PickleObject/objectArray``.
///
/// ```swift
/// if let array = value.array, array.shape == [480, 640] {
///   let sum = try array.withElements(as: Float.self) { pixels in pixels.reduce(0, +) }
/// }
/// let reply = NumPyArray([1.5, 2.5, 3.5])
/// ```
///
/// Reading copies the bytes once, out of the received frame. Copies of the array share them.
public struct NumPyArray: Hashable, Sendable {
  /// The order of elements in memory if there are several dimensions.
  public enum Order: Hashable, Sendable {
    /// The last index changes fastest, as in C.
    case rowMajor
    /// The first index changes fastest, as in Fortran.
    case columnMajor
  }

  /// The number of elements along each dimension; empty for a single number.
  public let shape: [Int]
  public let type: NumPyType
  public let order: Order
  /// The bytes of all elements in the array's ``order``, without gaps.
  public let bytes: [UInt8]
  /// Whether it is a NumPy scalar, such as `numpy.datetime64`, which Python can hash. False for an array, also for
  /// one without dimensions.
  public let isScalar: Bool

  /// The number of elements.
  public var count: Int {
    type.byteCount == 0 ? Self.elementCount(shape) ?? 0 : bytes.count / type.byteCount
  }

  /// An array of these bytes.
  ///
  /// - Returns: nil if the number of bytes does not match the shape and type, or if there are more than NumPy's
  ///   limit of 64 dimensions.
  public init?(shape: [Int], type: NumPyType, order: Order = .rowMajor, bytes: [UInt8]) {
    guard shape.count <= 64, Self.byteCount(shape: shape, type: type) == bytes.count else { return nil }
    // The number of elements without bytes is not limited by the size of the pickle.
    if type.byteCount == 0, Self.elementCount(shape).map({ $0 > 1 << 16 }) ?? true { return nil }
    self.shape = shape
    self.type = type
    self.order = order
    self.bytes = bytes
    isScalar = false
  }

  /// A NumPy scalar, such as a `numpy.datetime64`. Scalars that Python's own types can hold are read as such, not
  /// as arrays.
  ///
  /// - Returns: nil if the number of bytes is not that of the type.
  public init?(scalar type: NumPyType, bytes: [UInt8]) {
    guard type.byteCount == bytes.count else { return nil }
    shape = []
    self.type = type
    order = .rowMajor
    self.bytes = bytes
    isScalar = true
  }

  /// An array of one dimension, with a copy of the elements.
  public init<Element: NumPyElement>(_ elements: [Element]) {
    shape = [elements.count]
    type = Element.numPyType
    order = .rowMajor
    isScalar = false
    bytes = unsafe elements.withUnsafeBytes { bytes in unsafe Array(bytes) }
  }

  /// Returns nil for a shape that no array has.
  static func byteCount(shape: [Int], type: NumPyType) -> Int? {
    guard let count = elementCount(shape, elementSize: max(1, type.byteCount)) else { return nil }
    return count * type.byteCount
  }

  /// Returns nil for a shape that no array has: with a negative extent, or with extents whose product does not fit an `Int`.
  ///
  /// Like NumPy, this leaves out extents of zero, and multiplies the size of an element. So the strides of an array fit an
  /// `Int`, also if the array has no element.
  static func elementCount(_ shape: [Int], elementSize: Int = 1) -> Int? {
    var size = elementSize
    for extent in shape where extent != 0 {
      let (product, isTooLarge) = size.multipliedReportingOverflow(by: extent)
      if extent < 0 || isTooLarge { return nil }
      size = product
    }
    return shape.contains(0) ? 0 : size / elementSize
  }

  /// The distance of consecutive elements along each dimension, in elements.
  var strides: [Int] { Self.strides(shape, order) }

  /// The strides of a shape for which there is an ``elementCount(_:elementSize:)``.
  static func strides(_ shape: [Int], _ order: Order) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    var stride = 1
    for dimension in order == .rowMajor ? Array(shape.indices.reversed()) : Array(shape.indices) {
      strides[dimension] = stride
      stride *= shape[dimension]
    }
    return strides
  }

  /// The array's element type is not the requested one.
  public struct Mismatch: Error, Hashable, Sendable, CustomStringConvertible {
    public let expected: NumPyType
    public let found: NumPyType
    public var description: String { "an array of \(found), and not of \(expected)" }
  }

  /// Calls a function with all elements, in the array's ``order`` and without a copy. The span is valid during the
  /// call.
  ///
  /// - Throws: ``Mismatch`` if the array has another element type or the other byte order; ``elements(as:)``
  ///   converts instead. Also what the function throws.
  public func withElements<Element: NumPyElement, Result>(
    as type: Element.Type, _ body: (borrowing Span<Element>) throws -> Result
  ) throws -> Result {
    guard self.type == Element.numPyType else {
      throw Mismatch(expected: Element.numPyType, found: self.type)
    }
    return try unsafe bytes.withUnsafeBytes { raw in
      if Int(bitPattern: raw.baseAddress) % MemoryLayout<Element>.alignment == 0 {
        // Invariant: the memory is aligned and holds whole elements, and every bit pattern is a valid number.
        return try body(unsafe Span(_unsafeElements: raw.bindMemory(to: Element.self)))
      }
      let count = raw.count / MemoryLayout<Element>.stride
      let copies = (0..<count).map { index in
        unsafe raw.loadUnaligned(fromByteOffset: index * MemoryLayout<Element>.stride, as: Element.self)
      }
      return try body(copies.span)
    }
  }

  /// Returns a copy of all elements, in the array's ``order``, converted to another numeric type if no element loses
  /// anything.
  ///
  /// - Throws: ``Mismatch`` if an element cannot be represented.
  public func elements<Element: NumPyElement>(as type: Element.Type = Element.self) throws -> [Element] {
    if self.type == Element.numPyType {
      return try withElements(as: type) { span in span.indices.map { index in span[index] } }
    }
    return try (0..<count).map { index in
      let element: Element? =
        switch number(at: index) {
        case .integer(let value): Element(integer: value)
        case .float(let value): Element(float: value)
        default: nil
        }
      guard let element else { throw Mismatch(expected: Element.numPyType, found: self.type) }
      return element
    }
  }

  enum Number {
    case integer(Int128)
    case float(Double)
    case complex(PickleComplex)
    /// A number for which Swift has no type.
    case other
  }

  /// The element at a position in the order.
  func number(at index: Int) -> Number { number(type, at: index * type.byteCount) }

  /// The number of this type at a byte offset.
  func number(_ type: NumPyType, at start: Int) -> Number {
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
    case .date, .timeDelta: return .integer(Int128(Int64(bitPattern: bits(0, 8))))
    case .float:
      if type.byteCount > 8 { return .other }
      return .float(float(0, type.byteCount))
    case .complex:
      if type.byteCount > 16 { return .other }
      let half = type.byteCount / 2
      return .complex(PickleComplex(real: float(0, half), imaginary: float(half, half)))
    case .text, .bytes, .raw, .record, .subarray, .object: return .other
    }
  }

  /// Converts the bits, because Swift has no `Float16` on some machines.
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
