/// Lines: the payload, followed by a line feed. Newline-delimited JSON, MCP over standard streams, Node's channel
/// to its children and many tools use this form.
///
/// ```
///   ╭─ payload ─╮╭─ ending ─╮
///   │ h e l l o ││    0a    │
///   │ h e l l o ││  0d 0a   │     read by `.lines` too; written by `.lines(ending: .carriageReturnLineFeed)`
///   │           ││    0a    │     the empty line
///   ╰───────────╯╰──────────╯
/// ```
///
/// Sending refuses a payload that would be read back differently: a payload that contains a line feed, and, if CR
/// LF is read but not written, a payload that ends with a carriage return.
///
/// If the stream ends after a line without its ending, it ends inside a frame, because the peer may have broken
/// off. The error's `partialBytes` has the line. ``takesLastLine`` accepts such a line, for files and programs that
/// omit the last ending. It has fewer bytes than the endpoint's `maximumFrameSize`, as a line with its ending would.
///
/// With ``skipsBlankLines``, lines that contain only spaces, tabs and carriage returns are ignored, as readers of
/// JSON lines do. They count towards the size of the frame that follows them.
///
/// Source: JSON Lines, <https://jsonlines.org>, which has LF and lets readers accept CR LF; the Model Context
/// Protocol's stdio transport, <https://modelcontextprotocol.io/specification>.
public struct LineFraming: ByteFraming {
  /// The bytes that end a line.
  @nonexhaustive
  public enum Ending: Hashable, Sendable, CaseIterable {
    /// Only LF: a CR before it belongs to the line.
    case lineFeed
    /// LF is written, LF and CR LF are read.
    case either
    /// CR LF is written, LF and CR LF are read.
    case carriageReturnLineFeed
  }

  public let ending: Ending
  /// Whether blank lines are ignored when receiving, and refused when sending.
  public let skipsBlankLines: Bool
  /// Whether bytes after the last ending are a line when the stream ends.
  public let takesLastLine: Bool

  /// A framing with options.
  ///
  /// - Parameters:
  ///   - ending: the bytes that end a line.
  ///   - skipsBlankLines: whether blank lines are ignored when receiving, and refused when sending.
  ///   - takesLastLine: whether bytes after the last ending are a line when the stream ends.
  @inlinable
  public init(ending: Ending = .either, skipsBlankLines: Bool = false, takesLastLine: Bool = false) {
    self.ending = ending
    self.skipsBlankLines = skipsBlankLines
    self.takesLastLine = takesLastLine
  }

  @inlinable
  public func makeScanner() -> Scanner {
    Scanner(
      stripsReturn: ending != .lineFeed, skipsBlankLines: skipsBlankLines, takesLastLine: takesLastLine)
  }

  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    if let offset = payload.firstIndex(of: Self.lineFeed, from: 0) {
      throw FramingError(
        .unrepresentable, offset: offset, explanation: "expected one line; found a line feed in it")
    }
    if skipsBlankLines, Self.isBlank(payload, 0..<payload.count) {
      throw FramingError(
        .unrepresentable, offset: 0,
        explanation: "expected a line with text; found a blank one, which the receiver ignores")
    }
    switch ending {
    case .lineFeed: return FrameEnvelope(trailer: [Self.lineFeed])
    case .either:
      if !payload.isEmpty, payload[payload.count &- 1] == Self.carriageReturn {
        throw FramingError(
          .unrepresentable, offset: payload.count &- 1,
          explanation: "expected a line; found a carriage return at its end, which would be read as part of "
            + "the ending")
      }
      return FrameEnvelope(trailer: [Self.lineFeed])
    case .carriageReturnLineFeed: return FrameEnvelope(trailer: [Self.carriageReturn, Self.lineFeed])
    }
  }

  @inlinable static var lineFeed: UInt8 { 0x0a }
  @inlinable static var carriageReturn: UInt8 { 0x0d }

  /// Whether the bytes are spaces, tabs and carriage returns, or none.
  @inlinable
  static func isBlank(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    for index in range where bytes[index] != 0x20 && bytes[index] != 0x09 && bytes[index] != carriageReturn {
      return false
    }
    return true
  }

  /// The scanner. It remembers how far it has searched, and where the current line begins.
  public struct Scanner: FrameScanner {
    @usableFromInline let stripsReturn: Bool
    @usableFromInline let skipsBlankLines: Bool
    @usableFromInline let takesLastLine: Bool
    @usableFromInline var searched = 0
    @usableFromInline var lineStart = 0

    @inlinable
    init(stripsReturn: Bool, skipsBlankLines: Bool, takesLastLine: Bool) {
      self.stripsReturn = stripsReturn
      self.skipsBlankLines = skipsBlankLines
      self.takesLastLine = takesLastLine
    }

    @inlinable
    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      while let feed = received.firstIndex(of: lineFeed, from: searched) {
        if skipsBlankLines, isBlank(received, lineStart..<feed) {
          searched = feed &+ 1
          lineStart = searched
          continue
        }
        let hasReturn = stripsReturn && feed > lineStart && received[feed &- 1] == carriageReturn
        return .frame(byteCount: feed &+ 1, payload: lineStart..<(hasReturn ? feed &- 1 : feed))
      }
      searched = received.count
      return .atLeast(received.count &+ 1)
    }

    public mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
      if received.count == lineStart { return .nothing }
      if skipsBlankLines, isBlank(received, lineStart..<received.count) { return .nothing }
      if !takesLastLine { return .incomplete }
      let hasReturn = stripsReturn && received[received.count - 1] == carriageReturn
      return .frame(
        .frame(
          byteCount: received.count, payload: lineStart..<(hasReturn ? received.count - 1 : received.count)))
    }
  }
}

extension Framing where Self == LineFraming {
  /// Payloads as lines that end with LF; the reader accepts CR LF too.
  @inlinable
  public static var lines: LineFraming { LineFraming() }

  /// Payloads as lines, with options.
  ///
  /// - Parameters:
  ///   - ending: the bytes that end a line.
  ///   - skipsBlankLines: whether blank lines are ignored when receiving, and refused when sending.
  ///   - takesLastLine: whether bytes after the last ending are a line when the stream ends.
  @inlinable
  public static func lines(
    ending: LineFraming.Ending = .either, skipsBlankLines: Bool = false, takesLastLine: Bool = false
  ) -> LineFraming {
    LineFraming(ending: ending, skipsBlankLines: skipsBlankLines, takesLastLine: takesLastLine)
  }
}
