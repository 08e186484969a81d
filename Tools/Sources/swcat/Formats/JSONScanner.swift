/// Finds the tokens of a JSON text, RFC 8259, and checks the text. Nothing recurses, because an array holds the open
/// containers.
struct JSONScanner {
  enum Token {
    case beginArray
    case endArray
    case beginObject
    case endObject
    /// The text between the quotes, with its escapes.
    case key(Range<Int>)
    case string(Range<Int>)
    case number(Range<Int>, isInteger: Bool)
    case bool(Bool)
    case null
  }

  private enum State {
    case value
    case valueOrEnd
    case key
    case keyOrEnd
    case behindValue
  }

  private let text: [UInt8]
  private(set) var position = 0
  private var state = State.value
  /// The open containers, the innermost last. True for an object.
  private var open: [Bool] = []

  /// The position at which the text stops being UTF-8.
  private let validEnd: Int

  init(_ text: [UInt8]) {
    self.text = text
    validEnd = invalidUTF8(in: text)?.lowerBound ?? text.count
  }

  /// Returns the next token. Returns nil at the end, when everything is closed and nothing is left.
  mutating func next() throws(Misread) -> Token? {
    skipBlanks()
    if state == .behindValue {
      guard let isObject = open.last else {
        if position < text.count { throw misread("the end of the JSON text") }
        return nil
      }
      switch character {
      case UInt8(ascii: ","):
        position += 1
        skipBlanks()
        state = isObject ? .key : .value
      case isObject ? UInt8(ascii: "}") : UInt8(ascii: "]"): return close()
      default: throw misread(isObject ? "',' or '}'" : "',' or ']'")
      }
    }
    switch state {
    case .keyOrEnd where character == UInt8(ascii: "}"): return close()
    case .valueOrEnd where character == UInt8(ascii: "]"): return close()
    case .key, .keyOrEnd:
      guard character == UInt8(ascii: "\"") else { throw misread("a member's name in quotes") }
      let name = try string()
      skipBlanks()
      guard character == UInt8(ascii: ":") else { throw misread("':'") }
      position += 1
      state = .value
      return .key(name)
    case .value, .valueOrEnd, .behindValue: return try value()
    }
  }

  private var isDigit: Bool { character.map { 0x30...0x39 ~= $0 } ?? false }
  private var character: UInt8? { position < text.count ? text[position] : nil }

  private mutating func skipBlanks() {
    while let next = character, next.isBlank || next == 0x0a { position += 1 }
  }

  private mutating func close() -> Token {
    position += 1
    state = .behindValue
    return open.popLast() == true ? .endObject : .endArray
  }

  private mutating func value() throws(Misread) -> Token {
    switch character {
    case UInt8(ascii: "["):
      position += 1
      open.append(false)
      state = .valueOrEnd
      return .beginArray
    case UInt8(ascii: "{"):
      position += 1
      open.append(true)
      state = .keyOrEnd
      return .beginObject
    default: break
    }
    let token: Token
    switch character {
    case UInt8(ascii: "\""): token = .string(try string())
    case UInt8(ascii: "t"): token = try word("true", .bool(true))
    case UInt8(ascii: "f"): token = try word("false", .bool(false))
    case UInt8(ascii: "n"): token = try word("null", .null)
    default: token = try number()
    }
    state = .behindValue
    return token
  }

  private mutating func word(_ word: String, _ token: Token) throws(Misread) -> Token {
    guard text[position...].starts(with: word.utf8) else { throw misread("a JSON value") }
    position += word.utf8.count
    return token
  }

