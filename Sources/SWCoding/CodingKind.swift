/// A decoder that tells the kind of its value. A type for values of any kind then need not try one type after another: each
/// attempt that fails makes an error with a coding path.
package protocol CodingKindTelling {
  var codingKind: CodingKind { get }
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
