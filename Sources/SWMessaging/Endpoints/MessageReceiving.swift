public import SWFraming
public import SWIO

/// A message endpoint that receives. All calls are safe from any thread and task at once, and are served
/// first come, first served.
///
/// A receive that times out or is cancelled takes nothing: what has arrived of a message stays with the
/// endpoint, and the next receive goes on from there, whichever caller makes it.
///
/// Every call takes a timeout, a deadline, or both; the earlier one counts. Calls that share a deadline end together:
///
/// ```swift
/// let deadline = Deadline.after(.seconds(5))
/// let header = try await reader.receive(until: deadline)
/// let body = try await reader.receive(timeout: .seconds(1), until: deadline)
/// ```
public protocol MessageReceiving<F>: MessageEndpoint, ReceivingEndpoint {
  /// The direction that receives. Opaque.
  var receivingSide: ReceivingSide<F> { get }
}

extension EndpointError {
  /// Returns nil at the end of the stream, and throws any other error.
  @usableFromInline
  func nilAtEnd<Message>() throws(EndpointError) -> Message? {
    if case .endOfStream = reason { return nil }
    throw self
  }
}

extension MessageReceiving {
  /// Receives the next message.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait; zero takes what is there, after those who came before; nil
  ///     waits without limit.
  ///   - deadline: until when to wait. With a timeout, the earlier one counts.
  /// - Throws: ``EndpointError``: `endOfStream` between messages, `truncated` inside one, `timedOut`,
  ///   `cancelled`, `closed`, `transport`, `framing` (the peer broke it, and it stays broken), `codec`
  ///   (this message was not understood and is consumed).
  @inlinable
  public func receive(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> F.Incoming {
    try await receivingSide.receive(CallLimit(timeout, deadline))
  }

  /// Receives the next message; nil at the end of the stream. Otherwise like ``receive(timeout:until:)``.
  @inlinable
  public func next(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> F.Incoming? {
    do throws(EndpointError) {
      return try await receivingSide.receive(CallLimit(timeout, deadline))
    } catch {
      return try error.nilAtEnd()
    }
  }

  /// Receives the next message with what its sender sent beside it: descriptors (see
  /// ``ReceivingEndpoint/maximumDescriptors``), the address of a datagram's sender, credentials.
  ///
  /// Descriptors belong to the message that holds the byte that they came with. Other calls of this endpoint close the
  /// descriptors of the messages that they receive.
  ///
  /// - Throws: ``EndpointError`` as ``receive(timeout:until:)``. The descriptors of a message that is not understood
  ///   are closed.
  public func receiveMessage(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> ReceivedMessage<F.Incoming> {
    let side = receivingSide
    return try side.accompanied(
      await side.half.receive(side.accompaniedRequest, CallLimit(timeout, deadline)))
  }

  /// The messages to come, until the end of the stream. Several loops share them: each message goes to
  /// one of them. Throws `cancelled` when the loop's task is cancelled.
  @inlinable
  public var messages: MessageSequence<Self> { MessageSequence(endpoint: self) }
}

extension MessageReceiving where F: ByteFraming {
  /// Receives the next message and lends its bytes, without a copy unless the call had to wait as a task
  /// or behind others.
  ///
  /// The message is consumed when `body` returns, and when it throws. `body` must not use the endpoint:
  /// other receivers wait for it, as long as they have time.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait for the message; `body` may take longer.
  ///   - deadline: until when to wait. With a timeout, the earlier one counts.
  /// - Throws: what `body` throws; ``EndpointError`` as ``receive(timeout:until:)``.
  @inlinable
  public func withMessage<Result>(
    timeout: Duration? = nil, until deadline: Deadline = .never, _ body: (Span<UInt8>) throws -> Result
  ) async throws -> Result {
    let (side, limit) = (receivingSide, CallLimit(timeout, deadline))
    if await side.half.isCancelledAtBegin() { throw side.half.cancelled }
    var front = ReceiveHalf.Front.unseen
    if let result = try side.withPayloadAtOnce(&front, as: .task, limit, body) { return result }
    return try await side.call(after: front, limit) { outcome in try side.withPayload(outcome, body) }
  }
}

extension Blocking where E: MessageReceiving {
  /// Blocking form of ``MessageReceiving/receive(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func receive(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> E.F.Incoming {
    let (side, limit) = (endpoint.receivingSide, CallLimit(timeout, deadline))
    var front = ReceiveHalf.Front.unseen
    if let message = try side.messageAtOnce(&front, as: .thread, limit) { return message }
    return try side.awaitMessage(after: front, limit)
  }

  /// Blocking form of ``MessageReceiving/next(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func next(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> E.F.Incoming? {
    do throws(EndpointError) {
      return try receive(timeout: timeout, until: deadline)
    } catch {
      return try error.nilAtEnd()
    }
  }
}

extension Blocking where E: MessageReceiving {
  /// Blocking form of ``MessageReceiving/receiveMessage(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func receiveMessage(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> ReceivedMessage<E.F.Incoming> {
    let side = endpoint.receivingSide
    return try side.accompanied(
      side.half.receiveBlocking(side.accompaniedRequest, CallLimit(timeout, deadline)))
  }
}

extension Blocking where E: MessageReceiving, E.F: ByteFraming {
  /// Blocking form of ``MessageReceiving/withMessage(timeout:until:_:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func withMessage<Result>(
    timeout: Duration? = nil, until deadline: Deadline = .never, _ body: (Span<UInt8>) throws -> Result
  ) throws -> Result {
    let (side, limit) = (endpoint.receivingSide, CallLimit(timeout, deadline))
    var front = ReceiveHalf.Front.unseen
    if let result = try side.withPayloadAtOnce(&front, as: .thread, limit, body) { return result }
    return try side.awaitPayload(after: front, limit, body)
  }
}

/// The messages of an endpoint, for `for try await`.
public struct MessageSequence<E: MessageReceiving>: AsyncSequence, Sendable {
  @usableFromInline let endpoint: E

  @inlinable
  init(endpoint: E) { self.endpoint = endpoint }

  public struct Iterator: AsyncIteratorProtocol {
    @usableFromInline let endpoint: E

    @inlinable
    init(endpoint: E) { self.endpoint = endpoint }

    @inlinable
    public mutating func next() async throws(EndpointError) -> E.F.Incoming? {
      try await endpoint.next()
    }

    /// As `next()`. It stays on the executor of the loop, and `isolation` has no effect: a message that is there is decoded in the
    /// loop's own actor. With an isolated parameter a message would cost two switches of executors more, which take as many
    /// instructions as all the rest.
    @inlinable @inline(__always)
    public nonisolated(nonsending) mutating func next(
      isolation actor: (any Actor)?
    ) async throws(EndpointError) -> E.F.Incoming? {
      do throws(EndpointError) {
        return try await endpoint.receivingSide.receive(CallLimit(nil, .never))
      } catch {
        return try error.nilAtEnd()
      }
    }
  }

  @inlinable
  public func makeAsyncIterator() -> Iterator { Iterator(endpoint: endpoint) }
}
