/// Lines: the payload and a line feed behind it. What newline-delimited JSON, MCP over standard streams,
/// Node's channel to its children and many tools speak.
///
/// ```
///   ╭─ payload ─╮╭─ ending ─╮
///   │ h e l l o ││    0a    │
///   │ h e l l o ││  0d 0a   │     read by `.lines` too; written by `.lines(ending: .carriageReturnLineFeed)`
///   │           ││    0a    │     the empty line
///   ╰───────────╯╰──────────╯
/// ```
///
/// A payload that would read back otherwise is refused when it is to be sent: one that holds a line feed,
/// and, where a carriage return is read as part of the ending and not written, one that ends with it.
///
/// A last line without its ending is an end inside a frame, with the line as the error's `partialBytes`:
/// whether a peer ended there or broke off cannot be told.
///
/// Source: JSON Lines, <https://jsonlines.org>, which has LF and lets readers bear with CR LF; the Model
/// Context Protocol's stdio transport, <https://modelcontextprotocol.io/specification>.
public struct LineFraming: ByteFraming {
  /// What ends a line.
  @nonexhaustive
  public enum Ending: Hashable, Sendable, CaseIterable {
    /// LF and nothing else: a CR before it belongs to the line.
    case lineFeed
    /// LF is written, LF and CR LF are read.
    case either
    /// CR LF is written, LF and CR LF are read.
    case carriageReturnLineFeed
  }

  public let ending: Ending

  @inlinable
  public init(ending: Ending = .either) { self.ending = ending }

  @inlinable
  public func makeScanner() -> Scanner { Scanner(stripsReturn: ending != .lineFeed) }

  @inlinable
  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    if let offset = payload.firstIndex(of: Self.lineFeed, from: 0) {
      throw FramingError(
        .unrepresentable, offset: offset, explanation: "expected one line; found a line feed in it")
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

  /// Remembers how far it has searched.
  public struct Scanner: FrameScanner {
    @usableFromInline let stripsReturn: Bool
    @usableFromInline var searched = 0

    @inlinable
    init(stripsReturn: Bool) { self.stripsReturn = stripsReturn }

    @inlinable
    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      guard let feed = received.firstIndex(of: lineFeed, from: searched) else {
        searched = received.count
        return .atLeast(received.count &+ 1)
      }
      let hasReturn = stripsReturn && feed > 0 && received[feed &- 1] == carriageReturn
      return .frame(byteCount: feed &+ 1, payload: 0..<(hasReturn ? feed &- 1 : feed))
    }
  }
}

extension Framing where Self == LineFraming {
  /// Each payload as a line: LF behind it, and a CR before that is borne with.
  @inlinable
  public static var lines: LineFraming { LineFraming() }

  /// Each payload as a line with an ending of your choice.
  @inlinable
  public static func lines(ending: LineFraming.Ending) -> LineFraming { LineFraming(ending: ending) }
}
