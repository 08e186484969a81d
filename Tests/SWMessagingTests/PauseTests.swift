import SWIO
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// Places that stand aside until a pause is over.
@Suite(.lastResort, .leavesNothing) struct PauseTests {
  /// Datagrams, of which those that begin with 2 are refused until later.
  // Invariant: used by one thread.
  private final class Refusing: SocketLike, @unchecked Sendable {
    var duringSend: (() -> Void)?

    var content: TransportContent { .datagrams }
    var readinessSource: ReadinessSource { .signal }
    func attach(_ signal: ReadinessSignal) {}
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt { .wouldBlock }
    func finishSending() throws(TransportError) {}
    func close() {}

    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
      duringSend?()
      return unsafe bytes.first == 2 ? .retryLater : .transferred(bytes.count)
    }
  }

  @Test func `a thread whose datagram another driver puts aside limits its wait to the pause`() {
    let transport = Refusing()
    let core = EndpointCore(transport, for: .writable, reactor: ManualReactor())
    guard let half = core.sending else {
      Issue.record("it was made with that half")
      return
    }
    defer { half.close() }
    var waiting: HandCaller?
    transport.duringSend = {
      transport.duringSend = nil
      // It finds the turn taken, and waits without a limit.
      if case .queued(let place) = half.start(SendHalf.Call(Outgoing([2]), as: .thread, until: .never)) {
        waiting = HandCaller(place, in: half)
      }
    }
    guard case .ended(nil) = half.start(SendHalf.Call(Outgoing([1]), as: .thread, until: .never)) else {
      Issue.record("a datagram that is accepted waits")
      return
    }
    #expect(waiting?.place.isAside == true)
    #expect(waiting?.isWoken == true)
    waiting?.run()
    #expect(waiting?.place.waitLimit != .never)
    #expect(half.inspect { waiting?.place.waitLimit == $0.retryAt })
  }
}
