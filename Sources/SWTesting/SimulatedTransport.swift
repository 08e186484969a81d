public import SWIO
internal import Synchronization
internal import SystemPackage

/// One end of a connection that exists in memory only, without a descriptor or the kernel. It has bounded room, and a
/// ``SimulationPlan`` can disturb its attempts. It serves tests of programs that use endpoints, with real threads and
/// tasks or with the test's own scheduler.
///
/// ```swift
/// let (left, right) = SimulatedTransport.pair(capacity: 64, plan: .unsteady(seed: 7))
/// let client = MessageDuplex(transport: left, framing: .varInt)
/// let server = MessageDuplex(transport: right, framing: .varInt)
/// ```
///
/// It behaves like a stream socket. Accepted bytes arrive in order, exactly once. Data before an end is received before
/// the end. Sending to a closed end fails with a broken pipe. After an attempt that would block, readiness is signalled
/// when another attempt can make progress, and only then, unless the plan says otherwise.
///
/// It is safe to use from any thread. It signals readiness without holding a lock.
public final class SimulatedTransport: SocketLike {
  private let link: Link
  /// The end of the link, 0 or 1.
  private let side: Int

  private init(_ link: Link, side: Int) {
    self.link = link
    self.side = side
  }

  /// Makes two connected ends.
  ///
  /// - Parameters:
  ///   - capacity: the number of bytes that may be under way in either direction; at least 1.
  ///   - plan: the disturbances at both ends.
  public static func pair(
    capacity: Int = 65_536, plan: SimulationPlan
  ) -> (SimulatedTransport, SimulatedTransport) {
    precondition(capacity > 0, "a connection without room moves nothing")
    let link = Link(capacity, plan)
    return (SimulatedTransport(link, side: 0), SimulatedTransport(link, side: 1))
  }

  // MARK: SocketLike

  public var readinessSource: ReadinessSource { .signal }

  public func attach(_ signal: ReadinessSignal) {
    link.changed { state, _ in state.sides[side].signal = signal }
  }

  /// - Returns: `.failed` with `Errno.connectionReset` once the connection is reset.
  public func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    // Invariant: used only inside this call, by this thread.
    nonisolated(unsafe) let memory = unsafe memory
    return link.changed { state, news in
      unsafe state.receive(into: memory, by: side, mayTakeLong: false, &news)
    }
  }

  public func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    // Invariant: used only inside this call, by this thread.
    nonisolated(unsafe) let memory = unsafe memory
    return link.changed { state, news in
      unsafe state.receive(into: memory, by: side, mayTakeLong: true, &news)
    }
  }

  /// - Returns: `.failed` with `Errno.brokenPipe` if the peer has closed or the connection broke, with
  ///   `Errno.connectionReset` after a reset.
  public func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    // Invariant: used only inside this call, by this thread.
    nonisolated(unsafe) let bytes = unsafe bytes
    return link.changed { state, news in unsafe state.send(bytes, by: side, mayTakeLong: false, &news) }
  }

  public func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    // Invariant: used only inside this call, by this thread. There is at least one part.
    nonisolated(unsafe) let bytes = unsafe parts[0]
    return link.changed { state, news in unsafe state.send(bytes, by: side, mayTakeLong: true, &news) }
  }

  /// - Throws: `Errno.wouldBlock` if the plan makes it wait.
  public func finishSending() throws(TransportError) {
    let isFinished = link.changed { state, news in state.finish(by: side, &news) }
    if !isFinished { throw TransportError(.finishSending, .wouldBlock) }
  }

  public func close() {
    link.changed { state, news in
      precondition(!state.sides[side].isClosed, "a transport is closed once")
      state.sides[side].isClosed = true
      state.streams[side].isFinished = true
      state.streams[1 - side].drop()
      news.tell(1 - side, [.readable, .writable, .readClosed, .writeClosed, .failed])
    }
    // The signal leads back to the endpoint, and the peer may keep this link for a long time.
    _ = link.changed { state, _ in state.sides[side].signal.take() }
  }

  // MARK: For tests

  /// The directions in which an attempt could make progress now. A stalled direction is not ready.
  public var readiness: Readiness { link.changed { state, _ in state.readiness(of: side) } }

  /// The same, including the readiness for which an attempt waits crosswise.
  package var offeredReadiness: Readiness { link.changed { state, _ in state.offeredReadiness(of: side) } }

  /// The number of bytes that receives have still to bring.
  package var receivableCount: Int { link.changed { state, _ in state.streams[1 - side].count } }

  /// Whether an attempt waits crosswise for something that has come already.
  package func isCrossed(_ direction: Readiness) -> Bool {
    link.changed { state, _ in
      direction == .readable ? state.sides[side].receiving.isCrossed : state.sides[side].sending.isCrossed
    }
  }

  /// Whether a direction of this end is stalled until the next ``tick()``.
  public var isStalled: Bool {
    link.changed { state, _ in state.sides[side].receiving.isStalled || state.sides[side].sending.isStalled }
  }

  /// Ends the stalls of this end.
  public func tick() {
    link.changed { state, news in
      let (receiving, sending) = (state.sides[side].receiving.isStalled, state.sides[side].sending.isStalled)
      state.sides[side].receiving.isStalled = false
      state.sides[side].sending.isStalled = false
      if receiving { news.tell(side, .readable) }
      if sending { news.tell(side, .writable) }
    }
  }

  /// Breaks the connection: see ``SimulationPlan/hangUp``.
  public func hangUp() { link.changed { state, news in state.hangUp(&news) } }

  /// Resets the connection: see ``SimulationPlan/reset``.
  public func reset() { link.changed { state, news in state.reset(&news) } }

  /// Ends all disturbances from now on. The capacity, and a connection that is already broken, stay as they are.
  public func calm() { link.changed { state, _ in state.isCalm = true } }

  /// Whether the endpoint has closed this end.
  public var isClosed: Bool { link.changed { state, _ in state.sides[side].isClosed } }
}

