package import SWIO
internal import SystemPackage

/// The steps of a task until its place is decided: `arm`, then `park` and be resumed, then `finish`. Other callers may act
/// between the steps. There is no `await` between entering and parking.
package struct TaskWait: Sendable {
  package let place: Place
  private var half: Half { place.half }
  /// The timer of the deadline, while it is set. The place has it, because a task that waits keeps this value in its frame.
  package var timer: Timer? { place.timer }

  package init(_ place: Place) { self.place = place }

  /// Whether the place gives up when `arm` is called.
  package var givesUp: Bool { place.deadline.hasPassed(by: half.port.reactor.now) }

  /// Sets the timer of the deadline.
  package func arm() {
    let reactor = half.port.reactor
    if let errno = reactor.start() {
      half.fail(place, unattended: errno)
    } else if !place.owesAttempt, givesUp {
      half.giveUp(place, .timedOut)
      place.timer = half.limitLate(place)
    } else if place.deadline != .never {
      let timer = Timer(place)
      place.timer = timer
      reactor.set(timer, at: place.deadline)
    }
  }

  /// Stores what is to be resumed. Returns false if the place is decided already.
  package func park(_ resumption: Resumption) -> Bool { half.park(place, resumption) }

  /// Removes the timer.
  package func finish() {
    if let timer { half.port.reactor.takeBack(timer) }
    place.timer = nil
  }
}
