/// Bytes as text on one line, and back. UTF-8 that can be printed stands for itself; the rest is escaped:
///
///     \\  a backslash       \n \t \r  line feed, tab, carriage return
///     \xNN  any other byte: control characters, C1 ones too, and what is no UTF-8
///
/// Read is more than is written: any byte but the backslash stands for itself, and `\0` is NUL. So what was
/// written reads back as the bytes it was made of.
enum EscapedText {
  static func write(_ bytes: [UInt8], to line: inout [UInt8]) {
    line.reserveCapacity(line.count + bytes.count)
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      if byte < 0x80 {
        writeASCII(byte, to: &line)
        index += 1
        continue
      }
      let length = UTF8Sequence.length(in: bytes, at: index)
      // U+0080 to U+009F are control characters, and terminals obey them.
      if length == 0 || (byte == 0xc2 && bytes[index + 1] < 0xa0) {
        writeEscaped(byte, to: &line)
        index += 1
      } else {
        for place in index..<(index + length) { line.append(bytes[place]) }
        index += length
      }
    }
  }

  private static func writeASCII(_ byte: UInt8, to line: inout [UInt8]) {
    switch byte {
    case UInt8(ascii: "\\"): line += #"\\"#.utf8
    case 0x0a: line += #"\n"#.utf8
    case 0x09: line += #"\t"#.utf8
    case 0x0d: line += #"\r"#.utf8
    case 0x20...0x7e: line.append(byte)
    default: writeEscaped(byte, to: &line)
    }
  }

  private static func writeEscaped(_ byte: UInt8, to line: inout [UInt8]) {
    line += #"\x"#.utf8
    Hexadecimal.write(byte, to: &line)
  }

  static func read(_ line: [UInt8]) throws(Misread) -> [UInt8] {
    guard var index = line.firstIndex(of: UInt8(ascii: "\\")) else { return line }
    var bytes = Array(line[..<index])
    bytes.reserveCapacity(line.count)
    while index < line.count {
      let byte = line[index]
      index += 1
      if byte != UInt8(ascii: "\\") {
        bytes.append(byte)
        continue
      }
      let escape = index < line.count ? line[index] : 0x0a
      index += 1
      switch escape {
      case UInt8(ascii: "\\"): bytes.append(escape)
      case UInt8(ascii: "n"): bytes.append(0x0a)
      case UInt8(ascii: "t"): bytes.append(0x09)
      case UInt8(ascii: "r"): bytes.append(0x0d)
      case UInt8(ascii: "0"): bytes.append(0)
      case UInt8(ascii: "x"):
        guard index + 1 < line.count, let value = Hexadecimal.value(line[index], line[index + 1]) else {
          throw Misread(
            at: index, expected: #"two hexadecimal digits behind \x"#,
            found: described(line[index...].prefix(2)))
        }
        bytes.append(value)
        index += 2
      default:
        throw Misread(
          at: index - 2, expected: #"\\, \n, \t, \r, \0 or \xNN"#,
          found: described(line[(index - 2)...].prefix(2)))
      }
    }
    return bytes
  }
}

/// A few bytes of the input as people read them, for complaints.
func described(_ bytes: ArraySlice<UInt8>) -> String {
  if bytes.isEmpty { return "the end" }
  var text: [UInt8] = []
  EscapedText.write(Array(bytes.prefix(40)), to: &text)
  return "'" + String(decoding: text, as: UTF8.self) + (bytes.count > 40 ? "…" : "") + "'"
}

/// One character's bytes.
enum UTF8Sequence {
  /// How many bytes the character has that begins here; 0: none does. No overlong forms, no surrogates, nothing
  /// beyond U+10FFFF (The Unicode Standard, table 3-7).
  static func length(in bytes: [UInt8], at index: Int) -> Int {
    let first = bytes[index]
    let second: ClosedRange<UInt8>
    let length: Int
    switch first {
    case 0...0x7f: return 1
    case 0xc2...0xdf: (length, second) = (2, 0x80...0xbf)
    case 0xe0: (length, second) = (3, 0xa0...0xbf)
    case 0xed: (length, second) = (3, 0x80...0x9f)
    case 0xe1...0xef: (length, second) = (3, 0x80...0xbf)
    case 0xf0: (length, second) = (4, 0x90...0xbf)
    case 0xf1...0xf3: (length, second) = (4, 0x80...0xbf)
    case 0xf4: (length, second) = (4, 0x80...0x8f)
    default: return 0
    }
    guard index + length <= bytes.count, second ~= bytes[index + 1] else { return 0 }
    for place in (index + 2)..<max(index + 2, index + length) where !(0x80...0xbf ~= bytes[place]) {
      return 0
    }
    return length
  }
}
