import CSysShim
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// A reactor that cannot be started, or cannot watch: tasks that would wait fail, and say why.
@Suite(.lastResort, .leavesNothing) struct UnattendedTests {
  /// The test sees its calls and sets its answers.
  private final class Refusing: Reacting {
    private let inner = ManualReactor()
    private let errno = Mutex<Errno?>(nil)

    func refuse(_ errno: Errno?) { self.errno.withLock { $0 = errno } }
    var isCalled: Bool { inner.isCalled }
    func drive() { inner.drive() }

    func start() -> Errno? { errno.withLock { $0 } }
    func register(
      _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
    ) -> RegistrationOutcome {
      errno.withLock { $0 }.map { .failed($0) } ?? .registered(RegistrationID(slot: 0, generation: 0))
    }
    func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno? {
      errno.withLock { $0 }
    }
    func deregister(_ id: RegistrationID, descriptor: Int32) {}
    func call(_ work: any ReactorWork) { inner.call(work) }
    func offload(_ work: any ReactorWork) -> Errno? { inner.offload(work) }
    func set(_ timer: Timer, at deadline: Deadline) { inner.set(timer, at: deadline) }
    func takeBack(_ timer: Timer) { inner.takeBack(timer) }
  }

  private static func core(_ reactor: Refusing, sending: [ScriptedTransport.SendStep]? = nil) -> (
    EndpointCore, ScriptedTransport
  ) {
    let transport = ScriptedTransport(sending: sending)
    return (EndpointCore(transport, for: [.readable, .writable], reactor: reactor), transport)
  }

  private static func close(_ core: EndpointCore) {
    core.receiving?.close()
    core.sending?.close()
  }

  private static let reason = EndpointError.Reason.transport(
    TransportError(.wait, .resourceTemporarilyUnavailable))

  @Test func `a task whose reactor cannot be started fails, and those behind it are looked after`()
    async throws
  {
    let reactor = Refusing()
    let (core, transport) = Self.core(reactor)
    let half = try #require(core.receiving)
    let reader = SocketReader(core: core)
    reactor.refuse(.resourceTemporarilyUnavailable)
    let error = await endpointError { try await reader.receive() }
    #expect(error?.reason == Self.reason)
    #expect(half.inspect { $0.queue.count == 0 && !$0.turn })
    // A thread needs no reactor, and one that waits behind a task is its own driver once that has failed.
    guard case .queued(let place) = half.start(.exactly(1), as: .task, until: .never),
      case .queued(let behind) = half.start(.exactly(1), as: .thread, until: .never)
    else {
      Issue.record("nothing is there")
      return
    }
    let caller = HandCaller(behind, in: half)
    let waiting = TaskWait(place)
    waiting.arm()
    #expect(!waiting.park(.callback {}))
    #expect(caller.isWoken)
    guard case .failed(let failure) = half.outcome(of: place) else {
      Issue.record("it has failed")
      return
    }
    #expect(failure.reason == Self.reason)
    transport.append(receiving: [.bytes([7])])
    caller.run()
    #expect(caller.isDecided)
    waiting.finish()
    Self.close(core)
  }

  @Test func `what has been decided, or is being given up, does not fail again`() throws {
    let reactor = Refusing()
    let (core, transport) = Self.core(reactor, sending: [.accept(1)])
    let (receiving, sending) = (try #require(core.receiving), try #require(core.sending))
    // It has begun to be sent: it stays, for a reactor to come.
    guard
      case .queued(let begun) = sending.start(SendHalf.Call(Outgoing([1, 2, 3]), as: .task, until: .never))
    else {
      Issue.record("there is room for one byte")
      return
    }
    reactor.refuse(.resourceTemporarilyUnavailable)
    let waiting = TaskWait(begun)
    waiting.arm()
    #expect(waiting.park(.callback {}))
    reactor.refuse(nil)
    transport.append(sending: [.accept(.max)])
    reactor.drive()
    #expect(transport.sent == [1, 2, 3] && begun.error == nil)
    waiting.finish()
    // Decided before.
    guard case .queued(let place) = receiving.start(.exactly(1), as: .task, until: .never) else {
      Issue.record("nothing is there")
      return
    }
    receiving.giveUp(place, .cancelled)
    reactor.refuse(.resourceTemporarilyUnavailable)
    let late = TaskWait(place)
    late.arm()
    guard case .failed(let error) = receiving.outcome(of: place) else {
      Issue.record("it was cancelled")
      return
    }
    #expect(error.reason == .cancelled)
    late.finish()
    Self.close(core)
  }

  @Test func `where a descriptor cannot be watched the head fails, and what is owed ends sending`()
    async throws
  {
    let reactor = Refusing()
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { swsys_duplicate($0.rawValue, 3) }
    let core = try EndpointCore(adopting: number, for: [.readable, .writable], reactor: reactor)
    let (receiving, sending) = (try #require(core.receiving), try #require(core.sending))
    reactor.refuse(.noSpace)
    let expected = EndpointError.Reason.transport(TransportError(.wait, .noSpace))
    for _ in 0..<2 {
      guard case .queued(let place) = receiving.start(.exactly(1), as: .task, until: .never),
        case .failed(let error) = receiving.outcome(of: place)
      else {
        Issue.record("it cannot wait")
        return
      }
      #expect(error.reason == expected)
      #expect(receiving.inspect { $0.queue.count == 0 && !$0.turn && $0.over == nil })
    }
    // Of a message that has begun nothing but the rest may follow.
    let whole = SendHalf.Call(Outgoing([UInt8](repeating: 1, count: 4_000_000)), as: .task, until: .never)
    guard case .ended(let error) = sending.start(whole) else {
      Issue.record("it cannot wait")
      return
    }
    #expect(error?.reason == expected && (error?.byteCount ?? 0) > 0)
    #expect(sending.inspect { $0.over?.reason } == expected)
    guard case .ended(let next) = sending.start(SendHalf.Call(Outgoing([1]), as: .task, until: .never)) else {
      Issue.record("sending is over")
      return
    }
    #expect(next?.reason == expected)
    Self.close(core)
    withExtendedLifetime(pair) {}
  }
}
