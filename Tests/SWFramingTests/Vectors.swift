import Foundation

/// Under a sanitizer time says little: its own work is not linear.
let isSanitized = ProcessInfo.processInfo.environment["SWTEST_SANITIZED"] != nil

/// Reads the golden files of `Vectors/`, which the real implementations have written. Each explains its own
/// form in its `format`.
func vectors<Golden: Decodable>(_ name: String, as type: Golden.Type = Golden.self) -> Golden {
  guard let url = Bundle.module.url(forResource: name, withExtension: "json", subdirectory: "Vectors")
  else { preconditionFailure("Vectors/\(name).json is not among the resources") }
  do {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(type, from: Data(contentsOf: url))
  } catch {
    preconditionFailure("Vectors/\(name).json: \(error)")
  }
}

/// Bytes in a golden file: a string of hexadecimal digits, or a list of `[hex, repeat]` parts.
struct Wire: Decodable, Sendable {
  var bytes: [UInt8]

  init(from decoder: any Decoder) throws {
    if let digits = try? decoder.singleValueContainer().decode(String.self) {
      bytes = try Self.bytes(ofDigits: digits, decoder)
      return
    }
    bytes = []
    var parts = try decoder.unkeyedContainer()
    while !parts.isAtEnd {
      var part = try parts.nestedUnkeyedContainer()
      let unit = try Self.bytes(ofDigits: part.decode(String.self), decoder)
      for _ in 0..<(try part.decode(Int.self)) { bytes += unit }
    }
  }

  private static func bytes(ofDigits digits: String, _ decoder: any Decoder) throws -> [UInt8] {
    let values = digits.utf8.compactMap { digit in Character(Unicode.Scalar(digit)).hexDigitValue }
    guard values.count == digits.utf8.count, values.count.isMultiple(of: 2) else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "not hexadecimal: \(digits)"))
    }
    return stride(from: 0, to: values.count, by: 2).map { index in
      UInt8(values[index] << 4 | values[index + 1])
    }
  }
}

/// A 64-bit integer in a golden file: a decimal string, as JSON's numbers end at 2^53.
struct Decimal64: Decodable, Sendable {
  var value: UInt64

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let value = UInt64(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not 64 bits")
    }
    self.value = value
  }
}
