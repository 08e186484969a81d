/// The parts of a JSON text. Its values are in one array, each behind the values that it contains. So a loop over the array
/// meets the parts before the whole, and needs no recursion, which a deeply nested text would overflow.
struct JSONDocument {
  enum Node {
    case null
    case bool(Bool)
    /// The number as it is spelled.
    case integer(String)
    case number(String)
    case string(String)
    case array([Int])
    case object([(name: String, value: Int)])
  }

  private(set) var nodes: [Node] = []
  /// The end of each value in the text.
  private(set) var ends: [Int] = []

  /// The value that contains all others.
  var root: Int { nodes.count - 1 }

  init(_ text: [UInt8]) throws(Misread) {
    /// A container that is not complete yet.
    struct Open {
      var name: String?
      var elements: [Int] = []
      var members: [(name: String, value: Int)] = []
    }
    var scanner = JSONScanner(text)
    var open: [Open] = []
    while let token = try scanner.next() {
      let node: Node
      switch token {
      case .beginArray, .beginObject:
        open.append(Open())
        continue
      case .key(let range):
        let name = try Self.string(text[range])
        open[open.count - 1].name = name
        continue
      case .endArray: node = .array(open.popLast()?.elements ?? [])
      case .endObject: node = .object(open.popLast()?.members ?? [])
      case .string(let range): node = .string(try Self.string(text[range]))
      case .number(let range, let isInteger):
        let spelling = String(decoding: text[range], as: UTF8.self)
        node = isInteger ? .integer(spelling) : .number(spelling)
      case .bool(let value): node = .bool(value)
      case .null: node = .null
      }
      let index = nodes.count
      nodes.append(node)
      ends.append(scanner.position)
      guard !open.isEmpty else { continue }
      if let name = open[open.count - 1].name {
        open[open.count - 1].members.append((name, index))
        open[open.count - 1].name = nil
      } else {
        open[open.count - 1].elements.append(index)
      }
    }
  }

  /// Undoes the escapes of a string. The scanner has checked them.
  private static func string(_ text: ArraySlice<UInt8>) throws(Misread) -> String {
    guard text.contains(UInt8(ascii: "\\")) else { return String(decoding: text, as: UTF8.self) }
    var scalars = String.UnicodeScalarView()
    var rest = text
    while !rest.isEmpty {
      guard let backslash = rest.firstIndex(of: UInt8(ascii: "\\")) else { break }
      scalars.append(contentsOf: String(decoding: rest[..<backslash], as: UTF8.self).unicodeScalars)
      let escape = rest[backslash + 1]
      rest = rest[(backslash + 2)...]
      switch escape {
      case UInt8(ascii: "b"): scalars.append("\u{8}")
      case UInt8(ascii: "f"): scalars.append("\u{c}")
      case UInt8(ascii: "n"): scalars.append("\n")
      case UInt8(ascii: "r"): scalars.append("\r")
      case UInt8(ascii: "t"): scalars.append("\t")
      case UInt8(ascii: "u"):
        var units = [unit(&rest)]
        if UTF16.isLeadSurrogate(units[0]), rest.starts(with: #"\u"#.utf8) {
          rest = rest.dropFirst(2)
          units.append(unit(&rest))
        }
        guard let decoded = String(validating: units, as: UTF16.self) else {
          throw Misread(
            at: backslash, expected: "a surrogate as one of a pair",
            found: described(text[backslash...].prefix(6)))
        }
        scalars.append(contentsOf: decoded.unicodeScalars)
      default: scalars.append(Unicode.Scalar(escape))
      }
    }
    scalars.append(contentsOf: String(decoding: rest, as: UTF8.self).unicodeScalars)
    return String(scalars)
  }

  private static func unit(_ rest: inout ArraySlice<UInt8>) -> UInt16 {
    var unit: UInt16 = 0
    for digit in rest.prefix(4) { unit = unit << 4 | UInt16(Hexadecimal.value(digit) ?? 0) }
    rest = rest.dropFirst(4)
    return unit
  }
}

extension String {
  /// The text as a JSON string with quotes. Characters that terminals interpret are escaped.
  var quotedAsJSON: String {
    var quoted = "\""
    for scalar in unicodeScalars {
      switch scalar {
      case "\"", "\\": quoted += "\\\(scalar)"
      case "\n": quoted += "\\n"
      case "\r": quoted += "\\r"
      case "\t": quoted += "\\t"
      case "\0"..<" ", "\u{7f}"..."\u{9f}":
        quoted += "\\u00" + Hexadecimal.text([UInt8(truncatingIfNeeded: scalar.value)])
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
