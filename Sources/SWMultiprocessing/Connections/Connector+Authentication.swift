public import SWFraming
public import SWIO
public import SWMessaging

extension Connector {
  /// Connects to a Listener of Python's `multiprocessing` that has a key, or to one made with
  /// `Listener(_:framing:authentication:)`.
  ///
  /// - Parameters:
  ///   - framing: the framing of the messages: `.multiprocessing` for Python's `send` and `recv`,
  ///     `.multiprocessingBytes` for `send_bytes` and `recv_bytes`.
  ///   - authentication: the key that both sides share.
  ///   - mode: whether to read ahead.
  ///   - maximumFrameSize: the largest frame to receive, in bytes, header included.
  ///   - timeout: how long to wait at most, for the connection and for the handshake; nil: the connection is waited for
  ///     without limit. ``Authentication/timeLimit`` holds for the handshake as well.
  ///   - deadline: until when to wait at most. With a timeout, the earlier one counts.
  /// - Returns: the connection, of which nothing but the handshake has been sent and received.
  /// - Throws: ``MultiprocessingError`` `connection` as `Connector.connect(framing:)`
  ///   throws it, and `authentication`. No descriptor is left.
  public func connect<F: Framing>(
    framing: F, authentication: Authentication, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize, timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) async throws(MultiprocessingError) -> MessageDuplex<F> {
    let deadline = CallLimit(timeout, deadline).deadline
    let peer: MessageDuplex<F>
    do throws(EndpointError) {
      peer = try await connect(
        framing: framing, mode: mode, maximumFrameSize: maximumFrameSize, until: deadline)
    } catch {
      throw MultiprocessingError(.connection(error), address: address)
    }
    try await peer.authenticate(as: .client, with: authentication, address: address, until: deadline)
    return peer
  }
}

extension BlockingConnector {
  /// Blocking form of `Connector.connect(framing:authentication:timeout:until:)`. An
  /// error of the handshake does not name the address.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func connect<F: Framing>(
    framing: F, authentication: Authentication, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize, timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) throws(MultiprocessingError) -> MessageDuplex<F> {
    let deadline = CallLimit(timeout, deadline).deadline
    let peer: MessageDuplex<F>
    do throws(EndpointError) {
      peer = try connect(framing: framing, mode: mode, maximumFrameSize: maximumFrameSize, until: deadline)
    } catch {
      throw MultiprocessingError(.connection(error))
    }
    try peer.blocking.authenticate(as: .client, with: authentication, until: deadline)
    return peer
  }
}

/// Connects to a Listener of Python's `multiprocessing` that has a key.
///
///     let peer = try await connect(
///       to: .unix("/run/jobs.sock"), framing: .multiprocessing, authentication: Authentication(key: "secret"))
///     try await peer.send(["id": 7])
///
/// The short form of `Connector.connect(framing:authentication:timeout:until:)`.
///
/// - Parameters:
///   - address: where the listener listens.
///   - framing: the framing of the messages.
///   - authentication: the key that both sides share.
///   - mode: whether to read ahead.
///   - maximumFrameSize: the largest frame to receive, in bytes, header included.
///   - waitingForServer: whether a service that is not there yet is waited for.
///   - timeout: how long to wait at most.
///   - deadline: until when to wait at most. With a timeout, the earlier one counts.
/// - Throws: ``MultiprocessingError`` `connection` and `authentication`. No descriptor is left.
public func connect<F: Framing>(
  to address: Address, framing: F, authentication: Authentication, mode: ReceiveMode = .readAhead,
  maximumFrameSize: Int = defaultMaximumFrameSize, waitingForServer: Bool = false, timeout: Duration? = nil,
  until deadline: Deadline = .never
) async throws(MultiprocessingError) -> MessageDuplex<F> {
  try await Connector(to: address, waitingForServer: waitingForServer)
    .connect(
      framing: framing, authentication: authentication, mode: mode, maximumFrameSize: maximumFrameSize,
      timeout: timeout, until: deadline)
}
