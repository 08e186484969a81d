import CSysShim
import CSysTestSupport
import SWFraming
import SWTesting
import Synchronization
import SystemPackage
import Testing

@testable import SWMessaging

#if canImport(Glibc)
  import Glibc
#endif

/// The end of a child: in steps, with its group, and with a scope.
@Suite struct ChildProcessEndTests {
  /// Ends when its input does, by SIGTERM, or by neither. Says when it has set itself up.
  private static func program(_ kind: String) -> Command {
    switch kind {
    case "polite": Command("bash", arguments: ["-c", "echo; cat > /dev/null"])
    case "deaf": Command("bash", arguments: ["-c", "echo; exec sleep 600"])
    default: Command("bash", arguments: ["-c", "trap '' TERM; echo; exec sleep 600"])
    }
  }

  private func spawn(_ kind: String, group: Command.Group = .inherited) async throws -> ChildProcess<
    LineFraming
  > {
    var command = Self.program(kind)
    command.group = group
    let child = try await command.spawn(channel: .standardStreams, framing: .lines)
    #expect(try await child.channel.receive() == [])
    return child
  }

  private static let long: [EndStep] = [
    .finishInput(within: .patience), .signal(.terminate, within: .patience),
  ]
  private static let short: [EndStep] = [
    .finishInput(within: .milliseconds(1)), .signal(.terminate, within: .milliseconds(1)),
  ]

  // MARK: Steps

  @Test func `each step is taken until the child has ended, and SIGKILL is the last`() async throws {
    #expect(try await spawn("polite").end(in: Self.long) == .exited(0))
    #expect(try await spawn("deaf", group: .new).end(in: Array(Self.long[1...])) == .signalled(.terminate))
    #expect(try await spawn("stubborn", group: .new).end(in: Self.short) == .signalled(.kill))
    #expect(try await spawn("polite").end(in: []) == .signalled(.kill))
    let ended = try await spawn("polite")
    ended.channel.finishSending()
    #expect(try await ended.exitStatus == .exited(0))
    #expect(try await ended.end() == .exited(0))
    #expect(try await ended.end(in: []) == .exited(0))
  }

  @Test func `the end blocks, too`() async throws {
    let children = (try await spawn("polite"), try await spawn("stubborn", group: .newSession))
    let statuses = try await TestThread {
      [
        try children.0.blocking.end(in: Self.long), try children.1.blocking.end(in: Self.short),
        try children.1.blocking.end(),
      ]
    }.value
    #expect(statuses == [.exited(0), .signalled(.kill), .signalled(.kill)])
  }

  @Test func `an end that a cancelled task has begun goes on`() async throws {
    let child = try await spawn("stubborn", group: .new)
    let task = Task {
      unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
      return try await child.end(in: Self.short)
    }
    #expect(try await task.value == .signalled(.kill))
  }

  // MARK: Groups

