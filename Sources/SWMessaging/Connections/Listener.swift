public import SWFraming
public import SWIO
public import SystemPackage

/// Listens at an address, and accepts connections, for threads and tasks at once.
///
///     let listener = try Listener(.unix("/run/app.sock"), framing: .varInt)
///     for try await peer in listener.connections {
///       Task { for try await message in peer.messages { try await peer.send(message) } }
///     }
///
/// A listener made with a framing yields a ``MessageDuplex`` for each connection, one without a ``SocketDuplex``.
/// All calls may be made from any thread and any task, at the same time; callers are served first come, first served.
///
/// **Unix sockets.** The name appears when the socket listens already, with its permissions, and never replaces a socket
/// that a process has, unless that is asked for (``SocketFile/Presence/takeOver``). When the listener is closed, the file is
/// removed if it is still the listener's own. Over paths and abstract names connections of other users are refused
/// unless another ``AcceptPolicy`` is given.
///
/// **TCP.** The address can be taken again right after a server has ended (SO_REUSEADDR). `[::]` stands for IPv6 and IPv4.
/// Port 0 has the kernel choose one, and ``address`` says which. Small messages are sent at once (TCP_NODELAY).
///
/// **Errors.** A connection that fails before it is accepted is skipped. If descriptors or memory are lacking, accepting
/// pauses, for 10 ms at first and a second at most, and goes on at once when this library closes a descriptor. So
/// nothing but ``close()`` ends a listener, unless the descriptor itself is unusable.
///
/// The descriptors of accepted connections are close-on-exec and nonblocking, and their numbers are above 2.
public final class Listener<Connection: Endpoint>: Sendable {
  /// The address at which it listens, with the port or the name that the kernel has chosen.
  public let address: Address

  package let core: ListenerCore
  private let make: @Sendable (any Sendable) throws(EndpointError) -> Connection

  /// - Parameter make: makes an endpoint of an item of the core.
  package init(
    _ core: ListenerCore, making make: @escaping @Sendable (any Sendable) throws(EndpointError) -> Connection
  ) {
    self.core = core
    address = core.address
    self.make = make
  }

  deinit { core.close() }

  /// Listens at an address.
  ///
  /// The call makes a few system calls and does not wait, with two exceptions. The name of a host is looked up on the
  /// calling thread, for as long as the system's resolver takes. If another process replaces a file in the same
  /// directory at this moment, the call waits for it: for a second at most, usually less than a millisecond.
  ///
  /// - Parameters:
  ///   - address: where to listen. `fd:` takes over a socket that listens already.
  ///   - framing: the framing of the messages.
  ///   - mode: whether connections read ahead.
  ///   - maximumFrameSize: the largest frame to receive, in bytes, header included.
  ///   - kind: the kind of socket: a stream, or packets over a Unix socket.
  ///   - backlog: how many connections may wait to be accepted; the system has a limit of its own (`somaxconn`).
  ///   - file: the file of a Unix path. It has no meaning for other addresses.
  ///   - policy: the connections that are accepted; nil: ``AcceptPolicy/sameUser`` over a Unix path or an abstract name,
  ///     ``AcceptPolicy/anyone`` over TCP and `fd:`.
  /// - Throws: ``EndpointError`` with the ``EndpointError/subject`` `service`. Nothing is left, and nothing has changed.
  ///   - `transport`: the operation is the step that failed (`bind`, `listen`, `publish`, `resolve`, `adopt`), and
  ///     ``EndpointError/explanation`` says more. EADDRINUSE: there is a server at that address. ENOTSOCK: there is
  ///     something else than a socket at the path. EINVAL: the policy is about users, and TCP knows none; or the
  ///     descriptor does not listen.
  ///   - `address`: the address is not valid.
  public convenience init<F: Framing>(
    _ address: Address, framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize, kind: ConnectionKind = .stream, backlog: Int = 4096,
    file: SocketFile = .mode(0o600), accepting policy: AcceptPolicy? = nil
  ) throws(EndpointError) where Connection == MessageDuplex<F> {
    self.init(
      try ListenerCore(address, kind, backlog: backlog, file, policy), framing, mode, maximumFrameSize)
  }

  /// Listens at an address, for raw connections; see
  /// ``init(_:framing:mode:maximumFrameSize:kind:backlog:file:accepting:)``.
  ///
  /// - Parameters:
  ///   - address: where to listen.
  ///   - mode: whether message endpoints over the connections may read ahead.
  ///   - kind: the kind of socket.
  ///   - backlog: how many connections may wait to be accepted.
  ///   - file: the file of a Unix path.
  ///   - policy: the connections that are accepted.
  public convenience init(
    _ address: Address, mode: ReceiveMode = .readAhead, kind: ConnectionKind = .stream, backlog: Int = 4096,
    file: SocketFile = .mode(0o600), accepting policy: AcceptPolicy? = nil
  ) throws(EndpointError) where Connection == SocketDuplex {
    self.init(try ListenerCore(address, kind, backlog: backlog, file, policy), mode)
  }

  package convenience init<F: Framing>(
    _ core: ListenerCore, _ framing: F, _ mode: ReceiveMode, _ maximumFrameSize: Int
  ) where Connection == MessageDuplex<F> {
    self.init(core) { item throws(EndpointError) in
      MessageDuplex(
        core: try ListenerCore.connection(item, mode), framing: framing, mode: mode,
        maximumFrameSize: maximumFrameSize)
    }
  }

