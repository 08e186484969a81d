/// Bytes as pairs of hexadecimal digits.
enum Hexadecimal {
  private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }

  static func write(_ byte: UInt8, to line: inout [UInt8]) {
    line.append(digit(byte >> 4))
    line.append(digit(byte & 15))
  }

  static func write(_ bytes: [UInt8], to line: inout [UInt8]) {
    line.reserveCapacity(line.count + 2 * bytes.count)
    for byte in bytes { write(byte, to: &line) }
  }

  static func text(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    write(bytes, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Digits of either case; blanks may stand between bytes.
  static func read(_ line: [UInt8]) throws(Misread) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(line.count / 2)
    var index = 0
    while index < line.count {
      if line[index].isBlank {
        index += 1
        continue
      }
      guard index + 1 < line.count, let byte = value(line[index], line[index + 1]) else {
        throw Misread(
          at: index, expected: "two hexadecimal digits for each byte",
          found: described(line[index...].prefix(2)))
      }
      bytes.append(byte)
      index += 2
    }
    return bytes
  }

  /// The byte of two digits.
  static func value(_ high: UInt8, _ low: UInt8) -> UInt8? {
    guard let high = value(high), let low = value(low) else { return nil }
    return high << 4 | low
  }

  static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}

extension UInt8 {
  /// A space, a tab, or the carriage return of a line that another system has written.
  var isBlank: Bool { self == 0x20 || self == 0x09 || self == 0x0d }
}
