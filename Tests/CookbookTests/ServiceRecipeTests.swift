import Dispatch
import Foundation
import Glibc
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// The cookbook's passages about services.
@Suite(.lastResort, .leavesNothing) struct ServiceRecipeTests {
  typealias LineListener = Listener<MessageDuplex<LineFraming>>

  // begin StaleSocketFile
  /// A listener at the path; nil if another process serves there already.
  func listen(at path: FilePath) throws -> Listener<MessageDuplex<LineFraming>>? {
    do throws(EndpointError) {
      return try Listener(.unix(path), framing: .lines)
    } catch {
      if case .transport(let failure) = error.reason,
        failure.errno == .addressInUse
      {
        return nil
      }
      throw error
    }
  }
  // end StaleSocketFile

  @Test func `the file of a dead server is replaced, and that of a live server is not`() async throws {
    let directory = try ScratchDirectory()
    defer { directory.remove() }
    let path = directory("app.sock")
    // A socket file that nobody listens at: the listener does not find it under its own name when it is closed.
    let dead = try #require(try listen(at: directory("dead.sock")))
    try FileManager.default.moveItem(atPath: directory("dead.sock").string, toPath: path.string)
    dead.close()
    #expect(FileManager.default.fileExists(atPath: path.string))

    let listener = try #require(try listen(at: path))
    defer { listener.close() }
    #expect(try listen(at: path) == nil)
    let client = try await connect(to: .unix(path), framing: .lines, timeout: .patience)
    client.close()
  }

  @Test func `a client waits for a server that starts later`() async throws {
    let address = unusedAddress()
    let deadline = Deadline.after(.patience)
    let client = Task {
      // begin ServerStartsLater
      let peer = try await connect(
        to: address, framing: .lines, waitingForServer: true, until: deadline)
      // end ServerStartsLater
      try await peer.send("hello", until: deadline)
      return text(try await peer.receive(until: deadline))
    }
    let listener = try LineListener(address, framing: .lines)
    defer { listener.close() }
    let peer = try await listener.accept(until: deadline)
    try await peer.send(try await peer.receive(until: deadline), until: deadline)
    #expect(try await client.value == "hello")
  }

  // begin GracefulStop
  func serve(
    _ listener: Listener<MessageDuplex<LineFraming>>,
    until number: Int32 = SIGTERM, draining patience: Duration = .seconds(5)
  ) async throws {
    signal(number, SIG_IGN)  // so that the signal does not end the process
    let stop = DispatchSource.makeSignalSource(signal: number)
    stop.setEventHandler { @Sendable in listener.finish() }
    stop.activate()
    defer { stop.cancel() }
    try await listener.serve(draining: patience) { peer in
      for try await request in peer.messages { try await peer.send(request) }
    }
  }
  // end GracefulStop

  @Test func `a signal ends the service, and a request that was sent before is answered`() async throws {
    let listener = try LineListener(unusedAddress(), framing: .lines)
    // Ignored for good afterwards: one that is still on its way must not end the tests.
    let service = Task { try await serve(listener, until: SIGUSR2, draining: .patience) }
    let client = try await connect(to: listener.address, framing: .lines, timeout: .patience)
    try await client.send("first")
    #expect(text(try await client.receive(timeout: .patience)) == "first")
    try await client.send("last")
    // Dispatch takes a moment to begin to watch, and until then the signal is ignored.
    await eventually {
      kill(getpid(), SIGUSR2)
      return listener.isFinishing
    }
    #expect(text(try await client.receive(timeout: .patience)) == "last")
    #expect(try await client.next(timeout: .patience) == nil)
    try await service.value
  }

  @Test func `a handler that never returns does not keep a service from ending`() async throws {
    let listener = try LineListener(unusedAddress(), framing: .lines)
    let (updates, source) = AsyncStream<String>.makeStream()
    source.yield("still here")
    let service = Task {
      // begin EndlessHandler
      try await listener.serve(draining: .seconds(1)) { peer in
        for await update in updates {  // ends if the task is cancelled
          try await peer.send(update, timeout: .seconds(10))
        }
      }
      // end EndlessHandler
    }
    let client = try await connect(to: listener.address, framing: .lines, timeout: .patience)
    #expect(text(try await client.receive(timeout: .patience)) == "still here")
    listener.finish()
    try await service.value
    #expect(try await client.next(timeout: .patience) == nil)
    source.finish()
  }

  struct NotAuthorised: Error {}

