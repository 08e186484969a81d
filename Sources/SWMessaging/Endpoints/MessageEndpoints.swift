public import SWFraming
public import SWIO
public import SystemPackage

/// How a message endpoint reads.
public enum ReceiveMode: Hashable, Sendable {
  /// One large read may bring many frames, or over UDP sixteen datagrams; what is behind a frame waits in the endpoint.
  case readAhead
  /// Never past the end of the frame that is being received: for a descriptor that somebody else will
  /// read next.
  case exact
}

/// A message endpoint: a framing over a descriptor, a transport, or a raw endpoint.
public protocol MessageEndpoint<F>: Endpoint {
  associatedtype F: Framing
  /// The directions it needs its descriptor for.
  static var directions: Readiness { get }
  /// What messages become on the wire.
  var framing: F { get }
  init(core: EndpointCore, framing: F, mode: ReceiveMode, maximumFrameSize: Int)
}

/// The largest frame that an endpoint receives unless it is told otherwise: 1 GiB.
public var defaultMaximumFrameSize: Int { 1 << 30 }

extension MessageEndpoint {
  /// Takes over a descriptor, which is closed with the endpoint. Its flags are left alone: it may be
  /// shared with other processes, blocking or not.
  ///
  /// - Parameters:
  ///   - number: an open descriptor, readable or writable as needed. Adopt a number once.
  ///   - unread: bytes that come before whatever the descriptor gives: what `detach` handed back.
  ///   - framing: how messages lie in the stream.
  ///   - mode: whether to read ahead.
  ///   - maximumFrameSize: the largest frame to receive, in bytes, header included; a larger one is a
  ///     ``FramingError`` before anything is reserved for it.
  /// - Throws: ``EndpointError`` `transport` when it is not open, or not for the direction; it is then
  ///   still the caller's.
  public init(
    adopting number: Int32, unread: [UInt8] = [], framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) {
    self.init(
      core: try EndpointCore(adopting: number, unread: unread, for: Self.directions), framing: framing,
      mode: mode, maximumFrameSize: maximumFrameSize)
  }

  /// Takes over a descriptor; see `init(adopting:unread:framing:mode:maximumFrameSize:)`.
  public init(
    adopting descriptor: FileDescriptor, unread: [UInt8] = [], framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) {
    try self.init(
      adopting: descriptor.rawValue, unread: unread, framing: framing, mode: mode,
      maximumFrameSize: maximumFrameSize)
  }

  /// Takes over a descriptor, which is closed even when this throws.
  public init(
    adopting descriptor: consuming OwnedDescriptor, unread: [UInt8] = [], framing: F,
    mode: ReceiveMode = .readAhead, maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) {
    self.init(
      core: try EndpointCore.adopting(descriptor, unread: unread, for: Self.directions), framing: framing,
      mode: mode, maximumFrameSize: maximumFrameSize)
  }

  /// Duplicates a descriptor, which stays its owner's.
  public init(
    duplicating descriptor: FileDescriptor, framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) {
    self.init(
      core: try EndpointCore.duplicating(descriptor, for: Self.directions), framing: framing, mode: mode,
      maximumFrameSize: maximumFrameSize)
  }

  /// Takes over a transport of your own, which is closed with the endpoint.
  public init(
    transport: some SocketLike, framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) {
    self.init(
      core: EndpointCore(transport, for: Self.directions), framing: framing, mode: mode,
      maximumFrameSize: maximumFrameSize)
  }
}

// MARK: - Receiving

/// A message endpoint that receives. All calls are safe from any thread and task at once, and are served
/// first come, first served.
///
/// A receive that times out or is cancelled takes nothing: what has arrived of a message stays with the
/// endpoint, and the next receive, whoever makes it, goes on from there.
public protocol MessageReceiving<F>: MessageEndpoint {
  /// Opaque.
  var receivingSide: ReceivingSide<F> { get }
}

