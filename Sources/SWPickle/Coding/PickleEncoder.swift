public import SWCoding

#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Makes Python's values of `Encodable` ones.
///
/// | Swift | Python |
/// |---|---|
/// | struct, class | dict with str keys, in the order in which they are encoded |
/// | dictionary | dict; its keys are str, int, or whatever Python can hash |
/// | array, set | list |
/// | `nil` | None |
/// | `Bool`, integers, `Double`, `Float`, `String` | bool, int, float, str |
/// | `Data` | bytes |
/// | `[UInt8]` | bytes, or list: ``bytesStrategy`` |
/// | `Date` | datetime in UTC, to the microsecond; or ``dateStrategy`` |
/// | `UUID`, `Decimal`, `URL` | UUID, Decimal, str |
/// | ``PickleValue`` and its parts, ``NumPyArray`` | themselves |
///
/// ```swift
/// let pickle = try PickleEncoder().encode(Request(id: 7, text: "…"))       // {"id": 7, "text": "…"}
/// let value = try PickleEncoder().encodeValue(Request(id: 7, text: "…"))   // the same, as a PickleValue
/// ```
///
/// Encoding is finished, or has failed, before anything of it is seen.
public struct PickleEncoder: Sendable {
  /// How keys of types become keys of dicts.
  public var keyStrategy = CodingKeyStrategy.unchanged
  /// What a `Date` becomes.
  public var dateStrategy = CodingDateStrategy.native
  /// What `[UInt8]` becomes.
  public var bytesStrategy = CodingBytesStrategy.bytes
  /// Whether the keys of dicts are sorted by their bytes, ints first, so that equal values become equal pickles.
  public var sortsKeys = false
  /// How deep containers may be nested: a type that contains itself encodes by recursion.
  public var maximumDepth = 512
  /// The protocol of the pickles that are written.
  public var version = PickleProtocol.four
  /// What types see of their surroundings.
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

  public init() {}

  /// Encodes a value as a pickle.
  ///
  /// - Throws: `EncodingError` if Python has no such value, and what the value's own `encode(to:)` throws.
  public func encode(_ value: some Encodable) throws -> Data { Data(try encodeBytes(value)) }

  /// Encodes a value as a pickle.
  ///
  /// - Throws: `EncodingError` if Python has no such value, and what the value's own `encode(to:)` throws.
  public func encodeBytes(_ value: some Encodable) throws -> [UInt8] {
    try encodeValue(value).pickled(version)
  }

  /// Encodes a value as a value of Python's.
  ///
  /// - Throws: `EncodingError` if Python has no such value, and what the value's own `encode(to:)` throws.
  public func encodeValue(_ value: some Encodable) throws -> PickleValue {
    let storage = PickleEncoding.Storage(options: self)
    let slot = try PickleEncoding(storage: storage, path: nil).box(value, at: nil)
    if let error = storage.error { throw error }
    if case .node(let index) = slot, case .string(let text) = storage.arena.nodes[index] {
      return PickleValue(text)
    }
    if sortsKeys { storage.sortKeys() }
    return PickleValue(slot, in: PickleGraph(nodes: storage.arena.nodes, links: storage.arena.links))
  }
}

/// The encoder of one value, whose containers write into the arena that all of them share.
final class PickleEncoding: Encoder {
  final class Storage {
    var arena = PickleArena()
    let options: PickleEncoder
    /// What a method found that cannot throw.
    var error: EncodingError?
    private var keys: [String: PickleSlot] = [:]
    private var dicts: [Int] = []
    private var snakeCase: [String: String] = [:]

    init(options: PickleEncoder) { self.options = options }

    /// A key: one object for all dicts, as in Python, whose pickles then refer back to it.
    func key(_ text: String) -> PickleSlot {
      // Strings that are equal only as characters are two keys.
      if let known = keys[text], case .node(let index) = known, case .string(let same) = arena.nodes[index],
        same.hasSameBytes(as: text)
      {
        return known
      }
      let slot = arena.add(.string(text))
      keys[text] = slot
      return slot
    }

    func dict(_ slots: [PickleSlot]) -> PickleSlot {
      if options.sortsKeys { dicts.append(arena.nodes.count) }
      return arena.add(.dict(slots))
    }

    func name(_ key: any CodingKey, at path: PicklePath?) -> String {
      let text = key.stringValue
      switch options.keyStrategy.kind {
      case .unchanged: return text
      case .snakeCase:
        if let known = snakeCase[text] { return known }
        let name = text.inSnakeCase
        snakeCase[text] = name
        return name
      case .custom(let convert): return convert(PicklePath.keys(path) + [key]).stringValue
      }
    }

