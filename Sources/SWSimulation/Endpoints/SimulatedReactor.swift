import SWIO
import SWTesting
import SystemPackage

/// The reactor without threads and kernel. It uses the machine of the real one. The scheduler drives each worker by one
/// event, one call, one timer or one job at a time.
// Invariant: everything happens on the single thread of the simulation.
final class SimulatedReactor: Reacting, @unchecked Sendable {
  unowned let world: EndpointWorld
  private var machine = ReactorState<EndpointCaller>()

  private struct Worker {
    /// Until when the worker waits if nothing comes. Nil while it works.
    var waitsUntil: Deadline?
    var isFollowing = false
    /// Whether the worker is inside a step.
    var isRunning = false
    /// Until when the worker computes and does nothing else.
    var isBusyUntil = Deadline.immediately
    /// The events that its last wait has found.
    var fetched: Set<UInt64> = []
  }

  private var workers: [Worker] = []
  private var isLeaderNotified = false
  private var isFollowerNotified = false
  /// When the leader's alarm rings, if the poller keeps it.
  private var ringsAt = Deadline.never
  private var followersRingAt = Deadline.never
  /// Since when no worker leads, and none has looked for events.
  private var unattendedSince: Deadline?
  /// The edges in the kernel.
  private var edges: [(key: UInt64, end: Int, readiness: Readiness)] = []

  init(_ world: EndpointWorld) {
    self.world = world
    machine.keepsAlarm = world.schedule.workerCount > 1
    for index in 0..<world.schedule.workerCount {
      workers.append(Worker())
      if index > 0 { _ = machine.addWorker() }
    }
  }

  var workerCount: Int { workers.count }

  var registrationCount: Int { machine.registrationCount }
  var timerCount: Int { machine.timerCount }

  // MARK: Reacting

  func start() -> Errno? { nil }

  var now: Deadline { world.clock }

  /// So small that frames of every size reach it.
  static let receiveBudget = 24

  var receiveBudget: Int { world.makes(.ignoresBudget) ? .max : Self.receiveBudget }

  func register(
    _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
  ) -> RegistrationOutcome {
    if world.chance(world.schedule.registrationFailure) {
      world.coverage.note(.registrationFailed)
      world.trace("register fails", Int(descriptor))
      return .failed(.noSpace)
    }
    let end = world.end(descriptor)
    let id = machine.register(receiver, descriptor: descriptor, watching: interest)
    world.check(end.registration == nil && !end.isClosed, "registered twice or too late")
    world.coverage.note(.registered)
    world.trace("register", Int(descriptor))
    end.registration = id
    end.watched = interest
    if world.makes(.registersSilently) { return .registered(id) }
    edge(end, end.offeredReadiness)
    return .registered(id)
  }

  func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno? {
    let end = world.end(descriptor)
    world.check(end.registration == id && !end.isClosed, "watches what is not registered")
    if world.chance(world.schedule.registrationFailure) {
      world.coverage.note(.registrationFailed)
      return .noSpace
    }
    world.coverage.note(end.watched.isSubset(of: interest) ? .watched : .unwatched)
    world.trace("watch", Int(descriptor), Int(interest.rawValue))
    end.watched = interest
    if world.makes(.registersSilently) { return nil }
    edge(end, end.offeredReadiness)
    return nil
  }

  func deregister(_ id: RegistrationID, descriptor: Int32) {
    let end = world.end(descriptor)
    world.check(end.registration == id && !end.isClosed, "deregistered what is not registered")
    world.trace("deregister", Int(descriptor))
    end.registration = nil
    edges.removeAll { $0.key == id.key }  // those fetched already may still come
    if workers.contains(where: { $0.fetched.contains(id.key) }) { world.coverage.note(.staleEvent) }
    world.check(machine.deregister(id) != nil, "the registration was not there")
  }

  func call(_ work: any ReactorWork) {
    world.interlude(.runInsideWakeUp)
    world.trace("reactor is called")
    if world.makes(.dropsCall) { return }
    note(machine.call(work, from: current, now: world.clock))
  }

  func offload(_ work: any ReactorWork) -> Errno? {
    world.interlude(.runInsideWakeUp)
    if world.chance(world.schedule.registrationFailure) {
      world.trace("no helper")
      return .resourceTemporarilyUnavailable
    }
    world.trace("a helper is called")
    world.coverage.note(.offloaded)
    offloaded.append(work)
    return nil
  }

