internal import CSysShim
public import SystemPackage

/// An operation on a transport failed.
///
/// Two errors are equal if their operation and their `Errno` are.
public struct TransportError: Error, Sendable {
  /// The operation that failed.
  @nonexhaustive
  public enum Operation: Hashable, Sendable {
    case adopt, duplicate, makePipe, makeSocketPair, receive, send, finishSending, wait, inheritance
    case spawn, exitStatus, signal, detach, offload
    /// Looking up the name of a host.
    case resolve
    case connect
    /// Making a socket to listen with, and giving it its address.
    case bind
    case listen
    /// Giving a listening Unix socket its path, or replacing the file that is there.
    case publish
    case accept
    /// Asking for the credentials of a peer, or for its process.
    case credentials
  }

  /// The extent of an error.
  @nonexhaustive
  public enum Scope: Hashable, Sendable {
    /// One message, one datagram or one call. The next one may succeed.
    case item
    /// The direction of the operation: receiving or sending.
    case direction
    /// Both directions.
    case connection
  }

  public var operation: Operation

  /// The system's reason.
  public var errno: Errno

  /// The extent of the error. A transport may leave it nil, and the endpoint decides. An error that an endpoint throws
  /// always has one: `item` if it has nothing to do with what the transport sends and receives.
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
  /// The failed operation and the reason: the system's text for the error number, and its name.
  public var description: String { description(object: nil) }

  /// - Parameter object: the object of the operation. Nil for the usual one.
  package func description(object: String?) -> String {
    let (verb, usual) = operation.words
    let whole = (object ?? usual).map { "\(verb) \($0)" } ?? verb
    return "cannot \(whole): \(errno)" + (errno.name.map { " (\($0))" } ?? "")
  }
}

extension TransportError {
  /// The description of the same error at the address of a service.
  package func description(at address: String) -> String {
    switch operation {
    case .connect: description(object: "to \(address)")
    case .listen: description(object: "at \(address)")
    case .bind: description(object: "a socket to \(address)")
    case .accept: description(object: "a connection at \(address)")
    case .publish, .resolve, .adopt: description(object: address)
    default: description(object: nil)
    }
  }
}

extension TransportError.Operation {
  /// The verb of the operation, and its object.
  fileprivate var words: (verb: String, object: String?) {
    switch self {
    case .adopt: ("take over", "the descriptor")
    case .duplicate: ("duplicate", "the descriptor")
    case .makePipe: ("make", "a pipe")
    case .makeSocketPair: ("make", "a socket pair")
    case .receive: ("receive", nil)
    case .send: ("send", nil)
    case .finishSending: ("finish sending", nil)
    case .wait: ("wait for the transport", nil)
    case .inheritance: ("change inheritance of", "the descriptor")
    case .spawn: ("start", "the program")
    case .exitStatus: ("get the exit status of", "the process")
    case .signal: ("signal", "the process")
    case .detach: ("detach", "the transport")
    case .offload: ("start", "a helper thread")
    case .resolve: ("find", "the host")
    case .connect: ("connect", nil)
    case .bind: ("bind", "a socket")
    case .listen: ("listen", nil)
    case .publish: ("publish", "the socket")
    case .accept: ("accept", "a connection")
    case .credentials: ("get", "the peer's credentials")
    }
  }
}

extension Errno {
  /// The name of the error in errno.h.
  fileprivate var name: String? {
    let name: UnsafePointer<CChar>? = unsafe swsys_error_name(rawValue)
    return unsafe name.map { unsafe String(cString: $0) }
  }
}

/// Returns the result of a function of the C shim, or throws. A negative result is an errno.
package func checked(
  _ operation: TransportError.Operation, _ result: Int32
) throws(TransportError) -> Int32 {
  if result < 0 { throw TransportError(operation, Errno(rawValue: -result)) }
  return result
}
