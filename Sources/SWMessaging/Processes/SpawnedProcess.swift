internal import SWIO
internal import SystemPackage

/// A child process: waiting for its end, signals, and the endpoints of its standard streams. ``ChildProcess`` is one with
/// a channel of messages.
///
///     var command = Command("make", arguments: ["--keep-going"])
///     command.standardError = .endpoint
///     let make = try await command.spawn()
///     if let errors = make.standardError {
///       for try await line in MessageReader(over: errors, framing: .lines).messages { report(line) }
///     }
///     let status = try await make.exitStatus
///
/// All calls may be made from any thread and any task, at the same time; any number of them may wait for
/// the end. Waiting uses the child's pidfd: nothing polls, and neither SIGCHLD nor its disposition is
/// touched or needed. The reactor, which spawning starts, reaps the child when it ends. In turn no other part of the
/// program may reap this child (a `waitpid` for any child would), and SIGCHLD must not be ignored: the kernel then throws
/// statuses away, and asking for one throws `transport` with `ECHILD`, after the child's end.
///
/// Dropping a `SpawnedProcess` neither kills the child nor leaves a zombie. ``withChildProcess(_:ending:_:)`` ends the
/// child with its scope, and ``end(in:of:)`` ends it at once.
///
/// The child's ends of pipes and sockets are closed here as soon as it has started, so when the child ends they end. If
/// a descendant still holds them they end too, after ``Command/channelGrace``.
// Invariant: everything is immutable, and safe to be used by all. Not final, for `ChildProcess` alone.
public class SpawnedProcess: @unchecked Sendable {
  /// The child's process id: its own until it has ended, and perhaps another process's afterwards.
  public final let processID: Int32

  /// The endpoint that sends to the child's standard input; nil unless ``Command/standardInput`` is
  /// ``Command/Input/endpoint``.
  public final let standardInput: SocketWriter?

  /// The endpoint that receives from the child's standard output; nil unless ``Command/standardOutput`` is
  /// ``Command/Output/endpoint``.
  public final let standardOutput: SocketReader?

  /// The endpoint that receives from the child's standard error; nil unless ``Command/standardError`` is
  /// ``Command/Output/endpoint``.
  public final let standardError: SocketReader?

  final let watch: ExitWatch
  private final let ownsGroup: Bool

  init(_ spawned: SpawnRequest.Spawned, of command: Command) {
    processID = spawned.processID
    standardInput = spawned.standardInput.map { SocketWriter(core: $0) }
    standardOutput = spawned.standardOutput.map { SocketReader(core: $0) }
    standardError = spawned.standardError.map { SocketReader(core: $0) }
    ownsGroup = command.group.isOwn
    watch = ExitWatch(spawned.child)
    let forsaking = command.channelGrace.map { Forsaking(spawned.ports, after: $0) }
    watch.begin { forsaking?.begin() }
  }

  deinit { watch.abandon() }

  /// Ends the child's channel and streams, some time after the child has ended.
  private final class Forsaking: DeadlineReceiver {
    private let ports: [Port]
    private let grace: Duration

    init(_ ports: [Port], after grace: Duration) {
      self.ports = ports
      self.grace = grace
    }

    func begin() {
      if ports.isEmpty { return }
      if grace <= .zero { return deadlinePassed() }
      Reactor.shared.set(Timer(self), at: .after(grace))
    }

    func deadlinePassed() { for port in ports { port.forsake() } }
  }

  // MARK: Waiting

  /// How the child ended. Waits for that without limit; afterwards it is there at once, as often as it is
  /// asked for.
  ///
  /// - Throws: ``EndpointError`` `cancelled`, which leaves the child as it is; `transport` with `ECHILD`
  ///   when the status was lost: see ``SpawnedProcess``.
  public final var exitStatus: TerminationStatus {
    get async throws(EndpointError) { try await waitForExit() }
  }

