import SWMessaging
import SWTesting
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// Children that are run to their end, and their output.
@Suite struct ChildProcessRunTests {
  /// A way to run, from a task or from a thread.
  enum Way: CaseIterable, Sendable {
    case task, thread

    func run(
      _ command: Command, input: [UInt8]? = nil, limit: Int = Command.defaultOutputLimit,
      timeout: Duration? = nil, ending steps: [EndStep] = []
    ) async throws -> CommandResult {
      switch self {
      case .task: try await command.run(input: input, limit: limit, timeout: timeout, ending: steps)
      case .thread:
        try await TestThread {
          try command.blocking.run(input: input, limit: limit, timeout: timeout, ending: steps)
        }.value
      }
    }
  }

  private func shell(_ script: String) -> Command { Command("bash", arguments: ["-c", script]) }

  @Test(arguments: Way.allCases)
  func `output, error output and status are collected`(_ way: Way) async throws {
    let result = try await way.run(shell("echo out; echo error >&2; exit 3"))
    #expect(result.status == .exited(3))
    #expect(result.outputText == "out\n" && result.errorText == "error\n")
    #expect(try await way.run(shell("kill -9 $$")).status == .signalled(.kill))
    let error = await endpointError { try await way.run(Command("/nowhere")) }
    #expect(error?.reason == .transport(TransportError(.spawn, .noSuchFileOrDirectory)))
  }

  @Test(arguments: Way.allCases)
  func `input is fed while output is collected, whatever their sizes`(_ way: Way) async throws {
    for count in [0, 1, 3_000_000] {
      let bytes = pattern(count)
      #expect(try await way.run(Command("cat"), input: bytes).output == bytes)
      let both = try await way.run(shell("tee /dev/stderr"), input: bytes)
      #expect(both.output == bytes && both.errorOutput == bytes)
    }
  }

  @Test(arguments: Way.allCases)
  func `a child need not read its input`(_ way: Way) async throws {
    #expect(try await way.run(shell("exit 4"), input: pattern(1_000_000)).status == .exited(4))
    #expect(
      try await way.run(shell("head -c 3; exec <&-; exit 5"), input: pattern(1_000_000)).status == .exited(5))
  }

  @Test(arguments: Way.allCases)
  func `an output that exceeds the limit ends the child, and the error has its first bytes`(_ way: Way)
    async throws
  {
    #expect(try await way.run(shell("printf 12345"), limit: 5).outputText == "12345")
    for (script, name) in [("printf 123456; exec sleep 600", "output"), ("exec yes >&2", "error")] {
      let error = await endpointError { try await way.run(shell("exec 5>&-; \(script)"), limit: 5) }
      #expect(error?.reason == .transport(TransportError(.receive, .messageTooLong)))
      #expect(error?.partialBytes.count == 5)
      #expect(error?.explanation == "standard \(name) of bash exceeds 5 bytes")
    }
  }

  @Test(arguments: Way.allCases)
  func `a child that takes too long is ended`(_ way: Way) async throws {
    let error = await endpointError {
      try await way.run(shell("exec sleep 600"), timeout: .milliseconds(50))
    }
    #expect(error?.reason == .timedOut)
    let late = await endpointError { try await way.run(Command("sleep", arguments: ["600"]), timeout: .zero) }
    #expect(late?.reason == .timedOut)
  }

  @Test func `a run that is cancelled ends its child`() async {
    await #expect(processExitsWith: .success) {
      let (reader, writer) = try makePipe()
      let number = try writer.withDescriptor { $0 }
      var command = Command("bash", arguments: ["-c", "echo >&7; exec sleep 600"])
      command.descriptors = [7: number]
      let started = command
      let task = Task { try await started.run(ending: []) }
      _ = try await reader.receive()
      task.cancel()
      let error = await endpointError { try await task.value }
      #expect(error?.reason == .cancelled)
      #expect(hasNoChildren())
    }
  }

  @Test(arguments: Way.allCases)
  func `a descendant that keeps the output open is waited for no longer than the grace`(_ way: Way)
    async throws
  {
    // It ends when the test closes the other end of its input.
    let (reader, writer) = try makePipe()
    var command = shell("echo out; cat <&7 & exit 0")
    command.descriptors = [7: try reader.withDescriptor { $0 }]
    command.channelGrace = .milliseconds(1)
    let result = try await way.run(command)
    #expect(result.status == .exited(0) && result.outputText == "out\n")
    writer.close()
  }

  @Test(arguments: Way.allCases)
  func `what the command sends elsewhere is not collected`(_ way: Way) async throws {
    var command = shell("echo out; echo error >&2")
    command.standardOutput = .null
    #expect(try await way.run(command).output == [])
    #expect(try await way.run(command).errorText == "error\n")
    command.standardOutput = nil
    command.standardError = .standardOutput
    #expect(try await way.run(command).outputText == "out\nerror\n")
    command.standardInput = .null
    let error = await endpointError { try await way.run(command, input: [1]) }
    #expect(error?.reason == .transport(TransportError(.spawn, .invalidArgument)))
    #expect(error?.explanation.contains("standard input") ?? false)
  }
}
