import Foundation
import SWPickle

// The lossless form of Python's values in JSON: every value says its type, and objects that are shared or that contain
// themselves carry a number.
//
//   {"t":"int","v":"7"}   {"t":"float","bits":"3ff8000000000000","v":"1.5"}   {"t":"bytes","hex":"00ff"}
//   {"t":"list","id":1,"v":[{"t":"none"},{"t":"ref","id":1}]}
//   {"t":"dict","v":[[{"t":"str","v":"a"},{"t":"bool","v":true}]]}

extension PickleValue {
  /// The value in that form, on one line. Linear in the value, and no nesting recurses.
  var tagged: String {
    var writer = TaggedWriter()
    return writer.write(self)
  }
}

/// Writes in two passes: the first finds what is met twice.
private struct TaggedWriter {
  private enum Step {
    case value(PickleValue)
    case text(String)
  }

  /// The numbers of objects that are met twice, once they have been written; nil before.
  private var shared: [PickleValue.Identity: Int?] = [:]
  private var lastNumber = 0

  mutating func write(_ root: PickleValue) -> String {
    findShared(root)
    var text = ""
    var steps = [Step.value(root)]
    while let step = steps.popLast() {
      switch step {
      case .text(let piece): text += piece
      case .value(let value):
        var number = ""
        if let identity = value.identity, let known = shared[identity] {
          if let known {
            text += #"{"t":"ref","id":\#(known)}"#
            continue
          }
          lastNumber += 1
          shared[identity] = .some(lastNumber)
          number = #","id":\#(lastNumber)"#
        }
        write(value, number, &text, &steps)
      }
    }
    return text
  }

  private mutating func findShared(_ root: PickleValue) {
    var met: Set<PickleValue.Identity> = []
    var waiting = [root]
    while let value = waiting.popLast() {
      if let identity = value.identity, !met.insert(identity).inserted {
        shared[identity] = .some(nil)
        continue
      }
      switch value.content {
      case .list(let elements), .tuple(let elements), .set(let elements), .frozenSet(let elements):
        waiting += elements
      case .dict(let pairs), .orderedDict(let pairs):
        for (key, value) in pairs { waiting += [key, value] }
      case .object(let object):
        waiting += object.arguments
        waiting += object.appended
        for (key, value) in object.items { waiting += [key, value] }
        waiting += [object.state, object.keywordArguments].compactMap { $0 }
      default: break
      }
    }
  }

