import Foundation
import SWMsgPack
import SWPickle
import Testing

/// One family of coders, as the suite runs it.
struct Coder: Sendable, CustomTestStringConvertible {
  var name: String
  /// The name of the coder whose bytes these are.
  var family: String
  var encode: @Sendable (any Encodable) throws -> [UInt8]
  var decode: @Sendable (any Decodable.Type, [UInt8]) throws -> Any
  /// How Python reads the bytes: an expression over `data`.
  var python: String
  var testDescription: String { name }

  static let json = Coder(
    name: "JSON", family: "JSON", encode: { value in try Array(JSONEncoder().encode(value)) },
    decode: { type, bytes in try JSONDecoder().decode(type, from: Data(bytes)) },
    python: "__import__('json').loads(data)")

  static let msgPack = Coder(
    name: "MessagePack", family: "MessagePack", encode: { value in try MsgPackEncoder().encodeBytes(value) },
    decode: { type, bytes in try MsgPackDecoder().decode(type, from: bytes) },
    python: "__import__('msgpack').unpackb(data, strict_map_key=False, timestamp=3)")

  static let pickle = Coder(
    name: "pickle", family: "pickle", encode: { value in try PickleEncoder().encodeBytes(value) },
    decode: { type, bytes in try PickleDecoder().decode(type, from: bytes) },
    python: "__import__('pickle').loads(data)")

  /// Every family. A family more is one line here, and one description above.
  static let all = [json, msgPack, pickle]

  // MARK: Other ways to the same values

  /// A family's coder that decodes in another way.
  private func decoding(
    _ how: String, _ decode: @escaping @Sendable (any Decodable.Type, [UInt8]) throws -> Any
  ) -> Coder {
    Coder(name: "\(name), \(how)", family: family, encode: encode, decode: decode, python: python)
  }

  /// A strategy that changes no key, and for which the decoders convert all.
  private static let custom = CodingKeyStrategy.custom { path in path[path.count - 1] }

  /// Every family in every way in which it decodes: from bytes and from values, the entries of a dict and the attributes of
  /// an object, and with the keys converted.
  static let ways =
    all + [
      msgPack.decoding("keys converted") { type, bytes in
        var decoder = MsgPackDecoder()
        decoder.keyStrategy = custom
        return try decoder.decode(type, from: bytes)
      },
      pickle.decoding("keys converted") { type, bytes in
        var decoder = PickleDecoder()
        decoder.keyStrategy = custom
        return try decoder.decode(type, from: bytes)
      },
      pickle.decoding("from the value") { type, bytes in
        try PickleDecoder().decode(type, from: PickleValue(pickle: bytes))
      },
      pickle.decoding("beside a set") { type, bytes in
        // A pickle with a set has no tape.
        try second(type, PickleValue.list([.set([1]), PickleValue(pickle: bytes)]).pickled())
      },
      pickle.decoding("as attributes") { type, bytes in
        try PickleDecoder().decode(type, from: PickleValue(pickle: bytes).withObjects.pickled())
      },
    ]

  private static func second<T: Decodable>(_ type: T.Type, _ pickle: [UInt8]) throws -> Any {
    try PickleDecoder().decode(Second<T>.self, from: pickle).value
  }

  private struct Second<T: Decodable>: Decodable {
    var value: T
    init(from decoder: any Decoder) throws {
      var list = try decoder.unkeyedContainer()
      _ = try list.superDecoder()
      value = try list.decode(T.self)
    }
  }
}

extension PickleValue {
  /// The value with an object in place of each dict whose keys are names: its entries are the object's attributes.
  fileprivate var withObjects: PickleValue {
    switch content {
    case .list(let elements): .list(elements.map(\.withObjects))
    case .dict(let pairs) where !pairs.isEmpty && pairs.allSatisfy({ $0.key.text != nil }):
      .object(
        PickleName("app", "Part"), isNew: true, state: .dict(pairs.map { ($0.key, $0.value.withObjects) }))
    case .dict(let pairs): .dict(pairs.map { ($0.key, $0.value.withObjects) })
    default: self
    }
  }
}