  func serveAuthorised(
    _ listener: LineListener, token: String, within greetingTimeout: Duration = .seconds(2)
  ) async throws {
    // begin SilentClient
    @Sendable func authorise(_ peer: MessageDuplex<LineFraming>) async throws {
      let greeting = String(decoding: try await peer.receive(), as: UTF8.self)
      guard greeting == token else { throw NotAuthorised() }
    }
    try await listener.serve(
      greetingTimeout: greetingTimeout, greeting: authorise
    ) { peer in
      for try await request in peer.messages { try await peer.send(request) }
    }
    // end SilentClient
  }

  @Test func `a client that says nothing delays nobody`() async throws {
    let listener = try LineListener(unusedAddress(), framing: .lines)
    let service = Task { try await serveAuthorised(listener, token: "open", within: .patience) }
    let silent = try await connect(to: listener.address, framing: .lines, timeout: .patience)
    let client = try await connect(to: listener.address, framing: .lines, timeout: .patience)
    try await client.send("open")
    try await client.send("hello")
    #expect(text(try await client.receive(timeout: .patience)) == "hello")
    let stranger = try await connect(to: listener.address, framing: .lines, timeout: .patience)
    try await stranger.send("let me in")
    #expect(try await stranger.next(timeout: .patience) == nil)
    silent.close()
    client.close()
    listener.finish()
    try await service.value
  }

  @Test func `a client that says nothing is closed when the time for its greeting has passed`() async throws {
    let listener = try LineListener(unusedAddress(), framing: .lines)
    let service = Task { try await serveAuthorised(listener, token: "open", within: .milliseconds(1)) }
    let silent = try await connect(to: listener.address, framing: .lines, timeout: .patience)
    #expect(try await silent.next(timeout: .patience) == nil)
    listener.finish()
    try await service.value
  }

  @Test func `one user cannot take all connections`() async throws {
    let listener = try LineListener(unusedAddress(), framing: .lines)
    let log = Log<String>()
    let service = Task {
      // begin GreedyUser
      @Sendable func note(_ event: ListenerEvent) {
        if case .refused(.userLimit, let peer?) = event {
          log.append("user \(peer.userID)")
        }
      }
      try await listener.serve(limit: 100, perUser: 2, observing: note) { peer in
        for try await request in peer.messages { try await peer.send(request) }
      }
      // end GreedyUser
    }
    var clients: [MessageDuplex<LineFraming>] = []
    for _ in 0..<2 {
      let client = try await connect(to: listener.address, framing: .lines, timeout: .patience)
      try await client.send("hello")
      #expect(text(try await client.receive(timeout: .patience)) == "hello")
      clients.append(client)
    }
    let third = try await connect(to: listener.address, framing: .lines, timeout: .patience)
    #expect(try await third.next(timeout: .patience) == nil)
    await eventually { log.entries == ["user \(geteuid())"] }
    for client in clients { client.close() }
    listener.finish()
    try await service.value
  }

  /// Serves one connection, and says whose it was.
  func greetUser(at path: FilePath, allowing owner: UInt32) async throws -> UInt32? {
    // begin WhoMayConnect
    let listener = try Listener(
      .unix(path), framing: .lines, file: .mode(0o666),
      accepting: .when { peer in peer.userID == 0 || peer.userID == owner })
    let peer = try await listener.accept()
    if let user = peer.peer?.userID { try await peer.send("hello, user \(user)") }
    // end WhoMayConnect
    defer { listener.close() }
    return peer.peer?.userID
  }

  @Test func `a policy decides who may connect`() async throws {
    let directory = try ScratchDirectory()
    defer { directory.remove() }
    let path = directory("app.sock")
    let service = Task { try await greetUser(at: path, allowing: geteuid()) }
    let client = try await connect(
      to: .unix(path), framing: .lines, waitingForServer: true, timeout: .patience)
    #expect(text(try await client.receive(timeout: .patience)) == "hello, user \(geteuid())")
    #expect(try await service.value == geteuid())
  }

  @Test func `a thread that waits is woken by close`() async throws {
    let (peer, other) = try makeSocketPair(framing: .lines)
    defer { other.close() }
    let hasBegun = Gate()
    let thread = TestThread {
      hasBegun.open()
      // begin BlockedThread
      do throws(EndpointError) {
        while let request = try peer.blocking.next() {
          try peer.blocking.send(request)
        }
      } catch {
        guard error.reason == .closed else { throw error }
        return "closed"  // another thread, or a task, has called peer.close()
      }
      // end BlockedThread
      return "ended"
    }
    await hasBegun.wait()
    await eventually { peer.snapshot.waitingReceivers == 1 }
    peer.close()
    #expect(try await thread.value == "closed")
  }
}
