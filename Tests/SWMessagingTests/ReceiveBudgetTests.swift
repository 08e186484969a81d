import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// docs/half.md: the reactor drives a half for "one budget each (64 entries or 256 KiB)". Received
/// bytes count only when their frame is complete.
@Suite(.lastResort, .leavesNothing) struct ReceiveBudgetTests {
  /// A reactor that lets one drive happen at a time.
  private final class Stepping: Reacting {
    private let works = Guarded<[any ReactorWork]>([])

    /// Carries out one of the calls that there are.
    func driveOnce() {
      let work = works.withLock { $0.isEmpty ? nil : $0.removeFirst() }
      work?.drive()
    }

    func register(
      _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
    ) -> RegistrationOutcome { .alwaysReady }
    func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno? { nil }
    func deregister(_ id: RegistrationID, descriptor: Int32) {}
    func call(_ work: any ReactorWork) { works.withLock { $0.append(work) } }
    func offload(_ work: any ReactorWork) -> Errno? { .noMemory }
    func set(_ timer: Timer, at deadline: Deadline) {}
    func takeBack(_ timer: Timer) {}
  }

  @Test func `a large message is received by the reactor a budget at a time`() throws {
    let transport = ScriptedTransport()
    let reactor = Stepping()
    let core = EndpointCore(transport, for: .readable, reactor: reactor)
    let half = try #require(core.receiving)
    let chunk = [UInt8](repeating: 7, count: 65_536)
    guard case .queued(let place) = half.start(.exactly(200 * chunk.count), as: .task, until: .never) else {
      Issue.record("there is nothing yet")
      return
    }
    let before = transport.receiveCount
    // A peer that keeps the socket full.
    transport.append(receiving: Array(repeating: .bytes(chunk), count: 200))
    reactor.driveOnce()
    let attempts = transport.receiveCount - before
    // The one that reaches 256 KiB is the last.
    #expect(
      attempts == 4, "\(attempts * chunk.count >> 10) KiB in one go: nobody else, and no timer, had a turn")
    // Nothing is lost by it.
    for _ in 0..<200 where !place.isDecided { reactor.driveOnce() }
    guard case .delivered(let delivery) = half.outcome(of: place) else {
      Issue.record("\(half.outcome(of: place))")
      return
    }
    #expect(delivery.bytes.count == 200 * chunk.count)
  }
}
