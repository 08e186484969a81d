/// The slots of a container, and the graph that they belong to.
struct PickleSlots {
  let slots: [PickleSlot]
  let graph: PickleGraph

  init(_ slots: [PickleSlot], _ graph: PickleGraph) {
    self.slots = slots
    self.graph = graph
  }
}

/// The numbers of the objects that have been written.
///
/// There is a table for each graph, as long as the graph, because a lookup takes 2 ns and a dictionary's lookup 30 ns. If
/// few objects of a graph are written, a dictionary holds their numbers. Otherwise each small part of a large value would
/// cost as much as the whole.
struct PickleNumbers {
  private struct Table {
    /// Retained, so no other graph gets its identity.
    let graph: PickleGraph
    /// The number of each object. -1 if it has none.
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
  /// Whether the object has contents and is numbered only after them.
  var isNumberedLate: Bool {
    switch self {
    case .tuple(let slots), .frozenSet(let slots): !slots.isEmpty
    case .object: true
    default: false
    }
  }
}
