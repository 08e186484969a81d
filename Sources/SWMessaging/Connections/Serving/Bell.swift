internal import SWIO
internal import Synchronization

/// Wakes one waiting task. Sticky: a ring before the wait ends it at once.
final class Bell: Sendable {
  private enum State: Sendable {
    case silent
    case rung
    case awaited(CheckedContinuation<Void, Never>)
  }

  private let state = Guarded(State.silent)

  func ring() {
    let continuation: CheckedContinuation<Void, Never>? = state.withLock { state in
      if case .awaited(let continuation) = state {
        state = .silent
        return continuation
      }
      state = .rung
      return nil
    }
    continuation?.resume()
  }

  /// Waits for the next ring, until the deadline at most. With a deadline it may return earlier. Cancellation does not end the
  /// wait for a ring.
  func wait(until deadline: Deadline = .never) async {
    if deadline.hasPassed { return }
    if deadline != .never, Reactor.shared.start() != nil {
      // Without a thread no timer fires. `Task.sleep` is no way out: Dispatch may need a thread for it, too, and would block
      // this one until it has that. The callers check their state and the deadline again.
      let wakeUp = WakeUp.take()
      wakeUp.wait(watching: nil, for: [], until: min(deadline, .after(.milliseconds(10))))
      WakeUp.giveBack(wakeUp)
      return await Task.yield()
    }
    let timer = deadline == .never ? nil : Timer(Alarm { self.ring() })
    if let timer { Reactor.shared.set(timer, at: deadline) }
    await withCheckedContinuation { continuation in
      let isRung = state.withLock { state in
        if case .rung = state {
          state = .silent
          return true
        }
        state = .awaited(continuation)
        return false
      }
      if isRung { continuation.resume() }
    }
    if let timer { Reactor.shared.takeBack(timer) }
  }
}

/// Calls a closure when a deadline passes, on the reactor's thread.
final class Alarm: DeadlineReceiver {
  private let body: @Sendable () -> Void
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  func deadlinePassed() { body() }
}
