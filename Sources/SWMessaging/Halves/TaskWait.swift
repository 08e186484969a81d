package import SWIO
internal import SystemPackage

/// The steps of a task until its place is decided: `arm`, then `park` and be resumed, then `finish`. Other callers may act
/// between the steps. There is no `await` between entering and parking.
package struct TaskWait: Sendable {
  package let place: Place
  private let half: Half
  /// The timer of the deadline, while it is set.
  package private(set) var timer: Timer?

  package init(_ place: Place, in half: Half) {
    self.place = place
    self.half = half
  }

  /// Whether the place gives up when `arm` is called.
  package var givesUp: Bool { place.deadline.hasPassed(by: half.port.reactor.now) }

  /// Sets the timer of the deadline.
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

  /// Stores what is to be resumed. Returns false if the place is decided already.
  package func park(_ resumption: Resumption) -> Bool { half.park(place, resumption) }

  /// Removes the timer.
  package mutating func finish() {
    if let timer { half.port.reactor.takeBack(timer) }
    timer = nil
  }
}
