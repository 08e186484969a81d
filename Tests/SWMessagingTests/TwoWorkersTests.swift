import Glibc
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// A reactor with two threads: one leads, and the other one follows.
@Suite(.lastResort, .leavesNothing) struct TwoWorkersTests {
  private final class Work: ReactorWork, ReadinessReceiver {
    private let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    func drive() { body() }
    func driveOffloaded() { body() }
    func readinessChanged(_ readiness: Readiness, mayDrive: Bool) { body() }
  }

  /// A reactor with two workers that sleep: the first leads, and the second follows.
  private final class TwoWorkers: Sendable {
    /// The threads that the reactor has asked for. Each begins when the test says so.
    private final class Threads: Sendable {
      private let bodies = Guarded<[@Sendable () -> Void]>([])
      private let ended = Guarded(0)
      var endCount: Int { ended.withLock { $0 } }
      func add(_ body: @escaping @Sendable () -> Void) -> Errno? {
        bodies.withLock { $0.append(body) }
        return nil
      }
      func beginNext() {
        let body = bodies.withLock { $0.removeFirst() }
        let errno = HelperThread.start { [self] in
          body()
          ended.withLock { $0 += 1 }
        }
        #expect(errno == nil)
      }
    }

    let reactor: Reactor
    let leaders: CountingPoller
    let followers: CountingPoller
    private let threads: Threads
    private let rung = Guarded<[(id: RegistrationID, watched: FileDescriptor, other: FileDescriptor)]>([])

    private init(
      _ reactor: Reactor, _ leaders: CountingPoller, _ followers: CountingPoller, _ threads: Threads
    ) {
      (self.reactor, self.leaders, self.followers, self.threads) = (reactor, leaders, followers, threads)
    }

    static func make() async throws -> TwoWorkers {
      let threads = Threads()
      let pollers = Guarded<[CountingPoller]>([])
      let reactor = Reactor(
        startThread: { body in threads.add(body) },
        makePoller: { () throws(Errno) -> any Poller in
          let made = try CountingPoller()
          pollers.withLock { $0.append(made) }
          return made
        })
      let executor = MessagingExecutor(reactor, workerCount: 2)
      #expect(reactor.start() == nil)
      threads.beginNext()
      let leaders = try #require(pollers.withLock { $0.first })
      await eventually { leaders.sleeps.withLock { $0 } > 0 }
      let before = leaders.sleeps.withLock { $0 }
      // The first task makes the reactor ask for the second thread, which does not begin before the first leads again.
      await Task(executorPreference: executor) { @concurrent in }.value
      await eventually { leaders.sleeps.withLock { $0 } > before }
      let waits = leaders.waits.withLock { $0 }
      #expect(
        waits <= leaders.sleeps.withLock { $0 },
        "a worker looks around before it sleeps, without being asked to spin")
      let followers = try #require(pollers.withLock { $0.last })
      threads.beginNext()
      await eventually { followers.sleeps.withLock { $0 } > 0 }
      return TwoWorkers(reactor, leaders, followers, threads)
    }

    /// How often a worker was woken.
    var wakes: Int { leaders.wakes + followers.wakes }

    /// Has the worker that leads hear of a pipe that is ready.
    func ring(_ work: Work) throws {
      let (watched, other) = try FileDescriptor.pipe()
      _ = try other.writeAll([1])
      guard case .registered(let id) = reactor.register(watched.rawValue, for: work, watching: .readable)
      else { throw Errno.notPermitted }
      rung.withLock { $0.append((id, watched, other)) }
    }

    func end() async throws {
      for (id, watched, other) in rung.withLock({ $0 }) {
        reactor.deregister(id, descriptor: watched.rawValue)
        for end in [watched, other] { try end.close() }
      }
      reactor.stop()
      await eventually { threads.endCount == 2 }
    }
  }

  /// The worker that a message wakes goes on with what comes of it, and nobody leads meanwhile.
  @Test func `a leader that comes to compute is replaced as the leader`() async throws {
    let two = try await TwoWorkers.make()
    let (hold, isHeld, isHeard) = (Hold(), Raised(), Raised())
    try two.ring(
      Work {
        isHeld.raise()
        hold.block()
      })
    await eventually { isHeld.isUp }
    try two.ring(Work { isHeard.raise() })
    await eventually { isHeard.isUp }
    hold.release()
    try await two.end()
  }

  @Test func `a worker that makes work for itself wakes no other one`() async throws {
    let two = try await TwoWorkers.make()
    let (reactor, isDone) = (two.reactor, Raised())
    let before = two.wakes
    // The first worker leads, and its number is 0.
    try two.ring(Work { reactor.call(Work { isDone.raise() }) })
    await eventually { isDone.isUp }
    #expect(two.wakes == before)
    try await two.end()
  }

  @Test func `a worker that begins one of several works wakes another one for the rest`() async throws {
    let two = try await TwoWorkers.make()
    let (reactor, hold, isDone) = (two.reactor, Hold(), Raised())
    let works = [Work { hold.block() }, Work {}, Work { isDone.raise() }]
    // Told twice in one wait, it drives nothing at once, and so no alarm helps.
    two.leaders.doubleEvents()
    let isFirst = Guarded(true)
    try two.ring(
      Work {
        let calls = isFirst.withLock { isFirst in
          defer { isFirst = false }
          return isFirst
        }
        if calls { for work in works { reactor.call(work) } }
      })
    await eventually { isDone.isUp }
    hold.release()
    try await two.end()
  }

  @Test func `a worker that is woken for one of several works wakes another one for the rest`() async throws {
    let two = try await TwoWorkers.make()
    let (hold, isDone) = (Hold(), Raised())
    two.followers.keepWakes {
      for work in [Work { hold.block() }, Work {}, Work { isDone.raise() }] { two.reactor.call(work) }
    }
    await eventually { isDone.isUp }
    hold.release()
    try await two.end()
  }

  /// The leader counts as woken then. If it were not, nothing would wake it any more.
  @Test func `after a thread that could not be started the leader is woken as before`() async throws {
    let pollers = Guarded<[CountingPoller]>([])
    let threads = Guarded((asked: 0, running: 0))
    let reactor = Reactor(
      startThread: { body in
        let isRefused = threads.withLock { threads in
          threads.asked += 1
          if threads.asked == 2 { return true }
          threads.running += 1
          return false
        }
        if isRefused { return .resourceTemporarilyUnavailable }
        return HelperThread.start {
          body()
          threads.withLock { $0.running -= 1 }
        }
      },
      makePoller: { () throws(Errno) -> any Poller in
        let made = try CountingPoller()
        pollers.withLock { $0.append(made) }
        return made
      })
    #expect(reactor.start() == nil)
    let leaders = try #require(pollers.withLock { $0.first })
    await eventually { leaders.sleeps.withLock { $0 } > 0 }
    let executor = MessagingExecutor(reactor, workerCount: 2)
    // The leader has run the task and sleeps again before the caller comes to ask for the second thread.
    leaders.afterWake { while leaders.sleeps.withLock({ $0 }) < 2 { sched_yield() } }
    await Task(executorPreference: executor) { @concurrent in }.value
    leaders.afterWake(nil)
    #expect(threads.withLock { $0.asked } == 2)
    await Task(executorPreference: executor) { @concurrent in }.value
    reactor.stop()
    await eventually { threads.withLock { $0.running } == 0 }
  }
}
