public import SWIO
internal import Synchronization

extension Listener {
  /// Serves connections until the listener is told to finish, or closed: each has a child task that runs `handler`, and is
  /// closed when that returns or throws.
  ///
  ///     try await listener.serve(limit: 256, draining: .seconds(5)) { peer in
  ///       for try await request in peer.messages { try await peer.send(answer(to: request)) }
  ///     }
  ///
  /// **Limits.** When as many connections are open as `limit` allows, none is accepted until one is closed: further
  /// clients wait in the queue of the kernel. A connection of a user who has `perUser` connections already is closed at
  /// once.
  ///
  /// **Greeting.** If a greeting is given, it runs before the handler, in the same task, and has `greetingTimeout`. When
  /// that has passed its task is cancelled and the connection closed. A peer that says nothing delays nobody else.
  ///
  /// **Errors.** What a greeting or a handler throws ends its own connection, and is told to `observer`.
  ///
  /// **The end.** It begins when ``finish()`` or ``close()`` is called, or when the calling task is cancelled:
  /// 1. No other client can connect. Connections that have been made are accepted, or closed if `limit` is reached.
  /// 2. Receives of every connection return what has arrived, and then report the end (see
  ///    ``ReceivingEndpoint/finishReceiving()``): loops over messages end, and what they were asked is answered.
  /// 3. When `patience` has passed, the tasks of connections that are left are cancelled, and a second later their
  ///    connections are closed.
  ///
  /// The call returns when the last handler has returned and every connection is closed, and so is the listener: no peer
  /// finds an open socket afterwards. It waits at most a second longer if the system has no thread for a close that may take
  /// long.
  ///
  /// A connection counts until its descriptor is free. If the kernel takes longer to close it, such as a TCP socket with
  /// `SO_LINGER`, or one whose peer has passed descriptors that were not received, another connection can be accepted
  /// meanwhile.
  ///
  /// - Parameters:
  ///   - limit: how many connections may be open at once; nil: half of the descriptors that this process may have.
  ///   - perUser: how many connections a user may have open at once; nil: no limit. It concerns Unix sockets alone.
  ///   - greetingTimeout: how long a greeting may take.
  ///   - patience: how long the end waits for connections.
  ///   - executor: where the tasks of connections prefer to run: on the threads that receive messages (``MessagingExecutor``
  ///     says what must not run there) unless another is given; nil: on the default executor.
  ///   - observer: is told what happens, on any thread, also while locks of the library are free: it may call whatever
  ///     does not wait.
  ///   - greeting: the beginning of each connection, such as an authentication; nil: none.
  ///   - handler: serves a connection.
  /// - Throws: ``EndpointError`` `transport`, if the listening descriptor is unusable. The connections have been ended
  ///   then, too. Cancellation is not an error.
  public func serve(
    limit: Int? = nil, perUser: Int? = nil, greetingTimeout: Duration = .seconds(10),
    draining patience: Duration = .seconds(5), on executor: (any TaskExecutor)? = MessagingExecutor.shared,
    observing observer: (@Sendable (ListenerEvent) -> Void)? = nil,
    greeting: (@Sendable (Connection) async throws -> Void)? = nil,
    _ handler: @escaping @Sendable (Connection) async throws -> Void
  ) async throws(EndpointError) {
    let server = AsyncServer(
      self, Service<Connection>.Limits(connections: limit, perUser: perUser), patience, executor, observer,
      greeting.map { ($0, greetingTimeout) }, handler)
    // A task of its own, because cancellation begins the end of the connections and does not cancel them.
    let serving = Task(executorPreference: executor) { await server.run() }
    let error = await withTaskCancellationHandler {
      await serving.value
    } onCancel: {
      finish()
    }
    if let error { throw error }
  }
}

/// One call of `serve`, for tasks.
private final class AsyncServer<Connection: Endpoint>: Sendable {
  private let listener: Listener<Connection>
  private let service: Service<Connection>
  /// Rung when there may be room for a connection, and when the last one is gone.
  private let bell = Bell()
  /// Closes the listener when the time for the end has passed: it may still wait for descriptors to accept with.
  private let limit: Timer
  private let executor: (any TaskExecutor)?
  private let greeting: (body: @Sendable (Connection) async throws -> Void, timeout: Duration)?
  private let handler: @Sendable (Connection) async throws -> Void

