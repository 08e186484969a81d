import Foundation
import Testing

/// Golden data of the library's own tests.
func vectors(_ name: String, of target: String = "SWFramingTests") throws -> [String: Any] {
  var root = URL(filePath: #filePath)
  for _ in 0..<4 { root.deleteLastPathComponent() }
  let file = root.appending(path: "Tests/\(target)/Vectors/\(name).json")
  return try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
}

/// The cases of a table.
func cases(_ table: String, in vectors: [String: Any]) throws -> [[String: Any]] {
  try #require(vectors[table] as? [[String: Any]])
}

/// Bytes as the tables have them: a string of hexadecimal digits, or parts that repeat.
func wire(_ value: Any?) throws -> [UInt8] {
  if let digits = value as? String {
    let characters = Array(digits.utf8)
    return try stride(from: 0, to: characters.count, by: 2).map { index in
      try #require(UInt8(String(decoding: characters[index..<(index + 2)], as: UTF8.self), radix: 16))
    }
  }
  let parts = try #require(value as? [[Any]])
  return try parts.flatMap { part in
    let (bytes, count) = (try wire(part[0]), try #require(part[1] as? Int))
    return [[UInt8]](repeating: bytes, count: count).joined()
  }
}
