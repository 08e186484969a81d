import SWIO
import SWMessaging

extension ListenerWorld {
  /// Checks, while no actor can run before a deadline, that every caller that waits has a reason to.
  func checkQuiescence() {
    let (waiting, turn, called, isPaused) = core.half.inspect {
      ($0.queue.count, $0.turn, $0.called, $0.isHeadPaused)
    }
    check(!turn && !called, "the turn or a call is left, and nobody runs")
    for caller in callers { caller.checkQuiescence() }
    guard waiting > 0 else { return }
    check(!isClosed, "a caller waits for what is closed")
    if isPaused { coverage.note(.paused) }
    if isShort || isReliefUntold {
      check(isPaused || !hasWork, "connections wait, and there is no pause after which they are accepted")
      if isPaused { check(spell != nil, "accepting pauses, and nobody is told") }
    } else {
      check(
        !hasWork,
        "\(queue.count) connections wait, descriptors are to be had, and a caller waits to accept")
      check(!isFinishing, "nobody can connect any more, and a caller waits")
    }
  }

  func checkEnd() {
    for caller in callers { check(caller.isDone, "caller \(caller.index) never came back") }
    core.half.inspect { state in
      check(
        state.queue.isEmpty && !state.turn && !state.called && state.isOut, "the listener is still in use")
    }
    check(reactor.registrationCount == 0, "a registration is left")
    check(closes.count == 0, "the listener still waits for a descriptor")
    let counts = fates.reduce(into: [Fate: Int]()) { $0[$1, default: 0] += 1 }
    let refusedCount = counts[.refused, default: 0]
    check(refusedTold == refusedCount, "\(refusedTold) of \(refusedCount) refusals are told")
    // After a close the kernel resets what waits in its queue, and the library closes what it has accepted for nobody.
    // After an end in good order there is neither.
    if coverage.count(.drained) > 0 {
      check(
        counts[.queued, default: 0] == 0, "\(counts[.queued, default: 0]) connections were never accepted")
      check(counts[.accepted, default: 0] == 0, "\(counts[.accepted, default: 0]) connections went to nobody")
    }
    letGo()
    check(far.withDescriptor { $0.isReady(for: .readClosed) }, "an accepted connection is still open")
  }
}
