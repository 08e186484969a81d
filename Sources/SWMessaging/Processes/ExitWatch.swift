internal import CSysShim
internal import SWIO
internal import Synchronization
internal import SystemPackage

/// Waits for the end of a child, with the means of endpoints: the child's pidfd becomes readable when the child ends,
/// and an attempt to receive reaps it and yields the status, which stays. So deadlines, cancellation, threads and tasks at
/// once are the receiving half's affair, nothing polls, and SIGCHLD plays no part.
///
/// From `begin` on there is always one place in the half's queue, of the watch itself: so the reactor reaps the child when
/// it ends, whether or not anybody asks, and tells `ended` of it.
final class ExitWatch: Sendable {
  private let child: ReapedChild
  private let half: ReceiveHalf
  private let state = Guarded(State())

  private struct State: Sendable {
    /// Nobody will ask for the status any more.
    var isAbandoned = false
    /// The child has been reaped, or never will be.
    var isOver = false
    var ended: (@Sendable () -> Void)?
    /// How long to wait before the reactor is asked again to watch, when it could not.
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
      // The place keeps the half alive until it is decided, and this the watch.
      let isParked = half.park(place, .callback { self.decided(self.half.outcome(of: place)) })
      if !isParked { decided(half.outcome(of: place)) }
    }
  }

  /// The watch's own place has been decided.
  private func decided(_ outcome: ReceiveHalf.Outcome) {
    if case .failed(let error) = outcome, case .transport(let failure) = error.reason,
      failure.operation != .exitStatus
    {
      // The reactor could not watch (ENOSPC, ENOMEM). The child must not stay a zombie: try again, ever more rarely.
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

  /// Nobody will ask for the status any more. The reactor goes on to watch until the child has ended, and then the
  /// pidfd is closed: an epoll registration and this object, no thread and no task.
  func abandon() {
    let isOver = state.withLock { state in
      state.isAbandoned = true
      return state.isOver
    }
    // A waiter may know the status before the watch's own place has been told.
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

  /// Signals the child, through the pidfd: so the signal cannot hit a stranger that has got the number of a child
  /// which was reaped. The pidfd is not closed meanwhile. When it has been, the child has ended, and nothing happens.
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
  /// The child stays a zombie until this is closed, and its number its own.
  private let keepsZombie: Bool
  private let end = Guarded<TerminationStatus?>(nil)

  var status: TerminationStatus? { end.withLock { $0 } }

  /// Takes over a pidfd, of a child that nobody has waited for.
  init(pidfd: Int32, processID: Int32, keepsZombie: Bool) {
    self.pidfd = pidfd
    self.processID = processID
    self.keepsZombie = keepsZombie
  }

  func signal(_ signal: ProcessSignal, toGroup: Bool) throws(TransportError) {
    var result: Int32
    if toGroup, keepsZombie {
      // Were the zombie reaped by somebody else, the number might be anybody's.
      var code: Int32 = 0
      result = unsafe swsys_pidfd_reap(pidfd, true, &code)
      if result == -Errno.noChildProcess.rawValue { return }
      result = swsys_kill_group(processID, signal.rawValue)
    } else {
      result = swsys_pidfd_signal(pidfd, signal.rawValue, toGroup)
    }
    // To signal a zombie does nothing, and so it shall be a moment later, when it has been reaped.
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
      // Without a zombie (SIGCHLD ignored, or reaped by another part of the program) the status is lost. The kernel
      // may say so while the child still runs: its end is what is waited for.
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
