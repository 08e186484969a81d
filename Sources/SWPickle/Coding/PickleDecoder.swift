public import SWCoding

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Makes `Decodable` values of Python's.
///
/// The table of ``PickleEncoder`` holds in the other direction, and further:
/// - A sequence is a list, a tuple, a set or a frozenset; a deque, a range or an `array.array`; a NumPy array, of
///   several dimensions for a sequence of sequences, also one of objects, or a masked one, whose masked elements are nil.
/// - `[UInt8]` and `Data` are bytes, a bytearray, or a NumPy array of `uint8`; `[UInt8]` may also be a list of ints.
/// - Numbers convert as the table of `CodingNumbers` says: exactly, a float to the nearest `Float`, or it is an error.
///   A NumPy array without dimensions is a number.
/// - `Date` is a datetime or a date, or NumPy's `datetime64`; one without a time zone is taken for UTC. `UUID` may also
///   be a str, `Decimal` an int, a float or a str, `URL` a str or a path, `String` a path.
/// - A dictionary is a dict with keys of any kind, an OrderedDict, Counter or defaultdict, or an object's attributes.
/// - A struct may also be an object: its attributes by name. An object that names no attributes is the sequence of
///   its arguments, as a namedtuple is, or its one argument, as a member of an enum is.
///
/// A value may share its parts, and so stand for far more than its pickle had bytes. Decoding visits sixteen times
/// as many parts as the value has, and ``PickleLimits/repeatedParts`` more, before it gives up; and goes
/// ``maximumDepth`` deep.
///
/// Errors are `DecodingError` with the coding path, as those of Foundation's coders.
public struct PickleDecoder: Sendable {
  /// How keys of types are found among those of dicts and objects.
  public var keyStrategy = CodingKeyStrategy.unchanged
  /// What a `Date` is read from.
  public var dateStrategy = CodingDateStrategy.native
  /// Which names of a pickle are interpreted; for pickles, not for values.
  public var registry = PickleRegistry.standard
  /// How much a pickle may ask for.
  public var limits = PickleLimits()
  /// How deep containers may be nested: a type that contains itself decodes by recursion.
  public var maximumDepth = 512
  /// What types see of their surroundings.
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

  public init() {}

  /// - Throws: `DecodingError`, and what the type's own `init(from:)` throws.
  public func decode<T: Decodable>(_ type: T.Type, from value: PickleValue) throws -> T {
    let session = PickleDecodingSession(self, for: value)
    return try PickleDecoding(.value(value), path: nil, session).unbox(type)
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

  /// Decodes a pickle.
  ///
  /// - Throws: ``PickleError`` too.
  public func decode<T: Decodable>(_ type: T.Type, from pickle: Data) throws -> T {
    try decode(type, from: pickle.span)
  }
}

/// What all decoders of one decoding share.
final class PickleDecodingSession {
  let options: PickleDecoder
  private var meter: PickleMeter
  var depth = 0

  /// Arrays of simple elements that have been decoded: what is shared in Python is shared here.
  var arrays: [Decoded: Any] = [:]
  /// Keys of large dicts.
  var indices: [PickleIdentity: PickleKeyIndex] = [:]
  /// Keys as the strategy has them.
  var snakeCase: [String: String] = [:]

  struct Decoded: Hashable {
    var object: PickleIdentity
    var type: ObjectIdentifier
  }

  init(_ options: PickleDecoder, for value: PickleValue) {
    self.options = options
    var weight = 16
    if case .node(let graph, _) = value.storage { weight += graph.weight }
    meter = PickleMeter(weight: weight, limits: options.limits)
  }

  /// Charges parts of the value that are visited.
  func charge(_ parts: Int, at decoding: PickleDecoding) throws {
    do throws(PickleMeter.Exceeded) {
      try meter.charge(work: parts)
    } catch {
      throw decoding.corrupted("the value's parts are shared so often that it is too large")
    }
  }

  func name(_ key: any CodingKey) -> String {
    guard case .snakeCase = options.keyStrategy.kind else { return key.stringValue }
    let text = key.stringValue
    if let known = snakeCase[text] { return known }
    let name = text.inSnakeCase
    snakeCase[text] = name
    return name
  }
}

/// A key of a coding path, and those before it.
final class PicklePath {
  let key: any CodingKey
  let parent: PicklePath?

  init(_ key: any CodingKey, in parent: PicklePath?) {
    self.key = key
    self.parent = parent
  }

  static func keys(_ path: PicklePath?) -> [any CodingKey] {
    var keys: [any CodingKey] = []
    var path = path
    while let found = path {
      keys.append(found.key)
      path = found.parent
    }
    return keys.reversed()
  }
}

/// The decoder of one value.
final class PickleDecoding: Decoder {
  /// What is decoded: a value, or a part of an array of several dimensions.
  enum Source {
    case value(PickleValue)
    case view(PickleArrayView)
  }

  let source: Source
  let path: PicklePath?
  let session: PickleDecodingSession

  init(_ source: Source, path: PicklePath?, _ session: PickleDecodingSession) {
    self.source = source
    self.path = path
    self.session = session
  }

  var codingPath: [any CodingKey] { PicklePath.keys(path) }
  var userInfo: [CodingUserInfoKey: Any] { session.options.userInfo }