  package convenience init(_ core: ListenerCore, _ mode: ReceiveMode) where Connection == SocketDuplex {
    self.init(core) { item throws(EndpointError) in
      SocketDuplex(core: try ListenerCore.connection(item, mode))
    }
  }

  // MARK: Accepting

  /// Accepts the next connection.
  ///
  /// A call that times out or is cancelled loses no connection: the next caller gets it.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait at most; zero takes a connection that is there, after those who came before; nil
  ///     waits without limit.
  ///   - deadline: until when to wait at most. With a timeout, the earlier one counts.
  /// - Returns: the connection, of which nothing has been read.
  /// - Throws: ``EndpointError`` with the ``EndpointError/subject`` `service`: `timedOut`, `cancelled`, `closed`;
  ///   `transport` if the listening descriptor is unusable: every later call throws the same.
  public func accept(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> Connection {
    try connection(await core.half.receive(ReceiveHalf.nextItem, CallLimit(timeout, deadline)))
  }

  fileprivate func connection(_ outcome: ReceiveHalf.Outcome) throws(EndpointError) -> Connection {
    do throws(EndpointError) {
      return try make(try core.half.value(of: outcome))
    } catch {
      var error = error
      if case .endOfStream = error.reason { error.reason = .closed }
      throw error.about(.service(address))
    }
  }

  /// The connections to come, until the listener is closed. Several loops share them: each connection goes to one of
  /// them. Throws `cancelled` when the loop's task is cancelled.
  public var connections: ConnectionSequence<Connection> { ConnectionSequence(listener: self) }

  /// The same calls, blocking. Not usable from async code.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public var blocking: BlockingListener<Connection> { BlockingListener(listener: self) }

  /// The number of connections that the policy has refused so far. ``ListenerEvent/refused(_:peer:)`` reports each.
  public var refusedCount: Int { core.refusedCount }

  /// The state of the listener and of its connections at this moment. Takes locks for a short time and never waits. May be
  /// called from any thread or task.
  public var snapshot: ListenerSnapshot {
    ListenerSnapshot(
      address: address, waitingAcceptors: core.half.inspect { $0.queue.count }, connections: core.served,
      isFinishing: core.isFinishing)
  }

  /// Lends the listening descriptor while `body` runs, to set options for example; it is not closed before `body`
  /// returns.
  ///
  /// - Throws: what `body` throws, and ``EndpointError`` `closed`.
  public func withDescriptor<Result>(_ body: (FileDescriptor) throws -> Result) throws -> Result {
    try core.withDescriptor { try body(FileDescriptor(rawValue: $0)) }
  }

  // MARK: The end

  /// Stops accepting gracefully. The file of a Unix socket is removed, and the kernel refuses new clients at once.
  /// Connections that wait to be accepted still are. After the last of them every call of `accept` throws `closed`, and the loops over
  /// ``connections`` end.
  ///
  /// Calls of ``serve(limit:perUser:greetingTimeout:draining:on:observing:greeting:_:)`` end the connections that they
  /// serve, and return. Does not wait, throws nothing; idempotent; may be called from anywhere.
  ///
  /// Clients that wait for room in the queue of a Unix socket are refused, too, at the latest when the next connection has been
  /// accepted. Over TCP others can connect until ``close()``, which `serve` calls. That also holds for a socket of a service
  /// manager, and after ``withDescriptor(_:)``, because another process may go on to listen. So pass the descriptor on before
  /// this call, not behind it.
  public func finish() { core.finish() }

  /// Whether it has been told to finish, or closed.
  public var isFinishing: Bool { core.isFinishing }

  /// Closes at once: every caller that waits in accept gets the error `closed`. The file of a Unix socket is
  /// removed if it is the listener's own. Connections that wait to be accepted are reset by the kernel. Idempotent, does
  /// not wait, throws nothing; may be called from anywhere. Accepted connections stay open.
  public func close() { core.close() }

  /// Whether it has been closed.
  public var isClosed: Bool { core.half.inspect { $0.isClosed } }
}

/// The blocking view of a listener: the same names, for threads.
public struct BlockingListener<Connection: Endpoint>: Sendable {
  let listener: Listener<Connection>

  /// Blocking form of ``Listener/accept(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func accept(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> Connection {
    try listener.connection(
      listener.core.half.receiveBlocking(ReceiveHalf.nextItem, CallLimit(timeout, deadline)))
  }
}

/// The connections of a listener, for `for try await`.
public struct ConnectionSequence<Connection: Endpoint>: AsyncSequence, Sendable {
  let listener: Listener<Connection>

  public struct Iterator: AsyncIteratorProtocol {
    let listener: Listener<Connection>

    /// The next connection; nil when the listener has been closed.
    public mutating func next() async throws(EndpointError) -> Connection? {
      do throws(EndpointError) {
        return try await listener.accept()
      } catch {
        if case .closed = error.reason { return nil }
        throw error
      }
    }

    /// The next connection; nil when the listener has been closed.
    public mutating func next(
      isolation actor: isolated (any Actor)?
    ) async throws(EndpointError) -> Connection? {
      try await next()
    }
  }

  public func makeAsyncIterator() -> Iterator { Iterator(listener: listener) }
}
