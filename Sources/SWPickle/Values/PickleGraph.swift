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
  /// How many objects and elements there are, those of the graphs behind links included.
  let weight: Int

  init(nodes: [PickleNode], links: [PickleLink] = []) {
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
  case orderedDict([PickleSlot])
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
  /// While reading: an object whose state is still to come.
  indirect case unfinished(PickleName)
  /// What a reader made of an object stands elsewhere.
  case alias(PickleSlot)

  /// What one takes beside its elements and bytes, as the limits count it.
  static var byteCount: Int { MemoryLayout<PickleNode>.stride + 32 }

  var elementCount: Int {
    switch self {
    case .list(let slots), .tuple(let slots), .set(let slots), .frozenSet(let slots), .dict(let slots),
      .orderedDict(let slots):
      slots.count
    case .object(let object): object.arguments.count + object.appended.count + object.items.count + 2
    case .array(let array): array.count
    default: 0
    }
  }
}

/// An object of a class that somebody has registered: what its pickle says of it, and nothing made of that.
struct PickleObjectNode: Sendable {
  var name: PickleName
  var arguments: [PickleSlot]
  var keywordArguments: PickleSlot?
  var state: PickleSlot?
  var appended: [PickleSlot] = []
  /// Keys and values alternate.
  var items: [PickleSlot] = []
  /// Whether it was made without its initialiser being called (`__new__` alone), which the writer repeats.
  var isNew: Bool
}
