internal import CSysShim
internal import Synchronization
package import SystemPackage

/// What endpoints ask of a reactor; tests put their own in its place.
package protocol Reacting: AnyObject, Sendable {
  /// Sees to it that there is a thread to do what is asked for below.
  ///
  /// The default has one already.
  ///
  /// - Returns: why not. It can be tried again at any time.
  func start() -> Errno?
  /// This instant, by the clock of its timers.
  ///
  /// The default is the monotonic clock.
  var now: Deadline { get }
  /// How many bytes a half that the reactor drives may receive before others have their turn. The attempt that
  /// reaches this is the last.
  var receiveBudget: Int { get }
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
  /// Has `work` driven on a helper thread, which may wait for a disk.
  ///
  /// - Returns: why not; then it is not.
  func offload(_ work: any ReactorWork) -> Errno?
  /// Has the timer fire when the deadline has passed.
  func set(_ timer: Timer, at deadline: Deadline)
  /// Takes a timer back. It may be firing right now.
  func takeBack(_ timer: Timer)
}

extension Reacting {
  package func start() -> Errno? { nil }
  package var now: Deadline { .now }
  package var receiveBudget: Int { 256 << 10 }
}

package enum RegistrationOutcome: Sendable {
  case registered(RegistrationID)
  /// The kernel cannot watch this one because it never blocks (EPERM: a regular file, `/dev/null`).
  case alwaysReady
  case failed(Errno)
}

