/// At most ``capacity`` bytes, such as a header, which need no allocation and are copied like a number.
public struct ShortBytes: Sendable, ExpressibleByArrayLiteral {
  /// The largest number of bytes: 63.
  @inlinable
  public static var capacity: Int { 63 }

  @usableFromInline var storage: InlineArray<63, UInt8>
  @usableFromInline var storedCount: UInt8

  @inlinable
  public init() {
    storage = InlineArray(repeating: 0)
    storedCount = 0
  }

  @inlinable
  public init(arrayLiteral elements: UInt8...) { self.init(elements) }

  @inlinable
  public init(_ bytes: some Sequence<UInt8>) {
    self.init()
    for byte in bytes { append(byte) }
  }

  @inlinable
  public var count: Int { Int(storedCount) }

  @inlinable
  public var isEmpty: Bool { count == 0 }

  /// Appends a byte.
  ///
  /// - Requires: fewer than ``capacity`` bytes.
  @inlinable
  public mutating func append(_ byte: UInt8) {
    precondition(count < Self.capacity, "too many for short bytes")
    storage[count] = byte
    storedCount &+= 1
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

  /// Calls a function with the bytes. The span is valid during the call.
  @inlinable
  public func withBytes<Result, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(storage.span.extracting(first: count))
  }

  /// Copies the bytes to `target`, which has room for them.
  @inlinable @inline(__always)
  package func copy(to target: UnsafeMutableRawPointer) {
    // Most have one to five bytes, for which a call of memcpy takes longer.
    for index in 0..<count {
      unsafe target.storeBytes(of: storage[index], toByteOffset: index, as: UInt8.self)
    }
  }
}
