internal import SWMessaging

/// The messages of a stream of frames, with their places in it.
struct Frames: ItemSource {
  let reader: MessageReader<WireFraming>
  /// The stream's name in error messages. Nil for standard input.
  private let name: String?
  private var offset: UInt64 = 0

  init(_ reader: MessageReader<WireFraming>, of name: String?) {
    self.reader = reader
    self.name = name
  }

  mutating func take(until deadline: Deadline) async throws(EndpointError) -> Message? {
    guard var message = try await reader.next(until: deadline) else { return nil }
    message.offset = offset
    offset += UInt64(message.frameSize)
    return message
  }

  static func size(of message: Message) -> Int { message.frameSize }

  func explained(_ error: EndpointError) -> any Error {
    let prefix = name.map { "\($0): " } ?? ""
    if !error.partialBytes.isEmpty { reader.framing.remains?.keep(error.partialBytes) }
    switch error.reason {
    case .truncated:
      let count = UInt64(error.partialBytes.count)
      return Failure(
        .truncated,
        "\(prefix)the stream ended inside a frame, at offset \(offset + count): expected the rest of the frame that "
          + "begins at offset \(offset); found \(count) bytes of it")
    case .framing(let error):
      return Failure(
        .broken,
        "\(prefix)the stream broke the framing, at offset \(offset + UInt64(clamping: error.offset)): "
          + "\(error.expectation) (the frame begins at offset \(offset))")
    case .timedOut:
      let rest = error.byteCount > 0 ? " after \(error.byteCount) bytes of a frame" : ""
      return Failure(.timedOut, "\(prefix)timed out\(rest): no message came in time")
    case .transport(let cause) where name == nil:
      return Failure(.connection, "standard input: \(cause.errno)")
    case .cancelled: return Interrupted()
    default: return Failure(.connection, "\(prefix)\(error)")
    }
  }

  /// Why a message could not be shown.
  func failure(_ error: Misread, in message: Message) -> Failure {
    let place = message.offset + UInt64(clamping: message.payloadOffset + error.offset)
    return Failure(
      .broken,
      "\(name.map { "\($0): " } ?? "")message not understood, at offset \(place): expected \(error.expected); "
        + "found \(error.found) (the frame begins at offset \(message.offset))")
  }
}

extension FramingError {
  /// The expected and the found bytes.
  var expectation: String {
    switch kind {
    case .tooLarge(let declared, let limit):
      "expected a frame of at most \(limit) bytes; found one of \(declared)"
        + (explanation.isEmpty ? "" : " (\(explanation))")
    // Framings of other authors may have other explanations.
    default: explanation.hasPrefix("expected") ? explanation : "expected a frame; found \(self)"
    }
  }
}
