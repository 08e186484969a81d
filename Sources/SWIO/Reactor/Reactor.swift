internal import CSysShim
internal import Synchronization
package import SystemPackage

/// What endpoints ask of a reactor; tests put their own in its place.
package protocol Reacting: AnyObject, Sendable {
  /// Watches a descriptor, edge-triggered; it tells at once if it is ready.
  func register(
    _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
  ) -> RegistrationOutcome
  /// Changes what is watched; it tells at once if the descriptor is ready for that.
  ///
  /// - Returns: why it could not; then nothing has changed.
  func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno?
  /// Stops watching. To be called before the descriptor is closed: a duplicate would keep the
  /// registration alive as a ghost that nobody can delete.
  func deregister(_ id: RegistrationID, descriptor: Int32)
  /// Has `work` driven on the reactor's thread, in turn.
  func call(_ work: any ReactorWork)
  /// Has `work` driven on a thread of its own, which may wait for a disk.
  ///
  /// - Returns: why not; then it is not.
  func offload(_ work: any ReactorWork) -> Errno?
  /// Has the timer fire when the deadline has passed.
  func set(_ timer: Timer, at deadline: Deadline)
  /// Takes a timer back. It may be firing right now.
  func takeBack(_ timer: Timer)
}

package enum RegistrationOutcome: Sendable {
  case registered(RegistrationID)
  /// The kernel cannot watch this one because it never blocks (EPERM: a regular file, `/dev/null`).
  case alwaysReady
  case failed(Errno)
}

