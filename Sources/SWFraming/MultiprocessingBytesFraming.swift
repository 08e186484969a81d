/// The framing of `send_bytes` and `recv_bytes` in Python's `multiprocessing.connection`: the payload's length as a
/// signed big-endian 32-bit integer; above 2^31-1 bytes, -1 followed by an unsigned 64-bit integer.
///
/// ```
///   ╭─ int32 ─────╮╭─ payload ─╮
///   │ 00 00 00 05 ││ h e l l o │
///   │ 00 00 00 00 ││           │                          the empty message
///   ╰─────────────╯╰───────────╯
///   ╭─ −1 ────────╮╭─ uint64 ────────────────╮╭─ payload ─╮
///   │ ff ff ff ff ││ 00 00 00 00 80 00 00 00 ││ x x x … x │     2,147,483,648 bytes
///   ╰─────────────╯╰─────────────────────────╯╰───────────╯
/// ```
///
/// The long form is written only if the short form is too small, and is read with any length. Other negative
/// lengths are refused; Python reads an empty message and goes on. If the stream ends directly after a header, it
/// ends inside a frame; Python sees a regular end.
///
/// Source: CPython 3.8 to 3.13, `Lib/multiprocessing/connection.py`, `Connection._send_bytes` and `_recv_bytes`.
/// Python's socketwrapper calls it `MultiprocessingBytes`.
public struct MultiprocessingBytesFraming: ByteFraming {
  @inlinable public init() {}

  @inlinable
  public func makeScanner() -> Scanner { Scanner() }

  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    FrameEnvelope(header: Self.header(forByteCount: UInt64(payload.count)))
  }

  @inlinable
  public func envelope(forByteCount byteCount: Int) throws(FramingError) -> FrameEnvelope? {
    FrameEnvelope(header: Self.header(forByteCount: UInt64(byteCount)))
  }

  @inlinable
  static func header(forByteCount length: UInt64) -> ShortBytes {
    var header = ShortBytes()
    if length <= UInt64(Int32.max) {
      header.append(bigEndian: length, byteCount: 4)
    } else {
      header.append(bigEndian: .max, byteCount: 4)
      header.append(bigEndian: length, byteCount: 8)
    }
    return header
  }

  /// The scanner. It has no state: a header is at most twelve bytes at the start of the frame.
  public struct Scanner: FrameScanner {
    @inlinable public init() {}

    @inlinable
    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      guard received.count >= 4 else { return .atLeast(4) }
      let length = received.bigEndian(from: 0, byteCount: 4)
      if length <= UInt64(Int32.max) {
        return try .frame(header: 4, payloadByteCount: length, lengthAt: 0)
      }
      guard length == UInt64(UInt32.max) else { throw negativeLength(length) }
      guard received.count >= 12 else { return .atLeast(12) }
      return try .frame(
        header: 12, payloadByteCount: received.bigEndian(from: 4, byteCount: 8), lengthAt: 4)
    }

    @usableFromInline
    func negativeLength(_ length: UInt64) -> FramingError {
      FramingError(
        .malformedHeader, offset: 0,
        explanation: "expected a length from 0 on, or -1 before a 64-bit one; "
          + "found \(Int32(truncatingIfNeeded: length))")
    }
  }
}

extension Framing where Self == MultiprocessingBytesFraming {
  /// Payloads as `send_bytes` and `recv_bytes` of Python's `multiprocessing.connection` exchange them.
  @inlinable
  public static var multiprocessingBytes: MultiprocessingBytesFraming { MultiprocessingBytesFraming() }
}
