import CSysTestSupport
import Glibc
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// The executor whose threads receive messages: several, one, and none that can be started.
@Suite(.lastResort, .leavesNothing) struct MessagingExecutorTests {
  /// An executor with threads of its own, and endpoints that they look after.
  private final class Own: Sendable {
    private final class Threads: Sendable {
      struct State: Sendable {
        var refusals: Int
        var starts = 0
        var ends = 0
      }
      let state: Guarded<State>
      init(refusing count: Int) { state = Guarded(State(refusals: count)) }
    }

    let reactor: Reactor
    let executor: MessagingExecutor
    private let threads: Threads

    /// - Parameter refusing: how many threads are not to be had, the first of them after so many that are.
    init(workers: Int, after granted: Int = 0, refusing count: Int = 0) {
      let threads = Threads(refusing: count)
      self.threads = threads
      reactor = Reactor(startThread: { body in
        let isRefused = threads.state.withLock { state in
          if state.starts >= granted, state.refusals > 0 {
            state.refusals -= 1
            return true
          }
          state.starts += 1
          return false
        }
        if isRefused { return .resourceTemporarilyUnavailable }
        return HelperThread.start {
          body()
          threads.state.withLock { $0.ends += 1 }
        }
      })
      executor = MessagingExecutor(reactor, workerCount: workers)
    }

    var running: Int { threads.state.withLock { $0.starts - $0.ends } }

    func pair() throws -> (MessageDuplex<VarIntFraming>, MessageDuplex<VarIntFraming>) {
      let pair = try DescriptorPair.sockets(.unix)
      return (try end(pair.first.release().rawValue), try end(pair.second.release().rawValue))
    }

    private func end(_ number: Int32) throws -> MessageDuplex<VarIntFraming> {
      let core = try EndpointCore(adopting: number, for: [.readable, .writable], reactor: reactor)
      return MessageDuplex(core: core, framing: .varInt)
    }

    func run<Result: Sendable>(
      _ body: @escaping @Sendable @concurrent () async throws -> Result
    ) -> Task<Result, any Error> {
      Task(executorPreference: executor) { try await body() }
    }

    func end() async {
      reactor.stop()
      await eventually { self.running == 0 }
    }
  }

  // MARK: Several threads

  @Test(arguments: [2, 3]) func `as many tasks run at once as there are workers, and no more`(
    _ count: Int
  ) async throws {
    let own = Own(workers: count)
    let holds = (0...count).map { _ in Hold() }
    let begun = Guarded<Set<Int>>([])
    let tasks = (0...count).map { index in
      own.run {
        begun.withLock { _ = $0.insert(index) }
        holds[index].block()
      }
    }
    await eventually { begun.withLock { $0.count } == count }
    #expect(own.reactor.workerCount == count)
    // Each of the others is held; the last one comes when one of them has gone.
    let first = try #require(begun.withLock { $0.first })
    holds[first].release()
    await eventually { begun.withLock { $0.count } == count + 1 }
    for index in 0...count where index != first { holds[index].release() }
    for task in tasks { try await task.value }
    await own.end()
  }

  @Test func `a task that computes holds up no message, no deadline and no other task`() async throws {
    let own = Own(workers: 2)
    let (left, right) = try own.pair()
    let hold = Hold()
    let isHeld = Raised()
    let long = own.run {
      isHeld.raise()
      hold.block()
    }
    await eventually { isHeld.isUp }
    let echo = own.run {
      while let message = try await right.next() { try await right.send(message) }
    }
    for index in 0..<200 as Range<UInt8> {
      try await left.send([index])
      #expect(try await left.receive() == [index])
    }
    #expect(await endpointError { try await left.receive(timeout: .milliseconds(1)) }?.reason == .timedOut)
    #expect(try await own.run { 7 }.value == 7)
    left.close()
    try await echo.value
    hold.release()
    try await long.value
    await own.end()
  }

