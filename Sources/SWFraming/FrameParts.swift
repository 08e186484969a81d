/// The parts of one frame, in order, as ``Framing/encode(_:into:)`` gives them: short pieces are
/// copied, arrays are retained and sent from where they are.
public struct FrameParts: Sendable {
  /// Arrays shorter than this are copied behind what precedes them: a copy is cheaper than a part.
  @usableFromInline static var smallestRetained: Int { 1024 }

  /// All parts but the last.
  @usableFromInline var chunks: [[UInt8]] = []
  /// What short pieces are gathered in.
  @usableFromInline var gathered: [UInt8] = []
  @usableFromInline var count = 0

  /// The frame's length so far.
  @inlinable
  public var byteCount: Int { count }

  @inlinable
  public init() {}

  /// Appends one byte.
  @inlinable
  public mutating func append(_ byte: UInt8) {
    gathered.append(byte)
    grow(by: 1)
  }

  /// Appends a copy of a few bytes.
  @inlinable
  public mutating func append(_ bytes: ShortBytes) {
    bytes.withBytes { span in append(copying: span) }
  }

  /// Appends a copy of bytes.
  @inlinable
  public mutating func append(copying bytes: Span<UInt8>) {
    unsafe bytes.withUnsafeBufferPointer { buffer in unsafe gathered.append(contentsOf: buffer) }
    grow(by: bytes.count)
  }

  /// Appends an array; a long one is retained and not copied.
  @inlinable
  public mutating func append(_ bytes: [UInt8]) {
    if bytes.count < Self.smallestRetained {
      gathered.append(contentsOf: bytes)
    } else {
      if !gathered.isEmpty { chunks.append(gathered) }
      chunks.append(bytes)
      gathered = []
    }
    grow(by: bytes.count)
  }

  /// Appends an array and what a ``ByteFraming`` puts around it; a long one is retained and not copied.
  @inlinable
  public mutating func append(_ payload: [UInt8], in envelope: FrameEnvelope) {
    if payload.count >= Self.smallestRetained {
      append(envelope.header)
      append(payload)
      append(envelope.trailer)
      return
    }
    let added = envelope.header.count + payload.count + envelope.trailer.count
    gathered.append(addingCapacity: added) { room in
      unsafe room.withUnsafeMutableBufferPointer { memory, count in
        let target = UnsafeMutableRawBufferPointer(memory)
        unsafe envelope.header.copy(to: target, at: count)
        count += envelope.header.count
        unsafe payload.withUnsafeBytes { source in
          unsafe UnsafeMutableRawBufferPointer(rebasing: target[count...]).copyMemory(from: source)
        }
        count += payload.count
        unsafe envelope.trailer.withUnsafeBytes { source in
          unsafe UnsafeMutableRawBufferPointer(rebasing: target[count...]).copyMemory(from: source)
        }
        count += envelope.trailer.count
      }
    }
    grow(by: added)
  }

  @inlinable
  mutating func grow(by count: Int) { self.count += count }

  /// Makes room for so many bytes.
  @inlinable
  package mutating func reserve(_ byteCount: Int) { gathered.reserveCapacity(byteCount) }

  /// Takes bytes off the end, of a frame whose encoding has failed.
  @usableFromInline
  package mutating func truncate(to end: Int) {
    var surplus = byteCount - end
    count = end
    while surplus > 0 {
      if gathered.isEmpty { gathered = chunks.popLast() ?? [] }
      let cut = min(surplus, gathered.count)
      precondition(cut > 0, "more is taken off than there is")
      gathered.removeLast(cut)
      surplus -= cut
    }
  }

  /// The parts, none of them empty, as what an endpoint sends.
  package consuming func finish() -> [[UInt8]] {
    if gathered.isEmpty { return chunks }
    if chunks.isEmpty { return [gathered] }
    chunks.append(gathered)
    return chunks
  }

  /// The whole frame in one array; for tests and for tools.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(byteCount)
    for chunk in chunks { bytes += chunk }
    return bytes + gathered
  }
}