  /// The work that was handed to helper threads and has not begun.
  private var offloaded: [any ReactorWork] = []
  var hasHelpers: Bool { !offloaded.isEmpty }

  /// Runs a helper thread to its end.
  func help() {
    world.trace("a helper drives")
    offloaded.removeFirst().driveOffloaded()
  }

  func set(_ timer: Timer, at deadline: Deadline) {
    if world.makes(.dropsTimer) { return }
    note(machine.set(timer, at: deadline))
  }

  func takeBack(_ timer: Timer) { machine.takeBack(timer) }

  var timersMayOvertakeEvents: Bool { workers.count > 1 }

  /// Makes the task of a caller wait for a worker.
  func enqueue(_ caller: EndpointCaller) {
    world.interlude(.runInsideWakeUp)
    world.trace("job", caller.index)
    if caller.isSerial {
      if serialWorker != nil { world.coverage.note(.serialJobWaits) }
      serialJobs.append(caller.index)
    }
    let isSerial = caller.isSerial && !world.makes(.forgetsSerial)
    note(machine.enqueue(caller, isSerial: isSerial, from: current, now: world.clock))
  }

  /// The callers whose serial jobs wait, in order, and the worker that runs such a job.
  private var serialJobs: [Int] = []
  private var serialWorker: Int?

  private func beginSerialJob(of caller: EndpointCaller, on worker: Int) {
    world.check(serialWorker == nil, "two serial jobs run at once")
    world.check(serialJobs.first == caller.index, "a serial job overtakes another one")
    serialJobs.removeAll { $0 == caller.index }
    serialWorker = worker
    world.coverage.note(.serialJobRun)
  }

  private func note(_ notice: ReactorNotice) {
    if !world.makes(.wakesNoWorker) {
      if notice.wakesLeader { isLeaderNotified = true }
      if notice.wakesFollower { isFollowerNotified = true }
    }
    if notice.alarm != .never, !world.makes(.forgetsAlarm) { ringsAt = notice.alarm }
    if notice.followersAlarm != .never, !world.makes(.forgetsFollowersAlarm) {
      followersRingAt = notice.followersAlarm
    }
  }

  /// The workers that are inside a step, the innermost last.
  private var running: [Int] = []
  private var current: Int? { running.last }

  /// Runs code that belongs to no worker inside a worker's step.
  func asStranger(_ body: () -> Void) {
    let before = running
    running = []
    body()
    running = before
  }

  // MARK: The kernel

  func edge(_ end: SimulatedEnd, _ readiness: Readiness) {
    let readiness = readiness.intersection(end.watched.union(.hangUps))
    guard let key = end.registration?.key, !readiness.isEmpty else { return }
    if let index = edges.firstIndex(where: { $0.key == key }) {
      edges[index].readiness.formUnion(readiness)
    } else {
      edges.append((key, end.index, readiness))
    }
  }

  // MARK: The workers

  func isEnabled(_ worker: Int) -> Bool {
    if workers[worker].isRunning || workers[worker].isBusyUntil > world.clock { return false }
    if workers[worker].isFollowing { return isFollowerNotified || followersRingAt <= world.clock }
    guard let until = workers[worker].waitsUntil else { return true }
    if isLeaderNotified || !edges.isEmpty || until == .immediately { return true }
    return (machine.keepsAlarm ? ringsAt : until) <= world.clock
  }

  /// The next instant at which something happens by itself: an alarm, the end of a long task.
  var nextInstant: Deadline {
    let instants =
      workers.flatMap { [$0.isBusyUntil, $0.waitsUntil ?? .never] } + [ringsAt, followersRingAt]
    return instants.filter { $0 > world.clock }.min() ?? .never
  }

  /// Whether work, events or timers are left although no worker runs, because a busy worker may reach them soon.
  var leavesWork: Bool { machine.hasWork || machine.lacksLeader }

