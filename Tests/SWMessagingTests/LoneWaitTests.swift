import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// A thread that waits while no other caller is there keeps the turn, and has no place. An event that its poll does not show
/// wakes it.
@Suite(.lastResort, .leavesNothing) struct LoneWaitTests {
  private final class Bell: Sendable {
    private let state = Guarded(false)
    var isRung: Bool { state.withLock { $0 } }
    func ring() { state.withLock { $0 = true } }
  }

  /// A thread that waits alone, driven by hand.
  private final class LoneThread {
    let hand: HandDriven
    let side: ReceivingSide<VarIntFraming>
    private let bell = Bell()
    private(set) var front = ReceiveHalf.Front.unseen
    private(set) var waits = false

    var half: ReceiveHalf { hand.receiveHalf }
    var isWoken: Bool { bell.isRung }

    init(receiving steps: [ScriptedTransport.ReceiveStep] = [.wouldBlock]) throws {
      hand = HandDriven(receiving: steps)
      side = hand.side(.varInt)
      _ = try side.messageAtOnce(&front, as: .thread, CallLimit(nil, .never))
    }

    func begin(until deadline: Deadline = .never) -> Readiness? {
      let interest = half.beginLoneWait(
        WakeUp { [bell] in bell.ring() }, until: deadline)
      waits = interest != nil
      return interest
    }

    /// Ends the wait. Returns the message that it brought.
    func end() throws -> [UInt8]? {
      front = half.endLoneWait()
      waits = false
      guard front == .held else { return nil }
      return try side.heldMessage()
    }

    /// The call goes on in the long way.
    func goOn() -> HandStarted<ReceiveHalf.Outcome> {
      switch half.start(side.request, as: .thread, until: .never, after: front) {
      case .ended(let outcome): .ended(outcome)
      case .queued(let place): .waiting(HandCaller(place, in: half))
      }
    }
  }

  @Test func `a message that is waited for comes by the short way`() throws {
    let thread = try LoneThread()
    #expect(thread.front == .blocked)
    #expect(thread.begin() == .readable)
    #expect(thread.half.inspect { $0.turn && $0.queue.isEmpty && $0.waiterCount == 1 })
    #expect(thread.half.inspect { !$0.isBusyForAMoment }, "it may wait for ever")
    thread.hand.bring(.bytes([1, 7]))
    #expect(thread.isWoken)
    #expect(try thread.end() == [7])
    #expect(thread.half.inspect { !$0.turn && $0.waiterCount == 0 })
  }

  @Test func `a wake-up without reason is followed by another wait`() throws {
    let thread = try LoneThread(receiving: [.wouldBlock, .wouldBlock])
    #expect(thread.begin() != nil)
    #expect(try thread.end() == nil)
    #expect(thread.front == .blocked)
    #expect(thread.begin() != nil)
    thread.half.close()
    #expect(thread.isWoken)
    #expect(try thread.end() == nil)
    #expect(thread.hand.result(thread.goOn(), thread.side)?.error?.reason == .closed)
  }

  @Test(arguments: [Place.Kind.thread, .task])
  func `another caller recalls the thread, which takes a place in front of it`(_ kind: Place.Kind) throws {
    let thread = try LoneThread(receiving: [.wouldBlock, .wouldBlock])
    #expect(thread.begin() != nil)
    let other = thread.hand.receive(thread.side.request, as: kind)
    #expect(thread.isWoken)
    #expect(try thread.end() == nil)
    #expect(thread.begin() == nil, "it is not alone")
    let mine = thread.goOn()
    #expect(thread.half.inspect { !$0.turn && $0.queue.first === mine.caller?.place && $0.queue.count == 2 })
    thread.hand.bring(.bytes([1, 7, 1, 8]))
    mine.caller?.run()
    other.caller?.run()
    thread.hand.reactor.drive()
    #expect(thread.hand.result(mine, thread.side)?.value == [7])
    #expect(thread.hand.result(other, thread.side)?.value == [8])
  }

  @Test func `a caller with a zero timeout gets its attempt from the thread that waits alone`() throws {
    for brings in [false, true] {
      let thread = try LoneThread(
        receiving: brings ? [.wouldBlock, .bytes([1, 7, 1, 8])] : [.wouldBlock, .wouldBlock])
      #expect(thread.begin() != nil)
      let other = thread.hand.receive(thread.side.request, as: .thread, mayWait: false)
      #expect(thread.isWoken)
      other.caller?.giveUp(.timedOut)
      #expect(thread.hand.result(other, thread.side) == nil, "no attempt has been made since it came")
      #expect(try thread.end() == (brings ? [7] : nil))
      let mine = brings ? nil : thread.goOn()
      #expect(thread.hand.result(other, thread.side)?.value == (brings ? [8] : nil))
      #expect(thread.hand.result(other, thread.side)?.error?.reason == (brings ? nil : .timedOut))
      thread.half.close()
      mine?.caller?.run()
    }
  }