  private func write(_ value: PickleValue, _ number: String, _ text: inout String, _ steps: inout [Step]) {
    func open(_ type: String) -> String { #"{"t":"\#(type)"\#(number)"# }
    func list(_ type: String, _ elements: PickleElements) {
      text += open(type) + #","v":["#
      steps.append(.text("]}"))
      steps += Self.separated(elements.map { [.value($0)] })
    }
    func dict(_ type: String, _ pairs: PicklePairs) {
      text += open(type) + #","v":["#
      steps.append(.text("]}"))
      steps += Self.separated(
        pairs.map { [.text("["), .value($0.key), .text(","), .value($0.value), .text("]")] })
    }
    switch value.content {
    case .none: text += open("none") + "}"
    case .bool(let value): text += open("bool") + #","v":\#(value)}"#
    case .int(let value): text += open("int") + #","v":"\#(value)"}"#
    case .float(let value):
      text += open("float") + #","bits":"\#(Self.bits(value))","v":"\#(Self.python(value))"}"#
    case .complex(let value):
      text += open("complex") + #","re":"\#(Self.bits(value.real))","im":"\#(Self.bits(value.imaginary))"}"#
    case .string(let value): text += open("str") + #","v":\#(Self.quoted(value))}"#
    case .bytes(let value): text += open("bytes") + #","hex":"\#(Self.hexadecimal(value))"}"#
    case .byteArray(let value): text += open("bytearray") + #","hex":"\#(Self.hexadecimal(value))"}"#
    case .list(let elements): list("list", elements)
    case .tuple(let elements): list("tuple", elements)
    case .set(let elements): list("set", elements)
    case .frozenSet(let elements): list("frozenset", elements)
    case .dict(let pairs): dict("dict", pairs)
    case .orderedDict(let pairs): dict("ordereddict", pairs)
    case .date(let value): text += open("date") + #","v":"\#(value)"}"#
    case .time(let value): text += open("time") + #","v":"\#(value)"\#(value.isFold ? #","fold":1"# : "")}"#
    case .dateTime(let value):
      text += open("datetime") + #","v":"\#(value)"\#(value.time.isFold ? #","fold":1"# : "")}"#
    case .timeDelta(let value):
      text += open("timedelta")
      text += #","days":\#(value.days),"seconds":\#(value.seconds),"microseconds":\#(value.microseconds)}"#
    case .timeZone(let value):
      text += open("timezone") + #","microseconds":\#(value.offset?.microseconds ?? 0)"#
      text += value.name.map { #","name":\#(Self.quoted($0))}"# } ?? "}"
    case .decimal(let value): text += open("decimal") + #","v":"\#(value.text)"}"#
    case .uuid(let value):
      let digits = String(value.number, radix: 16)
      text += open("uuid") + #","v":"\#(String(repeating: "0", count: 32 - digits.count) + digits)"}"#
    case .array(let value):
      text += open("array") + #","dtype":"\#(value.type)","shape":\#(value.shape)"#
      text +=
        #","order":"\#(value.order == .rowMajor ? "C" : "F")","hex":"\#(Self.hexadecimal(value.bytes))"}"#
    case .arrayType(let value): text += open("dtype") + #","v":"\#(value)"}"#
    case .name(let value):
      text += open("global") + #","name":\#(Self.quoted("\(value.module).\(value.name)"))}"#
    case .object(let object):
      let name = object.name.map { "\($0.module).\($0.name)" } ?? "\(object.callee)"
      text += open("object") + #","class":\#(Self.quoted(name)),"args":["#
      steps.append(.text("}"))
      if !object.items.isEmpty {
        steps.append(.text("]"))
        steps += Self.separated(
          object.items.map { [.text("["), .value($0.key), .text(","), .value($0.value), .text("]")] })
        steps.append(.text(#","setitems":["#))
      }
      if !object.appended.isEmpty {
        steps.append(.text("]"))
        steps += Self.separated(object.appended.map { [.value($0)] })
        steps.append(.text(#","appended":["#))
      }
      if let state = object.state { steps += [.value(state), .text(#","state":"#)] }
      if let keywords = object.keywordArguments { steps += [.value(keywords), .text(#","kwargs":"#)] }
      steps.append(.text("]"))
      steps += Self.separated(object.arguments.map { [.value($0)] })
    }
  }

  /// Steps in the order of a stack, with commas between.
  private static func separated(_ items: [[Step]]) -> [Step] {
    var steps: [Step] = []
    for (index, item) in items.enumerated().reversed() {
      steps += item.reversed()
      if index > 0 { steps.append(.text(",")) }
    }
    return steps
  }

  private static func bits(_ value: Double) -> String {
    let digits = String(value.bitPattern, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }

  private static func python(_ value: Double) -> String {
    value.isNaN ? "nan" : value.isInfinite ? (value < 0 ? "-inf" : "inf") : "\(value)"
  }

  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(2 * bytes.count)
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  private static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": quoted += "\\\(scalar)"
      case "\n": quoted += "\\n"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f:
        quoted += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}

/// A value read from that form; it decodes by recursion, within what `JSONDecoder` allows.
struct TaggedValue: Decodable, Sendable {
  private indirect enum Node: Sendable {
    case small(PickleValue)
    case list(String, [TaggedValue])
    case dict([(TaggedValue, TaggedValue)])
    case reference
  }
  private let node: Node
  private let id: Int?

  private enum Key: String, CodingKey {
    case t, v, id, bits, re, im, utf8, hex, fill, n, range, rangeKeys
  }

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    func double(_ key: Key) throws -> Double {
      guard let bits = UInt64(try container.decode(String.self, forKey: key), radix: 16) else {
        throw DecodingError.dataCorruptedError(forKey: key, in: container, debugDescription: "not 64 bits")
      }
      return Double(bitPattern: bits)
    }
    id = try container.decodeIfPresent(Int.self, forKey: .id)
    let type = try container.decode(String.self, forKey: .t)
    switch type {
    case "none": node = .small(.none)
    case "ref": node = .reference
    case "bool": node = .small(PickleValue(try container.decode(Bool.self, forKey: .v)))
    case "int":
      guard let value = PickleInt(try container.decode(String.self, forKey: .v)) else {
        throw DecodingError.dataCorruptedError(forKey: .v, in: container, debugDescription: "not an int")
      }
      node = .small(PickleValue(value))
    case "float": node = .small(PickleValue(try double(.bits)))
    case "complex":
      node = .small(PickleValue(PickleComplex(real: try double(.re), imaginary: try double(.im))))
    case "str":
      if let wire = try container.decodeIfPresent(Wire.self, forKey: .utf8) {
        node = .small(PickleValue(String(decoding: wire.bytes, as: UTF8.self)))
      } else {
        node = .small(PickleValue(try container.decode(String.self, forKey: .v)))
      }
    case "bytes": node = .small(.bytes(try container.decode(Wire.self, forKey: .hex).bytes))
    case "bytearray": node = .small(.byteArray(try container.decode(Wire.self, forKey: .hex).bytes))
    case "dict":
      if let count = try container.decodeIfPresent(Int.self, forKey: .rangeKeys) {
        let fill = try container.decode(TaggedValue.self, forKey: .fill)
        node = .dict((0..<count).map { (TaggedValue(PickleValue($0)), fill) })
      } else {
        node = .dict(try container.decode([[TaggedValue]].self, forKey: .v).map { ($0[0], $0[1]) })
      }
    case "list", "tuple", "set", "frozenset":
      if let count = try container.decodeIfPresent(Int.self, forKey: .range) {
        node = .list(type, (0..<count).map { TaggedValue(PickleValue($0)) })
      } else if let count = try container.decodeIfPresent(Int.self, forKey: .n) {
        let fill = try container.decode(TaggedValue.self, forKey: .fill)
        node = .list(type, Array(repeating: fill, count: count))
      } else {
        node = .list(type, try container.decode([TaggedValue].self, forKey: .v))
      }
    default:
      throw DecodingError.dataCorruptedError(forKey: .t, in: container, debugDescription: "no type: \(type)")
    }
  }

  private init(_ value: PickleValue) {
    node = .small(value)
    id = nil
  }

  /// Whether nothing but containers is shared in it: protocols 0 to 2 have no opcode for bytes, and so nothing to
  /// share.
  var isWithoutSharedText: Bool {
    switch node {
    case .small: id == nil
    case .list(_, let elements): elements.allSatisfy(\.isWithoutSharedText)
    case .dict(let pairs): pairs.allSatisfy { $0.isWithoutSharedText && $1.isWithoutSharedText }
    case .reference: true
    }
  }

  var value: PickleValue {
    var builder = PickleBuilder()
    var known: [Int: PickleBuilder.Reference] = [:]
    let root = build(&builder, &known)
    return builder.value(root)
  }

  private func build(
    _ builder: inout PickleBuilder, _ known: inout [Int: PickleBuilder.Reference]
  ) -> PickleBuilder.Reference {
    var result: PickleBuilder.Reference
    switch node {
    case .reference:
      guard let id, let reference = known[id] else { preconditionFailure("a reference to nothing") }
      return reference
    case .small(let value): result = builder.add(value)
    case .dict(let pairs):
      result = builder.dict()
      if let id { known[id] = result }
      builder.set(pairs.map { ($0.build(&builder, &known), $1.build(&builder, &known)) }, in: result)
      return result
    case .list(let type, let elements):
      // It may contain itself.
      let placeholder = id.map { _ in builder.placeholder() }
      if let id { known[id] = placeholder }
      let references = elements.map { $0.build(&builder, &known) }
      result =
        switch type {
        case "list": builder.list(references)
        case "tuple": builder.tuple(references)
        case "set": builder.set(references)
        default: builder.frozenSet(references)
        }
      if let placeholder { builder.define(placeholder, as: result) }
    }
    if let id { known[id] = result }
    return result
  }
}
