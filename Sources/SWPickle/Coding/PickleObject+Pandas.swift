internal import SWCoding

// The times of pandas, which are objects of its own classes. Source: pandas 2.0 and 3.1,
// `pandas/_libs/tslibs/timestamps.pyx` (`_unpickle_timestamp`) and `nattype.pyx`.

extension PickleObject {
  /// The time of a `pandas.Timestamp`: `_unpickle_timestamp(number, None, zone, unit)`, where the number counts from 1970 in
  /// UTC. Without a zone, the number is that of the same clock in UTC. Nil for other objects.
  var pandasInstant: CodingInstant? {
    guard name == PickleName("pandas._libs.tslibs.timestamps", "_unpickle_timestamp"),
      3...4 ~= arguments.count, let number = arguments[0].integer
    else { return nil }
    // Before pandas 2 the unit is not there, and nanoseconds are meant.
    guard let perSecond = arguments.count == 3 ? 1_000_000_000 : Self.unitsPerSecond(arguments[3]) else {
      return nil
    }
    let (seconds, rest) = number.flooredDivision(by: perSecond)
    return CodingInstant(seconds: Int64(seconds), nanoseconds: UInt32(rest * (1_000_000_000 / perSecond)))
  }

  /// The duration of a `pandas.Timedelta`: `_timedelta_unpickle(number, unit)`, or `Timedelta(number)` in nanoseconds. Nil
  /// for other objects, and for a duration that a timedelta of Python's does not hold exactly.
  var pandasTimeDelta: PickleTimeDelta? {
    guard let name, PickleText(name.module) == "pandas._libs.tslibs.timedeltas",
      let number = arguments.first?.integer
    else {
      return nil
    }
    let perSecond: Int?
    switch (PickleText(name.name), arguments.count) {
    case ("_timedelta_unpickle", 2): perSecond = Self.unitsPerSecond(arguments[1])
    case ("Timedelta", 1): perSecond = 1_000_000_000
    default: perSecond = nil
    }
    guard let perSecond else { return nil }
    let (seconds, rest) = number.flooredDivision(by: perSecond)
    let (microseconds, finer) = (rest * 1_000_000).quotientAndRemainder(dividingBy: perSecond)
    return finer == 0 ? PickleTimeDelta(days: 0, seconds: seconds, microseconds: microseconds) : nil
  }

  /// A unit of time as a number of NumPy's `NPY_DATETIMEUNIT`.
  private static func unitsPerSecond(_ unit: PickleValue) -> Int? {
    switch unit.integer {
    case 7: 1
    case 8: 1000
    case 9: 1_000_000
    case 10: 1_000_000_000
    default: nil
    }
  }

  /// Whether it is one of the times and durations of pandas, also one in a form that is not known.
  var isPandasTime: Bool {
    guard let name, PickleText(name.module).hasPrefix("pandas._libs.tslibs.") else { return false }
    return ["timestamps", "timedeltas", "nattype", "period"].contains {
      PickleText(name.module) == PickleText("pandas._libs.tslibs." + $0)
    }
  }

  /// Whether it is pandas' `NaT`, "not a time".
  var isPandasNaT: Bool {
    name == PickleName("pandas._libs.tslibs.nattype", "_nat_unpickle")
      || name == PickleName("pandas._libs.tslibs.nattype", "__nat_unpickle")
  }
}
