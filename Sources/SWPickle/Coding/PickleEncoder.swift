/// Makes Python's values of `Encodable` ones.
///
/// | Swift | Python |
/// |---|---|
/// | struct, class, `[String: …]` | dict, keys in the order in which they are encoded |
/// | `[Int: …]` | dict with int keys |
/// | array, set | list |
/// | `nil` | None |
/// | `Bool`, integers, `Double`, `Float`, `String` | bool, int, float, str |
/// | `Data` | bytes |
/// | `[UInt8]` | bytes, or list: ``byteArrays`` |
/// | `Date` | datetime in UTC |
/// | `UUID`, `Decimal`, `URL` | UUID, Decimal, str |
/// | ``PickleValue`` and its parts, ``NumPyArray`` | themselves |
///
/// ```swift
/// let pickle = try PickleEncoder().encode(Request(id: 7, text: "…"))       // {"id": 7, "text": "…"}
/// let value = try PickleEncoder().encodeValue(Request(id: 7, text: "…"))   // the same, as a PickleValue
/// ```
public struct PickleEncoder: Sendable {
  /// What `[UInt8]` becomes.
  public enum ByteArrays: Sendable {
    case bytes
    case list
  }

  public var byteArrays = ByteArrays.bytes
  /// The protocol of the pickles that are written.
  public var version = PickleProtocol.four
  /// What types see of their surroundings.
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

  public init() {}

  /// Encodes a value as a pickle.
  ///
  /// - Throws: `EncodingError` if Python has no such value, and what the value's own `encode(to:)` throws.
  public func encode(_ value: some Encodable) throws -> [UInt8] {
    try encodeValue(value).pickled(version)
  }

  /// Encodes a value as a value of Python's.
  ///
  /// - Throws: `EncodingError` if Python has no such value, and what the value's own `encode(to:)` throws.
  public func encodeValue(_ value: some Encodable) throws -> PickleValue {
    let encoding = PickleEncoding(storage: PickleEncoding.Storage(options: self), codingPath: [])
    let slot = try encoding.box(value, at: nil)
    let arena = encoding.storage.arena
    if case .node(let index) = slot, arena.nodes.count == 1, case .string(let text) = arena.nodes[index] {
      return PickleValue(text)
    }
    return PickleValue(slot, in: PickleGraph(nodes: arena.nodes, links: arena.links))
  }
}

/// The encoder of one value, whose containers write into the arena that all of them share.
final class PickleEncoding: Encoder {
  final class Storage {
    var arena = PickleArena()
    let options: PickleEncoder
    init(options: PickleEncoder) { self.options = options }
  }

  let storage: Storage
  let codingPath: [any CodingKey]
  /// Whether keys are ints, those of a dictionary with such keys.
  var hasIntKeys = false
  /// Where a value stands that is encoded by way of `superEncoder`: an alias, as it comes later.
  private let place: Int?
  /// What has been encoded.
  var slot: PickleSlot? {
    didSet { if let place, let slot { storage.arena.nodes[place] = .alias(slot) } }
  }

  init(storage: Storage, codingPath: [any CodingKey], place: Int? = nil) {
    self.storage = storage
    self.codingPath = codingPath
    self.place = place
  }

  var userInfo: [CodingUserInfoKey: Any] { storage.options.userInfo }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    KeyedEncodingContainer(Keyed<Key>(self, container(.dict([]))))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer { Unkeyed(self, container(.list([]))) }

  func singleValueContainer() -> any SingleValueEncodingContainer { Single(encoding: self) }

  /// The container that is there already, if the same is asked for twice.
  private func container(_ empty: PickleNode) -> Int {
    if case .node(let index) = slot {
      switch (storage.arena.nodes[index], empty) {
      case (.dict, .dict), (.list, .list): return index
      default: break
      }
    }
    let made = storage.arena.add(empty)
    slot = made
    guard case .node(let index) = made else { preconditionFailure("a container is an object") }
    return index
  }

  /// The slot of any value.
  func box<T: Encodable>(_ value: T, at key: (any CodingKey)?) throws -> PickleSlot {
    switch value {
    case let value as String: return storage.arena.add(.string(value))
    case let value as Int: return .int(value)
    case let value as Double: return .float(value)
    case let value as Bool: return .bool(value)
    case let value as any PickleConvertible: return storage.arena.link(value.pickleValue)
    case let value as [UInt8] where storage.options.byteArrays == .bytes:
      return storage.arena.add(.bytes(value))
    default: break
    }
    let path = codingPath + (key.map { [$0] } ?? [])
    if let found = PickleFoundation.encode(value) {
      guard let found else {
        throw EncodingError.invalidValue(
          value, .init(codingPath: path, debugDescription: "Python has no such \(T.self)"))
      }
      return storage.arena.link(found)
    }
    let encoding = PickleEncoding(storage: storage, codingPath: path)
    encoding.hasIntKeys = value is any PickleIntKeyed
    try value.encode(to: encoding)
    // What encodes nothing is an empty dict, as with Foundation's coders.
    return encoding.slot ?? storage.arena.add(.dict([]))
  }

  fileprivate func child(at key: any CodingKey) -> (encoding: PickleEncoding, slot: PickleSlot) {
    let empty = storage.arena.add(.dict([]))
    let slot = storage.arena.add(.alias(empty))
    guard case .node(let place) = slot else { preconditionFailure("an alias is an object") }
    return (PickleEncoding(storage: storage, codingPath: codingPath + [key], place: place), slot)
  }

  // MARK: Containers

