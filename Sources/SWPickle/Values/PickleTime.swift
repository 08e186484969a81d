/// Python's `datetime.date`.
public struct PickleDate: Hashable, Sendable {
  /// The year, from 1 to 9999, in the proleptic Gregorian calendar.
  public let year: Int
  /// The month, from 1 to 12.
  public let month: Int
  /// The day of the month, from 1.
  public let day: Int

  /// A date.
  ///
  /// - Returns: nil if the calendar has no such date.
  public init?(year: Int, month: Int, day: Int) {
    guard Self.isValid(year: year, month: month, day: day) else { return nil }
    self.year = year
    self.month = month
    self.day = day
  }

  static func isValid(year: Int, month: Int, day: Int) -> Bool {
    guard 1...9999 ~= year, 1...12 ~= month else { return false }
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let days = month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
    return 1...days ~= day
  }

  /// The number of days since 1 January 1970.
  public var daysSince1970: Int {
    // The years begin in March, so the leap day is the last day.
    let shifted = month > 2 ? year : year - 1
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
  }

  /// The date a number of days after 1 January 1970; nil outside the years 1 to 9999.
  public init?(daysSince1970 days: Int) {
    guard -719_162...2_932_896 ~= days else { return nil }
    let sinceMarch0 = days + 719_468
    let era = sinceMarch0 / 146_097
    let dayOfEra = sinceMarch0 % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    self.month = month
    year = 400 * era + yearOfEra + (month <= 2 ? 1 : 0)
  }
}

/// Python's `datetime.time`.
public struct PickleTime: Hashable, Sendable {
  /// The hour, from 0 to 23.
  public let hour: Int
  /// 0 to 59.
  public let minute: Int
  /// 0 to 59.
  public let second: Int
  /// 0 to 999,999.
  public let microsecond: Int
  /// Whether this is the second of two equal times, when clocks are put back.
  public var isFold: Bool
  /// The time zone; nil for a time that Python calls naive.
  public var timeZone: PickleTimeZone?

  /// A time.
  ///
  /// - Returns: nil if a day has no such time.
  public init?(
    hour: Int, minute: Int, second: Int = 0, microsecond: Int = 0, isFold: Bool = false,
    timeZone: PickleTimeZone? = nil
  ) {
    guard Self.isValid(hour: hour, minute: minute, second: second, microsecond: microsecond) else {
      return nil
    }
    self.init(validHour: hour, minute, second, microsecond, isFold: isFold, timeZone)
  }

  /// Makes the time this number of microseconds after midnight. It must be less than a day.
  init(microsecondsSinceMidnight microseconds: Int, timeZone: PickleTimeZone?) {
    let seconds = microseconds / 1_000_000
    self.init(
      validHour: seconds / 3600, seconds / 60 % 60, seconds % 60, microseconds % 1_000_000, isFold: false,
      timeZone)
  }

  private init(
    validHour hour: Int, _ minute: Int, _ second: Int, _ microsecond: Int, isFold: Bool,
    _ timeZone: PickleTimeZone?
  ) {
    self.hour = hour
    self.minute = minute
    self.second = second
    self.microsecond = microsecond
    self.isFold = isFold
    self.timeZone = timeZone
  }

  static func isValid(hour: Int, minute: Int, second: Int, microsecond: Int) -> Bool {
    0...23 ~= hour && 0...59 ~= minute && 0...59 ~= second && 0...999_999 ~= microsecond
  }
}

/// Python's `datetime.datetime`, aware or naive.
public struct PickleDateTime: Hashable, Sendable {
  public var date: PickleDate
  public var time: PickleTime

  public init(date: PickleDate, time: PickleTime) {
    self.date = date
    self.time = time
  }

  /// The number of microseconds since the start of 1970 in UTC; a naive datetime is taken as UTC. Nil if the offset
  /// of the time zone is not known.
  public var microsecondsSince1970: Int? {
    var offset = 0
    if let zone = time.timeZone {
      guard let known = zone.offset else { return nil }
      offset = known.microseconds
    }
    return localMicroseconds - offset
  }

  /// Microseconds since 1970 began in its own time zone.
  var localMicroseconds: Int {
    let seconds = date.daysSince1970 * 86_400 + time.hour * 3600 + time.minute * 60 + time.second
    return seconds * 1_000_000 + time.microsecond
  }

  /// The datetime in UTC a number of microseconds after the start of 1970; nil outside the years 1 to 9999.
  public init?(microsecondsSince1970 microseconds: Int) {
    self.init(microseconds: microseconds, in: .utc)
  }

  init?(microseconds: Int, in timeZone: PickleTimeZone?) {
    let (days, rest) = microseconds.flooredDivision(by: 86_400_000_000)
    guard let date = PickleDate(daysSince1970: days) else { return nil }
    self.date = date
    time = PickleTime(microsecondsSinceMidnight: rest, timeZone: timeZone)
  }
}

/// Python's `datetime.timedelta`.
public struct PickleTimeDelta: Hashable, Sendable {
  /// The days, from -999,999,999 to 999,999,999.
  public let days: Int
  /// The seconds, from 0 to 86,399.
  public let seconds: Int
  /// 0 to 999,999.
  public let microseconds: Int