/// One thread that waits for everybody: descriptors (epoll), deadlines, and halves whose head is a task
/// or an owed tail, whose steps it carries out itself. Started by the first asynchronous wait; a program
/// that only ever blocks never has it.
package final class Reactor: Reacting {
  /// Jobs of tasks that prefer the reactor's executor.
  fileprivate struct Job: Sendable { var run: UnownedJob }

  /// What the thread has taken out of the machine; its memory serves for the next.
  // Invariant: of the reactor's thread alone.
  private final class Round: @unchecked Sendable {
    var works: [any ReactorWork] = []
    var jobs: [Job] = []
  }

  private struct State: Sendable {
    var machine = ReactorState<Job>()
    var isStarted = false
    /// Negative until the kernel gave them: at EMFILE the reactor starts without, looks at everything
    /// every ten milliseconds, and tries again.
    var epoll: Int32 = -1
    var notifier: Int32 = -1
  }

  package static let shared = Reactor()

  private let state = Guarded(State())
  private static var notifierKey: UInt64 { .max }
  private static var pollingInterval: Int64 { 10_000_000 }

  /// Whether the calling thread is the reactor's.
  package static var isCurrentThread: Bool { swsys_is_reactor_thread() }

  /// How much it keeps: for tests of what waiting leaves behind.
  package var load: (registrations: Int, timers: Int) {
    state.withLock { ($0.machine.registrationCount, $0.machine.timerCount) }
  }

  // MARK: Reacting

  package func register(
    _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
  ) -> RegistrationOutcome {
    start()
    return state.withLock { state in
      let id = state.machine.register(receiver, descriptor: descriptor, watching: interest)
      guard state.epoll >= 0 else { return .registered(id) }
      let result = swsys_epoll_add(state.epoll, descriptor, id.key, Int32(interest.rawValue))
      if result == 0 { return .registered(id) }
      _ = state.machine.deregister(id)
      let errno = Errno(rawValue: -result)
      return errno == .notPermitted ? .alwaysReady : .failed(errno)
    }
  }

  package func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno? {
    state.withLock { state in
      if state.epoll >= 0 {
        let result = swsys_epoll_modify(state.epoll, descriptor, id.key, Int32(interest.rawValue))
        if result < 0 { return Errno(rawValue: -result) }
      }
      state.machine.watch(id, interest)
      return nil
    }
  }

  package func deregister(_ id: RegistrationID, descriptor: Int32) {
    let receiver = state.withLock { state in
      if state.epoll >= 0 { _ = swsys_epoll_delete(state.epoll, descriptor) }
      return state.machine.deregister(id)
    }
    _ = receiver  // released here, without the lock
  }

  package func call(_ work: any ReactorWork) {
    start()
    notify { state in state.machine.call(work) }
  }

  package func offload(_ work: any ReactorWork) -> Errno? {
    HelperThread.start { work.driveOffloaded() }
  }

  package func set(_ timer: Timer, at deadline: Deadline) {
    start()
    notify { state in state.machine.set(timer, at: deadline) }
  }

  package func takeBack(_ timer: Timer) {
    state.withLock { state in state.machine.takeBack(timer) }
  }

  fileprivate func enqueue(_ job: UnownedJob) {
    start()
    notify { state in state.machine.enqueue(Job(run: job)) }
  }

  private func notify(_ body: (inout State) -> Bool) {
    let notifier = state.withLock { state in body(&state) ? state.notifier : -1 }
    if notifier >= 0 { _ = swsys_eventfd_signal(notifier) }
  }

  // MARK: The thread

  private func start() {
    let isFirst = state.withLock { state in
      if state.isStarted { return false }
      state.isStarted = true
      Self.openDescriptors(&state)
      return true
    }
    guard isFirst else { return }
    let result = unsafe swsys_start_thread(
      { _ in
        swsys_mark_reactor_thread()
        Reactor.shared.run()
      }, nil, "sw-reactor")
    precondition(result == 0, "the reactor's thread could not be started: \(Errno(rawValue: -result))")
  }

  private static func openDescriptors(_ state: inout State) {
    let epoll = swsys_epoll_create()
    guard epoll >= 0 else { return }
    let notifier = swsys_eventfd()
    guard notifier >= 0, swsys_epoll_add_level(epoll, notifier, notifierKey) == 0 else {
      _ = swsys_close(epoll)
      if notifier >= 0 { _ = swsys_close(notifier) }
      return
    }
    state.epoll = epoll
    state.notifier = notifier
    for registration in state.machine.registrations {
      _ = swsys_epoll_add(
        epoll, registration.descriptor, registration.id.key, Int32(registration.interest.rawValue))
    }
  }

  private func run() -> Never {
    let events = UnsafeMutableBufferPointer<swsys_event>.allocate(capacity: 128)
    let round = Round()
    while true {
      let (until, epoll, notifier) = state.withLock { state in
        if state.epoll < 0 { Self.openDescriptors(&state) }
        return (state.machine.sleep(), state.epoll, state.notifier)
      }
      if epoll >= 0, let first = events.baseAddress {
        let count = unsafe swsys_epoll_wait(epoll, first, Int32(events.count), until.remaining)
        state.withLock { state in state.machine.wake() }
        for index in 0..<Int(max(count, 0)) {
          let event = unsafe events[index]
          if event.key == Self.notifierKey {
            _ = swsys_eventfd_drain(notifier)
          } else {
            let receiver = state.withLock { state in state.machine.receiver(of: event.key) }
            receiver?.readinessChanged(Readiness(rawValue: UInt8(event.readiness)))
          }
        }
      } else {
        let limit = until.remaining
        let slice = limit < 0 ? Self.pollingInterval : min(limit, Self.pollingInterval)
        _ = swsys_wait(-1, 0, -1, slice)
        let everybody = state.withLock { state in
          state.machine.wake()
          return state.machine.registrations.map(\.receiver)
        }
        for receiver in everybody { receiver.readinessChanged([.readable, .writable]) }
      }
      // Events before deadlines: what has arrived in time is delivered.
      state.withLock { state in state.machine.takeCalls(&round.works) }
      for work in round.works { work.drive() }
      round.works.removeAll(keepingCapacity: round.works.capacity <= 1024)
      let now = Deadline.now
      while let timer = state.withLock({ state in
        state.machine.takeDue(by: now)
      }) {
        timer.receiver.deadlinePassed()
      }
      state.withLock { state in state.machine.takeJobs(&round.jobs) }
      for job in round.jobs {
        unsafe job.run.runSynchronously(on: ReactorExecutor.shared.asUnownedTaskExecutor())
      }
      round.jobs.removeAll(keepingCapacity: round.jobs.capacity <= 1024)
    }
  }
}

/// Runs tasks on the reactor's own thread, so that a task which waits for a message resumes on the
/// thread that received it: no hop, about a third less latency.
///
///     await withTaskExecutorPreference(.reactor) {
///       while let request = try await peer.next() { try await peer.send(answer(to: request)) }
///     }
///
/// The preference holds for code that is isolated to no actor: from the main actor start a
/// `Task(executorPreference: .reactor)` with a nonisolated function, or the body stays on the main thread.
///
/// Everything that the tasks do there delays every other asynchronous endpoint of the process. So: short
/// work between awaits only; no blocking call whatsoever (a `blocking` view that would have to wait
/// traps), no file I/O, no long computation, no lock that others hold for long. Work that does not fit
/// belongs on the default executor, which is also the default.
public final class ReactorExecutor: TaskExecutor {
  public static let shared = ReactorExecutor()

  public func enqueue(_ job: consuming ExecutorJob) { Reactor.shared.enqueue(UnownedJob(job)) }
}

extension TaskExecutor where Self == ReactorExecutor {
  /// The reactor's thread; read ``ReactorExecutor`` on what must not run there.
  public static var reactor: ReactorExecutor { .shared }
}
