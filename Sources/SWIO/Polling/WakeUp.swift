internal import CSysShim
internal import Synchronization

/// Wakes one blocked thread. Sticky: a signal before the wait ends the wait. A wake-up may be late or spurious, so the woken
/// thread checks its state.
///
/// It is an eventfd, because a thread can wait for it and for another descriptor at once. Wake-ups are pooled. If no
/// descriptors are available (EMFILE), the wake-up is a word in memory (a futex) instead. A thread that waits for the wake-up
/// alone is then woken as quickly, and a wait for another descriptor is cut into slices of ten milliseconds.
@safe package final class WakeUp: Sendable {
  private let descriptor: Int32
  /// The word that stands in for the eventfd; nil if there is an eventfd.
  // Invariant: `init` allocates it, `deinit` frees it, and in between only the shim accesses it, atomically.
  nonisolated(unsafe) private let word: UnsafeMutablePointer<Int32>?
  /// Saves the system call if the wake-up has been signalled already.
  private let isSignalled = Atomic(false)

  /// The wake-up of a simulated thread, which waits for no descriptor.
  private let onSignal: (@Sendable () -> Void)?

  private init(descriptor: Int32) {
    self.descriptor = descriptor
    onSignal = nil
    unsafe word = descriptor < 0 ? .allocate(capacity: 1) : nil
    unsafe word?.initialize(to: 0)
  }

  /// Makes a wake-up as `take` does if no descriptors are available.
  package static func withoutDescriptor() -> WakeUp { WakeUp(descriptor: -1) }

  /// Makes the wake-up of a simulated thread, which is called instead of woken.
  package init(onSignal: @escaping @Sendable () -> Void) {
    descriptor = -1
    unsafe word = nil
    self.onSignal = onSignal
  }

  deinit {
    if descriptor >= 0 { _ = swsys_close(descriptor) }
    unsafe word?.deallocate()
  }

  private static let pool = Guarded<[WakeUp]>([])
  private static var poolLimit: Int { 64 }

  /// Whether a signal that comes during a wait, and does not end it, ends the next one.
  package var hasDescriptor: Bool { descriptor >= 0 }

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
    guard !isSignalled.exchange(true, ordering: .acquiringAndReleasing) else { return }
    if let word = unsafe word { return unsafe swsys_word_signal(word) }
    _ = swsys_eventfd_signal(descriptor)
  }

  /// Waits for the signal, for the descriptor if there is one, or for the deadline. It may return earlier. The caller checks
  /// its state afterwards in every case. Everything that was signalled before this returns is visible to the caller, and the
  /// signal is used up.
  ///
  /// - Parameter spinTime: how long to check repeatedly before sleeping, in nanoseconds, if a processor is free.
  /// - Returns: whether the descriptor is ready, and whether a signal has ended the wait. If the kernel refuses to poll, the
  ///   descriptor may be ready, and the wait was no longer than 10 ms.
  @discardableResult
  package func wait(
    watching descriptor: Int32?, for interest: Readiness, until deadline: Deadline,
    spinning spinTime: UInt64 = 0
  ) -> (isReady: Bool, isSignalled: Bool) {
    precondition(
      !swsys_is_reactor_thread(),
      """
      A blocking call had to wait on the reactor's own thread, which nobody could then wake: a task that \
      prefers the executor .reactor or .messaging must use the async calls, or wrap the call in runBlocking.
      """)
    var nanoseconds = deadline.remaining
    if let word = unsafe word, descriptor == nil {
      unsafe swsys_word_wait(word, nanoseconds)
      lower()
      return (false, false)
    }
    if self.descriptor < 0 {
      if isSignalled.load(ordering: .acquiring) { nanoseconds = 0 }
      nanoseconds = nanoseconds < 0 ? Self.slice : min(nanoseconds, Self.slice)
    }
    var ready: Int32 = 0
    func look(_ nanoseconds: Int64) -> Bool {
      ready = swsys_wait(descriptor ?? -1, Int32(interest.rawValue), self.descriptor, nanoseconds)
      return ready != 0
    }
    // Without an eventfd there is no signal to spin for, and the wait stays cut into slices.
    let spins = spinTime > 0 && nanoseconds != 0 && self.descriptor >= 0
    let isFound = spins && Spinning.spin(for: spinTime, until: deadline) { look(0) }
    if !isFound { _ = look(spins ? deadline.remaining : nanoseconds) }
    lower(drains: ready & 2 != 0)
    return (ready & 1 != 0, ready & 6 == 2)
  }

  /// Drains the eventfd or the word, and then lowers the flag.
  ///
  /// A signal in between writes nothing, and the caller, which checks its state only after this, sees its reason. In the
  /// opposite order the drain could remove the write of such a signal while its flag stays raised. Then no later signal
  /// would write, and the next wait would never end.
  private func lower(drains: Bool = true) {
    if let word = unsafe word {
      unsafe swsys_word_drain(word)
    } else if drains {
      _ = swsys_eventfd_drain(descriptor)
    }
    isSignalled.store(false, ordering: .sequentiallyConsistent)
  }

  private static var slice: Int64 { 10_000_000 }
}
