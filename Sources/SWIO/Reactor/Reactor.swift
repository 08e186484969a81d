internal import CSysShim
internal import Synchronization
package import SystemPackage

/// The interface between endpoints and a reactor. Tests pass their own.
package protocol Reacting: AnyObject, Sendable {
  /// Makes sure that a thread runs which can do what the other members ask for.
  ///
  /// By default there is such a thread already.
  ///
  /// - Returns: the error if there is none. The call can be repeated at any time.
  func start() -> Errno?
  /// From now on, a step that does not come back is to hold up no other one, because a process at the other end of a pipe can
  /// make an attempt wait.
  ///
  /// By default nothing is done.
  func expectHangs()
  /// The present instant, by the clock of the timers.
  ///
  /// By default this is the monotonic clock.
  var now: Deadline { get }
  /// The number of bytes that a half driven by the reactor may receive before other halves are served. The attempt that
  /// reaches it is the last one.
  var receiveBudget: Int { get }
  /// Whether a timer may fire although an earlier event has not been reported. If so, a call whose deadline passes is tried
  /// once more.
  var timersMayOvertakeEvents: Bool { get }
  /// Watches a descriptor, edge-triggered. If it is ready, that is reported at once.
  func register(
    _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
  ) -> RegistrationOutcome
  /// Changes the interest. If the descriptor is ready for it, that is reported at once.
  ///
  /// - Returns: the error if that failed. Then nothing has changed.
  func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno?
  /// Stops watching. It must be called before the descriptor is closed, because a duplicate would keep alive a registration
  /// that can no longer be deleted.
  func deregister(_ id: RegistrationID, descriptor: Int32)
  /// Drives `work` on the reactor's thread, in its turn.
  func call(_ work: any ReactorWork)
  /// Drives `work` on a helper thread, which may wait for a disk.
  ///
  /// - Returns: the error if that is impossible. `work` is not driven then.
  func offload(_ work: any ReactorWork) -> Errno?
  /// Makes the timer fire when the deadline has passed.
  func set(_ timer: Timer, at deadline: Deadline)
  /// Removes a timer. It may be firing right now.
  func takeBack(_ timer: Timer)
}

