internal import SWCoding

#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

/// Looks for long runs of combining marks in a text before `JSONDecoder` reads it, which puts the names of each object into a
/// dictionary (see ``CombiningMarks``).
enum JSONMarks {
  static func areTooMany(in text: Data, isJSON5: Bool) -> Bool {
    guard text.count >= CombiningMarks.leastByteCount else { return false }
    var wide: String.Encoding?
    let areTooMany = unsafe text.withUnsafeBytes { bytes in
      wide = unsafe wideEncoding(bytes)
      return unsafe wide == nil && self.areTooMany(in: bytes, isJSON5)
    }
    // A text that is not in its encoding is refused by the decoder.
    guard let wide, var text = String(data: text, encoding: wide) else { return areTooMany }
    return text.withUTF8 { bytes in unsafe self.areTooMany(in: UnsafeRawBufferPointer(bytes), isJSON5) }
  }

  /// The encoding of a text that is not in UTF-8, as `JSONDecoder` finds it.
  private static func wideEncoding(_ text: UnsafeRawBufferPointer) -> String.Encoding? {
    switch unsafe (text[0], text[1], text[2], text[3]) {
    case (0, 0, 0xfe, 0xff), (0, 0, 0, _): return .utf32BigEndian
    case (0xff, 0xfe, 0, 0), (_, 0, 0, 0): return .utf32LittleEndian
    case (0xfe, 0xff, _, _), (0, _, _, _): return .utf16BigEndian
    case (0xff, 0xfe, _, _), (_, 0, _, _): return .utf16LittleEndian
    default: return nil
    }
  }

  private static func areTooMany(in text: UnsafeRawBufferPointer, _ isJSON5: Bool) -> Bool {
    guard unsafe mayHaveMarks(text) else { return false }
    if isJSON5 {
      // Its strings may have other quotes, and its names none. So the limit of names holds for the whole text.
      var marks = CombiningMarks()
      unsafe take(text, &marks)
      return marks.areTooMany
    }
    var index = 0
    while index < text.count {
      guard unsafe text[index] == UInt8(ascii: "\"") else {
        index += 1
        continue
      }
      let start = index + 1
      index = start
      while index < text.count, unsafe text[index] != UInt8(ascii: "\"") {
        index += unsafe text[index] == UInt8(ascii: "\\") ? 2 : 1
      }
      let end = min(index, text.count)
      index += 1
      guard end - start >= CombiningMarks.leastByteCount else { continue }
      let string = unsafe UnsafeRawBufferPointer(rebasing: text[start..<end])
      var marks = CombiningMarks(
        limit: unsafe isName(text, endingAt: index) ? CombiningMarks.mostInKey : CombiningMarks.mostInValue)
      unsafe take(string, &marks)
      if marks.areTooMany { return true }
    }
    return false
  }

  /// Whether the text has a character that is not ASCII, or the escape of one.
  private static func mayHaveMarks(_ text: UnsafeRawBufferPointer) -> Bool {
    func isEscape(at index: Int) -> Bool {
      unsafe text[index] == UInt8(ascii: "\\") && index + 1 < text.count
        && text[index + 1] == UInt8(ascii: "u")
    }
    let (ones, tops) = (0x0101_0101_0101_0101 as UInt64, 0x8080_8080_8080_8080 as UInt64)
    let backslashes = ones * UInt64(UInt8(ascii: "\\"))
    var index = 0
    while index + 8 <= text.count {
      let word = unsafe text.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      if word & tops != 0 { return true }
      // It is not zero if a byte is a backslash.
      let others = word ^ backslashes
      if (others &- ones) & ~others & tops != 0, (index..<index + 8).contains(where: isEscape) { return true }
      index += 8
    }
    return (index..<text.count).contains { unsafe text[$0] >= 0x80 || isEscape(at: $0) }
  }

  private static func isName(_ text: UnsafeRawBufferPointer, endingAt end: Int) -> Bool {
    var index = end
    while index < text.count {
      switch unsafe text[index] {
      case 0x20, 0x09, 0x0a, 0x0d: index += 1
      case let byte: return byte == UInt8(ascii: ":")
      }
    }
    return false
  }

  /// Counts a text with escapes.
  private static func take(_ text: UnsafeRawBufferPointer, _ marks: inout CombiningMarks) {
    var plain = 0
    var index = 0
    var lead: UInt32 = 0
    while index < text.count {
      guard unsafe text[index] == UInt8(ascii: "\\"), index + 1 < text.count else {
        index += 1
        continue
      }
      if index > plain {
        unsafe marks.take(UnsafeRawBufferPointer(rebasing: text[plain..<index]))
        lead = 0
      }
      index += 2
      switch unsafe text[index - 1] {
      case UInt8(ascii: "u"):
        var unit: UInt32 = 0
        for _ in 0..<min(4, text.count - index) {
          // The decoder refuses other characters than digits.
          let byte = UInt32(unsafe text[index])
          unit = unit << 4 | (byte & 0xf) + (byte >= 0x41 ? 9 : 0)
          index += 1
        }
        if 0xd800..<0xdc00 ~= unit {
          lead = unit
        } else if 0xdc00..<0xe000 ~= unit, lead > 0 {
          marks.take(0x10000 + (lead - 0xd800) << 10 + (unit - 0xdc00))
          lead = 0
        } else {
          marks.take(unit)
          lead = 0
        }
      // JSON5 leaves a line's end out that has a backslash before it.
      case 0x0a, 0x0d: break
      default:
        marks.take(0)
        lead = 0
      }
      plain = index
    }
    if plain < text.count { unsafe marks.take(UnsafeRawBufferPointer(rebasing: text[plain...])) }
  }
}

extension DecodingError {
  static var unfitText: DecodingError {
    .dataCorrupted(
      .init(
        codingPath: [],
        debugDescription:
          "cannot read names with more than \(CombiningMarks.mostInKey) combining marks in a row, "
          + "or strings with more than \(CombiningMarks.mostInValue)"))
  }
}
