package import SWIO

/// What a blocked thread does until its place is decided, in steps between which others may come. It makes no system
/// call: the thread, real or simulated, does what `next` says.
///
///     look --there is something to try--> drive, with the turn --> look
///     look --nothing--> wait --> stop polling, and take the turn if it is free --> drive, or look
package struct ThreadWait: Sendable {
  package enum Step: Sendable {
    case done
    /// Takes steps, with the turn: `Half.driveOn`.
    case drive
    /// Waits for the wake-up, until then; and for the descriptor, if something of it is of interest.
    case wait(polling: Readiness, until: Deadline)
  }

  private enum State: Sendable {
    case looking
    case waiting(polling: Bool)
  }

  package let place: Place
  private let half: Half
  private let wakeUp: WakeUp
  private let deadline: Deadline
  /// Its deadline has passed. One that was late before it waited has been promised one pass.
  private var isLate: Bool
  private var state = State.looking

  /// - Parameter wakeUp: what wakes the thread from now on.
  package init(
    _ place: Place, in half: Half, until deadline: Deadline, _ wakeUp: WakeUp,
    now: @autoclosure () -> Deadline
  ) {
    self.place = place
    self.half = half
    self.wakeUp = wakeUp
    self.deadline = deadline
    isLate = Self.hasPassed(deadline, now())
  }

  private static func hasPassed(_ deadline: Deadline, _ now: @autoclosure () -> Deadline) -> Bool {
    deadline == .immediately || (deadline != .never && deadline <= now())
  }

  /// Whether it counts among those who poll the descriptor.
  package var isPolling: Bool {
    if case .waiting(let polling) = state { return polling }
    return false
  }

  /// Whether the place gives up when `next` looks.
  package func isLate(now: @autoclosure () -> Deadline) -> Bool {
    isLate || Self.hasPassed(deadline, now())
  }

  /// What to do next. The step before has been done.
  ///
  /// - Parameter now: asked only if there is a deadline.
  package mutating func next(now: @autoclosure () -> Deadline) -> Step {
    if case .waiting(let polling) = state {
      state = .looking
      if half.endWait(place, polling: polling) { return .drive }
    }
    isLate = isLate(now: now())
    switch half.look(place, wakeUp, isLate: isLate, takesTurn: true) {
    case .decided: return .done
    case .drive: return .drive
    case .wait(let polling):
      state = .waiting(polling: polling)
      return .wait(
        polling: polling ? place.polledInterest : [], until: min(isLate ? .never : deadline, place.waitLimit))
    }
  }
}
