import SWIO
import SWMessaging
import SWTesting
import SystemPackage

/// The reactor of a listener's world: the machine of the real one with a single worker, which watches one descriptor.
// Invariant: everything happens on the one thread of the simulation.
final class ListenerReactor: Reacting, @unchecked Sendable {
  private unowned let world: ListenerWorld
  private var machine = ReactorState<Int>()
  /// Until when the worker waits; nil: it works.
  private var waitsUntil: Deadline?
  private var isNotified = false
  private var registration: RegistrationID?
  private var watched: Readiness = []
  /// The kernel has an edge of the listening descriptor.
  private var hasEdge = false

  init(_ world: ListenerWorld) { self.world = world }

  var registrationCount: Int { machine.registrationCount }
  var timerCount: Int { machine.timerCount }

  // MARK: Reacting

  func start() -> Errno? { nil }
  var now: Deadline { world.clock }

  func register(
    _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
  ) -> RegistrationOutcome {
    world.check(registration == nil, "registered twice")
    let id = machine.register(receiver, descriptor: descriptor, watching: interest)
    (registration, watched) = (id, interest)
    edge()
    return .registered(id)
  }

  func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno? {
    world.check(registration == id, "watches what is not registered")
    watched = interest
    edge()
    return nil
  }

  func deregister(_ id: RegistrationID, descriptor: Int32) {
    world.check(registration == id, "deregistered what is not registered")
    world.check(machine.deregister(id) != nil, "the registration was not there")
    (registration, hasEdge) = (nil, false)
  }

  func call(_ work: any ReactorWork) {
    world.interlude()
    note(machine.call(work, now: world.clock))
  }

  func offload(_ work: any ReactorWork) -> Errno? {
    world.fail("accepting is offloaded")
    return .notSupported
  }

  func set(_ timer: Timer, at deadline: Deadline) {
    if world.makes(.dropsTimer) { return }
    note(machine.set(timer, at: deadline))
  }

  func takeBack(_ timer: Timer) { machine.takeBack(timer) }

  private func note(_ notice: ReactorNotice) { if notice.wakesLeader { isNotified = true } }

  // MARK: The kernel, and the worker

  /// Something has come, or the descriptor is watched anew: the kernel reports what is there.
  func edge() { if registration != nil, watched.contains(.readable), world.isReadable { hasEdge = true } }

  /// When the worker goes on by itself.
  var nextDeadline: Deadline { waitsUntil ?? .never }

  var isEnabled: Bool {
    guard let until = waitsUntil else { return true }
    return isNotified || hasEdge || until <= world.clock
  }

  func step() {
    if waitsUntil != nil {
      (waitsUntil, isNotified) = (nil, false)
      var found: [PollerEvent] = []
      // Half the time old news comes all the same, as a hint is allowed to be wrong.
      if hasEdge, let key = registration?.key, world.isReadable || world.chance(0.5) {
        found.append(PollerEvent(key: key, readiness: .readable))
      }
      hasEdge = false
      machine.woke(&found)
      return
    }
    let step = machine.next(world.clock)
    note(machine.takeNotice())
    switch step {
    case .tell(let receiver, let event, let mayDrive):
      receiver.readinessChanged(event.readiness, mayDrive: mayDrive)
    case .drive(let work):
      world.coverage.note(.reactorDrives)
      world.trace("reactor drives")
      work.drive()
    case .fire(let timer):
      world.trace("timer fires")
      timer.receiver.deadlinePassed()
    case .run: world.fail("the reactor has a job that nobody gave it")
    case .wait(let until): waitsUntil = until
    case .follow: world.fail("the only worker follows")
    }
  }
}