  @Test func `what a poll does not show recalls the thread, and an edge need not`() throws {
    let events: [(Bool, (ReceiveHalf) -> Void)] = [
      (false, { $0.stir() }), (true, { $0.stir(wakesPoller: true) }), (true, { $0.endPauseEarly() }),
      (true, { $0.finishReceiving() }), (true, { $0.close() }),
    ]
    for (recalls, event) in events {
      let thread = try LoneThread(receiving: [.wouldBlock, .wouldBlock])
      #expect(thread.begin() != nil)
      event(thread.half)
      #expect(thread.isWoken == recalls)
      _ = try thread.end()
      let mine = thread.goOn()
      thread.half.close()
      mine.caller?.run()
      #expect(thread.half.inspect { !$0.turn && $0.isOut })
    }
  }

  @Test func `a thread does not wait alone if something has happened since its attempt`() throws {
    let events: [(ReceiveHalf) -> Void] = [
      { $0.stir() }, { $0.finishReceiving() }, { $0.close() },
    ]
    for event in events {
      let thread = try LoneThread(receiving: [.wouldBlock, .wouldBlock])
      event(thread.half)
      #expect(thread.begin() == nil)
      let mine = thread.goOn()
      thread.half.close()
      mine.caller?.run()
    }
    let late = try LoneThread(receiving: [.wouldBlock, .wouldBlock])
    #expect(late.begin(until: Deadline(nanoseconds: 1)) == nil)
    late.half.close()
    _ = late.goOn()
  }

  @Test func `a thread does not wait alone for the end of a pause`() throws {
    let played = HandPlayed(PlayedTransport(receiving: [.retryLater, .wouldBlock]))
    let side = played.core.side(.varInt)
    var front = ReceiveHalf.Front.unseen
    #expect(try side.messageAtOnce(&front, as: .thread, CallLimit(nil, .never)) == nil)
    #expect(front == .blocked)
    #expect(played.receiving.beginLoneWait(WakeUp {}, until: .never) == nil)
    _ = played.receiving.start(side.request, as: .thread, until: .immediately, after: front)
    played.end()
  }

  @Test func `a timeout does not begin again with what follows the wait`() throws {
    let pair = try DescriptorPair.sockets()
    let reader = try MessageReader(adopting: pair.first, framing: .varInt)
    let writer = try SocketWriter(adopting: pair.second)
    let half = try #require(reader.core.receiving)
    var (limit, front) = (CallLimit(.seconds(1000), .never), ReceiveHalf.Front.unseen)
    #expect(try reader.receivingSide.messageAtOnce(&front, as: .thread, limit) == nil)
    #expect(front == .blocked)
    _ = try writer.withDescriptor { try $0.writeAll([1, 7]) }
    #expect(half.waitAlone(&front, &limit))
    let end = limit.deadline
    #expect(end <= .after(.seconds(1000)) && end == limit.deadline)
    #expect(try reader.receivingSide.heldMessage() == [7])
    // A call that may not wait does not.
    (limit, front) = (CallLimit(.zero, .never), ReceiveHalf.Front.unseen)
    #expect(try reader.receivingSide.messageAtOnce(&front, as: .thread, limit) == nil)
    #expect(!half.waitAlone(&front, &limit))
    _ = half.start(reader.receivingSide.request, as: .thread, until: .immediately, after: front)
  }

  @Test
  func `a thread that waits alone counts among those that wait, and keeps the endpoint from being detached`()
    async throws
  {
    let (reader, writer) = try makePipe(framing: .varInt)
    let waiting = TestThread { try reader.blocking.receive(timeout: .patience) }
    await eventually { reader.snapshot.waitingReceivers == 1 }
    #expect(blockingError { _ = try reader.detach() }?.reason == .busy)
    try await writer.send([7])
    #expect(try await waiting.value == [7])
    #expect(reader.snapshot.waitingReceivers == 0)
  }

  @Test func `an event that brings nothing is followed by another wait, and each wait holds no memory`()
    throws
  {
    let thread = try LoneThread(receiving: [.wouldBlock, .wouldBlock])
    let half = thread.half
    for _ in 0..<2 {
      #expect(thread.begin() == .readable)
      #expect(unsafe half.turn.capacity == 0)
      half.stir()
      #expect(try thread.end() == nil)
      #expect(thread.front == .blocked)
    }
    half.close()
    #expect(thread.hand.result(thread.goOn(), thread.side)?.error?.reason == .closed)
  }
}
