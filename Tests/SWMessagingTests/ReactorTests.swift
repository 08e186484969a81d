import CSysTestSupport
import Glibc
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import Testing

/// The reactor: its round, its threads, and what becomes of shortages.
@Suite struct ReactorTests {
  private final class Work: ReactorWork {
    private let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    func drive() { body() }
    func driveOffloaded() { body() }
  }

  private final class Log: DeadlineReceiver, ReadinessReceiver {
    private let entries = Guarded<[String]>([])
    var all: [String] { entries.withLock { $0 } }
    func add(_ entry: String) { entries.withLock { $0.append(entry) } }
    func deadlinePassed() { add("timer") }
    func readinessChanged(_ readiness: Readiness, mayDrive: Bool) {
      add(readiness.contains(.readable) ? "readable" : "other")
    }
  }

  // MARK: The round

  private func play(_ machine: inout ReactorState<Int>, _ log: Log, at times: [UInt64]) {
    for time in times {
      switch machine.next(Deadline(nanoseconds: time)) {
      case .tell(let receiver, let event, _): receiver.readinessChanged(event.readiness, mayDrive: false)
      case .drive(let work): work.drive()
      case .fire(let timer): timer.receiver.deadlinePassed()
      case .run(let job): log.add("job \(job)")
      case .wait(let until): log.add("wait \(until.nanoseconds)")
      case .follow: log.add("follow")
      }
    }
  }

  @Test func `events come first, then works, then timers, then jobs`() {
    let log = Log()
    var machine = ReactorState<Int>()
    play(&machine, log, at: [1])
    let id = machine.register(log, descriptor: 3, watching: .readable)
    var found = [PollerEvent(key: id.key, readiness: .readable)]
    let notice = machine.call(Work { log.add("work") })
    #expect(notice.wakesLeader && !notice.wakesFollower && notice.alarm == .never)
    _ = machine.enqueue(8)
    _ = machine.set(Timer(log), at: Deadline(nanoseconds: 2))
    machine.woke(&found)
    play(&machine, log, at: [9, 9, 9, 9, 9])
    #expect(log.all == ["wait \(UInt64.max)", "readable", "work", "timer", "job 8", "wait \(UInt64.max)"])
  }

  @Test func `a timer that falls due between two works fires between them`() {
    let log = Log()
    var machine = ReactorState<Int>()
    play(&machine, log, at: [1])
    for number in 1...3 { _ = machine.call(Work { log.add("work \(number)") }) }
    _ = machine.set(Timer(log), at: Deadline(nanoseconds: 20))
    var found: [PollerEvent] = []
    machine.woke(&found)
    play(&machine, log, at: [10, 15, 25, 26, 27])
    #expect(log.all.dropFirst() == ["work 1", "work 2", "timer", "work 3", "wait \(UInt64.max)"])
  }

  /// One that sets itself again for now must not keep works from their turn.
  @Test func `a timer that is set while timers fire comes after the next work`() {
    let log = Log()
    var machine = ReactorState<Int>()
    play(&machine, log, at: [1])
    for number in 1...2 { _ = machine.call(Work { log.add("work \(number)") }) }
    _ = machine.set(Timer(log), at: .immediately)
    var found: [PollerEvent] = []
    machine.woke(&found)
    play(&machine, log, at: [10, 11])
    _ = machine.set(Timer(log), at: .immediately)
    play(&machine, log, at: [12, 13])
    #expect(log.all.dropFirst() == ["work 1", "timer", "work 2", "timer"])
  }

  // MARK: Descriptors and threads that are not available

  /// Refuses for as long as it is told to.
  private final class Shortage: Sendable {
    private let errno: Guarded<Errno?>
    init(_ errno: Errno) { self.errno = Guarded(errno) }
    func end() { errno.withLock { $0 = nil } }
    func begin() { errno.withLock { $0 = .resourceTemporarilyUnavailable } }
    func check() throws(Errno) {
      if let errno = errno.withLock({ $0 }) { throw errno }
    }
    /// Starts a thread, unless there is a shortage.
    @Sendable func start(_ body: @escaping @Sendable () -> Void) -> Errno? {
      errno.withLock { $0 } ?? HelperThread.start(body)
    }
  }

