internal import SWMessaging

/// Two peers, of whom each gets the other's messages.
struct Bridge: Sendable {
  let first: Peer
  let second: Peer
  /// How many of the first peer's messages pass.
  var quota = Quota(nil)
  var skipsUndecodable = false
  /// Whether the second peer's end is the end of the bridge, as that of a child process is.
  var endsWithSecond = false
  /// How long the other direction may go on when one has ended; nil: until its end.
  var linger: Duration?

  private enum Event {
    case ended(Direction)
    case late
  }

  private struct Direction {
    var isFromSecond: Bool
    var hasFailed = false
  }

  /// Returns when both directions have ended. If one of them fails, its sink sees the end, and the other one has a second, or
  /// the time to linger, so that what had passed before is answered.
  ///
  /// - Returns: whether all messages have passed: false if some were skipped.
  func run() async throws -> Bool {
    let failure = FirstFailure()
    let skipped = FirstFailure()
    let error = try await withThrowingTaskGroup(of: Event.self) { group in
      group.addTask { .ended(await direction(from: first, to: second, quota, skipped, failure)) }
      group.addTask { .ended(await direction(from: second, to: first, Quota(nil), skipped, failure)) }
      if let activity = first.settings.activity {
        group.addTask {
          try await activity.watch(at: "\(first.name) and \(second.name)")
          return .late
        }
      }
      var ended = 0
      while ended < 2, case .ended(let direction)? = try await group.next() {
        ended += 1
        if direction.isFromSecond, endsWithSecond { break }
        guard ended == 1, let patience = direction.hasFailed ? linger ?? .seconds(1) : linger else {
          continue
        }
        group.addTask {
          try await Task.sleep(for: patience)
          return .late
        }
      }
      // An error that the other task throws because of the cancellation is no failure.
      let error = failure.error
      group.cancelAll()
      return error
    }
    if let error { throw error }
    return skipped.error == nil
  }

  private func direction(
    from source: Peer, to sink: Peer, _ quota: Quota, _ skipped: FirstFailure, _ failure: FirstFailure
  ) async -> Direction {
    var direction = Direction(isFromSecond: source === second)
    do {
      try await pass(source, to: sink, quota, skipped)
    } catch {
      failure.note(error)
      direction.hasFailed = true
    }
    // It has been noted before the sink can end because of this.
    sink.finishSending()
    return direction
  }

  private func pass(
    _ source: Peer, to sink: Peer, _ quota: Quota, _ skipped: FirstFailure
  ) async throws {
    let translation = Translation(from: source.choice, to: sink.choice)
    try await source.receive(quota) { messages, frames in
      try await handOn(messages, into: Prepared()) { message, prepared in
        do throws(Misread) {
          prepared.payloads.append(try translation.payload(of: message))
          prepared.messages.append(message)
        } catch {
          let failure = frames.failure(error, in: message)
          guard skipsUndecodable else { throw failure }
          skipped.note(failure)
          complain(failure.message)
        }
      } to: { prepared in
        do {
          try await sink.send(prepared.payloads)
        } catch let error as Unsent {
          throw error.failure(
            at: "\(source.name): message at offset \(prepared.messages[error.index].offset), to \(sink.name)")
        }
      }
    }
  }

  private struct Prepared {
    var payloads: [[UInt8]] = []
    var messages: [Message] = []
  }
}
