import Glibc
import SWMessaging
import SWTesting
import Synchronization
import TLS
import Testing

@Suite struct CrossingTests {
  @Test func `a send waits to receive, and a receive to send`() throws {
    let large = TLSIdentity(name: "localhost", others: 500)
    let (serving, connecting) = try makePair(server: large, trusting: large, buffers: 2_048)
    // A client that wants to send has to receive first.
    #expect(connecting.attemptToSend(payload(3, 0)) == .waitsFor(.readable))
    // A server that wants to receive has to send its certificates first, and they do not fit the buffers.
    #expect(serving.attemptToReceive().attempt == .waitsFor([.readable, .writable]))
    var (sent, received) = (false, [UInt8]())
    for _ in 0..<10_000 where received.isEmpty {
      if !sent, case .transferred(3) = connecting.attemptToSend(payload(3, 0)) { sent = true }
      received = serving.attemptToReceive().bytes
    }
    #expect(received == payload(3, 0))
    connecting.close()
    serving.close()
  }

  @Test(arguments: [1, 2, 600, 20_000])
  func `what would block has not been taken: other bytes may come instead`(_ size: Int) throws {
    let (server, client) = try shakenHands(buffers: 2_048)
    var (sent, received) = ([UInt8](), [UInt8]())
    var blocked = 0
    for seed in 0..<600 {
      let bytes = [UInt8](repeating: UInt8(seed & 255), count: size)
      if case .transferred(let count) = client.attemptToSend(bytes) {
        sent += bytes.prefix(count)
      } else {
        blocked += 1
        received += server.attemptToReceive(seed * 37 % 900 + 1).bytes
      }
    }
    #expect(blocked > 20)
    try client.finishUp { received += server.receiveAll().bytes }
    let (rest, last) = server.receiveAll()
    // Compared so that a failure does not print all of it.
    let isWhole = received + rest == sent
    #expect(isWhole)
    #expect(last == .endOfStream)
    client.close()
    server.close()
  }

  // MARK: Another handshake (TLS 1.2)

  @Test func `data that comes during another handshake is kept, in order`() throws {
    let (server, client) = try shakenHands(.tls12)
    // Under way when the client begins, and sent by a server that knows of nothing.
    var sent: [UInt8] = []
    for seed in 0..<5 {
      let bytes = payload(3_000, seed)
      guard case .transferred(let count) = server.attemptToSend(bytes) else { break }
      sent += bytes.prefix(count)
    }
    client.renegotiate()
    var isOut = false
    var received: [UInt8] = []
    for _ in 0..<100 where !isOut {
      switch client.attemptToSend(payload(10, 7)) {
      case .transferred(let count):
        #expect(count == 10)
        isOut = true
      case .failed(let error): Issue.record("\(error): \(client.failure ?? "")")
      default: break
      }
      received += server.receiveAll().bytes
    }
    received += server.receiveAll().bytes
    #expect(isOut)
    #expect(received == payload(10, 7))
    #expect(client.receiveAll().bytes == sent)
    #expect(client.renegotiations == 1)
  }

  @Test(arguments: [true, false])
  func `handshakes again and again, while both send all they can`(_ clientBegins: Bool) async throws {
    let pair = try makePair(.tls12, buffers: 4_096)
    let server = MessageDuplex(transport: pair.server, framing: .varInt)
    let client = MessageDuplex(transport: pair.client, framing: .varInt)
    let beginner = clientBegins ? pair.client : pair.server
    try await exchange(server, client) { number in if number % 5 == 4 { beginner.renegotiate() } }
    #expect(pair.client.renegotiations > 5)
  }

  @Test func `a receiver that takes nothing stops a handshake and not the memory`() async throws {
    let pair = try makePair(.tls12)
    let server = MessageDuplex(transport: pair.server, framing: .varInt)
    let client = MessageDuplex(transport: pair.client, framing: .varInt)
    let shaking = Task { try await server.receive(timeout: patience) }
    try await client.send("hello", timeout: patience)
    _ = try await shaking.value
    let flood = payload(20_000_000, 1)
    let flooding = Task { try await server.send(flood, timeout: patience) }
    // It has begun, and there is more on the way than may wait.
    let first = try await client.withDescriptorReadable(patience)
    #expect(first)
    pair.client.renegotiate()
    let early = await failure { try await client.send("x", timeout: .milliseconds(500)) }
    #expect(early == nil || early == .timedOut)
    let received = try await client.receive(timeout: patience)
    #expect(received == flood)
    try await flooding.value
    let answering = Task { try await server.receive(timeout: patience) }
    try await client.send("y", timeout: patience)
    let answer = try await answering.value
    #expect(answer == Array((early == nil ? "x" : "y").utf8))
  }

  // MARK: Other keys (TLS 1.3)

  @Test func `new keys again and again, while both send all they can`() async throws {
    let pair = try makePair(buffers: 4_096)
    let server = MessageDuplex(transport: pair.server, framing: .varInt)
    let client = MessageDuplex(transport: pair.client, framing: .varInt)
    try await exchange(server, client) { number in
      if number % 3 == 0 { pair.server.updateKeys() }
      if number % 4 == 0 { pair.client.updateKeys() }
    }
  }

