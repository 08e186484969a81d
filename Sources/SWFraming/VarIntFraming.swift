/// The payload behind its length as a ``VarInt``: one byte of header up to 240 bytes of payload, and any
/// payload a machine can hold.
///
/// ```
///   ╭─ VarInt ─╮╭─ payload ──╮
///   │    05    ││ h e l l o  │
///   │    00    ││            │     the empty message
///   │  f1 01   ││ x x x … x  │     241 bytes
///   ╰──────────╯╰────────────╯
/// ```
///
/// Overlong lengths are accepted and never written. What Python's socketwrapper calls `VarIntBytes`, and
/// uses when no framing is named.
public struct VarIntFraming: ByteFraming {
  @inlinable public init() {}

  @inlinable
  public func makeScanner() -> Scanner { Scanner() }

  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    FrameEnvelope(header: VarInt.encode(UInt64(payload.count)))
  }

  /// Holds no state: a header is at most nine bytes and lies at the frame's start, so looking at it again
  /// costs less than remembering how far one had come.
  public struct Scanner: FrameScanner {
    @inlinable public init() {}

    @inlinable
    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      guard let (length, header) = VarInt.decode(received) else {
        return .atLeast(received.isEmpty ? 1 : VarInt.byteCount(startingWith: received[0]))
      }
      guard length <= UInt64(Int.max &- header) else {
        throw FramingError(
          .tooLarge(declared: length, limit: UInt64(Int.max &- header)), offset: 0,
          explanation: "the varint header declares a payload that no Int can count")
      }
      let end = header &+ Int(truncatingIfNeeded: length)
      return .frame(byteCount: end, payload: header..<end)
    }
  }
}

extension Framing where Self == VarIntFraming {
  /// Each payload behind its length as a SQLite4 varint; what endpoints use when no framing is named.
  @inlinable
  public static var varInt: VarIntFraming { VarIntFraming() }
}
