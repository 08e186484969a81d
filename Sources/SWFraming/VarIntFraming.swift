/// The payload, preceded by its length as a ``VarInt``: one byte of header for up to 240 bytes of payload, and any
/// payload that a machine can hold.
///
/// ```
///   ╭─ VarInt ─╮╭─ payload ──╮
///   │    05    ││ h e l l o  │
///   │    00    ││            │     the empty message
///   │  f1 01   ││ x x x … x  │     241 bytes
///   ╰──────────╯╰────────────╯
/// ```
///
/// A length in a longer form than necessary is read and never written. Python's socketwrapper calls this framing
/// `VarIntBytes`; there and here it is the default.
public struct VarIntFraming: ByteFraming {
  @inlinable public init() {}

  @inlinable
  public func makeScanner() -> Scanner { Scanner() }

  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    FrameEnvelope(header: VarInt.encode(UInt64(payload.count)))
  }

  /// The scanner. It has no state: a header is at most nine bytes at the start of the frame, and reading it again
  /// costs less than remembering how much has been read.
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
  /// Payloads, each preceded by its length as a SQLite4 varint; the default framing of endpoints.
  @inlinable
  public static var varInt: VarIntFraming { VarIntFraming() }
}
