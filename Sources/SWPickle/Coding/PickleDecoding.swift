internal import SWCoding
internal import SWFraming

/// The decoder of one value.
final class PickleDecoding: Decoder {
  /// The source: a value, or a part of an array of several dimensions.
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

  /// The value. A part of an array has no value, so in errors a list stands for it.
  var value: PickleValue {
    if case .value(let value) = source { return value }
    return []
  }

  /// The simple value that the source stands for: the only argument of an object, such as an enum's member; the element of
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
      debugDescription: "expected \(type), found \(kind)\(explanation.map { ": \($0)" } ?? "")".shown())
    return value.isNone ? .valueNotFound(type, context) : .typeMismatch(type, context)
  }

  func corrupted(_ text: String) -> DecodingError {
    .dataCorrupted(.init(codingPath: codingPath, debugDescription: text.shown()))
  }

  private var kind: String {
    if case .view = source { return "a part of an array of several dimensions" }
    return value.kind
  }

  // MARK: Values

  func unbox<T: Decodable>(_ type: T.Type) throws -> T {
    try session.charge(1, at: codingPath)
    let code = PickleTypeCode(of: type)
    // Values of Python's and bytes share the memory of the value. A simple value is charged if it is converted.
    if case .value(let value) = source, code != .convertible, code != .bytes, code != .simple {
      try session.chargeConversion(of: value, at: codingPath)
    }
    switch code {
    case .unknown, .ordinary, .array: break
    case .madeOfText:
      if let text = scalar.text {
        try session.checkCompared(text, CombiningMarks.mostInValue, at: codingPath)
      }
    case .set:
      // One element is not compared.
      guard let sequence = try? sequence(), sequence.count > 1 else { break }
      let outer = session.startComparing(CombiningMarks.mostInValue)
      defer { session.comparedLimit = outer }
      try enter()
      defer { session.depth -= 1 }
      return try T(from: self)
    case .simple:
      if let simple = type as? any PickleSimple.Type, let found = try simple.init(decoding: self) as? T {
        return found
      }
    case .convertible:
      if session.comparedLimit > 0 { try session.checkCompared(value, as: type, at: codingPath) }
      guard case .value(let value) = source, let convertible = type as? any PickleConvertible.Type,
        let found = convertible.init(pickleValue: value) as? T
      else { throw mismatch(T.self) }
      return found
    case .bytes:
      if let bytes = bytes(isArrayTaken: true), let found = bytes as? T { return found }
      if let found = try array(UInt8.self) as? T { return found }
    case .simpleArray:
      if let array = type as? any PickleArray.Type, let found = try array.decode(self) as? T { return found }
    case .dictionary:
      if let dictionary = type as? any PickleDictionary.Type {
        try enter()
        defer { session.depth -= 1 }
        if let found = try dictionary.decode(self) as? T { return found }
      }
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

  /// The bytes of a bytes object, or of an array of `uint8`.
  func bytes(isArrayTaken: Bool) -> [UInt8]? {
    guard case .value(let value) = source else { return nil }
    switch value.content {
    case .bytes(let bytes), .byteArray(let bytes): return bytes
    case .array(let array) where isArrayTaken && array.type == UInt8.numPyType && array.shape.count == 1:
      return array.bytes
    case .array(let array) where array.isOpaque && array.shape.isEmpty: return array.bytes
    case .object(let object):
      // A str of Python 2, or a subclass of bytes.
      return object.scalar?.bytes ?? object.machineBytes
    default: return nil
    }
  }

  /// Decodes a one-dimensional array of simple elements. Returns nil if it has to be decoded element by element.
  func array<Element: PickleSimple>(_ type: Element.Type) throws -> [Element]? {
    let elements = try copiedArray(type)
    // Also one that has been decoded before.
    if session.comparedLimit > 0, let elements { try checkCompared(elements) }
    return elements
  }

  @inline(never)
  private func checkCompared(_ elements: [some PickleSimple]) throws {
    try session.charge(elements.count, at: codingPath)
    for element in elements { try element.checkCompared(session, at: codingPath) }
  }

  private func copiedArray<Element: PickleSimple>(_ type: Element.Type) throws -> [Element]? {
    guard case .value(let value) = source, case .node(let graph, let index) = value.storage else {
      guard case .view(let view) = source, let elements = view.contiguous(as: type) else { return nil }
      try session.charge(copied: elements.count * MemoryLayout<Element>.size, at: codingPath)
      return elements
    }
    let slots: [PickleSlot]
    switch graph.nodes[index] {
    case .list(let found), .tuple(let found): slots = found
    case .array(let array):
      guard array.shape.count == 1, array.type == Element.elementType else { return nil }
      return array.copy(as: type)
    case .object:
      // No simple element is read from a tuple, so this is a subclass of tuple, and no namedtuple.
      guard let content = value.object?.onlyContainer else { return nil }
      try session.chargeConversion(of: content, at: codingPath)
      return try [Element](from: PickleDecoding(.value(content), path: path, session))
    default: return nil
    }
    let object = PickleIdentity(graph: ObjectIdentifier(graph), index: index)
    let key = PickleDecodingSession.Decoded(object: object, type: ObjectIdentifier(type))
    if slots.count >= 16, let known = session.rare.arrays[key] as? [Element] { return known }
    try session.charge(slots.count, at: codingPath)
    var elements: [Element] = []
    elements.reserveCapacity(slots.count)
    for slot in slots {
      guard let element = Element(slot, in: graph) else {
        // The element needs a conversion, or is an error. The decoder of that element handles both.
        let path = PicklePath(PickleKey(elements.count), in: path)
        let decoding = PickleDecoding(.value(PickleValue(slot, in: graph)), path: path, session)
        elements.append(try Element(PickleConversion(decoding)))
        continue
      }
      elements.append(element)
    }
    if slots.count >= 16 { session.rare.arrays[key] = elements }
    return elements
  }

  // MARK: Containers

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    KeyedDecodingContainer(try PickleKeyedDecoding<Key>(self))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    let sequence = try sequence()
    // The elements of a range are not in memory, so each is charged when it is asked for.
    if case .elements(let elements) = sequence { try session.charge(elements.count, at: codingPath) }
    return PickleUnkeyedDecoding(self, sequence)
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

extension PickleDecoding: CodingLevelDecoder {
  func decodeMap<Value: Decodable>(of type: Value.Type) throws -> [String: Value] {
    try [String: Value].decode(self) ?? [String: Value](from: self)
  }
}

extension PickleDecoding: CodingKindTelling {
  /// The kind of the value. An object is what it stands for: in this order nothing, a simple value, the dict or list that it
  /// wraps or is, its attributes, and its arguments.
  var codingKind: CodingKind {
    get throws {
      guard case .value(let value) = source else { return .array }
      if value.isNil { return .null }
      return try Self.simpleKind(value) ?? objectKind(value)
    }
  }

  private static func simpleKind(_ value: PickleValue) -> CodingKind? {
    switch value.content {
    case .none: .null
    case .bool: .bool
    case .int: .integer
    case .float: .floatingPoint
    case .string: .text
    // Bytes are an array of integers for a type that has no bytes.
    case .list, .tuple, .set, .frozenSet, .bytes, .byteArray: .array
    case .dict, .orderedDict: .map
    case .array(let array) where !array.shape.isEmpty: .array
    case .array(let array): array.scalar.flatMap(simpleKind) ?? .other
    default: nil
    }
  }

  private func objectKind(_ value: PickleValue) throws -> CodingKind {
    guard case .object(let object) = value.content, !object.isTime else { return .other }
    if let root = object.root { return try PickleDecoding(.value(root), path: path, session).codingKind }
    if object.isTextWithSurrogates { return .text }
    if object.fraction != nil { return object.fraction?.integer == nil ? .floatingPoint : .integer }
    if let others = object.partsBesideArguments {
      throw corrupted("\(kind) has arguments and \(others), of which this type would lose one")
    }
    switch object.scalar.flatMap(Self.simpleKind) {
    case .array, .map, nil: break
    case let kind?: return kind
    }
    if object.wrapped?.pairs != nil { return .map }
    // The elements of a subclass of list or deque, which may have attributes, too.
    if object.wrapped?.elements != nil || !object.appended.isEmpty { return .array }
    if (try? keyedSources()) != nil, object.unnamedCount == 0 { return .map }
    return object.sequence == nil ? .other : .array
  }
}
