/// The state of a listener and of the connections that it serves, at one moment.
public struct ListenerSnapshot: Sendable {
  /// A connection that is being served.
  public struct Connection: Sendable {
    /// The connection's number, as in ``ListenerEvent``.
    public var number: Int
    /// The process at the other end. Nil if it is not known.
    public var peer: PeerCredentials?
    /// How long it has been open.
    public var age: Duration
    /// Whether its greeting has not returned yet.
    public var isGreeting: Bool
    /// The state of its endpoint.
    public var endpoint: EndpointSnapshot
  }

  /// The address at which the listener listens.
  public var address: Address
  /// The number of calls that wait for a connection.
  public var waitingAcceptors: Int
  /// The connections that `serve` has handed to handlers, by number.
  public var connections: [Connection]
  /// Whether the listener has been told to finish, or was closed.
  public var isFinishing: Bool
}
