public import SWFraming
public import SWIO
internal import Synchronization

/// A connection to a service that is made again when it breaks.
///
///     let client = ReconnectingClient(Connector(to: .unix("/run/app.sock")), framing: .varInt)
///     let answer = try await client.withConnection(timeout: .seconds(2)) { peer in
///       try await peer.send(request)
///       return try await peer.receive()
///     }
///
/// The first call connects. Later calls get the same connection while it works. They get a new one if it was closed, the
/// peer has ended it, it has failed, or what came over it broke the framing. Until there is a connection, each caller waits
/// as long as its own deadline allows, and attempts are made with pauses between them (``Backoff``). When no caller waits
/// any more, the attempt that is under way is the last one. If it succeeds, its connection is there for the next call.
///
/// A connection that breaks before it has lasted for ``Backoff/most`` counts as a failed attempt: the next one begins no
/// sooner than a pause after it was made. A connection that is closed at this end does not count, and the next call is not
/// delayed.
///
/// **Nothing is sent twice.** A call that was under way when the connection broke is not repeated. It throws the usual
/// error, which says how much had gone out. Only the caller knows which requests may be repeated.
///
/// A limit (`givingUpAfter`) ends the attempts, and the calls that wait get the error of the last one. The next call begins
/// again.
///
/// All calls may be made from any thread and any task, at the same time; callers are served first come, first served.
public final class ReconnectingClient<F: Framing>: Sendable {
  /// How it is with the connection.
  @nonexhaustive
  public enum State: Sendable {
    /// There is no connection, and no attempt is under way.
    case idle
    /// An attempt is under way. The first has the number 1.
    case connecting(attempt: Int)
    /// There is a connection. It may have broken since.
    case connected
    /// An attempt has failed, or a connection broke soon after it was made (`endOfStream`). Another attempt is made
    /// after a pause.
    case waiting(attempt: Int, pause: Duration, after: EndpointError)
    /// The client was closed.
    case closed
  }

  private let source: ConnectionSource<F>
  private let half: ReceiveHalf

  /// A client. Does not connect yet.
  ///
  /// - Parameters:
  ///   - connector: how to connect.
  ///   - framing: the framing of the messages.
  ///   - mode: whether connections read ahead.
  ///   - maximumFrameSize: the largest frame to receive, in bytes, header included.
  ///   - backoff: the pauses between attempts.
  ///   - attemptTimeout: how long one attempt may take, also if no caller waits for it any more.
  ///   - limit: for how long attempts are made before they are given up; nil: as long as a call waits.
  public init(
    _ connector: Connector, framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize, backoff: Backoff = .standard,
    attemptTimeout: Duration = .seconds(10), givingUpAfter limit: Duration? = nil
  ) {
    source = ConnectionSource(backoff, attemptTimeout, limit) { deadline throws(EndpointError) in
      try await connector.connect(
        framing: framing, mode: mode, maximumFrameSize: maximumFrameSize, until: deadline)
    }
    half = ReceiveHalf(Port(source, for: .readable, reactor: Reactor.shared))
    source.begin(for: half)
  }

  deinit { close() }

  // MARK: The connection

  /// The connection: the one that there is, or, when there is none in order, the next.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait for one at most; nil: without limit.
  ///   - deadline: until when to wait at most. With a timeout, the earlier one counts.
  /// - Throws: ``EndpointError``: `timedOut` and `cancelled`, whose ``EndpointError/explanation`` has the failure of the
  ///   last attempt; `closed`, when the client was closed; what the last attempt threw, when attempts were given up.
  public func connection(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> MessageDuplex<F> {
    try connection(of: await half.receive(ReceiveHalf.nextItem, CallLimit(timeout, deadline)))
  }

  /// Runs `body` with the connection, and closes the connection if `body` throws. An answer that comes too late is then
  /// never taken for that of the next request: the next call gets another connection. It is not delayed, unless the peer has
  /// ended the connection or it has failed.
  ///
  /// Tasks share the connection, so it ends for all of them. If each knows its own answers, for example by the numbers of its
  /// requests, use ``connection(timeout:until:)``, which closes nothing.
  ///
  /// - Parameters:
  ///   - timeout: the longest time to wait for a connection; nil: without limit. It does not include `body`.
  ///   - deadline: until when to wait at most.
  ///   - body: is called once, and not again if the connection breaks.
  /// - Throws: what ``connection(timeout:until:)`` and `body` throw.
  public func withConnection<Result>(
    timeout: Duration? = nil, until deadline: Deadline = .never,
    _ body: (MessageDuplex<F>) async throws -> Result
  ) async throws -> Result {
    let connection = try await connection(timeout: timeout, until: deadline)
    do {
      return try await body(connection)
    } catch {
      source.giveUp(connection)
      throw error
    }
  }

  fileprivate func connection(of outcome: ReceiveHalf.Outcome) throws(EndpointError) -> MessageDuplex<F> {
    do throws(EndpointError) {
      guard let connection = try half.value(of: outcome) as? MessageDuplex<F> else {
        preconditionFailure("the source yields connections")
      }
      return connection
    } catch {
      var error = error
      if case .timedOut = error.reason, error.explanation.isEmpty, let last = source.lastFailure {
        error.explanation = "\(last)"
      }
      throw error
    }
  }

  /// The same calls, blocking. Not usable from async code.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public var blocking: BlockingReconnectingClient<F> { BlockingReconnectingClient(client: self) }

  fileprivate func connectionBlocking(_ limit: CallLimit) throws(EndpointError) -> MessageDuplex<F> {
    try connection(of: half.receiveBlocking(ReceiveHalf.nextItem, limit))
  }

  // MARK: State

  /// How it is with the connection at this moment.
  public var state: State { source.state }

  /// The states to come, beginning with the present one. A reader that is slow misses states in between and gets the
  /// latest. Ends when the client is closed.
  public var states: AsyncStream<State> { source.states() }

  /// Closes the connection that there is. The next call makes another.
  public func disconnect() { source.disconnect() }

  /// Closes the client, and its connection: all who wait for a connection get `closed` at once, and a pause between attempts
  /// ends. Idempotent, does not wait; may be called from anywhere.
  public func close() {
    half.close()
    source.end()
  }
}

/// The blocking view of a client that reconnects.
public struct BlockingReconnectingClient<F: Framing>: Sendable {
  let client: ReconnectingClient<F>

  /// Blocking form of ``ReconnectingClient/connection(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func connection(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> MessageDuplex<F> {
    try client.connectionBlocking(CallLimit(timeout, deadline))
  }
}
