/// The payload, preceded by its length as an integer of one, two, four or eight bytes in either byte order.
///
/// ```
///   ╭─ length ────╮╭─ payload ─╮
///   │ 00 00 00 05 ││ h e l l o │     .lengthPrefixed(.uint32)
///   │ 05 00 00 00 ││ h e l l o │     .lengthPrefixed(.uint32, byteOrder: .littleEndian)
///   │ 00 00 00 09 ││ h e l l o │     .lengthPrefixed(.uint32, countsHeader: true)
///   │ 05          ││ h e l l o │     .lengthPrefixed(.uint8)
///   ╰─────────────╯╰───────────╯
/// ```
///
/// The integer is unsigned. Sending refuses a payload that is too long for it. A received length that counts the
/// header and is smaller than the header is an error.
///
/// Source: no single document; many binary protocols begin this way, such as DNS over TCP (RFC 1035, 4.2.2: two
/// bytes, big-endian) and Chrome's native messaging (four bytes in the machine's order).
public struct LengthPrefixedFraming: ByteFraming {
  /// The size of the length field.
  @nonexhaustive
  public enum Width: Int, Hashable, Sendable, CaseIterable {
    case uint8 = 1
    case uint16 = 2
    case uint32 = 4
    case uint64 = 8
  }

  /// The order of the bytes of the length.
  public enum ByteOrder: Hashable, Sendable, CaseIterable {
    case bigEndian
    case littleEndian
  }

  public let width: Width
  public let byteOrder: ByteOrder
  /// Whether the length counts the header as well as the payload.
  public let countsHeader: Bool

  @inlinable
  public init(_ width: Width, byteOrder: ByteOrder = .bigEndian, countsHeader: Bool = false) {
    self.width = width
    self.byteOrder = byteOrder
    self.countsHeader = countsHeader
  }

  /// The largest payload, in bytes, that the length can count.
  @inlinable
  public var largestPayload: UInt64 {
    UInt64.max >> (64 - 8 * UInt64(width.rawValue)) - (countsHeader ? UInt64(width.rawValue) : 0)
  }

  @inlinable
  public func makeScanner() -> Scanner { Scanner(framing: self) }

  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    guard UInt64(payload.count) <= largestPayload else { throw tooLong(payload.count) }
    let length = UInt64(payload.count) &+ (countsHeader ? UInt64(width.rawValue) : 0)
    var header = ShortBytes()
    switch byteOrder {
    case .bigEndian: header.append(bigEndian: length, byteCount: width.rawValue)
    case .littleEndian: header.append(littleEndian: length, byteCount: width.rawValue)
    }
    return FrameEnvelope(header: header)
  }

  @usableFromInline
  func tooLong(_ byteCount: Int) -> FramingError {
    FramingError(
      .unrepresentable, offset: Int(clamping: largestPayload),
      explanation: "expected at most \(largestPayload) bytes, which is what a length of \(width.rawValue) "
        + "bytes can count; found \(byteCount)")
  }

  /// The scanner. It has no state of its own: a header is at most eight bytes at the start of the frame.
  public struct Scanner: FrameScanner {
    @usableFromInline let framing: LengthPrefixedFraming

    @inlinable
    init(framing: LengthPrefixedFraming) { self.framing = framing }

    @inlinable
    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      let header = framing.width.rawValue
      guard received.count >= header else { return .atLeast(header) }
      var length =
        switch framing.byteOrder {
        case .bigEndian: received.bigEndian(from: 0, byteCount: header)
        case .littleEndian: received.littleEndian(from: 0, byteCount: header)
        }
      if framing.countsHeader {
        guard length >= UInt64(header) else { throw tooShort(length) }
        length &-= UInt64(header)
      }
      return try .frame(header: header, payloadByteCount: length, lengthAt: 0)
    }

    @usableFromInline
    func tooShort(_ length: UInt64) -> FramingError {
      FramingError(
        .malformedHeader, offset: 0,
        explanation: "expected a length that counts its own \(framing.width.rawValue) bytes; found \(length)")
    }
  }
}

extension Framing where Self == LengthPrefixedFraming {
  /// Payloads, each preceded by its length as an unsigned integer.
  ///
  /// - Parameters:
  ///   - width: the size of the length field.
  ///   - byteOrder: the order of its bytes.
  ///   - countsHeader: whether the length counts the header as well as the payload.
  @inlinable
  public static func lengthPrefixed(
    _ width: LengthPrefixedFraming.Width, byteOrder: LengthPrefixedFraming.ByteOrder = .bigEndian,
    countsHeader: Bool = false
  ) -> LengthPrefixedFraming {
    LengthPrefixedFraming(width, byteOrder: byteOrder, countsHeader: countsHeader)
  }
}
