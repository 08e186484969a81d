import CSysShim
import CSysTestSupport
import Foundation
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

typealias VarIntListener = Listener<MessageDuplex<VarIntFraming>>
typealias VarIntDuplex = MessageDuplex<VarIntFraming>

/// The events that an observer got.
final class EventLog: Sendable {
  private let log = Guarded<[ListenerEvent]>([])
  var note: @Sendable (ListenerEvent) -> Void { { event in self.log.withLock { $0.append(event) } } }

  func count(_ matches: (ListenerEvent) -> Bool) -> Int { log.withLock { $0.count(where: matches) } }
  var accepted: Int { count { if case .accepted = $0 { true } else { false } } }
  var closed: Int { count { if case .closed = $0 { true } else { false } } }
  var failed: Int { count { if case .closed(_, .some, _) = $0 { true } else { false } } }
  var greetingsFailed: Int { count { if case .greetingFailed = $0 { true } else { false } } }
  var cancelling: Int { count { if case .cancelling = $0 { true } else { false } } }
  func refused(_ refusal: ListenerEvent.Refusal) -> Int {
    count { if case .refused(refusal, _) = $0 { true } else { false } }
  }
}

/// Serving connections, and the end of that.
@Suite(.lastResort, .leavesNothing) struct ServeTests {
  /// Its accepts fail, one after the other, and it tells when eight have.
  private final class FailingSource: ItemSource {
    let hasFailed = Gate()
    private let count = Guarded(0)

    var readinessSource: ReadinessSource { .signal }
    func attach(_ signal: ReadinessSignal) {}
    func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt {
      let attempts = count.withLock { count in
        count += 1
        return count
      }
      if attempts == 8 { hasFailed.open() }
      return .failed(TransportError(.accept, .resourceTemporarilyUnavailable, scope: .item))
    }
    func close() {}
  }

  /// Runs a service until eight of its accepts have failed, and ends it. Returns the time until then.
  fileprivate static func serveFailing() async throws -> Duration {
    let source = FailingSource()
    let core = ListenerCore(source, address: .abstract("failing"))
    let listener = VarIntListener(core, .varInt, .readAhead, defaultMaximumFrameSize)
    let start = ContinuousClock.now
    let serving = Task { try await listener.serve(on: nil) { _ in } }
    await source.hasFailed.wait()
    let duration = start.duration(to: .now)
    listener.close()
    try await serving.value
    return duration
  }

  /// The pauses are 1 ms, 2 ms and so on: 127 ms before the eighth attempt. A slow machine only makes them longer.
  @Test func `accepts that fail are repeated after pauses that grow`() async throws {
    #expect(try await Self.serveFailing() >= .milliseconds(100))
  }

  // At the end of a process the leak sanitizer makes a thread itself.
  @Test(.enabled(if: !isSanitized))
  func `a service without a thread to wake it pauses, too, and ends`() async {
    await #expect(processExitsWith: .success) {
      // While the task blocks, this function goes on, so the pool has two threads. It gets no further one.
      let (isBlocked, mayEnd) = (Gate(), Gate())
      let other = Task.detached { ServeTests.block(isBlocked, until: mayEnd) }
      await isBlocked.wait()
      mayEnd.open()
      await other.value
      for call in [SWSYS_CALL_CLONE, SWSYS_CALL_CLONE3] { try #require(swsys_forbid(Int32(call), 0) == 0) }
      await #expect(throws: TransportError.self) { try await runBlocking {} }
      #expect(try await ServeTests.serveFailing() >= .milliseconds(30))
    }
  }

  fileprivate static func block(_ isBlocked: Gate, until mayEnd: Gate) {
    isBlocked.open()
    mayEnd.waitBlocking()
  }

  @Sendable static func echo(_ peer: VarIntDuplex) async throws {
    for try await message in peer.messages { try await peer.send(message) }
  }

  private func ask(_ client: VarIntDuplex, _ text: String) async throws {
    try await client.send(text)
    #expect(try await client.receive() == Array(text.utf8))
  }

