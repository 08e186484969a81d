/// Makes `Decodable` values of Python's.
///
/// The table of ``PickleEncoder`` holds in the other direction, and further:
/// - A sequence is a list, a tuple, a set or a frozenset, or a NumPy array of one dimension.
/// - `[UInt8]` and `Data` are bytes or a bytearray; `[UInt8]` may also be a list of ints.
/// - `Double` and `Float` may be an int. An int that does not fit is an error, and so is a float for an int.
/// - `Date` is a datetime or a date; one without a time zone is taken for UTC. `UUID` may also be a str, `Decimal` an
///   int or a float.
/// - Structs and dictionaries may be an object of a registered class (``PickleRegistry``): its attributes. Such an
///   object without attributes is the sequence of its arguments, as a namedtuple is, or its one argument, as a
///   member of an enum is.
///
/// A value may share its parts, and so stand for far more than its pickle had bytes. Decoding visits sixteen
/// times as many parts as the value has, and 65,536 more, before it gives up; and goes ``maximumDepth`` deep.
///
/// Errors are `DecodingError` with the coding path, as those of Foundation's coders.
public struct PickleDecoder: Sendable {
  /// Which names a pickle may use; for `decode(_:from:)` and framings.
  public var registry = PickleRegistry.standard
  /// How much a pickle may ask for; for `decode(_:from:)` and framings.
  public var limits = PickleLimits()
  /// How deep containers may be nested: a type that contains itself decodes by recursion.
  public var maximumDepth = 512
  /// What types see of their surroundings.
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

  public init() {}

  /// - Throws: `DecodingError`, and what the type's own `init(from:)` throws.
  public func decode<T: Decodable>(_ type: T.Type, from value: PickleValue) throws -> T {
    try PickleDecoding(value, codingPath: [], Budget(self, for: value)).unbox(type)
  }

  /// Decodes a pickle.
  ///
  /// - Throws: ``PickleError`` too.
  public func decode<T: Decodable>(_ type: T.Type, from pickle: Span<UInt8>) throws -> T {
    try decode(type, from: PickleValue(pickle: pickle, registry: registry, limits: limits))
  }

  /// Decodes a pickle.
  ///
  /// - Throws: ``PickleError`` too.
  public func decode<T: Decodable>(_ type: T.Type, from pickle: [UInt8]) throws -> T {
    try decode(type, from: pickle.span)
  }

  /// What one decoding may still do.
  final class Budget {
    let options: PickleDecoder
    var parts: Int
    var depthLeft: Int

    init(_ options: PickleDecoder, for value: PickleValue) {
      self.options = options
      depthLeft = options.maximumDepth
      parts = 1 << 16
      if case .node(let graph, _) = value.storage { parts += 16 * min(graph.weight, Int.max / 32) }
    }
  }
}

/// The decoder of one value.
final class PickleDecoding: Decoder {
  let value: PickleValue
  let codingPath: [any CodingKey]
  let budget: PickleDecoder.Budget

  init(_ value: PickleValue, codingPath: [any CodingKey], _ budget: PickleDecoder.Budget) {
    self.value = value
    self.codingPath = codingPath
    self.budget = budget
  }

  var userInfo: [CodingUserInfoKey: Any] { budget.options.userInfo }

  // MARK: Values

  func unbox<T: Decodable>(_ type: T.Type) throws -> T {
    budget.parts -= 1
    guard budget.parts >= 0 else {
      throw corrupted("the value's parts are shared so often that it is too large")
    }
    if let found = try unboxKnown(type) { return found }
    if budget.depthLeft == 0 {
      throw corrupted("containers are nested more than \(budget.options.maximumDepth) deep")
    }
    budget.depthLeft -= 1
    defer { budget.depthLeft += 1 }
    return try T(from: self)
  }

  /// The types that are decoded without their `init(from:)`.
  private func unboxKnown<T: Decodable>(_ type: T.Type) throws -> T? {
    if let type = type as? any PickleConvertible.Type {
      guard let found = type.init(pickleValue: value) as? T else { throw mismatch(T.self) }
      return found
    }
    switch type {
    case is String.Type: return try unboxString() as? T
    case is Int.Type: return try unboxInteger(Int.self) as? T
    case is Double.Type: return try unboxDouble() as? T
    case is [UInt8].Type:
      if let bytes = value.bytes { return bytes as? T }
      return try unboxArray(UInt8.self) as? T
    case is [Double].Type: return try unboxArray(Double.self) as? T
    case is [Float].Type: return try unboxArray(Float.self) as? T
    case is [Int].Type: return try unboxArray(Int.self) as? T
    case is [Int32].Type: return try unboxArray(Int32.self) as? T
    case is [Int64].Type: return try unboxArray(Int64.self) as? T
    default: break
    }
    if let found = PickleFoundation.decode(type, from: value) {
      guard let found else { throw mismatch(T.self) }
      return found
    }
    return nil
  }

