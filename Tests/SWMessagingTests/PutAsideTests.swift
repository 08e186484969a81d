import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Places that stand aside until a pause is over.
@Suite(.lastResort, .leavesNothing) struct PutAsideTests {
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

  /// Gives answers to attempts, one after the other, and records the datagrams that it accepts. Without an answer it accepts
  /// everything.
  // Invariant: used by one thread.
  private final class Answering: SocketLike, @unchecked Sendable {
    enum Answer {
      case refuse, fail
      case accept(Int)
    }

    var answers: [Answer]
    private(set) var accepted: [[UInt8]] = []
    private(set) var isFinished = false

    init(_ answers: Answer...) { self.answers = answers }

    var content: TransportContent { .datagrams }
    var readinessSource: ReadinessSource { .signal }
    func attach(_ signal: ReadinessSignal) {}
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt { .wouldBlock }
    func finishSending() throws(TransportError) { isFinished = true }
    func close() {}

    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { answer([unsafe Array(bytes)]) }

    func sendDatagrams(_ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
      answer(unsafe parts.map { unsafe Array($0) })
    }

    private func answer(_ datagrams: [[UInt8]]) -> Attempt {
      let answer = answers.isEmpty ? .accept(datagrams.count) : answers.removeFirst()
      switch answer {
      case .refuse: return .retryLater
      case .fail: return .failed(TransportError(.send, .connectionRefused, scope: .item))
      case .accept(let count):
        accepted += datagrams[..<count]
        return .transferred(datagrams[..<count].joined().count)
      }
    }
  }

  /// A half over such a transport, with a clock of its own.
  private struct Sender {
    let transport: Answering
    let reactor = ManualReactor(startingAt: Deadline(nanoseconds: 1))
    let core: EndpointCore
    let half: SendHalf

    init(_ transport: Answering) throws {
      self.transport = transport
      core = EndpointCore(transport, for: .writable, reactor: reactor)
      half = try #require(core.sending)
    }

    func start(_ datagrams: [UInt8]..., until deadline: Deadline = .never) -> SendHalf.Started {
      let borders = datagrams.indices.map { datagrams[...$0].joined().count }
      return half.start(
        SendHalf.Call(
          Outgoing(Array(datagrams.joined()), borders: borders.count > 1 ? borders : []), as: .task,
          until: deadline))
    }

    func start(_ step: SendPlace.Step, as kind: Place.Kind, until deadline: Deadline) -> SendHalf.Started {
      half.start(SendHalf.Call(Outgoing([]), as: kind, step: step, until: deadline))
    }

    /// Lets the present pause pass.
    func passPause() throws {
      reactor.pass(try #require(half.inspect { $0.retryAt }))
      reactor.drive()
    }
  }

  private func error(of started: SendHalf.Started) throws -> EndpointError? {
    guard case .ended(let error) = started else {
      Issue.record("the call waits")
      return nil
    }
    return error
  }

  private func place(of started: SendHalf.Started) throws -> SendPlace {
    guard case .queued(let place) = started else { throw EndpointError(.closed) }
    return place
  }

  @Test func `a batch that stands aside goes on where it stopped`() throws {
    let sender = try Sender(Answering(.accept(1), .refuse))
    defer { sender.half.close() }
    let place = try place(of: sender.start([1], [2], [3]))
    try sender.passPause()
    #expect(place.isDecided && place.error == nil)
    #expect(sender.transport.accepted == [[1], [2], [3]])
  }

  @Test func `a batch without time tells how many datagrams have been sent`() throws {
    let sender = try Sender(Answering(.accept(2), .refuse))
    defer { sender.half.close() }
    let error = try error(of: sender.start([1], [2], [3], until: .immediately))
    #expect(error?.reason == .timedOut && error?.messageCount == 2)
  }

  @Test func `a batch that stands aside gives up at once, and tells how many datagrams have been sent`()
    throws
  {
    let sender = try Sender(Answering(.accept(1), .refuse))
    defer { sender.half.close() }
    let place = try place(of: sender.start([1], [2]))
    sender.half.giveUp(place, .cancelled)
    #expect(place.isDecided && place.error?.reason == .cancelled && place.error?.messageCount == 1)
    #expect(place.error?.isCommitted == false)
    sender.half.close()
    sender.reactor.pass(.after(.seconds(1_000)))
    sender.reactor.drive()
  }

  @Test(arguments: [false, true])
  func `line 15: an error of one datagram of a batch does not end sending`(_ standsAside: Bool) throws {
    let sender = try Sender(
      standsAside ? Answering(.accept(1), .refuse, .fail) : Answering(.accept(1), .fail))
    defer { sender.half.close() }
    let told: EndpointError?
    if standsAside {
      let place = try place(of: sender.start([1], [2]))
      try sender.passPause()
      told = place.error
    } else {
      told = try error(of: sender.start([1], [2]))
    }
    #expect(told?.messageCount == 1)
    if case .transport(let failure)? = told?.reason {
      #expect(failure.errno == .connectionRefused)
    } else {
      Issue.record("not told of the error: \(String(describing: told))")
    }
    #expect(try error(of: sender.start([3])) == nil)
    #expect(sender.transport.accepted == [[1], [3]])
  }

  @Test func `a flush without time does not succeed while a datagram stands aside`() throws {
    let sender = try Sender(Answering(.refuse, .refuse))
    defer { sender.half.close() }
    let place = try place(of: sender.start([1]))
    let early = try error(of: sender.start(.flush, as: .thread, until: .immediately))
    #expect(early?.reason == .timedOut)
    #expect(!place.isDecided)
    try sender.passPause()
    #expect(place.isDecided && place.error == nil)
    #expect(try error(of: sender.start(.flush, as: .thread, until: .immediately)) == nil)
  }

  @Test func `line 6: datagrams to the connected peer stay in order`() throws {
    let sender = try Sender(Answering(.refuse))
    defer { sender.half.close() }
    let first = try place(of: sender.start([1]))
    let second = try place(of: sender.start([2]))
    #expect(second.isAside && sender.transport.accepted.isEmpty)
    try sender.passPause()
    #expect(first.isDecided && second.isDecided)
    #expect(sender.transport.accepted == [[1], [2]])
  }

  @Test func `nothing overtakes a half-close that stands aside`() throws {
    let sender = try Sender(Answering(.refuse))
    defer { sender.half.close() }
    let first = try place(of: sender.start([1]))
    _ = sender.start(.halfClose, as: .orphan, until: .never)
    let late = try place(of: sender.start([2]))
    #expect(!sender.transport.isFinished)
    try sender.passPause()
    #expect(first.error == nil && sender.transport.isFinished)
    #expect(late.error?.reason == .closed)
    #expect(sender.transport.accepted == [[1]])
  }
}
