internal import SWIO
internal import Synchronization
internal import SystemPackage

/// The threads that spawn children while tasks wait. The system call blocks until the program has been loaded, which can
/// take long on a slow file system. There are only a few threads, however many tasks spawn at once, and none before a task
/// does.
///
/// A thread that has been started stays: the kernel ends children that have asked to end with their parent (PR_SET_PDEATHSIG)
/// with the thread that made them.
enum SpawnThreads {
  /// The most threads at a time.
  static var limit: Int { 4 }

  /// Set by tests: no thread can be made in its scope.
  @TaskLocal static var refusal: Errno?

  /// Starts a thread.
  ///
  /// - Returns: the error if no thread can be made.
  static func start(_ body: @escaping @Sendable () -> Void) -> Errno? { refusal ?? HelperThread.start(body) }

  private struct State: Sendable {
    var threads = 0
    /// First in, first out. A job that has been taken is not kept, because its result may hold descriptors. To move the others costs
    /// little beside a spawn.
    var queue: [any Job] = []
    /// Those of the threads that have nothing to do.
    var idle: [WakeUp] = []

    mutating func remove(_ job: any Job) {
      if let index = queue.firstIndex(where: { $0 === job }) { queue.remove(at: index) }
    }

    mutating func next() -> (any Job)? { queue.isEmpty ? nil : queue.removeFirst() }
  }

  private static let state = Guarded(State())

  /// The number of spawns that wait for a thread, for tests.
  static var queueLength: Int { state.withLock { $0.queue.count } }

  fileprivate protocol Job: AnyObject, Sendable {
    func run()
    /// Called when no thread can be made.
    func fail(_ errno: Errno)
  }

  /// Runs `body` on one of the threads, and suspends until it has returned.
  ///
  /// - Throws: `EndpointError` as `body`; `cancelled` and `timedOut` if the task is cancelled, or the deadline passes, before
  ///   `body` has begun; `spawn` if there is no thread and none can be made. In the last three cases `body` has not run, and
  ///   will not.
  static func run<Value: Sendable>(
    until deadline: Deadline = .never, _ body: @escaping @Sendable () throws(EndpointError) -> Value
  ) async throws(EndpointError) -> Value {
    let call = Call(body)
    let timer = Timer(call)
    if deadline != .never { Reactor.shared.set(timer, at: deadline) }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if call.begin(continuation) { enqueue(call) }
      }
    } onCancel: {
      call.giveUp(.cancelled)
    }
    Reactor.shared.takeBack(timer)
    return try call.result.get()
  }

  private static func enqueue(_ job: any Job) {
    let (sleeper, needsThread) = state.withLock { state -> (WakeUp?, Bool) in
      state.queue.append(job)
      if let sleeper = state.idle.popLast() { return (sleeper, false) }
      if state.threads == limit { return (nil, false) }
      state.threads += 1
      return (nil, true)
    }
    sleeper?.signal()
    guard needsThread, let errno = start(work) else { return }
    // If another thread exists, the job is only delayed. Otherwise no thread would ever take it.
    let stranded = state.withLock { state in
      state.threads -= 1
      guard state.threads == 0 else { return [any Job]() }
      defer { state.queue = [] }
      return state.queue
    }
    for job in stranded { job.fail(errno) }
  }

  @Sendable private static func work() {
    let wakeUp = WakeUp.withoutDescriptor()
    while true {
      let job = state.withLock { state in
        let job = state.next()
        state.idle.removeAll { $0 === wakeUp }
        if job == nil { state.idle.append(wakeUp) }
        return job
      }
      if let job { job.run() } else { wakeUp.wait(watching: nil, for: [], until: .never) }
    }
  }

  private final class Call<Value: Sendable>: Job, DeadlineReceiver {
    typealias Continuation = CheckedContinuation<Void, Never>

    private enum Phase: Sendable {
      case new
      case waiting(Continuation)
      /// `body` is running, and its caller waits for it.
      case running
      case over(Result<Value, EndpointError>)
    }

    private let body: @Sendable () throws(EndpointError) -> Value
    private let phase = Guarded(Phase.new)

    init(_ body: @escaping @Sendable () throws(EndpointError) -> Value) { self.body = body }

    /// The result, after the continuation has been resumed.
    var result: Result<Value, EndpointError> {
      phase.withLock { phase in
        guard case .over(let result) = phase else {
          preconditionFailure("resumed before the result was there")
        }
        return result
      }
    }

    /// Returns false if the call is over already.
    func begin(_ continuation: Continuation) -> Bool {
      let waits = phase.withLock { phase in
        guard case .new = phase else { return false }
        phase = .waiting(continuation)
        return true
      }
      if !waits { continuation.resume() }
      return waits
    }

    /// Moves from waiting to `next`. The caller resumes the returned continuation. Returns nil if the call has left that
    /// phase.
    private func take(_ next: Phase) -> Continuation? {
      phase.withLock { phase in
        guard case .waiting(let continuation) = phase else { return nil }
        phase = next
        return continuation
      }
    }

    func run() {
      guard let continuation = take(.running) else { return }
      let result = Result { () throws(EndpointError) in try body() }
      phase.withLock { $0 = .over(result) }
      continuation.resume()
    }

    func fail(_ errno: Errno) {
      let error = EndpointError(spawning: errno, "no thread can be made that would spawn it")
      take(.over(.failure(error)))?.resume()
    }

    /// Ends the wait, unless `body` has begun.
    func giveUp(_ reason: EndpointError.Reason) {
      let result = Phase.over(.failure(EndpointError(reason)))
      let isNew = phase.withLock { phase in
        guard case .new = phase else { return false }
        phase = result
        return true
      }
      guard !isNew, let continuation = take(result) else { return }
      SpawnThreads.state.withLock { $0.remove(self) }
      continuation.resume()
    }

    func deadlinePassed() { giveUp(.timedOut) }
  }
}
