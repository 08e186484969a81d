import Foundation
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Sockets that are bound to an address, to receive datagrams there.
@Suite(.lastResort, .leavesNothing) struct BoundDatagramTests {
  enum Place: String, CaseIterable, CustomTestStringConvertible, Sendable {
    case unix, abstract, autobound, udp, udp6

    var testDescription: String { rawValue }

    func address(_ directory: TestDirectory) -> Address {
      switch self {
      case .unix: .unix(directory("s"))
      case .abstract: .abstract("sw-datagrams-\(UInt64.random(in: 0...UInt64.max))")
      case .autobound: .abstract("")
      case .udp: .udp(host: "127.0.0.1", port: 0)
      case .udp6: .udp(host: "::1", port: 0)
      }
    }

    /// Where clients reach an endpoint that was bound there.
    func reached(_ endpoint: some Endpoint) throws -> Address {
      let found = try #require(endpoint.localAddress)
      guard let ip = found.ip, let port = found.port else { return try #require(Address(found)) }
      return .udp(host: ip, port: port)
    }
  }

  private func failure(_ body: () throws -> Void) -> (EndpointError?, TransportError?) {
    let error = blockingError(of: body)
    return (error, error?.failure)
  }

  private func bindOnly(_ path: FilePath, _ kind: ConnectionKind = .datagrams) throws -> OwnedDescriptor {
    let socket = try OwnedDescriptor.socket(for: .unnamedUnix, kind, .bind)
    try #require(socket.bind(to: try #require(SocketAddress(unixPath: path.string))) == 0)
    return socket
  }

