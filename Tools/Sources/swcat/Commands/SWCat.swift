internal import ArgumentParser
internal import SWMessaging

#if canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

@main
enum Program {
  /// The first thread waits for signals. Everything else runs in tasks.
  static func main() {
    _ = StandardStreams.closedAtStart
    Stop.shared.blockSignals()
    Task.detached { end(with: await SWCat.status()) }
    Stop.shared.waitForSignals()
  }

  static func end(with status: ExitStatus) -> Never { exit(status.code) }
}

/// The command line.
struct SWCat: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swcat",
    abstract: "Netcat for messages: any framing over sockets, pipes and child processes.",
    discussion: """
      An ADDRESS is unix:PATH, unix:@NAME, tcp:HOST:PORT, fd:N, fd:R,W or stdio:. Data goes to standard output, \
      everything else to standard error.

      Examples:
        swcat listen unix:/tmp/s --framing varint --echo &
        swcat call unix:/tmp/s --framing varint hello
        printf 'hello\\nworld\\n' | swcat encode --framing u32be >frames
        swcat decode --framing u32be --output json <frames

      Exit status: 0 all messages were handled, or nobody reads the output any more; 1 usage; 2 the peer, the \
      connection, a file or a standard stream failed; 3 the stream broke the framing, or a message was not \
      understood; 4 timed out; 5 it ended inside a frame; 130 and 143 SIGINT and SIGTERM came before everything was \
      handled. Messages before the fault have been handled.
      """,
    subcommands: [
      Encode.self, Decode.self, Send.self, Receive.self, Call.self, Listen.self, Relay.self, Exec.self,
      Connect.self,
    ])

  func run() async throws {
    throw ValidationError(
      "expected a command: encode, decode, send, receive, call, listen, relay, exec or connect")
  }

  /// Runs the command line. A signal cancels the work if it does not end in time. If the work cannot be cancelled, as where it
  /// opens a FIFO that no process writes to, the program ends without it, after the same time again, and a second at least.
  static func status() async -> ExitStatus {
    let work = Task.detached { await result() }
    Stop.shared.whenLate(
      cutOff: { work.cancel() }, end: { Program.end(with: interrupted(complainingWithin: .zero)) })
    return await work.value
  }

  private static func result() async -> ExitStatus {
    do {
      try checkArguments()
      try checkCommand()
      var command = try parseAsRoot()
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      return .success
    } catch is OutputClosed {
      return .success
    } catch let failure as Failure {
      complain(failure.message)
      return failure.status
    } catch is Interrupted {
      return interrupted()
    } catch is CancellationError {
      return interrupted()
    } catch let error as EndpointError {
      let failure = Failure(error, at: "")
      complain(failure.message)
      return failure.status
    } catch {
      return await explain(error)
    }
  }

  /// - Parameter limit: how long to wait for the reader of standard error.
  private static func interrupted(complainingWithin limit: Duration = .seconds(1)) -> ExitStatus {
    guard let signal = Stop.shared.signal else { return .connection }
    complain("ended by \(Stop.name(of: signal)) before everything was handled", within: limit)
    return .interrupted(signal)
  }

  /// Refuses arguments that are no UTF-8: as a `String` each of their bytes that is wrong would be another character.
  private static func checkArguments() throws {
    // The Swift runtime reads them there.
    if CommandLine.argc == 0 {
      throw Failure(.connection, "cannot read the arguments in /proc/self/cmdline: is /proc mounted?")
    }
    for number in 1..<Int(CommandLine.argc) {
      guard let argument = unsafe CommandLine.unsafeArgv[number] else { return }
      if unsafe String(validatingCString: argument) == nil {
        throw Failure(
          .usage,
          "argument \(number): expected UTF-8; any byte can be spelled \\xNN in text, and in the formats hex and base64"
        )
      }
    }
  }

  /// Refuses a command that there is not, before the parser complains of its options.
  private static func checkCommand() throws {
    guard let name = CommandLine.arguments.dropFirst().first, !name.hasPrefix("-") else { return }
    let names = configuration.subcommands.map { $0._commandName }
    if names.contains(name) || name == "help" { return }
    throw ValidationError(
      "unknown command '\(name)': expected one of \(names.joined(separator: ", "))"
        + Nearest.hint(to: name, among: names))
  }

  /// The command that shows the help, as the parser's explanation names it.
  private static func hint(in text: String) -> String {
    let words = text.split(separator: "See '", maxSplits: 1)
    guard words.count == 2, let command = words[1].split(separator: "'").first else { return "" }
    return " (see '\(command)')"
  }

  /// Prints the usage on request, or explains an error in the command line.
  private static func explain(_ error: any Error) async -> ExitStatus {
    let text = fullMessage(for: error)
    guard exitCode(for: error).isSuccess else {
      let lines = message(for: error).split(whereSeparator: \.isNewline)
      complain("\(lines.joined(separator: " "))\(hint(in: text))")
      return .usage
    }
    do {
      try await Output().write(Array("\(text)\n".utf8))
      return .success
    } catch let failure as Failure {
      complain(failure.message)
      return failure.status
    } catch {
      return .success
    }
  }
}
