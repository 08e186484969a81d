import SWIO
import SWMessaging
import SWTesting
import Synchronization
import TestSupport
import Testing

/// Lines 6 and 10 of the contract: no half keeps the reactor or an executor for long, and no timer is left.
@Suite(.lastResort, .leavesNothing) struct BudgetTests {
  // MARK: One turn of the reactor

  @Test func `one turn of the reactor serves 64 receivers at most, and asks for another`() {
    let hand = HandDriven(receiving: [])
    let side = hand.side(.varInt)
    let calls = (0..<100).map { _ in hand.receive(side.request) }
    hand.transport.append(receiving: [.bytes((0..<100).flatMap { [1, UInt8($0)] })])
    #expect(hand.reactor.driveOnce())
    #expect(calls.count { hand.result($0, side) != nil } == 64)
    #expect(hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(calls.map { hand.result($0, side)?.value } == (0..<100).map { [UInt8($0)] })
  }

  @Test func `one turn of the reactor receives 256 KiB at most`() throws {
    let hand = HandDriven(receiving: [])
    let side = hand.side(.varInt)
    let payload = pattern(60_000)
    let calls = (0..<10).map { _ in hand.receive(side.request) }
    hand.transport.append(receiving: [
      .bytes(Array(repeating: try varIntFrame(payload), count: 10).joined() + [])
    ])
    #expect(hand.reactor.driveOnce())
    #expect(calls.count { hand.result($0, side) != nil } == 4)
    #expect(hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(calls.allSatisfy { hand.result($0, side)?.value == payload })
  }

  @Test func `one turn of the reactor serves 64 senders at most, and asks for another`() {
    let hand = HandDriven(sending: [])
    // Two of them are more than goes out together.
    let payload = pattern(2_100)
    let calls = (0..<100).map { _ in hand.send(payload) }
    hand.transport.append(sending: Array(repeating: .accept(.max), count: 100))
    #expect(hand.reactor.driveOnce())
    #expect(hand.transport.sent.count == 64 * payload.count)
    #expect(hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(calls.allSatisfy { hand.result($0) != nil })
    #expect(hand.transport.sent.count == 100 * payload.count)
  }

  @Test func `one turn of the reactor sends 256 KiB and one attempt at most`() {
    let hand = HandDriven(sending: [])
    let payload = pattern(60_000)
    let calls = (0..<10).map { _ in hand.send(payload) }
    hand.transport.append(sending: Array(repeating: .accept(.max), count: 10))
    #expect(hand.reactor.driveOnce())
    #expect(hand.transport.sent.count == 5 * payload.count)
    #expect(hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(calls.allSatisfy { hand.result($0) != nil })
  }

  @Test func `what goes out together counts for each sender and for its bytes`() {
    let hand = HandDriven(sending: [])
    let payload = pattern(40)
    let calls = (0..<300).map { _ in hand.send(payload) }
    let before = hand.transport.sendCount
    hand.transport.append(sending: Array(repeating: .accept(.max), count: 10))
    #expect(hand.reactor.driveOnce())
    // One attempt takes 4096 bytes, and with it more than a turn may serve.
    #expect(hand.transport.sendCount == before + 1)
    #expect(hand.transport.sent.count == 4096 / payload.count * payload.count)
    #expect(hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(calls.allSatisfy { hand.result($0) != nil })
  }

  // MARK: One call

  @Test func `a thread that has its message serves 16 others at most`() {
    let hand = HandDriven(receiving: [])
    let side = hand.side(.varInt)
    let first = hand.receive(side.request, as: .thread)
    let others = (0..<30).map { _ in hand.receive(side.request) }
    hand.transport.append(receiving: [.bytes((0..<31).flatMap { [1, UInt8($0)] })])
    first.caller?.run()
    #expect(hand.result(first, side)?.value == [0])
    #expect(others.count { hand.result($0, side) != nil } == 16)
    #expect(hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(others.map { hand.result($0, side)?.value } == (1...30).map { [UInt8($0)] })
  }

  @Test func `a thread whose message is out serves 16 others at most`() {
    let hand = HandDriven(sending: [])
    let payload = pattern(2_100)
    let first = hand.send(payload, as: .thread)
    let others = (0..<30).map { _ in hand.send(payload) }
    hand.transport.append(sending: Array(repeating: .accept(.max), count: 31))
    first.caller?.run()
    #expect(hand.result(first) != nil)
    #expect(others.count { hand.result($0) != nil } == 16)
    #expect(hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(others.allSatisfy { hand.result($0) != nil })
  }

  @Test func `a thread that gives up in the middle of its message serves 16 others at most`() {
    let hand = HandDriven(sending: [.accept(10), .wouldBlock])
    let payload = pattern(2_100)
    let first = hand.send(payload, as: .thread)
    let others = (0..<30).map { _ in hand.send(payload) }
    hand.transport.append(sending: Array(repeating: .accept(.max), count: 40))
    first.caller?.giveUp(.timedOut)
    #expect(hand.result(first)?.error?.reason == .timedOut)
    // The rest of its message counts as one.
    #expect(others.count { hand.result($0) != nil } == 15)
    #expect(hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(others.allSatisfy { hand.result($0)?.value != nil })
  }

  @Test func `a thread that finds no frame among the bytes serves 16 others at most`() {
    let hand = HandDriven(receiving: [])
    let side = hand.side(.varInt)
    let first = hand.receive(side.request, as: .thread)
    let others = (0..<30).map { _ in hand.receive(.upTo(1)) }
    hand.transport.append(receiving: [.bytes(Array(repeating: 0xff, count: 30))])
    first.caller?.run()
    #expect(hand.result(first, side)?.error != nil)
    #expect(others.count { hand.bytes($0) == [0xff] } == 16)
    #expect(hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(others.allSatisfy { $0.caller?.isDecided == true })
  }

