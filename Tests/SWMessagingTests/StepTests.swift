import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// The step of either half, driven by hand over a scripted transport: every outcome of an attempt, at every
/// byte of a frame.
@Suite(.lastResort, .leavesNothing) struct StepTests {
  /// A header of one byte and a payload of five, twice.
  static let payload: [UInt8] = [10, 11, 12, 13, 14]
  static let frame: [UInt8] = [5, 10, 11, 12, 13, 14]
  static let next: [UInt8] = [2, 20, 21]
  static let kinds = [Place.Kind.task, .thread]
  /// Threads are not cancelled.
  static let givingUp: [(Place.Kind, GiveUp)] = [
    (.task, .timedOut), (.task, .cancelled), (.thread, .timedOut),
  ]

  // MARK: Late callers

  /// Once, something happens between an attempt that would block and the news of it.
  private final class Interleaved: SocketLike {
    private let inner = ScriptedTransport(sending: [])
    let meanwhile = Mutex<(@Sendable (ScriptedTransport) -> Void)?>(nil)

    var readinessSource: ReadinessSource { .signal }
    // No event is reported: the reactor that would report it is in the middle of its own attempt.
    func attach(_ signal: ReadinessSignal) {}
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      ending(unsafe inner.receive(into: memory))
    }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { ending(unsafe inner.send(bytes)) }
    func finishSending() { inner.finishSending() }
    func close() { inner.close() }

