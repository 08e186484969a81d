#if canImport(FoundationEssentials)
  package import FoundationEssentials
#else
  package import Foundation
#endif

extension UUID {
  /// The identifier that a text spells: with dashes or as 32 hexadecimal digits, as Python's `uuid4().hex`; nil for
  /// any other text.
  package init?(text: String) {
    if text.utf8.count == 36 {
      self.init(uuidString: text)
      return
    }
    let digits = Array(text.utf8)
    guard digits.count == 32 else { return nil }
    var dashed: [UInt8] = []
    for (index, digit) in digits.enumerated() {
      if [8, 12, 16, 20].contains(index) { dashed.append(0x2d) }
      dashed.append(digit)
    }
    self.init(uuidString: String(decoding: dashed, as: UTF8.self))
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
