/// Limits on the size of a received pickle. A pickle that exceeds one is refused with a ``PickleError`` before the
/// memory is allocated.
///
/// With any limits, the time and memory for reading a pickle of n bytes are proportional to n: at most 256
/// bytes of memory for each byte, plus 64 KiB. (An empty list is one byte in a pickle, and about 100 bytes in
/// memory.)
public struct PickleLimits: Hashable, Sendable {
  /// The deepest nesting of containers, in levels, counted when one container is put into another. Python itself
  /// cannot write values nested deeper than its recursion limit (1,000).
  public var depth: Int
  /// The largest number of objects that the pickle may number in its memo.
  public var memoEntries: Int
  /// The largest number of elements in all containers together.
  public var elements: Int
  /// The approximate number of bytes that the value may take in memory.
  public var memory: Int
  /// The number of parts that ``PickleDecoder`` may visit repeatedly because the value shares them, in addition to
  /// 16 times the number of its parts. Never more than 1,024 for each part, and for 16 more. Decoded values take as
  /// much memory as if nothing had been shared.
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
  /// No limits, for pickles that this process has written itself.
  static var unlimited: PickleLimits {
    PickleLimits(depth: .max, memoEntries: .max, elements: .max, memory: .max)
  }
}
