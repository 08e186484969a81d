private import Synchronization

/// A dictionary, whose keys are data and which a format may write otherwise than the dictionary itself would.
package protocol CodingDictionary {
  static var keyKind: CodingDictionaryKeyKind { get }
}

/// The kind of a dictionary's keys.
package enum CodingDictionaryKeyKind: Sendable {
  /// Text: the dictionary encodes itself into a keyed container.
  case text
  /// `Int`: the same, with the number as text and as an integer.
  case integer
  /// Keys that turn themselves into coding keys: the same.
  case representable
  /// Other keys: the dictionary encodes itself as an array in which keys and values take turns.
  case other
}

extension Dictionary: CodingDictionary {
  package static var keyKind: CodingDictionaryKeyKind {
    if Key.self == String.self { return .text }
    if Key.self == Int.self { return .integer }
    return Key.self is any CodingKeyRepresentable.Type ? .representable : .other
  }
}

/// The type of the coding keys that a dictionary asks for, which has no public name.
///
/// Containers compare their type of keys with it: keys of dictionaries are not changed by a strategy, and are known
/// to be distinct. A comparison of metatypes costs nothing, where a cast of each value would.
package enum CodingDictionaryKeys {
  package static let type: Any.Type = {
    let finder = Finder()
    // The finder takes the type and throws.
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
