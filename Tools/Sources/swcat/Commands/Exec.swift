internal import ArgumentParser
internal import SWMessaging
internal import SystemPackage

#if canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// `swcat exec`: a child process with a channel.
struct Exec: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Start a program with a channel: lines of standard input are sent to it, its messages are printed.",
    discussion: """
      The channel is the program's standard input and output. With --fd it is a socket of that number, which the \
      environment variable SOCKETWRAPPER_FD tells, and the program's standard output is swcat's standard error.

      The end of standard input half-closes, and what the program still sends is printed, until it ends. --linger limits \
      that: then it gets SIGTERM, and SIGKILL two seconds later. A program that fails is exit status 2.

      Examples:
        printf 'b\\na\\n' | swcat exec --framing lines -- sort
        swcat exec --framing content-length --input json --output json -- clangd <requests
        swcat exec --framing varint --fd 3 -- python3 worker.py
      """)

  @OptionGroup var options: FramingOptions

  @Option(help: ArgumentHelp("The channel's number in the program, from 3 on.", valueName: "N"))
  var fd: Int32?

  @Argument(
    parsing: .postTerminator,
    help: ArgumentHelp("The program and its arguments, behind --.", valueName: "CMD"))
  var command: [String]

  @OptionGroup var lines: InputOption
  @OptionGroup var output: OutputOptions

  @Option(
    help: ArgumentHelp("How long to wait for the next message, in either direction.", valueName: "S"),
    transform: Seconds.read)
  var timeout: Duration?

  @OptionGroup var ending: LingerOption
  @OptionGroup var reports: ReportOptions

  func validate() throws {
    if command.isEmpty { throw ValidationError("expected a program behind --") }
    // So many descriptors may a process have open.
    let limit = sysconf(Int32(_SC_OPEN_MAX))
    if let fd, fd < 3 || fd >= limit {
      throw ValidationError("--fd: expected a number from 3 to \(limit - 1); found \(fd)")
    }
  }

  func run() async throws {
    var settings = try reports.settings(options.limit)
    settings.activity = timeout.map { Activity(limit: $0) }
    let screen = try Screen(output, options.framing)
    var program = Command(command[0], arguments: Array(command.dropFirst()))
    if fd != nil { program.standardOutput = .descriptor(.standardError) }
    let child: ChildProcess<WireFraming>
    do throws(EndpointError) {
      child = try await program.spawn(
        channel: fd.map { .descriptor($0) } ?? .standardStreams, framing: settings.framing(options.framing),
        maximumFrameSize: settings.maximumFrameSize)
    } catch {
      throw Failure(error, at: command[0])
    }
    settings.report.note("started \(command[0]), process \(child.processID)")
    Stop.shared.patience = .seconds(4)
    Stop.shared.whenAsked {
      Task {
        try await child.end(in: [.finishInput(within: .seconds(1)), .signal(.terminate, within: .seconds(2))])
      }
    }
    let peer = Peer(child.channel, named: command[0], options.framing, settings)
    do {
      try await Conversation(
        sender: LineSender(peer: peer, format: lines.input), screen: screen, linger: ending.linger
      ).run()
    } catch {
      _ = try? await child.end(in: [
        .finishInput(within: .seconds(1)), .signal(.terminate, within: .seconds(2)),
      ])
      throw error
    }
    try await end(child)
  }

  /// Ends the child, which has no more to send, or no more time.
  private func end(_ child: ChildProcess<WireFraming>) async throws {
    child.channel.finishSending()
    let status: TerminationStatus
    do throws(EndpointError) {
      status = try await child.waitForExit(timeout: ending.linger)
    } catch {
      if case .timedOut = error.reason {
        _ = try? await child.end(in: [.signal(.terminate, within: .seconds(2))])
        return
      }
      throw Failure(error, at: command[0])
    }
    if !status.isSuccess, Stop.shared.signal == nil, !isInterruption(status) {
      throw Failure(.connection, "\(command[0]): \(status)")
    }
  }

  /// Whether the user has ended the child from the terminal. The terminal sends the signal to this process, too, but the end of
  /// the child may be seen first.
  private func isInterruption(_ status: TerminationStatus) -> Bool {
    guard case .signalled(let signal) = status, signal == .interrupt || signal == .hangUp else {
      return false
    }
    return (0...2).contains { isatty($0) == 1 }
  }
}
