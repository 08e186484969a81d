internal import ArgumentParser
internal import SWMessaging
internal import SWMultiprocessing
internal import SystemPackage

/// The framing, and its limit.
struct FramingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("How messages lie in the stream: \(FramingChoice.names).", valueName: "F"),
    completion: .list(FramingChoice.completions),
    transform: { name in try FramingChoice(named: name) })
  var framing: FramingChoice

  @OptionGroup var limit: LimitOption
}

/// The largest frame.
struct LimitOption: ParsableArguments {
  @Option(
    name: .customLong("max-frame"),
    help: ArgumentHelp(
      "The largest frame, its header included, in bytes or with k, M or G behind (powers of 1024); 1G unless "
        + "it is given.",
      valueName: "SIZE"),
    transform: { text in
      guard let size = ByteSize.read(text) else {
        throw ValidationError("expected a number of bytes of at least 1, such as 4096, 64k, 16M or 2G")
      }
      return size
    })
  var maximumFrameSize: Int = defaultMaximumFrameSize
}

/// The form of messages on input lines.
struct InputOption: ParsableArguments {
  @Option(help: ArgumentHelp("How a message stands on its line.", valueName: "FMT"))
  var input: MessageFormat = .text
}

/// The form of messages on output lines.
struct OutputOptions: ParsableArguments {
  @Option(help: ArgumentHelp("How a message stands on its line.", valueName: "FMT"))
  var output: MessageFormat = .text

  @Flag(help: "Colour JSON, if standard output is a terminal.")
  var color = false

  @OptionGroup var skip: SkipOption
}

/// The treatment of messages that cannot be decoded.
struct SkipOption: ParsableArguments {
  @Flag(
    help:
      "Go on behind a message that is not understood: it is complained of, and the exit status is 3 in the end."
  )
  var skipUndecodable = false
}

/// The number of messages.
struct CountOption: ParsableArguments {
  @Option(
    help: ArgumentHelp("End after so many messages.", valueName: "N"),
    transform: { text in
      guard text.utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let count = Int(text) else {
        throw ValidationError("expected a number of messages, such as 10")
      }
      return count
    })
  var count: Int?
}

/// The reports about the messages that pass.
struct ReportOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Write every frame that passes to this file, in both directions, and at its end the bytes that broke a stream.",
      valueName: "FILE"),
    completion: .file())
  var tee: String?

  @Flag(help: "Tell sizes, times and the peer's credentials on standard error.")
  var verbose = false

  @Flag(help: "Show a bar for each large message, if standard error is a terminal.")
  var progress = false

  /// The settings for every connection. Call it once in a run: it opens a file.
  func settings(_ limit: LimitOption) throws -> Settings {
    Settings(
      maximumFrameSize: limit.maximumFrameSize, tee: try tee.map { try Tee($0) },
      report: Report(isVerbose: verbose), progress: progress ? Progress() : nil)
  }
}

/// The way to reach a peer, and the time to wait for it.
struct PeerOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The key of Python's Listener and Client: the bytes of the file, without a line feed at its end. For the framings "
        + "pickle and multiprocessing.",
      valueName: "FILE"),
    completion: .file())
  var authkeyFile: String?

  @Option(
    help: ArgumentHelp(
      "How long to wait for the peer: for the connection, for it to take a message, for its next message. Without it, "
        + "there is no limit.",
      valueName: "S"),
    transform: Seconds.read)
  var timeout: Duration?

  /// The settings for every connection. Call it once in a run: it opens files.
  func settings(_ limit: LimitOption, _ reports: ReportOptions) async throws -> Settings {
    var settings = try reports.settings(limit)
    settings.timeout = timeout
    if let authkeyFile { settings.authentication = Authentication(key: try await KeyFile.read(authkeyFile)) }
    return settings
  }

  /// Refuses a key if no framing can use it.
  func validate(for framings: FramingChoice...) throws {
    if authkeyFile != nil, !framings.contains(where: { $0.isOfMultiprocessing }) {
      throw ValidationError("--authkey-file: only the framings pickle and multiprocessing have keys")
    }
  }
}

/// The end of a conversation.
struct LingerOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "How long to wait, once there is nothing more to send, for what the peer still sends and for its end.",
      valueName: "S"),
    transform: Seconds.read)
  var linger: Duration?
}

/// A descriptor that is passed with a message.
struct PassOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Open this file for reading, and pass the descriptor with the first message. Over Unix sockets.",
      valueName: "FILE"),
    completion: .file())
  var pass: String?

  func validate(for address: PeerAddress) throws {
    if pass != nil, case .service(let service) = address, case .tcp = service.kind {
      throw ValidationError("--pass: descriptors go over Unix sockets alone")
    }
  }

  /// The descriptor, which stays open until the program ends.
  func open() throws -> FileDescriptor? {
    guard let pass else { return nil }
    do {
      return try FileDescriptor.open(FilePath(pass), .readOnly, options: .closeOnExec)
    } catch {
      throw Failure(.connection, "--pass \(pass): \(error)")
    }
  }
}

/// A time in seconds on the command line.
enum Seconds {
  static func read(_ text: String) throws -> Duration {
    guard text.utf8.allSatisfy({ 0x30...0x39 ~= $0 || $0 == UInt8(ascii: ".") }), let seconds = Double(text),
      seconds <= 1e9
    else { throw ValidationError("expected a number of seconds, such as 5 or 0.5") }
    return .seconds(seconds)
  }
}

/// The file of a key.
enum KeyFile {
  private static var longest: Int { 65_536 }

  static func read(_ path: String) async throws -> [UInt8] {
    do {
      let file = OwnedDescriptor(
        adopting: try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec))
      let reader = try MessageReader(adopting: file, framing: .untilEnd, maximumFrameSize: longest)
      var key = try await reader.next() ?? []
      if key.last == 0x0a { key.removeLast() }
      // A connection without a key is one without the option. Everybody knows the empty one.
      if key.isEmpty { throw Failure(.connection, "--authkey-file \(path): the file has no key") }
      return key
    } catch let error as Errno {
      throw Failure(.connection, "--authkey-file \(path): \(error)")
    } catch let error as EndpointError {
      let text =
        switch error.reason {
        case .transport(let cause): "\(cause.errno)"
        case .framing: "expected a key of at most \(longest) bytes; the file has more"
        default: "\(error)"
        }
      throw Failure(.connection, "--authkey-file \(path): \(text)")
    }
  }
}

extension MessageFormat: ExpressibleByArgument {}