  private mutating func number() throws(Misread) -> Token {
    let start = position
    var isInteger = true
    if character == UInt8(ascii: "-") { position += 1 } else if !isDigit { throw misread("a JSON value") }
    let isZero = character == UInt8(ascii: "0")
    let digits = try digits()
    if isZero, digits > 1 { throw misread("a number without leading zeros", at: start) }
    if character == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      _ = try self.digits()
    }
    if character == UInt8(ascii: "e") || character == UInt8(ascii: "E") {
      isInteger = false
      position += 1
      if character == UInt8(ascii: "+") || character == UInt8(ascii: "-") { position += 1 }
      _ = try self.digits()
    }
    return .number(start..<position, isInteger: isInteger)
  }

  private mutating func digits() throws(Misread) -> Int {
    let start = position
    while isDigit { position += 1 }
    if position == start { throw misread("a digit") }
    return position - start
  }

  private mutating func string() throws(Misread) -> Range<Int> {
    position += 1
    let start = position
    while let next = character {
      switch next {
      case UInt8(ascii: "\""):
        position += 1
        return start..<(position - 1)
      case UInt8(ascii: "\\"): try skipEscape()
      case 0..<0x20: throw misread("no control character in a string; there are escapes for them")
      case 0x20..<0x80: position += 1
      default:
        if position >= validEnd { throw misread("UTF-8") }
        position += 1
      }
    }
    throw misread("the quote that ends a string")
  }

  private mutating func skipEscape() throws(Misread) {
    let start = position
    position += 2
    switch start + 1 < text.count ? text[start + 1] : 0 {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      return
    case UInt8(ascii: "u"):
      for _ in 0..<4 {
        guard let next = character, Hexadecimal.value(next) != nil else {
          throw misread(#"four hexadecimal digits behind \u"#)
        }
        position += 1
      }
    default: throw misread("an escape of JSON", at: start)
    }
  }

  private func misread(_ expected: String, at offset: Int? = nil) -> Misread {
    let offset = offset ?? position
    return Misread(
      at: offset, expected: expected, found: described(text[min(offset, text.count)...].prefix(8)))
  }
}

extension JSONScanner {
  /// Spells the control characters that JSON allows in strings, U+007F to U+009F, as escapes: terminals obey them.
  static func escapeControls(in text: inout [UInt8], from start: Int) {
    guard let first = text[start...].firstIndex(where: { $0 == 0x7f || $0 == 0xc2 }) else { return }
    let rest = Array(text[first...])
    text.removeLast(rest.count)
    var index = 0
    while index < rest.count {
      let byte = rest[index]
      index += 1
      // In JSON, which is UTF-8, a byte follows.
      if byte == 0xc2, rest[index] < 0xa0 {
        text += #"\u00"#.utf8
        Hexadecimal.write(rest[index], to: &text)
        index += 1
      } else if byte == 0x7f {
        text += #"\u007f"#.utf8
      } else {
        text.append(byte)
      }
    }
  }

  /// Appends a JSON text without the blanks between its tokens, which then stands on one line. Numbers and strings
  /// keep their spelling, objects their order.
  static func writeCompact(_ text: [UInt8], to line: inout [UInt8]) throws(Misread) {
    line.reserveCapacity(line.count + text.count)
    var scanner = JSONScanner(text)
    var needsComma = false
    while let token = try scanner.next() {
      switch token {
      case .endArray: line.append(UInt8(ascii: "]"))
      case .endObject: line.append(UInt8(ascii: "}"))
      default:
        if needsComma { line.append(UInt8(ascii: ",")) }
      }
      needsComma = true
      switch token {
      case .beginArray:
        line.append(UInt8(ascii: "["))
        needsComma = false
      case .beginObject:
        line.append(UInt8(ascii: "{"))
        needsComma = false
      case .key(let range):
        line += text[(range.lowerBound - 1)...range.upperBound]
        line.append(UInt8(ascii: ":"))
        needsComma = false
      case .string(let range): line += text[(range.lowerBound - 1)...range.upperBound]
      case .number(let range, isInteger: _): line += text[range]
      case .bool(let value): line += (value ? "true" : "false").utf8
      case .null: line += "null".utf8
      case .endArray, .endObject: break
      }
    }
  }
}
