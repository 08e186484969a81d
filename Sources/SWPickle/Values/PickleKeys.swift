/// Numbers the values that Python can hash. Two values that are equal in Python get the same number: 1, True and 1.0 for
/// instance, or two tuples of these.
///
/// Each object is visited once, however often it is shared, and nesting causes no recursion. Python itself would not finish
/// with forty levels of tuples that each contain the next level twice. A nan is equal to nothing. An object of an unknown class
/// is equal only to itself in Python. As a Swift value it is what its pickle says, like everything that it contains. If it contains
/// itself, it is equal to nothing that was copied from elsewhere.
struct PickleKeys {
  /// Whether values of different types differ, as in Swift.
  let isStrict: Bool
  private var numbers: [Key: Int] = [:]
  private var numbersOfObjects: [PickleIdentity: Int] = [:]
  private var count = 0

  init(isStrict: Bool = false) { self.isStrict = isStrict }

  /// A value that has no hash in Python, and its kind.
  struct NotHashable: Error { let kind: String }

  private enum Key: Hashable {
    case none
    case bool(Bool)
    case int(PickleInt)
    case float(UInt64)
    case complex(PickleComplex)
    case string(PickleText)
    case bytes([UInt8])
    case tuple([Int])
    case frozenSet(Set<Int>)
    case date(PickleDate)
    case time(PickleTime)
    case dateTime(PickleDateTime)
    case timeDelta(PickleTimeDelta)
    case timeZone(Int)
    case strictTimeZone(PickleTimeZone)
    case array(NumPyArray)
    case decimal(String)
    case uuid(PickleUUID)
    case arrayType(NumPyType)
    case name(PickleName)
    /// An object that is equal only to itself.
    case identity(PickleIdentity)
    // Only as Swift values:
    case byteArray([UInt8])
    case list([Int])
    case set(Set<Int>)
    case dict(Set<[Int]>)
    case orderedDict(Set<[Int]>, attributes: Int?)
    /// The number of parts of each sort, and the parts.
    case object([Int], [Int])
    case inZone(Int, zone: Int)
  }

  /// The position of an object.
  private struct Place {
    var slot: PickleSlot
    /// Nil for the arena.
    var graph: PickleGraph?
  }

  /// Returns the number of a value whose slot is in an arena.
  mutating func number(_ slot: PickleSlot, in arena: borrowing PickleArena) throws(NotHashable) -> Int {
    if let number = try numberIfSmall(slot) { return number }
    var stack = [Place(slot: slot, graph: nil)]
    var number = 0
    while let top = stack.last {
      if let small = try numberIfSmall(top.slot) {
        number = small
        stack.removeLast()
        continue
      }
      let (graph, index) = Self.locate(top, in: arena)
      let identity = PickleIdentity(graph: graph.map(ObjectIdentifier.init), index: index)
      if let known = numbersOfObjects[identity], known >= 0 {
        number = known
        stack.removeLast()
        continue
      }
      let node = graph?.nodes[index] ?? arena.nodes[index]
      let children = children(of: node)
      var childNumbers: [Int] = []
      let depth = stack.count
      for child in children {
        if let known = try numberIfKnown(Place(slot: child, graph: graph), in: arena) {
          childNumbers.append(known)
        } else {
          stack.append(Place(slot: child, graph: graph))
        }
      }
      if stack.count > depth {
        // If this object is being numbered, and a part of it is still missing, it contains itself.
        if numbersOfObjects.updateValue(-1, forKey: identity) != nil, !isStrict {
          throw NotHashable(kind: "a recursive tuple")
        }
        continue
      }
      number = try self.number(node, identity, childNumbers)
      numbersOfObjects[identity] = number
      stack.removeLast()
    }
    return number
  }

  private func children(of node: PickleNode) -> [PickleSlot] {
    switch node {
    case .tuple(let slots), .frozenSet(let slots): return slots
    case .alias(let slot): return [slot]
    default: break
    }
    guard isStrict else { return [] }
    switch node {
    case .list(let slots), .set(let slots), .dict(let slots): return slots
    case .orderedDict(let slots, let attributes): return slots + [attributes].compactMap { $0 }
    case .object(let object): return object.slots
    case .time(let value, let zone?) where value.timeZone?.isUnknown == true: return [zone]
    case .dateTime(let value, let zone?) where value.time.timeZone?.isUnknown == true: return [zone]
    default: return []
    }
  }

  private static func locate(
    _ place: Place, in arena: borrowing PickleArena
  ) -> (graph: PickleGraph?, index: Int) {
    switch place.slot {
    case .node(let index): return (place.graph, index)
    case .link(let index):
      let link = place.graph?.links[index] ?? arena.links[index]
      return (link.graph, link.index)
    default: return (nil, 0)
    }
  }

