import CSysShim
import SWFraming
import SWIO
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import SWMessaging

/// Rare steps of the receiving half, over a played transport: a close or a cancellation during an attempt, a helper
/// thread that cannot be had.
@Suite(.lastResort, .leavesNothing) struct ReceiveStepTests {
  private static let broken = TransportError(.receive, .ioError, scope: .direction)
  private static let once = TransportError(.receive, .messageTooLong, scope: .item)
  private static let attempts: [Attempt] = [
    .wouldBlock, .retryLater, .offload, .transferred(1), .transferred(3), .endOfStream, .failed(broken),
    .failed(once),
  ]

  /// How a receive has ended that was not queued, in a word.
  private func outcome(_ started: ReceiveHalf.Started, _ played: HandPlayed) -> String? {
    switch started {
    case .ended(.failed(let error)): return "\(error.reason)"
    case .ended(.delivered(let delivery)): return "\(delivery.bytes)"
    case .ended(.lent(let demand)):
      let bytes = unsafe played.receiving.turn.takePayload(of: demand)
      played.receiving.finishLoan(demand)
      return "\(bytes)"
    case .queued(let place): return played.outcome(HandCaller(place, in: played.receiving))
    }
  }

  @Test(arguments: attempts, [Place.Kind.task, .thread])
  func `a close during an attempt ends the call, and the transport is closed behind it`(
    _ attempt: Attempt, _ kind: Place.Kind
  ) {
    let played = HandPlayed(PlayedTransport(receiving: [attempt]))
    let (receiving, sending) = (played.receiving, played.sending)
    played.transport.meanwhile {
      receiving.close()
      sending.close()
    }
    let started = receiving.start(.exactly(3), as: kind, until: .never)
    let expected: EndpointError.Reason =
      switch attempt {
      case .endOfStream: .endOfStream
      case .failed(let error): .transport(error)
      default: .closed
      }
    #expect(outcome(started, played) == "\(expected)")
    #expect(played.transport.log == ["receive", "close"])
    #expect(!played.reactor.help() && played.reactor.timerCount == 0 && !played.reactor.isCalled)
    #expect(receiving.inspect { $0.isOut && !$0.turn })
    played.end()
  }

  @Test(arguments: attempts, [true, false])
  func `a close or a cancellation during the attempt for a call that waits ends it`(
    _ attempt: Attempt, isClosed: Bool
  ) {
    let played = HandPlayed(PlayedTransport(receiving: [.wouldBlock, attempt]))
    let (receiving, sending) = (played.receiving, played.sending)
    let caller = played.receive(.exactly(3))
    played.transport.meanwhile {
      if !isClosed { return caller?.giveUp(.cancelled) ?? () }
      receiving.close()
      sending.close()
    }
    receiving.stir()
    played.reactor.drive()
    _ = played.reactor.help()
    #expect(played.outcome(caller) == (isClosed ? "closed" : "cancelled"))
    #expect(played.transport.log == ["receive", "receive"] + (isClosed ? ["close"] : []))
    #expect(played.reactor.timerCount == 0 && !played.reactor.isCalled)
    #expect(receiving.inspect { $0.queue.count == 0 && !$0.turn && $0.retryAt == nil })
    if !isClosed, attempt == .transferred(3) {
      // The bytes stay for the next call.
      #expect(outcome(receiving.start(.exactly(3), as: .task, until: .immediately), played) == "[1, 2, 3]")
      #expect(played.transport.count("receive") == 2)
    }
    played.end()
  }

  /// - Parameter hasBegun: whether the other one has seen the first byte of the frame.
  @Test(arguments: [false, true])
  func `a large payload that one reader has begun to receive is received whole by another`(
    hasBegun: Bool
  ) async throws {
    let (raw, writer) = try makePipe()
    let readers = (0..<2).map { _ in MessageReader(over: raw, framing: VarIntFraming()) }
    let payload = pattern(40_000)
    let frame = try varIntFrame(payload)
    // The other one has received a message before, and knows its length.
    try await writer.send(varIntFrame([7, 8]))
    #expect(try await readers[1].receive() == [7, 8])
    let first = hasBegun ? 1 : 0
    try await writer.send(Array(frame.prefix(first)))
    if hasBegun {
      let error = await endpointError { try await readers[1].receive(timeout: .zero) }
      #expect(error?.reason == .timedOut)
    }
    try await writer.send(Array(frame[first..<20_000]))
    let error = await endpointError { try await readers[0].receive(timeout: .zero) }
    #expect(error?.reason == .timedOut)
    try await writer.send(Array(frame.dropFirst(20_000)))
    #expect(try await readers[1].receive() == payload)
    withExtendedLifetime(readers) {}
  }