/// The state that both ends share.
private final class Link: DeadlineReceiver {
  private let state: Guarded<LinkState>

  init(_ capacity: Int, _ plan: SimulationPlan) { state = Guarded(LinkState(capacity, plan)) }

  /// Runs one critical section, and signals after it. A signal enters the endpoint, whose lock must not be taken inside this
  /// one.
  func changed<Result: Sendable>(_ body: (inout LinkState, inout News) -> Result) -> Result {
    var news = News()
    let (result, first, second) = state.withLock { state in
      let result = body(&state, &news)
      return (
        result, news.first.isEmpty ? nil : state.sides[0].signal,
        news.second.isEmpty ? nil : state.sides[1].signal
      )
    }
    first?.raise(news.first)
    second?.raise(news.second)
    if let stallLength = news.stallLength { Reactor.shared.set(Timer(self), at: .after(stallLength)) }
    return result
  }

  /// A stall has ended.
  func deadlinePassed() {
    changed { state, news in
      state.isTimed = false
      for side in 0...1 {
        if state.sides[side].receiving.isStalled { news.tell(side, .readable) }
        if state.sides[side].sending.isStalled { news.tell(side, .writable) }
        state.sides[side].receiving.isStalled = false
        state.sides[side].sending.isStalled = false
      }
    }
  }
}

/// The signals to send after unlocking.
private struct News: Sendable {
  var first: Readiness = []
  var second: Readiness = []
  /// The length of a stall that has begun.
  var stallLength: Duration?

  mutating func tell(_ side: Int, _ readiness: Readiness) {
    if side == 0 { first.formUnion(readiness) } else { second.formUnion(readiness) }
  }
}

private struct LinkState: Sendable {
  /// The bytes that one end has sent and the other has not received.
  struct Stream: Sendable {
    private var bytes: [UInt8] = []
    private var start = 0
    /// Whether nothing more will be sent.
    var isFinished = false

    var count: Int { bytes.count - start }

    mutating func append(_ more: UnsafeRawBufferPointer) { unsafe bytes.append(contentsOf: more) }

    mutating func move(_ count: Int, into memory: UnsafeMutableRawBufferPointer) {
      unsafe bytes.withUnsafeBytes { bytes in
        unsafe memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
      }
      start += count
      if start == bytes.count { drop() }
    }

    mutating func drop() {
      bytes.removeAll(keepingCapacity: true)
      start = 0
    }
  }

  struct Direction: Sendable {
    /// Whether an attempt was told that it would block, and has not been told that it may make progress.
    var isOwed = false
    var isStalled = false
    /// Whether an attempt waits for the signal, because of a stall.
    var awaitsSignal = false
    /// Whether an attempt waits for the other direction's readiness.
    var isCrossed = false
  }

