internal import ArgumentParser
internal import SWMessaging

/// `swcat decode`: frames in, lines out.
struct Decode: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Frames from standard input, one message a line to standard output.",
    discussion: """
      Each message is printed as it comes. With --count nothing is read behind the last message, which stays for
      whoever reads the same input next.

      Examples:
        swcat encode --framing varint <words | swcat decode --framing varint
        swcat decode --framing content-length --output json <server.log
        swcat decode --framing pickle --output tagged --count 1 <frames
      """)

  @OptionGroup var options: Options

  @Option(
    help: ArgumentHelp("How a message stands on its line: \(MessageFormat.names).", valueName: "FMT"))
  var output: MessageFormat = .text

  @Option(help: ArgumentHelp("Ends after so many messages.", valueName: "N"))
  var count: Int?

  func validate() throws {
    if let count, count < 0 { throw ValidationError("--count: expected no negative number; found \(count)") }
  }

  func run() throws {
    var sink = try StandardOutput()
    let input = try StandardInput(
      framing: ShownFraming(base: options.framing.framing, codec: options.framing.codec, format: output),
      mode: count == nil ? .readAhead : .exact, maximumFrameSize: options.maximumFrameSize)
    var position: UInt64 = 0
    var handled = 0
    do {
      while count.map({ handled < $0 }) ?? true, let message = try input.next(flushing: &sink) {
        position += UInt64(message.frameSize)
        handled += 1
        try sink.write(message.line)
      }
    } catch let error as EndpointError {
      try sink.flush()
      throw Self.failure(error, at: position)
    } catch let failure as Failure {
      try sink.flush()
      throw failure
    }
    try sink.flush()
  }

  /// What is wrong with the frame that begins at `position`.
  private static func failure(_ error: EndpointError, at position: UInt64) -> Failure {
    switch error.reason {
    case .truncated:
      let count = UInt64(error.partialBytes.count)
      return Failure(
        .truncated,
        "the stream ended inside a frame, at offset \(position + count): expected the rest of the frame that "
          + "begins at offset \(position); found \(count) bytes of it")
    case .framing(let error):
      return Failure(
        .broken,
        "the stream broke the framing, at offset \(position + UInt64(clamping: error.offset)): "
          + "\(error.expectation) (the frame begins at offset \(position))")
    case .codec(let error as Misread):
      return Failure(
        .broken,
        "message not understood, at offset \(position + UInt64(clamping: error.offset)): expected "
          + "\(error.expected); found \(error.found) (the frame begins at offset \(position))")
    default: return Failure(.broken, "at offset \(position): \(error)")
    }
  }
}

/// A framing whose messages are the lines that show them.
private struct ShownFraming: Framing {
  /// A line, its line feed included, and how long the frame was: where the next one begins.
  struct Message {
    var line: [UInt8]
    var frameSize: Int
  }

  let base: AnyByteFraming
  let codec: any PayloadCodec
  let format: MessageFormat

  func makeScanner() -> AnyByteFraming.Scanner { base.makeScanner() }

  func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing AnyByteFraming.Scanner
  ) throws -> Message {
    let bytes = try base.decode(frame, payload: payload, scanned: scanned)
    var line: [UInt8] = []
    do throws(Misread) {
      try codec.show(bytes, as: format, on: &line)
    } catch {
      var error = error
      error.offset += payload.lowerBound
      throw error
    }
    line.append(0x0a)
    return Message(line: line, frameSize: frame.count)
  }

  func encode(_ message: Never, into parts: inout FrameParts) throws {}
}

extension FramingError {
  /// What was expected and what was found.
  var expectation: String {
    switch kind {
    case .tooLarge(let declared, let limit):
      "expected a frame of at most \(limit) bytes; found one of \(declared)"
        + (explanation.isEmpty ? "" : " (\(explanation))")
    // Framings that others wrote may explain themselves otherwise.
    default: explanation.hasPrefix("expected") ? explanation : "expected a frame; found \(self)"
    }
  }
}
