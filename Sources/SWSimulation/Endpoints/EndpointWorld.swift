import SWFraming
import SWIO
import SWMessaging
import SWTesting
import SystemPackage

/// Two ends of a connection, and their callers. Attempts, scanners, decoders, progress callbacks and wake-ups let others run
/// in the middle (`interlude`), while the turn is held.
// Invariant: everything happens on the single thread of the simulation.
final class EndpointWorld: SimulatedWorld, @unchecked Sendable {
  typealias Mistake = EndpointMistake

  enum Actor {
    case caller(Int)
    /// A worker of the reactor.
    case reactor(Int)
    /// A helper thread.
    case helper
    /// In-process readiness is delivered to an endpoint.
    case news(Int)
    /// A stalled direction of a link continues.
    case tick(Int)
  }

  let schedule: EndpointSchedule
  let course: Course<Mistake>

  private(set) var ends: [SimulatedEnd] = []
  private(set) lazy var reactor = SimulatedReactor(self)
  private(set) var cores: [EndpointCore] = []
  private(set) var callers: [EndpointCaller] = []
  /// The ways to receive messages, by end.
  private var ways: [[EndpointCaller.Way]] = []
  /// The caller that is inside a call, or runs, on the main thread.
  var mainHolder: EndpointCaller?
  var coverage = EndpointCoverage()

  /// The number of attempts that have failed for one item alone, and of callers that got such an error.
  private var itemFailuresMade = 0
  private var itemFailuresTold = 0
  /// The depth at which the reactor drives, and the number of bytes that its drive has received.
  private var drive: (depth: Int, byteCount: Int)?

  // The records for the checks; see World+Checks.
  var sends: [[SentRecord]] = [[], []]
  var receives: [[ReceivedRecord]] = [[], []]
  var takenCounts = [0, 0]
  var detachedUnread: [[UInt8]?] = [nil, nil]
  /// The number of bytes on the wire when `finishReceiving` was called.
  var wireAtFinish: [Int?] = [nil, nil]

  private var tickets = 0
  private var endingsLeft: Int
  private var cancellationsLeft: Int
  private var windUpStage = 0

  private static let firstDescriptor: Int32 = 1_000_000

  init(seed: UInt64, mistake: Mistake?, isTracing: Bool) {
    var generator = SeededGenerator(seed: seed)
    schedule = EndpointSchedule(&generator)
    course = Course(
      generator, mistake, interlude: (schedule.interlude, schedule.mostDepth),
      disturbance: schedule.disturbance, mostSteps: 100_000, isTracing: isTracing)
    endingsLeft = schedule.endings
    cancellationsLeft = schedule.cancellations
    if schedule.isRawMixed { coverage.note(.rawMixed) }
    makeEnds()
    makeCallers()
  }

  private func makeEnds() {
    let (first, second) = SimulatedTransport.pair(capacity: schedule.capacity, plan: schedule.plan)
    for (index, transport) in [first, second].enumerated() {
      let descriptor = schedule.isDescriptor ? Self.firstDescriptor + Int32(index) : nil
      let end = SimulatedEnd(self, index: index, transport: transport, descriptor: descriptor)
      ends.append(end)
      let directions: Readiness =
        schedule.isDuplex ? [.readable, .writable] : index == 0 ? .writable : .readable
      let port =
        schedule.isStreamSocket
        ? Port(connected: end, for: directions, reactor: reactor)
        : Port(end, for: directions, reactor: reactor)
      let core = EndpointCore(
        receiving: directions.contains(.readable) ? ReceiveHalf(port) : nil,
        sending: directions.contains(.writable) ? SendHalf(port) : nil)
      cores.append(core)
      ways.append(core.receiving == nil ? [] : makeWays(core))
    }
  }

  /// Makes one or two endpoints over one core, each with its own scanner.
  private func makeWays(_ core: EndpointCore) -> [EndpointCaller.Way] {
    (0...below(2)).map { _ in
      let mode = chance(0.7) ? ReceiveMode.readAhead : .exact
      let limit = defaultMaximumFrameSize
      if chance(0.6) {
        let framing = SimulatedByteFraming(world: self)
        let reader = MessageReader(core: core, framing: framing, mode: mode, maximumFrameSize: limit)
        return .bytes(reader.receivingSide)
      }
      let framing = SimulatedFraming(world: self)
      let reader = MessageReader(core: core, framing: framing, mode: mode, maximumFrameSize: limit)
      return .typed(reader.receivingSide)
    }
  }

