internal import SWFraming

#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

/// A payload that a ``JSONFraming`` could not decode. It is the underlying error of the framing's `DecodingError`.
public struct JSONPayloadError: Error, Sendable {
  /// The payload as it was received.
  public let payload: [UInt8]
  /// The underlying error of Foundation's own error, if there is one.
  public let cause: (any Error)?

  /// The payload as text, with a replacement character for each sequence that is not UTF-8.
  public var text: String { String(decoding: payload, as: UTF8.self) }
}

extension JSONPayloadError: CustomStringConvertible {
  /// The first 200 bytes of the payload, and the cause.
  public var description: String {
    let start = String(decoding: payload.prefix(200), as: UTF8.self).quoted(upTo: 200)
    let rest = payload.count > 200 ? "… (\(payload.count) bytes)" : ""
    return "found \(start)\(rest)" + (cause.map { ": \("\($0)".shown())" } ?? "")
  }
}

extension DecodingError {
  /// The same error with the payload.
  func showing(_ payload: Data) -> DecodingError {
    func context(_ old: Context) -> Context {
      let error = JSONPayloadError(payload: Array(payload), cause: old.underlyingError)
      return Context(
        codingPath: old.codingPath, debugDescription: "\(old.debugDescription.shown()) (\(error))",
        underlyingError: error)
    }
    return switch self {
    case .typeMismatch(let type, let old): .typeMismatch(type, context(old))
    case .valueNotFound(let type, let old): .valueNotFound(type, context(old))
    case .keyNotFound(let key, let old): .keyNotFound(key, context(old))
    case .dataCorrupted(let old): .dataCorrupted(context(old))
    @unknown default: self
    }
  }
}
