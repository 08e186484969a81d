/// The payload, followed by a delimiter of at least one byte.
///
/// ```
///   ╭─ payload ─╮╭─ delimiter ─╮
///   │ h e l l o ││ 00          │     .delimited()
///   │           ││ 00          │     the empty message
///   │ h e l l o ││ 0d 0a       │     .delimited(by: "\r\n")
///   ╰───────────╯╰─────────────╯
/// ```
///
/// A frame ends at the first occurrence of the delimiter. Sending therefore refuses a payload that would be read
/// back differently: a payload that contains the delimiter, and a payload such as `x-` before the delimiter `--`,
/// whose end and the delimiter together contain it earlier. If the stream ends with bytes after the last delimiter,
/// it ends inside a frame.
///
/// Each byte is searched once, however the stream is cut into chunks. An endpoint with `.exact` reads at most as
/// many bytes at a time as are missing from the delimiter.
///
/// Source: Python's socketwrapper 0.2.0, `framing.DelimiterTerminatedBytes`.
public struct DelimitedFraming: ByteFraming {
  /// The bytes after each payload.
  public let delimiter: [UInt8]
  @usableFromInline let pattern: BytePattern

  /// A framing with a delimiter.
  ///
  /// - Parameter delimiter: the bytes after each payload, at least one.
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
      explanation: "expected the delimiter only after the payload; "
        + "the frame would hold it from the payload's byte \(offset) on, and end there")
  }

  /// The scanner. It remembers how far it has searched, and how much of the delimiter the bytes so far end with.
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
  /// Payloads, each followed by a delimiter of at least one byte; NUL by default.
  public static func delimited(by delimiter: [UInt8] = [0]) -> DelimitedFraming {
    DelimitedFraming(by: delimiter)
  }

  /// Payloads, each followed by a delimiter: the UTF-8 bytes of a text, at least one.
  public static func delimited(by delimiter: String) -> DelimitedFraming {
    DelimitedFraming(by: Array(delimiter.utf8))
  }
}