/// The receiving side of a message endpoint. Opaque.
public struct ReceivingSide<F: Framing>: Sendable {
  @usableFromInline let half: ReceiveHalf
  @usableFromInline let source: TypedSource<F>

  init(_ core: EndpointCore, _ framing: F, _ mode: ReceiveMode, _ maximumFrameSize: Int) {
    guard let half = core.receiving else { preconditionFailure("a receiving endpoint has a receiving half") }
    self.half = half
    source = TypedSource(framing, readsAhead: mode == .readAhead, maximumFrameSize: maximumFrameSize)
  }

  @usableFromInline
  package var request: ReceiveRequest { .message(source) }

  /// The message of a frame that was lent or handed over.
  @usableFromInline
  package func message(_ outcome: ReceiveHalf.Outcome) throws(EndpointError) -> F.Incoming {
    if half.carriesDatagrams { return try message(datagram: half.bytes(of: outcome)) }
    if case .failed(let error) = outcome { throw error }
    do {
      switch outcome {
      case .lent(let demand):
        if source.deliversPayload {
          let payload = unsafe half.turn.takePayload(of: demand)
          half.finishLoan(demand)
          return TypedSource<F>.message(payload: payload)
        }
        defer { half.finishLoan(demand) }
        return unsafe try half.turn.withFrame(demand) { frame in
          try source.decode(frame, payload: demand.payload ?? 0..<0)
        }
      case .delivered(let delivery): return try source.decode(delivery)
      case .failed(let error): throw error
      }
    } catch {
      // Whatever type it has: an end of stream that a framing throws is not one of this stream.
      throw EndpointError(.codec(error))
    }
  }

  /// The message of a datagram, which its frame fills exactly. One that does not is consumed, and the next is as
  /// good as any.
  private func message(datagram: [UInt8]) throws(EndpointError) -> F.Incoming {
    do {
      if datagram.count > source.maximumFrameSize {
        throw FramingError(
          .tooLarge(declared: UInt64(datagram.count), limit: UInt64(source.maximumFrameSize)), offset: 0)
      }
      return try source.framing.decode(filling: datagram.span)
    } catch {
      throw EndpointError(.codec(error), partialBytes: datagram)
    }
  }

  /// Lends the payload of a frame.
  @usableFromInline
  package func withPayload<Result>(
    _ outcome: ReceiveHalf.Outcome, _ body: (Span<UInt8>) throws -> Result
  ) throws -> Result where F: ByteFraming {
    if half.carriesDatagrams {
      let payload = try message(outcome)
      return try body(payload.span)
    }
    switch outcome {
    case .lent(let demand):
      defer { half.finishLoan(demand) }
      return unsafe try half.turn.withPayload(of: demand, body)
    case .delivered(let delivery): return try body(delivery.bytes.span)
    case .failed(let error): throw error
    }
  }
}

// MARK: The short way

// A caller that meets nobody, and finds its message in the buffer, is served right here, in code that is
// compiled for its framing. Everybody else goes the long way through `ReceiveHalf.start`.

extension ReceivingSide {
  /// The frame at the front, if it is complete. Nil: the long way knows more, or why not.
  @inlinable @inline(__always)
  func frame(in unread: UnsafeRawBufferPointer, _ scanner: inout F.Scanner) -> FrameDemand? {
    if unsafe unread.isEmpty { return nil }
    guard let demand = try? scanner.demand(in: unsafe Span(_unsafeBytes: unread)), demand.isFinal,
      demand.byteCount <= unread.count, demand.byteCount <= source.maximumFrameSize
    else { return nil }
    return demand
  }

