import Glibc

/// Runs tasks on the thread that calls `run`, in the order in which they become able to, and needs no lock:
/// for tasks that nobody else resumes. The language's own executors use other threads and queues: what they
/// cost depends on who is faster.
// Invariant: everything is touched by the one thread that made it.
final class MainThreadExecutor: TaskExecutor, @unchecked Sendable {
  private let thread = pthread_self()
  private var jobs: [UnownedJob] = []
  private var isStopped = false

  init() { jobs.reserveCapacity(16) }

  func enqueue(_ job: consuming ExecutorJob) {
    precondition(pthread_equal(thread, pthread_self()) != 0, "the deed of a path with `task` must not wait")
    jobs.append(UnownedJob(job))
  }

  func stop() { isStopped = true }

  func run() {
    while !isStopped {
      guard !jobs.isEmpty else { fail("a task waits for something that nobody will do") }
      let job = jobs.removeFirst()
      unsafe job.runSynchronously(on: asUnownedTaskExecutor())
    }
  }
}
