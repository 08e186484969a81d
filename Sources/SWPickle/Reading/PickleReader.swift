/// Reads a pickle: the machine that its opcodes drive, with a stack, a memo, and nothing that it could run.
///
/// It follows CPython's C unpickler in what it accepts, down to the details: data behind STOP and surplus items on
/// the stack are ignored, FRAME is a promise that so many bytes follow and no more than that, and what a PUT has
/// numbered may be numbered again. Where Python would call something, `PickleReader+BuiltIns.swift` knows the few
/// names that are understood.
///
/// - No opcode recurses, and none takes longer than in proportion to what it reads or takes off the stack.
/// - A length is believed once that many bytes are there.
/// - The memo is an array as long as it is filled in order, and beyond that sparse: an index reserves nothing.
/// - `meter` counts what is taken, before it is.
struct PickleReader {
  let registry: PickleRegistry
  let limits: PickleLimits

  var arena = PickleArena()
  /// How deep each object is nested, those without elements at 0.
  private var depths: [Int32] = []
  private var stack: [PickleSlot] = []
  private var marks: [Int] = []
  private var memo: [PickleSlot] = []
  private var sparseMemo: [Int: PickleSlot] = [:]

  private var keys = PickleKeys()
  /// Where in a dict or set a key stands; of those with more than `smallCount` keys.
  private var places: [KeyOfObject: Int] = [:]
  private struct KeyOfObject: Hashable {
    var object: Int
    var key: Int
  }
  private static let smallCount = 8

  /// Objects of registered classes, and when each was last touched.
  private var objects: [Int: Int] = [:]
  private var objectTime = 0
  /// Objects of standard classes that still wait for their state.
  var awaitingCount = 0
  /// The calls that made dtypes, which a state that is not understood turns into objects again.
  var origins: [Int: PickleObjectNode] = [:]
  /// What the registry says of names and of objects that stand for names, by index.
  private var entries: [Int: Callee] = [:]
  struct Callee {
    var name: PickleName?
    var entry: PickleRegistry.Entry?
  }

  /// The protocol that the pickle names; 0 if it names none.
  private var version: UInt8 = 0
  private var position = 0
  private var opcodeOffset = 0
  private var stackRoom = 0
  private var markRoom = 0
  private var meter: PickleMeter
  private var elementCount = 0

  init(registry: PickleRegistry, limits: PickleLimits) {
    self.registry = registry
    self.limits = limits
    meter = PickleMeter(byteCount: 0, limits: limits)
  }

  /// Reads one pickle.
  ///
  /// - Returns: the value, and how many bytes it took up to STOP.
  mutating func read(_ input: Span<UInt8>) throws -> (value: PickleValue, byteCount: Int) {
    meter = PickleMeter(byteCount: input.count, limits: limits)
    let root = try run(input)
    return (try finish(root), position)
  }

  private mutating func run(_ input: Span<UInt8>) throws(PickleError) -> PickleSlot {
    while true {
      opcodeOffset = position
      guard position < input.count else {
        throw error(.truncated, "an opcode, and STOP at the end", "the end after \(position) bytes")
      }
      let byte = input[position]
      position += 1
      guard let opcode = PickleOpcode(rawValue: byte) else {
        throw error(.malformed, "an opcode", "byte 0x\(String(byte, radix: 16))")
      }
      if opcode == .stop { return try pop() }
      try execute(opcode, input)
    }
  }