  @Test func `a task that computes holds up none that it has started before`() async throws {
    let own = Own(workers: 2)
    let executor = own.executor
    let (hold, hasRun) = (Hold(), Raised())
    // One alone is left to the worker at first, and taken up by the other one after a while.
    let long = own.run {
      let child = Task(executorPreference: executor) { @concurrent in hasRun.raise() }
      hold.block()
      await child.value
    }
    await eventually { hasRun.isUp }
    hold.release()
    try await long.value
    await own.end()
  }

  @Test func `tasks that block every worker delay the rest, which goes on after them`() async throws {
    let own = Own(workers: 2)
    let (left, right) = try own.pair()
    let holds = [Hold(), Hold()]
    let held = Guarded(0)
    let tasks = holds.map { hold in
      own.run {
        held.withLock { $0 += 1 }
        hold.block()
      }
    }
    await eventually { held.withLock { $0 } == 2 }
    let receiver = own.run { try await right.receive() }
    let late = own.run { await endpointError { try await left.receive(timeout: .milliseconds(1)) } }
    try left.withDescriptor { _ = try $0.writeAll([1, 42]) }
    for hold in holds { hold.release() }
    #expect(try await receiver.value == [42])
    #expect(try await late.value?.reason == .timedOut)
    for task in tasks { try await task.value }
    await own.end()
  }