  /// The next message, if it is there. Nil: `front` says how far it came.
  @inlinable
  package func messageAtOnce(
    _ front: inout ReceiveHalf.Front, as kind: Place.Kind, _ timeout: Duration?
  ) throws(EndpointError) -> F.Incoming? {
    let found = unsafe half.takeFront(for: source, as: kind, waitsForever: timeout == nil)
    front = unsafe found.front
    let bytes = unsafe found.unread
    var scanner = source.framing.makeScanner()
    guard let demand = unsafe frame(in: bytes, &scanner), let payload = demand.payload else { return nil }
    defer { half.leave(consuming: demand.byteCount) }
    let unread = unsafe Span<UInt8>(_unsafeBytes: bytes)
    if source.deliversPayload {
      return unsafe TypedSource<F>.message(
        payload: unread.extracting(payload).withUnsafeBufferPointer { unsafe Array($0) })
    }
    do {
      return try source.framing.decode(
        unread.extracting(first: demand.byteCount), payload: payload, scanned: scanner)
    } catch {
      throw EndpointError(.codec(error))
    }
  }

  /// Lends the next payload, if it is there; nil as `messageAtOnce`.
  @inlinable
  package func withPayloadAtOnce<Result>(
    _ front: inout ReceiveHalf.Front, as kind: Place.Kind, _ timeout: Duration?,
    _ body: (Span<UInt8>) throws -> Result
  ) throws -> Result? {
    let found = unsafe half.takeFront(for: source, as: kind, waitsForever: timeout == nil)
    front = unsafe found.front
    let bytes = unsafe found.unread
    var scanner = source.framing.makeScanner()
    guard let demand = unsafe frame(in: bytes, &scanner), let payload = demand.payload else { return nil }
    defer { half.leave(consuming: demand.byteCount) }
    return try body(unsafe Span(_unsafeBytes: bytes).extracting(payload))
  }

  /// The next message, for a task.
  @inlinable @inline(__always)
  func receive(timeout: Duration?) async throws(EndpointError) -> F.Incoming {
    if await half.isCancelledAtBegin() { throw half.cancelled }
    var front = ReceiveHalf.Front.unseen
    if let message = try messageAtOnce(&front, as: .task, timeout) { return message }
    switch half.start(request, as: .task, timeout: timeout, after: front) {
    case .ended(let outcome): return try message(outcome)
    case .queued(let place):
      // The only wait, so that what a waiting task holds is small.
      await half.runTask(place)
      return try message(half.outcome(of: place))
    }
  }
}

extension EndpointError {
  /// The end of the stream is nil, any other error is thrown.
  @usableFromInline
  func nilAtEnd<Message>() throws(EndpointError) -> Message? {
    if case .endOfStream = reason { return nil }
    throw self
  }
}

extension MessageReceiving {
  /// Receives the next message.
  ///
  /// - Parameter timeout: how long to wait; zero takes what is there, after those who came before; nil
  ///   waits without limit.
  /// - Throws: ``EndpointError``: `endOfStream` between messages, `truncated` inside one, `timedOut`,
  ///   `cancelled`, `closed`, `transport`, `framing` (the peer broke it, and it stays broken), `codec`
  ///   (this message was not understood and is consumed).
  @inlinable
  public func receive(timeout: Duration? = nil) async throws(EndpointError) -> F.Incoming {
    try await receivingSide.receive(timeout: timeout)
  }

  /// Receives the next message; nil at the end of the stream.
  @inlinable
  public func next(timeout: Duration? = nil) async throws(EndpointError) -> F.Incoming? {
    do throws(EndpointError) {
      return try await receivingSide.receive(timeout: timeout)
    } catch {
      return try error.nilAtEnd()
    }
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
  /// other receivers wait for it.
  ///
  /// - Throws: what `body` throws; ``EndpointError`` as ``receive(timeout:)``.
  @inlinable
  public func withMessage<Result>(
    timeout: Duration? = nil, _ body: (Span<UInt8>) throws -> Result
  ) async throws -> Result {
    let side = receivingSide
    if await side.half.isCancelledAtBegin() { throw side.half.cancelled }
    var front = ReceiveHalf.Front.unseen
    if let result = try side.withPayloadAtOnce(&front, as: .task, timeout, body) { return result }
    switch side.half.start(side.request, as: .task, timeout: timeout, after: front) {
    case .ended(let outcome): return try side.withPayload(outcome, body)
    case .queued(let place):
      await side.half.runTask(place)
      return try side.withPayload(side.half.outcome(of: place), body)
    }
  }
}

extension Blocking where E: MessageReceiving {
  /// Blocking form of ``MessageReceiving/receive(timeout:)``.
  @inlinable
  public func receive(timeout: Duration? = nil) throws(EndpointError) -> E.F.Incoming {
    let side = endpoint.receivingSide
    var front = ReceiveHalf.Front.unseen
    if let message = try side.messageAtOnce(&front, as: .thread, timeout) { return message }
    return try side.message(side.half.receiveBlocking(side.request, timeout: timeout, after: front))
  }

