import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Sends that the transport takes in parts, and sends that go out together, over a played transport.
@Suite(.lastResort, .leavesNothing) struct PartialSendTests {
  private static let broken = TransportError(.send, .ioError)
  private static let full = TransportError(.send, .messageTooLong, scope: .item)

  // MARK: Progress

  private final class Told: Sendable {
    private let state = Guarded<[[Int]]>([])
    var all: [[Int]] { state.withLock { $0 } }
    func append(_ sent: Int, _ total: Int) { state.withLock { $0.append([sent, total]) } }
  }

  private func call(_ bytes: [UInt8], _ told: Told) -> SendHalf.Call {
    SendHalf.Call(
      Outgoing(bytes), as: .task, until: .never,
      progress: { sent, total in told.append(sent, total) })
  }

  @Test func `progress counts from the first byte of the call, however many attempts it takes`() {
    let played = HandPlayed(
      PlayedTransport(sending: [.transferred(2), .transferred(1), .wouldBlock, .transferred(1)]))
    let told = Told()
    guard case .queued(let place) = played.sending.start(call([1, 2, 3, 4, 5, 6], told)) else {
      Issue.record("it has to wait")
      return played.end()
    }
    played.sending.stir()
    played.reactor.drive()
    #expect(place.isDecided && place.error == nil)
    #expect(told.all == [[2, 6], [3, 6], [4, 6], [6, 6]])
    played.end()
  }

  @Test func `progress goes on for the rest of a message that was given up`() {
    let played = HandPlayed(PlayedTransport(sending: [.transferred(4), .wouldBlock, .transferred(1)]))
    let told = Told()
    guard case .queued(let place) = played.sending.start(call([1, 2, 3, 4, 5, 6], told)) else {
      Issue.record("it has to wait")
      return played.end()
    }
    played.sending.giveUp(place, .cancelled)
    played.reactor.drive()
    #expect(place.error?.reason == .cancelled && place.error?.isCommitted == true)
    #expect(told.all == [[4, 6], [5, 6], [6, 6]])
    played.end()
  }

  @Test func `a message that goes out at once tells its progress, too`() async throws {
    let played = HandPlayed(PlayedTransport())
    let told = Told()
    let framing = VarIntFraming().progress(sent: { sent, total in
      told.append(sent, total)
    })
    try await MessageWriter(core: played.core, framing: framing).send([1, 2, 3])
    #expect(told.all == [[4, 4]])
    played.end()
  }

  // MARK: Errors

