import Foundation
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Connections among strangers: other users, lost peers, children. Most need a process of their own.
@Suite(.lastResort, .leavesNothing) struct HardshipTests {
  private static var canBeAnother: Bool {
    getuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/bin/setpriv")
  }

  /// A probe as another user, with which the test talks in lines.
  private func stranger(_ arguments: [String]) async throws -> ChildProcess<LineFraming> {
    let command = ["--reuid=65532", "--regid=65532", "--clear-groups", try probePath()] + arguments
    return limitLife(
      of: try await ChildProcess.spawn(
        "/usr/bin/setpriv", arguments: command, channel: .standardStreams, framing: .lines),
      named: "setpriv \(arguments)")
  }

  private func line(_ child: ChildProcess<LineFraming>) async throws -> String {
    String(decoding: try await child.channel.receive(), as: UTF8.self)
  }

  private func end(_ child: ChildProcess<LineFraming>) async throws {
    child.channel.finishSending()
    #expect(try await child.exitStatus == .exited(0))
  }

  @Test(.enabled(if: canBeAnother, "only root can be another user"))
  func `another user never gets in while a file is made, however often`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    #expect(setMode(directory.path, 0o711))
    let path = directory("s")
    var intruders: [ChildProcess<LineFraming>] = []
    for _ in 0..<4 { intruders.append(try await stranger(["intrude", path.string])) }
    for intruder in intruders { #expect(try await line(intruder) == "begins") }
    // The file's mode alone keeps them out, and no policy.
    for round in 0..<stressed(1_000) {
      if round % 2 == 0 {
        try Listener(.unix(path), accepting: .anyone).close()
      } else {
        try bindDatagrams(at: .unix(path)).close()
      }
    }
    let last = try Listener(.unix(path), accepting: .anyone)
    for intruder in intruders { #expect(try await line(intruder) == "refused") }
    for intruder in intruders {
      intruder.channel.finishSending()
      #expect(try await line(intruder) == "in=0 other=0")
      #expect(try await intruder.exitStatus == .exited(0))
    }
    let error = await endpointError { _ = try await last.accept(timeout: .zero) }
    #expect(error?.reason == .timedOut)
    last.close()
  }

  @Test(.enabled(if: canBeAnother, "only root can be another user"))
  func `the connections of one user take none from another`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    #expect(setMode(directory.path, 0o711))
    let listener = try Listener(
      .unix(directory("s")), framing: .varInt, file: .mode(0o666), accepting: .anyone)
    let log = EventLog()
    let serving = Task { try await listener.serve(perUser: 8, observing: log.note, ServeTests.echo) }
    let crowd = try await stranger(["crowd", listener.address.description, "100"])
    #expect(try await line(crowd) == "served=8 closed=92")
    let client = try await connect(to: listener.address, framing: .varInt)
    try await client.send("me, too")
    #expect(try await client.receive() == Array("me, too".utf8))
    client.close()
    try await end(crowd)
    #expect(log.refused(.userLimit) == 92)
    await eventually { log.closed == 9 }
    // When they have gone, the user has room again.
    let more = try await stranger(["crowd", listener.address.description, "8"])
    #expect(try await line(more) == "served=8 closed=0")
    try await end(more)
    listener.finish()
    try await serving.value
  }

  @Test func `no accepted, connected or listening socket gets into a child`() throws {
    let answer = try run(try probePath(), ["spawn-while-accepting"])
    #expect(answer.lines.first == "sockets=0" && answer.status == 0, "\(answer)")
  }

  @Test(.disabled(if: isSanitized, "a sanitizer's own time counts"))
  func `callers that wait for a full queue do not spin`() throws {
    let answer = try run(try probePath(), ["connect-full"])
    #expect(answer.lines == ["timedOut=4", "spins=false"], "\(answer)")
  }

  // MARK: Lost peers

  /// Whether this process may make networks of its own.
  private static let canMakeNetworks: Bool = {
    guard getuid() == 0 else { return false }
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/unshare")
    process.arguments = ["--net", "ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0"]
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }()

  @Test(.enabled(if: canMakeNetworks, "network namespaces and virtual links need root, unshare and ip"))
  func `a TCP peer that is cut off is found out, if that is asked for`() throws {
    let answer = try run("/usr/bin/unshare", ["--net", try probePath(), "cut-off"])
    let words = ["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"]
    #expect(answer.lines.count == 3 && answer.status == 0, "\(answer)")
    for (line, name) in zip(answer.lines, ["silent", "sending"]) {
      #expect(words.contains { line == "\(name)=\($0)" }, "\(line)")
    }
    #expect(answer.lines.last == "without=waits")
  }

  @Test func `loss is looked for over TCP only, and the kernel has its limits`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    func option(_ endpoint: some Endpoint, _ level: Int32, _ name: Int32) throws -> Int32 {
      try endpoint.withDescriptor { descriptor in
        var (value, size) = (Int32(-1), UInt32(4))
        _ = unsafe getsockopt(descriptor.rawValue, level, name, &value, &size)
        return value
      }
    }
    let listener = try ListenPlace.tcp.listener(directory)
    let client = try await connect(to: listener.address, framing: .varInt)
    let server = try await listener.accept()
    #expect(server.peerAddress == client.localAddress && client.peerAddress == server.localAddress)
    #expect(client.peerAddress?.port == listener.address.socketAddress?.port)
    // SO_KEEPALIVE; TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_USER_TIMEOUT in milliseconds.
    for (limit, expected) in [
      (Duration.seconds(20), [1, 10, 5, 20_000]), (.milliseconds(1_500), [1, 1, 1, 1_500]),
      (.seconds(1_000_000_000), [1, 32_767, 21_600, 86_400_000]),
    ] as [(Duration, [Int32])] {
      try client.setLossDetection(within: limit)
      #expect(
        try [
          option(client, SOL_SOCKET, SO_KEEPALIVE), option(client, 6, 4), option(client, 6, 5),
          option(client, 6, 18),
        ] == expected)
    }
    try client.setLossDetection(within: nil)
    #expect(try option(client, SOL_SOCKET, SO_KEEPALIVE) == 0 && option(client, 6, 18) == 0)
    client.close()
    #expect(blockingError { try client.setLossDetection(within: .seconds(1)) }?.reason == .closed)
    server.close()
    listener.close()
    let (left, right) = try makeSocketPair()
    let error = blockingError { try left.setLossDetection(within: .seconds(1)) }
    #expect(error?.failure?.errno == .notSupportedOnSocket)
    for end in [left, right] { end.close() }
  }
}