  init(
    _ listener: Listener<Connection>, _ limits: Service<Connection>.Limits, _ patience: Duration,
    _ executor: (any TaskExecutor)?, _ observer: (@Sendable (ListenerEvent) -> Void)?,
    _ greeting: (body: @Sendable (Connection) async throws -> Void, timeout: Duration)?,
    _ handler: @escaping @Sendable (Connection) async throws -> Void
  ) {
    self.listener = listener
    self.executor = executor
    self.greeting = greeting
    self.handler = handler
    let (bell, limit) = (bell, Timer(Alarm { listener.close() }))
    self.limit = limit
    service = Service(
      limits, observer,
      drainBegins: {
        let deadline = Deadline.after(patience)
        Reactor.shared.set(limit, at: deadline)
        return deadline
      }, changed: { bell.ring() })
  }

  func run() async -> EndpointError? {
    listener.core.enter(service)
    let error = await withDiscardingTaskGroup { group in
      let error = await acceptAll(in: &group)
      listener.core.close { [service] in service.noteListenerClosed() }
      // Another thread may begin the end at this moment, and set the deadline a little later.
      while !service.isEmpty, !service.deadline.hasPassed { await bell.wait(until: service.deadline) }
      if !service.isEmpty {
        service.noteCancelling()
        group.cancelAll()
        await wait(until: .after(.seconds(1))) { $0.isEmpty }
        service.closeAll()
      }
      return error
    }
    // Handlers have returned; other threads may still be closing descriptors, and telling peers.
    let limit = Deadline.after(.seconds(1))
    await wait(until: limit) { $0.isOver }
    while CloserThread.mayHaveUntoldPeers, !limit.hasPassed {
      await bell.wait(until: min(limit, .after(.milliseconds(10))))
    }
    listener.core.leave(service)
    Reactor.shared.takeBack(self.limit)
    return error
  }

  /// Accepts until the listener yields no more connections.
  ///
  /// - Returns: why, if that is not because it was told to finish.
  private func acceptAll(in group: inout DiscardingTaskGroup) async -> EndpointError? {
    var backoff = AcceptBackoff()
    while true {
      while !service.accepts { await bell.wait() }
      do throws(EndpointError) {
        let connection = try await listener.accept()
        backoff.reset()
        guard let number = service.admit(connection, greets: greeting != nil) else { continue }
        group.addTask(executorPreference: executor) { [self] in await attend(connection, number) }
      } catch {
        if case .closed = error.reason { return nil }
        if listener.core.hasFailed { return error }
        await Bell().wait(until: .after(backoff.next()))
      }
    }
  }

  private func wait(until deadline: Deadline, for isReached: (Service<Connection>) -> Bool) async {
    while !isReached(service), !deadline.hasPassed { await bell.wait(until: deadline) }
  }

  private func attend(_ connection: Connection, _ number: Int) async {
    var failure: (any Error)?
    do {
      if let greeting {
        try await greet(connection, greeting.body, until: .after(greeting.timeout))
        service.hasGreeted(number)
      }
      try await handler(connection)
    } catch {
      failure = error
    }
    await connection.core.sendOwedRest()
    let cause = failure
    connection.core.close { [service] in service.leave(number, cause) }
  }

  private func greet(
    _ connection: Connection, _ body: @escaping @Sendable (Connection) async throws -> Void,
    until deadline: Deadline
  ) async throws {
    let greeting = Task(executorPreference: executor) { try await body(connection) }
    let isLate = Guarded(false)
    let timer = Timer(
      Alarm {
        isLate.withLock { $0 = true }
        greeting.cancel()
        connection.close()
      })
    if deadline != .never { Reactor.shared.set(timer, at: deadline) }
    defer { if deadline != .never { Reactor.shared.takeBack(timer) } }
    let outcome = await withTaskCancellationHandler {
      await greeting.result
    } onCancel: {
      greeting.cancel()
    }
    if isLate.withLock({ $0 }) { throw EndpointError(.timedOut, explanation: "the greeting took too long") }
    try outcome.get()
  }
}
