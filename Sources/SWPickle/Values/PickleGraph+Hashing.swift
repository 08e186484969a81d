internal import Synchronization

// The hashes of objects. A peer chooses the values that a program uses as keys. If many of them had one hash, each would be
// compared with all others. So a hash covers the whole content of an object, like that of an array in Swift.
//
// Equal values have equal hashes, however they are shared and in which graph they are:
// - The hash of a set or dict does not depend on the order.
// - An object from which a cycle can be reached has a hash of its kind and of those of its parts, and of the parts that are
//   small. That it reaches a cycle is a property of the endless value that it stands for, and does not depend on where the cycle
//   is cut.
// - An object that contains a nan is equal to nothing. So is one that has a key or an element of a set from which a cycle can be
//   reached. Its hash depends on its identity, so many of them are no obstacle.
//
// Each hash is computed once and kept by the graph. Many keys may share one large part.

/// The hash of an object.
struct PickleHash {
  let value: Int
  /// Whether a cycle can be reached from the object.
  let isEndless: Bool
  /// Whether the object is equal to nothing.
  let isUnequal: Bool
}

extension PickleGraph {
  /// The hash of an object, if it has been computed.
  func knownHash(_ index: Int) -> PickleHash? { hashes.withLock { $0[index] } }

  /// Whether a cycle can be reached from the object.
  func isEndless(_ index: Int) -> Bool {
    _ = hash(index)
    return knownHash(index)?.isEndless ?? false
  }

  /// The hash of an object. It visits inner objects with a list of its own, because nesting may be deep.
  func hash(_ index: Int) -> Int {
    if let known = knownHash(index) { return known.value }
    var stack = [PickleHashVisit(self, index)]
    var open: Set<PickleIdentity> = [PickleIdentity(graph: ObjectIdentifier(self), index: index)]
    while let top = stack.last {
      guard top.next < top.children.count else {
        stack.removeLast()
        let hash = top.hash
        top.graph.hashes.withLock { $0[top.index] = hash }
        open.remove(top.identity)
        if stack.isEmpty { return hash.value }
        stack[stack.count - 1].take(hash)
        continue
      }
      stack[stack.count - 1].next += 1
      let child = top.children[top.next]
      guard PickleHashVisit.smallHash(of: child) == nil, case .node(let graph, let index) = child.storage
      else {
        continue
      }
      if let known = graph.knownHash(index) {
        stack[stack.count - 1].take(known)
        continue
      }
      let visit = PickleHashVisit(graph, index)
      if open.insert(visit.identity).inserted {
        stack.append(visit)
      } else {
        stack[stack.count - 1].take(PickleHash(value: 0, isEndless: true, isUnequal: false))
      }
    }
    return 0
  }
}

/// An object whose parts are being hashed.
private struct PickleHashVisit {
  let graph: PickleGraph
  let index: Int
  let children: PickleElements
  /// The position of the next part to visit.
  var next = 0
  var isEndless = false
  var isUnequal = false

  /// Takes what is known of the part that was visited last.
  mutating func take(_ part: PickleHash) {
    if part.isUnequal { isUnequal = true }
    guard part.isEndless else { return }
    isEndless = true
    switch graph.nodes[index] {
    case .set, .frozenSet: isUnequal = true
    // Keys and values alternate.
    case .dict(let slots), .orderedDict(let slots, _):
      if next <= slots.count, !next.isMultiple(of: 2) { isUnequal = true }
    default: break
    }
  }

  init(_ graph: PickleGraph, _ index: Int) {
    self.graph = graph
    self.index = index
    let slots: [PickleSlot] =
      switch graph.nodes[index] {
      case .list(let slots), .tuple(let slots), .set(let slots), .frozenSet(let slots), .dict(let slots):
        slots
      case .orderedDict(let slots, let attributes): slots + [attributes].compactMap { $0 }
      case .object(let object): object.slots
      case .alias(let slot): [slot]
      default: []
      }
    children = PickleElements(slots, in: graph)
  }

  var identity: PickleIdentity { PickleIdentity(graph: ObjectIdentifier(graph), index: index) }

  /// The hash of a value that is hashed as often as it is met: a small one, or a short text.
  static func smallHash(of value: PickleValue) -> Int? {
    var hasher = Hasher()
    switch value.storage {
    case .none: hasher.combine(0)
    case .bool(let value): hasher.combine(value)
    case .int(let value): hasher.combine(value)
    case .float(let value): hasher.combine(value)
    case .string(let text): hasher.combine(PickleText(text))
    case .node(let graph, let index):
      guard case .string(let text) = graph.nodes[index], text.utf8.count <= 64 else { return nil }
      hasher.combine(PickleText(text))
    }
    return hasher.finalize()
  }

  private static func hash(of value: PickleValue) -> Int {
    if let small = smallHash(of: value) { return small }
    guard case .node(let graph, let index) = value.storage else { return 0 }
    // An object that is being hashed is not known yet. Then the hash of the whole does not depend on it.
    return graph.knownHash(index)?.value ?? 0
  }

  private func hash(_ slots: [PickleSlot], into hasher: inout Hasher) {
    hasher.combine(slots.count)
    for slot in slots { hasher.combine(Self.hash(of: PickleValue(slot, in: graph))) }
  }

  private func hash(_ slot: PickleSlot?, into hasher: inout Hasher) {
    hash(slot.map { [$0] } ?? [], into: &hasher)
  }

  /// The hash of elements in any order: of groups of so many.
  private func hash(unordered slots: [PickleSlot], of size: Int, into hasher: inout Hasher) {
    var sum = slots.count
    if !isEndless {
      for start in stride(from: 0, to: slots.count, by: size) {
        var group = Hasher()
        hash(Array(slots[start..<(start + size)]), into: &group)
        sum &+= group.finalize()
      }
    }
    hasher.combine(sum)
  }

