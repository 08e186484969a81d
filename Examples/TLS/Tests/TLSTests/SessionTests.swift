import COpenSSL
import Foundation
import Glibc
import SWMessaging
import SWTesting
import TLS
import Testing

@Suite struct SessionTests {
  static let versions = [TLSTransport.Version.tls12, .tls13]

  @Test(arguments: versions, [true, false])
  func `the laws of transports hold`(_ version: TLSTransport.Version, _ clientSends: Bool) async throws {
    try await TestThread {
      try checkTransport {
        let pair = try shakenHands(version)
        return clientSends ? (pair.client, pair.server) : (pair.server, pair.client)
      }
    }.value
  }

  @Test(arguments: versions, [true, false])
  func `the laws hold with next to no room`(_ version: TLSTransport.Version, _ clientSends: Bool) async throws
  {
    try await TestThread {
      try checkTransport {
        let pair = try shakenHands(version, buffers: 2_048)
        return clientSends ? (pair.client, pair.server) : (pair.server, pair.client)
      }
    }.value
  }

  @Test(arguments: versions)
  func `messages of tasks and threads go both ways at once`(_ version: TLSTransport.Version) async throws {
    let (server, client) = try makeEnds(version)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for end in [server, client] {
        group.addTask {
          for number in 0..<30 { try await end.send(payload(number * 9_001, number), timeout: patience) }
          end.finishSending()
        }
        group.addTask {
          try await TestThread {
            for number in 0..<30 {
              let message = try end.blocking.receive(timeout: patience)
              #expect(message == payload(number * 9_001, number))
            }
            let ending = try end.blocking.next(timeout: patience)
            #expect(ending == nil)
          }.value
        }
      }
      try await group.waitForAll()
    }
  }

  // MARK: Ends

  @Test func `after a half-close the other direction goes on`() async throws {
    let (server, client) = try makeEnds()
    let serving = Task {
      let question = try await server.receive(timeout: patience)
      #expect(question == Array("a question".utf8))
      let end = try await server.next(timeout: patience)
      #expect(end == nil)
      try await server.send(payload(200_000, 1), timeout: patience)
      server.finishSending()
    }
    try await client.send("a question", timeout: patience)
    client.finishSending()
    let answer = try await client.receive(timeout: patience)
    #expect(answer == payload(200_000, 1))
    let end = try await client.next(timeout: patience)
    #expect(end == nil)
    try await serving.value
  }

  @Test(arguments: versions, [true, false])
  func `a half-close in front of the handshake arrives behind it, and costs no time until then`(
    _ version: TLSTransport.Version, _ clientFinishes: Bool
  ) async throws {
    let pair = try makePair(version)
    let counted = Counted(clientFinishes ? pair.client : pair.server)
    let quiet = MessageDuplex(transport: counted, framing: .varInt)
    let other = MessageDuplex(transport: clientFinishes ? pair.server : pair.client, framing: .varInt)
    quiet.finishSending()
    let early = await failure { try await quiet.receive(timeout: .milliseconds(200)) }
    #expect(early == .timedOut)
    #expect(counted.calls < 20)
    let sending = Task { try await other.send(payload(100_000, 1), timeout: patience) }
    let received = try await quiet.receive(timeout: patience)
    #expect(received == payload(100_000, 1))
    try await sending.value
    let end = try await other.next(timeout: patience)
    #expect(end == nil)
  }

  @Test func `both sides half-close at once, and close`() async throws {
    for _ in 0..<20 {
      let (server, client) = try makeEnds()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for end in [server, client] {
          group.addTask {
            try await end.send("last", timeout: patience)
            end.finishSending()
            let last = try await end.receive(timeout: patience)
            #expect(last == Array("last".utf8))
            let ending = try await end.next(timeout: patience)
            #expect(ending == nil)
            end.close()
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test(arguments: versions)
  func `what was accepted goes out behind a close`(_ version: TLSTransport.Version) async throws {
    let (server, client) = try shakenHands(version, buffers: 4_096)
    var sent: [UInt8] = []
    while case .transferred(let count) = server.attemptToSend(payload(30_000, sent.count)) {
      sent += payload(30_000, sent.count).prefix(count)
    }
    server.close()
    let reader = SocketReader(transport: client)
    let received = try await reader.receive(exactly: sent.count, timeout: patience)
    #expect(received == sent)
    let reason = await failure { try await reader.receive(timeout: patience) }
    #expect(reason == .endOfStream)
  }

  @Test func `a connection that is cut is an error, and what came before it is not lost`() async throws {
    let pair = try DescriptorPair.sockets(.tcp)
    let socket = pair.first.release()
    let backdoor = try OwnedDescriptor(duplicating: socket)
    let serving = TLSTransport(OwnedDescriptor(adopting: socket), as: .server(identity))
    let connecting = TLSTransport(pair.second, as: .client(trusting: identity, host: "localhost"))
    let server = MessageDuplex(transport: serving, framing: .varInt)
    let client = MessageDuplex(transport: connecting, framing: .varInt)
    let shaking = Task { try await server.receive(timeout: patience) }
    try await client.send("hello", timeout: patience)
    _ = try await shaking.value
    try await server.send("before the end", timeout: patience)
    backdoor.withDescriptor { _ = shutdown($0.rawValue, Int32(SHUT_WR)) }
    let before = try await client.receive(timeout: patience)
    #expect(before == Array("before the end".utf8))
    let reason = await failure { try await client.next(timeout: patience) }
    #expect(reason == .transport(TransportError(.receive, .connectionAbort)))
    let afterwards = await failure { try await client.send("x", timeout: patience) }
    #expect(afterwards == .transport(TransportError(.receive, .connectionAbort)))
    withExtendedLifetime(server) {}
  }

  // MARK: Strangers

  @Test(arguments: versions, [true, false])
  func `a certificate that is not trusted is refused, and both are told`(
    _ version: TLSTransport.Version, _ isOtherHost: Bool
  ) async throws {
    let trusted = isOtherHost ? identity : TLSIdentity(name: "localhost")
    let (serving, connecting) = try makePair(
      version, trusting: trusted, host: isOtherHost ? "elsewhere.example" : "localhost")
    let server = MessageDuplex(transport: serving, framing: .varInt)
    let client = MessageDuplex(transport: connecting, framing: .varInt)
    let receiving = Task { await failure { try await server.receive(timeout: patience) } }
    // It waits for an error that only the sender can detect.
    let waiting = TestThread { () -> EndpointError.Reason? in
      do throws(EndpointError) { _ = try client.blocking.receive(timeout: patience) } catch {
        return error.reason
      }
      return nil
    }
    let refused = await failure { try await client.send("secret", timeout: patience) }
    guard case .transport(let error) = refused else {
      Issue.record("not refused: \(String(describing: refused))")
      return
    }
    #expect(error.errno == .protocolError)
    let alsoRefused = try await waiting.value
    #expect(alsoRefused == refused)
    #expect(connecting.failure?.contains("certificate verify failed") == true)
    let told = await receiving.value
    #expect(told == .transport(TransportError(.receive, .protocolError)))
  }

  @Test(
    arguments: versions,
    [
      Array("GET / HTTP/1.1\r\n\r\n".utf8), [22, 3, 1, 0, 4, 255, 0, 0, 0], [UInt8](repeating: 0, count: 20),
      [22, 3, 1, 255, 255, 1],
    ])
  func `bytes that are no handshake are refused`(_ version: TLSTransport.Version, _ bytes: [UInt8])
    async throws
  {
    for isServer in [true, false] {
      let pair = try DescriptorPair.sockets(.tcp)
      let role =
        isServer ? TLSTransport.Role.server(identity) : .client(trusting: identity, host: "localhost")
      let end = MessageDuplex(transport: TLSTransport(pair.first, as: role, version), framing: .varInt)
      let stranger = try SocketDuplex(adopting: pair.second)
      try await stranger.send(bytes, timeout: patience)
      let reason = await failure { try await end.receive(timeout: patience) }
      #expect(reason == .transport(TransportError(.receive, .protocolError)))
    }
  }

  @Test func `random bytes, in a handshake and behind it, are refused or waited for, and never believed`()
    async throws
  {
    var random = SeededGenerator(seed: 4)
    for round in 0..<300 {
      let pair = try DescriptorPair.sockets(.unix)
      let inside = pair.second.release()
      let backdoor = try OwnedDescriptor(duplicating: inside)
      let server = TLSTransport(pair.first, as: .server(identity), round % 2 == 0 ? .tls12 : .tls13)
      let client = TLSTransport(
        OwnedDescriptor(adopting: inside), as: .client(trusting: identity, host: "localhost"),
        round % 2 == 0 ? .tls12 : .tls13)
      for _ in 0..<Int.random(in: 0..<6, using: &random) {
        _ = client.attemptToReceive()
        _ = server.attemptToReceive()
      }
      let isRecord = Bool.random(using: &random)
      var bytes = (0..<Int.random(in: 1..<400, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      if isRecord {
        let header = [UInt8(round % 5 + 20), 3, 3, UInt8(bytes.count >> 8), UInt8(bytes.count & 255)]
        bytes = header + bytes
      }
      backdoor.withDescriptor { _ = Glibc.send($0.rawValue, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
      for _ in 0..<6 {
        let (attempt, bytes) = server.attemptToReceive()
        #expect(bytes == [])
        #expect(attempt != .endOfStream)
        _ = client.attemptToReceive()
      }
      server.close()
      client.close()
    }
  }
}
