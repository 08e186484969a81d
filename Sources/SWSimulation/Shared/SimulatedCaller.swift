import SWIO
import SWMessaging

/// A caller of a half: a thread or a task, reduced to its steps. Other callers can run between two steps. `ThreadWait` and
/// `TaskWait` decide the steps, as they do for real threads and tasks. A subclass makes the calls and looks at their results.
@safe
// Invariant: everything happens on the single thread of the simulation.
class SimulatedCaller: @unchecked Sendable {
  enum State {
    /// Between two calls.
    case between
    case done
    // A thread: about to take its next step, waiting, or about to drive.
    case stepping(ThreadWait)
    case waiting(ThreadWait, polling: Readiness, until: Deadline)
    case driving(ThreadWait)
    // A thread that waits with the turn and without a place, and one whose wait has ended.
    case waitingAlone(for: Readiness)
    case recalled
    // A task.
    case arming(TaskWait)
    case parking(TaskWait)
    case parked(TaskWait)
    case resumed(TaskWait)
    /// The caller has a result, and has not looked at it yet.
    case holding(ReceiveHalf.Outcome)
  }

  private unowned let stage: any SimulatedWorld
  final let index: Int
  final let kind: Place.Kind
  final let half: Half
  /// Whether the caller continues until the half ends.
  final let drains: Bool

  final var state = State.between
  final var isRunning = false
  final var isSignalled = false
  private final var wakeUp: WakeUp?

  // The present call.
  final var deadline = Deadline.never
  private(set) final var isCancelled = false

  init(_ world: any SimulatedWorld, index: Int, kind: Place.Kind, half: Half, drains: Bool) {
    stage = world
    self.index = index
    self.kind = kind
    self.half = half
    self.drains = drains
  }

  // MARK: For subclasses

  /// Makes the next call, or ends.
  func begin() { preconditionFailure("a caller calls") }
  /// Ends a call whose place is decided.
  func end(_ place: Place) { preconditionFailure("a caller gets results") }
  /// Looks at a result that it holds.
  func look(at outcome: ReceiveHalf.Outcome) { preconditionFailure("a caller looks at its results") }
  /// Ends a wait without a place.
  func endLoneWait() { preconditionFailure("a caller waits") }
  /// Whether `ppoll` would return.
  func isReady(for polled: Readiness) -> Bool { false }
  /// Whether something else keeps the caller from taking a step.
  var isHeldBack: Bool { false }
  /// Called before the caller may give up.
  func noteGiveUp() {}
  /// Called when a thread begins to wait.
  func noteWait(polls: Bool) {}
  /// Called when a task has parked.
  func noteParked() {}
  /// Called when a task has been resumed.
  func noteResumed() {}
  /// Whether a seeded mistake loses the wake-up of a thread, or the resumption of a task.
  func losesWakeUp() -> Bool { false }
  func losesResumption() -> Bool { false }

  // MARK: State

  /// The caller's place, if it has one.
  final var place: Place? {
    switch state {
    case .between, .done, .holding, .waitingAlone, .recalled: nil
    case .stepping(let wait), .waiting(let wait, _, _), .driving(let wait): wait.place
    case .arming(let wait), .parking(let wait), .parked(let wait), .resumed(let wait): wait.place
    }
  }

  /// The timer of its deadline.
  final var timer: Timer? {
    switch state {
    case .parking(let wait), .parked(let wait), .resumed(let wait): wait.timer
    default: nil
    }
  }

  final var isDone: Bool { if case .done = state { true } else { false } }
  final var isWaiting: Bool {
    switch state {
    case .waiting, .waitingAlone: !isRunning
    default: false
    }
  }
  final var isQueued: Bool { place.map { !$0.isDecided } ?? false }

  final var isPolling: Bool {
    switch state {
    case .stepping(let wait), .waiting(let wait, _, _): wait.isPolling
    case .waitingAlone, .recalled: true
    default: false
    }
  }

  final var canBeCancelled: Bool {
    switch state {
    case .parking, .parked, .resumed: !drains && !isCancelled
    default: false
    }
  }

