/// Makes values whose parts are shared, or that contain themselves.
///
/// ```swift
/// var builder = PickleBuilder()
/// let list = builder.list([])
/// builder.append(builder.add(1), to: list)
/// builder.append(list, to: list)          // in Python: l = [1]; l.append(l)
/// let value = builder.value(list)
/// ```
///
/// Literals and ``PickleValue/list(_:)`` are enough for values that are trees.
public struct PickleBuilder {
  /// Something of the value in the making. It belongs to the builder that gave it.
  public struct Reference {
    let slot: PickleSlot
  }

  private var arena = PickleArena()
  /// What Python could not hash.
  private var defect: String?

  public init() {}

  /// Takes in a value, without a copy. Taken in once and used twice it is shared.
  public mutating func add(_ value: PickleValue) -> Reference { Reference(slot: arena.link(value)) }

  public mutating func string(_ value: String) -> Reference { add(PickleValue(value)) }
  public mutating func bytes(_ value: [UInt8]) -> Reference { add(.bytes(value)) }

  public mutating func list(_ elements: [Reference] = []) -> Reference { make(.list(elements.map(\.slot))) }
  public mutating func tuple(_ elements: [Reference]) -> Reference { make(.tuple(elements.map(\.slot))) }

  /// A set of elements; of those that are equal in Python, the first is kept.
  ///
  /// An element that Python cannot hash, such as a list, is kept: writing the value is an error then.
  public mutating func set(_ elements: [Reference] = []) -> Reference {
    let slots = distinct(elements, "a set")
    return make(.set(slots))
  }

  /// A frozenset, like ``set(_:)``.
  public mutating func frozenSet(_ elements: [Reference]) -> Reference {
    let slots = distinct(elements, "a frozenset")
    return make(.frozenSet(slots))
  }

  /// A dict. Of keys that are equal in Python the first is kept, with the last value.
  ///
  /// A key that Python cannot hash, such as a list, is kept: writing the value is an error then.
  public mutating func dict(_ pairs: [(Reference, Reference)] = []) -> Reference {
    let dict = make(.dict([]))
    set(pairs, in: dict)
    return dict
  }

  /// An object that Python makes by calling `callee`, as ``PickleValue/object(calling:_:keywordArguments:isNew:state:appended:items:)``
  /// does.
  public mutating func object(
    calling callee: Reference, _ arguments: [Reference] = [], base: Reference? = nil,
    keywordArguments: Reference? = nil, isNew: Bool = false, state: Reference? = nil,
    appended: [Reference] = [], items: [(Reference, Reference)] = []
  ) -> Reference {
    make(
      .object(
        PickleObjectNode(
          callee: callee.slot, base: base?.slot, arguments: arguments.map(\.slot),
          keywordArguments: keywordArguments?.slot,
          state: state?.slot, appended: appended.map(\.slot), items: items.flatMap { [$0.slot, $1.slot] },
          isNew: isNew || keywordArguments != nil)))
  }

  /// Something that is used before it is there: ``define(_:as:)`` says what it is. Until then it is None.
  public mutating func placeholder() -> Reference { make(.alias(.none)) }

  /// Says what a placeholder of this builder stands for.
  ///
  /// A tuple or frozenset may contain itself by way of a list or a dict, as in Python. One that contains itself
  /// without such cannot be written.
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

  /// Appends to a list of this builder.
  public mutating func append(_ element: Reference, to list: Reference) {
    guard case .node(let index) = list.slot, case .list(var slots) = arena.take(index) else {
      preconditionFailure("not a list of this builder")
    }
    slots.append(element.slot)
    arena.nodes[index] = .list(slots)
  }

  /// Adds pairs to a dict of this builder; linear in the dict and what is added.
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