  @Test(arguments: ListenPlace.allCases)
  func `clients are served, and finish ends the service`(_ place: ListenPlace) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try place.listener(directory)
    let log = EventLog()
    let serving = Task { try await listener.serve(observing: log.note, Self.echo) }
    var clients: [VarIntDuplex] = []
    for index in 0..<10 {
      let client = try await connect(to: listener.address, framing: .varInt, kind: place.kind)
      try await ask(client, "\(index)")
      clients.append(client)
    }
    listener.finish()
    try await serving.value
    #expect(listener.isClosed && listener.isFinishing)
    for client in clients {
      #expect(try await client.next() == nil)
      client.close()
    }
    #expect(log.accepted == 10 && log.closed == 10 && log.failed == 0 && log.cancelling == 0)
    let error = await endpointError {
      _ = try await connect(to: listener.address, framing: .varInt, kind: place.kind)
    }
    guard case .transport(let failure) = error?.reason else {
      Issue.record("there is nobody any more")
      return
    }
    #expect([.noSuchFileOrDirectory, .connectionRefused].contains(failure.errno))
  }

  @Test func `a request that was sent before the end is answered, and cancellation is such an end`()
    async throws
  {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let gate = Gate()
    let serving = Task {
      try await listener.serve { peer in
        for try await message in peer.messages {
          await gate.wait()
          try await peer.send(message)
        }
      }
    }
    let client = try await connect(to: listener.address, framing: .varInt)
    try await client.send("one")
    try await client.send("two")
    await eventually {
      listener.snapshot.connections.first.map { $0.endpoint.waitingReceivers == 0 } ?? false
    }
    serving.cancel()
    await eventually { listener.isFinishing }
    gate.open()
    #expect(try await client.receive() == Array("one".utf8))
    #expect(try await client.receive() == Array("two".utf8))
    #expect(try await client.next() == nil)
    client.close()
    try await serving.value
  }

  @Test func `a handler that does not end is cancelled, and its connection closed`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let log = EventLog()
    let reason = Guarded<EndpointError.Reason?>(nil)
    let serving = Task {
      try await listener.serve(draining: .milliseconds(20), observing: log.note) { peer in
        // It does not look at the end of its messages.
        let (idle, other) = try makeSocketPair()
        let error = await endpointError { try await idle.receive() }
        reason.withLock { $0 = error?.reason }
        idle.close()
        other.close()
      }
    }
    let client = try await connect(to: listener.address, framing: .varInt)
    await eventually { log.accepted == 1 }
    listener.finish()
    try await serving.value
    #expect(try await client.next() == nil)
    client.close()
    #expect(log.cancelling == 1 && log.closed == 1)
    guard case .cancelled = reason.withLock({ $0 }) else {
      Issue.record("it was cancelled")
      return
    }
  }

  @Test func `who waits to be accepted at the end is served or told`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let log = EventLog()
    let gate = Gate()
    let serving = Task {
      try await listener.serve(limit: 1, observing: log.note) { peer in
        await gate.wait()
        try await Self.echo(peer)
      }
    }
    var clients: [VarIntDuplex] = []
    for index in 0..<50 {
      let client = try await connect(to: listener.address, framing: .varInt)
      try await client.send("\(index)")
      clients.append(client)
    }
    await eventually { log.accepted == 1 }
    #expect(listener.snapshot.connections.count == 1)
    listener.finish()
    gate.open()
    var (answered, told) = (0, 0)
    for (index, client) in clients.enumerated() {
      do throws(EndpointError) {
        if let message = try await client.next() {
          #expect(message == Array("\(index)".utf8))
          answered += 1
        } else {
          told += 1
        }
      } catch {
        // The bytes that it sent were not read.
        guard case .transport(let failure) = error.reason else { throw error }
        #expect(failure.errno == .connectionReset)
        told += 1
      }
      client.close()
    }
    try await serving.value
    #expect(answered >= 1 && answered + told == 50)
    #expect(answered == log.accepted && log.refused(.draining) == 50 - log.accepted)
  }

  @Test func `told to finish before it begins, it accepts who is there and returns`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let client = try await connect(to: listener.address, framing: .varInt)
    try await client.send("early")
    listener.finish()
    #expect(directory.names.isEmpty)
    try await listener.serve(Self.echo)
    #expect(try await client.receive() == Array("early".utf8))
    #expect(try await client.next() == nil)
    client.close()
    #expect(listener.isClosed)
  }

  @Test func `an accept loop of one's own ends behind the connections that were made`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let clients = [
      try await connect(to: listener.address, framing: .varInt),
      try await connect(to: listener.address, framing: .varInt),
    ]
    listener.finish()
    var accepted = 0
    for try await peer in listener.connections {
      accepted += 1
      peer.close()
    }
    #expect(accepted == 2)
    for client in clients { client.close() }
    listener.close()
  }

  @Test func `peers that say nothing delay nobody, and their greeting ends`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let log = EventLog()
    let serving = Task {
      try await listener.serve(
        greetingTimeout: .milliseconds(100), observing: log.note,
        greeting: { peer in
          #expect(try await peer.receive() == Array("hello".utf8))
          try await peer.send("welcome")
        }, Self.echo)
    }
    var silent: [VarIntDuplex] = []
    for _ in 0..<100 { silent.append(try await connect(to: listener.address, framing: .varInt)) }
    // One of those that come behind them; the deadline of its own greeting is as short, so it may have to try again.
    while true {
      let client = try await connect(to: listener.address, framing: .varInt)
      defer { client.close() }
      try await client.send("hello")
      guard try await client.next() == Array("welcome".utf8) else { continue }
      try await ask(client, "and now")
      break
    }
    await eventually { log.greetingsFailed >= 100 }
    for client in silent {
      #expect(try await client.next() == nil)
      client.close()
    }
    listener.finish()
    try await serving.value
  }

  @Test func `a user has so many connections at most, and gets another when one is closed`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let log = EventLog()
    let serving = Task { try await listener.serve(perUser: 2, observing: log.note, Self.echo) }
    let first = try await connect(to: listener.address, framing: .varInt)
    let second = try await connect(to: listener.address, framing: .varInt)
    try await ask(first, "1")
    try await ask(second, "2")
    let third = try await connect(to: listener.address, framing: .varInt)
    #expect(try await third.next() == nil)
    third.close()
    #expect(log.refused(.userLimit) == 1)
    first.close()
    await eventually { log.closed == 1 }
    let fourth = try await connect(to: listener.address, framing: .varInt)
    try await ask(fourth, "4")
    second.close()
    fourth.close()
    listener.finish()
    try await serving.value
  }

  @Test func `at the limit nobody is accepted until one is closed`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let log = EventLog()
    let serving = Task { try await listener.serve(limit: 2, observing: log.note, Self.echo) }
    var clients: [VarIntDuplex] = []
    for index in 0..<3 {
      clients.append(try await connect(to: listener.address, framing: .varInt))
      try await clients[index].send("\(index)")
    }
    #expect(try await clients[0].receive() == Array("0".utf8))
    #expect(try await clients[1].receive() == Array("1".utf8))
    #expect(log.accepted == 2 && listener.snapshot.waitingAcceptors == 0)
    clients[0].close()
    #expect(try await clients[2].receive() == Array("2".utf8))
    clients[1].close()
    clients[2].close()
    listener.finish()
    try await serving.value
  }

  /// The executors on which `serve` may run connections; nil is the default one.
  static var executors: [(any TaskExecutor)?] { [nil, MessagingExecutor.shared, ReactorExecutor.shared] }

  private static func isHungUp(_ client: VarIntDuplex) -> Bool {
    (try? client.withDescriptor { swsys_is_hung_up($0.rawValue, 0) }) ?? false
  }

  @Test(arguments: 0..<3) func `when serve returns every socket is closed`(_ index: Int) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    for round in 0..<100 {
      let listener = try ListenPlace.unix.listener(directory)
      let serving = Task { try await listener.serve(on: Self.executors[index], Self.echo) }
      let client = try await connect(to: listener.address, framing: .varInt)
      try await ask(client, "\(round)")
      listener.finish()
      try await serving.value
      #expect(Self.isHungUp(client))
      client.close()
    }
  }

  /// Closing a connection closes what its peer has sent along, and that takes as long as the peer likes.
  private static func connectAndPass(
    _ listener: Listener<VarIntDuplex>
  ) async throws -> (client: VarIntDuplex, silent: FileDescriptor) {
    let client = try await connect(to: listener.address, framing: .varInt)
    #expect(try await client.receive() == Array("here".utf8))
    let pair = try makeLingeringConnection(seconds: 120)
    let (passed, silent) = (pair.first.release(), pair.second.release())
    try await client.send(Array("unread".utf8), passing: [passed])
    try await TestThread { try passed.close() }.value
    return (client, silent)
  }

  @Test(arguments: 0..<4) func `a connection makes room for another while its close takes long`(
    _ index: Int
  ) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let (log, gate) = (EventLog(), Gate())
    let start = ContinuousClock.now
    let serving = Task {
      if index < 3 {
        try await listener.serve(limit: 1, perUser: 1, on: Self.executors[index], observing: log.note) {
          peer in
          try await peer.send(Array("here".utf8))
          await gate.wait()
        }
      } else {
        try await TestThread {
          try listener.blocking.serve(threads: 1, perUser: 1, observing: log.note) { peer in
            try peer.blocking.send(Array("here".utf8))
            gate.waitBlocking()
          }
        }.value
      }
    }
    let (client, silent) = try await Self.connectAndPass(listener)
    gate.open()
    await eventually { log.closed == 1 && Self.isHungUp(client) }
    #expect(ContinuousClock.now - start < .seconds(60), "the slot was free only when the close had returned")
    let other = try await connect(to: listener.address, framing: .varInt)
    #expect(try await other.receive() == Array("here".utf8))
    #expect(log.refused(.userLimit) == 0)
    listener.finish()
    try await serving.value
    #expect(ContinuousClock.now - start < .seconds(60))
    for peer in [client, other] { peer.close() }
    try silent.close()
  }

  @Test func `when serve returns every peer has been told, though closes take long`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    for _ in 0..<20 {
      let listener = try ListenPlace.unix.listener(directory)
      let gate = Gate()
      let serving = Task {
        try await listener.serve { peer in
          try await peer.send(Array("here".utf8))
          await gate.wait()
        }
      }
      let (client, silent) = try await Self.connectAndPass(listener)
      gate.open()
      listener.finish()
      try await serving.value
      #expect(Self.isHungUp(client))
      client.close()
      try silent.close()
    }
  }

  @Test func `a snapshot and the events say who is served, since when, and for how long`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let (log, gate, begin) = (EventLog(), Gate(), ContinuousClock.now)
    let serving = Task {
      try await listener.serve(observing: log.note, greeting: { _ in await gate.wait() }, Self.echo)
    }
    let client = try await connect(to: listener.address, framing: .varInt)
    await eventually { listener.snapshot.connections.count == 1 }
    let greeting = try #require(listener.snapshot.connections.first)
    #expect(greeting.isGreeting && greeting.number == 1 && greeting.peer?.processID == getpid())
    gate.open()
    try await ask(client, "1")
    let served = try #require(listener.snapshot.connections.first)
    #expect(!served.isGreeting && served.age > greeting.age && served.age < ContinuousClock.now - begin)
    #expect(listener.snapshot.address == listener.address && !listener.snapshot.isFinishing)
    client.close()
    await eventually { log.closed == 1 }
    let whole = ContinuousClock.now - begin
    let isRight = { (event: ListenerEvent) in
      if case .closed(1, nil, let time) = event { time > served.age && time < whole } else { false }
    }
    #expect(log.count(isRight) == 1)
    listener.finish()
    try await serving.value
    #expect(log.count { if case .draining(0) = $0 { true } else { false } } == 1)
    #expect(listener.snapshot.connections.isEmpty && listener.snapshot.isFinishing)
  }

  @Test func `the error of a connection is its own`() async throws {
    struct Refused: Error {}
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let log = EventLog()
    let serving = Task {
      try await listener.serve(observing: log.note) { peer in
        for try await message in peer.messages {
          if message.isEmpty { throw Refused() }
          try await peer.send(message)
        }
      }
    }
    let (good, bad) = (
      try await connect(to: listener.address, framing: .varInt),
      try await connect(to: listener.address, framing: .varInt)
    )
    try await ask(good, "a")
    try await bad.send([])
    #expect(try await bad.next() == nil)
    await eventually { log.failed == 1 }
    try await ask(good, "b")
    good.close()
    bad.close()
    listener.finish()
    try await serving.value
    #expect(log.closed == 2 && log.failed == 1)
  }

  @Test func `a connection that cannot be made into an endpoint ends no service`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let real = try ListenPlace.unix.listener(directory)
    // The step that fails with every second connection, after it was accepted.
    let made = Guarded(0)
    let failing = Listener<VarIntDuplex>(real.core) { item throws(EndpointError) in
      let core = try ListenerCore.connection(item, .readAhead)
      let number = made.withLock { made in
        made += 1
        return made
      }
      if number % 2 == 1 { throw EndpointError(.transport(TransportError(.adopt, .noMemory))) }
      return MessageDuplex(core: core, framing: .varInt)
    }
    let log = EventLog()
    let serving = Task { try await failing.serve(observing: log.note, Self.echo) }
    for round in 0..<20 {
      let client = try await connect(to: real.address, framing: .varInt)
      if round % 2 == 0 {
        #expect(try await client.next() == nil)
      } else {
        try await ask(client, "\(round)")
      }
      client.close()
    }
    failing.finish()
    try await serving.value
    #expect(log.accepted == 10 && log.closed == 10 && log.failed == 0)
    _ = consume real
  }

  @Test func `a connection that the policy refuses is told, and closed although the event is kept`()
    async throws
  {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let asked = Guarded(0)
    let policy = AcceptPolicy.when { _ in
      asked.withLock { asked in
        asked += 1
        return asked > 2
      }
    }
    let listener = try ListenPlace.unix.listener(directory, accepting: policy)
    let (log, other) = (EventLog(), EventLog())
    // Both services of one listener are told.
    let serving = [log, other].map { log in
      Task { try await listener.serve(observing: log.note, Self.echo) }
    }
    await eventually { listener.snapshot.waitingAcceptors == 2 }
    for _ in 0..<2 {
      let client = try await connect(to: listener.address, framing: .varInt)
      #expect(try await client.next() == nil)
      client.close()
    }
    let client = try await connect(to: listener.address, framing: .varInt)
    try await ask(client, "the third")
    client.close()
    listener.finish()
    for task in serving { try await task.value }
    for log in [log, other] {
      let isKnown = { (event: ListenerEvent) in
        if case .refused(.policy, let peer) = event { peer?.processID == getpid() } else { false }
      }
      #expect(log.refused(.policy) == 2 && log.count(isKnown) == 2)
    }
    #expect(listener.refusedCount == 2 && log.accepted + other.accepted == 1)
  }

  @Test func `in memory a shortage is told once when it begins and once when it ends`() async throws {
    let memory = MemoryListener(framing: .varInt)
    let log = EventLog()
    let serving = Task { try await memory.listener.serve(observing: log.note, Self.echo) }
    memory.failAccepts(.tooManyOpenFiles, .tooManyOpenFiles, .noMemory)
    let client = try memory.connect()
    try await ask(client, "at last")
    #expect(
      log.count {
        if case .acceptingPaused(let error) = $0 { error.errno == .tooManyOpenFiles } else { false }
      } == 1)
    #expect(log.count { if case .acceptingResumed = $0 { true } else { false } } == 1)
    client.close()
    memory.listener.finish()
    try await serving.value
  }

  @Test func `without a limit a service has half of the descriptors that its process may have`() async throws
  {
    let probe = process(try probePath(), ["serve-limit"])
    let (input, output) = (Pipe(), Pipe())
    (probe.standardInput, probe.standardOutput) = (input, output)
    try probe.run()
    let reader = try MessageReader(
      duplicating: FileDescriptor(rawValue: output.fileHandleForReading.fileDescriptor), framing: .lines)
    let address = try Address(parsing: String(decoding: try await reader.receive(), as: UTF8.self))
    var clients: [VarIntDuplex] = []
    // The process may have 64.
    for index in 0..<33 {
      clients.append(try await connect(to: address, framing: .varInt))
      try await clients[index].send("\(index)")
    }
    for index in 0..<32 { #expect(try await clients[index].receive() == Array("\(index)".utf8)) }
    try input.fileHandleForWriting.write(contentsOf: Data("\n".utf8))
    #expect(try await reader.receive() == Array("served=32 accepting=0".utf8))
    clients[0].close()
    #expect(try await clients[32].receive() == Array("32".utf8))
    for client in clients { client.close() }
    try input.fileHandleForWriting.close()
    while try await reader.next() != nil {}
    probe.waitUntilExit()
    #expect(probe.terminationStatus == 0)
    reader.close()
  }

  @Test func `threads serve, and finish ends them`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let log = EventLog()
    let serving = TestThread {
      try listener.blocking.serve(
        threads: 2, observing: log.note,
        greeting: { peer, deadline in try peer.blocking.send("hello", until: deadline) }
      ) { peer in
        while let message = try peer.blocking.next() { try peer.blocking.send(message) }
      }
    }
    var clients: [VarIntDuplex] = []
    for index in 0..<3 {
      clients.append(try await connect(to: listener.address, framing: .varInt))
      try await clients[index].send("\(index)")
    }
    for index in 0..<2 {
      #expect(try await clients[index].receive() == Array("hello".utf8))
      #expect(try await clients[index].receive() == Array("\(index)".utf8))
    }
    #expect(log.accepted == 2)
    listener.finish()
    // The third is served now, because the end frees a thread.
    #expect(try await clients[2].receive() == Array("hello".utf8))
    #expect(try await clients[2].receive() == Array("2".utf8))
    for client in clients {
      #expect(try await client.next() == nil)
      client.close()
    }
    try await serving.value
    #expect(log.closed == 3 && log.failed == 0)
  }

  @Test func `line 19: a thread turns nobody away while the connection before is being closed`() async throws
  {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    var clients: [VarIntDuplex] = []
    for _ in 0..<50 { clients.append(try await connect(to: listener.address, framing: .varInt)) }
    let log = EventLog()
    let serving = TestThread {
      try listener.blocking.serve(threads: 1, observing: log.note) { peer in try peer.blocking.send("hello") }
    }
    for client in clients {
      #expect(try await client.receive() == Array("hello".utf8))
      client.close()
    }
    listener.finish()
    try await serving.value
    #expect(log.accepted == 50 && log.closed == 50 && log.refused(.draining) == 0)
  }

  @Test func `a thread that does not end loses its connection`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let log = EventLog()
    let serving = TestThread {
      try listener.blocking.serve(threads: 1, draining: .milliseconds(20), observing: log.note) { peer in
        // The peer takes nothing.
        while true { try peer.blocking.send([UInt8](repeating: 0, count: 10_000)) }
      }
    }
    let client = try await connect(to: listener.address, framing: .varInt)
    await eventually { listener.snapshot.connections.first?.endpoint.waitingSenders == 1 }
    listener.finish()
    try await serving.value
    #expect(log.failed == 1 && log.cancelling == 1)
    client.close()
  }

  @Test func `a lack of descriptors does not hold up the end beyond its time`() async throws {
    let memory = MemoryListener(framing: .varInt)
    // They last for far longer than the test may take.
    for _ in 0..<50_000 { memory.failAccepts(.tooManyOpenFiles) }
    let serving = Task { try await memory.listener.serve(draining: .milliseconds(20), Self.echo) }
    await eventually { memory.listener.snapshot.waitingAcceptors == 1 }
    memory.listener.finish()
    try await serving.value
    #expect(memory.listener.isClosed)
  }
}
