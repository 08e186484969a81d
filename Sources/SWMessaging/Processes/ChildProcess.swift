public import SWFraming
internal import SWIO
internal import SystemPackage

/// A child process and a channel of messages to it.
///
///     let worker = try await ChildProcess.spawn(
///       "/usr/bin/python3", arguments: ["worker.py"], framing: .varInt)
///     try await worker.channel.send("go")
///     let answer = try await worker.channel.receive()
///     let status = try await worker.exitStatus
///
/// The child begins with no signal blocked, every disposition at its default, this process's standard
/// streams, its end of the channel, and no other descriptor, whatever flags were forgotten on them. Its
/// end is closed here at once, so when the child dies the channel ends.
///
/// All calls may be made from any thread and any task, at the same time; any number of them may wait for
/// the exit. Waiting uses the child's pidfd: nothing polls, and neither SIGCHLD nor its disposition is
/// touched or needed. In turn no other part of the program may reap this child (a `waitpid` for any
/// child would), and SIGCHLD must not be ignored: the kernel then throws statuses away, and asking for one
/// throws `transport` with `ECHILD`, after the child's end.
///
/// Dropping a `ChildProcess` neither kills the child nor leaves a zombie: the reactor, which this may
/// start, reaps it when it ends. The channel closes with its own last reference, and most children end
/// when they see that.
public final class ChildProcess<F: Framing>: Sendable {
  /// The messages from and to the child.
  public let channel: MessageDuplex<F>

  /// The child's process id: its own until the exit status has been asked for, anybody's afterwards.
  public let processID: Int32

  let watch: ExitWatch

  init(_ channel: MessageDuplex<F>, _ processID: Int32, _ child: ReapedChild) {
    self.channel = channel
    self.processID = processID
    watch = ExitWatch(child)
  }

  deinit { watch.abandon() }

  // MARK: Spawning

  /// Spawns a child. The file system may keep `posix_spawn` waiting, so a thread of its own makes the call
  /// while the task is suspended.
  ///
  /// - Parameters:
  ///   - path: the program. A name without a slash is looked up in `PATH`, a relative path in
  ///     `workingDirectory`. The child sees it as its argument 0.
  ///   - arguments: the arguments behind it.
  ///   - environment: the child's variables.
  ///   - workingDirectory: where the child starts; nil: here.
  ///   - channel: where the child finds its end.
  ///   - framing: how messages lie in the channel.
  ///   - mode: whether to read ahead.
  ///   - maximumFrameSize: the largest frame to receive, in bytes, header included.
  /// - Throws: ``EndpointError`` `transport` with the operation `spawn` when the program cannot be run
  ///   (ENOENT, EACCES, …; also for `workingDirectory`), when a string has a zero in it (EINVAL), or at
  ///   a limit; with `makeSocketPair` or `makePipe` at EMFILE; `cancelled` when the task was cancelled
  ///   before. There is no child then and no descriptor is left. A task that is cancelled later gets its child.
  public static func spawn(
    _ path: String, arguments: [String] = [], environment: ChildEnvironment = .inherited,
    workingDirectory: String? = nil, channel: ChildChannel = .descriptor(3), framing: F,
    mode: ReceiveMode = .readAhead, maximumFrameSize: Int = defaultMaximumFrameSize
  ) async throws(EndpointError) -> ChildProcess<F> {
    if Task.isCancelled { throw EndpointError(.cancelled) }
    let ready = try prepare(
      path, arguments, environment, workingDirectory, channel, framing, mode, maximumFrameSize)
    let result: Result<(processID: Int32, child: ReapedChild), TransportError>
    do throws(Errno) {
      result = try await HelperThread.run {
        Result { () throws(TransportError) in try ready.request.run() }
      }
    } catch {
      ready.request.giveUp()
      throw EndpointError(.transport(TransportError(.spawn, error)))
    }
    let spawned = try wrapped { () throws(TransportError) in try result.get() }
    return ChildProcess(ready.channel, spawned.processID, spawned.child)
  }

  fileprivate static func spawnBlocking(
    _ path: String, _ arguments: [String], _ environment: ChildEnvironment, _ workingDirectory: String?,
    _ channel: ChildChannel, _ framing: F, _ mode: ReceiveMode, _ maximumFrameSize: Int
  ) throws(EndpointError) -> ChildProcess<F> {
    let ready = try prepare(
      path, arguments, environment, workingDirectory, channel, framing, mode, maximumFrameSize)
    let spawned = try wrapped { () throws(TransportError) in try ready.request.run() }
    return ChildProcess(ready.channel, spawned.processID, spawned.child)
  }

