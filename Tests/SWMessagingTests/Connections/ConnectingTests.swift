import CSysShim
import CSysTestSupport
import Foundation
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// How connect treats full queues, missing servers, deadlines and names of hosts.
@Suite(.lastResort, .leavesNothing)
struct ConnectingTests {
  /// A listener whose queue of connections is full.
  private func full(
    _ directory: TestDirectory, backlog: Int = 0
  ) throws -> (Listener<MessageDuplex<VarIntFraming>>, [HandClient]) {
    let listener = try ListenPlace.unix.listener(directory, backlog: backlog)
    let address = try #require(listener.address.socketAddress)
    var clients: [HandClient] = []
    while true {
      let client = try HandClient(address)
      if client.result == -Errno.wouldBlock.rawValue { return (listener, clients) }
      #expect(client.result == 0)
      clients.append(client)
    }
  }

  @Test func `with a full queue a client waits, and is not connected before there is room`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let (listener, clients) = try full(directory)
    #expect(clients.count == 1)
    let connecting = Task { try await connect(to: listener.address, framing: .varInt) }
    let key = WaitingLine.Key(address: listener.address, kind: .stream, waitsForServer: false)
    await eventually { WaitingLine.waiting(key) == 1 }
    let first = try await listener.accept()
    let client = try await connecting.value
    let second = try await listener.accept()
    try await client.send("x")
    #expect(try await second.receive() == [120])
    for peer in [first, client, second] { peer.close() }
    listener.close()
  }

  @Test func `with a full queue a deadline and a cancellation end the wait, and say why`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let (listener, clients) = try full(directory)
    let path = listener.address
    let error = await endpointError {
      try await connect(to: path, framing: .varInt, timeout: .milliseconds(5))
    }
    #expect(error?.reason == .timedOut && error?.subject == .service(path))
    #expect(
      error?.explanation.hasSuffix("the server's queue of connections is full") ?? false, "\(error as Any)")
    #expect(await endpointError { try await connect(to: path, timeout: .zero) }?.reason == .timedOut)
    let blocked = TestThread { () throws in
      blockingError { try Connector(to: path).blocking.connect(timeout: .milliseconds(5)) }
    }
    #expect(try await blocked.value?.reason == .timedOut)
    let key = WaitingLine.Key(address: path, kind: .stream, waitsForServer: false)
    let connecting = Task { await endpointError { try await connect(to: path, framing: .varInt) } }
    await eventually { WaitingLine.waiting(key) == 1 }
    connecting.cancel()
    #expect(await connecting.value?.reason == .cancelled)
    #expect(WaitingLine.waiting(key) == 0)
    let cancelled = Task { await endpointError { try await connect(to: path) } }
    cancelled.cancel()
    _ = await cancelled.value
    #expect(clients.count == 1)
    listener.close()
  }

  @Test func `clients that wait for a full queue are served first come, first served`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let (listener, clients) = try full(directory, backlog: 1)
    let key = WaitingLine.Key(address: listener.address, kind: .stream, waitsForServer: false)
    var connecting: [Task<MessageDuplex<VarIntFraming>, any Error>] = []
    for index in 0..<20 {
      connecting.append(
        Task {
          let peer = try await connect(to: listener.address, framing: .varInt)
          try await peer.send("\(index)")
          return peer
        })
      await eventually { WaitingLine.waiting(key) == index + 1 }
    }
    for client in clients {
      try await listener.accept().close()
      client.close()
    }
    for index in 0..<20 {
      let peer = try await listener.accept()
      #expect(try await peer.receive() == Array("\(index)".utf8))
      peer.close()
    }
    for task in connecting { try await task.value.close() }
    listener.close()
  }

  // MARK: No server

  @Test func `without a server connect fails at once, and says what is missing`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("s")
    let missing = await endpointError { try await connect(to: .unix(path)) }
    #expect(missing?.failure == TransportError(.connect, .noSuchFileOrDirectory))
    #expect(missing?.description == "cannot connect to unix:\(path): No such file or directory (ENOENT)")
    let stale = try OwnedDescriptor.socket(for: .unnamedUnix, .stream, .bind)
    #expect(stale.bind(to: try #require(SocketAddress(unixPath: path.string))) == 0)
    let refused = await endpointError { try await connect(to: .unix(path), framing: .varInt) }
    #expect(refused?.failure == TransportError(.connect, .connectionRefused))
    let abstract = await endpointError { try await connect(to: .abstract("sw-nobody")) }
    #expect(abstract?.failure?.errno == .connectionRefused)
    let unnamed = await endpointError { try await connect(to: .abstract("")) }
    #expect(unnamed?.failure?.errno == .invalidArgument)
    let tcp = await endpointError { try await connect(to: try closedPort()) }
    #expect(tcp?.failure == TransportError(.connect, .connectionRefused))
    let kind = await endpointError { try await connect(to: .tcp(host: "::1", port: 1), kind: .packets) }
    #expect(kind?.failure?.errno == .protocolNotSupported)
    _ = consume stale
    let listener = try ListenPlace.packets.listener(directory)
    let other = await endpointError { try await connect(to: listener.address) }
    #expect(other?.failure?.errno == .protocolWrongTypeForSocket)
    listener.close()
  }

  /// A TCP port at which no process listens.
  private func closedPort(_ host: String = "127.0.0.1") throws -> Address {
    let listener = try Listener(.tcp(host: host, port: 0))
    defer { listener.close() }
    return listener.address
  }

  @Test func `a connector can wait for its server`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    for address in [Address.unix(directory("s")), .abstract("sw-late-\(getpid())"), try closedPort()] {
      let connecting = Task { try await connect(to: address, framing: .varInt, waitingForServer: true) }
      let blocked = TestThread {
        try Connector(to: address, waitingForServer: true).blocking.connect(framing: .varInt)
      }
      if case .unix = address.kind {
        let key = WaitingLine.Key(address: address, kind: .stream, waitsForServer: true)
        await eventually { WaitingLine.waiting(key) == 2 }
        // First there is a socket file without a process.
        let stale = try OwnedDescriptor.socket(for: .unnamedUnix, .stream, .bind)
        #expect(stale.bind(to: try #require(address.socketAddress)) == 0)
        _ = consume stale
      }
      let listener = try Listener(address, framing: .varInt)
      let peers = [try await listener.accept(), try await listener.accept()]
      for peer in peers { try await peer.send("here") }
      let clients = [try await connecting.value, try await blocked.value]
      for client in clients { #expect(try await client.receive() == Array("here".utf8)) }
      for peer in peers + clients { peer.close() }
      listener.close()
      let late = await endpointError {
        try await connect(to: address, waitingForServer: true, timeout: .milliseconds(30))
      }
      #expect(late?.reason == .timedOut)
      #expect(late?.explanation.hasPrefix("the last attempt: cannot connect to \(address): ") ?? false)
    }
  }

  @Test func `failed connections leave nothing`() async throws {
    let before = openDescriptors()
    let address = try closedPort()
    for _ in 0..<stressed(5_000) {
      _ = await endpointError { try await connect(to: .unix("/nowhere/s")) }
      _ = await endpointError { try await connect(to: address) }
    }
    await eventually { opensNothing(SWSYS_STREAM_SOCKET, beyond: before) }
  }

  // MARK: TCP

  @Test func `a connection that meets itself is none`() async throws {
    let socket = try OwnedDescriptor.socket(
      for: try #require(SocketAddress(ip: "127.0.0.1", port: 0)), .stream, .bind)
    #expect(socket.bind(to: try #require(SocketAddress(ip: "127.0.0.1", port: 0))) == 0)
    let own = try socket.withDescriptor { descriptor throws(Errno) in try descriptor.address() }
    let result = socket.connect(to: own)
    #expect(result == 0 || result == -Errno.nowInProgress.rawValue)
    let socketFile = socket.withDescriptor { $0 }
    await eventually { socketFile.isReady(for: .writable) }
    #expect(socketFile.isConnectedToItself)
    _ = consume socket
    // By chance it happens about once in 28,000 times.
    let address = try closedPort()
    for _ in 0..<stressed(5_000, full: 100_000) {
      #expect(await endpointError { try await connect(to: address) }?.failure?.errno == .connectionRefused)
    }
  }

  @Test func `a name is looked up elsewhere, and all its addresses are tried`() async throws {
    let listener = try Listener(.tcp(host: "127.0.0.1", port: 0), framing: .varInt)
    let port = try #require(listener.address.socketAddress?.port)
    let client = try await connect(to: .tcp(host: "localhost", port: port), framing: .varInt)
    let server = try await listener.accept()
    try await client.send("x")
    #expect(try await server.receive() == [120])
    for peer in [client, server] { peer.close() }
    let blocked = TestThread {
      try Connector(to: .tcp(host: "localhost", port: port)).blocking.connect(framing: .varInt)
    }
    try await blocked.value.close()
    try await listener.accept().close()
    listener.close()
    let unknown = await endpointError { try await connect(to: .tcp(host: "no-such-host.invalid", port: 1)) }
    #expect(unknown?.failure?.operation == .resolve, "\(unknown as Any)")
    #expect(unknown?.explanation.isEmpty == false)
  }

  private func answering(_ addresses: [SocketAddress]) -> @Sendable (String) -> [SocketAddress] {
    { _ in addresses }
  }

  @Test func `of several addresses the first that answers wins, and the others are closed`() async throws {
    // Its queue is full, so that the kernel drops new clients: there is no answer.
    let silent = try Listener(.tcp(host: "127.0.0.1", port: 0), backlog: 0)
    let silentAddress = try #require(silent.address.socketAddress)
    let port = try #require(silentAddress.port)
    let fillers = try (0..<4).map { _ in try HandClient(silentAddress) }
    let before = openDescriptors()
    let live = try Listener(.tcp(host: "127.0.0.2", port: port), framing: .varInt)
    let dead = try #require(SocketAddress(ip: "127.0.0.3", port: port))
    let liveAddress = try #require(live.address.socketAddress)
    for addresses in [
      [silentAddress, liveAddress], [dead, liveAddress], [dead, silentAddress, dead, liveAddress],
    ] {
      try await Resolver.$override.withValue(answering(addresses)) {
        let client = try await connect(to: .tcp(host: "several", port: port), framing: .varInt)
        let server = try await live.accept()
        try await client.send("x")
        #expect(try await server.receive() == [120])
        client.close()
        server.close()
      }
    }
    // Without an answer the deadline and the cancellation end it.
    try await Resolver.$override.withValue(answering([silentAddress])) {
      let error = await endpointError {
        try await connect(to: .tcp(host: "silent", port: port), timeout: .milliseconds(20))
      }
      #expect(error?.reason == .timedOut)
      let connecting = Task {
        await endpointError { try await connect(to: .tcp(host: "silent", port: port)) }
      }
      connecting.cancel()
      #expect(await connecting.value?.reason == .cancelled)
      let refused = try #require(SocketAddress(ip: "127.0.0.4", port: port))
      await Resolver.$override.withValue(answering([dead, refused])) {
        let error = await endpointError { try await connect(to: .tcp(host: "refused", port: port)) }
        #expect(error?.failure == TransportError(.connect, .connectionRefused))
      }
    }
    live.close()
    await eventually { opensNothing(SWSYS_STREAM_SOCKET, beyond: before) }
    for filler in fillers { filler.close() }
    silent.close()
  }

  @Test(arguments: [[0, 1], [1, 0]])
  func `a server is waited for if one of its addresses refuses, and others fail otherwise`(_ order: [Int])
    async throws
  {
    let place = try closedPort()
    let port = try #require(place.socketAddress?.port)
    // An address to which no TCP connection can be made, and one at which the server is not there yet.
    let unreachable = try #require(SocketAddress(ip: "255.255.255.255", port: port))
    let addresses = [unreachable, try #require(place.socketAddress)]
    try await Resolver.$override.withValue(answering(order.map { addresses[$0] })) {
      // Later attempts look the name up elsewhere, so it is one that there is.
      let address = Address.tcp(host: "localhost", port: port)
      let late = await endpointError {
        try await connect(to: address, waitingForServer: true, timeout: .milliseconds(30))
      }
      #expect(late?.reason == .timedOut)
      let connecting = Task { try await connect(to: address, framing: .varInt, waitingForServer: true) }
      let listener = try Listener(place, framing: .varInt)
      try await listener.accept(timeout: .patience).close()
      try await connecting.value.close()
      listener.close()
    }
    // Without an address that refuses, there is no server to wait for.
    await Resolver.$override.withValue(answering([unreachable, unreachable])) {
      let error = await endpointError {
        try await connect(to: .tcp(host: "several", port: port), waitingForServer: true, timeout: .patience)
      }
      #expect(error?.failure?.operation == .connect)
    }
  }

  @Test func `of several servers at one name of a host, one listens`() async throws {
    let first = try Listener(.tcp(host: "127.0.0.2", port: 0), framing: .varInt)
    let port = try #require(first.address.socketAddress?.port)
    let used = try #require(first.address.socketAddress)
    let free = try #require(SocketAddress(ip: "127.0.0.3", port: port))
    Resolver.$override.withValue(answering([used, free])) {
      let error = blockingError { try Listener(.tcp(host: "several", port: port), framing: .varInt) }
      #expect(error?.failure == TransportError(.bind, .addressInUse))
    }
    first.close()
    // An address that this host does not have is passed over: 192.0.2.0/24 is for documentation.
    let foreign = try #require(SocketAddress(ip: "192.0.2.1", port: port))
    try Resolver.$override.withValue(answering([foreign, free])) {
      let listener = try Listener(.tcp(host: "several", port: port), framing: .varInt)
      #expect(listener.address.socketAddress == free)
      listener.close()
    }
    // The same for datagrams.
    let bound = try bindDatagrams(at: .udp(host: "127.0.0.2", port: 0))
    let udpPort = try #require(bound.localAddress?.port)
    let addresses = try ["127.0.0.2", "127.0.0.3"].map {
      try #require(SocketAddress(ip: $0, port: udpPort))
    }
    Resolver.$override.withValue(answering(addresses)) {
      let error = blockingError { try bindDatagrams(at: .udp(host: "several", port: udpPort)) }
      #expect(error?.failure == TransportError(.bind, .addressInUse))
    }
    bound.close()
  }

  @Test func `a resolver that does not answer holds nobody up`() async throws {
    let gate = Gate()
    let answered = Gate()
    let slow: @Sendable (String) -> [SocketAddress] = { _ in
      gate.waitBlocking()
      answered.open()
      return []
    }
    await Resolver.$override.withValue(slow) {
      let address = Address.tcp(host: "slow", port: 1)
      let late = await endpointError { try await connect(to: address, timeout: .milliseconds(5)) }
      #expect(late?.reason == .timedOut)
    }
    gate.open()
    await answered.wait()
  }

  @Test func `small messages are sent at once, unless that is not wanted`() async throws {
    let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
    var connector = Connector(to: listener.address)
    for delays in [false, true] {
      connector.delaysSmallMessages = delays
      let client = try await connector.connect()
      let server = try await listener.accept()
      for (endpoint, expected) in [(client, !delays), (server, true)] {
        let value = try endpoint.withDescriptor { descriptor in
          var value: Int32 = 0
          var size = UInt32(4)
          _ = unsafe getsockopt(descriptor.rawValue, 6, 1, &value, &size)
          return value
        }
        #expect((value != 0) == expected)
        endpoint.close()
      }
    }
    listener.close()
  }

  @Test func `two colons listen for both families`() async throws {
    let listener = try Listener(.tcp(host: "::", port: 0))
    let port = try #require(listener.address.socketAddress?.port)
    for host in ["127.0.0.1", "::1"] {
      let client = try await connect(to: .tcp(host: host, port: port))
      try await listener.accept().close()
      client.close()
    }
    let inUse = blockingError { try Listener(listener.address) }
    #expect(inUse?.failure?.errno == .addressInUse)
    listener.close()
    // The address can be had again at once.
    try Listener(listener.address).close()
  }

  // MARK: Descriptors and datagrams

  @Test func `a descriptor is taken over`() async throws {
    let pair = try DescriptorPair.sockets(.unix)
    let number = pair.first.release().rawValue
    let client = try await connect(to: .descriptor(number), framing: .varInt)
    let server = try MessageDuplex(adopting: pair.second, framing: .varInt)
    try await client.send("x")
    #expect(try await server.receive() == [120])
    client.close()
    server.close()
    let error = await endpointError { try await connect(to: .descriptor(9_999)) }
    #expect(error?.failure?.operation == .adopt && error?.subject == .service(.descriptor(9_999)))
  }

  @Test func `datagrams have an address to answer to, and are not listened for`() async throws {
    let name = "sw-datagrams-\(getpid())"
    let socket = try OwnedDescriptor.socket(for: .unnamedUnix, .datagrams, .bind)
    #expect(socket.bind(to: try #require(SocketAddress(abstractName: name))) == 0)
    let server = try SocketDuplex(adopting: socket)
    let client = try await connect(to: .abstract(name), framing: .datagram, kind: .datagrams)
    try await client.send("there")
    let received = try await server.receiveBytes()
    #expect(received.bytes == Array("there".utf8))
    let sender = try #require(received.sender)
    try await server.send(Array("back".utf8), to: sender)
    #expect(try await client.receive() == Array("back".utf8))
    client.close()
    server.close()
    let error = blockingError { try Listener(.abstract(name), kind: .datagrams) }
    #expect(error?.failure?.errno == .notSupportedOnSocket)
  }

  @Test func `an address that cannot be used is an error of its own`() async {
    let error = await endpointError { try await connect(to: .tcp(host: "", port: 1)) }
    guard case .address(let reason) = error?.reason else {
      Issue.record("\(error as Any)")
      return
    }
    #expect(reason.reason == .missingHost)
    #expect(
      error?.description
        == "'tcp::1' is not a valid address: at byte 4: there is no host; 0.0.0.0 and [::] mean any")
  }

  @Test func `where a filter refuses poll, connections are made, and packets end`() async {
    await #expect(processExitsWith: .success) {
      try #require(swsys_forbid(Int32(SWSYS_CALL_POLL), 0) == 0)
      let listener = try Listener(.tcp(host: "127.0.0.1", port: 0), framing: .varInt)
      let accepting = Task { try await listener.accept(timeout: .patience) }
      let client = try await connect(to: listener.address, framing: .varInt, timeout: .patience)
      let server = try await accepting.value
      let thread = TestThread {
        try Connector(to: listener.address).blocking.connect(framing: .varInt, timeout: .patience).close()
      }
      try await listener.accept(timeout: .patience).close()
      try await thread.value
      try await client.send("one")
      #expect(try await server.receive(timeout: .patience) == Array("one".utf8))
      let (left, right) = try makeSocketPair(.unixPackets)
      try await left.send("")
      left.finishSending()
      #expect(try await right.receive(timeout: .patience) == [])
      #expect(await endpointError { try await right.receive(timeout: .patience) }?.reason == .endOfStream)
    }
  }
}

