internal import Synchronization

/// A contender that neither finished nor failed, even after its peer was ended.
struct Hung: Error, CustomStringConvertible {
  var description: String { "it hangs, and went on hanging when its peer was ended" }
}

/// Waits for work, but only for a limited time: after `seconds` it calls `interrupt`. If the work still does not end, it
/// continues without it.
func patiently<Result: Sendable>(
  for seconds: Double, interrupt: @escaping @Sendable () -> Void,
  _ body: @escaping @Sendable @concurrent () async throws -> Result
) async throws -> Result {
  let outcome = Outcome<Result>()
  let watch = Task.detached {
    try await Task.sleep(for: .seconds(seconds))
    interrupt()
    try await Task.sleep(for: .seconds(5))
    outcome.settle(.failure(Hung()))
  }
  defer { watch.cancel() }
  return try await withCheckedThrowingContinuation { continuation in
    outcome.wait(continuation)
    Task.detached { outcome.settle(await Task { try await body() }.result) }
  }
}

/// The first of two results.
private final class Outcome<Value: Sendable>: Sendable {
  private let waiting = Mutex<CheckedContinuation<Value, any Error>?>(nil)

  func wait(_ continuation: CheckedContinuation<Value, any Error>) {
    waiting.withLock { $0 = continuation }
  }

  func settle(_ result: Result<Value, any Error>) {
    let continuation = waiting.withLock { waiting in
      defer { waiting = nil }
      return waiting
    }
    continuation?.resume(with: result)
  }
}