  /// Once with the kernel's signals for groups, and once as before Linux 6.9.
  @Test(arguments: [true, false])
  func `a group is ended with its leader, also when that has ended before`(_ isNew: Bool) async {
    await #expect(processExitsWith: .success) { [isNew] in
      if !isNew { PidfdSupport.groupsOverride.withLock { $0 = false } }
      for script in [
        "trap '' TERM; sleep 600 & echo $!; wait", "sleep 600 & echo $!; exit 3",
        "(trap '' TERM; echo $BASHPID; while :; do sleep 600; done) & wait",
      ] {
        var command = Command("bash", arguments: ["-c", script])
        command.group = .new
        let child = try await command.spawn(channel: .standardStreams, framing: .lines)
        let text = String(decoding: try await child.channel.receive(), as: UTF8.self)
        let descendant = try #require(Int32(text))
        let pidfd = swsys_pidfd_open(descendant)
        #expect(pidfd >= 0)
        if script.hasSuffix("exit 3") { #expect(try await child.exitStatus == .exited(3)) }
        try await child.end(in: [.signal(.terminate, within: .milliseconds(1))])
        #expect(
          await comesTrue { FileDescriptor(rawValue: pidfd).isReady(for: .readable) }, "it lives: \(script)")
        close(pidfd)
      }
    }
  }

  @Test func `the group of a child that was given none is not signalled`() async throws {
    let child = try await spawn("polite")
    let error = await endpointError { try child.signal(.kill, to: .group) }
    #expect(error?.reason == .transport(TransportError(.signal, .invalidArgument)))
    #expect(try await child.end(in: Self.long, of: .process) == .exited(0))
  }

  @Test func `before Linux 6.9 the leader stays a zombie while the group may be signalled, and no longer`()
    async
  {
    await #expect(processExitsWith: .success) {
      PidfdSupport.groupsOverride.withLock { $0 = false }
      func check() async throws -> Int32 {
        var command = Command("true")
        command.group = .new
        let child = try await command.spawn()
        for _ in 0..<3 { #expect(try await child.exitStatus == .exited(0)) }
        try child.signal(.terminate, to: .group)
        #expect(kill(child.processID, 0) == 0)
        return child.processID
      }
      let pid = try await check()
      await eventually { kill(pid, 0) != 0 }
    }
  }

  // MARK: Scopes

  private struct Oops: Error {}

  @Test func `a scope ends its child when it returns, and when it throws`() async throws {
    let value = try await withChildProcess(
      Self.program("polite"), channel: .standardStreams, framing: .lines, ending: Self.long
    ) { child in
      let greeting = try await child.channel.receive()
      #expect(greeting == [])
      return child
    }
    #expect(try await value.waitForExit(timeout: .zero) == .exited(0))

    let kept = Guarded<SpawnedProcess?>(nil)
    await #expect(throws: Oops.self) {
      var command = Self.program("stubborn")
      command.group = .new
      command.standardOutput = .endpoint
      try await withChildProcess(command, ending: Self.short) { child in
        kept.withLock { $0 = child }
        _ = try await child.standardOutput?.receive()
        throw Oops()
      }
    }
    let child = try #require(kept.withLock { $0 })
    #expect(try await child.waitForExit(timeout: .zero) == .signalled(.kill))

    let error = await endpointError {
      try await withChildProcess(Command("/nowhere")) { _ in
        _ = Issue.record("there is no child")
      }
    }
    #expect(error?.reason == .transport(TransportError(.spawn, .noSuchFileOrDirectory)))
  }

  @Test func `a scope may end its child itself`() async throws {
    let status = try await withChildProcess(Command("cat")) { try await $0.exitStatus }
    #expect(status == .exited(0))
    let killed = try await withChildProcess(Self.program("deaf"), channel: .standardStreams, framing: .lines)
    {
      child in
      try child.kill()
      return try await child.exitStatus
    }
    #expect(killed == .signalled(.kill))
  }

  @Test func `cancelling the task ends the child, though the body waits for something that is not cancelled`()
    async throws
  {
    let started = Gate()
    let task = Task {
      try await withChildProcess(
        Self.program("polite"), channel: .standardStreams, framing: .lines, ending: Self.long
      ) { child in
        let greeting = try await child.channel.receive()
        #expect(greeting == [])
        started.open()
        // As a body that cares for no cancellation.
        let status = await Task { try? await child.exitStatus }.value
        #expect(Task.isCancelled)
        return status
      }
    }
    await started.wait()
    task.cancel()
    #expect(try await task.value == .exited(0))
  }

  @Test func `a scope that is cancelled before begins nothing`() async {
    let task = Task {
      unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
      try await withChildProcess(Command("true")) { _ in
        _ = Issue.record("there is no child")
      }
    }
    let error = await endpointError { try await task.value }
    #expect(error?.reason == .cancelled)
  }

  // MARK: At random moments

  @Test func `kills and cancellations at random moments leave no zombie, descriptor, or thread`() async {
    await #expect(processExitsWith: .success) {
      var random = SeededGenerator(seed: 7)
      func round(_ random: inout SeededGenerator) async throws {
        let (moment, kind) = (Int.random(in: 0..<500, using: &random), Int.random(in: 0..<5, using: &random))
        func spin() {
          // By the clock: on a busy machine each yield takes as long as a time slice.
          let end = Deadline.after(.microseconds(moment))
          while !end.hasPassed { sched_yield() }
        }
        switch kind {
        case 0:
          let child = try await ChildProcess.spawn("cat", channel: .standardStreams, framing: .varInt)
          let waiting = Task { try await child.exitStatus }
          spin()
          try child.kill()
          let status = try await waiting.value
          #expect(status == .signalled(.kill))
        case 1:
          let task = Task {
            try await ChildProcess.spawn("cat", channel: .standardStreams, framing: .varInt).exitStatus
          }
          spin()
          task.cancel()
          _ = await task.result
        case 2:
          let task = Task {
            try await withChildProcess(Command("sleep", arguments: ["600"]), ending: []) {
              try await $0.exitStatus
            }
          }
          spin()
          task.cancel()
          _ = await task.result
        case 3:
          let task = Task {
            try await Command("cat").run(input: [UInt8](repeating: 7, count: 300_000), ending: [])
          }
          spin()
          task.cancel()
          _ = await task.result
        default:
          let child = try await Command("sleep", arguments: ["600"]).spawn()
          let pid = child.processID
          let dropping = Task { withExtendedLifetime(child) {} }
          spin()
          try child.kill()
          await dropping.value
          #expect(pid > 0)
        }
      }
      for _ in 0..<5 { try await round(&random) }
      await eventually { hasNoChildren() && pidfds().isEmpty }
      let before = (descriptors: openDescriptors().count, threads: swsys_thread_count())
      for _ in 0..<stressed(200) { try await round(&random) }
      await eventually { hasNoChildren() && pidfds().isEmpty }
      // The runtime opens and closes a few of its own.
      #expect(await comesTrue { openDescriptors().count <= before.descriptors + 4 })
      #expect(await comesTrue { swsys_thread_count() <= before.threads + 4 })
    }
  }
}