/// One thread that waits for everybody: descriptors, deadlines, and halves whose head is a task or an owed tail, whose
/// steps it carries out itself. It is started by the first asynchronous wait; a program that only ever blocks never has
/// it. What the thread does in a round is decided by `ReactorState`.
///
/// Where no descriptor is to be had for the system's poller (EMFILE), the reactor waits with poll(2), and goes over to
/// the system's when that can be had and takes everything that is watched.
///
/// Where no thread is to be had, registering fails, which ends the operation that needed it; calls and jobs are carried
/// out by their callers, one at a time; and the next operation tries again to start the thread.
package final class Reactor: Reacting {
  /// A job of a task that prefers the reactor's executor.
  @safe fileprivate struct Job: Sendable {
    var run: UnownedJob
    var executor: UnownedTaskExecutor
  }

  private struct State: Sendable {
    var machine = ReactorState<Job>()
    /// Made when something waits for the first time.
    var poller: (any Poller)?
    /// Whether the poller is one to do with until the system's can be had.
    var isMakeshift = false
    var isStarted = false
    /// A caller does the thread's work, because no thread is to be had.
    var isHosted = false
    var isStopped = false
  }

  /// The reactor that endpoints use unless they are given another.
  package static let shared = Reactor()

  private let state = Guarded(State())
  /// The thread runs: spares a look behind the lock.
  private let isRunning = Atomic(false)
  private let makePoller: @Sendable () throws(Errno) -> any Poller
  private let makeThread: @Sendable (@escaping @Sendable () -> Void) -> Errno?

  /// - Parameters:
  ///   - makePoller: what it waits with; as long as that throws, with poll(2).
  ///   - startThread: starts a thread, or says why not; a test's.
  package init(
    startThread: (@Sendable (@escaping @Sendable () -> Void) -> Errno?)? = nil,
    makePoller: @escaping @Sendable () throws(Errno) -> any Poller = { () throws(Errno) -> any Poller in
      try EpollPoller()
    }
  ) {
    self.makePoller = makePoller
    makeThread = startThread ?? { body in HelperThread.start(named: "sw-reactor", body) }
  }

  /// Whether the calling thread is a reactor's.
  package static var isCurrentThread: Bool { swsys_is_reactor_thread() }

  /// How much it keeps: for tests of what waiting leaves behind.
  package var load: (registrations: Int, timers: Int) {
    state.withLock { ($0.machine.registrationCount, $0.machine.timerCount) }
  }

  /// Whether it waits with poll(2) because it must; for tests.
  package var isMakeshift: Bool { state.withLock { $0.isMakeshift } }

  // MARK: Reacting

  package func register(
    _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
  ) -> RegistrationOutcome {
    if let errno = start() { return .failed(errno) }
    return state.withLock { state in
      let id = state.machine.register(receiver, descriptor: descriptor, watching: interest)
      switch poller(&state).add(descriptor, key: id.key, watching: interest) {
      case .watched: return .registered(id)
      case .alwaysReady:
        _ = state.machine.deregister(id)
        return .alwaysReady
      case .failed(let errno):
        _ = state.machine.deregister(id)
        return .failed(errno)
      }
    }
  }

  package func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno? {
    state.withLock { state in
      if let errno = state.poller?.modify(descriptor, key: id.key, watching: interest) { return errno }
      state.machine.watch(id, interest)
      return nil
    }
  }

  package func deregister(_ id: RegistrationID, descriptor: Int32) {
    let receiver = state.withLock { state in
      state.poller?.remove(descriptor, key: id.key)
      return state.machine.deregister(id)
    }
    _ = receiver  // released here, without the lock
  }

  package func call(_ work: any ReactorWork) { ask { state in state.machine.call(work) } }

  /// Threads for offloaded work: as many as can reasonably wait for disks at once.
  private static let helpers = HelperThreads(name: "sw-helper", usual: 16, most: 64)

  package func offload(_ work: any ReactorWork) -> Errno? {
    Self.helpers.submit { work.driveOffloaded() }
  }

  /// If no thread is to be had, the timer fires when a later operation has started one.
  package func set(_ timer: Timer, at deadline: Deadline) {
    _ = start()
    // Nothing that a caller could do instead of the thread, and one that holds a lock may call this.
    let poller = state.withLock { state in
      state.machine.set(timer, at: deadline) ? state.poller : nil
    }
    poller?.wake()
  }

  package func takeBack(_ timer: Timer) {
    state.withLock { state in state.machine.takeBack(timer) }
  }

  func enqueue(_ job: UnownedJob, for executor: UnownedTaskExecutor) {
    ask { state in state.machine.enqueue(unsafe Job(run: job, executor: executor)) }
  }

  /// Asks something of the machine, and has it done.
  private func ask(_ body: (inout State) -> Bool) {
    let hasThread = start() == nil
    let (poller, hosts) = state.withLock { state -> ((any Poller)?, Bool) in
      if body(&state) { return (state.poller, false) }
      if hasThread || state.isStarted || state.isHosted { return (nil, false) }
      state.isHosted = true
      return (nil, true)
    }
    poller?.wake()
    if hosts { host() }
  }

  // MARK: The thread

  package func start() -> Errno? {
    if isRunning.load(ordering: .acquiring) { return nil }
    return state.withLock { state in
      // While a caller does the work there is none for a thread.
      if state.isStarted { return nil }
      if state.isHosted { return .resourceTemporarilyUnavailable }
      _ = poller(&state)
      let errno = makeThread { [self] in
        swsys_mark_reactor_thread()
        run()
      }
      if let errno { return errno }
      state.isStarted = true
      isRunning.store(true, ordering: .releasing)
      return nil
    }
  }

  /// Ends the thread when it has nothing to do; for tests with reactors of their own.
  package func stop() {
    let poller = state.withLock { state in
      state.isStopped = true
      return state.poller
    }
    poller?.wake()
  }

  /// What to wait with; under the lock.
  private func poller(_ state: inout State) -> any Poller {
    if let poller = state.poller { return poller }
    let poller: any Poller
    do throws(Errno) {
      poller = try makePoller()
    } catch {
      poller = PollPoller()
      state.isMakeshift = true
    }
    state.poller = poller
    return poller
  }

  /// Goes over to the system's poller, if it can be had by now and takes everything that is watched; under the lock.
  ///
  /// If one descriptor cannot be added (ENOSPC, ENOMEM), nothing changes: each half stays watched.
  private func improve(_ state: inout State) {
    guard let better = try? makePoller() else { return }
    for registration in state.machine.registrations {
      let outcome = better.add(
        registration.descriptor, key: registration.id.key, watching: registration.interest)
      if outcome != .watched { return }
    }
    state.poller = better
    state.isMakeshift = false
  }

  /// How long it waits with a makeshift before it looks for better, in nanoseconds.
  private static var patience: UInt64 { 100_000_000 }

  private func run() {
    var found: [PollerEvent] = []
    found.reserveCapacity(128)
    var (step, poller) = next()
    while true {
      if case .wait(let until) = step {
        if let poller {
          poller.wait(until: until, into: &found)
        } else if !waitMakeshift(until, into: &found) {
          return
        }
        (step, poller) = next(afterWait: &found)
      } else {
        Self.carryOut(step)
        (step, poller) = next()
      }
    }
  }

  /// What comes next, and what to wait with, if that is a wait and there is no more to think of.
  private func next() -> (ReactorStep<Job>, (any Poller)?) {
    state.withLock { state in
      (state.machine.next(.now), state.isMakeshift || state.isStopped ? nil : state.poller)
    }
  }

  private func next(afterWait found: inout [PollerEvent]) -> (ReactorStep<Job>, (any Poller)?) {
    state.withLock { state in
      state.machine.woke(&found)
      return (state.machine.next(.now), state.isMakeshift || state.isStopped ? nil : state.poller)
    }
  }

  /// Waits with what there is, and looks for better from time to time. False: the thread ends.
  private func waitMakeshift(_ until: Deadline, into found: inout [PollerEvent]) -> Bool {
    let (poller, isStopped) = state.withLock { state -> ((any Poller)?, Bool) in
      if state.isStopped { return (nil, true) }
      if state.isMakeshift { improve(&state) }
      // Whoever has woken the other one meanwhile is seen by the round that follows: this wait is a look.
      return (state.isMakeshift ? state.poller : nil, false)
    }
    if isStopped { return false }
    poller?.wait(until: min(until, Deadline(nanoseconds: swsys_now() + Self.patience)), into: &found)
    return true
  }

  private static func carryOut(_ step: ReactorStep<Job>) {
    switch step {
    case .tell(let receiver, let event): receiver.readinessChanged(event.readiness)
    case .drive(let work): work.drive()
    case .fire(let timer): timer.receiver.deadlinePassed()
    case .run(let job): unsafe job.run.runSynchronously(on: job.executor)
    case .wait: break
    }
  }

  /// Does the thread's work on the thread of a caller, until nothing is left but to wait.
  private func host() {
    while true {
      let step = state.withLock { state -> ReactorStep<Job> in
        let step = state.machine.next(.now)
        if case .wait(let until) = step {
          var none: [PollerEvent] = []
          state.machine.woke(&none)
          if until != .immediately { state.isHosted = false }
        }
        return step
      }
      if case .wait(let until) = step {
        if until != .immediately { return }
      } else {
        Self.carryOut(step)
      }
    }
  }
}