  @Test func `a helper serves 64 senders at most, and leaves the rest to the reactor`() {
    let played = HandPlayed(PlayedTransport(sending: [.offload]))
    let payload = pattern(2_100)
    let first = played.send([1])
    let others = (0..<100).map { _ in played.send(payload) }
    #expect(played.reactor.help())
    #expect(first.outcome == "sent" && others.count { $0.outcome != nil } == 63)
    #expect(played.reactor.isCalled)
    played.reactor.drive()
    #expect(others.allSatisfy { $0.outcome == "sent" })
    played.end()
  }

  @Test func `one turn of the reactor ends when exactly 256 KiB have been sent`() {
    let hand = HandDriven(sending: [])
    let limit = 256 << 10
    let call = hand.send(pattern(limit + 1))
    hand.transport.append(sending: [.accept(limit), .accept(1)])
    #expect(hand.reactor.driveOnce())
    #expect(hand.transport.sent.count == limit && hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(hand.result(call)?.value != nil)
  }

  @Test func `the bytes of what goes out together count for the turn of the reactor`() {
    let hand = HandDriven(sending: [])
    let sizes = [262_000, 2_000, 2_000, 2_000]
    let calls = sizes.map { hand.send(pattern($0)) }
    hand.transport.append(sending: Array(repeating: .accept(.max), count: 10))
    #expect(hand.reactor.driveOnce())
    // 144 bytes are left for two messages, which go out together.
    #expect(hand.transport.sent.count == 266_000 && hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(calls.allSatisfy { hand.result($0)?.value != nil })
  }

  @Test func `a caller whose only attempt has sent its message serves 16 others at most`() throws {
    let played = HandPlayed(PlayedTransport())
    let payload = pattern(2_100)
    let others = Guarded<[HandSent]>([])
    played.transport.meanwhile {
      let sent = (0..<30).map { _ in played.send(payload) }
      others.withLock { $0 = sent }
    }
    #expect(try SocketWriter(core: played.core).blocking.send([1]) == 1)
    let sent = others.withLock { $0 }
    #expect(sent.count { $0.outcome != nil } == 16)
    #expect(played.reactor.isCalled)
    played.reactor.drive()
    #expect(sent.allSatisfy { $0.outcome == "sent" })
    played.end()
  }

  @Test func `a helper serves 64 receivers at most, and leaves the rest to the reactor`() {
    let hand = HandDriven(receiving: [.offload])
    let side = hand.side(.varInt)
    let calls = (0..<100).map { _ in hand.receive(side.request) }
    hand.transport.append(receiving: [.bytes((0..<100).flatMap { [1, UInt8($0)] })])
    #expect(hand.reactor.help())
    #expect(calls.count { hand.result($0, side) != nil } == 64)
    #expect(hand.reactor.isCalled)
    hand.reactor.drive()
    #expect(calls.map { hand.result($0, side)?.value } == (0..<100).map { [UInt8($0)] })
  }

  // MARK: Yielding

  /// After how many calls another task of the same actor has run; nil: after none of 300.
  @MainActor
  private func callsBeforeOther(_ call: () async throws -> Void) async throws -> Int? {
    let other = Task { @MainActor in hasRun = true }
    defer { hasRun = false }
    for count in 1...300 {
      try await call()
      if hasRun {
        await other.value
        return count
      }
    }
    await other.value
    return nil
  }

  @MainActor @Test func `line 11: after 64 receives that did not wait, others run`() async throws {
    let (reader, writer) = try makePipe(framing: .varInt)
    try await writer.send(contentsOf: (0..<400).map { [UInt8(truncatingIfNeeded: $0)] })
    let first = try await callsBeforeOther { _ = try await reader.receive() }
    let second = try await callsBeforeOther { _ = try await reader.receive() }
    #expect(first == 65 && second == 65, "\(String(describing: first)), \(String(describing: second))")
  }

  @MainActor @Test func `line 11: after 64 sends that did not wait, others run`() async throws {
    let (reader, writer) = try makePipe(framing: .varInt)
    let first = try await callsBeforeOther { try await writer.send([1]) }
    let second = try await callsBeforeOther { try await writer.send([1]) }
    #expect(first == 65 && second == 65, "\(String(describing: first)), \(String(describing: second))")
    withExtendedLifetime(reader) {}
  }

  // MARK: Timers

  @Test(arguments: ["message", "cancellation", "close", "deadline"])
  func `line 10: a wait with a deadline leaves no timer, however it ends`(_ end: String) async throws {
    let hand = HandDriven(receiving: [], sending: [])
    let reader = MessageReader(
      core: hand.core, framing: .varInt, mode: .readAhead, maximumFrameSize: defaultMaximumFrameSize)
    let writer = MessageWriter(core: hand.core, framing: .varInt)
    let receiving = Task { try await reader.receive(timeout: .seconds(1_000_000)) }
    let sending = Task { try await writer.send([1], timeout: .seconds(1_000_000)) }
    await eventually { hand.reactor.timerCount == 2 && writer.queued == 2 }
    switch end {
    case "message":
      hand.bring(.bytes([1, 7]))
      hand.accept(.accept(.max))
      #expect(try await receiving.value == [7])
      try await sending.value
    case "cancellation":
      receiving.cancel()
      sending.cancel()
    case "close":
      reader.close()
      writer.close()
    default: hand.reactor.pass(.after(.seconds(2_000_000)))
    }
    _ = await (receiving.result, sending.result)
    #expect(hand.reactor.timerCount == 0)
    reader.close()
    writer.close()
  }
}

/// Of the tests that are about yielding.
@MainActor private var hasRun = false
