/// An error of reading a pickle, or of writing a value as one.
///
/// An endpoint throws it as the `.codec` reason. The frame is then consumed, and the next receive reads the next
/// message.
public struct PickleError: Error, Hashable, Sendable {
  /// The kind of the error.
  public enum Kind: Hashable, Sendable {
    /// The pickle ends before its STOP opcode.
    case truncated
    /// The pickle is not one that a pickler writes, or that Python accepts.
    case malformed
    /// A strict registry does not have the class or function that the pickle names (``PickleRegistry``). Nothing
    /// was looked up or called.
    case notAllowed(PickleName)
    /// The pickle needs an agreement between both sides: a persistent identifier, the extension registry, or
    /// out-of-band buffers.
    case unsupported
    /// The pickle exceeds one of the ``PickleLimits``.
    case limit
    /// The value cannot be written, because Python has no such value.
    case unrepresentable
  }

  public var kind: Kind
  /// The offset of the opcode in the pickle, in bytes; 0 for an error of writing.
  public var offset: Int
  /// A description of what was expected at the offset.
  public var expected: String
  /// A description of what was found instead.
  public var found: String

  public init(_ kind: Kind, offset: Int, expected: String, found: String) {
    self.kind = kind
    self.offset = offset
    self.expected = expected
    self.found = found
  }
}

extension PickleError: CustomStringConvertible {
  public var description: String {
    let what =
      switch kind {
      case .truncated: "truncated pickle"
      case .malformed: "malformed pickle"
      case .notAllowed(let name): "no reader is registered for \(name)"
      case .unsupported: "unsupported in a pickle"
      case .limit: "limit exceeded"
      case .unrepresentable: "not representable in a pickle"
      }
    return "\(what), at offset \(offset): expected \(expected), found \(found)"
  }
}
