/// The protocols of pickle that are written. All from 0 to 5 are read.
public enum PickleProtocol: UInt8, Sendable {
  /// What Python 3.8 to 3.13 write, and 3.4 and later read.
  case four = 4
  /// What Python 3.14 writes, and 3.8 and later read.
  case five = 5
}

/// Writes a pickle, byte for byte as CPython's C pickler does: the same opcodes in the same frames, numbered in the
/// same order. A part that appears twice in the value as one object is written once.
///
/// No nesting recurses: what is still to be written waits on a stack.
///
/// ```
///   80 04                        protocol
///   95  uint64, little-endian    frame: so many bytes follow; not where they are fewer than 4
///   … opcodes …
///   2e                           stop
/// ```
///
/// Source: CPython 3.13, `Modules/_pickle.c` (`save`, `_Pickler_OpcodeBoundary`, `_Pickler_write_bytes`).
struct PickleWriter {
  private let version: PickleProtocol
  private var parts: [[UInt8]] = []
  private var buffer: [UInt8] = []
  /// Where in the buffer the current frame begins, its header included.
  private var frame: Int?
  private var isFraming = false

  /// The numbers of objects. Only of those of one graph at a time, as most values have one.
  private var memo = PickleNumbers()
  private var memoOfNames: [PickleName: Int] = [:]
  private var memoOfModules: [PickleText: Int] = [:]
  /// Python has one `timezone.utc`; other zones are written once too.
  private var memoOfZones: [PickleTimeZone: Int] = [:]
  /// The one key of a UUID's state, which is one object in Python.
  private var memoOfKey: Int?
  private var memoCount = 0
  private var waiting: [Step] = []
  /// For objects that are numbered only after what they contain: how many were numbered when they were last met.
  private var entered: [PickleIdentity: Int] = [:]

  private enum Step {
    case value(PickleValue)
    case opcode(PickleOpcode)
    case boundary
    case memoize(PickleIdentity?)
    /// The rest of a batch.
    case run(PickleSlots, Range<Int>)
    /// The elements of a list, from one on.
    case elements(PickleSlots, Int)
    case members(PickleSlots, Int)
    case pairs(PickleSlots, Int)
    /// The same for objects that are no list or dict of Python's own.
    case appended(PickleSlots, Int)
    case items(PickleSlots, Int)
    /// The elements of a tuple or frozenset have been written.
    case finishTuple(PickleIdentity?, count: Int)
    case finishFrozenSet(PickleIdentity?)
    case name(PickleName)
    case zone(PickleTimeZone)
    case memoizeZone(PickleTimeZone)
    case uuidState(PickleUUID)
    case small(PickleSlot)
    case text(String)
    case data([UInt8])
  }

  /// Elements between a MARK and what takes them.
  private static let batch = 1000
  private static let frameTarget = 64 << 10
  private static let frameMinimum = 4
  private static let frameHeader = 9

  init(_ version: PickleProtocol) { self.version = version }

  /// - Returns: the pickle in parts; large bytes are a part of their own and have not been copied.
  static func write(_ value: PickleValue, _ version: PickleProtocol) throws(PickleError) -> [[UInt8]] {
    var writer = PickleWriter(version)
    writer.buffer += [PickleOpcode.protocol.rawValue, version.rawValue]
    writer.isFraming = true
    writer.waiting.append(.value(value))
    while let step = writer.waiting.popLast() { try writer.take(step) }
    writer.opcode(.stop)
    writer.closeFrame()
    if !writer.buffer.isEmpty { writer.parts.append(writer.buffer) }
    return writer.parts
  }

