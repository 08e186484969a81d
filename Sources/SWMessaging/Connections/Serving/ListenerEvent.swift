/// An event of a listener that serves, for logs, counters and tests.
///
/// A connection has a number, unique in its listener, which is meant for logs. Do not use it as a label of metrics: there
/// is no end of them.
@nonexhaustive
public enum ListenerEvent: Sendable {
  /// Why a connection was closed before anything was read from it.
  @nonexhaustive
  public enum Refusal: Hashable, Sendable {
    /// The listener's ``AcceptPolicy`` does not admit its peer.
    case policy
    /// Its user has as many connections as one user may have.
    case userLimit
    /// The service ends, and has as many connections as it may have.
    case draining
  }

  /// A connection has been accepted, and its handler begins.
  case accepted(connection: Int, peer: PeerCredentials?)
  /// A connection was closed at once.
  case refused(Refusal, peer: PeerCredentials?)
  /// The greeting of a connection threw, or took too long. The connection is closed.
  case greetingFailed(connection: Int, any Error)
  /// The handler of a connection has returned, or thrown, and the connection is closed.
  case closed(connection: Int, error: (any Error)?, after: Duration)
  /// There are not enough descriptors, or not enough memory, so connections wait. Reported once each time this begins.
  case acceptingPaused(TransportError)
  /// Accepting continues.
  case acceptingResumed
  /// The service is ending: no new client can connect, and this number of connections is open.
  case draining(connectionCount: Int)
  /// The time for the end has passed: this number of connections is cancelled.
  case cancelling(connectionCount: Int)
}
