/// Bytes as text on one line, and back. UTF-8 that can be printed stands for itself; the rest is escaped:
///
///     \\  a backslash       \n \t \r  line feed, tab, carriage return
///     \xNN  any other byte: control characters, C1 ones too, and what is no UTF-8
///
/// The reader accepts more than the writer writes: any byte except the backslash stands for itself, and `\0` is NUL. So
/// written text reads back as the bytes from which it was made.
enum EscapedText {
  static func write(_ bytes: [UInt8], to line: inout [UInt8]) {
    line.reserveCapacity(line.count + bytes.count)
    var start = 0
    while start < bytes.count {
      let wrong = invalidUTF8(in: bytes, from: start) ?? bytes.count..<bytes.count
      writeText(bytes[start..<wrong.lowerBound], to: &line)
      for byte in bytes[wrong] { writeEscaped(byte, to: &line) }
      start = wrong.upperBound
    }
  }

  /// The text with its control characters escaped. Backslashes stay as they are.
  static func withoutControlCharacters(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var line: [UInt8] = []
    for part in bytes.split(separator: UInt8(ascii: "\\"), omittingEmptySubsequences: false) {
      if part.startIndex > 0 { line.append(UInt8(ascii: "\\")) }
      writeText(part, to: &line)
    }
    return String(decoding: line, as: UTF8.self)
  }

  /// Writes UTF-8 of whole characters.
  private static func writeText(_ text: ArraySlice<UInt8>, to line: inout [UInt8]) {
    var index = text.startIndex
    while index < text.endIndex {
      let start = index
      while index < text.endIndex, standsForItself(text[index]) { index += 1 }
      line += text[start..<index]
      if index == text.endIndex { return }
      let byte = text[index]
      index += 1
      switch byte {
      case UInt8(ascii: "\\"): line += #"\\"#.utf8
      case 0x0a: line += #"\n"#.utf8
      case 0x09: line += #"\t"#.utf8
      case 0x0d: line += #"\r"#.utf8
      case 0..<0x20, 0x7f: writeEscaped(byte, to: &line)
      // U+0080 to U+009F are control characters, and terminals interpret them.
      case 0xc2 where text[index] < 0xa0:
        writeEscaped(byte, to: &line)
        writeEscaped(text[index], to: &line)
        index += 1
      default: line.append(byte)
      }
    }
  }

  /// Whether this byte of UTF-8 is copied, without a look at the next one.
  private static func standsForItself(_ byte: UInt8) -> Bool {
    byte >= 0x20 && byte != UInt8(ascii: "\\") && byte != 0x7f && byte != 0xc2
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

/// A few bytes of the input in readable form, for error messages.
func described(_ bytes: ArraySlice<UInt8>) -> String {
  if bytes.isEmpty { return "the end" }
  var text: [UInt8] = []
  EscapedText.write(Array(bytes.prefix(40)), to: &text)
  return "'" + String(decoding: text, as: UTF8.self) + (bytes.count > 40 ? "…" : "") + "'"
}

/// The first bytes from a position on that are not UTF-8. Nil if all are.
func invalidUTF8(in bytes: [UInt8], from start: Int = 0) -> Range<Int>? {
  do throws(UTF8.ValidationError) {
    _ = try UTF8Span(validating: bytes.span.extracting(start..<bytes.count))
    return nil
  } catch {
    return start + error.byteOffsets.lowerBound..<start + error.byteOffsets.upperBound
  }
}
