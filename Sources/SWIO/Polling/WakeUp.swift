internal import CSysShim
internal import Synchronization

/// Wakes one blocked thread. Sticky: a signal before the wait ends the wait. A wake-up may be late or spurious, so the woken
/// thread checks its state.
///
/// It is an eventfd, because a thread can wait for it and for another descriptor at once. Wake-ups are pooled. If no
/// descriptors are available (EMFILE), the wait is cut into slices of ten milliseconds instead: waiting works, but wakes up
/// later.
package final class WakeUp: Sendable {
  private let descriptor: Int32
  /// Saves the system call if the wake-up has been signalled already.
  private let isSignalled = Atomic(false)

  /// The wake-up of a simulated thread, which waits for no descriptor.
  private let onSignal: (@Sendable () -> Void)?

  private init(descriptor: Int32) {
    self.descriptor = descriptor
    onSignal = nil
  }

  /// Makes the wake-up of a simulated thread, which is called instead of woken.
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

  /// Waits for the signal, for the descriptor if there is one, or for the deadline. It may return earlier. The caller checks
  /// its state afterwards in every case. Everything that was signalled before this returns is visible to the caller, and the
  /// signal is used up.
  ///
  /// - Parameter spinTime: how long to check repeatedly before sleeping, in nanoseconds, if a processor is free.
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
    // The eventfd is drained before the flag is lowered. A signal in between writes nothing, and the caller, which checks
    // its state only after this, sees its reason. In the opposite order the drain could remove the write of such a signal
    // while its flag stays raised. Then no later signal would write, and the next wait would never end.
    if ready & 2 != 0 { _ = swsys_eventfd_drain(self.descriptor) }
    isSignalled.store(false, ordering: .sequentiallyConsistent)
  }

  private static var slice: Int64 { 10_000_000 }
}
