// The time zones of datetimes, as far as their pickles describe them.

extension PickleReader {
  /// Whether Python accepts a slot as a time zone: None, or an object of some class.
  func isZone(_ slot: PickleSlot) -> Bool {
    guard case .node(let index) = slot else { return isNone(slot) }
    switch arena.nodes[index] {
    case .timeZone: return true
    case .object: return true
    default: return false
    }
  }

  /// The known facts about a time zone. Nil for None.
  mutating func zone(_ slot: PickleSlot) throws(PickleError) -> PickleTimeZone? {
    guard case .node(let index) = slot else { return nil }
    switch arena.nodes[index] {
    case .timeZone(let zone): return zone
    case .object(let object):
      try charge(work: 32)
      // The name of an attribute is made once and is charged then.
      _ = try callee(object.callee)
      return Self.describe(object, in: arena.nodes)
    default: return nil
    }
  }

  /// It is a separate function, so the snapshot is released when it returns, and the next change copies nothing.
  @inline(never)
  private static func describe(_ object: PickleObjectNode, in nodes: [PickleNode]) -> PickleTimeZone {
    PickleObject(object, in: PickleGraph(snapshot: nodes)).timeZone
  }
}
