package import SWIO
internal import SystemPackage

/// What a task does until its place is decided, in steps between which others may come: `arm`, then `park` and be
/// resumed, then `finish`. There is no `await` between entering and parking.
package struct TaskWait: Sendable {
  package let place: Place
  private let half: Half
  /// Of the deadline, while it is set.
  package private(set) var timer: Timer?

  package init(_ place: Place, in half: Half) {
    self.place = place
    self.half = half
  }

  /// Whether the place gives up when it is armed.
  package var givesUp: Bool { place.deadline.hasPassed(by: half.port.reactor.now) }

  /// Sees to it that the deadline is heard of.
  package mutating func arm() {
    let reactor = half.port.reactor
    if let errno = reactor.start() {
      half.fail(place, unattended: errno)
    } else if !place.owesAttempt, givesUp {
      half.giveUp(place, .timedOut)
    } else if place.deadline != .never {
      let timer = Timer(place)
      self.timer = timer
      reactor.set(timer, at: place.deadline)
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
