/// A value of any kind that a decoder of another module has read whole. With it, each type for values of any kind has one
/// reader for a format, and not one of its own that tries one type after another.
package enum CodingAnyValue: Sendable {
  case null
  case bool(Bool)
  case int(Int64)
  case uint(UInt64)
  case double(Double)
  case string(String)
  case array([CodingAnyValue])
  case object([String: CodingAnyValue])

  /// The value of a decoder, if the module that made the decoder reads values whole. Otherwise nil.
  ///
  /// - Throws: `DecodingError`.
  package static func read(from decoder: any Decoder) throws -> CodingAnyValue? {
    guard let key = readerKey, let reader = decoder.userInfo[key] as? any CodingAnyValueReader else {
      return nil
    }
    return try reader.anyValue(of: decoder)
  }

  /// The key of the reader in a decoder's `userInfo`.
  package static let readerKey = CodingUserInfoKey(rawValue: "SWCoding.CodingAnyValueReader")
}

/// Reads the value of a decoder that does not tell the kind of its value.
package protocol CodingAnyValueReader: Sendable {
  func anyValue(of decoder: any Decoder) throws -> CodingAnyValue?
}
