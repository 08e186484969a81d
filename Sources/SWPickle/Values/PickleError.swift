/// A pickle that cannot be read, or a value that cannot be written as one.
///
/// On an endpoint it arrives as the `.codec` reason: the frame is consumed and the stream goes on.
public struct PickleError: Error, Hashable, Sendable {
  /// The kind of the fault.
  public enum Kind: Hashable, Sendable {
    /// The pickle ends too early.
    case truncated
    /// No pickler writes that, or Python itself would refuse it.
    case malformed
    /// The pickle names a class or a function for which no reader is registered (``PickleRegistry``). Nothing
    /// has been looked up, and nothing has run.
    case notAllowed(PickleName)
    /// Something of pickle that needs an agreement between both sides which is not there: a persistent
    /// identifier, the extension registry, out-of-band buffers.
    case unsupported
    /// More than ``PickleLimits`` allow.
    case limit
    /// When writing: Python has no such value.
    case unrepresentable
  }

  public var kind: Kind
  /// Where in the pickle, in bytes: the opcode. When writing: 0.
  public var offset: Int
  /// What was expected there.
  public var expected: String
  /// What was found.
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
