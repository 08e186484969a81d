import SWIO
import SWTesting
import Synchronization
import TestSupport
import Testing

@testable import SWMessaging

/// Datagrams that stand aside, by their destinations.
@Suite(.lastResort, .leavesNothing) struct AsideDestinationTests {
  private static let first = SocketAddress(abstractName: "first")
  private static let second = SocketAddress(abstractName: "second")

  private static func refusals(_ count: Int) -> [Attempt] { Array(repeating: .retryLater, count: count) }

  /// The sends that a transport has seen, without the addresses.
  private static func sends(_ played: HandPlayed) -> [String] {
    played.transport.log.filter { $0.hasPrefix("send") }.map { String($0.prefix { $0 != "]" }) + "]" }
  }

  @Test func `at the end of a pause one datagram to each destination moves, however many wait`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: Self.refusals(2)))
    let sent = (0..<300).map { played.send([UInt8($0 % 200)], to: Self.first) }
    let other = played.send([250], to: Self.second)
    #expect(played.transport.count("send") == 2)
    for _ in 0..<5 {
      played.transport.append(sending: .retryLater, .retryLater)
      let sending = played.sending
      let inLine = Guarded(0)
      played.transport.meanwhile {
        let count = sending.inspect { state in
          var count = 0
          state.queue.visit { _ in count += 1 }
          return count
        }
        inLine.withLock { $0 = count }
      }
      let before = played.transport.count("send")
      played.passPauses { played.transport.count("send") > before }
      #expect(played.transport.count("send") == before + 2)
      #expect(inLine.withLock { $0 } == 2)
    }
    played.passPauses { sent.allSatisfy { $0.outcome != nil } && other.outcome != nil }
    let order = Self.sends(played).suffix(301).filter { $0 != "send [250]" }
    #expect(order == (0..<300).map { "send [\($0 % 200)]" })
    played.end()
  }

  @Test func `a destination that nobody waits for any more is tried at once`() {
    // The pause must not end because the machine is slow.
    let played = HandPlayed(
      PlayedTransport(.datagrams, sending: Self.refusals(2)), reactor: ManualReactor(startingAt: .now))
    let (given, other) = (played.send([1], to: Self.first), played.send([2], to: Self.second))
    given.caller?.giveUp(.cancelled)
    #expect(given.outcome == "cancelled" && other.outcome == nil)
    #expect(played.send([3], to: Self.first).outcome == "sent" && other.outcome == nil)
    #expect(Self.sends(played) == [1, 2, 3].map { "send [\($0)]" })
    played.end()
  }

  @Test func `what a destination takes goes out in order, until it refuses again`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: Self.refusals(1)))
    let sent = (1...4).map { played.send([UInt8($0)], to: Self.first) }
    played.transport.append(sending: .transferred(1), .transferred(1), .retryLater)
    played.passPauses { sent[1].outcome != nil }
    #expect(sent.map(\.outcome) == ["sent", "sent", nil, nil])
    // The one that was refused is still the first.
    let behind = played.send([5], to: Self.first)
    played.passPauses { behind.outcome != nil }
    #expect(
      Self.sends(played) == [1, 1, 2, 3, 3, 4, 5].map { "send [\($0)]" })
    #expect(played.sending.inspect { $0.retryAt == nil && $0.queue.count == 0 && !$0.queue.rests })
    played.end()
  }

  @Test func `a caller that is served puts 16 others aside at most, and leaves the rest to the reactor`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: Self.refusals(1)))
    let first = played.send([1], to: Self.first)
    let behind = Guarded<[HandSent]>([])
    played.transport.meanwhile {
      let sent = (2..<100).map { played.send([$0], to: Self.first) }
      behind.withLock { $0 = sent }
    }
    #expect(played.send([100], to: Self.second).outcome == "sent")
    let sent = behind.withLock { $0 }
    #expect(sent.count { $0.caller?.place.isAside == true } == 16)
    #expect(played.reactor.isCalled)
    played.passPauses { first.outcome != nil && sent.allSatisfy { $0.outcome != nil } }
    #expect(Self.sends(played).suffix(98) == (2..<100).map { "send [\($0)]" }[...])
    played.end()
  }

  /// The reactor has driven for as long as it may at a time, and is to go on.
  @Test func `a datagram whose time is over does not overtake one that stands aside`() throws {
    var count = 0
    for others in 50..<80 as Range<UInt8> {
      let played = HandPlayed(
        PlayedTransport(.datagrams, sending: [.wouldBlock]),
        reactor: ManualReactor(startingAt: Deadline(nanoseconds: 1)))
      let (transport, reactor) = (played.transport, played.reactor)
      let late = Guarded<HandCaller?>(nil)
      transport.meanwhile {
        for number in 0..<others { _ = played.send([number], to: Self.second) }
        _ = played.send([100], to: Self.first)
        let sent = played.send([101], to: Self.first, until: Deadline(nanoseconds: 100))
        late.withLock { $0 = sent.caller }
      }
      _ = played.send([102], to: Self.second)
      let caller = try #require(late.withLock { $0 })
      let waiting = TaskWait(caller.place)
      waiting.arm()
      for _ in 0...others { transport.append(sending: .transferred(1)) }
      transport.append(sending: .retryLater)
      transport.raise(.writable)
      _ = reactor.driveOnce()
      if reactor.isCalled, !caller.place.isAside, played.sending.inspect({ $0.queue.hasAside }) {
        count += 1
        reactor.pass(Deadline(nanoseconds: 100))
        #expect(caller.isDecided && Self.sends(played).last == "send [100]")
      }
      waiting.finish()
      played.end()
    }
    #expect(count > 0)
  }

  @Test func `a flush waits for what was called before it, and for nothing else`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: Self.refusals(1)))
    let before = played.send([1], to: Self.first)
    let flush = played.send([], step: .flush)
    let behind = played.send([2], to: Self.first)
    played.transport.append(sending: .retryLater)
    let other = played.send([3], to: Self.second)
    let last = played.send([], step: .flush)
    // Both flushes wait, and the second datagram to the first destination.
    #expect(played.sending.inspect { $0.queue.count } == 5)
    played.transport.append(sending: .transferred(1), .transferred(1), .retryLater)
    played.passPauses { before.outcome != nil }
    #expect([before, flush, behind].allSatisfy { $0.outcome == "sent" })
    #expect(other.outcome == nil && last.outcome == nil)
    played.passPauses { last.outcome != nil }
    #expect(other.outcome == "sent" && last.outcome == "sent")
    played.end()
  }

  @Test(arguments: [Place.Kind.task, .thread])
  func `if the first of a destination leaves during a pause, the next one is tried at its end`(
    _ kind: Place.Kind
  ) {
    // The pause must not end because the machine is slow.
    let played = HandPlayed(
      PlayedTransport(.datagrams, sending: Self.refusals(1)), reactor: ManualReactor(startingAt: .now))
    let first = played.send([1], to: Self.first, as: .thread)
    let second = played.send([2], to: Self.first, as: kind)
    let third = played.send([3], to: Self.first, as: kind)
    second.caller?.run()
    // Only the first looks after the pause.
    #expect(first.caller?.place.waitLimit == played.sending.inspect { $0.retryAt })
    #expect(second.caller?.place.waitLimit == .never && played.reactor.timerCount == 0)
    first.caller?.giveUp(.cancelled)
    #expect(first.outcome == "cancelled")
    if kind == .thread {
      #expect(second.caller?.isWoken == true)
      second.caller?.run()
      #expect(second.caller?.place.waitLimit == played.sending.inspect { $0.retryAt })
    } else {
      #expect(played.reactor.timerCount == 1)
    }
    while third.outcome == nil {
      second.caller?.run()
      third.caller?.run()
      played.reactor.pass(.after(.seconds(1)))
      played.reactor.drive()
    }
    #expect(second.outcome == "sent" && Self.sends(played) == [1, 2, 3].map { "send [\($0)]" })
    played.end()
  }

  @Test func `the first of a destination may leave while it is tried`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: Self.refusals(2)))
    let first = played.send([1], to: Self.first)
    let second = played.send([2], to: Self.first)
    played.transport.meanwhile { first.caller?.giveUp(.cancelled) }
    played.passPauses { first.outcome != nil }
    #expect(first.outcome == "cancelled")
    played.passPauses { second.outcome != nil }
    #expect(second.outcome == "sent" && Self.sends(played) == [1, 1, 2].map { "send [\($0)]" })
    played.end()
  }

  @Test func `a datagram without time has only those to its destination tried first`() {
    let addresses = (0..<50).map { SocketAddress(abstractName: "\($0)") }
    let played = HandPlayed(PlayedTransport(.datagrams, sending: Self.refusals(50)))
    let stuck = addresses.enumerated().map { played.send([UInt8($0)], to: $1) }
    #expect(played.transport.count("send") == 50)
    #expect(played.send([100], to: Self.first, until: .immediately).outcome == "sent")
    #expect(played.transport.count("send") == 51)
    played.transport.append(sending: .retryLater, .retryLater)
    #expect(played.send([101], to: addresses[3], until: .immediately).outcome == "timedOut")
    #expect(Self.sends(played).suffix(2) == ["send [3]", "send [101]"])
    #expect(played.sending.inspect { $0.queue.count } == 50)
    // A flush without time has them all tried.
    played.transport.append(sending: .retryLater)
    #expect(played.send([], step: .flush, until: .immediately).outcome == "timedOut")
    #expect(stuck.count { $0.outcome == nil } == 1)
    played.passPauses { stuck.allSatisfy { $0.outcome != nil } }
    played.end()
  }

  @Test func `a close decides all that stands aside, and what has returned to the line`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: Self.refusals(2)))
    let sent = (1...3).map { played.send([UInt8($0)], to: Self.first) }
    let flush = played.send([], step: .flush)
    let sending = played.sending
    played.transport.meanwhile { sending.close() }
    played.passPauses { flush.outcome != nil }
    #expect((sent + [flush]).allSatisfy { $0.outcome == "closed" })
    #expect(played.sending.inspect { $0.queue.count } == 0)
    played.end()
  }

  @Test func `the flushes that stand aside behind a half-close end with it`() {
    let played = HandPlayed(
      PlayedTransport(.datagrams, sending: [.retryLater]),
      reactor: ManualReactor(startingAt: Deadline(nanoseconds: 1)))
    let sent = played.send([1])
    let finished = played.send([], step: .halfClose)
    let flushes = (0..<3).map { _ in played.send([], step: .flush) }
    #expect(([sent, finished] + flushes).allSatisfy { $0.caller?.place.isAside == true })
    played.passPauses { sent.outcome != nil }
    #expect(([sent, finished] + flushes).allSatisfy { $0.outcome == "sent" })
    #expect(played.transport.log.suffix(2) == ["send [1]", "finish"])
    played.end()
  }

  /// The head is told that it is still the head, and the next one to the first destination that the pause is its own now.
  @Test func `a thread that looks after a pause from now on is told, also if the head is told, too`() {
    // The pause must not end because the machine is slow.
    let played = HandPlayed(
      PlayedTransport(.datagrams, sending: [.retryLater, .wouldBlock]),
      reactor: ManualReactor(startingAt: .now))
    let first = played.send([1], to: Self.first, as: .thread)
    let second = played.send([2], to: Self.first, as: .thread)
    let head = played.send([3], to: Self.second, as: .thread)
    let callers = [first, second, head].map(\.caller)
    #expect(callers.allSatisfy { $0?.isWoken == false })
    #expect(callers.map { $0?.place.isAside } == [true, true, false])
    first.caller?.giveUp(.cancelled)
    #expect(first.outcome == "cancelled")
    #expect(second.caller?.isWoken == true && head.caller?.isWoken == true)
    second.caller?.run()
    #expect(second.caller?.place.waitLimit == played.sending.inspect { $0.retryAt })
    played.end()
  }

  /// A task on a thread of the reactor is owed the attempt that it leaves to the reactor, if attempts may hang.
  @Test func `a datagram that is owed an attempt has it at its deadline, also while others stand aside`()
    throws
  {
    let played = HandPlayed(
      PlayedTransport(.datagrams, sending: Self.refusals(1)),
      reactor: ManualReactor(startingAt: Deadline(nanoseconds: 1)))
    let waiting = played.send([1], to: Self.first)
    let late = Guarded<HandCaller?>(nil)
    played.transport.meanwhile {
      let caller = played.send([2], to: Self.first, until: Deadline(nanoseconds: 100)).caller
      caller?.place.owesAttempt = true
      caller?.place.deadlinePassed()
      #expect(caller?.isDecided == false)
      late.withLock { $0 = caller }
    }
    #expect(played.send([3], to: Self.second).outcome == "sent")
    let caller = try #require(late.withLock { $0 })
    #expect(caller.isDecided && (caller.place as? SendPlace)?.error == nil)
    #expect(Self.sends(played) == [1, 3, 2].map { "send [\($0)]" })
    #expect(waiting.outcome == nil)
    played.end()
  }

  @Test func `a pause that nobody waits for any more is forgotten at the next send`() {
    let played = HandPlayed(
      PlayedTransport(.datagrams, sending: Self.refusals(1)), reactor: ManualReactor(startingAt: .now))
    // A thread ends its pause itself, so no timer ends it.
    let given = played.send([1], to: Self.first, as: .thread)
    given.caller?.giveUp(.cancelled)
    #expect(given.outcome == "cancelled" && played.reactor.timerCount == 0)
    #expect(played.send([2], to: Self.second).outcome == "sent")
    #expect(played.sending.inspect { $0.retryAt == nil })
    played.end()
  }
}
