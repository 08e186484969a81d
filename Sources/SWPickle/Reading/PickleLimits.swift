/// How much a peer's pickle may ask for. A pickle that asks for more is refused with a ``PickleError``, before
/// the memory is taken.
///
/// A pickle of n bytes is read in time and memory proportional to n whatever the limits are; but a byte can be
/// worth a hundred: an empty list takes one.
public struct PickleLimits: Hashable, Sendable {
  /// How deep containers may be nested, counted when one is put into another. What is nested deeper than
  /// Python's own recursion limit (1,000) no Python has written.
  public var depth: Int
  /// How many objects the pickle may number for later reference.
  public var memoEntries: Int
  /// How many elements all containers together may have.
  public var elements: Int
  /// How many bytes the value may take in memory, roughly.
  public var memory: Int

  public init(
    depth: Int = 10_000, memoEntries: Int = 1 << 26, elements: Int = 1 << 27, memory: Int = 2 << 30
  ) {
    self.depth = depth
    self.memoEntries = memoEntries
    self.elements = elements
    self.memory = memory
  }
}
