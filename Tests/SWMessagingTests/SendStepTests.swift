import Glibc
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Rare steps of the sending half, over a played transport: a close during an attempt, a helper thread that cannot be
/// had, an error inside a frame.
@Suite(.lastResort, .leavesNothing) struct SendStepTests {
  private static let full = TransportError(.send, .messageTooLong, scope: .item)
  /// A deadline that has passed, of a call that may wait all the same.
  private static let past = Deadline(nanoseconds: 1)

  struct ClosedSend: CustomTestStringConvertible, Sendable {
    var content = TransportContent.stream
    /// The attempts. The endpoint is closed during the first one.
    var attempts: [Attempt]
    var deadline = Deadline.never
    var testDescription: String { "\(attempts)" }
  }

  @Test func `a begun message that no helper can go on with ends the messages behind it, too`() {
    let hand = HandDriven(sending: [.accept(1)])
    let calls = [[1, 2, 3], [4], [5]].map { hand.send($0) }
    #expect(hand.transport.sent == [1])
    hand.reactor.refuseHelp(.noMemory)
    // All of them together, and then the first alone.
    hand.accept(.offload, .offload, .accept(.max), .accept(.max))
    for call in calls {
      let reason = hand.result(call)?.error?.reason
      #expect(reason == .transport(TransportError(.offload, .noMemory)))
    }
    #expect(hand.transport.sent == [1])
    #expect(hand.result(hand.send([6]))?.error?.reason == .transport(TransportError(.offload, .noMemory)))
  }

  @Test(arguments: [false, true])
  func `a half-close that has to wait is made when it can be, and ends with a close`(_ closes: Bool) {
    let played = HandPlayed(PlayedTransport(finishing: [.wouldBlock]))
    let (receiving, sending) = (played.receiving, played.sending)
    if closes {
      played.transport.meanwhile {
        receiving.close()
        sending.close()
      }
    }
    let finished = played.send([], step: .halfClose)
    #expect(finished.outcome == (closes ? "closed" : nil))
    played.transport.raise(.writable)
    played.reactor.drive()
    #expect(finished.outcome == (closes ? "closed" : "sent"))
    #expect(played.transport.log == (closes ? ["finish", "close"] : ["finish", "finish"]))
    #expect(finished.error?.byteCount ?? 0 == 0)
    #expect((finished.caller?.place as? SendPlace)?.inUse != true)
    played.end()
  }

  @Test(arguments: [
    ClosedSend(attempts: [.wouldBlock]),
    ClosedSend(attempts: [.retryLater]),
    ClosedSend(attempts: [.offload]),
    ClosedSend(attempts: [.transferred(1)]),
    ClosedSend(attempts: [.transferred(1)], deadline: past),
    ClosedSend(attempts: [.failed(TransportError(.send, .brokenPipe))]),
    ClosedSend(content: .datagrams, attempts: [.retryLater]),
  ])
  func `a close during an attempt ends the call, and the transport is closed behind it`(_ closed: ClosedSend)
  {
    let played = HandPlayed(PlayedTransport(closed.content, sending: closed.attempts))
    let (receiving, sending) = (played.receiving, played.sending)
    played.transport.meanwhile {
      receiving.close()
      sending.close()
    }
    let sent = played.send([1, 2, 3], until: closed.deadline)
    #expect(sent.outcome == "closed")
    #expect(played.transport.log == ["send [1, 2, 3]", "close"])
    #expect(!played.reactor.help() && played.reactor.timerCount == 0)
    #expect(played.send([4]).outcome == "closed")
    played.end()
  }

