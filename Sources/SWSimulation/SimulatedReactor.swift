import SWIO
import SWTesting
import SystemPackage

/// The reactor without thread and kernel: the machine of the real one, driven by the scheduler one event,
/// one call or one timer at a time.
// Invariant: everything happens on the one thread of the simulation.
final class SimulatedReactor: Reacting, @unchecked Sendable {
  unowned let world: World
  private var machine = ReactorState<Int>()
  /// Until when the thread waits; nil: it works.
  private(set) var waitsUntil: Deadline?
  private var isNotified = false
  /// Edges that the kernel has.
  private var edges: [(key: UInt64, end: Int, readiness: Readiness)] = []
  /// What the last wait has found.
  private var fetched: Set<UInt64> = []

  init(_ world: World) { self.world = world }

  var registrationCount: Int { machine.registrationCount }
  var timerCount: Int { machine.timerCount }

  // MARK: Reacting

  func start() -> Errno? { nil }

  var now: Deadline { world.clock }

  /// So small that frames of any size meet it.
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
    if fetched.contains(id.key) { world.coverage.note(.staleEvent) }
    world.check(machine.deregister(id) != nil, "the registration was not there")
  }

  func call(_ work: any ReactorWork) {
    world.interlude(.runInsideWakeUp)
    world.trace("reactor is called")
    if world.makes(.dropsCall) { return }
    if machine.call(work) { isNotified = true }
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

  /// Works that were handed to helper threads, which have not begun.
  private var offloaded: [any ReactorWork] = []
  var hasHelpers: Bool { !offloaded.isEmpty }

  /// A helper thread runs to its end.
  func help() {
    world.trace("a helper drives")
    offloaded.removeFirst().driveOffloaded()
  }

  func set(_ timer: Timer, at deadline: Deadline) {
    if world.makes(.dropsTimer) { return }
    if machine.set(timer, at: deadline) { isNotified = true }
  }

  func takeBack(_ timer: Timer) { machine.takeBack(timer) }

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

  // MARK: The thread

  var isEnabled: Bool {
    guard let until = waitsUntil else { return true }
    return isNotified || !edges.isEmpty || until <= world.clock
  }

  /// What the reactor's thread does until others may come between: what the machine says.
  func step() {
    if waitsUntil != nil {
      waitsUntil = nil
      isNotified = false
      var found = fetch()
      machine.woke(&found)
      return
    }
    switch machine.next(world.clock) {
    case .tell(let receiver, let event):
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
      receiver.readinessChanged(readiness)
    case .drive(let work):
      world.coverage.note(.reactorDrives)
      world.trace("reactor drives")
      world.drives { work.drive() }
    case .fire(let timer):
      world.trace("deadline passes")
      if let caller = world.caller(of: timer) { world.noteGiveUp(caller) }
      timer.receiver.deadlinePassed()
    case .run: world.fail("the reactor has a job that nobody gave it")
    case .wait(let until): waitsUntil = until
    }
  }

  /// `epoll_wait`: looks again at what is ready, and forgets what is not any more. Half the time the old
  /// news comes all the same, as a hint is allowed to be wrong.
  private func fetch() -> [PollerEvent] {
    var found: [PollerEvent] = []
    for edge in edges {
      let end = world.ends[edge.end]
      var readiness = end.offeredReadiness.intersection(end.watched.union(.hangUps))
      if world.chance(0.5) { readiness.formUnion(edge.readiness) }
      if !readiness.isEmpty { found.append(PollerEvent(key: edge.key, readiness: readiness)) }
    }
    edges.removeAll(keepingCapacity: true)
    fetched = Set(found.map(\.key))
    return found
  }
}