  private func makeCallers() {
    // Most callers use the same half, so they compete.
    let halves = cores.enumerated().flatMap { index, core in
      [core.receiving as Half?, core.sending].compactMap { $0 }.map { (index, $0) }
    }
    let favourite = below(halves.count)
    for index in 0..<schedule.callerCount {
      let isOnMain = index < schedule.mainCallers
      let (end, half) = halves[isOnMain || chance(0.5) ? favourite : below(halves.count)]
      // One of the two callers on the main thread is a task of the main actor, and the other makes a blocking call.
      let isTask = isOnMain ? index == 0 : chance(0.5)
      callers.append(
        EndpointCaller(
          self, index: index, kind: isTask ? .task : .thread, isOnMain: isOnMain, end: ends[end], half: half,
          calls: 1 + below(schedule.mostCalls)))
    }
  }

  // MARK: Chance

  func makePayload() -> [UInt8] {
    let count = below(schedule.mostBytes + 1)
    // The library writes to the shared empty array, which the thread sanitizer would report.
    if count == 0 { return [] }
    // If raw receivers cut frames, every byte must be a header with which the other receivers can continue.
    let mask: UInt64 = schedule.isRawMixed ? 0x0707_0707_0707_0707 : .max
    return unsafe [UInt8](unsafeUninitializedCapacity: count) { memory, initialized in
      var bits: UInt64 = 0
      for index in 0..<count {
        if index % 8 == 0 { bits = course.next() & mask }
        unsafe memory.initializeElement(at: index, to: UInt8(truncatingIfNeeded: bits))
        bits >>= 8
      }
      initialized = count
    }
  }

  func chooseRequest(at end: SimulatedEnd) -> (EndpointCaller.Way, ReceiveRequest) {
    if schedule.isRawMixed, chance(0.4) {
      return (.raw, chance(0.5) ? .exactly(1 + below(5)) : .upTo(1 + below(10)))
    }
    let way = ways[end.index][below(ways[end.index].count)]
    switch way {
    case .raw: return (way, .upTo(1))
    case .bytes(let side): return (way, side.request)
    case .typed(let side): return (way, side.request)
    }
  }

  // MARK: What callers need

  func nextTicket() -> Int {
    tickets += 1
    return tickets
  }

  func release(main caller: EndpointCaller) { if mainHolder === caller { mainHolder = nil } }

  func end(_ descriptor: Int32) -> SimulatedEnd { ends[Int(descriptor - Self.firstDescriptor)] }

  func caller(of timer: Timer) -> EndpointCaller? { callers.first { $0.timer === timer } }

  func isPolled(_ end: SimulatedEnd) -> Bool { callers.contains { $0.end === end && $0.isPolling } }

  // MARK: The scheduler

  /// Lets others run in the middle of a step.
  func interlude(_ point: EndpointCoverage.Point) {
    guard interrupts() else { return }
    coverage.note(point)
    runOthers(atMost: schedule.endsEarly ? 10 : 3)
  }

  func interruptWakeUp() { interlude(.runInsideWakeUp) }

  func enabledActors() -> [Actor] {
    var enabled: [Actor] = []
    for (index, caller) in callers.enumerated() where caller.isEnabled { enabled.append(.caller(index)) }
    for worker in 0..<reactor.workerCount where reactor.isEnabled(worker) { enabled.append(.reactor(worker)) }
    if reactor.hasHelpers { enabled.append(.helper) }
    for end in ends {
      if !end.news.isEmpty { enabled.append(.news(end.index)) }
      if !end.isClosed, !end.isDetached, end.transport.isStalled { enabled.append(.tick(end.index)) }
    }
    return enabled
  }

  func step(_ actor: Actor) {
    switch actor {
    case .caller(let index):
      let caller = callers[index]
      let holdsMain = caller.isOnMain && mainHolder == nil
      if holdsMain { mainHolder = caller }
      reactor.asStranger { caller.step() }
      if caller.isDone { release(main: caller) }
    case .reactor(let worker): reactor.step(worker)
    case .helper: reactor.asStranger { reactor.help() }
    case .news(let index): reactor.asStranger { ends[index].deliverNews() }
    case .tick(let index):
      coverage.note(.stalled)
      trace("tick", index)
      ends[index].transport.tick()
    }
  }