  private mutating func execute(_ opcode: PickleOpcode, _ input: Span<UInt8>) throws(PickleError) {
    switch opcode {
    case .stop: break
    case .protocol:
      let version = try byte(input)
      if version > 5 { throw error(.malformed, "protocol 0 to 5", "protocol \(version)") }
      self.version = version
    case .frame: _ = try length(input, byteCount: 8)

    case .none: try push(.none)
    case .newTrue: try push(.bool(true))
    case .newFalse: try push(.bool(false))
    case .binaryInt1: try push(.int(Int(byte(input))))
    case .binaryInt2: try push(.int(Int(number(input, byteCount: 2))))
    case .binaryInt: try push(.int(Int(Int32(truncatingIfNeeded: number(input, byteCount: 4)))))
    case .long1: try push(long(input, byteCount: Int(byte(input))))
    case .long4: try push(long(input, byteCount: length(input, byteCount: 4, isSigned: true)))
    case .int: try push(intLine(line(input)))
    case .long: try push(longLine(line(input)))
    case .float: try push(.float(floatLine(line(input))))
    case .binaryFloat:
      let range = try take(input, 8)
      var bits: UInt64 = 0
      for index in range { bits = bits << 8 | UInt64(input[index]) }
      try push(.float(Double(bitPattern: bits)))

    case .string: try pushPython2(stringLine(line(input)))
    case .unicode: try push(unicodeLine(line(input)))
    case .binaryString: try pushPython2(bytes(input, length(input, byteCount: 4, isSigned: true)))
    case .shortBinaryString: try pushPython2(bytes(input, length(input, byteCount: 1)))
    case .shortBinaryUnicode: try pushUTF8(input, length(input, byteCount: 1))
    case .binaryUnicode: try pushUTF8(input, length(input, byteCount: 4))
    case .binaryUnicode8: try pushUTF8(input, length(input, byteCount: 8))
    case .shortBinaryBytes: try push(new(.bytes(bytes(input, length(input, byteCount: 1)))))
    case .binaryBytes: try push(new(.bytes(bytes(input, length(input, byteCount: 4)))))
    case .binaryBytes8: try push(new(.bytes(bytes(input, length(input, byteCount: 8)))))
    case .byteArray8: try push(new(.byteArray(bytes(input, length(input, byteCount: 8)))))

    case .emptyTuple: try push(new(.tuple([])))
    case .tuple: try pushTuple(popToMark())
    case .tuple1: try pushTuple(pop(1))
    case .tuple2: try pushTuple(pop(2))
    case .tuple3: try pushTuple(pop(3))
    case .emptyList: try push(new(.list([])))
    case .list:
      let list = try new(.list([]))
      try append(popToMark(), to: list)
      try push(list)
    case .append:
      let element = try pop()
      try append([element], to: top())
    case .appends: try append(popToMark(), to: top())
    case .emptyDict: try push(new(.dict([])))
    case .dict:
      let dict = try new(.dict([]))
      try set(popToMark(), in: dict, "DICT")
      try push(dict)
    case .setItem:
      let pair = try pop(2)
      try set(pair, in: top(), "SETITEM")
    case .setItems: try set(popToMark(), in: top(), "SETITEMS")
    case .emptySet: try push(new(.set([])))
    case .addItems: try insert(popToMark(), into: top())
    case .frozenSet: try push(newSet(popToMark(), isFrozen: true))

    case .mark:
      if marks.count == markRoom {
        markRoom += 1024
        try charge(1024 * MemoryLayout<Int>.stride)
      }
      marks.append(stack.count)
    case .pop:
      // A mark is popped as if it were an item.
      if let mark = marks.last, mark == stack.count { marks.removeLast() } else { _ = try pop() }
    case .popMark: _ = try popToMark()
    case .duplicate: try push(top())

    case .put: try memoize(at: indexLine(line(input)))
    case .binaryPut: try memoize(at: Int(byte(input)))
    case .longBinaryPut: try memoize(at: Int(number(input, byteCount: 4)))
    case .memoize: try memoize(at: memo.count + sparseMemo.count)
    case .get: try push(memoized(at: indexLine(line(input))))
    case .binaryGet: try push(memoized(at: Int(byte(input))))
    case .longBinaryGet: try push(memoized(at: Int(number(input, byteCount: 4))))

    case .global:
      let module = try nameLine(line(input))
      try pushName(module, nameLine(line(input)))
    case .stackGlobal:
      let parts = try pop(2)
      guard let module = string(parts[0]), let name = string(parts[1]) else {
        throw error(.malformed, "two str for STACK_GLOBAL", "\(kind(parts[0])) and \(kind(parts[1]))")
      }
      try pushName(module, name)
    case .reduce:
      let parts = try pop(2)
      try push(call(parts[0], with: parts[1], keywords: nil, isNew: false))
    case .newObject:
      let parts = try pop(2)
      try push(call(parts[0], with: parts[1], keywords: nil, isNew: true))
    case .newObjectWithKeywords:
      let parts = try pop(3)
      try push(call(parts[0], with: parts[1], keywords: parts[2], isNew: true))
    case .instance:
      let module = try nameLine(line(input))
      let name = try newName(module, nameLine(line(input)))
      try push(call(name, popToMark(), keywords: nil, isNew: false))
    case .object:
      let parts = try popToMark()
      guard let first = parts.first else { throw underflow() }
      try push(call(first, Array(parts.dropFirst()), keywords: nil, isNew: false))
    case .build:
      let state = try pop()
      try build(top(), state)

    case .persistentID, .binaryPersistentID:
      throw error(.unsupported, "a value", "a persistent identifier, which only its pickler can resolve")
    case .extension1, .extension2, .extension4:
      let byteCount = opcode == .extension1 ? 1 : opcode == .extension2 ? 2 : 4
      let code = Int32(truncatingIfNeeded: try number(input, byteCount: byteCount))
      throw error(.unsupported, "a value", "code \(code) of the extension registry")
    case .nextBuffer:
      throw error(.unsupported, "a value", "a reference to an out-of-band buffer")
    case .readOnlyBuffer:
      guard case .node(let index) = try top(), case .bytes = arena.nodes[index] else {
        throw error(.unsupported, "bytes for READONLY_BUFFER", try kind(top()))
      }
    }
  }
}