    func sortKeys() {
      for index in dicts {
        guard case .dict(let slots) = arena.nodes[index] else { continue }
        let pairs = stride(from: 0, to: slots.count, by: 2).map { (slots[$0], slots[$0 + 1]) }
        let sorted = pairs.sorted { isBefore($0.0, $1.0) }
        arena.nodes[index] = .dict(sorted.flatMap { [$0.0, $0.1] })
      }
    }

    private func isBefore(_ a: PickleSlot, _ b: PickleSlot) -> Bool {
      switch (a, b) {
      case (.int(let a), .int(let b)): return a < b
      case (.int, .node): return true
      case (.node(let a), .node(let b)):
        if case .string(let a) = arena.nodes[a], case .string(let b) = arena.nodes[b] {
          return a.utf8.lexicographicallyPrecedes(b.utf8)
        }
        // Whatever it is, in an order that depends on nothing but the value.
        return PickleValue(.node(a), in: PickleGraph(snapshot: arena.nodes)).description
          < PickleValue(.node(b), in: PickleGraph(snapshot: arena.nodes)).description
      default: return false
      }
    }
  }

  let storage: Storage
  let path: PicklePath?
  private let depth: Int
  /// Where a value stands that is encoded by way of `superEncoder`: an alias, as it comes later.
  private let place: Int?
  /// What has been encoded.
  var slot: PickleSlot? {
    didSet { if let place, let slot { storage.arena.nodes[place] = .alias(slot) } }
  }
  /// Where each key stands, so that two containers of one value cannot encode it twice.
  fileprivate var seen: Set<PickleText> = []

  init(storage: Storage, path: PicklePath?, depth: Int = 0, place: Int? = nil) {
    self.storage = storage
    self.path = path
    self.depth = depth
    self.place = place
  }

