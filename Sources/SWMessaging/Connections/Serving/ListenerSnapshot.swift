/// The state of a listener and of the connections that it serves, at one moment.
public struct ListenerSnapshot: Sendable {
  /// A connection that is being served.
  public struct Connection: Sendable {
    /// The connection's number, as in ``ListenerEvent``.
    public var number: Int
    /// The process at the other end; nil if nobody knows it.
    public var peer: PeerCredentials?
    /// For how long it has been open.
    public var age: Duration
    /// Its greeting has not returned yet.
    public var isGreeting: Bool
    /// The state of its endpoint.
    public var endpoint: EndpointSnapshot
  }

  /// Where it listens.
  public var address: Address
  /// How many calls wait for a connection.
  public var waitingAcceptors: Int
  /// The connections that `serve` has handed to handlers, by number.
  public var connections: [Connection]
  /// The listener has been told to finish, or closed.
  public var isFinishing: Bool
}
