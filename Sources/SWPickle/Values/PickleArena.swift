/// A graph that is being built.
struct PickleArena {
  var nodes: [PickleNode] = []
  var links: [PickleLink] = []

  mutating func add(_ node: PickleNode) -> PickleSlot {
    nodes.append(node)
    return .node(nodes.count - 1)
  }

  /// Removes an object so that it can be changed and put back. If it were changed in place, its elements would be copied
  /// with every change.
  mutating func take(_ index: Int) -> PickleNode {
    // The placeholder cannot be hashed, so a dict cannot become its own key.
    var node = PickleNode.list([])
    swap(&node, &nodes[index])
    return node
  }

  /// A slot for any integer.
  mutating func slot(_ value: PickleInt) -> PickleSlot {
    if let small = value.small { return .int(small) }
    return add(.integer(value))
  }

  /// Adds a value by reference. Its objects stay in their own graph.
  mutating func link(_ value: PickleValue) -> PickleSlot {
    switch value.storage {
    case .none: return .none
    case .bool(let value): return .bool(value)
    case .int(let value): return .int(value)
    case .float(let value): return .float(value)
    case .string(let value): return add(.string(value))
    case .node(let graph, let index):
      links.append(PickleLink(graph: graph, index: index))
      return .link(links.count - 1)
    }
  }

  /// Adds copies of a value's objects from all their graphs, so all objects are in this arena.
  ///
  /// The time is linear in what can be reached from the value. Shared objects stay shared.
  mutating func absorb(_ value: PickleValue) -> PickleSlot {
    let (slot, copies) = Self.copies(of: value, startingAt: nodes.count)
    nodes += copies
    return slot
  }

  /// Copies a value's objects for the positions from `start` on. Objects of `own`, a graph of the objects before that
  /// position, exist already.
  static func copies(
    of value: PickleValue, startingAt start: Int, own: PickleGraph? = nil
  ) -> (root: PickleSlot, copies: [PickleNode]) {
    var copies: [PickleNode] = []
    var places: [PickleIdentity: Int] = [:]
    var waiting: [(place: Int, graph: PickleGraph, index: Int)] = []

    func place(_ value: PickleValue) -> PickleSlot {
      switch value.storage {
      case .none: return .none
      case .bool(let value): return .bool(value)
      case .int(let value): return .int(value)
      case .float(let value): return .float(value)
      case .string(let value):
        copies.append(.string(value))
        return .node(start + copies.count - 1)
      case .node(let graph, let index):
        if graph === own { return .node(index) }
        let identity = PickleIdentity(graph: ObjectIdentifier(graph), index: index)
        if let place = places[identity] { return .node(start + place) }
        places[identity] = copies.count
        waiting.append((copies.count, graph, index))
        copies.append(.alias(.none))
        return .node(start + copies.count - 1)
      }
    }

    let root = place(value)
    while let (place: at, graph: graph, index: index) = waiting.popLast() {
      let node = graph.nodes[index].mapSlots { slot in place(PickleValue(slot, in: graph)) }
      copies[at] = node
    }
    return (root, copies)
  }
}

/// The identity of an object across graphs.
struct PickleIdentity: Hashable {
  /// Nil for the arena in question.
  var graph: ObjectIdentifier?
  var index: Int
}

extension PickleNode {
  /// Returns the same object with other slots.
  func mapSlots(_ transform: (PickleSlot) -> PickleSlot) -> PickleNode {
    switch self {
    case .list(let slots): return .list(slots.map(transform))
    case .tuple(let slots): return .tuple(slots.map(transform))
    case .set(let slots): return .set(slots.map(transform))
    case .frozenSet(let slots): return .frozenSet(slots.map(transform))
    case .dict(let slots): return .dict(slots.map(transform))
    case .orderedDict(let slots, let attributes):
      return .orderedDict(slots.map(transform), attributes: attributes.map(transform))
    case .alias(let slot): return .alias(transform(slot))
    case .time(let value, let zone): return .time(value, zone: zone.map(transform))
    case .dateTime(let value, let zone): return .dateTime(value, zone: zone.map(transform))
    case .object(var object):
      object.callee = transform(object.callee)
      object.base = object.base.map(transform)
      object.arguments = object.arguments.map(transform)
      object.keywordArguments = object.keywordArguments.map(transform)
      object.state = object.state.map(transform)
      object.stateSetter = object.stateSetter.map(transform)
      object.appended = object.appended.map(transform)
      object.items = object.items.map(transform)
      return .object(object)
    default: return self
    }
  }
}
