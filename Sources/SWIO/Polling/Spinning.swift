internal import CSysShim
internal import Synchronization

/// Checks repeatedly instead of sleeping. This takes a whole processor, so spinning threads use at most half of the
/// processors that the process may use, and none if there is only one.
package enum Spinning {
  private static let spinnerCount = Atomic(0)
  private static let mostSpinners = Int(swsys_processor_count()) / 2

  /// Calls `look` until it finds something, the time has passed, or the deadline has.
  ///
  /// - Parameter nanoseconds: the time.
  /// - Returns: whether something was found. Without a free processor, `look` is not called.
  package static func spin(for nanoseconds: UInt64, until deadline: Deadline, _ look: () -> Bool) -> Bool {
    let others = spinnerCount.wrappingAdd(1, ordering: .relaxed).oldValue
    defer { spinnerCount.wrappingSubtract(1, ordering: .relaxed) }
    if others >= mostSpinners { return false }
    let end = min(deadline.nanoseconds, swsys_now() &+ nanoseconds)
    repeat {
      if look() { return true }
    } while swsys_now() < end
    return false
  }

  /// A duration in nanoseconds, at least zero.
  package static func nanoseconds(_ duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = max(duration, .zero).components
    let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    return overflow
      ? UInt64(Int64.max) : min(whole, UInt64(Int64.max) / 2) + UInt64(attoseconds / 1_000_000_000)
  }
}
