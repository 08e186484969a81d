import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Attempts that are to be repeated after a pause, because no readiness tells when they may get on.
@Suite(.lastResort, .leavesNothing) struct PauseTests {
  static let kinds = [Place.Kind.task, .thread]
  private static let first = SocketAddress(abstractName: "first")
  private static let second = SocketAddress(abstractName: "second")

  /// How long the pause is that an attempt has begun, in milliseconds; nil if there is none, or if it is longer or
  /// shorter than it can be.
  private func pause(_ half: Half, _ lengths: [UInt64], by attempt: () -> Void) -> UInt64? {
    let before = Deadline.now.nanoseconds
    attempt()
    let after = Deadline.now.nanoseconds
    guard let end = half.inspect({ $0.retryAt })?.nanoseconds else { return nil }
    return lengths.first { before + $0 * 1_000_000 <= end && end <= after + $0 * 1_000_000 }
  }

  // MARK: Streams

  @Test
  func `a pause is twice as long each time, up to 100 ms, and short again after an attempt that is in vain`()
  {
    let played = HandPlayed(PlayedTransport(receiving: Array(repeating: .retryLater, count: 9)))
    var caller: HandCaller?
    var lengths: [UInt64?] = [pause(played.receiving, [1]) { caller = played.receive() }]
    for length in [2, 4, 8, 16, 32, 64, 100, 100] as [UInt64] {
      let count = played.transport.count("receive")
      #expect(played.reactor.timerCount == 1)
      // The pause is over when the clock says so, and not before.
      while !played.reactor.isCalled { played.reactor.pass(.after(.seconds(1))) }
      lengths.append(pause(played.receiving, [length]) { played.reactor.drive() })
      #expect(played.transport.count("receive") == count + 1)
    }
    #expect(lengths == [1, 2, 4, 8, 16, 32, 64, 100, 100])
    // This one would block.
    played.passPauses { played.receiving.inspect { $0.retryAt } == nil }
    #expect(played.reactor.timerCount == 0)
    #expect(played.outcome(caller) == nil)
    played.transport.append(receiving: .retryLater)
    #expect(
      pause(played.receiving, [1]) {
        played.transport.raise(.readable)
        played.reactor.drive()
      } == 1)
    played.transport.append(receiving: .transferred(3))
    played.passPauses { played.outcome(caller) != nil }
    #expect(played.outcome(caller) == "[1, 2, 3]")
    #expect(played.reactor.timerCount == 0 && played.receiving.inspect { $0.retryAt } == nil)
    played.end()
  }

  @Test(arguments: [false, true])
  func `a caller without time that meets a pause leaves an attempt to the one that came meanwhile`(
    isSending: Bool
  ) {
    let steps: [Attempt] = [.retryLater, .retryLater]
    let played = HandPlayed(
      isSending ? PlayedTransport(sending: steps) : PlayedTransport(receiving: steps))
    let behind = Guarded<HandCaller?>(nil)
    played.transport.meanwhile {
      let caller = isSending ? played.send([2]).caller : played.receive()
      behind.withLock { $0 = caller }
    }
    if isSending {
      #expect(played.send([1], until: .immediately).outcome == "timedOut")
    } else {
      guard case .ended(.failed(let error)) = played.receiving.start(.upTo(9), as: .task, until: .immediately)
      else { return played.end() }
      #expect(error.reason == .timedOut)
      played.transport.append(receiving: .transferred(1))
    }
    let caller = behind.withLock { $0 }
    #expect(caller?.isDecided == false && played.reactor.isCalled)
    // Its own attempt asks for a pause, too.
    played.reactor.drive()
    #expect(caller?.isDecided == false && played.reactor.timerCount == 1)
    played.passPauses { caller?.isDecided ?? true }
    #expect(caller?.isDecided == true)
    played.end()
  }

  @Test func `a pause that is ended before it begins does not begin`() {
    let played = HandPlayed(PlayedTransport(receiving: [.retryLater, .transferred(1)]))
    let receiving = played.receiving
    played.transport.meanwhile { receiving.endPauseEarly() }
    guard case .ended(.lent(let demand)) = receiving.start(.upTo(9), as: .task, until: .never) else {
      Issue.record("there is a second attempt at once")
      return
    }
    receiving.finishLoan(demand)
    #expect(played.reactor.timerCount == 0)
    played.end()
  }

  @Test func `a short pause does not wait for the timer of a longer one that has ended early`() {
    let played = HandPlayed(PlayedTransport(receiving: Array(repeating: .retryLater, count: 7)))
    let caller = played.receive()
    played.passPauses { played.receiving.inspect { $0.pauseLength } == 64_000_000 }
    #expect(played.reactor.timerCount == 1)
    // Readiness ends it, and the next one is as short as the first.
    played.transport.append(receiving: .wouldBlock, .retryLater)
    for isPaused in [false, true] {
      played.transport.raise(.readable)
      played.reactor.drive()
      #expect(played.receiving.inspect { $0.isHeadPaused } == isPaused)
    }
    #expect(played.receiving.inspect { $0.pauseLength } == 1_000_000)
    #expect(played.reactor.earliestTimer <= played.receiving.inspect { $0.retryAt } ?? .immediately)
    played.transport.append(receiving: .transferred(1))
    played.passPauses { played.outcome(caller) != nil }
    #expect(played.outcome(caller) == "[1]")
    played.end()
  }

  @Test func `one timer is set for a pause, whoever comes meanwhile and tries again`() {
    let played = HandPlayed(PlayedTransport(receiving: Array(repeating: .retryLater, count: 4)))
    let callers = (0..<3).map { _ in played.receive(.exactly(2)) }
    #expect(played.transport.count("receive") == 3)
    #expect(played.reactor.timerCount == 1)
    played.transport.append(receiving: .transferred(2), .transferred(2), .transferred(2))
    played.passPauses { callers.allSatisfy { $0?.isDecided ?? true } }
    #expect(callers.map { played.outcome($0) } == ["[1, 2]", "[3, 4]", "[5, 6]"])
    #expect(played.reactor.timerCount == 0)
    played.end()
  }

  @Test func `a thread ends a pause by itself, without a timer`() throws {
    for isSending in [false, true] {
      let transport =
        isSending
        ? PlayedTransport(sending: [.retryLater, .retryLater])
        : PlayedTransport(receiving: [.retryLater, .retryLater, .transferred(2)])
      let played = HandPlayed(transport)
      let half: Half = isSending ? played.sending : played.receiving
      let sent = isSending ? played.send([1, 2], as: .thread) : nil
      let caller = try #require(isSending ? sent?.caller : played.receive(as: .thread))
      #expect(half.inspect { $0.isHeadPaused })
      #expect(caller.place.waitLimit == half.inspect { $0.retryAt } && caller.place.waitLimit != .never)
      #expect(played.reactor.timerCount == 0)
      while !caller.isDecided { caller.run() }
      #expect((isSending ? sent?.outcome : played.outcome(caller)) == (isSending ? "sent" : "[1, 2]"))
      #expect(transport.log.count { $0.hasPrefix("close") } == 0 && transport.log.count == 3)
      #expect(half.inspect { !$0.isHeadPaused && $0.retryAt == nil })
      played.end()
    }
  }

  @Test func `a task behind a thread that leaves during a pause has a timer set for it`() {
    // Its clock stands, so the pause is not over when the thread leaves, however slow the machine is.
    let played = HandPlayed(
      PlayedTransport(receiving: [.retryLater, .retryLater, .transferred(1)]),
      reactor: ManualReactor(startingAt: .now))
    let thread = played.receive(as: .thread)
    let task = played.receive()
    #expect(played.reactor.timerCount == 0)
    thread?.giveUp(.timedOut)
    #expect(played.outcome(thread) == "timedOut")
    #expect(played.reactor.timerCount == 1)
    played.passPauses { played.outcome(task) != nil }
    #expect(played.outcome(task) == "[1]")
    played.end()
  }

  @Test(arguments: kinds) func `a send of a stream waits with everybody behind it, and goes on where it was`(
    _ kind: Place.Kind
  ) {
    let played = HandPlayed(PlayedTransport(sending: [.transferred(1), .retryLater, .retryLater]))
    let sent = played.send([1, 2, 3], as: kind)
    #expect(played.sending.inspect { $0.isHeadPaused && !$0.queue.hasAside })
    // A new caller tries once, for both.
    let behind = played.send([4])
    #expect(sent.outcome == nil && behind.outcome == nil)
    #expect(played.sending.inspect { $0.isHeadPaused && !$0.queue.hasAside })
    while sent.outcome == nil {
      sent.caller?.run()
      played.reactor.pass(.after(.seconds(1)))
      played.reactor.drive()
    }
    #expect(sent.outcome == "sent" && behind.outcome == "sent")
    #expect(played.transport.log == ["send [1, 2, 3]", "send [2, 3]", "send [2, 3, 4]", "send [2, 3, 4]"])
    #expect(played.sending.inspect { !$0.isHeadPaused && $0.retryAt == nil })
    played.end()
  }

  @Test func `a pause is over when the next attempt would block: readiness tells then`() throws {
    let played = HandPlayed(PlayedTransport(receiving: [.retryLater, .wouldBlock]))
    let caller = try #require(played.receive(as: .thread))
    let second = played.receive(as: .thread)
    #expect(caller.place.polledInterest == [])
    #expect(played.receiving.inspect { !$0.isHeadPaused && $0.retryAt == nil })
    second?.giveUp(.timedOut)
    played.transport.append(receiving: .transferred(1))
    played.transport.raise(.readable)
    #expect(caller.isWoken)
    caller.run()
    #expect(played.outcome(caller) == "[1]")
    played.end()
  }

  @Test(arguments: [false, true])
  func `a thread that waits is told when an attempt of another caller begins a pause, and when one ends it`(
    isSending: Bool
  ) throws {
    let steps: [Attempt] = [.wouldBlock, .retryLater, .retryLater, .wouldBlock, .wouldBlock]
    // The pause does not end by itself, however busy the machine is.
    var capabilities = TransportCapabilities()
    (capabilities.shortestPause, capabilities.longestPause) = (3_000_000_000, 3_000_000_000)
    let played = HandPlayed(
      isSending
        ? PlayedTransport(sending: steps, capabilities: capabilities)
        : PlayedTransport(receiving: steps, capabilities: capabilities))
    let half: Half = isSending ? played.sending : played.receiving
    func call(as kind: Place.Kind) throws -> HandCaller {
      try #require(isSending ? played.send([1], as: kind).caller : played.receive(.exactly(1), as: kind))
    }
    let thread = try call(as: .thread)
    #expect(thread.place.waitLimit == .never && !thread.isWoken)
    // A new caller makes an attempt for the head.
    let second = try call(as: .task)
    #expect(half.inspect { $0.isHeadPaused } && thread.isWoken)
    thread.run()
    let end = half.inspect { $0.retryAt }
    #expect(end != nil && thread.place.waitLimit == end && !thread.isWoken)
    let third = try call(as: .task)
    #expect(half.inspect { !$0.isHeadPaused && $0.retryAt == nil } && thread.isWoken)
    thread.run()
    #expect(thread.place.waitLimit == .never && !thread.isDecided)
    if !isSending { played.transport.append(receiving: .transferred(1), .transferred(1), .transferred(1)) }
    played.transport.raise(isSending ? .writable : .readable)
    thread.run()
    // A receiver keeps the turn until it has looked at what it has.
    #expect(thread.isDecided && (isSending || played.outcome(thread) == "[1]"))
    played.reactor.drive()
    #expect(second.isDecided && third.isDecided)
    played.end()
  }

  @Test func `readiness ends a pause early, and its timer finds nothing to do`() {
    let played = HandPlayed(PlayedTransport(receiving: [.retryLater, .transferred(1)]))
    let caller = played.receive()
    played.transport.raise(.readable)
    #expect(played.reactor.isCalled)
    played.reactor.drive()
    #expect(played.outcome(caller) == "[1]")
    let count = played.transport.log.count
    played.passPauses { played.reactor.timerCount == 0 }
    #expect(played.transport.log.count == count)
    played.end()
  }

  @Test func `a close during a pause decides everybody, and the timer finds it closed`() {
    for content in [TransportContent.stream, .datagrams] {
      let played = HandPlayed(PlayedTransport(content, receiving: [.retryLater], sending: [.retryLater]))
      let received = played.receive()
      let sent = played.send([1])
      #expect(sent.outcome == nil && played.reactor.timerCount == 2)
      played.receiving.close()
      played.sending.close()
      #expect(played.outcome(received) == "closed" && sent.outcome == "closed")
      #expect(played.transport.log.last == "close")
      played.reactor.pass(.after(.seconds(1)))
      #expect(!played.reactor.isCalled && played.reactor.timerCount == 0)
    }
  }

  // MARK: Datagrams

  @Test(arguments: kinds) func `a datagram that has to wait holds up nobody but those that come behind it`(
    _ kind: Place.Kind
  ) {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: [.retryLater]))
    let waiting = played.send([1], to: Self.first, as: kind)
    #expect(waiting.outcome == nil)
    #expect(
      played.sending.inspect { $0.queue.hasAside && $0.queue.isEmpty && $0.queue.count == 1 && !$0.turn })
    #expect(played.reactor.timerCount == (kind == .task ? 1 : 0))
    // To another address, and to the peer itself: at once. To the same address, in order: behind it.
    #expect(played.send([2], to: Self.second).outcome == "sent")
    #expect(played.send([3]).outcome == "sent")
    let behind = played.send([4], to: Self.first)
    let flush = played.send([], step: .flush)
    #expect(behind.outcome == nil && flush.outcome == nil)
    #expect(played.transport.count("send") == 3)
    #expect(played.sending.inspect { $0.queue.count } == 3)
    // A thread's place has a limit to wait for, too.
    if kind == .thread {
      #expect(waiting.caller?.place.waitLimit == played.sending.inspect { $0.retryAt })
      #expect(waiting.caller?.place.isAside == true)
    }
    while waiting.outcome == nil {
      waiting.caller?.run()
      played.reactor.pass(.after(.seconds(1)))
      played.reactor.drive()
    }
    played.passPauses { flush.outcome != nil }
    #expect([waiting, behind, flush].map(\.outcome) == ["sent", "sent", "sent"])
    let sends = played.transport.log.map { $0.prefix(8) }
    #expect(sends == ["send [1]", "send [2]", "send [3]", "send [1]", "send [4]"])
    #expect(played.sending.inspect { $0.retryAt == nil && !$0.queue.hasAside && $0.queue.count == 0 })
    played.end()
  }

  @Test func `a pause is short again when what it was made for has gone out`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: Array(repeating: .retryLater, count: 4)))
    let waiting = played.send([1], to: Self.first)
    played.passPauses { waiting.outcome != nil }
    #expect(waiting.outcome == "sent" && played.sending.inspect { $0.pauseLength } == 0)
    // The success of others says nothing about the one that is full.
    played.transport.append(sending: .retryLater, .transferred(1))
    let other = played.send([2], to: Self.first)
    #expect(played.send([3], to: Self.second).outcome == "sent")
    #expect(other.outcome == nil && played.sending.inspect { $0.pauseLength } == 1_000_000)
    played.passPauses { other.outcome != nil }
    played.end()
  }

  @Test func `those that stand aside are sent in their order, and go on waiting if they must`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: Array(repeating: .retryLater, count: 5)))
    let addresses = [Self.first, Self.second, SocketAddress(abstractName: "third")]
    let sent = addresses.enumerated().map { played.send([UInt8($0)], to: $1) }
    #expect(played.transport.count("send") == 3 && played.reactor.timerCount == 1)
    played.passPauses { sent.allSatisfy { $0.outcome != nil } }
    #expect(sent.allSatisfy { $0.outcome == "sent" })
    let order = played.transport.log.map { $0.prefix(8) }
    #expect(order.prefix(6) == ["send [0]", "send [1]", "send [2]", "send [0]", "send [1]", "send [2]"])
    #expect(order.dropFirst(6) == ["send [0]", "send [1]"])
    #expect(played.reactor.timerCount == 0)
    played.end()
  }

  @Test(arguments: [GiveUp.timedOut, .cancelled]) func `one that stands aside leaves at any time`(
    _ reason: GiveUp
  ) {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: [.retryLater, .retryLater]))
    let first = played.send([1], to: Self.first)
    let second = played.send([2], to: Self.second)
    first.caller?.giveUp(reason)
    #expect(first.outcome == (reason == .timedOut ? "timedOut" : "cancelled"))
    #expect(first.error?.isCommitted == false && first.error?.byteCount == 0)
    #expect(second.outcome == nil)
    #expect(played.sending.inspect { $0.queue.count } == 1)
    played.passPauses { second.outcome != nil }
    #expect(second.outcome == "sent")
    #expect(played.transport.count("send [1]") == 1)
    // With no place left the pause ends as it would have.
    played.transport.append(sending: .retryLater)
    let third = played.send([3], to: Self.first)
    third.caller?.giveUp(reason)
    #expect(played.sending.inspect { $0.queue.count } == 0)
    played.passPauses { played.reactor.timerCount == 0 }
    #expect(played.send([4], to: Self.first).outcome == "sent")
    played.end()
  }

  @Test func `a caller without time has one attempt, and those ahead of it have theirs first`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: [.retryLater]))
    #expect(played.send([1], to: Self.first, until: .immediately).outcome == "timedOut")
    #expect(played.reactor.timerCount == 0 && played.sending.inspect { $0.retryAt == nil && !$0.turn })
    // Behind one that stands aside.
    played.transport.append(sending: .retryLater)
    let waiting = played.send([2], to: Self.first)
    #expect(waiting.outcome == nil)
    #expect(played.send([3], to: Self.first, until: .immediately).outcome == "sent")
    #expect(waiting.outcome == "sent")
    // As long as the receiver takes nothing, it is sent away, and the other one stays.
    played.transport.append(sending: .retryLater, .retryLater, .retryLater)
    let again = played.send([4], to: Self.first)
    #expect(played.send([5], to: Self.first, until: .immediately).outcome == "timedOut")
    #expect(again.outcome == nil)
    played.passPauses { again.outcome != nil }
    #expect(again.outcome == "sent")
    #expect(played.transport.count("send [5]") <= 1)
    played.end()
  }

  @Test func `a thread that ends a pause has the reactor see to the task in front of it`() {
    var capabilities = TransportCapabilities()
    (capabilities.shortestPause, capabilities.longestPause) = (300_000_000, 300_000_000)
    let played = HandPlayed(
      PlayedTransport(.datagrams, sending: [.retryLater, .retryLater], capabilities: capabilities))
    let task = played.send([1], to: Self.first)
    let thread = played.send([2], to: Self.second, as: .thread)
    #expect(task.outcome == nil && thread.outcome == nil)
    // No timer fires: the thread looks, and it is late enough.
    while !played.reactor.isCalled { thread.caller?.run() }
    #expect(played.sending.inspect { !$0.queue.hasAside && $0.queue.count == 2 })
    played.reactor.drive()
    #expect(task.outcome == "sent" && thread.outcome == "sent")
    #expect(thread.caller?.isWoken == true)
    played.end()
  }

  @Test func `an error of one datagram ends that one alone, and a broken socket ends them all`() {
    let item = TransportError(.send, .connectionRefused, scope: .item)
    let played = HandPlayed(PlayedTransport(.datagrams, sending: [.retryLater, .failed(item)]))
    let waiting = played.send([1], to: Self.first)
    let failed = played.send([2], to: Self.second)
    #expect(failed.outcome == "\(EndpointError.Reason.transport(item))")
    #expect(waiting.outcome == nil)
    played.transport.append(sending: .failed(TransportError(.send, .badFileDescriptor, scope: .connection)))
    played.passPauses { waiting.outcome != nil }
    #expect(waiting.error?.reason == .transport(TransportError(.send, .badFileDescriptor)))
    #expect(played.send([3]).error?.reason == waiting.error?.reason)
    played.end()
  }

  @Test func `a half-close comes behind what stands aside`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: [.retryLater]))
    let waiting = played.send([1], to: Self.first)
    let end = played.send([], as: .orphan, step: .halfClose)
    #expect(end.outcome == nil && played.transport.count("finish") == 0)
    played.passPauses { waiting.outcome != nil }
    #expect(waiting.outcome == "sent")
    played.passPauses { played.transport.count("finish") == 1 }
    #expect(played.transport.log.last == "finish")
    #expect(played.send([2]).outcome == "closed")
    played.end()
  }
}