  @Test func `many tasks echo over many connections at once`() async throws {
    let own = Own(workers: 3)
    let count = stressed(2_000)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for connection in 0..<8 {
        let (left, right) = try own.pair()
        group.addTask(executorPreference: own.executor) {
          while let message = try await right.next(timeout: .seconds(600)) { try await right.send(message) }
        }
        group.addTask(executorPreference: own.executor) {
          defer { left.close() }
          for index in 0..<count {
            let message = [UInt8(connection), UInt8(index & 255), UInt8(index >> 8)]
            try await left.send(message)
            let answer = try await left.receive(timeout: .seconds(600))
            guard answer == message else {
              Issue.record("\(answer) instead of \(message)")
              return
            }
          }
        }
      }
      try await group.waitForAll()
    }
    await own.end()
  }

  @Test func `deadlines end in order of their time, whichever worker sees to them`() async throws {
    let own = Own(workers: 3)
    let (left, right) = try own.pair()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<200 {
        group.addTask(executorPreference: own.executor) {
          let error = await endpointError { try await right.receive(timeout: .milliseconds(1 + index % 5)) }
          #expect(error?.reason == .timedOut)
        }
      }
      try await group.waitForAll()
    }
    #expect(own.reactor.load.timers == 0 && right.queued == 0)
    withExtendedLifetime(left) {}
    await own.end()
  }

  /// A transport whose news has not been told when the deadline passes.
  private final class Untold: SocketLike {
    let bytes = Guarded<[UInt8]>([])
    var readinessSource: ReadinessSource { .signal }
    func attach(_ signal: ReadinessSignal) {}
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      bytes.withLock { bytes in
        if bytes.isEmpty { return .wouldBlock }
        unsafe memory.copyBytes(from: bytes)
        defer { bytes = [] }
        return .transferred(bytes.count)
      }
    }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { .transferred(bytes.count) }
    func finishSending() {}
    func close() {}
  }

  /// The worker that fires the timer may not be the one that holds the news.
  @Test(arguments: [true, false]) func `what has arrived before its deadline is delivered`(
    _ overtakes: Bool
  ) throws {
    let reactor = ManualReactor(
      timersMayOvertakeEvents: overtakes, startingAt: Deadline(nanoseconds: 1))
    let transport = Untold()
    let core = EndpointCore(transport, for: [.readable, .writable], reactor: reactor)
    let half = try #require(core.receiving)
    var waits: [(ReceivePlace, TaskWait)] = []
    for _ in 0..<2 {
      guard case .queued(let place) = half.start(.upTo(1), as: .task, until: Deadline(nanoseconds: 5)) else {
        Issue.record("nothing has come")
        return
      }
      let wait = TaskWait(place)
      wait.arm()
      waits.append((place, wait))
    }
    transport.bytes.withLock { $0 = [42] }
    reactor.pass(Deadline(nanoseconds: 5))
    let outcomes = waits.map { half.outcome(of: $0.0) }
    switch outcomes[0] {
    case .delivered(let delivery): #expect(overtakes && delivery.bytes == [42])
    case .failed(let error): #expect(!overtakes && error.reason == .timedOut)
    case .lent: Issue.record("nobody looks at it")
    }
    // There was nothing for the second one.
    guard case .failed(let error) = outcomes[1] else {
      Issue.record("\(outcomes[1])")
      return
    }
    #expect(error.reason == .timedOut)
    for (_, wait) in waits { wait.finish() }
    core.receiving?.close()
    core.sending?.close()
    reactor.drive()
  }

  // MARK: Few threads

  @Test func `on one worker everything runs, one at a time`() async throws {
    let own = Own(workers: 1)
    let (left, right) = try own.pair()
    let echo = own.run {
      while let message = try await right.next() { try await right.send(message) }
    }
    let client = own.run {
      for index in 0..<100 as Range<UInt8> {
        try await left.send([index])
        #expect(try await left.receive() == [index])
      }
      left.close()
    }
    try await client.value
    try await echo.value
    #expect(own.reactor.workerCount == 1)
    await own.end()
  }

  @Test func `the number of workers may change at any time`() async throws {
    let own = Own(workers: 1)
    #expect(own.executor.workerCount == 1)
    try await own.run {}.value
    #expect(own.reactor.workerCount == 1)
    #expect(!own.reactor.timersMayOvertakeEvents)
    own.executor.workerCount = 4
    try await own.run {}.value
    #expect(own.reactor.workerCount == 4 && own.reactor.timersMayOvertakeEvents)
    own.executor.workerCount = 2
    await eventually { own.reactor.workerCount == 2 && own.running == 2 }
    let (left, right) = try own.pair()
    let receiver = own.run { try await right.receive() }
    try await left.send([1])
    #expect(try await receiver.value == [1])
    own.executor.workerCount = 1
    await eventually { own.reactor.workerCount == 1 && own.running == 1 }
    #expect(!own.reactor.timersMayOvertakeEvents)
    own.executor.workerCount = 3
    try await own.run {}.value
    #expect(own.reactor.workerCount == 3)
    await own.end()
  }

  @Test func `without further threads tasks run on those that there are, and later on more`() async throws {
    let own = Own(workers: 3, after: 1, refusing: 2)
    let start = ContinuousClock.now
    try await own.run {}.value
    #expect(own.reactor.workerCount == 1)
    // It is tried again after a while, as long as tasks come: twice after 100 ms, and a slow machine takes longer.
    while own.reactor.workerCount < 3 { try await own.run {}.value }
    #expect(start.duration(to: .now) >= .milliseconds(200))
    let (left, right) = try own.pair()
    let receiver = own.run { try await right.receive() }
    try await left.send([1])
    #expect(try await receiver.value == [1])
    await own.end()
  }

  @Test func `without any thread tasks run on the default executor, and waiting is refused`() async throws {
    let own = Own(workers: 2, refusing: .max)
    #expect(try await own.run { 7 }.value == 7)
    let (left, right) = try own.pair()
    let error = try await own.run { await endpointError { try await right.receive() } }.value
    guard case .transport(let failure) = error?.reason else {
      Issue.record("nobody could wait: \(String(describing: error))")
      return
    }
    #expect(failure.errno == .resourceTemporarilyUnavailable)
    // Attempts need no thread.
    try await left.send([1])
    #expect(try await own.run { try await right.receive() }.value == [1])
  }

  @Test func `without any thread tasks run in the order in which they came`() async throws {
    let own = Own(workers: 2, refusing: .max)
    for _ in 0..<stressed(100) {
      let order = Guarded<[Int]>([])
      let tasks = (0..<20).map { number in own.run { order.withLock { $0.append(number) } } }
      for task in tasks { try await task.value }
      #expect(order.withLock { $0 } == Array(0..<20))
    }
  }

  /// A program may resume a task while it holds a lock that the task takes.
  @Test(arguments: [true, false])
  func `without any thread no task runs inside the call that starts or resumes it`(
    _ isSerial: Bool
  ) async throws {
    let own = Own(workers: 2, refusing: .max)
    let serial = ReactorExecutor(own.reactor)
    let executor: any TaskExecutor = isSerial ? serial : own.executor
    let parked = Guarded<CheckedContinuation<Void, Never>?>(nil)
    let resumedOn = Task(executorPreference: executor) { @concurrent in
      await withCheckedContinuation { continuation in
        parked.withLock { $0 = continuation }
      }
      return Self.currentThread
    }
    await eventually { parked.withLock { $0 != nil } }
    let thread = TestThread { () -> (Int32, Task<Int32, Never>) in
      let task = Task(executorPreference: executor) { @concurrent in Self.currentThread }
      parked.withLock { $0.take() }?.resume()
      return (Self.currentThread, task)
    }
    let (caller, started) = try await thread.value
    #expect(await started.value != caller)
    #expect(await resumedOn.value != caller)
  }

  private static var currentThread: Int32 { swsys_thread_id() }

  /// How many tasks run at this moment, and the most that have.
  private final class Running: Sendable {
    private let state = Guarded((now: 0, most: 0))
    var most: Int { state.withLock { $0.most } }
    func begin() {
      state.withLock { state in
        state.now += 1
        state.most = max(state.most, state.now)
      }
    }
    func end() { state.withLock { $0.now -= 1 } }
  }

  @Test func `without any thread one task of the serial executor runs at a time`() async throws {
    let own = Own(workers: 2, refusing: .max)
    let executor = ReactorExecutor(own.reactor)
    let running = Running()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<50 {
        group.addTask(executorPreference: executor) { @concurrent in
          for _ in 0..<20 {
            running.begin()
            sched_yield()
            running.end()
            await Task.yield()
          }
        }
      }
    }
    #expect(running.most == 1)
  }

  // MARK: Idle

  private final class Rung: DeadlineReceiver {
    let isUp = Raised()
    func deadlinePassed() { isUp.raise() }
  }

  @Test(arguments: [1, 4]) func `workers that have nothing to do wait, and do not look around`(
    _ count: Int
  ) async throws {
    let pollers = Guarded<[CountingPoller]>([])
    let ended = Guarded(0)
    let reactor = Reactor(
      startThread: { body in
        HelperThread.start {
          body()
          ended.withLock { $0 += 1 }
        }
      },
      makePoller: { () throws(Errno) -> any Poller in
        let made = try CountingPoller()
        pollers.withLock { $0.append(made) }
        return made
      })
    let executor = MessagingExecutor(reactor, workerCount: count)
    await Task(executorPreference: executor) { @concurrent in }.value
    #expect(reactor.workerCount == count)
    let waits = { pollers.withLock { pollers in pollers.reduce(0) { $0 + $1.waits.withLock { $0 } } } }
    let before = waits()
    // Until a timer of 100 ms fires, which takes one wait, besides those with which each worker begins and ends.
    let rung = Rung()
    reactor.set(Timer(rung), at: .after(.milliseconds(100)))
    await eventually { rung.isUp.isUp }
    #expect(waits() - before <= 2 * count + 4)
    reactor.stop()
    await eventually { ended.withLock { $0 } == count }
  }

  @Test func `messages one after the other wake one worker each`() async throws {
    let pollers = Guarded<[CountingPoller]>([])
    let reactor = Reactor(makePoller: { () throws(Errno) -> any Poller in
      let made = try CountingPoller()
      pollers.withLock { $0.append(made) }
      return made
    })
    let executor = MessagingExecutor(reactor, workerCount: 3)
    let (left, right) = try makeSocketPair()
    let number = try right.withDescriptor { $0 }
    let copy = try OwnedDescriptor(duplicating: number)
    let receiver = MessageReader(
      core: try EndpointCore(adopting: copy.release().rawValue, for: .readable, reactor: reactor),
      framing: .varInt)
    let count = 200
    let task = Task(executorPreference: executor) { @concurrent in
      for _ in 0..<count { _ = try await receiver.receive() }
    }
    await eventually { receiver.queued == 1 }
    let counter = try #require(pollers.withLock { $0.first })
    let before = counter.waits.withLock { $0 }
    for index in 0..<count {
      try await left.send([1, 7])
      await eventually { receiver.queued == 1 || index == count - 1 }
    }
    try await task.value
    // A wait for each message, and some at the beginning and the end. Were two woken, there would be twice as many.
    #expect(counter.waits.withLock { $0 } - before < count * 3 / 2)
    receiver.close()
    reactor.stop()
  }

  @Test func `a worker that spins finds what comes, and goes to sleep when nothing does`() async throws {
    let own = Own(workers: 2)
    own.executor.spinning = .milliseconds(1)
    #expect(own.executor.spinning == .milliseconds(1))
    let (left, right) = try own.pair()
    let echo = own.run {
      while let message = try await right.next() { try await right.send(message) }
    }
    for index in 0..<200 as Range<UInt8> {
      try await left.send([index])
      #expect(try await left.receive(timeout: .seconds(600)) == [index])
    }
    #expect(await endpointError { try await left.receive(timeout: .milliseconds(5)) }?.reason == .timedOut)
    left.close()
    try await echo.value
    own.executor.spinning = .zero
    #expect(own.executor.spinning == .zero)
    await own.end()
  }

  // MARK: Blocking

  @Test func `blocking calls of tasks run on helper threads where that is asked for`() async throws {
    let own = Own(workers: 1)
    let (left, right) = try own.pair()
    let receiver = own.run {
      try await runBlocking {
        #expect(!Reactor.isCurrentThread)
        return try right.blocking.receive()
      }
    }
    #expect(try await own.run { Reactor.isCurrentThread }.value)
    try await left.send([5])
    #expect(try await receiver.value == [5])
    struct Oops: Error {}
    await #expect(throws: Oops.self) { try await runBlocking { throw Oops() } }
    await own.end()
  }

  @Test func `the shared executor serves endpoints that are made as usual`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let echo = Task(executorPreference: .messaging) { @concurrent in
      while let message = try await right.next() {
        #expect(Reactor.isCurrentThread)
        try await right.send(message)
      }
    }
    for index in 0..<100 as Range<UInt8> {
      try await left.send([index])
      #expect(try await left.receive() == [index])
    }
    left.close()
    try await echo.value
    #expect(MessagingExecutor.shared.workerCount >= 2)
  }

  @Test func `of the tasks of the serial executor one runs at a time, also where there are several threads`()
    async throws
  {
    let own = Own(workers: 2)
    let serial = ReactorExecutor(own.reactor)
    let (hold, isHeld, hasRun) = (Hold(), Raised(), Raised())
    let first = Task(executorPreference: serial) { @concurrent in
      isHeld.raise()
      hold.block()
    }
    await eventually { isHeld.isUp }
    let second = Task(executorPreference: serial) { @concurrent in hasRun.raise() }
    // The other thread takes this one. It is behind the second one, if that may run.
    try await own.run {}.value
    #expect(!hasRun.isUp)
    hold.release()
    await first.value
    await second.value
    await own.end()
  }

  @Test func `tasks that follow each other without a pause keep no message waiting`() async throws {
    let own = Own(workers: 1)
    let executor = own.executor
    let (left, right) = try own.pair()
    let (hasBegun, isReceived) = (Raised(), Raised())
    let receiver = own.run { () -> [UInt8] in
      defer { isReceived.raise() }
      return try await right.receive()
    }
    await eventually { right.queued == 1 }
    // A yield would go by way of the default executor. A task that awaits another one leaves no moment without a job.
    let busy = own.run {
      let limit = Deadline.after(.patience)
      hasBegun.raise()
      while !isReceived.isUp, !limit.hasPassed {
        await Task(executorPreference: executor) { @concurrent in }.value
      }
    }
    await eventually { hasBegun.isUp }
    try await left.send([7])
    #expect(try await receiver.value == [7])
    try await busy.value
    await own.end()
  }
}
