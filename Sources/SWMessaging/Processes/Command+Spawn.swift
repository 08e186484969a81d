public import SWFraming

extension Command {
  /// Spawns a child. A thread made for that makes the system call, because loading the program may take long on some
  /// file systems; there are four such threads at most, and further spawns wait in line.
  ///
  /// - Returns: the child, which runs its program already.
  /// - Throws: ``EndpointError``. There is no child then, and no descriptor is left.
  ///   - `transport` with the operation `spawn`, and ``EndpointError/explanation`` with the object. ENOENT, EACCES and
  ///     others: the program, the working directory or a file cannot be used. EINVAL: the command makes no sense, such as
  ///     an argument with a NUL in it. EBADF: a descriptor is not open. EMFILE, EAGAIN and others: a limit on
  ///     descriptors, processes or threads. ENOSYS, EPERM: the kernel (before Linux 5.4) or a filter of system calls
  ///     has no pidfds for this process, which children need; nothing has run.
  ///   - `transport` with the operation `makeSocketPair` or `makePipe`: a limit on descriptors.
  ///   - `cancelled`: the task was cancelled before the child was spawned. A task that is cancelled later gets its
  ///     child.
  public func spawn() async throws(EndpointError) -> SpawnedProcess {
    try await spawn(beginningUntil: .never)
  }

  /// The same, and `timedOut` if the deadline passes while the spawn waits in line.
  func spawn(beginningUntil deadline: Deadline) async throws(EndpointError) -> SpawnedProcess {
    if Task.isCancelled { throw EndpointError(.cancelled) }
    return try await SpawnThreads.run(until: deadline) { () throws(EndpointError) in try spawnHere() }
  }

  /// Spawns a child with a channel of messages; see ``spawn()``.
  ///
  /// - Parameters:
  ///   - channel: the place where the child finds its end.
  ///   - framing: the framing of the messages.
  ///   - mode: whether to read ahead.
  ///   - maximumFrameSize: the largest frame to receive, in bytes, header included.
  /// - Returns: the child, which runs its program already.
  /// - Throws: ``EndpointError`` as ``spawn()``; EINVAL also for a standard stream that the channel takes and that was set.
  public func spawn<F: Framing>(
    channel: ChildChannel = .descriptor(3), framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) async throws(EndpointError) -> ChildProcess<F> {
    if Task.isCancelled { throw EndpointError(.cancelled) }
    return try await SpawnThreads.run { () throws(EndpointError) in
      try spawnHere(channel, framing, mode, maximumFrameSize)
    }
  }

  fileprivate func spawnHere() throws(EndpointError) -> SpawnedProcess {
    SpawnedProcess(try SpawnRequest(self, channel: nil).run(), of: self)
  }

  fileprivate func spawnHere<F: Framing>(
    _ channel: ChildChannel, _ framing: F, _ mode: ReceiveMode, _ maximumFrameSize: Int
  ) throws(EndpointError) -> ChildProcess<F> {
    let spawned = try SpawnRequest(self, channel: channel).run()
    guard let core = spawned.channel else { preconditionFailure("a channel was asked for") }
    let duplex = MessageDuplex(core: core, framing: framing, mode: mode, maximumFrameSize: maximumFrameSize)
    return ChildProcess(spawned, of: self, channel: duplex)
  }

  /// The same calls, blocking. Not usable from async code.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public var blocking: BlockingCommand { BlockingCommand(command: self) }
}

/// The blocking view of a command.
public struct BlockingCommand: Sendable {
  let command: Command

  /// Blocking form of ``Command/spawn()``, carried out on the calling thread.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func spawn() throws(EndpointError) -> SpawnedProcess { try command.spawnHere() }

  /// Blocking form of ``Command/spawn(channel:framing:mode:maximumFrameSize:)``, carried out on the calling thread.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func spawn<F: Framing>(
    channel: ChildChannel = .descriptor(3), framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) -> ChildProcess<F> {
    try command.spawnHere(channel, framing, mode, maximumFrameSize)
  }
}
