import Foundation
import Glibc
import SWMessaging
import Synchronization
import TLS
import Testing

let identity = TLSIdentity(name: "localhost")
let patience = Duration.seconds(600)

/// A server and a client, connected over the loopback; where the buffers are to be small, by a Unix socket pair:
/// TCP only crawls with less room than its segments want.
func makePair(
  _ version: TLSTransport.Version = .tls13, server: TLSIdentity = identity, trusting: TLSIdentity = identity,
  host: String = "localhost", buffers: Int32? = nil
) throws -> (server: TLSTransport, client: TLSTransport) {
  let pair = try DescriptorPair.sockets(buffers == nil ? .tcp : .unix)
  if let buffers {
    pair.first.withDescriptor { setBuffers($0.rawValue, buffers) }
    pair.second.withDescriptor { setBuffers($0.rawValue, buffers) }
  }
  return (
    TLSTransport(pair.first, as: .server(server), version),
    TLSTransport(pair.second, as: .client(trusting: trusting, host: host), version)
  )
}

func setBuffers(_ socket: Int32, _ size: Int32) {
  var size = size
  for option in [SO_SNDBUF, SO_RCVBUF] {
    setsockopt(socket, SOL_SOCKET, option, &size, socklen_t(MemoryLayout.size(ofValue: size)))
  }
}

typealias Duplex = MessageDuplex<VarIntFraming>

func makeEnds(_ version: TLSTransport.Version = .tls13, buffers: Int32? = nil) throws -> (
  server: Duplex, client: Duplex
) {
  let pair = try makePair(version, buffers: buffers)
  return (
    MessageDuplex(transport: pair.server, framing: .varInt),
    MessageDuplex(transport: pair.client, framing: .varInt)
  )
}

func payload(_ count: Int, _ seed: Int) -> [UInt8] {
  // Copied from one pattern, whose period no record has.
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count)
  while bytes.count < count { bytes += pattern.prefix(count - bytes.count) }
  if count > 0 { bytes[0] = UInt8(truncatingIfNeeded: seed) }
  return bytes
}

private let pattern = (0..<997).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 3) }

extension TLSTransport {
  func attemptToReceive(_ room: Int = 100) -> (attempt: Attempt, bytes: [UInt8]) {
    var memory = [UInt8](repeating: 0, count: room)
    let attempt = memory.withUnsafeMutableBytes { receive(into: $0) }
    guard case .transferred(let count) = attempt else { return (attempt, []) }
    return (attempt, Array(memory.prefix(count)))
  }

  func attemptToSend(_ bytes: [UInt8]) -> Attempt { bytes.withUnsafeBytes { send($0) } }

  /// Receives until an attempt brings nothing.
  func receiveAll() -> (bytes: [UInt8], last: Attempt) {
    var all: [UInt8] = []
    while true {
      let (attempt, bytes) = attemptToReceive(20_000)
      guard case .transferred = attempt else { return (all, attempt) }
      all += bytes
    }
  }
}

/// A pair behind its handshake, for what moves bytes one way: a handshake needs both.
func shakenHands(
  _ version: TLSTransport.Version = .tls13, buffers: Int32? = nil
) throws -> (server: TLSTransport, client: TLSTransport) {
  let pair = try makePair(version, buffers: buffers)
  for _ in 0..<100 {
    for transport in [pair.client, pair.server] {
      let attempt = transport.attemptToReceive().attempt
      precondition(attempt == .wouldBlock || attempt == .waitsFor(.readable), "\(attempt)")
    }
  }
  return pair
}

/// The reason why a call failed.
func failure<T>(of call: () async throws -> T) async -> EndpointError.Reason? {
  do {
    _ = try await call()
    return nil
  } catch {
    return (error as? EndpointError)?.reason
  }
}

/// Counts what is asked of a transport.
final class Counted: SocketLike {
  private let inner: TLSTransport
  private let count = Atomic(0)

  init(_ inner: TLSTransport) { self.inner = inner }

  var calls: Int { count.load(ordering: .relaxed) }

  private func note() { count.add(1, ordering: .relaxed) }

  var readinessSource: ReadinessSource { inner.readinessSource }
  func attach(_ signal: ReadinessSignal) { inner.attach(signal) }
  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    note()
    return inner.receive(into: memory)
  }
  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    note()
    return inner.send(bytes)
  }
  func finishSending() throws(TransportError) {
    note()
    try inner.finishSending()
  }
  func close() { inner.close() }
}
