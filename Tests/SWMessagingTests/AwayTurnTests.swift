import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// A caller that lends a message to code of the user, and a helper that waits for a disk, may keep the turn for long. A call
/// whose time is over does not wait for them.
@Suite(.lastResort, .leavesNothing) struct AwayTurnTests {
  enum Loan: CaseIterable, Sendable {
    /// The message is in the buffer.
    case held
    /// The first attempt brings it.
    case attempted
    /// A thread that waited alone receives it.
    case afterLoneWait
    /// A caller in the queue receives it.
    case inPlace
    /// The same, for several messages.
    case heldBatch, attemptedBatch, inPlaceBatch
    /// The message lies behind one that a driver has handed over.
    case behindDelivered
  }

  private static func hand(_ steps: [ScriptedTransport.ReceiveStep]) -> (
    HandDriven, ReceivingSide<VarIntFraming>
  ) {
    let hand = HandDriven(
      receiving: steps,
      reactor: ManualReactor(timersMayOvertakeEvents: true, startingAt: Deadline(nanoseconds: 1)))
    return (hand, hand.side(.varInt))
  }

  /// Returns the result of a thread in the queue when these bytes come. The thread has the turn.
  private static func outcomeInPlace(of bytes: [UInt8], _ hand: HandDriven) throws -> ReceiveHalf.Outcome {
    hand.transport.append(receiving: [.wouldBlock])
    let caller = hand.receive(hand.side(.varInt).request, as: .thread)
    hand.transport.append(receiving: [.bytes(bytes)])
    caller.caller?.run()
    return try #require(hand.outcome(caller))
  }

  /// Calls `body` while a message is lent.
  private static func lend(_ loan: Loan, _ hand: HandDriven, _ body: () -> Void) throws {
    let side = hand.side(.varInt)
    let half = hand.receiveHalf
    var front = ReceiveHalf.Front.unseen
    let limit = CallLimit(nil, .never)
    func use(_ payload: Span<UInt8>) {
      #expect(payload.count == 1 && payload[0] == 7)
      body()
    }
    let room = BatchRoom(1, byteCount: 100)
    switch loan {
    case .held:
      hand.transport.append(receiving: [.bytes([1, 6, 1, 7])])
      let before = try side.messageAtOnce(&front, as: .task, limit)
      #expect(before == [6])
      let result: Void? = try side.withPayloadAtOnce(&front, as: .task, limit, use)
      #expect(result != nil)
    case .heldBatch:
      hand.transport.append(receiving: [.bytes([1, 6, 1, 7])])
      let before = try side.messageAtOnce(&front, as: .task, limit)
      #expect(before == [6])
      let count = try side.withPayloadsAtOnce(&front, as: .task, limit, room, use)
      #expect(count == 1)
    case .attempted:
      hand.transport.append(receiving: [.bytes([1, 7])])
      let result: Void? = try side.withPayloadAtOnce(&front, as: .task, limit, use)
      #expect(result != nil)
    case .attemptedBatch:
      hand.transport.append(receiving: [.bytes([1, 7])])
      let count = try side.withPayloadsAtOnce(&front, as: .task, limit, room, use)
      #expect(count == 1)
    case .afterLoneWait:
      hand.transport.append(receiving: [.wouldBlock])
      let none = try side.messageAtOnce(&front, as: .thread, limit)
      #expect(none == nil)
      #expect(half.beginLoneWait(WakeUp {}, until: .never) != nil)
      hand.transport.append(receiving: [.bytes([1, 7])])
      #expect(half.endLoneWait() == .held)
      let result: Void? = try side.withHeldPayload(use)
      #expect(result != nil)
    case .inPlace:
      try side.withPayload(outcomeInPlace(of: [1, 7], hand), use)
    case .behindDelivered:
      let caller = hand.receive(side.request)
      hand.bring(.bytes([1, 6, 1, 7]))
      let outcome = try #require(hand.outcome(caller))
      let count = try side.withPayloads(outcome, BatchRoom(2, byteCount: 100)) { payload in
        if payload[0] == 7 { use(payload) }
      }
      #expect(count == 2)
    case .inPlaceBatch:
      #expect(try side.withPayloads(outcomeInPlace(of: [1, 7], hand), room, use) == 1)
    }
  }

