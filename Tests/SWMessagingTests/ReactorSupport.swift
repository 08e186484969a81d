import CSysTestSupport
import Glibc
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import Testing

/// Whether a condition comes to hold. Unlike `eventually` it gives up, and after a time that is meant: for what a
/// fault would keep from coming at all, so that the test of a fault fails instead of hanging.
func holds(within limit: Duration = .patience, _ condition: () -> Bool) async -> Bool {
  let end = ContinuousClock.now + limit
  while !condition() {
    if ContinuousClock.now > end { return false }
    await Task.yield()
  }
  return true
}

/// A flag that another thread or task raises.
final class Raised: Sendable {
  private let value = Guarded(false)
  var isUp: Bool { value.withLock { $0 } }
  func raise() { value.withLock { $0 = true } }
}

/// A flag that goes up when the reactor hears of a descriptor.
private final class RungBell: ReadinessReceiver {
  private let isRung = Raised()
  var rings: Bool { isRung.isUp }
  func readinessChanged(_ readiness: Readiness, mayDrive: Bool) { isRung.raise() }
}

/// Returns when the reactor has reported all events that the kernel has reported to it until now.
func awaitReactorHeard() throws {
  let pair = try DescriptorPair.pipe()
  let number = pair.first.withDescriptor { $0.rawValue }
  let bell = RungBell()
  guard case .registered(let id) = Reactor.shared.register(number, for: bell, watching: .readable) else {
    Issue.record("a pipe can be watched")
    return
  }
  defer { Reactor.shared.deregister(id, descriptor: number) }
  _ = try pair.second.withDescriptor { try $0.writeAll([1]) }
  let limit = Deadline.after(.patience)
  while !bell.rings, !limit.hasPassed { sched_yield() }
  #expect(bell.rings)
}

/// The processor time of all threads of the process. A task on the executor of the reactor may run on any of its threads.
func processorTime() -> Duration { .microseconds(clock()) }
