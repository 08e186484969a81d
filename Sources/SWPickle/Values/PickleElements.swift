/// The elements of a list, tuple or set in a ``PickleValue``. The elements of a set are in the order of the pickle.
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

/// The keys and values of a dict in a ``PickleValue``, in the order of the dict. No key occurs twice.
public struct PicklePairs: RandomAccessCollection, Sendable {
  let slots: [PickleSlot]
  let graph: PickleGraph
  /// The object to which the elements belong. Nil if that object also has others.
  let identity: PickleIdentity?

  init(_ slots: [PickleSlot], in graph: PickleGraph, of index: Int? = nil) {
    self.slots = slots
    self.graph = graph
    identity = index.map { PickleIdentity(graph: ObjectIdentifier(graph), index: $0) }
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { slots.count / 2 }
  public subscript(position: Int) -> (key: PickleValue, value: PickleValue) {
    (PickleValue(slots[2 * position], in: graph), PickleValue(slots[2 * position + 1], in: graph))
  }

  /// The value for a str key; nil if there is none.
  ///
  /// - Complexity: linear in the number of keys.
  public subscript(key: String) -> PickleValue? {
    for index in indices where isKey(at: index, key) { return self[index].value }
    return nil
  }

  /// Whether a key is that string.
  func isKey(at index: Int, _ key: String) -> Bool {
    switch slots[2 * index] {
    case .node(let node): graph.nodes[node].isString(key)
    case .link(let link): graph.links[link].graph.nodes[graph.links[link].index].isString(key)
    default: false
    }
  }
}

extension PickleNode {
  fileprivate func isString(_ other: String) -> Bool {
    if case .string(let string) = self { return string.hasSameBytes(as: other) }
    return false
  }
}
