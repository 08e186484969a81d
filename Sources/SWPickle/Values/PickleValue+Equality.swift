// Equality is Swift's and not Python's: 1, true and 1.0 are three values, and strings are equal if their bytes are. The
// order of a dict or set does not matter, and it does not matter whether two equal parts are one object. A nan is equal to
// nothing. Objects of registered classes are equal if their pickles say the same.

extension PickleValue: Hashable {
  /// Whether two values are equal as Swift values: `1`, `true` and `1.0` differ.
  ///
  /// - Complexity: linear in the number of parts and bytes of both values, whatever their depth, sharing and
  ///   recursion. Bytes objects that share one buffer are compared once for each object.
  public static func == (a: PickleValue, b: PickleValue) -> Bool {
    switch (a.storage, b.storage) {
    case (.none, .none): return true
    case (.bool(let a), .bool(let b)): return a == b
    case (.int(let a), .int(let b)): return a == b
    case (.float(let a), .float(let b)): return a == b
    case (.string(let a), .string(let b)): return a.hasSameBytes(as: b)
    case (.string, .node), (.node, .string), (.node, .node):
      if haveDifferentHashes(a, b) { return false }
      var arena = PickleArena()
      let (left, right) = (arena.absorb(a), arena.absorb(b))
      var comparison = PickleComparison(arena: arena)
      return comparison.areEqual(left, right)
    default: return false
    }
  }
}

/// Compares objects of one arena. A pair that is being compared counts as equal meanwhile, and equal objects are joined into
/// one class. So the work is linear, although sharing could make it exponential, and recursion ends.
private struct PickleComparison {
  let arena: PickleArena
  private var parents: [Int]
  private var keys = PickleKeys(isStrict: true)
  private var waiting: [(PickleSlot, PickleSlot)] = []

  init(arena: PickleArena) {
    self.arena = arena
    parents = Array(arena.nodes.indices)
  }

  mutating func areEqual(_ a: PickleSlot, _ b: PickleSlot) -> Bool {
    waiting = [(a, b)]
    while let (a, b) = waiting.popLast() {
      switch (a, b) {
      case (.none, .none): continue
      case (.bool(let a), .bool(let b)) where a == b: continue
      case (.int(let a), .int(let b)) where a == b: continue
      case (.float(let a), .float(let b)) where a == b: continue
      case (.node(let a), .node(let b)):
        let (left, right) = (representative(a), representative(b))
        if left == right { continue }
        parents[left] = right
        if !compare(arena.nodes[a], arena.nodes[b]) { return false }
      default: return false
      }
    }
    return true
  }

  private mutating func representative(_ index: Int) -> Int {
    var index = index
    while parents[index] != index {
      parents[index] = parents[parents[index]]
      index = parents[index]
    }
    return index
  }

  /// Whether two objects match in themselves. Their contents are queued for comparison.
  private mutating func compare(_ a: PickleNode, _ b: PickleNode) -> Bool {
    switch (a, b) {
    case (.string(let a), .string(let b)): return a.hasSameBytes(as: b)
    case (.bytes(let a), .bytes(let b)), (.byteArray(let a), .byteArray(let b)): return a == b
    case (.integer(let a), .integer(let b)): return a == b
    case (.complex(let a), .complex(let b)): return a == b
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)): return wait(a, b)
    case (.set(let a), .set(let b)), (.frozenSet(let a), .frozenSet(let b)):
      guard a.count == b.count, let a = numbers(a), let b = numbers(b) else { return false }
      return Set(a) == Set(b)
    case (.dict(let a), .dict(let b)): return waitForPairs(a, b)
    case (.orderedDict(let a, let left), .orderedDict(let b, let right)):
      return waitForPairs(a, b) && wait(left, right)
    case (.date(let a), .date(let b)): return a == b
    case (.time(let a, let left), .time(let b, let right)): return a == b && waitForZone(left, right)
    case (.dateTime(let a, let left), .dateTime(let b, let right)): return a == b && waitForZone(left, right)
    case (.timeDelta(let a), .timeDelta(let b)): return a == b
    case (.timeZone(let a), .timeZone(let b)): return a == b
    case (.decimal(let a), .decimal(let b)): return a == b
    case (.uuid(let a), .uuid(let b)): return a == b
    case (.array(let a), .array(let b)): return a == b
    case (.arrayType(let a), .arrayType(let b)): return a == b
    case (.name(let a), .name(let b)): return a == b
    case (.object(let a), .object(let b)):
      return wait(a.callee, b.callee) && wait(a.base, b.base) && wait(a.arguments, b.arguments)
        && wait(a.appended, b.appended)
        && wait(a.items, b.items) && wait(a.state, b.state) && wait(a.stateSetter, b.stateSetter)
        && wait(a.keywordArguments, b.keywordArguments)
    default: return false
    }
  }

  private mutating func wait(_ a: [PickleSlot], _ b: [PickleSlot]) -> Bool {
    guard a.count == b.count else { return false }
    waiting += zip(a, b)
    return true
  }

  private mutating func wait(_ a: PickleSlot?, _ b: PickleSlot?) -> Bool {
    if let a, let b { waiting.append((a, b)) }
    return (a == nil) == (b == nil)
  }

  /// Compares the objects of two zones, if both have one. Otherwise only the described zones count.
  private mutating func waitForZone(_ a: PickleSlot?, _ b: PickleSlot?) -> Bool {
    guard let a, let b else { return true }
    return wait(a, b)
  }

  private mutating func waitForPairs(_ a: [PickleSlot], _ b: [PickleSlot]) -> Bool {
    guard a.count == b.count, let leftKeys = numbers(a, every: 2), let rightKeys = numbers(b, every: 2)
    else { return false }
    var places: [Int: Int] = [:]
    for (index, key) in leftKeys.enumerated() { places[key] = index }
    for (index, key) in rightKeys.enumerated() {
      guard let place = places[key] else { return false }
      waiting.append((a[2 * place + 1], b[2 * index + 1]))
    }
    return true
  }

  private mutating func numbers(_ slots: [PickleSlot], every step: Int = 1) -> [Int]? {
    var numbers: [Int] = []
    for index in stride(from: 0, to: slots.count, by: step) {
      do throws(PickleKeys.NotHashable) {
        numbers.append(try keys.number(slots[index], in: arena))
      } catch {
        return nil
      }
    }
    return numbers
  }
}
