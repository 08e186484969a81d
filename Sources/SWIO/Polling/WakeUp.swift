internal import CSysShim
internal import Synchronization

/// Wakes one blocked thread. Sticky: a signal that comes before the wait ends it. It may be late and it
/// may be spurious; who wakes looks for itself.
///
/// An eventfd, so that a thread can wait for it and for a descriptor at once. They are pooled. Where no
/// more descriptors are to be had (EMFILE), the wait is cut into slices of ten milliseconds instead:
/// parking works, only slower.
package final class WakeUp: Sendable {
  private let descriptor: Int32
  /// Spares the system call when the wake-up has been signalled already.
  private let isSignalled = Atomic(false)

  /// Of a simulated thread, which has no descriptor to wait for.
  private let onSignal: (@Sendable () -> Void)?

  private init(descriptor: Int32) {
    self.descriptor = descriptor
    onSignal = nil
  }

  /// Wakes a simulated thread: it is told instead.
  package init(onSignal: @escaping @Sendable () -> Void) {
    descriptor = -1
    self.onSignal = onSignal
  }

  deinit { if descriptor >= 0 { _ = swsys_close(descriptor) } }

  private static let pool = Guarded<[WakeUp]>([])
  private static var poolLimit: Int { 64 }

  package static func take() -> WakeUp {
    let pooled = pool.withLock { $0.popLast() }
    return pooled ?? WakeUp(descriptor: swsys_eventfd())
  }

  package static func giveBack(_ wakeUp: WakeUp) {
    guard wakeUp.descriptor >= 0 else { return }
    pool.withLock { pool in if pool.count < poolLimit { pool.append(wakeUp) } }
  }

  package func signal() {
    if let onSignal { return onSignal() }
    guard !isSignalled.exchange(true, ordering: .acquiringAndReleasing), descriptor >= 0 else { return }
    _ = swsys_eventfd_signal(descriptor)
  }

  /// Waits for the signal, for the descriptor (where there is one to watch) or for the deadline, or for
  /// less than that. The caller looks at its state afterwards, in every case: whatever was signalled
  /// before this returns is visible to it, and the signal is used up.
  ///
  /// - Parameter spinTime: for so many nanoseconds it looks again and again before it sleeps, if processors are free.
  package func wait(
    watching descriptor: Int32?, for interest: Readiness, until deadline: Deadline,
    spinning spinTime: UInt64 = 0
  ) {
    precondition(
      !swsys_is_reactor_thread(),
      """
      A blocking call had to wait on the reactor's own thread, which nobody could then wake: a task that \
      prefers the executor .reactor or .messaging must use the async calls, or wrap the call in runBlocking.
      """)
    var nanoseconds = deadline.remaining
    if self.descriptor < 0 {
      if isSignalled.load(ordering: .acquiring) { nanoseconds = 0 }
      nanoseconds = nanoseconds < 0 ? Self.slice : min(nanoseconds, Self.slice)
    }
    var ready: Int32 = 0
    func look(_ nanoseconds: Int64) -> Bool {
      ready = swsys_wait(descriptor ?? -1, Int32(interest.rawValue), self.descriptor, nanoseconds)
      return ready != 0
    }
    let isFound =
      spinTime > 0 && nanoseconds != 0 && self.descriptor >= 0
      && Spinning.spin(for: spinTime, until: deadline) { look(0) }
    if !isFound { _ = look(spinTime > 0 ? deadline.remaining : nanoseconds) }
    // The eventfd is emptied before the flag is lowered. A signal in between writes nothing, and the caller,
    // who looks only now, sees what it was about. The other way round its write would be emptied away and
    // its flag stay up: no later signal would write, and the next wait never end.
    if ready & 2 != 0 { _ = swsys_eventfd_drain(self.descriptor) }
    isSignalled.store(false, ordering: .sequentiallyConsistent)
  }

  private static var slice: Int64 { 10_000_000 }
}