  var codingPath: [any CodingKey] { PicklePath.keys(path) }
  var userInfo: [CodingUserInfoKey: Any] { storage.options.userInfo }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    KeyedEncodingContainer(Keyed<Key>(self, container(.dict([]))))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    Unkeyed(encoding: self, list: container(.list([])))
  }

  func singleValueContainer() -> any SingleValueEncodingContainer { Single(encoding: self) }

  /// The container that is there already, if the same is asked for twice.
  private func container(_ empty: PickleNode) -> Int {
    if let slot {
      if case .node(let index) = slot {
        switch (storage.arena.nodes[index], empty) {
        case (.dict, .dict), (.list, .list): return index
        default: break
        }
      }
      fail(.twoKinds(PickleValue.none, at: codingPath))
    }
    let made: PickleSlot
    if case .dict = empty { made = storage.dict([]) } else { made = storage.arena.add(empty) }
    slot = made
    guard case .node(let index) = made else { preconditionFailure("a container is an object") }
    return index
  }

  /// Keeps the first error of a method that cannot throw, which the encoding ends with.
  fileprivate func fail(_ error: EncodingError) {
    if storage.error == nil { storage.error = error }
  }

  /// The slot of any value.
  func box<T: Encodable>(_ value: T, at key: (any CodingKey)?) throws -> PickleSlot {
    switch PickleTypes.kind(T.self) {
    case .simple: return try simple(value, key)
    case .convertible:
      if let value = value as? any PickleConvertible { return storage.arena.link(value.pickleValue) }
    case .bytes:
      if storage.options.bytesStrategy == .bytes, let bytes = value as? [UInt8] {
        return storage.arena.add(.bytes(bytes))
      }
      if let slots = (value as? any PickleEncodableArray)?.slots(&storage.arena) {
        return storage.arena.add(.list(slots))
      }
    case .array:
      if let slots = (value as? any PickleEncodableArray)?.slots(&storage.arena) {
        return storage.arena.add(.list(slots))
      }
    case .foundation:
      if let found = try PickleFoundation.encode(value, self, key) { return found }
    case .dictionary, .ordinary: break
    }
    if let dictionary = value as? any PickleEncodableDictionary, T.self is any PickleEncodableDictionary.Type
    {
      return try box(at: key) { child in child.slot = try dictionary.encode(child) }
    }
    return try box(at: key) { child in try value.encode(to: child) }
  }

  /// The slot of what a function encodes.
  func box(at key: (any CodingKey)?, _ encode: (PickleEncoding) throws -> Void) throws -> PickleSlot {
    let path = key.map { PicklePath($0, in: self.path) } ?? self.path
    let limit = storage.options.maximumDepth
    if depth >= limit {
      throw EncodingError.tooDeep(PickleValue.none, limit: limit, at: PicklePath.keys(path))
    }
    let encoding = PickleEncoding(storage: storage, path: path, depth: depth + 1)
    try encode(encoding)
    if let error = storage.error { throw error }
    // What encodes nothing is an empty dict, as with Foundation's coders.
    return encoding.slot ?? storage.dict([])
  }

  private func simple<T: Encodable>(_ value: T, _ key: (any CodingKey)?) throws -> PickleSlot {
    if let value = value as? any PickleEncodableSimple { return value.slot(&storage.arena) }
    return try box(at: key) { child in try value.encode(to: child) }
  }

  fileprivate func child(at key: any CodingKey) -> (encoding: PickleEncoding, slot: PickleSlot) {
    let empty = storage.dict([])
    let slot = storage.arena.add(.alias(empty))
    guard case .node(let place) = slot else { preconditionFailure("an alias is an object") }
    let path = PicklePath(key, in: path)
    if depth >= storage.options.maximumDepth {
      fail(.tooDeep(PickleValue.none, limit: storage.options.maximumDepth, at: PicklePath.keys(path)))
    }
    return (PickleEncoding(storage: storage, path: path, depth: depth + 1, place: place), slot)
  }

  // MARK: Containers

  private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoding: PickleEncoding
    let dict: Int
    private let isDictionary: Bool

    init(_ encoding: PickleEncoding, _ dict: Int) {
      self.encoding = encoding
      self.dict = dict
      isDictionary = Key.self == CodingDictionaryKeys.type
    }

    var codingPath: [any CodingKey] { encoding.codingPath }

    /// The slot of a key, which must not be there yet.
    private func slot(of key: any CodingKey) throws(EncodingError) -> PickleSlot {
      let storage = encoding.storage
      let name = isDictionary ? key.stringValue : storage.name(key, at: encoding.path)
      guard encoding.seen.insert(PickleText(name)).inserted else {
        throw .sameKey(name, at: encoding.codingPath)
      }
      return storage.key(name)
    }

    private func set(_ key: PickleSlot, _ value: PickleSlot) {
      let storage = encoding.storage
      guard case .dict(var slots) = storage.arena.take(dict) else { return }
      slots.append(key)
      slots.append(value)
      storage.arena.nodes[dict] = .dict(slots)
    }

    private func set(_ value: PickleSlot, _ key: any CodingKey) throws { set(try slot(of: key), value) }

    private func child(at key: any CodingKey) -> PickleEncoding {
      let child = encoding.child(at: key)
      do throws(EncodingError) {
        set(try slot(of: key), child.slot)
      } catch {
        encoding.fail(error)
      }
      return child.encoding
    }

    private func simple<T: PickleEncodableSimple>(_ value: T, _ key: Key) throws {
      let slot = value.slot(&encoding.storage.arena)
      try set(slot, key)
    }

    func encodeNil(forKey key: Key) throws { try set(.none, key) }
    func encode(_ value: Bool, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: String, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: Double, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: Float, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: Int, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: Int8, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: Int16, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: Int32, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: Int64, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: Int128, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: UInt, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: UInt8, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: UInt16, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: UInt32, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: UInt64, forKey key: Key) throws { try simple(value, key) }
    func encode(_ value: UInt128, forKey key: Key) throws { try simple(value, key) }
    func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
      try set(try encoding.box(value, at: key), key)
    }

    func nestedContainer<Nested: CodingKey>(
      keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> {
      child(at: key).container(keyedBy: type)
    }
    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
      child(at: key).unkeyedContainer()
    }
    func superEncoder() -> any Encoder { child(at: PickleKey("super")) }
    func superEncoder(forKey key: Key) -> any Encoder { child(at: key) }
  }

  private struct Unkeyed: UnkeyedEncodingContainer {
    let encoding: PickleEncoding
    let list: Int

    var codingPath: [any CodingKey] { encoding.codingPath }
    var count: Int { encoding.storage.arena.nodes[list].elementCount }

    private func append(_ slot: PickleSlot) {
      guard case .list(var slots) = encoding.storage.arena.take(list) else { return }
      slots.append(slot)
      encoding.storage.arena.nodes[list] = .list(slots)
    }

    private func simple<T: PickleEncodableSimple>(_ value: T) { append(value.slot(&encoding.storage.arena)) }

    private func child() -> PickleEncoding {
      let child = encoding.child(at: PickleKey(count))
      append(child.slot)
      return child.encoding
    }

    func encodeNil() { append(.none) }
    func encode(_ value: Bool) { simple(value) }
    func encode(_ value: String) { simple(value) }
    func encode(_ value: Double) { simple(value) }
    func encode(_ value: Float) { simple(value) }
    func encode(_ value: Int) { simple(value) }
    func encode(_ value: Int8) { simple(value) }
    func encode(_ value: Int16) { simple(value) }
    func encode(_ value: Int32) { simple(value) }
    func encode(_ value: Int64) { simple(value) }
    func encode(_ value: Int128) { simple(value) }
    func encode(_ value: UInt) { simple(value) }
    func encode(_ value: UInt8) { simple(value) }
    func encode(_ value: UInt16) { simple(value) }
    func encode(_ value: UInt32) { simple(value) }
    func encode(_ value: UInt64) { simple(value) }
    func encode(_ value: UInt128) { simple(value) }
    func encode<T: Encodable>(_ value: T) throws { append(try encoding.box(value, at: PickleKey(count))) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
      child().container(keyedBy: type)
    }
    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { child().unkeyedContainer() }
    func superEncoder() -> any Encoder { child() }
  }

  private struct Single: SingleValueEncodingContainer {
    let encoding: PickleEncoding
    var codingPath: [any CodingKey] { encoding.codingPath }

    private func set(_ slot: PickleSlot, _ value: Any) throws {
      if encoding.slot != nil { throw EncodingError.twoValues(value, at: encoding.codingPath) }
      encoding.slot = slot
    }

    private func simple<T: PickleEncodableSimple>(_ value: T) throws {
      try set(value.slot(&encoding.storage.arena), value)
    }

    func encodeNil() throws { try set(PickleSlot.none, PickleValue.none) }
    func encode(_ value: Bool) throws { try simple(value) }
    func encode(_ value: String) throws { try simple(value) }
    func encode(_ value: Double) throws { try simple(value) }
    func encode(_ value: Float) throws { try simple(value) }
    func encode(_ value: Int) throws { try simple(value) }
    func encode(_ value: Int8) throws { try simple(value) }
    func encode(_ value: Int16) throws { try simple(value) }
    func encode(_ value: Int32) throws { try simple(value) }
    func encode(_ value: Int64) throws { try simple(value) }
    func encode(_ value: Int128) throws { try simple(value) }
    func encode(_ value: UInt) throws { try simple(value) }
    func encode(_ value: UInt8) throws { try simple(value) }
    func encode(_ value: UInt16) throws { try simple(value) }
    func encode(_ value: UInt32) throws { try simple(value) }
    func encode(_ value: UInt64) throws { try simple(value) }
    func encode(_ value: UInt128) throws { try simple(value) }
    func encode<T: Encodable>(_ value: T) throws { try set(try encoding.box(value, at: nil), value) }
  }
}

