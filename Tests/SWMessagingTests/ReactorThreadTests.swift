import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// A task on the reactor's own thread keeps that from others: what it moves in one go has the same bounds as what the
/// reactor moves. The reactor that goes on is driven by hand.
@Suite(.lastResort, .leavesNothing) struct ReactorThreadTests {
  /// Runs on the reactor's thread, or on another one.
  private static func run<Result: Sendable>(
    onReactor: Bool, _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    guard onReactor else {
      return try await Task(executorPreference: globalConcurrentExecutor) { @concurrent in
        #expect(!Reactor.isCurrentThread)
        return try body()
      }.value
    }
    return try await Task(executorPreference: .reactor) { @concurrent in
      #expect(Reactor.isCurrentThread)
      return try body()
    }.value
  }

  @Test(arguments: [true, false]) func `who comes to a long queue serves 64 others on the reactor's thread`(
    _ onReactor: Bool
  ) async throws {
    let served = try await Self.run(onReactor: onReactor) {
      let hand = HandDriven(receiving: [])
      let side = hand.side(.varInt)
      let calls = (0..<100).map { _ in hand.receive(side.request) }
      hand.transport.append(receiving: [.bytes((0...100).flatMap { [1, UInt8($0)] })])
      // The next caller drives for the others first.
      let last = hand.receive(side.request)
      let served = calls.count { hand.result($0, side) != nil }
      hand.reactor.drive()
      #expect((calls + [last]).map { hand.result($0, side)?.value } == (0...100).map { [UInt8($0)] })
      return served
    }
    #expect(served == (onReactor ? 64 : 100))
  }

  @Test(arguments: [true, false]) func `who comes to a long queue of senders sends for 64 of them there`(
    _ onReactor: Bool
  ) async throws {
    let sent = try await Self.run(onReactor: onReactor) {
      let hand = HandDriven(sending: [])
      let payload = pattern(2_100)
      let calls = (0..<100).map { _ in hand.send(payload) }
      hand.transport.append(sending: Array(repeating: .accept(.max), count: 101))
      let last = hand.send(payload)
      let sent = hand.transport.sent.count / payload.count
      hand.reactor.drive()
      #expect((calls + [last]).allSatisfy { hand.result($0) != nil })
      #expect(hand.transport.sent.count == 101 * payload.count)
      return sent
    }
    #expect(sent == (onReactor ? 64 : 101))
  }

  @Test func `flushes of a long queue are decided 64 at a time`() {
    let hand = HandDriven(sending: [])
    _ = hand.send([1])
    let flushes = (0..<100).map { _ in
      hand.send(SendHalf.Call(Outgoing([], borders: []), as: .task, step: .flush, until: .never))
    }
    hand.transport.append(sending: [.accept(.max)])
    #expect(hand.reactor.driveOnce())
    let decided = flushes.count { hand.result($0) != nil }
    #expect((60...64).contains(decided))
    hand.reactor.drive()
    #expect(flushes.allSatisfy { hand.result($0) != nil })
  }

  @Test(arguments: [true, false]) func `a large receive is cut after 256 KiB there, and the reactor goes on`(
    _ onReactor: Bool
  ) async throws {
    try await Self.run(onReactor: onReactor) {
      let chunk = [UInt8](repeating: 7, count: 65_536)
      let hand = HandDriven(receiving: Array(repeating: .bytes(chunk), count: 20))
      let call = hand.receive(.exactly(20 * chunk.count))
      // An attempt for a large request brings a block at a time.
      let received = hand.receiveHalf.held
      if onReactor {
        #expect(hand.outcome(call) == nil && hand.reactor.isCalled)
        #expect(received >= 256 << 10 && received < (256 << 10) + chunk.count)
        #expect(hand.receiveHalf.inspect { !$0.turn && $0.stirred && $0.queue.count == 1 })
      }
      hand.reactor.drive()
      #expect(hand.bytes(call)?.count == 20 * chunk.count)
    }
  }

  @Test func `a large receive on the reactor's thread that is closed meanwhile says so`() async throws {
    try await Self.run(onReactor: true) {
      let played = HandPlayed(
        PlayedTransport(receiving: Array(repeating: .transferred(1 << 20), count: 100)))
      played.transport.meanwhile { played.receiving.close() }
      guard
        case .ended(.failed(let error)) = played.receiving.start(.exactly(1 << 20), as: .task, until: .never)
      else {
        Issue.record("it is closed")
        return
      }
      #expect(error.reason == .closed)
      played.end()
    }
  }

  @Test(arguments: [true, false]) func `a large send is cut after 256 KiB there, and the reactor goes on`(
    _ onReactor: Bool
  ) async throws {
    try await Self.run(onReactor: onReactor) {
      let hand = HandDriven(sending: Array(repeating: .accept(100_000), count: 10))
      let call = hand.send(pattern(1_000_000))
      if onReactor {
        #expect(hand.result(call) == nil && hand.reactor.isCalled)
        #expect(hand.transport.sent.count == 300_000)
        #expect(hand.sendHalf.inspect { !$0.turn && $0.stirred && $0.queue.count == 1 })
      } else {
        #expect(hand.result(call) != nil)
      }
      hand.reactor.drive()
      #expect(hand.result(call)?.error == nil && hand.result(call) != nil)
      #expect(hand.transport.sent == pattern(1_000_000))
    }
  }

  // MARK: No helper thread

  @Test func `who fails for want of a helper makes no attempt for others`() {
    let hand = HandDriven(receiving: [.wouldBlock])
    hand.reactor.refuseHelp(.noMemory)
    let first = hand.receive(.exactly(1))
    hand.transport.append(receiving: [.offload, .bytes([1, 2, 3])])
    let second = hand.receive(.exactly(1))
    // The attempt of the first, which fails for it; the second one's is the reactor's.
    guard case .failed(let error) = hand.outcome(first) else {
      Issue.record("no thread is to be had")
      return
    }
    #expect(error.reason == .transport(TransportError(.offload, .noMemory)))
    #expect(hand.transport.receiveCount == 2 && hand.reactor.isCalled)
    #expect(hand.receiveHalf.inspect { !$0.turn })
    hand.reactor.drive()
    #expect(hand.bytes(second) == [1])
  }

  @Test func `a task there stops when exactly 256 KiB have been sent`() async throws {
    try await Self.run(onReactor: true) {
      let limit = 256 << 10
      let hand = HandDriven(sending: [.accept(limit), .accept(1)])
      let call = hand.send(pattern(limit + 1))
      #expect(hand.result(call) == nil && hand.reactor.isCalled)
      #expect(hand.transport.sent.count == limit)
      hand.reactor.drive()
      #expect(hand.result(call)?.value != nil)
    }
  }
}
