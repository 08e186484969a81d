import CSysShim
import Foundation
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Sockets that a service manager passes.
@Suite(.lastResort, .leavesNothing)
struct ActivationTests {
  static let activator = "/usr/bin/systemd-socket-activate"
  static var hasActivator: Bool { FileManager.default.isExecutableFile(atPath: activator) }

  private func parse(_ variables: [String: String], identity: UInt64? = 99) throws -> [String] {
    try InheritedSockets.parse({ variables[$0] }, processID: 42, processIdentity: { identity }).map {
      "\($0.number) \($0.name)"
    }
  }

  @Test func `the variables say what has been passed`() throws {
    #expect(try parse([:]) == [])
    #expect(try parse(["LISTEN_FDS": "2"]) == [])
    #expect(try parse(["LISTEN_PID": "42"]) == [])
    #expect(try parse(["LISTEN_PID": "42", "LISTEN_FDS": "2"]) == ["3 unknown", "4 unknown"])
    let named = ["LISTEN_PID": "42", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "control:"]
    #expect(try parse(named) == ["3 control", "4 "])
    #expect(try parse(named.merging(["LISTEN_PIDFDID": "99"]) { $1 }) == ["3 control", "4 "])
    #expect(try parse(named.merging(["LISTEN_PIDFDID": "98"]) { $1 }, identity: nil) == ["3 control", "4 "])
    #expect(try parse(["LISTEN_PID": "42", "LISTEN_FDS": "0", "LISTEN_FDNAMES": ""]) == [])
  }

  @Test func `what is meant for another process is nothing`() throws {
    #expect(try parse(["LISTEN_PID": "41", "LISTEN_FDS": "2"]) == [])
    #expect(try parse(["LISTEN_PID": "41", "LISTEN_FDS": "nonsense"]) == [])
    #expect(try parse(["LISTEN_PID": "42", "LISTEN_FDS": "2", "LISTEN_PIDFDID": "98"]) == [])
  }

  @Test(arguments: [
    ("LISTEN_PID", "x"), ("LISTEN_PID", "-1"), ("LISTEN_PID", ""), ("LISTEN_FDS", "x"), ("LISTEN_FDS", "-1"),
    ("LISTEN_FDS", "99999999999"), ("LISTEN_FDNAMES", "one"), ("LISTEN_FDNAMES", "1:2:3"),
    ("LISTEN_PIDFDID", "x"),
  ])
  func `variables that make no sense are errors`(name: String, value: String) {
    let variables = ["LISTEN_PID": "42", "LISTEN_FDS": "2"].merging([name: value]) { $1 }
    let error = blockingError { try parse(variables) }
    #expect(error?.failure == TransportError(.adopt, .invalidArgument))
    #expect(error?.subject == .environmentVariable(name))
    #expect(error?.description.hasPrefix("the environment variable \(name) is not valid") ?? false)
  }

  @Test(.enabled(if: hasActivator, "no systemd-socket-activate"))
  func `an activated service serves, and the file stays`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("s")
    let activator = process(
      Self.activator, ["-l", path.string, "--fdname=control", try probePath(), "activated", "control"])
    let output = Pipe()
    activator.standardOutput = output
    activator.standardError = FileHandle.nullDevice
    activator.standardInput = FileHandle.nullDevice
    try activator.run()
    for text in ["hello", "stop"] {
      let client = try await connect(to: .unix(path), framing: .varInt, waitingForServer: true)
      try await client.send(text)
      #expect(try await client.receive() == Array(text.utf8))
      client.close()
    }
    let reader = try MessageReader(
      duplicating: FileDescriptor(rawValue: output.fileHandleForReading.fileDescriptor), framing: .lines)
    var lines: [String] = []
    while let line = try await reader.next() { lines.append(String(decoding: line, as: UTF8.self)) }
    activator.waitUntilExit()
    #expect(
      lines == ["address=unix:\(path)", "again=true", "inherited=false", "leaked=false", "stopped=true"])
    #expect(directory.names == ["s"])
    reader.close()
  }

  @Test func `all passed sockets are taken over together, or none`() throws {
    let all = try run(try probePath(), ["pass-sockets", "stream", "all"])
    #expect(all.lines == ["a=hello", "b=hello", "again=true", "others=0"])
    let taken = try run(try probePath(), ["pass-sockets", "stream", "b-first"])
    #expect(taken.lines == ["raw=[1, 2]", "busy=true", "changed=false", "a=true"])
    let unfit = try run(try probePath(), ["pass-sockets", "packets", "all"])
    let errno = Errno.protocolWrongTypeForSocket.rawValue
    #expect(unfit.lines == ["errno=\(errno)", "busy=false", "changed=false", "a=true"])
  }

  @Test func `a descriptor of another kind is an error, and untouched`() throws {
    for (redirection, errno) in [("3</dev/null", Errno.notSocket), ("3<&-", .badFileDescriptor)] {
      let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" activated unknown \(redirection)"
      let answer = try run("/bin/sh", ["-c", script, try probePath()])
      #expect(answer.lines.first?.hasPrefix("error=adopt \(errno.rawValue) ") ?? false, "\(answer)")
      #expect(answer.lines.last == "open=\(errno == .notSocket)")
    }
    let another = try run(
      "/bin/sh", ["-c", "LISTEN_FDS=1 LISTEN_PID=1 exec \"$0\" activated unknown", try probePath()])
    #expect(another.lines == ["none=true"])
  }

  @Test func `a descriptor that does not listen, or of another kind, is refused and left alone`() async throws
  {
    let pair = try DescriptorPair.sockets(.unix)
    let number = pair.first.withDescriptor { $0.rawValue }
    let deaf = blockingError { try Listener(.descriptor(number)) }
    #expect(deaf?.failure == TransportError(.adopt, .invalidArgument))
    #expect(deaf?.subject == .service(.descriptor(number)))
    let kind = blockingError { try Listener(.descriptor(number), kind: .packets) }
    #expect(kind?.failure?.errno == .protocolWrongTypeForSocket)
    #expect(swsys_get_close_on_exec(number) == 1 && swsys_is_nonblocking(number) == 0)
    let pipe = try DescriptorPair.pipe()
    let pipeNumber = pipe.first.withDescriptor { $0.rawValue }
    let none = blockingError { try Listener(.descriptor(pipeNumber)) }
    #expect(none?.failure?.errno == .notSocket)
    _ = consume pair
    _ = consume pipe
  }

  @Test func `a listening descriptor is taken over, and gets its flag back`() async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let path = directory("s")
    let socket = try OwnedDescriptor.socket(for: .unnamedUnix, .stream, .bind)
    #expect(socket.bind(to: try #require(SocketAddress(unixPath: path.string))) == 0)
    let number = socket.withDescriptor { $0.rawValue }
    #expect(swsys_listen(number, 8) == 0 && swsys_set_nonblocking(number, false) == 0)
    let copy = try OwnedDescriptor(duplicating: FileDescriptor(rawValue: number))
    let listener = try Listener(.descriptor(socket.release().rawValue), framing: .varInt)
    #expect(listener.address == .unix(path))
    let copied = copy.withDescriptor { $0.rawValue }
    #expect(swsys_is_nonblocking(copied) == 1)
    let client = try await connect(to: .unix(path), framing: .varInt)
    try await listener.accept().close()
    client.close()
    listener.close()
    #expect(swsys_is_nonblocking(copied) == 0)
    #expect(directory.names == ["s"])
    // It listens still.
    try await connect(to: .unix(path)).close()
    _ = consume copy
  }
}
