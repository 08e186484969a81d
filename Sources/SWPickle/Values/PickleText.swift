/// A string that is equal to another if their bytes are, as in Python. Swift's own equality treats `é` in one scalar and in
/// two as equal, and a Kelvin sign and a K.
///
/// A text of the peer's is compared as this type, also with a literal and in a `switch`. Swift's equality, hash values and
/// `Character` sort the combining marks behind a letter, and a peer can send so many that this takes minutes.
struct PickleText: Hashable, Sendable, ExpressibleByStringLiteral {
  let string: String

  init(_ string: String) { self.string = string }
  init(stringLiteral string: String) { self.string = string }

  static func == (a: PickleText, b: PickleText) -> Bool { a.string.hasSameBytes(as: b.string) }

  func hash(into hasher: inout Hasher) {
    var string = string
    string.withUTF8 { bytes in unsafe hasher.combine(bytes: UnsafeRawBufferPointer(bytes)) }
    hasher.combine(0xff as UInt8)
  }

  func hasPrefix(_ prefix: PickleText) -> Bool { string.utf8.starts(with: prefix.string.utf8) }
}

extension PickleText {
  /// The position of the first byte that is not UTF-8. A surrogate in three bytes counts as UTF-8.
  static func malformedByte(of bytes: [UInt8]) -> Int? {
    var start = 0
    while start < bytes.count {
      do throws(UTF8.ValidationError) {
        _ = try UTF8Span(validating: bytes.span.extracting(start..<bytes.count))
        return nil
      } catch {
        let place = start + error.byteOffsets.lowerBound
        guard place + 2 < bytes.count, bytes[place] == 0xed, 0xa0...0xbf ~= bytes[place + 1],
          0x80...0xbf ~= bytes[place + 2]
        else { return place }
        start = place + 3
      }
    }
    return nil
  }
}

extension String {
  /// Whether the bytes are equal. For long strings this is much faster than `==`, which compares characters.
  func hasSameBytes(as other: String) -> Bool {
    guard utf8.count == other.utf8.count else { return false }
    if let same = unsafe utf8.withContiguousStorageIfAvailable({ left in
      unsafe other.utf8.withContiguousStorageIfAvailable { right in
        unsafe haveSameBytes(UnsafeRawBufferPointer(left), UnsafeRawBufferPointer(right))
      }
    }), let same {
      return same
    }
    return utf8.elementsEqual(other.utf8)
  }
}

/// Whether two buffers of the same length have equal bytes.
///
/// It compares eight bytes at a time, and the last eight bytes once more. Most keys have fewer than 16 bytes, so they take
/// two comparisons and no call of `memcmp`.
@inline(__always)
func haveSameBytes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  let count = a.count
  guard let left = a.baseAddress, let right = b.baseAddress else { return count == 0 }
  @inline(__always)
  func isSame<Word: FixedWidthInteger & BitwiseCopyable>(_ type: Word.Type, at offset: Int) -> Bool {
    unsafe left.loadUnaligned(fromByteOffset: offset, as: type)
      == right.loadUnaligned(fromByteOffset: offset, as: type)
  }
  if count >= 8 {
    var index = 0
    while index + 8 < count {
      if !isSame(UInt64.self, at: index) { return false }
      index += 8
    }
    return isSame(UInt64.self, at: count - 8)
  }
  if count >= 4 { return isSame(UInt32.self, at: 0) && isSame(UInt32.self, at: count - 4) }
  if count >= 2 { return isSame(UInt16.self, at: 0) && isSame(UInt16.self, at: count - 2) }
  return count == 0 || isSame(UInt8.self, at: 0)
}