  /// Blocking form of ``MessageReceiving/next(timeout:)``.
  @inlinable
  public func next(timeout: Duration? = nil) throws(EndpointError) -> E.F.Incoming? {
    do throws(EndpointError) {
      return try receive(timeout: timeout)
    } catch {
      return try error.nilAtEnd()
    }
  }
}

extension Blocking where E: MessageReceiving, E.F: ByteFraming {
  /// Blocking form of ``MessageReceiving/withMessage(timeout:_:)``.
  @inlinable
  public func withMessage<Result>(
    timeout: Duration? = nil, _ body: (Span<UInt8>) throws -> Result
  ) throws -> Result {
    let side = endpoint.receivingSide
    var front = ReceiveHalf.Front.unseen
    if let result = try side.withPayloadAtOnce(&front, as: .thread, timeout, body) { return result }
    return try side.withPayload(
      side.half.receiveBlocking(side.request, timeout: timeout, after: front), body)
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

    @inlinable
    public mutating func next(
      isolation actor: isolated (any Actor)?
    ) async throws(EndpointError) -> E.F.Incoming? {
      try await endpoint.next()
    }
  }

  @inlinable
  public func makeAsyncIterator() -> Iterator { Iterator(endpoint: endpoint) }
}

// MARK: - Sending

/// A message endpoint that sends. `send` returns when the kernel has accepted every byte of the frame.
/// All calls are safe from any thread and task at once; frames never mix.
///
/// A send that times out or is cancelled before its first byte was accepted leaves nothing on the wire.
/// After it the error says `isCommitted`: the endpoint owns the rest and sends it in the background,
/// ahead of any later message.
public protocol MessageSending<F>: MessageEndpoint, SendingEndpoint {}

extension MessageSending {
  /// Sends one message.
  ///
  /// - Throws: ``EndpointError``: `timedOut` and `cancelled` (see `isCommitted`), `closed`, `transport`
  ///   (a broken pipe among them; no SIGPIPE is raised), `framing` or `codec` when the message cannot be
  ///   encoded, in which case nothing was sent.
  @inlinable
  public func send(_ message: F.Outgoing, timeout: Duration? = nil) async throws(EndpointError) {
    let half = sendHalf
    if await half.isCancelledAtBegin() { throw EndpointError(.cancelled) }
    let started = half.start(
      try framing.parts(of: message, for: half), as: .task, timeout: timeout, framing.progress)
    if let error = await half.finish(started) { throw error }
  }

  /// Sends messages in order, with as few system calls as it takes. Other senders' messages may come
  /// between them, and on a pipe every write ends where a frame ends.
  ///
  /// - Throws: as `send(_:timeout:)`; `messageCount` says how many whole messages were accepted or are
  ///   committed. Those behind were not begun.
  @inlinable
  public func send<Messages: Sequence>(
    contentsOf messages: Messages, timeout: Duration? = nil
  ) async throws(EndpointError) where Messages.Element == F.Outgoing {
    let (half, deadline) = (sendHalf, Deadline.after(timeout))
    var batches = Batches(messages, framing, areDatagrams: half.carriesDatagrams)
    while true {
      if await half.isCancelledAtBegin() {
        throw EndpointError(.cancelled, messageCount: batches.messageCount)
      }
      guard let batch = try batches.next() else { return }
      let started = half.start(batch, as: .task, until: deadline, batches.progress)
      if let error = await half.finish(started) { throw batches.adjust(error) }
      batches.sent(batch)
    }
  }
}

extension Blocking where E: MessageSending {
  /// Blocking form of `send(_:timeout:)`.
  @inlinable
  public func send(_ message: E.F.Outgoing, timeout: Duration? = nil) throws(EndpointError) {
    let (half, framing) = (endpoint.sendHalf, endpoint.framing)
    let started = half.start(
      try framing.parts(of: message, for: half), as: .thread, timeout: timeout, framing.progress)
    if let error = half.finishBlocking(started) { throw error }
  }

