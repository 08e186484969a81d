// Lists, tuples, sets and dicts, and other objects to which Python can append or in which it can set items.

extension PickleReader {
  /// Counts the elements of a container, and updates its depth.
  mutating func account(_ slots: [PickleSlot], in parent: Int) throws(PickleError) {
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

  /// The depth of an object that contains only this slot.
  func depth(_ slot: PickleSlot) -> Int32 {
    if case .node(let index) = slot { return depths[index] + 1 }
    return 0
  }

  mutating func pushTuple(_ elements: [PickleSlot]) throws(PickleError) {
    try pushContainer(newTuple(elements))
  }

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
    // This is not a `switch`, because a `switch` would retain the elements, and each change would copy them all.
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

  func byteValue(_ slot: PickleSlot) throws(PickleError) -> UInt8 {
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

  /// Reads an index into a sequence. As in Python, a negative index counts from the end.
  func index(_ slot: PickleSlot, count: Int) throws(PickleError) -> Int {
    let index: Int
    switch slot {
    case .int(let value): index = value
    case .bool(let value): index = value ? 1 : 0
    default: throw error(.malformed, "an index", kind(slot))
    }
    guard -count..<count ~= index else { throw error(.malformed, "an index below \(count)", "\(index)") }
    return index < 0 ? index + count : index
  }

  mutating func insert(_ elements: [PickleSlot], into target: PickleSlot) throws(PickleError) {
    if elements.isEmpty { return }
    guard case .node(let index) = target, case .set = arena.nodes[index],
      case .set(var slots) = arena.take(index)
    else { throw error(.malformed, "a set to add to", kind(target)) }
    try account(elements, in: index)
    try insert(elements, every: 1, into: &slots, of: index)
    arena.nodes[index] = .set(slots)
  }

  /// Inserts keys, each with its value if `step` is 2. A key that is there already keeps its position and gets the new
  /// value.
  mutating func insert(
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
      // The charge for the number that the key will get, and its bookkeeping.
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

  mutating func find(
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
        // As in CPython, an object is equal to itself.
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

  mutating func keyNumber(_ slot: PickleSlot) throws(PickleError) -> Int {
    if case .node(let index) = slot {
      // Hashing reads the bytes.
      let byteCount =
        switch arena.nodes[index] {
        case .string(let text): text.utf8.count
        case .bytes(let bytes): bytes.count
        case .decimal(let value): value.text.utf8.count
        case .array(let array): array.bytes.count
        case .name(let name): name.module.utf8.count + name.name.utf8.count
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
