import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// The cookbook's passages about child processes.
@Suite(.lastResort, .leavesNothing) struct ChildProcessRecipeTests {
  @Test func `a program that answers while it reads is sent to and received from at once`() async throws {
    let requests = (0..<200).map { "\($0) " + String(repeating: "x", count: 50_000) }
    let child = limitLife(
      of: try await Command("cat").spawn(channel: .standardStreams, framing: .lines), named: "cat")
    // begin SendWhileReceiving
    async let sending: Void = {
      for request in requests { try await child.channel.send(request) }
      child.channel.finishSending()
    }()
    var answers: [[UInt8]] = []
    for try await answer in child.channel.messages { answers.append(answer) }
    try await sending
    // end SendWhileReceiving
    #expect(answers == requests.map { Array($0.utf8) })
    #expect(try await child.exitStatus.isSuccess)
  }

  @Test func `a grandchild that holds the output does not keep the output from ending`() async throws {
    var lines: [String] = []
    var command = Command("sh", arguments: ["-c", "sleep 1000 & echo done"])
    command.group = .new
    // begin GrandchildHoldsOutput
    command.channelGrace = .milliseconds(100)  // the output outlives the child
    let child = try await command.spawn(channel: .standardStreams, framing: .lines)
    for try await line in child.channel.messages {
      lines.append(String(decoding: line, as: UTF8.self))
    }
    // end GrandchildHoldsOutput
    try child.signal(.kill, to: .group)
    #expect(lines == ["done"])
    #expect(try await child.exitStatus.isSuccess)
  }

  @Test func `a whole group of processes is ended`() async throws {
    // Every process of the group holds the writing end: the reading end ends with the last of them.
    let (alive, held) = try makePipe()
    var command = Command("sh", arguments: ["-c", "sleep 1000 & echo started; wait"])
    command.descriptors = [5: try held.withDescriptor { $0 }]
    // begin EndGroup
    command.group = .new  // its descendants belong to the group, too
    let first = try await withChildProcess(
      command, channel: .standardStreams, framing: .lines,
      ending: [.signal(.terminate, within: .seconds(2))]
    ) { child in
      try await child.channel.receive()
    }  // SIGTERM to the group, and SIGKILL to what is left of it
    // end EndGroup
    held.close()
    #expect(text(first) == "started")
    await #expect {
      try await alive.receive(timeout: .patience)
    } throws: { error in
      (error as? EndpointError)?.reason == .endOfStream
    }
  }

  func collect(_ command: Command, until deadline: Deadline) async throws -> String {
    // begin CollectOutput
    do throws(EndpointError) {
      let result = try await command.run(limit: 1000, until: deadline)
      if result.status.isSuccess { return result.outputText }
      return "\(result.status): \(result.errorText)"
    } catch {
      // In each of these cases the program has been ended.
      switch error.reason {
      case .timedOut: return "it took too long"
      case .transport(let failure) where failure.errno == .messageTooLong:
        return "it wrote more than \(error.partialBytes.count) bytes"
      default: throw error
      }
    }
    // end CollectOutput
  }

  @Test func `output is collected, with a limit for its size and its time`() async throws {
    let deadline = Deadline.after(.patience)
    #expect(try await collect(Command("echo", arguments: ["hello"]), until: deadline) == "hello\n")
    let failing = Command("sh", arguments: ["-c", "echo oh >&2; exit 3"])
    #expect(try await collect(failing, until: deadline) == "exited with code 3: oh\n")
    #expect(try await collect(Command("yes"), until: deadline) == "it wrote more than 1000 bytes")
    let slow = Command("sleep", arguments: ["1000"])
    #expect(try await collect(slow, until: .after(.milliseconds(1))) == "it took too long")
  }

  @Test func `what a worker prints does not get between its messages`() async throws {
    let directory = try ScratchDirectory()
    defer { directory.remove() }
    // begin WorkerPrints
    let script = """
      import os
      print("a message for people", flush=True)
      channel = os.fdopen(int(os.environ["SOCKETWRAPPER_FD"]), "r+b", buffering=0)
      channel.write(channel.readline().upper())
      """
    var command = Command("python3", arguments: ["-c", script])
    command.standardOutput = .file(directory("worker.log"), .append)
    let worker = try await command.spawn(channel: .descriptor(3), framing: .lines)
    try await worker.channel.send("question")
    let answer = try await worker.channel.receive()
    // end WorkerPrints
    #expect(text(answer) == "QUESTION")
    #expect(try await worker.exitStatus.isSuccess)
    let log = try await Command("cat", arguments: [directory("worker.log").string]).run()
    #expect(log.outputText == "a message for people\n")
  }
}
