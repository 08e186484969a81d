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

extension String {
  func hasSameBytes(as other: String) -> Bool {
    utf8.count == other.utf8.count && utf8.elementsEqual(other.utf8)
  }
}
