import CCounts
import Glibc
import SWIO
import Synchronization

/// A path through the library: work for a number of messages.
struct Path: Sendable {
  enum Deed {
    /// Work of a thread, the main one.
    case blocking((Int) throws -> Void)
    /// Work of a task that never waits, on an executor that is the main thread.
    case task(@Sendable (Int) async throws -> Void)
    /// Work of tasks that wait, on the reactor's executor. The main thread has no part in it.
    case reactor(@Sendable (Int) async throws -> Void)
  }

  let name: String
  let summary: String
  /// The number of messages to count.
  let standardCount: Int
  let make: @Sendable () throws -> Deed

  init(_ name: String, _ summary: String, count: Int = 1_000, _ make: @escaping @Sendable () throws -> Deed) {
    self.name = name
    self.summary = summary
    standardCount = count
    self.make = make
  }

  /// Does the work twice for `count` messages, and counts the second time. Things that are made once or grow once exist by
  /// then.
  ///
  /// - Returns: the allocations of the second time.
  func run(_ count: Int) throws -> UInt64 {
    switch try make() {
    case .blocking(let deed):
      try deed(count)
      let before = begin()
      try deed(count)
      return end() - before
    case .task(let deed):
      let executor = MainThreadExecutor()
      let outcome = Outcome()
      Task(executorPreference: executor) {
        await outcome.fill(deed, count)
        executor.stop()
      }
      executor.run()
      return try outcome.get()
    case .reactor(let deed):
      let outcome = Outcome()
      Task(executorPreference: .reactor) {
        await outcome.fill(deed, count)
        counts_done()
      }
      counts_wait()
      return try outcome.get()
    }
  }
}

private func begin() -> UInt64 {
  counts_border()
  return counts_allocations()
}

private func end() -> UInt64 {
  let allocations = counts_allocations()
  counts_border()
  return allocations
}

/// The counts of a task, or the error that prevented them.
private final class Outcome: Sendable {
  private let result = Mutex<Result<UInt64, any Error>?>(nil)

  func fill(_ deed: @Sendable (Int) async throws -> Void, _ count: Int) async {
    do {
      try await deed(count)
      let before = begin()
      try await deed(count)
      let after = end()
      result.withLock { $0 = .success(after - before) }
    } catch {
      result.withLock { $0 = .failure(error) }
    }
  }

  func get() throws -> UInt64 {
    guard let result = result.withLock({ $0 }) else { fail("a task has ended without a result") }
    return try result.get()
  }
}

/// Prints the reason and exits.
func fail(_ message: String) -> Never {
  unsafe message.withCString { unsafe counts_complain($0) }
  exit(1)
}
