internal import Synchronization

/// The signal that an in-process transport raises when an attempt may make progress.
///
/// Raise it from any thread, at any time, but not while holding a lock that the transport's own `receive` or `send`
/// takes.
public final class ReadinessSignal: Sendable {
  private struct State: Sendable {
    var receiver: (any ReadinessReceiver)?
    /// The timer of a readiness that is to be raised later, for each direction.
    var toReceive: Timer?
    var toSend: Timer?
  }

  private let state: Guarded<State>
  private let reactor: any Reacting

  package init(_ receiver: any ReadinessReceiver, reactor: any Reacting = Reactor.shared) {
    state = Guarded(State(receiver: receiver))
    self.reactor = reactor
  }

  /// Signals that an attempt in one of these directions may make progress now. A needless call does no harm.
  public func raise(_ readiness: Readiness) {
    let receiver = state.withLock { $0.receiver }
    receiver?.readinessChanged(readiness, mayDrive: false)
  }

  /// Raises the signal after a delay, for a transport that waits for a clock.
  ///
  /// Each direction has at most one delayed signal. A later call for the same direction replaces it, and
  /// ``cancelRaise(_:)`` cancels it. Closing the endpoint cancels it, too.
  ///
  /// - Parameter delay: the delay. If it is not positive, the signal is raised at once, on the reactor's thread.
  public func raise(_ readiness: Readiness, after delay: Duration) {
    let deadline = Deadline.after(delay)
    state.withLock { state in
      guard state.receiver != nil else { return }
      set(&state.toReceive, readiness.intersection(.concernsReceiving), deadline)
      set(&state.toSend, readiness.intersection(.concernsSending), deadline)
    }
  }

  /// Cancels the delayed signals of these directions. One that is being raised at this moment is not stopped.
  public func cancelRaise(_ readiness: Readiness) {
    state.withLock { state in
      if !readiness.isDisjoint(with: .concernsReceiving) { takeBack(&state.toReceive) }
      if !readiness.isDisjoint(with: .concernsSending) { takeBack(&state.toSend) }
    }
  }

  /// Disables the signal. It then holds no reference.
  package func detach() {
    let last = state.withLock { state in
      takeBack(&state.toReceive)
      takeBack(&state.toSend)
      let last = state.receiver
      state.receiver = nil
      return last
    }
    _ = last
  }

  private func set(_ pending: inout Timer?, _ readiness: Readiness, _ deadline: Deadline) {
    if readiness.isEmpty { return }
    takeBack(&pending)
    let timer = Timer(DelayedRaise(self, readiness))
    pending = timer
    reactor.set(timer, at: deadline)
  }

  private func takeBack(_ pending: inout Timer?) {
    if let timer = pending { reactor.takeBack(timer) }
    pending = nil
  }

  private final class DelayedRaise: DeadlineReceiver {
    private let signal: ReadinessSignal
    private let readiness: Readiness

    init(_ signal: ReadinessSignal, _ readiness: Readiness) {
      self.signal = signal
      self.readiness = readiness
    }

    func deadlinePassed() {
      signal.state.withLock { state in
        if state.toReceive?.receiver === self { state.toReceive = nil }
        if state.toSend?.receiver === self { state.toSend = nil }
      }
      signal.raise(readiness)
    }
  }
}

/// An object that is told that readiness may have changed: a hint, at any time, on any thread.
package protocol ReadinessReceiver: AnyObject, Sendable {
  /// - Parameter mayDrive: whether the receiver may do at once what it would otherwise ask the reactor to drive. Only the reactor
  ///   permits that.
  func readinessChanged(_ readiness: Readiness, mayDrive: Bool)
}
