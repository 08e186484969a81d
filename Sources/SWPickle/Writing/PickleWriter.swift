/// The pickle protocols that can be written. All protocols from 0 to 5 can be read.
public enum PickleProtocol: UInt8, Sendable {
  /// Protocol 4: the default of Python 3.8 to 3.13, read by 3.4 and later.
  case four = 4
  /// Protocol 5: the default of Python 3.14, read by 3.8 and later.
  case five = 5
}

/// Writes values, byte for byte as CPython's C pickler does: the same opcodes in the same frames, numbered in the
/// same order. A part that appears twice in the value as one object is written once. NumPy's objects are written with
/// the names of NumPy 1, which NumPy 2 reads too, and so not byte for byte.
///
/// An explicit stack holds what is still to be written, so nesting causes no recursion.
///
/// Source: CPython 3.13, `Modules/_pickle.c` (`save`).
struct PickleWriter {
  let sink: PickleSink

  /// The objects that have numbers.
  var known: Known
  var waiting: [Step] = []

  struct Known {
    /// The numbers of objects, for one graph at a time, because most values have one graph.
    var objects = PickleNumbers()
    var names: [PickleName: Int] = [:]
    var modules: [PickleText: Int] = [:]
    /// The numbers of time zones. Python has one `timezone.utc`, and other zones are written once as well.
    var zones: [PickleTimeZone: Int] = [:]
    /// The numbers of dtypes. NumPy has one object for each dtype of numbers, and arrays share others, so each is written
    /// once.
    var arrayTypes: [NumPyType: Int] = [:]
    /// The long ints that have been written once.
    var longIntegers: Set<PickleIdentity> = []
    /// The number of the only key of a UUID's state, which is one object in Python.
    var uuidKey: Int?
    var uuidSafetyKey: Int?
    /// For objects that are numbered after their contents: how many objects had numbers when they were last met.
    var entered: [PickleIdentity: Int] = [:]
  }

  enum Step {
    case value(PickleValue)
    case opcode(PickleOpcode)
    case boundary
    case memoize(PickleIdentity?)
    /// The rest of a batch.
    case run(PickleSlots, Range<Int>)
    /// The elements of a list, from an index on.
    case elements(PickleSlots, Int)
    case members(PickleSlots, Int)
    case pairs(PickleSlots, Int)
    /// The same for objects that are not Python's own list or dict.
    case appended(PickleSlots, Int)
    case items(PickleSlots, Int)
    /// The elements of a tuple or frozenset have been written.
    case finishTuple(PickleIdentity?, count: Int)
    case finishFrozenSet(PickleIdentity?)
    case name(PickleName)
    case zone(PickleTimeZone)
    case memoizeZone(PickleTimeZone)
    case arrayType(NumPyType)
    case memoizeArrayType(NumPyType)
    case uuidState(PickleUUID)
    case uuidSafety(Bool)
    case small(PickleSlot)
    case text(String)
    case data([UInt8])
  }

  /// The number of elements between a MARK and the opcode that takes them.
  static let batch = 1000

  /// The number of bytes from which an int is long.
  private static let longInteger = 64

  init(_ sink: PickleSink, _ known: Known = Known()) {
    self.sink = sink
    self.known = known
  }

  /// - Returns: the pickle in parts; large bytes are a part of their own and have not been copied.
  static func write(_ value: PickleValue, _ version: PickleProtocol) throws(PickleError) -> [[UInt8]] {
    let sink = PickleSink(version)
    var writer = PickleWriter(sink)
    try writer.write(value)
    return sink.finish()
  }

  /// Appends a value.
  mutating func write(_ value: PickleValue) throws(PickleError) {
    waiting.append(.value(value))
    try run()
  }

  /// Writes an object that belongs to no graph, such as a date.
  mutating func write(_ node: PickleNode) throws(PickleError) {
    sink.boundary()
    try save(node, nil, .empty)
    try run()
  }

  private mutating func run() throws(PickleError) {
    do throws(PickleError) {
      while let step = waiting.popLast() { try take(step) }
    } catch {
      waiting = []
      throw error
    }
  }

