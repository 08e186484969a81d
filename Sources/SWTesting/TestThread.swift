internal import CSysShim
internal import SWIO
internal import Synchronization

/// A separate thread that computes a value, which tasks can await. Tests of blocking calls use it.
public final class TestThread<Value: Sendable>: Sendable {
  private struct State {
    var result: Result<Value, any Error>?
  }

  private let state = Guarded(State())
  private let done = Gate()

  /// Starts the thread.
  public init(_ body: @escaping @Sendable () throws -> Value) {
    startThread { [self] in
      let result = Result { try body() }
      state.withLock { $0.result = result }
      done.open()
    }
  }

  /// The value that the thread returned. Throws the error that it threw.
  public var value: Value {
    get async throws {
      await done.wait()
      return try outcome()
    }
  }

  /// Blocks until the thread has ended.
  @available(*, noasync)
  public func join() throws -> Value {
    done.waitBlocking()
    return try outcome()
  }

  private func outcome() throws -> Value {
    guard let result = state.withLock({ $0.result }) else { preconditionFailure("the gate opens last") }
    return try result.get()
  }
}

private func startThread(_ body: @escaping @Sendable () -> Void) {
  let context = unsafe Unmanaged.passRetained(ThreadBody(body)).toOpaque()
  let error = unsafe swsys_start_thread(
    { context in
      guard let context = unsafe context else { return }
      unsafe Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run()
    }, context, "test")
  precondition(error == 0, "cannot start a thread: \(error)")
}

private final class ThreadBody: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Yields until a condition holds that other threads or tasks bring about. If it does not hold after ten minutes, the
/// call traps, so no test hangs.
public func eventually(
  _ condition: () -> Bool, file: StaticString = #file, line: UInt = #line
) async {
  let limit = Deadline.after(.patience)
  while !condition() {
    precondition(!limit.hasPassed, "the awaited event did not come in time", file: file, line: line)
    await Task.yield()
  }
}
