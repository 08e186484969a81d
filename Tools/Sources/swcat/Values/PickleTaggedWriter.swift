internal import SWMessaging
internal import SWPickle

/// Writes Python's values in the lossless form: each says its type, and an object that is met twice, or that
/// contains itself, has a number.
///
///     {"t":"int","v":"7"}   {"t":"float","bits":"3ff8000000000000","v":"1.5"}   {"t":"bytes","hex":"00ff"}
///     {"t":"list","id":1,"v":[{"t":"none"},{"t":"ref","id":1}]}
///     {"t":"dict","v":[[{"t":"str","v":"a"},{"t":"bool","v":true}]]}
///
/// In two passes: the first finds what is met twice. Linear in the value, and no nesting recurses.
struct PickleTaggedWriter {
  private enum Step {
    case value(PickleValue)
    case text(String)
  }

  /// The numbers of objects that are met twice, once they have been written; nil before.
  private var shared: [PickleValue.Identity: Int?] = [:]
  private var lastNumber = 0
  /// Innermost last: what is still to be written.
  private var steps: [Step] = []

  mutating func write(_ root: PickleValue, to line: inout [UInt8]) throws(Misread) {
    findShared(root)
    steps = [.value(root)]
    while let step = steps.popLast() {
      switch step {
      case .text(let piece): line += piece.utf8
      case .value(let value):
        var number = ""
        if let identity = value.identity, let known = shared[identity] {
          if let known {
            line += #"{"t":"ref","id":\#(known)}"#.utf8
            continue
          }
          lastNumber += 1
          shared[identity] = .some(lastNumber)
          number = #","id":\#(lastNumber)"#
        }
        try write(value, number, to: &line)
      }
    }
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
        waiting += [object.callee, object.base, object.state, object.stateSetter, object.keywordArguments]
          .compactMap { $0 }
        waiting += object.arguments
        waiting += object.appended
        for (key, value) in object.items { waiting += [key, value] }
      default: break
      }
    }
  }

  private mutating func write(
    _ value: PickleValue, _ number: String, to line: inout [UInt8]
  ) throws(Misread) {
    func simple(_ type: String, _ fields: String = "") {
      line += #"{"t":"\#(type)"\#(number)\#(fields)}"#.utf8
    }
    func bytes(_ type: String, _ bytes: [UInt8], _ fields: String = "") {
      line += #"{"t":"\#(type)"\#(number)\#(fields),"hex":""#.utf8
      Hexadecimal.write(bytes, to: &line)
      line += #""}"#.utf8
    }
    switch value.content {
    case .none: simple("none")
    case .bool(let value): simple("bool", #","v":\#(value)"#)
    case .int(let value): simple("int", #","v":"\#(value)""#)
    case .float(let value):
      simple("float", #","bits":"\#(Tagged.bits(value))","v":"\#(Tagged.shown(value))""#)
    case .complex(let value):
      simple("complex", #","re":"\#(Tagged.bits(value.real))","im":"\#(Tagged.bits(value.imaginary))""#)
    case .string(let value): simple("str", #","v":\#(value.quotedAsJSON)"#)
    case .bytes(let value): bytes("bytes", value)
    case .byteArray(let value): bytes("bytearray", value)
    case .list(let elements): open("list", number, elements, to: &line)
    case .tuple(let elements): open("tuple", number, elements, to: &line)
    case .set(let elements): open("set", number, elements, to: &line)
    case .frozenSet(let elements): open("frozenset", number, elements, to: &line)
    case .dict(let pairs): open("dict", number, pairs, to: &line)
    case .orderedDict(let pairs): open("ordereddict", number, pairs, to: &line)
    case .date(let value): simple("date", #","v":"\#(value)""#)
    case .time(let value): simple("time", Self.fields(of: value, on: ""))
    case .dateTime(let value): simple("datetime", Self.fields(of: value.time, on: "\(value.date)T"))
    case .timeDelta(let value):
      simple(
        "timedelta",
        #","days":\#(value.days),"seconds":\#(value.seconds),"microseconds":\#(value.microseconds)"#)
    case .timeZone(let value): simple("timezone", Self.fields(of: value))
    case .decimal(let value): simple("decimal", #","v":"\#(value.text)""#)
    case .uuid(let value):
      let digits = String(value.number, radix: 16)
      simple("uuid", #","v":"\#(String(repeating: "0", count: 32 - digits.utf8.count))\#(digits)""#)
    case .array(let value):
      let order = value.order == .rowMajor ? "C" : "F"
      let shape = value.shape.map(String.init).joined(separator: ",")
      bytes("array", value.bytes, #","dtype":"\#(value.type)","shape":[\#(shape)],"order":"\#(order)""#)
    case .arrayType(let value): simple("dtype", #","v":"\#(value)""#)
    case .name(let value):
      simple("global", #","name":\#("\(value.module).\(value.name)".quotedAsJSON)"#)
    case .object(let object): open(object, number, to: &line)
    }
  }

  /// An object of a class that is not known here: what is called, and what else the pickle says.
  private mutating func open(_ object: PickleObject, _ number: String, to line: inout [UInt8]) {
    line += #"{"t":"object"\#(number),"callee":"#.utf8
    steps.append(.text("}"))
    if !object.items.isEmpty {
      steps.append(.text("]"))
      wait(object.items)
      steps.append(.text(#","items":["#))
    }
    if !object.appended.isEmpty {
      steps.append(.text("]"))
      wait(object.appended)
      steps.append(.text(#","appended":["#))
    }
    if let setter = object.stateSetter { steps += [.value(setter), .text(#","setter":"#)] }
    if let state = object.state { steps += [.value(state), .text(#","state":"#)] }
    if let keywords = object.keywordArguments { steps += [.value(keywords), .text(#","kwargs":"#)] }
    if object.isNew { steps.append(.text(#","new":true"#)) }
    if let base = object.base { steps += [.value(base), .text(#","base":"#)] }
    steps.append(.text("]"))
    wait(object.arguments)
    steps += [.text(#","args":["#), .value(object.callee)]
  }

  private mutating func wait(_ elements: PickleElements) {
    for (index, element) in elements.enumerated().reversed() {
      steps.append(.value(element))
      if index > 0 { steps.append(.text(",")) }
    }
  }

  private mutating func wait(_ pairs: PicklePairs) {
    for (index, pair) in pairs.enumerated().reversed() {
      steps += [.text("]"), .value(pair.value), .text(","), .value(pair.key), .text(index > 0 ? ",[" : "[")]
    }
  }

  private mutating func open(
    _ type: String, _ number: String, _ elements: PickleElements, to line: inout [UInt8]
  ) {
    line += #"{"t":"\#(type)"\#(number),"v":["#.utf8
    steps.append(.text("]}"))
    wait(elements)
  }

  private mutating func open(
    _ type: String, _ number: String, _ pairs: PicklePairs, to line: inout [UInt8]
  ) {
    line += #"{"t":"\#(type)"\#(number),"v":["#.utf8
    steps.append(.text("]}"))
    wait(pairs)
  }

  /// A time of a day, after the date's text. The zone has its own fields: its text alone would lose its name.
  private static func fields(of time: PickleTime, on date: String) -> String {
    var naive = time
    naive.timeZone = nil
    let zone = time.timeZone.map { #","zone":{"t":"timezone"\#(fields(of: $0))}"# } ?? ""
    return #","v":"\#(date)\#(naive)"\#(time.isFold ? #","fold":1"# : "")\#(zone)"#
  }

  private static func fields(of zone: PickleTimeZone) -> String {
    (zone.offset.map { #","microseconds":\#($0.microseconds)"# } ?? "")
      + (zone.name.map { #","name":\#($0.quotedAsJSON)"# } ?? "")
  }
}