    private func ending(_ attempt: Attempt) -> Attempt {
      if attempt == .wouldBlock, let body = meanwhile.withLock({ $0.take() }) { body(inner) }
      return attempt
    }
  }

  /// A receive with a zero timeout, as far as it gets before the turn holder goes on.
  private static func beginLate(_ half: ReceiveHalf, _ request: ReceiveRequest) -> ReceivePlace? {
    guard case .queued(let place) = half.start(request, as: .task, until: .immediately) else { return nil }
    half.giveUp(place, .timedOut)
    return place
  }

  @Test func `line 1: a zero timeout takes what is there, though the attempt under way came before it`()
    throws
  {
    let late = Mutex<ReceivePlace?>(nil)
    let transport = Interleaved()
    let reactor = ManualReactor()
    let core = EndpointCore(transport, for: [.readable, .writable], reactor: reactor)
    let receiving = try #require(core.receiving)
    guard case .queued(let first) = receiving.start(.exactly(1), as: .task, until: .never) else {
      Issue.record("there is something for the first")
      return
    }
    transport.meanwhile.withLock { meanwhile in
      meanwhile = { inner in
        inner.append(receiving: [.bytes([1, 2])])
        late.withLock { $0 = Self.beginLate(receiving, .exactly(1)) }
      }
    }
    receiving.stir()
    reactor.drive()
    for place in [first, try #require(late.withLock { $0 })] {
      guard case .delivered = receiving.outcome(of: place) else {
        Issue.record("\(receiving.outcome(of: place))")
        continue
      }
    }
  }

  /// A reactor that is held up, once, while it changes what is watched.
  private final class HeldUp: Reacting {
    let inner = ManualReactor()
    let meanwhile = Mutex<(@Sendable () -> Void)?>(nil)

    func register(
      _ descriptor: Int32, for receiver: any ReadinessReceiver, watching interest: Readiness
    ) -> RegistrationOutcome {
      .registered(RegistrationID(key: 0))
    }
    func watch(_ id: RegistrationID, descriptor: Int32, _ interest: Readiness) -> Errno? {
      if let body = meanwhile.withLock({ $0.take() }) { body() }
      return nil
    }
    func deregister(_ id: RegistrationID, descriptor: Int32) {}
    func call(_ work: any ReactorWork) { inner.call(work) }
    func offload(_ work: any ReactorWork) -> Errno? { inner.offload(work) }
    func set(_ timer: Timer, at deadline: Deadline) { inner.set(timer, at: deadline) }
    func takeBack(_ timer: Timer) { inner.takeBack(timer) }
  }

  /// Readiness meets an idle half, and watching ends: another thread does something meanwhile.
  private func whileWatchingEnds<Value: Sendable>(
    _ body: @escaping @Sendable (ReceiveHalf) -> Value
  ) async throws -> Value {
    let reactor = HeldUp()
    let (readEnd, writeEnd) = try FileDescriptor.pipe()
    defer { try? writeEnd.close() }
    let core = try EndpointCore(adopting: readEnd.rawValue, unread: [], for: .readable, reactor: reactor)
    let receiving = try #require(core.receiving)
    guard case .queued(let first) = receiving.start(.exactly(1), as: .task, until: .never) else {
      throw EndpointError(.busy)
    }
    receiving.giveUp(first, .cancelled)
    _ = try writeEnd.writeAll([1])
    let thread = Guarded<TestThread<Value>?>(nil)
    let wakeUp = WakeUp.take()
    defer { WakeUp.giveBack(wakeUp) }
    reactor.meanwhile.withLock { meanwhile in
      meanwhile = {
        // It has to wait for the lock. If it need not, there is time for it to see what it must not see.
        thread.withLock { thread in
          thread = TestThread {
            defer { wakeUp.signal() }
            return body(receiving)
          }
        }
        wakeUp.wait(watching: nil, for: [], until: .after(.milliseconds(100)))
      }
    }
    receiving.stir()
    let value = try await #require(thread.withLock { $0 }).value
    if receiving.inspect({ $0.isOut }) { try readEnd.close() } else { receiving.close() }
    return value
  }

  @Test func `line 1: a zero timeout takes what is there, though watching is about to end`() async throws {
    let isTaken = try await whileWatchingEnds { receiving in
      guard case .ended(.lent(let demand)) = receiving.start(.exactly(1), as: .thread, until: .immediately)
      else { return false }
      receiving.finishLoan(demand)
      return true
    }
    #expect(isTaken)
  }

  @Test func `a thread that polls is woken when a caller that is too late leaves its bytes in the buffer`()
    throws
  {
    let reactor = ManualReactor()
    let (readEnd, writeEnd) = try FileDescriptor.pipe()
    defer { try? writeEnd.close() }
    let core = try EndpointCore(adopting: readEnd.rawValue, unread: [], for: .readable, reactor: reactor)
    let receiving = try #require(core.receiving)
    defer {
      receiving.close()
      // It was called for the task, and would keep the half.
      reactor.drive()
    }
    guard case .queued(let place) = receiving.start(.exactly(2), as: .thread, until: .never) else {
      Issue.record("nothing is there yet")
      return
    }
    let thread = HandCaller(place, in: receiving)
    #expect(receiving.inspect { $0.pollers } == 1)
    _ = try writeEnd.writeAll([1, 2])
    // It wants more than there is. Its deadline has passed when it has received that, so it does not serve the thread.
    let late = receiving.start(.exactly(5), as: .task, until: Deadline(nanoseconds: 1))
    guard case .queued(let behind) = late else {
      Issue.record("it comes behind the thread")
      return
    }
    #expect(thread.isWoken && !thread.isDecided)
    #expect(receiving.endWait(place, polling: true))
    receiving.driveOn(as: place)
    guard case .lent(let demand) = receiving.outcome(of: place) else {
      Issue.record("\(receiving.outcome(of: place))")
      return
    }
    receiving.finishLoan(demand)
    receiving.giveUp(behind, .timedOut)
  }

  @Test func `an endpoint that nobody uses is not busy while watching ends`() async throws {
    let refusal = try await whileWatchingEnds { receiving in Half.retire(receiving, nil) }
    #expect(refusal == nil)
  }

  // MARK: Receiving

  @Test(arguments: kinds)
  func `a frame that comes byte by byte is received whole`(_ kind: Place.Kind) {
    let hand = HandDriven()
    let side = hand.side(.varInt)
    let call = hand.receive(side.request, as: kind)
    for byte in Self.frame {
      #expect(hand.result(call, side) == nil)
      hand.bring(.bytes([byte]))
      if kind == .thread {
        #expect(call.caller?.isWoken ?? true)
        call.caller?.run()
      }
    }
    #expect(hand.result(call, side)?.value == Self.payload)
    #expect(hand.transport.isPlayed)
  }

  @Test func `short reads and interruptions are nobody's business`() {
    let bytes = Self.frame.flatMap { byte in
      [.failure(.interrupted), .bytes([byte])] as [ScriptedTransport.ReceiveStep]
    }
    let hand = HandDriven(receiving: bytes)
    let side = hand.side(.varInt)
    #expect(hand.result(hand.receive(side.request, mayWait: false), side)?.value == Self.payload)
    #expect(hand.transport.receiveCount == 12)
  }

  @Test(arguments: givingUp)
  func `a receive that gives up at any byte leaves every byte to the next`(
    _ kind: Place.Kind, _ reason: GiveUp
  ) {
    for cut in 0..<Self.frame.count {
      let begun: [ScriptedTransport.ReceiveStep] = cut > 0 ? [.bytes(Array(Self.frame[..<cut]))] : []
      let hand = HandDriven(receiving: begun)
      let side = hand.side(.varInt)
      let call = hand.receive(side.request, as: kind)
      call.caller?.giveUp(reason)
      let error = hand.result(call, side)?.error
      #expect(error?.reason == (reason == .timedOut ? .timedOut : .cancelled))
      #expect(error?.byteCount == cut)
      #expect(hand.receiveHalf.inspect { $0.queue.isEmpty && !$0.turn })
      hand.bring(.bytes(Array(Self.frame[cut...]) + Self.next))
      #expect(hand.result(hand.receive(side.request, as: kind, mayWait: false), side)?.value == Self.payload)
      #expect(hand.result(hand.receive(side.request, as: kind, mayWait: false), side)?.value == [20, 21])
    }
  }

  @Test func `a receive without time takes what one pass brings, and leaves the rest`() {
    for cut in 0..<Self.frame.count {
      let begun: [ScriptedTransport.ReceiveStep] = cut > 0 ? [.bytes(Array(Self.frame[..<cut]))] : []
      let hand = HandDriven(receiving: begun)
      let side = hand.side(.varInt)
      let error = hand.result(hand.receive(side.request, mayWait: false), side)?.error
      #expect(error?.reason == .timedOut)
      #expect(error?.byteCount == cut)
      hand.transport.append(receiving: [.bytes(Array(Self.frame[cut...]))])
      #expect(hand.result(hand.receive(side.request, mayWait: false), side)?.value == Self.payload)
    }
  }

  @Test(arguments: kinds)
  func `the stream may end at any byte, and only inside a frame is that an error of the peer`(
    _ kind: Place.Kind
  ) {
    for cut in 0..<Self.frame.count {
      let hand = HandDriven(receiving: [.bytes(Self.next)])
      let side = hand.side(.varInt)
      #expect(hand.result(hand.receive(side.request, as: kind), side)?.value == [20, 21])
      let call = hand.receive(side.request, as: kind)
      if cut > 0 { hand.bring(.bytes(Array(Self.frame[..<cut]))) }
      call.caller?.run()
      hand.bring(.endOfStream)
      call.caller?.run()
      let error = hand.result(call, side)?.error
      #expect(error?.reason == (cut == 0 ? .endOfStream : .truncated))
      #expect(error?.partialBytes == Array(Self.frame[..<cut]))
      let again = hand.result(hand.receive(side.request), side)?.error
      #expect(again?.reason == (cut == 0 ? .endOfStream : .truncated))
    }
  }

  @Test func `a reset at any byte comes after the whole frames, and stays`() {
    for cut in 0..<Self.frame.count {
      let hand = HandDriven(
        receiving: [.bytes(Self.next + Self.frame[..<cut]), .failure(.connectionReset)])
      let side = hand.side(.varInt)
      #expect(hand.result(hand.receive(side.request), side)?.value == [20, 21])
      for _ in 0..<2 {
        let error = hand.result(hand.receive(side.request), side)?.error
        #expect(error?.reason == .transport(TransportError(.receive, .connectionReset)))
        #expect(error?.partialBytes == Array(Self.frame[..<cut]))
      }
    }
  }

  @Test func `a close at any byte wakes everybody, and the transport is closed once`() {
    for cut in 0..<Self.frame.count {
      let begun: [ScriptedTransport.ReceiveStep] = cut > 0 ? [.bytes(Array(Self.frame[..<cut]))] : []
      let hand = HandDriven(receiving: begun)
      let side = hand.side(.varInt)
      let calls = Self.kinds.map { hand.receive(side.request, as: $0) }
      hand.receiveHalf.close()
      for call in calls {
        #expect(call.caller?.isWoken == true)
        #expect(hand.result(call, side)?.error?.reason == .closed)
      }
      #expect(!hand.transport.isClosed)
      hand.sendHalf.close()
      hand.sendHalf.close()
      #expect(hand.transport.isClosed)
    }
  }

  @Test func `callers are served in the order in which they came, whatever their colour`() {
    let hand = HandDriven()
    let side = hand.side(.varInt)
    let calls = [Place.Kind.task, .thread, .thread, .task, .task].map { hand.receive(side.request, as: $0) }
    // One read brings everything: the driver serves all of them.
    hand.bring(.bytes((1...5).flatMap { [1, $0] }))
    for (index, call) in calls.enumerated() {
      #expect(call.caller?.isWoken == true)
      #expect(hand.result(call, side)?.value == [UInt8(index + 1)])
    }
  }

  @Test func `an exact endpoint never reads past its frame`() {
    let hand = HandDriven(receiving: [.bytes(Self.frame + Self.next)])
    let side = hand.side(.varInt, .exact)
    #expect(hand.result(hand.receive(side.request), side)?.value == Self.payload)
    #expect(unsafe hand.receiveHalf.turn.count == 0)
    #expect(hand.bytes(hand.receive(.upTo(10))) == Self.next)
  }

  @Test func `an exact endpoint asks for what its scanner wants from the first byte on`() {
    let payload = [UInt8](repeating: 7, count: FixedFrames.count - FixedFrames.headerCount)
    let hand = HandDriven(receiving: [.bytes([1, 2, 3, 4] + payload)])
    let side = hand.side(FixedFrames(), .exact)
    #expect(hand.result(hand.receive(side.request), side)?.value == payload)
    // The header and the first block, and then what is left in the array of the payload.
    #expect(hand.transport.receiveCount == 2)
  }

  @Test func `the payload of a large frame is received into the array that is returned`() {
    let payload = [UInt8](repeating: 7, count: FixedFrames.count - FixedFrames.headerCount)
    let hand = HandDriven(receiving: [.bytes([1, 2, 3, 4] + payload.prefix(100))])
    let side = hand.side(FixedFrames())
    let call = hand.receive(side.request)
    #expect(unsafe hand.receiveHalf.turn.isAssembled && hand.receiveHalf.turn.count == 104)
    hand.bring(.bytes(Array(payload.dropFirst(100))))
    #expect(hand.result(call, side)?.value == payload)
    #expect(unsafe !hand.receiveHalf.turn.isAssembled)
  }

  @Test func `the end inside a large payload comes with all its bytes`() {
    let bytes = [1, 2, 3, 4] + [UInt8](repeating: 7, count: 30_000)
    let hand = HandDriven(receiving: [.bytes(bytes), .endOfStream])
    let side = hand.side(FixedFrames())
    let error = hand.result(hand.receive(side.request), side)?.error
    #expect(error?.reason == .truncated && error?.partialBytes == bytes)
  }

  @Test func `what was too little for one receiver may be enough for the next`() {
    let hand = HandDriven()
    let first = hand.receive(.exactly(5))
    let second = hand.receive(.upTo(5))
    let third = hand.receive(.upTo(5))
    hand.bring(.bytes([1, 2]))
    #expect(hand.outcome(first) == nil)
    first.caller?.giveUp(.cancelled)
    hand.reactor.drive()
    #expect(hand.bytes(second) == [1, 2])
    #expect(hand.outcome(third) == nil)
  }

  @Test func `a thread that becomes the head before it looks finds what is in the buffer`() throws {
    let hand = HandDriven()
    let first = hand.receive(.exactly(5))
    hand.bring(.bytes([1, 2]))
    let started = hand.receiveHalf.start(.upTo(5), as: .thread, until: .never)
    guard case .queued(let place) = started else {
      Issue.record("it overtakes the head")
      return
    }
    first.caller?.giveUp(.timedOut)
    let second = HandStarted<ReceiveHalf.Outcome>.waiting(HandCaller(place, in: hand.receiveHalf))
    #expect(hand.bytes(second) == [1, 2])
  }

  @Test(arguments: [20_000, 40_000])
  func `endpoints of several framings take turns at one large frame`(_ count: Int) {
    // The first endpoint has it assembled into the array that it would return; the others want the frame.
    let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
    var parts = FrameParts()
    #expect(throws: Never.self) { try VarIntFraming().encode(payload, into: &parts) }
    let frame = parts.bytes
    let hand = HandDriven(receiving: [.bytes(Array(frame[..<10_000]))])
    let typed = hand.side(Checksums())
    let bytes = hand.side(.varInt)
    var come = 10_000
    for request in [typed.request, bytes.request, typed.request, bytes.request] {
      let call = hand.receive(request)
      hand.bring(.bytes(Array(frame[come..<(come + 1_000)])))
      come += 1_000
      call.caller?.giveUp(.timedOut)
    }
    let last = hand.receive(typed.request)
    hand.bring(.bytes(Array(frame[come...])))
    #expect(hand.result(last, typed)?.value == payload.reduce(0) { $0 + Int($1) })
  }

  @Test(arguments: [false, true])
  func `an endpoint that knows an earlier frame, or a part of the header, takes over a large frame`(
    _ hasPart: Bool
  ) {
    let payload = (0..<40_000).map { UInt8(truncatingIfNeeded: $0) }
    var parts = FrameParts()
    #expect(throws: Never.self) { try VarIntFraming().encode(payload, into: &parts) }
    let frame = parts.bytes
    let hand = HandDriven(receiving: [.bytes([1, 7])])
    let (first, second) = (hand.side(.varInt), hand.side(.varInt))
    #expect(hand.result(hand.receive(second.request), second)?.value == [7])
    var come = 0
    func leave(_ side: ReceivingSide<VarIntFraming>, after count: Int) {
      let call = hand.receive(side.request)
      hand.bring(.bytes(Array(frame[come..<(come + count)])))
      come += count
      call.caller?.giveUp(.timedOut)
    }
    if hasPart { leave(second, after: 1) }
    leave(first, after: 10_000)
    let last = hand.receive(second.request)
    hand.bring(.bytes(Array(frame[come...])))
    #expect(hand.result(last, second)?.value == payload)
  }

  @Test func `what has come of a large frame is unread bytes, header and all`() {
    var parts = FrameParts()
    #expect(throws: Never.self) { try VarIntFraming().encode(pattern(40_000), into: &parts) }
    let hand = HandDriven(receiving: [.bytes(Array(parts.bytes[..<10_000]))])
    let call = hand.receive(hand.side(.varInt).request)
    hand.bring(.bytes(Array(parts.bytes[10_000..<15_000])))
    call.caller?.giveUp(.timedOut)
    #expect(unsafe hand.receiveHalf.turn.isAssembled)
    #expect(unsafe hand.receiveHalf.turn.unread() == Array(parts.bytes[..<15_000]))
  }

  @Test(arguments: [5, 20_000, 60_000])
  func `bytes are received of a large frame that another endpoint has begun`(_ count: Int) {
    let payload = (0..<40_000).map { UInt8(truncatingIfNeeded: $0) }
    var parts = FrameParts()
    #expect(throws: Never.self) { try VarIntFraming().encode(payload, into: &parts) }
    let bytes = parts.bytes + (0..<25_000).map { UInt8(truncatingIfNeeded: $0) }
    let hand = HandDriven(receiving: [.bytes(Array(bytes[..<10_000]))])
    let side = hand.side(.varInt)
    let call = hand.receive(side.request)
    hand.bring(.bytes(Array(bytes[10_000..<15_000])))
    call.caller?.giveUp(.timedOut)
    let raw = hand.receive(.exactly(count))
    hand.bring(.bytes(Array(bytes[15_000..<50_000])))
    hand.bring(.bytes(Array(bytes[50_000...])))
    #expect(hand.bytes(raw) == Array(bytes[..<count]))
  }

  @Test func `a large frame may tell its length before its header is there`() {
    let payload = [UInt8](repeating: 7, count: FixedFrames.count - FixedFrames.headerCount)
    let hand = HandDriven(receiving: [.bytes([1])])
    let side = hand.side(FixedFrames())
    let call = hand.receive(side.request)
    hand.bring(.bytes([2, 3]))
    hand.bring(.bytes([4] + payload))
    #expect(hand.result(call, side)?.value == payload)
  }

  // MARK: Sending

  @Test(arguments: kinds)
  func `small frames that wait together go out together, in order`(_ kind: Place.Kind) {
    let hand = HandDriven(sending: [])
    let frames: [[UInt8]] = (0..<5).map { [3, UInt8($0), UInt8($0), UInt8($0)] }
    let calls = frames.map { hand.send($0, as: kind) }
    let attempts = hand.transport.sendCount
    hand.accept(.accept(.max))
    calls[0].caller?.run()
    #expect(calls.allSatisfy { hand.result($0)?.error == nil && hand.result($0) != nil })
    #expect(hand.transport.sent == frames.flatMap { $0 })
    #expect(hand.transport.sendCount == attempts + 1)
  }

  @Test(arguments: 1...12)
  func `what is accepted of frames sent together is shared out in order`(_ accepted: Int) {
    let hand = HandDriven(sending: [])
    let frames: [[UInt8]] = (0..<3).map { [3, UInt8($0), UInt8($0), UInt8($0)] }
    let calls = frames.map { hand.send($0) }
    hand.accept(.accept(accepted), .wouldBlock)
    for (index, call) in calls.enumerated() {
      #expect((hand.result(call) != nil) == (accepted >= 4 * (index + 1)))
    }
    // A sender that has begun owes the rest, another one leaves nothing; and the order stays.
    calls[1].caller?.giveUp(.timedOut)
    hand.accept(.accept(.max))
    let error = hand.result(calls[1])?.error
    switch accepted {
    case ..<5:
      #expect(error?.reason == .timedOut && error?.isCommitted == false)
      #expect(hand.transport.sent == frames[0] + frames[2])
    case 5..<8:
      #expect(error?.isCommitted == true && error?.byteCount == accepted - 4)
      #expect(hand.transport.sent == frames.flatMap { $0 })
    default:
      #expect(error == nil)
      #expect(hand.transport.sent == frames.flatMap { $0 })
    }
  }

  @Test func `frames that together are larger than one atomic write of a pipe go one by one`() {
    let hand = HandDriven(sending: [])
    let frames = (0..<3).map { [UInt8](repeating: UInt8($0), count: 2_000) }
    let calls = frames.map { hand.send($0) }
    let attempts = hand.transport.sendCount
    hand.accept(.accept(.max), .accept(.max))
    #expect(calls.allSatisfy { hand.result($0) != nil })
    #expect(hand.transport.sent == frames.flatMap { $0 })
    #expect(hand.transport.sendCount == attempts + 2)
  }

  @Test(arguments: kinds)
  func `a frame that is accepted byte by byte goes out whole`(_ kind: Place.Kind) {
    let hand = HandDriven(sending: [])
    let call = hand.send(Self.frame, as: kind)
    for count in Self.frame.indices {
      #expect(hand.result(call) == nil)
      #expect(hand.transport.sent == Array(Self.frame[..<count]))
      hand.accept(.failure(.interrupted), .accept(1))
      call.caller?.run()
    }
    #expect(hand.result(call)?.error == nil && hand.result(call) != nil)
    #expect(hand.transport.sent == Self.frame)
  }

  @Test(arguments: givingUp)
  func `a send that gives up at any byte leaves nothing, or is sent to its end before any other`(
    _ kind: Place.Kind, _ reason: GiveUp
  ) {
    for cut in 0..<Self.frame.count {
      let hand = HandDriven(sending: cut > 0 ? [.accept(cut)] : [])
      let call = hand.send(Self.frame, as: kind)
      let behind = hand.send(Self.next)
      hand.reactor.drive()
      call.caller?.giveUp(reason)
      hand.reactor.drive()
      let error = hand.result(call)?.error
      #expect(error?.reason == (reason == .timedOut ? .timedOut : .cancelled))
      #expect(error?.byteCount == cut)
      #expect(error?.isCommitted == (cut > 0))
      #expect(error?.messageCount == (cut > 0 ? 1 : 0))
      #expect(hand.transport.sent == Array(Self.frame[..<cut]))
      for _ in 0..<4 { hand.accept(.accept(.max)) }
      #expect(hand.transport.sent == (cut > 0 ? Self.frame + Self.next : Self.next))
      #expect(hand.result(behind)?.error == nil && hand.result(behind) != nil)
    }
  }

  @Test func `a batch that gives up at any byte leaves whole frames`() {
    let batch = Self.frame + Self.next + Self.frame
    let borders = [6, 9, 15]
    for cut in 0..<batch.count {
      let hand = HandDriven(sending: cut > 0 ? [.accept(cut)] : [])
      let call = hand.send(batch, borders: borders)
      call.caller?.giveUp(.timedOut)
      hand.reactor.drive()
      let begun = borders.last { $0 <= cut } ?? 0
      let end = begun == cut ? cut : borders.first { $0 > cut } ?? 0
      let error = hand.result(call)?.error
      #expect(error?.reason == .timedOut)
      #expect(error?.isCommitted == (begun < cut))
      #expect(error?.byteCount == cut - begun)
      #expect(error?.messageCount == borders.filter { $0 <= end }.count)
      for _ in 0..<3 { hand.accept(.accept(.max)) }
      #expect(hand.transport.sent == Array(batch[..<end]))
      #expect(hand.sendHalf.inspect { $0.queue.isEmpty && !$0.turn })
    }
  }

  @Test func `a failure at any byte ends sending, for everybody`() {
    for errno in [Errno.connectionReset, .brokenPipe] {
      for cut in 0..<Self.frame.count {
        let hand = HandDriven(sending: cut > 0 ? [.accept(cut)] : [])
        let calls = Self.kinds.map { hand.send(Self.frame, as: $0) }
        hand.accept(.failure(errno))
        let reason = EndpointError.Reason.transport(TransportError(.send, errno))
        for (index, call) in calls.enumerated() {
          let error = hand.result(call)?.error
          #expect(error?.reason == reason)
          #expect(error?.byteCount == (index == 0 ? cut : 0))
          #expect(error?.isCommitted == false)
        }
        #expect(hand.result(hand.send(Self.next))?.error?.reason == reason)
        // The first error of a socket stands for both directions; a broken pipe ends sending only.
        hand.transport.append(receiving: [.endOfStream])
        let side = hand.side(.varInt)
        let received = hand.result(hand.receive(side.request), side)?.error?.reason
        #expect(received == (errno == .brokenPipe ? .endOfStream : reason))
      }
    }
  }

  @Test func `a close drops the rest that is owed, and whoever waits is told`() {
    for cut in 1..<Self.frame.count {
      let hand = HandDriven(sending: [.accept(cut)])
      let call = hand.send(Self.frame)
      call.caller?.giveUp(.timedOut)
      hand.reactor.drive()
      let behind = hand.send(Self.next, as: .thread)
      hand.sendHalf.close()
      hand.receiveHalf.close()
      hand.reactor.drive()
      #expect(hand.result(call)?.error?.isCommitted == true)
      #expect(hand.result(behind)?.error?.reason == .closed)
      #expect(hand.transport.sent == Array(Self.frame[..<cut]))
      #expect(hand.transport.isClosed)
    }
  }

  @Test func `the half-close comes behind the rest that is owed`() {
    for cut in 1..<Self.frame.count {
      let hand = HandDriven(sending: [.accept(cut)])
      let call = hand.send(Self.frame)
      call.caller?.giveUp(.cancelled)
      hand.reactor.drive()
      _ = hand.sendHalf.start(SendHalf.Call(Outgoing([]), as: .orphan, step: .halfClose, until: .never))
      #expect(!hand.transport.isSendingFinished)
      for _ in 0..<3 { hand.accept(.accept(.max)) }
      #expect(hand.transport.sent == Self.frame)
      #expect(hand.transport.isSendingFinished)
      #expect(hand.result(hand.send(Self.next))?.error?.reason == .closed)
    }
  }

  @Test(arguments: kinds)
  func `a flush is due as soon as nothing is in front of it`(_ kind: Place.Kind) {
    let hand = HandDriven(sending: [])
    let call = hand.send(Self.frame)
    let flush = hand.send(SendHalf.Call(Outgoing([]), as: kind, step: .flush, until: .never))
    #expect(hand.result(flush) == nil)
    // Nothing had begun: it leaves, and the transport stays as full as it is.
    let attempts = hand.transport.sendCount
    call.caller?.giveUp(.cancelled)
    hand.reactor.drive()
    flush.caller?.run()
    #expect(hand.result(flush)?.error == nil && hand.result(flush) != nil)
    #expect(hand.transport.sendCount == attempts)
  }

  @Test func `a thread whose flush comes to the front before it looks does not wait`() throws {
    let hand = HandDriven(sending: [])
    let call = hand.send(Self.frame)
    let flush = SendHalf.Call(Outgoing([]), as: .thread, step: .flush, until: .never)
    guard case .queued(let place) = hand.sendHalf.start(flush) else {
      Issue.record("a frame is in front of it")
      return
    }
    call.caller?.giveUp(.cancelled)
    // The thread has not been signalled, because it was not waiting yet.
    #expect(hand.sendHalf.look(place, WakeUp {}, isLate: false) == .drive)
    hand.sendHalf.drive(as: place, first: false)
    #expect(hand.sendHalf.look(place, WakeUp {}, isLate: false) == .decided)
    #expect(place.error == nil)
  }

  @Test func `a flush that gives up has sent no message`() {
    let hand = HandDriven(sending: [])
    let call = hand.send(Self.frame)
    let flush = hand.send(SendHalf.Call(Outgoing([]), as: .task, step: .flush, until: .never))
    flush.caller?.giveUp(.timedOut)
    let error = hand.result(flush)?.error
    #expect(error?.reason == .timedOut)
    #expect(error?.messageCount == 0)
    #expect(hand.result(call) == nil)
  }

  @Test func `endpoints in use cannot be detached, and nothing has changed`() {
    let hand = HandDriven(sending: [])
    let call = hand.send(Self.frame)
    #expect(Half.retire(hand.receiveHalf, hand.sendHalf) == .busy)
    #expect(hand.receiveHalf.inspect { !$0.isClosed })
    hand.accept(.accept(.max))
    #expect(hand.result(call) != nil)
    #expect(Half.retire(hand.receiveHalf, hand.sendHalf) == nil)
    #expect(Half.retire(hand.receiveHalf, hand.sendHalf) == .closed)
    // Detaching would do this next; otherwise port and transport would retain each other.
    for half in [hand.receiveHalf, hand.sendHalf] as [Half] { half.port.leave(half.direction) }
  }

  @Test func `an endpoint whose message is being read cannot be detached`() {
    let hand = HandDriven(receiving: [.bytes([1, 7])])
    guard case .ended(.lent(let demand)) = hand.receive(hand.side(.varInt).request) else {
      Issue.record("a message is there")
      return
    }
    #expect(Half.retire(hand.receiveHalf, hand.sendHalf) == .busy)
    hand.receiveHalf.finishLoan(demand)
    #expect(Half.retire(hand.receiveHalf, hand.sendHalf) == nil)
    for half in [hand.receiveHalf, hand.sendHalf] as [Half] { half.port.leave(half.direction) }
  }

  @Test func `the reactor's timers end what waits`() throws {
    let hand = HandDriven(sending: [.accept(2)])
    let side = hand.side(.varInt)
    let receive = hand.receive(side.request)
    let send = hand.send(Self.frame)
    for call in [try #require(receive.caller), try #require(send.caller)] {
      hand.reactor.set(Timer(call.place), at: Deadline(nanoseconds: 10))
    }
    hand.reactor.pass(Deadline(nanoseconds: 9))
    #expect(hand.result(receive, side) == nil && hand.result(send) == nil)
    hand.reactor.pass(Deadline(nanoseconds: 10))
    hand.reactor.drive()
    #expect(hand.result(receive, side)?.error?.reason == .timedOut)
    #expect(hand.result(send)?.error?.isCommitted == true)
  }

  @Test func `the first message of a batch uses its room, also if a driver handed it over`() throws {
    let hand = HandDriven()
    let side = hand.side(.varInt)
    let call = hand.receive(side.request)
    hand.bring(.bytes([1, 7, 1, 8]))
    let outcome = try #require(hand.outcome(call))
    #expect(try side.batch(outcome, BatchRoom(10, byteCount: 3)) == [[7]])
    #expect(hand.result(hand.receive(side.request), side)?.value == [8])
  }
}

/// The varint framing for messages that are not the payload, but its checksum: frames are handed over whole.
private struct Checksums: Framing {
  func makeScanner() -> VarIntFraming.Scanner { VarIntFraming.Scanner() }

  func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing VarIntFraming.Scanner
  ) throws -> Int {
    payload.reduce(0) { sum, index in sum + Int(frame[index]) }
  }

  func encode(_ message: [UInt8], into parts: inout FrameParts) throws {
    try VarIntFraming().encode(message, into: &parts)
  }
}

/// Frames of one large size, whose length is known from the first byte on, header or not.
private struct FixedFrames: ByteFraming {
  static let count = 40_000
  static let headerCount = 4

  struct Scanner: FrameScanner {
    mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      .frame(byteCount: FixedFrames.count, payload: FixedFrames.headerCount..<FixedFrames.count)
    }
  }

  func makeScanner() -> Scanner { Scanner() }

  func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
    FrameEnvelope(header: [1, 2, 3, 4])
  }
}
