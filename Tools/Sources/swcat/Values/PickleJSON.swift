internal import SWMessaging
internal import SWPickle

/// Python's values as plain JSON, wherever JSON can say them: None, bools, ints, finite floats, strs, lists, and dicts
/// whose keys are strs; tuples as arrays, as Python's own `json` has them.
enum PickleJSON {
  /// A short pickle can refer to one list a thousand times, and that to another: written out, as JSON must, it is
  /// longer than any memory. So a text may have this many bytes, and eight more for each of the pickle.
  private static var longestText: Int { 64 << 20 }

  private enum Step {
    case value(PickleValue)
    case key(PickleValue)
    case text(String)
    case leave(PickleValue.Identity)
  }

  /// Appends the value, on one line. No nesting recurses.
  static func write(
    _ root: PickleValue, payloadSize: Int, to line: inout [UInt8]
  ) throws(Misread) {
    let longest = line.count + longestText + 8 * payloadSize
    var inside: Set<PickleValue.Identity> = []
    var steps = [Step.value(root)]
    while let step = steps.popLast() {
      if line.count > longest {
        throw refusal("a value whose shared parts, each written out, take more than \(longest) bytes")
      }
      switch step {
      case .text(let text): line += text.utf8
      case .leave(let identity): inside.remove(identity)
      case .key(let key):
        guard let name = key.text else { throw refusal("a dict with a key that is no str") }
        line += name.quotedAsJSON.utf8
        line.append(UInt8(ascii: ":"))
      case .value(let value):
        switch value.content {
        case .none: line += "null".utf8
        case .bool(let value): line += (value ? "true" : "false").utf8
        case .int(let value):
          let digits = "\(value)"
          // Beyond Python's limit for decimal digits it is hexadecimal.
          if digits.contains("x") { throw refusal("an int of more than \(PickleInt.longestDecimal) digits") }
          line += digits.utf8
        case .float(let value):
          if !value.isFinite { throw refusal("a float that is \(Tagged.shown(value))") }
          line += "\(value)".utf8
        case .string(let value): line += value.quotedAsJSON.utf8
        case .list(let elements), .tuple(let elements):
          line.append(UInt8(ascii: "["))
          steps.append(.text("]"))
          try enter(value, &inside, &steps)
          for (index, element) in elements.enumerated().reversed() {
            steps.append(.value(element))
            if index > 0 { steps.append(.text(",")) }
          }
        case .dict(let pairs), .orderedDict(let pairs):
          line.append(UInt8(ascii: "{"))
          steps.append(.text("}"))
          try enter(value, &inside, &steps)
          for (index, pair) in pairs.enumerated().reversed() {
            steps += [.value(pair.value), .key(pair.key)]
            if index > 0 { steps.append(.text(",")) }
          }
        default: throw refusal(kind(of: value))
        }
      }
    }
  }

  private static func enter(
    _ value: PickleValue, _ inside: inout Set<PickleValue.Identity>, _ steps: inout [Step]
  ) throws(Misread) {
    guard let identity = value.identity else { return }
    if !inside.insert(identity).inserted { throw refusal("a value that contains itself") }
    steps.append(.leave(identity))
  }

  private static func refusal(_ found: String) -> Misread {
    Misread(at: 0, expected: "a value that JSON can say (the format 'tagged' has all)", found: found)
  }

  private static func kind(of value: PickleValue) -> String {
    switch value.content {
    case .complex: "complex"
    case .bytes: "bytes"
    case .byteArray: "bytearray"
    case .set: "set"
    case .frozenSet: "frozenset"
    case .date: "date"
    case .time: "time"
    case .dateTime: "datetime"
    case .timeDelta: "timedelta"
    case .timeZone: "timezone"
    case .decimal: "Decimal"
    case .uuid: "UUID"
    case .array: "NumPy array"
    case .arrayType: "NumPy dtype"
    case .name(let name): "\(name)"
    default: "an object"
    }
  }

  /// The value of a JSON text: numbers with a point or an exponent are floats, others ints of any size.
  static func read(_ document: JSONDocument) throws(Misread) -> PickleValue {
    var builder = PickleBuilder()
    var made: [PickleBuilder.Reference] = []
    made.reserveCapacity(document.nodes.count)
    for (index, node) in document.nodes.enumerated() {
      switch node {
      case .null: made.append(builder.add(.none))
      case .bool(let value): made.append(builder.add(PickleValue(value)))
      case .integer(let spelling):
        guard let value = PickleInt(spelling) else {
          throw Misread(
            at: document.ends[index], expected: "an integer of at most \(PickleInt.longestDecimal) digits",
            found: "a longer one")
        }
        made.append(builder.add(PickleValue(value)))
      case .number(let spelling):
        guard let value = Double(spelling), value.isFinite else {
          throw Misread(at: document.ends[index], expected: "a number that 64 bits hold", found: spelling)
        }
        made.append(builder.add(PickleValue(value)))
      case .string(let text): made.append(builder.string(text))
      case .array(let elements): made.append(builder.list(elements.map { made[$0] }))
      case .object(let members):
        let pairs = members.map { (builder.string($0.name), made[$0.value]) }
        made.append(builder.dict(pairs))
      }
    }
    return builder.value(made[document.root])
  }
}
