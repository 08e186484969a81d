private import Synchronization

/// A dictionary. Its keys are data, and a format may write them in another way than the dictionary itself would.
package protocol CodingDictionary {
  static var keyKind: CodingDictionaryKeyKind { get }
}

/// The kind of a dictionary's keys.
package enum CodingDictionaryKeyKind: Sendable {
  /// Text: the dictionary encodes itself into a keyed container.
  case text
  /// `Int`: likewise, with the number as text and as an integer.
  case integer
  /// Keys that convert themselves to coding keys: likewise.
  case representable
  /// Other keys: the dictionary encodes itself as an array in which keys and values alternate.
  case other
}

/// An encoder that leaves the keys of a dictionary alone, also of one that encodes itself into the encoder's container.
package protocol CodingDictionaryEncoder: Encoder {}

/// A set. Its elements are hashed and compared, as the keys of a dictionary.
package protocol CodingSet: SendableMetatype {}

extension Set: CodingSet {}

/// Whether the values of a type are made of a text by a comparison with each case, as of an enumeration with raw values.
package func isMadeOfText(_ type: Any.Type) -> Bool {
  func hasText<Raw: RawRepresentable>(_ type: Raw.Type) -> Bool { Raw.RawValue.self == String.self }
  guard let type = type as? any RawRepresentable.Type else { return false }
  return hasText(type)
}

extension Dictionary: CodingDictionary {
  package static var keyKind: CodingDictionaryKeyKind {
    if Key.self == String.self { return .text }
    if Key.self == Int.self { return .integer }
    return Key.self is any CodingKeyRepresentable.Type ? .representable : .other
  }
}

/// The type of the coding keys with which a dictionary asks for containers. It has no public name.
///
/// Containers compare their key type with it, because a strategy must not change the keys of a dictionary, and these keys
/// are distinct. A comparison of metatypes costs almost nothing. A cast of each value would not.
package enum CodingDictionaryKeys {
  package static let type: Any.Type = {
    let finder = Finder()
    // The finder records the key type and throws.
    _ = try? [String: Int](from: finder)
    return finder.found.withLock { $0 } ?? Never.self
  }()

  private final class Finder: Decoder, Sendable {
    struct Found: Error {}

    let found = Mutex<Any.Type?>(nil)
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
      found.withLock { $0 = Key.self }
      throw Found()
    }
    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { throw Found() }
    func singleValueContainer() throws -> any SingleValueDecodingContainer { throw Found() }
  }
}
