internal import CSysShim
package import SystemPackage

/// Threads for calls of the kernel that may block and cannot be waited for otherwise, such as
/// `posix_spawn` on a slow file system or a large read from a disk: tasks suspend meanwhile instead of
/// holding a thread of the pool.
package enum HelperThread {
  /// Runs `body` on a thread of its own.
  ///
  /// - Parameter name: the thread's, at most 15 bytes.
  /// - Returns: why no thread can be had; `body` does not run then.
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

  /// Runs `body` on a thread of its own and suspends until it has returned. It runs to its end, whether
  /// or not the task is cancelled.
  ///
  /// - Throws: `Errno` when no thread can be had; `body` has not run then.
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
