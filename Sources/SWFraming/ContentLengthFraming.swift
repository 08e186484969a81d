/// A header section of text lines that gives the payload's length, an empty line, and the payload: the base
/// protocol of the Language Server Protocol and the Debug Adapter Protocol.
///
/// ```
///   ╭─ header section ────────────────╮╭─ payload ─╮
///   │ Content-Length: 5 ␍␊            ││           │
///   │ ␍␊                              ││ h e l l o │
///   ╰─────────────────────────────────╯╰───────────╯
///   ╭─ header section ────────────────╮
///   │ Content-Type: text/plain ␍␊     │
///   │ content-length:0 ␊              │     read, though never written
///   │ ␊                               │     the empty message
///   ╰─────────────────────────────────╯
/// ```
///
/// The reader accepts what real peers write:
/// - names in any case, and any number of spaces around the value;
/// - other headers in any order, which are ignored, `Content-Type` among them;
/// - LF instead of CR LF;
/// - the same length twice;
/// - blank lines before the first header, from a server that prints its body with a newline;
/// - a byte order mark before the first header.
///
/// It refuses the following as soon as the line has been received, so that a program which prints other text to the
/// same output is detected:
/// - a line that is not a header; the name must be a token;
/// - a length that is not all digits;
/// - two different lengths;
/// - a section without a length;
/// - a section longer than ``headerLimit``, including the blank lines.
///
/// An endpoint with `.exact` reads the header section byte by byte. Blank lines at the end of the stream are
/// ignored.
///
/// Source: Language Server Protocol 3.17, "Base Protocol", <https://microsoft.github.io/language-server-protocol/>;
/// Debug Adapter Protocol, "Base protocol", <https://microsoft.github.io/debug-adapter-protocol/overview>; RFC
/// 9110, section 5.6.2, "Tokens".
public struct ContentLengthFraming: ByteFraming {
  /// The default of ``headerLimit``: 8 KiB.
  @inlinable public static var defaultHeaderLimit: Int { 8192 }

  /// The length of the longest header section that is read, in bytes, including its empty line.
  public let headerLimit: Int

  /// A framing with a limit on header sections.
  ///
  /// - Parameter headerLimit: the length of the longest header section that is read, in bytes, including its empty
  ///   line.
  @inlinable
  public init(headerLimit: Int = defaultHeaderLimit) {
    precondition(headerLimit > 0, "a header section has at least one byte")
    self.headerLimit = headerLimit
  }

  @inlinable
  public func makeScanner() -> Scanner { Scanner(headerLimit: headerLimit) }

