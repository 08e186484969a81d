extension PickleValue: CustomStringConvertible {
  /// The value as Python shows it. A long value is cut after a few hundred parts.
  public var description: String {
    var text = PickleDescription()
    text.write(self)
    return text.result
  }
}

/// Describes a value with an explicit stack, so nesting causes no recursion.
private struct PickleDescription {
  private enum Step {
    case value(PickleValue)
    case text(String)
  }

  private(set) var result = ""
  private var partsLeft = 256
  private static let longestText = 512
  private static let longestContainer = 64

  mutating func write(_ value: PickleValue) {
    var steps = [Step.value(value)]
    while let step = steps.popLast() {
      switch step {
      case .text(let text): result += text
      case .value(let value):
        partsLeft -= 1
        if partsLeft <= 0 {
          result += "…"
          // Open brackets are closed, unless there are very many.
          if steps.count > 256 { return }
          steps.removeAll { if case .text(let text) = $0 { text == ", " || text == ": " } else { true } }
        } else {
          write(value.content, &steps)
        }
      }
    }
  }

  private mutating func write(_ content: PickleValue.Content, _ steps: inout [Step]) {
    switch content {
    case .none: result += "None"
    case .bool(let value): result += value ? "True" : "False"
    case .int(let value):
      let text = value.description
      result += text.utf8.count <= Self.longestText ? text : "\(text.prefix(32))… (\(text.utf8.count) digits)"
    case .float(let value): result += "\(value)"
    case .complex(let value): result += "complex(\(value.real), \(value.imaginary))"
    case .string(let value): result += Self.quoted(value)
    case .bytes(let value): result += "bytes(\(Self.hexadecimal(value)))"
    case .byteArray(let value): result += "bytearray(\(Self.hexadecimal(value)))"
    case .list(let elements): list("[", elements, "]", &steps)
    case .tuple(let elements): list("(", elements, elements.count == 1 ? ",)" : ")", &steps)
    case .set(let elements): list("set(", elements, ")", &steps)
    case .frozenSet(let elements): list("frozenset(", elements, ")", &steps)
    case .dict(let pairs): list("{", pairs, "}", &steps)
    case .orderedDict(let pairs): list("OrderedDict({", pairs, "})", &steps)
    case .date(let value): result += "\(value)"
    case .time(let value): result += "\(value)"
    case .dateTime(let value): result += "\(value)"
    case .timeDelta(let value): result += "\(value)"
    case .timeZone(let value): result += "timezone(\(value))"
    case .decimal(let value): result += "Decimal(\(value.text.prefix(Self.longestText)))"
    case .uuid(let value): result += "UUID(\(String(value.number, radix: 16)))"
    case .array(let value): result += "\(value)"
    case .arrayType(let value): result += "dtype(\(value))"
    case .name(let value): result += "<\(value)>"
    case .object(let value):
      result += "<"
      if let name = value.name { result += "\(name)" }
      steps.append(.text(">"))
      if let state = value.state { steps += [.value(state), .text(" ")] }
      if !value.items.isEmpty { steps += [.text("…")] }
      if !value.appended.isEmpty { steps += [.text("…")] }
      if value.name == nil { steps += [.value(value.callee), .text(" called on ")] }
      list("(", value.arguments, ")", &steps)
    }
  }

  private mutating func list(
    _ opening: String, _ elements: PickleElements, _ closing: String, _ steps: inout [Step]
  ) {
    result += opening
    steps.append(.text(closing))
    if elements.count > Self.longestContainer { steps.append(.text("… \(elements.count) in all")) }
    for (index, element) in elements.prefix(Self.longestContainer).enumerated().reversed() {
      if index < elements.count - 1 { steps.append(.text(", ")) }
      steps.append(.value(element))
    }
  }

  private mutating func list(
    _ opening: String, _ pairs: PicklePairs, _ closing: String, _ steps: inout [Step]
  ) {
    result += opening
    steps.append(.text(closing))
    if pairs.count > Self.longestContainer { steps.append(.text("… \(pairs.count) in all")) }
    for (index, (key, value)) in pairs.prefix(Self.longestContainer).enumerated().reversed() {
      if index < pairs.count - 1 { steps.append(.text(", ")) }
      steps += [.value(value), .text(": "), .value(key)]
    }
  }

  private static func quoted(_ text: String) -> String {
    if text.utf8.count <= longestText { return text.debugDescription }
    return "\(String(text.unicodeScalars.prefix(64)).debugDescription)… (\(text.utf8.count) bytes)"
  }

  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = bytes.prefix(64).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    return bytes.count <= 64 ? digits : "\(digits)… (\(bytes.count) bytes)"
  }
}
