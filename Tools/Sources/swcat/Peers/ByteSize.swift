/// A count of bytes as people write it: `4096`, `64k`, `16M`, `2GiB`; the units are powers of 1024.
enum ByteSize {
  /// Returns nil if the text is not a number of at least one byte, or exceeds an `Int`.
  static func read(_ text: String) -> Int? {
    var digits = Substring(text)
    var shift = 0
    let hasLongUnit = digits.hasSuffix("iB")
    if hasLongUnit { digits.removeLast(2) }
    switch digits.last {
    case "k", "K": shift = 10
    case "m", "M": shift = 20
    case "g", "G": shift = 30
    default: if hasLongUnit { return nil }
    }
    if shift > 0 { digits.removeLast() }
    // `Int` would accept a sign, too.
    guard let first = digits.utf8.first, 0x30...0x39 ~= first, let number = Int(digits) else { return nil }
    let (count, isTooLarge) = number.multipliedReportingOverflow(by: 1 << shift)
    return isTooLarge || count == 0 ? nil : count
  }
}