  private mutating func take(_ step: Step) throws(PickleError) {
    switch step {
    case .value(let value): try save(value)
    case .opcode(let opcode): self.opcode(opcode)
    case .boundary: boundary()
    case .memoize(let identity): memoize(identity)
    case .run(let slots, let range): try writeRun(slots, range)
    case .elements(let slots, let start): writeElements(slots, from: start)
    case .members(let slots, let start): writeMembers(slots, from: start)
    case .pairs(let slots, let start): writePairs(slots, from: start)
    case .appended(let slots, let start): writeAppended(slots, from: start)
    case .items(let slots, let start): writeItems(slots, from: start)
    case .finishTuple(let identity, let count): finishTuple(identity, count)
    case .finishFrozenSet(let identity):
      if let identity, let index = memo[identity] {
        opcode(.popMark)
        get(index)
      } else {
        opcode(.frozenSet)
        memoize(identity)
      }
    case .name(let name): save(name)
    case .zone(let zone): save(zone, nil)
    case .memoizeZone(let zone):
      memoOfZones[zone] = memoCount
      memoize(nil)
    case .uuidState(let uuid): saveState(uuid)
    case .small(let slot): saveSmall(slot)
    case .text(let text):
      boundary()
      write(text)
      memoize(nil)
    case .data(let bytes):
      boundary()
      write(bytes)
      memoize(nil)
    }
  }

  // MARK: Frames

  /// Before each object: a frame that is large enough ends.
  private mutating func boundary() {
    if let frame, buffer.count - frame - Self.frameHeader >= Self.frameTarget { closeFrame() }
  }

  /// Before each byte: there is a frame.
  private mutating func openFrame() {
    guard isFraming, frame == nil else { return }
    frame = buffer.count
    for _ in 0..<Self.frameHeader { buffer.append(0) }
  }

  private mutating func closeFrame() {
    guard let start = frame else { return }
    let length = buffer.count - start - Self.frameHeader
    if length >= Self.frameMinimum {
      buffer[start] = PickleOpcode.frame.rawValue
      for index in 0..<8 { buffer[start + 1 + index] = UInt8(truncatingIfNeeded: length >> (8 * index)) }
    } else {
      buffer.removeSubrange(start..<(start + Self.frameHeader))
    }
    frame = nil
  }

  private mutating func opcode(_ opcode: PickleOpcode) {
    openFrame()
    buffer.append(opcode.rawValue)
  }

  private mutating func opcode(_ opcode: PickleOpcode, _ number: Int, byteCount: Int) {
    self.opcode(opcode)
    for index in 0..<byteCount { buffer.append(UInt8(truncatingIfNeeded: number >> (8 * index))) }
  }

  /// An opcode with a length, and that many bytes; large ones stand outside every frame.
  private mutating func opcode(_ opcode: PickleOpcode, lengthByteCount: Int, _ data: borrowing Span<UInt8>) {
    let isLarge = data.count >= Self.frameTarget
    if isLarge {
      closeFrame()
      isFraming = false
    }
    self.opcode(opcode, data.count, byteCount: lengthByteCount)
    unsafe data.withUnsafeBufferPointer { bytes in unsafe buffer.append(contentsOf: bytes) }
    isFraming = true
  }

  /// The same, and large bytes are not copied.
  private mutating func opcode(_ opcode: PickleOpcode, lengthByteCount: Int, _ data: [UInt8]) {
    if data.count < Self.frameTarget {
      self.opcode(opcode, lengthByteCount: lengthByteCount, data.span)
      return
    }
    closeFrame()
    isFraming = false
    self.opcode(opcode, data.count, byteCount: lengthByteCount)
    isFraming = true
    parts.append(buffer)
    parts.append(data)
    buffer = []
  }

  // MARK: The memo

  /// Numbers an object, as the unpickler will.
  private mutating func memoize(_ identity: PickleIdentity?) {
    opcode(.memoize)
    if let identity { memo[identity] = memoCount }
    memoCount += 1
  }

  private mutating func get(_ index: Int) {
    if index < 256 {
      opcode(.binaryGet, index, byteCount: 1)
    } else {
      opcode(.longBinaryGet, index, byteCount: 4)
    }
  }

  // MARK: Values

  private mutating func save(_ value: PickleValue) throws(PickleError) {
    guard case .node(let graph, let index) = value.storage else {
      boundary()
      if case .string(let text) = value.storage {
        write(text)
        memoize(nil)
      } else if case .bool(let bool) = value.storage {
        opcode(bool ? .newTrue : .newFalse)
      } else if case .int(let int) = value.storage {
        write(int)
      } else if case .float(let float) = value.storage {
        write(float)
      } else {
        opcode(.none)
      }
      return
    }
    try save(graph, index)
  }

