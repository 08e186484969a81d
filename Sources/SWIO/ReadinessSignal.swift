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
