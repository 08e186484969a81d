import CSysShim
import Foundation
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// The credentials of the peer, and the policy for peers.
@Suite(.lastResort, .leavesNothing)
struct PeerCredentialsTests {
  private static var canBeAnother: Bool {
    getuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/bin/setpriv")
  }

  /// A process that connects, sends `hi`, and ends well if the answer is `ok`.
  private func client(_ address: Address, as user: UInt32? = nil) throws -> Command {
    let inner = [try probePath(), "greet", address.description]
    guard let user else { return Command(inner[0], arguments: Array(inner.dropFirst())) }
    return Command(
      "/usr/bin/setpriv", arguments: ["--reuid=\(user)", "--regid=\(user)", "--groups=4,24,65533"] + inner)
  }

  @Test func `a peer over a Unix socket is known at both ends`() async throws {
    for place in ListenPlace.allCases where place.isUnix {
      let directory = try TestDirectory()
      defer { directory.remove() }
      let listener = try place.listener(directory)
      let client = try await connect(to: listener.address, framing: .varInt, kind: place.kind)
      let server = try await listener.accept()
      for endpoint in [client, server] {
        let peer = try #require(endpoint.peer)
        #expect(peer.processID == getpid() && peer.userID == geteuid() && peer.groupID == getegid())
        #expect(try Set(peer.groups()) == ownGroups())
        #expect(peer.description == "process \(getpid()) of user \(geteuid()), group \(getegid())")
        let process = try peer.openProcess()
        // It has not ended.
        #expect(process.withDescriptor { !$0.isReady(for: .readable) })
        #expect(try !process.isInheritable())
        endpoint.close()
        #expect(endpoint.peer == nil)
        #expect(blockingError { try peer.groups() }?.reason == .closed)
      }
      listener.close()
    }
  }

  private func ownGroups() -> Set<UInt32> {
    var groups = [gid_t](repeating: 0, count: 1_024)
    let count = unsafe getgroups(1_024, &groups)
    return Set(groups.prefix(max(Int(count), 0)))
  }

