import SWFraming
import SWJSON
import SWMsgPack
import SWPickle

private struct Record: Codable, Sendable {
  var id = 123_456
  var name = "Ada Lovelace"
  var active = true
  var score = 98.6
  var role = "programmer"
}

private struct Numbers: Codable, Sendable {
  var integers = (0..<500).map { 0x1234_5678_9abc_def &* ($0 + 1) & .max >> ($0 % 62) }
  var reals = (0..<500).map { Double($0) / 7 }
}

private struct Entry: Codable, Sendable {
  var id: Int
  var name: String
  var email: String
  var city: String
  var tags: [String]
  var score: Double
  var active: Bool

  static let forty = (0..<40).map { index in
    Entry(
      id: index * 7919, name: "Person Number \(index)", email: "person\(index)@example.org",
      city: "Städtchen \(index % 17)", tags: ["alpha", "beta \(index)", "gamma"], score: Double(index) * 1.37,
      active: index.isMultiple(of: 3))
  }
}

/// The paths of values: `Codable` types to bytes and back, without I/O. The types are those of the benchmarks.
let valuePaths: [Path] =
  pickle("pickle-record", "a struct of 5 fields", Record(), 1_000)
  + pickle("pickle-records", "40 structs with strings", Entry.forty, 100)
  + pickle("pickle-numbers", "500 integers and 500 doubles", Numbers(), 100)
  + pickle(
    "pickle-array", "an array of NumPy's, 8 KiB", NumPyArray([Double](repeating: 1.5, count: 1024)), 100)
  + msgPack("msgpack-record", "a struct of 5 fields", Record(), 1_000)
  + msgPack("msgpack-records", "40 structs with strings", Entry.forty, 100)
  + msgPack("msgpack-numbers", "500 integers and 500 doubles", Numbers(), 100)
  + json("json-record", "a line with a struct of 5 fields", Record(), 100)

private func pickle<Value: Codable & Sendable>(
  _ name: String, _ summary: String, _ value: Value, _ count: Int
) -> [Path] {
  let (encoder, decoder) = (PickleEncoder(), PickleDecoder())
  return bothWays(name, summary, value, count) {
    try encoder.encodeBytes($0)
  } decode: {
    try decoder.decode(Value.self, from: $0)
  }
}

private func msgPack<Value: Codable & Sendable>(
  _ name: String, _ summary: String, _ value: Value, _ count: Int
) -> [Path] {
  let (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
  return bothWays(name, summary, value, count) {
    try encoder.encodeBytes($0)
  } decode: {
    try decoder.decode(Value.self, from: $0)
  }
}

private func json<Value: Codable & Sendable>(
  _ name: String, _ summary: String, _ value: Value, _ count: Int
) -> [Path] {
  let framing = LineFraming.lines.json(Value.self)
  return bothWays(name, summary, value, count) { value in
    var parts = FrameParts()
    try framing.encode(value, into: &parts)
    return parts.bytes
  } decode: { frame in
    try framing.decode(frame.span, payload: 0..<frame.count - 1, scanned: framing.makeScanner())
  }
}

private func bothWays<Value: Codable & Sendable>(
  _ name: String, _ summary: String, _ value: Value, _ count: Int,
  encode: @escaping @Sendable (Value) throws -> [UInt8],
  decode: @escaping @Sendable ([UInt8]) throws -> Value
) -> [Path] {
  [
    Path("\(name)-encode", "to encode \(summary)", count: count) {
      .blocking { count in
        for _ in 0..<count { withExtendedLifetime(try encode(value)) {} }
      }
    },
    Path("\(name)-decode", "to decode \(summary)", count: count) {
      let bytes = try encode(value)
      return .blocking { count in
        for _ in 0..<count { withExtendedLifetime(try decode(bytes)) {} }
      }
    },
  ]
}