  /// Blocking form of ``MessageSending/send(contentsOf:timeout:)``.
  @inlinable
  public func send<Messages: Sequence>(
    contentsOf messages: Messages, timeout: Duration? = nil
  ) throws(EndpointError) where Messages.Element == E.F.Outgoing {
    let (half, deadline) = (endpoint.sendHalf, Deadline.after(timeout))
    var batches = Batches(messages, endpoint.framing, areDatagrams: half.carriesDatagrams)
    while let batch = try batches.next() {
      let started = half.start(batch, as: .thread, until: deadline, batches.progress)
      if let error = half.finishBlocking(started) { throw batches.adjust(error) }
      batches.sent(batch)
    }
  }
}

extension MessageSending where F: ByteFraming {
  /// Sends one message from an array, which is retained and not copied.
  @inlinable
  public func send(_ message: [UInt8], timeout: Duration? = nil) async throws(EndpointError) {
    try await sendBytes(message, timeout: timeout)
  }

  /// Sends one message from any bytes: a slice, `Data`, a buffer. Contiguous ones are not copied unless
  /// the call has to wait.
  @inlinable
  public func send<Bytes: Collection<UInt8>>(
    _ message: Bytes, timeout: Duration? = nil
  ) async throws(EndpointError) {
    try await sendBytes(message, timeout: timeout)
  }

  /// Sends the UTF-8 bytes of a string as one message.
  @inlinable
  public func send(_ message: String, timeout: Duration? = nil) async throws(EndpointError) {
    try await sendBytes(message.utf8, timeout: timeout)
  }

  /// Sends the bytes of a span as one message.
  @inlinable
  public func send(_ message: Span<UInt8>, timeout: Duration? = nil) async throws(EndpointError) {
    let half = sendHalf
    if await half.isCancelledAtBegin() { throw EndpointError(.cancelled) }
    let started = unsafe message.withUnsafeBytes { bytes in
      unsafe framing.started(bytes, nil, on: half, as: .task, timeout: timeout)
    }
    if let error = await half.finish(started) { throw error }
  }

  /// Sends the bytes of a raw span as one message.
  @inlinable
  public func send(_ message: RawSpan, timeout: Duration? = nil) async throws(EndpointError) {
    let half = sendHalf
    if await half.isCancelledAtBegin() { throw EndpointError(.cancelled) }
    let started = unsafe message.withUnsafeBytes { bytes in
      unsafe framing.started(bytes, nil, on: half, as: .task, timeout: timeout)
    }
    if let error = await half.finish(started) { throw error }
  }

  @inlinable
  func sendBytes<Bytes: Collection<UInt8>>(
    _ message: Bytes, timeout: Duration?
  ) async throws(EndpointError) {
    let half = sendHalf
    if await half.isCancelledAtBegin() { throw EndpointError(.cancelled) }
    let started = unsafe message.withBytes { bytes, array in
      unsafe framing.started(bytes, array, on: half, as: .task, timeout: timeout)
    }
    if let error = await half.finish(started) { throw error }
  }
}

extension Blocking where E: MessageSending, E.F: ByteFraming {
  /// Blocking form of `send`; the bytes are never copied, unless a time-out leaves a rest to be sent.
  @inlinable
  public func send(_ message: [UInt8], timeout: Duration? = nil) throws(EndpointError) {
    try sendBytes(message, timeout: timeout)
  }