  /// Whether the caller could take a step now.
  final var isEnabled: Bool {
    if isRunning || isHeldBack { return false }
    switch state {
    case .done, .parked: return false
    case .between, .stepping, .driving, .recalled, .arming, .parking, .resumed, .holding: return true
    case .waitingAlone(let polling): return isSignalled || isReady(for: polling) || deadline <= stage.clock
    case .waiting(_, let polling, let until):
      return isSignalled || (!polling.isEmpty && isReady(for: polling)) || until <= stage.clock
    }
  }

  /// The instant at which it can continue at the latest.
  final var nextInstant: Deadline {
    if case .waiting(_, _, let until) = state { return until }
    if case .waitingAlone = state { return deadline }
    return isQueued ? deadline : .never
  }

  /// Checks, while nobody can take a step, that a caller who waits has no result and no deadline that has passed.
  final func checkQuiescence() {
    guard let place else { return }
    stage.check(!place.isDecided, "caller \(index) has its result and does not come back")
    stage.check(deadline > stage.clock, "the deadline of caller \(index) has passed")
  }

  // MARK: Steps

  /// Takes one step. Other callers may run before the next one.
  final func step() {
    isRunning = true
    defer { isRunning = false }
    switch state {
    case .between: begin()
    case .done, .parked: stage.fail("a caller runs that cannot")
    case .stepping(let wait): step(wait)
    case .waiting(let wait, _, _):
      isSignalled = false
      state = .stepping(wait)
    case .waitingAlone:
      isSignalled = false
      state = .recalled
    case .recalled: endLoneWait()
    case .driving(let wait):
      half.driveOn(as: wait.place)
      state = .stepping(wait)
    case .arming(let wait):
      if wait.givesUp { noteGiveUp() }
      wait.arm()
      state = .parking(wait)
    case .parking(let wait):
      // The state is set before parking, because the resumption may come at once.
      state = .parked(wait)
      let isParked = wait.park(.callback { [unowned self] in resume(wait.place) })
      if isParked { noteParked() } else { state = .resumed(wait) }
    case .resumed(let wait):
      wait.finish()
      end(wait.place)
    case .holding(let outcome): look(at: outcome)
    }
  }

  /// Takes a thread's next step.
  private final func step(_ wait: ThreadWait) {
    var wait = wait
    if wait.givesUp { noteGiveUp() }
    // The caller no longer polls. If it is the last user, the descriptor is closed in `next`.
    state = .driving(wait)
    switch wait.next() {
    case .done: end(wait.place)
    case .drive: state = .driving(wait)
    case .wait(let polling, let until):
      noteWait(polls: wait.isPolling)
      stage.trace(wait.isPolling ? "polls" : "waits", index)
      state = .waiting(wait, polling: polling, until: until)
    }
  }

  private final func resume(_ place: Place) {
    stage.interruptWakeUp()
    if losesResumption() { return }
    guard case .parked(let wait) = state, wait.place === place else {
      stage.fail("caller \(index) is resumed twice")
      return
    }
    stage.trace("resumed", index)
    state = .resumed(wait)
    noteResumed()
  }

  private final func signal() {
    // Nothing else runs in the middle: a half that wakes two threads at once signals the first of them under its lock.
    if losesWakeUp() { return }
    stage.trace("signalled", index)
    isSignalled = true
  }

  // MARK: A call

  /// Begins a call, with its deadline.
  final func newCall(until deadline: Deadline) {
    self.deadline = deadline
    isCancelled = false
    isSignalled = false
  }

  /// Waits for the result of a call that has a place.
  final func queued(_ place: Place) {
    if kind == .task {
      state = .arming(TaskWait(place))
      return
    }
    state = .stepping(ThreadWait(place, in: half, threadsWakeUp))
  }

  /// The wake-up of the caller, if it is a thread.
  final var threadsWakeUp: WakeUp {
    let wakeUp = wakeUp ?? WakeUp { [unowned self] in signal() }
    self.wakeUp = wakeUp
    return wakeUp
  }

  final func cancel() {
    guard let place else { return }
    isCancelled = true
    stage.trace("cancelled", index)
    noteGiveUp()
    half.giveUp(place, .cancelled)
  }
}
