internal import SWIO
internal import Synchronization

/// A latch that threads and tasks wait for until it is opened. Tests use it to order events, where sleeping would only
/// make an order likely. A gate that has been opened stays open.
public final class Gate: Sendable {
  @safe
  private struct State {
    var isOpen = false
    var tasks: [CheckedContinuation<Void, Never>] = []
    var threads: [WakeUp] = []
  }

  private let state = Guarded(State())

  public init() {}

  /// Opens the gate for all present and future callers.
  public func open() {
    let (tasks, threads) = state.withLock { state in
      state.isOpen = true
      defer { (state.tasks, state.threads) = ([], []) }
      return (state.tasks, state.threads)
    }
    for task in tasks { task.resume() }
    for thread in threads { thread.signal() }
  }

  /// Suspends until the gate is open. Cancellation does not end it.
  public func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.tasks.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }

  /// Blocks until the gate is open.
  @available(*, noasync)
  public func waitBlocking() {
    let wakeUp = WakeUp.take()
    defer { WakeUp.giveBack(wakeUp) }
    state.withLock { state in state.threads.append(wakeUp) }
    while !state.withLock({ $0.isOpen }) { wakeUp.wait(watching: nil, for: [], until: .never) }
  }
}