  @Test(arguments: 1...6)
  func `an error inside a batch tells how many messages have gone out, and how much of the next`(_ sent: Int)
  {
    // Two messages of three bytes and one of one.
    let played = HandPlayed(PlayedTransport(sending: [.transferred(sent), .failed(Self.broken)]))
    let error = played.send([1, 2, 3, 4, 5, 6, 7], borders: [3, 6, 7]).error
    #expect(error?.reason == .transport(TransportError(.send, .ioError, scope: .connection)))
    #expect(error?.messageCount == sent / 3 && error?.byteCount == sent % 3)
    #expect(
      played.send([8]).outcome
        == "\(EndpointError.Reason.transport(TransportError(.send, .ioError, scope: .connection)))")
    #expect(played.transport.count("send") == 2)
    played.end()
  }

  // MARK: Order

  @Test func `a message that goes out at once does not overtake one that waits`() {
    let played = HandPlayed(PlayedTransport(sending: Array(repeating: .wouldBlock, count: 3)))
    let first = played.send([7, 7])
    let writer = MessageWriter(core: played.core, framing: VarIntFraming())
    let error = blockingError { try writer.blocking.send([1], timeout: .zero) }
    #expect(error?.reason == .timedOut)
    #expect(first.outcome == nil)
    #expect(!played.transport.log.contains("send [1, 1]"))
    played.end()
  }

  @Test func `nothing to send waits for the whole message in front of it`() {
    let played = HandPlayed(
      PlayedTransport(sending: [.wouldBlock, .wouldBlock, .transferred(1), .wouldBlock]))
    let (frame, nothing) = (played.send([1, 2]), played.send([]))
    played.sending.stir()
    played.reactor.drive()
    #expect(frame.outcome == nil && nothing.outcome == nil)
    played.sending.stir()
    played.reactor.drive()
    #expect(frame.outcome == "sent" && nothing.outcome == "sent")
    played.end()
  }

  @Test func `a late caller that came during an attempt leaves with its end`() {
    let played = HandPlayed(PlayedTransport(sending: Array(repeating: .wouldBlock, count: 4)))
    let sending = played.sending
    let late = Guarded<HandSent?>(nil)
    played.transport.meanwhile {
      let sent = played.send([2], until: .immediately)
      sent.caller?.giveUp(.timedOut)
      late.withLock { $0 = sent }
    }
    #expect(played.send([1], until: .immediately).outcome == "timedOut")
    #expect(late.withLock { $0 }?.outcome == "timedOut")
    #expect(sending.inspect { $0.queue.isEmpty && !$0.turn && !$0.hasLate })
    played.end()
  }

  // MARK: Together

  /// Two messages that wait; the next attempt is for both.
  private func waiting(_ attempts: [Attempt]) -> (HandPlayed, HandSent, HandSent) {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock, .wouldBlock] + attempts))
    return (played, played.send([1, 2]), played.send([3, 4]))
  }

  @Test func `messages of exactly one atomic write of a pipe go together`() {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock, .wouldBlock]))
    let sends = (0..<2).map { _ in played.send([UInt8](repeating: 1, count: 2_048)) }
    played.sending.stir()
    played.reactor.drive()
    #expect(sends.allSatisfy { $0.outcome == "sent" })
    #expect(played.transport.count("send") == 3)
    played.end()
  }

  @Test(arguments: [0, 1, 2])
  func `a caller that leaves during an attempt for several was not sent, or is committed`(_ taken: Int) {
    let (played, first, second) = waiting([.transferred(1 + taken)])
    played.transport.meanwhile { second.caller?.giveUp(.cancelled) }
    played.sending.stir()
    played.reactor.drive()
    #expect(first.outcome == "sent")
    #expect(second.outcome == "cancelled")
    #expect(second.error?.isCommitted == (taken == 2))
    #expect(played.transport.log.dropFirst(2).first == "send [1, 2, 3, 4]")
    let rest: [[String]] = [["send [2]"], [], ["send [4]"]]
    #expect(played.transport.log.dropFirst(3) == rest[taken][...])
    #expect(played.sending.inspect { $0.queue.count == 0 && !$0.turn })
    played.end()
  }

  @Test(arguments: [
    Attempt.transferred(3), .wouldBlock, .retryLater, .offload, .failed(full), .failed(broken),
  ])
  func `a close during an attempt for several ends them all`(_ attempt: Attempt) {
    let (played, first, second) = waiting([attempt])
    let (receiving, sending) = (played.receiving, played.sending)
    played.transport.meanwhile {
      receiving.close()
      sending.close()
    }
    sending.stir()
    played.reactor.drive()
    #expect(first.outcome == (attempt == .transferred(3) ? "sent" : "closed"))
    #expect(second.outcome == "closed")
    #expect(played.transport.log.dropFirst(2) == ["send [1, 2, 3, 4]", "close"])
    #expect(sending.inspect { $0.isOut && !$0.turn } && played.reactor.timerCount == 0)
    played.end()
  }

  @Test func `messages whose common attempt fails are sent one by one`() {
    let (played, first, second) = waiting([.failed(Self.full), .failed(Self.full)])
    played.sending.stir()
    played.reactor.drive()
    #expect(first.outcome == "\(EndpointError.Reason.transport(Self.full))")
    #expect(second.outcome == "sent")
    #expect(played.transport.log.dropFirst(2) == ["send [1, 2, 3, 4]", "send [1, 2]", "send [3, 4]"])
    played.end()
  }

  // MARK: Budgets

  @Test func `the reactor makes so many attempts for one message, and then has others in turn`() {
    let played = HandPlayed(
      PlayedTransport(sending: [.wouldBlock] + Array(repeating: .transferred(1), count: 100)))
    let sent = played.send([UInt8](repeating: 1, count: 200))
    played.sending.stir()
    #expect(played.reactor.driveOnce())
    #expect(played.transport.count("send") == 65 && played.reactor.isCalled)
    played.reactor.drive()
    #expect(sent.outcome == "sent")
    played.end()
  }

  @Test func `a thread whose deadline passes while bytes move makes no further attempt`() throws {
    let transport = PlayedTransport(sending: [.wouldBlock, .transferred(1), .transferred(1)])
    let reactor = ManualReactor(startingAt: Deadline(nanoseconds: 1_000))
    let deadline = Deadline(nanoseconds: 2_000)
    let core = EndpointCore(transport, for: [.readable, .writable], reactor: reactor)
    let sending = try #require(core.sending)
    let call = SendHalf.Call(Outgoing([1, 2, 3, 4, 5, 6]), as: .thread, until: deadline)
    guard case .queued(let place) = sending.start(call) else {
      Issue.record("it has to wait")
      return
    }
    var waiting = ThreadWait(place, in: sending, WakeUp {})
    guard case .wait(_, let limit) = waiting.next() else {
      Issue.record("there is nothing to try")
      return
    }
    #expect(limit == deadline)
    transport.meanwhile { reactor.pass(deadline) }
    sending.stir()
    guard case .drive = waiting.next() else {
      Issue.record("something has stirred")
      return
    }
    sending.driveOn(as: place)
    #expect(transport.count("send") == 2)
    while case .drive = waiting.next() { sending.driveOn(as: place) }
    #expect(place.error?.reason == .timedOut && place.error?.isCommitted == true)
    core.receiving?.close()
    sending.close()
    reactor.drive()
  }

  @Test(arguments: [Place.Kind.task, .thread])
  func `a task that waits has its bytes copied, and a thread lends them`(_ kind: Place.Kind) {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 3, alignment: 1)
    defer { unsafe memory.deallocate() }
    unsafe memory.copyBytes(from: [1, 2, 3] as [UInt8])
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock]))
    let lent = unsafe Outgoing.BorrowedBytes(UnsafeRawBufferPointer(memory))
    let call = SendHalf.Call(Outgoing(FrameEnvelope(), .borrowed(lent)), as: kind, until: .never)
    guard case .queued(let place) = played.sending.start(call) else {
      Issue.record("it has to wait")
      return played.end()
    }
    let caller = HandCaller(place, in: played.sending)
    unsafe memory.copyBytes(from: [7, 8, 9] as [UInt8])
    played.transport.raise(.writable)
    played.reactor.drive()
    caller.run()
    #expect(place.isDecided && place.error == nil)
    #expect(played.transport.log.last == (kind == .task ? "send [1, 2, 3]" : "send [7, 8, 9]"))
    played.end()
  }
}
