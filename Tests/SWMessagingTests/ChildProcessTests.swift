import CSysShim
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// Children here are `bash`, `cat` and `ls`. State of the whole process (its descriptors, dispositions,
/// standard streams) is looked at in a process of its own: an exit test.
@Suite(.lastResort, .leavesNothing) struct ChildProcessTests {
  // MARK: Channels

  @Test(arguments: [3, 4, 5, 10, 200])
  func `the child finds its end under the number it is told`(_ number: Int32) async throws {
    let child = try await shell(
      "test $SOCKETWRAPPER_FD = \(number) && exec cat <&\(number) >&\(number)",
      channel: .descriptor(number))
    try await child.channel.send("hello")
    #expect(try await child.channel.receive() == Array("hello".utf8))
    child.channel.finishSending()
    #expect(try await child.channel.next() == nil)
    #expect(try await child.exitStatus == .exited(0))
  }

  @Test func `standard streams are a channel of two pipes`() async throws {
    let child = try await ChildProcess.spawn("cat", channel: .standardStreams, framing: .varInt)
    let large = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    async let reply = child.channel.receive()
    try await child.channel.send(large)
    #expect(try await reply == large)
    child.channel.finishSending()
    #expect(try await child.channel.next() == nil)
    #expect(try await child.exitStatus.isSuccess)
  }

  @Test func `blocking code spawns, talks and waits without a task`() async throws {
    try await TestThread {
      let child = try Command("cat").blocking.spawn(channel: .standardStreams, framing: .varInt)
      try child.channel.blocking.send("hello")
      #expect(try child.channel.blocking.receive() == Array("hello".utf8))
      #expect(throws: EndpointError.self) { try child.blocking.waitForExit(timeout: .zero) }
      child.channel.finishSending()
      #expect(try child.blocking.waitForExit(timeout: .patience) == .exited(0))
    }.value
  }

