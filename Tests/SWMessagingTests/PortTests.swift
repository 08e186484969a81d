import CSysTestSupport
import SWFraming
import SWIO
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import SWMessaging

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

  @Test func `who waits for the end of a transport is told when its descriptor is detached`() throws {
    let pair = try DescriptorPair.pipe()
    let reader = try SocketReader(adopting: pair.first.release())
    let isTold = Guarded(false)
    reader.core.receiving?.port.whenGone { isTold.withLock { $0 = true } }
    _ = try reader.detach()
    #expect(isTold.withLock { $0 })
  }

  /// A child may end after its channel has been detached, and the halves are gone by then. A sanitizer sees it if they are told.
  @Test func `a peer that ends after the detach concerns nobody`() throws {
    weak var half: ReceiveHalf?
    func detachedPort() throws -> Port {
      let pair = try DescriptorPair.sockets(.unix)
      let duplex = try SocketDuplex(adopting: pair.first.release())
      half = duplex.core.receiving
      let port = try #require(duplex.core.receiving?.port)
      _ = try duplex.detach()
      return port
    }
    let port = try detachedPort()
    #expect(half == nil)
    port.forsake()
  }

  @Test func `a thread that polls for room learns that its peer is gone`() async throws {
    let (left, right) = try makeSocketPair()
    let half = try #require(left.core.sending)
    let thread = TestThread {
      blockingError { try left.blocking.send([UInt8](repeating: 1, count: 8 << 20)) }?.failure?.errno
    }
    await eventually { half.inspect { $0.pollers == 1 } }
    half.port.forsake()
    #expect(try await thread.value == .brokenPipe)
    withExtendedLifetime(right) { left.close() }
  }

  /// Another process may hold the peer's end, so that nothing shows at the descriptor.
  @Test(arguments: [1, 2]) func `a thread that polls learns that its peer is gone`(_ count: Int) async throws
  {
    let (left, right) = try makeSocketPair()
    let half = try #require(left.core.receiving)
    let threads = (0..<count).map { _ in
      TestThread { blockingError { try left.blocking.receive() }?.reason }
    }
    await eventually { half.inspect { $0.waiterCount == count } }
    half.port.forsake()
    for thread in threads { #expect(try await thread.value == .endOfStream) }
    left.close()
    right.close()
  }

  @Test func `a poll does not show the end of a peer that is gone`() throws {
    let (left, right) = try makeSocketPair()
    let port = try #require(left.core.receiving?.port)
    #expect(port.pollShowsData)
    port.forsake()
    #expect(!port.pollShowsData)
    left.close()
    right.close()
  }

  @Test func `what was to be called at the end of a transport is let go with it`() {
    let port = Port(PlayedTransport(), for: .readable, reactor: ManualReactor())
    let half = ReceiveHalf(port)
    weak var kept: PlayedTransport?
    do {
      let captured = PlayedTransport()
      kept = captured
      port.whenGone { captured.close() }
    }
    #expect(kept != nil)
    half.close()
    #expect(kept == nil)
  }

  @Test func `an error that an endpoint throws says what it ends`() {
    for (content, errno, scope) in [
      (TransportContent.stream, Errno.ioError, TransportError.Scope.connection),
      (.stream, .brokenPipe, .direction),
      (.datagrams, .ioError, .item), (.datagrams, .notSocket, .connection),
    ] {
      let transport = PlayedTransport(content, sending: [.failed(TransportError(.send, errno))])
      let played = HandPlayed(transport)
      guard let error = played.send([1]).error, case .transport(let cause) = error.reason else {
        Issue.record("the send has not failed")
        return
      }
      #expect(cause.errno == errno && cause.scope == scope)
      played.end()
    }
  }

  @Test func `the first error of a connection is told of both directions, also where a later one follows`() {
    let (first, later) = (TransportError(.send, .connectionReset), TransportError(.receive, .ioError))
    let played = HandPlayed(PlayedTransport(receiving: [.failed(later)], sending: [.failed(first)]))
    #expect(played.send([1]).error?.failure?.errno == .connectionReset)
    guard case .ended(.failed(let error)) = played.receiving.start(.upTo(10), as: .task, until: .never) else {
      Issue.record("the connection is over")
      return
    }
    #expect(error.failure == TransportError(.send, .connectionReset, scope: .connection))
    #expect(played.transport.count("receive") == 1)
    #expect(played.send([2]).error?.failure?.errno == .connectionReset)
    played.end()
  }

  @Test func `an error that no attempt met says what it ends, too`() {
    let played = HandPlayed(PlayedTransport(finishing: [.ioError]))
    let duplex = SocketDuplex(core: played.core)
    duplex.finishSending()
    let unsent = blockingError { try duplex.blocking.send([1]) }?.failure
    #expect(unsent?.operation == .finishSending && unsent?.scope == .direction)
    for call: () throws -> Void in [
      { _ = try duplex.detach() }, { try duplex.setReceivesCredentials(true) },
      { try duplex.setInheritable(true) },
    ] {
      let failure = blockingError(of: call)?.failure
      #expect(failure?.errno == .notSupported && failure?.scope == .item)
    }
    played.end()
    // Work that no thread can be had for concerns the call, and sending once a message has begun.
    let helpless = HandPlayed(
      PlayedTransport(receiving: [.offload], sending: [.offload, .transferred(1), .offload]))
    helpless.reactor.refuseHelp(.noMemory)
    guard let place = helpless.receive()?.place as? ReceivePlace,
      case .failed(let unread) = helpless.receiving.outcome(of: place)
    else {
      Issue.record("there is no helper")
      return
    }
    #expect(unread.failure?.operation == .offload && unread.failure?.scope == .item)
    #expect(helpless.send([1]).error?.failure?.scope == .item)
    #expect(helpless.send([1, 2]).error?.failure?.scope == .direction)
    helpless.end()
    // A scope that is stated stays.
    var error = EndpointError(.transport(TransportError(.wait, .ioError)))
    #expect(error.failure?.scope == .item)
    error.reason = .transport(TransportError(.send, .ioError, scope: .connection))
    #expect(error.failure?.scope == .connection)
    error.reason = .transport(TransportError(.send, .ioError))
    #expect(error.failure?.scope == .item)
  }

  /// A transport with a descriptor that shows nothing, and that signals what it has.
  private final class Whisperer: SocketLike {
    private let pair: DescriptorPair
    private let state = Guarded<(signal: ReadinessSignal?, isOpen: Bool)>((nil, false))
    let attempts = Guarded(0)

    init() throws { pair = try DescriptorPair.pipe() }

    func open() {
      let signal = state.withLock { state in
        state.isOpen = true
        return state.signal
      }
      signal?.raise([.readable, .writable])
    }

    var readinessSource: ReadinessSource { .descriptor(pair.first.withDescriptor { $0 }) }
    func attach(_ signal: ReadinessSignal) { state.withLock { $0.signal = signal } }
    private func attempt() -> Attempt {
      attempts.withLock { $0 += 1 }
      return state.withLock { $0.isOpen } ? .transferred(1) : .waitsFor(.readable)
    }
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      unsafe memory[0] = 7
      return attempt()
    }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { attempt() }
    func finishSending() throws(TransportError) {}
    func close() { state.withLock { $0.signal = nil } }
  }

  @Test(arguments: [true, false])
  func `a signal wakes a thread that polls the descriptor of a user's transport`(
    _ receives: Bool
  ) async throws {
    let transport = try Whisperer()
    let duplex = SocketDuplex(core: EndpointCore(transport, for: [.readable, .writable]))
    let id = Guarded<Int32?>(nil)
    let thread = TestThread {
      id.withLock { $0 = swsys_thread_id() }
      if receives {
        #expect(try duplex.blocking.receive() == [7])
      } else {
        try duplex.blocking.send([7])
      }
    }
    await eventually {
      transport.attempts.withLock { $0 } > 0 && id.withLock { $0 }.map { swsys_thread_sleeps($0) } ?? false
    }
    transport.open()
    try await thread.value
    duplex.close()
  }

  @Test func `a user's transport passes on whether its descriptor is inherited, if it has one`() throws {
    let transport = try Whisperer()
    guard case .descriptor(let descriptor) = transport.readinessSource else { return }
    for isInheritable in [true, false] {
      try transport.setInheritable(isInheritable)
      #expect(try OwnedDescriptor.isInheritable(descriptor.rawValue) == isInheritable)
      #expect(try transport.isInheritable() == isInheritable)
    }
    let other = PlayedTransport()
    #expect(try !other.isInheritable())
    #expect(throws: TransportError(.inheritance, .notSupported)) { try other.setInheritable(true) }
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

  @Test func `an event that may be driven at once calls no reactor`() {
    let (transport, reactor) = (PlayedTransport(), ManualReactor())
    let port = Port(transport, for: .readable, reactor: reactor)
    let half = ReceiveHalf(port)
    guard case .queued(let place) = half.start(.upTo(1), as: .task, until: .never) else {
      Issue.record("nothing is there")
      return
    }
    let caller = HandCaller(place, in: half)
    transport.append(receiving: .transferred(1))
    port.readinessChanged(.readable, mayDrive: true)
    #expect(caller.isDecided && !reactor.isCalled)
    half.close()
  }

  /// Another worker may hold an event that it has not told yet. For a send that does not matter: nothing is lost.
  @Test func `where timers overtake events a late receive is tried once more, and a late send is not`() {
    let transport = PlayedTransport(sending: [.wouldBlock])
    let reactor = ManualReactor(timersMayOvertakeEvents: true)
    let core = EndpointCore(transport, for: [.readable, .writable], reactor: reactor)
    guard let receiving = core.receiving, let sending = core.sending,
      case .queued(let received) = receiving.start(.upTo(1), as: .task, until: .after(.seconds(1))),
      case .queued(let sent) = sending.start(
        SendHalf.Call(Outgoing([1]), as: .task, until: .after(.seconds(1))))
    else {
      Issue.record("nothing is there, and nothing is accepted")
      return
    }
    #expect(transport.log == ["receive", "send [1]"])
    for place in [received, sent] as [Place] { place.deadlinePassed() }
    #expect(transport.log == ["receive", "send [1]", "receive"])
    for half in [receiving, sending] as [Half] { half.close() }
  }

  @Test func `bytes that are too few for a call that does not wait are there for the one behind it`() {
    let played = HandPlayed(PlayedTransport(receiving: [.wouldBlock]))
    // From now on the half hears of readiness.
    played.receive()?.giveUp(.cancelled)
    let behind = Guarded<HandCaller?>(nil)
    played.transport.append(receiving: .transferred(5))
    played.transport.meanwhile {
      let caller = played.receive()
      behind.withLock { $0 = caller }
    }
    #expect(played.receive(.exactly(10), until: .immediately) == nil)
    let caller = behind.withLock { $0 }
    played.reactor.drive()
    #expect(played.outcome(caller) == "[1, 2, 3, 4, 5]")
    played.end()
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

  /// A reactor that notes what it is asked for, and does nothing.
  private final class Watcher: Reacting {
    let interest = Guarded<Readiness?>(nil)
    let expectsHangs = Guarded(false)

    func register(
      _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
    ) -> RegistrationOutcome {
      self.interest.withLock { $0 = interest }
      return .registered(RegistrationID(slot: 0, generation: 0))
    }
    func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno? {
      self.interest.withLock { $0 = interest }
      return nil
    }
    func deregister(_ id: RegistrationID, descriptor: Int32) { interest.withLock { $0 = nil } }
    func expectHangs() { expectsHangs.withLock { $0 = true } }
    func call(_ work: any ReactorWork) {}
    func offload(_ work: any ReactorWork) -> Errno? { nil }
    func set(_ timer: Timer, at deadline: Deadline) {}
    func takeBack(_ timer: Timer) {}
  }

  @Test(arguments: [[Readiness.readable, .writable], [.writable, .readable]])
  func `what one half watches for stays watched when the other one begins and ends`(
    _ order: [Readiness]
  ) throws {
    let watcher = Watcher()
    let port = Port(connected: try EmptyTransport(), reactor: watcher)
    for half in order { #expect(port.watch(half, for: half) == nil) }
    #expect(watcher.interest.withLock { $0 } == [.readable, .writable])
    #expect(port.watch(order[0], for: []) == nil)
    #expect(watcher.interest.withLock { $0 } == order[1])
    for half in order { port.leave(half) }
    #expect(watcher.interest.withLock { $0 } == nil)
  }

  @Test(arguments: [true, false])
  func `a reactor is told before the first attempt that attempts may hang`(_ mayHang: Bool) {
    var capabilities = TransportCapabilities()
    capabilities.attemptsMayHang = mayHang
    let watcher = Watcher()
    let port = Port(PlayedTransport(capabilities: capabilities), for: .readable, reactor: watcher)
    #expect(watcher.expectsHangs.withLock { $0 } == mayHang)
    port.leave(.readable)
  }

  /// A read that was short has taken all, but an end or an error that was signalled with it is not told again.
  @Test func `what was signalled besides data is looked for behind a short read`() {
    for (readiness, isMore) in [
      (Readiness.readable, false), ([.readable, .readClosed], true), ([.readable, .failed], true),
      ([.readable, .writeClosed], false),
    ] as [(Readiness, Bool)] {
      let played = HandPlayed(PlayedTransport(drains: true))
      let caller = played.receive()
      played.transport.append(receiving: .transferred(3))
      played.transport.raise(readiness)
      played.reactor.drive()
      #expect(played.outcome(caller) == "[1, 2, 3]")
      #expect(played.receiving.inspect { $0.stirred } == isMore, "\(readiness.rawValue)")
      played.end()
    }
  }

  /// A user's transport may signal only the direction that has failed.
  @Test func `who receives hears of an error of the connection that a send has met, behind the data`() {
    let played = HandPlayed(
      PlayedTransport(sending: [.failed(TransportError(.send, .connectionReset))], drains: true))
    let caller = played.receive()
    played.transport.append(receiving: .transferred(3))
    #expect(played.send([1]).error?.failure?.errno == .connectionReset)
    played.reactor.drive()
    #expect(played.outcome(caller) == "[1, 2, 3]")
    #expect(played.receiving.inspect { $0.stirred })
    // The next attempt would block, and nothing will be signalled any more.
    guard case .ended(.failed(let error)) = played.receiving.start(.upTo(10), as: .task, until: .never) else {
      Issue.record("the connection is over")
      return
    }
    #expect(error.failure?.errno == .connectionReset)
    #expect(played.transport.count("receive") == 3)
    played.end()
  }

  @Test func `a user's transport whose peer is gone has ended when nothing is left`() {
    let played = HandPlayed(PlayedTransport(receiving: [.transferred(2)]))
    played.receiving.port.forsake()
    for expected in ["[1, 2]", nil] {
      switch played.receiving.start(.upTo(10), as: .task, until: .never) {
      case .ended(.lent(let demand)):
        let bytes = unsafe played.receiving.turn.takePayload(of: demand)
        played.receiving.finishLoan(demand)
        #expect("\(bytes)" == expected)
      case .ended(.failed(let error)): #expect(expected == nil && error.reason == .endOfStream)
      default: Issue.record("nothing more will come")
      }
    }
    played.end()
  }

  /// Its poll may not show that, if the transport is a user's.
  @Test func `a thread that polls learns of an error that the other direction has met`() throws {
    let pair = try DescriptorPair.pipe()
    let source = pair.first.withDescriptor { ReadinessSource.descriptor($0) }
    let error = TransportError(.receive, .connectionReset)
    let receiving = HandPlayed(PlayedTransport(sending: [.failed(error)], source: source))
    let received = receiving.receive(as: .thread)
    #expect(received?.isWoken == false && receiving.receiving.inspect { $0.pollers } == 1)
    _ = receiving.send([1])
    #expect(received?.isWoken == true)
    received?.run()
    #expect(received?.isDecided == true)
    receiving.end()

    let sending = HandPlayed(
      PlayedTransport(receiving: [.failed(error)], sending: [.wouldBlock], source: source))
    let sent = sending.send([1], as: .thread)
    #expect(sent.caller?.isWoken == false && sending.sending.inspect { $0.pollers } == 1)
    #expect(sending.receive() == nil)
    #expect(sent.caller?.isWoken == true)
    sent.caller?.run()
    #expect(sent.error?.failure?.errno == .connectionReset)
    sending.end()
  }

  @Test func `a thread that polls crosswise hears of the other direction`() throws {
    let pair = try DescriptorPair.pipe()
    let source = pair.first.withDescriptor { ReadinessSource.descriptor($0) }
    let played = HandPlayed(
      PlayedTransport(receiving: [.waitsFor(.writable), .waitsFor(.writable)], source: source))
    let caller = played.receive(as: .thread)
    #expect(caller?.isWoken == false && played.receiving.inspect { $0.pollers } == 1)
    #expect(played.send([1]).outcome == "sent")
    #expect(caller?.isWoken == true)
    played.transport.append(receiving: .transferred(1))
    caller?.run()
    #expect(played.outcome(caller) == "[1]")
    played.end()
  }

  @Test func `who waits for the end of a transport is told when that is closed`() {
    let transport = PlayedTransport()
    let port = Port(transport, for: .readable, reactor: ManualReactor())
    let half = ReceiveHalf(port)
    let seen = Guarded<[String]?>(nil)
    port.whenGone { seen.withLock { $0 = transport.log } }
    half.close()
    #expect(seen.withLock { $0 } == ["close"])
  }

  @Test func `a half-close leaves the transport open`() {
    let transport = PlayedTransport()
    let half = SendHalf(Port(transport, for: .writable, reactor: ManualReactor()))
    guard
      case .ended(nil) = half.start(
        SendHalf.Call(Outgoing([] as [UInt8]), as: .orphan, step: .halfClose, until: .never))
    else {
      Issue.record("a half-close of an idle half goes out at once")
      return
    }
    #expect(transport.log == ["finish"] && half.inspect { !$0.isClosed })
    half.close()
    #expect(transport.log == ["finish", "close"])
  }

  @Test(arguments: [TransportContent.stream, .datagrams])
  func `a message in several parts is sent by one attempt`(_ content: TransportContent) {
    let played = HandPlayed(PlayedTransport(content))
    let pieces = [[UInt8](repeating: 1, count: 300), [UInt8](repeating: 2, count: 300)]
    guard
      case .ended(nil) = played.sending.start(
        SendHalf.Call(Outgoing(pieces, borders: []), as: .task, until: .never))
    else {
      Issue.record("everything is accepted")
      return
    }
    #expect(played.transport.log == ["send \(pieces[0] + pieces[1])"])
    played.end()
  }

  private final class Hearer: ReadinessReceiver {
    func readinessChanged(_ readiness: Readiness, mayDrive: Bool) {}
  }

  @Test(arguments: [true, false]) func `a delayed signal that is taken back keeps nothing`(_ detaches: Bool) {
    let reactor = ManualReactor()
    weak var kept: ReadinessSignal?
    do {
      let signal = ReadinessSignal(Hearer(), reactor: reactor)
      kept = signal
      signal.raise([.readable, .writable], after: .seconds(1))
      #expect(reactor.timerCount == 2)
      if detaches { signal.detach() } else { signal.cancelRaise([.readable, .writable]) }
      #expect(reactor.timerCount == 0)
    }
    #expect(kept == nil)
  }
}
