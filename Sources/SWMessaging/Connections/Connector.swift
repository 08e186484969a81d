public import SWFraming
public import SWIO
internal import SystemPackage

/// How to connect to a service: its address, and everything that the connection begins with.
///
///     var connector = Connector(to: .unix("/run/app.sock"))
///     connector.waitsForServer = true
///     let peer = try await connector.connect(framing: .varInt, timeout: .seconds(5))
///
/// A connector is a value: it can be kept, changed and used as often as needed, from any task and thread.
/// ``connect(to:framing:mode:maximumFrameSize:kind:waitingForServer:timeout:until:)`` is the short form.
///
/// - A Unix socket whose queue of connections is full is tried again after 1, 2, 4 ms, and so on, every 20 ms at last,
///   until the deadline. Callers of this process that wait for one address are served first come, first served.
/// - The name of a host is looked up on a thread of the library's own. All its addresses are tried, IPv6 and IPv4 in turn,
///   the next one when the last has failed or after 250 ms (RFC 8305). The first connection wins, and the others are
///   closed. The library's own thread watches TCP connections on their way, for blocking calls, too.
/// - Datagrams have a connected socket: it sends to the service alone and receives from nobody else. Over UDP that tells
///   nothing of a server being there; a send fails with ECONNREFUSED after an earlier one has met none.
/// - `fd:` takes over a connected socket of this process.
///
/// The connection's descriptor is close-on-exec and nonblocking. Over TCP small messages are sent at once
/// (TCP_NODELAY), unless ``delaysSmallMessages`` is set.
public struct Connector: Hashable, Sendable {
  /// The address of the service.
  public var address: Address

  /// The kind of a Unix socket. TCP has streams only, and UDP has datagrams, also if this is `stream`; `fd:` takes any
  /// socket.
  public var kind = ConnectionKind.stream

  /// Whether a service that is not there yet is waited for: as long as there is no such file, or the connection is refused,
  /// it is tried again until the deadline. It is tried every 20 ms at last, over TCP every 250 ms. If a host has several
  /// addresses, one that refuses is enough.
  ///
  /// If the deadline passes, the error is `timedOut`, and ``EndpointError/explanation`` has the last failure.
  public var waitsForServer = false

  /// Whether TCP may hold small messages back for a while, to send them together (Nagle's algorithm).
  public var delaysSmallMessages = false

  /// - Parameters:
  ///   - address: where the service listens.
  ///   - kind: the kind of socket.
  ///   - waitingForServer: whether a service that is not there yet is waited for; see ``waitsForServer``.
  public init(to address: Address, kind: ConnectionKind = .stream, waitingForServer: Bool = false) {
    self.address = address
    self.kind = kind
    waitsForServer = waitingForServer
  }
}

