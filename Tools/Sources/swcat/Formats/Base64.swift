internal import FoundationEssentials

/// Bytes in base64, RFC 4648 section 4. Written with padding, and read with or without it.
enum Base64 {
  static func write(_ bytes: [UInt8], to line: inout [UInt8]) { line += Data(bytes).base64EncodedData() }

  /// Blanks before and after the text are ignored.
  static func read(_ line: [UInt8]) throws(Misread) -> [UInt8] {
    var text = line[...]
    while let last = text.last, last.isBlank { text.removeLast() }
    text = text.drop { $0.isBlank }
    let digits = text.prefix { $0 != UInt8(ascii: "=") }
    if let other = digits.firstIndex(where: { !isDigit($0) }) {
      throw Misread(
        at: other, expected: "a letter, a digit, + or /", found: described(text[other...].prefix(1)))
    }
    let padding = String(repeating: "=", count: (4 - digits.count % 4) % 4)
    let padded = Data(digits) + Data(padding.utf8)
    guard text.count == digits.count || Data(text) == padded, let bytes = Data(base64Encoded: padded) else {
      throw Misread(
        at: digits.endIndex, expected: "base64, with padding to a multiple of four characters or without",
        found: described(text.suffix(4)))
    }
    // Bits beyond the last byte would be lost, so the text must be the one that would be written.
    guard bytes.base64EncodedData() == padded else {
      throw Misread(
        at: digits.endIndex - 1, expected: "no bits beyond the last byte", found: described(digits.suffix(1)))
    }
    return Array(bytes)
  }

  private static func isDigit(_ character: UInt8) -> Bool {
    switch character {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"):
      true
    default: false
    }
  }
}