  mutating func take(_ step: Step) throws(PickleError) {
    switch step {
    case .value(let value): try save(value)
    case .opcode(let opcode): sink.write(opcode)
    case .boundary: sink.boundary()
    case .memoize(let identity): memoize(identity)
    case .run(let slots, let range): try writeRun(slots, range)
    case .elements(let slots, let start): writeElements(slots, from: start)
    case .members(let slots, let start): writeMembers(slots, from: start)
    case .pairs(let slots, let start): writePairs(slots, from: start)
    case .appended(let slots, let start): writeAppended(slots, from: start)
    case .items(let slots, let start): writeItems(slots, from: start)
    case .finishTuple(let identity, let count): finishTuple(identity, count)
    case .finishFrozenSet(let identity):
      if let identity, let index = known.objects[identity] {
        sink.write(.popMark)
        sink.get(index)
      } else {
        sink.write(.frozenSet)
        memoize(identity)
      }
    case .name(let name): save(name)
    case .zone(let zone):
      if zone.isUnknown { throw Self.unrepresentable("a time in a time zone of unknown name and offset") }
      save(zone, nil)
    case .memoizeZone(let zone):
      known.zones[zone] = sink.memoCount
      sink.memoize()
    case .arrayType(let type):
      sink.boundary()
      if let index = known.arrayTypes[type] {
        sink.get(index)
      } else {
        saveArrayType(type, .memoizeArrayType(type))
      }
    case .memoizeArrayType(let type):
      known.arrayTypes[type] = sink.memoCount
      sink.memoize()
    case .uuidState(let uuid): saveState(uuid)
    case .uuidSafety(let isSafe): saveSafety(isSafe)
    case .small(let slot): saveSmall(slot)
    case .text(let text):
      sink.boundary()
      sink.write(text)
    case .data(let bytes):
      sink.boundary()
      sink.write(bytes)
    }
  }

  // MARK: The memo

  /// Uses the next number for an object.
  mutating func number(_ identity: PickleIdentity?) {
    if let identity { known.objects[identity] = sink.memoCount }
  }

  /// Numbers the object that was written last.
  mutating func memoize(_ identity: PickleIdentity?) {
    number(identity)
    sink.memoize()
  }

  // MARK: Values

  mutating func save(_ value: PickleValue) throws(PickleError) {
    guard case .node(let graph, let index) = value.storage else {
      sink.boundary()
      if case .string(let text) = value.storage {
        sink.write(text)
      } else if case .bool(let bool) = value.storage {
        sink.write(bool ? .newTrue : .newFalse)
      } else if case .int(let int) = value.storage {
        sink.write(int)
      } else if case .float(let float) = value.storage {
        sink.write(float)
      } else {
        sink.write(.none)
      }
      return
    }
    try save(graph, index)
  }

  mutating func save(_ graph: PickleGraph, _ index: Int) throws(PickleError) {
    sink.boundary()
    let identity = PickleIdentity(graph: ObjectIdentifier(graph), index: index)
    if let known = known.objects[identity] {
      sink.get(known)
      return
    }
    try known.objects.keep(graph)
    if graph.nodes[index].isNumberedLate,
      known.entered.updateValue(sink.memoCount, forKey: identity) == sink.memoCount
    {
      // The object is met again although nothing has been numbered since, so writing it would never end.
      throw Self.unrepresentable(
        "\(PickleValue(.node(index), in: graph).kind) that contains itself, and no list or dict between")
    }
    try save(graph.nodes[index], identity, graph)
  }

  /// Writes slots one after another, up to the first one with contents. The rest is queued.
  mutating func writeRun(_ slots: PickleSlots, _ range: Range<Int>) throws(PickleError) {
    for index in range {
      switch slots.slots[index] {
      case .node(let node):
        if case .string(let text) = slots.graph.nodes[node] {
          sink.boundary()
          let identity = PickleIdentity(graph: ObjectIdentifier(slots.graph), index: node)
          if let known = known.objects[identity] {
            sink.get(known)
          } else {
            try known.objects.keep(slots.graph)
            number(identity)
            sink.write(text)
          }
          continue
        }
        if index + 1 < range.upperBound { waiting.append(.run(slots, (index + 1)..<range.upperBound)) }
        return try save(PickleValue(slots.slots[index], in: slots.graph))
      case .link:
        if index + 1 < range.upperBound { waiting.append(.run(slots, (index + 1)..<range.upperBound)) }
        return try save(PickleValue(slots.slots[index], in: slots.graph))
      case let small: saveSmall(small)
      }
    }
  }

  mutating func saveSmall(_ slot: PickleSlot) {
    sink.boundary()
    switch slot {
    case .bool(let value): sink.write(value ? .newTrue : .newFalse)
    case .int(let value): sink.write(value)
    case .float(let value): sink.write(value)
    default: sink.write(.none)
    }
  }