  @Test func `a child killed inside a message leaves it truncated`() async throws {
    let child = try await shell(#"printf '\005he' >&3; kill -9 $$"#)
    let error = await #expect(throws: EndpointError.self) { try await child.channel.receive() }
    #expect(error?.reason == .truncated)
    #expect(error?.partialBytes == [5] + Array("he".utf8))
    #expect(try await child.exitStatus == .signalled(.kill))
  }

  @Test func `a child that dies between messages ends the stream at once`() async throws {
    let child = try await shell("exit 3")
    #expect(try await child.channel.next() == nil)
    #expect(try await child.exitStatus == .exited(3))
  }

  // MARK: What the child begins with

  @Test(arguments: ["", "x=y=z", "ünïcödé"])
  func `variables are inherited, added, removed and replaced`(_ value: String) async throws {
    let script = #"printf '%s|%s|%s' "$SW_TEST" "${HOME+home}" "$SOCKETWRAPPER_FD" >&3"#
    let added = try await shell(script, environment: .inheriting(adding: ["SW_TEST": value, "HOME": "/"]))
    #expect(try await output(of: added) == "\(value)|home|3")
    let removed = try await shell(
      script, environment: .inheriting(adding: ["SW_TEST": value], removing: ["HOME"]))
    #expect(try await output(of: removed) == "\(value)||3")
    let only = try await shell(script, environment: .only(["SW_TEST": value]))
    #expect(try await output(of: only) == "\(value)||3")
  }

  @Test func `a child with standard streams is not told a descriptor`() async throws {
    let child = try await ChildProcess.spawn(
      "bash", arguments: ["-c", #"printf '%s' "${SOCKETWRAPPER_FD-none}""#],
      environment: .inheriting(adding: ["SOCKETWRAPPER_FD": "3"]), channel: .standardStreams, framing: .varInt
    )
    #expect(try await output(of: child) == "none")
  }

  @Test func `the child starts in its working directory`() async throws {
    #expect(try await output(of: shell("pwd >&3", workingDirectory: "/proc")) == "/proc\n")
  }

  @Test func `the program sees its path as argument 0 and the others behind it`() async throws {
    let child = try await ChildProcess.spawn(
      "bash", arguments: ["-c", #"printf '%s|' "$0" "$@" >&3"#, "a b", "", "c\"'"], framing: .varInt)
    #expect(try await output(of: child) == "a b||c\"'|")
    let name = try await ChildProcess.spawn(
      "cat", arguments: ["/proc/self/cmdline"], channel: .standardStreams, framing: .varInt)
    #expect(try await output(of: name) == "cat\0/proc/self/cmdline\0")
  }

  @Test(arguments: [3, 5, 10])
  func `nothing leaks into the child, whatever flags were forgotten`(_ number: Int32) async throws {
    // Not close-on-exec: below the channel's number, around it, and far above.
    var open: [FileDescriptor] = []
    for _ in 0..<10 { open.append(try FileDescriptor.open(FilePath("/dev/null"), .readWrite)) }
    open.append(try duplicate(open[0], atLeast: 700))
    defer { for descriptor in open { try? descriptor.close() } }
    let child = try await shell(
      "exec ls /proc/self/fd >&\(number)", channel: .descriptor(number))
    // The lowest free number is that of the directory which `ls` reads.
    let expected = Set([0, 1, 2, number, number == 3 ? 4 : 3]).sorted()
    #expect(try await output(of: child).split(separator: "\n").compactMap { Int32($0) }.sorted() == expected)

    let streams = try await ChildProcess.spawn(
      "ls", arguments: ["/proc/self/fd"], channel: .standardStreams, framing: .varInt)
    #expect(try await output(of: streams) == "0\n1\n2\n3\n")
  }

  @Test func `the child begins with default dispositions and an empty mask, and ours stay as they are`() async
  {
    await #expect(processExitsWith: .success) {
      signal(SIGPIPE, SIG_IGN)
      signal(SIGUSR1, SIG_IGN)
      // The last one of all.
      signal(64, SIG_IGN)
      // A mask belongs to its thread, and no other code changes this one here.
      let (before, after) = try await TestThread {
        let before = try signalState("/proc/thread-self/status")
        let child = try Command("true").blocking.spawn(framing: .varInt)
        _ = try child.blocking.waitForExit()
        return (before, try signalState("/proc/thread-self/status"))
      }.value
      #expect(before.count == 3 && after == before)
      let child = try await ChildProcess.spawn(
        "cat", arguments: ["/proc/self/status"], channel: .standardStreams, framing: .varInt)
      let lines = try await output(of: child).split(separator: "\n").filter {
        ["SigBlk", "SigIgn"].contains($0.prefix(6))
      }
      #expect(lines.count == 2)
      // The two numbers that the C library keeps for itself are not ours to judge.
      for line in lines {
        let mask = line.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) }
        #expect(mask.map { $0 & ~(3 << 31) } == 0, "\(line)")
      }
      #expect(try await child.exitStatus.isSuccess)
    }
  }

  @Test func `a parent without standard streams has children all the same`() async {
    await #expect(processExitsWith: .success) {
      for number in 0...2 as ClosedRange<Int32> { close(number) }
      for channel in [ChildChannel.descriptor(3), .descriptor(7), .standardStreams] {
        var script = "exec cat"
        if case .descriptor(let number) = channel { script = "exec cat <&\(number) >&\(number)" }
        let child = try await ChildProcess.spawn(
          "bash", arguments: ["-c", script], channel: channel, framing: .varInt)
        // A `print` from now on must not go into the channel.
        #expect(try child.channel.withDescriptor { $0.rawValue } > 2)
        try await child.channel.send("hello")
        #expect(try await child.channel.receive() == Array("hello".utf8))
        child.channel.finishSending()
        #expect(try await child.exitStatus == .exited(0))
      }
    }
  }

  // MARK: Waiting

  @Test(arguments: [0, 1, 42, 255])
  func `the exit code is known, again and again`(_ code: Int32) async throws {
    let child = try await shell("exit \(code)")
    #expect(try await child.exitStatus == .exited(code))
    #expect(try await child.waitForExit(timeout: .zero) == .exited(code))
    #expect(try await TestThread { try child.blocking.waitForExit(timeout: .zero) }.value == .exited(code))
    #expect(TerminationStatus.exited(code).isSuccess == (code == 0))
  }

