#if canImport(FoundationEssentials)
  package import FoundationEssentials
#else
  package import Foundation
#endif

/// A point in time as whole seconds since 1970 and nanoseconds.
///
/// A `Date` counts from 2001. A conversion through `timeIntervalSince1970` rounds its last bit, and half of all dates come
/// back unequal. So seconds and fraction are split first, and the years between are added as an integer. A date more than 97
/// days from the start of 2001 comes back equal, because a nanosecond is then finer than its own steps.
package struct CodingInstant: Hashable, Sendable {
  package var seconds: Int64
  /// Below a billion.
  package var nanoseconds: UInt32

  /// The seconds from the start of 1970 to the start of 2001.
  private static var epochDistance: Int64 { 978_307_200 }

  package init(seconds: Int64, nanoseconds: UInt32) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  /// Returns nil for a date that 64 bits of seconds cannot express.
  package init?(_ date: Date) {
    let time = date.timeIntervalSinceReferenceDate
    let whole = time.rounded(.down)
    guard let since2001 = Int64(exactly: whole) else { return nil }
    var nanoseconds = UInt32(((time - whole) * 1e9).rounded())
    var (seconds, isTooLate) = since2001.addingReportingOverflow(Self.epochDistance)
    if nanoseconds == 1_000_000_000 {
      nanoseconds = 0
      let (next, isTooLateNow) = seconds.addingReportingOverflow(1)
      seconds = next
      isTooLate = isTooLate || isTooLateNow
    }
    if isTooLate { return nil }
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  package var date: Date {
    let (since2001, isTooEarly) = seconds.subtractingReportingOverflow(Self.epochDistance)
    let whole = isTooEarly ? Double(seconds) - Double(Self.epochDistance) : Double(since2001)
    let date = Date(timeIntervalSinceReferenceDate: whole + Double(nanoseconds) / 1e9)
    // A Date is less fine there than a microsecond. Python's `datetime.max`, which often stands for "never", would become the
    // start of year 10000, which neither Python nor ISO 8601 has.
    return seconds < Self.startOfYear10000 ? min(date, Self.lastOfYear9999) : date
  }

  private static var startOfYear10000: Int64 { 253_402_300_800 }

  /// The last Date of year 9999.
  private static var lastOfYear9999: Date { Date(timeIntervalSinceReferenceDate: 252_423_993_600.0.nextDown) }
}

extension Date {
  /// The date a number of seconds after the start of 2001. Nil for an infinity and for NaN, which are no dates: Foundation's
  /// description of a date that is not a number ends the process.
  package init?(finiteSinceReferenceDate seconds: Double) {
    guard seconds.isFinite else { return nil }
    self.init(timeIntervalSinceReferenceDate: seconds)
  }
}
