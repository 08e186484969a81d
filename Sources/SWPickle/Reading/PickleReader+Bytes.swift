// Reads the bytes after an opcode, and the strs and bytes in them.

extension PickleReader {
  /// Moves past this number of bytes, which must exist.
  mutating func take(_ input: Span<UInt8>, _ byteCount: Int) throws(PickleError) -> Range<Int> {
    guard byteCount <= input.count - position else {
      throw error(.truncated, "\(byteCount) bytes", "\(input.count - position)")
    }
    position += byteCount
    return (position - byteCount)..<position
  }

  mutating func byte(_ input: Span<UInt8>) throws(PickleError) -> UInt8 {
    input[try take(input, 1).lowerBound]
  }

  /// A little-endian number.
  mutating func number(_ input: Span<UInt8>, byteCount: Int) throws(PickleError) -> UInt64 {
    var number: UInt64 = 0
    for index in try take(input, byteCount).reversed() { number = number << 8 | UInt64(input[index]) }
    return number
  }

  /// Reads a length. That many bytes must exist.
  mutating func length(
    _ input: Span<UInt8>, byteCount: Int, isSigned: Bool = false
  ) throws(PickleError) -> Int {
    let length = try number(input, byteCount: byteCount)
    if isSigned, length > UInt64(Int32.max) {
      throw error(.malformed, "a length", "\(Int32(truncatingIfNeeded: length))")
    }
    guard length <= UInt64(input.count - position) else {
      throw error(.truncated, "\(length) bytes", "\(input.count - position)")
    }
    return Int(length)
  }

  mutating func bytes(_ input: Span<UInt8>, _ byteCount: Int) throws(PickleError) -> [UInt8] {
    let range = try take(input, byteCount)
    try charge(byteCount)
    return unsafe input.extracting(range).withUnsafeBufferPointer { bytes in unsafe Array(bytes) }
  }

  /// The bytes up to the next newline, without it.
  mutating func line(_ input: Span<UInt8>) throws(PickleError) -> [UInt8] {
    var end = position
    while end < input.count, input[end] != UInt8(ascii: "\n") { end += 1 }
    guard end < input.count else {
      throw error(.truncated, "a line and its newline", "the end after \(end - position) bytes")
    }
    let line = try bytes(input, end - position)
    position += 1
    return line
  }

  mutating func long(_ input: Span<UInt8>, byteCount: Int) throws(PickleError) -> PickleSlot {
    if byteCount <= MemoryLayout<Int>.size {
      let range = try take(input, byteCount)
      if range.isEmpty { return .int(0) }
      var word: UInt = input[range.upperBound - 1] & 0x80 == 0 ? 0 : .max
      for index in range.reversed() { word = word << 8 | UInt(input[index]) }
      return .int(Int(bitPattern: word))
    }
    let value = PickleInt(twosComplement: try bytes(input, byteCount)[...])
    return try slot(value)
  }

  mutating func pushUTF8(_ input: Span<UInt8>, _ byteCount: Int) throws(PickleError) {
    let range = try take(input, byteCount)
    let text: String
    do throws(UTF8.ValidationError) {
      text = try String(copying: UTF8Span(validating: input.extracting(range)))
    } catch {
      return try push(surrogates(input.extracting(range)))
    }
    try pushString(text)
  }

  /// Makes a str that no `String` can hold, as the call by which Python would make it from its bytes.
  mutating func surrogates(_ span: Span<UInt8>) throws(PickleError) -> PickleSlot {
    let bytes = unsafe span.withUnsafeBufferPointer { bytes in unsafe Array(bytes) }
    try charge(bytes.count + 1024)
    return try surrogates(bytes)
  }

  /// Makes a str with a lone surrogate from its UTF-8 with surrogates: `str(bytes, "utf-8", "surrogatepass")`.
  mutating func surrogates(_ bytes: [UInt8]) throws(PickleError) -> PickleSlot {
    if let place = PickleText.malformedByte(of: bytes) {
      throw error(
        .malformed, "a str in UTF-8", "byte 0x\(String(bytes[place], radix: 16)) at byte \(place) of it")
    }
    if registry.isStrict {
      throw error(.malformed, "a str without surrogates, which a String can hold", "a lone surrogate")
    }
    let callee = try newName("builtins", "str")
    return try newObject(
      callee, [new(.bytes(bytes)), new(.string("utf-8")), new(.string("surrogatepass"))], isNew: false)
  }

  /// Pushes a string of Python 2, whose encoding the pickle does not state.
  mutating func pushPython2(_ bytes: [UInt8]) throws(PickleError) {
    switch registry.python2Strings {
    case .bytes: try push(new(.bytes(bytes)))
    case .latin1: try pushString(String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) })))
    default:
      if let index = bytes.firstIndex(where: { $0 >= 0x80 }) {
        throw error(
          .malformed, "a str of Python 2 in ASCII",
          "byte 0x\(String(bytes[index], radix: 16)) at byte \(index) of it")
      }
      try pushString(String(decoding: bytes, as: UTF8.self))
    }
  }

  mutating func pushString(_ string: String) throws(PickleError) {
    try charge(string.utf8.count)
    try push(new(.string(string)))
  }
}