  @Test func `new keys behind a half-close`() async throws {
    let pair = try makePair()
    let server = MessageDuplex(transport: pair.server, framing: .varInt)
    let client = MessageDuplex(transport: pair.client, framing: .varInt)
    let serving = Task {
      _ = try await server.receive(timeout: patience)
      let end = try await server.next(timeout: patience)
      #expect(end == nil)
      for number in 0..<10 {
        pair.server.updateKeys()
        try await server.send(payload(1_000, number), timeout: patience)
      }
      server.finishSending()
    }
    try await client.send("hello", timeout: patience)
    client.finishSending()
    for number in 0..<10 {
      let message = try await client.receive(timeout: patience)
      #expect(message == payload(1_000, number))
    }
    let end = try await client.next(timeout: patience)
    #expect(end == nil)
    try await serving.value
  }

  @Test func `a peer that asks for answers and takes none is not answered without end`() throws {
    let (server, client) = try shakenHands()
    var isHeldUp = false
    for number in 0..<2_000_000 where !isHeldUp {
      client.updateKeys()
      if case .wouldBlock = client.attemptToSend([1]) {
        // The server takes in what it may, and then no more.
        let last = server.receiveAll().last
        if last == .waitsFor(.writable) { isHeldUp = true }
      } else if number % 1_000 == 0 {
        _ = server.receiveAll()
      }
    }
    #expect(isHeldUp)
    client.close()
    server.close()
  }

  // MARK: Giving up

  private final class Numbers: Sendable {
    private let sent = Mutex<[Int]>([])
    func append(_ number: Int) { sent.withLock { $0.append(number) } }
    var all: [Int] { sent.withLock { $0 } }
  }

  /// Both send and receive with time-outs and cancellations at random moments, the handshake's among them: what
  /// arrives is each message that a send has finished or is committed to, once, in order.
  @Test(arguments: SessionTests.versions, 1...6)
  func `who gives up leaves no message torn, doubled or lost`(
    _ version: TLSTransport.Version, _ seed: Int
  ) async throws {
    let (server, client) = try makeEnds(version, buffers: seed % 2 == 0 ? 4_096 : nil)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (near, far) in [(server, client), (client, server)] {
        let sent = Numbers()
        let mine = UInt64(seed * 2 + (near === server ? 1 : 0))
        group.addTask { try await Self.send(to: near, noting: sent, seed: mine) }
        group.addTask {
          let received = try await Self.receive(from: far, seed: mine + 100)
          #expect(received == sent.all)
          #expect(received.count >= 20)
        }
      }
      try await group.waitForAll()
    }
  }

  private static func message(_ number: Int, _ byteCount: Int) -> [UInt8] {
    [UInt8(number)] + payload(byteCount, number)
  }

  private static func send(to end: Duplex, noting sent: Numbers, seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    for number in 0..<120 {
      let size = Int.random(in: 0..<(number % 4 == 0 ? 300_000 : 600), using: &random)
      let message = message(number, size)
      // Some are to arrive in any case.
      let isSafe = number % 6 == 0
      let isCancelled = !isSafe && Bool.random(using: &random)
      let limit = Duration.microseconds(Int.random(in: 0..<8_000, using: &random))
      let sending = Task { () -> Bool in
        do throws(EndpointError) {
          try await end.send(message, timeout: isSafe || isCancelled ? patience : limit)
          return true
        } catch {
          guard error.reason == .timedOut || error.reason == .cancelled else { throw error }
          return error.isCommitted
        }
      }
      if isCancelled {
        for _ in 0..<Int.random(in: 0..<200, using: &random) { await Task.yield() }
        sending.cancel()
      }
      if try await sending.value { sent.append(number) }
    }
    end.finishSending()
  }

  private static func receive(from end: Duplex, seed: UInt64) async throws -> [Int] {
    var random = SeededGenerator(seed: seed)
    var numbers: [Int] = []
    while true {
      do throws(EndpointError) {
        let limit = Duration.microseconds(Int.random(in: 0..<2_000, using: &random))
        guard let message = try await end.next(timeout: limit) else { return numbers }
        let number = message.first.map { Int($0) } ?? -1
        #expect(message == Self.message(number, message.count - 1), "torn")
        numbers.append(number)
      } catch {
        guard error.reason == .timedOut else { throw error }
      }
    }
  }

  /// Both send a hundred messages at once; then both half-close.
  private func exchange(
    _ server: Duplex, _ client: Duplex, before: @escaping @Sendable (Int) -> Void
  ) async throws {
    let size: @Sendable (Int) -> Int = { number in number * 7_919 % 60_000 }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for end in [server, client] {
        group.addTask {
          for number in 0..<100 {
            // The first handshake is there first.
            if number > 0 { before(number) }
            try await end.send(payload(size(number), number), timeout: patience)
          }
        }
        group.addTask {
          try await TestThread {
            for number in 0..<100 {
              let message = try end.blocking.receive(timeout: patience)
              #expect(message == payload(size(number), number))
            }
          }.value
        }
      }
      try await group.waitForAll()
    }
    for end in [server, client] { end.finishSending() }
    for end in [server, client] {
      let ending = try await end.next(timeout: patience)
      #expect(ending == nil)
    }
  }
}

extension Duplex {
  /// Whether bytes come, seen from outside.
  func withDescriptorReadable(_ patience: Duration) async throws -> Bool {
    let number = try withDescriptor { $0.rawValue }
    return try await TestThread {
      var polled = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
      return poll(&polled, 1, 60_000) > 0
    }.value
  }
}

extension TLSTransport {
  /// Half-closes, with the peer receiving meanwhile.
  func finishUp(_ receive: () -> Void) throws {
    while true {
      do throws(TransportError) {
        try finishSending()
        return
      } catch {
        guard error.errno == .wouldBlock else { throw error }
        receive()
      }
    }
  }
}