/// The order in which addresses are tried.
@Suite(.lastResort, .leavesNothing) struct AddressRaceTests {
  private func ip(_ text: String) throws -> SocketAddress { try #require(SocketAddress(ip: text, port: 80)) }

  private func instant(_ milliseconds: UInt64) -> Deadline { Deadline(nanoseconds: milliseconds * 1_000_000) }

  @Test func `families take turns, in the resolver's order`() throws {
    let six = try ["::1", "::2", "::3"].map(ip)
    let four = try ["1.1.1.1"].map(ip)
    var race = AddressRace(six + four)
    var tried: [SocketAddress] = []
    while case .start(let address) = race.next(now: instant(UInt64(tried.count) * 250 + 1)) {
      tried.append(address)
    }
    #expect(tried == [six[0], four[0], six[1], six[2]])
    var other = AddressRace(four + six)
    #expect(other.next(now: instant(1)) == .start(four[0]))
  }

  @Test func `the next address is tried after 250 ms, or as soon as one has failed`() throws {
    let addresses = try ["::1", "::2", "::3"].map(ip)
    var race = AddressRace(addresses)
    #expect(race.next(now: instant(1_000)) == .start(addresses[0]))
    #expect(race.next(now: instant(1_000)) == .wait(until: instant(1_250)))
    #expect(race.next(now: instant(1_249)) == .wait(until: instant(1_250)))
    #expect(race.next(now: instant(1_250)) == .start(addresses[1]))
    race.failed(TransportError(.connect, .connectionRefused))
    #expect(race.next(now: instant(1_251)) == .start(addresses[2]))
    #expect(race.next(now: instant(9_000)) == .wait(until: .never))
    race.failed(TransportError(.connect, .noRouteToHost))
    #expect(race.next(now: instant(9_000)) == .wait(until: .never))
    race.failed(TransportError(.connect, .timedOut))
    #expect(race.wasRefused)
    #expect(race.next(now: instant(9_000)) == .lost(TransportError(.connect, .connectionRefused)))
  }
}
