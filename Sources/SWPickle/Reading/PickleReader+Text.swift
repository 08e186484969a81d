// Reads the arguments of protocol 0, which are lines of text, in the same way as CPython.

extension PickleReader {
  /// Reads an INT by the rules of C's `strtol`, or else of Python's `int(text, 0)`. `00` and `01` are bools.
  mutating func intLine(_ line: [UInt8]) throws(PickleError) -> PickleSlot {
    if line.isEmpty { throw error(.truncated, "an int's digits", "an empty line") }
    if let value = Self.strtol(line) {
      return line.count == 2 && 0...1 ~= value ? .bool(value == 1) : .int(value)
    }
    return try slot(python(line))
  }

  /// Reads a LONG, with or without an L at the end.
  mutating func longLine(_ line: [UInt8]) throws(PickleError) -> PickleSlot {
    if line.isEmpty { throw error(.truncated, "an int's digits", "an empty line") }
    return try slot(python(line.last == UInt8(ascii: "L") ? line.dropLast() : line))
  }

  /// The number of a memo entry.
  func indexLine(_ line: [UInt8]) throws(PickleError) -> Int {
    if line.isEmpty { throw error(.truncated, "a memo index", "an empty line") }
    guard let number = Self.python(line[...], base: 10), let index = number.small, index >= 0 else {
      throw error(.malformed, "a memo index", quoted(line))
    }
    return index
  }

  func nameLine(_ line: [UInt8]) throws(PickleError) -> String {
    if line.isEmpty { throw error(.truncated, "a module and a name", "an empty line") }
    guard let name = String(validating: line, as: UTF8.self) else {
      throw error(.malformed, "a name in UTF-8", quoted(line))
    }
    return name
  }