/// A value of Swift's that is a slot of its own, or a single object.
protocol PickleEncodableSimple: Encodable {
  func slot(_ arena: inout PickleArena) -> PickleSlot
}

extension Bool: PickleEncodableSimple {
  func slot(_ arena: inout PickleArena) -> PickleSlot { .bool(self) }
}
extension String: PickleEncodableSimple {
  func slot(_ arena: inout PickleArena) -> PickleSlot { arena.add(.string(self)) }
}
extension PickleEncodableSimple where Self: BinaryInteger {
  func slot(_ arena: inout PickleArena) -> PickleSlot {
    if let small = Int(exactly: self) { return .int(small) }
    return arena.slot(PickleInt(self))
  }
}
extension Double: PickleEncodableSimple {
  func slot(_ arena: inout PickleArena) -> PickleSlot { .float(self) }
}
extension Float: PickleEncodableSimple {
  func slot(_ arena: inout PickleArena) -> PickleSlot { .float(Double(self)) }
}
extension Int: PickleEncodableSimple {}
extension Int8: PickleEncodableSimple {}
extension Int16: PickleEncodableSimple {}
extension Int32: PickleEncodableSimple {}
extension Int64: PickleEncodableSimple {}
extension Int128: PickleEncodableSimple {}
extension UInt: PickleEncodableSimple {}
extension UInt8: PickleEncodableSimple {}
extension UInt16: PickleEncodableSimple {}
extension UInt32: PickleEncodableSimple {}
extension UInt64: PickleEncodableSimple {}
extension UInt128: PickleEncodableSimple {}

/// An array of such values, which becomes a list without a call for each element.
protocol PickleEncodableArray {
  func slots(_ arena: inout PickleArena) -> [PickleSlot]
}

extension Array: PickleEncodableArray where Element: PickleEncodableSimple {
  func slots(_ arena: inout PickleArena) -> [PickleSlot] {
    var slots: [PickleSlot] = []
    slots.reserveCapacity(count)
    for element in self { slots.append(element.slot(&arena)) }
    return slots
  }
}
