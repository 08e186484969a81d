internal import ArgumentParser
internal import SWMessaging

/// `swcat encode`: lines in, frames out.
struct Encode: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "One message a line from standard input, frames to standard output.",
    discussion: """
      A line ends with LF; the last one may do without. In text, hex and base64 an empty line is an empty message.

      Examples:
        printf 'hello\\n' | swcat encode --framing u32be | xxd
        echo '{"id":7}' | swcat encode --framing content-length --input json
        echo '{"id":7,"text":"hello"}' | swcat encode --framing pickle --input json >frames
        find . -name '*.swift' | swcat encode --framing nul | xargs -0 wc -l
      """)

  @OptionGroup var options: Options

  @Option(
    help: ArgumentHelp("How a message stands on its line: \(MessageFormat.names).", valueName: "FMT"))
  var input: MessageFormat = .text

  func run() throws {
    var sink = try StandardOutput()
    let source = try StandardInput(
      framing: LineFraming.lines(ending: .lineFeed), mode: .readAhead,
      maximumFrameSize: input.longestLine(forFrameOf: options.maximumFrameSize))
    var position = LinePosition()
    do {
      while let line = try source.next(flushing: &sink) {
        try sink.write(frame(for: line, at: position))
        position.advance(over: line)
      }
    } catch let error as EndpointError {
      guard case .truncated = error.reason else {
        try sink.flush()
        throw Self.failure(error, at: position)
      }
      // The last line has no line feed.
      do {
        try sink.write(frame(for: error.partialBytes, at: position))
      } catch let failure as Failure {
        try sink.flush()
        throw failure
      }
    } catch let failure as Failure {
      try sink.flush()
      throw failure
    }
    try sink.flush()
  }

  private func frame(for line: [UInt8], at position: LinePosition) throws -> [UInt8] {
    do {
      let payload = try options.framing.codec.read(line, as: input)
      var parts = FrameParts()
      try options.framing.framing.encode(payload, into: &parts)
      guard parts.byteCount <= options.maximumFrameSize else {
        throw Misread(
          at: 0, expected: "a frame of at most \(options.maximumFrameSize) bytes",
          found: "one of \(parts.byteCount)")
      }
      return parts.bytes
    } catch let error as Misread {
      throw Failure(
        .broken,
        "\(position.described(byte: error.offset)): expected \(error.expected); found \(error.found)")
    } catch let error as FramingError {
      throw Failure(
        .broken,
        "\(position.described()): the message cannot be sent in this framing, from its byte \(error.offset) on: "
          + error.expectation)
    }
  }

  private static func failure(_ error: EndpointError, at position: LinePosition) -> Failure {
    guard case .framing(let error) = error.reason, case .tooLarge(_, let limit) = error.kind else {
      return Failure(.broken, "\(position.described()): \(error)")
    }
    return Failure(
      .broken,
      "\(position.described()): expected a line of at most \(limit) bytes, which --max-frame allows for; it goes on"
    )
  }
}

/// Where a line begins.
private struct LinePosition {
  private var offset: UInt64 = 0
  private var line: UInt64 = 1

  mutating func advance(over line: [UInt8]) {
    offset += UInt64(line.count) + 1
    self.line += 1
  }

  func described(byte: Int = 0) -> String { "input line \(line), at offset \(offset + UInt64(byte))" }
}