  @Test(arguments: [ProcessSignal.terminate, .kill, .hangUp, .abort, 10])
  func `the signal that ended it is known`(_ signal: ProcessSignal) async throws {
    let child = try await ChildProcess.spawn("cat", channel: .standardStreams, framing: .varInt)
    try child.signal(signal)
    #expect(try await child.exitStatus == .signalled(signal))
  }

  @Test func `signalling a child that has ended does nothing`() async throws {
    let child = try await shell("exit 0")
    #expect(try await child.channel.next() == nil)
    try child.terminate()  // running out, a zombie, …
    _ = try? await child.exitStatus
    try child.kill()  // … and reaped
  }

  @Test func `a signal that does not exist is an error`() async throws {
    let child = try await ChildProcess.spawn("cat", channel: .standardStreams, framing: .varInt)
    let error = #expect(throws: EndpointError.self) { try child.signal(1000) }
    #expect(error?.reason == .transport(TransportError(.signal, .invalidArgument)))
  }

  @Test func `threads and tasks wait for one exit at once`() async throws {
    let child = try await ChildProcess.spawn("cat", channel: .standardStreams, framing: .varInt)
    let threads = (0..<20).map { _ in TestThread { try child.blocking.waitForExit() } }
    try await withThrowingTaskGroup(of: TerminationStatus.self) { group in
      for _ in 0..<50 { group.addTask { try await child.exitStatus } }
      #expect(await timesOut { try await child.waitForExit(timeout: .milliseconds(1)) })
      child.channel.finishSending()
      for try await status in group { #expect(status == .exited(0)) }
    }
    for thread in threads { #expect(try await thread.value == .exited(0)) }
  }

  @Test func `a waiter that gives up leaves the child and the other waiters as they are`() async throws {
    let child = try await ChildProcess.spawn("cat", channel: .standardStreams, framing: .varInt)
    let patient = Task { try await child.exitStatus }
    let cancelled = Task { try await child.exitStatus }
    cancelled.cancel()
    let error = await #expect(throws: EndpointError.self) { try await cancelled.value }
    #expect(error?.reason == .cancelled)
    #expect(await timesOut { try await child.waitForExit(timeout: .zero) })
    #expect(await timesOut { try await child.waitForExit(timeout: .milliseconds(5)) })
    #expect(
      await timesOut {
        try await TestThread { try child.blocking.waitForExit(timeout: .milliseconds(5)) }.value
      })
    try await child.channel.send("alive")
    #expect(try await child.channel.receive() == Array("alive".utf8))
    try child.terminate()
    #expect(try await patient.value == .signalled(.terminate))
  }

  @Test func `a program that ignores SIGCHLD is told that the status is lost`() async {
    await #expect(processExitsWith: .success) {
      signal(SIGCHLD, SIG_IGN)
      for script in ["exit 0", "cat <&3"] {
        let child = try await ChildProcess.spawn("bash", arguments: ["-c", script], framing: .varInt)
        child.channel.finishSending()
        let error = await #expect(throws: EndpointError.self) { try await child.exitStatus }
        #expect(error?.reason == .transport(TransportError(.exitStatus, .noChildProcess)))
        try child.kill()
      }
    }
  }

  // MARK: Failing, and leaving nothing behind