  /// A difference with its parts carried over into their ranges; nil if there are more than 999,999,999 days, where
  /// Python overflows.
  public init?(days: Int, seconds: Int = 0, microseconds: Int = 0) {
    let (carriedSeconds, microseconds) = microseconds.flooredDivision(by: 1_000_000)
    let (sum, isTooLarge) = seconds.addingReportingOverflow(carriedSeconds)
    let (carriedDays, seconds) = sum.flooredDivision(by: 86_400)
    let (days, isTooLong) = days.addingReportingOverflow(carriedDays)
    guard !isTooLarge, !isTooLong, -999_999_999...999_999_999 ~= days else { return nil }
    self.days = days
    self.seconds = seconds
    self.microseconds = microseconds
  }

  public static let zero = PickleTimeDelta(validDays: 0, seconds: 0, microseconds: 0)

  private init(validDays: Int, seconds: Int, microseconds: Int) {
    self.days = validDays
    self.seconds = seconds
    self.microseconds = microseconds
  }
}

/// The time zone of a datetime or a time.
///
/// Either a `datetime.timezone`, which is an offset from UTC and perhaps a name; or a zone of another class, such as
/// `zoneinfo.ZoneInfo`, whose name is known and whose offset usually is not.
public struct PickleTimeZone: Hashable, Sendable {
  /// The offset from UTC, less than a day; nil if the pickle does not give one because it depends on the date.
  public let offset: Offset?
  /// The name of a `datetime.timezone`, if it has one; for other zones the identifier, such as `Europe/Berlin`, if
  /// the pickle gives one.
  public let name: String?

  public struct Offset: Hashable, Sendable {
    public let microseconds: Int
  }

  /// A `datetime.timezone`.
  ///
  /// - Returns: nil if the offset is a day or more.
  public init?(offset: PickleTimeDelta, name: String? = nil) {
    guard let offset = Offset(offset) else { return nil }
    self.init(offset: offset, name: name)
  }

  /// A `zoneinfo.ZoneInfo`, such as `Europe/Berlin`.
  public init(identifier: String) { self.init(offset: nil, name: identifier) }

  init(offset: Offset?, name: String?) {
    self.offset = offset
    self.name = name
  }

  // Names are compared by their bytes, as in Python.

  public static func == (a: PickleTimeZone, b: PickleTimeZone) -> Bool {
    a.offset == b.offset && a.name.map { PickleText($0) } == b.name.map { PickleText($0) }
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(offset)
    hasher.combine(name.map { PickleText($0) })
  }

  /// Whether neither offset nor name is known.
  var isUnknown: Bool { offset == nil && name == nil }

  /// UTC: `datetime.timezone.utc`.
  public static let utc = PickleTimeZone(offset: Offset(microseconds: 0), name: nil)

  var delta: PickleTimeDelta {
    PickleTimeDelta(days: 0, microseconds: offset?.microseconds ?? 0) ?? .zero
  }
}

extension PickleTimeZone.Offset {
  /// - Returns: nil for a day or more.
  init?(_ delta: PickleTimeDelta) {
    guard -1...0 ~= delta.days else { return nil }
    let microseconds = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    guard microseconds > -86_400_000_000 else { return nil }
    self.microseconds = microseconds
  }

  /// - Returns: nil for a day or more.
  init?(seconds: Int) {
    guard -86_399...86_399 ~= seconds else { return nil }
    microseconds = seconds * 1_000_000
  }
}

extension Int {
  func flooredDivision(by divisor: Int) -> (quotient: Int, remainder: Int) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}

// Texts in the form of Python's `isoformat()`.

extension PickleDate: CustomStringConvertible {
  public var description: String { "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))" }
}

extension PickleTime: CustomStringConvertible {
  public var description: String {
    let fraction = microsecond == 0 ? "" : ".\(padded(microsecond, 6))"
    return "\(padded(hour, 2)):\(padded(minute, 2)):\(padded(second, 2))\(fraction)\(timeZone?.suffix ?? "")"
  }
}

extension PickleDateTime: CustomStringConvertible {
  public var description: String { "\(date)T\(time)" }
}

extension PickleTimeDelta: CustomStringConvertible {
  public var description: String {
    "timedelta(days: \(days), seconds: \(seconds), microseconds: \(microseconds))"
  }
}

extension PickleTimeZone: CustomStringConvertible {
  public var description: String {
    name ?? offset.map { "UTC" + ($0.microseconds == 0 ? "" : suffix) } ?? "unknown"
  }

  /// The suffix of `isoformat()`. If the zone's offset is unknown, the name in brackets, as in RFC 9557.
  fileprivate var suffix: String {
    guard let offset else { return "[\(name ?? "unknown")]" }
    let seconds = offset.microseconds.magnitude / 1_000_000
    let sign = offset.microseconds < 0 ? "-" : "+"
    let rest = seconds % 60 == 0 ? "" : ":\(padded(Int(seconds % 60), 2))"
    return "\(sign)\(padded(Int(seconds / 3600), 2)):\(padded(Int(seconds / 60 % 60), 2))\(rest)"
  }
}

private func padded(_ number: Int, _ width: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
}