  @Test func `nobody is known over TCP, and root is not nobody`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let listener = try ListenPlace.tcp.listener(directory)
    let client = try await connect(to: listener.address, framing: .varInt)
    let server = try await listener.accept()
    #expect(client.peer == nil && server.peer == nil)
    #expect(client.credentialsOfPeer() == nil)
    client.close()
    server.close()
    listener.close()
    let error = blockingError { try Listener(.tcp(host: "127.0.0.1", port: 0), accepting: .sameUser) }
    #expect(error?.failure == TransportError(.listen, .invalidArgument))
  }

  @Test func `a descriptor that the policy does not fit is left as it was`() throws {
    let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #expect(number >= 0 && listen(number, 1) == 0)
    let error = blockingError { try Listener(.descriptor(number), accepting: .sameUser) }
    guard case .transport(let failure) = error?.reason else {
      Issue.record("it is refused: \(String(describing: error))")
      return
    }
    #expect(failure.errno == .invalidArgument)
    #expect(fcntl(number, F_GETFD) == 0 && fcntl(number, F_GETFL) & O_NONBLOCK == 0)
    // Another policy takes it.
    let listener = try Listener(.descriptor(number), accepting: .anyone)
    listener.close()
  }

  @Test func `a pair and a pipe have no peer, unless it is asked for`() throws {
    let (left, right) = try makeSocketPair()
    #expect(left.peer == nil)
    #expect(left.credentialsOfPeer()?.processID == getpid())
    let (reader, writer) = try makePipe()
    #expect(reader.peer == nil && writer.credentialsOfPeer() == nil)
    for endpoint in [left, right] as [any Endpoint] { endpoint.close() }
    for endpoint in [reader, writer] as [any Endpoint] { endpoint.close() }
  }

  @Test(.enabled(if: canBeAnother, "only root can be another user"))
  func `the user of another process is its own, and not the listener's`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    #expect(setMode(directory.path, 0o711))
    let path = directory("s")
    let listener = try Listener(.unix(path), framing: .varInt, file: .mode(0o666), accepting: .anyone)
    let child = try await client(.unix(path), as: 65_532).spawn()
    let server = try await listener.accept(timeout: .patience)
    let peer = try #require(server.peer)
    #expect(peer.userID == 65_532 && peer.groupID == 65_532)
    #expect(try Set(peer.groups()) == [4, 24, 65_533])
    #expect(peer.processID == child.processID)
    let process = try peer.openProcess()
    #expect(try await server.receive() == Array("hi".utf8))
    try await server.send("ok")
    #expect(try await child.exitStatus == .exited(0))
    #expect(process.withDescriptor { $0.isReady(for: .readable) }, "a pidfd tells of the end")
    // The process has been reaped: its number may be another's by now.
    let gone = blockingError { _ = try peer.openProcess() }
    #expect(gone?.failure == TransportError(.credentials, .noSuchProcess))
    #expect(server.peer?.userID == 65_532, "the credentials stay")
    server.close()
    listener.close()
  }

  @Test(.enabled(if: canBeAnother, "only root can be another user"))
  func `a policy refuses others before their first byte, and goes on`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    #expect(setMode(directory.path, 0o711))
    let path = directory("s")
    let policies: [(AcceptPolicy, mine: Bool, other: Bool)] = [
      (.anyone, true, true), (.sameUser, true, false), (.users([65_532]), false, true),
      (.groups([65_532]), false, true), (.groups([24]), ownGroups().contains(24), true),
      (.groups([77]), false, false),
      (.when { $0.userID == 0 }, true, false),
      (.when { (try? $0.groups().contains(4)) ?? false }, ownGroups().contains(4), true),
    ]
    for (policy, mine, other) in policies {
      let listener = try Listener(.unix(path), framing: .varInt, file: .mode(0o666), accepting: policy)
      let serving = Task {
        var served = 0
        for try await peer in listener.connections {
          _ = try? await peer.receive()
          try? await peer.send("ok")
          peer.close()
          served += 1
        }
        return served
      }
      var refusals = 0
      for (user, isAdmitted) in [(UInt32?.none, mine), (65_532, other), (nil, mine)] {
        let child = try await client(.unix(path), as: user).spawn()
        let status = try await child.exitStatus
        #expect((status == .exited(0)) == isAdmitted)
        if !isAdmitted { refusals += 1 }
      }
      #expect(listener.refusedCount == refusals)
      listener.close()
      #expect(try await serving.value == 3 - refusals)
    }
  }

  @Test(.enabled(if: canBeAnother, "only root can be another user"), arguments: [false, true])
  func `without another policy a path and a name are for the same user`(_ isPath: Bool) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    #expect(setMode(directory.path, 0o711))
    let address = isPath ? Address.unix(directory("s")) : .abstract("sw-policy-\(getpid())")
    let listener = try Listener(address, framing: .varInt, file: .mode(0o666))
    let child = try await client(address, as: 65_532).spawn()
    let accepting = Task { await endpointError { try await listener.accept() } }
    #expect(try await child.exitStatus != .exited(0))
    await eventually { listener.refusedCount == 1 }
    listener.close()
    #expect(await accepting.value?.reason == .closed)
  }

  @Test func `a map of ids maps all of them, or not`() {
    #expect(UserNamespace.mapsAll("         0          0 4294967295\n"))
    #expect(UserNamespace.mapsAll("0 0 1000\n1000 1000 4294966295\n"))
    for map in [
      "", "     65534       1000          1\n", "0 1000 1\n1 100000 65536\n", "0 0 4294967294\n", "nonsense",
    ] {
      #expect(!UserNamespace.mapsAll(map), "\(map)")
    }
  }

  /// A command in a user namespace that knows one user, by the number which the kernel also gives to all users that it does
  /// not know.
  private static let sandbox = [
    "--reuid=65532", "--regid=65532", "--clear-groups", "/usr/bin/unshare", "--user", "--map-user=65534",
    "--map-group=65534",
  ]

  private static let canMakeUserNamespaces: Bool = {
    guard canBeAnother else { return false }
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/setpriv")
    process.arguments = sandbox + ["true"]
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }()

  @Test(
    .enabled(if: canMakeUserNamespaces, "user namespaces need setpriv, unshare and permission"),
    arguments: ["same-user", "users", "groups", "anyone"])
  func `in a user namespace no policy takes unknown users for a known one`(_ policy: String) async throws {
    let name = "sw-sandbox-\(UInt64.random(in: 0 ... .max))"
    let service = limitLife(
      of: try await ChildProcess.spawn(
        "/usr/bin/setpriv", arguments: Self.sandbox + [try probePath(), "admit", name, policy],
        channel: .standardStreams, framing: .lines),
      named: "setpriv")
    #expect(try await service.channel.receive() == Array("ready".utf8))
    // Root, and a user who is not the service's.
    for user in [nil, 65_533] as [UInt32?] {
      let status = try await client(.abstract(name), as: user).spawn().exitStatus
      #expect((status == .exited(0)) == (policy == "anyone"), "\(user as Any)")
    }
    service.channel.finishSending()
    let count = policy == "anyone" ? 0 : 2
    #expect(try await service.channel.receive() == Array("refused=\(count)".utf8))
    #expect(try await service.exitStatus == .exited(0))
  }

  @Test func `credentials are the connector's, whoever goes on with the socket`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("s")
    let listener = try Listener(.unix(path), framing: .varInt)
    let script = """
      import os, socket, sys
      s = socket.socket(socket.AF_UNIX)
      s.connect(sys.argv[1])
      r, w = os.pipe()
      if os.fork():
          os._exit(0)
      os.close(w)
      s.sendall(b'\\x05child')
      s.recv(1)
      """
    let python = ProcessInfo.processInfo.environment["SWTEST_PYTHON"] ?? "python3"
    let child = try await Command(python, arguments: ["-c", script, path.string]).spawn()
    let server = try await listener.accept(timeout: .patience)
    #expect(try await server.receive() == Array("child".utf8))
    #expect(try await child.exitStatus == .exited(0))
    #expect(server.peer?.processID == child.processID)
    let gone = blockingError { _ = try server.peer?.openProcess() }
    #expect(gone?.failure?.errno == .noSuchProcess)
    server.close()
    listener.close()
  }
}
