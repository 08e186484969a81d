internal import Synchronization

/// When a message passed last, for commands that end when none has passed for some time.
final class Activity: Sendable {
  private let limit: Duration
  private let last = Mutex(ContinuousClock.now)

  init(limit: Duration) { self.limit = limit }

  func note() { last.withLock { $0 = .now } }

  /// Waits until nothing has passed for too long.
  ///
  /// - Parameter place: where messages are to pass, for the complaint.
  /// - Throws: ``Failure``; `CancellationError`.
  func watch(at place: String) async throws {
    while true {
      let due = last.withLock { $0 } + limit
      if due <= .now { throw Failure(.timedOut, "\(place): timed out: no message passed in time") }
      try await Task.sleep(until: due)
    }
  }
}
