// Conversions between Swift values and Python values.

extension PickleValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  public init(nilLiteral: ()) { self.init(Storage.none) }
  public init(booleanLiteral value: Bool) { self.init(.bool(value)) }
  public init(integerLiteral value: Int) { self.init(.int(value)) }
  public init(floatLiteral value: Double) { self.init(.float(value)) }
  public init(stringLiteral value: String) { self.init(Storage.string(value)) }
  /// A list.
  public init(arrayLiteral elements: PickleValue...) { self = .list(elements) }
  /// A dict, in this order.
  public init(dictionaryLiteral pairs: (PickleValue, PickleValue)...) { self = .dict(pairs) }
}

extension PickleValue {
  /// Python's `None`.
  public static var none: PickleValue { PickleValue(Storage.none) }

  public init(_ value: Bool) { self.init(.bool(value)) }
  public init(_ value: some BinaryInteger) { self.init(PickleInt(value)) }
  public init(_ value: PickleInt) {
    if let small = value.small { self.init(.int(small)) } else { self.init(PickleNode.integer(value)) }
  }
  public init(_ value: Double) { self.init(.float(value)) }
  public init(_ value: String) { self.init(Storage.string(value)) }
  public init(_ value: PickleComplex) { self.init(PickleNode.complex(value)) }
  public init(_ value: PickleDate) { self.init(PickleNode.date(value)) }
  public init(_ value: PickleTime) { self.init(PickleNode.time(value, zone: nil)) }
  public init(_ value: PickleDateTime) { self.init(PickleNode.dateTime(value, zone: nil)) }
  public init(_ value: PickleTimeDelta) { self.init(PickleNode.timeDelta(value)) }
  public init(_ value: PickleTimeZone) { self.init(PickleNode.timeZone(value)) }
  public init(_ value: PickleDecimal) { self.init(PickleNode.decimal(value)) }
  public init(_ value: PickleUUID) { self.init(PickleNode.uuid(value)) }
  public init(_ value: NumPyArray) { self.init(PickleNode.array(value)) }

  public static func bytes(_ bytes: [UInt8]) -> PickleValue { PickleValue(PickleNode.bytes(bytes)) }
  public static func byteArray(_ bytes: [UInt8]) -> PickleValue { PickleValue(PickleNode.byteArray(bytes)) }

  public static func list(_ elements: some Sequence<PickleValue>) -> PickleValue {
    build { builder in builder.list(elements.map { builder.add($0) }) }
  }
  public static func tuple(_ elements: some Sequence<PickleValue>) -> PickleValue {
    build { builder in builder.tuple(elements.map { builder.add($0) }) }
  }
  /// A set. If several elements are equal in Python, the first is kept. Two kinds of values are compared by their
  /// parts instead: Decimals by their text, and aware datetimes and times by their fields.
  ///
  /// An element that Python cannot hash (``isHashable``), such as a list, is kept; writing the value then throws.
  public static func set(_ elements: some Sequence<PickleValue>) -> PickleValue {
    build { builder in builder.set(elements.map { builder.add($0) }) }
  }
  /// A frozenset, with elements as in ``set(_:)``.
  public static func frozenSet(_ elements: some Sequence<PickleValue>) -> PickleValue {
    build { builder in builder.frozenSet(elements.map { builder.add($0) }) }
  }
  /// A dict. If several keys are equal in Python, the first key is kept, with the last value; see ``set(_:)`` for the
  /// exceptions.
  ///
  /// A key that Python cannot hash (``isHashable``), such as a list, is kept; writing the value then throws.
  public static func dict(_ pairs: some Sequence<(PickleValue, PickleValue)>) -> PickleValue {
    build { builder in builder.dict(pairs.map { (builder.add($0), builder.add($1)) }) }
  }

  private static func build(_ body: (inout PickleBuilder) -> PickleBuilder.Reference) -> PickleValue {
    var builder = PickleBuilder()
    let root = body(&builder)
    return builder.value(root)
  }
}

extension PickleValue {
  public var isNone: Bool { if case .none = storage { true } else { false } }

  /// The value of a bool; nil for other values.
  public var boolean: Bool? { if case .bool(let value) = storage { value } else { nil } }

  /// The value of an int that fits an `Int`; nil for other values. ``bigInteger`` has ints of any size.
  public var integer: Int? { if case .int(let value) = storage { value } else { nil } }

  /// The value of an int; nil for other values.
  public var bigInteger: PickleInt? { if case .int(let value) = content { value } else { nil } }

  /// The value of a float, or the nearest `Double` to the value of an int; nil for other values.
  public var number: Double? {
    switch content {
    case .float(let value): value
    case .int(let value): value.double
    default: nil
    }
  }

  /// The text of a str; nil for other values.
  public var text: String? { if case .string(let value) = content { value } else { nil } }

  /// The bytes of a bytes or bytearray; nil for other values.
  public var bytes: [UInt8]? {
    switch content {
    case .bytes(let value), .byteArray(let value): value
    default: nil
    }
  }

  /// The elements of a list, tuple, set or frozenset; nil for other values.
  public var elements: PickleElements? {
    switch content {
    case .list(let elements), .tuple(let elements), .set(let elements), .frozenSet(let elements): elements
    default: nil
    }
  }

  /// The keys and values of a dict or OrderedDict; nil for other values.
  public var pairs: PicklePairs? {
    switch content {
    case .dict(let pairs), .orderedDict(let pairs): pairs
    default: nil
    }
  }

  /// The array of NumPy; nil for other values.
  public var array: NumPyArray? { if case .array(let value) = content { value } else { nil } }

  /// The value for a str key of a dict; nil if there is none, and for values that are no dict.
  ///
  /// - Complexity: linear in the number of keys.
  public subscript(key: String) -> PickleValue? { pairs?[key] }

  /// An element of a list or tuple; nil if there is none, and for other values.
  public subscript(index: Int) -> PickleValue? {
    switch content {
    case .list(let elements), .tuple(let elements):
      elements.indices.contains(index) ? elements[index] : nil
    default: nil
    }
  }
}
