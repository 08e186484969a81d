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
    // The unit is a number of NumPy's `NPY_DATETIMEUNIT`. Before pandas 2 it is not there, and nanoseconds are meant.
    let perSecond: Int
    switch arguments.count == 3 ? 10 : arguments[3].integer {
    case 7: perSecond = 1
    case 8: perSecond = 1000
    case 9: perSecond = 1_000_000
    case 10: perSecond = 1_000_000_000
    default: return nil
    }
    let (seconds, rest) = number.flooredDivision(by: perSecond)
    return CodingInstant(seconds: Int64(seconds), nanoseconds: UInt32(rest * (1_000_000_000 / perSecond)))
  }

  /// Whether it is pandas' `NaT`, "not a time".
  var isPandasNaT: Bool {
    guard let name, name.module == "pandas._libs.tslibs.nattype" else { return false }
    return name.name == "_nat_unpickle" || name.name == "__nat_unpickle"
  }
}