  /// An array of one dimension whose elements are of just that type.
  private func unboxArray<Element: NumPyElement>(_ type: Element.Type) throws -> [Element]? {
    guard let array = value.array, array.shape.count == 1, array.type == Element.numPyType else { return nil }
    return try array.elements()
  }

  /// What an object of one argument stands for, such as an enum's member; else the value itself.
  private var scalar: PickleValue {
    if case .object(let object) = value.content, object.state == nil, object.arguments.count == 1 {
      return object.arguments[0]
    }
    return value
  }

  func unboxString() throws -> String {
    guard let text = scalar.string else { throw mismatch(String.self) }
    return text
  }

  func unboxBool() throws -> Bool {
    guard let bool = scalar.bool else { throw mismatch(Bool.self) }
    return bool
  }

  func unboxDouble() throws -> Double {
    guard let double = scalar.double else { throw mismatch(Double.self) }
    return double
  }

  func unboxInteger<T: BinaryInteger>(_ type: T.Type) throws -> T {
    guard let number = scalar.bigInt else { throw mismatch(T.self) }
    guard let integer = T(exactly: number) else {
      throw corrupted("\(PickleValue(number)) does not fit \(T.self)")
    }
    return integer
  }

  func mismatch(_ type: Any.Type) -> DecodingError {
    let context = DecodingError.Context(
      codingPath: codingPath, debugDescription: "expected \(type), found \(value.kind)")
    return value.isNone ? .valueNotFound(type, context) : .typeMismatch(type, context)
  }

  func corrupted(_ text: String) -> DecodingError {
    .dataCorrupted(.init(codingPath: codingPath, debugDescription: text))
  }

