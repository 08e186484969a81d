/// A count of the combining marks that follow each other in a text of a peer.
///
/// Swift compares and hashes a text in its canonical form, in which the marks of each run are sorted. The time for that grows
/// with the square of the run's length: a dictionary's key of 256 KB took 26 seconds. So a text that becomes the key of a
/// dictionary, an element of a set or a case of a type is refused if a run is longer than 30 marks, as it is in no language. That is the
/// limit of the Stream-Safe Text Format, <https://unicode.org/reports/tr15/#Stream_Safe_Text_Format>.
///
/// A text that is no key of a map may also be compared: it becomes a case of an enumeration or an element of a set. People do
/// write texts with many marks there, so its limit only keeps the time in proportion to the length.
@usableFromInline
package struct CombiningMarks {
  /// The number of marks in a row that a key may have.
  @inlinable package static var mostInKey: Int { 30 }
  /// The number of marks in a row that another text may have that is compared.
  @inlinable package static var mostInValue: Int { 256 }
  /// The number of bytes that a text with more marks has at least: each takes two bytes or more.
  @inlinable package static var leastByteCount: Int { 62 }

  /// Whether a run was longer than the limit.
  package private(set) var areTooMany = false
  private let limit: Int
  private var run = 0

  package init(limit: Int = mostInKey) { self.limit = limit }

  /// Whether a text in UTF-8 has more marks in a row than a limit. Bytes that are not UTF-8 count as letters.
  ///
  /// - Complexity: constant for a text that is too short for them.
  @inlinable @inline(__always)
  package static func areTooMany(in bytes: UnsafeRawBufferPointer, limit: Int = mostInKey) -> Bool {
    unsafe bytes.count > 2 * limit && areTooManyInLong(bytes, limit)
  }

  @usableFromInline @inline(never)
  package static func areTooManyInLong(_ bytes: UnsafeRawBufferPointer, _ limit: Int) -> Bool {
    var marks = CombiningMarks(limit: limit)
    unsafe marks.take(bytes)
    return marks.areTooMany
  }

  /// Counts a text in UTF-8.
  package mutating func take(_ bytes: UnsafeRawBufferPointer) {
    var index = 0
    while index < bytes.count {
      let byte = unsafe bytes[index]
      if byte < 0x80 {
        run = 0
        index += 1
        while index + 8 <= bytes.count,
          unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
        {
          index += 8
        }
        continue
      }
      let count = byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
      // The first combining mark is U+0300. There is none from U+4000 to U+9FFF, which are most of Chinese, and in Hangul.
      if byte < 0xcc || 0xe4...0xe9 ~= byte || 0xeb...0xed ~= byte || index + count > bytes.count {
        run = 0
        index += count
        continue
      }
      var scalar = UInt32(byte) & (count == 2 ? 0x1f : count == 3 ? 0x0f : 0x07)
      for offset in 1..<count { scalar = scalar << 6 | UInt32(unsafe bytes[index + offset] & 0x3f) }
      take(scalar)
      index += count
    }
  }

  /// Counts a character.
  package mutating func take(_ character: UInt32) {
    guard let character = Unicode.Scalar(character), Self.isMark(character) else {
      run = 0
      return
    }
    run += 1
    if run > limit { areTooMany = true }
  }

  private static func isMark(_ character: Unicode.Scalar) -> Bool {
    switch character.value {
    case 0..<0x300: false
    // They are letters, and decompose to marks.
    case 0xf73, 0xf75, 0xf81: true
    default: character.properties.canonicalCombiningClass != .notReordered
    }
  }
}

extension String {
  /// Whether the text may become a key: it has no long run of combining marks.
  ///
  /// - Complexity: constant for a text of less than 62 bytes.
  @inlinable @inline(__always)
  package var isFitForKey: Bool { isFit(CombiningMarks.mostInKey) }

  /// Whether the text has at most so many combining marks in a row.
  @inlinable @inline(__always)
  package func isFit(_ limit: Int) -> Bool { utf8.count <= 2 * limit || isLongFit(limit) }

  @usableFromInline @inline(never)
  package func isLongFit(_ limit: Int) -> Bool {
    var text = self
    return text.withUTF8 { bytes in
      unsafe !CombiningMarks.areTooManyInLong(UnsafeRawBufferPointer(bytes), limit)
    }
  }
}
