/// How much a value may hold, checked when a header declares it and before anything is reserved for it.
///
/// How many bytes a value may have is the affair of who holds them: an endpoint's `maximumFrameSize`.
public struct MsgPackLimits: Hashable, Sendable {
  /// How many containers may lie in each other: 512 unless told otherwise, and ``deepest`` at most.
  public var depth: Int {
    willSet { precondition((1...Self.deepest).contains(newValue), "a depth from 1 to \(Self.deepest)") }
  }

  /// How many values one value may hold, itself, keys and all that is nested included: 16,777,216 unless told
  /// otherwise. Each takes 16 bytes while it is decoded, and a byte of the stream at least.
  public var elements: Int {
    willSet { precondition(newValue >= 1, "a value is one at least") }
  }

  /// The largest ``depth``: 1024.
  public static var deepest: Int { 1024 }

  public init(depth: Int = 512, elements: Int = 1 << 24) {
    precondition((1...Self.deepest).contains(depth), "a depth from 1 to \(Self.deepest)")
    precondition(elements >= 1, "a value is one at least")
    self.depth = depth
    self.elements = elements
  }
}