  @Test(arguments: [
    ("/nowhere/at/all", Errno.noSuchFileOrDirectory), ("no-such-program-in-path", .noSuchFileOrDirectory),
    ("/etc/passwd", .permissionDenied), ("/", .permissionDenied), ("a\0b", .invalidArgument),
    ("", .noSuchFileOrDirectory),
  ])
  func `what cannot be run is an error of the spawn`(_ path: String, _ errno: Errno) async {
    for channel in [ChildChannel.descriptor(3), .standardStreams] {
      let error = await #expect(throws: EndpointError.self) {
        try await ChildProcess.spawn(path, channel: channel, framing: .varInt)
      }
      #expect(error?.reason == .transport(TransportError(.spawn, errno)))
    }
  }

  @Test func `a missing working directory and a number out of range are errors of the spawn`() async {
    let directory = await #expect(throws: EndpointError.self) {
      try await ChildProcess.spawn("cat", workingDirectory: "/nowhere", framing: .varInt)
    }
    #expect(directory?.reason == .transport(TransportError(.spawn, .noSuchFileOrDirectory)))
    #expect(directory?.explanation.contains("working directory \"/nowhere\"") ?? false)
    for number in [1 << 30, Int32.max] {
      let error = await #expect(throws: EndpointError.self) {
        try await ChildProcess.spawn("cat", channel: .descriptor(number), framing: .varInt)
      }
      guard case .transport(let failure) = error?.reason else {
        Issue.record("\(String(describing: error))")
        continue
      }
      #expect(failure.operation == .spawn)
    }
  }

  @Test func `a task that was cancelled before spawns nothing`() async {
    let task = Task {
      unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
      return try await ChildProcess.spawn("cat", framing: .varInt)
    }
    let error = await #expect(throws: EndpointError.self) { try await task.value }
    #expect(error?.reason == .cancelled)
  }

  @Test func `200 children and 200 failures in a row leave nothing`() async {
    await #expect(processExitsWith: .success) {
      func round(_ index: Int) async throws {
        let channel: ChildChannel = index.isMultiple(of: 2) ? .descriptor(3) : .standardStreams
        let child = try await ChildProcess.spawn("true", channel: channel, framing: .varInt)
        #expect(try await child.channel.next() == nil)
        #expect(try await child.exitStatus == .exited(0))
        await #expect(throws: EndpointError.self) {
          try await ChildProcess.spawn("/nowhere", channel: channel, framing: .varInt)
        }
      }
      let before = numbersInUse().count
      for index in 0..<200 { try await round(index) }
      // The reactor and the runtime may have taken a few for themselves, once.
      await eventually { pidfds().isEmpty }
      await eventually { numbersInUse().count - before < 10 }
      #expect(hasNoChildren())
    }
  }

  @Test func `200 children at once, from tasks and threads`() async {
    await #expect(processExitsWith: .success) {
      try await withThrowingTaskGroup(of: TerminationStatus.self) { group in
        for index in 0..<100 {
          group.addTask {
            let child = try await ChildProcess.spawn("cat", channel: .standardStreams, framing: .varInt)
            try await child.channel.send("\(index)")
            #expect(try await child.channel.receive() == Array("\(index)".utf8))
            child.channel.finishSending()
            return try await child.exitStatus
          }
        }
        let threads = (0..<4).map { _ in
          TestThread {
            for _ in 0..<25 {
              let child = try Command("true").blocking.spawn(framing: .varInt)
              #expect(try child.channel.blocking.next() == nil)
              #expect(try child.blocking.waitForExit().isSuccess)
            }
          }
        }
        for try await status in group { #expect(status.isSuccess) }
        for thread in threads { try await thread.value }
      }
      #expect(hasNoChildren())
    }
  }

  @Test func `a child that is dropped lives on, and leaves no zombie when it ends`() async {
    await #expect(processExitsWith: .success) {
      func drop() async throws -> (MessageDuplex<VarIntFraming>, Int32) {
        let child = try await ChildProcess.spawn("cat", channel: .standardStreams, framing: .varInt)
        return (child.channel, child.processID)
      }
      let (channel, pid) = try await drop()
      try await channel.send("alive")
      #expect(try await channel.receive() == Array("alive".utf8))
      #expect(kill(pid, 0) == 0)
      #expect(pidfds().count == 1)
      channel.close()
      await eventually { hasNoChildren() }
      await eventually { pidfds().isEmpty }
      // A child that ended before it was dropped, without a call for its status.
      func dropEnded() async throws {
        let child = try await ChildProcess.spawn("true", framing: .varInt)
        #expect(try await child.channel.next() == nil)
      }
      try await dropEnded()
      await eventually { hasNoChildren() }
    }
  }

  // MARK: The child's side

  @Test func `an inherited channel is taken once and not handed on`() async {
    await #expect(processExitsWith: .success) {
      let (near, far) = try makeSocketPair(framing: .varInt)
      let number = try far.detach().release().descriptor.rawValue
      _ = swsys_set_close_on_exec(number, false)
      unsafe setenv("SW_TEST_FD", "\(number)", 1)
      unsafe setenv("SW_TEST_JUNK", "three", 1)
      unsafe setenv("SW_TEST_CLOSED", "900", 1)

      let parent = try MessageDuplex(inheritedFrom: "SW_TEST_FD", framing: .varInt)
      #expect(!parent.isInheritable)
      try await near.send("hello")
      #expect(try await parent.receive() == Array("hello".utf8))

      func refusal(_ variable: String) -> EndpointError.Reason? {
        do {
          _ = try MessageDuplex(inheritedFrom: variable, framing: .varInt)
          return nil
        } catch {
          return error.reason
        }
      }
      #expect(refusal("SW_TEST_FD") == .busy)
      #expect(refusal("SW_TEST_NONE") == .transport(TransportError(.adopt, .noSuchFileOrDirectory)))
      #expect(refusal("SW_TEST_JUNK") == .transport(TransportError(.adopt, .invalidArgument)))
      #expect(refusal("SW_TEST_CLOSED") == .transport(TransportError(.adopt, .badFileDescriptor)))
    }
  }
}

