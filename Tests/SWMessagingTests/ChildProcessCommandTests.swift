import CSysShim
import CSysTestSupport
import Foundation
import SWMessaging
import SWTesting
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// The beginning of a child: everything that a command says.
@Suite struct ChildProcessCommandTests {
  // MARK: The program

  // In a process of its own: no other test may fork while the script is open for writing (ETXTBSY).
  @Test func `a relative path, and relative directories of PATH, start at the working directory`()
    async
  {
    await #expect(processExitsWith: .success) {
      try await withDirectory { directory in
        try script("exit 5", at: directory.appending("tool"))
        try script("exit 6", at: directory.appending("bin/tool"))
        func run(_ command: Command, path: String) async throws -> TerminationStatus {
          var command = command
          command.workingDirectory = directory
          command.environment = .inheriting(adding: ["PATH": path])
          return try await command.run().status
        }
        #expect(try await run(Command("./tool"), path: "/") == .exited(5))
        #expect(try await run(Command("bin/tool"), path: "/") == .exited(6))
        #expect(
          try await run(Command(FilePath("tool")), path: "bin") == .exited(5), "a path is not looked up")
        #expect(try await run(Command("tool"), path: "bin:.") == .exited(6))
        #expect(
          try await run(Command("tool"), path: "/nowhere::bin") == .exited(5), "an empty one is the directory"
        )
        #expect(try await run(Command(.name("tool")), path: "\(directory)/bin/:") == .exited(6))
      }
    }
  }

  // In a process of its own: no other test may fork while the script is open for writing (ETXTBSY).
  @Test func `what may not be executed is passed over, and is the error if nothing else is found`()
    async
  {
    await #expect(processExitsWith: .success) {
      try await withDirectory { directory in
        try script("exit 5", at: directory.appending("a/tool"), isExecutable: false)
        try script("exit 6", at: directory.appending("b/tool"))
        var command = Command("tool")
        command.environment = .only([
          "PATH": "\(directory)/none:\(directory)/a:\(directory)/a/tool:\(directory)/b"
        ])
        #expect(try await command.run().status == .exited(6))
        command.environment = .only(["PATH": "\(directory)/a:\(directory)/none"])
        let error = await endpointError { try await command.run() }
        #expect(error?.reason == .transport(TransportError(.spawn, .permissionDenied)))
        #expect(error?.explanation.contains("\"tool\", looked up in \"\(directory)/a:") ?? false)
      }
    }
  }

  @Test func `without PATH the usual directories are searched`() async throws {
    var command = Command("sh", arguments: ["-c", "exit 4"])
    command.environment = .only([:])
    #expect(try await command.run().status == .exited(4))
  }

  // In a process of its own: no other test may fork while the script is open for writing (ETXTBSY).
  @Test func `a program that no kernel executes is an error of the spawn`() async {
    await #expect(processExitsWith: .success) {
      try await withDirectory { directory in
        try script("", at: directory.appending("tool"), firstLine: "no program")
        let error = await endpointError { try await Command(directory.appending("tool")).spawn() }
        #expect(error?.reason == .transport(TransportError(.spawn, .execFormatError)))
      }
    }
  }

  @Test func `a program that is being written is an error, and one that was is not`() async {
    await #expect(processExitsWith: .success) {
      try await withDirectory { directory in
        let path = directory.appending("tool")
        try script("exit 3", at: path)
        let writer = try FileDescriptor.open(path, .writeOnly)
        let error = await endpointError { try await Command(path).spawn() }
        #expect(error?.reason == .transport(TransportError(.spawn, .textFileBusy)))
        let late = Task { try await Command(path).spawn().exitStatus }
        await Task.yield()
        try writer.close()
        #expect(try await late.value == .exited(3))
      }
    }
  }

  @Test func `argument 0 is the program as it is written, or the one that is set`() async throws {
    var command = Command("cat", arguments: ["/proc/self/cmdline"])
    #expect(try await command.run().outputText == "cat\0/proc/self/cmdline\0")
    command.argumentZero = "-login"
    #expect(try await command.run().outputText == "-login\0/proc/self/cmdline\0")
    command.argumentZero = ""
    #expect(try await command.run().outputText == "\0/proc/self/cmdline\0")
  }

  @Test func `strings with a NUL in them are refused, by name`() async {
    var zero = Command("true")
    zero.argumentZero = "a\0"
    for (command, text) in [
      (Command("true", arguments: ["x", "a\0b"]), "argument 2"), (Command("a\0b"), "program"),
      (zero, "argument 0"),
    ] {
      let error = await endpointError { try await command.spawn() }
      #expect(error?.reason == .transport(TransportError(.spawn, .invalidArgument)))
      #expect(error?.explanation.contains(text) ?? false, "\(error?.explanation ?? "")")
    }
  }

  // MARK: The environment

  @Test(arguments: [("", "x"), ("A=B", "x"), ("=", "x"), ("A\0", "x"), ("A", "x\0y")])
  func `names and values that cannot be are refused`(_ name: String, _ value: String) async {
    for environment in [ChildEnvironment.only([name: value]), .inheriting(adding: [name: value])] {
      var command = Command("true")
      command.environment = environment
      let error = await endpointError { try await command.spawn() }
      #expect(error?.reason == .transport(TransportError(.spawn, .invalidArgument)))
      #expect(error?.explanation.contains("environment variable") ?? false)
    }
  }

  @Test func `variables that name descriptors of this process are handed on only if somebody says so`() async
  {
    await #expect(processExitsWith: .success) {
      for name in ChildEnvironment.channelVariables { unsafe setenv(name, "3", 1) }
      unsafe setenv("SW_TEST_OTHER", "kept", 1)
      var command = Command("env")
      let plain = try await command.run().outputText.split(separator: "\n")
      #expect(plain.contains("SW_TEST_OTHER=kept"))
      for name in ChildEnvironment.channelVariables {
        #expect(!plain.contains { $0.hasPrefix("\(name)=") }, "\(name)")
      }
      command.environment = .inheriting(adding: ["NODE_CHANNEL_FD": "5"])
      let told = try await command.run().outputText.split(separator: "\n")
      #expect(told.contains("NODE_CHANNEL_FD=5"))
      #expect(!told.contains { $0.hasPrefix("SOCKETWRAPPER_FD=") })
    }
  }

  // MARK: Groups and signals

  @Test func `a child is of this group, of a new one, of a new session, or of another child's`() async throws
  {
    // Of /proc/self/stat: process, parent, group, session.
    func numbers(_ group: Command.Group) async throws -> [Int32] {
      var command = Command("cat", arguments: ["/proc/self/stat"])
      command.group = group
      let fields = try await command.run().outputText.split(separator: " ").compactMap { Int32($0) }
      return [fields[0]] + fields[2...3]
    }
    let inherited = try await numbers(.inherited)
    #expect(inherited[1] == getpgrp() && inherited[2] == getsid(0))
    let new = try await numbers(.new)
    #expect(new[1] == new[0] && new[2] == getsid(0))
    let session = try await numbers(.newSession)
    #expect(session[1] == session[0] && session[2] == session[0])

    var command = Command("cat")
    command.standardInput = .endpoint
    command.group = .new
    let leader = try await command.spawn()
    let joined = try await numbers(.joining(leader.processID))
    #expect(joined[1] == leader.processID)
    try await leader.end()

    for number in [1, 0, -5, .max] as [Int32] {
      var command = Command("true")
      command.group = .joining(number)
      let error = await endpointError { try await command.spawn() }
      guard case .transport(let failure) = error?.reason else { continue }
      #expect(failure.operation == .spawn)
      #expect(error?.explanation.contains("process group") ?? false)
    }
  }

  @Test func `ignored signals become default, or stay ignored`() async {
    await #expect(processExitsWith: .success) {
      signal(SIGHUP, SIG_IGN)
      signal(SIGUSR2, SIG_IGN)
      func ignored(_ keeps: Bool) async throws -> UInt64 {
        var command = Command("grep", arguments: ["SigIgn", "/proc/self/status"])
        command.keepsIgnoredSignals = keeps
        let field = try await command.run().outputText.split(whereSeparator: \.isWhitespace)[1]
        return UInt64(field, radix: 16) ?? .max
      }
      let both = UInt64(1) << UInt64(SIGHUP - 1) | UInt64(1) << UInt64(SIGUSR2 - 1)
      let (reset, kept) = (try await ignored(false), try await ignored(true))
      #expect(reset & both == 0)
      #expect(kept & both == both)
    }
  }

  // MARK: Descriptors

  @Test func `further descriptors have their numbers, and nothing else is open`() async throws {
    let (read, write) = try FileDescriptor.pipe()
    defer {
      try? read.close()
      try? write.close()
    }
    var command = Command(
      "bash", arguments: ["-c", "echo to 40 >&40; read -u 3 line; echo $line >&4; ls /proc/self/fd"])
    // Numbers that are the other's here.
    command.descriptors = [3: read, 40: write, 4: .standardError, read.rawValue + 100: write]
    command.standardError = .standardOutput
    command.descriptors[4] = write
    let result = try await command.run()
    #expect(result.status == .exited(0))
    let expected: [Int32] = [0, 1, 2, 3, 4, 40, read.rawValue + 100]
    // And the directory that `ls` reads.
    #expect(Set(result.outputText.split(separator: "\n").compactMap { Int32($0) }) == Set(expected + [5]))
    var bytes = [UInt8](repeating: 0, count: 100)
    let count = unsafe try bytes.withUnsafeMutableBytes { unsafe try read.read(into: $0) }
    #expect(String(decoding: bytes[..<count], as: UTF8.self) == "to 40\n")
  }

  @Test func `descriptors that are not open, and numbers that are taken, are refused`() async throws {
    func refusal(_ descriptors: [Int32: FileDescriptor], channel: ChildChannel) async -> Errno? {
      var command = Command("true")
      command.descriptors = descriptors
      let error = await endpointError { try await command.spawn(channel: channel, framing: .varInt) }
      guard case .transport(let failure) = error?.reason, failure.operation == .spawn else { return nil }
      #expect(error?.explanation.contains("of the child") ?? false)
      return failure.errno
    }
    let closed = FileDescriptor(rawValue: 1_000_000)
    #expect(await refusal([5: closed], channel: .descriptor(3)) == .badFileDescriptor)
    #expect(await refusal([3: .standardError], channel: .descriptor(3)) == .invalidArgument)
    #expect(await refusal([1: .standardError], channel: .descriptor(3)) == .invalidArgument)
    #expect(await refusal([-1: .standardError], channel: .descriptor(3)) == .invalidArgument)
    #expect(await refusal([:], channel: .descriptor(-1)) == .badFileDescriptor)
    let many = Dictionary(
      uniqueKeysWithValues: (3..<300 as Range<Int32>).map { ($0, FileDescriptor.standardError) })
    #expect(await refusal(many, channel: .descriptor(2000)) == .invalidArgument)
    #expect(await refusal([1 << 30: .standardError], channel: .descriptor(3)) != nil)
  }

  // MARK: Standard streams

  @Test func `standard input is null, a descriptor, a file, or an endpoint`() async throws {
    try await withDirectory { directory in
      try Data("from a file\n".utf8).write(to: URL(filePath: "\(directory)/in"))
      func read(_ input: Command.Input?) async throws -> String {
        var command = Command("cat")
        command.standardInput = input
        return try await command.run(timeout: .patience).outputText
      }
      #expect(try await read(nil) == "")
      #expect(try await read(.null) == "")
      #expect(try await read(.file(directory.appending("in"))) == "from a file\n")
      let file = try FileDescriptor.open(directory.appending("in"), .readOnly)
      #expect(try await read(.descriptor(file)) == "from a file\n")
      try file.close()

      var command = Command("cat")
      command.standardInput = .endpoint
      command.standardOutput = .endpoint
      let child = try await command.spawn()
      let input = try #require(child.standardInput)
      let output = try #require(child.standardOutput)
      #expect(child.standardError == nil)
      try await input.send("hello")
      #expect(try await output.receive(exactly: 5, timeout: .patience) == Array("hello".utf8))
      input.close()
      #expect(try await child.exitStatus == .exited(0))

      var missing = Command("cat")
      missing.standardInput = .file(directory.appending("none"))
      let error = await endpointError { try await missing.spawn() }
      #expect(error?.reason == .transport(TransportError(.spawn, .noSuchFileOrDirectory)))
      #expect(error?.explanation == "file \"\(directory)/none\", for standard input of the child")
    }
  }

  @Test func `output goes to a file that is emptied, appended to, new, or there`() async throws {
    try await withDirectory { directory in
      let path = directory.appending("out")
      func write(_ text: String, _ mode: Command.FileMode) async throws {
        var command = Command("printf", arguments: [text])
        command.standardOutput = .file(path, mode)
        #expect(try await command.run().status == .exited(0))
      }
      func content() throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path.string)), as: UTF8.self)
      }
      #expect(
        await endpointError { try await write("x", .existing) }?.reason
          == .transport(TransportError(.spawn, .noSuchFileOrDirectory)))
      try await write("first", .createNew)
      #expect(
        await endpointError { try await write("x", .createNew) }?.reason
          == .transport(TransportError(.spawn, .fileExists)))
      try await write("+second", .append)
      #expect(try content() == "first+second")
      try await write("FIRST", .existing)
      #expect(try content() == "FIRST+second")
      try await write("new", .truncate)
      #expect(try content() == "new")
      // A named pipe without a reader must not block the thread that spawns.
      #expect(unsafe mkfifo("\(directory)/fifo", 0o600) == 0)
      var command = Command("true")
      command.standardError = .file(directory.appending("fifo"), .existing)
      #expect(
        await endpointError { try await command.spawn() }?.reason
          == .transport(TransportError(.spawn, .noSuchAddressOrDevice)))
    }
  }

  @Test func `standard error is lines to read, nothing, or goes with the output`() async throws {
    var command = Command("bash", arguments: ["-c", "echo out; echo one >&2; echo two >&2"])
    command.standardOutput = .null
    command.standardError = .endpoint
    let child = try await command.spawn()
    let errors = MessageReader(over: try #require(child.standardError), framing: .lines)
    var lines: [String] = []
    for try await line in errors.messages { lines.append(String(decoding: line, as: UTF8.self)) }
    #expect(lines == ["one", "two"])
    #expect(try await child.exitStatus.isSuccess)

    command.standardOutput = nil
    command.standardError = .null
    #expect(try await command.run() == CommandResult(.exited(0), "out\n", ""))
    command.standardError = .standardOutput
    #expect(try await command.run() == CommandResult(.exited(0), "out\none\ntwo\n", ""))
    command.standardError = nil
    #expect(try await command.run() == CommandResult(.exited(0), "out\n", "one\ntwo\n"))
    // Behind a channel that is the standard output.
    command.standardError = .standardOutput
    let channel = try await command.spawn(channel: .standardStreams, framing: .lines)
    #expect(try await channel.channel.receive() == Array("out".utf8))
    #expect(try await channel.channel.receive() == Array("one".utf8))
    #expect(try await channel.channel.receive() == Array("two".utf8))
  }

  @Test func `streams can be exchanged, and inherited ones are this process's`() async {
    await #expect(processExitsWith: .success) {
      let (outRead, outWrite) = try FileDescriptor.pipe()
      let (errorRead, errorWrite) = try FileDescriptor.pipe()
      #expect(dup2(outWrite.rawValue, 1) == 1 && dup2(errorWrite.rawValue, 2) == 2)
      var command = Command("bash", arguments: ["-c", "echo out; echo error >&2"])
      command.standardOutput = .descriptor(.standardError)
      command.standardError = .descriptor(.standardOutput)
      _ = try await command.spawn().exitStatus
      command.standardOutput = .inherited
      command.standardError = .inherited
      _ = try await command.spawn().exitStatus
      command.standardError = .standardOutput
      _ = try await command.spawn().exitStatus
      func read(_ descriptor: FileDescriptor) throws -> String {
        var bytes = [UInt8](repeating: 0, count: 100)
        let count = unsafe try bytes.withUnsafeMutableBytes { unsafe try descriptor.read(into: $0) }
        return String(decoding: bytes[..<count], as: UTF8.self)
      }
      #expect(try read(outRead) == "error\nout\nout\nerror\n")
      #expect(try read(errorRead) == "out\nerror\n")
    }
  }

  @Test func `a stream that the channel takes cannot be something else`() async {
    var command = Command("cat")
    command.standardOutput = .null
    let error = await endpointError { try await command.spawn(channel: .standardStreams, framing: .varInt) }
    #expect(error?.reason == .transport(TransportError(.spawn, .invalidArgument)))
    #expect(error?.explanation == "standard output of the child: it is the channel's")
    var itself = Command("cat")
    itself.standardOutput = .standardOutput
    #expect(
      await endpointError { try await itself.spawn() }?.reason
        == .transport(TransportError(.spawn, .invalidArgument)))
  }

  @Test func `a spawn from a process without standard streams gives the child all of them`() async {
    await #expect(processExitsWith: .success) {
      let (read, write) = try FileDescriptor.pipe()
      let (reader, writer) = (swsys_duplicate(read.rawValue, 10), swsys_duplicate(write.rawValue, 10))
      for number in 0...2 as ClosedRange<Int32> { close(number) }
      try? read.close()
      try? write.close()
      var command = Command("bash", arguments: ["-c", "ls -l /proc/self/fd >&9"])
      command.descriptors = [9: FileDescriptor(rawValue: writer)]
      command.standardInput = .inherited
      command.standardError = .standardOutput
      let child = try await command.spawn()
      _ = try await child.exitStatus
      var bytes = [UInt8](repeating: 0, count: 4000)
      let count = unsafe try bytes.withUnsafeMutableBytes {
        unsafe try FileDescriptor(rawValue: reader).read(into: $0)
      }
      let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
      // The runtime may take such a number for itself at any moment; it is a stream then that the child inherits.
      for number in 0...2 {
        let line = try #require(lines.first { $0.contains(" \(number) -> ") })
        #expect(number == 1 || line.hasSuffix("/dev/null") || line.contains("anon_inode"), "\(line)")
      }
      // Nothing that the library has opened took one of the numbers.
      withExtendedLifetime(child) {
        for number in 0...2 as ClosedRange<Int32> { #expect(!isOfTheLibrary(number), "\(number)") }
      }
    }
  }

  // MARK: The channel's end

  @Test(arguments: [ChildChannel.descriptor(3), .standardStreams])
  func `what was sent before the child ended is received, then the end, and sending fails`(
    _ channel: ChildChannel
  ) async throws {
    var command = Command(
      "bash",
      arguments: [
        "-c",
        channel == .standardStreams
          ? "printf '\\002hi'; sleep 600 & exit 0" : "printf '\\002hi' >&3; sleep 600 <&3 & exit 0",
      ])
    command.channelGrace = .zero
    command.standardError = .null
    command.group = .new
    let child = try await command.spawn(channel: channel, framing: .varInt)
    #expect(try await child.exitStatus == .exited(0))
    #expect(try await child.channel.next() == Array("hi".utf8))
    #expect(try await child.channel.next() == nil)
    let error = await endpointError { try await child.channel.send("anybody?") }
    #expect(error?.reason == .transport(TransportError(.send, .brokenPipe)))
    try await child.end()
  }

  @Test(arguments: [ChildChannel.descriptor(3), .standardStreams])
  func `waiting tasks and threads are told of the end`(_ channel: ChildChannel) async throws {
    var command = Command("bash", arguments: ["-c", "read; sleep 600 & exit 0"])
    command.standardError = .null
    command.group = .new
    command.channelGrace = .milliseconds(1)
    if channel != .standardStreams { command.standardInput = .endpoint }
    let child = try await command.spawn(channel: channel, framing: .lines)
    let task = Task { try await child.channel.next() }
    let thread = TestThread { try child.channel.blocking.next() }
    await eventually { child.channel.queued == 2 }
    if let input = child.standardInput {
      try await input.send("\n")
    } else {
      try await child.channel.send("")
    }
    #expect(try await task.value == nil)
    #expect(try await thread.value == nil)
    try await child.end()
  }

  @Test func `the channel ends though a descendant goes on writing`() async throws {
    var command = Command("bash", arguments: ["-c", "yes >&3 & exit 0"])
    command.standardError = .null
    command.group = .new
    command.channelGrace = .milliseconds(1)
    let child = try await command.spawn(framing: .lines)
    #expect(try await child.exitStatus == .exited(0))
    // The descendant reads nothing, so a send waits until the grace is over.
    var errno: Errno?
    while errno != .brokenPipe {
      do throws(EndpointError) {
        try await child.channel.send("anybody?", timeout: .milliseconds(1))
      } catch { errno = error.failure?.errno }
    }
    var count = 0
    while let line = try await child.channel.next() {
      count += line.count + 1
      try #require(count < 4 << 20, "more than there is room for in the kernel")
    }
    try await child.end()
  }

  @Test func `without a grace the channel is its holder's, whoever that is`() async throws {
    var command = Command("bash", arguments: ["-c", "cat <&3 >&3 & exit 0"])
    command.channelGrace = nil
    let child = try await command.spawn(framing: .lines)
    #expect(try await child.exitStatus == .exited(0))
    try await child.channel.send("hello")
    #expect(try await child.channel.receive() == Array("hello".utf8))
    child.channel.finishSending()
    #expect(try await child.channel.next() == nil)
  }
}

// MARK: - Helpers

extension CommandResult {
  fileprivate init(_ status: TerminationStatus, _ output: String, _ errors: String) {
    self.init(status: status, output: Array(output.utf8), errorOutput: Array(errors.utf8))
  }
}

/// A directory of the test's own, which is removed afterwards.
func withDirectory(_ body: (FilePath) async throws -> Void) async throws {
  let directory = FileManager.default.temporaryDirectory.appending(path: "sw-\(UUID().uuidString.prefix(8))")
  try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: directory) }
  try await body(FilePath(directory.path))
}

/// Writes a script, with the directories that it needs.
private func script(
  _ text: String, at path: FilePath, isExecutable: Bool = true, firstLine: String = "#!/bin/sh"
) throws {
  let url = URL(filePath: path.string)
  try FileManager.default.createDirectory(
    at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
  try "\(firstLine)\n\(text)\n".write(to: url, atomically: false, encoding: .utf8)
  try FileManager.default.setAttributes(
    [.posixPermissions: isExecutable ? 0o755 : 0o644], ofItemAtPath: path.string)
}