  @Test(
    arguments: [Attempt.retryLater, .wouldBlock, .offload, .failed(full), .transferred(3)], [true, false])
  func `a close or a cancellation during the attempt of a call that waits ends it`(
    _ attempt: Attempt, isClosed: Bool
  ) {
    for content in [TransportContent.stream, .datagrams] {
      let played = HandPlayed(PlayedTransport(content, sending: [.wouldBlock, attempt]))
      let (receiving, sending) = (played.receiving, played.sending)
      let sent = played.send([1, 2, 3])
      played.transport.meanwhile {
        if !isClosed { return sent.caller?.giveUp(.cancelled) ?? () }
        receiving.close()
        sending.close()
      }
      played.sending.stir()
      played.reactor.drive()
      _ = played.reactor.help()
      if attempt == .transferred(3) {
        #expect(sent.outcome == "sent")
      } else if attempt == .failed(Self.full) {
        #expect(sent.outcome == "\(EndpointError.Reason.transport(Self.full))")
      } else {
        #expect(sent.outcome == (isClosed ? "closed" : "cancelled"), "\(content)")
      }
      #expect(played.transport.count("send") == 2 && played.transport.count("close") == (isClosed ? 1 : 0))
      #expect(played.reactor.timerCount == 0 && !played.reactor.isCalled)
      #expect(sending.inspect { $0.queue.count == 0 && !$0.turn && $0.retryAt == nil })
      played.end()
    }
  }

