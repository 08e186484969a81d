/// Python's `int`, of any size.
///
/// A value that fits an `Int` is stored as one. Any larger value is stored as in a pickle: in two's complement, the
/// least significant byte first, without redundant bytes. The type has no arithmetic; it compares, converts and
/// prints.
///
/// ```swift
/// let big: PickleInt = "1267650600228229401496703205376" // or "0x10000000000000000000000000"
/// let id = Int(exactly: big)                             // nil
/// ```
public struct PickleInt: Sendable {
  /// The largest number of decimal digits that is read or written. It is Python's limit, and has the same reason: the
  /// conversion takes quadratic time. Hexadecimal text has no limit.
  public static var longestDecimal: Int { 4300 }

  /// The largest number of bytes that 4,300 digits take.
  static var longestDecimalByteCount: Int { 1786 }

  private enum Storage: Hashable, Sendable {
    case small(Int)
    /// The bytes of a number beyond `Int`. No byte is redundant.
    case large([UInt8])
  }

  private var storage: Storage

  /// The value of any Swift integer.
  public init(_ value: some BinaryInteger) {
    if let small = Int(exactly: value) {
      self.init(integerLiteral: small)
      return
    }
    var bytes: [UInt8] = []
    for word in value.words {
      for shift in stride(from: 0, to: UInt.bitWidth, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: word >> UInt(shift)))
      }
    }
    // The top word of an unsigned integer may look negative.
    if value > 0 { bytes.append(0) }
    self.init(twosComplement: bytes[...])
  }

  /// The value of a number in two's complement, the least significant byte first; 0 if there are no bytes.
  public init(twosComplement bytes: ArraySlice<UInt8>) {
    var bytes = bytes
    while let last = bytes.last, bytes.count > 1 {
      let isNegative = bytes[bytes.endIndex - 2] & 0x80 != 0
      guard last == (isNegative ? 0xff : 0) else { break }
      bytes.removeLast()
    }
    if bytes.count > MemoryLayout<Int>.size {
      storage = .large(Array(bytes))
      return
    }
    var word: UInt = (bytes.last ?? 0) & 0x80 == 0 ? 0 : .max
    for byte in bytes.reversed() { word = word << 8 | UInt(byte) }
    storage = .small(Int(bitPattern: word))
  }

  /// The shortest two's complement form, the least significant byte first; one byte for 0.
  public var twosComplement: [UInt8] {
    switch storage {
    case .large(let bytes): return bytes
    case .small(let value):
      let byteCount = (Int.bitWidth - (value < 0 ? ~value : value).leadingZeroBitCount) / 8 + 1
      return (0..<byteCount).map { index in UInt8(truncatingIfNeeded: value >> (8 * index)) }
    }
  }

  /// The number of bytes that it takes beside the value itself; 0 if it fits an `Int`.
  var byteCount: Int {
    if case .large(let bytes) = storage { bytes.count } else { 0 }
  }

  /// The number, if it fits an `Int`.
  var small: Int? {
    if case .small(let value) = storage { return value }
    return nil
  }

  public var isNegative: Bool {
    switch storage {
    case .small(let value): value < 0
    case .large(let bytes): (bytes.last ?? 0) & 0x80 != 0
    }
  }

  /// The absolute value, the least significant byte first.
  public var magnitude: [UInt8] {
    var bytes = twosComplement
    guard isNegative else { return bytes }
    var carry = true
    for index in bytes.indices {
      bytes[index] = ~bytes[index]
      if carry { (bytes[index], carry) = bytes[index].addingReportingOverflow(1) }
    }
    return bytes
  }

  init(isNegative: Bool, magnitude: [UInt8]) {
    var bytes = magnitude + [0]
    if isNegative {
      var carry = true
      for index in bytes.indices {
        bytes[index] = ~bytes[index]
        if carry { (bytes[index], carry) = bytes[index].addingReportingOverflow(1) }
      }
    }
    self.init(twosComplement: bytes[...])
  }
}

