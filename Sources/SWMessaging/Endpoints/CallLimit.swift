public import SWIO

/// How long a call may wait: until a timeout or a deadline, whichever comes first.
@frozen
@usableFromInline
package struct CallLimit: Sendable {
  @usableFromInline let timeout: Duration?
  @usableFromInline let instant: Deadline

  @inlinable
  package init(_ timeout: Duration?, _ deadline: Deadline) {
    self.timeout = timeout
    instant = deadline
  }

  /// Whether the call may wait.
  @inlinable package var mayWait: Bool { instant != .immediately && timeout.map { $0 > .zero } ?? true }

  /// The instant. If there is a timeout, it begins now, so this reads the clock.
  @usableFromInline
  package var deadline: Deadline {
    guard let timeout else { return instant }
    return min(.after(timeout), instant)
  }
}
