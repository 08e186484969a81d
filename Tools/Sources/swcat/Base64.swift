/// Bytes in base64, RFC 4648 section 4: written with padding, read without it too.
enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  static func write(_ bytes: [UInt8], to line: inout [UInt8]) {
    line.reserveCapacity(line.count + (bytes.count + 2) / 3 * 4)
    var index = 0
    while index < bytes.count {
      let count = min(3, bytes.count - index)
      var group: UInt32 = 0
      for place in 0..<3 { group = group << 8 | (place < count ? UInt32(bytes[index + place]) : 0) }
      for place in 0..<4 {
        line.append(
          place <= count ? alphabet[Int(group >> (18 - 6 * UInt32(place)) & 63)] : UInt8(ascii: "="))
      }
      index += 3
    }
  }

  /// Blanks may stand before and behind.
  static func read(_ line: [UInt8]) throws(Misread) -> [UInt8] {
    var text = line[...]
    while let last = text.last, last.isBlank { text.removeLast() }
    text = text.drop { $0.isBlank }
    let end = text.endIndex
    for _ in 0..<2 where text.last == UInt8(ascii: "=") { text.removeLast() }
    let padding = end - text.endIndex
    if padding > 0, (text.count + padding) % 4 != 0 {
      throw Misread(
        at: text.endIndex, expected: "padding to a multiple of four characters",
        found: "\(text.count + padding) characters")
    }
    if text.count % 4 == 1 {
      throw Misread(at: text.endIndex, expected: "two characters or more for the last bytes", found: "one")
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 4 * 3 + 2)
    var (group, bitCount): (UInt32, UInt32) = (0, 0)
    for index in text.indices {
      guard let value = value(text[index]) else {
        throw Misread(
          at: index, expected: "a letter, a digit, + or /", found: described(text[index...].prefix(1)))
      }
      group = group << 6 | UInt32(value)
      bitCount += 6
      if bitCount >= 8 {
        bitCount -= 8
        bytes.append(UInt8(truncatingIfNeeded: group >> bitCount))
        group &= 1 << bitCount - 1
      }
    }
    // They would be lost: what is read must be what would be written.
    if group != 0 {
      throw Misread(
        at: text.endIndex - 1, expected: "no bits beyond the last byte",
        found: described(text.suffix(1)))
    }
    return bytes
  }

  private static func value(_ character: UInt8) -> UInt8? {
    switch character {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
    case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
