// TLS over TCP: endpoints and framings as they are, over a transport of one's own that has OpenSSL in it. Each part
// below checks what it shows, and stops the program where it does not hold.
//
//     swift run --package-path Examples/TLS
import Foundation
import Glibc
import SWMessaging
import SWTesting

let identity = TLSIdentity(name: "localhost")

/// A server and a client, connected over the loopback; where the buffers are to be small, by a Unix socket pair:
/// TCP only crawls with less room than its segments want.
func makePair(
  _ version: TLSTransport.Version = .tls13, server: TLSIdentity = identity, trusting: TLSIdentity = identity,
  host: String = "localhost", buffers: Int32? = nil
) throws -> (server: TLSTransport, client: TLSTransport) {
  let pair = try DescriptorPair.sockets(buffers == nil ? .tcp : .unix)
  let ends = (pair.first.release(), pair.second.release())
  if var size = buffers {
    for end in [ends.0, ends.1] {
      for option in [SO_SNDBUF, SO_RCVBUF] {
        setsockopt(end.rawValue, SOL_SOCKET, option, &size, socklen_t(MemoryLayout.size(ofValue: size)))
      }
    }
  }
  return (
    TLSTransport(OwnedDescriptor(adopting: ends.0), as: .server(server), version),
    TLSTransport(OwnedDescriptor(adopting: ends.1), as: .client(trusting: trusting, host: host), version)
  )
}

func payload(_ count: Int, _ seed: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ seed &+ ($0 >> 8)) }
}

/// Runs blocking code on a thread of its own, and not on one of the pool.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
  }
}

/// The reason why a call failed; that it does is what is expected.
func failure<T>(of call: () async throws -> T) async -> EndpointError.Reason {
  do {
    let value = try await call()
    fatalError("no error but \(value)")
  } catch let error as EndpointError {
    return error.reason
  } catch {
    fatalError("\(error)")
  }
}

// MARK: Messages, whatever the framing

func echo<F: Framing>(_ framing: F, _ version: TLSTransport.Version) async throws
where F.Incoming == [UInt8], F.Outgoing == [UInt8] {
  let (serving, connecting) = try makePair(version)
  let server = MessageDuplex(transport: serving, framing: framing)
  let client = MessageDuplex(transport: connecting, framing: framing)
  let echoing = Task {
    for try await message in server.messages { try await server.send(message, timeout: .seconds(60)) }
    server.close()
  }
  let sizes = [1, 2, 100, 16_384, 16_385, 1_000_000]
  for size in sizes {
    // Lines have none of these in them.
    let message = payload(size, size).map { $0 == 10 || $0 == 13 ? 32 : $0 }
    try await client.send(message, timeout: .seconds(60))
    let reply = try await client.receive(timeout: .seconds(60))
    precondition(reply == message)
    let second = try await onThread {
      try client.blocking.send(message, timeout: .seconds(60))
      return try client.blocking.receive(timeout: .seconds(60))
    }
    precondition(second == message)
  }
  // close_notify, both ways: a clean end.
  client.finishSending()
  let end = try await client.next(timeout: .seconds(60))
  precondition(end == nil)
  try await echoing.value
}

for version in [TLSTransport.Version.tls12, .tls13] {
  try await echo(.varInt, version)
  try await echo(.lines, version)
  try await echo(.contentLength, version)
  print("\(version): messages there and back in three framings, from tasks and threads, and a clean end")
}

// MARK: The laws of a transport

/// A pair behind its handshake: the check moves bytes one way, and a handshake needs both.
func shakenHands(_ version: TLSTransport.Version) throws -> (server: TLSTransport, client: TLSTransport) {
  let pair = try makePair(version)
  var memory: [UInt8] = [0]
  for _ in 0..<100 {
    for transport in [pair.client, pair.server] {
      let attempt = memory.withUnsafeMutableBytes { transport.receive(into: $0) }
      precondition(attempt == .wouldBlock || attempt == .waitsFor(.readable), "\(attempt)")
    }
  }
  return pair
}

for version in [TLSTransport.Version.tls12, .tls13] {
  try await onThread {
    try checkTransport {
      let pair = try shakenHands(version)
      return (sender: pair.client, receiver: pair.server)
    }
    try checkTransport {
      let pair = try shakenHands(version)
      return (sender: pair.server, receiver: pair.client)
    }
  }
  print("\(version): the laws of transports hold, both ways")
}

// MARK: Half-close

do {
  let pair = try makePair()
  let server = MessageDuplex(transport: pair.server, framing: .varInt)
  let client = MessageDuplex(transport: pair.client, framing: .varInt)
  // The handshake needs both: a side that makes no call takes no part in it.
  let serving = Task {
    let question = try await server.receive(timeout: .seconds(60))
    precondition(question == Array("a question".utf8))
    let end = try await server.next(timeout: .seconds(60))
    precondition(end == nil)
    try await server.send(payload(200_000, 1), timeout: .seconds(60))
    server.finishSending()
  }
  try await client.send("a question", timeout: .seconds(60))
  client.finishSending()
  let answer = try await client.receive(timeout: .seconds(60))
  precondition(answer == payload(200_000, 1))
  let end = try await client.next(timeout: .seconds(60))
  precondition(end == nil)
  try await serving.value
  print("half-closed by the client, and answered by the server")
}

// MARK: Certificates that are refused