  @Test(arguments: Place.allCases)
  func `a service answers each of its clients, for tasks and threads`(_ place: Place) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let service = try bindDatagrams(at: place.address(directory), framing: .datagram)
    let address = try place.reached(service)
    let serving = Task {
      for _ in 0..<5 {
        let request = try await service.receiveMessage()
        try await service.send(request.message + [33], to: try #require(request.sender))
      }
    }
    let thread = TestThread {
      for _ in 0..<5 {
        let request = try service.blocking.receiveMessage()
        try service.blocking.send(request.message + [33], to: try #require(request.sender))
      }
    }
    var clients: [MessageDuplex<DatagramFraming>] = []
    for index in 0..<10 as Range<UInt8> {
      let client = try await connect(to: address, framing: .datagram, kind: .datagrams)
      try await client.send([index])
      clients.append(client)
    }
    for (index, client) in clients.enumerated() {
      #expect(try await client.receive() == [UInt8(index), 33])
      if place == .udp || place == .udp6 { #expect(client.peerAddress == service.localAddress) }
      client.close()
      #expect(client.localAddress == nil && client.peerAddress == nil)
    }
    try await serving.value
    try await thread.value
    service.close()
    #expect(directory.names == [])
  }

  @Test func `two services at paths talk to each other by their addresses`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let left = try bindDatagrams(at: .unix(directory("left")), framing: .varInt)
    let right = try bindDatagrams(at: .unix(directory("right")), framing: .varInt)
    let address = try #require(SocketAddress(unixPath: directory("right").string))
    try await left.send(Array("ping".utf8), to: address)
    let message = try await right.receiveMessage()
    // The path itself, and no private name: another program can answer to it.
    #expect(message.sender == SocketAddress(unixPath: directory("left").string))
    try await right.send(Array("pong".utf8), to: try #require(message.sender))
    #expect(try await left.receive() == Array("pong".utf8))
    left.close()
    right.close()
    #expect(directory.names == [])
  }

  @Test func `raw endpoints send and receive datagrams, and an empty one is one`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let service = try bindDatagrams(at: .unix(directory("s")))
    let client = try await connect(to: .unix(directory("s")), kind: .datagrams)
    try await client.send([])
    try await client.send([1, 2])
    #expect(try await service.receive() == [])
    #expect(try await service.receive() == [1, 2])
    client.close()
    service.close()
  }

  @Test func `a client hears nobody but its service`() async throws {
    let service = try bindDatagrams(at: .udp(host: "127.0.0.1", port: 0))
    let stranger = try bindDatagrams(at: .udp(host: "127.0.0.1", port: 0))
    let address = try Place.udp.reached(service)
    let client = try await connect(to: address)
    let own = try #require(client.localAddress)
    try await stranger.send([66], to: own)
    try await service.send([1], to: own)
    #expect(try await client.receive() == [1])
    for endpoint in [service, stranger, client] { endpoint.close() }
  }

  @Test func `threads connect over UDP, also by the name of a host`() async throws {
    let service = try bindDatagrams(at: .udp(host: "127.0.0.1", port: 0))
    let port = try #require(service.localAddress?.port)
    let client = try await TestThread {
      try Connector(to: .udp(host: "localhost", port: port)).blocking.connect(framing: .datagram)
    }.value
    try await client.send([7])
    #expect(try await service.receive(timeout: .patience) == [7])
    client.close()
    service.close()
    let kind = await endpointError {
      _ = try await connect(to: .udp(host: "127.0.0.1", port: port), kind: .packets)
    }
    #expect(kind?.failure == TransportError(.connect, .protocolNotSupported))
  }

  @Test func `nobody at the other end of UDP is an error of a datagram, and a new service is reached`()
    async throws
  {
    let gone = try bindDatagrams(at: .udp(host: "127.0.0.1", port: 0))
    let address = try Place.udp.reached(gone)
    gone.close()
    let client = try await connect(to: address, framing: .datagram)
    try await client.send([1])
    // The refusal comes back over the loopback before `send` has returned.
    let error = await endpointError { try await client.send([2]) }
    #expect(error?.failure?.errno == .connectionRefused && error?.failure?.scope == .item)
    let service = try bindDatagrams(at: address)
    try await client.send([3])
    #expect(try await service.receive(timeout: .patience) == [3])
    client.close()
    service.close()
  }

  // MARK: Names

  @Test(arguments: [PublishedName.Refusals(), .rename, .lock, [.lock, .rename], .proc])
  func `a stale file is replaced, and a live socket of any kind never`(
    _ refusals: PublishedName.Refusals
  ) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("s")
    for kind in [ConnectionKind.datagrams, .stream, .packets] {
      _ = try bindOnly(path, kind)
      let service = try PublishedName.$refusals.withValue(refusals) { try bindDatagrams(at: .unix(path)) }
      #expect(directory.names == ["s"])
      let (error, failure) = PublishedName.$refusals.withValue(refusals) {
        self.failure { _ = try bindDatagrams(at: .unix(path)) }
      }
      #expect(failure == TransportError(.publish, .addressInUse))
      #expect(error?.explanation == "another process has that socket")
      let client = try await connect(to: .unix(path), kind: .datagrams)
      try await client.send([1])
      #expect(try await service.receive(timeout: .patience) == [1])
      client.close()
      service.close()
      #expect(directory.names == [])
      // Alive, listening or not.
      let live = try bindOnly(path, kind)
      #expect(self.failure { _ = try bindDatagrams(at: .unix(path)) }.1?.errno == .addressInUse)
      _ = consume live
      try FileManager.default.removeItem(atPath: path.string)
    }
  }

  @Test func `a listener does not notice that it was looked at`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    for place in [ListenPlace.unix, .packets] {
      let listener = try place.listener(directory)
      let (_, failure) = failure { _ = try bindDatagrams(at: listener.address) }
      #expect(failure?.errno == .addressInUse)
      let error = await endpointError { _ = try await listener.accept(timeout: .zero) }
      #expect(error?.reason == .timedOut)
      listener.close()
    }
  }

  @Test func `a service that is taken over receives nothing more, and its close leaves the file`()
    async throws
  {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("s")
    let first = try bindDatagrams(at: .unix(path))
    let second = try bindDatagrams(at: .unix(path), file: .mode(0o600, ifPresent: .takeOver))
    first.close()
    let client = try await connect(to: .unix(path), kind: .datagrams)
    try await client.send([5])
    #expect(try await second.receive(timeout: .patience) == [5])
    client.close()
    second.close()
    #expect(directory.names == [])
  }

