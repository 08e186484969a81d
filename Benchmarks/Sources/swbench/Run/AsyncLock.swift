internal import Synchronization

/// The plain async lock with which senders are compared. It serves callers first in, first out, and suspends those that
/// wait.
final class AsyncLock: Sendable {
  private struct State: Sendable {
    var isHeld = false
    /// An array is enough, because at most as many callers wait as there are senders.
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  func lock() async {
    let isMine = state.withLock { state in
      defer { state.isHeld = true }
      return !state.isHeld
    }
    if isMine { return }
    await withCheckedContinuation { continuation in
      let isMine = state.withLock { state in
        if state.isHeld {
          state.waiting.append(continuation)
          return false
        }
        state.isHeld = true
        return true
      }
      if isMine { continuation.resume() }
    }
  }

  func unlock() {
    let next = state.withLock { state in
      if state.waiting.isEmpty {
        state.isHeld = false
        return nil as CheckedContinuation<Void, Never>?
      }
      return state.waiting.removeFirst()
    }
    next?.resume()
  }
}