for (name, other, host) in [
  ("an unknown certificate", TLSIdentity(name: "localhost"), "localhost"),
  ("a certificate for another host", identity, "elsewhere.example"),
] {
  let (serving, connecting) = try makePair(trusting: other, host: host)
  let server = MessageDuplex(transport: serving, framing: .varInt)
  let client = MessageDuplex(transport: connecting, framing: .varInt)
  let receiving = Task { await failure { try await server.receive(timeout: .seconds(60)) } }
  let refused = await failure { try await client.send("secret", timeout: .seconds(60)) }
  precondition(refused == .transport(TransportError(.send, .protocolError)), "\(refused)")
  guard let explanation = connecting.failure, explanation.contains("certificate verify failed") else {
    fatalError("another failure: \(connecting.failure ?? "none")")
  }
  // The alert reaches the server, so it knows why nothing came.
  let told = await receiving.value
  precondition(told == .transport(TransportError(.receive, .protocolError)), "\(told)")
  print("\(name) is refused: \(explanation)")
}

// MARK: An end that was none

do {
  // What a proxy that dies, or an attacker, does: the connection ends, and nobody has said so inside of it.
  let pair = try DescriptorPair.sockets(.tcp)
  let socket = pair.first.release()
  let backdoor = try OwnedDescriptor(duplicating: socket)
  let serving = TLSTransport(OwnedDescriptor(adopting: socket), as: .server(identity))
  let connecting = TLSTransport(pair.second, as: .client(trusting: identity, host: "localhost"))
  let server = MessageDuplex(transport: serving, framing: .varInt)
  let client = MessageDuplex(transport: connecting, framing: .varInt)
  let serve = Task { try await server.send(server.receive(timeout: .seconds(60))) }
  try await client.send("hello")
  _ = try await client.receive(timeout: .seconds(60))
  try await serve.value
  backdoor.withDescriptor { _ = shutdown($0.rawValue, Int32(SHUT_WR)) }
  let reason = await failure { try await client.next(timeout: .seconds(60)) }
  precondition(reason == .transport(TransportError(.receive, .connectionAbort)), "\(reason)")
  print("cut off without a close_notify: \(connecting.failure ?? "") (not an end of the stream)")
  withExtendedLifetime(server) {}
}

// MARK: Directions that cross

do {
  // By hand: what each attempt waits for.
  let large = TLSIdentity(name: "localhost", others: 500)
  let (serving, connecting) = try makePair(server: large, trusting: large, buffers: 2_048)
  func send(_ transport: TLSTransport) -> Attempt { payload(3, 0).withUnsafeBytes { transport.send($0) } }
  func receive(_ transport: TLSTransport) -> Attempt {
    var memory = [UInt8](repeating: 0, count: 100)
    return memory.withUnsafeMutableBytes { transport.receive(into: $0) }
  }
  // A client that wants to send has to receive first.
  guard case .waitsFor(.readable) = send(connecting) else {
    fatalError("a send waits for the server's hello")
  }
  // A server that wants to receive has to send its certificates first, and they do not fit the buffers.
  var received = receive(serving)
  while case .wouldBlock = received { received = receive(serving) }
  guard case .waitsFor([.readable, .writable]) = received else { fatalError("\(received)") }
  // Both are told when they may get on: in the end bytes move, once the handshake is through.
  while true {
    switch send(connecting) {
    case .transferred(3): break
    case .failed(let error): fatalError("\(error)")
    default:
      received = receive(serving)
      continue
    }
    break
  }
  while true {
    received = receive(serving)
    if case .transferred(3) = received { break }
    if case .failed(let error) = received { fatalError("\(error)") }
  }
  connecting.close()
  serving.close()
  print("a send that waits to receive, a receive that waits to send")
}

do {
  // TLS 1.2: another handshake in the midst of a session.
  let (serving, connecting) = try makePair(.tls12, buffers: 4_096)
  let server = MessageDuplex(transport: serving, framing: .varInt)
  let client = MessageDuplex(transport: connecting, framing: .varInt)
  let echoing = Task {
    for try await message in server.messages { try await server.send(message, timeout: .seconds(60)) }
  }
  for round in 0...20 {
    // The first handshake is there first.
    if round > 0 { connecting.renegotiate() }
    try await client.send(payload(30_000, round), timeout: .seconds(60))
    let reply = try await client.receive(timeout: .seconds(60))
    precondition(reply == payload(30_000, round))
  }
  precondition(connecting.renegotiations == 20)
  client.finishSending()
  try await echoing.value
  print("renegotiated \(connecting.renegotiations) times, each in front of a message")
}

do {
  // TLS 1.3: new keys again and again, while both sides send as much as they can through small buffers.
  let (serving, connecting) = try makePair(buffers: 4_096)
  let server = MessageDuplex(transport: serving, framing: .varInt)
  let client = MessageDuplex(transport: connecting, framing: .varInt)
  let count = 200
  let size: @Sendable (Int) -> Int = { number in number * 7_919 % 60_000 }
  try await withThrowingTaskGroup(of: Void.self) { group in
    for (near, transport) in [(server, serving), (client, connecting)] {
      group.addTask {
        for number in 0..<count {
          if number % 3 == 0 { transport.updateKeys() }
          try await near.send(payload(size(number), number), timeout: .seconds(60))
        }
        near.finishSending()
      }
      group.addTask {
        try await onThread {
          for number in 0..<count {
            let message = try near.blocking.receive(timeout: .seconds(60))
            precondition(message == payload(size(number), number))
          }
          let end = try near.blocking.next(timeout: .seconds(60))
          precondition(end == nil)
        }
      }
    }
    try await group.waitForAll()
  }
  print("\(2 * count) messages both ways at once, with new keys every third time")
}
