internal import SWCoding

/// Reads a JSON text as a ``JSONValue``, in time and memory that are proportional to the text.
///
/// `JSONDecoder` does not tell the kind of a value, so ``JSONValue`` tries one type after another. Each attempt that fails
/// makes an error, and its path costs time with the square of the depth: 1,000 bytes of brackets took four seconds. The
/// values are those that `JSONDecoder` gives, except that it accepts a comma after the last element, UTF-16 and UTF-32, and refuses
/// numbers that no normal `Double` comes near. Of two spellings of one name, such as `é` in one scalar and in two, it loses one.
///
/// Source: RFC 8259.
struct JSONValueParser {
  private let text: [UInt8]
  /// Whether a number that is not spelled as an integer, such as `3.0`, may become one.
  private let joinsNumbers: Bool
  private var position = 0
  private var depth = 0

  /// The deepest nesting of containers, which is also Foundation's limit. It ends the recursion.
  private static let deepest = 512

  struct Failure: Error {
    var explanation: String

    init(explanation: String) { self.explanation = explanation }

    init(sameNames first: String, _ second: String) {
      explanation = DecodingError.sameKey(first, second)
    }
  }

  init(_ text: [UInt8], joinsNumbers: Bool = true) {
    self.text = text
    self.joinsNumbers = joinsNumbers
  }

  mutating func parse() throws(Failure) -> JSONValue {
    let value = try value()
    skipBlanks()
    if position < text.count { throw failure("the end of the text") }
    return value
  }

  private func failure(_ expected: String) -> Failure {
    let found = String(decoding: text[min(position, text.count)...].prefix(8), as: UTF8.self)
    return Failure(
      explanation: "not valid JSON: expected \(expected) at byte \(position); "
        + "found \(found.isEmpty ? "the end" : found.debugDescription)")
  }

  private var byte: UInt8? { position < text.count ? text[position] : nil }

  private mutating func skipBlanks() {
    while let byte, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
  }

  private mutating func takes(_ character: Unicode.Scalar) -> Bool {
    guard byte == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func value() throws(Failure) -> JSONValue {
    skipBlanks()
    switch byte {
    case UInt8(ascii: "["): return .array(try array())
    case UInt8(ascii: "{"): return .object(try object())
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func word(_ word: String, _ value: JSONValue) throws(Failure) -> JSONValue {
    guard text[position...].starts(with: word.utf8) else { throw failure("a value") }
    position += word.utf8.count
    return value
  }

  // MARK: Containers

  private mutating func enter() throws(Failure) {
    if depth == Self.deepest { throw failure("at most \(Self.deepest) levels of containers") }
    depth += 1
    position += 1
    skipBlanks()
  }

  private mutating func array() throws(Failure) -> [JSONValue] {
    try enter()
    defer { depth -= 1 }
    var elements: [JSONValue] = []
    if takes("]") { return elements }
    while true {
      elements.append(try value())
      skipBlanks()
      if takes("]") { return elements }
      if !takes(",") { throw failure("',' or ']'") }
    }
  }

  private mutating func object() throws(Failure) -> [String: JSONValue] {
    try enter()
    defer { depth -= 1 }
    var members: [String: JSONValue] = [:]
    if takes("}") { return members }
    while true {
      skipBlanks()
      guard byte == UInt8(ascii: "\"") else { throw failure("the name of a member") }
      let name = try name()
      skipBlanks()
      if !takes(":") { throw failure("':'") }
      let value = try value()
      if let old = members.index(forKey: name) {
        // Of a name that stands twice `JSONDecoder` takes the first. Another spelling of it would be lost.
        if !members[old].key.utf8.elementsEqual(name.utf8) {
          throw Failure(sameNames: members[old].key, name)
        }
      } else {
        members[name] = value
      }
      skipBlanks()
      if takes("}") { return members }
      if !takes(",") { throw failure("',' or '}'") }
    }
  }

  private mutating func name() throws(Failure) -> String {
    let name = try string()
    if !name.isFitForKey { throw Failure(explanation: DecodingError.unfitKey) }
    return name
  }

  // MARK: Strings

  private mutating func string() throws(Failure) -> String {
    position += 1
    let start = position
    var units: [UInt8] = []
    var copied = start
    while let byte, byte != UInt8(ascii: "\"") {
      if byte < 0x20 { throw failure("an escape in place of a control character") }
      if byte == UInt8(ascii: "\\") {
        units += text[copied..<position]
        try escape(&units)
        copied = position
      } else {
        position += 1
      }
    }
    guard byte != nil else { throw failure("the end of a string") }
    let string =
      copied == start
      ? String(validating: text[start..<position], as: UTF8.self)
      : String(validating: units + text[copied..<position], as: UTF8.self)
    guard let string else {
      position = start
      throw failure("a string in UTF-8")
    }
    position += 1
    return string
  }

  private mutating func escape(_ units: inout [UInt8]) throws(Failure) {
    let start = position
    position += 2
    switch start + 1 < text.count ? text[start + 1] : 0 {
    case UInt8(ascii: "\""): units.append(UInt8(ascii: "\""))
    case UInt8(ascii: "\\"): units.append(UInt8(ascii: "\\"))
    case UInt8(ascii: "/"): units.append(UInt8(ascii: "/"))
    case UInt8(ascii: "b"): units.append(0x08)
    case UInt8(ascii: "f"): units.append(0x0c)
    case UInt8(ascii: "n"): units.append(0x0a)
    case UInt8(ascii: "r"): units.append(0x0d)
    case UInt8(ascii: "t"): units.append(0x09)
    case UInt8(ascii: "u"):
      var code = [try unit()]
      if UTF16.isLeadSurrogate(code[0]), text[min(position, text.count)...].starts(with: #"\u"#.utf8) {
        position += 2
        code.append(try unit())
      }
      guard let text = String(validating: code, as: UTF16.self) else {
        position = start
        throw failure("a surrogate as one of a pair")
      }
      units += text.utf8
    default:
      position = start
      throw failure("an escape")
    }
  }

  private mutating func unit() throws(Failure) -> UInt16 {
    var unit: UInt16 = 0
    for _ in 0..<4 {
      guard let byte, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw failure("a hexadecimal digit")
      }
      unit = unit << 4 | UInt16(digit)
      position += 1
    }
    return unit
  }

  // MARK: Numbers

  private mutating func number() throws(Failure) -> JSONValue {
    let start = position
    _ = takes("-")
    let isZero = byte == UInt8(ascii: "0")
    guard let digits = takeDigits() else {
      position = start
      throw failure("a value")
    }
    if isZero, digits > 1 {
      position = start
      throw failure("a number without leading zeros")
    }
    var isInteger = true
    if takes(".") {
      isInteger = false
      if takeDigits() == nil { throw failure("a digit") }
    }
    if takes("e") || takes("E") {
      isInteger = false
      if !takes("+") { _ = takes("-") }
      if takeDigits() == nil { throw failure("a digit") }
    }
    let spelling = String(decoding: text[start..<position], as: UTF8.self)
    if isInteger {
      if let value = Int64(spelling) { return .int(value) }
      if let value = UInt64(spelling) { return .uint(value) }
    }
    guard let value = Double(spelling), value.isFinite else {
      position = start
      throw failure("a number that a Double can hold")
    }
    return joinsNumbers ? JSONValue(joining: value) : .double(value)
  }

  /// Moves past digits, and returns their number; nil if there are none.
  private mutating func takeDigits() -> Int? {
    let start = position
    while let byte, 0x30...0x39 ~= byte { position += 1 }
    return position == start ? nil : position - start
  }
}
