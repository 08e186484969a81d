/// How much a peer's pickle may ask for. A pickle that asks for more is refused with a ``PickleError``, before
/// the memory is taken.
///
/// Whatever the limits are, a pickle of n bytes is read in time and memory proportional to n: at most 256 bytes of
/// memory for each byte, and 64 KiB. (An empty list is one byte of a pickle and about 100 of memory.)
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
  /// How many parts ``PickleDecoder`` may visit again because the value shares them, beside sixteen times the parts that
  /// the value has; and never more than 1,024 for each of its parts, and of 16 more. The decoded values are as large as if
  /// nothing had been shared.
  public var repeatedParts: Int

  public init(
    depth: Int = 10_000, memoEntries: Int = 1 << 26, elements: Int = 1 << 27, memory: Int = 2 << 30,
    repeatedParts: Int = 1 << 20
  ) {
    self.depth = depth
    self.memoEntries = memoEntries
    self.elements = elements
    self.memory = memory
    self.repeatedParts = repeatedParts
  }
  /// For what this process has written itself.
  static var unlimited: PickleLimits {
    PickleLimits(depth: .max, memoEntries: .max, elements: .max, memory: .max)
  }
}
