package import SWIO
internal import Synchronization
internal import SystemPackage

/// One direction of an endpoint, for threads and tasks at once. What is common to receiving and sending:
/// the lock, the two ways to wait, giving up, closing. docs/half.md is the long story.
///
/// Only a caller inside its call and the reactor drive. Cancellation handlers, `close` and readiness
/// signals lock, mark, pass, unlock and wake; they never attempt.
/// The turn changes hands under the lock.
@usableFromInline
// Invariant: the state is touched inside `locked` alone, and what belongs to the turn by who holds it.
package class Half: ReactorWork, @unchecked Sendable {
  package final let port: Port
  /// Which of the two this is.
  package final let direction: Readiness
  /// An attempt moves a whole datagram, which may be empty.
  @usableFromInline package final let carriesDatagrams: Bool
  /// What the last attempt that would block asked to wait for: its own direction, unless the transport's cross.
  /// Changes in the turn alone.
  private(set) final var interest: Readiness
  /// The last attempt is to be repeated after a pause. Belongs to the turn.
  @exclusivity(unchecked)
  private(set) final var isPausing = false
  private final let lock: Guarded<HalfState>
  final let turnstile = Turnstile()
  /// Bytes that no receive has returned, as of the last release of the turn; for errors.
  final let heldBytes = Atomic(0)
  /// The same for tests.
  package final var held: Int { heldBytes.load(ordering: .relaxed) }
  /// Asynchronous completions in a row that did not wait. Nothing depends on its being exact.
  private final let streak = Atomic(0)

  init(_ port: Port, _ direction: Readiness) {
    self.port = port
    self.direction = direction
    carriesDatagrams = port.carriesDatagrams
    interest = direction
    var state = HalfState()
    state.isRegistered = port.isSignalled
    state.pauses = port.capabilities.shortestPause...port.capabilities.longestPause
    lock = Guarded(state)
  }

  // It has left by now; should a half ever have been neither closed nor retired, the port forgets it here.
  deinit { port.forget(direction) }

  /// One critical section, and afterwards what it asked for.
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

  /// Takes steps for the head: on the reactor's thread.
  package func drive() { preconditionFailure("a half drives") }

  /// Takes steps for the head, on behalf of a queued caller: always when it has just entered, later only
  /// as the head.
  package final func drive(as me: Place, first: Bool) {
    guard locked({ state, _ in state.takeTurn(first: first, by: me) }) else { return }
    driveOn(as: me)
  }

  /// The same, holding the turn; the caller is the head unless it has just entered.
  package func driveOn(as me: Place) { preconditionFailure("a half drives") }

  /// Goes on with a turn that was handed over: on a thread that may wait for a disk.
  package func driveOffloaded() { preconditionFailure("a half drives") }

  /// Under the lock: a place leaves with an error.
  func fail(_ place: Place, _ error: EndpointError) { preconditionFailure("a half fails its places") }

  /// Nobody uses the transport any more: drops what was received and nobody will ask for.
  func dropItems() {}

  /// Under the lock: why its endpoint cannot be detached now.
  func detachRefusal(_ state: HalfState) -> EndpointError.Reason? { state.detachRefusal }

  /// Under the lock: whether a place that gives up may leave now. If not, the turn settles it.
  func leavesAtOnce(_ place: Place) -> Bool { true }

  // MARK: Events

  /// An attempt may get on.
  ///
  /// - Parameter wakesPoller: a thread that polls would not see it.
  package final func stir(wakesPoller: Bool = false) {
    locked { state, actions in
      guard !state.isClosed else { return }
      state.stirred = true
      state.pass(by: nil, &actions)
      if wakesPoller, let head = state.queue.first, head.isPolling { actions.signal(head) }
      guard state.isIdle, state.isRegistered, !port.isSignalled else { return }
      // Nobody waits for it: a peer that reads and writes would wake the reactor each time, for nothing. The lock is held
      // meanwhile, so no caller meets a turn that belongs to no call: `detach` would refuse.
      state.isRegistered = false
      _ = port.watch(direction, for: [])
    }
  }

  /// The next attempt may get on, although a pause has not passed yet.
  package final func endPauseEarly() {
    locked { state, actions in
      guard !state.isClosed else { return }
      if state.retryAt == nil { state.stirred = true } else { state.endPause() }
      if let head = state.queue.first, head.isPolling { actions.signal(head) }
      state.pass(by: nil, &actions)
    }
  }

  /// In the turn: what an attempt that would block asks to wait for.
  final func note(_ attempt: Attempt) {
    unsafe isPausing = attempt == .retryLater
    switch attempt {
    case .wouldBlock: note(blockedOn: direction)
    case .waitsFor(let readiness): note(blockedOn: readiness)
    case .transferred, .endOfStream, .offload, .retryLater, .failed: break
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
        // A thread has ended the pause before this could, and another one has begun.
        state.needsRetryTimer(&actions)
      }
      state.pass(by: nil, &actions)
    }
  }

  private func note(blockedOn readiness: Readiness) {
    // A hang-up is told of in any case.
    let wanted = readiness.intersection([.readable, .writable])
    if wanted == interest { return }
    interest = wanted
    let needsAnotherAttempt = port.note(direction, waitsFor: wanted)
    locked { state, actions in
      state.isRegistered = port.isSignalled
      if needsAnotherAttempt { state.stirred = true }
      // It polls for what is not wanted any more.
      if let head = state.queue.first, head.isPolling { actions.signal(head) }
    }
  }

  /// A deadline or a cancellation. A decision already made stands.
  package final func giveUp(_ place: Place, _ reason: GiveUp, by me: Place? = nil) {
    locked { state, actions in giveUp(place, reason, by: me, &state, &actions) }
  }

  private func giveUp(
    _ place: Place, _ reason: GiveUp, by me: Place?, _ state: inout HalfState, _ actions: inout Actions
  ) {
    guard place.isQueued, place.gaveUp == nil else { return }
    if place.owesAttempt, place.kind == .thread, reason == .timedOut {
      // It was left out because it was likely to be in vain.
      place.owesAttempt = false
      place.isLate = true
      state.stirred = true
    }
    if place.isLate, state.turn || state.stirred, leavesAtOnce(place) {
      // One pass is what a zero timeout was promised. Somebody is at it right now, or is about to be; not who polls,
      // and sees nothing: what stirred may have been taken already.
      place.gaveUp = reason
      state.hasLate = true
      state.pass(by: me, &actions)
      return
    }
    if leavesAtOnce(place) {
      // What is there and was too little for this one may be enough for the next.
      let held = heldBytes.load(ordering: .relaxed)
      if held > 0, state.queue.first === place { state.stirred = true }
      state.queue.remove(place)
      fail(place, EndpointError(reason.reason, byteCount: held))
      place.decide(&actions, by: me)
    } else {
      place.gaveUp = reason
    }
    state.pass(by: me, &actions)
  }

  /// Idempotent; wakes everybody, waits for nobody. The descriptor goes with its last user.
  package final func close() {
    locked { state, actions in
      guard !state.isClosed else { return }
      state.isClosed = true
      // Places whose memory an attempt reads right now, all of them in front, are decided when that ends.
      var kept: [Place] = []
      while let first = state.queue.first, first.isInUse {
        state.queue.remove(first)
        kept.append(first)
      }
      decideEverybody(EndpointError(.closed), by: nil, &state, &actions)
      for place in kept.reversed() { state.queue.prepend(place) }
      state.leaveDescriptor(&actions)
    }
  }

  /// Under the lock, when an attempt moved nothing and the turn is given up: the pass that late callers
  /// were promised has come to its end.
  final func settleLate(by me: Place?, _ state: inout HalfState, _ actions: inout Actions) {
    guard state.hasLate else { return }
    state.hasLate = false
    var late: [(Place, GiveUp)] = []
    state.queue.visit { place in
      if place.isLate, let reason = place.gaveUp, leavesAtOnce(place) { late.append((place, reason)) }
    }
    let held = heldBytes.load(ordering: .relaxed)
    for (place, reason) in late {
      // As in `giveUp`: too little for this one may be enough for the next.
      if held > 0, state.queue.first === place { state.stirred = true }
      state.queue.remove(place)
      fail(place, EndpointError(reason.reason, byteCount: held))
      place.decide(&actions, by: me)
    }
  }

  final func decideEverybody(
    _ error: EndpointError, by me: Place?, _ state: inout HalfState, _ actions: inout Actions
  ) {
    while let place = state.queue.removeFirst() {
      fail(place, error)
      place.decide(&actions, by: me)
    }
  }

  // MARK: Two ways to wait

  package enum Look: Sendable, Equatable {
    case decided
    /// It is the head, nobody drives, and there is something to try.
    case drive
    /// Wait for the wake-up, and as the head for the descriptor too.
    case wait(polling: Bool)
  }

  /// What the thread of a place has to do next; `wakeUp` is what will wake it.
  ///
  /// - Parameter takesTurn: with `drive` it has the turn.
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
      place.waitLimit = place.isAside ? state.retryAt ?? .never : .never
      guard state.queue.first === place, !state.turn else { return .wait(polling: false) }
      // What would have signalled it before the wake-up was there has to be seen now; polling shows neither
      // what is in the buffer nor that a flush is due.
      if place.gaveUp != nil || state.stirred || !place.needsReadiness {
        if takesTurn {
          let isTaken = state.takeTurn(first: false, by: place)
          precondition(isTaken, "the head of an open half finds the turn free, and has it")
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

  /// After the wait that `look` asked for. True: the thread has the turn.
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
    while true {
      switch waiting.next() {
      case .done: return
      case .drive: driveOn(as: place)
      case .wait(let interest, let deadline):
        // For the transport's signal alone: a descriptor that has hung up would end the wait at once.
        let descriptor = interest.isEmpty ? nil : port.polledDescriptor
        wakeUp.wait(
          watching: descriptor, for: interest, until: deadline,
          spinning: direction == .readable ? port.spinTime.load(ordering: .relaxed) : 0)
      }
    }
  }

  /// Suspends until the place is decided. There is no `await` between entering and parking.
  @usableFromInline
  final func runTask(_ place: Place) async {
    streak.store(0, ordering: .relaxed)
    if locked({ _, _ in place.isDecided }) { return }
    var waiting = TaskWait(place, in: self)
    waiting.arm()
    await suspend(waiting)
    waiting.finish()
    #if SW_TSAN
      // A continuation that is resumed before it is awaited passes on what was written before by an atomic of the
      // runtime's, which the sanitizer does not see.
      locked { _, _ in }
    #endif
  }

  private final func suspend(_ waiting: TaskWait) async {
    await withTaskCancellationHandler {
      unsafe await withUnsafeContinuation { continuation in
        if !waiting.park(unsafe .continuation(continuation)) { unsafe continuation.resume() }
      }
    } onCancel: {
      giveUp(waiting.place, .cancelled)
    }
  }

  /// A deadline of a place has passed; on a thread of the reactor. If the reactor was called for this half and has not
  /// come to it, or if the place still has to be tried once, it does so now: what has arrived in time is delivered. Another
  /// worker of the reactor may hold news of the descriptor that it has not told, so a receiver is tried once more.
  /// Somebody else may have the turn, and may not have made an attempt. So a place that has to be tried gives up as a late
  /// caller.
  final func deadlinePassed(of place: Place) {
    let isTriedAgain = direction == .readable && port.reactor.timersMayOvertakeEvents
    let isOwedDrive = locked { state, actions in
      if place.isQueued, place.owesAttempt || isTriedAgain {
        place.owesAttempt = false
        place.isLate = true
        state.stirred = true
        // The drive below is the one that a call of the reactor would ask for.
        state.called = true
        giveUp(place, .timedOut, by: nil, &state, &actions)
        return true
      }
      if state.called, place.isQueued { return true }
      giveUp(place, .timedOut, by: nil, &state, &actions)
      return false
    }
    guard isOwedDrive else { return }
    drive()
    giveUp(place, .timedOut)
  }

  /// There is no reactor to look after the place of a task. What has begun to be sent stays, for a reactor to come.
  final func fail(_ place: Place, unattended errno: Errno) {
    locked { state, actions in
      guard place.isQueued, place.gaveUp == nil, leavesAtOnce(place) else { return }
      state.queue.remove(place)
      fail(place, EndpointError(.transport(TransportError(.wait, errno))))
      place.decide(&actions, by: nil)
      state.pass(by: nil, &actions)
    }
  }

  /// Leaves what is to be resumed; false when the place is decided already.
  package final func park(_ place: Place, _ resumption: Resumption) -> Bool {
    locked { _, _ in
      if place.isDecided { return false }
      place.resumption = resumption
      return true
    }
  }

  /// Whether an asynchronous call should let others run first: after 64 completions without a wait.
  @usableFromInline
  final func shouldYield() -> Bool {
    let completions = streak.load(ordering: .relaxed)
    streak.store(completions < 64 ? completions + 1 : 0, ordering: .relaxed)
    return completions >= 64
  }

  // MARK: The descriptor

  /// Lends the number while `body` runs: close waits with giving it up, but wakes everybody at once.
  final func withDescriptor<Result>(_ body: (Int32) throws -> Result) throws -> Result {
    guard let number = port.number else { throw EndpointError(.closed) }
    return try withTransport { try body(number) }
  }

  /// The transport is not closed while `body` runs.
  final func withTransport<Result>(_ body: () throws -> Result) throws -> Result {
    let isOpen = locked { state, _ in
      if !state.isClosed { state.pollers += 1 }
      return !state.isClosed
    }
    guard isOpen else { throw EndpointError(.closed) }
    defer {
      locked { state, actions in
        state.pollers -= 1
        state.leaveDescriptor(&actions)
      }
    }
    return try body()
  }

  /// First step of detaching: closes the halves of an endpoint without giving the descriptor up, if nobody
  /// uses either; else answers why not, and nothing has changed. The one place where two halves' locks
  /// nest: were they taken one after the other, a caller or a `close` in between would meet a half that
  /// looks closed and is not.
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

  /// For simulations and tests.
  package final func inspect<Result: Sendable>(_ body: (HalfState) -> Result) -> Result {
    locked { state, _ in body(state) }
  }
}

extension Place {
  final var isInUse: Bool { (self as? SendPlace)?.inUse ?? false }
}