  /// An epoll in which there is no room for anything.
  private final class FullPoller: Poller {
    private let poller: EpollPoller
    private let shortage: Shortage
    init(_ shortage: Shortage) throws(Errno) {
      poller = try EpollPoller()
      self.shortage = shortage
    }
    func add(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> WatchOutcome {
      do throws(Errno) {
        try shortage.check()
      } catch {
        return .failed(error)
      }
      return poller.add(descriptor, key: key, watching: interest)
    }
    func modify(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> Errno? {
      poller.modify(descriptor, key: key, watching: interest)
    }
    func remove(_ descriptor: Int32, key: UInt64) { poller.remove(descriptor, key: key) }
    func wait(until deadline: Deadline, into events: inout [PollerEvent]) {
      waits.withLock { $0 += 1 }
      poller.wait(until: deadline, into: &events)
    }
    func wake() { poller.wake() }
    private let waits = Guarded(0)
    /// How often it was waited with.
    var waitCount: Int { waits.withLock { $0 } }
  }

  private final class Watched {
    let pair: DescriptorPair
    let log = Log()
    let id: RegistrationID
    let reactor: Reactor

    init(_ reactor: Reactor, watching interest: Readiness = .readable) throws {
      pair = try DescriptorPair.sockets()
      self.reactor = reactor
      let number = pair.first.withDescriptor { $0.rawValue }
      switch reactor.register(number, for: log, watching: interest) {
      case .registered(let id): self.id = id
      case .alwaysReady: throw Errno.notPermitted
      case .failed(let errno): throw errno
      }
    }

    func write() throws { _ = try pair.second.withDescriptor { try $0.writeAll([1]) } }
    func read() throws {
      _ = try pair.first.withDescriptor { descriptor in
        try unsafe withUnsafeTemporaryAllocation(byteCount: 8, alignment: 1) {
          try unsafe descriptor.read(into: $0)
        }
      }
    }
    deinit {
      reactor.deregister(id, descriptor: pair.first.withDescriptor { $0.rawValue })
      reactor.stop()
    }
  }

  @Test func `with poll it tells what comes, each time`() async throws {
    let reactor = Reactor(makePoller: { () throws(Errno) -> any Poller in PollPoller() })
    let watched = try Watched(reactor)
    let log = watched.log
    for count in 1...3 {
      try watched.write()
      await eventually { log.all.count >= count }
      try watched.read()
    }
    #expect(log.all.allSatisfy { $0 == "readable" })
  }

  @Test func `it goes over to the system's poller when that can be had`() async throws {
    let shortage = Shortage(.tooManyOpenFiles)
    let reactor = Reactor(makePoller: { () throws(Errno) -> any Poller in
      try shortage.check()
      return try EpollPoller()
    })
    let watched = try Watched(reactor)
    let log = watched.log
    #expect(reactor.isMakeshift)
    try watched.write()
    await eventually { !log.all.isEmpty }
    try watched.read()
    shortage.end()
    await eventually { !reactor.isMakeshift }
    let count = log.all.count
    try watched.write()
    await eventually { log.all.count > count }
  }

  @Test func `it goes over with what is watched by then`() async throws {
    let shortage = Shortage(.tooManyOpenFiles)
    let reactor = Reactor(makePoller: { () throws(Errno) -> any Poller in
      try shortage.check()
      return try EpollPoller()
    })
    let watched = try Watched(reactor, watching: [])
    let log = watched.log
    let number = watched.pair.first.withDescriptor { $0.rawValue }
    #expect(reactor.watch(watched.id, descriptor: number, .readable) == nil)
    shortage.end()
    await eventually { !reactor.isMakeshift }
    try watched.write()
    await eventually { log.all.contains("readable") }
  }

  @Test func `a timer that was set before it went over fires`() async throws {
    let shortage = Shortage(.tooManyOpenFiles)
    let reactor = Reactor(makePoller: { () throws(Errno) -> any Poller in
      try shortage.check()
      return try EpollPoller()
    })
    let log = Log()
    reactor.set(Timer(log), at: .after(.milliseconds(400)))
    #expect(reactor.isMakeshift)
    shortage.end()
    await eventually { log.all == ["timer"] }
    await eventually { !reactor.isMakeshift }
    reactor.stop()
  }

  @Test func `once it has gone over it waits with the system's poller, and with no other`() async throws {
    let (none, full) = (Shortage(.tooManyOpenFiles), Shortage(.noSpace))
    full.end()
    let better = Guarded<FullPoller?>(nil)
    let reactor = Reactor(makePoller: { () throws(Errno) -> any Poller in
      try none.check()
      let poller = try FullPoller(full)
      better.withLock { $0 = poller }
      return poller
    })
    let watched = try Watched(reactor)
    let log = watched.log
    #expect(reactor.isMakeshift && better.withLock { $0 } == nil)
    none.end()
    await eventually { !reactor.isMakeshift }
    let poller = try #require(better.withLock { $0 })
    await eventually { poller.waitCount > 0 }
    let waits = poller.waitCount
    try watched.write()
    await eventually { !log.all.isEmpty && poller.waitCount > waits }
    #expect(better.withLock { $0 } === poller)
    better.withLock { $0 = nil }
  }

  /// If it went over, that half would believe that it is watched, and sleep for ever.
  @Test(arguments: [Errno.noSpace, .noMemory]) func `it does not go over while a descriptor is refused there`(
    _ errno: Errno
  ) async throws {
    let (none, full) = (Shortage(.tooManyOpenFiles), Shortage(errno))
    let tries = Guarded(0)
    let reactor = Reactor(makePoller: { () throws(Errno) -> any Poller in
      try none.check()
      tries.withLock { $0 += 1 }
      return try FullPoller(full)
    })
    let watched = try Watched(reactor)
    let log = watched.log
    none.end()
    await eventually { tries.withLock { $0 > 1 } }
    #expect(reactor.isMakeshift)
    try watched.write()
    await eventually { !log.all.isEmpty }
    full.end()
    await eventually { !reactor.isMakeshift }
  }

  @Test func `without a thread registering fails, calls are carried out by who calls, and later it works`()
    async throws
  {
    let shortage = Shortage(.resourceTemporarilyUnavailable)
    let reactor = Reactor(startThread: { body in
      do throws(Errno) {
        try shortage.check()
      } catch {
        return error
      }
      return HelperThread.start(body)
    })
    #expect(throws: Errno.resourceTemporarilyUnavailable) { _ = try Watched(reactor) }
    let log = Log()
    // Each asks for the next: one after the other, and not one inside the other.
    reactor.call(
      Work {
        reactor.call(Work { log.add("inner") })
        log.add("outer")
      })
    #expect(log.all == ["outer", "inner"])
    reactor.set(Timer(log), at: .immediately)
    shortage.end()
    let watched = try Watched(reactor)
    try watched.write()
    let told = watched.log
    await eventually { !told.all.isEmpty }
    await eventually { log.all.contains("timer") }
  }

  // MARK: Helper threads

  @Test func `however much is offloaded, threads are few, and all of it is done`() async {
    let threads = HelperThreads(name: "sw-test", usual: 3, most: 3)
    let done = Guarded(0)
    let most = Guarded(0)
    for _ in 0..<2_000 {
      let errno = threads.submit {
        let count = threads.threadCount
        most.withLock { $0 = max($0, count) }
        done.withLock { $0 += 1 }
      }
      #expect(errno == nil)
    }
    await eventually { done.withLock { $0 } == 2_000 }
    #expect(most.withLock { $0 } <= 3)
  }

  /// Threads that were asked for, and begin when the test says so. They keep the set that asked, which keeps them, until they are
  /// taken.
  private final class Unbegun: Sendable {
    private let bodies = Guarded<[@Sendable () -> Void]>([])

    func add(_ body: @escaping @Sendable () -> Void) -> Errno? {
      bodies.withLock { $0.append(body) }
      return nil
    }

    func take() -> [@Sendable () -> Void] {
      bodies.withLock { bodies in
        defer { bodies = [] }
        return bodies
      }
    }
  }

  @Test func `threads that have not begun yet are not stuck`() {
    let unbegun = Unbegun()
    let threads = HelperThreads(name: "", usual: 1, most: 2) { body in unbegun.add(body) }
    for _ in 0..<3 { #expect(threads.submit {} == nil) }
    #expect(threads.threadCount == 1)
    // The one thread does all of it, and ends.
    let started = unbegun.take()
    for body in started { body() }
    #expect(threads.threadCount == 0)
  }

  @Test(arguments: [(1, 1), (2, 2)])
  func `a thread that watches is started once, and only where one more may run`(_ most: Int, _ count: Int) {
    let unbegun = Unbegun()
    let threads = HelperThreads(name: "", usual: 1, most: most) { body in unbegun.add(body) }
    for _ in 0..<3 { #expect(threads.submit {} == nil) }
    #expect(threads.threadCount == 1)
    // None of them begins.
    #expect(unbegun.take().count == count)
  }

  @Test func `the thread that watches sleeps as long as the others are not stuck, and takes no work`()
    async throws
  {
    let unbegun = Unbegun()
    let threads = HelperThreads(name: "", usual: 1, most: 2) { body in unbegun.add(body) }
    let done = Guarded(0)
    for _ in 0..<2 { #expect(threads.submit { done.withLock { $0 += 1 } } == nil) }
    let started = unbegun.take()
    try #require(started.count == 2)
    // The first thread has not begun, and so it is not stuck, however long that takes.
    let id = Guarded<Int32?>(nil)
    let watching = TestThread {
      id.withLock { $0 = swsys_thread_id() }
      started[1]()
    }
    await eventually { id.withLock { $0 }.map { swsys_thread_sleeps($0) } ?? false }
    #expect(done.withLock { $0 } == 0 && threads.threadCount == 1)
    let working = TestThread { started[0]() }
    try await working.value
    try await watching.value
    #expect(done.withLock { $0 } == 2 && threads.threadCount == 0)
  }

  @Test func `the thread that watches ends when as many run as may`() async throws {
    let unbegun = Unbegun()
    let asked = Guarded(0)
    let threads = HelperThreads(name: "", usual: 2, most: 2) { body in
      let number = asked.withLock { asked in
        asked += 1
        return asked
      }
      // The second thread is refused, so its work waits, and one watches.
      if number == 2 { return .resourceTemporarilyUnavailable }
      return unbegun.add(body)
    }
    let done = Guarded(0)
    for _ in 0..<3 { #expect(threads.submit { done.withLock { $0 += 1 } } == nil) }
    let started = unbegun.take()
    try #require(started.count == 3 && threads.threadCount == 2)
    try await TestThread { started[1]() }.value
    #expect(done.withLock { $0 } == 0 && threads.threadCount == 2)
    let working = [0, 2].map { number in TestThread { started[number]() } }
    for thread in working { try await thread.value }
    #expect(done.withLock { $0 } == 3 && threads.threadCount == 0)
  }

  @Test func `threads that have been busy for less than 50 ms are not stuck`() {
    var isQuick = false
    // On a very busy machine more time may pass, and then nothing is said.
    for _ in 0..<20 where !isQuick {
      let unbegun = Unbegun()
      let threads = HelperThreads(name: "", usual: 1, most: 2) { body in unbegun.add(body) }
      let found = Guarded<(count: Int, time: UInt64, errno: Errno?)>((0, .max, nil))
      let errno = threads.submit {
        let errno = threads.submit {}
        let (count, time) = (threads.threadCount, Deadline.now.nanoseconds)
        found.withLock { $0 = (count, time, errno) }
      }
      #expect(errno == nil)
      let start = Deadline.now.nanoseconds
      // The second one would watch, and never begins.
      unbegun.take().first?()
      let (count, time, refusal) = found.withLock { $0 }
      #expect(refusal == nil)
      isQuick = time < start + 50_000_000
      if isQuick { #expect(count == 1) }
      _ = unbegun.take()
    }
  }

  @Test func `work that is stuck does not hold up all other work`() async {
    let threads = HelperThreads(name: "sw-test", usual: 1, most: 2)
    let gate = Gate()
    let done = Guarded(0)
    #expect(threads.submit { gate.waitBlocking() } == nil)
    // The one thread counts as stuck after a while, and then the next call starts another.
    await eventually {
      _ = threads.submit { done.withLock { $0 += 1 } }
      return done.withLock { $0 } > 0
    }
    gate.open()
  }

  /// A name that is looked up, or a descriptor that is closed, must not wait for a server that does not answer, and nobody
  /// may ever submit anything again.
  @Test func `work behind work that is stuck begins without another submit`() async {
    let threads = HelperThreads(name: "sw-test", usual: 1, most: 3)
    let gate = Gate()
    let count = Guarded(0)
    for _ in 0..<2 { #expect(threads.submit { gate.waitBlocking() } == nil) }
    #expect(threads.submit { count.withLock { $0 = threads.threadCount } } == nil)
    await eventually { count.withLock { $0 } == 3 }
    gate.open()
  }

  @Test func `a thread that is to watch and cannot be started is started later, without another submit`()
    async
  {
    let shortage = Shortage(.resourceTemporarilyUnavailable)
    shortage.end()
    let threads = HelperThreads(name: "", usual: 1, most: 2, startThread: shortage.start)
    let gate = Gate()
    let isDone = Guarded(false)
    #expect(threads.submit { gate.waitBlocking() } == nil)
    shortage.begin()
    #expect(threads.submit { isDone.withLock { $0 = true } } == nil)
    shortage.end()
    await eventually { isDone.withLock { $0 } }
    gate.open()
  }

  /// Otherwise one bad moment would make every later one as long.
  @Test func `the pauses before a thread is started begin anew after one could be started`() async {
    let shortage = Shortage(.resourceTemporarilyUnavailable)
    let threads = HelperThreads(name: "", usual: 1, most: 2, startThread: shortage.start)
    let shortest = threads.nextPause
    #expect(shortest == 10_000_000)
    threads.run {}
    #expect(threads.nextPause > shortest)
    shortage.end()
    await eventually { threads.nextPause == shortest }
  }

  @Test func `the pauses before a thread is started grow from 10 ms to a second`() async throws {
    let pauses = Guarded<(lengths: [UInt64], times: [ContinuousClock.Instant])>(([], []))
    let holder = Guarded<HelperThreads?>(nil)
    let threads = HelperThreads(name: "", usual: 1, most: 2) { body in
      let length = holder.withLock { $0?.nextPause ?? 0 }
      let isLast = pauses.withLock { pauses in
        pauses.lengths.append(length / 1_000_000)
        pauses.times.append(.now)
        return pauses.lengths.count == 10
      }
      return isLast ? HelperThread.start(body) : .resourceTemporarilyUnavailable
    }
    holder.withLock { $0 = threads }
    threads.run {}
    await eventually { pauses.withLock { $0.lengths.count == 10 } && threads.nextPause == 10_000_000 }
    holder.withLock { $0 = nil }
    let (lengths, times) = pauses.withLock { $0 }
    // The work itself was refused a thread, and then the thread that watches.
    #expect(lengths == [10, 10, 20, 40, 80, 160, 320, 640, 1_000, 1_000])
    // The timer may come later, and not earlier.
    for (index, length) in lengths.enumerated().dropFirst().dropLast() {
      #expect(times[index + 1] - times[index] >= .milliseconds(length))
    }
  }

  @Test func `where no thread is to be had work is refused, and nothing of it is kept`() async {
    let shortage = Shortage(.resourceTemporarilyUnavailable)
    let threads = HelperThreads(name: "", usual: 2, most: 2, startThread: shortage.start)
    let done = Guarded<[Int]>([])
    for round in 0..<3 {
      #expect(threads.submit { done.withLock { $0.append(-round) } } == .resourceTemporarilyUnavailable)
      #expect(threads.threadCount == 0)
    }
    shortage.end()
    let gate = Gate()
    #expect(threads.submit { gate.waitBlocking() } == nil)
    #expect(threads.threadCount == 1)
    gate.open()
    #expect(threads.submit { done.withLock { $0.append(1) } } == nil)
    await eventually { done.withLock { $0 } == [1] }
  }

  @Test func `a thread that runs takes over what a second one was wanted for`() async {
    let shortage = Shortage(.resourceTemporarilyUnavailable)
    shortage.end()
    let threads = HelperThreads(name: "", usual: 2, most: 2, startThread: shortage.start)
    let gate = Gate()
    let done = Guarded<[Int]>([])
    #expect(threads.submit { gate.waitBlocking() } == nil)
    shortage.begin()
    for number in 1...3 {
      #expect(threads.submit { done.withLock { $0.append(number) } } == nil)
      #expect(threads.threadCount == 1)
    }
    gate.open()
    await eventually { done.withLock { $0 } == [1, 2, 3] }
  }

  @Test func `work whose thread could not be started does not wait for work that is stuck`() async {
    let starts = Guarded(0)
    let threads = HelperThreads(name: "", usual: 2, most: 2) { body in
      let number = starts.withLock { starts in
        starts += 1
        return starts
      }
      return number == 2 ? .resourceTemporarilyUnavailable : HelperThread.start(body)
    }
    let gate = Gate()
    #expect(threads.submit { gate.waitBlocking() } == nil)
    let done = Guarded(false)
    #expect(threads.submit { done.withLock { $0 = true } } == nil)
    await eventually { done.withLock { $0 } }
    gate.open()
  }

  /// Another caller sees a thread that is about to start, and relies on it.
  @Test func `what was left to a thread that cannot be started is done when one can`() async {
    let done = Guarded<[Int]>([])
    let others = Guarded<HelperThreads?>(nil)
    let isShort = Guarded(true)
    let threads = HelperThreads(name: "", usual: 1, most: 1) { body in
      if !isShort.withLock({ $0 }) { return HelperThread.start(body) }
      // Further attempts are made for those alone.
      let others = others.withLock { others in
        defer { others = nil }
        return others
      }
      if let others {
        for number in 2...4 { #expect(others.submit { done.withLock { $0.append(number) } } == nil) }
      }
      return .resourceTemporarilyUnavailable
    }
    others.withLock { $0 = threads }
    // It may never end, and the caller may be the reactor. So it is nothing that the caller could do.
    #expect(threads.submit { done.withLock { $0.append(1) } } == .resourceTemporarilyUnavailable)
    #expect(done.withLock { $0 } == [] && threads.threadCount == 0)
    isShort.withLock { $0 = false }
    await eventually { done.withLock { $0 } == [2, 3, 4] }
    // And once.
    #expect(threads.submit { done.withLock { $0.append(5) } } == nil)
    await eventually { done.withLock { $0.count } > 3 && threads.threadCount == 0 }
    #expect(done.withLock { $0 } == [2, 3, 4, 5])
  }

  /// No room for a stack.
  @Test(.disabled(if: isSanitized)) func `a thread that the system refuses is an error, and keeps nothing`()
    async
  {
    await #expect(processExitsWith: .success) { () async throws in
      final class Kept: Sendable {}
      weak var kept: Kept?
      var before = rlimit()
      _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &before)
      var none = rlimit(rlim_cur: 1, rlim_max: before.rlim_max)
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &none)
      let errno: Errno?
      do {
        let object = Kept()
        kept = object
        errno = HelperThread.start { withExtendedLifetime(object) {} }
      }
      let isGone = kept == nil
      var thrown: Errno?
      do throws(Errno) { try await HelperThread.run {} } catch { thrown = error }
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &before)
      #expect(errno == .resourceTemporarilyUnavailable)
      #expect(thrown == .resourceTemporarilyUnavailable)
      #expect(isGone)
      #expect(try await HelperThread.run { 7 } == 7)
    }
  }

  /// The second half of a queue is behind the first, whenever it came.
  @Test func `work that waits is done in the order in which it came`() async {
    let threads = HelperThreads(name: "sw-test", usual: 1, most: 1)
    let done = Guarded<[Int]>([])
    let (first, second) = (Gate(), Gate())
    #expect(threads.submit { first.waitBlocking() } == nil)
    for number in 1...3 {
      #expect(
        threads.submit {
          done.withLock { $0.append(number) }
          if number == 1 { second.waitBlocking() }
        } == nil)
    }
    first.open()
    await eventually { done.withLock { $0 } == [1] }
    for number in 4...6 { #expect(threads.submit { done.withLock { $0.append(number) } } == nil) }
    second.open()
    await eventually { done.withLock { $0.count } == 6 }
    #expect(done.withLock { $0 } == [1, 2, 3, 4, 5, 6])
  }

  @Test func `a thread without work waits for more before it ends`() async {
    var hasWaited = false
    // On a very busy machine the time for which it waits may pass before this test looks.
    for _ in 0..<100 where !hasWaited {
      let threads = HelperThreads(name: "sw-test", usual: 1, most: 1)
      let id = Guarded<Int32?>(nil)
      #expect(threads.submit { id.withLock { $0 = swsys_thread_id() } } == nil)
      await eventually { id.withLock { $0 }.map { swsys_thread_sleeps($0) } ?? false }
      hasWaited = threads.threadCount == 1
      await eventually { threads.threadCount == 0 }
    }
    #expect(hasWaited)
  }

  @Test func `a thread that is idle is woken by the next work, and ends after a while without`() async {
    let started = Guarded(0)
    let ended = Guarded(0)
    let threads = HelperThreads(name: "", usual: 1, most: 1) { body in
      started.withLock { $0 += 1 }
      return HelperThread.start {
        body()
        ended.withLock { $0 += 1 }
      }
    }
    let done = Guarded(0)
    for round in 1...3 {
      #expect(threads.submit { done.withLock { $0 += 1 } } == nil)
      await eventually { done.withLock { $0 } == round }
    }
    await eventually { threads.threadCount == 0 }
    await eventually { ended.withLock { $0 } == started.withLock { $0 } }
    // It starts another one then.
    let before = started.withLock { $0 }
    #expect(threads.submit { done.withLock { $0 += 1 } } == nil)
    await eventually { done.withLock { $0 } == 4 }
    #expect(started.withLock { $0 } == before + 1)
    await eventually { ended.withLock { $0 } == before + 1 }
    #expect(threads.threadCount == 0)
  }

  // MARK: The thread

  /// A reactor of the test's own, and whether its thread has ended.
  private static func makeReactor(
    _ makePoller: @escaping @Sendable () throws(Errno) -> any Poller
  ) -> (reactor: Reactor, hasEnded: Raised) {
    let hasEnded = Raised()
    let reactor = Reactor(
      startThread: { body in
        HelperThread.start {
          body()
          hasEnded.raise()
        }
      }, makePoller: makePoller)
    return (reactor, hasEnded)
  }

  @Test(arguments: [true, false]) func `a reactor that is stopped ends its thread, though it sleeps`(
    _ isSystems: Bool
  ) async throws {
    let (reactor, hasEnded) = Self.makeReactor { () throws(Errno) -> any Poller in
      if isSystems { return try EpollPoller() }
      return PollPoller()
    }
    let log = Log()
    reactor.call(Work { log.add("work") })
    reactor.set(Timer(log), at: .immediately)
    await eventually { log.all.count == 2 }
    #expect(Set(log.all) == ["work", "timer"])
    #expect(!hasEnded.isUp)
    reactor.stop()
    await eventually { hasEnded.isUp }
  }

  @Test func `a reactor counts what it keeps, and lets go of it`() async throws {
    let (reactor, hasEnded) = Self.makeReactor { () throws(Errno) -> any Poller in try EpollPoller() }
    let watched = try Watched(reactor)
    #expect(reactor.load.registrations == 1 && reactor.load.timers == 0)
    let file = try FileDescriptor.open(FilePath("/proc/self/exe"), .readOnly)
    guard case .alwaysReady = reactor.register(file.rawValue, for: watched.log, watching: .readable) else {
      Issue.record("a file is always ready")
      return
    }
    try file.close()
    guard case .failed(.badFileDescriptor) = reactor.register(file.rawValue, for: watched.log, watching: [])
    else {
      Issue.record("it is closed")
      return
    }
    #expect(reactor.load.registrations == 1)
    let timer = Timer(watched.log)
    reactor.set(timer, at: .after(.seconds(1_000_000)))
    #expect(reactor.load.timers == 1)
    reactor.takeBack(timer)
    #expect(reactor.load.timers == 0)
    // A change of what is watched tells what is there.
    let number = watched.pair.first.withDescriptor { $0.rawValue }
    #expect(reactor.watch(watched.id, descriptor: number, .writable) == nil)
    await eventually { watched.log.all == ["other"] }
    #expect(reactor.watch(watched.id, descriptor: -1, .writable) == .badFileDescriptor)
    reactor.deregister(watched.id, descriptor: number)
    #expect(reactor.load.registrations == 0)
    reactor.stop()
    await eventually { hasEnded.isUp }
  }

  /// An endpoint may be detached, and its descriptor adopted by another one.
  @Test func `what is watched no more can be watched again`() throws {
    // Its thread never begins.
    let reactor = Reactor(startThread: { _ in nil })
    let pair = try DescriptorPair.pipe()
    let number = pair.first.withDescriptor { $0.rawValue }
    for _ in 0..<3 {
      guard case .registered(let id) = reactor.register(number, for: Log(), watching: .readable) else {
        Issue.record("it is still watched")
        return
      }
      reactor.deregister(id, descriptor: number)
    }
    #expect(reactor.load.registrations == 0)
    withExtendedLifetime(pair) {}
  }

  // MARK: Signals that are raised later

  @Test func `a delayed raise is replaced by the next, can be taken back, and ends with the signal`() {
    let reactor = ManualReactor()
    let log = Log()
    let signal = ReadinessSignal(log, reactor: reactor)
    for _ in 0..<100 { signal.raise(.readable, after: .seconds(5)) }
    #expect(reactor.timerCount == 1)
    signal.raise([.readable, .writable], after: .seconds(7))
    #expect(reactor.timerCount == 2)
    reactor.pass(.after(.seconds(6)))
    #expect(log.all.isEmpty)
    signal.cancelRaise(.writable)
    reactor.pass(.after(.seconds(8)))
    #expect(log.all == ["readable"] && reactor.timerCount == 0)
    for direction in [Readiness.readable, .writable] {
      signal.raise([.readable, .writable], after: .seconds(7))
      signal.cancelRaise(direction)
      #expect(reactor.timerCount == 1)
      signal.cancelRaise([.readable, .writable])
      #expect(reactor.timerCount == 0)
    }
    signal.raise([.readable, .writable], after: .seconds(7))
    signal.detach()
    signal.raise(.readable, after: .seconds(7))
    #expect(reactor.timerCount == 0)
  }
}