  /// The turn of an endpoint, with the frames that have come for it.
  private struct Turn: ~Copyable {
    var turn = ReceiveTurn()
    private let request: ReceiveRequest

    init() {
      let source = TypedSource(VarIntFraming(), readsAhead: false, maximumFrameSize: 1 << 20)
      request = .message(source)
    }

    /// - Returns: the demand of the frame at the front, if all of it has come.
    mutating func bring(_ bytes: some Collection<UInt8>) -> FrameDemand? {
      var rest = Array(bytes)
      while true {
        switch turn.scan(request) {
        case .complete(let demand): return demand
        case .failed: return nil
        case .needs(let demand):
          if rest.isEmpty { return nil }
          let outcome = unsafe turn.attempt(demand, for: request) { memory in
            let count = min(memory.count, rest.count)
            unsafe memory.copyBytes(from: rest.prefix(count))
            rest.removeFirst(count)
            return .transferred(count)
          }
          guard outcome == .moved else { return nil }
        }
      }
    }
  }

  @Test func `raw bytes are received over the end of a large payload that has come in part`() async throws {
    let (raw, writer) = try makePipe()
    let reader = MessageReader(over: raw, framing: .varInt)
    let bytes = try varIntFrame(pattern(40_000)) + pattern(10_000)
    try await writer.send(Array(bytes.prefix(20_000)))
    #expect(await endpointError { try await reader.receive(timeout: .zero) }?.reason == .timedOut)
    try await writer.send(Array(bytes.dropFirst(20_000)))
    #expect(try await raw.receive(exactly: bytes.count) == bytes)
  }

  @Test func `bytes can be taken from a large payload that has come in part`() throws {
    let frame = try varIntFrame(pattern(40_000))
    var turn = Turn()
    let complete = turn.bring(frame.prefix(20_000))
    let (isAssembled, capacity) = (turn.turn.isAssembled, turn.turn.capacity)
    #expect(complete == nil && isAssembled && capacity >= 40_000)
    turn.turn.consume(.frame(byteCount: 3, payload: 0..<3))
    let rest = turn.turn.unread()
    #expect(rest == Array(frame[3..<20_000]))
  }

  @Test func `what is too little for a late call, and enough for the one behind it, goes to that one`() {
    let played = HandPlayed(PlayedTransport())
    let first = played.receive(.exactly(20))
    let behind = Guarded<(late: HandCaller?, last: HandCaller?)>((nil, nil))
    played.transport.append(receiving: .transferred(5))
    played.transport.meanwhile {
      // The turn is taken, so the call with a zero timeout waits for its one attempt.
      let calls = (played.receive(.exactly(10), until: .immediately), played.receive(.exactly(3)))
      behind.withLock { $0 = calls }
      calls.0?.giveUp(.timedOut)
      first?.giveUp(.cancelled)
    }
    played.receiving.stir()
    played.reactor.drive()
    let (late, last) = behind.withLock { $0 }
    #expect(played.outcome(first) == "cancelled" && played.outcome(late) == "timedOut")
    #expect(played.outcome(last) == "[1, 2, 3]")
    played.end()
  }

  @Test func `a thread that polls is woken for a call that is to be tried once`() throws {
    let pair = try DescriptorPair.sockets()
    let reactor = ManualReactor()
    let core = try EndpointCore(
      adopting: pair.first.release().rawValue, for: [.readable, .writable], reactor: reactor)
    let half = try #require(core.receiving)
    guard case .queued(let place) = half.start(.exactly(3), as: .thread, until: .never) else {
      Issue.record("nothing is there")
      return
    }
    let thread = HandCaller(place, in: half)
    guard case .queued(let late) = half.start(.upTo(1), as: .task, until: .immediately) else {
      Issue.record("it is tried by itself")
      return
    }
    let call = HandCaller(late, in: half)
    // The thread's poll returns for this, too, unless another process is quicker.
    half.stir()
    #expect(!thread.isWoken)
    call.giveUp(.timedOut)
    #expect(thread.isWoken && !call.isDecided)
    half.close()
    #expect(!half.endWait(place, polling: true) && thread.isDecided)
    core.sending?.close()
  }

