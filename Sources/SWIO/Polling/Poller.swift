package import SystemPackage

/// Waits for descriptors on behalf of a reactor, in the manner of one system.
///
/// Descriptors may be added, changed and removed from any thread, and `wake` may be called from any; one thread at a
/// time waits, unless the poller says otherwise (`servesManyWaiters`). Each event is a hint. Each readiness is told once when it comes, also if it was there when it began to
/// be watched; it is told anew when more has come, or earlier. Hang-ups are told whether or not they are watched for.
package protocol Poller: AnyObject, Sendable {
  /// Begins to watch a descriptor. It stays the caller's, who removes it before it is closed.
  func add(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> WatchOutcome
  /// Changes what is watched; nothing at all (`[]`) leaves hang-ups.
  ///
  /// - Returns: why it could not; then nothing has changed.
  func modify(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> Errno?
  /// Ends it. Events that were fetched before may still name the key.
  func remove(_ descriptor: Int32, key: UInt64)
  /// Waits until a descriptor is ready, `wake` was called, or the deadline has passed; or for less than that.
  ///
  /// - Parameter events: what was found is appended.
  func wait(until deadline: Deadline, into events: inout [PollerEvent])
  /// Ends a wait that is under way, or else the next one.
  func wake()

  /// Several threads may wait at a time. Each event, each `wake` and each ring of the alarm ends the wait of one of them.
  var servesManyWaiters: Bool { get }
  /// Has a wait find the event `PollerEvent.alarmKey` at that time, and never before; only one alarm is set at a time.
  ///
  /// Asked only of a poller that serves many waiters.
  func setAlarm(_ deadline: Deadline)
  /// Looks without waiting.
  ///
  /// - Returns: whether anything was found, a `wake` included.
  func look(into events: inout [PollerEvent]) -> Bool
}

extension Poller {
  package var servesManyWaiters: Bool { false }
  package func setAlarm(_ deadline: Deadline) { preconditionFailure("a poller without an alarm") }
  package func look(into events: inout [PollerEvent]) -> Bool {
    wait(until: .immediately, into: &events)
    return !events.isEmpty
  }
}

/// News of a descriptor.
package struct PollerEvent: Sendable {
  /// The key that the descriptor was added with.
  package var key: UInt64
  package var readiness: Readiness

  /// The alarm has rung. No registration has this key.
  package static var alarmKey: UInt64 { .max - 1 }

  package init(key: UInt64, readiness: Readiness) {
    self.key = key
    self.readiness = readiness
  }
}

/// The result of adding a descriptor.
package enum WatchOutcome: Hashable, Sendable {
  case watched
  /// It cannot be watched, because it never blocks: a regular file, `/dev/null`.
  case alwaysReady
  case failed(Errno)
}
