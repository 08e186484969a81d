import CSysShim
import CSysTestSupport
import Foundation
import Glibc
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Attempts that do not come back, although no attempt waits: a process at the other end of a pipe can hold the pipe's lock.
@Suite(.lastResort, .leavesNothing, .timeLimit(.minutes(5))) struct HangTests {
  /// A receiver of readiness that keeps the reactor's thread until it is let go.
  private final class Hanging: ReadinessReceiver {
    private let hasBegun = Raised()
    private let mayGo = Raised()
    private let hasEnded = Raised()
    var isInside: Bool { hasBegun.isUp && !hasEnded.isUp }
    var isOver: Bool { hasEnded.isUp }
    func letGo() { mayGo.raise() }
    func readinessChanged(_ readiness: Readiness, mayDrive: Bool) {
      hasBegun.raise()
      while !mayGo.isUp { sched_yield() }
      hasEnded.raise()
    }
  }

  private final class Heard: ReadinessReceiver, DeadlineReceiver {
    private let isRung = Raised()
    var rings: Bool { isRung.isUp }
    func readinessChanged(_ readiness: Readiness, mayDrive: Bool) { isRung.raise() }
    func deadlinePassed() { isRung.raise() }
  }

  /// A reactor of its own, and what it watches.
  private final class Watched {
    let reactor: Reactor
    private var all: [(id: RegistrationID, watched: FileDescriptor, other: FileDescriptor)] = []

    init(_ reactor: Reactor) { self.reactor = reactor }

    /// Has a descriptor watched that is ready already.
    func watch(_ receiver: any ReadinessReceiver) throws {
      let (watched, other) = try FileDescriptor.pipe()
      _ = try other.writeAll([1])
      guard case .registered(let id) = reactor.register(watched.rawValue, for: receiver, watching: .readable)
      else { throw Errno.notPermitted }
      all.append((id, watched, other))
    }

    /// Checks that a step that does not come back is replaced.
    func checkReplacement() async throws {
      let (hanging, event) = (Hanging(), Heard())
      try watch(hanging)
      await eventually { hanging.isInside }
      try watch(event)
      await eventually { event.rings }
      hanging.letGo()
      await eventually { [reactor] in reactor.workerCount == 1 && hanging.isOver }
    }

    deinit {
      for (id, watched, other) in all {
        reactor.deregister(id, descriptor: watched.rawValue)
        for end in [watched, other] { try? end.close() }
      }
      reactor.stop()
    }
  }

  @Test
  func `a step that does not come back holds up no other one, and its thread is replaced for that long`()
    async throws
  {
    let watched = Watched(Reactor())
    let reactor = watched.reactor
    reactor.expectHangs()
    // Once more after the first time, and with two at a time.
    for count in [1, 1, 2] {
      var hanging: [Hanging] = []
      for _ in 0..<count {
        let next = Hanging()
        hanging.append(next)
        try watched.watch(next)
        await eventually { next.isInside }
      }
      let (event, timer) = (Heard(), Heard())
      try watched.watch(event)
      reactor.set(Timer(timer), at: .immediately)
      await eventually { event.rings && timer.rings && reactor.workerCount == count + 1 }
      #expect(reactor.workerLimit == 1)
      #expect(reactor.timersMayOvertakeEvents)
      #expect(hanging.allSatisfy { !$0.isOver })
      for next in hanging { next.letGo() }
      await eventually { reactor.workerCount == 1 && hanging.allSatisfy(\.isOver) }
      #expect(!reactor.timersMayOvertakeEvents)
    }
  }

  /// The reactor may drive it before it has been registered.
  @Test(arguments: [false, true])
  func `the threads are watched as soon as there is an endpoint over a pipe, or around one`(
    _ isAround: Bool
  ) async throws {
    let watched = Watched(Reactor())
    let reactor = watched.reactor
    var capabilities = TransportCapabilities()
    capabilities.attemptsMayHang = true
    let (readEnd, writeEnd) = try FileDescriptor.pipe()
    let core =
      isAround
      ? EndpointCore(PlayedTransport(capabilities: capabilities), for: .readable, reactor: reactor)
      : try EndpointCore(adopting: readEnd.rawValue, for: .readable, reactor: reactor)
    try await watched.checkReplacement()
    core.receiving?.close()
    if isAround { try readEnd.close() }
    try writeEnd.close()
  }

  /// No step of the new worker starts it: there is nothing to do. Other workers may hang, too.
  @Test func `the new worker is watched at once`() async throws {
    let count = Guarded(0)
    let watched = Watched(
      Reactor(startThread: { body in
        count.withLock { $0 += 1 }
        return HelperThread.start(body)
      }))
    let reactor = watched.reactor
    reactor.expectHangs()
    let hanging = Hanging()
    try watched.watch(hanging)
    // The worker, the thread that watched it and is the new worker, and one that watches this one.
    await eventually { hanging.isInside && count.withLock { $0 } == 3 }
    hanging.letGo()
    await eventually { reactor.workerCount == 1 }
  }

  @Test func `a thread that has watched for a second without a step is started again by the next one`()
    async throws
  {
    let started = Guarded(0)
    let ended = Guarded(0)
    let watched = Watched(
      Reactor(startThread: { body in
        started.withLock { $0 += 1 }
        return HelperThread.start {
          body()
          ended.withLock { $0 += 1 }
        }
      }))
    watched.reactor.expectHangs()
    let first = Heard()
    try watched.watch(first)
    await eventually { first.rings && started.withLock { $0 } == 2 && ended.withLock { $0 } == 1 }
    try await watched.checkReplacement()
  }

  @Test func `a step is not replaced before it has taken 50 ms`() async throws {
    let watched = Watched(Reactor())
    let reactor = watched.reactor
    reactor.expectHangs()
    let hanging = Hanging()
    let start = Deadline.now.nanoseconds
    try watched.watch(hanging)
    await eventually { reactor.workerCount >= 2 }
    #expect(Deadline.now.nanoseconds - start >= 50_000_000)
    hanging.letGo()
    await eventually { reactor.workerCount == 1 && hanging.isOver }
  }

  @Test func `a replaced thread that has come back leaves the number of threads to what may run`()
    async throws
  {
    let pollers = Guarded(0)
    let watched = Watched(
      Reactor(makePoller: { () throws(Errno) -> any Poller in
        pollers.withLock { $0 += 1 }
        return try EpollPoller()
      }))
    let reactor = watched.reactor
    reactor.expectHangs()
    try await watched.checkReplacement()
    // One thread may run, and one does, so none is missing. A second poller would be for others.
    let serial = ReactorExecutor(reactor)
    await Task(executorPreference: serial) { @concurrent in }.value
    #expect(pollers.withLock { $0 } == 1)
    reactor.allow(workers: 1)
    await Task(executorPreference: serial) { @concurrent in }.value
    #expect(pollers.withLock { $0 } == 1)
    // Two run while one is lost, and two may. When that one has come back and a surplus one has ended, one is missing.
    let hanging = Hanging()
    try watched.watch(hanging)
    await eventually { reactor.workerCount >= 2 }
    let executor = MessagingExecutor(reactor, workerCount: 2)
    hanging.letGo()
    await eventually { reactor.workerCount == 1 }
    await Task(executorPreference: executor) { @concurrent in }.value
    #expect(reactor.workerCount >= 2)
  }

  @Test func `the thread that watches the others is started again when there is one to be had`() async throws
  {
    let refusals = Guarded(0)
    let isFirst = Guarded(true)
    let watched = Watched(
      Reactor(startThread: { body in
        // The worker starts, and the first three that would watch it do not.
        let isWorker = isFirst.withLock { first in
          defer { first = false }
          return first
        }
        let isRefused =
          !isWorker
          && refusals.withLock { refusals in
            refusals += 1
            return refusals <= 3
          }
        return isRefused ? .resourceTemporarilyUnavailable : HelperThread.start(body)
      }))
    watched.reactor.expectHangs()
    let start = ContinuousClock.now
    // Each step asks for the thread, but not before a pause has passed.
    while refusals.withLock({ $0 }) < 4 {
      let next = Heard()
      try watched.watch(next)
      await eventually { next.rings }
    }
    #expect(start.duration(to: .now) >= .milliseconds(300))
    try await watched.checkReplacement()
  }

  /// The number of a thread.
  private final class Number: Sendable {
    private let noted = Guarded<Int32>(0)
    var value: Int32 { noted.withLock { $0 } }
    func note() { noted.withLock { $0 = swsys_thread_id() } }
  }

  /// Moves bytes from a socket into a pipe, as some implementations of `cat` do, and holds the lock of the pipe while the
  /// socket has none.
  private final class Splicer: Sendable {
    private let source: FileDescriptor
    private let feed: FileDescriptor
    private let number = Number()
    private let thread: TestThread<Void>

    /// - Parameter pipe: is closed in the end.
    init(into pipe: FileDescriptor) throws {
      let pair = try DescriptorPair.sockets()
      let source = pair.first.release()
      (self.source, feed) = (source, pair.second.release())
      let number = number
      thread = TestThread {
        number.note()
        while swsys_splice(source.rawValue, pipe.rawValue, 1) > 0 {}
        try pipe.close()
      }
    }

    deinit { try? source.close() }

    func put(_ bytes: [UInt8]) throws { _ = try feed.writeAll(bytes) }

    /// Whether the thread has moved everything, and sleeps in the splice, where it waits for more.
    var holdsLock: Bool {
      let isDone = swsys_poll_now(source.rawValue, Int32(SWSYS_READABLE)) == 0
      return isDone
        && HangTests.threads().contains { $0.number == number.value && $0.state == "S" }
    }

    func end() async throws {
      try feed.close()
      try await thread.value
    }
  }

  private struct ThreadOfProcess {
    var number: Int32
    var name: String
    /// As in `ps`: S for one that sleeps, D for one that nothing can wake but what it waits for.
    var state: Character
  }

  private static func threads() -> [ThreadOfProcess] {
    let numbers = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    return numbers.compactMap { number in
      // 17 (sw-reactor) S …
      let stat = try? String(contentsOfFile: "/proc/self/task/\(number)/stat", encoding: .utf8)
      guard let stat, let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")"),
        let number = Int32(number), let state = stat[close...].dropFirst(2).first
      else { return nil }
      return ThreadOfProcess(
        number: number, name: String(stat[stat.index(after: open)..<close]), state: state)
    }
  }

  private static var reactorHangs: Bool { threads().contains { $0.name == "sw-reactor" && $0.state == "D" } }

  /// Whether a read of a pipe waits for a splice into it that waits for a socket.
  private static func aSpliceHoldsTheLock() async throws -> Bool {
    let (readEnd, writeEnd) = try FileDescriptor.pipe()
    let splicer = try Splicer(into: writeEnd)
    try splicer.put([1])
    await eventually { splicer.holdsLock }
    let (number, isOver) = (Number(), Raised())
    let reader = TestThread {
      number.note()
      try unsafe withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) {
        _ = try unsafe readEnd.read(into: $0)
      }
      isOver.raise()
    }
    await eventually {
      isOver.isUp || threads().contains { $0.number == number.value && $0.state == "D" }
    }
    let holds = !isOver.isUp
    try await splicer.end()
    try await reader.value
    try readEnd.close()
    return holds
  }

  @Test(.enabled("with this kernel a splice holds no lock", aSpliceHoldsTheLock))
  func `a pipe whose lock a peer holds keeps no other connection, and no call of its own, from their ends`()
    async throws
  {
    let (readEnd, writeEnd) = try FileDescriptor.pipe()
    let reader = MessageReader(over: try SocketReader(adopting: OwnedDescriptor(adopting: readEnd)))
    let before = Reactor.shared.load.registrations
    let waiting = Task { await endpointError { try await reader.receive() } }
    await eventually { Reactor.shared.load.registrations > before }
    let splicer = try Splicer(into: writeEnd)
    // The beginning of a frame of a billion bytes.
    try splicer.put([0xFB, 0x3B, 0x9A, 0xCA, 0x00])
    // Until the reactor comes too late to take the last byte before the lock is held.
    repeat {
      try splicer.put([UInt8](repeating: 1, count: 50))
      await eventually { splicer.holdsLock }
      await eventually {
        Self.reactorHangs || swsys_poll_now(readEnd.rawValue, Int32(SWSYS_READABLE)) == 0
      }
    } while !Self.reactorHangs
    // Others are served.
    let (one, other) = try makeSocketPair()
    let heard = Task { try await one.receive(exactly: 3) }
    try await other.send([1, 2, 3])
    #expect(try await heard.value == [1, 2, 3])
    // The calls of the pipe end.
    for timeout: Duration in [.milliseconds(20), .zero] {
      let error = await endpointError { try await reader.receive(timeout: timeout) }
      #expect(error?.reason == .timedOut)
    }
    let thread = TestThread { blockingError { try reader.blocking.receive(timeout: .zero) } }
    #expect(try await thread.value?.reason == .timedOut)
    waiting.cancel()
    #expect(await waiting.value?.reason == .cancelled)
    #expect(Self.reactorHangs)
    reader.close()
    try await splicer.end()
    await eventually {
      !Self.reactorHangs && Reactor.shared.workerCount <= Reactor.shared.workerLimit
    }
  }

  private static func othersAreServed() async throws {
    let (one, other) = try makeSocketPair()
    let heard = Task(executorPreference: .reactor) { @Sendable in try await one.receive(exactly: 3) }
    try await other.send([1, 2, 3])
    #expect(try await heard.value == [1, 2, 3])
  }

  @Test func `a call that leaves its attempt to the reactor has it, however short its time is`() async throws
  {
    let (reader, writer) = try makePipe(framing: .varInt)
    try await Task(executorPreference: .reactor) { @Sendable in
      for timeout: Duration in [.zero, .nanoseconds(1)] {
        try await writer.send([1], timeout: timeout)
        #expect(try await reader.receive(timeout: timeout) == [1])
      }
    }.value
  }

  @Test(arguments: [false, true])
  func `a task on the reactor's thread leaves the attempt for a call before it to the reactor, too`(
    _ isSending: Bool
  ) async throws {
    var capabilities = TransportCapabilities()
    capabilities.attemptsMayHang = true
    let transport = PlayedTransport(
      receiving: [.wouldBlock], sending: [.wouldBlock], capabilities: capabilities)
    let duplex = SocketDuplex(transport: transport)
    let halves = (receiving: duplex.core.receiving as Half?, sending: duplex.core.sending as Half?)
    let half = try #require(isSending ? halves.sending : halves.receiving)
    let call: @Sendable () async throws -> Void = {
      if isSending { try await duplex.send([1]) } else { _ = try await duplex.receive(upTo: 1) }
    }
    let first = Task(executorPreference: .reactor) { @Sendable in try await call() }
    await eventually {
      !transport.log.isEmpty && half.inspect { $0.queue.count == 1 && !$0.turn && !$0.stirred }
    }
    let (isInside, mayGo) = (Raised(), Raised())
    defer { mayGo.raise() }
    transport.meanwhile {
      isInside.raise()
      while !mayGo.isUp { sched_yield() }
    }
    transport.append(receiving: .transferred(1), .transferred(1))
    let second = Task(executorPreference: .reactor) { @Sendable in try await call() }
    await eventually { isInside.isUp }
    try await Self.othersAreServed()
    mayGo.raise()
    try await first.value
    try await second.value
    await eventually { Reactor.shared.workerCount <= Reactor.shared.workerLimit }
  }

  /// Nothing signals that there is room, so the call itself is what brings the attempt about.
  @Test func `a call behind another one that leaves its attempt to the reactor has it`() async throws {
    var capabilities = TransportCapabilities()
    capabilities.attemptsMayHang = true
    let transport = PlayedTransport(sending: [.wouldBlock], capabilities: capabilities)
    let writer = SocketWriter(transport: transport)
    let half = try #require(writer.core.sending)
    let first = Task(executorPreference: .reactor) { @Sendable in _ = try await writer.send([1]) }
    await eventually {
      !transport.log.isEmpty && half.inspect { $0.queue.count == 1 && !$0.turn && !$0.stirred }
    }
    try await Task(executorPreference: .reactor) { @Sendable in
      _ = try await writer.send([2], timeout: .nanoseconds(1))
    }.value
    try await first.value
    // The reactor drives both together, or its timer each by itself.
    #expect([["send [1, 2]"], ["send [1]", "send [2]"]].contains(Array(transport.log.dropFirst())))
  }

  /// A job is not replaced, so it makes no attempt that may hang.
  @Test(
    .enabled("with this kernel a splice holds no lock", aSpliceHoldsTheLock), arguments: [false, true],
    [false, true])
  func `tasks on the reactor's threads keep no other one waiting while their pipe is held`(
    _ isSending: Bool, _ hasManyWorkers: Bool
  ) async throws {
    let (readEnd, writeEnd) = try FileDescriptor.pipe()
    // The splicer holds the lock of the pipe, whichever end it has.
    let held = FileDescriptor(rawValue: swsys_duplicate(writeEnd.rawValue, 3))
    let reader = try SocketReader(adopting: OwnedDescriptor(adopting: readEnd))
    let writer = try SocketWriter(adopting: OwnedDescriptor(adopting: writeEnd))
    let splicer = try Splicer(into: held)
    await eventually { splicer.holdsLock }
    let ended = (0..<4).map { _ in Raised() }
    let calls = ended.map { ended in
      let call: @Sendable () async -> EndpointError? = {
        defer { ended.raise() }
        if !isSending {
          return await endpointError { try await reader.receive(upTo: 1, timeout: .milliseconds(20)) }
        }
        _ = try? await writer.send([1], timeout: .milliseconds(20))
        return nil
      }
      return hasManyWorkers
        ? Task(executorPreference: .messaging) { @Sendable in await call() }
        : Task(executorPreference: .reactor) { @Sendable in await call() }
    }
    // Senders whose bytes the attempt reads have to wait for it.
    await eventually { Self.reactorHangs && (isSending || ended.allSatisfy(\.isUp)) }
    try await Self.othersAreServed()
    // A close needs the lock, too.
    try await splicer.end()
    reader.close()
    writer.close()
    var reasons: [EndpointError.Reason?] = []
    for call in calls { reasons.append(await call.value?.reason) }
    #expect(isSending || reasons.allSatisfy { $0 == .timedOut })
    await eventually {
      !Self.reactorHangs && Reactor.shared.workerCount <= Reactor.shared.workerLimit
    }
  }

  @Test(.enabled("with this kernel a splice holds no lock", aSpliceHoldsTheLock))
  func `a task on the reactor's thread closes or detaches a FIFO that is held`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("fifo")
    #expect(unsafe path.withPlatformString { unsafe mkfifo($0, 0o600) } == 0)
    let ends = try (0..<2).map { _ in try FileDescriptor.open(path, .readWrite) }
    let reader = try SocketReader(adopting: OwnedDescriptor(adopting: ends[0]))
    let other = try SocketReader(adopting: OwnedDescriptor(adopting: ends[1]))
    let isDetached = Guarded(false)
    other.core.receiving?.port.whenGone { isDetached.withLock { $0 = true } }
    let splicer = try Splicer(into: try FileDescriptor.open(path, .writeOnly))
    await eventually { splicer.holdsLock }
    let detached = try await Task(executorPreference: .reactor) { @Sendable in
      reader.close()
      return try other.detach().release().descriptor
    }.value
    #expect(detached == ends[1] && !Self.reactorHangs && !isDetached.withLock { $0 })
    try await Self.othersAreServed()
    try await splicer.end()
    await eventually { isDetached.withLock { $0 } }
    try detached.close()
  }

  @Test func `a task on the reactor's thread leaves also the only attempt of a short message to the reactor`()
    async throws
  {
    var capabilities = TransportCapabilities()
    capabilities.attemptsMayHang = true
    let played = HandPlayed(PlayedTransport(capabilities: capabilities))
    let writer = SocketWriter(core: played.core)
    let call = Task(executorPreference: .reactor) { @Sendable in try await writer.send([1]) }
    await eventually { played.reactor.isCalled || !played.transport.log.isEmpty }
    #expect(played.transport.log.isEmpty)
    played.reactor.drive()
    #expect(try await call.value == 1 && played.transport.log == ["send [1]"])
    played.end()
  }
}