  // MARK: Containers

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    KeyedDecodingContainer(try Keyed<Key>(self))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    if let elements = value.elements { return Unkeyed(self, .elements(elements)) }
    switch value.content {
    case .object(let object) where object.state == nil:
      return Unkeyed(self, .elements(object.appended.isEmpty ? object.arguments : object.appended))
    case .array(let array):
      guard array.shape.count == 1 else {
        throw corrupted("an array of \(array.shape.count) dimensions, which a sequence does not have")
      }
      return Unkeyed(self, .array(array))
    case .bytes(let bytes), .byteArray(let bytes): return Unkeyed(self, .array(NumPyArray(bytes)))
    default: throw mismatch([Any].self)
    }
  }

  func singleValueContainer() -> any SingleValueDecodingContainer { Single(decoding: self) }

  private struct Keyed<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let decoding: PickleDecoding
    private var values: [PickleText: PickleValue] = [:]
    private var numbered: [Int: PickleValue] = [:]
    private(set) var allKeys: [Key] = []

    init(_ decoding: PickleDecoding) throws {
      self.decoding = decoding
      if let pairs = decoding.value.pairs {
        take(pairs)
      } else if case .object(let object) = decoding.value.content {
        take(object.items)
        switch object.state?.content {
        case .dict(let pairs): take(pairs)
        case .tuple(let parts): for part in parts { if let pairs = part.pairs { take(pairs) } }
        default: if object.items.isEmpty { throw decoding.mismatch([String: Any].self) }
        }
      } else {
        throw decoding.mismatch([String: Any].self)
      }
    }

    private mutating func take(_ pairs: PicklePairs) {
      for (key, value) in pairs {
        if let text = key.string {
          values[PickleText(text)] = value
          if let key = Key(stringValue: text) { allKeys.append(key) }
        } else if let number = key.int {
          numbered[number] = value
          if let key = Key(intValue: number) { allKeys.append(key) }
        }
      }
    }

    var codingPath: [any CodingKey] { decoding.codingPath }

    private func find(_ key: any CodingKey) -> PickleValue? {
      values[PickleText(key.stringValue)] ?? key.intValue.flatMap { numbered[$0] }
    }

    func contains(_ key: Key) -> Bool { find(key) != nil }

    private func child(_ key: any CodingKey) throws -> PickleDecoding {
      guard let value = find(key) else {
        throw DecodingError.keyNotFound(
          key, .init(codingPath: codingPath, debugDescription: "no key \(key.stringValue.debugDescription)"))
      }
      return PickleDecoding(value, codingPath: codingPath + [key], decoding.budget)
    }

    func decodeNil(forKey key: Key) throws -> Bool { try child(key).value.isNone }
    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try child(key).unbox(type) }
    func nestedContainer<Nested: CodingKey>(
      keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> {
      try child(key).container(keyedBy: type)
    }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
      try child(key).unkeyedContainer()
    }
    func superDecoder() throws -> any Decoder { superDecoder(at: PickleKey("super")) }
    func superDecoder(forKey key: Key) throws -> any Decoder { superDecoder(at: key) }
    private func superDecoder(at key: any CodingKey) -> any Decoder {
      PickleDecoding(find(key) ?? .none, codingPath: codingPath + [key], decoding.budget)
    }
  }

  private struct Unkeyed: UnkeyedDecodingContainer {
    enum Source {
      case elements(PickleElements)
      case array(NumPyArray)

      var count: Int {
        switch self {
        case .elements(let elements): elements.count
        case .array(let array): array.count
        }
      }

      subscript(index: Int) -> PickleValue {
        switch self {
        case .elements(let elements): elements[index]
        case .array(let array):
          switch array.number(at: index) {
          case .integer(let value): array.type.kind == .bool ? PickleValue(value != 0) : PickleValue(value)
          case .float(let value): PickleValue(value)
          case .complex(let value): PickleValue(value)
          }
        }
      }
    }

    let decoding: PickleDecoding
    let source: Source
    private(set) var currentIndex = 0

    init(_ decoding: PickleDecoding, _ source: Source) {
      self.decoding = decoding
      self.source = source
    }

    var codingPath: [any CodingKey] { decoding.codingPath }
    var count: Int? { source.count }
    var isAtEnd: Bool { currentIndex == source.count }

    /// The decoder of the current element.
    private func child(_ type: Any.Type) throws -> PickleDecoding {
      let path = codingPath + [PickleKey(currentIndex)]
      guard !isAtEnd else {
        throw DecodingError.valueNotFound(
          type, .init(codingPath: path, debugDescription: "only \(source.count) elements"))
      }
      return PickleDecoding(source[currentIndex], codingPath: path, decoding.budget)
    }

    mutating func decodeNil() throws -> Bool {
      let isNil = try child(Never.self).value.isNone
      if isNil { currentIndex += 1 }
      return isNil
    }

    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
      let value = try child(type).unbox(type)
      currentIndex += 1
      return value
    }

    mutating func nestedContainer<Nested: CodingKey>(
      keyedBy type: Nested.Type
    ) throws -> KeyedDecodingContainer<Nested> {
      let container = try child([String: Any].self).container(keyedBy: type)
      currentIndex += 1
      return container
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
      let container = try child([Any].self).unkeyedContainer()
      currentIndex += 1
      return container
    }

    mutating func superDecoder() throws -> any Decoder {
      let decoder = try child((any Decoder).self)
      currentIndex += 1
      return decoder
    }
  }

  private struct Single: SingleValueDecodingContainer {
    let decoding: PickleDecoding
    var codingPath: [any CodingKey] { decoding.codingPath }

    func decodeNil() -> Bool { decoding.value.isNone }
    func decode(_ type: Bool.Type) throws -> Bool { try decoding.unboxBool() }
    func decode(_ type: String.Type) throws -> String { try decoding.unboxString() }
    func decode(_ type: Double.Type) throws -> Double { try decoding.unboxDouble() }
    func decode(_ type: Float.Type) throws -> Float { Float(try decoding.unboxDouble()) }
    func decode(_ type: Int.Type) throws -> Int { try decoding.unboxInteger(type) }
    func decode(_ type: Int8.Type) throws -> Int8 { try decoding.unboxInteger(type) }
    func decode(_ type: Int16.Type) throws -> Int16 { try decoding.unboxInteger(type) }
    func decode(_ type: Int32.Type) throws -> Int32 { try decoding.unboxInteger(type) }
    func decode(_ type: Int64.Type) throws -> Int64 { try decoding.unboxInteger(type) }
    func decode(_ type: Int128.Type) throws -> Int128 { try decoding.unboxInteger(type) }
    func decode(_ type: UInt.Type) throws -> UInt { try decoding.unboxInteger(type) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try decoding.unboxInteger(type) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try decoding.unboxInteger(type) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try decoding.unboxInteger(type) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try decoding.unboxInteger(type) }
    func decode(_ type: UInt128.Type) throws -> UInt128 { try decoding.unboxInteger(type) }
    func decode<T: Decodable>(_ type: T.Type) throws -> T { try decoding.unbox(type) }
  }
}

extension PickleValue {
  /// What it is, in Python's words.
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
    case .object(let object): "a \(object.name)"
    case .name(let name): "\(name) itself"
    }
  }
}
