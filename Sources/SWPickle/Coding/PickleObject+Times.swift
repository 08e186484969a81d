// The times of other classes than Python's own: of their subclasses, such as those of freezegun, and of pendulum.
//
// Source: CPython 3.13, `Lib/_pydatetime.py` (`_getstate`, `__reduce_ex__`: the class is called with the bytes and perhaps the
// zone); pendulum 3.0, `datetime.py` and `time.py` (`_getstate`) and `duration.py` (`__reduce__`).

extension PickleObject {
  /// Whether the object is a time also for a type that asks for none. Then it is no simple value and no sequence, whatever its
  /// arguments are: they are bytes or numbers that only its class understands. The class has to be named for it, because any
  /// class may be called with four bytes that happen to be a date.
  var isTime: Bool { isPandasTime || time != nil && isNamedForTime }

  private var isNamedForTime: Bool {
    guard let name, name.name.utf8.count <= 200 else { return false }
    let words = name.name.lowercased()
    return ["date", "time", "duration"].contains { words.contains($0) }
  }

  /// The date, time, datetime or timedelta that the object is. Nil for other objects, and for those of pandas.
  var time: PickleValue? {
    guard !isNew, node.base == nil, node.keywordArguments == nil, node.state == nil, node.appended.isEmpty,
      node.items.isEmpty, 1...8 ~= node.arguments.count
    else { return nil }
    if node.arguments.count <= 2, let bytes = packedTime {
      guard node.arguments.count == 2 else { return Self.time(bytes, zone: nil) }
      guard let zone = Zone(arguments[1]) else { return nil }
      return Self.time(bytes, zone: zone.value)
    }
    return node.arguments.count >= 3 ? pendulumTime : nil
  }

  private var packedTime: [UInt8]? {
    guard case .bytes(let bytes) = arguments[0].content, [4, 6, 10].contains(bytes.count) else { return nil }
    return bytes
  }

  /// A time zone, or none.
  private struct Zone {
    var value: PickleTimeZone?

    /// Returns nil for a value that is no zone.
    init?(_ value: PickleValue) {
      switch value.content {
      case .none: break
      case .timeZone(let zone): self.value = zone
      case .object(let object): self.value = object.timeZone
      default: return nil
      }
    }
  }

  private static func time(_ bytes: [UInt8], zone: PickleTimeZone?) -> PickleValue? {
    var bytes = bytes[...]
    switch bytes.count {
    case 4: return zone == nil ? PickleDate(packed: bytes).map { PickleValue($0) } : nil
    case 6: return PickleTime(packed: bytes, mayFold: true, timeZone: zone).map { PickleValue($0) }
    default:
      // The top bit of the month is the fold.
      let isFold = bytes[2] & 0x80 != 0
      bytes[2] &= 0x7f
      guard let date = PickleDate(packed: bytes.prefix(4)),
        var time = PickleTime(packed: bytes.dropFirst(4), mayFold: false, timeZone: zone)
      else { return nil }
      time.isFold = isFold
      return PickleValue(PickleDateTime(date: date, time: time))
    }
  }

  /// pendulum's DateTime, Time and Duration, which it makes of numbers.
  private var pendulumTime: PickleValue? {
    guard let name, PickleText(name.module).hasPrefix("pendulum.") else { return nil }
    var numbers: [Int] = []
    for argument in arguments {
      guard let number = argument.integer else { break }
      numbers.append(number)
    }
    guard numbers.count >= arguments.count - 1, numbers.count <= 7 else { return nil }
    let zone = numbers.count == arguments.count ? nil : Zone(arguments[numbers.count])
    if zone == nil, numbers.count != arguments.count { return nil }
    switch (PickleText(name.name), numbers.count) {
    case ("Duration", 3) where zone == nil:
      return PickleTimeDelta(days: numbers[0], seconds: numbers[1], microseconds: numbers[2])
        .map { PickleValue($0) }
    case ("Time", 4): return Self.time(numbers[...], zone?.value).map { PickleValue($0) }
    case ("DateTime", 7):
      guard let date = PickleDate(year: numbers[0], month: numbers[1], day: numbers[2]),
        let time = Self.time(numbers[3...], zone?.value)
      else { return nil }
      return PickleValue(PickleDateTime(date: date, time: time))
    default: return nil
    }
  }

  /// The hour, minute, second and microsecond.
  private static func time(_ numbers: ArraySlice<Int>, _ zone: PickleTimeZone?) -> PickleTime? {
    let numbers = Array(numbers)
    return PickleTime(
      hour: numbers[0], minute: numbers[1], second: numbers[2], microsecond: numbers[3], timeZone: zone)
  }
}

extension PickleValue {
  /// The time that an object of another class is; otherwise the value itself.
  var time: PickleValue {
    guard case .object(let object) = content, let time = object.time else { return self }
    return time
  }
}

extension PickleDate {
  /// Four bytes: year, month, day. Returns nil if the calendar has no such date.
  init?(packed bytes: ArraySlice<UInt8>) {
    let parts = bytes.map(Int.init)
    self.init(year: parts[0] << 8 | parts[1], month: parts[2], day: parts[3])
  }
}

extension PickleTime {
  /// Six bytes: hour, minute, second, and three of microseconds. The hour's top bit may be the fold. Returns nil if a day has no
  /// such time.
  init?(packed bytes: ArraySlice<UInt8>, mayFold: Bool, timeZone: PickleTimeZone?) {
    let parts = bytes.map(Int.init)
    self.init(
      hour: mayFold ? parts[0] & 0x7f : parts[0], minute: parts[1], second: parts[2],
      microsecond: parts[3] << 16 | parts[4] << 8 | parts[5], isFold: parts[0] & 0x80 != 0, timeZone: timeZone
    )
  }
}
