import SWIO
import SWMessaging
import SWTesting
import SystemPackage

/// A world with a small reactor.
protocol SmallReactorHost: SimulatedWorld {
  /// The readiness of the descriptor that the kernel would report.
  var offeredReadiness: Readiness { get }
  /// Whether a seeded mistake loses a timer.
  func losesTimer() -> Bool
}

/// The machine of the real reactor with a single worker, which watches at most one descriptor.
// Invariant: everything happens on the single thread of the simulation.
final class SmallReactor: Reacting, @unchecked Sendable {
  private unowned let world: any SmallReactorHost
  private var machine = ReactorState<Int>()
  /// Until when the worker waits. Nil while it works.
  private var waitsUntil: Deadline?
  private var isNotified = false
  private var registration: RegistrationID?
  private var watched: Readiness = []
  /// Whether the kernel has an edge of the descriptor.
  private var hasEdge = false
  private var isRunning = false
  /// Whether it has driven a half.
  private(set) var hasDriven = false

  init(_ world: any SmallReactorHost) { self.world = world }

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
    world.interruptWakeUp()
    note(machine.call(work, now: world.clock))
  }

  func offload(_ work: any ReactorWork) -> Errno? {
    world.fail("work is offloaded")
    return .notSupported
  }

  func set(_ timer: Timer, at deadline: Deadline) {
    if world.losesTimer() { return }
    note(machine.set(timer, at: deadline))
  }

  func takeBack(_ timer: Timer) { machine.takeBack(timer) }

  private func note(_ notice: ReactorNotice) { if notice.wakesLeader { isNotified = true } }

  // MARK: The kernel, and the worker

  private var watchedReadiness: Readiness { world.offeredReadiness.intersection(watched) }

  /// Has the kernel report what is there, because something has come, or the descriptor is watched for something else.
  func edge() { if registration != nil, !watchedReadiness.isEmpty { hasEdge = true } }

  /// The next instant at which the worker continues by itself.
  var nextInstant: Deadline { waitsUntil ?? .never }

  var isEnabled: Bool {
    if isRunning { return false }
    guard let until = waitsUntil else { return true }
    return isNotified || hasEdge || until <= world.clock
  }

  func step() {
    isRunning = true
    defer { isRunning = false }
    if waitsUntil != nil {
      (waitsUntil, isNotified) = (nil, false)
      var found: [PollerEvent] = []
      // Half the time a stale event is returned all the same, because a hint may be wrong.
      if hasEdge, let key = registration?.key, !watchedReadiness.isEmpty || world.chance(0.5) {
        found.append(PollerEvent(key: key, readiness: watched))
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
      hasDriven = true
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
