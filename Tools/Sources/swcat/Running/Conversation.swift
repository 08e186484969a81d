internal import SWMessaging
internal import Synchronization

/// Lines to a peer, and its messages to standard output, both at once.
///
/// The peer's end is the end of the conversation. The end of the lines half-closes, and the peer's messages still come. So do
/// they, for a time, if the lines fail: what was sent before is answered.
struct Conversation: Sendable {
  private enum Event {
    case peerEnded
    case linesEnded
    case late
  }

  let sender: LineSender
  let screen: Screen
  /// How long the peer's messages come behind the end of the lines; nil: until its end.
  let linger: Duration?

  func run() async throws {
    let peer = sender.peer
    let failure = FirstFailure()
    let error = try await withThrowingTaskGroup(of: Event.self) { group in
      group.addTask {
        try await peer.receive(Quota(nil)) { try await screen.show($0, from: $1) }
        return .peerEnded
      }
      group.addTask {
        do { try await sender.run() } catch { failure.note(error) }
        // It has been noted before the peer can end because of this.
        peer.finishSending()
        return .linesEnded
      }
      if let activity = peer.settings.activity {
        group.addTask {
          try await activity.watch(at: peer.name)
          return .late
        }
      }
      while case .linesEnded? = try await group.next() {
        guard let patience = failure.error == nil ? linger : linger ?? .seconds(1) else { continue }
        group.addTask {
          try await Task.sleep(for: patience)
          return .late
        }
      }
      // An error that the other tasks throw because of the cancellation is no failure.
      let error = failure.error
      group.cancelAll()
      return error
    }
    if let error { throw error }
    try screen.finish()
  }
}

/// The failure that counts, of several tasks.
final class FirstFailure: Sendable {
  private let first = Mutex<(any Error)?>(nil)

  var error: (any Error)? { first.withLock { $0 } }

  func note(_ error: any Error) { first.withLock { $0 = $0 ?? error } }
}

/// Waits for a task, which is cancelled when the time has passed. That is no error.
func wait(for task: Task<Void, any Error>, atMost limit: Duration?) async throws {
  let timer = limit.map { limit in
    Task {
      try await Task.sleep(for: limit)
      task.cancel()
    }
  }
  defer { timer?.cancel() }
  do {
    try await withTaskCancellationHandler {
      try await task.value
    } onCancel: {
      task.cancel()
    }
  } catch is Interrupted where Stop.shared.signal == nil {
    // Without a signal, only the timer has cancelled it.
  }
}
