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
  /// Whether a timer may fire although an event that was there before has not been told. A call whose deadline passes
  /// is then tried once more.
  var timersMayOvertakeEvents: Bool { get }
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
  package var timersMayOvertakeEvents: Bool { false }
}

package enum RegistrationOutcome: Sendable {
  case registered(RegistrationID)
  /// The kernel cannot watch this one because it never blocks (EPERM: a regular file, `/dev/null`).
  case alwaysReady
  case failed(Errno)
}

/// Threads that wait for everybody: descriptors, deadlines, and halves whose head is a task or an owed tail, whose steps
/// they carry out themselves. The first one is started by the first asynchronous wait; a program that only ever blocks
/// never has it. There are more if an executor asks for them (`allow(workers:)`). `ReactorState`
/// decides the steps of a thread's round.
///
/// Where no descriptor is to be had for the system's poller (EMFILE), the reactor waits with poll(2) on one thread, and
/// goes over to the system's when that can be had and takes everything that is watched.
///
/// Where no thread is to be had, registering fails, which ends the operation that needed it; calls and jobs are carried
/// out by their callers, one at a time; and the next operation tries again to start the thread. If further threads are not
/// to be had, the reactor works with those that run.
package final class Reactor: Reacting {
  /// A job of a task that prefers an executor of the reactor.
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
    /// How many threads there may be, and how many run.
    var workerLimit = 1
    var workerCount = 0
    /// When further threads are tried again, if they could not be started.
    var triesAgainAt = Deadline.immediately
    /// A caller does the thread's work, because no thread is to be had.
    var isHosted = false
    var isStopped = false

    /// The poller that workers wait with in the usual case.
    var usualPoller: (any Poller)? {
      isMakeshift || isStopped || workerCount > workerLimit ? nil : poller
    }
  }

  /// The reactor that endpoints use unless they are given another.
  package static let shared = Reactor()

  private let state = Guarded(State())
  /// A thread runs: spares a look behind the lock.
  private let isRunning = Atomic(false)
  /// Fewer threads run than may.
  private let lacksWorkers = Atomic(false)
  private let hasManyWorkers = Atomic(false)
  /// How long a worker looks for events before it sleeps, in nanoseconds.
  private let spinTime = Atomic<UInt64>(0)
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

  /// How many threads run.
  package var workerCount: Int { state.withLock { $0.workerCount } }

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

  package func call(_ work: any ReactorWork) {
    ask { machine, worker in machine.call(work, from: worker) }
  }

  /// Threads for offloaded work: as many as can reasonably wait for disks at once.
  private static let helpers = HelperThreads(name: "sw-helper", usual: 16, most: 64)

  package func offload(_ work: any ReactorWork) -> Errno? {
    Self.helpers.submit { work.driveOffloaded() }
  }

  /// If no thread is to be had, the timer fires when a later operation has started one.
  package func set(_ timer: Timer, at deadline: Deadline) {
    _ = start()
    // Nothing that a caller could do instead of the thread, and one that holds a lock may call this.
    let poller = state.withLock { state in Self.note(state.machine.set(timer, at: deadline), &state) }
    poller?.wake()
  }

  package func takeBack(_ timer: Timer) {
    state.withLock { state in state.machine.takeBack(timer) }
  }

  package var timersMayOvertakeEvents: Bool { hasManyWorkers.load(ordering: .relaxed) }

  /// - Parameter isSerial: no other serial job runs at the same time.
  func enqueue(_ job: UnownedJob, for executor: UnownedTaskExecutor, isSerial: Bool) {
    ask { machine, worker in
      machine.enqueue(unsafe Job(run: job, executor: executor), isSerial: isSerial, from: worker)
    }
    if lacksWorkers.load(ordering: .relaxed) { startWorkers() }
  }

  /// Which worker the calling thread is, if it is one of this reactor.
  private var currentWorker: Int? {
    let number = unsafe swsys_worker_of(Unmanaged.passUnretained(self).toOpaque())
    return number < 0 ? nil : Int(number)
  }

  /// Asks something of the machine, and has it done.
  private func ask(_ body: (inout ReactorState<Job>, Int?) -> ReactorNotice) {
    let worker = currentWorker
    let hasThread = worker != nil || start() == nil
    let (poller, hosts) = state.withLock { state -> ((any Poller)?, Bool) in
      let poller = Self.note(body(&state.machine, worker), &state)
      if hasThread || state.isStarted || state.isHosted { return (poller, false) }
      state.isHosted = true
      return (poller, true)
    }
    poller?.wake()
    if hosts { host() }
  }

  /// Under the lock: sets the alarm.
  ///
  /// - Returns: what is to be woken after that.
  private static func note(_ notice: ReactorNotice, _ state: inout State) -> (any Poller)? {
    if let alarm = notice.alarm { state.poller?.setAlarm(alarm) }
    return notice.wakes ? state.poller : nil
  }

  // MARK: The threads

  package func start() -> Errno? {
    if isRunning.load(ordering: .acquiring) { return nil }
    return state.withLock { state in
      // While a caller does the work there is none for a thread.
      if state.isStarted { return nil }
      if state.isHosted { return .resourceTemporarilyUnavailable }
      _ = poller(&state)
      if let errno = makeThread({ [self] in run(0) }) { return errno }
      state.isStarted = true
      state.workerCount = 1
      isRunning.store(true, ordering: .releasing)
      return nil
    }
  }

  /// Lets so many threads run. Further ones start when there is work; surplus ones end when they have none.
  package func allow(workers limit: Int) {
    let poller = state.withLock { state -> (any Poller)? in
      state.workerLimit = max(1, limit)
      lacksWorkers.store(state.workerCount < state.workerLimit, ordering: .relaxed)
      return state.workerCount > state.workerLimit ? state.poller : nil
    }
    poller?.wake()
  }

  /// How many threads may run.
  package var workerLimit: Int { state.withLock { $0.workerLimit } }

  /// How long a worker that has nothing to do looks for events before it sleeps. For as long as that it takes a
  /// processor. At most half of the processors are taken at a time, by all reactors together.
  package var spinning: Duration {
    get { .nanoseconds(Int64(clamping: spinTime.load(ordering: .relaxed))) }
    set { spinTime.store(Spinning.nanoseconds(newValue), ordering: .relaxed) }
  }

  /// Starts the threads that may run and do not. Several can wait only with the system's poller.
  private func startWorkers() {
    let woken = state.withLock { state -> (any Poller)? in
      guard state.isStarted, !state.isStopped, let poller = state.usualPoller, poller.servesManyWaiters,
        state.triesAgainAt.hasPassed
      else { return nil }
      while state.workerCount < state.workerLimit {
        let worker = state.machine.addWorker()
        if makeThread({ [self] in run(worker) }) != nil {
          state.triesAgainAt = Deadline(nanoseconds: swsys_now() + Self.patience)
          // The machine counts on the wake-up that it asks for: without it, nothing would wake a worker any more.
          return Self.note(state.machine.removeWorker(worker), &state)
        }
        state.workerCount += 1
      }
      hasManyWorkers.store(state.workerCount > 1, ordering: .relaxed)
      lacksWorkers.store(false, ordering: .relaxed)
      return nil
    }
    woken?.wake()
  }

  /// Ends the threads when they have nothing to do; for tests with reactors of their own.
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
    state.machine.keepsAlarm = poller.servesManyWaiters
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
    // The only worker is about to look, and sets the alarm before it sleeps.
    state.machine.keepsAlarm = better.servesManyWaiters
  }

  /// How long it waits with a makeshift before it looks for better, in nanoseconds.
  private static var patience: UInt64 { 100_000_000 }

  /// Runs a worker until it ends.
  private func run(_ worker: Int) {
    unsafe swsys_mark_worker(Unmanaged.passUnretained(self).toOpaque(), Int32(worker))
    var found: [PollerEvent] = []
    found.reserveCapacity(128)
    var (step, poller) = next(worker)
    while true {
      if case .wait(let until) = step {
        if let poller {
          wait(with: poller, until: until, into: &found)
        } else if !waitMakeshift(worker, until, into: &found) {
          return
        }
        (step, poller) = next(worker, afterWait: &found)
      } else {
        Self.carryOut(step)
        (step, poller) = next(worker)
      }
    }
  }

  /// What comes next, and what to wait with, if that is a wait and there is no more to think of.
  private func next(_ worker: Int) -> (ReactorStep<Job>, (any Poller)?) {
    let (step, poller, woken) = state.withLock { state in Self.next(worker, &state) }
    woken?.wake()
    return (step, poller)
  }

  private func next(_ worker: Int, afterWait found: inout [PollerEvent]) -> (ReactorStep<Job>, (any Poller)?)
  {
    let (step, poller, woken) = state.withLock { state in
      state.machine.woke(&found, worker: worker)
      return Self.next(worker, &state)
    }
    woken?.wake()
    return (step, poller)
  }

  @inline(__always)
  private static func next(
    _ worker: Int, _ state: inout State
  ) -> (ReactorStep<Job>, poller: (any Poller)?, woken: (any Poller)?) {
    let step = state.machine.next(.now, worker: worker)
    let woken = state.machine.hasNotice ? note(state.machine.takeNotice(), &state) : nil
    guard case .wait = step else { return (step, nil, woken) }
    return (step, state.usualPoller, woken)
  }

  private func wait(with poller: any Poller, until deadline: Deadline, into found: inout [PollerEvent]) {
    if deadline == .immediately {
      _ = poller.look(into: &found)
      return
    }
    let spinTime = spinTime.load(ordering: .relaxed)
    if spinTime > 0, Spinning.spin(for: spinTime, until: deadline, { poller.look(into: &found) }) { return }
    // An alarm ends the wait of one worker, a deadline would end those of all.
    poller.wait(until: poller.servesManyWaiters ? .never : deadline, into: &found)
  }

  /// Waits with what there is, and looks for better from time to time. False: the thread ends.
  private func waitMakeshift(_ worker: Int, _ until: Deadline, into found: inout [PollerEvent]) -> Bool {
    let (poller, woken, isOver) = state.withLock { state -> ((any Poller)?, (any Poller)?, Bool) in
      if state.isStopped || state.workerCount > state.workerLimit {
        _ = state.machine.removeWorker(worker)
        if !state.isStopped { state.workerCount -= 1 }
        hasManyWorkers.store(state.workerCount > 1, ordering: .relaxed)
        // Another one may have to end, too, or to take over what this one was woken for.
        return (nil, state.poller, true)
      }
      if state.isMakeshift { improve(&state) }
      // Whoever has woken the other one meanwhile is seen by the round that follows: this wait is a look.
      return (state.isMakeshift ? state.poller : nil, nil, false)
    }
    woken?.wake()
    if isOver { return false }
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

  /// Does a worker's work on the thread of a caller, until nothing is left but to wait.
  private func host() {
    while true {
      let step = state.withLock { state -> ReactorStep<Job> in
        let step = state.machine.next(.now)
        if case .wait(let until) = step {
          var none: [PollerEvent] = []
          state.machine.woke(&none)
          if until != .immediately { state.isHosted = false }
        }
        // There is nobody to wake.
        _ = Self.note(state.machine.takeNotice(), &state)
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