  @Test func `of many that bind one stale path, one has it`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    for round in 0..<stressed(100) {
      let path = directory("s\(round)")
      _ = try bindOnly(path)
      let go = Gate()
      let threads = (0..<6).map { _ in
        TestThread { () throws -> SocketDuplex? in
          go.waitBlocking()
          return try? bindDatagrams(at: .unix(path))
        }
      }
      go.open()
      var winners: [SocketDuplex] = []
      for thread in threads { if let winner = try await thread.value { winners.append(winner) } }
      #expect(winners.count == 1)
      let client = try await connect(to: .unix(path), kind: .datagrams)
      try await client.send([1])
      #expect(try await winners.first?.receive(timeout: .patience) == [1])
      client.close()
      for winner in winners { winner.close() }
      #expect(directory.names == [])
    }
  }

  @Test func `the file has its mode, stays after a detach, and goes with the last reference`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("s")
    for mode: UInt32 in [0o600, 0o666, 0o620] {
      let service = try bindDatagrams(at: .unix(path), file: .mode(mode))
      var status = stat()
      #expect(unsafe lstat(path.string, &status) == 0 && status.st_mode & 0o777 == mode)
      service.close()
    }
    _ = try bindDatagrams(at: .unix(path))
    #expect(directory.names == [])
    let detached = try bindDatagrams(at: .unix(path)).detach()
    #expect(directory.names == ["s"])
    let number = detached.release().descriptor.rawValue
    let again = try bindDatagrams(at: .descriptor(number), framing: .datagram)
    let client = try await connect(to: .unix(path), kind: .datagrams)
    try await client.send([9])
    #expect(try await again.receive(timeout: .patience) == [9])
    client.close()
    again.close()
    #expect(directory.names == ["s"])
  }

  @Test func `what cannot be bound says why, and leaves nothing`() throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    #expect(makeFIFO(directory("fifo")))
    let before = libraryDescriptors()
    let udp = try bindDatagrams(at: .udp(host: "127.0.0.1", port: 0))
    let pair = try DescriptorPair.sockets(.unix)
    let stream = pair.first.withDescriptor { $0.rawValue }
    let taken = try Place.udp.reached(udp)
    let cases: [(Address, TransportError)] = [
      (.tcp(host: "::1", port: 0), TransportError(.bind, .protocolNotSupported)),
      (.unix(directory("fifo")), TransportError(.publish, .notSocket)),
      (.unix("/nowhere/s"), TransportError(.bind, .noSuchFileOrDirectory)),
      // Without SO_REUSEADDR, which would give the port to both.
      (taken, TransportError(.bind, .addressInUse)),
      (.descriptor(stream), TransportError(.adopt, .protocolWrongTypeForSocket)),
      (.descriptor(9_999), TransportError(.adopt, .badFileDescriptor)),
    ]
    for (address, expected) in cases {
      let (error, failure) = failure { _ = try bindDatagrams(at: address) }
      #expect(failure == expected && error?.subject == .service(address), "\(address): \(error as Any)")
    }
    #expect(pair.first.withDescriptor { OpenFile($0).isOpen })
    udp.close()
    for address in [Address.udp(host: "127.0.0.1", port: 0), .udp(host: "::1", port: 9)] {
      #expect(failure { _ = try Listener(address) }.1?.errno == .notSupportedOnSocket)
    }
    _ = consume pair
    #expect(libraryDescriptors().subtracting(before).isEmpty)
  }

  @Test func `over an abstract name the kernel says who sent`() async throws {
    let service = try bindDatagrams(at: .abstract(""), framing: .datagram)
    try service.setReceivesCredentials(true)
    let client = try await connect(
      to: try Place.abstract.reached(service), framing: .datagram, kind: .datagrams)
    try await client.send([1])
    let message = try await service.receiveMessage()
    #expect(message.credentials?.processID == getpid() && message.credentials?.userID == geteuid())
    client.close()
    service.close()
  }
}