  struct Side: Sendable {
    var signal: ReadinessSignal?
    var receiving = Direction()
    var sending = Direction()
    var isClosed = false
    /// One generator for each end, so an end's choices depend only on its own attempts, in whatever order the ends attempt.
    var generator: SeededGenerator
  }

  /// The plan's choice for an attempt.
  enum Choice {
    case goOn, short, interrupted, wouldBlock, awaitSignal, cross, offload, retryLater, hangUp, reset
  }

  let capacity: Int
  let plan: SimulationPlan
  /// `streams[side]` is what that side has sent.
  var streams = [Stream(), Stream()]
  var sides: [Side]
  var isHungUp = false
  var isReset = false
  var isCalm = false
  /// Whether a timer is set that ends all stalls.
  var isTimed = false

  init(_ capacity: Int, _ plan: SimulationPlan) {
    self.capacity = capacity
    self.plan = plan
    sides = [
      Side(generator: SeededGenerator(seed: plan.seed)),
      Side(generator: SeededGenerator(seed: ~plan.seed)),
    ]
  }

  func canReceive(_ side: Int) -> Bool {
    isReset || streams[1 - side].count > 0 || streams[1 - side].isFinished
  }
  func canSend(_ side: Int) -> Bool { isBroken(side) || streams[side].count < capacity }
  func isBroken(_ side: Int) -> Bool { isReset || isHungUp || sides[1 - side].isClosed }

  func readiness(of side: Int) -> Readiness {
    var readiness: Readiness = []
    if canReceive(side), !sides[side].receiving.isStalled { readiness.insert(.readable) }
    if canSend(side), !sides[side].sending.isStalled { readiness.insert(.writable) }
    if isBroken(side), !readiness.isEmpty { readiness.formUnion([.readClosed, .writeClosed, .failed]) }
    return readiness
  }

  func offeredReadiness(of side: Int) -> Readiness {
    var readiness = readiness(of: side)
    if sides[side].receiving.isCrossed { readiness.insert(.writable) }
    if sides[side].sending.isCrossed { readiness.insert(.readable) }
    return readiness
  }

  mutating func hangUp(_ news: inout News) {
    isHungUp = true
    for side in 0...1 {
      streams[side].isFinished = true
      news.tell(side, [.readable, .writable, .readClosed, .writeClosed, .failed])
    }
  }

  mutating func reset(_ news: inout News) {
    isReset = true
    for side in 0...1 {
      streams[side].drop()
      news.tell(side, [.readable, .writable, .readClosed, .writeClosed, .failed])
    }
  }

  /// Applies the plan. `direction` is the attempt's own direction.
  private mutating func choose(
    for side: Int, _ direction: WritableKeyPath<Side, Direction>, readiness: Readiness, short: Double,
    canHangUp: Bool, mayTakeLong: Bool, _ news: inout News
  ) -> Choice {
    sides[side][keyPath: direction].isCrossed = false
    if isCalm || isReset { return .goOn }
    if sides[side][keyPath: direction].isStalled {
      return sides[side][keyPath: direction].awaitsSignal ? .awaitSignal : .wouldBlock
    }
    if chance(plan.reset, side) { return .reset }
    if canHangUp, chance(plan.hangUp, side) { return .hangUp }
    if chance(plan.interrupted, side) { return .interrupted }
    if !mayTakeLong, chance(plan.offload, side) { return .offload }
    if chance(plan.retryLater, side) { return .retryLater }
    if chance(plan.crossing, side) {
      sides[side][keyPath: direction].isCrossed = true
      news.tell(side, readiness == .readable ? .writable : .readable)
      return .cross
    }
    if chance(plan.spuriousReadiness, side) { news.tell(side, readiness) }
    if chance(plan.waitingForSignal, side) {
      stall(side, direction, awaitingSignal: true, &news)
      return .awaitSignal
    }
    if chance(plan.stall, side) {
      stall(side, direction, awaitingSignal: false, &news)
      return .wouldBlock
    }
    if chance(plan.spuriousWouldBlock, side) {
      news.tell(side, readiness)
      return .wouldBlock
    }
    return chance(short, side) ? .short : .goOn
  }