  public func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    let header = ShortBytes("Content-Length: \(payload.count)\r\n\r\n".utf8)
    guard header.count <= headerLimit else {
      throw FramingError(
        .unrepresentable, offset: 0,
        explanation: "expected a header section of at most \(headerLimit) bytes; found one of \(header.count)"
      )
    }
    return FrameEnvelope(header: header)
  }

  /// The scanner. It remembers which lines it has read, not their text.
  public struct Scanner: FrameScanner {
    private let headerLimit: Int
    private var searched = 0
    /// The start of the line that is being received.
    private var lineStart = 0
    private var length: Length?
    /// Whether a header line has been read.
    private var hasHeader = false

    private struct Length {
      let value: UInt64
      /// The offset of the number in the header.
      let offset: Int
    }

    @usableFromInline
    init(headerLimit: Int) { self.headerLimit = headerLimit }

    public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      let header = received.extracting(first: headerLimit)
      while let feed = header.firstIndex(of: .lineFeed, from: searched) {
        let hasReturn = feed > lineStart && header[feed - 1] == .carriageReturn
        let line = lineStart..<(hasReturn ? feed - 1 : feed)
        searched = feed + 1
        lineStart = searched
        guard line.isEmpty else {
          try read(hasHeader ? line : Self.withoutMark(line, of: header), of: header)
          hasHeader = true
          continue
        }
        if !hasHeader { continue }
        guard let length else {
          throw FramingError(
            .malformedHeader, offset: line.lowerBound,
            explanation: "expected a Content-Length header before the empty line; found none")
        }
        return try .frame(header: searched, payloadByteCount: length.value, lengthAt: length.offset)
      }
      searched = header.count
      if header.count == headerLimit {
        throw FramingError(
          .malformedHeader, offset: headerLimit,
          explanation: "expected the header section to end within \(headerLimit) bytes; it goes on")
      }
      // If a line breaks the rules, its end shows it at the latest, so no more than one byte is demanded.
      return .atLeast(received.count + 1)
    }

    public mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
      if hasHeader { return .incomplete }
      for index in lineStart..<received.count where received[index] != .carriageReturn { return .incomplete }
      return .nothing
    }

    /// A line without the byte order mark (EF BB BF) that .NET writes at the start of a stream.
    private static func withoutMark(_ line: Range<Int>, of header: Span<UInt8>) -> Range<Int> {
      let start = line.lowerBound
      guard line.count >= 3, header[start] == 0xef, header[start + 1] == 0xbb, header[start + 2] == 0xbf
      else {
        return line
      }
      return (start + 3)..<line.upperBound
    }

    private mutating func read(_ line: Range<Int>, of header: Span<UInt8>) throws(FramingError) {
      guard let colon = header.extracting(line).firstIndex(of: .colon, from: 0), colon > 0 else {
        throw FramingError(
          .malformedHeader, offset: line.lowerBound,
          explanation: "expected a header line, 'name: value'; found \(quoted(line, of: header))")
      }
      let name = line.lowerBound..<(line.lowerBound + colon)
      for index in name where !header[index].isToken {
        throw FramingError(
          .malformedHeader, offset: index,
          explanation: "expected a header's name of letters, digits and !#$%&'*+-.^_`|~ before the colon; "
            + "found \(quoted(line, of: header))")
      }
      if line.count > 0, header[line.upperBound - 1] == .carriageReturn {
        throw FramingError(
          .malformedHeader, offset: line.upperBound - 1,
          explanation:
            "expected one carriage return before the line feed, found two (a text mode doubles them); "
            + "in \(quoted(line, of: header))")
      }
      guard isContentLength(name, of: header) else { return }

      var value = (name.upperBound + 1)..<line.upperBound
      while let first = value.first, header[first].isBlank { value = (first + 1)..<value.upperBound }
      while let last = value.last, header[last].isBlank { value = value.lowerBound..<last }
      let number = try number(value, in: line, of: header)
      if let length, length.value != number {
        throw FramingError(
          .malformedHeader, offset: value.lowerBound,
          explanation: "expected one Content-Length; found \(length.value) and then "
            + "\(quoted(line, of: header))")
      }
      length = Length(value: number, offset: value.lowerBound)
    }

    private func number(
      _ value: Range<Int>, in line: Range<Int>, of header: Span<UInt8>
    ) throws(FramingError) -> UInt64 {
      var number: UInt64 = 0
      for index in value {
        guard case 0x30...0x39 = header[index] else {
          throw FramingError(
            .malformedHeader, offset: index,
            explanation: "expected decimal digits as Content-Length; found \(quoted(line, of: header))")
        }
        let (shifted, isLong) = number.multipliedReportingOverflow(by: 10)
        let (sum, isLonger) = shifted.addingReportingOverflow(UInt64(header[index] - 0x30))
        guard !isLong, !isLonger else {
          throw FramingError(
            .tooLarge(declared: .max, limit: UInt64(Int.max)), offset: value.lowerBound,
            explanation: "expected a Content-Length of 64 bits; found \(quoted(line, of: header))")
        }
        number = sum
      }
      if value.isEmpty {
        throw FramingError(
          .malformedHeader, offset: value.lowerBound,
          explanation: "expected decimal digits as Content-Length; found \(quoted(line, of: header))")
      }
      return number
    }

    private func isContentLength(_ name: Range<Int>, of header: Span<UInt8>) -> Bool {
      let expected = "content-length".utf8
      guard name.count == expected.count else { return false }
      for (index, byte) in zip(name, expected) {
        let found = header[index]
        let lower = (0x41...0x5a).contains(found) ? found | 0x20 : found
        if lower != byte { return false }
      }
      return true
    }

    /// The first bytes of a range in readable form.
    private func quoted(_ range: Range<Int>, of header: Span<UInt8>) -> String {
      let shown = range.prefix(60).map { index in header[index] }
      return String(reflecting: String(decoding: shown, as: UTF8.self)) + (range.count > 60 ? "…" : "")
    }
  }
}

extension UInt8 {
  fileprivate static var lineFeed: UInt8 { 0x0a }
  fileprivate static var carriageReturn: UInt8 { 0x0d }
  fileprivate static var colon: UInt8 { 0x3a }
  fileprivate var isBlank: Bool { self == 0x20 || self == 0x09 }
  /// Whether a token may hold the character.
  fileprivate var isToken: Bool {
    switch self {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
    case 0x21, 0x23...0x27, 0x2a, 0x2b, 0x2d, 0x2e, 0x5e, 0x5f, 0x60, 0x7c, 0x7e: true
    default: false
    }
  }
}

extension Framing where Self == ContentLengthFraming {
  /// Payloads with a `Content-Length` header, as in the Language Server Protocol and the Debug Adapter Protocol.
  @inlinable
  public static var contentLength: ContentLengthFraming { ContentLengthFraming() }

  /// Payloads with a `Content-Length` header, in a section of at most `headerLimit` bytes.
  @inlinable
  public static func contentLength(headerLimit: Int) -> ContentLengthFraming {
    ContentLengthFraming(headerLimit: headerLimit)
  }
}
