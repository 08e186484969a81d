package import SystemPackage

/// Waits for descriptors on behalf of a reactor, with the means of one system.
///
/// Descriptors may be added, changed and removed on any thread, and any thread may call `wake`. One thread at a time waits,
/// unless the poller says otherwise (`servesManyWaiters`). Each event is a hint. Each readiness is reported once when it
/// comes, even if it was there when the watching began. It is reported again when more has come, or earlier. Hang-ups are
/// reported whether or not they are watched.
package protocol Poller: AnyObject, Sendable {
  /// Begins to watch a descriptor. The caller keeps it, and removes it before it is closed.
  func add(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> WatchOutcome
  /// Changes the interest. An empty interest (`[]`) leaves only hang-ups.
  ///
  /// - Returns: the error if that failed. Then nothing has changed.
  func modify(_ descriptor: Int32, key: UInt64, watching interest: Readiness) -> Errno?
  /// Ends the watching. Events that were fetched before may still have the key.
  func remove(_ descriptor: Int32, key: UInt64)
  /// Waits until a descriptor is ready, `wake` is called, or the deadline has passed. It may return earlier.
  ///
  /// - Parameter events: the events that were found are appended.
  func wait(until deadline: Deadline, into events: inout [PollerEvent])
  /// Ends the present wait, or the next one if there is none.
  func wake()

  /// Whether several threads may wait at a time. Each event, each `wake` and each alarm then ends the wait of one thread.
  var servesManyWaiters: Bool { get }
  /// Makes a wait find the event `PollerEvent.alarmKey` at that time, and not before. Only one alarm is set at a time.
  ///
  /// Called only if the poller serves many waiters.
  func setAlarm(_ deadline: Deadline)
  /// Looks for events without waiting.
  ///
  /// - Returns: whether anything was found, including a `wake`.
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

/// An event of a descriptor.
package struct PollerEvent: Sendable {
  /// The key with which the descriptor was added.
  package var key: UInt64
  package var readiness: Readiness

  /// The key of the alarm. No registration has it.
  package static var alarmKey: UInt64 { .max - 1 }

  package init(key: UInt64, readiness: Readiness) {
    self.key = key
    self.readiness = readiness
  }
}

/// The result of adding a descriptor.
package enum WatchOutcome: Hashable, Sendable {
  case watched
  /// The descriptor cannot be watched, because it never blocks: a regular file, `/dev/null`.
  case alwaysReady
  case failed(Errno)
}
