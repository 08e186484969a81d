internal import CSysShim
internal import SWIO
internal import Synchronization
internal import SystemPackage

/// Waits for the end of a child as a receive. The child's pidfd becomes readable when the child ends. The attempt to receive
/// reaps the child and yields its status, which stays. So the receiving half provides deadlines, cancellation, and waiting
/// by threads and tasks. Nothing polls periodically, and SIGCHLD is not used.
///
/// From `begin` on, the watch itself always has one place in the half's queue. So the reactor reaps the child when it ends,
/// even if no caller waits, and calls `ended`.
final class ExitWatch: Sendable {
  private let child: ReapedChild
  private let half: ReceiveHalf
  private let state = Guarded(State())

  private struct State: Sendable {
    /// Whether no caller will ask for the status any more.
    var isAbandoned = false
    /// Whether the child has been reaped, or can never be.
    var isOver = false
    var ended: (@Sendable () -> Void)?
    /// How long to wait before asking again, after there was no reactor.
    var retryDelay = Duration.milliseconds(10)
  }

  init(_ child: ReapedChild) {
    self.child = child
    half = ReceiveHalf(Port(child, for: .readable, reactor: Reactor.shared))
  }

  private static var request: ReceiveRequest { .upTo(1) }

  // MARK: Watching

  /// Has the reactor watch for the child's end.
  ///
  /// - Parameter ended: called once, on any thread, when the child has been reaped or its status is lost.
  func begin(_ ended: @escaping @Sendable () -> Void) {
    state.withLock { $0.ended = ended }
    watch()
  }

  private func watch() {
    switch half.start(Self.request, as: .task, until: .never) {
    case .ended(let outcome): decided(outcome)
    case .queued(let place):
      // The place retains the half until it is decided, and this closure retains the watch.
      let isParked = half.park(place, .callback { self.decided(self.half.outcome(of: place)) })
      if !isParked { decided(half.outcome(of: place)) }
    }
  }

  /// Handles the decision of the watch's own place.
  private func decided(_ outcome: ReceiveHalf.Outcome) {
    if case .failed(let error) = outcome, case .transport(let failure) = error.reason,
      failure.operation != .exitStatus
    {
      // There is no reactor. The child must not stay a zombie, so this is repeated when there is one, after growing pauses.
      let delay = state.withLock { state in
        defer { state.retryDelay = min(state.retryDelay * 2, .seconds(1)) }
        return state.retryDelay
      }
      Reactor.shared.set(Timer(Retry(self)), at: .after(delay))
      return
    }
    if case .lent(let demand) = outcome { half.finishLoan(demand) }
    let (ended, isAbandoned) = state.withLock { state in
      state.isOver = true
      defer { state.ended = nil }
      return (state.ended, state.isAbandoned)
    }
    if isAbandoned { half.close() }
    ended?()
  }

  private final class Retry: DeadlineReceiver {
    private let watch: ExitWatch
    init(_ watch: ExitWatch) { self.watch = watch }
    func deadlinePassed() { watch.watch() }
  }

  /// Notes that no caller will ask for the status any more. The reactor watches until the child has ended, and then the
  /// pidfd is closed. Until then this costs an epoll registration and this object, but no thread and no task.
  func abandon() {
    let isOver = state.withLock { state in
      state.isAbandoned = true
      return state.isOver
    }
    // A waiter may learn the status before the watch's own place is told.
    if isOver || child.status != nil { half.close() }
  }

  // MARK: Waiting

  func wait(_ limit: CallLimit) async throws(EndpointError) -> TerminationStatus {
    try status(after: await half.receive(Self.request, limit))
  }

  func waitBlocking(_ limit: CallLimit) throws(EndpointError) -> TerminationStatus {
    try status(after: half.receiveBlocking(Self.request, limit))
  }

  private func status(after outcome: ReceiveHalf.Outcome) throws(EndpointError) -> TerminationStatus {
    switch outcome {
    case .failed(let error): throw error
    case .delivered: break
    case .lent(let demand): half.finishLoan(demand)
    }
    guard let status = child.status else { preconditionFailure("the status came with the end") }
    return status
  }

  // MARK: Signalling

  /// Signals the child through the pidfd. So the signal cannot hit another process that got the number of a reaped child.
  /// The pidfd stays open meanwhile. If it has been closed, the child has ended, and nothing happens.
  func signal(_ signal: ProcessSignal, toGroup: Bool = false) throws(EndpointError) {
    do {
      try half.withTransport { try child.signal(signal, toGroup: toGroup) }
    } catch let error as TransportError {
      throw EndpointError(.transport(error), explanation: "\(signal) to process \(child.processID)")
    } catch {
      // Closed.
    }
  }
}

/// A child as a source of one item that stays: its exit status.
final class ReapedChild: ItemSource {
  let processID: Int32
  private let pidfd: Int32
  /// Whether the child stays a zombie until this object is closed, so its number is not reused.
  private let keepsZombie: Bool
  private let end = Guarded<TerminationStatus?>(nil)

  var status: TerminationStatus? { end.withLock { $0 } }

  /// Takes over the pidfd of a child that no code has waited for.
  init(pidfd: Int32, processID: Int32, keepsZombie: Bool) {
    self.pidfd = pidfd
    self.processID = processID
    self.keepsZombie = keepsZombie
  }

  func signal(_ signal: ProcessSignal, toGroup: Bool) throws(TransportError) {
    var result: Int32
    if toGroup, keepsZombie {
      // If other code reaps the zombie, its number may belong to another process.
      var code: Int32 = 0
      result = unsafe swsys_pidfd_reap(pidfd, true, &code)
      if result == -Errno.noChildProcess.rawValue { return }
      result = swsys_kill_group(processID, signal.rawValue)
    } else {
      result = swsys_pidfd_signal(pidfd, signal.rawValue, toGroup)
    }
    // Signalling a zombie has no effect. Signalling a reaped child must have none either.
    if result == -Errno.noSuchProcess.rawValue { return }
    _ = try checked(.signal, result)
  }

  // MARK: SocketLike

  var readinessSource: ReadinessSource { .descriptor(FileDescriptor(rawValue: pidfd)) }

  func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt {
    if let status {
      take(.value(status, stays: true))
      return .transferred(1)
    }
    var code: Int32 = 0
    let found = unsafe swsys_pidfd_reap(pidfd, keepsZombie, &code)
    switch found {
    case 0: return .wouldBlock
    case 1...:
      let status: TerminationStatus = found == 1 ? .exited(code) : .signalled(ProcessSignal(rawValue: code))
      end.withLock { $0 = status }
      take(.value(status, stays: true))
      return .transferred(1)
    default:
      // Without a zombie the status is lost: SIGCHLD is ignored, or another part of the program has reaped the child. The
      // kernel may report that while the child still runs, so wait for its end.
      if !FileDescriptor(rawValue: pidfd).isReady(for: .readable) { return .wouldBlock }
      return .failed(TransportError(.exitStatus, Errno(rawValue: -found), scope: .connection))
    }
  }

  func close() {
    if keepsZombie {
      var code: Int32 = 0
      _ = unsafe swsys_pidfd_reap(pidfd, false, &code)
    }
    OwnedDescriptor.closeAtOnce(pidfd)
  }
}