// MARK: Bytes

extension PickleReader {
  /// Moves past bytes that must be there.
  private mutating func take(_ input: Span<UInt8>, _ byteCount: Int) throws(PickleError) -> Range<Int> {
    guard byteCount <= input.count - position else {
      throw error(.truncated, "\(byteCount) bytes", "\(input.count - position)")
    }
    position += byteCount
    return (position - byteCount)..<position
  }

  private mutating func byte(_ input: Span<UInt8>) throws(PickleError) -> UInt8 {
    input[try take(input, 1).lowerBound]
  }

  /// A little-endian number.
  private mutating func number(_ input: Span<UInt8>, byteCount: Int) throws(PickleError) -> UInt64 {
    var number: UInt64 = 0
    for index in try take(input, byteCount).reversed() { number = number << 8 | UInt64(input[index]) }
    return number
  }

  /// A length of which as many bytes are there.
  private mutating func length(
    _ input: Span<UInt8>, byteCount: Int, isSigned: Bool = false
  ) throws(PickleError) -> Int {
    let length = try number(input, byteCount: byteCount)
    if isSigned, length > UInt64(Int32.max) {
      throw error(.malformed, "a length", "\(Int32(truncatingIfNeeded: length))")
    }
    guard length <= UInt64(input.count - position) else {
      throw error(.truncated, "\(length) bytes", "\(input.count - position)")
    }
    return Int(length)
  }

  private mutating func bytes(_ input: Span<UInt8>, _ byteCount: Int) throws(PickleError) -> [UInt8] {
    let range = try take(input, byteCount)
    try charge(byteCount)
    return unsafe input.extracting(range).withUnsafeBufferPointer { bytes in unsafe Array(bytes) }
  }

  /// The bytes up to the next newline, without it.
  private mutating func line(_ input: Span<UInt8>) throws(PickleError) -> [UInt8] {
    var end = position
    while end < input.count, input[end] != UInt8(ascii: "\n") { end += 1 }
    guard end < input.count else {
      throw error(.truncated, "a line and its newline", "the end after \(end - position) bytes")
    }
    let line = try bytes(input, end - position)
    position += 1
    return line
  }

  private mutating func long(_ input: Span<UInt8>, byteCount: Int) throws(PickleError) -> PickleSlot {
    if byteCount <= MemoryLayout<Int>.size {
      let range = try take(input, byteCount)
      if range.isEmpty { return .int(0) }
      var word: UInt = input[range.upperBound - 1] & 0x80 == 0 ? 0 : .max
      for index in range.reversed() { word = word << 8 | UInt(input[index]) }
      return .int(Int(bitPattern: word))
    }
    let value = PickleInt(twosComplement: try bytes(input, byteCount)[...])
    return try slot(value)
  }

  private mutating func pushUTF8(_ input: Span<UInt8>, _ byteCount: Int) throws(PickleError) {
    let range = try take(input, byteCount)
    let text: String
    do throws(UTF8.ValidationError) {
      text = try String(copying: UTF8Span(validating: input.extracting(range)))
    } catch {
      return try push(surrogates(input.extracting(range)))
    }
    try pushString(text)
  }

  /// A str that no `String` holds: what Python would call to make it of its bytes.
  private mutating func surrogates(_ span: Span<UInt8>) throws(PickleError) -> PickleSlot {
    let bytes = unsafe span.withUnsafeBufferPointer { bytes in unsafe Array(bytes) }
    try charge(bytes.count + 1024)
    return try surrogates(bytes)
  }