  /// Waits for the child's end.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait; zero looks; nil waits without limit.
  ///   - deadline: until when to wait at most. With both, the earlier one counts.
  /// - Throws: ``EndpointError`` `timedOut` and `cancelled`, which leave the child as it is; `transport`
  ///   with `ECHILD` when the status was lost: see ``SpawnedProcess``.
  public final func waitForExit(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> TerminationStatus {
    try await watch.wait(CallLimit(timeout, deadline))
  }

  // MARK: Signalling

  /// Signals the child, through its pidfd: a process that got its number later is safe. Signalling a child
  /// that has ended does nothing.
  ///
  /// - Parameters:
  ///   - signal: the signal.
  ///   - target: the child alone, or the group that it leads, also after the child's end. On kernels before 6.9 a group
  ///     is signalled by its number, which is kept from being reused for as long as this object lives.
  /// - Throws: ``EndpointError`` `transport` with the operation `signal`: EINVAL when there is no such
  ///   signal, or when the child was not given a group of its own; EPERM when it runs with other rights.
  public final func signal(
    _ signal: ProcessSignal, to target: SignalTarget = .process
  ) throws(EndpointError) {
    if target == .group, !ownsGroup {
      throw EndpointError(
        .transport(TransportError(.signal, .invalidArgument)),
        explanation: "process \(processID) has no group of its own")
    }
    try watch.signal(signal, toGroup: target == .group)
  }

  /// Asks the child to end: SIGTERM. See ``signal(_:to:)``.
  public final func terminate() throws(EndpointError) { try signal(.terminate) }

  /// Ends the child: SIGKILL. See ``signal(_:to:)``.
  public final func kill() throws(EndpointError) { try signal(.kill) }

  // MARK: Ending

  /// Tells the child that no more input will follow.
  func finishInput() { standardInput?.finishSending() }

  /// Ends the child in steps: each is taken, and the child gets the step's time to end. After the last SIGKILL is sent,
  /// and the child's end awaited without limit. A child that has ended is left alone.
  ///
  /// Cancelling the task does not shorten this: when it returns the child has ended.
  ///
  /// - Parameters:
  ///   - steps: what to do before SIGKILL.
  ///   - target: the receivers of the signals; nil: the group, if the child leads one, else the child. If it is the group,
  ///     SIGKILL is sent to the rest of it even if the child itself has ended before.
  /// - Throws: ``EndpointError`` `transport`: `signal` with EPERM when the child cannot be killed because it runs with
  ///   other rights, `exitStatus` with ECHILD when it has ended and its status was lost, `wait` when the library's thread
  ///   cannot be started: SIGKILL has been sent then, and the child may not have ended yet.
  @discardableResult
  public final func end(
    in steps: [EndStep] = .standard, of target: SignalTarget? = nil
  ) async throws(EndpointError) -> TerminationStatus {
    // The end runs in a separate task that nothing cancels.
    let ending = Task { () -> Result<TerminationStatus, EndpointError> in
      var sequence = EndSequence(of: self, steps, target)
      sequence.note(await self.outcome(within: .zero))
      while let patience = sequence.takeStep() { sequence.note(await self.outcome(within: patience)) }
      do throws(EndpointError) {
        try sequence.kill()
      } catch {
        return .failure(error)
      }
      if let outcome = sequence.outcome { return outcome }
      return await self.outcome(within: nil)
    }
    return try await ending.value.get()
  }

  private final func outcome(within timeout: Duration?) async -> Result<TerminationStatus, EndpointError> {
    do throws(EndpointError) {
      return .success(try await watch.wait(CallLimit(timeout, .never)))
    } catch {
      return .failure(error)
    }
  }

  private final func outcomeBlocking(within timeout: Duration?) -> Result<TerminationStatus, EndpointError> {
    Result { () throws(EndpointError) in try watch.waitBlocking(CallLimit(timeout, .never)) }
  }

  fileprivate final var ownTarget: SignalTarget { ownsGroup ? .group : .process }

  fileprivate final func endBlocking(
    _ steps: [EndStep], _ target: SignalTarget?
  ) throws(EndpointError) -> TerminationStatus {
    var sequence = EndSequence(of: self, steps, target)
    sequence.note(outcomeBlocking(within: .zero))
    while let patience = sequence.takeStep() { sequence.note(outcomeBlocking(within: patience)) }
    try sequence.kill()
    return try (sequence.outcome ?? outcomeBlocking(within: nil)).get()
  }
}

/// The steps of ending a child, without the waits between them.
private struct EndSequence {
  private let process: SpawnedProcess
  private let target: SignalTarget
  private var steps: ArraySlice<EndStep>
  /// How the child has ended, or why that is unknown.
  private(set) var outcome: Result<TerminationStatus, EndpointError>?

  init(of process: SpawnedProcess, _ steps: [EndStep], _ target: SignalTarget?) {
    self.process = process
    self.target = target ?? process.ownTarget
    self.steps = steps[...]
  }

  /// Takes the next step.
  ///
  /// - Returns: how long to wait for the child's end now. Nil if no step is left or needed.
  mutating func takeStep() -> Duration? {
    guard outcome == nil, let step = steps.popFirst() else { return nil }
    switch step.action {
    case .finishInput: process.finishInput()
    // This fails for a child with other rights. The final kill reports that.
    case .signal(let signal): try? process.signal(signal, to: target)
    }
    return step.patience
  }

  /// Keeps what says that the child has ended. An error of the wait itself says nothing about the child.
  mutating func note(_ result: Result<TerminationStatus, EndpointError>) {
    if case .failure(let error) = result, !error.saysThatStatusIsLost { return }
    outcome = result
  }

  /// Kills the child when no step is left.
  func kill() throws(EndpointError) {
    if outcome == nil || target == .group { try process.signal(.kill, to: target) }
  }
}

// MARK: - Blocking

/// The blocking view of a child process; its channel and the endpoints of its streams have views of their own.
public struct BlockingProcess: Sendable {
  fileprivate let process: SpawnedProcess

  /// Blocking form of ``SpawnedProcess/waitForExit(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func waitForExit(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> TerminationStatus {
    try process.watch.waitBlocking(CallLimit(timeout, deadline))
  }

  /// Blocking form of ``SpawnedProcess/end(in:of:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @discardableResult
  public func end(
    in steps: [EndStep] = .standard, of target: SignalTarget? = nil
  ) throws(EndpointError) -> TerminationStatus {
    try process.endBlocking(steps, target)
  }
}

extension SpawnedProcess {
  /// The same calls, blocking. Not usable from async code.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public final var blocking: BlockingProcess { BlockingProcess(process: self) }
}