  /// Blocking form of `send`, for any bytes: a slice, `Data`, a buffer.
  @inlinable
  public func send<Bytes: Collection<UInt8>>(
    _ message: Bytes, timeout: Duration? = nil
  ) throws(EndpointError) {
    try sendBytes(message, timeout: timeout)
  }

  /// Blocking form of `send`, for strings.
  @inlinable
  public func send(_ message: String, timeout: Duration? = nil) throws(EndpointError) {
    try sendBytes(message.utf8, timeout: timeout)
  }

  /// Blocking form of `send`, for spans.
  @inlinable
  public func send(_ message: Span<UInt8>, timeout: Duration? = nil) throws(EndpointError) {
    let error = unsafe message.withUnsafeBytes { unsafe sendBytes($0, nil, timeout) }
    if let error { throw error }
  }

  /// Blocking form of `send`, for raw spans.
  @inlinable
  public func send(_ message: RawSpan, timeout: Duration? = nil) throws(EndpointError) {
    let error = unsafe message.withUnsafeBytes { unsafe sendBytes($0, nil, timeout) }
    if let error { throw error }
  }

  @inlinable
  func sendBytes<Bytes: Collection<UInt8>>(
    _ message: Bytes, timeout: Duration?
  ) throws(EndpointError) {
    let error = unsafe message.withBytes { bytes, array in unsafe sendBytes(bytes, array, timeout) }
    if let error { throw error }
  }

  @inlinable
  func sendBytes(
    _ bytes: UnsafeRawBufferPointer, _ array: [UInt8]?, _ timeout: Duration?
  ) -> EndpointError? {
    let half = endpoint.sendHalf
    return half.finishBlocking(
      unsafe endpoint.framing.started(bytes, array, on: half, as: .thread, timeout: timeout))
  }
}

extension SendHalf {
  /// Begins to send a frame in parts.
  @usableFromInline
  func start(
    _ parts: consuming FrameParts, as kind: Place.Kind, timeout: Duration?,
    _ progress: (@Sendable (Int, Int) -> Void)?
  ) -> Started {
    start(Call(Outgoing(parts), as: kind, until: .after(timeout), progress: progress))
  }

  /// Begins to send a batch.
  @usableFromInline
  func start(
    _ batch: FrameBatch, as kind: Place.Kind, until deadline: Deadline,
    _ progress: (@Sendable (Int, Int) -> Void)?
  ) -> Started {
    start(Call(batch.outgoing, as: kind, until: deadline, progress: progress))
  }
}

extension Framing {
  /// Encodes: before the first byte is sent.
  @inlinable
  func parts(of message: Outgoing, for half: SendHalf) throws(EndpointError) -> FrameParts {
    if needsDatagrams, !half.carriesDatagrams { throw EndpointError(.framing(.needsDatagrams)) }
    var parts = FrameParts()
    try append(message, to: &parts)
    return parts
  }

  @inlinable
  func append(_ message: Outgoing, to parts: inout FrameParts) throws(EndpointError) {
    do {
      try encode(message, into: &parts)
    } catch {
      throw EndpointError(encoding: error)
    }
  }

  @inlinable
  var progress: (@Sendable (Int, Int) -> Void)? {
    guard observesSending else { return nil }
    return { count, total in didSend(count: count, of: total) }
  }
}

extension FramingError {
  /// Nothing would keep the messages apart.
  @usableFromInline
  static var needsDatagrams: FramingError { FramingError(.needsDatagrams, offset: 0) }
}

extension EndpointError {
  /// Why a message cannot be encoded.
  @usableFromInline
  init(encoding error: any Error) {
    self.init((error as? FramingError).map { .framing($0) } ?? .codec(error))
  }
}

extension ByteFraming {
  /// Begins to send a payload that stays where it is.
  @inlinable
  func started(
    _ bytes: UnsafeRawBufferPointer, _ array: [UInt8]?, on half: SendHalf, as kind: Place.Kind,
    timeout: Duration?
  ) -> SendHalf.Started {
    if needsDatagrams, !half.carriesDatagrams { return .ended(EndpointError(.framing(.needsDatagrams))) }
    do throws(FramingError) {
      let envelope = try envelope(for: unsafe Span(_unsafeBytes: bytes))
      return unsafe half.start(envelope, bytes, array, as: kind, timeout: timeout, progress: progress)
    } catch {
      return .ended(EndpointError(.framing(error)))
    }
  }
}

// MARK: - The endpoints

/// Receives messages from a pipe or a socket.
public final class MessageReader<F: Framing>: MessageReceiving {
  public static var directions: Readiness { .readable }
  public let core: EndpointCore
  public let framing: F
  public let receivingSide: ReceivingSide<F>

