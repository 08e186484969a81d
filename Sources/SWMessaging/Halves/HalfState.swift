internal import SWIO

/// What the lock of a half guards: places, turn, and how it ends. A pure machine; its verbs note in
/// `Actions` what is to be done after unlocking. docs/half.md works it out and Model/half.pml proves it.
///
///     idle     no place, no turn
///     driven   somebody holds the turn: running code that takes the head's step, whoever the head is
///     waiting  places, no turn: a thread head polls for itself, the reactor watches for any other
///     closed   every place is decided; the last user of the descriptor gives it up
package struct HalfState: Sendable {
  package var queue = PlaceQueue()
  /// Somebody drives. Never held across a park or an `await`.
  package internal(set) var turn = false
  /// An attempt may get on. Lowered before each attempt, by the turn alone; raised by readiness, and
  /// by a driver that stops although it was not blocked.
  package internal(set) var stirred = true
  /// The reactor has been asked to drive and has not begun.
  package internal(set) var called = false
  /// Threads in `ppoll` on the descriptor, and bodies of `withDescriptor`.
  package internal(set) var pollers = 0
  package internal(set) var isClosed = false
  /// This half has given the descriptor up.
  package internal(set) var isOut = false
  /// The reactor watches the descriptor for this half.
  package internal(set) var isRegistered = false
  /// Nothing more will come, or can be sent: for everybody, from now on.
  package internal(set) var over: EndpointError?
  /// The half-close has gone out: everything before it is accepted, and a flush finds nothing to wait for.
  package internal(set) var isFinished = false
  /// Receiving ends as soon as nothing more is there, and no message has begun.
  var endsWhenIdle = false
  /// A late caller may be waiting for a pass of somebody else's.
  package internal(set) var hasLate = false
  /// When the attempts are repeated that no readiness tells about: those of places that stand aside, and the head's
  /// if its last attempt asked for it.
  package internal(set) var retryAt: Deadline?
  /// The head waits for that time, and for nothing else.
  package internal(set) var isHeadPaused = false
  /// How long the last pause was, in nanoseconds; 0 once an attempt has moved something.
  package internal(set) var pauseLength: UInt64 = 0
  /// How long the first pause is, and how long a pause is at most, in nanoseconds.
  var pauses: ClosedRange<UInt64> = 1_000_000...100_000_000
  /// When the first timer fires that the reactor has for that. A timer whose pause has ended early stays set.
  package internal(set) var retryTimerAt: Deadline?

  /// Whether a caller that just entered is served without a place of its own being made.
  var isIdle: Bool { !turn && queue.isEmpty }

  /// Whether all that a newcomer has to know of this is who has the turn.
  var hasOnlyTurn: Bool { queue.isEmpty && !isClosed && over == nil && retryAt == nil }

  /// What a call finds that cannot even begin.
  var refusal: EndpointError? { isClosed ? EndpointError(.closed) : over }

  /// Why its endpoint cannot be detached now.
  var detachRefusal: EndpointError.Reason? {
    if isClosed { return .closed }
    return turn || pollers > 0 || queue.count > 0 ? .busy : nil
  }

  /// Closed, and out of the descriptor without giving it up.
  mutating func retire() {
    isClosed = true
    isOut = true
  }

  mutating func takeTurn(first: Bool, by me: Place?) -> Bool {
    // Whoever has the turn may have looked before a late caller came: it is owed an attempt that begins now.
    if first, turn, me?.isLate ?? false { stirred = true }
    guard !turn, !isClosed, over == nil, let head = queue.first, first || head === me else { return false }
    turn = true
    return true
  }

  /// After every change of head and every release of the turn: sees to it that the head is looked after.
  mutating func pass(by me: Place?, _ actions: inout Actions) {
    guard !turn, let head = queue.first else { return }
    switch head.kind {
    case .thread:
      if !head.isPolling, head !== me { actions.signal(head) }
    case .task, .orphan:
      if isRegistered, !stirred, head.gaveUp == nil, head.needsReadiness {
        // The head before it may have been a thread, which had no need of one.
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

  /// An attempt is to be repeated after a pause, which is twice as long as the last one: from 1 ms to 100 ms, unless
  /// the transport says otherwise. A blocked thread sees to that itself; for anybody else the reactor sets a timer.
  private mutating func pause(for kind: Place.Kind, now: Deadline, _ actions: inout Actions) {
    if retryAt == nil {
      pauseLength = min(max(2 * pauseLength, pauses.lowerBound), pauses.upperBound)
      retryAt = Deadline(nanoseconds: now.nanoseconds + pauseLength)
    }
    if kind != .thread { needsRetryTimer(&actions) }
  }

  /// The head's attempt has moved nothing, and is repeated after a pause, whatever the descriptor shows; or the head waits
  /// for readiness. If the head is a thread that waits for the other of these, it is told.
  ///
  /// - Parameter me: whose driver made the attempt.
  mutating func headWaits(
    pausing: Bool, now: @autoclosure () -> Deadline, by me: Place?, _ actions: inout Actions
  ) {
    guard let head = queue.first else { return }
    if pausing != isHeadPaused, head.kind == .thread, head !== me { actions.signal(head) }
    guard pausing else { return endHeadPause() }
    isHeadPaused = true
    pause(for: head.kind, now: now(), &actions)
  }

  /// The head waits for readiness again, or has been served: its pause is over, and the next one is short.
  private mutating func endHeadPause() {
    pauseLength = 0
    isHeadPaused = false
    if !queue.hasAside { retryAt = nil }
  }

  /// A place's attempt is to be repeated after a pause, and nobody has to wait for that. A thread that waits is told: it
  /// has not limited its wait to the pause.
  mutating func putAside(_ place: Place, now: Deadline, _ actions: inout Actions) {
    queue.putAside(place)
    if place.kind == .thread { actions.signal(place) }
    pause(for: place.kind, now: now, &actions)
  }

  mutating func needsRetryTimer(_ actions: inout Actions) {
    // An older one may be for a pause that was longer.
    guard let retryAt, retryAt < retryTimerAt ?? .never else { return }
    retryTimerAt = retryAt
    actions.retryAt = retryAt
  }

  /// The pause is over: places that stood aside are in front again, and the next attempt may get on.
  mutating func endPause() {
    retryAt = nil
    isHeadPaused = false
    queue.returnAside()
    stirred = true
  }

  mutating func releaseTurn(by me: Place?, _ actions: inout Actions) {
    turn = false
    if isHeadPaused, queue.isEmpty { endHeadPause() }
    leaveDescriptor(&actions)
    pass(by: me, &actions)
  }

  /// A driver stops although the next attempt might get on: says so, lest nobody look. A head that polls is woken: the
  /// descriptor does not show what lies in the buffer.
  mutating func stop(by me: Place?, _ actions: inout Actions) {
    stirred = true
    if let head = queue.first, head.isPolling { actions.signal(head) }
    releaseTurn(by: me, &actions)
  }

  mutating func leaveDescriptor(_ actions: inout Actions) {
    guard isClosed, !turn, pollers == 0, !isOut else { return }
    isOut = true
    actions.leavesPort = true
  }

  /// The invariants of docs/half.md that one lock can see.
  package func checkInvariants() {
    var isFirst = true
    // Not all of them: in a debug build this runs in every critical section.
    queue.visit(first: 32) { place in
      precondition(
        place.isQueued && !place.isDecided && !place.isAside, "2: a queued place is undecided")
      place.checkInvariants(isFirst: isFirst, turn: turn)
      isFirst = false
    }
    precondition(!queue.hasAside || retryAt != nil, "4: nobody looks after the places that stand aside")
    precondition(!isOut || (isClosed && !turn && pollers == 0), "5: out, and yet in use")
    precondition(!isClosed || turn || pollers > 0 || isOut, "5: closed, unused, and not out")
    if !turn, !isClosed, let head = queue.first {
      switch head.kind {
      case .thread: break  // it polls, was signalled, or is on its way to look
      case .task, .orphan:
        precondition(
          called || (isRegistered && !stirred && head.gaveUp == nil && head.needsReadiness),
          "4: nobody looks after the head")
      }
    }
  }
}

extension Place {
  @inline(__always)
  final func checkInvariants(isFirst: Bool, turn: Bool) {
    guard let send = self as? SendPlace else { return }
    precondition(isFirst || send.sent == 0, "3: only the first place has begun")
    precondition(!send.inUse || turn, "3: memory in use without a turn")
  }
}
