import CSysShim
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// A reactor that cannot be started: tasks that would wait fail, and say why. A reactor that cannot watch: they are tried
/// again after pauses.
@Suite(.lastResort, .leavesNothing) struct UnattendedTests {
  /// The test sees its calls and sets its answers.
  private final class Refusing: Reacting {
    private let inner = ManualReactor(startingAt: .now)
    private let errno = Mutex<Errno?>(nil)
    private let watchErrno = Mutex<Errno?>(nil)

    func refuse(_ errno: Errno?) {
      self.errno.withLock { $0 = errno }
      refuseToWatch(errno)
    }
    func refuseToWatch(_ errno: Errno?) { watchErrno.withLock { $0 = errno } }
    var isCalled: Bool { inner.isCalled }
    var timerCount: Int { inner.timerCount }
    func drive() { inner.drive() }
    /// Lets the first timer fire, and no other.
    func passTimer() { inner.pass(inner.earliestTimer) }

    var now: Deadline { inner.now }
    func start() -> Errno? { errno.withLock { $0 } }
    func register(
      _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
    ) -> RegistrationOutcome {
      watchErrno.withLock { $0 }.map { .failed($0) } ?? .registered(RegistrationID(slot: 0, generation: 0))
    }
    func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno? {
      watchErrno.withLock { $0 }
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
    guard case .lent(let demand) = half.outcome(of: behind) else {
      Issue.record("a byte is there")
      return
    }
    let bytes = unsafe half.turn.takePayload(of: demand)
    half.finishLoan(demand)
    #expect(bytes == [7])
    waiting.finish()
    Self.close(core)
    #expect(transport.isClosed)
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

  @Test func `where a descriptor cannot be watched receives are tried again after pauses`() throws {
    let reactor = Refusing()
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { swsys_duplicate($0.rawValue, 3) }
    let core = try EndpointCore(adopting: number, for: .readable, reactor: reactor)
    let half = try #require(core.receiving)
    reactor.refuseToWatch(.noSpace)
    func receive() throws -> HandCaller {
      guard case .queued(let place) = half.start(.exactly(1), as: .task, until: .never) else {
        throw Errno.noSpace
      }
      return HandCaller(place, in: half)
    }
    let callers = [try receive(), try receive()]
    for length in [1, 2, 4, 8] as [UInt64] {
      #expect(!reactor.isCalled && reactor.timerCount == 1)
      #expect(half.inspect { $0.isHeadPaused && !$0.isRegistered && $0.pauseLength == length * 1_000_000 })
      reactor.passTimer()
      #expect(reactor.isCalled)
      reactor.drive()
    }
    // The second one pauses when the first has left.
    _ = try pair.second.withDescriptor { try $0.writeAll([7]) }
    #expect(!reactor.isCalled && callers.allSatisfy { !$0.isDecided })
    reactor.passTimer()
    reactor.drive()
    #expect(callers.map(\.isDecided) == [true, false])
    #expect(!reactor.isCalled && reactor.timerCount == 1 && half.inspect { $0.isHeadPaused })
    callers[1].giveUp(.cancelled)
    let third = try receive()
    #expect(!reactor.isCalled && reactor.timerCount == 1)
    // There is room again.
    reactor.refuseToWatch(nil)
    reactor.passTimer()
    reactor.drive()
    #expect(half.inspect { !$0.isHeadPaused && $0.isRegistered && $0.retryAt == nil })
    #expect(!reactor.isCalled && reactor.timerCount == 0 && !third.isDecided)
    _ = try pair.second.withDescriptor { try $0.writeAll([8]) }
    half.stir()
    reactor.drive()
    #expect(third.isDecided)
    Self.close(core)
  }

  @Test func `the rest of a message whose descriptor cannot be watched goes out after pauses`() throws {
    let reactor = Refusing()
    let pair = try DescriptorPair.sockets()
    let number = pair.first.withDescriptor { swsys_duplicate($0.rawValue, 3) }
    let core = try EndpointCore(adopting: number, for: [.readable, .writable], reactor: reactor)
    let half = try #require(core.sending)
    reactor.refuseToWatch(.noMemory)
    let whole = SendHalf.Call(Outgoing([UInt8](repeating: 1, count: 2_000_000)), as: .task, until: .never)
    guard case .queued(let place) = half.start(whole) else {
      Issue.record("there is no room for that much")
      return
    }
    let caller = HandCaller(place, in: half)
    #expect(!caller.isDecided && !reactor.isCalled && reactor.timerCount == 1)
    caller.giveUp(.cancelled)
    reactor.drive()
    #expect(place.error?.isCommitted == true)
    #expect(half.inspect { $0.queue.first?.kind == .orphan && $0.isHeadPaused && $0.over == nil })
    var received = 0
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 100_000, alignment: 1)
    defer { unsafe memory.deallocate() }
    while received < 2_000_000 {
      // The kernel has some, or accepts some after the pause.
      received += try pair.second.withDescriptor { try unsafe $0.read(into: memory) }
      #expect(!reactor.isCalled)
      if reactor.timerCount > 0 { reactor.passTimer() }
      reactor.drive()
    }
    #expect(half.inspect { $0.queue.count == 0 && !$0.turn && $0.over == nil && $0.retryAt == nil })
    Self.close(core)
  }

  @Test func `where nobody can watch and no timer fires the head fails, and what is owed ends sending`()
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
