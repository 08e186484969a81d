import CSysShim
import CSysTestSupport
import Foundation
import Glibc
import SWIO
import SWTesting
import TestSupport
import Testing

/// The C shim's threads.
@Suite(.lastResort, .leavesNothing) struct ShimThreadTests {
  static func mappingCount() throws -> Int {
    try textAboutProcess("maps").split(separator: "\n").count
  }

  @Test func `a thread that has ended leaves no stack`() async {
    await #expect(processExitsWith: .success) {
      try await TestThread {}.value
      let (mappings, threads) = (try Self.mappingCount(), swsys_thread_count())
      for _ in 0..<200 { try await TestThread {}.value }
      // The runtime may have started some of its own.
      await eventually { swsys_thread_count() < threads + 20 }
      // A stack takes two mappings. The C library keeps a few for the next threads.
      #expect(try Self.mappingCount() < mappings + 150)
    }
  }

  @Test func `a thread that starts another keeps its own signals`() async throws {
    let isBlocked = try await TestThread { () -> [Bool] in
      var signals = sigset_t()
      unsafe sigemptyset(&signals)
      unsafe sigaddset(&signals, SIGUSR1)
      unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
      let other = TestThread {
        var own = sigset_t()
        unsafe pthread_sigmask(SIG_BLOCK, nil, &own)
        return unsafe sigismember(&own, SIGUSR1) == 1
      }
      var own = sigset_t()
      unsafe pthread_sigmask(SIG_BLOCK, nil, &own)
      return [unsafe sigismember(&own, SIGUSR1) == 1, try other.join()]
    }.value
    #expect(isBlocked == [false, true])
  }

  @Test func `a thread is one worker of one reactor, and no other thread is`() async throws {
    let workers = try await TestThread { () -> [Int32] in
      let (one, other) = unsafe (UnsafeRawPointer(bitPattern: 16), UnsafeRawPointer(bitPattern: 32))
      unsafe swsys_mark_worker(one, 3)
      defer { swsys_mark_worker(nil, 0) }
      return unsafe [swsys_worker_of(one), swsys_worker_of(other), swsys_is_reactor_thread() ? 1 : 0]
    }.value
    #expect(workers == [3, -1, 1])
    let isReactor = try await TestThread { swsys_is_reactor_thread() }.value
    #expect(!isReactor)
  }

  @Test func `only processors count that the process may use, and an executor has two threads at least`()
    async
  {
    await #expect(processExitsWith: .success) {
      let before = Int(swsys_processor_count())
      #expect(before > 0)
      #expect(MessagingExecutor(Reactor()).workerCount == max(2, before))
      let counts = try await TestThread { () -> [Int] in
        [
          Int(swsys_use_one_processor()), Int(swsys_processor_count()),
          MessagingExecutor(Reactor()).workerCount,
        ]
      }.value
      #expect(counts == [0, 1, 2])
    }
  }

  @Test func `a thread is nobody's to wait for`() async throws {
    let isDetached = try await TestThread { swsys_thread_is_detached() }.value
    #expect(isDetached)
  }
}
