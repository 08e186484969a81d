package import SWIO
internal import SystemPackage

/// What a task does until its place is decided, in steps between which others may come: `arm`, then `park` and be
/// resumed, then `finish`. There is no `await` between entering and parking.
package struct TaskWait: Sendable {
  package let place: Place
  private let half: Half
  private let deadline: Deadline
  /// Of the deadline, while it is set.
  package private(set) var timer: Timer?

  package init(_ place: Place, in half: Half, until deadline: Deadline) {
    self.place = place
    self.half = half
    self.deadline = deadline
  }

  /// Whether the place gives up when it is armed.
  package func isLate(now: @autoclosure () -> Deadline) -> Bool {
    deadline == .immediately || (deadline != .never && deadline <= now())
  }

  /// Sees to it that the deadline is heard of.
  package mutating func arm(now: @autoclosure () -> Deadline) {
    let reactor = half.port.reactor
    if let errno = reactor.start() {
      half.fail(place, unattended: errno)
    } else if !place.owesAttempt, isLate(now: now()) {
      half.giveUp(place, .timedOut)
    } else if deadline != .never {
      let timer = Timer(place)
      self.timer = timer
      reactor.set(timer, at: deadline)
    }
  }

  /// Leaves what is to be resumed; false when the place is decided already.
  package func park(_ resumption: Resumption) -> Bool { half.park(place, resumption) }

  /// Leaves nothing behind.
  package mutating func finish() {
    if let timer { half.port.reactor.takeBack(timer) }
    timer = nil
  }
}
