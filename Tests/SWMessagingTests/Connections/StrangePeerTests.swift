import Foundation
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Names that are not what they seem, and peers that do what no honest peer does.
@Suite(.lastResort, .leavesNothing) struct StrangePeerTests {
  private static let noServers: [(String, Errno)] = [
    ("file", .connectionRefused), ("directory", .connectionRefused), ("fifo", .connectionRefused),
    ("dangling", .noSuchFileOrDirectory), ("loop", .tooManySymbolicLinkLevels), ("file/s", .notDirectory),
    ("datagrams", .protocolWrongTypeForSocket), ("", .connectionRefused),
  ]

  @Test(arguments: noServers)
  func `what is no server at a path is told at once, by its errno`(_ name: String, _ errno: Errno)
    async throws
  {
    let directory = try TestDirectory()
    defer { directory.remove() }
    #expect(FileManager.default.createFile(atPath: directory("file").string, contents: nil))
    try FileManager.default.createDirectory(
      atPath: directory("directory").string, withIntermediateDirectories: false)
    let made = unsafe mkfifo(directory("fifo").string, 0o600)
    #expect(made == 0)
    for (link, target) in [("dangling", "nothing"), ("loop", "loop")] {
      try FileManager.default.createSymbolicLink(
        atPath: directory(link).string, withDestinationPath: target)
    }
    let datagrams = try bindDatagrams(at: .unix(directory("datagrams")))
    defer { datagrams.close() }
    let path = name.isEmpty ? directory.path : FilePath(directory.path.string + "/" + name)
    let error = await endpointError { try await connect(to: .unix(path)) }
    #expect(error?.failure == TransportError(.connect, errno))
    #expect(error?.description.contains("unix:\(path)") == true)
    let blocking = try await TestThread { () -> EndpointError? in
      do throws(EndpointError) { try Connector(to: .unix(path)).blocking.connect().close() } catch {
        return error
      }
      return nil
    }.value
    #expect(blocking?.failure == TransportError(.connect, errno))
  }

  @Test func `a link that leads to a server is followed by clients and left alone by a second server`()
    async throws
  {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try Listener(.unix(directory("s")), framing: .varInt)
    try FileManager.default.createSymbolicLink(
      atPath: directory("link").string, withDestinationPath: "s")
    let client = try await connect(to: .unix(directory("link")), framing: .varInt)
    let peer = try await listener.accept()
    try await client.send("hello")
    #expect(try await peer.receive() == Array("hello".utf8))
    let second = await endpointError { try Listener(.unix(directory("link")), framing: .varInt).close() }
    #expect(second != nil, "a link has been replaced")
    #expect(directory.names == ["link", "s"])
    client.close()
    peer.close()
    listener.close()
    #expect(directory.names == ["link"])
  }