// MARK: - Helpers

private func shell(
  _ script: String, environment: ChildEnvironment = .inherited, workingDirectory: FilePath? = nil,
  channel: ChildChannel = .descriptor(3)
) async throws -> ChildProcess<VarIntFraming> {
  limitLife(
    of: try await ChildProcess.spawn(
      "bash", arguments: ["-c", script], environment: environment, workingDirectory: workingDirectory,
      channel: channel, framing: .varInt),
    named: script)
}

/// All that the child writes, without framing.
private func output(of child: ChildProcess<VarIntFraming>) async throws -> String {
  let raw = SocketDuplex(core: child.channel.core)
  var bytes: [UInt8] = []
  while true {
    do throws(EndpointError) {
      bytes += try await raw.receive(timeout: .patience)
    } catch {
      guard error.reason == .endOfStream else { throw error }
      return String(decoding: bytes, as: UTF8.self)
    }
  }
}

private func timesOut(_ body: () async throws -> TerminationStatus) async -> Bool {
  do {
    _ = try await body()
    return false
  } catch {
    return (error as? EndpointError)?.reason == .timedOut
  }
}

private func duplicate(_ descriptor: FileDescriptor, atLeast number: Int32) throws -> FileDescriptor {
  let copy = swsys_duplicate(descriptor.rawValue, number)
  _ = swsys_set_close_on_exec(copy, false)
  return FileDescriptor(rawValue: copy)
}

private func numbersInUse() -> [Int32] {
  (0..<1024).filter { swsys_get_close_on_exec($0) >= 0 }
}

func pidfds() -> [Int32] {
  numbersInUse().filter { number in
    var name = [CChar](repeating: 0, count: 64)
    let count = unsafe readlink("/proc/self/fd/\(number)", &name, name.count)
    return String(decoding: name.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
      .contains("pidfd")
  }
}

/// Whether this process has neither a running child nor a zombie.
func hasNoChildren() -> Bool {
  var info = unsafe siginfo_t()
  return unsafe waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD
}

/// The lines on signals in a status file of the kernel.
private func signalState(_ path: String) throws -> [Substring] {
  let file = try FileDescriptor.open(FilePath(path), .readOnly)
  defer { try? file.close() }
  var bytes = [UInt8](repeating: 0, count: 8192)
  let count = unsafe try bytes.withUnsafeMutableBytes { unsafe try file.read(into: $0) }
  return String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: "\n").filter {
    ["SigBlk", "SigIgn", "SigCgt"].contains($0.prefix(6))
  }
}