  /// Whether work is left for which a worker should have been woken, or will not be woken in time. Called if no worker can
  /// take a step.
  func neglectsWork() -> Bool {
    let grace = ReactorState<EndpointCaller>.grace
    let latest = world.clock.nanoseconds + grace
    if machine.lacksLeader {
      let since = unattendedSince ?? world.clock
      unattendedSince = since
      return followersRingAt.nanoseconds > latest || world.clock.nanoseconds > since.nanoseconds + 2 * grace
    }
    unattendedSince = nil
    return machine.hasWork && machine.hasSleepers
      && min(ringsAt, followersRingAt).nanoseconds > latest
  }

  /// Takes one step of a worker's thread, which the machine decides.
  func step(_ worker: Int) {
    workers[worker].isRunning = true
    running.append(worker)
    advance(worker)
    if !machine.lacksLeader { unattendedSince = nil }
    running.removeLast()
    workers[worker].isRunning = false
  }

  private func advance(_ worker: Int) {
    // The job before this step is over.
    if serialWorker == worker { serialWorker = nil }
    if workers[worker].isFollowing {
      workers[worker].isFollowing = false
      isFollowerNotified = false
      var found: [PollerEvent] = []
      if followersRingAt <= world.clock {
        followersRingAt = .never
        found.append(PollerEvent(key: PollerEvent.alarmKey, readiness: .readable))
      }
      machine.woke(&found, worker: worker)
      return
    }
    if workers[worker].waitsUntil != nil {
      workers[worker].waitsUntil = nil
      isLeaderNotified = false
      unattendedSince = nil
      var found = fetch(worker)
      machine.woke(&found, worker: worker)
      return
    }
    let step = machine.next(world.clock, worker: worker)
    note(machine.takeNotice())
    switch step {
    case .tell(let receiver, let event, let mayDrive):
      let index = world.ends.firstIndex { $0.registration?.key == event.key }
      world.trace("event", index ?? -1, Int(event.readiness.rawValue))
      if let index { world.noteReadiness(world.ends[index], event.readiness) }
      var readiness = event.readiness
      if !readiness.isDisjoint(with: [.readClosed, .failed]) {
        world.coverage.note(.endSignalled)
        if world.always(.foldsEnds) {
          readiness.subtract([.readClosed, .failed])
          readiness.formUnion([.readable, .writable])
        }
      }
      if mayDrive { world.coverage.note(.drivenAtOnce) }
      world.drives { receiver.readinessChanged(readiness, mayDrive: mayDrive) }
    case .drive(let work):
      world.coverage.note(.reactorDrives)
      if running.count > 1 { world.coverage.note(.workersTogether) }
      world.trace("reactor drives", worker)
      world.drives { work.drive() }
    case .fire(let timer):
      world.trace("deadline passes")
      if let caller = world.caller(of: timer) { world.noteGiveUp(caller) }
      timer.receiver.deadlinePassed()
    case .run(let caller):
      world.coverage.note(.jobRun)
      world.trace("a worker runs", worker, caller.index)
      if caller.isSerial { beginSerialJob(of: caller, on: worker) }
      world.runJob(of: caller)
      // Sometimes the task computes for a long time, if another worker is free.
      let others = workers.indices.filter { $0 != worker }
      if world.chance(world.schedule.longTask),
        others.contains(where: { workers[$0].isBusyUntil <= world.clock })
      {
        workers[worker].isBusyUntil = world.clock(after: 1_000_000)
        world.coverage.note(.longTask)
      }
    case .wait(let until): workers[worker].waitsUntil = until
    case .follow: workers[worker].isFollowing = true
    }
  }

  /// Simulates `epoll_wait`: looks again at what is ready, and drops stale events. Half the time a stale event is returned
  /// all the same, because a hint may be wrong.
  private func fetch(_ worker: Int) -> [PollerEvent] {
    var found: [PollerEvent] = []
    if ringsAt <= world.clock {
      ringsAt = .never
      found.append(PollerEvent(key: PollerEvent.alarmKey, readiness: .readable))
    }
    for edge in edges {
      let end = world.ends[edge.end]
      var readiness = end.offeredReadiness.intersection(end.watched.union(.hangUps))
      if world.chance(0.5) { readiness.formUnion(edge.readiness) }
      if !readiness.isEmpty { found.append(PollerEvent(key: edge.key, readiness: readiness)) }
    }
    edges.removeAll(keepingCapacity: true)
    workers[worker].fetched = Set(found.map(\.key))
    return found
  }
}