  private mutating func stall(
    _ side: Int, _ direction: WritableKeyPath<Side, Direction>, awaitingSignal: Bool, _ news: inout News
  ) {
    sides[side][keyPath: direction].isStalled = true
    sides[side][keyPath: direction].awaitsSignal = awaitingSignal
    if let length = plan.stallLength, !isTimed {
      isTimed = true
      news.stallLength = length
    }
  }

  private mutating func chance(_ probability: Double, _ side: Int) -> Bool {
    guard probability > 0 else { return false }
    return Double(sides[side].generator.next() >> 11) * 0x1p-53 < probability
  }

  private mutating func part(of count: Int, _ choice: Choice, _ side: Int) -> Int {
    choice == .short ? Int.random(in: 1...count, using: &sides[side].generator) : count
  }

  mutating func receive(
    into memory: UnsafeMutableRawBufferPointer, by side: Int, mayTakeLong: Bool, _ news: inout News
  ) -> Attempt {
    precondition(!sides[side].isClosed, "an attempt after the transport was closed")
    let choice = choose(
      for: side, \.receiving, readiness: .readable, short: plan.shortReceive, canHangUp: false,
      mayTakeLong: mayTakeLong, &news)
    switch choice {
    case .cross: return .waitsFor(.writable)
    case .awaitSignal: return .waitsFor([])
    case .offload: return .offload
    case .retryLater: return .retryLater
    case .interrupted: return .failed(TransportError(.receive, .interrupted))
    case .wouldBlock:
      sides[side].receiving.isOwed = true
      return .wouldBlock
    case .reset: reset(&news)
    case .goOn, .short, .hangUp: break
    }
    if isReset { return .failed(TransportError(.receive, .connectionReset)) }
    let available = min(streams[1 - side].count, memory.count)
    guard available > 0 else {
      if streams[1 - side].isFinished { return .endOfStream }
      sides[side].receiving.isOwed = true
      return .wouldBlock
    }
    let count = part(of: available, choice, side)
    unsafe streams[1 - side].move(count, into: UnsafeMutableRawBufferPointer(rebasing: memory[..<count]))
    if sides[1 - side].sending.isOwed {
      sides[1 - side].sending.isOwed = false
      news.tell(1 - side, .writable)
    }
    return .transferred(count)
  }

  /// Notes that nothing more will be sent. Returns false if that has to wait.
  mutating func finish(by side: Int, _ news: inout News) -> Bool {
    if plan.blockedFinish > 0, !isReset {
      // The notice of the end needs room, too.
      if !canSend(side) {
        sides[side].sending.isOwed = true
        return false
      }
      if !isCalm, sides[side].sending.isStalled { return false }
      if !isCalm, chance(plan.blockedFinish, side) {
        stall(side, \.sending, awaitingSignal: false, &news)
        return false
      }
    }
    streams[side].isFinished = true
    news.tell(1 - side, .readable)
    return true
  }

  mutating func send(
    _ bytes: UnsafeRawBufferPointer, by side: Int, mayTakeLong: Bool, _ news: inout News
  ) -> Attempt {
    precondition(!sides[side].isClosed, "an attempt after the transport was closed")
    precondition(!streams[side].isFinished || isHungUp, "an attempt after sending was finished")
    let choice = choose(
      for: side, \.sending, readiness: .writable, short: plan.shortSend, canHangUp: true,
      mayTakeLong: mayTakeLong, &news)
    switch choice {
    case .cross: return .waitsFor(.readable)
    case .awaitSignal: return .waitsFor([])
    case .offload: return .offload
    case .retryLater: return .retryLater
    case .interrupted: return .failed(TransportError(.send, .interrupted))
    case .wouldBlock:
      sides[side].sending.isOwed = true
      return .wouldBlock
    case .reset: reset(&news)
    case .hangUp: hangUp(&news)
    case .goOn, .short: break
    }
    if isReset { return .failed(TransportError(.send, .connectionReset)) }
    if isBroken(side) { return .failed(TransportError(.send, .brokenPipe)) }
    let accepted = min(capacity - streams[side].count, bytes.count)
    guard accepted > 0 else {
      sides[side].sending.isOwed = true
      return .wouldBlock
    }
    let count = part(of: accepted, choice, side)
    unsafe streams[side].append(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    if sides[1 - side].receiving.isOwed {
      sides[1 - side].receiving.isOwed = false
      news.tell(1 - side, .readable)
    }
    return .transferred(count)
  }
}
