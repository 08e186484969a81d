public import SWFraming
public import SystemPackage

/// A child process and a channel of messages to it.
///
///     let worker = try await ChildProcess.spawn(
///       "/usr/bin/python3", arguments: ["worker.py"], framing: .varInt)
///     try await worker.channel.send("go")
///     let answer = try await worker.channel.receive()
///     let status = try await worker.exitStatus
///
/// ``Command`` says what else a child can begin with, and ``Command/spawn(channel:framing:mode:maximumFrameSize:)``
/// spawns it; ``SpawnedProcess`` has waiting, signals and the end.
///
/// When the child ends the channel ends: everything that was sent is received before that. The channel closes with
/// its own last reference, and most children end when they see that.
// Invariant: like `SpawnedProcess`.
public final class ChildProcess<F: Framing>: SpawnedProcess, @unchecked Sendable {
  /// The messages from and to the child.
  public let channel: MessageDuplex<F>

  init(_ spawned: SpawnRequest.Spawned, of command: Command, channel: MessageDuplex<F>) {
    self.channel = channel
    super.init(spawned, of: command)
  }

  override func finishInput() {
    channel.finishSending()
    super.finishInput()
  }

  /// Spawns a child with a channel: short for a ``Command`` and
  /// ``Command/spawn(channel:framing:mode:maximumFrameSize:)``.
  ///
  /// - Parameters:
  ///   - path: the program: a path if there is a slash in it, else a name, which is looked up in the child's `PATH`. The
  ///     child sees it as its argument 0.
  ///   - arguments: the arguments after it.
  ///   - environment: the child's variables.
  ///   - workingDirectory: the directory that the child starts in; nil: this process's.
  ///   - channel: the place where the child finds its end. With a descriptor the child's standard input is `/dev/null`.
  ///   - framing: the framing of the messages.
  ///   - mode: whether to read ahead.
  ///   - maximumFrameSize: the largest frame to receive, in bytes, header included.
  /// - Throws: ``EndpointError`` as ``Command/spawn(channel:framing:mode:maximumFrameSize:)``.
  public static func spawn(
    _ path: String, arguments: [String] = [], environment: ChildEnvironment = .inherited,
    workingDirectory: FilePath? = nil, channel: ChildChannel = .descriptor(3), framing: F,
    mode: ReceiveMode = .readAhead, maximumFrameSize: Int = defaultMaximumFrameSize
  ) async throws(EndpointError) -> ChildProcess<F> {
    var command = Command(path, arguments: arguments)
    command.environment = environment
    command.workingDirectory = workingDirectory
    return try await command.spawn(
      channel: channel, framing: framing, mode: mode, maximumFrameSize: maximumFrameSize)
  }
}
