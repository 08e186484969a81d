#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// The form in which a `Date` is encoded and expected. All encoders and decoders of this package take the same
/// strategies.
public struct CodingDateStrategy: Sendable {
  package enum Kind: Sendable {
    case native
    case deferredToDate
    case secondsSince1970
    case millisecondsSince1970
    case iso8601
    case custom(
      encoding: (@Sendable (Date, any Encoder) throws -> Void)?,
      decoding: (@Sendable (any Decoder) throws -> Date)?)
  }

  package let kind: Kind

  /// The format's own date type: a timestamp in MessagePack, a `datetime` in a pickle.
  public static var native: CodingDateStrategy { CodingDateStrategy(kind: .native) }

  /// The form in which `Date` encodes itself: a floating point number of seconds since the start of 2001, in UTC.
  public static var deferredToDate: CodingDateStrategy { CodingDateStrategy(kind: .deferredToDate) }

  /// A floating point number of seconds since the start of 1970, in UTC: Python's `time.time()`.
  public static var secondsSince1970: CodingDateStrategy { CodingDateStrategy(kind: .secondsSince1970) }

  /// A floating point number of milliseconds since the start of 1970, in UTC: JavaScript's `Date.now()`.
  public static var millisecondsSince1970: CodingDateStrategy {
    CodingDateStrategy(kind: .millisecondsSince1970)
  }

  /// Text such as `2026-11-25T20:00:00Z` or `2026-11-25T20:00:00.250Z`.
  ///
  /// The encoder writes UTC, with 0, 3, 6 or 9 digits of the fraction of a second, as few as the date needs. The
  /// decoder reads any number of digits, and `Z`, an offset such as `+02:00`, or neither, which means UTC.
  ///
  /// Source: ISO 8601; Python's `datetime.isoformat()`.
  public static var iso8601: CodingDateStrategy { CodingDateStrategy(kind: .iso8601) }

  /// Your own functions write and read the date. Encoding or decoding without its function throws.
  ///
  /// - Parameters:
  ///   - encoding: writes the date to the encoder; called on every thread and task that encodes.
  ///   - decoding: reads a date from the decoder; called on every thread and task that decodes.
  public static func custom(
    encoding: (@Sendable (Date, any Encoder) throws -> Void)? = nil,
    decoding: (@Sendable (any Decoder) throws -> Date)? = nil
  ) -> CodingDateStrategy {
    CodingDateStrategy(kind: .custom(encoding: encoding, decoding: decoding))
  }
}
