/// Builds values whose parts are shared, or that contain themselves.
///
/// ```swift
/// var builder = PickleBuilder()
/// let list = builder.list([])
/// builder.append(builder.add(1), to: list)
/// builder.append(list, to: list)          // in Python: l = [1]; l.append(l)
/// let value = builder.value(list)
/// ```
///
/// Values that are trees need no builder: literals and ``PickleValue/list(_:)`` are enough.
public struct PickleBuilder {
  /// A part of the value that is being built. It may be used only with the builder that returned it.
  public struct Reference {
    let slot: PickleSlot
  }

  private var arena = PickleArena()
  /// The part that Python could not hash.
  private var defect: String?

  public init() {}

  /// Adds a value without copying it. A reference that is used twice makes the value shared.
  public mutating func add(_ value: PickleValue) -> Reference { Reference(slot: arena.link(value)) }

  public mutating func string(_ value: String) -> Reference { add(PickleValue(value)) }
  public mutating func bytes(_ value: [UInt8]) -> Reference { add(.bytes(value)) }

  public mutating func list(_ elements: [Reference] = []) -> Reference { make(.list(elements.map(\.slot))) }
  public mutating func tuple(_ elements: [Reference]) -> Reference { make(.tuple(elements.map(\.slot))) }

  /// Adds a set. If several elements are equal in Python, the first is kept; see ``PickleValue/set(_:)`` for the
  /// exceptions.
  ///
  /// An element that Python cannot hash, such as a list, is kept; writing the value then throws.
  public mutating func set(_ elements: [Reference] = []) -> Reference {
    let slots = distinct(elements, "a set")
    return make(.set(slots))
  }

  /// Adds a frozenset, as ``set(_:)`` adds a set.
  public mutating func frozenSet(_ elements: [Reference]) -> Reference {
    let slots = distinct(elements, "a frozenset")
    return make(.frozenSet(slots))
  }

  /// Adds a dict. If several keys are equal in Python, the first key is kept, with the last value.
  ///
  /// A key that Python cannot hash, such as a list, is kept; writing the value then throws.
  public mutating func dict(_ pairs: [(Reference, Reference)] = []) -> Reference {
    let dict = make(.dict([]))
    set(pairs, in: dict)
    return dict
  }

  /// Adds an object that Python makes by calling `callee`, like
  /// ``PickleValue/object(calling:_:keywordArguments:isNew:state:stateSetter:appended:items:)``.
  public mutating func object(
    calling callee: Reference, _ arguments: [Reference] = [], base: Reference? = nil,
    keywordArguments: Reference? = nil, isNew: Bool = false, state: Reference? = nil,
    stateSetter: Reference? = nil, appended: [Reference] = [], items: [(Reference, Reference)] = []
  ) -> Reference {
    make(
      .object(
        PickleObjectNode(
          callee: callee.slot, base: base?.slot, arguments: arguments.map(\.slot),
          keywordArguments: keywordArguments?.slot,
          state: state?.slot, stateSetter: stateSetter?.slot, appended: appended.map(\.slot),
          items: items.flatMap { [$0.slot, $1.slot] },
          isNew: isNew || keywordArguments != nil)))
  }

  /// Adds a part that is defined later, with ``define(_:as:)``. Until then it is None.
  public mutating func placeholder() -> Reference { make(.alias(.none)) }

  /// Defines what a placeholder of this builder stands for.
  ///
  /// A tuple or frozenset may contain itself through a list or a dict, as in Python. If there is no list or dict in
  /// between, writing the value throws.
  public mutating func define(_ placeholder: Reference, as reference: Reference) {
    guard case .node(let index) = placeholder.slot, case .alias = arena.nodes[index] else {
      preconditionFailure("not a placeholder of this builder")
    }
    var slot = reference.slot
    while case .node(let target) = slot, case .alias(let other) = arena.nodes[target] {
      precondition(target != index, "a placeholder that stands for itself")
      slot = other
    }
    arena.nodes[index] = .alias(slot)
  }

  /// Appends an element to a list of this builder.
  public mutating func append(_ element: Reference, to list: Reference) {
    guard case .node(let index) = list.slot, case .list(var slots) = arena.take(index) else {
      preconditionFailure("not a list of this builder")
    }
    slots.append(element.slot)
    arena.nodes[index] = .list(slots)
  }

  /// Adds pairs to a dict of this builder.
  ///
  /// - Complexity: linear in the size of the dict and of the pairs.
  public mutating func set(_ pairs: [(Reference, Reference)], in dict: Reference) {
    guard case .node(let index) = dict.slot, case .dict(var slots) = arena.take(index) else {
      preconditionFailure("not a dict of this builder")
    }
    var keys = PickleKeys()
    var places: [Int: Int] = [:]
    for position in stride(from: 0, to: slots.count, by: 2) {
      if let number = number(slots[position], &keys, "a dict") { places[number] = position }
    }
    for (key, value) in pairs {
      guard let number = number(key.slot, &keys, "a dict") else {
        slots += [key.slot, value.slot]
        continue
      }
      if let place = places[number] {
        slots[place + 1] = value.slot
      } else {
        places[number] = slots.count
        slots += [key.slot, value.slot]
      }
    }
    arena.nodes[index] = .dict(slots)
  }

  /// The value that a reference stands for, with all that it refers to. The builder may go on; what it changes
  /// later is not seen in the value.
  // Mutating, so that a call in its argument comes before it sees the builder.
  public mutating func value(_ root: Reference) -> PickleValue {
    switch root.slot {
    case .node(let index):
      if arena.nodes.count == 1, case .string(let string) = arena.nodes[index] {
        return PickleValue(string)
      }
    default: break
    }
    return PickleValue(root.slot, in: PickleGraph(nodes: arena.nodes, links: arena.links, defect: defect))
  }

  private mutating func make(_ node: PickleNode) -> Reference { Reference(slot: arena.add(node)) }

  private mutating func distinct(_ elements: [Reference], _ container: String) -> [PickleSlot] {
    var keys = PickleKeys()
    var seen: Set<Int> = []
    return elements.compactMap { element in
      guard let number = number(element.slot, &keys, container) else { return element.slot }
      return seen.insert(number).inserted ? element.slot : nil
    }
  }

  private mutating func number(_ slot: PickleSlot, _ keys: inout PickleKeys, _ container: String) -> Int? {
    do throws(PickleKeys.NotHashable) {
      return try keys.number(slot, in: arena)
    } catch {
      defect = "\(error.kind) in \(container), which Python cannot hash"
      return nil
    }
  }
}
