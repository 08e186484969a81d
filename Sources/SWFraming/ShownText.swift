// The texts of errors have parts that a peer has chosen: a key, a class's name, a number of a million digits. Such a text is
// cut, because it would be as long as the message, and what would end a line of a log or change how a terminal shows
// it is escaped.

extension String {
  /// The text on one line, for an error: control characters, line separators and marks of the direction of text are
  /// escaped as in Swift's source code. Of a longer text, the first `limit` characters of Unicode and its length.
  package func shown(upTo limit: Int = 600) -> String {
    if utf8.count <= limit, utf8.allSatisfy({ 0x20..<0x7f ~= $0 }) { return self }
    var result = ""
    var left = limit
    for character in unicodeScalars {
      if left == 0 { return "\(result)… (\(utf8.count) bytes)" }
      left -= 1
      switch character {
      case "\n": result += #"\n"#
      case "\r": result += #"\r"#
      case "\t": result += #"\t"#
      case let character where character.changesDisplay:
        result += "\\u{\(String(character.value, radix: 16, uppercase: true))}"
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }

  /// The text in quotes, for an error; the rest as in ``shown(upTo:)``.
  package func quoted(upTo limit: Int = 100) -> String {
    guard utf8.count > limit else { return debugDescription.shown(upTo: .max) }
    let start = String(unicodeScalars.prefix(limit))
    return start.debugDescription.shown(upTo: .max)
      + (start.utf8.count == utf8.count ? "" : "… (\(utf8.count) bytes)")
  }
}

extension Unicode.Scalar {
  /// Whether terminals, or what shows a log, interpret the character: C0 and C1 controls, line and paragraph separators, and
  /// marks that change the direction of the text around them.
  fileprivate var changesDisplay: Bool {
    switch value {
    case 0..<0x20, 0x7f..<0xa0, 0x61c, 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069, 0xfeff: true
    default: false
    }
  }
}