  private mutating func numberIfSmall(_ slot: PickleSlot) throws(NotHashable) -> Int? {
    switch slot {
    case .none: number(.none)
    case .bool(let value): number(isStrict ? .bool(value) : .int(value ? 1 : 0))
    case .int(let value): number(.int(PickleInt(value)))
    case .float(let value): number(value)
    case .node, .link: nil
    }
  }

  private mutating func numberIfKnown(
    _ place: Place, in arena: borrowing PickleArena
  ) throws(NotHashable) -> Int? {
    if let number = try numberIfSmall(place.slot) { return number }
    let (graph, index) = Self.locate(place, in: arena)
    let identity = PickleIdentity(graph: graph.map(ObjectIdentifier.init), index: index)
    guard let known = numbersOfObjects[identity] else { return nil }
    if known >= 0 { return known }
    if isStrict { return number(.identity(identity)) }
    throw NotHashable(kind: "a recursive tuple")
  }

  private mutating func number(_ key: Key) -> Int {
    if let number = numbers[key] { return number }
    numbers[key] = count
    count += 1
    return count - 1
  }

  private mutating func number(_ value: Double) -> Int {
    if value.isNaN {
      count += 1
      return count - 1
    }
    if isStrict { return number(.float(value == 0 ? 0 : value.bitPattern)) }
    if let whole = PickleInt(exactly: value) { return number(.int(whole)) }
    return number(.float(value.bitPattern))
  }

  private mutating func number(
    _ node: PickleNode, _ identity: PickleIdentity, _ children: [Int]
  ) throws(NotHashable) -> Int {
    switch node {
    case .string(let value): return number(.string(PickleText(value)))
    case .bytes(let value): return number(.bytes(value))
    case .integer(let value): return number(.int(value))
    case .complex(let value):
      if value.real.isNaN || value.imaginary.isNaN { return number(.nan) }
      if !isStrict, value.imaginary == 0 { return number(value.real) }
      return number(.complex(value))
    case .tuple: return number(.tuple(children))
    case .frozenSet: return number(.frozenSet(Set(children)))
    case .date(let value): return number(.date(value))
    // In Python times in an unknown zone are equal only to themselves.
    case .time(let value, _):
      guard value.timeZone?.isUnknown == true else { return number(.time(value)) }
      if let zone = children.first { return number(.inZone(number(.time(value)), zone: zone)) }
      return number(.identity(identity))
    case .dateTime(let value, _):
      guard value.time.timeZone?.isUnknown == true else { return number(.dateTime(value)) }
      if let zone = children.first { return number(.inZone(number(.dateTime(value)), zone: zone)) }
      return number(.identity(identity))
    case .timeDelta(let value): return number(.timeDelta(value))
    case .timeZone(let value):
      return number(isStrict ? .strictTimeZone(value) : .timeZone(value.offset?.microseconds ?? 0))
    case .decimal(let value): return number(.decimal(value.text))
    case .uuid(let value): return number(.uuid(isStrict ? value : PickleUUID(number: value.number)))
    case .arrayType(let value): return number(.arrayType(value))
    case .name(let value): return number(.name(value))
    case .alias: return children.first ?? 0
    default: return try isStrict ? strictNumber(node, identity, children) : pythonNumber(node, identity)
    }
  }

  private mutating func strictNumber(_ node: PickleNode, _ identity: PickleIdentity, _ children: [Int]) -> Int
  {
    func pairs(_ numbers: ArraySlice<Int>) -> Set<[Int]> {
      Set(stride(from: 0, to: numbers.count - 1, by: 2).map { [numbers[$0], numbers[$0 + 1]] })
    }
    switch node {
    case .byteArray(let value): return number(.byteArray(value))
    case .list: return number(.list(children))
    case .set: return number(.set(Set(children)))
    case .dict: return number(.dict(pairs(children[...])))
    case .orderedDict(let slots, _):
      let attributes = children.count > slots.count ? children.last : nil
      return number(.orderedDict(pairs(children[..<slots.count]), attributes: attributes))
    case .object(let object):
      let parts = [object.base, object.keywordArguments, object.state, object.stateSetter]
      return number(
        .object([object.arguments.count, object.appended.count] + parts.map { $0 == nil ? 0 : 1 }, children))
    case .array(let value): return number(.array(value))
    default: return number(.identity(identity))
    }
  }

  private mutating func pythonNumber(_ node: PickleNode, _ identity: PickleIdentity) throws(NotHashable)
    -> Int
  {
    switch node {
    case .list: throw NotHashable(kind: "a list")
    case .dict, .orderedDict: throw NotHashable(kind: "a dict")
    case .set: throw NotHashable(kind: "a set")
    case .byteArray: throw NotHashable(kind: "a bytearray")
    // A scalar that Python's own types cannot represent.
    case .array(let value) where value.isScalar: return number(.array(value))
    case .array: throw NotHashable(kind: "an array")
    default: return number(.identity(identity))
    }
  }
}
