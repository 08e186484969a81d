import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// The port, which the halves of an endpoint share. Driven by hand.
@Suite(.lastResort, .leavesNothing) struct PortTests {
  @Test func `all who wait for the end of a transport are told, once and in order`() {
    let port = Port(PlayedTransport(), for: .readable, reactor: ManualReactor())
    let half = ReceiveHalf(port)
    let told = Guarded<[Int]>([])
    for number in 1...3 { port.whenGone { told.withLock { $0.append(number) } } }
    #expect(told.withLock { $0 } == [])
    half.close()
    #expect(told.withLock { $0 } == [1, 2, 3])
    port.whenGone { told.withLock { $0.append(4) } }
    #expect(told.withLock { $0 } == [1, 2, 3, 4])
  }

  @Test func `events reach no half that is gone`() {
    let transport = PlayedTransport()
    let port = Port(transport, for: .readable, reactor: ManualReactor())
    weak var gone: ReceiveHalf?
    do {
      let half = ReceiveHalf(port)
      port.readinessChanged(.readable, mayDrive: false)
      gone = half
    }
    #expect(gone == nil)
    port.readinessChanged(.readable, mayDrive: false)
    port.leave(.readable)
    #expect(transport.log == ["close"])
  }

  @Test func `an attempt that waits crosswise is repeated once, and one that would block is not`() {
    let played = HandPlayed(PlayedTransport(receiving: [.waitsFor(.writable), .wouldBlock]))
    let caller = played.receive()
    #expect(played.transport.count("receive") == 2)
    #expect(played.outcome(caller) == nil)
    played.end()
  }

  @Test func `each half that waits crosswise hears of the other direction`() {
    let played = HandPlayed(
      PlayedTransport(
        receiving: [.waitsFor(.writable), .waitsFor(.writable), .transferred(1)],
        sending: [.waitsFor(.readable), .waitsFor(.readable)]))
    let (received, sent) = (played.receive(), played.send([1]))
    #expect(sent.outcome == nil && played.outcome(received) == nil)
    played.transport.raise(.readable)
    played.reactor.drive()
    #expect(sent.outcome == "sent")
    played.transport.raise(.writable)
    played.reactor.drive()
    #expect(played.outcome(received) == "[1]")
    played.end()
  }

  @Test func `an attempt may take long on a helper thread, and nowhere else`() {
    let played = HandPlayed(PlayedTransport(receiving: [.offload, .transferred(1)], sending: [.offload]))
    let (received, sent) = (played.receive(), played.send([1]))
    #expect(played.transport.log == ["receive", "send [1]"] && played.transport.longCount == 0)
    while played.reactor.help() {}
    #expect(sent.outcome == "sent" && played.outcome(received) == "[1]")
    #expect(played.transport.longCount == 2)
    // Small ones that follow are made at once.
    #expect(played.send([2]).outcome == "sent" && played.transport.longCount == 2)
    played.end()
  }

  @Test func `a descriptor that never blocks is offered to the reactor once`() throws {
    let reactor = ManualReactor()
    let core = EndpointCore(try EmptyTransport(), for: .readable, reactor: reactor)
    let half = try #require(core.receiving)
    for _ in 0..<2 {
      guard case .queued(let place) = half.start(.upTo(1), as: .task, until: .never) else {
        Issue.record("nothing is there")
        return
      }
      half.giveUp(place, .cancelled)
      // No caller waits, so the watching ends.
      half.stir()
      #expect(half.inspect { !$0.isRegistered })
    }
    #expect(reactor.registerCount == 1)
    half.close()
  }

  @Test func `a transport that has no credentials is not asked for them again`() throws {
    let transport = try EmptyTransport()
    let core = EndpointCore(transport, for: .readable, reactor: ManualReactor())
    let reader = MessageReader(
      core: core, framing: .varInt, mode: .readAhead, maximumFrameSize: defaultMaximumFrameSize)
    #expect(
      blockingError { try reader.setReceivesCredentials(true) }?.reason
        == .transport(TransportError(.receive, .notSupported)))
    #expect(blockingError { try reader.blocking.receive(timeout: .zero) }?.reason == .timedOut)
    #expect(transport.receiveCount == 1 && transport.ancillaryReceiveCount == 0)
    reader.close()
  }
}
