internal import Synchronization
package import SystemPackage

/// A bounded set of threads for system calls that may block and whose end no readiness announces.
///
/// Threads are started when work comes, wait a second for more, and end. If as many run as are allowed, work waits in a
/// queue, first in, first out.
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
    /// When a thread last took or finished work.
    var lastProgress = Deadline.never

    mutating func takeAll() -> [Work] {
      defer { (front, back) = ([], []) }
      return front.reversed() + back
    }

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

  /// The number of threads, for tests.
  package var threadCount: Int { state.withLock { $0.threadCount } }

  /// How long a thread waits for more work.
  private static var patience: Duration { .seconds(1) }
  /// After how many nanoseconds without progress threads count as stuck and not as busy.
  private static var stuckAfter: UInt64 { 50_000_000 }

  /// Runs `work` on one of the threads, as soon as one is free.
  ///
  /// - Returns: the error if no thread runs and none can be started. `work` does not run then.
  package func submit(_ work: @escaping Work) -> Errno? {
    let (idle, starts) = state.withLock { state -> (WakeUp?, Bool) in
      if state.idle.isEmpty, state.threadCount < (isStuck(state) ? most : usual) {
        state.threadCount += 1
        return (nil, true)
      }
      state.back.append(work)
      return (state.idle.popLast(), false)
    }
    idle?.signal()
    guard starts, let errno = makeThread({ [self] in run(first: work) }) else {
      return nil
    }
    let orphans = state.withLock { state -> [Work]? in
      state.threadCount -= 1
      if state.threadCount > 0 {
        state.back.append(work)
        return nil
      }
      return state.takeAll()
    }
    guard let orphans else { return nil }
    // Other callers relied on the thread that could not be started, so this one does their work.
    for work in orphans { work() }
    return errno
  }

  private func isStuck(_ state: State) -> Bool {
    guard state.lastProgress != .never else { return false }
    return Deadline.now.nanoseconds - state.lastProgress.nanoseconds > Self.stuckAfter
  }

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
