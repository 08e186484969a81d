internal import CSysShim

/// Runs tasks on the threads that receive messages, one thread a processor.
///
/// One thread that has nothing to do waits for messages. A message wakes it, and it receives the message, runs the task that
/// waited for it, and waits again: no other thread is woken. If a task runs for longer than 250 microseconds, another thread
/// waits for messages meanwhile. So a task that computes delays the messages of others by half a millisecond at most, as
/// long as a thread is free.
///
/// ```swift
/// await withTaskExecutorPreference(.messaging) {
///   while let request = try await peer.next() { try await peer.send(answer(to: request)) }
/// }
/// ```
///
/// The preference holds for code that is isolated to no actor: from the main actor start a
/// `Task(executorPreference: .messaging)` with a nonisolated function, or the body stays on the main thread. Child tasks
/// inherit it. The tasks of `serve` run here unless it is told otherwise.
///
/// Tasks may compute here, but must not block: when every thread is busy, nobody receives. A call of a `blocking` view
/// that would have to wait traps with an explanation. ``runBlocking(_:)`` runs such a call, or file I/O, on a thread
/// that may wait.
///
/// The threads are started when the first task comes. If a thread cannot be started, tasks run on those that can, and
/// the executor tries again later. While there is none at all, tasks run on the default executor, one at a time.
public final class MessagingExecutor: TaskExecutor {
  public static let shared = MessagingExecutor(.shared)

  private let reactor: Reactor

  /// - Parameter workerCount: nil for as many as there are processors, at least two.
  package init(_ reactor: Reactor, workerCount: Int? = nil) {
    self.reactor = reactor
    reactor.allow(workers: workerCount ?? max(2, Int(swsys_processor_count())))
  }

  /// How many threads run tasks and receive messages: from the start as many as the process may use processors, and two
  /// at least, so that a task which computes does not keep messages waiting.
  ///
  /// Further threads start with the next task. Surplus threads end when they have nothing to do. May be set at any time,
  /// from any thread. With one thread everything waits for the task that runs, as on ``ReactorExecutor``.
  public var workerCount: Int {
    get { reactor.workerLimit }
    set {
      precondition(newValue > 0, "an executor has at least one thread")
      reactor.allow(workers: newValue)
    }
  }

  /// How long a thread that has nothing to do looks for messages before it sleeps. Zero from the start.
  ///
  /// Looking takes a whole processor, and spares the time that the kernel needs to wake a thread: some microseconds of
  /// each round trip, if the answer comes that soon. Threads that look take at most half of the processors; on a single
  /// processor none does.
  public var spinning: Duration {
    get { reactor.spinning }
    set { reactor.spinning = newValue }
  }

  public func enqueue(_ job: consuming ExecutorJob) {
    unsafe reactor.enqueue(UnownedJob(job), for: asUnownedTaskExecutor(), isSerial: false)
  }
}

extension TaskExecutor where Self == MessagingExecutor {
  /// The threads that receive messages; read ``MessagingExecutor`` on what must not run there.
  public static var messaging: MessagingExecutor { .shared }
}

/// Runs a body that may block on a helper thread, and suspends until the body has returned. For blocking calls and file
/// I/O of tasks, whose own threads others need.
///
/// ```swift
/// let answer = try await runBlocking { try peer.blocking.receive() }
/// ```
///
/// The body runs to its end even if the task is cancelled. At most 512 bodies run at a time; further ones wait for
/// their turn.
///
/// - Throws: what `body` throws; ``TransportError`` if no thread can be started. The body has not run then.
public func runBlocking<Result: Sendable>(
  _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
  let result: Swift.Result<Result, any Error> = await withCheckedContinuation { continuation in
    let errno = BlockingThreads.all.submit { continuation.resume(returning: Swift.Result(catching: body)) }
    if let errno { continuation.resume(returning: .failure(TransportError(.offload, errno))) }
  }
  return try result.get()
}

private enum BlockingThreads {
  static let all = HelperThreads(name: "sw-blocking", usual: 512, most: 512)
}