extension PickleInt: Hashable, Comparable, ExpressibleByIntegerLiteral {
  public init(integerLiteral value: Int) { storage = .small(value) }

  public static func == (a: PickleInt, b: PickleInt) -> Bool { a.storage == b.storage }
  public func hash(into hasher: inout Hasher) { hasher.combine(storage) }

  public static func < (a: PickleInt, b: PickleInt) -> Bool {
    if let a = a.small, let b = b.small { return a < b }
    if a.isNegative != b.isNegative { return a.isNegative }
    let (left, right) = (a.twosComplement, b.twosComplement)
    if left.count != right.count { return (left.count < right.count) != a.isNegative }
    return left.reversed().lexicographicallyPrecedes(right.reversed())
  }
}

extension PickleInt: CustomStringConvertible, LosslessStringConvertible, ExpressibleByStringLiteral {
  /// The integer of a literal, in the form that ``init(_:)-(String)`` reads.
  ///
  /// - Requires: a literal that is an integer.
  public init(stringLiteral text: String) {
    guard let value = PickleInt(text) else { preconditionFailure("not an integer: \(text)") }
    self = value
  }

  /// The integer of a text: an optional sign, then at most ``longestDecimal`` decimal digits, or `0x` and
  /// hexadecimal digits; nil for any other text.
  public init?(_ text: String) {
    if let value = Int(text) {
      self.init(integerLiteral: value)
      return
    }
    var digits = Array(text.utf8)[...]
    let isNegative = digits.first == UInt8(ascii: "-")
    if isNegative || digits.first == UInt8(ascii: "+") { digits.removeFirst() }
    if digits.starts(with: "0x".utf8) || digits.starts(with: "0X".utf8) {
      self.init(isNegative: isNegative, digits: digits.dropFirst(2), radix: 16)
    } else {
      self.init(isNegative: isNegative, digits: digits, radix: 10)
    }
  }

  /// Reads digits of a radix from 2 to 16, without a sign or prefix.
  init?(isNegative: Bool, digits: ArraySlice<UInt8>, radix: Int) {
    guard !digits.isEmpty else { return nil }
    if radix.nonzeroBitCount != 1, digits.count > Self.longestDecimal { return nil }
    var magnitude: [UInt8] = []
    if radix.nonzeroBitCount == 1 {
      var (accumulator, bitCount) = (0, 0)
      for digit in digits.reversed() {
        guard let value = Self.value(ofDigit: digit), value < radix else { return nil }
        accumulator |= value << bitCount
        bitCount += radix.trailingZeroBitCount
        if bitCount >= 8 {
          magnitude.append(UInt8(truncatingIfNeeded: accumulator))
          accumulator >>= 8
          bitCount -= 8
        }
      }
      magnitude.append(UInt8(truncatingIfNeeded: accumulator))
    } else {
      var limbs: [UInt32] = []
      for digit in digits {
        guard let value = Self.value(ofDigit: digit), value < radix else { return nil }
        var carry = UInt64(value)
        for index in limbs.indices {
          carry += UInt64(limbs[index]) * UInt64(radix)
          limbs[index] = UInt32(truncatingIfNeeded: carry)
          carry >>= 32
        }
        if carry > 0 { limbs.append(UInt32(carry)) }
      }
      for limb in limbs {
        for shift in stride(from: UInt32(0), to: 32, by: 8) {
          magnitude.append(UInt8(truncatingIfNeeded: limb >> shift))
        }
      }
    }
    self.init(isNegative: isNegative, magnitude: magnitude)
  }