  /// Runs the task of a caller on a worker of the reactor.
  func runJob(of caller: EndpointCaller) {
    caller.awaitsWorker = false
    caller.step()
  }

  func disturb() {
    switch below(8) {
    case 0: advanceClock(by: 1 + below(10))
    case 1:
      // A spurious wake-up.
      for caller in callers where !caller.isRunning {
        if caller.isWaiting, chance(0.5) { caller.isSignalled = true }
      }
    case 2:
      // Readiness that is not true.
      let end = ends[below(2)]
      if let half = [cores[end.index].receiving as Half?, cores[end.index].sending][below(2)] {
        note(.readiness, half)
        if chance(0.3) { half.endPauseEarly() } else { half.stir() }
      }
    case 3, 4: cancel()
    default: endSomething()
    }
  }

  private func cancel() {
    guard cancellationsLeft > 0 else { return }
    let candidates = callers.filter { $0.canBeCancelled }
    guard !candidates.isEmpty else { return }
    let caller = candidates[below(candidates.count)]
    guard caller.place != nil else { return }
    cancellationsLeft -= 1
    caller.cancel()
  }

  private func endSomething() {
    guard endingsLeft > 0 else { return }
    endingsLeft -= 1
    let index = below(2)
    switch below(5) {
    case 0, 1: close(index)
    case 2: finishSending(index)
    case 3: finishReceiving(index)
    default: detach(index)
    }
  }

  private func close(_ index: Int) {
    let core = cores[index]
    for half in [core.receiving as Half?, core.sending] {
      guard let half else { continue }
      trace("closes", index, half is SendHalf ? 1 : 0)
      note(.close, half)
      half.close()
      interlude(.runInsideWakeUp)
    }
    if makes(.closesTwice) { ends[index].close() }
  }

  func finishSending(_ index: Int) {
    guard let half = cores[index].sending else { return }
    trace("is to finish sending", index)
    coverage.note(.halfClose)
    _ = half.start(SendHalf.Call(Outgoing([]), as: .orphan, step: .halfClose, until: .never))
  }

  private func finishReceiving(_ index: Int) {
    guard let half = cores[index].receiving else { return }
    trace("is to finish receiving", index)
    coverage.note(.receivingFinished)
    if wireAtFinish[index] == nil { wireAtFinish[index] = ends[index].peer.sent.count }
    half.finishReceiving()
  }

  /// Another thread finds out that an attempt does not come back.
  func noteHang(_ end: SimulatedEnd, isSending: Bool) {
    let core = cores[end.index]
    let half = isSending ? core.sending as Half? : core.receiving
    let places = half?.inspect { state in
      var places: [Place] = []
      state.queue.visit { place in places.append(place) }
      return places
    }
    for place in places ?? [] { half?.endGrace(of: place) }
    coverage.note(.hung)
  }

  /// Detaches as `EndpointCore.detach` does, which needs a real descriptor.
  private func detach(_ index: Int) {
    let core = cores[index]
    let halves = [core.receiving as Half?, core.sending].compactMap { $0 }
    if Half.retire(halves[0], halves.count > 1 ? halves[1] : nil) != nil {
      coverage.note(.detachRefused)
      return
    }
    trace("detached", index)
    coverage.note(.detached)
    detachedUnread[index] = unsafe core.receiving?.turn.takeUnread() ?? []
    ends[index].abandon()
  }

  /// Closes what a failure has left open, while the world still exists.
  func tearDown() {
    for core in cores {
      core.receiving?.close()
      core.sending?.close()
    }
  }

  func nextInstant() -> Deadline {
    var next = Deadline.never
    for caller in callers {
      var waits = caller.isQueued
      if case .waitingAlone = caller.state { waits = true }
      if waits, caller.deadline > clock { next = min(next, caller.deadline) }
    }
    for core in cores {
      for half in [core.receiving as Half?, core.sending] {
        guard let half, let end = pauseEnd(of: half), end > clock else { continue }
        coverage.note(.pausePassed)
        next = min(next, end)
      }
    }
    // Timers that their half no longer needs also fire.
    return min(next, reactor.nextInstant)
  }

