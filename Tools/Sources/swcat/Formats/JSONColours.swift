/// JSON for terminals.
enum JSONColours {
  private enum Colour: String {
    case name = "34;1"
    case string = "32"
    case number = "36"
    case word = "35"
  }

  /// Returns a JSON text with colours. The text has no blanks between its tokens. Returns nil if it is not a JSON text.
  static func paint(_ text: [UInt8]) -> [UInt8]? {
    var painted: [UInt8] = []
    painted.reserveCapacity(2 * text.count)
    var scanner = JSONScanner(text)
    var position = 0
    do throws(Misread) {
      while let token = try scanner.next() {
        let range: Range<Int>
        let colour: Colour
        switch token {
        case .key(let name): (range, colour) = (name.lowerBound - 1..<name.upperBound + 1, .name)
        case .string(let text): (range, colour) = (text.lowerBound - 1..<text.upperBound + 1, .string)
        case .number(let number, isInteger: _): (range, colour) = (number, .number)
        case .bool(let value):
          (range, colour) = (scanner.position - (value ? 4 : 5)..<scanner.position, .word)
        case .null: (range, colour) = (scanner.position - 4..<scanner.position, .word)
        case .beginArray, .endArray, .beginObject, .endObject: continue
        }
        painted += text[position..<range.lowerBound]
        painted += "\u{1b}[\(colour.rawValue)m".utf8
        painted += text[range]
        painted += "\u{1b}[0m".utf8
        position = range.upperBound
      }
    } catch {
      return nil
    }
    return painted + text[position...]
  }
}
