public import SWFraming
public import SWIO
public import SWMessaging

extension Listener {
  /// Listens at an address for clients of Python's `multiprocessing` that have the key.
  ///
  ///     let listener = try Listener(
  ///       .unix("/run/jobs.sock"), framing: .multiprocessing, authentication: Authentication(key: "secret"))
  ///     for try await peer in listener.connections { … }
  ///
  /// Every handshake has a task of its own, which begins when the client connects, whether or not a caller accepts. So
  /// a client that is silent delays no other. When ``Authentication/timeLimit`` has passed, it is disconnected. A failed
  /// handshake ends nothing but its connection. Connections that have passed the handshake wait to be accepted. At most
  /// `limit` of them, those in a handshake included, are held. Further ones wait in the kernel's queue.
  ///
  /// `finish()` has the connections that have been made pass their handshakes, and accepts them.
  ///
  /// An address is as Python's: `.unix(path)` for a path, `.abstract(name)` for `"\0name"`, `.tcp(host:port:)` for a tuple.
  ///
  /// - Parameters:
  ///   - address: where to listen.
  ///   - framing: the framing of the messages: `.multiprocessing` for Python's `send` and `recv`,
  ///     `.multiprocessingBytes` for `send_bytes` and `recv_bytes`.
  ///   - authentication: the key that both sides share.
  ///   - mode: whether connections read ahead.
  ///   - maximumFrameSize: the largest frame to receive, in bytes, header included.
  ///   - backlog: how many connections may wait in the kernel's queue.
  ///   - file: the file of a Unix path.
  ///   - policy: the connections that are accepted; checked before the handshake.
  ///   - limit: the most connections that are in a handshake or wait to be accepted; nil: a quarter of the descriptors that
  ///     this process may have, and 4096 at most. Those that `serve` serves come on top.
  ///   - onFailure: called when a handshake has failed, in that handshake's task.
  /// - Throws: `EndpointError` as the initialiser without authentication.
  public convenience init<F: Framing>(
    _ address: Address, framing: F, authentication: Authentication, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize, backlog: Int = 4096, file: SocketFile = .mode(0o600),
    accepting policy: AcceptPolicy? = nil, limit: Int? = nil,
    onFailure: (@Sendable (MultiprocessingError) -> Void)? = nil
  ) throws(EndpointError) where Connection == MessageDuplex<F> {
    precondition(limit ?? 1 > 0, "at least one connection is in a handshake")
    let listener = try Listener<SocketDuplex>(
      address, mode: mode, backlog: backlog, file: file, accepting: policy)
    let source = AuthenticatedConnections(listener, authentication, limit: limit, onFailure)
    let core = ListenerCore(
      source, address: listener.address, over: listener.core, unpublishing: { source.finish() })
    self.init(core) { item throws(EndpointError) in
      MessageDuplex(
        core: try ListenerCore.connection(item, mode), framing: framing, mode: mode,
        maximumFrameSize: maximumFrameSize)
    }
  }
}
