import Foundation
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Python's and Node's own sockets at the other end of connections, and those of socat and ncat where they are installed.
@Suite(.lastResort, .leavesNothing)
struct ConnectionTests {
  enum Kind: String, CaseIterable, Sendable { case unix, abstract, tcp, tcp6 }
  enum Style: String, CaseIterable, Sendable { case socket, asyncio }

  /// A path of 107 bytes, the longest that a foreign program can name.
  private func path() -> String {
    let base = FileManager.default.temporaryDirectory.path + "/"
    let name = "sw-\(UInt64.random(in: 0...UInt64.max))-"
    return base + name + String(repeating: "p", count: max(0, 107 - base.utf8.count - name.utf8.count))
  }

  private func address(_ kind: Kind) throws -> Address {
    switch kind {
    case .unix: .unix(FilePath(path()))
    case .abstract: .abstract("sw-interop-\(UInt64.random(in: 0...UInt64.max))")
    case .tcp, .tcp6:
      // Free a moment ago.
      try {
        let listener = try Listener(.tcp(host: kind == .tcp ? "127.0.0.1" : "::1", port: 0))
        defer { listener.close() }
        return listener.address
      }()
    }
  }

  /// The form in which the scripts get an address.
  private func arguments(_ address: Address) -> [String] {
    switch address.kind {
    case .unix(let path): ["unix", path.string]
    case .abstract(let name): ["abstract", String(decoding: name, as: UTF8.self)]
    case .tcp(let host, let port): ["tcp", host, "\(port)"]
    default: []
    }
  }

  private func python(_ role: String, _ style: Style, _ address: Address) async throws -> SpawnedProcess {
    let interpreter = try #require(PythonPeer.interpreter)
    let scripts = try #require(Bundle.module.resourceURL).appending(path: "Peers")
    return try await Command(
      interpreter,
      arguments: [scripts.appending(path: "connections.py").path, role, style.rawValue] + arguments(address)
    ).spawn()
  }

  private func serve(_ listener: Listener<MessageDuplex<VarIntFraming>>) async throws {
    let peer = try await listener.accept(timeout: .patience)
    try await peer.send(try await peer.receive(timeout: .patience))
    #expect(try await peer.next(timeout: .patience) == nil)
    peer.close()
  }

  @Test(
    .enabled(if: PythonPeer.isAvailable, "\(PythonPeer.missing)"), arguments: Kind.allCases, Style.allCases)
  func `Python connects to a listener`(kind: Kind, style: Style) async throws {
    let listener = try Listener(try address(kind), framing: .varInt)
    if case .abstract(let name) = listener.address.kind {
      let table = try await Command("cat", arguments: ["/proc/net/unix"]).run().outputText
      let line = table.split(separator: "\n").first {
        $0.hasSuffix("@" + String(decoding: name, as: UTF8.self))
      }
      #expect(line != nil, "the kernel's name has no byte more")
    }
    let child = try await python("client", style, listener.address)
    try await serve(listener)
    #expect(try await child.exitStatus == .exited(0))
    listener.close()
  }

  @Test(
    .enabled(if: PythonPeer.isAvailable, "\(PythonPeer.missing)"), arguments: Kind.allCases, Style.allCases)
  func `a client connects to Python`(kind: Kind, style: Style) async throws {
    let address = try address(kind)
    let child = try await python("server", style, address)
    let peer = try await connect(to: address, framing: .varInt, waitingForServer: true, timeout: .patience)
    try await peer.send("to python")
    #expect(try await peer.receive(timeout: .patience) == Array("to python".utf8))
    peer.close()
    #expect(try await child.exitStatus == .exited(0))
    if case .unix(let path) = address.kind { try? FileManager.default.removeItem(atPath: path.string) }
  }