  /// A str that holds a lone surrogate, of its UTF-8 with surrogates: `str(bytes, "utf-8", "surrogatepass")`.
  mutating func surrogates(_ bytes: [UInt8]) throws(PickleError) -> PickleSlot {
    if let place = PickleText.malformedByte(of: bytes) {
      throw error(
        .malformed, "a str in UTF-8", "byte 0x\(String(bytes[place], radix: 16)) at byte \(place) of it")
    }
    if registry.isStrict {
      throw error(.malformed, "a str without surrogates, which a String can hold", "a lone surrogate")
    }
    let callee = try newName("builtins", "str")
    return try newObject(
      callee, [new(.bytes(bytes)), new(.string("utf-8")), new(.string("surrogatepass"))], isNew: false)
  }

  /// A string of Python 2, whose encoding the pickle does not say.
  private mutating func pushPython2(_ bytes: [UInt8]) throws(PickleError) {
    switch registry.python2Strings {
    case .bytes: try push(new(.bytes(bytes)))
    case .latin1: try pushString(String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) })))
    default:
      if let index = bytes.firstIndex(where: { $0 >= 0x80 }) {
        throw error(
          .malformed, "a str of Python 2 in ASCII",
          "byte 0x\(String(bytes[index], radix: 16)) at byte \(index) of it")
      }
      try pushString(String(decoding: bytes, as: UTF8.self))
    }
  }

  private mutating func pushString(_ string: String) throws(PickleError) {
    try charge(string.utf8.count)
    try push(new(.string(string)))
  }
}

// MARK: Objects, stack and memo

extension PickleReader {
  func error(_ kind: PickleError.Kind, _ expected: String, _ found: String) -> PickleError {
    PickleError(kind, offset: opcodeOffset, expected: expected, found: found)
  }

  private func underflow() -> PickleError {
    error(.malformed, "an item on the stack", marks.isEmpty ? "none" : "a mark")
  }

  /// Charges memory, before it is taken.
  mutating func charge(_ byteCount: Int) throws(PickleError) {
    do throws(PickleMeter.Exceeded) { try meter.charge(memory: byteCount) } catch { throw refusal(error) }
  }

  /// Charges work that is more than an opcode's own, before it is done.
  mutating func charge(work steps: Int) throws(PickleError) {
    do throws(PickleMeter.Exceeded) { try meter.charge(work: steps) } catch { throw refusal(error) }
  }

  private func refusal(_ exceeded: PickleMeter.Exceeded) -> PickleError {
    error(
      .limit, "at most \(exceeded.limit) \(exceeded.isMemory ? "bytes of memory" : "steps of work")", "more")
  }

  mutating func new(_ node: PickleNode, depth: Int32 = 0) throws(PickleError) -> PickleSlot {
    try charge(PickleNode.byteCount)
    depths.append(depth)
    return arena.add(node)
  }

  mutating func slot(_ value: PickleInt) throws(PickleError) -> PickleSlot {
    if let small = value.small { return .int(small) }
    return try new(.integer(value))
  }

  mutating func push(_ slot: PickleSlot) throws(PickleError) {
    if stack.count == stackRoom {
      stackRoom += 1024
      try charge(1024 * PickleSlot.byteCount)
    }
    stack.append(slot)
  }

  /// Items below the topmost mark are out of reach.
  private var fence: Int { marks.last ?? 0 }

  private func top() throws(PickleError) -> PickleSlot {
    guard stack.count > fence, let top = stack.last else { throw underflow() }
    return top
  }

  private mutating func pop() throws(PickleError) -> PickleSlot {
    guard stack.count > fence, let top = stack.popLast() else { throw underflow() }
    return top
  }

  private mutating func pop(_ count: Int) throws(PickleError) -> [PickleSlot] {
    guard stack.count - fence >= count else { throw underflow() }
    let items = Array(stack.suffix(count))
    stack.removeLast(count)
    return items
  }

  private mutating func popToMark() throws(PickleError) -> [PickleSlot] {
    guard let mark = marks.popLast() else { throw error(.malformed, "a mark on the stack", "none") }
    let items = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return items
  }

  private mutating func memoize(at index: Int) throws(PickleError) {
    let slot = try top()
    if index < memo.count {
      memo[index] = slot
      return
    }
    if memo.count + sparseMemo.count >= limits.memoEntries {
      throw error(.limit, "at most \(limits.memoEntries) memo entries", "another")
    }
    if index == memo.count, sparseMemo.isEmpty {
      try charge(PickleSlot.byteCount)
      memo.append(slot)
    } else {
      try charge(64)
      sparseMemo[index] = slot
    }
  }

  private func memoized(at index: Int) throws(PickleError) -> PickleSlot {
    if index < memo.count { return memo[index] }
    guard let slot = sparseMemo[index] else {
      throw error(.malformed, "a memo entry at \(index)", "none")
    }
    return slot
  }
}

