package import SWIO

/// The steps of a blocked thread until its place is decided. Other callers may act between the steps. This type makes no
/// system call: a real or simulated thread does what `next` says.
///
///     look --there is something to try--> drive, with the turn --> look
///     look --nothing--> wait --> stop polling, and take the turn if it is free --> drive, or look
package struct ThreadWait: Sendable {
  package enum Step: Sendable {
    case done
    /// Take steps with the turn, by `Half.driveOn`.
    case drive
    /// Wait for the wake-up until the deadline. Wait for the descriptor, too, if `polling` is not empty.
    case wait(polling: Readiness, until: Deadline)
  }

  private enum State: Sendable {
    case looking
    case waiting(polling: Bool)
  }

  package let place: Place
  private let half: Half
  private let wakeUp: WakeUp
  /// Whether the deadline has passed. A call that was late before it waited has been promised one pass.
  private var isLate: Bool
  /// When it leaves at the latest, if it is late and the attempt that it waits for may hang.
  private var lateLimit = Deadline.never
  private var state = State.looking

  /// - Parameter wakeUp: wakes the thread from now on.
  package init(_ place: Place, in half: Half, _ wakeUp: WakeUp) {
    self.place = place
    self.half = half
    self.wakeUp = wakeUp
    isLate = place.deadline.hasPassed(by: half.port.reactor.now)
  }

  /// Whether the thread counts among those that poll the descriptor.
  package var isPolling: Bool {
    if case .waiting(let polling) = state { return polling }
    return false
  }

  /// Whether the place gives up when `next` looks.
  package var givesUp: Bool { isLate || place.deadline.hasPassed(by: half.port.reactor.now) }

  /// Returns the next step. The step before has been taken.
  package mutating func next() -> Step {
    if case .waiting(let polling) = state {
      state = .looking
      if half.endWait(place, polling: polling) { return .drive }
    }
    isLate = givesUp
    if lateLimit.hasPassed(by: half.port.reactor.now) {
      lateLimit = .never
      half.endGrace(of: place)
    }
    switch half.look(place, wakeUp, isLate: isLate, takesTurn: true) {
    case .decided: return .done
    case .drive: return .drive
    case .wait(let polling):
      state = .waiting(polling: polling)
      if isLate, lateLimit == .never { lateLimit = half.lateLimit }
      return .wait(
        polling: polling ? place.polledInterest : [],
        until: min(isLate ? lateLimit : place.deadline, place.waitLimit))
    }
  }
}
