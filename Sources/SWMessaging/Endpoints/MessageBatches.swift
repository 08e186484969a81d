public import SWFraming
public import SWIO

// Many messages in one call, for peers that send faster than one call for each message can receive.

extension MessageReceiving {
  /// Receives the next message, and with it those behind it that have already arrived.
  ///
  /// The call waits for one message, as ``receive(timeout:until:)`` does. It then takes the complete messages that follow
  /// in the endpoint's buffer, and never waits for more. One system call fills the buffer with up to 64 KiB, so a batch
  /// costs about as much as a single receive. An endpoint that reads with ``ReceiveMode/exact`` has nothing in its
  /// buffer: each batch is one message there.
  ///
  /// The messages of a batch follow one another in the stream. If a later message breaks the framing or is not
  /// understood, the batch ends before it, and the next call throws the error.
  ///
  /// ```swift
  /// let batch = try await reader.receiveBatch(upTo: 100)
  /// ```
  ///
  /// - Parameters:
  ///   - count: the largest number of messages.
  ///   - byteCount: the largest sum of the frames' sizes in bytes, headers included. The first message comes whatever its
  ///     size is.
  ///   - timeout: how long to wait for the first message; zero takes what is there, after the callers that came before;
  ///     nil waits without limit.
  ///   - deadline: until when to wait. With a timeout, the earlier one counts.
  /// - Returns: at least one message.
  /// - Throws: ``EndpointError`` as ``receive(timeout:until:)``. A call that throws has taken nothing, except for a message
  ///   that was not understood (`codec`).
  @inlinable
  public func receiveBatch(
    upTo count: Int = .max, byteCount: Int = .max, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> [F.Incoming] {
    try await receivingSide.receiveBatch(
      CallLimit(timeout, deadline), BatchRoom(count, byteCount: byteCount))
  }

  /// Receives the next messages; nil at the end of the stream. Otherwise like
  /// ``receiveBatch(upTo:byteCount:timeout:until:)``.
  @inlinable
  public func nextBatch(
    upTo count: Int = .max, byteCount: Int = .max, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> [F.Incoming]? {
    do throws(EndpointError) {
      return try await receivingSide.receiveBatch(
        CallLimit(timeout, deadline), BatchRoom(count, byteCount: byteCount))
    } catch {
      return try error.nilAtEnd()
    }
  }

  /// The messages to come in batches, until the end of the stream. Several loops share them: each message goes to one
  /// of the loops. Throws `cancelled` when the loop's task is cancelled.
  ///
  /// - Parameters:
  ///   - count: the largest number of messages in a batch.
  ///   - byteCount: the largest sum of the frames' sizes in a batch, in bytes. The first message comes whatever its size is.
  @inlinable
  public func batches(upTo count: Int = .max, byteCount: Int = .max) -> MessageBatchSequence<Self> {
    MessageBatchSequence(endpoint: self, room: BatchRoom(count, byteCount: byteCount))
  }
}

extension MessageReceiving where F: ByteFraming {
  /// Receives the next message, and with it those behind it that have already arrived, and lends the bytes of each to
  /// `body`, one after the other, without a copy of those that lie in the buffer.
  ///
  /// Which messages come is described at ``receiveBatch(upTo:byteCount:timeout:until:)``. `body` must not use the
  /// endpoint: other receivers wait for it. If `body` throws, its message and those before it are consumed, and those
  /// behind it stay for the next call. Over datagrams, all datagrams of the batch are consumed.
  ///
  /// - Parameters:
  ///   - count: the largest number of messages.
  ///   - byteCount: the largest sum of the frames' sizes in bytes, headers included. The first message comes whatever its
  ///     size is.
  ///   - timeout: how long to wait for the first message; `body` may take longer.
  ///   - deadline: until when to wait. With a timeout, the earlier one counts.
  /// - Returns: how many messages were lent: at least one.
  /// - Throws: what `body` throws; ``EndpointError`` as ``receive(timeout:until:)``.
  @inlinable
  @discardableResult
  public func withMessages(
    upTo count: Int = .max, byteCount: Int = .max, timeout: Duration? = nil,
    until deadline: Deadline = .never,
    _ body: (Span<UInt8>) throws -> Void
  ) async throws -> Int {
    let (side, limit, room) = (
      receivingSide, CallLimit(timeout, deadline), BatchRoom(count, byteCount: byteCount)
    )
    if await side.half.isCancelledAtBegin() { throw side.half.cancelled }
    var front = ReceiveHalf.Front.unseen
    let lent = try side.withPayloadsAtOnce(&front, as: .task, limit, room, body)
    if lent > 0 { return lent }
    return try await side.call(after: front, limit) { outcome in try side.withPayloads(outcome, room, body) }
  }
}

extension Blocking where E: MessageReceiving {
  /// Blocking form of ``MessageReceiving/receiveBatch(upTo:byteCount:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func receiveBatch(
    upTo count: Int = .max, byteCount: Int = .max, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> [E.F.Incoming] {
    let (side, limit, room) = (
      endpoint.receivingSide, CallLimit(timeout, deadline), BatchRoom(count, byteCount: byteCount)
    )
    var front = ReceiveHalf.Front.unseen
    let batch = try side.batchAtOnce(&front, as: .thread, limit, room)
    if !batch.isEmpty { return batch }
    return try side.awaitBatch(after: front, limit, room)
  }

  /// Blocking form of ``MessageReceiving/nextBatch(upTo:byteCount:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func nextBatch(
    upTo count: Int = .max, byteCount: Int = .max, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> [E.F.Incoming]? {
    do throws(EndpointError) {
      return try receiveBatch(upTo: count, byteCount: byteCount, timeout: timeout, until: deadline)
    } catch {
      return try error.nilAtEnd()
    }
  }
}

extension Blocking where E: MessageReceiving, E.F: ByteFraming {
  /// Blocking form of ``MessageReceiving/withMessages(upTo:byteCount:timeout:until:_:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  @discardableResult
  public func withMessages(
    upTo count: Int = .max, byteCount: Int = .max, timeout: Duration? = nil,
    until deadline: Deadline = .never,
    _ body: (Span<UInt8>) throws -> Void
  ) throws -> Int {
    let (side, limit, room) = (
      endpoint.receivingSide, CallLimit(timeout, deadline), BatchRoom(count, byteCount: byteCount)
    )
    var front = ReceiveHalf.Front.unseen
    let lent = try side.withPayloadsAtOnce(&front, as: .thread, limit, room, body)
    if lent > 0 { return lent }
    return try side.awaitPayloads(after: front, limit, room, body)
  }
}

/// The messages of an endpoint in batches, for `for try await`. See ``MessageReceiving/batches(upTo:byteCount:)``.
public struct MessageBatchSequence<E: MessageReceiving>: AsyncSequence, Sendable {
  @usableFromInline let endpoint: E
  @usableFromInline let room: BatchRoom

  @inlinable
  init(endpoint: E, room: BatchRoom) {
    self.endpoint = endpoint
    self.room = room
  }

  public struct Iterator: AsyncIteratorProtocol {
    @usableFromInline let endpoint: E
    @usableFromInline let room: BatchRoom

    @inlinable
    init(endpoint: E, room: BatchRoom) {
      self.endpoint = endpoint
      self.room = room
    }

    @inlinable
    public mutating func next() async throws(EndpointError) -> [E.F.Incoming]? {
      try await endpoint.nextBatch(upTo: room.count, byteCount: room.byteCount)
    }

    @inlinable
    public nonisolated(nonsending) mutating func next(
      isolation actor: (any Actor)?
    ) async throws(EndpointError) -> [E.F.Incoming]? {
      try await endpoint.nextBatch(upTo: room.count, byteCount: room.byteCount)
    }
  }

  @inlinable
  public func makeAsyncIterator() -> Iterator { Iterator(endpoint: endpoint, room: room) }
}
