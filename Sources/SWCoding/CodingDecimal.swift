#if canImport(FoundationEssentials)
  package import FoundationEssentials
#else
  package import Foundation
#endif

// Foundation's conversions trap for an infinity (`Decimal(Double)`), read only a prefix of the text, or round silently
// (`Decimal(string:)`). These are exact, or return nil.

extension Decimal {
  /// The number that a text spells: `-12.50`, `1E+3`, `NaN`. Returns nil for any other text, for an infinity, and
  /// for a number that a `Decimal` cannot hold exactly: more than 38 digits or so, or an exponent that 8 bits
  /// cannot hold.
  package init?(exactText text: String) {
    guard let parsed = ParsedDecimal(text) else { return nil }
    switch parsed {
    case .nan: self = .nan
    case .number(let isNegative, let significand, let exponent):
      let half = Decimal(UInt64.max) + 1
      let magnitude =
        Decimal(UInt64(significand >> 64)) * half + Decimal(UInt64(truncatingIfNeeded: significand))
      self = Decimal(sign: isNegative ? .minus : .plus, exponent: exponent, significand: magnitude)
    }
  }

  /// Makes the integer. Returns nil if it has too many digits.
  package init?(exactInteger integer: some BinaryInteger) {
    if let short = Int64(exactly: integer) {
      self = Decimal(short)
    } else if let short = UInt64(exactly: integer) {
      self = Decimal(short)
    } else {
      self.init(exactText: String(integer))
    }
  }

  /// The number with the same shortest text: 3.133 for 3.133. Returns nil for an infinity and for a number that is
  /// too large or too small.
  package init?(shortest number: some BinaryFloatingPoint & LosslessStringConvertible) {
    if number.isNaN {
      self = .nan
    } else {
      self.init(exactText: number.description)
    }
  }

  /// The integer value. Nil if the number is not an integer, or does not fit.
  package func integer<I: FixedWidthInteger>(_ type: I.Type) -> I? {
    guard !isNaN, case .number(let isNegative, let significand, let exponent) = ParsedDecimal(description),
      exponent >= 0
    else { return nil }
    var magnitude = significand
    for _ in 0..<exponent {
      let (product, isTooLarge) = magnitude.multipliedReportingOverflow(by: 10)
      if isTooLarge { return nil }
      magnitude = product
    }
    if !isNegative { return I(exactly: magnitude) }
    // The least integer has a magnitude that no positive integer has.
    if magnitude == UInt128(1) << 127 { return I(exactly: Int128.min) }
    return Int128(exactly: magnitude).flatMap { I(exactly: -$0) }
  }
}

/// The parts of a decimal number's text.
private enum ParsedDecimal {
  case nan
  case number(isNegative: Bool, significand: UInt128, exponent: Int)

  init?(_ text: String) {
    var text = Array(text.utf8)[...]
    var isNegative = false
    if text.first == 0x2b || text.first == 0x2d { isNegative = text.removeFirst() == 0x2d }
    if text.count == 3, zip(text, "nan".utf8).allSatisfy({ $0 | 0x20 == $1 }) {
      self = .nan
      return
    }

    // The digits without zeros at either end, and the exponent of the last one.
    var digits: [UInt8] = []
    var (hasDigits, hasPoint, places) = (false, false, 0)
    while let byte = text.first, (0x30...0x39).contains(byte) || (byte == 0x2e && !hasPoint) {
      text.removeFirst()
      if byte == 0x2e {
        hasPoint = true
        continue
      }
      hasDigits = true
      if hasPoint { places += 1 }
      if byte != 0x30 || !digits.isEmpty { digits.append(byte - 0x30) }
    }
    guard hasDigits else { return nil }
    var exponent = -places
    if let byte = text.first {
      guard byte | 0x20 == 0x65 else { return nil }
      text.removeFirst()
      let isBelow = text.first == 0x2d
      if isBelow || text.first == 0x2b { text.removeFirst() }
      guard !text.isEmpty, text.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
      // No text is long enough to compensate an exponent of nine digits.
      let magnitude = text.reduce(0) { value, digit in min(10 * value + Int(digit - 0x30), 1_000_000_000) }
      exponent += isBelow ? -magnitude : magnitude
    }
    while digits.last == 0 {
      digits.removeLast()
      exponent += 1
    }
    if digits.isEmpty {
      self = .number(isNegative: false, significand: 0, exponent: 0)
      return
    }
    // A significand of 128 bits has 39 digits at most, and an exponent 8 bits.
    if digits.count > 39 { return nil }
    var significand: UInt128 = 0
    func append(_ digit: UInt8) -> Bool {
      let (product, isLong) = significand.multipliedReportingOverflow(by: 10)
      let (sum, isLonger) = product.addingReportingOverflow(UInt128(digit))
      significand = sum
      return !isLong && !isLonger
    }
    for digit in digits where !append(digit) { return nil }
    guard (-128...127).contains(exponent) else { return nil }
    self = .number(isNegative: isNegative, significand: significand, exponent: exponent)
  }
}
