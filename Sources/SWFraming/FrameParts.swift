/// The parts of one frame, in order, as ``Framing/encode(_:into:)`` gives them: short pieces are
/// copied, arrays are retained and sent from where they are.
public struct FrameParts: Sendable {
  /// Arrays shorter than this are copied behind what precedes them: a copy is cheaper than a part.
  @usableFromInline static var smallestRetained: Int { 1024 }

  /// All parts but the last.
  @usableFromInline var chunks: [[UInt8]] = []
  /// What short pieces are gathered in.
  @usableFromInline var gathered: [UInt8] = []
  /// The frame's length so far.
  public private(set) var byteCount = 0

  public init() {}

  /// Appends one byte.
  @inlinable
  public mutating func append(_ byte: UInt8) {
    gathered.append(byte)
    grow(by: 1)
  }

  /// Appends a copy of a few bytes.
  public mutating func append(_ bytes: ShortBytes) {
    bytes.withBytes { span in append(copying: span) }
  }

  /// Appends a copy of bytes.
  public mutating func append(copying bytes: Span<UInt8>) {
    unsafe bytes.withUnsafeBufferPointer { buffer in unsafe gathered.append(contentsOf: buffer) }
    grow(by: bytes.count)
  }

  /// Appends an array; a long one is retained and not copied.
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

  @usableFromInline
  mutating func grow(by count: Int) { byteCount += count }

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
