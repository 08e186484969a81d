import Foundation
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Standard streams in all their forms: line 12 of the contract, and line 8 as the parent sees it.
@Suite(.lastResort, .leavesNothing) struct StandardStreamTests {
  enum Colour: String, CaseIterable, Sendable { case blocking, async }

  // MARK: Line 12: what a shell makes of them

  private struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var script: String
    /// The output for the text that goes in.
    var output: @Sendable (_ text: String) -> String = { $0.uppercased() }
  }

  /// `$probe` is the filter, `$text` a file, `$out` one that there is not yet.
  private static let cases = [
    Case(testDescription: "cat file | prog", script: "cat $text | $probe"),
    Case(testDescription: "prog < file", script: "$probe < $text"),
    Case(testDescription: "prog < file | cat", script: "$probe < $text | cat"),
    Case(testDescription: "cat file | prog | prog", script: "cat $text | $probe | $probe"),
    Case(testDescription: "prog > file", script: "cat $text | $probe > $out && cat $out"),
    Case(
      testDescription: "prog >> file",
      script: "echo before > $out && cat $text | $probe >> $out && cat $out",
      output: { "before\n" + $0.uppercased() }),
    Case(testDescription: "prog <> file 1<> file", script: "$probe <> $text 1<> $out && cat $out"),
    Case(testDescription: "prog > /dev/null", script: "$probe < $text > /dev/null", output: { _ in "" }),
    Case(testDescription: "prog < /dev/null", script: "$probe < /dev/null", output: { _ in "" }),
    Case(
      testDescription: "prog | head -1", script: "$probe < $text | head -1; test ${PIPESTATUS[0]} = 3",
      output: { $0.split(separator: "\n")[0].uppercased() + "\n" }),
    Case(
      testDescription: "prog < fifo > fifo",
      script:
        "mkfifo $out.in $out.out; $probe < $out.in > $out.out & job=$!; cat $text > $out.in & cat $out.out; wait $job"
    ),

    Case(
      testDescription: "two share one input",
      script: "{ IFS= read -r line; echo \"$line\"; cat | $probe; } < $text",
      output: { text in
        let lines = text.split(separator: "\n", maxSplits: 1)
        return lines[0] + "\n" + lines[1].uppercased()
      }),
    Case(
      testDescription: "prog <&-", script: "$probe <&- 2>/dev/null; test $? = 4", output: { _ in "" }),
    Case(
      testDescription: "prog >&-", script: "$probe < $text >&- 2>/dev/null; test $? = 4",
      output: { _ in "" }),
  ]

  @Test(arguments: cases, Colour.allCases)
  private func `line 12: in and out of a shell's redirections and pipelines`(
    _ it: Case, _ colour: Colour
  ) throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "streams-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: directory) }
    // More than all the pipes hold.
    let text = (0..<400).map { String(decoding: line($0), as: UTF8.self) + "\n" }.joined()
    let file = directory.appending(path: "text")
    try text.write(to: file, atomically: false, encoding: .utf8)
    let answer = try run(
      "/bin/bash", ["-c", it.script],
      environment: [
        "probe": "\(try probePath()) capitals \(colour.rawValue)", "text": file.path,
        "out": directory.appending(path: "out").path,
      ])
    #expect(answer.status == 0)
    #expect(answer.output == it.output(text))
  }

  // MARK: Line 8: what the parent sees

  /// How the child's life ends.
  enum Ending: String, CaseIterable, Sendable { case exits, isKilled }

  /// Properties that a parent may share with a child, and find changed.
  private struct View: Equatable {
    var flags: [String]
    var terminals: [String]

    init(_ numbers: [Int32]) throws {
      flags = try numbers.map(descriptionFlags)
      terminals = numbers.map(PseudoTerminal.settings)
    }
  }

  /// The signals that a process ignores and catches, and that its first thread blocks. Of an asynchronous `main`
  /// that thread is Dispatch's, which parks it with everything blocked. Nor are 32 and 33 anybody's but the C
  /// library's, which handles them as soon as there are threads.
  private func signals(of process: Process, _ colour: Colour) throws -> [String: UInt64] {
    let status = try String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
    var signals: [String: UInt64] = [:]
    for line in status.split(separator: "\n") {
      let parts = line.split { $0 == ":" || $0.isWhitespace }
      guard parts.count == 2, ["SigIgn", "SigCgt", "SigBlk"].contains(parts[0]),
        parts[0] != "SigBlk" || colour == .blocking
      else { continue }
      signals[String(parts[0])] = try #require(UInt64(parts[1], radix: 16)) & ~(3 << 31)
    }
    return signals
  }

  private static let shared: [StreamKind] = [.pipe, .packetPipe, .fifo, .terminal, .rawTerminal, .unix]

  @Test(arguments: shared, Ending.allCases)
  func `line 8: fault 8: a child leaves no trace on what it shared, however it ends`(
    _ kind: StreamKind, _ ending: Ending
  ) async throws {
    for colour in Colour.allCases { try await share(kind, colour, ending) }
  }

  private func share(_ kind: StreamKind, _ colour: Colour, _ ending: Ending) async throws {
    let input = try Row(kind: kind, branch: .native).descriptors()
    let shared = input.first.release().rawValue
    // A terminal is both, as in a shell; else the output is another of the kind.
    let output = kind.isTerminal ? nil : try Row(kind: kind, branch: .native).descriptors()
    let answers: FileDescriptor
    let sharedOutput: Int32
    let commands = input.second.release()
    if let output {
      sharedOutput = output.second.release().rawValue
      answers = output.first.release()
    } else {
      sharedOutput = shared
      answers = commands
    }
    let channel = try MessageDuplex(reading: answers, writing: commands, framing: .lines)
    let before = try View([shared, sharedOutput])

    let child = process(try probePath(), ["capitals", colour.rawValue, "staged"])
    let errors = Pipe()
    child.standardInput = FileHandle(fileDescriptor: shared, closeOnDealloc: false)
    child.standardOutput = FileHandle(fileDescriptor: sharedOutput, closeOnDealloc: false)
    child.standardError = errors
    try child.run()
    let born = try MessageReader(
      duplicating: FileDescriptor(rawValue: errors.fileHandleForReading.fileDescriptor), framing: .lines)
    #expect(try await born.receive() == Array("born".utf8))
    let signals = try signals(of: child, colour)
    #expect(signals.count == (colour == .blocking ? 3 : 2))

    // A byte lets it begin, and is no line of its own.
    try await channel.send("")
    try await channel.send("hello")
    #expect(try await channel.receive() == Array("HELLO".utf8))
    #expect(try View([shared, sharedOutput]) == before, "in use")
    // Where the kernel knows no RWF_NOSIGNAL for it, a write blocks SIGPIPE until it has returned, and the answer may be
    // here before that.
    let limit = Deadline.after(.patience)
    while try self.signals(of: child, colour) != signals, !limit.hasPassed { await Task.yield() }
    #expect(try self.signals(of: child, colour) == signals, "\(colour), in use")
    switch ending {
    case .exits:
      try await channel.send("quit")
      child.waitUntilExit()
      #expect(child.exitStatus == 0)
    case .isKilled:
      // In the middle of using them: it reads and writes all the time.
      let sending = Task {
        do throws(EndpointError) {
          while true { try await channel.send("and again") }
        } catch {
          #expect(error.reason == .cancelled)
        }
      }
      for _ in 0..<50 { #expect(try await channel.receive() == Array("AND AGAIN".utf8)) }
      kill(child.processIdentifier, SIGKILL)
      child.waitUntilExit()
      #expect(child.exitStatus == -SIGKILL)
      sending.cancel()
      await sending.value
    }
    #expect(try View([shared, sharedOutput]) == before, "afterwards")
    channel.close()
    for number in Set([shared, sharedOutput]) { try FileDescriptor(rawValue: number).close() }
    withExtendedLifetime(errors) {}
  }

  // MARK: One pipe, many writers

  @Test func `line 12: frames of up to PIPE_BUF from ten processes into one pipe are never torn`()
    async throws
  {
    let (raw, writing) = try makePipe()
    let number = try writing.withDescriptor { $0.rawValue }
    let count = 400
    let children = try (0..<10).map { sender in
      let child = process(
        try probePath(), ["frames", "\(sender)", "\(count)", sender % 2 == 0 ? "async" : "blocking"])
      child.standardInput = FileHandle.nullDevice
      child.standardOutput = FileHandle(fileDescriptor: number, closeOnDealloc: false)
      try child.run()
      return child
    }
    writing.close()
    let reader = MessageReader(over: raw)
    var next = [Int](repeating: 0, count: 10)
    while let frame = try await reader.next() {
      let (sender, number) = (Int(frame[0]), Int(frame[1]) << 8 | Int(frame[2]))
      try #require(sender < 10 && number == next[sender])
      next[sender] += 1
      let isWhole = frame[3...].enumerated().allSatisfy { index, byte in
        byte == UInt8(truncatingIfNeeded: index &* (sender + 1) &+ number)
      }
      try #require(isWhole)
      try #require(frame.count == max(3, number % 7 == 0 ? 4_093 : number * 131 % 4_091))
    }
    #expect(next == [Int](repeating: count, count: 10))
    for child in children {
      child.waitUntilExit()
      #expect(child.exitStatus == 0)
    }
  }
}
