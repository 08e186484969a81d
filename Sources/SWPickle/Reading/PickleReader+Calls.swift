// Names, calls, the states of objects, and the end of a pickle, when the readers of registered classes run.

extension PickleReader {
  func string(_ slot: PickleSlot) -> String? {
    if case .node(let index) = slot, case .string(let string) = arena.nodes[index] { return string }
    return nil
  }

  /// A str, to compare it.
  func text(_ slot: PickleSlot) -> PickleText? { string(slot).map { PickleText($0) } }

  func name(_ slot: PickleSlot) -> PickleName? {
    if case .node(let index) = slot, case .name(let name) = arena.nodes[index] { return name }
    return nil
  }

  /// Looks up a name. A strict registry must have it.
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

  mutating func pushName(_ module: String, _ name: String) throws(PickleError) {
    try push(newName(module, name))
  }

  /// The known facts about a class or function, or about an object that stands for one.
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
    // The name of an attribute is made for each object that stands for one.
    if let name { try charge(name.module.utf8.count + name.name.utf8.count) }
    let found = Callee(name: name, entry: name.flatMap { registry[$0] })
    entries[index] = found
    return found
  }

  mutating func call(
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

  mutating func build(_ target: PickleSlot, _ state: PickleSlot) throws(PickleError) {
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
      object.stateSetter = nil
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
      object.stateSetter = nil
      arena.nodes[index] = .object(object)
      touch(index)
    default:
      throw error(.malformed, "an object that takes such a state", kind(target))
    }
  }

  /// Gives the topmost object the state of a call whose result nobody keeps: `setter(object, state)`. Python writes that
  /// for a class whose `__reduce__` names such a function. Other calls are no part of any value.
  mutating func setState(_ popped: PickleSlot) throws(PickleError) {
    guard case .node(let place) = popped, case .object(let call) = arena.nodes[place], !call.isNew,
      call.arguments.count == 2, case .node(let index) = call.arguments[0], stack.count > fence,
      case .node(index)? = stack.last, case .object(var object) = arena.nodes[index], object.state == nil,
      object.awaited == nil
    else { return }
    try account([call.callee, call.arguments[1]], in: index)
    object.state = call.arguments[1]
    object.stateSetter = call.callee
    arena.nodes[index] = .object(object)
    touch(index)
  }

  func entries(of slot: PickleSlot) -> Callee? {
    if case .node(let index) = slot { return entries[index] }
    return nil
  }

  mutating func touch(_ object: Int) {
    objectTime += 1
    objects[object] = objectTime
  }

  /// The kind of a slot, for an error.
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

  /// Makes the value, after the readers of registered classes have run.
  mutating func finish(_ root: PickleSlot) throws -> PickleValue {
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
      // A snapshot shares the memory, and is usually gone before the next change. If a reader keeps the value that it got,
      // the next change copies all objects, which is charged.
      let result: PickleSlot
      let copies: [PickleNode]
      let isKept: Bool
      do {
        var snapshot = PickleGraph(snapshot: arena.nodes)
        (result, copies) = try Self.read(node, reader, &snapshot, arena.nodes.count)
        isKept = !isKnownUniquelyReferenced(&snapshot)
      }
      if isKept { try charge(arena.nodes.count * MemoryLayout<PickleNode>.stride) }
      arena.nodes += copies
      // If a reader returns the object itself, the object stays as it is.
      if case .node(object) = result { continue }
      arena.nodes[object] = .alias(result)
    }
    return PickleValue(root, in: PickleGraph(nodes: arena.nodes))
  }

  /// Runs the reader of an object. It is a separate function, so the object and the value are released when it returns.
  @inline(never)
  private static func read(
    _ node: PickleObjectNode, _ reader: PickleRegistry.Reader, _ snapshot: inout PickleGraph, _ start: Int
  ) throws -> (PickleSlot, [PickleNode]) {
    let value = try reader(PickleObject(node, in: snapshot))
    return PickleArena.copies(of: value, startingAt: start, own: snapshot)
  }
}
