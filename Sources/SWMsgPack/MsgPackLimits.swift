/// Limits on the size of a value. They are checked when a header declares the size, before any memory is reserved.
///
/// The number of bytes of a value is limited elsewhere: by an endpoint's `maximumFrameSize`.
public struct MsgPackLimits: Hashable, Sendable {
  /// The deepest nesting of containers, in levels; 512 by default, at most ``deepest``.
  public var depth: Int {
    willSet { precondition((1...Self.deepest).contains(newValue), "a depth from 1 to \(Self.deepest)") }
  }

  /// The largest number of values in one value, including itself, keys and everything nested; 16,777,216 by
  /// default. Each value takes 16 bytes while it is decoded, and at least one byte of the stream.
  public var elements: Int {
    willSet { precondition(newValue >= 1, "the limit of elements is at least 1") }
  }

  /// The largest permitted ``depth``: 1024.
  public static var deepest: Int { 1024 }

  public init(depth: Int = 512, elements: Int = 1 << 24) {
    precondition((1...Self.deepest).contains(depth), "a depth from 1 to \(Self.deepest)")
    precondition(elements >= 1, "the limit of elements is at least 1")
    self.depth = depth
    self.elements = elements
  }
}