  private static func value(ofDigit digit: UInt8) -> Int? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(digit - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(digit - UInt8(ascii: "a")) + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(digit - UInt8(ascii: "A")) + 10
    default: nil
    }
  }

  /// Decimal digits; `0x` and hexadecimal digits if there would be more than ``longestDecimal``.
  public var description: String {
    switch storage {
    case .small(let value): return String(value)
    case .large(let bytes):
      // Below that limit the digits decide.
      if bytes.count <= Self.longestDecimalByteCount, let decimal { return decimal }
      return hexadecimal
    }
  }

  /// The hexadecimal form: a minus sign if it is negative, then `0x` and the digits.
  public var hexadecimal: String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in magnitude.reversed() {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    let significant = text.drop { $0 == UInt8(ascii: "0") }
    return (isNegative ? "-0x" : "0x")
      + String(decoding: significant.isEmpty ? [48] : significant, as: UTF8.self)
  }

  /// The decimal digits. Nil if there are too many.
  private var decimal: String? {
    var limbs: [UInt64] = []
    for (index, byte) in magnitude.enumerated() {
      if index % 8 == 0 { limbs.append(0) }
      limbs[index / 8] |= UInt64(byte) << UInt64(8 * (index % 8))
    }
    // The largest power of ten that a limb holds.
    let (divisor, digitCount) = (UInt64(10_000_000_000_000_000_000), 19)
    var groups: [String] = []
    while let top = limbs.last {
      if top == 0 {
        limbs.removeLast()
        continue
      }
      var rest: UInt64 = 0
      for index in limbs.indices.reversed() {
        (limbs[index], rest) = divisor.dividingFullWidth((rest, limbs[index]))
      }
      let group = String(rest)
      groups.append(String(repeating: "0", count: digitCount - group.utf8.count) + group)
    }
    let digits = groups.reversed().joined().drop { $0 == "0" }
    return digits.utf8.count > Self.longestDecimal ? nil : (isNegative ? "-" : "") + digits
  }
}

extension PickleInt {
  /// The integer that is equal to a `Double`; nil if the `Double` has a fraction or is not finite.
  public init?(exactly value: Double) {
    guard value.isFinite, value == value.rounded(.towardZero) else { return nil }
    if let small = Int(exactly: value) {
      self.init(integerLiteral: small)
      return
    }
    // 2^63 and above: the significand's 53 bits, shifted up.
    let shift = Int(value.exponent) - 52
    let significand = value.significandBitPattern | 1 << 52
    var magnitude = [UInt8](repeating: 0, count: shift / 8)
    let shifted = UInt128(significand) << UInt128(shift % 8)
    for index in 0..<9 { magnitude.append(UInt8(truncatingIfNeeded: shifted >> UInt128(8 * index))) }
    self.init(isNegative: value < 0, magnitude: magnitude)
  }

  /// The nearest `Double`, like Python's `float(n)`; infinite if Python raises `OverflowError`.
  public var double: Double {
    if let small { return Double(small) }
    let bytes = magnitude
    guard let last = bytes.lastIndex(where: { $0 != 0 }) else { return 0 }
    // The top 16 bytes decide, together with one bit that says whether anything below is set.
    let low = max(0, last - 14)
    var top: UInt128 = 0
    for index in (low...last).reversed() { top = top << 8 | UInt128(bytes[index]) }
    top <<= 1
    if bytes[..<low].contains(where: { $0 != 0 }) { top |= 1 }
    let scaled = Double(top)
    let exponent = 8 * low - 1
    let value = exponent > 1023 ? .infinity : scaled * Double(sign: .plus, exponent: exponent, significand: 1)
    return isNegative ? -value : value
  }
}

extension BinaryInteger {
  /// The integer, if this type can represent it.
  public init?(exactly value: PickleInt) {
    if let small = value.small {
      self.init(exactly: small)
      return
    }
    let bytes = value.twosComplement
    guard bytes.count <= 17 else { return nil }
    if value.isNegative {
      guard bytes.count <= 16 else { return nil }
      var wide: Int128 = -1
      for byte in bytes.reversed() { wide = wide << 8 | Int128(byte) }
      self.init(exactly: wide)
    } else {
      guard bytes.count <= 16 || bytes[16] == 0 else { return nil }
      var wide: UInt128 = 0
      for byte in bytes.prefix(16).reversed() { wide = wide << 8 | UInt128(byte) }
      self.init(exactly: wide)
    }
  }
}
