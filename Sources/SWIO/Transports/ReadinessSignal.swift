internal import Synchronization

/// What an in-process transport calls when an attempt may get on. From any thread, at any time, but
/// not while holding a lock that its own `receive` or `send` takes.
public final class ReadinessSignal: Sendable {
  private let receiver: Guarded<(any ReadinessReceiver)?>

  package init(_ receiver: any ReadinessReceiver) { self.receiver = Guarded(receiver) }

  /// An attempt in one of these directions may get on now. Calling it without need does no harm.
  public func raise(_ readiness: Readiness) {
    let receiver = receiver.withLock { $0 }
    receiver?.readinessChanged(readiness)
  }

  /// Raises it when a time has passed: for a transport that waits for a clock.
  ///
  /// - Parameter delay: zero and less raises it on the reactor's thread at once.
  public func raise(_ readiness: Readiness, after delay: Duration) {
    Reactor.shared.set(Timer(DelayedRaise(self, readiness)), at: .after(delay))
  }

  private final class DelayedRaise: DeadlineReceiver {
    private let signal: ReadinessSignal
    private let readiness: Readiness

    init(_ signal: ReadinessSignal, _ readiness: Readiness) {
      self.signal = signal
      self.readiness = readiness
    }

    func deadlinePassed() { signal.raise(readiness) }
  }

  /// After this the signal is dead, and holds nothing.
  package func detach() {
    let last = receiver.withLock { receiver in
      let last = receiver
      receiver = nil
      return last
    }
    _ = last
  }
}

/// Who is told that readiness may have changed: a hint, at any time, from any thread.
package protocol ReadinessReceiver: AnyObject, Sendable {
  func readinessChanged(_ readiness: Readiness)
}
