public import SystemPackage

/// An operation on a transport failed.
///
/// Two errors are equal if their operation and their `Errno` are.
public struct TransportError: Error, Sendable {
  /// What was tried.
  @nonexhaustive
  public enum Operation: String, Hashable, Sendable {
    case adopt, duplicate, makePipe, makeSocketPair, receive, send, finishSending, wait, inheritance
    case spawn, exitStatus, signal, detach, offload
  }

  /// What an error ends.
  @nonexhaustive
  public enum Scope: Hashable, Sendable {
    /// One message, one datagram, one call. The next may fare better.
    case item
    /// Receiving, or sending, whichever the operation was.
    case direction
    /// Both directions.
    case connection
  }

  public var operation: Operation

  /// Why it failed.
  public var errno: Errno

  /// What the error ends. Nil in an error that a transport returns: the endpoint decides. An error that an
  /// endpoint throws always says it.
  public var scope: Scope?

  public init(_ operation: Operation, _ errno: Errno, scope: Scope? = nil) {
    self.operation = operation
    self.errno = errno
    self.scope = scope
  }
}

extension TransportError: Hashable {
  public static func == (a: TransportError, b: TransportError) -> Bool {
    a.operation == b.operation && a.errno == b.errno
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(operation)
    hasher.combine(errno)
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