// MARK: Containers

extension PickleReader {
  /// Counts elements of a container, and how deep it is now.
  private mutating func account(_ slots: [PickleSlot], in parent: Int) throws(PickleError) {
    elementCount += slots.count
    if elementCount > limits.elements {
      throw error(.limit, "at most \(limits.elements) elements", "more")
    }
    // Arrays grow by doubling.
    try charge(2 * slots.count * PickleSlot.byteCount)
    var depth = depths[parent]
    for case .node(let child) in slots where child != parent { depth = max(depth, depths[child] + 1) }
    if Int(depth) > limits.depth {
      throw error(.limit, "containers nested at most \(limits.depth) deep", "deeper")
    }
    depths[parent] = depth
  }

  /// How deep an object is nested that holds this slot alone.
  func depth(_ slot: PickleSlot) -> Int32 {
    if case .node(let index) = slot { return depths[index] + 1 }
    return 0
  }

  mutating func pushTuple(_ elements: [PickleSlot]) throws(PickleError) { try push(newTuple(elements)) }

  mutating func newTuple(_ elements: [PickleSlot]) throws(PickleError) -> PickleSlot {
    let tuple = try new(.tuple([]), depth: 1)
    guard case .node(let index) = tuple else { return tuple }
    try account(elements, in: index)
    arena.nodes[index] = .tuple(elements)
    return tuple
  }

  mutating func newList(_ elements: [PickleSlot]) throws(PickleError) -> PickleSlot {
    let list = try new(.list([]))
    try append(elements, to: list)
    return list
  }

  mutating func newSet(_ elements: [PickleSlot], isFrozen: Bool) throws(PickleError) -> PickleSlot {
    let set = try new(.set([]))
    try insert(elements, into: set)
    if isFrozen, case .node(let index) = set, case .set(let slots) = arena.nodes[index] {
      arena.nodes[index] = .frozenSet(slots)
    }
    return set
  }

  mutating func append(_ elements: [PickleSlot], to target: PickleSlot) throws(PickleError) {
    // Like CPython: appending nothing succeeds whatever the target is.
    if elements.isEmpty { return }
    guard case .node(let index) = target else {
      throw error(.malformed, "a list to append to", kind(target))
    }
    // Not a `switch`: it would hold on to the elements, and each change would copy them all.
    if case .list = arena.nodes[index], case .list(var slots) = arena.take(index) {
      try account(elements, in: index)
      slots += elements
      arena.nodes[index] = .list(slots)
    } else if case .object = arena.nodes[index], case .object(var object) = arena.take(index) {
      try account(elements, in: index)
      object.appended += elements
      arena.nodes[index] = .object(object)
      touch(index)
    } else if case .byteArray = arena.nodes[index], case .byteArray(var bytes) = arena.take(index) {
      try charge(elements.count)
      for element in elements { bytes.append(try byteValue(element)) }
      arena.nodes[index] = .byteArray(bytes)
    } else {
      throw error(.malformed, "a list to append to", kind(target))
    }
  }

  private func byteValue(_ slot: PickleSlot) throws(PickleError) -> UInt8 {
    switch slot {
    case .int(let value) where 0...255 ~= value: return UInt8(value)
    case .bool(let value): return value ? 1 : 0
    default: throw error(.malformed, "a byte", kind(slot))
    }
  }

  mutating func set(_ pairs: [PickleSlot], in target: PickleSlot, _ opcode: String) throws(PickleError) {
    if pairs.isEmpty { return }
    guard pairs.count.isMultiple(of: 2) else {
      throw error(.malformed, "as many values as keys for \(opcode)", "\(pairs.count) items")
    }
    guard case .node(let index) = target else {
      throw error(.malformed, "a dict to set items of", kind(target))
    }
    if case .dict = arena.nodes[index], case .dict(var slots) = arena.take(index) {
      try account(pairs, in: index)
      try insert(pairs, every: 2, into: &slots, of: index)
      arena.nodes[index] = .dict(slots)
    } else if case .orderedDict = arena.nodes[index],
      case .orderedDict(var slots, let attributes) = arena.take(index)
    {
      try account(pairs, in: index)
      try insert(pairs, every: 2, into: &slots, of: index)
      arena.nodes[index] = .orderedDict(slots, attributes: attributes)
    } else if case .object = arena.nodes[index], case .object(var object) = arena.take(index) {
      try account(pairs, in: index)
      object.items += pairs
      arena.nodes[index] = .object(object)
      touch(index)
    } else if case .list = arena.nodes[index], case .list(var slots) = arena.take(index) {
      try account(pairs, in: index)
      for position in stride(from: 0, to: pairs.count, by: 2) {
        slots[try self.index(pairs[position], count: slots.count)] = pairs[position + 1]
      }
      arena.nodes[index] = .list(slots)
    } else if case .byteArray = arena.nodes[index], case .byteArray(var bytes) = arena.take(index) {
      for position in stride(from: 0, to: pairs.count, by: 2) {
        bytes[try self.index(pairs[position], count: bytes.count)] = try byteValue(pairs[position + 1])
      }
      arena.nodes[index] = .byteArray(bytes)
    } else {
      throw error(.malformed, "a dict to set items of", kind(target))
    }
  }

