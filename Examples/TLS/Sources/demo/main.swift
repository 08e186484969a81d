// TLS over TCP: endpoints and framings as they are, over a transport of one's own that has OpenSSL in it. Each part
// below checks what it shows, and stops the program where it does not hold; Tests/ goes further.
//
//     swift run --package-path Examples/TLS
import Glibc
import SWMessaging
import TLS

let identity = TLSIdentity(name: "localhost")

/// A server and a client, connected over the loopback.
func makePair(
  _ version: TLSTransport.Version = .tls13, trusting: TLSIdentity = identity, host: String = "localhost"
) throws -> (server: TLSTransport, client: TLSTransport) {
  let pair = try DescriptorPair.sockets(.tcp)
  return (
    TLSTransport(pair.first, as: .server(identity), version),
    TLSTransport(pair.second, as: .client(trusting: trusting, host: host), version)
  )
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
  // The handshake needs both: a side that makes no call takes no part in it.
  let echoing = Task {
    for try await message in server.messages { try await server.send(message, timeout: .seconds(60)) }
    server.close()
  }
  for size in [0, 1, 100, 16_385, 1_000_000] {
    let message = [UInt8](repeating: 7, count: size)
    try await client.send(message, timeout: .seconds(60))
    let reply = try await client.receive(timeout: .seconds(60))
    precondition(reply == message)
  }
  // A close_notify, both ways: a clean end.
  client.finishSending()
  let end = try await client.next(timeout: .seconds(60))
  precondition(end == nil)
  try await echoing.value
}

for version in [TLSTransport.Version.tls12, .tls13] {
  try await echo(.varInt, version)
  try await echo(.lines, version)
  try await echo(.contentLength, version)
  print("\(version): messages there and back in three framings, and a clean end")
}

// MARK: Certificates that are refused

for (name, trusted, host) in [
  ("an unknown certificate", TLSIdentity(name: "localhost"), "localhost"),
  ("a certificate for another host", identity, "elsewhere.example"),
] {
  let (serving, connecting) = try makePair(trusting: trusted, host: host)
  let server = MessageDuplex(transport: serving, framing: .varInt)
  let client = MessageDuplex(transport: connecting, framing: .varInt)
  let receiving = Task { await failure { try await server.receive(timeout: .seconds(60)) } }
  let refused = await failure { try await client.send("secret", timeout: .seconds(60)) }
  precondition(refused == .transport(TransportError(.send, .protocolError)), "\(refused)")
  // The alert reaches the server, so it knows why nothing came.
  let told = await receiving.value
  precondition(told == .transport(TransportError(.receive, .protocolError)), "\(told)")
  print("\(name) is refused: \(connecting.failure ?? "")")
}

// MARK: An end that was none

do {
  // A proxy that dies, or an attacker, does this: the connection ends without a TLS message that says so.
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

// MARK: In the midst of a session

do {
  let (serving, connecting) = try makePair(.tls12)
  let server = MessageDuplex(transport: serving, framing: .varInt)
  let client = MessageDuplex(transport: connecting, framing: .varInt)
  let echoing = Task {
    for try await message in server.messages { try await server.send(message, timeout: .seconds(60)) }
  }
  for round in 0...20 {
    // From then on a send has to receive first.
    if round > 0 { connecting.renegotiate() }
    try await client.send("message \(round)", timeout: .seconds(60))
    let reply = try await client.receive(timeout: .seconds(60))
    precondition(reply == Array("message \(round)".utf8))
  }
  precondition(connecting.renegotiations == 20)
  client.finishSending()
  try await echoing.value
  print("renegotiated \(connecting.renegotiations) times, each in front of a message")
}
