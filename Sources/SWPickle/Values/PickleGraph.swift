/// The objects of a ``PickleValue``, in one flat array; they refer to each other by index.
///
/// So shared objects are shared, a list may contain itself, and nothing leaks: no object owns another. However
/// deep the nesting, the whole goes in one loop. A graph may also refer to objects of graphs that were there
/// before it, which is how values are put into others without a copy; so graphs own each other without a cycle.
///
/// Invariant: `nodes` never changes; `links` only in `deinit`, and only those of graphs that nobody else has.
final class PickleGraph: @unchecked Sendable {
  let nodes: [PickleNode]
  /// The objects of other graphs, to which `PickleSlot.link` refers.
  private(set) var links: [PickleLink]
  /// How many objects and elements there are, those of the graphs that links refer to included.
  let weight: Int
  /// Why Python cannot read it: a key or an element of a set that it cannot hash.
  let defect: String?

  init(nodes: [PickleNode], links: [PickleLink] = [], defect: String? = nil) {
    self.defect = defect
    self.nodes = nodes
    self.links = links
    var weight = nodes.count
    for node in nodes { weight += node.elementCount }
    for link in links { weight = min(weight + link.graph.weight, Int.max / 2) }
    self.weight = weight
  }

  /// A graph while others are still to come of the same objects: made in no time, whatever there is.
  init(snapshot nodes: [PickleNode]) {
    self.nodes = nodes
    links = []
    weight = nodes.count
    defect = nil
  }

  // Graph by graph, and not each by the end of the one that owns it: a chain of them may be long.
  deinit {
    guard !links.isEmpty else { return }
    var orphans = links
    links = []
    while var orphan = orphans.popLast() {
      guard isKnownUniquelyReferenced(&orphan.graph) else { continue }
      orphans += orphan.graph.links
      orphan.graph.links = []
    }
  }
}

/// An object of some graph.
struct PickleLink: Sendable {
  var graph: PickleGraph
  let index: Int
}

/// What a container holds: something small, or the place of an object.
enum PickleSlot: Sendable {
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  /// An object of the same graph.
  case node(Int)
  /// An object of another graph: an index into `links`.
  case link(Int)

  /// What one takes, as the limits count it.
  static var byteCount: Int { MemoryLayout<PickleSlot>.stride }
}

/// An object: what Python keeps on its heap and may share.
enum PickleNode: Sendable {
  case string(String)
  case bytes([UInt8])
  case byteArray([UInt8])
  /// One that does not fit a slot.
  case integer(PickleInt)
  case complex(PickleComplex)
  case list([PickleSlot])
  case tuple([PickleSlot])
  case set([PickleSlot])
  case frozenSet([PickleSlot])
  /// Keys and values alternate.
  case dict([PickleSlot])
  /// With the attributes that it may have as an object.
  case orderedDict([PickleSlot], attributes: PickleSlot?)
  indirect case date(PickleDate)
  /// With the object that is its time zone, where there is one: Python shares those.
  indirect case time(PickleTime, zone: PickleSlot?)
  indirect case dateTime(PickleDateTime, zone: PickleSlot?)
  indirect case timeDelta(PickleTimeDelta)
  indirect case timeZone(PickleTimeZone)
  indirect case decimal(PickleDecimal)
  indirect case uuid(PickleUUID)
  indirect case array(NumPyArray)
  indirect case arrayType(NumPyType)
  indirect case name(PickleName)
  indirect case object(PickleObjectNode)
  /// What a reader made of an object stands elsewhere.
  case alias(PickleSlot)

  /// What one takes beside its elements and bytes, as the limits count it.
  static var byteCount: Int { MemoryLayout<PickleNode>.stride + 32 }

  var elementCount: Int {
    switch self {
    case .list(let slots), .tuple(let slots), .set(let slots), .frozenSet(let slots), .dict(let slots),
      .orderedDict(let slots, _):
      slots.count
    case .object(let object): object.arguments.count + object.appended.count + object.items.count + 3
    case .array(let array): array.count
    default: 0
    }
  }
}

/// What a pickle says of an object of which nothing else has been made.
struct PickleObjectNode: Sendable {
  /// What is called: a name, or an object.
  var callee: PickleSlot
  /// In protocols 0 and 1: the class that the callee extends, whose `__new__` is called, and not its own.
  var base: PickleSlot?
  var arguments: [PickleSlot]
  var keywordArguments: PickleSlot?
  var state: PickleSlot?
  var appended: [PickleSlot] = []
  /// Keys and values alternate.
  var items: [PickleSlot] = []
  /// Whether it was made without its initialiser being called (`__new__` alone), which the writer repeats.
  var isNew: Bool
  /// While reading: what it becomes once a fitting state has come.
  var awaited: PickleBuiltIn?

  /// Every slot of the object.
  var slots: [PickleSlot] {
    [callee] + arguments + [base, keywordArguments, state].compactMap { $0 } + appended + items
  }
}

extension PickleGraph {
  /// The name of a class or function: the one that a slot refers to, or `Outer.inner` for what pickles spell as
  /// `getattr(Outer, "inner")`, such as the class method that makes a `ZoneInfo`.
  static func qualifiedName(of slot: PickleSlot, in nodes: [PickleNode]) -> PickleName? {
    var attributes: [String] = []
    var slot = slot
    // Longer chains are not followed, so that the work does not depend on the pickle.
    while attributes.count < 8, case .node(let index) = slot {
      switch nodes[index] {
      case .name(let name):
        if attributes.isEmpty { return name }
        return PickleName(name.module, ([name.name] + attributes.reversed()).joined(separator: "."))
      case .alias(let other): slot = other
      case .object(let object):
        guard object.arguments.count == 2, case .node(let callee) = object.callee,
          case .name(let name) = nodes[callee], name.name == "getattr", name.isBuiltIn,
          case .node(let attribute) = object.arguments[1], case .string(let text) = nodes[attribute],
          text.utf8.count <= 200
        else { return nil }
        attributes.append(text)
        slot = object.arguments[0]
      default: return nil
      }
    }
    return nil
  }
}
