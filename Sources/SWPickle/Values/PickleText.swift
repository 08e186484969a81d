/// A string that equals another when the bytes do, as in Python. Swift's own equality takes `é` in one scalar and
/// `é` in two for the same, and a Kelvin sign for a K.
struct PickleText: Hashable, Sendable {
  let string: String

  init(_ string: String) { self.string = string }

  static func == (a: PickleText, b: PickleText) -> Bool { a.string.hasSameBytes(as: b.string) }

  func hash(into hasher: inout Hasher) {
    var string = string
    string.withUTF8 { bytes in unsafe hasher.combine(bytes: UnsafeRawBufferPointer(bytes)) }
    hasher.combine(0xff as UInt8)
  }
}

extension PickleText {
  /// The place of the first byte that is not part of UTF-8, where a surrogate in three bytes counts as UTF-8.
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
  /// Whether the bytes are the same. Much faster than `==`, which compares characters, for long strings.
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

/// Whether two buffers of one length have the same bytes, eight at a time.
func haveSameBytes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  var index = 0
  while index + 8 <= a.count {
    if unsafe a.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      != b.loadUnaligned(fromByteOffset: index, as: UInt64.self)
    {
      return false
    }
    index += 8
  }
  while index < a.count {
    if unsafe a[index] != b[index] { return false }
    index += 1
  }
  return true
}
