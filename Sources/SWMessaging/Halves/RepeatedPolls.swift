internal import SWIO

/// The waits of one blocked thread for a descriptor.
///
/// `poll` says what *is* ready and not what has *become* ready. Some readiness is used up by no attempt: an error queue (IP_RECVERR,
/// SO_TIMESTAMPING), or a Unix datagram socket on which another process has called `shutdown`. After two reports in a row with
/// nothing moved, the thread looks whether the descriptor is still ready. If it is, one more attempt is made. From then on the
/// thread waits for the wake-up alone for 1, 2, 4, 8, 10, 10 … ms before the next attempt, as `PollPoller` does. Without an
/// eventfd a look could use up a signal, and is left out. Where the kernel refuses to poll, each wait is such a rest, because
/// it would report everything as ready.
struct RepeatedPolls {
  /// How often in a row the descriptor was reported ready, and nothing moved.
  private var count = 0
  private var moves: UInt16 = 0

  /// Whether the thread looks and rests instead of waiting for the descriptor.
  var isResting: Bool { count >= 2 }
  /// How long the next rest is, in nanoseconds.
  var rest: UInt64 { min(1_000_000 << UInt64(min(max(count - 3, 0), 4)), 10_000_000) }

  /// Waits as `WakeUp.wait` does, perhaps for less of it.
  ///
  /// - Parameter moves: the number of attempts so far that have moved something.
  mutating func wait(
    for wakeUp: WakeUp, watching descriptor: Int32?, for interest: Readiness, until deadline: Deadline,
    spinning spinTime: UInt64, _ moves: UInt16
  ) {
    if moves != self.moves { (count, self.moves) = (0, moves) }
    if descriptor != nil, isResting, wakeUp.hasDescriptor {
      let found = wakeUp.wait(watching: descriptor, for: interest, until: .immediately)
      if found.isSignalled { return }
      if !found.isReady { count = 0 }
      if count == 2 {
        count = 3
        return
      }
    }
    if descriptor != nil, isResting {
      let end = Deadline(nanoseconds: Deadline.now.nanoseconds + rest)
      count += 1
      wakeUp.wait(watching: nil, for: [], until: min(deadline, end))
      return
    }
    let found = wakeUp.wait(watching: descriptor, for: interest, until: deadline, spinning: spinTime)
    if found.isReady { count += 1 }
  }
}
