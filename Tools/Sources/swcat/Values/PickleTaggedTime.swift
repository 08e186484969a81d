internal import SWMessaging
internal import SWPickle

extension TaggedFields {
  /// Python's dates and times, as ``PickleTaggedWriter`` writes them.
  func pickleTime() throws(Misread) -> PickleValue {
    switch type {
    case "date": return PickleValue(try date(Substring(text())))
    case "time": return PickleValue(try time(Substring(text())))
    case "datetime":
      let parts = try text().split(separator: "T", omittingEmptySubsequences: false)
      guard parts.count == 2 else { throw misread("YYYY-MM-DDThh:mm:ss", in: "v") }
      return PickleValue(PickleDateTime(date: try date(parts[0]), time: try time(parts[1])))
    case "timedelta":
      guard
        let delta = PickleTimeDelta(
          days: try integer("days"), seconds: try integer("seconds"),
          microseconds: try integer("microseconds"))
      else { throw misread("at most 999999999", in: "days") }
      return PickleValue(delta)
    case "timezone": return PickleValue(try zone())
    default:
      throw Misread(at: offset, expected: "a type that can be sent", found: "type \(type)")
    }
  }

  private func date(_ text: Substring) throws(Misread) -> PickleDate {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    if parts.count == 3, let year = Self.number(parts[0], 4), let month = Self.number(parts[1], 2),
      let day = Self.number(parts[2], 2), let date = PickleDate(year: year, month: month, day: day)
    {
      return date
    }
    throw misread("a date of the calendar, YYYY-MM-DD", in: "v")
  }

  private func time(_ text: Substring) throws(Misread) -> PickleTime {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    let clock = parts.first?.split(separator: ":", omittingEmptySubsequences: false) ?? []
    guard parts.count <= 2, clock.count == 3, let hour = Self.number(clock[0], 2),
      let minute = Self.number(clock[1], 2), let second = Self.number(clock[2], 2),
      let microsecond = parts.count == 2 ? Self.number(parts[1], 6) : 0,
      var time = PickleTime(hour: hour, minute: minute, second: second, microsecond: microsecond)
    else { throw misread("a time of the day, hh:mm:ss or hh:mm:ss.ffffff", in: "v") }
    if self["fold"] != nil {
      let fold = try integer("fold")
      guard 0...1 ~= fold else { throw misread("0 or 1", in: "fold") }
      time.isFold = fold == 1
    }
    if let zone = self["zone"] { time.timeZone = try TaggedFields(zone, in: document).zone() }
    return time
  }

  private func zone() throws(Misread) -> PickleTimeZone {
    let name = self["name"] == nil ? nil : try text("name")
    if let name, self["microseconds"] == nil { return PickleTimeZone(identifier: name) }
    guard let delta = PickleTimeDelta(days: 0, microseconds: try integer("microseconds")),
      let zone = PickleTimeZone(offset: delta, name: name)
    else { throw misread("less than a day", in: "microseconds") }
    return zone
  }

  /// A number with exactly this many digits.
  private static func number(_ digits: Substring, _ count: Int) -> Int? {
    digits.utf8.count == count && digits.utf8.allSatisfy { 0x30...0x39 ~= $0 } ? Int(digits) : nil
  }
}
