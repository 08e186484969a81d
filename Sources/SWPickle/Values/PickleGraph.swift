internal import Synchronization

/// The objects of a ``PickleValue``, in one flat array; they refer to each other by index.
///
/// Shared objects are shared, a list may contain itself, and nothing leaks, because no object owns another. All work is a
/// loop, however deep the nesting is. A graph may also refer to objects of older graphs. So a value can be put into another
/// without a copy, and graphs own each other without a cycle.
///
// Invariant: `nodes` never changes. `links` changes only in `deinit`, and only for graphs that have no other owner.
final class PickleGraph: @unchecked Sendable {
  let nodes: [PickleNode]
  /// The objects of other graphs to which `PickleSlot.link` refers.
  private(set) var links: [PickleLink]
  /// The number of objects and elements. Those of linked graphs are not counted, here and below.
  private let weight: Int
  /// The number of bytes in bytes objects, each of which may decode as a number.
  private let dataCount: Int
  /// How many bytes their texts, data and numbers are, and some for each object and element.
  private let byteCount: Int
  /// The hashes that have been asked for.
  let hashes = Mutex<[Int: PickleHash]>([:])
  /// Why Python cannot read it: a key, or an element of a set, that it cannot hash.
  let defect: String?

  init(nodes: [PickleNode], links: [PickleLink] = [], defect: String? = nil) {
    self.defect = defect
    self.nodes = nodes
    self.links = links
    var partCount = nodes.count
    var (dataCount, arrayByteCount) = (0, 0)
    var byteCount = 0
    for node in nodes {
      partCount += node.elementCount
      byteCount = min(byteCount + node.dataByteCount, Int.max / 64)
      switch node {
      case .bytes(let bytes), .byteArray(let bytes): dataCount = min(dataCount + bytes.count, Int.max / 64)
      // The reader has made it of bytes, which are an object, too. Its elements count as parts already.
      case .array(let array): arrayByteCount = min(arrayByteCount + array.bytes.count, Int.max / 64)
      default: break
      }
    }
    weight = min(partCount, Int.max / 64)
    self.dataCount = max(0, dataCount - arrayByteCount)
    self.byteCount = byteCount + PickleGraph.bytesPerPart * weight
  }

  /// The size of this graph and of all to which it refers. A graph counts once, however often others refer to
  /// it: a program may put a value twice into the next one, again and again.
  ///
  /// - Complexity: linear in the number of these graphs and of their links.
  var size: (weight: Int, dataCount: Int, byteCount: Int) {
    // A value that has been read is one graph. It needs no set.
    if links.isEmpty { return (weight, dataCount, byteCount) }
    var (weight, dataCount, byteCount) = (weight, dataCount, byteCount)
    var waiting = links
    var seen: Set<ObjectIdentifier> = [ObjectIdentifier(self)]
    while let graph = waiting.popLast()?.graph {
      guard seen.insert(ObjectIdentifier(graph)).inserted else { continue }
      weight = min(weight + graph.weight, Int.max / 8)
      dataCount = min(dataCount + graph.dataCount, Int.max / 8)
      byteCount = min(byteCount + graph.byteCount, Int.max / 8)
      waiting += graph.links
    }
    return (weight, dataCount, byteCount)
  }

  /// Makes a graph of the objects so far, in constant time. More objects may follow in the arena.
  init(snapshot nodes: [PickleNode]) {
    self.nodes = nodes
    links = []
    weight = nodes.count
    dataCount = 0
    byteCount = Self.bytesPerPart * nodes.count
    defect = nil
  }

  // Frees graph by graph, and not each by its owner's deinit, because a chain of graphs may be long.
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

/// An element of a container: something small, or the position of an object.
enum PickleSlot: Sendable {
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  /// An object of the same graph.
  case node(Int)
  /// An object of another graph: an index into `links`.
  case link(Int)

  /// The size of a slot, as the limits count it.
  static var byteCount: Int { MemoryLayout<PickleSlot>.stride }
}

/// An object that Python keeps on its heap and may share.
enum PickleNode: Sendable {
  case string(String)
  case bytes([UInt8])
  case byteArray([UInt8])
  /// An int that does not fit a slot.
  case integer(PickleInt)
  case complex(PickleComplex)
  case list([PickleSlot])
  case tuple([PickleSlot])
  case set([PickleSlot])
  case frozenSet([PickleSlot])
  /// Keys and values alternate.
  case dict([PickleSlot])
  /// An ordered dict, with any attributes that it has as an object.
  case orderedDict([PickleSlot], attributes: PickleSlot?)
  indirect case date(PickleDate)
  /// A time, with the object of its time zone if there is one, because Python shares those.
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
  /// An object whose reader has returned another slot.
  case alias(PickleSlot)

  /// The size of an object besides its elements and bytes, as the limits count it.
  static var byteCount: Int { MemoryLayout<PickleNode>.stride + 32 }

  var elementCount: Int {
    switch self {
    case .list(let slots), .tuple(let slots), .set(let slots), .frozenSet(let slots), .dict(let slots),
      .orderedDict(let slots, _):
      slots.count
    case .object(let object): object.arguments.count + object.appended.count + object.items.count + 4
    // The fields of a record are parts, too. Those that overlap are not counted: they cost the pickle nothing.
    case .array(let array): max(array.count, min(array.count * array.type.partCount, array.bytes.count))
    default: 0
    }
  }
}

/// The pickle's description of an object for which there is no other value.
struct PickleObjectNode: Sendable {
  /// The callee: a name, or an object.
  var callee: PickleSlot
  /// In protocols 0 and 1: the class that the callee extends. Its `__new__` is called, and not the callee's.
  var base: PickleSlot?
  var arguments: [PickleSlot]
  var keywordArguments: PickleSlot?
  var state: PickleSlot?
  /// The function that is called with the object and its state, in place of the object's own `__setstate__`.
  var stateSetter: PickleSlot?
  var appended: [PickleSlot] = []
  /// Keys and values alternate.
  var items: [PickleSlot] = []
  /// Whether only `__new__` was called, and not the initialiser. The writer repeats that.
  var isNew: Bool
  /// Whether Python's `object.__new__` makes it, as in protocols 0 and 1. The class may have a `__new__` that needs arguments.
  /// It is no part of the value.
  var isMadeByObject = false
  /// While reading: the type that it becomes when a fitting state comes.
  var awaited: PickleBuiltIn?

  /// Every slot of the object.
  var slots: [PickleSlot] {
    [callee] + arguments + [base, keywordArguments, state, stateSetter].compactMap { $0 } + appended + items
  }
}

extension PickleGraph {
  /// The name of a class or function: the one to which a slot refers, or `Outer.inner` for what pickles write as
  /// `getattr(Outer, "inner")`, such as the class method that makes a `ZoneInfo`.
  static func qualifiedName(of slot: PickleSlot, in nodes: [PickleNode]) -> PickleName? {
    var attributes: [String] = []
    var slot = slot
    // Longer chains are not followed, so a pickle cannot multiply the work.
    while attributes.count < 8, case .node(let index) = slot {
      switch nodes[index] {
      case .name(let name):
        if attributes.isEmpty { return name }
        return PickleName(name.module, ([name.name] + attributes.reversed()).joined(separator: "."))
      case .alias(let other): slot = other
      case .object(let object):
        guard object.arguments.count == 2, case .node(let callee) = object.callee,
          case .name(let name) = nodes[callee], PickleText(name.name) == "getattr", name.isBuiltIn,
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