  func windUp(_ stage: Int) -> Bool {
    var hasActed = false
    switch windUpStage {
    case 0:
      for end in ends where !end.isDetached { end.transport.calm() }
      hasActed = true
    case 1:
      // Senders may wait for room that no receiver makes.
      for end in ends {
        guard let half = cores[end.index].sending, half.inspect({ !$0.isClosed && !$0.queue.isEmpty }) else {
          continue
        }
        hasActed = true
        if let peer = cores[end.peer.index].receiving, peer.inspect({ !$0.isClosed && $0.over == nil }) {
          addDrain(end.peer, peer)
        } else {
          close(end.index)
        }
      }
      if hasActed { return true }
    case 2:
      for index in 0...1 { finishSending(index) }
      hasActed = true
    case 3:
      for end in ends {
        // A receiver may still wait, because sending failed and the peer was not told.
        guard let half = cores[end.index].receiving, !isDrained(half) else { continue }
        addDrain(end, half)
      }
      hasActed = true
    case 4:
      for index in 0...1 { close(index) }
      hasActed = true
    default: return false
    }
    windUpStage += 1
    return true
  }

  /// When the attempts of a half are repeated. Nil if none is to be.
  func pauseEnd(of half: Half) -> Deadline? {
    half.inspect { $0.isHeadPaused && !$0.isClosed ? $0.retryAt : nil }
  }

  private func addDrain(_ end: SimulatedEnd, _ half: Half) {
    check(!isDrained(half), "somebody receives all there is, and yet it does not come")
    callers.append(
      EndpointCaller(
        self, index: callers.count, kind: chance(0.5) ? .task : .thread, isOnMain: false, end: end,
        half: half, calls: .max, drains: true))
  }

  private func isDrained(_ half: Half) -> Bool {
    callers.contains { $0.drains && $0.half === half && !$0.isDone }
  }

  // MARK: Errors of one item

  /// Makes an attempt fail for one item alone, now and then.
  func failItem(_ operation: TransportError.Operation) -> Attempt? {
    guard !isCalm, chance(schedule.itemFailure) else { return nil }
    itemFailuresMade += 1
    coverage.note(.itemFailed)
    trace("an item fails")
    let scope: TransportError.Scope = makes(.widensItemErrors) ? .connection : .item
    return .failed(TransportError(operation, .invalidArgument, scope: scope))
  }

  /// Notes that a caller got such an error. Returns false if none was left to report.
  func tellItemFailure() -> Bool {
    itemFailuresTold += 1
    return itemFailuresTold <= itemFailuresMade
  }

  // MARK: Budgets

  /// Notes that the reactor drives a half. Others that run inside its attempts do not count.
  func drives(_ body: () -> Void) {
    let outer = drive
    drive = (course.depth, 0)
    body()
    drive = outer
  }

  func noteDriven(_ byteCount: Int) {
    guard let drive, drive.depth == course.depth else { return }
    self.drive?.byteCount += byteCount
    if drive.byteCount + byteCount >= SimulatedReactor.receiveBudget { coverage.note(.budgetSpent) }
  }

  /// Checks that an attempt to receive stays within the budget.
  func noteDrivenAttempt() {
    guard let drive, drive.depth == course.depth else { return }
    check(drive.byteCount < SimulatedReactor.receiveBudget, "the reactor receives beyond its budget")
  }

  // MARK: Notes

  func note(_ event: EndpointCoverage.Event, _ half: Half) {
    let state = half.inspect { state -> EndpointCoverage.State in
      if state.isClosed { return .closed }
      if state.turn { return .driven }
      return state.queue.isEmpty ? .idle : .waiting
    }
    coverage.note(event, isSending: half is SendHalf, in: state)
  }

  func noteAttempt(_ event: EndpointCoverage.Event, _ end: SimulatedEnd, isSending: Bool) {
    let core = cores[end.index]
    if let half = isSending ? core.sending as Half? : core.receiving { note(event, half) }
  }

  func noteReadiness(_ end: SimulatedEnd, _ readiness: Readiness) {
    let core = cores[end.index]
    if !readiness.isDisjoint(with: .concernsReceiving), let half = core.receiving {
      note(.readiness, half)
    }
    if !readiness.isDisjoint(with: .concernsSending), let half = core.sending { note(.readiness, half) }
  }

  func noteGiveUp(_ caller: EndpointCaller) {
    guard let place = caller.place, !place.isDecided else { return }
    let send = place as? SendPlace
    note(
      send?.inUse ?? false ? .giveUpInUse : (send?.sent ?? 0) > 0 ? .giveUpBegun : .giveUpUnbegun, caller.half
    )
  }
}