  private static func prepare(
    _ path: String, _ arguments: [String], _ environment: ChildEnvironment, _ workingDirectory: String?,
    _ channel: ChildChannel, _ framing: F, _ mode: ReceiveMode, _ maximumFrameSize: Int
  ) throws(EndpointError) -> (channel: MessageDuplex<F>, request: SpawnRequest) {
    let ends = try ChannelEnds(channel)
    let duplex = MessageDuplex(
      core: ends.core, framing: framing, mode: mode, maximumFrameSize: maximumFrameSize)
    let request = try SpawnRequest(
      path, arguments: arguments, environment: environment, workingDirectory: workingDirectory,
      channel: channel, ends: ends)
    return (duplex, request)
  }

  // MARK: Waiting

  /// How the child ended. Waits for that without limit; afterwards it is there at once, as often as it is
  /// asked for.
  ///
  /// - Throws: ``EndpointError`` `cancelled`, which leaves the child as it is; `transport` with `ECHILD`
  ///   when the status was lost: see ``ChildProcess``.
  public var exitStatus: ExitStatus {
    get async throws(EndpointError) { try await waitForExit() }
  }

  /// Waits for the child's end.
  ///
  /// - Parameter timeout: how long to wait; zero looks; nil waits without limit.
  /// - Throws: ``EndpointError`` `timedOut` and `cancelled`, which leave the child as it is; `transport`
  ///   with `ECHILD` when the status was lost: see ``ChildProcess``.
  public func waitForExit(timeout: Duration? = nil) async throws(EndpointError) -> ExitStatus {
    try await watch.wait(timeout: timeout)
  }

  // MARK: Signalling

  /// Signals the child, through its pidfd: a process that got its number later is safe. Signalling a child
  /// that has ended does nothing.
  ///
  /// - Throws: ``EndpointError`` `transport` with the operation `signal`: EINVAL when there is no such
  ///   signal, EPERM when the child has got other rights.
  public func signal(_ signal: ProcessSignal) throws(EndpointError) { try watch.signal(signal) }

  /// Asks the child to end: SIGTERM. See ``signal(_:)``.
  public func terminate() throws(EndpointError) { try signal(.terminate) }

  /// Ends the child: SIGKILL. See ``signal(_:)``.
  public func kill() throws(EndpointError) { try signal(.kill) }
}

// MARK: - Blocking

/// The blocking view of a child process; its channel has one of its own.
public struct BlockingChildProcess<F: Framing>: Sendable {
  fileprivate let process: ChildProcess<F>

  /// Blocking form of ``ChildProcess/waitForExit(timeout:)``.
  public func waitForExit(timeout: Duration? = nil) throws(EndpointError) -> ExitStatus {
    try process.watch.waitBlocking(timeout: timeout)
  }
}

/// Spawns child processes from blocking code.
public struct BlockingSpawner: Sendable {
  /// Blocking form of ``ChildProcess/spawn(_:arguments:environment:workingDirectory:channel:framing:mode:maximumFrameSize:)``,
  /// carried out on the calling thread.
  public func spawn<F: Framing>(
    _ path: String, arguments: [String] = [], environment: ChildEnvironment = .inherited,
    workingDirectory: String? = nil, channel: ChildChannel = .descriptor(3), framing: F,
    mode: ReceiveMode = .readAhead, maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) -> ChildProcess<F> {
    try ChildProcess<F>.spawnBlocking(
      path, arguments, environment, workingDirectory, channel, framing, mode, maximumFrameSize)
  }
}

extension ChildProcess {
  /// The same calls, blocking. Not usable from async code.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public var blocking: BlockingChildProcess<F> { BlockingChildProcess(process: self) }
}

// The framing is the argument's, not this one: it only lets `ChildProcess.blocking` be written without.
extension ChildProcess where F == VarIntFraming {
  /// `ChildProcess.blocking.spawn(…)`, with any framing. Not usable from async code.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public static var blocking: BlockingSpawner { BlockingSpawner() }
}

private func wrapped<Value>(_ body: () throws(TransportError) -> Value) throws(EndpointError) -> Value {
  do throws(TransportError) {
    return try body()
  } catch {
    throw EndpointError(.transport(error))
  }
}
