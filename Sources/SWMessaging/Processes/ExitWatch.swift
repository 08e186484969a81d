internal import CSysShim
internal import SWIO
internal import Synchronization
internal import SystemPackage

/// Waits for the end of a child, with what endpoints wait with: the child's pidfd becomes readable when
/// the child ends, and an attempt to receive reaps it and yields the status, which stays. So
/// deadlines, cancellation, threads and tasks at once are the receiving half's affair, nothing polls, and
/// SIGCHLD plays no part.
final class ExitWatch: Sendable {
  private let child: ReapedChild
  private let half: ReceiveHalf

  init(_ child: ReapedChild) {
    self.child = child
    half = ReceiveHalf(Port(child, for: .readable, reactor: Reactor.shared))
  }

  private static var request: ReceiveRequest { .upTo(1) }

  func wait(timeout: Duration?) async throws(EndpointError) -> ExitStatus {
    try status(after: await half.receive(Self.request, CallLimit(timeout, .never)))
  }

  func waitBlocking(timeout: Duration?) throws(EndpointError) -> ExitStatus {
    try status(after: half.receiveBlocking(Self.request, CallLimit(timeout, .never)))
  }

  private func status(after outcome: ReceiveHalf.Outcome) throws(EndpointError) -> ExitStatus {
    switch outcome {
    case .failed(let error): throw error
    case .delivered: break
    case .lent(let demand): half.finishLoan(demand)
    }
    guard let status = child.status else { preconditionFailure("the status came with the end") }
    return status
  }

  /// Signals the child. Through the pidfd, so it cannot hit a stranger that got the number of a child
  /// which has been reaped.
  func signal(_ signal: ProcessSignal) throws(EndpointError) {
    do throws(TransportError) {
      try child.signal(signal)
    } catch {
      throw EndpointError(.transport(error))
    }
  }

  /// Nobody will ask for the status any more. The reactor goes on to watch until the child has ended, so
  /// that it does not stay a zombie: an epoll registration and this object, no thread and no task.
  func abandon() {
    let half = half
    switch half.start(Self.request, as: .task, until: .never) {
    case .ended(let outcome):
      if case .lent(let demand) = outcome { half.finishLoan(demand) }
      half.close()
    case .queued(let place):
      // The place keeps the half alive until it is decided.
      if !half.park(place, .callback { half.close() }) { half.close() }
    }
  }
}

/// A child as a source of one item that stays: its exit status.
final class ReapedChild: ItemSource {
  /// Negative when the child was gone before it could be looked at: see `init`.
  private let pidfd: Int32
  private let end = Guarded<ExitStatus?>(nil)

  var status: ExitStatus? { end.withLock { $0 } }

  /// For a child that nobody has waited for.
  ///
  /// - Throws: `TransportError` `spawn` at EMFILE and the like. The child is dead and reaped then.
  init(_ pid: Int32) throws(TransportError) {
    let opened = swsys_pidfd_open(pid)
    // Without a zombie to hold it (SIGCHLD ignored, or reaped by somebody who waits for any child) the
    // number is free, or a stranger's already, which is no child of ours: waitid will say so.
    var code: Int32 = 0
    let found = opened < 0 ? opened : unsafe swsys_pidfd_reap(opened, &code)
    switch found {
    case -Errno.noSuchProcess.rawValue, -Errno.noChildProcess.rawValue:
      if opened >= 0 { _ = swsys_close(opened) }
      pidfd = -1
    case 0...:
      pidfd = opened
      note(found, code)
    default:
      if opened >= 0 { _ = swsys_close(opened) }
      swsys_abandon(pid)
      throw TransportError(.spawn, Errno(rawValue: -found))
    }
  }

  private func note(_ found: Int32, _ code: Int32) {
    guard found > 0 else { return }
    end.withLock { $0 = found == 1 ? .exited(code) : .signalled(ProcessSignal(rawValue: code)) }
  }

  func signal(_ signal: ProcessSignal) throws(TransportError) {
    guard pidfd >= 0 else { return }
    let result = swsys_pidfd_signal(pidfd, signal.rawValue)
    // To signal a zombie does nothing, and so it shall be a moment later, when it has been reaped.
    if result == -Errno.noSuchProcess.rawValue { return }
    _ = try checked(.signal, result)
  }

  // MARK: SocketLike

  var readinessSource: ReadinessSource {
    pidfd < 0 ? .signal : .descriptor(FileDescriptor(rawValue: pidfd))
  }

  func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt {
    if let status {
      take(.value(status, stays: true))
      return .transferred(1)
    }
    guard pidfd >= 0 else { return .failed(TransportError(.exitStatus, .noChildProcess, scope: .connection)) }
    var code: Int32 = 0
    let found = unsafe swsys_pidfd_reap(pidfd, &code)
    if found < 0 { return .failed(TransportError(.exitStatus, Errno(rawValue: -found), scope: .connection)) }
    note(found, code)
    guard let status else { return .wouldBlock }
    take(.value(status, stays: true))
    return .transferred(1)
  }

  func close() { if pidfd >= 0 { _ = swsys_close(pidfd) } }
}
