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
  /// A late caller may be waiting for a pass of somebody else's.
  package internal(set) var hasLate = false

  /// Whether a caller that just entered is served without a place of its own being made.
  var isIdle: Bool { !turn && queue.isEmpty }

  /// Whether all that a newcomer has to know of this is who has the turn.
  var hasOnlyTurn: Bool { queue.isEmpty && !isClosed && over == nil }

  /// What a call finds that cannot even begin.
  var refusal: EndpointError? { isClosed ? EndpointError(.closed) : over }

  /// Why its endpoint cannot be detached now.
  var detachRefusal: EndpointError.Reason? {
    if isClosed { return .closed }
    return turn || pollers > 0 || !queue.isEmpty ? .busy : nil
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
  func pass(by me: Place?, isCalled called: inout Bool, _ actions: inout Actions) {
    guard !turn, let head = queue.first else { return }
    switch head.kind {
    case .thread:
      if !head.isPolling, head !== me { actions.signal(head) }
    case .task, .orphan:
      if isRegistered, !stirred, head.gaveUp == nil, head.needsReadiness { return }
      if !called {
        called = true
        actions.callsReactor = true
      }
    }
  }

  mutating func pass(by me: Place?, _ actions: inout Actions) {
    var called = called
    pass(by: me, isCalled: &called, &actions)
    self.called = called
  }

  mutating func releaseTurn(by me: Place?, _ actions: inout Actions) {
    turn = false
    leaveDescriptor(&actions)
    pass(by: me, &actions)
  }

  /// A driver stops although the next attempt might get on: says so, lest nobody look.
  mutating func stop(by me: Place?, _ actions: inout Actions) {
    stirred = true
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
      precondition(place.isQueued && !place.isDecided, "2: a queued place is undecided")
      place.checkInvariants(isFirst: isFirst, turn: turn)
      isFirst = false
    }
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
