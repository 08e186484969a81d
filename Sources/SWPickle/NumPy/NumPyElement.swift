/// A Swift type that is also a NumPy element type. Do not add conformances.
public protocol NumPyElement: BitwiseCopyable, Sendable {
  /// The NumPy type, in the byte order of this machine.
  static var numPyType: NumPyType { get }
  /// Returns nil if the type cannot represent the number.
  init?(integer: Int128)
  /// Returns nil if the type cannot represent the number.
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