  /// An index into a sequence, as Python takes it: from the end where it is negative.
  private func index(_ slot: PickleSlot, count: Int) throws(PickleError) -> Int {
    let index: Int
    switch slot {
    case .int(let value): index = value
    case .bool(let value): index = value ? 1 : 0
    default: throw error(.malformed, "an index", kind(slot))
    }
    guard -count..<count ~= index else { throw error(.malformed, "an index below \(count)", "\(index)") }
    return index < 0 ? index + count : index
  }

  private mutating func insert(_ elements: [PickleSlot], into target: PickleSlot) throws(PickleError) {
    if elements.isEmpty { return }
    guard case .node(let index) = target, case .set = arena.nodes[index],
      case .set(var slots) = arena.take(index)
    else { throw error(.malformed, "a set to add to", kind(target)) }
    try account(elements, in: index)
    try insert(elements, every: 1, into: &slots, of: index)
    arena.nodes[index] = .set(slots)
  }

  /// Inserts keys, each with its value if `step` is 2. A key that is there already keeps its place and takes
  /// the new value.
  private mutating func insert(
    _ items: [PickleSlot], every step: Int, into slots: inout [PickleSlot], of object: Int
  ) throws(PickleError) {
    let isSmall = slots.count + items.count <= Self.smallCount * step
    if !isSmall {
      try charge(items.count / step * 128)
      if slots.count <= Self.smallCount * step {
        for place in stride(from: 0, to: slots.count, by: step) {
          places[KeyOfObject(object: object, key: try keyNumber(slots[place]))] = place
        }
      }
    }
    for position in stride(from: 0, to: items.count, by: step) {
      let key = items[position]
      let place: Int?
      // The number that it will have, and what that hangs on.
      if isSmall, string(key) == nil { try charge(96) }
      if isSmall {
        place = try find(key, in: slots, every: step)
      } else {
        let number = KeyOfObject(object: object, key: try keyNumber(key))
        place = places[number]
        if place == nil { places[number] = slots.count }
      }
      if let place {
        if step == 2 { slots[place + 1] = items[position + 1] }
      } else {
        slots += items[position..<(position + step)]
      }
    }
  }

  private mutating func find(
    _ key: PickleSlot, in slots: [PickleSlot], every step: Int
  ) throws(PickleError) -> Int? {
    var number: Int?
    var string: String?
    var identity: Int?
    if case .node(let index) = key, case .string(let text) = arena.nodes[index] {
      (string, identity) = (text, index)
    } else {
      number = try keyNumber(key)
    }
    for place in stride(from: 0, to: slots.count, by: step) {
      if case .node(let index) = slots[place], case .string(let other) = arena.nodes[index] {
        guard let string else { continue }
        // As CPython: an object is compared with itself by identity.
        if index == identity { return place }
        if string.utf8.count != other.utf8.count { continue }
        if string.utf8.count > 64 { try charge(work: string.utf8.count / 16) }
        if string.hasSameBytes(as: other) { return place }
      } else if let number, try keyNumber(slots[place]) == number {
        return place
      }
    }
    return nil
  }

  private mutating func keyNumber(_ slot: PickleSlot) throws(PickleError) -> Int {
    if case .node(let index) = slot {
      // Hashing reads the bytes.
      let byteCount =
        switch arena.nodes[index] {
        case .string(let text): text.utf8.count
        case .bytes(let bytes): bytes.count
        case .decimal(let value): value.text.utf8.count
        case .array(let array): array.bytes.count
        case .timeZone(let zone): zone.name?.utf8.count ?? 0
        case .time(let time, _): time.timeZone?.name?.utf8.count ?? 0
        case .dateTime(let value, _): value.time.timeZone?.name?.utf8.count ?? 0
        default: 0
        }
      if byteCount > 64 { try charge(work: byteCount / 8) }
    }
    do throws(PickleKeys.NotHashable) {
      return try keys.number(slot, in: arena)
    } catch {
      throw self.error(.malformed, "a key or element that Python can hash", error.kind)
    }
  }
}

