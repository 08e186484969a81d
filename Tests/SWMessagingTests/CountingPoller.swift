import SWIO
import SWTesting
import Synchronization
import SystemPackage
import TestSupport

/// Counts the waits with a poller that several threads wait with.
final class CountingPoller: Poller {
  private struct Play: Sendable {
    var wakes = 0
    var keepsWakes = false
    var doubles = false
    var afterWake: (@Sendable () -> Void)?
  }

  private let poller: EpollPoller
  private let play = Guarded(Play())
  let waits = Guarded(0)
  /// The waits that were no looks.
  let sleeps = Guarded(0)
  init() throws(Errno) { poller = try EpollPoller() }
  func add(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> WatchOutcome {
    poller.add(descriptor, key: key, watching: interest)
  }
  func modify(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> Errno? {
    poller.modify(descriptor, key: key, watching: interest)
  }
  func remove(_ descriptor: Int32, key: UInt64) { poller.remove(descriptor, key: key) }
  func wait(until deadline: Deadline, into events: inout [PollerEvent]) {
    // In this order `waits` is never the larger one because of a wait.
    sleeps.withLock { $0 += 1 }
    waits.withLock { $0 += 1 }
    poller.wait(until: deadline, into: &events)
    if play.withLock({ $0.doubles }) { events += events }
  }
  func wake() {
    let isKept = play.withLock { play in
      play.wakes += 1
      return play.keepsWakes
    }
    if isKept { return }
    poller.wake()
    play.withLock { $0.afterWake }?()
  }
  var servesManyWaiters: Bool { true }
  func setAlarm(_ deadline: Deadline) { poller.setAlarm(deadline) }
  func look(into events: inout [PollerEvent]) -> Bool {
    waits.withLock { $0 += 1 }
    return poller.look(into: &events)
  }

  /// How often it was woken.
  var wakes: Int { play.withLock { $0.wakes } }
  /// From now on, a wait finds each event twice. An event is a hint.
  func doubleEvents() { play.withLock { $0.doubles = true } }
  /// Has nobody woken during `body`, and then once.
  func keepWakes(_ body: () -> Void) {
    play.withLock { $0.keepsWakes = true }
    body()
    play.withLock { $0.keepsWakes = false }
    poller.wake()
  }
  /// Is called after each wake, by the thread that wakes.
  func afterWake(_ body: (@Sendable () -> Void)?) { play.withLock { $0.afterWake = body } }
}
