internal import SWIO

/// The state that the lock of a half guards: places, turn, and ends. A pure machine: its methods note in `Actions` what is
/// to be done after unlocking. docs/half.md explains it, and Model/half.pml checks it.
///
///     idle     no place, no turn
///     driven   a driver holds the turn: running code that takes the head's step, no matter whose place the head is
///     waiting  places, no turn: a thread at the head polls for itself, the reactor watches for any other head
///     closed   every place is decided; the last user of the descriptor gives it up
package struct HalfState: Sendable {
  package var queue = PlaceQueue()
  /// The number of threads in `ppoll` on the descriptor, and of running bodies of `withDescriptor`.
  package internal(set) var pollers: Int32 = 0
  /// Why no caller can receive, or send, from now on.
  package internal(set) var over: EndpointError?
  /// The wake-up of a thread that waits with the turn and without a place. Nil once it has been recalled.
  package internal(set) var loneWaiter: WakeUp?
  /// The last pause. Nil if there was none: most endpoints never pause, and an idle one stays small.
  private var lastPause: LastPause?
  /// Whether a driver holds the turn. The turn is never held across a park or an `await`.
  package internal(set) var turn = false
  /// Whether the turn may be away for long: code of the user runs in it, such as a body that reads lent bytes, or an attempt that
  /// may take long is made or waits for a helper. A call whose time is over does not wait for such a turn.
  package internal(set) var isAway = false
  /// Whether an attempt may make progress. The turn holder lowers it before each attempt. Readiness raises it, and so does a
  /// driver that stops before it would block.
  package internal(set) var stirred = true
  /// Whether the reactor has been asked to drive and has not begun.
  package internal(set) var called = false
  package internal(set) var isClosed = false
  /// Whether this half has given the descriptor up.
  package internal(set) var isOut = false
  /// Whether the reactor watches the descriptor for this half.
  package internal(set) var isRegistered = false
  /// Whether the half-close has gone out. Everything before it has been accepted, so a flush has nothing to wait for.
  package internal(set) var isFinished = false
  /// Whether receiving ends as soon as nothing is left to receive and no message has begun.
  var endsWhenIdle = false
  /// Whether a late caller may be waiting for another driver's attempt.
  package internal(set) var hasLate = false
  /// Whether the head waits for `retryAt` and for nothing else.
  package internal(set) var isHeadPaused = false

  // Invariant: the half's lock guards it, like the rest of this state.
  private final class LastPause: @unchecked Sendable {
    var retryAt: Deadline?
    var retryTimerAt: Deadline?
    var length: UInt64 = 0
  }

  /// When to repeat the attempts that no readiness announces: those of places that stand aside, and the head's if its last
  /// attempt asked for it.
  package var retryAt: Deadline? { lastPause?.retryAt }
  /// When the reactor's first timer for a retry fires. A timer stays set if its pause ends early.
  var retryTimerAt: Deadline? {
    get { lastPause?.retryTimerAt }
    set { lastPause?.retryTimerAt = newValue }
  }
  /// The length of the last pause in nanoseconds. 0 after an attempt has moved something.
  package var pauseLength: UInt64 { lastPause?.length ?? 0 }

  /// The number of callers that wait.
  package var waiterCount: Int { queue.count + (loneWaiter == nil ? 0 : 1) }

  /// Whether a caller that enters now is served without getting a place.
  var isIdle: Bool { !turn && queue.isEmpty }

  /// Whether the turn is all that a new caller has to know about.
  var hasOnlyTurn: Bool {
    queue.isEmpty && !queue.hasAside && !isClosed && over == nil && retryAt == nil
  }

  /// The error of a call that cannot begin.
  var refusal: EndpointError? { isClosed ? EndpointError(.closed) : over }

  /// Why the endpoint cannot be detached now. Nil if it can.
  var detachRefusal: EndpointError.Reason? {
    if isClosed { return .closed }
    return turn || pollers > 0 || queue.count > 0 ? .busy : nil
  }

  /// Whether the turn alone forbids a `detach`, and is given back after an attempt: nobody waits. Its holder may be the reactor,
  /// whose last caller has given up.
  package var isBusyForAMoment: Bool {
    turn && !isAway && loneWaiter == nil && pollers == 0 && queue.count == 0
  }

  /// Closes the half and marks it as out of the descriptor, without giving the descriptor up.
  mutating func retire() {
    isClosed = true
    isOut = true
  }

  mutating func takeTurn(first: Bool, by me: Place?) -> Bool {
    // The turn holder may have looked before this late caller came, so the caller is owed an attempt that begins now.
    if first, turn, me?.isLate ?? false { stirred = true }
    guard !turn, !isClosed, over == nil, let head = queue.first, first || head === me else { return false }
    turn = true
    return true
  }

  /// Whether something ends the wait of a head that is not a thread: readiness, or the end of its pause.
  private var isAttended: Bool { isRegistered || isHeadPaused }

  /// Has the head looked after. Called after every change of the head and every release of the turn.
  mutating func pass(by me: Place?, _ actions: inout Actions) {
    if let follower = queue.takeFollower() { endsPause(follower, &actions) }
    guard !turn, let head = queue.first else { return }
    switch head.kind {
    case .thread:
      if !head.isPolling, head !== me { actions.signal(head) }
    case .task, .orphan:
      if isAttended, !stirred, head.gaveUp == nil, head.needsReadiness {
        // If the head before it was a thread, no timer was set.
        if isHeadPaused { needsRetryTimer(&actions) }
        return
      }
      if !called {
        called = true
        actions.callsReactor = true
      }
    }
  }

  // MARK: Attempts that are repeated after a pause

  /// Begins a pause before an attempt is repeated. It is twice as long as the last one, within `lengths` in nanoseconds. A
  /// blocked thread ends the pause itself. For other places the reactor sets a timer.
  private mutating func pause(now: Deadline, within lengths: ClosedRange<UInt64>) {
    let pause = lastPause ?? LastPause()
    lastPause = pause
    if pause.retryAt == nil {
      pause.length = min(max(2 * pause.length, lengths.lowerBound), lengths.upperBound)
      pause.retryAt = Deadline(nanoseconds: now.nanoseconds + pause.length)
    }
  }

  /// Notes that the head's attempt has moved nothing. With `pausing` the attempt is repeated after a pause, whatever
  /// readiness the descriptor reports. Otherwise the head waits for readiness. A thread at the head is signalled if it waits
  /// for the other of the two.
  ///
  /// - Parameter me: the place of the driver that made the attempt.
  mutating func headWaits(
    pausing: Bool, now: @autoclosure () -> Deadline, within lengths: @autoclosure () -> ClosedRange<UInt64>,
    by me: Place?, _ actions: inout Actions
  ) {
    guard let head = queue.first else { return }
    if pausing != isHeadPaused, head.kind == .thread, head !== me { actions.signal(head) }
    guard pausing else { return endHeadPause() }
    isHeadPaused = true
    pause(now: now(), within: lengths())
    if head.kind != .thread { needsRetryTimer(&actions) }
  }

  /// An attempt has moved something, so the next pause is short again.
  func endGrowth() { lastPause?.length = 0 }

  /// Ends the head's pause, because the head waits for readiness again or has been served. The next pause is short again.
  private mutating func endHeadPause() {
    endGrowth()
    isHeadPaused = false
    if !queue.rests { lastPause?.retryAt = nil }
  }

  /// Moves a place aside until its attempt is repeated after a pause, so other places need not wait for it.
  mutating func putAside(
    _ place: Place, now: Deadline, within lengths: ClosedRange<UInt64>, _ actions: inout Actions
  ) {
    queue.putAside(place)
    pause(now: now, within: lengths)
    if queue.waitsForPause(place) { endsPause(place, &actions) }
  }

  /// Has the pause end for a place that stands aside. A waiting thread is signalled, because it has not limited its wait to
  /// the pause.
  private mutating func endsPause(_ place: Place, _ actions: inout Actions) {
    if place.kind == .thread { actions.signal(place) } else { needsRetryTimer(&actions) }
  }

  mutating func needsRetryTimer(_ actions: inout Actions) {
    // The timer that is set may be for an older, longer pause.
    guard let retryAt, retryAt < retryTimerAt ?? .never else { return }
    retryTimerAt = retryAt
    actions.retryAt = retryAt
  }

  /// Has the places tried that a new place without time has to stay behind: of a datagram those to the same destination.
  mutating func endPause(before place: Place) {
    guard case .datagram = place.asideOrder else { return endPause() }
    queue.returnAside(before: place)
  }

  /// Ends the pause. The first places to each destination are in front again, and the next attempt may make progress.
  mutating func endPause() {
    lastPause?.retryAt = nil
    isHeadPaused = false
    queue.returnAside()
    stirred = true
  }

  mutating func releaseTurn(by me: Place?, _ actions: inout Actions) {
    (turn, isAway) = (false, false)
    if isHeadPaused, queue.isEmpty { endHeadPause() }
    // The places that stood aside may have left.
    if let lastPause, !isHeadPaused, !queue.rests { lastPause.retryAt = nil }
    leaveDescriptor(&actions)
    pass(by: me, &actions)
  }

  /// Releases the turn although the next attempt might make progress. `stirred` says so, so another driver looks. A head
  /// that polls is signalled, because the descriptor does not show bytes in the buffer.
  mutating func stop(by me: Place?, _ actions: inout Actions) {
    stirred = true
    if let head = queue.first, head.isPolling { actions.signal(head) }
    releaseTurn(by: me, &actions)
  }

  /// Wakes the thread that waits alone, because its poll does not show what has happened. It makes an attempt then, and gives
  /// the turn back if that finds nothing.
  mutating func recall(_ actions: inout Actions) {
    guard let waiter = loneWaiter else { return }
    loneWaiter = nil
    actions.signal(waiter)
  }

  /// Wakes the thread that polls the descriptor, if there is one, because its poll does not show what has happened.
  mutating func wakePoller(_ actions: inout Actions) {
    recall(&actions)
    if let head = queue.first, head.isPolling { actions.signal(head) }
  }

  mutating func leaveDescriptor(_ actions: inout Actions) {
    guard isClosed, !turn, pollers == 0, !isOut else { return }
    isOut = true
    actions.leavesPort = true
  }

  /// Checks the invariants of docs/half.md that can be seen under one lock.
  package func checkInvariants() {
    var isFirst = true
    // Only the first places are checked, because a debug build does this in every critical section.
    queue.visit(first: 32) { place in
      precondition(
        place.isQueued && !place.isDecided && !place.isAside, "2: a queued place is undecided")
      place.checkInvariants(isFirst: isFirst, turn: turn, hasLate: hasLate)
      isFirst = false
    }
    precondition(
      !(queue.rests || isHeadPaused) || retryAt != nil,
      "4: the pause of a place that waits for it has no end")
    precondition(
      loneWaiter == nil || (turn && queue.count == 0 && !isClosed && over == nil),
      "4: a thread waits alone, and has not been recalled")
    precondition(!isAway || turn, "1: the turn is away, and free")
    precondition(!isOut || (isClosed && !turn && pollers == 0), "5: out of the descriptor, but in use")
    precondition(!isClosed || turn || pollers > 0 || isOut, "5: closed and unused, but not out")
    if !turn, !isClosed, let head = queue.first {
      switch head.kind {
      case .thread: break  // it polls, was signalled, or is on its way to look
      case .task, .orphan:
        precondition(
          called || (isAttended && !stirred && head.gaveUp == nil && head.needsReadiness),
          "4: the head is neither watched nor called")
      }
    }
  }
}

extension Place {
  @inline(__always)
  final func checkInvariants(isFirst: Bool, turn: Bool, hasLate: Bool) {
    guard let send = self as? SendPlace else {
      precondition(gaveUp == nil || hasLate, "4: nobody will settle a late receiver")
      return
    }
    precondition(
      isFirst || send.sent == 0 || half.carriesDatagrams, "3: only the first place has begun")
    precondition(!send.inUse || turn, "3: memory in use without a turn")
  }
}