  /// The value; of a part of an array, which has no value of its own, a list stands for it in errors.
  var value: PickleValue {
    if case .value(let value) = source { return value }
    return []
  }

  /// A value that is taken for one of Python's simple ones: the only argument of an object, such as an enum's member;
  /// an array without dimensions; a path as text.
  var scalar: PickleValue {
    let value = value
    switch value.content {
    case .array(let array): return array.scalar ?? value
    case .object(let object): return object.scalar ?? value
    default: return value
    }
  }

  // MARK: Errors

  func mismatch(_ type: Any.Type, _ explanation: String? = nil) -> DecodingError {
    let context = DecodingError.Context(
      codingPath: codingPath,
      debugDescription: "expected \(type), found \(kind)\(explanation.map { ": \($0)" } ?? "")")
    return value.isNone ? .valueNotFound(type, context) : .typeMismatch(type, context)
  }

  func corrupted(_ text: String) -> DecodingError {
    .dataCorrupted(.init(codingPath: codingPath, debugDescription: text))
  }

  private var kind: String {
    if case .view = source { return "a part of an array of several dimensions" }
    return value.kind
  }

  // MARK: Values

  func unbox<T: Decodable>(_ type: T.Type) throws -> T {
    try session.charge(1, at: self)
    switch PickleTypes.kind(type) {
    case .ordinary: break
    case .simple(let simple):
      if let found = try simple.init(self) as? T { return found }
    case .convertible(let convertible):
      guard case .value(let value) = source, let found = convertible.init(pickleValue: value) as? T else {
        throw mismatch(T.self)
      }
      return found
    case .bytes:
      if let bytes = bytes(isArrayTaken: true), let found = bytes as? T { return found }
      if let found = try array(UInt8.self) as? T { return found }
    case .array(let array):
      if let found = try array.decode(self) as? T { return found }
    case .dictionary(let dictionary):
      try enter()
      defer { session.depth -= 1 }
      if let found = try dictionary.decode(self) as? T { return found }
    case .foundation:
      if let found = try PickleFoundation.decode(type, self) { return found }
    }
    try enter()
    defer { session.depth -= 1 }
    return try T(from: self)
  }

  private func enter() throws {
    let limit = session.options.maximumDepth
    if session.depth >= limit { throw DecodingError.tooDeep(limit: limit, at: codingPath) }
    session.depth += 1
  }

  /// The bytes of bytes, or of an array of `uint8`.
  func bytes(isArrayTaken: Bool) -> [UInt8]? {
    guard case .value(let value) = source else { return nil }
    switch value.content {
    case .bytes(let bytes), .byteArray(let bytes): return bytes
    case .array(let array) where isArrayTaken && array.type == UInt8.numPyType && array.shape.count == 1:
      return array.bytes
    case .object(let object):
      // A str of Python 2, or a subclass of bytes.
      return object.scalar?.bytes
    default: return nil
    }
  }

  /// An array of simple elements, of one dimension; nil if it has to be decoded element by element.
  func array<Element: PickleSimple>(_ type: Element.Type) throws -> [Element]? {
    guard case .value(let value) = source, case .node(let graph, let index) = value.storage else {
      guard case .view(let view) = source else { return nil }
      return view.contiguous(as: type)
    }
    let slots: [PickleSlot]
    switch graph.nodes[index] {
    case .list(let found), .tuple(let found): slots = found
    case .array(let array):
      guard array.shape.count == 1, array.type == Element.elementType else { return nil }
      return array.copy(as: type)
    default: return nil
    }
    let object = PickleIdentity(graph: ObjectIdentifier(graph), index: index)
    let key = PickleDecodingSession.Decoded(object: object, type: ObjectIdentifier(type))
    if slots.count >= 16, let known = session.arrays[key] as? [Element] { return known }
    try session.charge(slots.count, at: self)
    var elements: [Element] = []
    elements.reserveCapacity(slots.count)
    for slot in slots {
      guard let element = Element(slot, in: graph) else {
        // Something that takes more, or an error: whichever it is, the decoder of that element says so.
        let path = PicklePath(PickleKey(elements.count), in: path)
        let decoding = PickleDecoding(.value(PickleValue(slot, in: graph)), path: path, session)
        elements.append(try Element(decoding))
        continue
      }
      elements.append(element)
    }
    if slots.count >= 16 { session.arrays[key] = elements }
    return elements
  }

  // MARK: Containers

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    KeyedDecodingContainer(try PickleKeyedDecoding<Key>(self))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    PickleUnkeyedDecoding(self, try sequence())
  }

  func singleValueContainer() -> any SingleValueDecodingContainer { PickleSingleDecoding(decoding: self) }

  /// The elements of a sequence.
  func sequence() throws -> PickleSequence {
    guard case .value(let value) = source else {
      if case .view(let view) = source { return .view(view) }
      throw mismatch([Any].self)
    }
    if let elements = value.elements { return .elements(elements) }
    switch value.content {
    case .object(let object):
      if let sequence = object.sequence { return sequence }
      throw mismatch([Any].self)
    case .array(let array):
      if array.shape.isEmpty { throw corrupted("an array without dimensions, which is no sequence") }
      return .view(PickleArrayView(array))
    case .bytes(let bytes), .byteArray(let bytes): return .view(PickleArrayView(NumPyArray(bytes)))
    default: throw mismatch([Any].self)
    }
  }
}
