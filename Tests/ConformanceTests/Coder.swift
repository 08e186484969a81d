import Foundation
import SWMsgPack
import SWPickle
import Testing

/// One family of coders, as the suite runs it.
struct Coder: Sendable, CustomTestStringConvertible {
  var name: String
  var encode: @Sendable (any Encodable) throws -> [UInt8]
  var decode: @Sendable (any Decodable.Type, [UInt8]) throws -> Any
  /// How Python reads the bytes: an expression over `data`.
  var python: String
  var testDescription: String { name }

  static let json = Coder(
    name: "JSON", encode: { value in try Array(JSONEncoder().encode(value)) },
    decode: { type, bytes in try JSONDecoder().decode(type, from: Data(bytes)) },
    python: "__import__('json').loads(data)")

  static let msgPack = Coder(
    name: "MessagePack", encode: { value in try MsgPackEncoder().encodeBytes(value) },
    decode: { type, bytes in try MsgPackDecoder().decode(type, from: bytes) },
    python: "__import__('msgpack').unpackb(data, strict_map_key=False, timestamp=3)")

  static let pickle = Coder(
    name: "pickle", encode: { value in try PickleEncoder().encodeBytes(value) },
    decode: { type, bytes in try PickleDecoder().decode(type, from: bytes) },
    python: "__import__('pickle').loads(data)")

  /// Every family. A family more is one line here, and one description above.
  static let all = [json, msgPack, pickle]
}