  @Test func `nothing to send is sent without an attempt, behind what waits`() {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock, .wouldBlock]))
    #expect(played.send([]).outcome == "sent")
    let frame = played.send([1])
    let nothing = played.send([])
    #expect(frame.outcome == nil && nothing.outcome == nil)
    played.sending.stir()
    played.reactor.drive()
    #expect(frame.outcome == "sent" && nothing.outcome == "sent")
    #expect(played.transport.log == ["send [1]", "send [1]", "send [1]"])
    played.end()
  }

  @Test func `an empty datagram behind others is sent`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: [.wouldBlock, .wouldBlock]))
    let (first, second) = (played.send([1]), played.send([]))
    played.sending.stir()
    played.reactor.drive()
    #expect(first.outcome == "sent" && second.outcome == "sent")
    #expect(played.transport.log.suffix(2) == ["send [1]", "send []"])
    played.end()
  }

  @Test func `an error of one item inside a frame ends sending`() {
    let played = HandPlayed(PlayedTransport(sending: [.transferred(2), .failed(Self.full)]))
    let (first, second) = (played.send([1, 2, 3]), played.send([4]))
    #expect(
      first.outcome == "\(EndpointError.Reason.transport(Self.full))" && second.outcome == first.outcome)
    #expect(first.error?.failure?.scope == .direction && second.error?.failure?.scope == .direction)
    #expect(played.transport.count("send") == 2)
    played.end()
  }

  @Test func `an error of one item before a frame ends that frame alone`() {
    let played = HandPlayed(PlayedTransport(sending: [.failed(Self.full)]))
    #expect(played.send([1, 2, 3]).outcome == "\(EndpointError.Reason.transport(Self.full))")
    #expect(played.send([4]).outcome == "sent")
    played.end()
  }

  @Test func `an error of one item in the rest of a message that was given up ends sending`() {
    // More than half has gone out, so the rest is a copy of which nothing has been sent.
    let played = HandPlayed(PlayedTransport(sending: [.transferred(4), .wouldBlock, .failed(Self.full)]))
    let given = played.send([1, 2, 3, 4, 5])
    given.caller?.giveUp(.cancelled)
    played.reactor.drive()
    #expect(given.outcome == "cancelled" && given.error?.isCommitted == true)
    #expect(played.send([6]).outcome == "\(EndpointError.Reason.transport(Self.full))")
    played.end()
  }

  @Test func `frames whose common attempt fails all fail, and their memory is in use no more`() {
    let broken = TransportError(.send, .ioError, scope: .connection)
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock, .wouldBlock, .failed(broken)]))
    let sends = [played.send([1]), played.send([2])]
    played.sending.stir()
    played.reactor.drive()
    #expect(played.transport.log == ["send [1]", "send [1, 2]", "send [1, 2]"])
    for sent in sends {
      #expect(sent.outcome == "\(EndpointError.Reason.transport(broken))")
      #expect((sent.caller?.place as? SendPlace)?.inUse == false)
    }
    played.end()
  }

  // MARK: No thread that watches

  @Test func `without a thread that watches, those who wait to send fail, and one that need not wait sends`()
  {
    let played = HandPlayed(
      PlayedTransport(sending: [.wouldBlock], source: .descriptor(.standardError)))
    played.reactor.refuseToWatch(.noSpace, start: .noMemory)
    // Invariant: used by this thread alone.
    nonisolated(unsafe) var second: HandSent?
    played.transport.meanwhile { unsafe second = played.send([2]) }
    let failure = "\(EndpointError.Reason.transport(TransportError(.wait, .noMemory)))"
    #expect(played.send([1]).outcome == failure)
    #expect(unsafe second?.outcome == failure)
    #expect(played.reactor.timerCount == 0 && played.sending.inspect { !$0.turn })
    #expect(played.send([3]).outcome == "sent")
    played.end()
  }

  @Test func `without a thread that watches, those who wait to receive fail`() {
    let played = HandPlayed(
      PlayedTransport(receiving: [.wouldBlock, .wouldBlock], source: .descriptor(.standardError)))
    played.reactor.refuseToWatch(.noSpace, start: .noMemory)
    // Invariant: used by this thread alone.
    nonisolated(unsafe) var second: HandCaller?
    played.transport.meanwhile { unsafe second = played.receive() }
    let failure = "\(EndpointError.Reason.transport(TransportError(.wait, .noMemory)))"
    #expect(played.outcome(played.receive()) == failure)
    #expect(played.outcome(unsafe second) == failure)
    #expect(played.reactor.timerCount == 0 && played.receiving.inspect { !$0.turn })
    played.end()
  }

  @Test func `a descriptor that cannot be watched is tried after a pause`() {
    let played = HandPlayed(
      PlayedTransport(
        receiving: [.wouldBlock, .transferred(2)], sending: [.wouldBlock, .transferred(1)],
        source: .descriptor(.standardError)),
      reactor: ManualReactor(startingAt: .now))
    played.reactor.refuseToWatch(.noSpace)
    let (sent, received) = (played.send([1]), played.receive())
    #expect(sent.outcome == nil && played.outcome(received) == nil && played.reactor.timerCount == 2)
    played.passPauses { sent.outcome != nil && received?.isDecided ?? true }
    #expect(sent.outcome == "sent" && played.outcome(received) == "[1, 2]")
    played.end()
  }

  // MARK: Helper threads

  @Test func `who comes while a send fails for want of a helper finds the turn at home`() {
    let played = HandPlayed(PlayedTransport(sending: [.offload, .transferred(1)]))
    played.reactor.refuseHelp(.noMemory)
    let away = Guarded<[Bool]>([])
    // Invariant: used by this thread alone.
    nonisolated(unsafe) var second: HandSent?
    played.transport.meanwhile {
      unsafe second = played.send([2])
      played.transport.meanwhile { away.withLock { $0.append(played.sending.inspect { $0.isAway }) } }
    }
    #expect(played.send([1]).error?.failure?.operation == .offload)
    played.reactor.drive()
    #expect(unsafe second?.outcome == "sent")
    #expect(away.withLock { $0 } == [false])
    played.end()
  }

  /// Such as a caller that was cancelled and detaches.
  @Test func `an attempt that is made for nobody is waited for, a second at most`() throws {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock]))
    let (sending, hasBegun, hasEnded) = (played.sending, Raised(), Raised())
    let waiter = Guarded<TestThread<(Bool, Duration)>?>(nil)
    played.transport.meanwhile {
      let thread = TestThread {
        hasBegun.raise()
        let start = ContinuousClock.now
        sending.awaitEndOfAttempt()
        let isBusy = sending.inspect { $0.isBusyForAMoment }
        hasEnded.raise()
        return (isBusy, ContinuousClock.now - start)
      }
      waiter.withLock { $0 = thread }
      while !hasBegun.isUp { sched_yield() }
      let end = ContinuousClock.now + .milliseconds(50)
      while !hasEnded.isUp, ContinuousClock.now < end { sched_yield() }
    }
    _ = played.send([1])
    let result = try #require(waiter.withLock { $0 }).join()
    #expect(!result.0 || result.1 >= .seconds(1))
    played.end()
  }

  @Test func `a turn is busy for a moment while an attempt is made and nobody waits behind it`() {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock]))
    let looks = Guarded<[Bool]>([])
    // Invariant: used by this thread alone.
    nonisolated(unsafe) var second: HandSent?
    played.transport.meanwhile {
      looks.withLock { $0.append(played.sending.inspect { $0.isBusyForAMoment }) }
      played.sending.goAway()
      looks.withLock { $0.append(played.sending.inspect { $0.isBusyForAMoment }) }
      played.sending.comeBack()
      unsafe second = played.send([2])
      looks.withLock { $0.append(played.sending.inspect { $0.isBusyForAMoment }) }
    }
    _ = played.send([1])
    #expect(looks.withLock { $0 } == [true, false, false], "by itself, away, with one behind it")
    #expect(unsafe second != nil)
    played.end()
  }

  @Test func `without a helper thread the send fails, and the next one is tried`() {
    let played = HandPlayed(PlayedTransport(sending: [.offload]))
    played.reactor.refuseHelp(.noMemory)
    let failure = "\(EndpointError.Reason.transport(TransportError(.offload, .noMemory)))"
    #expect(played.send([1]).outcome == failure)
    #expect(played.transport.count("send") == 1)
    #expect(played.send([2]).outcome == "sent")
    played.end()
  }

  @Test func `without a helper thread those that wait fail, as many in a turn as are served`() {
    let count = 100
    let attempts = Array(repeating: Attempt.wouldBlock, count: count)
    let played = HandPlayed(
      PlayedTransport(sending: attempts + Array(repeating: .offload, count: count)))
    // Each is too large to be sent together with another one.
    let sends = (0..<count).map { _ in played.send([UInt8](repeating: 1, count: 5_000)) }
    played.reactor.refuseHelp(.noMemory)
    played.sending.stir()
    #expect(played.reactor.driveOnce())
    let served = sends.count { $0.outcome != nil }
    #expect(served > 0 && served <= 64)
    played.reactor.drive()
    let failure = "\(EndpointError.Reason.transport(TransportError(.offload, .noMemory)))"
    #expect(sends.allSatisfy { $0.outcome == failure })
    played.end()
  }

  @Test func `a caller that leaves before a helper thread comes does not wait for its attempt`() {
    let played = HandPlayed(PlayedTransport(sending: [.transferred(2), .offload]))
    let sent = played.send([1, 2, 3, 4, 5, 6])
    sent.caller?.giveUp(.cancelled)
    #expect(sent.outcome == nil, "a helper thread has the turn")
    #expect(played.reactor.help())
    #expect(sent.outcome == "cancelled" && sent.error?.isCommitted == true)
    #expect(played.transport.log.last == "send [3, 4, 5, 6]")
    played.end()
  }

  // MARK: For others

  @Test func `a caller goes on for those ahead of it, however much they send`() {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock]))
    let large = played.send([UInt8](repeating: 1, count: 300_000))
    played.transport.append(sending: .transferred(270_000), .transferred(30_000))
    let small = played.send([2])
    #expect(large.outcome == "sent" && small.outcome == "sent")
    #expect(!played.reactor.isCalled)
    played.end()
  }

  @Test func `datagrams of a batch that are offloaded go one by one`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: [.offload, .transferred(1)]))
    let sent = played.send([1, 2, 3], borders: [1, 2, 3])
    while played.reactor.help() {}
    #expect(sent.outcome == "sent" && played.transport.longCount == 1)
    #expect(played.transport.log == ["batch [1, 1, 1]", "send [1]", "batch [1, 1]"])
    played.end()
  }

  @Test func `a send with an address is not offloaded for ever`() throws {
    let address = try #require(SocketAddress(unixPath: "peer"))
    let played = HandPlayed(PlayedTransport(.datagrams, sending: [.offload]))
    let error = TransportError(.send, .notSupported, scope: .item)
    #expect(played.send([1], to: address).outcome == "\(EndpointError.Reason.transport(error))")
    #expect(!played.reactor.help() && played.transport.count("send") == 1)
    played.end()
  }

  @Test func `what waits is sent together within the size of an atomic send`() {
    var capabilities = TransportCapabilities()
    capabilities.atomicSendSize = 512
    let played = HandPlayed(
      PlayedTransport(sending: Array(repeating: .wouldBlock, count: 5), capabilities: capabilities))
    let sent = (0..<5).map { _ in played.send([UInt8](repeating: 7, count: 200)) }
    played.transport.raise(.writable)
    played.reactor.drive()
    #expect(sent.allSatisfy { $0.outcome == "sent" })
    let sizes = played.transport.log.map { $0.count { $0 == "7" } }
    #expect(sizes.max() == 400 && sizes.suffix(3) == [400, 400, 200])
    played.end()
  }

  @Test func `a half-close during which its endpoint is closed has been made`() {
    let played = HandPlayed(PlayedTransport())
    let (receiving, sending) = (played.receiving, played.sending)
    played.transport.meanwhile {
      receiving.close()
      sending.close()
    }
    #expect(played.send([], step: .halfClose).outcome == "sent")
    #expect(played.transport.log == ["finish", "close"])
    played.end()
  }

  @Test func `a half-close that has to wait does not go on with the pause of a message that has left`() {
    let played = HandPlayed(PlayedTransport(sending: [.retryLater], finishing: [.wouldBlock]))
    let sent = played.send([1])
    #expect(played.sending.inspect { $0.isHeadPaused })
    sent.caller?.giveUp(.cancelled)
    #expect(sent.outcome == "cancelled")
    let finished = played.send([], step: .halfClose)
    #expect(finished.outcome == nil)
    #expect(played.sending.inspect { !$0.isHeadPaused && $0.retryAt == nil })
    played.transport.raise(.writable)
    played.reactor.drive()
    #expect(finished.outcome == "sent" && played.transport.log == ["send [1]", "finish", "finish"])
    played.end()
  }

  @Test func `the last attempt says whether the head waits for a pause or for readiness`() {
    let played = HandPlayed(
      PlayedTransport(sending: [.wouldBlock, .retryLater, .wouldBlock]),
      reactor: ManualReactor(startingAt: Deadline(nanoseconds: 1)))
    let sent = played.send([1])
    #expect(played.sending.inspect { !$0.isHeadPaused })
    played.sending.stir()
    played.reactor.drive()
    #expect(sent.caller?.place.isAside == false)
    #expect(played.sending.inspect { $0.isHeadPaused } && played.reactor.timerCount == 1)
    played.reactor.pass(.after(.seconds(1_000)))
    played.reactor.drive()
    #expect(played.sending.inspect { !$0.isHeadPaused && $0.retryAt == nil })
    #expect(played.reactor.timerCount == 0 && played.transport.count("send") == 3)
    played.transport.raise(.writable)
    played.reactor.drive()
    #expect(sent.outcome == "sent")
    played.end()
  }

  @Test(arguments: [Attempt.wouldBlock, .retryLater], [false, true])
  func `a message without time that has begun is sent to its end, and its caller leaves at once`(
    _ blocked: Attempt, _ isTriedAgain: Bool
  ) {
    let answers = Array(repeating: blocked, count: isTriedAgain ? 2 : 1)
    let played = HandPlayed(PlayedTransport(sending: [.transferred(1)] + answers))
    let sent = played.send([1, 2, 3], until: .immediately)
    if isTriedAgain {
      played.sending.stir()
      played.reactor.drive()
    }
    #expect(sent.outcome == nil)
    sent.caller?.giveUp(.timedOut)
    played.reactor.drive()
    #expect(sent.outcome == "timedOut" && sent.error?.isCommitted == true)
    #expect((sent.caller?.place as? SendPlace)?.inUse == false)
    let rest = Array(repeating: "send [2, 3]", count: answers.count + 1)
    #expect(played.transport.log == ["send [1, 2, 3]"] + rest)
    played.end()
  }

  /// Has the reactor make an attempt, during which a call comes that does not wait.
  private static func sendLate(_ bytes: [UInt8], during played: HandPlayed) -> HandSent? {
    let late = Guarded<HandSent?>(nil)
    played.transport.meanwhile {
      let sent = played.send(bytes, until: .immediately)
      sent.caller?.giveUp(.timedOut)
      late.withLock { $0 = sent }
    }
    played.sending.stir()
    played.reactor.drive()
    return late.withLock { $0 }
  }

  @Test func `a call without time that finds others ahead of it has one attempt`() {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock, .transferred(1), .wouldBlock]))
    let first = played.send([1])
    let late = Self.sendLate([2], during: played)
    #expect(first.outcome == "sent" && late?.outcome == "timedOut")
    #expect(played.transport.log == ["send [1]", "send [1]", "send [2]"])
    played.end()
  }

  @Test func `a call without time whose attempt is made together with others leaves after it`() {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock, .transferred(1), .transferred(1)]))
    let first = played.send([1])
    let behind = Guarded<[HandSent]>([])
    played.transport.meanwhile {
      let late = played.send([2, 3], until: .immediately)
      late.caller?.giveUp(.timedOut)
      let last = played.send([4])
      behind.withLock { $0 = [late, last] }
    }
    played.sending.stir()
    played.reactor.drive()
    let others = behind.withLock { $0 }
    #expect(first.outcome == "sent" && others.map(\.outcome) == ["timedOut", "sent"])
    #expect(others.first?.error?.isCommitted == true)
    #expect(played.transport.log == ["send [1]", "send [1]", "send [2, 3, 4]", "send [3, 4]"])
    played.end()
  }

  @Test func `a call without time that comes during an attempt leaves when the next one would block`() {
    let played = HandPlayed(PlayedTransport(sending: Array(repeating: .wouldBlock, count: 3)))
    let first = played.send([1])
    let late = Self.sendLate([2], during: played)
    #expect(first.outcome == nil && late?.outcome == "timedOut")
    #expect(played.transport.count("send") == 3 && played.sending.inspect { !$0.hasLate })
    played.end()
  }

  @Test func `a call without time whose attempt is left to a helper has that attempt`() {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock, .transferred(1), .offload]))
    let first = played.send([1])
    let late = Self.sendLate([2], during: played)
    #expect(first.outcome == "sent" && late?.outcome == nil)
    #expect(played.reactor.help())
    #expect(late?.outcome == "sent" && played.transport.longCount == 1)
    played.end()
  }

  @Test func `a thread that has driven for others leaves at its deadline without another attempt`() {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock, .wouldBlock]))
    let first = played.send([1])
    let second = played.send([2], as: .thread)
    #expect(first.outcome == nil && second.outcome == nil)
    second.caller?.giveUp(.timedOut)
    #expect(second.outcome == "timedOut")
    #expect(!played.reactor.isCalled && played.transport.log == ["send [1]", "send [1, 2]"])
    played.end()
  }

  @Test func `the last sender is told when the turn has been given back`() {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock]))
    let sending = played.sending
    guard case .queued(let place) = sending.start(SendHalf.Call(Outgoing([1]), as: .task, until: .never))
    else {
      Issue.record("it has to wait")
      return played.end()
    }
    let isHeld = Guarded<Bool?>(nil)
    let isParked = sending.park(
      place,
      .callback {
        let turn = sending.inspect { $0.turn }
        isHeld.withLock { $0 = turn }
      })
    #expect(isParked)
    sending.stir()
    played.reactor.drive()
    #expect(isHeld.withLock { $0 } == false)
    played.end()
  }

  @Test func `no bytes are sent without an attempt by one who is alone`() throws {
    let played = HandPlayed(PlayedTransport())
    let nothing: [UInt8] = []
    #expect(try SocketWriter(core: played.core).blocking.send(nothing) == 0)
    #expect(played.transport.log.isEmpty)
    played.end()
  }

  @Test(arguments: [Place.Kind.task, .thread])
  func `the reactor watches for a task, and a thread polls for itself`(_ kind: Place.Kind) {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock], source: .descriptor(.standardError)))
    let sent = played.send([1], as: kind)
    #expect(played.reactor.registerCount == (kind == .task ? 1 : 0))
    #expect(played.sending.inspect { $0.pollers } == (kind == .task ? 0 : 1))
    played.sending.stir()
    played.reactor.drive()
    sent.caller?.run()
    #expect(sent.outcome == "sent")
    played.end()
  }
}
