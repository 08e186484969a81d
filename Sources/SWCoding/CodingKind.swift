/// A decoder that tells the kind of its value. A type for values of any kind then need not try one type after another: each
/// attempt that fails makes an error with a coding path.
package protocol CodingKindTelling {
  /// - Throws: `DecodingError` for a value of which a type for values of any kind would lose a part.
  var codingKind: CodingKind { get throws }
}

/// A decoder that counts an array or a dictionary that is asked for in a single-value container as a level of its own. In an
/// unkeyed container, and by this function, it is in the level of the value.
package protocol CodingLevelDecoder: Decoder {
  func decodeMap<Value: Decodable>(of type: Value.Type) throws -> [String: Value]
}

/// The kind of an encoded value, as far as the formats have it in common.
package enum CodingKind: Sendable {
  case null
  case bool
  case integer
  case floatingPoint
  case text
  case array
  case map
  /// A kind that not all formats have, such as bytes.
  case other
}
