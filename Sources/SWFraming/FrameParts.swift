/// The parts of one frame, in order, as ``Framing/encode(_:into:)`` appends them. Short parts are copied. Arrays
/// are retained, and sent from where they are.
public struct FrameParts: Sendable {
  /// Shorter arrays are copied behind the bytes before them, because a copy is cheaper than a part.
  @usableFromInline static var smallestRetained: Int { 1024 }

  /// All parts but the last.
  @usableFromInline var chunks: [[UInt8]] = []
  /// The buffer that gathers short pieces, with room after them.
  @usableFromInline var gathered: [UInt8] = []
  @usableFromInline var filled = 0
  @usableFromInline var count = 0

  @inlinable
  public init() {}

  /// The length of the frame so far, in bytes.
  @inlinable
  public var byteCount: Int { count }

  /// Appends one byte.
  @inlinable
  public mutating func append(_ byte: UInt8) {
    unsafe extend(by: 1) { memory in unsafe memory.storeBytes(of: byte, as: UInt8.self) }
  }

  /// Appends a copy of a few bytes.
  @inlinable
  public mutating func append(_ bytes: ShortBytes) {
    unsafe extend(by: bytes.count) { memory in unsafe bytes.copy(to: memory) }
  }

  /// Appends a copy of bytes.
  @inlinable
  public mutating func append(copying bytes: Span<UInt8>) {
    unsafe bytes.withUnsafeBytes { source in
      unsafe extend(by: source.count) { memory in unsafe memory.copy(source) }
    }
  }

  /// Appends an array. A long array is retained, not copied.
  @inlinable
  public mutating func append(_ bytes: [UInt8]) {
    if bytes.count < Self.smallestRetained {
      append(copying: bytes.span)
    } else {
      retain(bytes)
    }
  }

  /// Appends an array with the header and trailer of a ``ByteFraming``. A long array is retained, not copied.
  @inlinable
  public mutating func append(_ payload: [UInt8], in envelope: FrameEnvelope) {
    if payload.count >= Self.smallestRetained {
      append(envelope.header)
      retain(payload)
      append(envelope.trailer)
      return
    }
    let header = envelope.header.count
    unsafe payload.withUnsafeBytes { payload in
      unsafe extend(by: header + payload.count + envelope.trailer.count) { memory in
        unsafe envelope.header.copy(to: memory)
        unsafe memory.advanced(by: header).copy(payload)
        if envelope.trailer.isEmpty { return }
        unsafe envelope.trailer.withUnsafeBytes { trailer in
          unsafe memory.advanced(by: header + payload.count).copy(trailer)
        }
      }
    }
  }

  /// Lets `body` fill `byteCount` bytes behind the present ones.
  @inlinable @inline(__always)
  mutating func extend(by byteCount: Int, _ body: (UnsafeMutableRawPointer) -> Void) {
    if gathered.count - filled < byteCount { reserve(byteCount) }
    let end = filled
    unsafe gathered.withUnsafeMutableBytes { memory in
      if let start = memory.baseAddress { unsafe body(start.advanced(by: end)) }
    }
    filled = end + byteCount
    count += byteCount
  }

  /// Makes room for `byteCount` more bytes.
  @usableFromInline
  package mutating func reserve(_ byteCount: Int) {
    let needed = filled + byteCount
    if needed <= gathered.count { return }
    let size = max(needed, 2 * gathered.count, 64)
    // The array's initialisers are not specialised here, and would take longer than clearing the memory.
    gathered.reserveCapacity(size)
    gathered.append(contentsOf: repeatElement(0, count: size - gathered.count))
  }

  @usableFromInline
  mutating func retain(_ bytes: [UInt8]) {
    endChunk()
    chunks.append(bytes)
    count += bytes.count
  }

  private mutating func endChunk() {
    if filled == 0 { return }
    gathered.removeLast(gathered.count - filled)
    chunks.append(gathered)
    gathered = []
    filled = 0
  }

  /// Removes bytes at the end, of a frame whose encoding has failed.
  @usableFromInline
  package mutating func truncate(to end: Int) {
    var surplus = count - end
    count = end
    while surplus > 0 {
      if filled == 0 {
        gathered = chunks.popLast() ?? []
        filled = gathered.count
      }
      let cut = min(surplus, filled)
      precondition(cut > 0, "more is taken off than there is")
      filled -= cut
      surplus -= cut
    }
  }

  /// Returns the parts in the form that an endpoint sends. None of them is empty.
  package consuming func finish() -> [[UInt8]] {
    endChunk()
    return chunks
  }

  /// The whole frame in one array, for tests and tools.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(byteCount)
    for chunk in chunks { bytes += chunk }
    return bytes + gathered.prefix(filled)
  }
}

extension UnsafeMutableRawPointer {
  @inlinable @inline(__always)
  func copy(_ bytes: UnsafeRawBufferPointer) {
    if let source = bytes.baseAddress { unsafe copyMemory(from: source, byteCount: bytes.count) }
  }
}
