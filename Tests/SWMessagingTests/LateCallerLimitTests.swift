import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// A call whose time is over waits for the attempt that is under way, which decides it. Where attempts may hang it waits for a
/// fifth of a second at most. It does not matter who makes the attempt.
@Suite(.lastResort, .leavesNothing) struct LateCallerLimitTests {
  private static let grace: UInt64 = 200_000_000

  private static func played(
    receiving: [Attempt] = [], sending: [Attempt] = [], mayHang: Bool = true,
    source: ReadinessSource = .signal, timersMayOvertakeEvents: Bool = true
  ) -> HandPlayed {
    var capabilities = TransportCapabilities()
    capabilities.attemptsMayHang = mayHang
    return HandPlayed(
      PlayedTransport(
        receiving: receiving, sending: sending, capabilities: capabilities, source: source),
      reactor: ManualReactor(
        timersMayOvertakeEvents: timersMayOvertakeEvents, startingAt: Deadline(nanoseconds: 1)))
  }

  /// A task that waits as `runTask` does. The caller ends it with `finish`.
  private static func waiting(_ caller: HandCaller?) throws -> TaskWait {
    let waiting = TaskWait(try #require(caller).place)
    waiting.arm()
    return waiting
  }

  /// A thread receives one byte by its own attempt.
  private static func receiveByte(_ played: HandPlayed) {
    guard case .ended(.lent(let demand)) = played.receiving.start(.upTo(1), as: .thread, until: .never) else {
      Issue.record("a byte is there")
      return
    }
    played.receiving.finishLoan(demand)
  }

  /// The attempt that a deadline brings about hangs.
  @Test func `a call does not wait for ever for the attempt that its own deadline makes`() throws {
    let played = Self.played(receiving: [.wouldBlock])
    let caller = played.receive(until: Deadline(nanoseconds: 100))
    let waiting = try Self.waiting(caller)
    let (transport, reactor) = (played.transport, played.reactor)
    transport.append(receiving: .transferred(3))
    let before = transport.count("receive")
    transport.meanwhile {
      reactor.pass(Deadline(nanoseconds: 99 + Self.grace))
      #expect(caller?.isDecided == false)
      reactor.pass(Deadline(nanoseconds: 100 + Self.grace))
      #expect(caller?.isDecided == true)
    }
    reactor.pass(Deadline(nanoseconds: 100))
    #expect(played.outcome(caller) == "timedOut")
    #expect(transport.count("receive") == before + 1)
    waiting.finish()
    // The bytes that have come are for the next one.
    guard case .ended(.lent(let demand)) = played.receiving.start(.upTo(10), as: .task, until: .never) else {
      Issue.record("the bytes are there")
      return
    }
    #expect(demand.byteCount == 3)
    played.receiving.finishLoan(demand)
    #expect(reactor.timerCount == 0)
    played.end()
  }

  @Test func `the attempt that a deadline makes decides the call if it comes back`() throws {
    let played = Self.played(receiving: [.wouldBlock])
    let caller = played.receive(until: Deadline(nanoseconds: 100))
    let waiting = try Self.waiting(caller)
    played.transport.append(receiving: .transferred(3))
    played.reactor.pass(Deadline(nanoseconds: 100))
    #expect(played.outcome(caller) == "[1, 2, 3]")
    waiting.finish()
    #expect(played.reactor.timerCount == 0)
    played.end()
  }

  /// A sender behind another one: the reactor has been called and has not come.
  @Test func `a sender does not wait for ever for a drive that hangs`() throws {
    let played = Self.played(sending: [.wouldBlock, .wouldBlock])
    let (transport, reactor) = (played.transport, played.reactor)
    let first = played.send([1, 2]).caller
    let second = played.send([3], until: Deadline(nanoseconds: 100)).caller
    let waiting = try Self.waiting(second)
    transport.append(sending: .transferred(1), .wouldBlock)
    transport.raise(.writable)
    // One that hangs with the head's bytes alone, because the second has come to its end.
    transport.meanwhile {
      reactor.pass(Deadline(nanoseconds: 100 + Self.grace))
      #expect(second?.isDecided == true)
    }
    reactor.pass(Deadline(nanoseconds: 100))
    #expect((second?.place as? SendPlace)?.error?.reason == .timedOut)
    #expect(first?.isDecided == false && transport.log.last == "send [2]")
    waiting.finish()
    played.end()
  }

  private enum Waiting: CaseIterable { case task, cancelledTask, thread }

  /// A thread hangs in its own attempt, and no worker of the reactor does.
  @Test(arguments: [false, true]) func `nobody waits for ever behind a thread whose attempt hangs`(
    _ isSending: Bool
  ) throws {
    for kind in Waiting.allCases {
      let played = Self.played(receiving: [], sending: [])
      let (transport, reactor) = (played.transport, played.reactor)
      let half: Half = isSending ? played.sending : played.receiving
      let waiting = Guarded<TaskWait?>(nil)
      transport.append(receiving: .transferred(1))
      transport.meanwhile {
        // A call with a zero timeout.
        let placeKind: Place.Kind = kind == .thread ? .thread : .task
        let caller =
          isSending
          ? played.send([7], as: placeKind, until: .immediately).caller
          : played.receive(as: placeKind, until: .immediately)
        guard let place = caller?.place else {
          Issue.record("it waits for the turn")
          return
        }
        if kind == .thread {
          var thread = ThreadWait(place, in: half, WakeUp {})
          guard case .wait(_, let until) = thread.next() else {
            Issue.record("it waits for the attempt")
            return
          }
          #expect(until == Deadline(nanoseconds: 1 + Self.grace))
          reactor.pass(until)
          guard case .done = thread.next() else {
            Issue.record("it has waited for long enough")
            return
          }
        } else {
          let task = TaskWait(place)
          task.arm()
          waiting.withLock { $0 = task }
          if kind == .cancelledTask { half.giveUp(place, .cancelled) }
          #expect(caller?.isDecided == false)
          reactor.pass(Deadline(nanoseconds: 1 + Self.grace))
        }
        #expect(caller?.isDecided == true)
        let reason =
          (place as? SendPlace)?.error?.reason ?? (place as? ReceivePlace).flatMap { played.reason(of: $0) }
        #expect(reason == (kind == .cancelledTask ? .cancelled : .timedOut))
      }
      if isSending {
        #expect(played.send([1], as: .thread).outcome == "sent")
      } else {
        Self.receiveByte(played)
      }
      waiting.withLock { $0 }?.finish()
      #expect(half.inspect { $0.queue.isEmpty && !$0.turn })
      played.end()
    }
  }

  /// Nothing hangs, so the attempt decides, however long the machine takes.
  @Test func `where attempts do not hang a late call waits for the attempt`() throws {
    let played = Self.played(mayHang: false)
    let (transport, reactor) = (played.transport, played.reactor)
    transport.append(receiving: .transferred(1), .transferred(2))
    let late = Guarded<(HandCaller, TaskWait)?>(nil)
    transport.meanwhile {
      guard let caller = played.receive(until: .immediately) else { return }
      let waiting = TaskWait(caller.place)
      waiting.arm()
      late.withLock { $0 = (caller, waiting) }
      #expect(reactor.timerCount == 0)
      reactor.pass(Deadline(nanoseconds: 1 << 60))
      #expect(!caller.isDecided)
    }
    Self.receiveByte(played)
    reactor.drive()
    let (caller, waiting) = try #require(late.withLock { $0 })
    #expect(played.outcome(caller) == "[2, 3]")
    waiting.finish()
    played.end()
  }

  /// The first grace is over before the attempt, and the second during it.
  @Test func `a late call for which an attempt is due waits for it, and no longer than a grace`() throws {
    let (readEnd, writeEnd) = try FileDescriptor.pipe()
    let played = Self.played(source: .descriptor(readEnd), timersMayOvertakeEvents: false)
    let reactor = played.reactor
    let head = played.receive(as: .thread)
    let late = played.receive(until: .immediately)
    played.receiving.stir()
    let waiting = try Self.waiting(late)
    reactor.pass(Deadline(nanoseconds: 1 + Self.grace))
    #expect(late?.isDecided == false)
    played.transport.meanwhile {
      reactor.pass(Deadline(nanoseconds: 2 * Self.grace))
      #expect(late?.isDecided == false)
      reactor.pass(Deadline(nanoseconds: 1 + 2 * Self.grace))
      #expect(played.outcome(late) == "timedOut")
    }
    head?.run()
    #expect(late?.isDecided == true && head?.isDecided == false)
    waiting.finish()
    played.end()
    head?.run()
    for end in [readEnd, writeEnd] { try end.close() }
  }

  /// The bytes that have stirred the half may be gone, so its poll does not end.
  @Test func `a late call for which an attempt is due has the thread that polls make it`() throws {
    let (readEnd, writeEnd) = try FileDescriptor.pipe()
    let played = HandPlayed(PlayedTransport(source: .descriptor(readEnd)))
    let thread = played.receive(as: .thread)
    let late = played.receive(until: .immediately)
    played.receiving.stir()
    #expect(thread?.isWoken == false)
    late?.giveUp(.timedOut)
    #expect(thread?.isWoken == true && late?.isDecided == false)
    thread?.run()
    #expect(played.outcome(late) == "timedOut" && thread?.isDecided == false)
    played.end()
    thread?.run()
    for end in [readEnd, writeEnd] { try end.close() }
  }

  /// It needs no readiness, also where an empty message would.
  @Test func `a flush ends when the datagram in front of it has left`() {
    let played = HandPlayed(PlayedTransport(.datagrams, sending: [.wouldBlock, .wouldBlock]))
    let datagram = played.send([1]).caller
    let flush = played.send([], step: .flush)
    #expect(flush.outcome == nil)
    datagram?.giveUp(.cancelled)
    played.reactor.drive()
    #expect(flush.outcome == "sent" && played.transport.count("send") == 2)
    played.end()
  }

  /// Else it would spin until the thread that is to make the attempt has been scheduled.
  @Test func `a thread that is late waits for another grace if nobody has the turn`() throws {
    let (readEnd, writeEnd) = try FileDescriptor.pipe()
    let played = Self.played(source: .descriptor(readEnd), timersMayOvertakeEvents: false)
    let head = played.receive(as: .thread)
    let late = try #require(played.receive(as: .thread, until: .immediately))
    played.receiving.stir()
    var waiting = ThreadWait(late.place, in: played.receiving, WakeUp {})
    for count in 1...3 as ClosedRange<UInt64> {
      guard case .wait(_, let until) = waiting.next() else {
        Issue.record("the head is to make the attempt")
        break
      }
      #expect(until == Deadline(nanoseconds: 1 + count * Self.grace))
      played.reactor.pass(until)
    }
    head?.run()
    #expect(played.outcome(late) == "timedOut")
    played.end()
    head?.run()
    for end in [readEnd, writeEnd] { try end.close() }
  }

  /// There was no room at the attempt, and there is when it has returned.
  @Test func `a zero timeout to send is tried again if something stirs during the attempt`() {
    let played = Self.played(sending: [.wouldBlock, .transferred(1)])
    let transport = played.transport
    transport.meanwhile { transport.raise(.writable) }
    #expect(played.send([1], until: .immediately).outcome == "sent")
    played.end()
  }

  @Test func `the rest of a message is its own when its sender has left`() async throws {
    let played = HandPlayed(PlayedTransport(sending: [.transferred(2), .wouldBlock, .wouldBlock]))
    let writer = MessageWriter(core: played.core, framing: .varInt)
    var message = [UInt8](repeating: 1, count: 100)
    let call = { @Sendable [message] in
      let hasEnded = Raised()
      let task = Task { [message] in
        defer { hasEnded.raise() }
        return await endpointError { try await writer.send(message) }
      }
      await eventually { played.sending.inspect { $0.queue.count == 1 && !$0.turn } }
      task.cancel()
      // The task may not have been suspended yet.
      await eventually {
        played.reactor.drive()
        return hasEnded.isUp
      }
      #expect(await task.value?.isCommitted == true)
    }
    await call()
    for index in message.indices { message[index] = 9 }
    played.transport.raise(.writable)
    played.reactor.drive()
    #expect(played.transport.log.last == "send \([UInt8](repeating: 1, count: 99))")
    played.end()
  }

  /// Swift calls a cancellation handler once.
  @Test
  func `a call that is cancelled while it is late does not wait for a long attempt that begins after that`()
    throws
  {
    let played = Self.played(mayHang: false)
    let (transport, reactor) = (played.transport, played.reactor)
    transport.append(receiving: .transferred(1), .offload)
    let late = Guarded<(HandCaller, TaskWait)?>(nil)
    transport.meanwhile {
      guard let caller = played.receive(.exactly(2), until: .immediately) else { return }
      let waiting = TaskWait(caller.place)
      waiting.arm()
      caller.giveUp(.cancelled)
      #expect(!caller.isDecided)
      late.withLock { $0 = (caller, waiting) }
    }
    Self.receiveByte(played)
    reactor.drive()
    let (caller, waiting) = try #require(late.withLock { $0 })
    #expect(played.outcome(caller) == "cancelled")
    waiting.finish()
    #expect(reactor.help())
    played.end()
  }

  /// Neither the thread, which has not looked yet, nor a helper makes the attempt.
  @Test(arguments: [false, true])
  func `without a helper a task leaves the long attempt to the thread at the head`(_ isSending: Bool) {
    let played = Self.played(mayHang: false)
    let (transport, reactor) = (played.transport, played.reactor)
    reactor.refuseHelp(.resourceTemporarilyUnavailable)
    let thread = Guarded<HandCaller?>(nil)
    transport.append(receiving: .transferred(1), .offload, .offload, .transferred(1), .transferred(1))
    transport.append(sending: .transferred(1), .offload, .offload, .offload, .transferred(2))
    transport.meanwhile {
      let caller = isSending ? played.send([2], as: .thread).caller : played.receive(.exactly(1), as: .thread)
      thread.withLock { $0 = caller }
    }
    if isSending {
      #expect(played.send([1]).outcome == "sent")
    } else if case .ended(.lent(let demand)) = played.receiving.start(.exactly(1), as: .task, until: .never) {
      played.receiving.finishLoan(demand)
    }
    let head = thread.withLock { $0 }
    #expect(head?.isDecided == false && head?.isWoken == true)
    let task = isSending ? played.send([3]).caller : played.receive(.exactly(1))
    #expect(task?.isDecided == false && head?.isDecided == false)
    head?.run()
    #expect(head?.isDecided == true)
    if !isSending { #expect(played.outcome(head) == "[2]") }
    reactor.drive()
    #expect(task?.isDecided == true)
    if !isSending { #expect(played.outcome(task) == "[3]") }
    played.end()
  }

  /// The turn is away while a helper is asked for, and no longer if there is none.
  @Test func `without a helper late callers wait for the attempt for the next message`() throws {
    // The first message, the next two together, then one after the other, and the late one.
    let played = Self.played(sending: [.transferred(1), .offload, .offload, .transferred(1)], mayHang: false)
    let (transport, reactor) = (played.transport, played.reactor)
    reactor.refuseHelp(.resourceTemporarilyUnavailable)
    let callers = Guarded<[HandCaller?]>([])
    let isLateDecided = Guarded<Bool?>(nil)
    @Sendable func onAttempt(_ number: Int) {
      if number < 4 { transport.meanwhile { onAttempt(number + 1) } }
      if number == 1 { callers.withLock { $0 = [2, 3].map { played.send([$0]).caller } } }
      guard number == 4 else { return }
      let late = played.send([4], until: .immediately).caller
      late?.giveUp(.timedOut)
      isLateDecided.withLock { $0 = late?.isDecided }
      callers.withLock { $0.append(late) }
    }
    transport.meanwhile { onAttempt(1) }
    #expect(played.send([1]).outcome == "sent")
    reactor.drive()
    #expect(transport.log == ["send [1]", "send [2, 3]", "send [2]", "send [3]", "send [4]"])
    #expect(isLateDecided.withLock { $0 } == false)
    let errors = callers.withLock { $0 }.map { ($0?.place as? SendPlace)?.error?.failure }
    #expect(errors == [TransportError(.offload, .resourceTemporarilyUnavailable), nil, nil])
    played.end()
  }

  /// Its attempt has begun before the deadline, so it counts neither as the attempt that is owed nor as that of the reactor.
  @Test(arguments: [true, false])
  func `a deadline that passes during another caller's attempt ends its call, unless that is owed an attempt`(
    _ isOwed: Bool
  ) throws {
    let played = Self.played(mayHang: false, timersMayOvertakeEvents: isOwed)
    let (transport, reactor) = (played.transport, played.reactor)
    let first = played.receive(until: Deadline(nanoseconds: 100))
    let waiting = try Self.waiting(first)
    // The reactor is called, and has not come when another caller does.
    transport.raise(.readable)
    #expect(reactor.isCalled)
    transport.append(receiving: .wouldBlock, .transferred(2))
    transport.meanwhile {
      reactor.pass(Deadline(nanoseconds: 100))
      #expect(first?.isDecided == !isOwed)
    }
    let second = played.receive(.exactly(3), as: .thread)
    #expect(played.outcome(first) == (isOwed ? "[1, 2]" : "timedOut"))
    #expect(second?.isDecided == false)
    waiting.finish()
    reactor.drive()
    #expect(reactor.timerCount == 0)
    played.end()
  }
}

extension HandPlayed {
  fileprivate func reason(of place: ReceivePlace) -> EndpointError.Reason? {
    if case .failed(let error) = receiving.outcome(of: place) { error.reason } else { nil }
  }
}
