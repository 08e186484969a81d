internal import SWIO
internal import Synchronization

// A thread that found nothing, while no other caller uses the half, keeps the turn and waits without a place. Most blocking
// receives wait this way, and it costs a third of what a place does. A caller that enters, a close, and each event that its
// poll does not show recall the thread (`HalfState.recall`). It then makes an attempt, and takes the long way if that finds
// nothing.

extension ReceiveHalf {
  /// Waits while no other caller uses the half, until the attempts of the short way bring something.
  ///
  /// - Parameters:
  ///   - front: how far the short way has come. Nothing happens unless it is `blocked`.
  ///   - limit: becomes a deadline, so that a timeout does not begin again with what follows.
  /// - Returns: whether the caller, which has the turn, is to look at the bytes at the front.
  @usableFromInline
  package final func waitAlone(_ front: inout Front, _ limit: inout CallLimit) -> Bool {
    guard front.isBlocked, limit.mayWait else { return false }
    let deadline = limit.deadline
    limit = CallLimit(nil, deadline)
    let wakeUp = WakeUp.take()
    defer { WakeUp.giveBack(wakeUp) }
    var polls = RepeatedPolls()
    while front.isBlocked, let interest = beginLoneWait(wakeUp, until: deadline) {
      polls.wait(
        for: wakeUp, watching: interest.isEmpty ? nil : port.polledDescriptor, for: interest,
        until: deadline, spinning: port.spinTime.load(ordering: .relaxed),
        moveCount.load(ordering: .relaxed))
      front = endLoneWait()
    }
    return front.isHeld
  }

  /// Holding the turn, after an attempt that found nothing or was left out: begins a wait, which `endLoneWait` ends.
  ///
  /// - Returns: the readiness to wait for, beside the wake-up. Nil if the caller needs a place.
  package final func beginLoneWait(_ wakeUp: WakeUp, until deadline: Deadline) -> Readiness? {
    if unsafe isPausing || deadline.hasPassed(by: port.reactor.now) { return nil }
    unsafe turn.releaseMemory()
    let isAlone = locked { state, _ in
      guard state.queue.isEmpty, !state.isClosed, !state.stirred, !state.endsWhenIdle else { return false }
      (state.loneWaiter, state.isAway) = (wakeUp, false)
      return true
    }
    return isAlone ? interest : nil
  }

  /// Ends a wait, and makes an attempt.
  package final func endLoneWait() -> Front {
    let isOpen = locked { state, _ in
      state.loneWaiter = nil
      state.stirred = false
      return !state.isClosed
    }
    return isOpen ? attemptFront() : .held
  }
}
