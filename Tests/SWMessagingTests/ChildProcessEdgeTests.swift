import CSysTestSupport
import Foundation
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// Commands at the edges of what a system allows: names that are no UTF-8, numbers at the limit, named pipes.
@Suite(.lastResort, .leavesNothing) struct ChildProcessEdgeTests {
  // MARK: Names that are no UTF-8

  /// A path in `directory` whose last component is no UTF-8.
  private static func odd(_ directory: FilePath) -> FilePath {
    let bytes = Array("\(directory)/d".utf8) + [0xff, 0]
    return unsafe bytes.map { CChar(bitPattern: $0) }.withUnsafeBufferPointer { bytes in
      unsafe bytes.baseAddress.map { unsafe FilePath(platformString: $0) } ?? directory
    }
  }

  /// Makes a directory that has such a name, with a shell in it, and runs `body` with its path.
  private static func withOddDirectory(_ body: (FilePath) async throws -> Void) async throws {
    try await withDirectory { parent in
      let odd = odd(parent)
      let isMade = unsafe odd.withPlatformString { unsafe mkdir($0, 0o700) } == 0
      let hasTool = unsafe odd.appending("tool").withPlatformString { unsafe symlink("/bin/sh", $0) } == 0
      #expect(isMade && hasTool)
      try await body(odd)
      _ = unsafe odd.appending("tool").withPlatformString { unsafe unlink($0) }
      _ = unsafe odd.withPlatformString { unsafe rmdir($0) }
    }
  }

  /// The kernel ends such a child with the thread that made it.
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/setpriv")))
  func `children that end with their parent live as long as it, however many are made at once`() async throws
  {
    try await withThrowingTaskGroup(of: ChildProcess<LineFraming>.self) { group in
      for _ in 0..<12 {
        group.addTask {
          try await ChildProcess.spawn(
            "setpriv", arguments: ["--pdeathsig", "KILL", "cat"], channel: .standardStreams, framing: .lines)
        }
      }
      var children: [ChildProcess<LineFraming>] = []
      for try await child in group { children.append(child) }
      for child in children {
        try await child.channel.send("here")
        #expect(try await child.channel.next(timeout: .patience) == Array("here".utf8))
        child.channel.finishSending()
        #expect(try await child.exitStatus == .exited(0))
      }
    }
  }

  @Test func `a program and a working directory may have names that are no UTF-8`() async throws {
    try await Self.withOddDirectory { odd in
      let command = Command(odd.appending("tool"), arguments: ["-c", "exit 5"])
      #expect(try await command.run().status == .exited(5))
      let zero = try await Command(odd.appending("tool"), arguments: ["-c", "printf %s \"$0\""]).run()
      #expect(zero.output == Array(odd.appending("tool").description.utf8) || zero.output.contains(0xff))
      var inside = Command(FilePath("tool"), arguments: ["-c", "pwd"])
      inside.workingDirectory = odd
      #expect(try await inside.run().output.contains(0xff))
    }
  }

