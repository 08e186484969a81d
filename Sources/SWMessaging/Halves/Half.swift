internal import CSysShim
package import SWIO
internal import Synchronization
internal import SystemPackage

/// One direction of an endpoint, for threads and tasks at the same time. This class has what receiving and sending share:
/// the lock, the two ways to wait, giving up, and closing. docs/half.md explains it.
///
/// Three kinds of code drive: a caller inside its call, the reactor, and a helper thread. Cancellation handlers, `close` and
/// readiness signals lock, mark, pass, unlock and wake; they never attempt.
/// The turn changes hands under the lock.
@usableFromInline
// Invariant: only `locked` accesses the state, and only the turn's holder the fields that belong to the turn.
package class Half: ReactorWork, @unchecked Sendable {
  package final let port: Port
  /// The direction: `readable` for receiving, `writable` for sending.
  package final let direction: Readiness
  /// Whether an attempt moves a whole datagram, which may be empty.
  @usableFromInline package final let carriesDatagrams: Bool
  /// The readiness for which the last attempt that would block asked to wait. It is the half's own direction, unless the
  /// transport's directions cross. It changes only in the turn.
  private(set) final var interest: Readiness
  /// Whether the last attempt is to be repeated after a pause. Belongs to the turn.
  @exclusivity(unchecked)
  private(set) final var isPausing = false
  /// The number of attempts that have moved something, modulo 65,536. Changed only in the turn.
  final let moveCount = Atomic<UInt16>(0)
  // At most four seconds.
  private final let shortestPause: UInt32
  private final let longestPause: UInt32
  private final let lock: Guarded<HalfState>
  final let turnstile = Turnstile()
  /// The number of bytes that no receive has returned, as of the last release of the turn. Errors report it.
  final let heldBytes = Atomic(0)
  /// The value of `heldBytes`, for tests.
  package final var held: Int { heldBytes.load(ordering: .relaxed) }
  /// The number of consecutive async completions without a wait. It need not be exact.
  private final let streak = Atomic(0)

  init(_ port: Port, _ direction: Readiness) {
    self.port = port
    self.direction = direction
    carriesDatagrams = port.carriesDatagrams
    interest = direction
    let capabilities = port.capabilities
    shortestPause = UInt32(clamping: capabilities.shortestPause)
    longestPause = UInt32(clamping: capabilities.longestPause)
    var state = HalfState()
    state.isRegistered = port.isSignalled
    lock = Guarded(state)
  }

  /// The length of the first pause and the limit of all pauses, in nanoseconds.
  final var pauseLengths: ClosedRange<UInt64> { UInt64(shortestPause)...UInt64(longestPause) }

  // A half leaves its port when it is closed or retired. If neither has happened, the port forgets the half here.
  deinit { port.forget(direction) }

  /// Runs one critical section, and then performs the actions that it collected.
  @inline(__always)
  final func locked<Result: Sendable>(_ body: (inout HalfState, inout Actions) -> Result) -> Result {
    var actions = Actions()
    let result = withState { state in body(&state, &actions) }
    actions.perform(for: self)
    return result
  }

  @inline(__always)
  private final func withState<Result: Sendable>(_ body: (inout HalfState) -> Result) -> Result {
    lock.withLock { state in
      turnstile.fold(into: &state)
      let result = body(&state)
      assert(
        {
          state.checkInvariants()
          return true
        }())
      turnstile.unfold(&state)
      return result
    }
  }

  // MARK: For subclasses

  /// Takes steps for the head, on the reactor's thread.
  package final func drive() {
    let isTaken = locked { state, _ in
      state.called = false
      return state.takeTurn(first: true, by: nil)
    }
    if isTaken { driveOnReactor() }
  }

  /// Takes steps within the reactor's budget, holding the turn.
  func driveOnReactor() { preconditionFailure("a half drives") }

  /// Takes steps for the head, on behalf of a queued caller. With `first`, the caller has just entered, and drives whether
  /// or not it is the head. Otherwise it drives only as the head.
  package final func drive(as me: Place, first: Bool) {
    guard locked({ state, _ in state.takeTurn(first: first, by: me) }) else { return }
    driveOn(as: me)
  }

  /// Takes steps, holding the turn. The caller is the head unless it has just entered.
  package func driveOn(as me: Place) { preconditionFailure("a half drives") }

  /// Continues with a turn that was handed over, on a thread that may wait for a disk.
  package func driveOffloaded() { preconditionFailure("a half drives") }

  /// Under the lock: gives a place that has left the queue an error as its result.
  func fail(_ place: Place, _ error: EndpointError) { preconditionFailure("a half fails its places") }

  /// Drops what was received and no caller will ask for. Called when no caller uses the transport any more.
  func dropReceived() {}

  /// Under the lock: why the endpoint cannot be detached now. Returns nil if it can.
  func detachRefusal(_ state: HalfState) -> EndpointError.Reason? { state.detachRefusal }

  /// Under the lock: whether a place that gives up may leave the queue now. If not, the turn holder settles it.
  func leavesAtOnce(_ place: Place) -> Bool { true }

  // MARK: Events

  /// Notes that an attempt may make progress.
  ///
  /// - Parameters:
  ///   - wakesPoller: whether to signal a head that polls, because its poll would not see this event.
  ///   - mayDrive: whether to drive at once instead of calling the reactor, whose thread this is then.
  package final func stir(wakesPoller: Bool = false, mayDrive: Bool = false) {
    let isTaken = locked { state, actions in
      guard !state.isClosed else { return false }
      state.stirred = true
      state.pass(by: nil, &actions)
      if wakesPoller { state.wakePoller(&actions) }
      if mayDrive, actions.callsReactor {
        actions.callsReactor = false
        state.called = false
        return state.takeTurn(first: true, by: nil)
      }
      guard state.isIdle, state.isRegistered, !port.isSignalled else { return false }
      // No caller waits, so end the watching. Otherwise a peer that reads and writes would wake up the reactor each time,
      // for nothing. The lock is held during the system call. A turn taken for it would make `detach` fail as busy.
      state.isRegistered = false
      _ = port.watch(direction, for: [])
      return false
    }
    if isTaken { driveOnReactor() }
  }

  /// Ends a pause early, because the next attempt may make progress.
  package final func endPauseEarly() {
    locked { state, actions in
      guard !state.isClosed else { return }
      if state.retryAt == nil { state.stirred = true } else { state.endPause() }
      state.wakePoller(&actions)
      state.pass(by: nil, &actions)
    }
  }

  /// In the turn: remembers what an attempt that would block asks to wait for.
  final func note(_ attempt: Attempt) {
    unsafe isPausing = false
    switch attempt {
    case .wouldBlock: note(blockedOn: direction)
    case .waitsFor(let readiness): note(blockedOn: readiness)
    case .retryLater: unsafe isPausing = true
    case .transferred: moveCount.store(moveCount.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    case .endOfStream, .offload, .failed: break
    }
  }

  /// Has the reactor end the pause at that time.
  final func setRetryTimer(at deadline: Deadline) {
    port.reactor.set(Timer(RetryTimer(self, deadline)), at: deadline)
  }

  private final class RetryTimer: DeadlineReceiver {
    private let half: Half
    private let deadline: Deadline
    init(_ half: Half, _ deadline: Deadline) {
      self.half = half
      self.deadline = deadline
    }
    func deadlinePassed() { half.retryTimerFired(deadline) }
  }

  private func retryTimerFired(_ deadline: Deadline) {
    locked { state, actions in
      if state.retryTimerAt == deadline { state.retryTimerAt = nil }
      guard !state.isClosed, let retryAt = state.retryAt else { return }
      if retryAt.hasPassed(by: port.reactor.now) {
        state.endPause()
      } else {
        // A thread has ended the pause of this timer, and another pause has begun.
        state.needsRetryTimer(&actions)
      }
      state.pass(by: nil, &actions)
    }
  }

  private func note(blockedOn readiness: Readiness) {
    // Hang-ups are reported in any case, so they are not part of the interest.
    let wanted = readiness.intersection([.readable, .writable])
    if wanted == interest { return }
    interest = wanted
    let needsAnotherAttempt = port.note(direction, waitsFor: wanted)
    locked { state, actions in
      state.isRegistered = port.isSignalled
      if needsAnotherAttempt { state.stirred = true }
      // A head that polls waits for the old interest.
      if let head = state.queue.first, head.isPolling { actions.signal(head) }
    }
  }

  /// Makes a place give up, because of its deadline or a cancellation. If the place is decided already, that decision
  /// stands.
  package final func giveUp(_ place: Place, _ reason: GiveUp, by me: Place? = nil) {
    locked { state, actions in giveUp(place, reason, by: me, &state, &actions) }
  }

  private func giveUp(
    _ place: Place, _ reason: GiveUp, by me: Place?, _ state: inout HalfState, _ actions: inout Actions
  ) {
    guard place.isQueued else { return }
    if place.gaveUp != nil {
      // The place is late and waits for an attempt. A cancelled call does not wait for one that takes long, now or from later on.
      guard reason == .cancelled, place.isLate, leavesAtOnce(place) else { return }
      place.gaveUp = reason
      guard state.isAway else { return }
    }
    if place.owesAttempt, place.kind == .thread, reason == .timedOut {
      // The attempt was left out because it was likely to fail. The place must be tried once before it fails.
      place.isLate = true
      state.stirred = true
    }
    let isAway = state.isAway && !(place.hasOnlyAttempt && reason == .timedOut)
    if place.isLate, !isAway, state.turn || state.stirred, leavesAtOnce(place) {
      // A call with a zero timeout must be tried once before it fails. If another caller holds the turn, or an attempt is
      // due, mark the place and let that attempt decide. A head that polls is signalled: the readiness that raised `stirred`
      // may have been consumed, or a pause hides it, and then its poll does not return. While the turn is away, no attempt is
      // near, except one for this place.
      place.gaveUp = reason
      state.hasLate = true
      if !state.turn, let head = state.queue.first, head.isPolling { actions.signal(head) }
    } else if leavesAtOnce(place) {
      turnAway(place, reason, by: me, &state, &actions)
    } else {
      place.gaveUp = reason
    }
    state.pass(by: me, &actions)
  }

  /// Closes the half. It wakes all callers, waits for none, and may be called more than once. The last user of the
  /// descriptor gives it up.
  package final func close() {
    locked { state, actions in
      guard !state.isClosed else { return }
      state.isClosed = true
      state.recall(&actions)
      // Places whose memory an attempt reads right now are decided when that attempt ends. A pause that has ended meanwhile may
      // have brought others in front of them.
      var kept: [Place] = []
      state.queue.visit { place in if place.isInUse { kept.append(place) } }
      for place in kept { state.queue.remove(place) }
      decideEverybody(EndpointError(.closed), by: nil, &state, &actions)
      for place in kept.reversed() { state.queue.prepend(place) }
      state.leaveDescriptor(&actions)
    }
  }

  /// Under the lock, when an attempt moved nothing and the turn is about to be released: the attempt that late callers were
  /// promised is over, so they leave.
  final func settleLate(by me: Place?, _ state: inout HalfState, _ actions: inout Actions) {
    guard state.hasLate else { return }
    state.hasLate = false
    var late: [(Place, GiveUp)] = []
    state.queue.visit { place in
      guard place.isLate, let reason = place.gaveUp, leavesAtOnce(place) else { return }
      if place.hasOnlyAttempt { state.hasLate = true } else { late.append((place, reason)) }
    }
    for (place, reason) in late { turnAway(place, reason, by: me, &state, &actions) }
  }

  /// Under the lock: decides a place that has given up.
  private func turnAway(
    _ place: Place, _ reason: GiveUp, by me: Place?, _ state: inout HalfState, _ actions: inout Actions
  ) {
    let held = heldBytes.load(ordering: .relaxed)
    // The bytes that were too few for this place may be enough for the next one.
    if held > 0, state.queue.first === place { state.stirred = true }
    state.queue.remove(place)
    fail(place, EndpointError(reason.reason, byteCount: held))
    place.decide(&actions, by: me)
  }

  // MARK: An attempt that hangs

  /// How long a late caller waits for an attempt that may hang, in nanoseconds. A healthy attempt takes less also on a busy machine.
  private static var grace: UInt64 { 200_000_000 }

  /// The latest time until which a caller that is late from now on waits for another one's attempt.
  final var lateLimit: Deadline {
    port.attemptsMayHang ? Deadline(nanoseconds: port.reactor.now.nanoseconds &+ Self.grace) : .never
  }

  /// Has a place that gives up leave after a grace, if it is still there, because the attempt that it waits for may hang.
  ///
  /// - Returns: the timer, if there is one.
  final func limitLate(_ place: Place) -> Timer? {
    guard port.attemptsMayHang, locked({ _, _ in place.isQueued }) else { return nil }
    let timer = Timer(LateLimit(place))
    port.reactor.set(timer, at: lateLimit)
    return timer
  }

  private final class LateLimit: DeadlineReceiver {
    private let place: Place
    init(_ place: Place) { self.place = place }
    func deadlinePassed() {
      place.half.endGrace(of: place)
      // If it is still queued, an attempt is near.
      _ = place.half.limitLate(place)
    }
  }

  /// A late caller has waited for long enough, so it leaves, although an attempt may be under way.
  package final func endGrace(of place: Place) {
    locked { state, actions in
      guard place.isQueued, state.turn, place.isLate, let reason = place.gaveUp, !place.hasOnlyAttempt,
        leavesAtOnce(place)
      else { return }
      turnAway(place, reason, by: nil, &state, &actions)
    }
  }

  /// Whether a caller leaves its attempts to the reactor: on a thread of the reactor a job that hangs would keep it, and a drive that
  /// hangs is replaced.
  final func leavesAttempts(_ kind: Place.Kind) -> Bool {
    port.attemptsMayHang && kind == .task && Reactor.isCurrentThread
  }

  // MARK: A turn that is away

  /// Notes that the caller, which has the turn, keeps it for as long as code of the user runs. Calls whose time is over do not
  /// wait for that.
  @usableFromInline
  package final func goAway() {
    if turnstile.goAway() { return }
    locked { state, actions in goAway(for: nil, by: nil, &state, &actions) }
  }

  /// Takes `goAway` back, or the mark of `takeFront(lends: true)`, because no code of the user runs in the turn any more.
  @usableFromInline
  package final func comeBack() {
    if !turnstile.comeBack() { locked { state, _ in state.isAway = false } }
  }

  /// Under the lock: from now on the holder of the turn, or a helper that is to continue with it, may keep it for long. Late
  /// callers leave.
  ///
  /// - Parameter head: the place for which an attempt that may take long is made, if it is for one. A zero timeout is one
  ///   attempt, however long that takes.
  final func goAway(for head: Place?, by me: Place?, _ state: inout HalfState, _ actions: inout Actions) {
    state.isAway = true
    if let head {
      head.hasOnlyAttempt = head.deadline == .immediately && !head.wasTried && head.gaveUp != .cancelled
    }
    settleLate(by: me, &state, &actions)
  }

  /// Under the lock: the attempt that may take long has ended, or is not made.
  final func comeBack(for head: Place?, _ state: inout HalfState) {
    state.isAway = false
    head?.hasOnlyAttempt = false
  }

  final func decideEverybody(
    _ error: EndpointError, by me: Place?, _ state: inout HalfState, _ actions: inout Actions
  ) {
    while let place = state.queue.removeFirst() {
      fail(place, error)
      place.decide(&actions, by: me)
    }
  }

  /// The result of asking the reactor to watch the descriptor.
  enum Registration: Sendable {
    case done
    /// It cannot at the moment.
    case refused
    /// There is no reactor, and the head has failed.
    case failed
  }

  // MARK: Two ways to wait

  package enum Look: Sendable, Equatable {
    case decided
    /// The place is the head, the turn is free, and there is something to try.
    case drive
    /// Wait for the wake-up. If `polling` is set, the place is the head: wait for the descriptor, too.
    case wait(polling: Bool)
  }

  /// Decides what the thread of a place does next. From now on `wakeUp` wakes the thread.
  ///
  /// - Parameter takesTurn: whether to take the turn if the result is `drive`.
  package final func look(
    _ place: Place, _ wakeUp: WakeUp, isLate: Bool, takesTurn: Bool = false
  ) -> Look {
    locked { state, actions in
      if isLate { giveUp(place, .timedOut, by: place, &state, &actions) }
      if place.isDecided { return .decided }
      place.wakeUp = wakeUp
      if let retryAt = state.retryAt, retryAt.hasPassed(by: port.reactor.now) {
        state.endPause()
        state.pass(by: place, &actions)
      }
      place.waitLimit = state.queue.waitsForPause(place) ? state.retryAt ?? .never : .never
      guard state.queue.first === place, !state.turn else { return .wait(polling: false) }
      // An event that came before the place had its wake-up could not signal it, so look for it here. Polling shows neither
      // bytes in the buffer nor a flush that is due.
      if place.gaveUp != nil || state.stirred || !place.needsReadiness {
        if takesTurn {
          let isTaken = state.takeTurn(first: false, by: place)
          precondition(isTaken, "the head of an open half takes the free turn")
        }
        return .drive
      }
      if state.isHeadPaused { place.waitLimit = state.retryAt ?? .never }
      if port.isSignalled { return .wait(polling: false) }
      place.isPolling = true
      place.polledInterest = state.isHeadPaused ? [] : interest
      state.pollers += 1
      return .wait(polling: true)
    }
  }

  /// Ends the wait that `look` asked for. Returns whether the thread now has the turn.
  package final func endWait(_ place: Place, polling: Bool) -> Bool {
    locked { state, actions in
      if polling {
        place.isPolling = false
        state.pollers -= 1
        state.leaveDescriptor(&actions)
      }
      return state.takeTurn(first: false, by: place)
    }
  }

  /// Blocks until the place is decided.
  final func runThread(_ place: Place) {
    if locked({ _, _ in place.isDecided }) { return }
    let wakeUp = WakeUp.take()
    defer { WakeUp.giveBack(wakeUp) }
    var waiting = ThreadWait(place, in: self, wakeUp)
    var polls = RepeatedPolls()
    while true {
      switch waiting.next() {
      case .done: return
      case .drive: driveOn(as: place)
      case .wait(let interest, let deadline):
        // If there is no interest, wait only for the wake-up: a descriptor that has hung up would end the wait at once.
        let descriptor = interest.isEmpty ? nil : port.polledDescriptor
        polls.wait(
          for: wakeUp, watching: descriptor, for: interest, until: deadline,
          spinning: direction == .writable ? 0 : port.spinTime.load(ordering: .relaxed),
          moveCount.load(ordering: .relaxed))
      }
    }
  }

  /// Suspends until the place is decided. There is no `await` between entering and parking.
  @usableFromInline
  final func runTask(_ place: Place) async {
    streak.store(0, ordering: .relaxed)
    if locked({ _, _ in place.isDecided }) { return }
    let waiting = TaskWait(place)
    waiting.arm()
    await suspend(place)
    waiting.finish()
    #if SW_TSAN
      // If a continuation is resumed before it is awaited, an atomic variable of the runtime orders the writes before it.
      // The thread sanitizer does not see that variable, but it sees this lock.
      locked { _, _ in }
    #endif
  }

  private final func suspend(_ place: Place) async {
    await withTaskCancellationHandler {
      unsafe await withUnsafeContinuation { continuation in
        if !park(place, unsafe .continuation(continuation)) { unsafe continuation.resume() }
      }
    } onCancel: {
      giveUp(place, .cancelled)
    }
  }

  /// Handles a passed deadline of a place, on a thread of the reactor.
  ///
  /// The place is tried once more in three cases: the reactor was called for this half and has not driven it yet; the place
  /// is owed an attempt; or another worker of the reactor may hold an event of this descriptor that it has not reported yet
  /// (receivers only). So data that arrived in time is delivered. If another driver has the turn, it may not have attempted
  /// yet. So a place that is to be tried gives up as a late caller, before the attempt, which may hang.
  final func deadlinePassed(of place: Place) {
    let isTriedAgain = direction == .readable && port.reactor.timersMayOvertakeEvents
    // Whether it is late only until the drive has ended; nil if none is due.
    let isLateInDrive: Bool? = locked { state, actions in
      var wasLate = place.isLate
      if place.isQueued, place.gaveUp == nil, place.owesAttempt || isTriedAgain {
        (place.owesAttempt, wasLate) = (false, true)
        state.stirred = true
        // `drive` below does what a call of the reactor would do, so no such call is needed.
        state.called = true
      }
      guard state.called, place.isQueued, place.gaveUp == nil else {
        giveUp(place, .timedOut, by: nil, &state, &actions)
        return nil
      }
      // A datagram that is late overtakes those to its destination that stand aside.
      if wasLate || !state.queue.hasAside, !place.isAside, leavesAtOnce(place) {
        (place.isLate, place.wasTried) = (true, false)
        place.gaveUp = .timedOut
        state.hasLate = true
      }
      return !wasLate
    }
    guard let isLateInDrive else { return }
    let limit = limitLate(place)
    drive()
    let isOver = locked { state, actions in
      guard place.isQueued else { return true }
      if isLateInDrive { place.isLate = false }
      let reason = place.gaveUp.take() ?? .timedOut
      giveUp(place, reason, by: nil, &state, &actions)
      return !place.isQueued
    }
    if isOver, let limit { port.reactor.takeBack(limit) }
  }

  /// Fails the place of a task because no reactor can watch for it. The rest of a begun message stays until there is a
  /// reactor.
  final func fail(_ place: Place, unattended errno: Errno) {
    locked { state, actions in
      guard place.isQueued, place.gaveUp == nil, leavesAtOnce(place) else { return }
      state.queue.remove(place)
      fail(place, EndpointError(.transport(TransportError(.wait, errno))))
      place.decide(&actions, by: nil)
      state.pass(by: nil, &actions)
    }
  }

  /// Stores what is to be resumed when the place is decided. Returns false if it is decided already.
  package final func park(_ place: Place, _ resumption: Resumption) -> Bool {
    locked { _, _ in
      if place.isDecided { return false }
      place.resumption = resumption
      return true
    }
  }

  /// Whether an async call should yield before it begins: once after 64 completions without a wait.
  @usableFromInline
  final func shouldYield() -> Bool {
    let completions = streak.load(ordering: .relaxed)
    streak.store(completions < 64 ? completions + 1 : 0, ordering: .relaxed)
    return completions >= 64
  }

  // MARK: The descriptor

  /// Lends the descriptor's number while `body` runs. A `close` in the meantime wakes all callers at once, and the
  /// descriptor stays open until `body` returns.
  final func withDescriptor<Result>(_ body: (Int32) throws -> Result) throws -> Result {
    guard let number = port.number else { throw EndpointError(.closed) }
    return try withTransport { try body(number) }
  }

  /// Keeps the transport open while `body` runs.
  final func withTransport<Result>(_ body: () throws -> Result) throws -> Result {
    guard let result = try ifOpen(body) else { throw EndpointError(.closed) }
    return result
  }

  /// Keeps the transport open while `body` runs. If the half is closed, `body` is not called and the result is nil.
  final func ifOpen<Result>(_ body: () throws -> Result) throws -> Result? {
    let isOpen = locked { state, _ in
      if !state.isClosed { state.pollers += 1 }
      return !state.isClosed
    }
    guard isOpen else { return nil }
    defer {
      locked { state, actions in
        state.pollers -= 1
        state.leaveDescriptor(&actions)
      }
    }
    return try body()
  }

  /// Before `detach`: waits for the end of an attempt that is made for nobody. A caller that was cancelled, or whose time was over,
  /// has left before it, and may be the one that detaches.
  package final func awaitEndOfAttempt() {
    var limit: Deadline?
    while locked({ state, _ in state.isBusyForAMoment }) {
      // Code of the user that runs in the turn, such as a transport, could wait for itself.
      let end = limit ?? .after(.seconds(1))
      limit = end
      if end.hasPassed { return }
      swsys_yield()
    }
  }

  /// The first step of `detach`: closes the halves of an endpoint without giving the descriptor up, if no caller uses either
  /// of them. Otherwise nothing changes, and the reason is returned.
  ///
  /// This is the only place where the locks of two halves nest. If they were taken one after the other, a caller or a
  /// `close` between the two could find one half closed although the detach fails.
  package static func retire(_ first: Half, _ second: Half?) -> EndpointError.Reason? {
    first.withState { state in
      if let refusal = first.detachRefusal(state) { return refusal }
      if let second {
        let refusal = second.withState { state in
          let refusal = second.detachRefusal(state)
          if refusal == nil { state.retire() }
          return refusal
        }
        if let refusal { return refusal }
      }
      state.retire()
      return nil
    }
  }

  /// Reads the state, for simulations and tests.
  package final func inspect<Result: Sendable>(_ body: (HalfState) -> Result) -> Result {
    locked { state, _ in body(state) }
  }
}

extension Place {
  final var isInUse: Bool { (self as? SendPlace)?.inUse ?? false }
}