  /// Over the reading end of a pipe, which brings nothing. Something happens during its first attempt.
  private final class Interrupted: DescriptorTransport {
    private let pair: DescriptorPair
    private let meanwhile = Guarded<(@Sendable () -> Void)?>(nil)

    init() throws { pair = try DescriptorPair.pipe() }

    func meanwhile(_ body: @escaping @Sendable () -> Void) { meanwhile.withLock { $0 = body } }

    var number: Int32 { pair.first.withDescriptor { $0.rawValue } }
    var working: Int32 { number }
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      meanwhile.withLock { $0.take() }?()
      return .wouldBlock
    }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { .wouldBlock }
    func close(then done: @escaping @Sendable () -> Void) { done() }
  }

  @Test func `code that runs in the turn does not wait for itself when it detaches`() throws {
    let transport = try Interrupted()
    let half = ReceiveHalf(Port(connected: transport, for: .readable, reactor: ManualReactor()))
    let core = EndpointCore(receiving: half, sending: nil)
    let refusal = Guarded<EndpointError.Reason?>(nil)
    transport.meanwhile {
      let reason = blockingError { _ = try core.detach() }?.reason
      refusal.withLock { $0 = reason }
    }
    _ = half.start(.exactly(3), as: .task, until: .immediately)
    #expect(refusal.withLock { $0 } == .busy)
    half.close()
  }

  @Test func `an endpoint can be detached as soon as its last call has given up`() async throws {
    let (transport, reactor) = (try Interrupted(), ManualReactor())
    let half = ReceiveHalf(Port(connected: transport, for: .readable, reactor: reactor))
    let core = EndpointCore(receiving: half, sending: nil)
    guard case .queued(let place) = half.start(.exactly(3), as: .task, until: .never) else {
      Issue.record("nothing is there")
      return
    }
    let caller = HandCaller(place, in: half)
    let detaching = Guarded<TestThread<Bool>?>(nil)
    transport.meanwhile {
      half.giveUp(place, .cancelled)
      let hasBegun = Gate()
      let thread = TestThread { () throws -> Bool in
        hasBegun.open()
        // The pipe's object closes it.
        return try core.detach().release().descriptor.rawValue >= 0
      }
      detaching.withLock { $0 = thread }
      hasBegun.waitBlocking()
      // It finds the turn taken.
      for _ in 0..<20 { swsys_yield() }
    }
    half.stir()
    reactor.drive()
    #expect(caller.isDecided)
    #expect(try await #require(detaching.withLock { $0 }).value)
  }

  @Test func `what comes for a call that is cancelled meanwhile goes to the one behind it`() {
    let played = HandPlayed(PlayedTransport())
    let (first, second) = (played.receive(.exactly(3)), played.receive(.exactly(2)))
    played.transport.append(receiving: .transferred(3))
    played.transport.meanwhile { first?.giveUp(.cancelled) }
    played.receiving.stir()
    played.reactor.drive()
    #expect(played.outcome(first) == "cancelled")
    #expect(played.outcome(second) == "[1, 2]")
    #expect(outcome(played.receiving.start(.upTo(9), as: .task, until: .immediately), played) == "[3]")
    played.end()
  }

  @Test func `what comes for a thread that is cancelled meanwhile stays for the next call`() {
    let played = HandPlayed(PlayedTransport(receiving: [.wouldBlock]))
    guard case .queued(let place) = played.receiving.start(.exactly(3), as: .thread, until: .never) else {
      Issue.record("it does not wait")
      return
    }
    let caller = HandCaller(place, in: played.receiving)
    played.transport.append(receiving: .transferred(3))
    played.transport.meanwhile { caller.giveUp(.cancelled) }
    played.receiving.stir()
    caller.run()
    #expect(played.outcome(caller) == "cancelled")
    #expect(outcome(played.receiving.start(.upTo(9), as: .task, until: .immediately), played) == "[1, 2, 3]")
    played.end()
  }

  @Test func `an error of one attempt is told to the call that made it, on the short way, too`() async throws
  {
    let played = HandPlayed(
      PlayedTransport(receiving: [.failed(Self.once), .failed(Self.once), .transferred(2)]))
    let reader = MessageReader(
      core: played.core, framing: .varInt, mode: .readAhead, maximumFrameSize: defaultMaximumFrameSize)
    #expect(
      blockingError { try reader.blocking.receive(timeout: .zero) }?.reason == .transport(Self.once))
    let error = await endpointError { try await reader.receive() }
    #expect(error?.reason == .transport(Self.once))
    #expect(try await reader.receive() == [2])
    #expect(played.transport.log == ["receive", "receive", "receive"])
    played.end()
  }

  @Test func `an attempt takes long only if the one before was offloaded`() {
    let played = HandPlayed(
      PlayedTransport(
        receiving: [.offload, .transferred(1)], sending: [.offload, .transferred(1), .wouldBlock]))
    let (received, sent) = (played.receive(.exactly(3)), played.send([1, 2, 3]))
    while played.reactor.help() {}
    #expect(played.transport.longCount == 2 && played.outcome(received) == nil && sent.outcome == nil)
    // The helpers gave the turns back.
    played.transport.append(receiving: .offload, .transferred(2))
    played.transport.raise([.readable, .writable])
    played.reactor.drive()
    while played.reactor.help() {}
    #expect(played.outcome(received) == "[1, 2, 3]" && sent.outcome == "sent")
    #expect(played.transport.longCount == 3)
    played.end()
  }

  @Test func `a helper goes on with the next attempt that is offloaded`() {
    let played = HandPlayed(
      PlayedTransport(receiving: [.offload, .transferred(1), .offload, .transferred(2)]))
    let received = played.receive(.exactly(3))
    #expect(played.reactor.help())
    #expect(!played.reactor.help() && played.outcome(received) == "[1, 2, 3]")
    #expect(played.transport.longCount == 2)
    played.end()
  }

  @Test func `an error of the connection ends a receive that waits, and each later call`() {
    let reset = TransportError(.send, .connectionReset, scope: .connection)
    let played = HandPlayed(PlayedTransport(sending: [.failed(reset)]))
    let received = played.receive()
    #expect(played.send([1]).outcome == "\(EndpointError.Reason.transport(reset))")
    played.reactor.drive()
    #expect(played.outcome(received) == "\(EndpointError.Reason.transport(reset))")
    #expect(
      outcome(played.receiving.start(.upTo(1), as: .task, until: .never), played)
        == "\(EndpointError.Reason.transport(reset))")
    played.end()
  }

  @Test func `an error of the connection ends a send that waits, and what came before it is received`() {
    let failed = TransportError(.receive, .ioError, scope: .connection)
    let played = HandPlayed(
      PlayedTransport(receiving: [.transferred(2), .failed(failed)], sending: [.wouldBlock]))
    let sent = played.send([1])
    #expect(outcome(played.receiving.start(.upTo(1), as: .task, until: .never), played) == "[1]")
    let expected = "\(EndpointError.Reason.transport(failed))"
    #expect(outcome(played.receiving.start(.upTo(1), as: .task, until: .never), played) == expected)
    played.reactor.drive()
    #expect(sent.outcome == expected && played.send([2]).outcome == expected)
    #expect(played.transport.count("send") == 1)
    played.end()
  }

  @Test func `the end of a peer that is gone is found, though the last read was short`() throws {
    let pair = try DescriptorPair.sockets()
    let writer = try SocketWriter(adopting: pair.second)
    let reactor = ManualReactor()
    let core = try EndpointCore(
      adopting: pair.first.release().rawValue, for: [.readable, .writable], reactor: reactor)
    let half = try #require(core.receiving)
    let side = core.side(.varInt)
    guard case .queued(let place) = half.start(side.request, as: .task, until: .never) else {
      Issue.record("nothing is there")
      return
    }
    // One attempt meets both: the last message, and that the peer is gone, whose end another process holds.
    _ = try writer.withDescriptor { try $0.writeAll([1, 9]) }
    half.port.forsake()
    reactor.drive()
    #expect(try side.message(half.outcome(of: place)) == [9])
    var front = ReceiveHalf.Front.unseen
    #expect(try side.messageAtOnce(&front, as: .task, CallLimit(nil, .never)) == nil)
    guard case .ended(.failed(let error)) = half.start(side.request, as: .task, until: .never, after: front)
    else {
      Issue.record("it waits for what will not be signalled")
      return
    }
    #expect(error.reason == .endOfStream)
    half.close()
    core.sending?.close()
  }

  /// A reader, and a number of its peer that another process would have, too.
  private static func readerBesideWriter(
    _ isPipe: Bool
  ) throws -> (core: EndpointCore, reader: SocketReader, other: FileDescriptor) {
    let pair = isPipe ? try DescriptorPair.pipe() : try DescriptorPair.sockets()
    let core = try EndpointCore(
      adopting: pair.first.release().rawValue, for: .readable, reactor: ManualReactor())
    return (core, SocketReader(core: core), pair.second.release())
  }

  @Test(arguments: [false, true])
  func `a peer that is gone ends behind what is there, though another process goes on writing`(
    _ isPipe: Bool
  ) throws {
    let (core, reader, other) = try Self.readerBesideWriter(isPipe)
    func write(_ text: String) throws { _ = try other.writeAll(text.utf8) }
    try write("12345")
    core.receiving?.port.forsake()
    #expect(try reader.blocking.receive(exactly: 3) == Array("123".utf8))
    try write("more")
    #expect(try reader.blocking.receive() == Array("45".utf8))
    try write("and more")
    for _ in 0..<2 { #expect(blockingError { try reader.blocking.receive() }?.reason == .endOfStream) }
    reader.close()
    try other.close()
  }

  @Test(arguments: [false, true])
  func `a peer that is gone and left nothing ends at once, though another process could write`(
    _ isPipe: Bool
  ) throws {
    let (core, reader, other) = try Self.readerBesideWriter(isPipe)
    core.receiving?.port.forsake()
    #expect(blockingError { try reader.blocking.receive(timeout: .patience) }?.reason == .endOfStream)
    reader.close()
    try other.close()
  }

  /// The connection may have ended otherwise, and that is what is reported.
  @Test func `a peer that is gone and has closed its end is received from to that end`() throws {
    let pair = try DescriptorPair.sockets()
    let peer = pair.second.release()
    let core = try EndpointCore(
      adopting: pair.first.release().rawValue, for: [.readable, .writable], reactor: ManualReactor())
    let duplex = SocketDuplex(core: core)
    // Unread bytes make the close a reset.
    try duplex.blocking.send("unread")
    _ = try peer.writeAll("last".utf8)
    try peer.close()
    core.receiving?.port.forsake()
    var received: [UInt8] = []
    let error = blockingError { while true { received += try duplex.blocking.receive() } }
    #expect(error?.failure?.errno == .connectionReset && received == Array("last".utf8))
    duplex.close()
  }

  @Test func `a place that has been told is held by nobody but its caller`() throws {
    let played = HandPlayed(PlayedTransport())
    let half = played.receiving
    func wait() throws -> Place {
      guard case .queued(let place) = half.start(.upTo(1), as: .task, until: .never) else {
        throw EndpointError(.busy)
      }
      // The closure that resumes it may hold the place, as it does where the end of a process is waited for.
      let isParked = half.park(place, .callback { withExtendedLifetime(place) {} })
      #expect(isParked)
      return place
    }
    let first = try wait()
    weak var second: Place?
    second = try wait()
    let isQueued = second?.isQueued
    #expect(isQueued == true)
    half.close()
    #expect(first.isDecided && second == nil)
    played.end()
  }

  @Test func `a reactor that comes while a caller has the turn brings no second attempt about`() {
    let played = HandPlayed(PlayedTransport())
    let (transport, reactor) = (played.transport, played.reactor)
    let first = played.receive()
    transport.raise(.readable)
    #expect(reactor.isCalled)
    transport.meanwhile { reactor.drive() }
    let second = played.receive()
    #expect(transport.count("receive") == 2 && !reactor.isCalled)
    #expect(first?.isDecided == false && second?.isDecided == false)
    played.end()
  }

  @Test func `what nobody has received is dropped before the transport counts as gone`() {
    let played = HandPlayed(PlayedTransport(receiving: [.transferred(2)]))
    let receiving = played.receiving
    guard case .ended(.failed) = receiving.start(.exactly(3), as: .task, until: .immediately) else {
      Issue.record("two bytes are too few")
      return played.end()
    }
    let held = unsafe receiving.turn.count
    #expect(held == 2)
    let counts = Guarded<[Int]>([])
    receiving.port.whenGone {
      let count = unsafe receiving.turn.count
      counts.withLock { $0.append(count) }
    }
    played.sending.close()
    receiving.close()
    #expect(counts.withLock { $0 } == [0])
    played.end()
  }

  /// A thread that polls takes by it that its attempts are not in vain.
  @Test func `the attempts that move something are counted`() {
    let played = HandPlayed(PlayedTransport(receiving: [.transferred(1), .transferred(1), .wouldBlock]))
    let caller = played.receive(.exactly(3))
    let count = played.receiving.moveCount.load(ordering: .relaxed)
    #expect(count == 2 && caller?.isDecided == false)
    played.end()
  }

  @Test func `a task yields after 64 calls without a wait, and a wait begins the count anew`() async {
    let played = HandPlayed(PlayedTransport())
    let half = played.receiving
    func next65() -> [Bool] { (0..<65).map { _ in half.shouldYield() } }
    let expected = [Bool](repeating: false, count: 64) + [true]
    #expect(next65() == expected)
    for _ in 0..<64 { _ = half.shouldYield() }
    guard case .queued(let place) = half.start(.upTo(1), as: .task, until: .never) else {
      Issue.record("nothing is there")
      return played.end()
    }
    half.giveUp(place, .cancelled)
    await half.runTask(place)
    #expect(next65() == expected)
    played.end()
  }

  @Test func `a large payload that comes for a call that is cancelled meanwhile goes to the one behind it`() {
    let played = HandPlayed(PlayedTransport())
    let count = 40_000
    let (first, second) = (played.receive(.exactly(count)), played.receive(.exactly(count)))
    played.transport.append(receiving: .transferred(count))
    played.transport.meanwhile { first?.giveUp(.cancelled) }
    played.receiving.stir()
    played.reactor.drive()
    #expect(played.outcome(first) == "cancelled")
    if second?.isDecided == true, let place = second?.place as? ReceivePlace,
      case .delivered(let delivery) = played.receiving.outcome(of: place)
    {
      #expect(delivery.bytes == (1...count).map { UInt8(truncatingIfNeeded: $0) })
    } else {
      Issue.record("the payload is lost")
    }
    played.end()
  }

  @Test func `what is too little for a call that is cancelled meanwhile is enough for the one behind it`() {
    let played = HandPlayed(PlayedTransport())
    let transport = played.transport
    let (first, second) = (played.receive(.exactly(5)), played.receive(.upTo(5)))
    transport.append(receiving: .transferred(2))
    // It leaves during the attempt that finds nothing, behind the one that has brought two bytes.
    transport.meanwhile { transport.meanwhile { first?.giveUp(.cancelled) } }
    played.receiving.stir()
    played.reactor.drive()
    #expect(played.outcome(first) == "cancelled" && played.outcome(second) == "[1, 2]")
    played.end()
  }

  @Test
  func `the attempt that is left to a helper is a late call's first one, though a short one came before`() {
    let played = HandPlayed(PlayedTransport())
    let (transport, receiving) = (played.transport, played.receiving)
    let first = played.receive(.exactly(3))
    let late = Guarded<HandCaller?>(nil)
    transport.append(receiving: .wouldBlock, .offload, .transferred(3))
    transport.meanwhile {
      let caller = played.receive(.exactly(3), until: .immediately)
      caller?.giveUp(.timedOut)
      late.withLock { $0 = caller }
      first?.giveUp(.cancelled)
    }
    receiving.stir()
    played.reactor.drive()
    #expect(played.outcome(first) == "cancelled" && late.withLock { $0 }?.isDecided == false)
    #expect(played.reactor.help())
    #expect(played.outcome(late.withLock { $0 }) == "[1, 2, 3]")
    played.end()
  }

  /// The head is told while the driver still has the turn.
  @Test(arguments: [false, true])
  func `where no helper can be had, the head fails, and a late call that comes then has its attempt`(
    _ hasLate: Bool
  ) {
    let played = HandPlayed(PlayedTransport(receiving: [.wouldBlock, .offload, .transferred(3)]))
    let (receiving, reactor) = (played.receiving, played.reactor)
    reactor.refuseHelp(.resourceTemporarilyUnavailable)
    let late = Guarded<HandCaller?>(nil)
    guard case .queued(let place) = receiving.start(.exactly(3), as: .task, until: .never) else {
      Issue.record("nothing is there")
      return played.end()
    }
    let isParked = receiving.park(
      place,
      .callback {
        if !hasLate { return }
        let caller = played.receive(.exactly(3), until: .immediately)
        caller?.giveUp(.timedOut)
        late.withLock { $0 = caller }
      })
    #expect(isParked)
    receiving.stir()
    #expect(reactor.driveOnce())
    if case .failed(let error) = receiving.outcome(of: place) {
      #expect(error.reason == .transport(TransportError(.offload, .resourceTemporarilyUnavailable)))
    } else {
      Issue.record("no helper has made the attempt")
    }
    #expect(reactor.isCalled == hasLate)
    reactor.drive()
    #expect(played.outcome(late.withLock { $0 }) == (hasLate ? "[1, 2, 3]" : nil))
    played.end()
  }

  /// Yields so many items in each attempt, with something beside each, and would block after the last.
  private final class Items: ItemSource {
    private struct State: Sendable {
      var counts: [Int] = []
      var limits: [Int] = []
    }
    private let state = Guarded(State())

    /// How many items each attempt was to yield at most.
    var limits: [Int] { state.withLock { $0.limits } }
    func append(_ counts: [Int]) { state.withLock { $0.counts += counts } }

    var readinessSource: ReadinessSource { .signal }
    func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt {
      let count: Int? = state.withLock { state in
        state.limits.append(limit)
        return state.counts.isEmpty ? nil : state.counts.removeFirst()
      }
      guard let count else { return .wouldBlock }
      for _ in 0..<min(count, limit) {
        take(.datagram(Datagram([7], ancillary: Ancillary(lostDescriptors: true))))
      }
      return .transferred(count)
    }
    func close() {}
  }

  @Test func `items are received for callers, and more of them only by who may read ahead`() {
    let (items, reactor) = (Items(), ManualReactor())
    let half = ReceiveHalf(Port(items, for: .readable, reactor: reactor))
    let core = EndpointCore(receiving: half, sending: nil)
    func message(_ mode: ReceiveMode) -> ReceiveRequest {
      core.side(.datagram, mode).request
    }
    items.append([1, 1, 1])
    for request in [.upTo(10), message(.exact), message(.readAhead)] as [ReceiveRequest] {
      guard case .ended(.lent(let demand)) = half.start(request, as: .task, until: .immediately) else {
        Issue.record("an item is there")
        continue
      }
      half.finishLoan(demand)
    }
    #expect(items.limits == [1, 1, .max])
    // Those who asked for it have the data that came beside an item.
    for (request, isAccompanied) in [(.exactly(1), false), (.upTo(1, accompanied: true), true)]
      as [(ReceiveRequest, Bool)]
    {
      guard case .queued(let place) = half.start(request, as: .task, until: .never) else {
        Issue.record("nothing is there")
        continue
      }
      items.append([1])
      half.stir()
      reactor.drive()
      guard case .delivered(let delivery) = half.outcome(of: place) else {
        Issue.record("\(half.outcome(of: place))")
        continue
      }
      #expect(delivery.bytes == [7] && (delivery.ancillary?.lostDescriptors ?? false) == isAccompanied)
    }
    withExtendedLifetime(core) { half.close() }
  }

  @Test func `the reactor goes on to others after four attempts that came to nothing`() {
    let (items, reactor) = (Items(), ManualReactor())
    let half = ReceiveHalf(Port(items, for: .readable, reactor: reactor))
    guard case .queued(let place) = half.start(.upTo(1), as: .task, until: .never) else {
      Issue.record("nothing is there")
      return
    }
    items.append([Int](repeating: 0, count: 10))
    half.stir()
    #expect(reactor.driveOnce())
    #expect(items.limits.count == 1 + 4 && reactor.isCalled && !place.isDecided)
    half.close()
    reactor.drive()
  }

  @Test func `errors of single datagrams cost the others nothing`() {
    let played = HandPlayed(PlayedTransport(.datagrams))
    let calls = (0..<10).map { _ in played.receive() }
    for _ in calls { played.transport.append(receiving: .failed(Self.once)) }
    played.receiving.stir()
    #expect(played.reactor.driveOnce())
    #expect(calls.allSatisfy { played.outcome($0) == "\(EndpointError.Reason.transport(Self.once))" })
    played.end()
  }

  @Test func `a call behind one that gave up during a pause has the turn`() {
    let played = HandPlayed(PlayedTransport(receiving: [.retryLater, .transferred(1)]))
    let receiving = played.receiving
    played.receive()?.giveUp(.cancelled)
    #expect(receiving.inspect { $0.retryAt != nil && $0.queue.isEmpty && !$0.turn })
    let hasTurn = Guarded<[Bool]>([])
    played.transport.meanwhile { hasTurn.withLock { $0.append(receiving.inspect { $0.turn }) } }
    #expect(outcome(receiving.start(.upTo(1), as: .task, until: .immediately), played) == "[1]")
    #expect(hasTurn.withLock { $0 } == [true])
    played.end()
  }

  @Test(arguments: [Place.Kind.task, .thread], [Deadline.never, .immediately])
  func `a call during whose attempt something happened attempts again, and leaves no place behind`(
    _ kind: Place.Kind, _ deadline: Deadline
  ) {
    let played = HandPlayed(PlayedTransport(receiving: [.wouldBlock, .transferred(3)]))
    let receiving = played.receiving
    played.transport.meanwhile { receiving.stir() }
    #expect(outcome(receiving.start(.exactly(3), as: kind, until: deadline), played) == "[1, 2, 3]")
    #expect(receiving.inspect { $0.queue.count == 0 && !$0.turn })
    #expect(played.transport.count("receive") == 2)
    played.end()
  }

  @Test(arguments: [Place.Kind.task, .thread])
  func `the first pause behind an attempt that moved something is short`(_ kind: Place.Kind) {
    let played = HandPlayed(
      PlayedTransport(receiving: [.retryLater, .transferred(1), .retryLater]),
      reactor: ManualReactor(startingAt: Deadline(nanoseconds: 1)))
    let receiving = played.receiving
    guard case .queued(let place) = receiving.start(.exactly(1), as: kind, until: .never) else {
      Issue.record("nothing is there")
      return played.end()
    }
    let length = receiving.inspect { $0.pauseLength }
    played.reactor.pass(Deadline(nanoseconds: 1_000_000_000))
    played.reactor.drive()
    // A thread looks now for the first time, finds that its pause is over, and drives.
    #expect(played.outcome(HandCaller(place, in: receiving)) == "[1]")
    let next = played.receive(.exactly(1), as: kind)
    #expect(next != nil && length > 0 && receiving.inspect { $0.pauseLength } == length)
    played.end()
    next?.run()
  }

  /// Has packets larger than a block of the buffer, and notes how much room each attempt has.
  private final class Roomy: SocketLike {
    private let noted = Guarded<[Int]>([])
    var rooms: [Int] { noted.withLock { $0 } }
    var readinessSource: ReadinessSource { .signal }
    var capabilities: TransportCapabilities {
      var capabilities = TransportCapabilities()
      capabilities.packetSize = 70_000
      return capabilities
    }
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      let count = memory.count
      noted.withLock { $0.append(count) }
      return .wouldBlock
    }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { .wouldBlock }
    func finishSending() {}
    func close() {}
  }

  @Test func `who reads ahead has room for a whole packet on the short way, and a raw receive has its own`()
    throws
  {
    let transport = Roomy()
    let core = EndpointCore(transport, for: .readable, reactor: ManualReactor())
    let half = try #require(core.receiving)
    let side = core.side(.varInt)
    var front = ReceiveHalf.Front.unseen
    #expect(try side.messageAtOnce(&front, as: .task, CallLimit(nil, .never)) == nil)
    _ = half.start(side.request, as: .task, until: .immediately, after: front)
    _ = half.start(.upTo(10), as: .task, until: .immediately)
    #expect(transport.rooms == [70_000, 10])
    withExtendedLifetime(core) { half.close() }
  }
}