// MARK: Names and objects

extension PickleReader {
  func string(_ slot: PickleSlot) -> String? {
    if case .node(let index) = slot, case .string(let string) = arena.nodes[index] { return string }
    return nil
  }

  func name(_ slot: PickleSlot) -> PickleName? {
    if case .node(let index) = slot, case .name(let name) = arena.nodes[index] { return name }
    return nil
  }

  /// A name, which the registry must have if it is strict.
  mutating func newName(_ module: String, _ name: String) throws(PickleError) -> PickleSlot {
    var name = PickleName(module, name)
    if version < 3 {
      try charge(work: module.utf8.count + name.name.utf8.count)
      name = name.inPython3
    }
    let entry = registry[name]
    if registry.isStrict, entry == nil {
      throw error(.notAllowed(name), "a registered class or function", "\(name)")
    }
    try charge(module.utf8.count + name.name.utf8.count + 64)
    let slot = try new(.name(name))
    if case .node(let index) = slot { entries[index] = Callee(name: name, entry: entry) }
    return slot
  }

  private mutating func pushName(_ module: String, _ name: String) throws(PickleError) {
    try push(newName(module, name))
  }

  /// What is known of a class or function, or of an object that stands for one.
  mutating func callee(_ slot: PickleSlot) throws(PickleError) -> Callee {
    guard case .node(let index) = slot else {
      throw error(.malformed, "a class or function to call", kind(slot))
    }
    if let known = entries[index] { return known }
    guard case .object = arena.nodes[index] else {
      throw error(.malformed, "a class or function to call", kind(slot))
    }
    try charge(work: 64)
    try charge(256)
    let name = PickleGraph.qualifiedName(of: slot, in: arena.nodes)
    let found = Callee(name: name, entry: name.flatMap { registry[$0] })
    entries[index] = found
    return found
  }

  private mutating func call(
    _ callee: PickleSlot, with arguments: PickleSlot, keywords: PickleSlot?, isNew: Bool
  ) throws(PickleError) -> PickleSlot {
    guard case .node(let index) = arguments, case .tuple(let slots) = arena.nodes[index] else {
      throw error(.malformed, "a tuple of arguments for \(calleeKind(callee))", kind(arguments))
    }
    return try call(callee, slots, keywords: keywords, isNew: isNew)
  }

  func calleeKind(_ callee: PickleSlot) -> String { name(callee).map { "\($0)" } ?? kind(callee) }

  mutating func call(
    _ slot: PickleSlot, _ arguments: [PickleSlot], keywords: PickleSlot?, isNew: Bool
  ) throws(PickleError) -> PickleSlot {
    let callee = try callee(slot)
    if case .builtIn(let builtIn) = callee.entry, let name = callee.name {
      var isWithoutKeywords = keywords == nil
      if case .node(let index) = keywords, case .dict(let slots) = arena.nodes[index] {
        isWithoutKeywords = slots.isEmpty
      }
      if isWithoutKeywords, let made = try make(builtIn, name, slot, arguments, isNew: isNew) { return made }
      if registry.isStrict {
        throw isWithoutKeywords
          ? mismatch(name, arguments) : error(.malformed, "no keyword arguments for \(name)", "some")
      }
    } else if registry.isStrict, callee.entry == nil {
      throw callee.name.map { error(.notAllowed($0), "a registered class or function", "\($0)") }
        ?? error(.malformed, "a class or function to call", kind(slot))
    }
    return try newObject(slot, arguments, keywords: keywords, isNew: isNew)
  }

  mutating func newObject(
    _ callee: PickleSlot, _ arguments: [PickleSlot], keywords: PickleSlot? = nil, isNew: Bool,
    awaited: PickleBuiltIn? = nil, base: PickleSlot? = nil
  ) throws(PickleError) -> PickleSlot {
    try charge(160)
    let node = PickleObjectNode(
      callee: callee, base: base, arguments: arguments, keywordArguments: keywords, isNew: isNew,
      awaited: awaited)
    let slot = try new(.object(node), depth: 1)
    guard case .node(let index) = slot else { return slot }
    try account([callee], in: index)
    try account(arguments, in: index)
    if let keywords { try account([keywords], in: index) }
    if awaited != nil { awaitingCount += 1 }
    touch(index)
    return slot
  }