  private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoding: PickleEncoding
    let dict: Int
    /// Where each key stands, so that one that is encoded twice is there once.
    private final class Places { var byKey: [PickleText: Int] = [:] }
    private let places = Places()

    init(_ encoding: PickleEncoding, _ dict: Int) {
      self.encoding = encoding
      self.dict = dict
      guard case .dict(let slots) = encoding.storage.arena.nodes[dict] else { return }
      for place in stride(from: 0, to: slots.count, by: 2) {
        if case .node(let key) = slots[place], case .string(let text) = encoding.storage.arena.nodes[key] {
          places.byKey[PickleText(text)] = place
        }
      }
    }

    var codingPath: [any CodingKey] { encoding.codingPath }

    private func set(_ slot: PickleSlot, _ key: any CodingKey) {
      let storage = encoding.storage
      let text = PickleText(key.stringValue)
      let place = places.byKey[text]
      let keySlot: PickleSlot
      if place != nil {
        keySlot = .none
      } else if encoding.hasIntKeys, let number = key.intValue {
        keySlot = .int(number)
      } else {
        keySlot = storage.arena.add(.string(key.stringValue))
      }
      guard case .dict(var slots) = storage.arena.take(dict) else { return }
      if let place {
        slots[place + 1] = slot
      } else {
        places.byKey[text] = slots.count
        slots.append(keySlot)
        slots.append(slot)
      }
      storage.arena.nodes[dict] = .dict(slots)
    }

    func encodeNil(forKey key: Key) { set(.none, key) }
    func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
      set(try encoding.box(value, at: key), key)
    }

    func nestedContainer<Nested: CodingKey>(
      keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> {
      let child = encoding.child(at: key)
      set(child.slot, key)
      return child.encoding.container(keyedBy: type)
    }
    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
      let child = encoding.child(at: key)
      set(child.slot, key)
      return child.encoding.unkeyedContainer()
    }
    func superEncoder() -> any Encoder { superEncoder(at: PickleKey("super")) }
    func superEncoder(forKey key: Key) -> any Encoder { superEncoder(at: key) }
    private func superEncoder(at key: any CodingKey) -> any Encoder {
      let child = encoding.child(at: key)
      set(child.slot, key)
      return child.encoding
    }
  }

  private struct Unkeyed: UnkeyedEncodingContainer {
    let encoding: PickleEncoding
    let list: Int

    init(_ encoding: PickleEncoding, _ list: Int) {
      self.encoding = encoding
      self.list = list
    }

    var codingPath: [any CodingKey] { encoding.codingPath }
    var count: Int { encoding.storage.arena.nodes[list].elementCount }

    private func append(_ slot: PickleSlot) {
      guard case .list(var slots) = encoding.storage.arena.take(list) else { return }
      slots.append(slot)
      encoding.storage.arena.nodes[list] = .list(slots)
    }

    func encodeNil() { append(.none) }
    func encode<T: Encodable>(_ value: T) throws { append(try encoding.box(value, at: PickleKey(count))) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
      let child = encoding.child(at: PickleKey(count))
      append(child.slot)
      return child.encoding.container(keyedBy: type)
    }
    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
      let child = encoding.child(at: PickleKey(count))
      append(child.slot)
      return child.encoding.unkeyedContainer()
    }
    func superEncoder() -> any Encoder {
      let child = encoding.child(at: PickleKey(count))
      append(child.slot)
      return child.encoding
    }
  }

  private struct Single: SingleValueEncodingContainer {
    let encoding: PickleEncoding
    var codingPath: [any CodingKey] { encoding.codingPath }

    func encodeNil() { encoding.slot = PickleSlot.none }
    func encode(_ value: Bool) { encoding.slot = .bool(value) }
    func encode(_ value: String) { encoding.slot = encoding.storage.arena.add(.string(value)) }
    func encode(_ value: Double) { encoding.slot = .float(value) }
    func encode(_ value: Float) { encoding.slot = .float(Double(value)) }
    func encode(_ value: Int) { encoding.slot = .int(value) }
    func encode(_ value: Int8) { encode(integer: value) }
    func encode(_ value: Int16) { encode(integer: value) }
    func encode(_ value: Int32) { encode(integer: value) }
    func encode(_ value: Int64) { encode(integer: value) }
    func encode(_ value: Int128) { encode(integer: value) }
    func encode(_ value: UInt) { encode(integer: value) }
    func encode(_ value: UInt8) { encode(integer: value) }
    func encode(_ value: UInt16) { encode(integer: value) }
    func encode(_ value: UInt32) { encode(integer: value) }
    func encode(_ value: UInt64) { encode(integer: value) }
    func encode(_ value: UInt128) { encode(integer: value) }
    func encode<T: Encodable>(_ value: T) throws { encoding.slot = try encoding.box(value, at: nil) }

    private func encode(integer value: some BinaryInteger) {
      encoding.slot = encoding.storage.arena.slot(PickleInt(value))
    }
  }
}

/// A dictionary whose keys are ints.
protocol PickleIntKeyed {}
extension Dictionary: PickleIntKeyed where Key == Int {}

/// A key in a coding path that no type of the user's has.
struct PickleKey: CodingKey {
  let stringValue: String
  let intValue: Int?

  init(_ text: String) {
    stringValue = text
    intValue = nil
  }
  init(_ index: Int) {
    stringValue = "Index \(index)"
    intValue = index
  }
  init?(stringValue: String) { self.init(stringValue) }
  init?(intValue: Int) { self.init(intValue) }
}
