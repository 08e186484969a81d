#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

// Written by hand because Foundation's own formats drop or refuse a second's fraction, depending on the
// toolchain, while Python's `isoformat()` writes six digits of it.

extension CodingInstant {
  /// Text such as `2026-11-25T20:00:00.250Z`; nil outside of the years 0 to 9999, which have four digits.
  package var iso8601: String? {
    let (day, second) = seconds.quotientAndRemainder(flooredBy: 86_400)
    guard let date = Self.civil(day), (0...9999).contains(date.year) else { return nil }
    func digits(_ number: Int64, _ count: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, count - text.count)) + text
    }
    var text = "\(digits(date.year, 4))-\(digits(date.month, 2))-\(digits(date.day, 2))T"
    text += "\(digits(second / 3600, 2)):\(digits(second / 60 % 60, 2)):\(digits(second % 60, 2))"
    return text + fraction(digits) + "Z"
  }

  /// A point and digits: the fewest of 0, 3, 6 and 9 from which the same `Date` can be read.
  private func fraction(_ digits: (Int64, Int) -> String) -> String {
    for (count, unit) in [(0, UInt32(1_000_000_000)), (3, 1_000_000), (6, 1000)] {
      let units = count == 0 ? 0 : (nanoseconds + unit / 2) / unit
      if units * unit < 1_000_000_000,
        CodingInstant(seconds: seconds, nanoseconds: units * unit).date == date
      {
        return count == 0 ? "" : "." + digits(Int64(units), count)
      }
    }
    return "." + digits(Int64(nanoseconds), 9)
  }

  /// Reads text such as `2026-11-25T20:00:00.123456+00:00`: a date, `T` or a space, a time with or without seconds,
  /// their fraction, and an offset from UTC; or a date alone. Returns nil for any other text.
  package init?(iso8601 text: String) {
    var text = Array(text.utf8)[...]
    func take(_ byte: UInt8) -> Bool {
      guard text.first == byte else { return false }
      text.removeFirst()
      return true
    }
    func number(_ count: Int) -> Int64? {
      let digits = text.prefix(count)
      guard digits.count == count, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
      text.removeFirst(count)
      return digits.reduce(0) { 10 * $0 + Int64($1 - 0x30) }
    }
    let (dash, colon, point) = (UInt8(0x2d), UInt8(0x3a), UInt8(0x2e))

    guard let year = number(4) else { return nil }
    let isExtended = take(dash)
    guard let month = number(2), !isExtended || take(dash), let day = number(2),
      let days = Self.days(year, month, day)
    else { return nil }
    seconds = days * 86_400
    nanoseconds = 0
    if text.isEmpty { return }

    guard take(0x54) || take(0x74) || take(0x20), let hour = number(2), hour <= 24 else { return nil }
    let hasColon = take(colon)
    guard let minute = number(2), minute < 60 else { return nil }
    var second: Int64 = 0
    if hasColon ? take(colon) : (text.first.map { (0x30...0x39).contains($0) } ?? false) {
      // A leap second counts as the first of the next minute.
      guard let read = number(2), read <= 60 else { return nil }
      second = read
      if take(point) || take(0x2c) {
        let digits = text.prefix { (0x30...0x39).contains($0) }
        if digits.isEmpty { return nil }
        text.removeFirst(digits.count)
        let nine = digits.prefix(9).reduce(UInt32(0)) { 10 * $0 + UInt32($1 - 0x30) }
        nanoseconds = (min(digits.count, 9)..<9).reduce(nine) { value, _ in 10 * value }
      }
    }
    seconds += hour * 3600 + minute * 60 + second
    if hour == 24, minute != 0 || second != 0 || nanoseconds != 0 { return nil }

    if !text.isEmpty, !take(0x5a), !take(0x7a) {
      let isEast = take(0x2b)
      guard isEast || take(dash), let hours = number(2), hours < 24 else { return nil }
      var offset = hours * 3600
      if !text.isEmpty {
        _ = take(colon)
        guard let minutes = number(2), minutes < 60 else { return nil }
        offset += minutes * 60
        if take(colon) {
          guard let read = number(2), read < 60 else { return nil }
          offset += read
        }
      }
      seconds -= isEast ? offset : -offset
    }
    if !text.isEmpty { return nil }
  }

  // MARK: The calendar

  /// The date of a day since 1970, in the Gregorian calendar extended to all years. The year begins in March here,
  /// which puts the leap day at its end.
  private static func civil(_ day: Int64) -> (year: Int64, month: Int64, day: Int64)? {
    // Days far beyond the years that have four digits are excluded first.
    guard abs(day / 146_097) < 1000 else { return nil }
    let (era, dayOfEra) = (day + 719_468).quotientAndRemainder(flooredBy: 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let march = (5 * dayOfYear + 2) / 153
    let month = march < 10 ? march + 3 : march - 9
    return (era * 400 + yearOfEra + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * march + 2) / 5 + 1)
  }

  /// The days from 1970 to a date; nil if the calendar has no such date.
  private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64? {
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let lengths: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    guard (1...12).contains(month), (1...lengths[Int(month) - 1]).contains(day) else { return nil }
    let shifted = month <= 2 ? year - 1 : year
    let (era, yearOfEra) = shifted.quotientAndRemainder(flooredBy: 400)
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }
}

extension Int64 {
  fileprivate func quotientAndRemainder(flooredBy divisor: Int64) -> (Int64, Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}
