/// The payload, preceded by its length as a protobuf varint of seven bits a byte, the low bits first: the form in
/// which protobuf's own libraries write and read a stream of messages.
///
/// ```
///   ╭─ varint ─╮╭─ payload ─╮
///   │    05    ││ h e l l o │
///   │    00    ││           │     the empty message, such as one whose fields all have their defaults
///   │  ac 02   ││ x x x … x │     300 bytes: 0x2c + 0x02 × 128
///   ╰──────────╯╰───────────╯
/// ```
///
/// A length has at most ten bytes, of which the last is at most 1. A form that is longer than necessary (`85 00`
/// for 5) is read and never written. Protobuf itself limits a message to 2^31-1 bytes; this framing does not.
///
/// Source: protobuf's encoding document, "Base 128 Varints", <https://protobuf.dev/programming-guides/encoding/>.
/// Compatible with `BinaryDelimited` of swift-protobuf, `writeDelimitedTo` and `parseDelimitedFrom` of Java, and
/// `serialize_length_prefixed` of Python's `google.protobuf.proto`.
public struct ProtobufDelimitedFraming: ByteFraming {
  /// The longest varint, in bytes: seven bits of 64 in each.
  @inlinable static var longestHeader: Int { 10 }

  @inlinable public init() {}

  @inlinable
  public func makeScanner() -> Scanner { Scanner() }

  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    FrameEnvelope(header: Self.header(forByteCount: UInt64(payload.count)))
  }

  @inlinable
  static func header(forByteCount length: UInt64) -> ShortBytes {
    var header = ShortBytes()
    var rest = length
    while rest >= 0x80 {
      header.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    header.append(UInt8(truncatingIfNeeded: rest))
    return header
  }

  /// The scanner. It has no state: a header is at most ten bytes at the start of the frame.
  public struct Scanner: FrameScanner {
    @inlinable public init() {}

    @inlinable
    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      var length: UInt64 = 0
      for index in 0..<min(received.count, longestHeader) {
        let byte = received[index]
        // The tenth byte holds the 64th bit and no more.
        if index == longestHeader &- 1, byte > 1 { throw overlong(byte) }
        length |= UInt64(byte & 0x7f) << (7 &* UInt64(index))
        if byte < 0x80 { return try .frame(header: index &+ 1, payloadByteCount: length, lengthAt: 0) }
      }
      return .atLeast(received.count &+ 1)
    }

    @usableFromInline
    func overlong(_ byte: UInt8) -> FramingError {
      FramingError(
        .malformedHeader, offset: longestHeader - 1,
        explanation: "expected 0 or 1 as the tenth byte of a length, which has 64 bits; found \(byte)")
    }
  }
}

extension Framing where Self == ProtobufDelimitedFraming {
  /// Payloads, each preceded by its length as a protobuf varint; protobuf's libraries call this form delimited.
  @inlinable
  public static var protobufDelimited: ProtobufDelimitedFraming { ProtobufDelimitedFraming() }
}