extension Reacting {
  package func start() -> Errno? { nil }
  package func expectHangs() {}
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

/// Threads that wait on behalf of all endpoints: for descriptors, for deadlines, and for halves whose head is a task or an
/// orphan. The threads take the steps of such halves themselves. The first async wait starts the first thread, so a program
/// that makes only blocking calls never has one. There are more threads if an executor asks for them (`allow(workers:)`).
/// `ReactorState` decides the steps of a thread's round.
///
/// If the system's poller cannot get a descriptor (EMFILE), the reactor waits with poll(2) on one thread. It changes to the
/// system's poller as soon as that is available and takes everything that is watched.
///
/// Once a pipe has been registered, a thread looks after the workers while they work. It becomes one of them when another has been in one
/// step for 50 ms, and one of them ends when that step comes back.
///
/// If no thread can be started, registering fails, which ends the operation that needed it. Calls are then carried out by
/// their callers, and jobs by the default executor, one at a time, because the caller that hands over a job may hold a lock
/// that the job takes. The next operation tries again to start the thread. If only further threads cannot be started, the
/// reactor works with those that run.
package final class Reactor: Reacting {
  /// A job of a task that prefers an executor of the reactor.
  @safe fileprivate struct Job: Sendable {
    var run: UnownedJob
    var executor: UnownedTaskExecutor
  }

  private struct State: Sendable {
    var machine = ReactorState<Job>()
    /// Made for the first wait.
    var poller: (any Poller)?
    /// Where the followers wait. It watches no descriptor, and is made for the first of them.
    var followersPoller: (any Poller)?
    /// Whether the poller is used only until the system's poller is available.
    var isMakeshift = false
    var isStarted = false
    /// How many threads may run; `workerCount` of them do.
    var workerLimit = 1
    var workerCount = 0
    /// When to try again to start further threads, if that failed.
    var triesAgainAt = Deadline.immediately
    /// Whether a caller, or a task of the default executor, does the thread's work, because no thread can be started.
    var isHosted = false
    var isStopped = false

    /// Whether more workers run than may. Those that are lost do not count. Without a poller for followers, only one can wait.
    var hasSurplus: Bool { workerCount - machine.lostCount > (followersPoller == nil ? 1 : workerLimit) }
    /// Whether workers wait as usual. Otherwise `waitUnusual` sees to what else there is to do.
    var isUsual: Bool { !isMakeshift && !isStopped && !hasSurplus }
  }

  /// The pollers to wake after unlocking.
  private struct Woken {
    var leaders: (any Poller)?
    var followers: (any Poller)?

    func wake() {
      leaders?.wake()
      followers?.wake()
    }
  }

  /// The reactor that endpoints use unless they get another one.
  package static let shared = Reactor()

  private let state = Guarded(State())
  /// Whether a thread runs. It saves a look behind the lock.
  private let isRunning = Atomic(false)
  /// Whether fewer threads run than may.
  private let lacksWorkers = Atomic(false)
  private let hasManyWorkers = Atomic(false)
  private let watch = Atomic(Watch.needless)
  /// How long a worker spins for events before it sleeps, in nanoseconds.
  private let spinTime = Atomic<UInt64>(0)
  private let makePoller: @Sendable () throws(Errno) -> any Poller
  private let makeThread: @Sendable (@escaping @Sendable () -> Void) -> Errno?

  /// - Parameters:
  ///   - makePoller: makes the poller. While it throws, the reactor waits with poll(2).
  ///   - startThread: starts a thread, or returns the error. Tests pass their own.
  package init(
    startThread: (@Sendable (@escaping @Sendable () -> Void) -> Errno?)? = nil,
    makePoller: @escaping @Sendable () throws(Errno) -> any Poller = { () throws(Errno) -> any Poller in
      try EpollPoller()
    }
  ) {
    self.makePoller = makePoller
    makeThread = startThread ?? { body in HelperThread.start(named: "sw-reactor", body) }
  }

  /// Whether the calling thread belongs to a reactor.
  package static var isCurrentThread: Bool { swsys_is_reactor_thread() }

  /// How many registrations and timers the reactor holds, for tests of what a wait leaves behind.
  package var load: (registrations: Int, timers: Int) {
    state.withLock { ($0.machine.registrationCount, $0.machine.timerCount) }
  }

  /// The number of running threads.
  package var workerCount: Int { state.withLock { $0.workerCount } }

  /// Whether the reactor waits with poll(2) because the system's poller is not available, for tests.
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

  /// The threads for offloaded work. Their number is how many can reasonably wait for disks at once.
  private static let helpers = HelperThreads(name: "sw-helper", usual: 16, most: 64)

  package func offload(_ work: any ReactorWork) -> Errno? {
    Self.helpers.submit { work.driveOffloaded() }
  }

  /// If no thread can be started, the timer fires after a later operation has started one.
  package func set(_ timer: Timer, at deadline: Deadline) {
    _ = start()
    // A caller cannot do this work instead of the thread, because it may hold a lock.
    state.withLock { state in Self.note(state.machine.set(timer, at: deadline), &state) }.wake()
  }

  package func takeBack(_ timer: Timer) {
    state.withLock { state in state.machine.takeBack(timer) }
  }

  package var timersMayOvertakeEvents: Bool { hasManyWorkers.load(ordering: .relaxed) }

  /// - Parameter isSerial: whether no other serial job may run at the same time.
  func enqueue(_ job: UnownedJob, for executor: UnownedTaskExecutor, isSerial: Bool) {
    ask { machine, worker in
      machine.enqueue(unsafe Job(run: job, executor: executor), isSerial: isSerial, from: worker)
    }
    if lacksWorkers.load(ordering: .relaxed) { startWorkers() }
  }

  /// The number of the calling thread's worker, if it belongs to this reactor.
  private var currentWorker: Int? {
    let number = unsafe swsys_worker_of(Unmanaged.passUnretained(self).toOpaque())
    return number < 0 ? nil : Int(number)
  }

  /// Changes the machine, and does what the machine then asks for.
  private func ask(_ body: (inout ReactorState<Job>, Int?) -> ReactorNotice) {
    let worker = currentWorker
    if worker == nil { _ = start() }
    var woken: Woken?
    let hosts = state.withLock { state in
      let notice = body(&state.machine, worker)
      if !notice.isEmpty { woken = Self.note(notice, &state) }
      if state.isStarted || state.isHosted { return false }
      state.isHosted = true
      return true
    }
    woken?.wake()
    if hosts { host(runsJobs: false) }
  }

  /// Under the lock: sets the alarms.
  @inline(never)
  private static func note(_ notice: ReactorNotice, _ state: inout State) -> Woken {
    if notice.alarm != .never { state.poller?.setAlarm(notice.alarm) }
    if notice.followersAlarm != .never { state.followersPoller?.setAlarm(notice.followersAlarm) }
    return Woken(
      leaders: notice.wakesLeader ? state.poller : nil,
      followers: notice.wakesFollower ? state.followersPoller : nil)
  }

  // MARK: The threads

  package func start() -> Errno? {
    if isRunning.load(ordering: .acquiring) { return nil }
    return state.withLock { state in
      // While a caller does the work, a thread has nothing to do.
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

  /// Sets how many threads may run. Further ones start when there is work, and surplus ones end when they have none.
  package func allow(workers limit: Int) {
    let woken = state.withLock { state -> Woken in
      state.workerLimit = max(1, limit)
      lacksWorkers.store(state.workerCount < state.workerLimit, ordering: .relaxed)
      return state.hasSurplus ? Self.all(state) : Woken()
    }
    woken.wake()
  }

  /// Wakes a worker, which may have to end. It then wakes the next one.
  private static func all(_ state: State) -> Woken {
    Woken(leaders: state.poller, followers: state.followersPoller)
  }

  /// The number of threads that may run.
  package var workerLimit: Int { state.withLock { $0.workerLimit } }

  /// How long an idle worker spins for events before it sleeps. It uses a processor during that time. All reactors together
  /// use at most half of the processors.
  package var spinning: Duration {
    get { .nanoseconds(Int64(clamping: spinTime.load(ordering: .relaxed))) }
    set { spinTime.store(Spinning.nanoseconds(newValue), ordering: .relaxed) }
  }

  /// Starts the threads that may run and do not. Several threads can wait only with the system's poller.
  private func startWorkers() {
    let woken = state.withLock { state -> Woken in
      guard state.isStarted, state.isUsual, let poller = state.poller, poller.servesManyWaiters,
        state.triesAgainAt.hasPassed
      else { return Woken() }
      if state.followersPoller == nil { state.followersPoller = try? makePoller() }
      guard state.followersPoller != nil else { return Self.tryLater(&state) }
      while state.workerCount < state.workerLimit {
        let worker = state.machine.addWorker()
        if makeThread({ [self] in run(worker) }) != nil {
          // The machine relies on the wake-up that it asks for here. Without it, nothing would wake a worker any more.
          let notice = state.machine.removeWorker(worker)
          _ = Self.tryLater(&state)
          return Self.note(notice, &state)
        }
        state.workerCount += 1
      }
      hasManyWorkers.store(state.workerCount > 1, ordering: .relaxed)
      lacksWorkers.store(false, ordering: .relaxed)
      return Woken()
    }
    woken.wake()
  }

  private static func tryLater(_ state: inout State) -> Woken {
    state.triesAgainAt = Deadline(nanoseconds: swsys_now() + patience)
    return Woken()
  }

  /// Ends the threads when they have nothing to do, for tests with their own reactors.
  package func stop() {
    let woken = state.withLock { state in
      state.isStopped = true
      return Self.all(state)
    }
    woken.wake()
  }

  /// Returns the poller to wait with. Called under the lock.
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

  /// Changes to the system's poller, if it is available now and takes everything that is watched. Called under the lock.
  ///
  /// If a descriptor cannot be added (ENOSPC, ENOMEM), nothing changes, and each half stays watched.
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

  /// How long to wait with the makeshift poller before trying the system's again, in nanoseconds.
  private static var patience: UInt64 { 100_000_000 }

  /// Runs a worker until it ends.
  private func run(_ worker: Int) {
    unsafe swsys_mark_worker(Unmanaged.passUnretained(self).toOpaque(), Int32(worker))
    var found: [PollerEvent] = []
    found.reserveCapacity(128)
    // The pollers, from when on they stay the same.
    var leaders: (any Poller)?
    var followers: (any Poller)?
    var (step, isUsual) = next(worker)
    while true {
      switch step {
      case .wait(let until):
        if isUsual {
          if leaders == nil { leaders = state.withLock { $0.poller } }
          if let leaders { wait(with: leaders, until: until, into: &found) }
        } else if !waitUnusual(worker, until, into: &found) {
          return
        }
        (step, isUsual) = next(worker, afterWait: &found)
      case .follow:
        if isUsual {
          if followers == nil { followers = state.withLock { $0.followersPoller } }
          followers?.wait(until: .never, into: &found)
        } else if !waitUnusual(worker, .immediately, into: &found) {
          return
        }
        (step, isUsual) = next(worker, afterWait: &found)
      default:
        if watch.load(ordering: .relaxed) == .due { startWatch() }
        Self.carryOut(step)
        (step, isUsual) = next(worker)
      }
    }
  }

  /// Returns the next step, and whether a wait is as usual.
  private func next(_ worker: Int) -> (ReactorStep<Job>, isUsual: Bool) {
    var woken: Woken?
    let result = state.withLock { state in Self.next(worker, &state, &woken) }
    woken?.wake()
    return result
  }

  private func next(_ worker: Int, afterWait found: inout [PollerEvent]) -> (ReactorStep<Job>, isUsual: Bool)
  {
    var woken: Woken?
    let result = state.withLock { state in
      state.machine.woke(&found, worker: worker)
      return Self.next(worker, &state, &woken)
    }
    woken?.wake()
    return result
  }

  @inline(__always)
  private static func next(
    _ worker: Int, _ state: inout State, _ woken: inout Woken?
  ) -> (ReactorStep<Job>, isUsual: Bool) {
    let step = state.machine.next(.now, worker: worker)
    if state.machine.hasNotice { woken = note(state.machine.takeNotice(), &state) }
    return (step, state.isUsual)
  }

  private func wait(with poller: any Poller, until deadline: Deadline, into found: inout [PollerEvent]) {
    if deadline == .immediately {
      _ = poller.look(into: &found)
      return
    }
    let spinTime = spinTime.load(ordering: .relaxed)
    if spinTime > 0, Spinning.spin(for: spinTime, until: deadline, { poller.look(into: &found) }) { return }
    // The poller's alarm ends the wait. As a timeout, the deadline could not be changed.
    poller.wait(until: poller.servesManyWaiters ? .never : deadline, into: &found)
  }

  /// Ends the worker if there are too many, or waits with the makeshift poller, and tries the system's from time to time. Returns
  /// false if the thread has to end.
  private func waitUnusual(_ worker: Int, _ until: Deadline, into found: inout [PollerEvent]) -> Bool {
    let (poller, woken, isOver) = state.withLock { state -> ((any Poller)?, Woken, Bool) in
      if state.isStopped || state.hasSurplus {
        let notice = state.machine.removeWorker(worker)
        if !state.isStopped { state.workerCount -= 1 }
        hasManyWorkers.store(state.workerCount > 1, ordering: .relaxed)
        // `allow` compares with workers that are lost, too.
        lacksWorkers.store(state.workerCount < state.workerLimit, ordering: .relaxed)
        // Another worker may have to end, too, to lead, or to take over the event that woke this one.
        return (nil, Self.note(notice, &state), true)
      }
      if state.isMakeshift { improve(&state) }
      // A wake of the old poller is noticed in the round that follows, because this wait only looks.
      return (state.isMakeshift ? state.poller : nil, Woken(), false)
    }
    woken.wake()
    if isOver { return false }
    poller?.wait(until: min(until, Deadline(nanoseconds: swsys_now() + Self.patience)), into: &found)
    return true
  }

  @inline(__always)
  private static func carryOut(_ step: ReactorStep<Job>) {
    switch step {
    case .tell(let receiver, let event, let mayDrive):
      receiver.readinessChanged(event.readiness, mayDrive: mayDrive)
    case .drive(let work): work.drive()
    case .fire(let timer): timer.receiver.deadlinePassed()
    case .run(let job): unsafe job.run.runSynchronously(on: job.executor)
    case .wait, .follow: break
    }
  }

  // MARK: Steps that do not come back

  /// Whether a thread watches the workers.
  private enum Watch: UInt8, AtomicRepresentable {
    /// Each step of a worker comes back.
    case needless
    /// The next step starts it.
    case due
    /// It watches, or there was none to be had a moment ago.
    case begun
  }

  package func expectHangs() {
    _ = watch.compareExchange(expected: .needless, desired: .due, ordering: .relaxed)
  }

  /// How often the workers are looked at.
  private static var watchInterval: Duration { .milliseconds(50) }
  /// After how many looks the watch ends, if nothing has happened. The next step starts it again.
  private static var mostIdleLooks: Int { 20 }

  private func startWatch() {
    guard watch.compareExchange(expected: .due, desired: .begun, ordering: .relaxed).exchanged else { return }
    if makeThread({ [self] in watchWorkers() }) == nil { return }
    let timer = Timer(Later { [self] in watch.store(.due, ordering: .relaxed) })
    set(timer, at: Deadline(nanoseconds: swsys_now() + Self.patience))
  }

  private func watchWorkers() {
    let wakeUp = WakeUp.withoutDescriptor()
    var idleLooks = 0
    while true {
      wakeUp.wait(watching: nil, for: [], until: .after(Self.watchInterval))
      let found = state.withLock { state -> Look in look(&state, &idleLooks) }
      switch found {
      case .goOn: continue
      case .over: return
      case .replace(let worker):
        // For the other workers, and for the step that is next on this thread.
        watch.store(.due, ordering: .relaxed)
        startWatch()
        return run(worker)
      }
    }
  }

  private enum Look: Sendable {
    case goOn, over
    case replace(as: Int)
  }

  private func look(_ state: inout State, _ idleLooks: inout Int) -> Look {
    if state.isStopped { return .over }
    // Several threads can wait only with the system's poller.
    guard !state.isMakeshift, let poller = state.poller, poller.servesManyWaiters else { return .goOn }
    let (replacement, hasStepped) = state.machine.replaceLost()
    if let replacement {
      state.workerCount += 1
      hasManyWorkers.store(true, ordering: .relaxed)
      return .replace(as: replacement)
    }
    idleLooks = hasStepped ? 0 : idleLooks + 1
    if idleLooks < Self.mostIdleLooks { return .goOn }
    // Under the lock: a step that follows sees it.
    watch.store(.due, ordering: .relaxed)
    return .over
  }

  private func host(from step: ReactorStep<Job>) {
    Self.carryOut(step)
    host(runsJobs: true)
  }

  /// Does a worker's work on the thread of a caller, until only waiting is left.
  ///
  /// - Parameter runsJobs: whether this thread may run jobs. If not, a task of the default executor goes on from the first job.
  private func host(runsJobs: Bool) {
    while true {
      let step = state.withLock { state -> ReactorStep<Job> in
        let step = state.machine.next(.now)
        if case .wait(let until) = step {
          var none: [PollerEvent] = []
          state.machine.woke(&none)
          if until != .immediately { state.isHosted = false }
        }
        // No worker can be woken here.
        _ = Self.note(state.machine.takeNotice(), &state)
        return step
      }
      switch step {
      case .wait(let until):
        if until != .immediately { return }
      case .run where !runsJobs:
        Task.detached { self.host(from: step) }
        return
      default: Self.carryOut(step)
      }
    }
  }
}
