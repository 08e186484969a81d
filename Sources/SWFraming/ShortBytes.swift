/// A few bytes that need no allocation: headers and trailers. Up to ``inlineCapacity`` lie in the value
/// itself; more spill into an array.
public struct ShortBytes: Sendable, ExpressibleByArrayLiteral {
  /// How many bytes fit without an allocation.
  public static var inlineCapacity: Int { 23 }

  @usableFromInline var inline: InlineArray<23, UInt8>
  @usableFromInline var inlineCount: UInt8
  /// All of them when they do not fit inline; empty otherwise.
  @usableFromInline var spilled: [UInt8]

  @inlinable
  public init() {
    inline = InlineArray(repeating: 0)
    inlineCount = 0
    spilled = []
  }

  @inlinable
  public init(arrayLiteral elements: UInt8...) {
    self.init()
    for byte in elements { append(byte) }
  }

  @inlinable
  public init(_ bytes: some Sequence<UInt8>) {
    self.init()
    for byte in bytes { append(byte) }
  }

  @inlinable
  public var count: Int { spilled.isEmpty ? Int(inlineCount) : spilled.count }

  @inlinable
  public var isEmpty: Bool { count == 0 }

  @inlinable
  public mutating func append(_ byte: UInt8) {
    if spilled.isEmpty {
      if Int(inlineCount) < Self.inlineCapacity {
        inline[Int(inlineCount)] = byte
        inlineCount += 1
        return
      }
      spilled.reserveCapacity(2 * Self.inlineCapacity)
      for index in 0..<Int(inlineCount) { spilled.append(inline[index]) }
    }
    spilled.append(byte)
  }

  /// Appends the `byteCount` low bytes of an integer, the most significant first.
  @inlinable
  public mutating func append(bigEndian value: UInt64, byteCount: Int) {
    precondition(0...8 ~= byteCount, "an integer has up to eight bytes")
    for index in (0..<byteCount).reversed() {
      append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))))
    }
  }

  /// Appends the `byteCount` low bytes of an integer, the least significant first.
  @inlinable
  public mutating func append(littleEndian value: UInt64, byteCount: Int) {
    precondition(0...8 ~= byteCount, "an integer has up to eight bytes")
    for index in 0..<byteCount {
      append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))))
    }
  }

  /// Lends the bytes.
  @inlinable
  public func withBytes<Result, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    if spilled.isEmpty { return try body(inline.span.extracting(first: Int(inlineCount))) }
    return try body(spilled.span)
  }
}
