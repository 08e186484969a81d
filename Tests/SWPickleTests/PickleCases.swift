import SWPickle
import Testing

/// Helpers that the suites of cases share.
protocol PickleCases {}

extension PickleCases {
  func value(_ hex: String, _ registry: PickleRegistry = .standard) throws -> PickleValue {
    try PickleValue(pickle: bytes(hex), registry: registry)
  }

  func decode<T: Decodable>(_ type: T.Type, _ hex: String) throws -> T {
    try PickleDecoder().decode(type, from: bytes(hex))
  }

  /// The text of a decoding error.
  func explanation<T: Decodable>(_ type: T.Type, _ hex: String) throws -> String {
    let pickle = bytes(hex)
    let error = try #require(throws: DecodingError.self) { try PickleDecoder().decode(type, from: pickle) }
    switch error {
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
      .dataCorrupted(let context):
      return context.debugDescription
    @unknown default: return ""
    }
  }
}

/// The bytes of hexadecimal digits.
func bytes(_ hex: String) -> [UInt8] {
  let digits = Array(hex.utf8)
  return stride(from: 0, to: digits.count - 1, by: 2).map { index in
    UInt8(String(decoding: digits[index..<(index + 2)], as: UTF8.self), radix: 16) ?? 0
  }
}

/// The hexadecimal digits of a text.
func hex(_ text: String) -> String {
  text.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