  private mutating func build(_ target: PickleSlot, _ state: PickleSlot) throws(PickleError) {
    guard case .node(let index) = target else {
      throw error(.malformed, "an object to give a state to", kind(target))
    }
    switch arena.nodes[index] {
    case .object(var object):
      if let awaited = object.awaited, case .builtIn = entries(of: object.callee)?.entry {
        if let made = try finish(awaited, object, state) {
          awaitingCount -= 1
          objects[index] = nil
          arena.nodes[index] = made
          return
        }
        if registry.isStrict {
          throw error(.malformed, "a state that \(calleeKind(object.callee)) takes here", kind(state))
        }
        awaitingCount -= 1
        object.awaited = nil
      }
      try account([state], in: index)
      object.state = state
      arena.nodes[index] = .object(object)
      touch(index)
    case .orderedDict(let slots, _):
      try account([state], in: index)
      arena.nodes[index] = .orderedDict(slots, attributes: state)
    case .arrayType(let type):
      if let type = try finish(type, state) {
        arena.nodes[index] = .arrayType(type)
        return
      }
      guard !registry.isStrict, var object = origins[index] else { fallthrough }
      try account([state], in: index)
      object.state = state
      arena.nodes[index] = .object(object)
      touch(index)
    default:
      throw error(.malformed, "an object that takes such a state", kind(target))
    }
  }

  private func entries(of slot: PickleSlot) -> Callee? {
    if case .node(let index) = slot { return entries[index] }
    return nil
  }

  private mutating func touch(_ object: Int) {
    objectTime += 1
    objects[object] = objectTime
  }

  /// What it is, for an error.
  func kind(_ slot: PickleSlot) -> String {
    switch slot {
    case .none: return "None"
    case .bool: return "a bool"
    case .int: return "an int"
    case .float: return "a float"
    case .link: return "a value"
    case .node(let index):
      switch arena.nodes[index] {
      case .string: return "a str"
      case .bytes: return "bytes"
      case .byteArray: return "a bytearray"
      case .integer: return "an int"
      case .complex: return "a complex"
      case .list: return "a list"
      case .tuple: return "a tuple"
      case .set: return "a set"
      case .frozenSet: return "a frozenset"
      case .dict: return "a dict"
      case .orderedDict: return "an OrderedDict"
      case .date: return "a date"
      case .time: return "a time"
      case .dateTime: return "a datetime"
      case .timeDelta: return "a timedelta"
      case .timeZone: return "a timezone"
      case .decimal: return "a Decimal"
      case .uuid: return "a UUID"
      case .array: return "an array"
      case .arrayType: return "a dtype"
      case .name(let name): return "\(name) itself"
      case .object(let object):
        return
          "a \(PickleGraph.qualifiedName(of: object.callee, in: arena.nodes).map { "\($0)" } ?? "called object")"
      case .alias: return "a value"
      }
    }
  }

  // MARK: The end

  /// Makes the value, once the readers of registered classes have been asked.
  private mutating func finish(_ root: PickleSlot) throws -> PickleValue {
    if registry.isStrict {
      if awaitingCount > 0 {
        for case .object(let object) in arena.nodes where object.awaited != nil {
          throw error(.malformed, "the state of a \(calleeKind(object.callee))", "none")
        }
      }
      if let name = name(root), case .builtIn = registry[name] {
        throw error(.notAllowed(name), "a value", "\(name) itself")
      }
    }
    (stack, memo, sparseMemo, places, keys) = ([], [], [:], [:], PickleKeys())
    let readers = objects.filter { object, _ in
      guard case .object(let node) = arena.nodes[object], case .object(_?) = entries(of: node.callee)?.entry
      else { return false }
      return true
    }
    for (object, _) in readers.sorted(by: { $0.value < $1.value }) {
      guard case .object(let node) = arena.nodes[object],
        case .object(let reader?) = entries(of: node.callee)?.entry
      else { continue }
      // A snapshot shares the memory, and is gone before the next change; so a reader may keep what it is shown.
      let result: PickleSlot
      let copies: [PickleNode]
      do {
        let snapshot = PickleGraph(snapshot: arena.nodes)
        let value = try reader(PickleObject(node, in: snapshot))
        (result, copies) = PickleArena.copies(of: value, startingAt: arena.nodes.count, own: snapshot)
      }
      arena.nodes += copies
      // A reader that gives the object itself leaves it what it is.
      if case .node(object) = result { continue }
      arena.nodes[object] = .alias(result)
    }
    return PickleValue(root, in: PickleGraph(nodes: arena.nodes))
  }
}