extension Connector {
  /// Connects, with a message endpoint.
  ///
  /// - Parameters:
  ///   - framing: the framing of the messages.
  ///   - mode: whether to read ahead.
  ///   - maximumFrameSize: the largest frame to receive, in bytes, header included.
  ///   - timeout: how long to wait at most; nil: without limit. Zero makes one attempt, which cannot succeed over TCP, nor if a host must be looked up.
  ///   - deadline: until when to wait at most. With a timeout, the earlier one counts.
  /// - Returns: the connected endpoint.
  /// - Throws: ``EndpointError`` with the ``EndpointError/subject`` `service`. No descriptor is left.
  ///   - `transport`: the operation is the step that failed (`resolve`, `connect`, `adopt`). ENOENT, ECONNREFUSED: nobody
  ///     listens there. EPROTOTYPE: a socket of another kind does. EACCES: this process may not connect. ENXIO and
  ///     others with the operation `resolve`: the host is not known. EMFILE: no descriptor can be had.
  ///   - `timedOut`, `cancelled`: ``EndpointError/explanation`` has the failure of the last attempt, if there was one.
  ///   - `address`: the address is not valid.
  public func connect<F: Framing>(
    framing: F, mode: ReceiveMode = .readAhead, maximumFrameSize: Int = defaultMaximumFrameSize,
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> MessageDuplex<F> {
    MessageDuplex(
      core: try await core(mode, CallLimit(timeout, deadline)), framing: framing, mode: mode,
      maximumFrameSize: maximumFrameSize)
  }

  /// Connects, with a raw endpoint.
  ///
  /// - Parameters:
  ///   - mode: whether message endpoints over this one may read ahead.
  ///   - timeout: how long to wait at most; nil: without limit.
  ///   - deadline: until when to wait at most. With a timeout, the earlier one counts.
  /// - Returns: the connected endpoint.
  /// - Throws: ``EndpointError`` as ``connect(framing:mode:maximumFrameSize:timeout:until:)``.
  public func connect(
    mode: ReceiveMode = .readAhead, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> SocketDuplex {
    SocketDuplex(core: try await core(mode, CallLimit(timeout, deadline)))
  }

  /// The same calls, blocking. Not usable from async code.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public var blocking: BlockingConnector { BlockingConnector(connector: self) }
}

/// The blocking view of a connector.
public struct BlockingConnector: Sendable {
  let connector: Connector

  /// Blocking form of ``Connector/connect(framing:mode:maximumFrameSize:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func connect<F: Framing>(
    framing: F, mode: ReceiveMode = .readAhead, maximumFrameSize: Int = defaultMaximumFrameSize,
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> MessageDuplex<F> {
    MessageDuplex(
      core: try connector.coreBlocking(mode, CallLimit(timeout, deadline)), framing: framing, mode: mode,
      maximumFrameSize: maximumFrameSize)
  }

  /// Blocking form of ``Connector/connect(mode:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func connect(
    mode: ReceiveMode = .readAhead, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> SocketDuplex {
    SocketDuplex(core: try connector.coreBlocking(mode, CallLimit(timeout, deadline)))
  }
}

/// Connects to a service, with a message endpoint.
///
///     let peer = try await connect(to: .unix("/run/app.sock"), framing: .varInt, timeout: .seconds(1))
///
/// The short form of ``Connector``, which says how connections are made.
///
/// - Parameters:
///   - address: where the service listens.
///   - framing: the framing of the messages.
///   - mode: whether to read ahead.
///   - maximumFrameSize: the largest frame to receive, in bytes, header included.
///   - kind: the kind of socket.
///   - waitingForServer: whether a service that is not there yet is waited for.
///   - timeout: how long to wait at most; nil: without limit.
///   - deadline: until when to wait at most. With a timeout, the earlier one counts.
/// - Throws: ``EndpointError`` as ``Connector/connect(framing:mode:maximumFrameSize:timeout:until:)``.
public func connect<F: Framing>(
  to address: Address, framing: F, mode: ReceiveMode = .readAhead,
  maximumFrameSize: Int = defaultMaximumFrameSize, kind: ConnectionKind = .stream,
  waitingForServer: Bool = false, timeout: Duration? = nil, until deadline: Deadline = .never
) async throws(EndpointError) -> MessageDuplex<F> {
  try await Connector(to: address, kind: kind, waitingForServer: waitingForServer)
    .connect(
      framing: framing, mode: mode, maximumFrameSize: maximumFrameSize, timeout: timeout, until: deadline)
}

/// Connects to a service, with a raw endpoint.
///
/// - Parameters:
///   - address: where the service listens.
///   - mode: whether message endpoints over this one may read ahead.
///   - kind: the kind of socket.
///   - waitingForServer: whether a service that is not there yet is waited for.
///   - timeout: how long to wait at most; nil: without limit.
///   - deadline: until when to wait at most. With a timeout, the earlier one counts.
/// - Throws: ``EndpointError`` as ``Connector/connect(framing:mode:maximumFrameSize:timeout:until:)``.
public func connect(
  to address: Address, mode: ReceiveMode = .readAhead, kind: ConnectionKind = .stream,
  waitingForServer: Bool = false, timeout: Duration? = nil, until deadline: Deadline = .never
) async throws(EndpointError) -> SocketDuplex {
  try await Connector(to: address, kind: kind, waitingForServer: waitingForServer)
    .connect(mode: mode, timeout: timeout, until: deadline)
}
