#if canImport(FoundationEssentials)
  package import FoundationEssentials
#else
  package import Foundation
#endif

extension UUID {
  /// The identifier that a text spells: with dashes or as 32 hexadecimal digits, as Python's `uuid4().hex`; nil for
  /// any other text.
  ///
  /// Foundation's own initialiser also takes other texts of 36 bytes, such as ones with a space or a sign for a digit.
  package init?(text: String) {
    var bytes: [UInt8] = []
    var digit: UInt8?
    let isDashed = text.utf8.count == 36
    guard isDashed || text.utf8.count == 32 else { return nil }
    for (index, byte) in text.utf8.enumerated() {
      if isDashed, [8, 13, 18, 23].contains(index) {
        guard byte == UInt8(ascii: "-") else { return nil }
        continue
      }
      let value: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): value = byte - UInt8(ascii: "A") + 10
      default: return nil
      }
      if let first = digit {
        bytes.append(first << 4 | value)
        digit = nil
      } else {
        digit = value
      }
    }
    self.init(bytes: bytes)
  }

  /// The identifier of 16 bytes. Nil for another number of bytes.
  package init?(bytes: [UInt8]) {
    guard bytes.count == 16 else { return nil }
    let b = bytes
    self.init(
      uuid: (
        b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]
      ))
  }
}
