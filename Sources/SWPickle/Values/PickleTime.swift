/// Python's `datetime.date`.
public struct PickleDate: Hashable, Sendable {
  /// 1 to 9999, in the Gregorian calendar, extended to all times.
  public var year: Int
  public var month: Int
  public var day: Int

  /// A date that is not in the calendar is a mistake of the program.
  public init(year: Int, month: Int, day: Int) {
    precondition(Self.isValid(year: year, month: month, day: day), "no date: \(year)-\(month)-\(day)")
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

  /// Days since 1 January 1970.
  public var daysSince1970: Int {
    // Years that begin in March: the leap day is the last.
    let shifted = month > 2 ? year : year - 1
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
  }

  /// The date so many days after 1 January 1970; nil outside the years 1 to 9999.
  public init?(daysSince1970 days: Int) {
    guard -719_162...2_932_896 ~= days else { return nil }
    let sinceMarch0 = days + 719_468
    let era = sinceMarch0 / 146_097
    let dayOfEra = sinceMarch0 % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = 400 * era + yearOfEra + (month <= 2 ? 1 : 0)
  }
}

/// Python's `datetime.time`.
public struct PickleTime: Hashable, Sendable {
  public var hour: Int
  public var minute: Int
  public var second: Int
  public var microsecond: Int
  /// The second of two times of the same name, when clocks are put back.
  public var isFold: Bool
  /// Nil: the time of some place that is not said, which Python calls naive.
  public var timeZone: PickleTimeZone?

  public init(
    hour: Int, minute: Int, second: Int = 0, microsecond: Int = 0, isFold: Bool = false,
    timeZone: PickleTimeZone? = nil
  ) {
    precondition(
      Self.isValid(hour: hour, minute: minute, second: second, microsecond: microsecond), "no time of a day")
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

/// Python's `datetime.datetime`: aware of its time zone, or naive.
public struct PickleDateTime: Hashable, Sendable {
  public var date: PickleDate
  public var time: PickleTime

  public init(date: PickleDate, time: PickleTime) {
    self.date = date
    self.time = time
  }

  /// Microseconds since 1970 began in UTC; a naive one is taken for UTC.
  public var microsecondsSince1970: Int {
    let seconds =
      date.daysSince1970 * 86_400 + time.hour * 3600 + time.minute * 60 + time.second
    return seconds * 1_000_000 + time.microsecond - (time.timeZone?.offset.microseconds ?? 0)
  }

  /// That moment, in UTC; nil outside the years 1 to 9999.
  public init?(microsecondsSince1970 microseconds: Int) {
    let (days, rest) = microseconds.flooredDivision(by: 86_400_000_000)
    guard let date = PickleDate(daysSince1970: days) else { return nil }
    self.date = date
    let seconds = rest / 1_000_000
    time = PickleTime(
      hour: seconds / 3600, minute: seconds / 60 % 60, second: seconds % 60, microsecond: rest % 1_000_000,
      timeZone: .utc)
  }
}

/// Python's `datetime.timedelta`.
public struct PickleTimeDelta: Hashable, Sendable {
  public var days: Int
  /// 0 to 86,399.
  public var seconds: Int
  /// 0 to 999,999.
  public var microseconds: Int

  /// Carries over, so that each part is in its range; nil where Python overflows, at 999,999,999 days.
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

/// Python's `datetime.timezone`: an offset from UTC, and perhaps a name.
public struct PickleTimeZone: Hashable, Sendable {
  /// Less than a day, either way.
  public let offset: Offset
  public let name: String?

  public struct Offset: Hashable, Sendable {
    public let microseconds: Int
  }

  /// nil when the offset is a day or more.
  public init?(offset: PickleTimeDelta, name: String? = nil) {
    guard -1...0 ~= offset.days else { return nil }
    let microseconds = (offset.days * 86_400 + offset.seconds) * 1_000_000 + offset.microseconds
    guard microseconds > -86_400_000_000 else { return nil }
    self.offset = Offset(microseconds: microseconds)
    self.name = name
  }

  private init() {
    offset = Offset(microseconds: 0)
    name = nil
  }

  public static let utc = PickleTimeZone()

  var delta: PickleTimeDelta {
    PickleTimeDelta(days: 0, microseconds: offset.microseconds) ?? .zero
  }
}

extension Int {
  func flooredDivision(by divisor: Int) -> (quotient: Int, remainder: Int) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}

// As Python's `isoformat()` shows them.

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
  public var description: String { name ?? "UTC" + (offset.microseconds == 0 ? "" : suffix) }

  fileprivate var suffix: String {
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