  private static func kind(_ node: PickleNode) -> Int {
    switch node {
    case .list: 1
    case .tuple: 2
    case .set: 3
    case .frozenSet: 4
    case .dict: 5
    case .orderedDict: 6
    case .object: 7
    case .bytes: 8
    case .byteArray: 9
    default: 10
    }
  }

  /// The hash of a part without its own parts.
  private static func shallowHash(of value: PickleValue) -> Int {
    switch value.storage {
    // A text has one hash, in an object or not.
    case .string(let text) where text.utf8.count > 64: return 10
    case .node(let graph, let index): return smallHash(of: value) ?? kind(graph.nodes[index])
    default: return smallHash(of: value) ?? 0
    }
  }

  private func hashParts(of node: PickleNode, into hasher: inout Hasher) {
    hasher.combine(children.count)
    let groupSize =
      switch node {
      case .set, .frozenSet: 1
      case .dict: 2
      // Its attributes follow the pairs.
      case .orderedDict: children.count.isMultiple(of: 2) ? 2 : 0
      default: 0
      }
    guard groupSize > 0 else {
      if case .orderedDict = node { return }
      for part in children { hasher.combine(Self.shallowHash(of: part)) }
      return
    }
    var sum = 0
    for start in stride(from: 0, to: children.count, by: groupSize) {
      var group = Hasher()
      for place in start..<(start + groupSize) { group.combine(Self.shallowHash(of: children[place])) }
      sum &+= group.finalize()
    }
    hasher.combine(sum)
  }

  /// The hash of the object, once its parts have theirs.
  var hash: PickleHash {
    let hasNaN = children.contains { value in
      if case .float(let number) = value.storage { number.isNaN } else { false }
    }
    let isUnequal =
      switch graph.nodes[index] {
      case .complex(let value): value.real.isNaN || value.imaginary.isNaN
      default: isUnequal || hasNaN
      }
    var value = contentHash
    if isUnequal {
      var hasher = Hasher()
      hasher.combine(value)
      hasher.combine(ObjectIdentifier(graph))
      hasher.combine(index)
      value = hasher.finalize()
    }
    return PickleHash(value: value, isEndless: isEndless, isUnequal: isUnequal)
  }

  private var contentHash: Int {
    let node = graph.nodes[index]
    // The hash of a value in no object is that of the same value in one.
    if case .string(let text) = node {
      var hasher = Hasher()
      hasher.combine(PickleText(text))
      return hasher.finalize()
    }
    if case .alias = node { return children.first.map { Self.hash(of: $0) } ?? 0 }
    var hasher = Hasher()
    let kind = Self.kind(node)
    hasher.combine(kind)
    if isEndless {
      hashParts(of: node, into: &hasher)
      return hasher.finalize()
    }
    switch node {
    case .list(let slots), .tuple(let slots): hash(slots, into: &hasher)
    case .set(let slots), .frozenSet(let slots): hash(unordered: slots, of: 1, into: &hasher)
    case .dict(let slots): hash(unordered: slots, of: 2, into: &hasher)
    case .orderedDict(let slots, let attributes):
      hash(unordered: slots, of: 2, into: &hasher)
      hash(attributes, into: &hasher)
    case .object(let object):
      hash(object.callee, into: &hasher)
      hash(object.base, into: &hasher)
      hash(object.arguments, into: &hasher)
      hash(object.keywordArguments, into: &hasher)
      hash(object.state, into: &hasher)
      hash(object.stateSetter, into: &hasher)
      hash(object.appended, into: &hasher)
      hash(object.items, into: &hasher)
    case .bytes(let value), .byteArray(let value): hasher.combine(value)
    case .integer(let value): hasher.combine(value)
    case .complex(let value): hasher.combine(value)
    case .date(let value): hasher.combine(value)
    // The object of a zone counts only if the other value has one, too.
    case .time(let value, _): hasher.combine(value)
    case .dateTime(let value, _): hasher.combine(value)
    case .timeDelta(let value): hasher.combine(value)
    case .timeZone(let value): hasher.combine(value)
    case .decimal(let value): hasher.combine(value)
    case .uuid(let value): hasher.combine(value)
    case .array(let value): hasher.combine(value)
    case .arrayType(let value): hasher.combine(value)
    case .name(let value): hasher.combine(value)
    case .string, .alias: break
    }
    return hasher.finalize()
  }

  /// The hash of a value.
  static func hash(_ value: PickleValue) -> Int {
    if let small = smallHash(of: value) { return small }
    guard case .node(let graph, let index) = value.storage else { return 0 }
    return graph.hash(index)
  }
}

extension PickleValue {
  /// Hashes the whole value, so values that differ anywhere have different hashes. The hash is kept by the value. In a value that
  /// contains itself, only the parts of the first level count. So a peer can make many such values with one hash, and a decoder
  /// refuses them as keys of dictionaries and elements of sets.
  ///
  /// - Complexity: linear in the number of parts and bytes the first time, whatever their depth, sharing and recursion.
  public func hash(into hasher: inout Hasher) { hasher.combine(PickleHashVisit.hash(self)) }

  /// Whether the hashes of both are known and differ. Then the values do.
  static func haveDifferentHashes(_ a: PickleValue, _ b: PickleValue) -> Bool {
    guard case .node(let left, let i) = a.storage, case .node(let right, let j) = b.storage,
      let a = left.knownHash(i), let b = right.knownHash(j)
    else { return false }
    return a.value != b.value
  }
}
