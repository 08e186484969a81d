import SWIO
import SWMessaging
import SWTesting

/// A call that sends datagrams, or flushes.
struct DatagramCall {
  var ticket = 0
  var isFlush = false
  var isLate = false
  /// Each datagram is a number, so it can be recognized.
  var datagrams: [[UInt8]] = []
  /// The destination. Nil if the datagrams go to the peer that the socket is connected to.
  var address: SocketAddress?
  /// How many attempts had been made when the call began.
  var attemptsBefore = 0
}

/// A datagram socket with several peers, and callers that send to them. A datagram that is refused stands aside, and delays
/// nobody.
// Invariant: everything happens on the single thread of the simulation.
final class DatagramWorld: SmallReactorHost, @unchecked Sendable {
  typealias Mistake = DatagramMistake

  enum Actor {
    case caller(Int)
    case reactor
    /// A peer takes a datagram out of its queue.
    case peer(Int)
    /// The socket's own buffer has room again.
    case room
  }

  /// The attempts that have been made for a datagram.
  struct Fate {
    let ticket: Int
    var accepted = 0
    /// How many attempts were refused, and how many reasons to attempt there had been when it was made.
    var refused = 0
    let reasonsBefore: Int
  }

  let schedule: DatagramSchedule
  let course: Course<Mistake>
  private(set) lazy var reactor = SmallReactor(self)
  private(set) lazy var end = DatagramEnd(self)
  private(set) lazy var core = EndpointCore(end, for: .writable, reactor: reactor)
  private(set) var callers: [DatagramCaller] = []
  let addresses: [SocketAddress]
  var coverage = PointCoverage<DatagramPoint>()

  /// The number of datagrams in each peer's queue.
  private var queues: [Int]
  private var fates: [Fate] = []
  /// The datagrams that were accepted, in order.
  private var wire: [(datagram: Int, address: SocketAddress?)] = []
  private(set) var calls: [DatagramCall] = []
  private var attemptCount = 0
  private var itemFailuresMade = 0
  private var itemFailuresTold = 0
  /// The number of reasons to repeat attempts: ends of pauses, calls that do not wait, disturbances.
  private var reasonCount = 0
  private var tickets = 0
  private var endingsLeft: Int
  private var cancellationsLeft: Int
  private var pausesLeft = 20
  private(set) var isClosed = false
  /// The first ticket after the half-close was asked for.
  private(set) var finishTicket: Int?

  init(seed: UInt64, mistake: Mistake?, isTracing: Bool) {
    var generator = SeededGenerator(seed: seed)
    schedule = DatagramSchedule(&generator)
    course = Course(
      generator, mistake, interlude: (schedule.interlude, schedule.mostDepth),
      disturbance: schedule.disturbance, mostSteps: 20_000, isTracing: isTracing)
    endingsLeft = schedule.endings
    cancellationsLeft = schedule.cancellations
    addresses = schedule.rooms.indices.map { SocketAddress(bytes: [1, 0, UInt8($0), 0]) }
    queues = schedule.rooms.map { _ in 0 }
    guard let half = core.sending else { preconditionFailure("it was made with that half") }
    for index in 0..<schedule.callers {
      callers.append(
        DatagramCaller(
          self, index: index, kind: chance(0.5) ? .task : .thread, half: half,
          calls: 1 + below(schedule.mostCalls)))
    }
  }

  var half: SendHalf {
    guard let half = core.sending else { preconditionFailure("it was made with that half") }
    return half
  }

  var offeredReadiness: Readiness { end.isFull ? [] : .writable }
  func losesTimer() -> Bool { makes(.dropsTimer) }

  // MARK: The kernel

  /// Whether the queue of a peer has room. The peer that the socket is connected to always has.
  func hasRoom(_ address: SocketAddress?) -> Bool {
    guard let peer = addresses.firstIndex(where: { $0 == address }) else { return true }
    return queues[peer] < schedule.rooms[peer] || (isCalm && schedule.rooms[peer] == 0)
  }

  private func index(_ datagram: [UInt8]) -> Int {
    datagram.count == 4 ? datagram.reduce(0) { $0 << 8 | Int($1) } : -1
  }

