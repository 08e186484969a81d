/// Runs tasks on the reactor's own thread, so that a task which waits for a message resumes on the
/// thread that received it: no hop, about a third less latency.
///
///     await withTaskExecutorPreference(.reactor) {
///       while let request = try await peer.next() { try await peer.send(answer(to: request)) }
///     }
///
/// The preference holds for code that is isolated to no actor: from the main actor start a
/// `Task(executorPreference: .reactor)` with a nonisolated function, or the body stays on the main thread.
///
/// One task runs at a time, between two of its `await`s. Everything that it does there delays every other asynchronous
/// endpoint of the process, unless the program also uses ``MessagingExecutor``. So: short work between awaits only; no
/// blocking call whatsoever (a `blocking` view that would have to wait traps), no file I/O, no long computation, no lock
/// that others hold for long. Work that does not fit belongs on ``MessagingExecutor``, on the default executor, which is
/// also the default, or in ``runBlocking(_:)``.
public final class ReactorExecutor: TaskExecutor {
  public static let shared = ReactorExecutor(.shared)

  private let reactor: Reactor

  package init(_ reactor: Reactor) { self.reactor = reactor }

  public func enqueue(_ job: consuming ExecutorJob) {
    unsafe reactor.enqueue(UnownedJob(job), for: asUnownedTaskExecutor(), isSerial: true)
  }
}

extension TaskExecutor where Self == ReactorExecutor {
  /// The reactor's thread; read ``ReactorExecutor`` on what must not run there.
  public static var reactor: ReactorExecutor { .shared }
}
