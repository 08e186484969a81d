import Foundation
import SWIO
import SWMultiprocessing
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Listeners that ask for a key, and what hostile clients do to them.
@Suite(.needsKeys, .lastResort, .leavesNothing) struct ListenerTests {
  private static func listener(
    _ place: Place = .abstract, _ authentication: Authentication = key(),
    onFailure: (@Sendable (MultiprocessingError) -> Void)? = nil
  ) throws -> Listener<MessageDuplex<MultiprocessingFraming>> {
    try Listener(
      place.address(), framing: .multiprocessing, authentication: authentication, onFailure: onFailure)
  }

  /// A client with the key sends something and gets it back.
  private static func checkService(
    _ listener: Listener<MessageDuplex<MultiprocessingFraming>>
  ) async throws {
    async let accepted = listener.accept()
    let client = try await connect(to: listener.address, framing: .multiprocessing, authentication: key())
    let peer = try await accepted
    try await client.send("question")
    #expect(try await peer.receive() == "question")
  }

  @Test(arguments: Place.allCases)
  func `a client with the key is accepted`(_ place: Place) async throws {
    let listener = try Self.listener(place)
    defer { listener.close() }
    try await Self.checkService(listener)
  }

  @Test func `threads connect and accept`() async throws {
    let listener = try Self.listener()
    defer { listener.close() }
    let address = listener.address
    let server = TestThread {
      let peer = try listener.blocking.accept()
      try peer.blocking.send(try peer.blocking.receive())
    }
    let client = TestThread {
      let peer = try Connector(to: address).blocking.connect(
        framing: .multiprocessing, authentication: key())
      try peer.blocking.send([1, 2])
      return try peer.blocking.receive()
    }
    try await server.value
    #expect(try await client.value == [1, 2])
  }

  @Test func `what concerns the socket is asked of the socket: refusals, events and the descriptor`()
    async throws
  {
    let asked = Guarded(0)
    let listener = try Listener(
      Place.abstract.address(), framing: .multiprocessing, authentication: key(),
      accepting: .when { _ in
        asked.withLock { asked in
          asked += 1
          return asked > 1
        }
      })
    let refused = Guarded(0)
    let serving = Task {
      try await listener.serve(observing: { event in
        if case .refused(.policy, .some) = event { refused.withLock { $0 += 1 } }
      }) { peer in
        for try await message in peer.messages { try await peer.send(message) }
      }
    }
    await eventually { listener.snapshot.waitingAcceptors == 1 }
    let stranger = try await connect(to: listener.address)
    await #expect(throws: EndpointError.self) { try await stranger.receive() }
    stranger.close()
    #expect(listener.refusedCount == 1 && refused.withLock { $0 } == 1)
    let client = try await connect(to: listener.address, framing: .multiprocessing, authentication: key())
    try await client.send("served")
    #expect(try await client.receive() == "served")
    client.close()
    let address = try listener.withDescriptor { Address(try $0.address()) }
    #expect(address == listener.address)
    listener.finish()
    try await serving.value
    #expect(throws: EndpointError.self) { try listener.withDescriptor { _ in } }
  }

  @Test func `silent clients delay nobody`() async throws {
    let listener = try Self.listener()
    defer { listener.close() }
    var silent: [SocketDuplex] = []
    for _ in 0..<1000 { silent.append(try await connect(to: listener.address)) }
    // Their handshakes have as long as this test has.
    try await Self.checkService(listener)
    for peer in silent { peer.close() }
  }

  @Test func `a silent client is disconnected when its time has passed`() async throws {
    var hurried = key()
    hurried.timeLimit = .milliseconds(20)
    let failures = Failures()
    let listener = try Self.listener(.abstract, hurried) { failures.add($0) }
    defer { listener.close() }
    let silent = try await connect(to: listener.address)
    var received: [UInt8] = []
    while let chunk = try? await silent.receive() { received += chunk }
    #expect(received.dropFirst(4).starts(with: "#CHALLENGE#{sha256}".utf8))
    await eventually { failures.count == 1 }
    #expect(failures.causes == [.noAnswer])
  }

