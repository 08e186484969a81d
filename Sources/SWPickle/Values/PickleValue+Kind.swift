extension PickleValue {
  /// The kind of the value, in Python's words.
  var kind: String {
    switch content {
    case .none: "None"
    case .bool: "a bool"
    case .int: "an int"
    case .float: "a float"
    case .complex: "a complex"
    case .string: "a str"
    case .bytes: "bytes"
    case .byteArray: "a bytearray"
    case .list: "a list"
    case .tuple: "a tuple"
    case .set: "a set"
    case .frozenSet: "a frozenset"
    case .dict: "a dict"
    case .orderedDict: "an OrderedDict"
    case .date: "a date"
    case .time: "a time"
    case .dateTime: "a datetime"
    case .timeDelta: "a timedelta"
    case .timeZone: "a timezone"
    case .decimal: "a Decimal"
    case .uuid: "a UUID"
    case .array(let array): "an \(array)"
    case .arrayType: "a dtype"
    case .object(let object):
      object.isTextWithSurrogates
        ? "a str with a lone surrogate" : object.name.map { "a \($0)" } ?? "an object"
    case .name(let name): "\(name) itself"
    }
  }
}

extension PickleObject {
  /// Whether it is a str with a lone surrogate, which no `String` can hold: the call that makes it from bytes.
  var isTextWithSurrogates: Bool {
    arguments.count == 3 && name?.canonical == PickleName("builtins", "str")
      && arguments[2].text.map { PickleText($0) } == "surrogatepass"
  }
}