  @Test func `a listener whose file was replaced by a link to another server leaves the link`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let (first, second) = (try Listener(.unix(directory("a"))), try Listener(.unix(directory("b"))))
    try FileManager.default.removeItem(atPath: directory("a").string)
    try FileManager.default.createSymbolicLink(atPath: directory("a").string, withDestinationPath: "b")
    first.close()
    #expect(directory.names == ["a", "b"])
    second.close()
    #expect(directory.names == ["a"])
  }

  @Test
  func
    `a listener whose directory is moved takes its file away there, and one whose directory is gone closes`()
    async throws
  {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let (old, new) = (directory("old"), directory("new"))
    try FileManager.default.createDirectory(atPath: old.string, withIntermediateDirectories: false)
    let moved = try Listener(.unix(old.appending("s")))
    try FileManager.default.moveItem(atPath: old.string, toPath: new.string)
    let client = try await connect(to: .unix(new.appending("s")))
    moved.close()
    #expect(try FileManager.default.contentsOfDirectory(atPath: new.string) == [])
    client.close()
    let gone = try Listener(.unix(new.appending("s")))
    try FileManager.default.removeItem(atPath: new.string)
    gone.close()
    #expect(directory.names == [])
  }

  @Test func `a greeting that comes byte by byte ends at its deadline, and others are served meanwhile`()
    async throws
  {
    let listener = try Listener(.abstract(""), framing: .varInt)
    let log = EventLog()
    let serving = Task {
      try await listener.serve(
        greetingTimeout: .milliseconds(200), observing: log.note,
        greeting: { peer in _ = try await peer.receive() }, ServeTests.echo)
    }
    let slow = try await connect(to: listener.address)
    // The header of a message of 15 MiB.
    try await slow.send([0xFA, 0xF0, 0, 0])
    let dribbling = Task {
      while true { _ = try await slow.send([0], timeout: .seconds(60)) }
    }
    // The deadline of this client's own greeting is as short, so it may have to try again.
    while true {
      let client = try await connect(to: listener.address, framing: .varInt)
      defer { client.close() }
      do {
        try await client.send("greeting")
        try await client.send("hello")
        if try await client.next() == Array("hello".utf8) { break }
      } catch {}
    }
    let end = await endpointError { try await dribbling.value }
    #expect(end?.failure != nil, "\(String(describing: end))")
    await eventually { log.greetingsFailed >= 1 }
    slow.close()
    listener.finish()
    try await serving.value
  }

  @Test func `clients that never read do not hold up the end beyond its time`() async throws {
    let listener = try Listener(.abstract(""), framing: .varInt)
    let log = EventLog()
    let serving = Task {
      try await listener.serve(draining: .milliseconds(50), observing: log.note) { peer in
        while true { try await peer.send([UInt8](repeating: 1, count: 1 << 20)) }
      }
    }
    var clients: [VarIntDuplex] = []
    for _ in 0..<8 { clients.append(try await connect(to: listener.address, framing: .varInt)) }
    await eventually { log.accepted == 8 }
    listener.finish()
    try await serving.value
    #expect(log.closed == 8)
    for client in clients { client.close() }
  }

  @Test func `abstract names differ by their length and by the NULs in them`() async throws {
    let start = Array("sw-test-\(UInt64.random(in: 0...UInt64.max))".utf8)
    let names = [start, start + [0], start + [0, 0], start + [0, 97], [0] + start]
    var listeners: [VarIntListener] = []
    for name in names { listeners.append(try Listener(.abstract(name), framing: .varInt)) }
    for (name, listener) in zip(names, listeners) {
      let client = try await connect(to: .abstract(name), framing: .varInt)
      let peer = try await listener.accept(timeout: .seconds(60))
      try await client.send(name)
      #expect(try await peer.receive() == name)
      client.close()
      peer.close()
    }
    let long = await endpointError {
      try Listener(.abstract(start + [UInt8](repeating: 0, count: 108 - start.count))).close()
    }
    #expect(long != nil)
    for listener in listeners { listener.close() }
  }

  @Test func `an interface that does not exist and a port of zero are errors that name the address`()
    async throws
  {
    for address: Address in [
      .tcp(host: "fe80::1%sw-none", port: 80), .tcp(host: "127.0.0.1", port: 0),
      .tcp(host: "::1%lo", port: 0),
    ] {
      let error = await endpointError { try await connect(to: address, timeout: .seconds(60)) }
      #expect(error != nil)
      #expect(error?.description.contains("\(address)") == true, "\(String(describing: error))")
    }
  }

  /// The kernel reports a hang-up (EPOLLHUP) although nobody asked for it, and reports it anew as long as a
  /// level-triggered registration stands.
  @Test(arguments: [false, true])
  func `a peer that ends while only the sending direction is held costs nothing, and is told`(_ isFull: Bool)
    async throws
  {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try Listener(.unix(directory("s")), framing: .varInt)
    let client = try await connect(to: listener.address, framing: .varInt)
    let peer = try await listener.accept()
    MessageReader(over: client).close()
    // A send that waits has the reactor watch the descriptor.
    let owed = await endpointError { try await client.send(pattern(3_000_000), timeout: .milliseconds(1)) }
    #expect(owed?.isCommitted == true)
    if !isFull {
      #expect(try await peer.receive() == pattern(3_000_000))
      try await client.flush()
    }
    peer.close()
    let (idle, other) = try makeSocketPair()
    let before = processorTime()
    #expect(await endpointError { try await idle.receive(timeout: .milliseconds(500)) }?.reason == .timedOut)
    let used = processorTime() - before
    #expect(used < .milliseconds(250), "in 500 ms the process was busy for \(used)")
    let errno = await endpointError { try await client.send("hello") }?.failure?.errno
    #expect(errno == .brokenPipe || errno == .connectionReset, "\(String(describing: errno))")
    withExtendedLifetime(other) {}
  }

  @Test func `a process that is stopped holds up no close, and loses nothing when it goes on`() async throws {
    let server = limitLife(
      of: try await ChildProcess.spawn(
        try probePath(), arguments: ["serve-limit"], channel: .standardStreams, framing: .lines),
      named: "serve-limit")
    let line = String(decoding: try await server.channel.receive(), as: UTF8.self)
    let address = try #require(Address(line))
    let patient = try await connect(to: address, framing: .varInt)
    let draining = try await connect(to: address, framing: .varInt)
    let closing = try await connect(to: address, framing: .varInt)
    let peers = [patient, draining, closing]
    for peer in peers {
      try await peer.send("first")
      #expect(try await peer.receive() == Array("first".utf8))
    }
    try server.signal(ProcessSignal(rawValue: SIGSTOP))
    var status = unsafe siginfo_t()
    let stopped = unsafe waitid(P_PID, id_t(server.processID), &status, WSTOPPED | WNOWAIT)
    #expect(stopped == 0)

    let large = pattern(3_000_000)
    for peer in peers {
      #expect(
        await endpointError { try await peer.send(large, timeout: .milliseconds(1)) }?.isCommitted == true)
    }
    // A close that drains ends with its time, and one that does not at once: for callers that wait, too.
    let drained = await endpointError { try await draining.close(drainingFor: .milliseconds(1)) }
    #expect(drained?.reason == .timedOut && draining.isClosed)
    async let waiting = endpointError { try await closing.send("never") }
    await eventually { closing.snapshot.waitingSenders > 0 }
    closing.close()
    #expect(await waiting?.reason == .closed)

    try server.signal(ProcessSignal(rawValue: SIGCONT))
    async let echoed = patient.receive()
    try await patient.send("last")
    #expect(try await echoed == large)
    #expect(try await patient.receive() == Array("last".utf8))
    // The cut messages of the others ended only their own connections.
    let next = try await connect(to: address, framing: .varInt)
    try await next.send("next")
    #expect(try await next.receive() == Array("next".utf8))
    server.channel.finishSending()
    #expect(try await server.exitStatus == .exited(0))
  }

  /// Mapped memory would raise SIGBUS here. The library maps no memory of a peer's.
  @Test func `memory that a peer passes and then cuts off is an end, and no signal`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try Listener(.unix(directory("s")), framing: .varInt)
    let hostile = try await connect(to: listener.address, framing: .varInt)
    let peer = try await listener.accept()
    peer.maximumDescriptors = 1
    let memory = try FileDescriptor.open(
      directory("memory"), .readWrite, options: .create, permissions: .ownerReadWrite)
    defer { try? memory.close() }
    #expect(ftruncate(memory.rawValue, 1 << 20) == 0)
    try await hostile.send(Array("here it is".utf8), passing: [memory])
    let received = try await peer.receiveMessage()
    let passed = received.descriptors?.take()
    guard let passed else {
      Issue.record("a descriptor came with the message")
      return
    }
    let reader = try SocketReader(adopting: passed)
    #expect(try await reader.receive(exactly: 1 << 19).count == 1 << 19)
    #expect(ftruncate(memory.rawValue, 600_000) == 0)
    let error = await endpointError { try await reader.receive(exactly: 1 << 19) }
    #expect(error?.reason == .truncated, "\(String(describing: error))")
    try await hostile.send("and on it goes")
    #expect(try await peer.receive() == Array("and on it goes".utf8))
  }
}