  @Test func `an inherited PATH may have directories whose names are no UTF-8`() async {
    await #expect(processExitsWith: .success) {
      try await Self.withOddDirectory { odd in
        let isSet = unsafe odd.withPlatformString { unsafe setenv("PATH", $0, 1) } == 0
        #expect(isSet)
        let status = try await Command("tool", arguments: ["-c", "exit 6"]).run().status
        #expect(status == .exited(6))
      }
    }
  }

  // MARK: The environment

  @Test func `a variable is replaced, and others stay whose names look the same`() async {
    await #expect(processExitsWith: .success) {
      // The same text, composed and decomposed.
      let (composed, decomposed) = ("SW_\u{e9}", "SW_e\u{301}")
      unsafe setenv(decomposed, "old", 1)
      var command = Command("env")
      func values(of name: String) async throws -> [String] {
        let start = Array(name.utf8) + [UInt8(ascii: "=")]
        return try await command.run().output.split(separator: UInt8(ascii: "\n"))
          .filter { $0.starts(with: start) }
          .map { String(decoding: $0.dropFirst(start.count), as: UTF8.self) }
      }
      command.environment = .inheriting(adding: [decomposed: "new"], removing: [composed])
      let replaced = try await values(of: decomposed)
      #expect(replaced == ["new"])
      command.environment = .inheriting(adding: [composed: "other"])
      let (kept, added) = (try await values(of: decomposed), try await values(of: composed))
      #expect(kept == ["old"] && added == ["other"])
    }
  }

  // MARK: Looking up a program

  @Test func `an entry of PATH that is too long is passed over`() async throws {
    let long = "/" + String(repeating: "x", count: 300)
    let longer = String(repeating: "/" + String(repeating: "x", count: 200), count: 30)
    var command = Command("sh", arguments: ["-c", "exit 4"])
    command.environment = .only(["PATH": "\(long):\(longer):/bin:/usr/bin"])
    #expect(try await command.run().status == .exited(4))
    command = Command("sw-no-such-tool")
    command.environment = .only(["PATH": "\(long):/bin"])
    let missing = await endpointError { try await command.run() }
    #expect(missing?.reason == .transport(TransportError(.spawn, .noSuchFileOrDirectory)))
    // Nothing can have a name like that.
    command.program = .name(String(repeating: "x", count: 300))
    let nameless = await endpointError { try await command.run() }
    #expect(nameless?.reason == .transport(TransportError(.spawn, .fileNameTooLong)))
  }

  // MARK: Numbers

  @Test func `a descriptor may have the last number, and one above the limit is named`() async {
    await #expect(processExitsWith: .success) {
      limitDescriptors(256)
      for number in [253, 254, 255] as [Int32] {
        var command = Command("ls", arguments: ["/proc/self/fd"])
        command.descriptors = [number: .standardError]
        let result = try await command.run()
        #expect(result.status == .exited(0))
        #expect(result.outputText.split(separator: "\n").contains("\(number)"), "\(number)")
      }
      for number in [256, 257, 1 << 20, .max] as [Int32] {
        var command = Command("true")
        command.descriptors = [number: .standardError]
        let error = await endpointError { try await command.run() }
        #expect(error?.reason == .transport(TransportError(.spawn, .tooManyOpenFiles)))
        #expect(error?.explanation == "descriptor \(number) of the child")
      }
    }
  }

  // MARK: Named pipes

  @Test func `a named pipe without a writer is no standard input`() async throws {
    try await withDirectory { directory in
      let path = directory.appending("fifo")
      #expect(unsafe mkfifo(path.string, 0o600) == 0)
      var command = Command("cat")
      command.standardInput = .file(path)
      let error = await endpointError { try await command.run() }
      #expect(error?.reason == .transport(TransportError(.spawn, .noSuchAddressOrDevice)))
      #expect(error?.explanation.contains("standard input of the child") ?? false)

      // With one, the child reads what comes until the writer goes.
      let reader = try FileDescriptor.open(path, .readOnly, options: .nonBlocking)
      let writer = try FileDescriptor.open(path, .writeOnly)
      let reading = command
      let child = Task { try await reading.run() }
      try writer.writeAll("hello\n".utf8)
      // The reader of the test goes when the child has its own.
      try await TestThread { while try reader.hasInput() { sched_yield() } }.value
      try reader.close()
      try writer.close()
      #expect(try await child.value.outputText == "hello\n")

      // Bytes that are there are read though their writer has gone.
      let both = try FileDescriptor.open(path, .readWrite)
      let held = try FileDescriptor.open(path, .readOnly, options: .nonBlocking)
      try both.writeAll("left\n".utf8)
      try both.close()
      #expect(try await command.run().outputText == "left\n")
      try held.close()
    }
  }

  // MARK: Running

  @Test(arguments: ChildProcessRunTests.Way.allCases)
  func `a run without input cannot have an endpoint to write to`(_ way: ChildProcessRunTests.Way) async {
    var command = Command("cat")
    command.standardInput = .endpoint
    let given = command
    let error = await endpointError { try await way.run(given, timeout: .seconds(20)) }
    #expect(error?.reason == .transport(TransportError(.spawn, .invalidArgument)))
    #expect(error?.explanation.contains("standard input") ?? false)
  }

  @Test(arguments: ChildProcessRunTests.Way.allCases)
  func `the input has ended when the steps that end a child begin`(_ way: ChildProcessRunTests.Way)
    async throws
  {
    try await withDirectory { directory in
      let path = directory.appending("count")
      // It reads nothing before the signal, and then all that there is.
      let script = "trap 'wc -c > \(path); exit' TERM; printf 123456; while :; do sleep 0.01; done"
      let error = await endpointError {
        try await way.run(
          Command("bash", arguments: ["-c", script]), input: pattern(3_000_000), limit: 5,
          ending: [.signal(.terminate, within: .patience)])
      }
      #expect(error?.reason == .transport(TransportError(.receive, .messageTooLong)))
      let text = String(decoding: try Data(contentsOf: URL(filePath: path.string)), as: UTF8.self)
      let count = try #require(Int(text.split(whereSeparator: \.isWhitespace).first ?? ""))
      #expect(count < 3_000_000)
    }
  }
}

extension FileDescriptor {
  /// Whether there is something to read.
  fileprivate func hasInput() throws -> Bool {
    var count: Int32 = 0
    guard unsafe ioctl(rawValue, UInt(FIONREAD), &count) == 0 else { throw Errno(rawValue: errno) }
    return count > 0
  }
}
