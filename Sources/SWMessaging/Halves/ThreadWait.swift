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
  /// Its deadline has passed. One that was late before it waited has been promised one pass.
  private var isLate: Bool
  private var state = State.looking

  /// - Parameter wakeUp: what wakes the thread from now on.
  package init(_ place: Place, in half: Half, _ wakeUp: WakeUp) {
    self.place = place
    self.half = half
    self.wakeUp = wakeUp
    isLate = place.deadline.hasPassed(by: half.port.reactor.now)
  }

  /// Whether it counts among those who poll the descriptor.
  package var isPolling: Bool {
    if case .waiting(let polling) = state { return polling }
    return false
  }

  /// Whether the place gives up when `next` looks.
  package var givesUp: Bool { isLate || place.deadline.hasPassed(by: half.port.reactor.now) }

  /// What to do next. The step before has been done.
  package mutating func next() -> Step {
    if case .waiting(let polling) = state {
      state = .looking
      if half.endWait(place, polling: polling) { return .drive }
    }
    isLate = givesUp
    switch half.look(place, wakeUp, isLate: isLate, takesTurn: true) {
    case .decided: return .done
    case .drive: return .drive
    case .wait(let polling):
      state = .waiting(polling: polling)
      return .wait(
        polling: polling ? place.polledInterest : [],
        until: min(isLate ? .never : place.deadline, place.waitLimit))
    }
  }
}
