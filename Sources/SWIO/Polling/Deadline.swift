internal import CSysShim

/// An instant of the monotonic clock (`CLOCK_MONOTONIC`) by which something must have happened.
///
/// Calls that share a deadline end together, however many they are:
///
/// ```swift
/// let deadline = Deadline.after(.seconds(5))
/// while let line = try await reader.next(until: deadline) { … }
/// ```
///
/// A timeout given as a `Duration` becomes a deadline once, when a call starts, so that a call that waits
/// several times does not wait longer than it was told.
@frozen
public struct Deadline: Comparable, Hashable, Sendable {
  /// Nanoseconds of the monotonic clock; `UInt64.max` means never.
  public let nanoseconds: UInt64

  @inlinable
  public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  /// The deadline that never comes.
  @inlinable
  public static var never: Deadline { Deadline(nanoseconds: .max) }

  /// The deadline that has always passed: one attempt, no waiting.
  @inlinable
  public static var immediately: Deadline { Deadline(nanoseconds: 0) }

  /// This instant.
  public static var now: Deadline { Deadline(nanoseconds: swsys_now()) }

  /// The instant a timeout from now: rounded up to whole nanoseconds and saturating, so that no
  /// duration is too long. For nil it never comes; for zero and negative ones it has passed.
  public static func after(_ timeout: Duration?) -> Deadline {
    guard let timeout else { return .never }
    guard timeout > .zero else { return .immediately }
    let (seconds, attoseconds) = timeout.components
    let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let part = (UInt64(attoseconds) + 999_999_999) / 1_000_000_000
    if overflow { return .never }
    let (length, tooLong) = whole.addingReportingOverflow(part)
    let (instant, tooLate) = swsys_now().addingReportingOverflow(length)
    return tooLong || tooLate ? .never : Deadline(nanoseconds: instant)
  }

  /// Whether it has passed.
  public var hasPassed: Bool { hasPassed(by: .now) }

  /// Whether the deadline has passed by `now`, which is evaluated only if that matters.
  package func hasPassed(by now: @autoclosure () -> Deadline) -> Bool {
    nanoseconds == 0 || (nanoseconds != .max && self <= now())
  }

  /// The nanoseconds that are left, in the kernel's form: negative if there is no limit, zero if the deadline has passed.
  package var remaining: Int64 {
    if nanoseconds == .max { return -1 }
    if nanoseconds == 0 { return 0 }
    let now = swsys_now()
    return nanoseconds <= now ? 0 : Int64(clamping: nanoseconds - now)
  }

  public static func < (a: Deadline, b: Deadline) -> Bool { a.nanoseconds < b.nanoseconds }
}