  @Test func `silent clients get a quarter of the descriptors at most`() async throws {
    let name = "sw-crowd-\(UInt64.random(in: 0 ... .max))"
    async let exit: Void = {
      await #expect(processExitsWith: .success) { [name = name as String] in
        // A process of its own, which may have 64 descriptors.
        var limit = rlimit(rlim_cur: 64, rlim_max: 64)
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let control = try Listener(.abstract(name + "-control"), framing: .lines)
        let listener = try Listener(.abstract(name), framing: .multiprocessing, authentication: key())
        let serving = Task {
          try await listener.serve { peer in
            for try await message in peer.messages { try await peer.send(message) }
          }
        }
        let asker = try await control.accept()
        while try await asker.next() != nil {
          let used = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
          try await asker.send(Array("\(used)".utf8))
        }
        listener.finish()
        try await serving.value
      }
    }()
    let address = Address.abstract(name)
    let control = try await Connector(to: .abstract(name + "-control"), waitingForServer: true).connect(
      framing: .lines)
    func used() async throws -> Int {
      try await control.send("used")
      return try #require(Int(String(decoding: try await control.receive(), as: UTF8.self)))
    }
    // Those that the process has inherited or opened itself. It may open a few more later.
    let own = try await used()
    var silent: [SocketDuplex] = []
    for _ in 0..<100 {
      silent.append(try await Connector(to: address, waitingForServer: true).connect())
    }
    for round in 0..<2 {
      for peer in silent.prefix(16) { _ = try await peer.receive() }
      #expect(try await used() - own < 16 + 8, "round \(round)")
      for peer in silent.prefix(16) { peer.close() }
      silent.removeFirst(16)
    }
    for peer in silent { peer.close() }
    let client = try await connect(to: address, framing: .multiprocessing, authentication: key())
    try await client.send("question")
    #expect(try await client.receive() == "question")
    client.close()
    control.close()
    await exit
  }

  @Test func `a client with another key ends nothing but its own connection`() async throws {
    let failures = Failures()
    let listener = try Self.listener { failures.add($0) }
    defer { listener.close() }
    for _ in 0..<20 {
      let failure = await authenticationFailure {
        _ = try await connect(to: listener.address, framing: .multiprocessing, authentication: key("wrong"))
      }
      #expect(failure == AuthenticationFailure(.rejected, as: .client))
    }
    try await Self.checkService(listener)
    await eventually { failures.count == 20 }
    #expect(failures.causes.allSatisfy { $0 == .wrongAnswer })
  }

  @Test(
    arguments: [
      [], [0], [0, 0, 0, 16, 1, 2, 3], [0, 0, 0, 0], [0x7f, 0xff, 0xff, 0xff],
      [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
      [0, 0, 0, 4, 1, 2, 3, 4], [UInt8](repeating: 0x41, count: 4096),
    ] as [[UInt8]])
  func `clients that send nonsense and leave end nothing but their own connections`(
    _ bytes: [UInt8]
  ) async throws {
    let failures = Failures()
    let listener = try Self.listener { failures.add($0) }
    defer { listener.close() }
    for _ in 0..<100 {
      let client = try await connect(to: listener.address)
      if !bytes.isEmpty { _ = try? await client.send(bytes) }
      client.finishSending()
      client.close()
    }
    try await Self.checkService(listener)
    await eventually { failures.count == 100 }
  }

  @Test func `a closed listener ends its handshakes and wakes its callers`() async throws {
    let listener = try Self.listener()
    let silent = try await connect(to: listener.address)
    _ = try await silent.receive()
    let accepted = Task { try await listener.accept() }
    listener.close()
    await #expect(throws: EndpointError.self) { try await accepted.value }
    await #expect(throws: EndpointError.self) { while true { _ = try await silent.receive() } }
  }

  @Test func `connections that nobody accepts are closed with the listener`() async throws {
    let listener = try Self.listener()
    let client = try await connect(to: listener.address, framing: .multiprocessing, authentication: key())
    listener.close()
    await #expect(throws: EndpointError.self) { try await client.receive() }
  }

  @Test(arguments: Place.allCases)
  func `a listener that finishes accepts those who have connected, and nobody else`(_ place: Place)
    async throws
  {
    let listener = try Self.listener(place)
    defer { listener.close() }
    // Connected, and in the middle of the handshake.
    let late = try await connect(to: listener.address)
    let connected = try await connect(to: listener.address, framing: .multiprocessing, authentication: key())
    try await connected.send("question")
    listener.finish()
    async let handshake: Void = late.authenticate(as: .client, with: key())
    let peers = [try await listener.accept(), try await listener.accept()]
    try await handshake
    let messages = MessageDuplex(over: late, framing: .multiprocessing)
    try await messages.send("question")
    for peer in peers { #expect(try await peer.receive() == "question") }
    await #expect(throws: EndpointError.self) { try await listener.accept() }
    await #expect(throws: EndpointError.self) { try await connect(to: listener.address) }
  }

  @Test func `a listener with a key serves, and drains`() async throws {
    let listener = try Self.listener()
    let serving = Task {
      try await listener.serve(draining: .patience) { peer in
        for try await message in peer.messages { try await peer.send(message) }
      }
    }
    let client = try await connect(to: listener.address, framing: .multiprocessing, authentication: key())
    try await client.send(1)
    #expect(try await client.receive() == 1)
    listener.finish()
    #expect(try await client.next() == nil)
    try await serving.value
  }

  @Test func `a listener that is dropped closes`() async throws {
    var listener: Listener<MessageDuplex<MultiprocessingFraming>>? = try Self.listener()
    let address = try #require(listener?.address)
    let client = try await connect(to: address, framing: .multiprocessing, authentication: key())
    listener = nil
    await #expect(throws: EndpointError.self) { try await client.receive() }
  }

  @Test func `an accept that was cancelled loses no connection`() async throws {
    let listener = try Self.listener()
    defer { listener.close() }
    await #expect(throws: EndpointError.self) { try await listener.accept(timeout: .zero) }
    try await Self.checkService(listener)
  }
}

/// The failures of handshakes that a listener tells of.
final class Failures: Sendable {
  private let errors = Mutex<[MultiprocessingError]>([])

  func add(_ error: MultiprocessingError) { errors.withLock { $0.append(error) } }

  var count: Int { errors.withLock { $0.count } }

  var causes: [AuthenticationFailure.Cause] {
    errors.withLock { errors in
      errors.compactMap { error in
        if case .authentication(let failure) = error.reason { failure.cause } else { nil }
      }
    }
  }
}
