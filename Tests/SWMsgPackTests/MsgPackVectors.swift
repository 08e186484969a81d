import Foundation
import SWMsgPack
import Testing

/// `Vectors/msgpack.json`, written by Python's msgpack 1.2.4 and socketwrapper 0.2.0. The file explains its form.
struct MsgPackVectors: Decodable, Sendable {
  static let golden: MsgPackVectors = {
    guard let url = Bundle.module.url(forResource: "msgpack", withExtension: "json", subdirectory: "Vectors")
    else { preconditionFailure("Vectors/msgpack.json is not among the resources") }
    do {
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      return try decoder.decode(MsgPackVectors.self, from: Data(contentsOf: url))
    } catch {
      preconditionFailure("Vectors/msgpack.json: \(error)")
    }
  }()

  /// Bytes: a string of hexadecimal digits, or a list of `[hex, repeat]` parts.
  struct Wire: Decodable, Sendable {
    var bytes: [UInt8]

    init(from decoder: any Decoder) throws {
      if let digits = try? decoder.singleValueContainer().decode(String.self) {
        bytes = hexBytes(digits)
        return
      }
      var parts = try decoder.unkeyedContainer()
      bytes = []
      while !parts.isAtEnd {
        var part = try parts.nestedUnkeyedContainer()
        let unit = hexBytes(try part.decode(String.self))
        for _ in 0..<(try part.decode(Int.self)) { bytes += unit }
      }
    }
  }

  struct Packed: Decodable, Sendable, CustomTestStringConvertible {
    var value: GoldenValue
    var packed: Wire
    var packedPrefixOnly: Bool?
    var packedLength: Int?
    var testDescription: String { hexDigits(packed.bytes.prefix(24)) }
  }
  struct Noncanonical: Decodable, Sendable, CustomTestStringConvertible {
    var packed: Wire
    var value: GoldenValue?
    var canonical: Wire?
    var testDescription: String { hexDigits(packed.bytes.prefix(24)) }
  }
  struct SingleFloat: Decodable, Sendable {
    var packed: Wire
    var decoded: GoldenValue
  }
  struct Invalid: Decodable, Sendable, CustomTestStringConvertible {
    var why: String
    var wire: Wire
    var unpackb: String
    var testDescription: String { why }
  }
  struct Truncated: Decodable, Sendable {
    var wire: Wire
    var of: Int
  }
  struct Huge: Decodable, Sendable, CustomTestStringConvertible {
    var why: String
    var wire: Wire
    var testDescription: String { why }
  }
  struct Stream: Decodable, Sendable, CustomTestStringConvertible {
    var wire: Wire
    var messageLengths: [Int]
    var values: [GoldenValue]
    var end: String
    var partial: Wire
    var chunkLengths: [Int]?
    var testDescription: String { hexDigits(wire.bytes.prefix(24)) }
  }

  var pack: [Packed]
  var singleFloat: [SingleFloat]
  var noncanonical: [Noncanonical]
  var invalid: [Invalid]
  var truncated: [Truncated]
  var huge: [Huge]
  var streams: [Stream]
}

/// A value as the golden file writes it.
struct GoldenValue: Decodable, Sendable {
  var value: MsgPackValue

  private enum CodingKeys: String, CodingKey {
    case t, v, bits, utf8, hex, fill, n, rangeKeys, code, s, ns, kind, depth
  }

  init(from decoder: any Decoder) throws {
    let golden = try decoder.container(keyedBy: CodingKeys.self)
    let type = try golden.decode(String.self, forKey: .t)
    switch type {
    case "none": value = .null
    case "bool": value = .bool(try golden.decode(Bool.self, forKey: .v))
    case "int":
      let digits = try golden.decode(String.self, forKey: .v)
      value = Int64(digits).map(MsgPackValue.int) ?? UInt64(digits).map(MsgPackValue.uint) ?? .null
    case "float":
      let bits = UInt64(try golden.decode(String.self, forKey: .bits), radix: 16) ?? 0
      value = .double(Double(bitPattern: bits))
    case "str":
      if let text = try golden.decodeIfPresent(String.self, forKey: .v) {
        value = .string(text)
      } else {
        let bytes = try golden.decode(MsgPackVectors.Wire.self, forKey: .utf8).bytes
        value = .string(String(decoding: bytes, as: UTF8.self))
      }
    case "bytes", "bytearray":
      value = .binary(try golden.decode(MsgPackVectors.Wire.self, forKey: .hex).bytes)
    case "list", "tuple":
      if let fill = try golden.decodeIfPresent(GoldenValue.self, forKey: .fill) {
        value = .array(Array(repeating: fill.value, count: try golden.decode(Int.self, forKey: .n)))
      } else {
        value = .array(try golden.decode([GoldenValue].self, forKey: .v).map(\.value))
      }
    case "dict":
      if let count = try golden.decodeIfPresent(Int.self, forKey: .rangeKeys) {
        let fill = try golden.decode(GoldenValue.self, forKey: .fill).value
        value = .map((0..<count).map { .init(.int(Int64($0)), fill) })
      } else {
        value = .map(
          try golden.decode([[GoldenValue]].self, forKey: .v).map { .init($0[0].value, $0[1].value) })
      }
    case "ext":
      let bytes = try golden.decode(MsgPackVectors.Wire.self, forKey: .hex).bytes
      value = .extension(type: try golden.decode(Int8.self, forKey: .code), bytes)
    case "timestamp":
      let seconds = Int64(try golden.decode(String.self, forKey: .s)) ?? 0
      value =
        MsgPackTimestamp(seconds: seconds, nanoseconds: try golden.decode(UInt32.self, forKey: .ns)).value
    case "deep":
      let kind = try golden.decode(String.self, forKey: .kind)
      value = .null
      for level in 0..<(try golden.decode(Int.self, forKey: .depth)) {
        let isMap = kind == "map" || kind == "mixed" && level.isMultiple(of: 2)
        value = isMap ? ["k": value] : [value]
      }
    default: throw DecodingError.dataCorruptedError(forKey: .t, in: golden, debugDescription: type)
    }
  }
}

func hexBytes(_ digits: String) -> [UInt8] {
  let values = digits.compactMap(\.hexDigitValue)
  return stride(from: 0, to: values.count - 1, by: 2).map { UInt8(values[$0] << 4 | values[$0 + 1]) }
}

func hexDigits(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