  @Test(arguments: Loan.allCases, [Place.Kind.task, .thread])
  func `a call with a zero timeout does not wait for the code that reads a message`(
    _ loan: Loan, _ kind: Place.Kind
  ) throws {
    let (hand, side) = Self.hand([])
    try Self.lend(loan, hand) {
      let other = hand.receive(side.request, as: kind, mayWait: false)
      other.caller?.giveUp(.timedOut)
      #expect(hand.result(other, side)?.error?.reason == .timedOut)
    }
    #expect(hand.receiveHalf.inspect { !$0.turn && !$0.isAway && $0.queue.isEmpty })
  }

  @Test(arguments: Loan.allCases)
  func `a deadline that passes while code reads a message ends its call`(_ loan: Loan) throws {
    let (hand, side) = Self.hand([])
    try Self.lend(loan, hand) {
      let other = hand.receive(side.request, as: .task)
      other.caller?.place.deadlinePassed()
      #expect(hand.result(other, side)?.error?.reason == .timedOut)
    }
    #expect(hand.receiveHalf.inspect { !$0.turn && $0.queue.isEmpty })
  }

  @Test(arguments: Loan.allCases)
  func `those with time are served after the code has read its message`(_ loan: Loan) throws {
    let (hand, side) = Self.hand([])
    var others: [HandStarted<ReceiveHalf.Outcome>] = []
    try Self.lend(loan, hand) { others.append(hand.receive(side.request)) }
    let other = try #require(others.first)
    #expect(hand.result(other, side) == nil)
    hand.bring(.bytes([1, 8]))
    #expect(hand.result(other, side)?.value == [8])
  }

  @Test func `a call that came before the loan does not wait for the code either`() throws {
    let (hand, side) = Self.hand([])
    let outcome = try Self.outcomeInPlace(of: [1, 7, 1, 8], hand)
    // The turn is held, and not for long as far as anyone knows.
    let other = hand.receive(side.request, as: .task, mayWait: false)
    other.caller?.giveUp(.timedOut)
    #expect(hand.result(other, side) == nil)
    try side.withPayload(outcome) { _ in
      #expect(hand.result(other, side)?.error?.reason == .timedOut)
    }
  }

  @Test func `a call with a zero timeout is served behind a message that is only copied`() throws {
    let (hand, side) = Self.hand([])
    let outcome = try Self.outcomeInPlace(of: [1, 7, 1, 8], hand)
    let other = hand.receive(side.request, as: .task, mayWait: false)
    other.caller?.giveUp(.timedOut)
    #expect(try side.message(outcome) == [7])
    #expect(hand.result(other, side)?.value == [8])
  }

  @Test func `a call that has not its whole message does not keep the turn for long`() throws {
    let (hand, side) = Self.hand([.bytes([2, 1])])
    var front = ReceiveHalf.Front.unseen
    let result: Void? = try side.withPayloadAtOnce(&front, as: .task, CallLimit(nil, .never)) { _ in }
    #expect(result == nil && front == .held)
    #expect(hand.receiveHalf.inspect { $0.turn && !$0.isAway })
    let end = hand.receiveHalf.start(side.request, as: .task, until: .immediately, after: front)
    guard case .ended(.failed(let error)) = end else {
      Issue.record("the rest of the message has not come")
      return
    }
    #expect(error.reason == .timedOut && error.byteCount == 2)
  }

  // MARK: A helper

  /// A transport whose attempts may take long. A helper makes them, and something happens in the next one.
  private final class Slow: DescriptorTransport {
    let meanwhile = Mutex<(@Sendable () -> Void)?>(nil)
    /// Happens in the next attempt that is left to a helper.
    let before = Mutex<(@Sendable () -> Void)?>(nil)
    let number: Int32
    let capabilities: TransportCapabilities
    /// The bytes of each attempt. One that finds none would block.
    private let coming: Mutex<[[UInt8]]>

    init(_ number: Int32, neverEnds: Bool = true, coming: [[UInt8]] = [[1, 7]]) {
      self.number = number
      var capabilities = TransportCapabilities()
      capabilities.attemptsMayHang = neverEnds
      self.capabilities = capabilities
      self.coming = Mutex(coming)
    }