  mutating func save(
    _ node: PickleNode, _ identity: PickleIdentity?, _ graph: PickleGraph
  ) throws(PickleError) {
    switch node {
    case .string(let text):
      number(identity)
      sink.write(text)
    case .bytes(let bytes):
      number(identity)
      sink.write(bytes)
    case .byteArray(let bytes):
      if sink.version == .five {
        sink.write(.byteArray8, lengthByteCount: 8, bytes)
        memoize(identity)
      } else {
        reduce("builtins", "bytearray", bytes.isEmpty ? [] : [.data(bytes)], identity)
      }
    case .integer(let value):
      sink.write(value)
      // CPython numbers no int. A long one that is written a second time is numbered. Otherwise a pickle that refers to it
      // often would become many times as long.
      if let identity, value.byteCount >= Self.longInteger,
        !known.longIntegers.insert(identity).inserted
      {
        memoize(identity)
      }
    case .complex(let value):
      reduce("builtins", "complex", [.small(.float(value.real)), .small(.float(value.imaginary))], identity)
    case .list(let slots):
      sink.write(.emptyList)
      memoize(identity)
      if !slots.isEmpty { waiting.append(.elements(PickleSlots(slots, graph), 0)) }
    case .tuple(let slots): saveTuple(PickleSlots(slots, graph), identity)
    case .set(let slots):
      sink.write(.emptySet)
      memoize(identity)
      if !slots.isEmpty { waiting.append(.members(PickleSlots(slots, graph), 0)) }
    case .frozenSet(let slots):
      sink.write(.mark)
      waiting.append(.finishFrozenSet(identity))
      waiting.append(.run(PickleSlots(slots, graph), slots.indices))
    case .dict(let slots):
      sink.write(.emptyDict)
      memoize(identity)
      if !slots.isEmpty { waiting.append(.pairs(PickleSlots(slots, graph), 0)) }
    case .orderedDict(let slots, let attributes):
      if let attributes { waiting += [.opcode(.build), .value(PickleValue(attributes, in: graph))] }
      if !slots.isEmpty { waiting.append(.items(PickleSlots(slots, graph), 0)) }
      reduce("collections", "OrderedDict", [], identity)
    case .object(let object): try save(object, identity, graph)
    case .name(let name):
      // Found by its identity from then on, because a search by name reads all of it, for each object of the class.
      let number = save(name)
      if let identity { known.objects[identity] = number }
    case .array(let array): save(array, identity)
    case .arrayType(let type): saveArrayType(type, .memoize(identity))
    case .alias: throw Self.unrepresentable("an object that refers to itself alone")
    case .date, .time, .dateTime, .timeDelta, .timeZone, .decimal, .uuid: saveStandard(node, identity, graph)
    }
  }

  static func unrepresentable(_ what: String) -> PickleError {
    PickleError(.unrepresentable, offset: 0, expected: "a value", found: what)
  }

  mutating func saveTuple(_ elements: PickleSlots, _ identity: PickleIdentity?) {
    if elements.slots.isEmpty {
      sink.write(.emptyTuple)
      return
    }
    if elements.slots.count > 3 { sink.write(.mark) }
    waiting.append(.finishTuple(identity, count: elements.slots.count))
    waiting.append(.run(elements, elements.slots.indices))
  }

  mutating func finishTuple(_ identity: PickleIdentity?, _ count: Int) {
    // One of its elements contains it, and has written it meanwhile.
    if let identity, let index = known.objects[identity] {
      if count > 3 {
        sink.write(.popMark)
      } else {
        for _ in 0..<count { sink.write(.pop) }
      }
      sink.get(index)
      return
    }
    sink.write(count == 1 ? .tuple1 : count == 2 ? .tuple2 : count == 3 ? .tuple3 : .tuple)
    memoize(identity)
  }

  // Lists, dicts and sets are written in batches. In a dict or set, a full batch is followed by another one, which may be
  // empty. Items that other objects append or set come from an iterator, so a last batch of one has no mark.

  mutating func writeElements(_ elements: PickleSlots, from start: Int) {
    let count = elements.slots.count
    if count == 1 {
      waiting += [.opcode(.append), .run(elements, 0..<1)]
      return
    }
    let end = min(count, start + Self.batch)
    sink.write(.mark)
    if end < count { waiting.append(.elements(elements, end)) }
    waiting += [.opcode(.appends), .run(elements, start..<end)]
  }

  mutating func writePairs(_ pairs: PickleSlots, from start: Int) {
    let count = pairs.slots.count / 2
    if count == 1 {
      waiting += [.opcode(.setItem), .run(pairs, 0..<2)]
      return
    }
    let end = min(count, start + Self.batch)
    sink.write(.mark)
    if end - start == Self.batch { waiting.append(.pairs(pairs, end)) }
    waiting.append(.opcode(.setItems))
    if start < end { waiting.append(.run(pairs, (2 * start)..<(2 * end))) }
  }

  mutating func writeMembers(_ elements: PickleSlots, from start: Int) {
    let end = min(elements.slots.count, start + Self.batch)
    sink.write(.mark)
    if end - start == Self.batch { waiting.append(.members(elements, end)) }
    waiting.append(.opcode(.addItems))
    if start < end { waiting.append(.run(elements, start..<end)) }
  }

  mutating func writeAppended(_ elements: PickleSlots, from start: Int) {
    let end = min(elements.slots.count, start + Self.batch)
    if end < elements.slots.count { waiting.append(.appended(elements, end)) }
    if end - start > 1 { sink.write(.mark) }
    waiting += [.opcode(end - start > 1 ? .appends : .append), .run(elements, start..<end)]
  }

  mutating func writeItems(_ pairs: PickleSlots, from start: Int) {
    let end = min(pairs.slots.count, start + 2 * Self.batch)
    if end < pairs.slots.count { waiting.append(.items(pairs, end)) }
    if end - start > 2 { sink.write(.mark) }
    waiting += [.opcode(end - start > 2 ? .setItems : .setItem), .run(pairs, start..<end)]
  }
}
