/// The elements of a list, tuple or set in a ``PickleValue``; those of a set in the order of the pickle.
public struct PickleElements: RandomAccessCollection, Sendable {
  let slots: [PickleSlot]
  let graph: PickleGraph

  init(_ slots: [PickleSlot], in graph: PickleGraph) {
    self.slots = slots
    self.graph = graph
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { slots.count }
  public subscript(position: Int) -> PickleValue { PickleValue(slots[position], in: graph) }
}

/// The keys and values of a dict in a ``PickleValue``, in its order. No key is there twice.
public struct PicklePairs: RandomAccessCollection, Sendable {
  let slots: [PickleSlot]
  let graph: PickleGraph

  init(_ slots: [PickleSlot], in graph: PickleGraph) {
    self.slots = slots
    self.graph = graph
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { slots.count / 2 }
  public subscript(position: Int) -> (key: PickleValue, value: PickleValue) {
    (PickleValue(slots[2 * position], in: graph), PickleValue(slots[2 * position + 1], in: graph))
  }

  /// The value of a key that is a string, found by looking at each key.
  public subscript(key: String) -> PickleValue? {
    for index in indices {
      let isFound =
        switch slots[2 * index] {
        case .node(let node): graph.nodes[node].isString(key)
        case .link(let link): graph.links[link].graph.nodes[graph.links[link].index].isString(key)
        default: false
        }
      if isFound { return self[index].value }
    }
    return nil
  }
}

/// An object of a registered class: what its pickle says of it. No such object is made.
public struct PickleObject: Sendable {
  let node: PickleObjectNode
  let graph: PickleGraph

  init(_ node: PickleObjectNode, in graph: PickleGraph) {
    self.node = node
    self.graph = graph
  }

  /// The class, or the function that makes it.
  public var name: PickleName { node.name }
  /// What it is called with.
  public var arguments: PickleElements { PickleElements(node.arguments, in: graph) }
  /// What it is called with by name: a dict.
  public var keywordArguments: PickleValue? { node.keywordArguments.map { PickleValue($0, in: graph) } }
  /// What its `__setstate__` is given, most often the dict of its attributes.
  public var state: PickleValue? { node.state.map { PickleValue($0, in: graph) } }
  /// What is then appended, as to a list.
  public var appended: PickleElements { PickleElements(node.appended, in: graph) }
  /// What is then set, as in a dict.
  public var items: PicklePairs { PicklePairs(node.items, in: graph) }

  /// An attribute, of an object whose state is the dict of its attributes.
  public subscript(attribute: String) -> PickleValue? {
    switch state?.content {
    case .dict(let pairs): pairs[attribute]
    // Of a class with __slots__: a pair of the two dicts.
    case .tuple(let parts) where parts.count == 2:
      parts.lazy.compactMap { part in part[attribute] }.first
    default: nil
    }
  }
}

extension PickleNode {
  fileprivate func isString(_ other: String) -> Bool {
    if case .string(let string) = self { return string.hasSameBytes(as: other) }
    return false
  }
}
