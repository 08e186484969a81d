/// A number of Python's `fractions.Fraction`.
struct PickleFraction: CustomStringConvertible {
  let numerator: PickleInt
  let denominator: PickleInt

  /// Returns nil for a denominator that Python does not have.
  init?(_ numerator: PickleInt, _ denominator: PickleInt) {
    guard denominator > 0 else { return nil }
    self.numerator = numerator
    self.denominator = denominator
  }

  var description: String { "\(numerator)/\(denominator)" }

  /// The number, if it is an integer. Python writes fractions in lowest terms.
  var integer: PickleInt? { denominator == 1 ? numerator : nil }

  /// The number in decimal digits, if it has finitely many and the parts are not too long for a `Decimal`.
  var decimalText: String? {
    guard var rest = UInt128(exactly: denominator), var digits = Int128(exactly: numerator) else {
      return nil
    }
    var places = 0
    for (factor, other) in [(10, 1), (2, 5), (5, 2)] as [(UInt128, Int128)] {
      while rest.isMultiple(of: factor) {
        let (product, isTooLarge) = digits.multipliedReportingOverflow(by: other)
        if isTooLarge { return nil }
        (rest, digits, places) = (rest / factor, product, places + 1)
      }
    }
    return rest == 1 ? "\(digits)E-\(places)" : nil
  }

  /// The nearest number, like Python's `float`; infinite if Python raises `OverflowError`.
  ///
  /// - Complexity: linear in the length of the longer part.
  var double: Double {
    let magnitude = Self.quotient(numerator.magnitude, denominator.magnitude)
    return numerator.isNegative ? -magnitude : magnitude
  }

  private static func quotient(_ dividend: [UInt8], _ divisor: [UInt8]) -> Double {
    let (left, right) = (bitCount(dividend), bitCount(divisor))
    if left == 0 { return 0 }
    if left - right > 1030 { return .infinity }
    if left - right < -1100 { return 0 }
    // Both begin at the same bit, so the quotient is between 1/2 and 2. Its first bits, and one more for all below, are enough
    // to round it once.
    let width = max(left, right)
    var rest = limbs(dividend, shifted: width - left, width + 2)
    let divisor = limbs(divisor, shifted: width - right, width + 2)
    var bits: UInt128 = 0
    for _ in 0...66 {
      bits <<= 1
      if subtract(divisor, from: &rest) { bits |= 1 }
      double(&rest)
    }
    bits = bits << 1 | (rest.contains { $0 != 0 } ? 1 : 0)
    var exponent = left - right - 67
    let length = UInt128.bitWidth - bits.leadingZeroBitCount
    if exponent + length > Double.leastNormalMagnitude.exponent {
      return Double(sign: .plus, exponent: exponent, significand: Double(bits))
    }
    // A number that has fewer bits: two of those below its last are kept, and then it is rounded to even.
    let last = Int(Double.leastNonzeroMagnitude.exponent)
    let cut = last - 2 - exponent
    if cut >= UInt128.bitWidth { return 0 }
    let isInexact = bits & (1 << UInt128(cut) - 1) != 0
    bits = bits >> UInt128(cut) | (isInexact ? 1 : 0)
    exponent = last
    return Double(sign: .plus, exponent: exponent, significand: Double((bits + 1 + bits >> 2 & 1) >> 2))
  }

  private static func bitCount(_ bytes: [UInt8]) -> Int {
    guard let last = bytes.lastIndex(where: { $0 != 0 }) else { return 0 }
    return 8 * last + 8 - bytes[last].leadingZeroBitCount
  }

  private static func limbs(_ bytes: [UInt8], shifted shift: Int, _ bitCount: Int) -> [UInt64] {
    var limbs = [UInt64](repeating: 0, count: bitCount / 32 + 2)
    for (index, byte) in bytes.enumerated() where byte != 0 {
      let place = 8 * index + shift
      // At most 39 bits.
      let bits = UInt64(byte) << UInt64(place % 32)
      limbs[place / 32] |= bits & 0xffff_ffff
      limbs[place / 32 + 1] |= bits >> 32
    }
    return limbs
  }

  /// Subtracts a number from another one that is not less. Returns false for one that is less.
  private static func subtract(_ number: [UInt64], from rest: inout [UInt64]) -> Bool {
    if rest.reversed().lexicographicallyPrecedes(number.reversed()) { return false }
    var borrow: UInt64 = 0
    for index in rest.indices {
      let difference = rest[index] &- number[index] &- borrow
      rest[index] = difference & 0xffff_ffff
      borrow = difference >> 63
    }
    return true
  }

  private static func double(_ rest: inout [UInt64]) {
    var carry: UInt64 = 0
    for index in rest.indices {
      let sum = rest[index] << 1 | carry
      rest[index] = sum & 0xffff_ffff
      carry = sum >> 32
    }
  }
}
