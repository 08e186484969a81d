import Dispatch
import Foundation
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// A client whose connection is made again.
@Suite(.lastResort, .leavesNothing) struct ReconnectingTests {
  private func client(
    _ address: Address, backoff: Backoff = Backoff(first: .milliseconds(1), most: .milliseconds(5)),
    givingUpAfter limit: Duration? = nil
  ) -> ReconnectingClient<VarIntFraming> {
    ReconnectingClient(Connector(to: address), framing: .varInt, backoff: backoff, givingUpAfter: limit)
  }

  private func ask(_ client: ReconnectingClient<VarIntFraming>, _ text: String) async throws -> [UInt8] {
    try await client.withConnection(timeout: .patience) { peer in
      try await peer.send(text)
      return try await peer.receive()
    }
  }

  private func serve(_ listener: VarIntListener) -> Task<Void, any Error> {
    Task { try await listener.serve(ServeTests.echo) }
  }

  @Test func `one connection serves all calls, and another when it has broken`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let client = client(.unix(directory("s")))
    var listener = try ListenPlace.unix.listener(directory)
    var serving = serve(listener)
    #expect(try await ask(client, "a") == Array("a".utf8))
    let first = try await client.connection()
    #expect(try await client.connection() === first)
    listener.finish()
    try await serving.value
    // The descriptor is closed on another thread, a moment later.
    #expect(try await first.next(timeout: .patience) == nil)
    listener = try ListenPlace.unix.listener(directory)
    serving = serve(listener)
    #expect(try await ask(client, "b") == Array("b".utf8))
    #expect(try await client.connection() !== first)
    client.disconnect()
    #expect(try await ask(client, "c") == Array("c".utf8))
    client.close()
    listener.finish()
    try await serving.value
  }

  @Test func `an answer that comes too late is not taken for that of the next request`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let client = client(.unix(directory("s")))
    let gate = Gate()
    let serving = Task {
      try await listener.serve { peer in
        for try await message in peer.messages {
          if message == Array("slow".utf8) { await gate.wait() }
          try await peer.send(message)
        }
      }
    }
    let late = await endpointError {
      try await client.withConnection(timeout: .patience) { peer in
        try await peer.send("slow")
        return try await peer.receive(timeout: .milliseconds(10))
      }
    }
    #expect(late?.reason == .timedOut)
    gate.open()
    #expect(try await ask(client, "fast") == Array("fast".utf8))
    client.close()
    listener.finish()
    try await serving.value
  }

  @Test func `a request whose connection broke is not sent again`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let client = client(.unix(directory("s")))
    let received = Guarded<[String]>([])
    let serving = Task {
      try await listener.serve { peer in
        for try await message in peer.messages {
          received.withLock { $0.append(String(decoding: message, as: UTF8.self)) }
          if message == Array("lost".utf8) { return }
          try await peer.send(message)
        }
      }
    }
    #expect(try await ask(client, "before") == Array("before".utf8))
    let error = await endpointError { try await ask(client, "lost") }
    #expect(error?.reason == .endOfStream)
    #expect(try await ask(client, "behind") == Array("behind".utf8))
    client.close()
    listener.finish()
    try await serving.value
    #expect(received.withLock { $0 } == ["before", "lost", "behind"])
  }

  @Test func `a server that ends each connection at once is not asked again without a pause`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let hour = Backoff(first: .seconds(3600), most: .seconds(7200), isRandom: false)
    let client = client(.unix(directory("s")), backoff: hour)
    let peer = try await client.connection(timeout: .patience)
    try await listener.accept(timeout: .patience).close()
    #expect(try await peer.next(timeout: .patience) == nil)
    await #expect(throws: EndpointError.self) { _ = try await client.connection(timeout: .milliseconds(50)) }
    guard case .waiting(attempt: 1, let pause, let error) = client.state else {
      Issue.record("\(client.state) instead of a pause")
      return
    }
    #expect(error.reason == .endOfStream && pause <= .seconds(3600))
    await #expect(throws: EndpointError.self) { _ = try await listener.accept(timeout: .zero) }
    client.close()
    listener.close()
  }

  @Test func `a connection that the caller ends is no reason for a pause`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let client = client(.unix(directory("s")), backoff: Backoff(first: .seconds(3600), most: .seconds(7200)))
    for _ in 0..<3 {
      _ = try await client.connection(timeout: .patience)
      client.disconnect()
    }
    client.close()
    listener.close()
  }

  private static let hour = Backoff(first: .seconds(3600), most: .seconds(7200), isRandom: false)

  @Test func `a connection whose framing has broken is replaced`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try Listener<SocketDuplex>(.unix(directory("s")))
    let client = client(.unix(directory("s")))
    // A length that no varint has, and a message.
    let answers = [[UInt8](repeating: 0xFF, count: 10), [1, 65]]
    var peers: [SocketDuplex] = []
    var connections: [MessageDuplex<VarIntFraming>] = []
    for (index, answer) in answers.enumerated() {
      let connection = try await client.connection(timeout: .patience)
      connections.append(connection)
      let peer = try await listener.accept(timeout: .patience)
      peers.append(peer)
      try await peer.send(answer)
      if index == 1 {
        #expect(try await connection.receive() == [65])
      } else {
        // The peer is there, and would take more requests.
        guard case .framing = await endpointError(of: { try await connection.receive() })?.reason else {
          Issue.record("not refused")
          return
        }
      }
    }
    #expect(connections[0] !== connections[1])
    #expect(try await client.connection() === connections[1])
    client.close()
    listener.close()
    for peer in peers { peer.close() }
  }

  @Test func `a body that throws delays no call, because the server is well`() async throws {
    struct Own: Error {}
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    let client = client(.unix(directory("s")), backoff: Self.hour)
    let serving = serve(listener)
    for round in 0..<4 {
      await #expect(throws: Own.self) {
        try await client.withConnection(timeout: .patience) { peer in
          try await peer.send("\(round)")
          #expect(try await peer.receive() == Array("\(round)".utf8))
          throw Own()
        }
      }
    }
    // The same without an answer, and by a caller that closes the connection.
    await #expect(throws: Own.self) {
      try await client.withConnection(timeout: .patience) { _ in throw Own() }
    }
    try await client.connection(timeout: .patience).close()
    _ = try await client.connection(timeout: .patience)
    client.close()
    listener.finish()
    try await serving.value
  }

  @Test func `a body that throws because the server has gone is a reason for a pause`() async throws {
    struct Own: Error {}
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.unix.listener(directory)
    for receives in [true, false] {
      let client = client(.unix(directory("s")), backoff: Self.hour)
      await #expect(throws: (any Error).self) {
        try await client.withConnection(timeout: .patience) { peer in
          let server = try await listener.accept(timeout: .patience)
          let descriptor = try peer.withDescriptor { $0 }
          server.close()
          // The body may have noticed the end, or not.
          if receives { _ = try await peer.receive() }
          await eventually { descriptor.isReady(for: .hangUps) }
          throw Own()
        }
      }
      await #expect(throws: EndpointError.self) {
        _ = try await client.connection(timeout: .milliseconds(50))
      }
      guard case .waiting(attempt: 1, _, _) = client.state else {
        Issue.record("\(client.state) instead of a pause")
        return
      }
      client.close()
    }
    listener.close()
  }

  @Test func `it waits for a server, and tells how it is`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let client = client(.unix(directory("s")))
    guard case .idle = client.state else {
      Issue.record("nobody has asked for a connection")
      return
    }
    let hasWaited = Gate()
    let watching = Task {
      var seen: [String] = []
      for await state in client.states {
        switch state {
        case .idle: seen.append("idle")
        case .connecting: seen.append("connecting")
        case .connected: seen.append("connected")
        case .waiting(_, _, let error):
          seen.append("waiting")
          guard case .transport(let failure) = error.reason else { continue }
          #expect(failure.errno == .noSuchFileOrDirectory)
          hasWaited.open()
        case .closed: seen.append("closed")
        @unknown default: break
        }
      }
      return seen
    }
    let asking = Task { try await ask(client, "late") }
    await hasWaited.wait()
    let listener = try ListenPlace.unix.listener(directory)
    let serving = serve(listener)
    #expect(try await asking.value == Array("late".utf8))
    client.close()
    let seen = await watching.value
    #expect(seen.contains("waiting") && seen.last == "closed")
    listener.finish()
    try await serving.value
  }

  /// An executor that runs each job inside the call that hands it over.
  private final class Immediate: TaskExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
      let job = UnownedJob(job)
      unsafe job.runSynchronously(on: asUnownedTaskExecutor())
    }
  }

  /// A text for each state, without its details.
  private static func name(_ state: ReconnectingClient<VarIntFraming>.State) -> String {
    switch state {
    case .idle: "idle"
    case .connecting: "connecting"
    case .connected: "connected"
    case .waiting: "waiting"
    case .closed: "closed"
    @unknown default: "unknown"
    }
  }

  /// The reader's task is resumed by the code that changes the state, and may use the client at once. Changes that it makes
  /// itself are told after the one that it is being told.
  @Test func `a reader of the states may ask, disconnect and close where it is told`() async throws {
    await #expect(processExitsWith: .success) {
      let name = Address.abstract("sw-states-\(getpid())")
      let listener = try Listener(name, framing: .varInt)
      let client = ReconnectingClient(Connector(to: name), framing: .varInt)
      let isListening = Gate()
      let watching = Task(executorPreference: Immediate()) { @concurrent in
        var seen: [String] = []
        for await state in client.states {
          isListening.open()
          seen.append(Self.name(state))
          #expect(Self.name(client.state) == Self.name(state))
          if case .connected = state { client.disconnect() }
          if case .idle = state, seen.count > 1 { client.close() }
        }
        return seen
      }
      await isListening.wait()
      _ = try? await client.connection(timeout: .patience)
      #expect(await watching.value == ["idle", "connecting", "connected", "idle", "closed"])
      listener.close()
    }
  }

  @Test func `an attempt outlives its caller, and its connection serves the next one`() async throws {
    let name = Address.abstract("sw-outlived-\(getpid())")
    let client = ReconnectingClient(Connector(to: name, waitingForServer: true), framing: .varInt)
    for timeout in [Duration.zero, .milliseconds(10)] {
      let error = await endpointError { _ = try await client.connection(timeout: timeout) }
      #expect(error?.reason == .timedOut)
    }
    guard case .connecting(attempt: 1) = client.state else {
      Issue.record("\(client.state) instead of the attempt")
      return
    }
    let listener = try Listener(name, framing: .varInt)
    let peer = try await listener.accept(timeout: .patience)
    await eventually { if case .connected = client.state { true } else { false } }
    _ = try await client.connection(timeout: .zero)
    client.close()
    peer.close()
    listener.close()
  }

  @Test func `a limit ends the attempts for those who wait, and the next call begins anew`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let client = client(.unix(directory("s")), givingUpAfter: .milliseconds(20))
    for _ in 0..<2 {
      let error = await endpointError { _ = try await client.connection() }
      guard case .transport(let failure) = error?.reason else {
        Issue.record("there is no server")
        return
      }
      #expect(failure.errno == .noSuchFileOrDirectory)
    }
    let listener = try ListenPlace.unix.listener(directory)
    let serving = serve(listener)
    #expect(try await ask(client, "again") == Array("again".utf8))
    client.close()
    listener.finish()
    try await serving.value
  }

  @Test func `callers give up each by itself, and close ends a pause at once`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let hour = Duration.seconds(3600)
    let client = client(.unix(directory("s")), backoff: Backoff(first: hour, most: hour, isRandom: false))
    let error = await endpointError { _ = try await client.connection(timeout: .milliseconds(10)) }
    guard case .timedOut = error?.reason else {
      Issue.record("it was to wait for ten milliseconds")
      return
    }
    #expect(error?.explanation.contains("ENOENT") ?? false)
    let cancelled = Task { try await client.connection() }
    cancelled.cancel()
    let cancellation = await endpointError { _ = try await cancelled.value }
    #expect(cancellation?.reason == .cancelled)
    let waiting = Task { await endpointError { _ = try await client.connection() }?.reason }
    let thread = TestThread { () -> EndpointError.Reason? in
      do throws(EndpointError) { _ = try client.blocking.connection() } catch { return error.reason }
      return nil
    }
    await eventually { if case .waiting = client.state { true } else { false } }
    client.close()
    #expect(await waiting.value == .closed)
    #expect(try await thread.value == .closed)
    #expect(await endpointError { _ = try await client.connection() }?.reason == .closed)
  }

  @Test func `an error that a caller left behind is not told to the next`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let hour = Duration.seconds(3600)
    let client = ReconnectingClient(
      Connector(to: .unix(directory("s"))), framing: .varInt,
      backoff: Backoff(first: hour, most: hour, isRandom: false), givingUpAfter: .milliseconds(1))
    // While the reactor is busy, it drives for no caller.
    let (isBusy, end) = (Gate(), DispatchSemaphore(value: 0))
    let busy = Task(executorPreference: .reactor) { @concurrent in Self.block(isBusy, until: end) }
    await isBusy.wait()
    var states = client.states.makeAsyncIterator()
    guard case .idle = await states.next() else {
      Issue.record("nobody has asked for a connection")
      return
    }
    let asking = Task { try await client.connection() }
    while let state = await states.next() { if case .idle = state { break } }
    // The only attempt has failed.
    asking.cancel()
    await #expect(throws: EndpointError.self) { _ = try await asking.value }
    end.signal()
    await busy.value
    let listener = try ListenPlace.unix.listener(directory)
    let connection = try await client.connection(timeout: .patience)
    #expect(!connection.isClosed)
    client.close()
    listener.close()
  }

  private static func block(_ begun: Gate, until end: DispatchSemaphore) {
    begun.open()
    end.wait()
  }

  @Test func `when the last caller has left during a pause, no attempt is made`() async throws {
    let lookUps = Guarded(0)
    let nowhere: @Sendable (String) -> [SocketAddress] = { _ in
      lookUps.withLock { $0 += 1 }
      return []
    }
    for milliseconds: UInt64 in [100, 500, 2_500, 12_500] {
      lookUps.withLock { $0 = 0 }
      let pause = Duration.milliseconds(Int64(milliseconds))
      let client = client(
        .tcp(host: "nowhere", port: 1), backoff: Backoff(first: pause, most: pause, isRandom: false))
      var states = client.states.makeAsyncIterator()
      // The pause ends no sooner than this.
      let end = Deadline.after(pause)
      let asking = Resolver.$override.withValue(nowhere) { Task { try await client.connection() } }
      while let state = await states.next() { if case .waiting = state { break } }
      asking.cancel()
      _ = await asking.result
      let hasLeftInTime = !end.hasPassed
      while let state = await states.next() { if case .idle = state { break } }
      client.close()
      // On a busy machine the caller may have left too late. Then this round shows nothing.
      guard hasLeftInTime else { continue }
      #expect(lookUps.withLock { $0 } == 1)
      return
    }
  }

  @Test func `pauses get longer up to a limit, at random below it`() {
    let backoff = Backoff(first: .milliseconds(50), factor: 2, most: .seconds(1))
    #expect(backoff.longestWait(after: 1) == .milliseconds(50))
    #expect(backoff.longestWait(after: 3) == .milliseconds(200))
    #expect(backoff.longestWait(after: 1000) == .seconds(1))
    let waits = (0..<200).map { _ in backoff.wait(after: 3) }
    #expect(waits.allSatisfy { $0 >= .zero && $0 <= .milliseconds(200) })
    #expect(Set(waits).count > 100)
  }
}
