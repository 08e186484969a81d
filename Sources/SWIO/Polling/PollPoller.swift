internal import CSysShim
internal import Synchronization
package import SystemPackage

/// Waits with poll(2), which every POSIX system has. It needs only the descriptor that wakes it. If even that is not
/// available, waits are cut into slices of ten milliseconds.
///
/// `poll` says what *is* ready and not what has *become* ready. So a reported descriptor is examined once more when the next
/// wait begins. If it is no longer ready, it is watched as before. If it still is, it is reported again, and then it is
/// examined only at growing intervals:
///
///     watched --ready: report--> reported once --not ready--> watched
///                                 |
///                           ready: report again, and then after 1, 2, 4, 8, 10, 10 … ms
///
/// A change of the interest starts this cycle again. If a descriptor has hung up and shows nothing else that is watched,
/// nothing is reported twice, and it is examined once a second.
///
/// - Complexity: a wait takes time in proportion to the number of descriptors.
package final class PollPoller: Poller {
  private struct Entry: Sendable {
    var descriptor: Int32
    var key: UInt64
    var interest: Readiness
    /// How often in a row the descriptor was reported without having been seen not ready.
    var streak = 0
    /// When to examine it again, in nanoseconds of the monotonic clock. 0 for every wait.
    var restsUntil: UInt64 = 0
    /// The hang-ups that have been reported.
    var toldHangUps: Readiness = []

    /// The readiness to wait for.
    var isOfInterest: Bool { !interest.isEmpty || !hasHungUp }
    private var hasHungUp: Bool { !toldHangUps.isDisjoint(with: [.writeClosed, .failed]) }

    /// Returns the new part of the readiness that `poll` returned. Nil if nothing is new.
    mutating func look(at readiness: Readiness, _ now: UInt64) -> Readiness? {
      let hangUps = readiness.intersection(.hangUps)
      let told = readiness.intersection(interest.union(.urgent)).union(hangUps.subtracting(toldHangUps))
      toldHangUps.formUnion(hangUps)
      if readiness.isEmpty {
        (streak, restsUntil) = (0, 0)
        return nil
      }
      if told.isEmpty {
        restsUntil = now + 1_000_000_000
        return nil
      }
      streak += 1
      restsUntil = streak < 2 ? 0 : now + min(1_000_000 << UInt64(min(streak - 2, 4)), 10_000_000)
      return told.union(hangUps)
    }
  }

  private struct State: Sendable {
    var entries: [Entry] = []
    var positions: [UInt64: Int] = [:]
    /// Negative if no descriptor for it has been available so far.
    var notifier: Int32 = -1
    var isWaiting = false
    /// Whether a wake has come that no wait has seen.
    var isWoken = false
  }

  private let state = Guarded(State())
  // Invariant: accessed only by the waiting thread.
  private nonisolated(unsafe) var polled: [swsys_polled] = []
  // The keys of `polled`, except for the last entry, which is the notifier.
  // Invariant: accessed only by the waiting thread.
  private nonisolated(unsafe) var polledKeys: [UInt64] = []

  package init() {
    let notifier = swsys_eventfd()
    state.withLock { $0.notifier = notifier }
  }

  deinit {
    let notifier = state.withLock { $0.notifier }
    if notifier >= 0 { _ = swsys_close(notifier) }
  }

  private static var slice: UInt64 { 10_000_000 }
  private static var second: UInt64 { 1_000_000_000 }

  package func add(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> WatchOutcome {
    // An error says that no transport takes the kind, which `poll` may watch: a pidfd, an eventfd.
    let kind = swsys_kind(descriptor)
    if kind == -Errno.badFileDescriptor.rawValue { return .failed(.badFileDescriptor) }
    if kind == Int32(SWSYS_ALWAYS_READY.rawValue) || kind == -Errno.isDirectory.rawValue {
      return .alwaysReady
    }
    change { state in
      state.positions[key] = state.entries.count
      state.entries.append(Entry(descriptor: descriptor, key: key, interest: interest))
    }
    return .watched
  }

  package func modify(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> Errno? {
    change { state in
      guard let position = state.positions[key] else { return }
      state.entries[position].interest = interest
      state.entries[position].streak = 0
      state.entries[position].restsUntil = 0
      if !interest.isEmpty { state.entries[position].toldHangUps = [] }
    }
    return nil
  }

  package func remove(_ descriptor: Int32, key: UInt64) {
    state.withLock { state in
      guard let position = state.positions.removeValue(forKey: key) else { return }
      let last = state.entries.removeLast()
      if position == state.entries.count { return }
      state.entries[position] = last
      state.positions[last.key] = position
    }
  }

  /// Changes the set of descriptors or an interest, and ends the wait so that it begins again.
  private func change(_ body: (inout State) -> Void) {
    let notifier = state.withLock { state in
      body(&state)
      return state.isWaiting ? state.notifier : -1
    }
    if notifier >= 0 { _ = swsys_eventfd_signal(notifier) }
  }

  package func wake() {
    change { state in state.isWoken = true }
  }

  package func wait(until deadline: Deadline, into events: inout [PollerEvent]) {
    let now = swsys_now()
    unsafe polled.removeAll(keepingCapacity: true)
    unsafe polledKeys.removeAll(keepingCapacity: true)
    let (until, notifier) = state.withLock { state in prepare(&state, until: deadline, now) }
    if notifier >= 0 {
      unsafe polled.append(swsys_polled(fd: notifier, events: swsys_poll_mask(1), revents: 0))
    }
    let remaining =
      until == .max ? -1 : until <= now ? 0 : Int64(clamping: until - now)
    let found = unsafe polled.withUnsafeMutableBufferPointer { polled in
      unsafe swsys_poll(polled.baseAddress, UInt32(polled.count), remaining)
    }
    if notifier >= 0, unsafe polled.last?.revents != 0 { _ = swsys_eventfd_drain(notifier) }
    state.withLock { state in
      state.isWaiting = false
      state.isWoken = false
      if found < 0 {
        // `poll` has failed (EINVAL: more descriptors than RLIMIT_NOFILE allows; ENOMEM). The time has passed, and
        // everything may be ready.
        for entry in state.entries where !entry.interest.isEmpty {
          events.append(PollerEvent(key: entry.key, readiness: entry.interest))
        }
        return
      }
      let now = swsys_now()
      for index in unsafe polledKeys.indices {
        let key = unsafe polledKeys[index]
        guard let position = state.positions[key] else { continue }
        let bits = swsys_poll_readiness(Int32(unsafe polled[index].revents))
        let readiness = Readiness(rawValue: UInt8(truncatingIfNeeded: bits))
        if let told = state.entries[position].look(at: readiness, now) {
          events.append(PollerEvent(key: key, readiness: told))
        }
      }
    }
  }

  /// Collects the descriptors to examine, and returns until when to wait.
  private func prepare(_ state: inout State, until deadline: Deadline, _ now: UInt64) -> (UInt64, Int32) {
    var until = deadline.nanoseconds
    for entry in state.entries where entry.isOfInterest {
      if entry.restsUntil > now {
        until = min(until, entry.restsUntil)
        continue
      }
      // A reported descriptor must be seen not ready before it counts as becoming ready.
      unsafe polled.append(
        swsys_polled(
          fd: entry.descriptor, events: swsys_poll_mask(Int32(entry.interest.rawValue)), revents: 0))
      unsafe polledKeys.append(entry.key)
      if entry.streak > 0 { until = 0 }
    }
    if state.notifier < 0 { state.notifier = swsys_eventfd() }
    if state.notifier < 0 { until = min(until, now + Self.slice) }
    if state.isWoken { until = 0 }
    state.isWaiting = true
    return (until, state.notifier)
  }
}
