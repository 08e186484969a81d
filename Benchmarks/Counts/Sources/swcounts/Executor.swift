import Glibc

/// Runs tasks on the thread that calls `run`, in the order in which they become ready. It needs no lock, because only that
/// thread resumes the tasks. The language's own executors use other threads and queues, whose cost depends on timing.
// Invariant: everything is accessed only by the thread that made it.
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
