internal import Synchronization

#if canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// Messages as lines on standard output.
final class Screen: Sendable {
  private let output: Output
  private let choice: FramingChoice
  private let format: MessageFormat
  private let isColoured: Bool
  private let skipsUndecodable: Bool
  private let hasSkipped = Mutex(false)

  init(_ options: OutputOptions, _ choice: FramingChoice) throws {
    output = try Output()
    self.choice = choice
    format = options.output
    isColoured = options.color && isatty(1) == 1
    skipsUndecodable = options.skip.skipUndecodable
  }

  /// Prints messages, a line each. If one is not understood, those before it have been printed.
  func show(_ messages: [Message], from frames: Frames) async throws {
    try await handOn(messages, into: [UInt8]()) { message, lines in
      let start = lines.count
      do throws(Misread) {
        try choice.codec.show(message.payload, as: format, on: &lines)
      } catch {
        lines.removeLast(lines.count - start)
        let failure = frames.failure(error, in: message)
        guard skipsUndecodable else { throw failure }
        hasSkipped.withLock { $0 = true }
        return complain(failure.message)
      }
      if isColoured { colour(&lines, from: start) }
      lines.append(0x0a)
    } to: { lines in
      try await output.write(lines)
    }
  }

  private func colour(_ lines: inout [UInt8], from start: Int) {
    let showsJSON =
      switch format {
      case .json, .tagged: true
      // Values that are no texts.
      case .text:
        choice.kind != .bytes && [UInt8(ascii: "{"), UInt8(ascii: "[")].contains(lines[start...].first)
      case .hex, .base64: false
      }
    guard showsJSON, let coloured = JSONColours.paint(Array(lines[start...])) else { return }
    lines.removeLast(lines.count - start)
    lines += coloured
  }

  /// Prints a peer's messages, until its end or as many as are wanted.
  func show(_ peer: Peer, _ count: CountOption) async throws {
    var inbox = try peer.inbox()
    var left = count.count
    while left != 0, let batch = try await inbox.next(most: left, timeout: peer.settings.timeout) {
      left = left.map { $0 - batch.count }
      try await show(batch, from: inbox.frames)
    }
    if let left, left > 0, Stop.shared.signal != nil { throw Interrupted() }
    try finish()
  }

  /// Call it at the end.
  ///
  /// - Throws: ``Failure``, if a message has been skipped.
  func finish() throws {
    if hasSkipped.withLock({ $0 }) { throw Failure(.broken, "messages were skipped that are not understood") }
  }
}
