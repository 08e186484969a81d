internal import SWCoding
private import Synchronization

#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

/// Which types the coders know. The answer is kept for each type: a dynamic cast to a protocol takes a microsecond
/// when the answer is no, a lookup here some 30 ns.
enum PickleTypes {
  enum Kind: Sendable {
    /// Coded by its own methods.
    case ordinary
    case simple(any PickleSimple.Type)
    case convertible(any PickleConvertible.Type)
    /// `[UInt8]`.
    case bytes
    /// An array of simple elements.
    case array(any PickleArray.Type)
    case dictionary(any PickleDictionary.Type)
    /// A type of Foundation's.
    case foundation
  }

  private static let kinds = Mutex<[ObjectIdentifier: Kind]>([:])

  static func kind<T>(_ type: T.Type) -> Kind {
    let key = ObjectIdentifier(type)
    if let known = kinds.withLock({ $0[key] }) { return known }
    let kind = find(type)
    kinds.withLock { $0[key] = kind }
    return kind
  }

  private static func find<T>(_ type: T.Type) -> Kind {
    if let type = type as? any PickleSimple.Type { return .simple(type) }
    if let type = type as? any PickleConvertible.Type { return .convertible(type) }
    if type == [UInt8].self { return .bytes }
    if let type = type as? any PickleArray.Type { return .array(type) }
    if let type = type as? any PickleDictionary.Type { return .dictionary(type) }
    let foundation: [Any.Type] = [Date.self, Data.self, UUID.self, Decimal.self, URL.self]
    return foundation.contains { $0 == type } ? .foundation : .ordinary
  }
}

/// An array of simple elements.
protocol PickleArray: SendableMetatype {
  /// nil: it has to be decoded element by element.
  static func decode(_ decoding: PickleDecoding) throws -> Self?
}

extension Array: PickleArray where Element: PickleSimple {
  static func decode(_ decoding: PickleDecoding) throws -> [Element]? { try decoding.array(Element.self) }
}

/// A dictionary, which is a dict of Python's whatever its keys are.
protocol PickleDictionary: SendableMetatype {
  /// nil: it has to be decoded by its own initialiser.
  static func decode(_ decoding: PickleDecoding) throws -> Self?
}

/// The same for encoding.
protocol PickleEncodableDictionary {
  func encode(_ encoding: PickleEncoding) throws -> PickleSlot
}

extension Dictionary: PickleDictionary where Key: Decodable, Value: Decodable {
  static func decode(_ decoding: PickleDecoding) throws -> [Key: Value]? {
    guard case .value(let value) = decoding.source else { return nil }
    let pairs: PicklePairs
    if let found = value.pairs {
      pairs = found
    } else if case .object(let object) = value.content {
      guard let found = object.entries ?? object.attributes?.first else { return nil }
      pairs = found
    } else {
      return nil
    }
    var dictionary: [Key: Value] = [:]
    dictionary.reserveCapacity(Swift.min(pairs.count, 1 << 16))
    for (pythonKey, value) in pairs {
      let key: Key = try decode(key: pythonKey, decoding)
      let name = PickleKey(pythonKey)
      let path = PicklePath(name, in: decoding.path)
      if dictionary[key] != nil {
        let first = try pairs.first { try decode(key: $0.key, decoding) == key }
        throw DecodingError.sameKey(
          first.map { "\($0.key)" } ?? "\(key)", "\(pythonKey)", at: decoding.codingPath)
      }
      dictionary[key] = try PickleDecoding(.value(value), path: path, decoding.session).unbox(Value.self)
    }
    return dictionary
  }

  private static func decode(key: PickleValue, _ decoding: PickleDecoding) throws -> Key {
    let path = PicklePath(PickleKey(key), in: decoding.path)
    let child = PickleDecoding(.value(key), path: path, decoding.session)
    switch keyKind {
    case .text:
      // As in JSON, a number is its digits.
      let text = key.string ?? key.bigInt?.description
      if let text, let found = text as? Key { return found }
      throw child.corrupted("the key \(key) is \(key.kind), which no String stands for")
    case .integer:
      if let found = key.int as? Key { return found }
      if let text = key.string, let found = Int(text) as? Key { return found }
      throw child.corrupted("the key \(key) is \(key.kind), which no Int stands for")
    case .representable:
      if let type = Key.self as? any CodingKeyRepresentable.Type,
        let found = type.init(codingKey: PickleKey(key)) as? Key
      {
        return found
      }
      return try child.unbox(Key.self)
    case .other: return try child.unbox(Key.self)
    }
  }
}

extension Dictionary: PickleEncodableDictionary where Key: Encodable, Value: Encodable {
  func encode(_ encoding: PickleEncoding) throws -> PickleSlot {
    let storage = encoding.storage
    var slots: [PickleSlot] = []
    slots.reserveCapacity(2 * count)
    var keys = PickleKeys()
    var seen: Set<Int> = []
    for (key, value) in self {
      let slot: PickleSlot
      let name: PickleKey
      switch Self.keyKind {
      case .text:
        let text = key as? String ?? ""
        (slot, name) = (storage.key(text), PickleKey(text))
      case .integer:
        let number = key as? Int ?? 0
        (slot, name) = (.int(number), PickleKey(number))
      case .representable:
        let codingKey = (key as? any CodingKeyRepresentable)?.codingKey
        let text = codingKey?.stringValue ?? ""
        (slot, name) = (codingKey?.intValue.map { .int($0) } ?? storage.key(text), PickleKey(text))
      case .other:
        name = PickleKey("\(key)")
        slot = try encoding.box(key, at: name)
      }
      if Self.keyKind != .text, Self.keyKind != .integer {
        do throws(PickleKeys.NotHashable) {
          let number = try keys.number(slot, in: storage.arena)
          guard seen.insert(number).inserted else { throw PickleKeys.NotHashable(kind: "") }
        } catch {
          if error.kind.isEmpty { throw EncodingError.sameKey("\(key)", at: encoding.codingPath) }
          throw EncodingError.invalidValue(
            key,
            .init(
              codingPath: encoding.codingPath,
              debugDescription: "cannot encode a key that becomes \(error.kind), which Python cannot hash"))
        }
      }
      slots.append(slot)
      slots.append(try encoding.box(value, at: name))
    }
    return storage.dict(slots)
  }
}

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
  /// A key of a dict.
  init(_ key: PickleValue) {
    intValue = key.int
    stringValue = key.string ?? "\(key)"
  }
  init?(stringValue: String) { self.init(stringValue) }
  init?(intValue: Int) { self.init(intValue) }
}
