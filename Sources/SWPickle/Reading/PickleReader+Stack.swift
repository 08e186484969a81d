// The stack, the memo, and the charges for their contents.

internal import SWFraming

extension PickleReader {
  func error(_ kind: PickleError.Kind, _ expected: String, _ found: String) -> PickleError {
    PickleError(kind, offset: opcodeOffset, expected: expected.shown(), found: found.shown())
  }

  func underflow() -> PickleError {
    error(.malformed, "an item on the stack", marks.isEmpty ? "none" : "a mark")
  }

  /// Charges memory, before it is taken.
  mutating func charge(_ byteCount: Int) throws(PickleError) {
    do throws(PickleMeter.Exceeded) { try meter.charge(memory: byteCount) } catch { throw refusal(error) }
  }

  /// Charges work that is more than an opcode's own, before it is done.
  mutating func charge(work steps: Int) throws(PickleError) {
    do throws(PickleMeter.Exceeded) { try meter.charge(work: steps) } catch { throw refusal(error) }
  }

  func refusal(_ exceeded: PickleMeter.Exceeded) -> PickleError {
    error(
      .limit, "at most \(exceeded.limit) \(exceeded.isMemory ? "bytes of memory" : "steps of work")", "more")
  }

  mutating func new(_ node: PickleNode, depth: Int32 = 0) throws(PickleError) -> PickleSlot {
    try charge(PickleNode.byteCount)
    depths.append(depth)
    return arena.add(node)
  }

  mutating func slot(_ value: PickleInt) throws(PickleError) -> PickleSlot {
    if let small = value.small { return .int(small) }
    return try new(.integer(value))
  }

  mutating func push(_ slot: PickleSlot) throws(PickleError) {
    if stack.count == stackRoom {
      stackRoom += 1024
      try charge(1024 * PickleSlot.byteCount)
    }
    stack.append(slot)
  }

  mutating func pushContainer(_ slot: PickleSlot) throws(PickleError) {
    if containers != nil, case .node(let index) = slot { containers?.append(index) }
    try push(slot)
  }

  /// Items below the topmost mark cannot be reached.
  var fence: Int { marks.last ?? 0 }

  func top() throws(PickleError) -> PickleSlot {
    guard stack.count > fence, let top = stack.last else { throw underflow() }
    return top
  }

  mutating func pop() throws(PickleError) -> PickleSlot {
    guard stack.count > fence, let top = stack.popLast() else { throw underflow() }
    return top
  }

  mutating func pop(_ count: Int) throws(PickleError) -> [PickleSlot] {
    guard stack.count - fence >= count else { throw underflow() }
    let items = Array(stack.suffix(count))
    stack.removeLast(count)
    return items
  }

  mutating func popToMark() throws(PickleError) -> [PickleSlot] {
    guard let mark = marks.popLast() else { throw error(.malformed, "a mark on the stack", "none") }
    let items = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return items
  }

  mutating func memoize(at index: Int) throws(PickleError) {
    let slot = try top()
    if index < memo.count {
      memo[index] = slot
      return
    }
    if memo.count + sparseMemo.count >= limits.memoEntries {
      throw error(.limit, "at most \(limits.memoEntries) memo entries", "another")
    }
    if index == memo.count, sparseMemo.isEmpty {
      try charge(PickleSlot.byteCount)
      memo.append(slot)
    } else {
      try charge(64)
      sparseMemo[index] = slot
    }
  }

  func memoized(at index: Int) throws(PickleError) -> PickleSlot {
    if index < memo.count { return memo[index] }
    guard let slot = sparseMemo[index] else {
      throw error(.malformed, "a memo entry at \(index)", "none")
    }
    return slot
  }
}