  // Not by an abstract name: Node 20 fills it up with NULs, which makes another name of it.
  @Test(.enabled(if: Node.path != nil, "no node in PATH"), arguments: [Kind.unix, .tcp, .tcp6])
  func `Node connects, and is connected to`(kind: Kind) async throws {
    let node = try #require(Node.path)
    let address = try address(kind)
    let place =
      switch address.kind {
      case .unix(let path): "{path: '\(path)'}"
      case .tcp(let host, let port): "{host: '\(host)', port: \(port)}"
      default: ""
      }
    let client =
      "const c = require('net').connect(\(place)); c.write('\\x04node'); c.once('data', d => c.end());"
    let server = """
      const s = require('net').createServer(c => { c.on('data', d => c.write(d)); c.on('end', () => s.close()); });
      s.listen(\(place));
      """
    let listener = try Listener(address, framing: .varInt)
    let child = try await Command(node, arguments: ["-e", client]).spawn()
    try await serve(listener)
    #expect(try await child.exitStatus == .exited(0))
    listener.close()
    let serving = try await Command(node, arguments: ["-e", server]).spawn()
    let peer = try await connect(to: address, framing: .varInt, waitingForServer: true, timeout: .patience)
    try await peer.send("to node")
    #expect(try await peer.receive(timeout: .patience) == Array("to node".utf8))
    peer.close()
    #expect(try await serving.exitStatus == .exited(0))
  }

  static let socat = "/usr/bin/socat"

  @Test(
    .enabled(if: FileManager.default.isExecutableFile(atPath: socat), "no socat"),
    arguments: [Kind.unix, .abstract, .tcp])
  func `socat connects, and is connected to`(kind: Kind) async throws {
    let address = try address(kind)
    let (connecting, listening) =
      switch address.kind {
      case .unix(let path): ("UNIX-CONNECT:\(path)", "UNIX-LISTEN:\(path)")
      case .abstract(let name):
        (
          "ABSTRACT-CONNECT:\(String(decoding: name, as: UTF8.self))",
          "ABSTRACT-LISTEN:\(String(decoding: name, as: UTF8.self))"
        )
      case .tcp(let host, let port): ("TCP:\(host):\(port)", "TCP-LISTEN:\(port),bind=\(host),reuseaddr")
      default: ("", "")
      }
    let listener = try Listener(address, framing: .lines)
    let run = Task {
      try await Command(Self.socat, arguments: ["-", connecting]).run(input: Array("socat\n".utf8))
    }
    let peer = try await listener.accept(timeout: .patience)
    let line = try await peer.receive(timeout: .patience)
    try await peer.send(line)
    peer.close()
    #expect(try await run.value.outputText == "socat\n")
    listener.close()
    let child = try await Command(Self.socat, arguments: [listening, "EXEC:cat"]).spawn()
    let client = try await connect(to: address, framing: .lines, waitingForServer: true, timeout: .patience)
    try await client.send("to socat")
    #expect(try await client.receive(timeout: .patience) == Array("to socat".utf8))
    client.close()
    #expect(try await child.exitStatus == .exited(0))
  }

  static let ncat = "/usr/bin/ncat"

  @Test(
    .enabled(if: FileManager.default.isExecutableFile(atPath: ncat), "no ncat"),
    arguments: [Kind.unix, .tcp, .tcp6])
  func `ncat connects, and is connected to`(kind: Kind) async throws {
    let address = try address(kind)
    let place =
      switch address.kind {
      case .unix(let path): ["--unixsock", path.string]
      case .tcp(let host, let port): [host, "\(port)"]
      default: [""]
      }
    let listener = try Listener(address, framing: .lines)
    let run = Task { try await Command(Self.ncat, arguments: place).run(input: Array("ncat\n".utf8)) }
    let peer = try await listener.accept(timeout: .patience)
    try await peer.send(try await peer.receive(timeout: .patience))
    #expect(try await peer.next(timeout: .patience) == nil)
    peer.close()
    #expect(try await run.value.outputText == "ncat\n")
    listener.close()
    let child = try await Command(Self.ncat, arguments: ["--listen", "--exec", "/bin/cat"] + place).spawn()
    let client = try await connect(to: address, framing: .lines, waitingForServer: true, timeout: .patience)
    try await client.send("to ncat")
    #expect(try await client.receive(timeout: .patience) == Array("to ncat".utf8))
    client.close()
    #expect(try await child.exitStatus == .exited(0))
    if case .unix(let path) = address.kind { try? FileManager.default.removeItem(atPath: path.string) }
  }
}
