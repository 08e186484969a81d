/// The payload, and a delimiter behind it: any bytes, from one on.
///
/// ```
///   ╭─ payload ─╮╭─ delimiter ─╮
///   │ h e l l o ││ 00          │     .delimited()
///   │           ││ 00          │     the empty message
///   │ h e l l o ││ 0d 0a       │     .delimited(by: "\r\n")
///   ╰───────────╯╰─────────────╯
/// ```
///
/// A frame ends where the delimiter first does. So a payload that would read back otherwise is refused when
/// it is to be sent: one that holds the delimiter, and one whose end and the delimiter together hold it
/// earlier, as `x-` before `--` does. Bytes behind the last delimiter at the end of the stream are an end
/// inside a frame.
///
/// Each byte is searched once, however the stream is cut. An endpoint with `.exact` reads at most as many
/// bytes at a time as are missing of the delimiter.
///
/// Source: what Python's socketwrapper 0.2.0 calls `framing.DelimiterTerminatedBytes`.
public struct DelimitedFraming: ByteFraming {
  /// What stands behind each payload.
  public let delimiter: [UInt8]
  @usableFromInline let pattern: BytePattern

  /// - Parameter delimiter: what stands behind each payload, at least one byte.
  public init(by delimiter: [UInt8] = [0]) {
    self.delimiter = delimiter
    pattern = BytePattern(delimiter)
  }

  @inlinable
  public func makeScanner() -> Scanner { Scanner(pattern) }

  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    if let offset = pattern.earlyOccurrence(in: payload) { throw ambiguous(at: offset) }
    return FrameEnvelope(trailer: delimiter)
  }

  @usableFromInline
  func ambiguous(at offset: Int) -> FramingError {
    FramingError(
      .unrepresentable, offset: offset,
      explanation: "expected the delimiter behind the payload only; "
        + "the frame would hold it from the payload's byte \(offset) on, and end there")
  }

  /// Remembers how far it has searched, and how much of the delimiter the bytes so far end with.
  public struct Scanner: FrameScanner {
    @usableFromInline let pattern: BytePattern
    @usableFromInline var search = BytePattern.Search()

    @inlinable
    init(_ pattern: BytePattern) { self.pattern = pattern }

    @inlinable
    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      guard let end = pattern.end(in: received, &search) else {
        return .atLeast(received.count &+ pattern.count &- search.matched)
      }
      return .frame(byteCount: end, payload: 0..<(end &- pattern.count))
    }
  }
}

extension Framing where Self == DelimitedFraming {
  /// Payloads with a delimiter of at least one byte behind each; NUL unless another is named.
  public static func delimited(by delimiter: [UInt8] = [0]) -> DelimitedFraming {
    DelimitedFraming(by: delimiter)
  }

  /// Payloads with a delimiter behind each: the UTF-8 bytes of a text, at least one.
  public static func delimited(by delimiter: String) -> DelimitedFraming {
    DelimitedFraming(by: Array(delimiter.utf8))
  }
}