  func floatLine(_ line: [UInt8]) throws(PickleError) -> Double {
    if line.isEmpty { throw error(.truncated, "a float's digits", "an empty line") }
    var rest = line[...]
    if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { rest.removeFirst() }
    let text = String(decoding: line, as: UTF8.self)
    let word = PickleText(String(decoding: rest, as: UTF8.self).lowercased())
    if word == "inf" || word == "infinity" || word == "nan" {
      let value: Double = word == "nan" ? .nan : .infinity
      return line.first == UInt8(ascii: "-") ? -value : value
    }
    func takeDigits() -> Int {
      let digits = rest.prefix { 0x30...0x39 ~= $0 }
      rest = rest.dropFirst(digits.count)
      return digits.count
    }
    var digitCount = takeDigits()
    if rest.first == UInt8(ascii: ".") {
      rest.removeFirst()
      digitCount += takeDigits()
    }
    var isNumber = digitCount > 0
    if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
      rest.removeFirst()
      if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { rest.removeFirst() }
      if takeDigits() == 0 { isNumber = false }
    }
    guard isNumber, rest.isEmpty, let value = Double(text), value.isFinite else {
      throw error(.malformed, "a float", quoted(line))
    }
    return value
  }

  /// Reads a STRING, quoted and escaped as in Python 2 source code.
  func stringLine(_ line: [UInt8]) throws(PickleError) -> [UInt8] {
    guard line.count >= 2, let quote = line.first, quote == line.last,
      quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"")
    else { throw error(.malformed, "a str in quotes", quoted(line)) }
    var bytes: [UInt8] = []
    var rest = line.dropFirst().dropLast()
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\") else {
        bytes.append(byte)
        continue
      }
      guard let escape = rest.popFirst() else {
        throw error(.malformed, "an escape", "a backslash at the end")
      }
      switch escape {
      case UInt8(ascii: "\n"): break
      case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): bytes.append(escape)
      case UInt8(ascii: "b"): bytes.append(8)
      case UInt8(ascii: "f"): bytes.append(12)
      case UInt8(ascii: "t"): bytes.append(9)
      case UInt8(ascii: "n"): bytes.append(10)
      case UInt8(ascii: "r"): bytes.append(13)
      case UInt8(ascii: "v"): bytes.append(11)
      case UInt8(ascii: "a"): bytes.append(7)
      case UInt8(ascii: "0")...UInt8(ascii: "7"):
        var value = Int(escape & 7)
        for _ in 0..<2 {
          guard let digit = rest.first, 0x30...0x37 ~= digit else { break }
          value = value * 8 + Int(digit & 7)
          rest.removeFirst()
        }
        bytes.append(UInt8(truncatingIfNeeded: value))
      case UInt8(ascii: "x"):
        guard rest.count >= 2, let value = Self.hexadecimal(rest.prefix(2)) else {
          throw error(.malformed, "two digits after \\x", quoted(line))
        }
        bytes.append(UInt8(value))
        rest.removeFirst(2)
      default: bytes += [byte, escape]
      }
    }
    return bytes
  }

  /// Reads a UNICODE: Latin-1, with `\u` and `\U` for other characters.
  mutating func unicodeLine(_ line: [UInt8]) throws(PickleError) -> PickleSlot {
    // UTF-8 that may contain surrogates.
    var bytes: [UInt8] = []
    var isText = true
    func append(_ value: UInt32) {
      switch value {
      case ..<0x80: bytes.append(UInt8(value))
      case ..<0x800: bytes += [UInt8(0xc0 | value >> 6), UInt8(0x80 | value & 0x3f)]
      case ..<0x10000:
        bytes += [UInt8(0xe0 | value >> 12), UInt8(0x80 | value >> 6 & 0x3f), UInt8(0x80 | value & 0x3f)]
      default:
        bytes += [
          UInt8(0xf0 | value >> 18), UInt8(0x80 | value >> 12 & 0x3f), UInt8(0x80 | value >> 6 & 0x3f),
          UInt8(0x80 | value & 0x3f),
        ]
      }
    }
    var rest = line[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\"), let escape = rest.popFirst() else {
        append(UInt32(byte))
        continue
      }
      guard escape == UInt8(ascii: "u") || escape == UInt8(ascii: "U") else {
        append(UInt32(byte))
        append(UInt32(escape))
        continue
      }
      let digitCount = escape == UInt8(ascii: "u") ? 4 : 8
      guard rest.count >= digitCount, let value = Self.hexadecimal(rest.prefix(digitCount)) else {
        throw error(
          .malformed, "\(digitCount) digits behind \\\(Character(Unicode.Scalar(escape)))", quoted(line))
      }
      guard value <= 0x10ffff else {
        throw error(.malformed, "a character of Unicode", "U+\(String(value, radix: 16, uppercase: true))")
      }
      if Unicode.Scalar(value) == nil { isText = false }
      append(value)
      rest.removeFirst(digitCount)
    }
    try charge(bytes.count + 64)
    return isText ? try new(.string(String(decoding: bytes, as: UTF8.self))) : try surrogates(bytes)
  }

  private static func hexadecimal(_ digits: ArraySlice<UInt8>) -> UInt32? {
    var value: UInt32 = 0
    for digit in digits {
      guard let digit = Character(Unicode.Scalar(digit)).hexDigitValue else { return nil }
      value = value << 4 | UInt32(digit)
    }
    return value
  }

  private func quoted(_ line: [UInt8]) -> String {
    String(decoding: line.prefix(40), as: UTF8.self).debugDescription + (line.count > 40 ? "…" : "")
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || 0x09...0x0d ~= byte }

  /// C's `strtol(text, &end, 0)`, if it takes the whole line and does not overflow.
  private static func strtol(_ line: [UInt8]) -> Int? {
    var rest = line.drop(while: isSpace)
    let isNegative = rest.first == UInt8(ascii: "-")
    if isNegative || rest.first == UInt8(ascii: "+") { rest.removeFirst() }
    var radix = 10
    if rest.starts(with: "0x".utf8) || rest.starts(with: "0X".utf8) {
      radix = 16
      rest.removeFirst(2)
    } else if rest.first == UInt8(ascii: "0"), rest.count > 1 {
      radix = 8
    }
    guard let first = rest.first, first != UInt8(ascii: "-"), first != UInt8(ascii: "+") else { return nil }
    return Int((isNegative ? "-" : "") + String(decoding: rest, as: UTF8.self), radix: radix)
  }

  private func python(_ line: some Sequence<UInt8>) throws(PickleError) -> PickleInt {
    let line = Array(line)
    guard let value = Self.python(line[...], base: 0) else {
      throw error(.malformed, "an int of at most \(PickleInt.longestDecimal) digits", quoted(line))
    }
    return value
  }

  /// Python's `int(text, base)`, for the bases 0 (a prefix may say) and 10.
  private static func python(_ line: ArraySlice<UInt8>, base: Int) -> PickleInt? {
    var rest = line.drop(while: isSpace)
    while let last = rest.last, isSpace(last) { rest.removeLast() }
    let isNegative = rest.first == UInt8(ascii: "-")
    if isNegative || rest.first == UInt8(ascii: "+") { rest.removeFirst() }
    var radix = 10
    if base == 0, rest.first == UInt8(ascii: "0"), rest.count > 1 {
      switch rest[rest.startIndex + 1] {
      case UInt8(ascii: "x"), UInt8(ascii: "X"): radix = 16
      case UInt8(ascii: "o"), UInt8(ascii: "O"): radix = 8
      case UInt8(ascii: "b"), UInt8(ascii: "B"): radix = 2
      default:
        // An octal number of the old form, which is refused unless it is 0.
        guard rest.allSatisfy({ $0 == UInt8(ascii: "0") || $0 == UInt8(ascii: "_") }) else { return nil }
      }
      if radix != 10 {
        rest.removeFirst(2)
        // An underscore is allowed between the prefix and the digits.
        if rest.first == UInt8(ascii: "_") { rest.removeFirst() }
      }
    }
    var digits: [UInt8] = []
    var follows = false
    for byte in rest {
      if byte == UInt8(ascii: "_") {
        guard follows else { return nil }
        follows = false
      } else {
        digits.append(byte)
        follows = true
      }
    }
    guard follows else { return nil }
    return PickleInt(isNegative: isNegative, digits: digits[...], radix: radix)
  }
}