  private mutating func save(_ graph: PickleGraph, _ index: Int) throws(PickleError) {
    boundary()
    let identity = PickleIdentity(graph: ObjectIdentifier(graph), index: index)
    if let known = memo[identity] {
      get(known)
      return
    }
    try memo.keep(graph)
    if graph.nodes[index].isNumberedLate, entered.updateValue(memoCount, forKey: identity) == memoCount {
      // Met again although nothing has been numbered since: this would have no end.
      throw Self.unrepresentable(
        "\(PickleValue(.node(index), in: graph).kind) that contains itself, and no list or dict between")
    }
    try save(graph.nodes[index], identity, graph)
  }

  /// Writes slots one after another, up to one that consists of others: what comes behind that waits.
  private mutating func writeRun(_ slots: PickleSlots, _ range: Range<Int>) throws(PickleError) {
    for index in range {
      switch slots.slots[index] {
      case .node(let node):
        if case .string(let text) = slots.graph.nodes[node] {
          boundary()
          let identity = PickleIdentity(graph: ObjectIdentifier(slots.graph), index: node)
          if let known = memo[identity] {
            get(known)
          } else {
            try memo.keep(slots.graph)
            write(text)
            memoize(identity)
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

  private mutating func saveSmall(_ slot: PickleSlot) {
    boundary()
    switch slot {
    case .bool(let value): opcode(value ? .newTrue : .newFalse)
    case .int(let value): write(value)
    case .float(let value): write(value)
    default: opcode(.none)
    }
  }

  private mutating func save(
    _ node: PickleNode, _ identity: PickleIdentity, _ graph: PickleGraph
  ) throws(PickleError) {
    switch node {
    case .string(let text):
      write(text)
      memoize(identity)
    case .bytes(let bytes):
      write(bytes)
      memoize(identity)
    case .byteArray(let bytes):
      if version == .five {
        opcode(.byteArray8, lengthByteCount: 8, bytes)
        memoize(identity)
      } else {
        reduce("builtins", "bytearray", bytes.isEmpty ? [] : [.data(bytes)], identity)
      }
    case .integer(let value): write(value)
    case .complex(let value):
      reduce("builtins", "complex", [.small(.float(value.real)), .small(.float(value.imaginary))], identity)
    case .list(let slots):
      opcode(.emptyList)
      memoize(identity)
      if !slots.isEmpty { waiting.append(.elements(PickleSlots(slots, graph), 0)) }
    case .tuple(let slots): saveTuple(PickleSlots(slots, graph), identity)
    case .set(let slots):
      opcode(.emptySet)
      memoize(identity)
      if !slots.isEmpty { waiting.append(.members(PickleSlots(slots, graph), 0)) }
    case .frozenSet(let slots):
      opcode(.mark)
      waiting.append(.finishFrozenSet(identity))
      waiting.append(.run(PickleSlots(slots, graph), slots.indices))
    case .dict(let slots):
      opcode(.emptyDict)
      memoize(identity)
      if !slots.isEmpty { waiting.append(.pairs(PickleSlots(slots, graph), 0)) }
    case .orderedDict(let slots, let attributes):
      if let attributes { waiting += [.opcode(.build), .value(PickleValue(attributes, in: graph))] }
      if !slots.isEmpty { waiting.append(.items(PickleSlots(slots, graph), 0)) }
      reduce("collections", "OrderedDict", [], identity)
    case .object(let object): try save(object, identity, graph)
    case .name(let name): save(name)
    case .array(let array): save(array, identity)
    case .arrayType(let type): saveArrayType(type, identity)
    case .alias: throw Self.unrepresentable("an object that refers to itself alone")
    case .date, .time, .dateTime, .timeDelta, .timeZone, .decimal, .uuid: saveStandard(node, identity, graph)
    }
  }

  private static func unrepresentable(_ what: String) -> PickleError {
    PickleError(.unrepresentable, offset: 0, expected: "a value", found: what)
  }

  private mutating func write(_ value: Int) {
    switch value {
    case 0...0xff: opcode(.binaryInt1, value, byteCount: 1)
    case 0...0xffff: opcode(.binaryInt2, value, byteCount: 2)
    case -0x8000_0000...0x7fff_ffff: opcode(.binaryInt, value, byteCount: 4)
    default:
      let byteCount = (Int.bitWidth - (value < 0 ? ~value : value).leadingZeroBitCount) / 8 + 1
      opcode(.long1, byteCount, byteCount: 1)
      for index in 0..<byteCount { buffer.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }
  }

  private mutating func write(_ value: PickleInt) {
    let bytes = value.twosComplement
    opcode(bytes.count < 256 ? .long1 : .long4, bytes.count, byteCount: bytes.count < 256 ? 1 : 4)
    buffer += bytes
  }

  private mutating func write(_ value: Double) {
    opcode(.binaryFloat)
    let bits = value.bitPattern
    for index in (0..<8).reversed() { buffer.append(UInt8(truncatingIfNeeded: bits >> UInt64(8 * index))) }
  }

  private mutating func write(_ text: String) {
    var text = text
    text.makeContiguousUTF8()
    let span = text.utf8.span
    switch span.count {
    case ..<256: opcode(.shortBinaryUnicode, lengthByteCount: 1, span)
    case ...0xffff_ffff: opcode(.binaryUnicode, lengthByteCount: 4, span)
    default: opcode(.binaryUnicode8, lengthByteCount: 8, span)
    }
  }

  private mutating func write(_ bytes: [UInt8]) {
    switch bytes.count {
    case ..<256: opcode(.shortBinaryBytes, lengthByteCount: 1, bytes)
    case ...0xffff_ffff: opcode(.binaryBytes, lengthByteCount: 4, bytes)
    default: opcode(.binaryBytes8, lengthByteCount: 8, bytes)
    }
  }

  private mutating func saveTuple(_ elements: PickleSlots, _ identity: PickleIdentity?) {
    if elements.slots.isEmpty {
      opcode(.emptyTuple)
      return
    }
    if elements.slots.count > 3 { opcode(.mark) }
    waiting.append(.finishTuple(identity, count: elements.slots.count))
    waiting.append(.run(elements, elements.slots.indices))
  }

  private mutating func finishTuple(_ identity: PickleIdentity?, _ count: Int) {
    // One of its elements contains it, and has written it meanwhile.
    if let identity, let index = memo[identity] {
      if count > 3 {
        opcode(.popMark)
      } else {
        for _ in 0..<count { opcode(.pop) }
      }
      get(index)
      return
    }
    opcode(count == 1 ? .tuple1 : count == 2 ? .tuple2 : count == 3 ? .tuple3 : .tuple)
    memoize(identity)
  }

  // Lists, dicts and sets are written in batches: of a dict or set, a full batch is followed by another, which may be
  // empty. What other objects append and set comes from an iterator: there a last batch of one has no mark.

  private mutating func writeElements(_ elements: PickleSlots, from start: Int) {
    let count = elements.slots.count
    if count == 1 {
      waiting += [.opcode(.append), .run(elements, 0..<1)]
      return
    }
    let end = min(count, start + Self.batch)
    opcode(.mark)
    if end < count { waiting.append(.elements(elements, end)) }
    waiting += [.opcode(.appends), .run(elements, start..<end)]
  }

  private mutating func writePairs(_ pairs: PickleSlots, from start: Int) {
    let count = pairs.slots.count / 2
    if count == 1 {
      waiting += [.opcode(.setItem), .run(pairs, 0..<2)]
      return
    }
    let end = min(count, start + Self.batch)
    opcode(.mark)
    if end - start == Self.batch { waiting.append(.pairs(pairs, end)) }
    waiting.append(.opcode(.setItems))
    if start < end { waiting.append(.run(pairs, (2 * start)..<(2 * end))) }
  }

  private mutating func writeMembers(_ elements: PickleSlots, from start: Int) {
    let end = min(elements.slots.count, start + Self.batch)
    opcode(.mark)
    if end - start == Self.batch { waiting.append(.members(elements, end)) }
    waiting.append(.opcode(.addItems))
    if start < end { waiting.append(.run(elements, start..<end)) }
  }

  private mutating func writeAppended(_ elements: PickleSlots, from start: Int) {
    let end = min(elements.slots.count, start + Self.batch)
    if end < elements.slots.count { waiting.append(.appended(elements, end)) }
    if end - start > 1 { opcode(.mark) }
    waiting += [.opcode(end - start > 1 ? .appends : .append), .run(elements, start..<end)]
  }

  private mutating func writeItems(_ pairs: PickleSlots, from start: Int) {
    let end = min(pairs.slots.count, start + 2 * Self.batch)
    if end < pairs.slots.count { waiting.append(.items(pairs, end)) }
    if end - start > 2 { opcode(.mark) }
    waiting += [.opcode(end - start > 2 ? .setItems : .setItem), .run(pairs, start..<end)]
  }

  // MARK: Objects

  /// A class or a function: module, name, STACK_GLOBAL. Modules are one object in Python.
  private mutating func save(_ name: PickleName) {
    boundary()
    if let index = memoOfNames[name] {
      get(index)
      return
    }
    boundary()
    if let index = memoOfModules[PickleText(name.module)] {
      get(index)
    } else {
      memoOfModules[PickleText(name.module)] = memoCount
      write(name.module)
      memoize(nil)
    }
    boundary()
    write(name.name)
    memoize(nil)
    opcode(.stackGlobal)
    memoOfNames[name] = memoCount
    memoize(nil)
  }

  /// A call: the name, a tuple of arguments, REDUCE.
  private mutating func reduce(
    _ module: String, _ name: String, _ arguments: [Step], _ identity: PickleIdentity?, then: [Step] = []
  ) {
    waiting += then.reversed()
    waiting += [.memoize(identity), .opcode(.reduce)]
    waitForTuple(arguments)
    save(PickleName(module, name))
  }

  /// A tuple that only this call has.
  private mutating func waitForTuple(_ elements: [Step]) {
    if elements.isEmpty {
      waiting += [.opcode(.emptyTuple), .boundary]
      return
    }
    waiting.append(.finishTuple(nil, count: elements.count))
    waiting += elements.reversed()
    if elements.count > 3 { waiting.append(.opcode(.mark)) }
    waiting.append(.boundary)
  }

  private mutating func save(
    _ object: PickleObjectNode, _ identity: PickleIdentity, _ graph: PickleGraph
  ) throws(PickleError) {
    if let state = object.state { waiting += [.opcode(.build), .value(PickleValue(state, in: graph))] }
    if !object.items.isEmpty { waiting.append(.items(PickleSlots(object.items, graph), 0)) }
    if !object.appended.isEmpty { waiting.append(.appended(PickleSlots(object.appended, graph), 0)) }
    waiting.append(.memoize(identity))
    if let base = object.base, let argument = object.arguments.first {
      waiting += [
        .opcode(.reduce), .finishTuple(nil, count: 3), .value(PickleValue(argument, in: graph)),
        .value(PickleValue(base, in: graph)), .value(PickleValue(object.callee, in: graph)), .boundary,
      ]
      return save(PickleName("copyreg", "_reconstructor"))
    }
    if let keywords = object.keywordArguments {
      waiting += [.opcode(.newObjectWithKeywords), .value(PickleValue(keywords, in: graph))]
    } else {
      waiting.append(.opcode(object.isNew ? .newObject : .reduce))
    }
    let arguments = object.arguments
    if arguments.isEmpty {
      waiting += [.opcode(.emptyTuple), .boundary]
    } else {
      waiting += [
        .finishTuple(nil, count: arguments.count), .run(PickleSlots(arguments, graph), arguments.indices),
      ]
      if arguments.count > 3 { waiting.append(.opcode(.mark)) }
      waiting.append(.boundary)
    }
    try save(PickleValue(object.callee, in: graph))
  }

  private mutating func saveStandard(_ node: PickleNode, _ identity: PickleIdentity, _ graph: PickleGraph) {
    switch node {
    case .date(let date): reduce("datetime", "date", [.data(Self.packed(date))], identity)
    case .time(let time, let zone):
      var bytes = Self.packed(time)
      if time.isFold { bytes[0] |= 0x80 }
      reduce("datetime", "time", [.data(bytes)] + Self.zone(time.timeZone, zone, graph), identity)
    case .dateTime(let value, let zone):
      var bytes = Self.packed(value.date) + Self.packed(value.time)
      if value.time.isFold { bytes[2] |= 0x80 }
      reduce("datetime", "datetime", [.data(bytes)] + Self.zone(value.time.timeZone, zone, graph), identity)
    case .timeDelta(let delta):
      reduce(
        "datetime", "timedelta",
        [.small(.int(delta.days)), .small(.int(delta.seconds)), .small(.int(delta.microseconds))], identity)
    case .timeZone(let zone): save(zone, zone == .utc ? nil : identity)
    case .decimal(let decimal): reduce("decimal", "Decimal", [.text(decimal.text)], identity)
    case .uuid(let uuid):
      waiting += [.opcode(.build), .uuidState(uuid)]
      waiting += [.memoize(identity), .opcode(.newObject), .opcode(.emptyTuple)]
      save(PickleName("uuid", "UUID"))
    default: break
    }
  }

  private mutating func saveState(_ uuid: PickleUUID) {
    boundary()
    opcode(.emptyDict)
    memoize(nil)
    boundary()
    if let index = memoOfKey {
      get(index)
    } else {
      memoOfKey = memoCount
      write("int")
      memoize(nil)
    }
    waiting += [.opcode(.setItem), .value(PickleValue(uuid.number))]
  }

  /// A time zone: the object that it is in Python, or, without one, the one of that value.
  private mutating func save(_ zone: PickleTimeZone, _ identity: PickleIdentity?) {
    boundary()
    if identity == nil, let index = memoOfZones[zone] {
      get(index)
      return
    }
    waiting += [identity == nil ? .memoizeZone(zone) : .memoize(identity), .opcode(.reduce)]
    if zone.offset == nil {
      // getattr(ZoneInfo, "_unpickle")(key, from_cache)
      waitForTuple([.text(zone.name ?? "UTC"), .small(.bool(true))])
      waiting += [.memoize(nil), .opcode(.reduce)]
      waitForTuple([.name(PickleName("zoneinfo", "ZoneInfo")), .text("_unpickle")])
      save(PickleName("builtins", "getattr"))
      return
    }
    waitForTuple([.value(PickleValue(zone.delta))] + (zone.name.map { [Step.text($0)] } ?? []))
    save(PickleName("datetime", "timezone"))
  }

  private static func zone(_ zone: PickleTimeZone?, _ slot: PickleSlot?, _ graph: PickleGraph) -> [Step] {
    guard let zone else { return [] }
    return [slot.map { .value(PickleValue($0, in: graph)) } ?? .zone(zone)]
  }

  private static func packed(_ date: PickleDate) -> [UInt8] {
    [UInt8(date.year >> 8), UInt8(date.year & 0xff), UInt8(date.month), UInt8(date.day)]
  }

  private static func packed(_ time: PickleTime) -> [UInt8] {
    let microsecond = time.microsecond
    return [UInt8(time.hour), UInt8(time.minute), UInt8(time.second)]
      + [UInt8(microsecond >> 16), UInt8(microsecond >> 8 & 0xff), UInt8(microsecond & 0xff)]
  }

  // MARK: NumPy

  /// As NumPy 1 writes it for every protocol; NumPy 2 reads that too. A scalar that Python's own types do not hold is
  /// written as one.
  private mutating func save(_ array: NumPyArray, _ identity: PickleIdentity) {
    if array.isScalar {
      reduce(
        "numpy.core.multiarray", "scalar", [.value(PickleValue(.arrayType(array.type))), .data(array.bytes)],
        identity)
      return
    }
    let shape = PickleValue.tuple(array.shape.map { PickleValue($0) })
    waiting += [.opcode(.build), .finishTuple(nil, count: 5), .data(array.bytes)]
    waiting += [
      .small(.bool(array.order == .columnMajor)), .value(PickleValue(.arrayType(array.type))), .value(shape),
      .small(.int(1)), .opcode(.mark), .boundary,
    ]
    reduce(
      "numpy.core.multiarray", "_reconstruct",
      [.name(PickleName("numpy", "ndarray")), .value(.tuple([0])), .data([UInt8(ascii: "b")])], identity)
  }

  private mutating func saveArrayType(_ type: NumPyType, _ identity: PickleIdentity) {
    func number(_ value: Int) -> Step { .small(.int(value)) }
    let size =
      switch type.kind {
      case .text, .bytes, .raw, .record, .subarray: type.byteCount
      default: -1
      }
    let alignment =
      switch type.kind {
      case .text: 4
      case .bytes, .raw, .record, .subarray: 1
      default: -1
      }
    var flags = 0
    var version = 3
    var (subarray, names, fields) = (Step.small(.none), Step.small(.none), Step.small(.none))
    var unit: [Step] = []
    switch type.kind {
    case .text: flags = 8
    case .record:
      flags = 16 | (type.isAligned ? 0x80 : 0)
      names = .value(.tuple(type.fields.map { PickleValue($0.name) }))
      fields = .value(
        .dict(
          type.fields.map {
            (PickleValue($0.name), .tuple([PickleValue($0.type), PickleValue($0.offset)]))
          }))
    case .subarray:
      if let field = type.fields.first {
        subarray = .value(.tuple([PickleValue(field.type), .tuple(field.shape.map { PickleValue($0) })]))
      }
    case .object: flags = 63
    case .date, .timeDelta:
      version = 4
      if let found = type.unit {
        let code = PickleValue.bytes(Array(found.code.utf8))
        unit = [.value(.tuple([[:], .tuple([code, PickleValue(found.count), 1, 1])]))]
      }
    default: break
    }
    waiting.append(.opcode(.build))
    waitForTuple(
      [
        number(version), .text(type.orderMark), subarray, names, fields, number(size), number(alignment),
        number(flags),
      ]
        + unit)
    reduce(
      "numpy", "dtype", [.text(type.code), .small(.bool(false)), .small(.bool(true))], identity)
  }
}

/// The slots of a container, and the graph that they belong to.
struct PickleSlots {
  let slots: [PickleSlot]
  let graph: PickleGraph

  init(_ slots: [PickleSlot], _ graph: PickleGraph) {
    self.slots = slots
    self.graph = graph
  }
}

/// Which number each object has that has been written.
///
/// A table for each graph, as long as the graph: a lookup takes 2 ns where a dictionary's takes 30. Of a graph of which
/// few objects are written, the numbers stand in a dictionary, or each small part of a large value would cost as much as
/// the whole.
private struct PickleNumbers {
  private struct Table {
    /// Kept, so that no other graph has its identity.
    let graph: PickleGraph
    /// -1: none.
    var byIndex: [Int32] = []
    var few: [Int: Int32] = [:]
  }

  private var tables: [Table] = []
  private var places: [ObjectIdentifier: Int] = [:]
  private var last: (id: ObjectIdentifier, place: Int)?

  private func place(_ id: ObjectIdentifier?) -> Int? {
    if let last, last.id == id { return last.place }
    return id.flatMap { places[$0] }
  }

  subscript(identity: PickleIdentity) -> Int? {
    get {
      guard let place = place(identity.graph) else { return nil }
      if identity.index < tables[place].byIndex.count {
        let number = tables[place].byIndex[identity.index]
        return number < 0 ? nil : Int(number)
      }
      return tables[place].few[identity.index].map(Int.init)
    }
    set {
      guard let place = place(identity.graph), let newValue else { return }
      let number = Int32(truncatingIfNeeded: newValue)
      if identity.index < tables[place].byIndex.count {
        tables[place].byIndex[identity.index] = number
        return
      }
      tables[place].few[identity.index] = number
      let count = tables[place].graph.nodes.count
      if tables[place].few.count * 16 < count { return }
      tables[place].byIndex = [Int32](repeating: -1, count: count)
      for (index, number) in tables[place].few { tables[place].byIndex[index] = number }
      tables[place].few = [:]
    }
  }

  mutating func keep(_ graph: PickleGraph) throws(PickleError) {
    let id = ObjectIdentifier(graph)
    if let last, last.id == id { return }
    if let known = places[id] {
      last = (id, known)
      return
    }
    if let defect = graph.defect {
      throw PickleError(
        .unrepresentable, offset: 0, expected: "keys and elements that Python can hash", found: defect)
    }
    last = (id, tables.count)
    places[id] = tables.count
    let count = graph.nodes.count
    tables.append(Table(graph: graph, byIndex: count <= 64 ? [Int32](repeating: -1, count: count) : []))
  }
}

extension PickleNode {
  /// Whether it is numbered only after what it contains, and contains something.
  fileprivate var isNumberedLate: Bool {
    switch self {
    case .tuple(let slots), .frozenSet(let slots): !slots.isEmpty
    case .object: true
    default: false
    }
  }
}
