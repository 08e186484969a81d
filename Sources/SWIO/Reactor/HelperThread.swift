internal import CSysShim
package import SystemPackage

/// Threads for system calls that may block and whose end no readiness announces, such as loading a program from a slow file
/// system or a large read from a disk. Tasks suspend meanwhile and do not hold a thread of Swift's pool.
package enum HelperThread {
  /// Runs `body` on a new thread.
  ///
  /// - Parameter name: the name of the thread, at most 15 bytes.
  /// - Returns: the error if no thread can be started. `body` does not run then.
  package static func start(
    named name: String = "sw-helper", _ body: @escaping @Sendable () -> Void
  ) -> Errno? {
    let context = unsafe Unmanaged.passRetained(Job(body))
    let result = unsafe swsys_start_thread(
      { context in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<Job>.fromOpaque(context).takeRetainedValue().body()
      }, unsafe context.toOpaque(), name)
    if result == 0 { return nil }
    unsafe context.release()
    return Errno(rawValue: -result)
  }

  /// Runs `body` on a new thread, and suspends until it has returned. `body` runs to its end, even if the task is cancelled.
  ///
  /// - Throws: `Errno` if no thread can be started. `body` has not run then.
  package static func run<Result: Sendable>(
    _ body: @escaping @Sendable () -> Result
  ) async throws(Errno) -> Result {
    let started: Swift.Result<Result, Errno> = await withCheckedContinuation { continuation in
      let errno = start { continuation.resume(returning: .success(body())) }
      if let errno { continuation.resume(returning: .failure(errno)) }
    }
    return try started.get()
  }

  private final class Job: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
