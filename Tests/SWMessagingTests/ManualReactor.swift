import SWIO
import Synchronization
import SystemPackage

/// A reactor that does nothing by itself: a test lets it drive, and lets deadlines pass.
final class ManualReactor: Reacting {
  private struct State: Sendable {
    var works: [any ReactorWork] = []
    var timers = DeadlineHeap()
    var offloaded: [any ReactorWork] = []
    var refusal: Errno?
    var watchRefusal: Errno?
    var startRefusal: Errno?
    var registerCount = 0
    /// The clock of the test; nil: the real one.
    var clock: Deadline?
  }

  private let state = Guarded(State())
  let timersMayOvertakeEvents: Bool

  init(timersMayOvertakeEvents: Bool = false, startingAt clock: Deadline? = nil) {
    self.timersMayOvertakeEvents = timersMayOvertakeEvents
    state.withLock { $0.clock = clock }
  }

  var now: Deadline { state.withLock { $0.clock } ?? .now }

  /// Drives the halves that have called, and those that call meanwhile.
  func drive() {
    while let work = state.withLock({ state in state.works.isEmpty ? nil : state.works.removeFirst() }) {
      work.drive()
    }
  }

  /// Drives the first half that has called, once. Returns false if none has.
  func driveOnce() -> Bool {
    guard let work = state.withLock({ state in state.works.isEmpty ? nil : state.works.removeFirst() })
    else { return false }
    work.drive()
    return true
  }

  /// How many timers are set.
  var timerCount: Int { state.withLock { $0.timers.count } }

  /// When the first timer fires; never, if none is set.
  var earliestTimer: Deadline { state.withLock { $0.timers.earliest } }

  /// Lets one helper thread run. False: there is none.
  func help() -> Bool {
    guard let work = state.withLock({ $0.offloaded.popLast() }) else { return false }
    work.driveOffloaded()
    return true
  }

  /// From now on no thread can be started.
  func refuseHelp(_ errno: Errno) { state.withLock { $0.refusal = errno } }

  /// From now on it watches no descriptor, and has no thread if that is refused as well.
  func refuseToWatch(_ errno: Errno, start: Errno? = nil) {
    state.withLock { ($0.watchRefusal, $0.startRefusal) = (errno, start) }
  }

  /// Lets every timer fire that is set for this instant or an earlier one. A clock of the test's own shows this instant
  /// then.
  func pass(_ deadline: Deadline) {
    state.withLock { if $0.clock != nil { $0.clock = deadline } }
    while let timer = state.withLock({ $0.timers.popDue(by: deadline) }) { timer.receiver.deadlinePassed() }
  }

  /// Drops the work and the timers. They keep halves, which keep this reactor.
  func forgetAll() {
    let dropped = state.withLock { state in
      defer { (state.works, state.offloaded, state.timers) = ([], [], DeadlineHeap()) }
      return state
    }
    _ = dropped
  }

  var isCalled: Bool { state.withLock { !$0.works.isEmpty } }

  /// How often a descriptor was offered to it.
  var registerCount: Int { state.withLock { $0.registerCount } }

  // MARK: Reacting

  func register(
    _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
  ) -> RegistrationOutcome {
    state.withLock { state in
      state.registerCount += 1
      return state.watchRefusal.map { .failed($0) } ?? .alwaysReady
    }
  }
  func start() -> Errno? { state.withLock { $0.startRefusal } }
  func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno? { nil }
  func deregister(_ id: RegistrationID, descriptor: Int32) {}
  func call(_ work: any ReactorWork) { state.withLock { $0.works.append(work) } }
  func offload(_ work: any ReactorWork) -> Errno? {
    state.withLock { state in
      if let refusal = state.refusal { return refusal }
      state.offloaded.append(work)
      return nil
    }
  }
  func set(_ timer: Timer, at deadline: Deadline) { state.withLock { $0.timers.insert(timer, at: deadline) } }
  func takeBack(_ timer: Timer) { state.withLock { $0.timers.remove(timer) } }
}
