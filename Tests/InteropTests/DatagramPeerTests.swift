import Foundation
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Foreign programs at the other end of datagrams.
@Suite(.lastResort, .leavesNothing) struct DatagramPeerTests {
  enum Kind: String, CaseIterable, Sendable { case unix, abstract, udp, udp6 }

  private func address(_ kind: Kind) -> Address {
    let name = "sw-\(UInt64.random(in: 0...UInt64.max))"
    return switch kind {
    case .unix: .unix(FilePath(FileManager.default.temporaryDirectory.path).appending(name))
    case .abstract: .abstract(name)
    case .udp: .udp(host: "127.0.0.1", port: 0)
    case .udp6: .udp(host: "::1", port: 0)
    }
  }

  /// The same with the port that the kernel has chosen.
  private func found(_ address: Address, _ endpoint: some Endpoint) throws -> Address {
    guard case .udp(let host, _) = address.kind else { return address }
    return .udp(host: host, port: try #require(endpoint.localAddress?.port))
  }

  /// Python's way to write it.
  private func python(_ address: Address) -> [String] {
    switch address.kind {
    case .unix(let path): ["AF_UNIX", "'\(path)'"]
    case .abstract(let name): ["AF_UNIX", "'\\0\(String(decoding: name, as: UTF8.self))'"]
    case .udp(let host, let port): [host.contains(":") ? "AF_INET6" : "AF_INET", "('\(host)', \(port))"]
    default: []
    }
  }

  private func run(_ script: String) async throws -> SpawnedProcess {
    try await Command(try #require(PythonPeer.interpreter), arguments: ["-c", script]).spawn()
  }

  @Test(.enabled(if: PythonPeer.isAvailable, "\(PythonPeer.missing)"), arguments: Kind.allCases)
  func `Python sends to a bound socket, and is answered`(_ kind: Kind) async throws {
    let wanted = address(kind)
    let service = try bindDatagrams(at: wanted, framing: .datagram)
    let target = python(try found(wanted, service))
    let own = python(address(kind))
    let child = try await run(
      """
      import socket, os
      s = socket.socket(socket.\(target[0]), socket.SOCK_DGRAM)
      s.bind(\(own[1]))
      s.sendto(b'ping', \(target[1]))
      answer, sender = s.recvfrom(100)
      assert answer == b'ping!', answer
      \(kind == .unix ? "assert sender == \(target[1]), sender; os.unlink(\(own[1]))" : "")
      """)
    let message = try await service.receiveMessage(timeout: .patience)
    try await service.send(message.message + [33], to: try #require(message.sender))
    #expect(try await child.exitStatus == .exited(0))
    service.close()
  }

  @Test(.enabled(if: PythonPeer.isAvailable, "\(PythonPeer.missing)"), arguments: Kind.allCases)
  func `a client reaches a Python that has bound a socket`(_ kind: Kind) async throws {
    var wanted = address(kind)
    if kind == .udp || kind == .udp6 {
      // Free a moment ago.
      let free = try bindDatagrams(at: wanted)
      wanted = try found(wanted, free)
      free.close()
    }
    let words = python(wanted)
    let child = try await run(
      """
      import socket, os
      s = socket.socket(socket.\(words[0]), socket.SOCK_DGRAM)
      s.bind(\(words[1]))
      while True:
          message, sender = s.recvfrom(100)
          s.sendto(message + b'!', sender)
          if message == b'end': break
      \(kind == .unix ? "os.unlink(\(words[1]))" : "")
      """)
    let client = try await connect(
      to: wanted, framing: .datagram, kind: .datagrams, waitingForServer: true, timeout: .patience)
    // Over UDP nothing tells that the server is there: what is sent before is refused, or lost.
    var answer: [UInt8]?
    while answer == nil {
      do throws(EndpointError) {
        try await client.send(Array("hello".utf8))
        answer = try await client.receive(timeout: .milliseconds(100))
      } catch {
        let isUDP = kind == .udp || kind == .udp6
        switch error.reason {
        case .timedOut where isUDP: break
        case .transport(let failure) where isUDP && failure.errno == .connectionRefused: break
        default: throw error
        }
      }
    }
    #expect(answer == Array("hello!".utf8))
    try await client.send(Array("end".utf8))
    #expect(try await child.exitStatus == .exited(0))
    client.close()
  }

  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: ConnectionTests.socat), "no socat"))
  func `socat sends to bound sockets`() async throws {
    for kind in Kind.allCases {
      let wanted = address(kind)
      let service = try bindDatagrams(at: wanted, framing: .datagram)
      let target =
        switch try found(wanted, service).kind {
        case .unix(let path): "UNIX-SENDTO:\(path)"
        case .abstract(let name): "ABSTRACT-SENDTO:\(String(decoding: name, as: UTF8.self))"
        case .udp(let host, let port):
          host.contains(":") ? "UDP6-SENDTO:[\(host)]:\(port)" : "UDP4-SENDTO:\(host):\(port)"
        default: ""
        }
      let result = try await Command(ConnectionTests.socat, arguments: ["-u", "-", target])
        .run(input: Array("from socat".utf8))
      #expect(result.status == .exited(0), "\(result.errorText)")
      #expect(try await service.receive(timeout: .patience) == Array("from socat".utf8))
      service.close()
    }
  }

  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: ConnectionTests.ncat), "no ncat"))
  func `ncat sends to a bound socket`() async throws {
    let service = try bindDatagrams(at: address(.udp), framing: .datagram)
    let port = try #require(service.localAddress?.port)
    let result = try await Command(
      ConnectionTests.ncat, arguments: ["--udp", "--send-only", "127.0.0.1", "\(port)"]
    ).run(input: Array("from ncat".utf8))
    #expect(result.status == .exited(0), "\(result.errorText)")
    #expect(try await service.receive(timeout: .patience) == Array("from ncat".utf8))
    service.close()
  }
}