    var working: Int32 { number }
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      before.withLock { $0.take() }?()
      return .offload
    }
    func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      meanwhile.withLock { $0.take() }?()
      let bytes = coming.withLock { $0.isEmpty ? [] : $0.removeFirst() }
      if bytes.isEmpty { return .wouldBlock }
      unsafe memory.copyBytes(from: bytes)
      return .transferred(bytes.count)
    }
    /// Whether the next attempt to send would block.
    let blocks = Mutex(false)
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
      blocks.withLock { blocks in
        defer { blocks = false }
        return blocks ? .wouldBlock : .offload
      }
    }
    func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
      meanwhile.withLock { $0.take() }?()
      return .transferred(unsafe parts.reduce(0) { $0 + $1.count })
    }
  }

  /// A reader over such a transport, and its reactor, which is driven by hand.
  private struct SlowReader {
    let transport: Slow
    let reactor = ManualReactor(timersMayOvertakeEvents: true, startingAt: Deadline(nanoseconds: 1))
    let half: ReceiveHalf
    let side: ReceivingSide<VarIntFraming>
    private let core: EndpointCore

    init(neverEnds: Bool = true, coming: [[UInt8]] = [[1, 7]]) throws {
      let pair = try DescriptorPair.pipe()
      transport = Slow(pair.first.release().rawValue, neverEnds: neverEnds, coming: coming)
      half = ReceiveHalf(Port(connected: transport, for: .readable, reactor: reactor))
      core = EndpointCore(receiving: half, sending: nil)
      side =
        core.side(.varInt)
    }

    /// A task that receives, and has a place because a helper is to make its attempt.
    func enter(until deadline: Deadline = .never) throws -> HandCaller {
      guard case .queued(let place) = half.start(side.request, as: .task, until: deadline) else {
        throw EndpointError(.busy)
      }
      return HandCaller(place, in: half)
    }

    func reason(of caller: HandCaller) -> EndpointError.Reason? {
      guard let place = caller.place as? ReceivePlace, case .failed(let error) = half.outcome(of: place)
      else {
        return nil
      }
      return error.reason
    }

    func end() {
      withExtendedLifetime(core) { half.close() }
      reactor.forgetAll()
    }
  }

  @Test func `without a helper a thread makes the long attempt itself, also before a deadline`() throws {
    let reader = try SlowReader()
    reader.reactor.refuseHelp(.resourceTemporarilyUnavailable)
    let outcome =
      switch reader.half.start(reader.side.request, as: .thread, until: Deadline(nanoseconds: 100)) {
      case .ended(let outcome): outcome
      case .queued(let place): reader.half.outcome(of: place)
      }
    #expect(try reader.side.message(outcome) == [7])
    reader.end()
  }

  /// A zero timeout is one attempt. After it the call waits for no rest of the message, and does not spin.
  @Test(arguments: [[], [2, 7]] as [[UInt8]])
  func `a zero timeout ends with its only long attempt`(_ part: [UInt8]) throws {
    let reader = try SlowReader(coming: part.isEmpty ? [] : [part])
    let caller = try reader.enter(until: .immediately)
    caller.giveUp(.timedOut)
    #expect(!caller.isDecided)
    #expect(reader.reactor.help())
    #expect(caller.isDecided && reader.reason(of: caller) == .timedOut)
    #expect(reader.half.inspect { $0.queue.isEmpty && !$0.isAway && !$0.called })
    reader.end()
  }

  /// A second attempt would be for nobody, and might never end.
  @Test func `no long attempt is made when its caller has left`() throws {
    let reader = try SlowReader(coming: [[2, 7], [8]])
    let caller = try reader.enter(until: .immediately)
    caller.giveUp(.timedOut)
    #expect(reader.reactor.help())
    #expect(caller.isDecided)
    let next = try reader.enter()
    #expect(reader.reactor.help())
    #expect(next.isDecided)
    let place = try #require(next.place as? ReceivePlace)
    #expect(try reader.side.message(reader.half.outcome(of: place)) == [7, 8])
    reader.end()
  }

  /// It waits for one of the helpers, which may all be busy.
  @Test(arguments: [false, true], [Leaving.deadline, .cancelled])
  func `a call does not wait for a free helper`(_ neverEnds: Bool, _ leaving: Leaving) throws {
    let reader = try SlowReader(neverEnds: neverEnds)
    let caller = try reader.enter(until: Deadline(nanoseconds: 100))
    if leaving == .cancelled { caller.giveUp(.cancelled) } else { caller.place.deadlinePassed() }
    #expect(caller.isDecided)
    #expect(reader.reason(of: caller) == (leaving == .cancelled ? .cancelled : .timedOut))
    #expect(reader.reactor.help())
    #expect(reader.half.inspect { !$0.isAway && !$0.turn && $0.queue.isEmpty })
    reader.end()
  }

  /// A sending half over such a transport, and its reactor, which is driven by hand.
  private struct SlowWriter {
    let transport: Slow
    let reactor = ManualReactor(startingAt: Deadline(nanoseconds: 1))
    let half: SendHalf
    private let core: EndpointCore

    init() throws {
      let pair = try DescriptorPair.pipe()
      transport = Slow(pair.second.release().rawValue)
      half = SendHalf(Port(connected: transport, for: .writable, reactor: reactor))
      core = EndpointCore(receiving: nil, sending: half)
    }

    func enter(until deadline: Deadline = .never) throws -> HandCaller {
      let call = SendHalf.Call(Outgoing([1, 2]), as: .task, step: .bytes, until: deadline)
      guard case .queued(let place) = half.start(call) else { throw EndpointError(.busy) }
      return HandCaller(place, in: half)
    }

    func error(of caller: HandCaller) -> EndpointError? { (caller.place as? SendPlace)?.error }

    func end() {
      withExtendedLifetime(core) { half.close() }
      reactor.forgetAll()
    }
  }

  @Test(arguments: [Leaving.deadline, .cancelled])
  func `a sender does not wait for a free helper`(_ leaving: Leaving) throws {
    let writer = try SlowWriter()
    let caller = try writer.enter(until: Deadline(nanoseconds: 100))
    if leaving == .cancelled { caller.giveUp(.cancelled) } else { caller.place.deadlinePassed() }
    #expect(caller.isDecided)
    #expect(writer.error(of: caller)?.reason == (leaving == .cancelled ? .cancelled : .timedOut))
    writer.transport.meanwhile.withLock { $0 = { Issue.record("what has left is sent") } }
    #expect(writer.reactor.help())
    #expect(writer.half.inspect { !$0.isAway && !$0.turn && $0.queue.isEmpty })
    writer.end()
  }

  /// A zero timeout is one attempt, and its own is with the helper. The one behind it has none to wait for.
  @Test func `a zero timeout is sent by its helper, and another one leaves at once`() throws {
    let writer = try SlowWriter()
    let first = try writer.enter(until: .immediately)
    first.giveUp(.timedOut)
    #expect(!first.isDecided)
    let second = try writer.enter(until: .immediately)
    second.giveUp(.timedOut)
    #expect(second.isDecided && writer.error(of: second)?.reason == .timedOut)
    let third = Guarded<HandCaller?>(nil)
    writer.transport.meanwhile.withLock {
      $0 = {
        let caller = try? writer.enter(until: .immediately)
        caller?.giveUp(.timedOut)
        third.withLock { $0 = caller }
      }
    }
    #expect(writer.reactor.help())
    #expect(first.isDecided && writer.error(of: first) == nil)
    let caller = try #require(third.withLock { $0 })
    #expect(caller.isDecided && writer.error(of: caller)?.reason == .timedOut)
    #expect(writer.half.inspect { !$0.isAway && !$0.turn && $0.queue.isEmpty })
    writer.end()
  }

  @Test func `nobody waits for the long attempt of a thread`() throws {
    let writer = try SlowWriter()
    let other = Guarded<HandCaller?>(nil)
    writer.transport.meanwhile.withLock {
      $0 = {
        let caller = try? writer.enter(until: .immediately)
        caller?.giveUp(.timedOut)
        #expect(caller?.isDecided == true)
        other.withLock { $0 = caller }
      }
    }
    let call = SendHalf.Call(Outgoing([1, 2]), as: .thread, step: .bytes, until: .never)
    guard case .ended(nil) = writer.half.start(call) else {
      Issue.record("a thread makes its attempt itself")
      return
    }
    let caller = try #require(other.withLock { $0 })
    #expect(writer.error(of: caller)?.reason == .timedOut)
    writer.end()
  }

  @Test func `nobody waits for an attempt that the reactor leaves to a helper`() throws {
    let writer = try SlowWriter()
    writer.transport.blocks.withLock { $0 = true }
    let first = try writer.enter()
    writer.half.stir()
    writer.reactor.drive()
    #expect(writer.half.inspect { $0.turn && $0.isAway })
    let second = try writer.enter(until: .immediately)
    second.giveUp(.timedOut)
    #expect(second.isDecided && writer.error(of: second)?.reason == .timedOut)
    #expect(writer.reactor.help())
    #expect(first.isDecided && writer.error(of: first) == nil)
    writer.end()
  }

  /// A file on a server that does not answer, for one.
  @Test(arguments: [false, true])
  func `a thread does not wait for a long attempt beyond its deadline`(_ neverEnds: Bool) async throws {
    let pair = try DescriptorPair.pipe()
    let transport = Slow(pair.first.release().rawValue, neverEnds: neverEnds)
    let gate = Gate()
    transport.meanwhile.withLock { $0 = { gate.waitBlocking() } }
    let half = ReceiveHalf(Port(connected: transport, for: .readable, reactor: Reactor.shared))
    let core = EndpointCore(receiving: half, sending: nil)
    let reader = MessageReader(
      core: core, framing: .varInt, mode: .readAhead, maximumFrameSize: defaultMaximumFrameSize)
    let thread = TestThread { () -> [UInt8] in
      #expect(blockingError { try reader.blocking.receive(timeout: .milliseconds(20)) }?.reason == .timedOut)
      gate.open()
      return try reader.blocking.receive()
    }
    #expect(try await thread.value == [7])
    reader.close()
  }

  @Test func `after a report of progress a caller that does not wait is left to the next attempt`() {
    let played = HandPlayed(PlayedTransport(sending: [.transferred(1), .transferred(2)]))
    let sending = played.sending
    let isMarked = Guarded<[Bool]>([])
    let transport = played.transport
    let call = SendHalf.Call(
      Outgoing([1, 2, 3], borders: []), as: .task, until: .never,
      progress: { sent, _ in
        if sent > 1 { return }
        // With a caller that waits, the mark is in the state behind the lock.
        _ = sending.start(SendHalf.Call(Outgoing([9], borders: []), as: .task, until: .never))
        transport.meanwhile { isMarked.withLock { $0.append(sending.inspect { $0.isAway }) } }
        isMarked.withLock { $0.append(sending.inspect { $0.isAway }) }
      })
    guard case .ended(nil) = sending.start(call) else {
      Issue.record("everything is accepted")
      return
    }
    #expect(isMarked.withLock { $0 } == [true, false])
    played.reactor.drive()
    #expect(transport.log.last == "send [9]")
    played.end()
  }

  /// The report of a sender's progress is code of the user. A sender whose time is over does not wait for it, and it may send
  /// over the same connection.
  @Test(arguments: [false, true]) func `no sender waits for the report of another one's progress`(
    _ waits: Bool
  ) async throws {
    let pair = try DescriptorPair.sockets()
    let (raw, peer) = (try SocketDuplex(adopting: pair.first), try SocketDuplex(adopting: pair.second))
    let plain = MessageWriter(over: raw, framing: .varInt)
    let reasons = Guarded<[EndpointError.Reason?]>([])
    let observed = MessageWriter(
      over: raw,
      framing: .varInt.progress(sent: { @Sendable _, _ in
        let reason: EndpointError.Reason? = blockingError { () throws -> Void in
          try plain.blocking.send([9], timeout: .zero)
        }?.reason
        reasons.withLock { $0.append(reason) }
      }))
    if waits {
      while (try? await raw.send([UInt8](repeating: 0, count: 4096), timeout: .zero)) != nil {}
    }
    let thread = TestThread { try observed.blocking.send([1, 2, 3]) }
    if waits {
      await eventually { observed.queued == 1 }
      let draining = TestThread {
        var last: [UInt8] = []
        while last != [1, 2, 3] { last = Array((try peer.blocking.receive()).suffix(3)) }
      }
      try await draining.value
    }
    try await thread.value
    #expect(reasons.withLock { !$0.isEmpty && $0.allSatisfy { $0 == .timedOut } })
    peer.close()
    raw.close()
  }

  enum Leaving: CaseIterable, Sendable {
    case zero, deadline, cancelled
    /// It waits for an attempt already when that is left to a helper.
    case late
  }

  enum Own: CaseIterable, Sendable {
    case zero, deadline
    /// With a timeout of zero.
    case cancelled
  }

  /// Its own attempt is one that a helper makes. That is the one attempt of a zero timeout, and is waited for.
  @Test(arguments: Own.allCases)
  func `a call ends in time during its own long attempt, unless its timeout is zero`(_ own: Own) throws {
    let isZero = own != .deadline
    let reader = try SlowReader()
    let (transport, reactor, half, side) = (reader.transport, reader.reactor, reader.half, reader.side)
    let deadline = isZero ? Deadline.immediately : Deadline(nanoseconds: 100)
    guard case .queued(let place) = half.start(side.request, as: .task, until: deadline) else {
      Issue.record("the attempt is left to a helper")
      return
    }
    let caller = HandCaller(place, in: half)
    if isZero { caller.giveUp(.timedOut) }
    transport.meanwhile.withLock {
      $0 = { own == .cancelled ? caller.giveUp(.cancelled) : place.deadlinePassed() }
    }
    #expect(reactor.help())
    #expect(caller.isDecided)
    let outcome = half.outcome(of: place)
    if own == .zero {
      #expect(try side.message(outcome) == [7])
    } else if case .failed(let error) = outcome {
      #expect(error.reason == (own == .cancelled ? .cancelled : .timedOut))
    } else {
      Issue.record("its time was over")
    }
    reader.end()
  }

  @Test(arguments: Leaving.allCases)
  func `a call whose time is over does not wait for a helper`(_ leaving: Leaving) throws {
    let reader = try SlowReader()
    let (transport, reactor, half, side) = (reader.transport, reader.reactor, reader.half, reader.side)
    let request = side.request
    let other = Mutex<HandCaller?>(nil)
    @Sendable func enter() -> HandCaller? {
      let isZero = leaving == .zero || leaving == .late
      guard case .queued(let place) = half.start(request, as: .task, until: isZero ? .immediately : .never)
      else { return nil }
      return HandCaller(place, in: half)
    }
    if leaving == .late {
      transport.before.withLock {
        $0 = {
          let caller = enter()
          caller?.giveUp(.timedOut)
          #expect(caller?.isDecided == false)
          other.withLock { $0 = caller }
        }
      }
    }
    guard case .queued(let first) = half.start(request, as: .task, until: .never) else {
      Issue.record("the attempt is left to a helper")
      return
    }
    if leaving == .late { #expect(other.withLock { $0 }?.isDecided == true) }
    let seen = Mutex<Bool?>(nil)
    transport.meanwhile.withLock {
      $0 = {
        let caller = other.withLock { $0 } ?? enter()
        switch leaving {
        case .zero: caller?.giveUp(.timedOut)
        case .deadline:
          caller?.place.deadlinePassed()
        case .cancelled: caller?.giveUp(.cancelled)
        case .late: break
        }
        other.withLock { $0 = caller }
        seen.withLock { $0 = caller?.isDecided }
      }
    }
    #expect(reactor.help())
    #expect(seen.withLock { $0 } == true)
    let caller = try #require(other.withLock { $0 })
    let place = try #require(caller.place as? ReceivePlace)
    let error = half.outcome(of: place)
    let expected = EndpointError(leaving == .cancelled ? .cancelled : .timedOut)
    guard case .failed(let found) = error else {
      Issue.record("it has a message")
      return
    }
    #expect(found.reason == expected.reason)
    #expect(try side.message(half.outcome(of: first)) == [7])
    #expect(half.inspect { !$0.isAway && $0.queue.isEmpty })
    reader.end()
  }

  @Test func `a call is cancelled while code reads a message`() throws {
    let (hand, side) = Self.hand([])
    let outcome = try Self.outcomeInPlace(of: [1, 7], hand)
    try side.withPayload(outcome) { _ in
      let other = hand.receive(side.request, as: .task)
      other.caller?.giveUp(.cancelled)
      #expect(hand.result(other, side)?.error?.reason == .cancelled)
    }
  }

  /// Whether the turn was away, for each attempt.
  private final class Noted: Sendable {
    private let state = Guarded<[Bool]>([])
    var all: [Bool] { state.withLock { $0 } }
    func append(_ isAway: Bool) { state.withLock { $0.append(isAway) } }
  }

  private static func noteAttempts(of played: HandPlayed, _ noted: Noted) {
    played.transport.meanwhile {
      noted.append(played.sending.inspect { $0.isAway })
      noteAttempts(of: played, noted)
    }
  }

  /// The body would keep the transport.
  private static func end(_ played: HandPlayed) {
    played.transport.meanwhile {}
    played.end()
  }

  @Test func `the turn of a thread that is alone is away during its long attempt, and no longer`() {
    let played = HandPlayed(PlayedTransport(sending: [.offload, .transferred(1), .transferred(2)]))
    let noted = Noted()
    Self.noteAttempts(of: played, noted)
    #expect(played.send([1, 2, 3], as: .thread).outcome == "sent")
    #expect(noted.all == [false, true, false] && played.transport.longCount == 1)
    Self.end(played)
  }

  @Test func `a thread in the queue makes its long attempt itself, and its turn is away meanwhile`() {
    let played = HandPlayed(PlayedTransport(sending: [.wouldBlock, .offload, .transferred(1)]))
    let noted = Noted()
    Self.noteAttempts(of: played, noted)
    let sent = played.send([1], as: .thread)
    played.transport.raise(.writable)
    sent.caller?.run()
    #expect(sent.outcome == "sent" && !played.reactor.help())
    #expect(noted.all == [false, false, true] && played.transport.longCount == 1)
    Self.end(played)
  }

  @Test func `a helper makes the long attempts of those behind itself, and its turn is away for each`() {
    let played = HandPlayed(
      PlayedTransport(sending: [.offload, .transferred(1), .offload, .transferred(1)]))
    let noted = Noted()
    Self.noteAttempts(of: played, noted)
    let sends = [played.send([1]), played.send([2])]
    #expect(sends.allSatisfy { $0.outcome == nil })
    #expect(played.reactor.help())
    #expect(sends.allSatisfy { $0.outcome == "sent" } && !played.reactor.help())
    #expect(noted.all == [false, true, false, true] && played.transport.longCount == 2)
    Self.end(played)
  }

  @Test func `a thread that is to lend a message does not turn a late call away before its attempt`() throws {
    let played = HandPlayed(PlayedTransport(receiving: [.wouldBlock, .transferred(2)]))
    let transport = played.transport
    let reader = MessageReader(
      core: played.core, framing: .varInt, mode: .readAhead, maximumFrameSize: defaultMaximumFrameSize)
    let late = Guarded<HandCaller?>(nil)
    let isDecided = Guarded<[Bool?]>([])
    transport.meanwhile {
      // This attempt may have begun before the call came.
      let caller = played.receive(until: .immediately)
      caller?.giveUp(.timedOut)
      late.withLock { $0 = caller }
      transport.meanwhile {
        let found = late.withLock { $0 }?.isDecided
        isDecided.withLock { $0.append(found) }
      }
    }
    let isReceived = try reader.blocking.withMessage { $0.count == 1 && $0[0] == 2 }
    #expect(isReceived)
    #expect(isDecided.withLock { $0 } == [false])
    // The message is lent, and the turn away then.
    #expect(played.outcome(late.withLock { $0 }) == "timedOut")
    Self.end(played)
  }

  @Test func `those behind a message that was lent are served in a turn that is not away`() throws {
    let (hand, side) = Self.hand([])
    let half = hand.receiveHalf
    let outcome = try Self.outcomeInPlace(of: [1, 7, 1, 8, 1, 9], hand)
    let found = Guarded<[[Bool]]>([])
    var last: HandStarted<ReceiveHalf.Outcome>?
    try side.withPayload(outcome) { _ in
      guard case .queued(let place) = half.start(side.request, as: .task, until: .never) else {
        Issue.record("the turn is held")
        return
      }
      let isParked = half.park(
        place, .callback { found.withLock { $0.append(half.inspect { [$0.turn, $0.isAway] }) } })
      #expect(isParked)
      last = hand.receive(side.request)
    }
    #expect(found.withLock { $0 } == [[true, false]])
    #expect(last.flatMap { hand.result($0, side) }?.value == [9])
  }
}