  public init(core: EndpointCore, framing: F, mode: ReceiveMode, maximumFrameSize: Int) {
    self.core = core
    self.framing = framing
    receivingSide = ReceivingSide(core, framing, mode, maximumFrameSize)
  }

  /// Receives messages over a raw endpoint, which goes on to work: both share the descriptor, its unread
  /// bytes and the queue of callers.
  public convenience init(
    over raw: SocketReader, framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) {
    self.init(core: raw.core, framing: framing, mode: mode, maximumFrameSize: maximumFrameSize)
  }
}

extension MessageReader where F == VarIntFraming {
  /// Receives varint-framed messages over a raw endpoint.
  public convenience init(over raw: SocketReader) { self.init(over: raw, framing: .varInt) }
}

/// Sends messages to a pipe or a socket.
public final class MessageWriter<F: Framing>: MessageSending {
  public static var directions: Readiness { .writable }
  public let core: EndpointCore
  public let framing: F

  public init(core: EndpointCore, framing: F, mode: ReceiveMode, maximumFrameSize: Int) {
    self.core = core
    self.framing = framing
  }

  /// Sends messages over a raw endpoint, which goes on to work.
  public convenience init(over raw: SocketWriter, framing: F) {
    self.init(core: raw.core, framing: framing, mode: .readAhead, maximumFrameSize: defaultMaximumFrameSize)
  }
}

extension MessageWriter where F == VarIntFraming {
  /// Sends varint-framed messages over a raw endpoint.
  public convenience init(over raw: SocketWriter) { self.init(over: raw, framing: .varInt) }
}

/// Receives and sends messages; both directions are independent of each other.
public final class MessageDuplex<F: Framing>: MessageReceiving, MessageSending {
  public static var directions: Readiness { [.readable, .writable] }
  public let core: EndpointCore
  public let framing: F
  public let receivingSide: ReceivingSide<F>

  public init(core: EndpointCore, framing: F, mode: ReceiveMode, maximumFrameSize: Int) {
    self.core = core
    self.framing = framing
    receivingSide = ReceivingSide(core, framing, mode, maximumFrameSize)
  }

  /// Messages over a raw endpoint, which goes on to work: both share descriptor, unread bytes and queues.
  public convenience init(
    over raw: SocketDuplex, framing: F, mode: ReceiveMode = .readAhead,
    maximumFrameSize: Int = defaultMaximumFrameSize
  ) {
    self.init(core: raw.core, framing: framing, mode: mode, maximumFrameSize: maximumFrameSize)
  }

  /// Takes over two descriptors, such as standard input and output. When it throws, both are still the
  /// caller's.
  public convenience init(
    reading: FileDescriptor, writing: FileDescriptor, unread: [UInt8] = [], framing: F,
    mode: ReceiveMode = .readAhead, maximumFrameSize: Int = defaultMaximumFrameSize
  ) throws(EndpointError) {
    self.init(
      core: try EndpointCore.adopting(reading: reading, writing: writing, unread: unread),
      framing: framing, mode: mode, maximumFrameSize: maximumFrameSize)
  }
}

extension MessageDuplex where F == VarIntFraming {
  /// Varint-framed messages over a raw endpoint.
  public convenience init(over raw: SocketDuplex) { self.init(over: raw, framing: .varInt) }
}