  func makeDatagrams(_ count: Int) -> [[UInt8]] {
    (0..<count).map { _ in
      let index = fates.count
      fates.append(Fate(ticket: tickets, reasonsBefore: reasonCount))
      return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: index >> $0) }
    }
  }

  func noteAttempt(_ datagram: [UInt8]) {
    attemptCount += 1
    trace("attempt", index(datagram))
    check(fates.indices.contains(index(datagram)), "bytes that nobody has sent")
  }

  func noteItemFailure() {
    itemFailuresMade += 1
    coverage.note(.itemFailed)
  }

  func accept(_ datagram: [UInt8], _ address: SocketAddress?) {
    let index = index(datagram)
    guard fates.indices.contains(index) else { return fail("a datagram that nobody has sent") }
    trace("accepted", index)
    coverage.note(.accepted)
    if half.inspect({ $0.queue.hasAside }) { coverage.note(.sentBesideAside) }
    fates[index].accepted += 1
    check(fates[index].accepted == 1, "datagram \(index) is sent twice")
    wire.append((index, address))
    if let peer = addresses.firstIndex(where: { $0 == address }) { queues[peer] += 1 }
  }

  /// An attempt is refused, and no readiness will tell. Attempts that are repeated without a reason take processor time.
  func noteRefusal(_ datagram: [UInt8]) {
    let index = index(datagram)
    guard fates.indices.contains(index) else { return }
    trace("refused", index)
    coverage.note(.refused)
    fates[index].refused += 1
    let reasons = reasonCount - fates[index].reasonsBefore
    check(
      fates[index].refused <= 2 + 2 * reasons,
      "datagram \(index) was refused \(fates[index].refused) times, for \(reasons) reasons to attempt")
  }

  // MARK: Reports of callers

  func newCall(isLate: Bool, by caller: DatagramCaller) -> DatagramCall {
    tickets += 1
    if isLate {
      reasonCount += 1
      if half.inspect({ $0.retryAt != nil }) { coverage.note(.lateMetPause) }
    }
    return DatagramCall(ticket: tickets, isLate: isLate, attemptsBefore: attemptCount)
  }

  func begun(_ call: DatagramCall) { calls.append(call) }

  /// A call has ended.
  func ended(_ call: DatagramCall, by caller: DatagramCaller, _ error: EndpointError?) {
    trace("ended", caller.index, call.ticket)
    if let error { checkReason(error, call, caller) }
    let sentCount = error.map { $0.messageCount } ?? call.datagrams.count
    if 0 < sentCount, sentCount < call.datagrams.count { coverage.note(.partOfBatch) }
    for (position, datagram) in call.datagrams.enumerated() {
      let isSent = fates[index(datagram)].accepted > 0
      check(
        isSent == (position < sentCount),
        "datagram \(index(datagram)) of call \(call.ticket) was \(isSent ? "" : "not ")sent, and its caller is told that \(sentCount) were"
      )
    }
    if let finishTicket, call.ticket >= finishTicket, !call.isFlush {
      check(sentCount == 0, "call \(call.ticket) sends after the half-close")
    }
    guard call.isFlush, error == nil else { return }
    coverage.note(.flushed)
    for other in callers where other.isQueued && other.call.ticket < call.ticket && !other.call.isFlush {
      fail("a flush has ended, and call \(other.call.ticket) before it waits")
    }
  }

  private func checkReason(_ error: EndpointError, _ call: DatagramCall, _ caller: DatagramCaller) {
    let isRight: Bool
    switch error.reason {
    case .timedOut:
      coverage.note(.timedOut)
      isRight = caller.deadline <= clock
      // Behind a half-close that waits for its turn nothing may be sent.
      let isBehindEnd = finishTicket.map { call.ticket >= $0 } ?? false
      check(
        !call.isLate || call.isFlush || isBehindEnd || attemptCount > call.attemptsBefore,
        "sent away without an attempt")
    case .cancelled:
      coverage.note(.cancelled)
      isRight = caller.isCancelled
    case .closed:
      coverage.note(.closedCalls)
      isRight = isClosed || finishTicket != nil
    case .transport(let failure):
      itemFailuresTold += 1
      isRight = failure.scope == .item && itemFailuresTold <= itemFailuresMade
    default: isRight = false
    }
    check(isRight && !error.isCommitted, "caller \(caller.index) is told without reason: \(error)")
  }

  // MARK: The scheduler

  func interlude() {
    guard interrupts() else { return }
    coverage.note(.interlude)
    let wasClosed = isClosed
    runOthers()
    if isClosed, !wasClosed { coverage.note(.closedInsideAttempt) }
  }

  func interruptWakeUp() { interlude() }

  func enabledActors() -> [Actor] {
    var enabled: [Actor] = callers.indices.filter { callers[$0].isEnabled }.map { .caller($0) }
    if reactor.isEnabled { enabled.append(.reactor) }
    for peer in queues.indices where queues[peer] > 0 && (isCalm || !schedule.sleepers.contains(peer)) {
      enabled.append(.peer(peer))
    }
    if end.isFull, !end.isClosed { enabled.append(.room) }
    return enabled
  }

  func step(_ actor: Actor) {
    switch actor {
    case .caller(let index): callers[index].step()
    case .reactor: reactor.step()
    case .peer(let peer):
      trace("a peer reads", peer)
      queues[peer] -= 1
    case .room: end.makeRoom()
    }
  }

  func checkInvariants() {
    half.inspect { $0.checkInvariants() }
    noteAside()
  }

  private func noteAside() {
    let aside = callers.filter { $0.isAside }
    guard let first = aside.first else { return }
    coverage.note(.stoodAside)
    coverage.note(first.kind == .thread ? .threadStoodAside : .taskStoodAside)
    if aside.count > 1 {
      coverage.note(.twoStoodAside)
      if aside[1...].contains(where: { $0.call.address == first.call.address && !$0.call.isFlush }) {
        coverage.note(.stoodAsideBehind)
      }
    }
    if aside.contains(where: { $0.call.datagrams.count > 1 }) { coverage.note(.batchStoodAside) }
    if aside.contains(where: { $0.call.isFlush }) { coverage.note(.flushStoodAside) }
    if finishTicket != nil, !end.isFinished { coverage.note(.finishStoodAside) }
  }

  func disturb() {
    reasonCount += 1
    switch below(7) {
    case 0: advanceClock(by: 1 + below(10))
    case 1: for caller in callers where caller.isWaiting && chance(0.5) { caller.isSignalled = true }
    case 2: half.stir()
    case 3:
      if half.inspect({ $0.retryAt != nil }) { coverage.note(.pauseEndedEarly) }
      half.endPauseEarly()
    case 4, 5:
      let candidates = callers.filter { $0.canBeCancelled }
      guard cancellationsLeft > 0, !candidates.isEmpty else { return }
      cancellationsLeft -= 1
      let caller = candidates[below(candidates.count)]
      if caller.isAside { coverage.note(.cancelledAside) }
      caller.cancel()
    default:
      guard endingsLeft > 0 else { return }
      endingsLeft -= 1
      if chance(0.5) { finishSending() } else { close() }
    }
  }

  private func close() {
    if callers.contains(where: { $0.isAside }) { coverage.note(.closedAside) }
    trace("closes")
    isClosed = true
    half.close()
  }

  private func finishSending() {
    trace("is to finish sending")
    if finishTicket == nil { finishTicket = tickets + 1 }
    _ = half.start(SendHalf.Call(Outgoing([]), as: .orphan, step: .halfClose, until: .never))
  }

  func nextInstant() -> Deadline {
    var next = callers.reduce(reactor.nextInstant) { min($0, $1.nextInstant) }
    if let retryAt = half.inspect({ $0.isClosed ? nil : $0.retryAt }), retryAt > clock {
      next = min(next, retryAt)
    }
    return next
  }

  func mayAdvance() -> Bool {
    if !isCalm {
      if pausesLeft == 0 { return false }
      pausesLeft -= 1
    }
    if half.inspect({ $0.retryAt != nil }) { coverage.note(.pausePassed) }
    if callers.contains(where: { $0.isAside && $0.deadline == nextInstant() }) {
      coverage.note(.timedOutAside)
    }
    reasonCount += 1
    return true
  }

  func windUp(_ stage: Int) -> Bool {
    switch stage {
    case 1: break
    case 2: finishSending()
    case 3: close()
    default: return false
    }
    return true
  }

  /// Closes what a failure has left open, while the world still exists.
  func tearDown() {
    half.close()
    if reactor.hasDriven { coverage.note(.reactorDrives) }
  }

  // MARK: Checks

  func checkQuiescence() {
    for caller in callers { caller.checkQuiescence() }
    let (hasHead, rests, turn, called, retryAt) = half.inspect {
      ($0.queue.first != nil, $0.queue.rests, $0.turn, $0.called, $0.retryAt)
    }
    check(!turn && !called, "the turn or a call is left, and nobody runs")
    check(!hasHead || end.isFull, "the socket has room, and somebody waits in line")
    if rests {
      check(retryAt.map { $0 > clock } ?? false, "a pause has passed, and nobody attempts")
    }
  }

  func checkEnd() {
    for caller in callers { check(caller.isDone, "caller \(caller.index) never came back") }
    check(end.isClosed, "the socket is still open")
    half.inspect { state in
      check(state.queue.count == 0 && !state.turn && !state.called && state.isOut, "the half is still in use")
    }
    check(reactor.registrationCount == 0, "a registration is left")
    // To one destination datagrams go in the order of the calls. Those of callers that do not wait are tried at once.
    for address in [nil] + addresses.map({ $0 as SocketAddress? }) {
      let late = Set(calls.filter { $0.isLate }.map { $0.ticket })
      let order = wire.filter { $0.address == address && !late.contains(fates[$0.datagram].ticket) }
        .map { $0.datagram }
      check(order == order.sorted(), "datagrams to one destination overtake each other: \(order)")
    }
  }
}
