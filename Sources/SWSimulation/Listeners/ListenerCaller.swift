import SWIO
import SWMessaging
import SWTesting

/// A thread or a task that accepts, reduced to what it does between two moments at which others could run.
// Invariant: everything happens on the one thread of the simulation.
final class ListenerCaller: @unchecked Sendable {
  private enum State {
    case between
    case done
    // A thread.
    case stepping(ThreadWait)
    case waiting(ThreadWait, polling: Readiness, until: Deadline)
    case driving(ThreadWait)
    // A task.
    case arming(TaskWait)
    case parking(TaskWait)
    case parked(TaskWait)
    case resumed(TaskWait)
    /// It has its result, and has not taken the connection out of it.
    case holding(ReceiveHalf.Outcome)
  }

  private unowned let world: ListenerWorld
  let index: Int
  let kind: Place.Kind
  private let half: ReceiveHalf
  /// Goes on until the listener ends.
  private let drains: Bool
  private var callsLeft: Int
  private var state = State.between
  private var wakeUp: WakeUp?

  var isRunning = false
  var isSignalled = false
  private(set) var deadline = Deadline.never
  private(set) var isCancelled = false

  init(
    _ world: ListenerWorld, index: Int, kind: Place.Kind, half: ReceiveHalf, calls: Int, drains: Bool = false
  ) {
    self.world = world
    self.index = index
    self.kind = kind
    self.half = half
    self.drains = drains
    callsLeft = calls
  }

  private var place: Place? {
    switch state {
    case .between, .done, .holding: nil
    case .stepping(let wait), .waiting(let wait, _, _), .driving(let wait): wait.place
    case .arming(let wait), .parking(let wait), .parked(let wait), .resumed(let wait): wait.place
    }
  }

  var isDone: Bool { if case .done = state { true } else { false } }
  var isWaiting: Bool { if case .waiting = state, !isRunning { true } else { false } }
  var isQueued: Bool { place.map { !$0.isDecided } ?? false }

  var canBeCancelled: Bool {
    switch state {
    case .parking, .parked, .resumed: !drains && !isCancelled
    default: false
    }
  }

  var isEnabled: Bool {
    if isRunning { return false }
    switch state {
    case .done, .parked: return false
    case .between, .stepping, .driving, .arming, .parking, .resumed, .holding: return true
    case .waiting(_, let polling, let until):
      return isSignalled || (!polling.isEmpty && world.isReadable) || until <= world.clock
    }
  }

  /// When it can go on at the latest.
  var nextDeadline: Deadline {
    if case .waiting(_, _, let until) = state { return until }
    guard let place, !place.isDecided, deadline > world.clock else { return .never }
    return deadline
  }

  func cancel() {
    guard let place else { return }
    isCancelled = true
    world.trace("cancelled", index)
    half.giveUp(place, .cancelled)
  }

  func checkQuiescence() {
    guard let place else { return }
    world.check(!place.isDecided, "caller \(index) has its result and does not come back")
    world.check(deadline > world.clock, "the deadline of caller \(index) has passed")
  }

  // MARK: Steps

  func step() {
    switch state {
    case .between: begin()
    case .done, .parked: world.fail("a caller runs that cannot")
    case .stepping(var wait):
      switch wait.next() {
      case .done: end(wait.place)
      case .drive: state = .driving(wait)
      case .wait(let polling, let until):
        world.coverage.note(polling.isEmpty ? .threadWaits : .threadPolls)
        state = .waiting(wait, polling: polling, until: until)
      }
    case .waiting(let wait, _, _):
      isSignalled = false
      state = .stepping(wait)
    case .driving(let wait):
      half.driveOn(as: wait.place)
      state = .stepping(wait)
    case .arming(let wait):
      wait.arm()
      state = .parking(wait)
    case .parking(let wait):
      // The state says "parked" before the half knows, because the resumption may come at once.
      state = .parked(wait)
      let isParked = wait.park(.callback { [unowned self] in resume(wait.place) })
      if !isParked { state = .resumed(wait) }
    case .resumed(let wait):
      wait.finish()
      end(wait.place)
    case .holding(let outcome): take(outcome)
    }
  }

  private func resume(_ place: Place) {
    world.interlude()
    if world.makes(.dropsWakeUp) { return }
    guard case .parked(let wait) = state, wait.place === place else {
      return world.fail("caller \(index) is resumed twice")
    }
    state = .resumed(wait)
  }

  /// Others do not run in here, because a half may signal under its lock. The scheduler lets them run before the thread.
  private func signal() {
    if world.makes(.dropsWakeUp) { return }
    isSignalled = true
  }

  private func begin() {
    guard callsLeft > 0 else {
      state = .done
      return
    }
    callsLeft -= 1
    isCancelled = false
    isSignalled = false
    deadline = .never
    if !drains, world.chance(world.schedule.deadline) {
      deadline =
        world.chance(world.schedule.zeroDeadline)
        ? .immediately : world.clock(after: 1 + world.below(30_000_000))
    }
    world.trace("accepts", index)
    world.noteReason()
    switch half.start(ReceiveHalf.nextItem, as: kind, until: deadline) {
    case .ended(let outcome): state = .holding(outcome)
    case .queued(let place):
      if kind == .task {
        state = .arming(TaskWait(place))
      } else {
        let wakeUp = wakeUp ?? WakeUp { [unowned self] in signal() }
        self.wakeUp = wakeUp
        state = .stepping(ThreadWait(place, in: half, wakeUp))
      }
    }
  }

  private func end(_ place: Place) {
    guard let place = place as? ReceivePlace else { return world.fail("it is no place to receive at") }
    state = .holding(half.outcome(of: place))
  }

  private func take(_ outcome: ReceiveHalf.Outcome) {
    state = .between
    do throws(EndpointError) {
      guard let fresh = try half.value(of: outcome) as? FreshDescriptor else {
        return world.fail("an item is no connection")
      }
      world.delivered(fresh, to: self)
    } catch {
      world.ended(self, error)
      switch error.reason {
      case .closed, .transport: callsLeft = 0
      case .endOfStream:
        if drains { world.coverage.note(.drained) }
        callsLeft = 0
      default: break
      }
    }
  }
}
