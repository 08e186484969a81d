internal import CSysShim
internal import SystemPackage

/// Threads for calls of the kernel that may block and cannot be waited for otherwise, such as
/// `posix_spawn` on a slow file system: tasks suspend meanwhile instead of holding a thread of the pool.
enum HelperThread {
  /// Runs `body` on a thread of its own and suspends until it has returned. It runs to its end, whether
  /// or not the task is cancelled.
  ///
  /// - Throws: `Errno` when no thread can be had; `body` has not run then.
  static func run<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async throws(Errno) -> Result {
    let started: Swift.Result<Result, Errno> = await withCheckedContinuation { continuation in
      let job = Job { continuation.resume(returning: .success(body())) }
      let context = unsafe Unmanaged.passRetained(job)
      let result = unsafe swsys_start_thread(
        { context in
          guard let context = unsafe context else { return }
          unsafe Unmanaged<Job>.fromOpaque(context).takeRetainedValue().body()
        }, unsafe context.toOpaque(), "sw-helper")
      if result != 0 {
        unsafe context.release()
        continuation.resume(returning: .failure(Errno(rawValue: -result)))
      }
    }
    return try started.get()
  }

  private final class Job: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
