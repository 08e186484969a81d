public import SystemPackage

/// An operation on a transport failed.
public struct TransportError: Error, Hashable, Sendable {
  /// What was tried.
  public enum Operation: String, Hashable, Sendable {
    case adopt, duplicate, makePipe, makeSocketPair, receive, send, finishSending, wait, inheritance
    case spawn, exitStatus, signal, detach, offload
  }

  public var operation: Operation

  /// Why it failed.
  public var errno: Errno

  public init(_ operation: Operation, _ errno: Errno) {
    self.operation = operation
    self.errno = errno
  }
}

extension TransportError: CustomStringConvertible {
  public var description: String { "\(operation.rawValue): \(errno)" }
}

/// The seam to the C shim: a negative result is an errno.
package func checked(
  _ operation: TransportError.Operation, _ result: Int32
) throws(TransportError) -> Int32 {
  if result < 0 { throw TransportError(operation, Errno(rawValue: -result)) }
  return result
}
