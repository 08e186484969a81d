public import SWIO
internal import Synchronization

extension BlockingListener {
  /// Blocking form of ``Listener/serve(limit:perUser:greetingTimeout:draining:on:observing:greeting:_:)``: so many threads
  /// accept connections and serve them, each one at a time. The calling thread waits for the end, which begins when
  /// ``Listener/finish()`` or ``Listener/close()`` is called.
  ///
  /// Further clients wait in the queue of the kernel until a thread is free. When `patience` has passed after the beginning
  /// of the end, connections that are left are closed, which ends the calls of their handlers.
  ///
  /// - Parameters:
  ///   - threads: how many threads serve, and so how many connections are open at once. At least one.
  ///   - perUser: how many connections a user may have open at once; nil: no limit.
  ///   - greetingTimeout: how long a greeting may take.
  ///   - patience: how long the end waits for connections.
  ///   - observer: is told what happens, on any thread.
  ///   - greeting: the beginning of each connection; it is given its deadline, and must keep to it. When that has passed
  ///     the connection is closed. Nil: none.
  ///   - handler: serves a connection.
  /// - Throws: ``EndpointError`` `transport`: the listening descriptor is unusable, or no thread can be had. The
  ///   connections have been ended then, too.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func serve(
    threads: Int, perUser: Int? = nil, greetingTimeout: Duration = .seconds(10),
    draining patience: Duration = .seconds(5),
    observing observer: (@Sendable (ListenerEvent) -> Void)? = nil,
    greeting: (@Sendable (Connection, Deadline) throws -> Void)? = nil,
    _ handler: @escaping @Sendable (Connection) throws -> Void
  ) throws(EndpointError) {
    precondition(threads > 0, "connections are served by at least one thread")
    let server = ThreadServer(
      listener, Service<Connection>.Limits(connections: threads, perUser: perUser), patience, observer,
      greeting.map { ($0, greetingTimeout) }, handler)
    if let error = server.run(threads) { throw error }
  }
}

/// One call of `serve`, for threads.
private final class ThreadServer<Connection: Endpoint>: Sendable {
  private let listener: Listener<Connection>
  private let service: Service<Connection>
  /// Of the thread that waits for the end.
  private let wakeUp = WakeUp.take()
  private let greeting: (body: @Sendable (Connection, Deadline) throws -> Void, timeout: Duration)?
  private let handler: @Sendable (Connection) throws -> Void
  private let state = Guarded((threads: 0, error: nil as EndpointError?))

  init(
    _ listener: Listener<Connection>, _ limits: Service<Connection>.Limits, _ patience: Duration,
    _ observer: (@Sendable (ListenerEvent) -> Void)?,
    _ greeting: (body: @Sendable (Connection, Deadline) throws -> Void, timeout: Duration)?,
    _ handler: @escaping @Sendable (Connection) throws -> Void
  ) {
    self.listener = listener
    self.greeting = greeting
    self.handler = handler
    let wakeUp = wakeUp
    service = Service(
      limits, observer, drainBegins: { .after(patience) }, changed: { wakeUp.signal() })
  }

  deinit { WakeUp.giveBack(wakeUp) }

  func run(_ threads: Int) -> EndpointError? {
    listener.core.enter(service)
    defer { listener.core.leave(service) }
    for _ in 0..<threads {
      state.withLock { $0.threads += 1 }
      if let errno = HelperThread.start(named: "sw-server", { [self] in work() }) {
        end(EndpointError(.transport(TransportError(.offload, errno)), subject: .service(listener.address)))
        break
      }
    }
    // When to close the connections that are left once more.
    var closesAgain: Deadline?
    while state.withLock({ $0.threads > 0 }) {
      if (closesAgain ?? service.deadline).hasPassed {
        if closesAgain == nil {
          service.noteCancelling()
          listener.close()
        }
        service.closeAll()
        closesAgain = .after(.seconds(1))
      }
      wakeUp.wait(watching: nil, for: [], until: closesAgain ?? service.deadline)
    }
    listener.core.close { [service] in service.noteListenerClosed() }
    let limit = Deadline.after(.seconds(1))
    while !service.isOver || CloserThread.mayHaveUntoldPeers, !limit.hasPassed {
      wakeUp.wait(watching: nil, for: [], until: min(limit, .after(.milliseconds(10))))
    }
    return state.withLock { $0.error }
  }

  /// A thread ends.
  private func end(_ error: EndpointError?) {
    state.withLock { state in
      state.threads -= 1
      if state.error == nil { state.error = error }
    }
    if error != nil { listener.close() }
    wakeUp.signal()
  }

  private func work() {
    var backoff = AcceptBackoff()
    while true {
      do throws(EndpointError) {
        let connection = try listener.blocking.accept()
        backoff.reset()
        if let number = service.admit(connection, greets: greeting != nil) { attend(connection, number) }
      } catch {
        if case .closed = error.reason { return end(nil) }
        if listener.core.hasFailed { return end(error) }
        let pause = WakeUp.take()
        pause.wait(watching: nil, for: [], until: .after(backoff.next()))
        WakeUp.giveBack(pause)
      }
    }
  }

  private func attend(_ connection: Connection, _ number: Int) {
    var failure: (any Error)?
    do {
      if let greeting {
        try greet(connection, greeting.body, until: .after(greeting.timeout))
        service.hasGreeted(number)
      }
      try handler(connection)
    } catch {
      failure = error
    }
    connection.core.sendOwedRestBlocking()
    close(connection, number, failure)
  }

  /// Closes a connection, and waits until its number is free, for a second at most: then there is room for another one.
  private func close(_ connection: Connection, _ number: Int, _ failure: (any Error)?) {
    let (closed, limit) = (WakeUp.take(), Deadline.after(.seconds(1)))
    let isClosed = Guarded(false)
    connection.core.close { [service] in
      service.leave(number, failure)
      isClosed.withLock { isClosed in
        isClosed = true
        closed.signal()
      }
    }
    while !isClosed.withLock({ $0 }) {
      // A late signal must not meet another user of the wake-up.
      if limit.hasPassed { return }
      closed.wait(watching: nil, for: [], until: limit)
    }
    WakeUp.giveBack(closed)
  }

  private func greet(
    _ connection: Connection, _ body: (Connection, Deadline) throws -> Void, until deadline: Deadline
  ) throws {
    let isLate = Guarded(false)
    let timer = Timer(
      Alarm {
        isLate.withLock { $0 = true }
        connection.close()
      })
    if deadline != .never { Reactor.shared.set(timer, at: deadline) }
    defer { if deadline != .never { Reactor.shared.takeBack(timer) } }
    let outcome = Result { try body(connection, deadline) }
    if isLate.withLock({ $0 }) { throw EndpointError(.timedOut, explanation: "the greeting took too long") }
    try outcome.get()
  }
}
