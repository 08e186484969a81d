internal import Synchronization
package import SystemPackage

/// A bounded set of threads for system calls that may block and whose end no readiness announces.
///
/// Threads are started when work comes, wait a second for more, and end. If as many run as are allowed, work waits in a
/// queue, first in, first out. While it waits, one more thread watches the others. When they have been stuck for 50 ms,
/// it becomes one of them. If that thread cannot be started, a timer of the reactor tries again.
package final class HelperThreads: Sendable {
  package typealias Work = @Sendable () -> Void

  private struct State: Sendable {
    /// The work that no thread has taken yet. The first entry is the last of `front`; then `back` follows.
    var front: [Work] = []
    var back: [Work] = []
    /// The number of running threads, including idle ones.
    var threadCount = 0
    /// The threads that wait for work, in the order in which they came.
    var idle: [WakeUp] = []
    /// Whether a thread watches the others, or is about to.
    var isWatched = false
    /// When a thread last took or finished work.
    var lastProgress = Deadline.never
    /// How long to wait before the next attempt to start a thread that watches, in nanoseconds.
    var pause = HelperThreads.shortestPause

    var hasWork: Bool { !front.isEmpty || !back.isEmpty }

    mutating func next() -> Work? {
      if front.isEmpty {
        front = back.reversed()
        back = []
      }
      return front.popLast()
    }
  }

  private let state = Guarded(State())
  private let makeThread: @Sendable (@escaping @Sendable () -> Void) -> Errno?
  private let usual: Int
  private let most: Int

  /// - Parameters:
  ///   - name: the name of each thread, at most 15 bytes.
  ///   - usual: how many threads run before work has to wait.
  ///   - most: how many threads may run if the usual ones have been stuck for 50 ms.
  ///   - startThread: starts a thread, or returns the error. Tests pass their own.
  package init(
    name: String, usual: Int, most: Int,
    startThread: (@Sendable (@escaping @Sendable () -> Void) -> Errno?)? = nil
  ) {
    makeThread = startThread ?? { body in HelperThread.start(named: name, body) }
    self.usual = usual
    self.most = most
  }

  /// The number of threads that work or are idle, for tests.
  package var threadCount: Int { state.withLock { $0.threadCount } }

  /// How long to wait after the next thread that cannot be started, in nanoseconds, for tests.
  package var nextPause: UInt64 { state.withLock { $0.pause } }

  /// How long a thread waits for more work.
  private static var patience: Duration { .seconds(1) }
  /// After a thread could not be started, pauses grow from the first to the second, in nanoseconds.
  private static var shortestPause: UInt64 { 10_000_000 }
  private static var longestPause: UInt64 { 1_000_000_000 }
  /// After how many nanoseconds without progress threads count as stuck and not as busy.
  private static var stuckAfter: UInt64 { 50_000_000 }

  /// Runs `work` on one of the threads, as soon as one is free.
  ///
  /// - Returns: the error if no thread runs and none can be started. `work` does not run then.
  package func submit(_ work: @escaping Work) -> Errno? {
    submit(work, keeping: false)
  }

  /// Runs `work` on one of the threads, as soon as one is free or can be started.
  package func run(_ work: @escaping Work) { _ = submit(work, keeping: true) }

  /// - Parameter keeps: whether work without a thread stays in the queue.
  private func submit(_ work: @escaping Work, keeping keeps: Bool) -> Errno? {
    let queued = state.withLock { state -> Queued? in
      if state.idle.isEmpty, state.threadCount < (stuckAt(state).hasPassed ? most : usual) {
        state.threadCount += 1
        return nil
      }
      return append(work, to: &state)
    }
    if let queued {
      finish(queued)
      return nil
    }
    guard let errno = makeThread({ [self] in run(first: work) }) else { return nil }
    let (isKept, rest) = state.withLock { state -> (Bool, Queued) in
      state.threadCount -= 1
      if state.threadCount > 0 || keeps { return (true, append(work, to: &state)) }
      // Other callers relied on the thread that could not be started. This one must not do their work, which may never end.
      return (false, (nil, beginsWatch(&state)))
    }
    finish(rest)
    return isKept ? nil : errno
  }

  /// The rest to do, without the lock, for work that has been queued.
  private typealias Queued = (idle: WakeUp?, watches: Bool)

  private func append(_ work: @escaping Work, to state: inout State) -> Queued {
    state.back.append(work)
    return (state.idle.popLast(), beginsWatch(&state))
  }

  private func finish(_ queued: Queued) {
    queued.idle?.signal()
    if queued.watches { startWatch() }
  }

  /// From when on the threads count as stuck. Those that have not begun yet never do.
  private func stuckAt(_ state: State) -> Deadline {
    guard state.lastProgress != .never else { return .never }
    return Deadline(nanoseconds: state.lastProgress.nanoseconds + Self.stuckAfter)
  }

  // MARK: The watch

  private enum Watch: Sendable {
    case wait(until: Deadline)
    case over
    case join(for: Work, isWatched: Bool)
  }

  /// Under the lock, after work has been queued: whether a thread has to be started that watches. Without it, nobody would
  /// look at the work again before another submit, or before a stuck thread is free.
  private func beginsWatch(_ state: inout State) -> Bool {
    guard state.hasWork, state.idle.isEmpty, state.threadCount < most, !state.isWatched else { return false }
    state.isWatched = true
    return true
  }

  /// If the thread cannot be started, the attempt is repeated until the work has been taken.
  private func startWatch() {
    let hasStarted = makeThread({ [self] in watch() }) == nil
    let pause = state.withLock { state in
      defer { state.pause = hasStarted ? Self.shortestPause : min(state.pause * 2, Self.longestPause) }
      return state.pause
    }
    if hasStarted { return }
    let timer = Timer(
      Later { [self] in
        let isNeeded = state.withLock { state in
          state.isWatched = false
          return beginsWatch(&state)
        }
        if isNeeded { startWatch() }
      })
    Reactor.shared.set(timer, at: Deadline(nanoseconds: Deadline.now.nanoseconds + pause))
  }

  private func watch() {
    let wakeUp = WakeUp.take()
    while true {
      let next = state.withLock { state -> Watch in
        let stuckAt = stuckAt(state)
        if state.hasWork, state.threadCount > 0, state.threadCount < most, !stuckAt.hasPassed {
          return .wait(until: min(stuckAt, Deadline(nanoseconds: Deadline.now.nanoseconds + Self.stuckAfter)))
        }
        state.isWatched = false
        guard state.threadCount < most, let work = state.next() else { return .over }
        state.threadCount += 1
        state.lastProgress = .now
        return .join(for: work, isWatched: beginsWatch(&state))
      }
      switch next {
      case .wait(let deadline): wakeUp.wait(watching: nil, for: [], until: deadline)
      case .over: return WakeUp.giveBack(wakeUp)
      case .join(let work, let watches):
        WakeUp.giveBack(wakeUp)
        if watches { startWatch() }
        return run(first: work)
      }
    }
  }

  // MARK: The threads

  private func run(first work: Work) {
    state.withLock { $0.lastProgress = .now }
    work()
    let wakeUp = WakeUp.take()
    defer { WakeUp.giveBack(wakeUp) }
    while let work = awaitWork(wakeUp) { work() }
  }

  /// Waits for work. Returns nil if none has come for a while. The thread is no longer counted then.
  private func awaitWork(_ wakeUp: WakeUp) -> Work? {
    let deadline = Deadline.after(Self.patience)
    while true {
      let isLate = deadline.hasPassed
      let (work, isOver) = state.withLock { state -> (Work?, Bool) in
        state.lastProgress = .now
        state.idle.removeAll { $0 === wakeUp }
        if let work = state.next() { return (work, false) }
        if isLate {
          state.threadCount -= 1
          return (nil, true)
        }
        state.idle.append(wakeUp)
        return (nil, false)
      }
      if isOver { return nil }
      if let work { return work }
      wakeUp.wait(watching: nil, for: [], until: deadline)
    }
  }
}

/// Calls a closure when a deadline passes, on the reactor's thread.
final class Later: DeadlineReceiver {
  private let body: @Sendable () -> Void
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  func deadlinePassed() { body() }
}
