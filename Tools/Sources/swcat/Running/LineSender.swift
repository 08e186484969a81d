internal import SWMessaging
internal import SystemPackage

/// Sends each line of standard input to a peer, as a message.
struct LineSender: Sendable {
  let peer: Peer
  let format: MessageFormat
  /// Passed with the first message.
  var descriptor: FileDescriptor?
  /// Whether a line that is no message is complained of, and the next one read: a person at a terminal types it anew.
  var isForgiving = false

  /// Returns at the end of the input.
  func run() async throws {
    var lines = Batches(try InputLines(format, maximumFrameSize: peer.settings.maximumFrameSize))
    var descriptor = descriptor
    while let batch = try await lines.next(most: descriptor == nil ? nil : 1) {
      try await handOn(batch, into: Prepared()) { line, prepared in
        do throws(Misread) {
          prepared.payloads.append(try peer.choice.codec.read(line.bytes, as: format))
          prepared.lines.append(line)
        } catch {
          let failure = Failure(
            .broken, "\(line.place(ofByte: error.offset)): expected \(error.expected); found \(error.found)")
          guard isForgiving else { throw failure }
          complain(failure.message)
        }
      } to: { prepared in
        if prepared.payloads.isEmpty { return }
        do {
          try await peer.send(prepared.payloads, passing: descriptor)
          descriptor = nil
        } catch let error as Unsent {
          let failure = error.failure(at: prepared.lines[error.index].place())
          guard isForgiving else { throw failure }
          complain(failure.message)
        }
      }
    }
  }

  private struct Prepared {
    var payloads: [[UInt8]] = []
    var lines: [InputLine] = []
  }
}
