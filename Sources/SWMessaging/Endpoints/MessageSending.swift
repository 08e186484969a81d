public import SWFraming
public import SWIO
public import SystemPackage

/// A message endpoint that sends. `send` returns when the kernel has accepted every byte of the frame.
/// All calls are safe from any thread and task at once; frames never mix.
///
/// A send that times out or is cancelled before its first byte was accepted leaves nothing on the wire.
/// After it the error says `isCommitted`: the endpoint owns the rest and sends it in the background,
/// ahead of any later message.
///
/// Every call takes a timeout, a deadline, or both; the earlier one counts. Calls that share a deadline end together.
public protocol MessageSending<F>: MessageEndpoint, SendingEndpoint {}

extension MessageSending {
  /// Sends one message.
  ///
  /// - Parameters:
  ///   - message: the message, which is encoded before its first byte is sent.
  ///   - timeout: how long to wait; zero sends what the transport takes at once; nil waits without limit.
  ///   - deadline: until when to wait. With a timeout, the earlier one counts.
  /// - Throws: ``EndpointError``: `timedOut` and `cancelled` (see `isCommitted`), `closed`, `transport`
  ///   (a broken pipe among them; no SIGPIPE is raised), `framing` or `codec` when the message cannot be
  ///   encoded, in which case nothing was sent.
  @inlinable
  public func send(
    _ message: F.Outgoing, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) {
    let limit = CallLimit(timeout, deadline)
    try await sendHalf.run { half throws(EndpointError) in try begin(message, on: half, limit) }
  }

  /// Sends one message with descriptors, which the peer receives with
  /// ``MessageReceiving/receiveMessage(timeout:until:)``. Over a Unix socket only.
  ///
  /// They go out with the first byte of the frame, and no other message goes out in the same system call. They are
  /// duplicated for the peer, and stay the caller's, to be kept open until this call returns.
  ///
  /// - Parameters:
  ///   - descriptors: at most 253.
  /// - Throws: as `send(_:timeout:until:)`; `transport` with `Errno.notSupported` if the transport passes none. A
  ///   descriptor that cannot be passed fails this call alone.
  public func send(
    _ message: F.Outgoing, passing descriptors: [FileDescriptor], timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) async throws(EndpointError) {
    let limit = CallLimit(timeout, deadline)
    try await sendHalf.run { half throws(EndpointError) in
      try framing.start(message, OutgoingAncillary(descriptors: descriptors), on: half, as: .task, limit)
    }
  }

  /// Sends one message as a datagram to an address, over a datagram socket that is not connected. The
  /// receiver finds the sender's address in ``ReceivedMessage/sender``.
  ///
  /// - Throws: as `send(_:timeout:until:)`; an error about this datagram ends nothing.
  public func send(
    _ message: F.Outgoing, to address: SocketAddress, timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) async throws(EndpointError) {
    let limit = CallLimit(timeout, deadline)
    do throws(EndpointError) {
      try await sendHalf.run { half throws(EndpointError) in
        try framing.start(message, OutgoingAncillary(address: address), on: half, as: .task, limit)
      }
    } catch {
      throw error.about(.address(address))
    }
  }

  /// Sends messages in order, with as few system calls as it takes. Other senders' messages may come
  /// between them, and on a pipe every write ends where a frame ends.
  ///
  /// - Throws: as `send(_:timeout:until:)`; `messageCount` says how many whole messages were accepted or are
  ///   committed. Those behind were not begun.
  @inlinable
  public func send<Messages: Sequence>(
    contentsOf messages: Messages, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) where Messages.Element == F.Outgoing {
    let (half, deadline) = (sendHalf, CallLimit(timeout, deadline).deadline)
    var batches = Batches(messages, framing, areDatagrams: half.carriesDatagrams)
    while true {
      // A call whose messages have all gone out has succeeded, cancelled or not.
      guard let batch = try batches.next() else { return }
      if await half.isCancelledAtBegin() {
        throw EndpointError(.cancelled, messageCount: batches.messageCount)
      }
      let started = half.start(batch, as: .task, until: deadline, batches.progress)
      if let error = await half.finish(started) { throw batches.adjust(error) }
      batches.sent(batch)
    }
  }
}

extension MessageSending where F: ByteFraming {
  /// Sends one message from an array, which is retained and not copied. Like ``send(_:timeout:until:)``.
  @inlinable
  public func send(
    _ message: [UInt8], timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) {
    let limit = CallLimit(timeout, deadline)
    try await sendHalf.run { half in begin(message, on: half, limit) }
  }

  /// Sends one message from any bytes: a slice, `Data`, a buffer. Contiguous ones are not copied unless
  /// the call has to wait.
  @inlinable
  public func send<Bytes: Collection<UInt8>>(
    _ message: Bytes, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) {
    let limit = CallLimit(timeout, deadline)
    try await sendHalf.run { half in
      unsafe message.withBytes { unsafe framing.start($0, $1, on: half, as: .task, limit) }
    }
  }

  /// Sends the UTF-8 bytes of a string as one message.
  @inlinable
  public func send(
    _ message: String, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) {
    try await send(message.utf8, timeout: timeout, until: deadline)
  }

  /// Sends the UTF-8 bytes of a string as one message, with descriptors. Otherwise like `send(_:passing:timeout:until:)` of an
  /// array.
  public func send(
    _ message: String, passing descriptors: [FileDescriptor], timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) async throws(EndpointError) {
    try await send(Array(message.utf8), passing: descriptors, timeout: timeout, until: deadline)
  }

  /// Sends the bytes of a span as one message.
  @inlinable
  public func send(
    _ message: Span<UInt8>, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) {
    try await send(unsafe message.bytes, timeout: timeout, until: deadline)
  }

  /// Sends the bytes of a raw span as one message.
  @inlinable
  public func send(
    _ message: RawSpan, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) {
    let limit = CallLimit(timeout, deadline)
    try await sendHalf.run { half in
      unsafe message.withUnsafeBytes { unsafe framing.start($0, nil, on: half, as: .task, limit) }
    }
  }
}

// A task that waits keeps the frames of its asynchronous functions. So what is done before the wait is a function of its own,
// and is in no frame.

extension MessageSending {
  @inlinable @inline(never)
  func begin(
    _ message: F.Outgoing, on half: SendHalf, _ limit: CallLimit
  ) throws(EndpointError) -> SendHalf.Started {
    half.start(try framing.parts(of: message, for: half), as: .task, limit, framing.progress)
  }
}

extension MessageSending where F: ByteFraming {
  @inlinable @inline(never)
  func begin(_ message: [UInt8], on half: SendHalf, _ limit: CallLimit) -> SendHalf.Started {
    unsafe message.withUnsafeBytes { unsafe framing.start($0, message, on: half, as: .task, limit) }
  }
}

// MARK: - Blocking

extension Blocking where E: MessageSending {
  /// Blocking form of `send(_:timeout:until:)`.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func send(
    _ message: E.F.Outgoing, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) {
    let (half, framing, limit) = (endpoint.sendHalf, endpoint.framing, CallLimit(timeout, deadline))
    let started = half.start(
      try framing.parts(of: message, for: half), as: .thread, limit, framing.progress)
    if let error = half.finishBlocking(started) { throw error }
  }

  /// Blocking form of `send(_:passing:timeout:until:)`.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func send(
    _ message: E.F.Outgoing, passing descriptors: [FileDescriptor], timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) throws(EndpointError) {
    try send(message, OutgoingAncillary(descriptors: descriptors), CallLimit(timeout, deadline))
  }

  /// Blocking form of ``MessageSending/send(_:to:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func send(
    _ message: E.F.Outgoing, to address: SocketAddress, timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) throws(EndpointError) {
    do throws(EndpointError) {
      try send(message, OutgoingAncillary(address: address), CallLimit(timeout, deadline))
    } catch {
      throw error.about(.address(address))
    }
  }

  private func send(
    _ message: E.F.Outgoing, _ ancillary: OutgoingAncillary, _ limit: CallLimit
  ) throws(EndpointError) {
    let half = endpoint.sendHalf
    let started = try endpoint.framing.start(message, ancillary, on: half, as: .thread, limit)
    if let error = half.finishBlocking(started) { throw error }
  }

  /// Blocking form of ``MessageSending/send(contentsOf:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func send<Messages: Sequence>(
    contentsOf messages: Messages, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) where Messages.Element == E.F.Outgoing {
    let (half, deadline) = (endpoint.sendHalf, CallLimit(timeout, deadline).deadline)
    var batches = Batches(messages, endpoint.framing, areDatagrams: half.carriesDatagrams)
    while let batch = try batches.next() {
      let started = half.start(batch, as: .thread, until: deadline, batches.progress)
      if let error = half.finishBlocking(started) { throw batches.adjust(error) }
      batches.sent(batch)
    }
  }
}

extension Blocking where E: MessageSending, E.F: ByteFraming {
  /// Blocking form of `send`; the bytes are never copied, unless a timeout leaves a rest to be sent.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func send(
    _ message: [UInt8], timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) {
    let error = unsafe message.withUnsafeBytes { unsafe sent($0, message, CallLimit(timeout, deadline)) }
    if let error { throw error }
  }

  /// Blocking form of `send`, for any bytes: a slice, `Data`, a buffer.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func send<Bytes: Collection<UInt8>>(
    _ message: Bytes, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) {
    let error = unsafe message.withBytes { unsafe sent($0, $1, CallLimit(timeout, deadline)) }
    if let error { throw error }
  }

  /// Blocking form of `send`, for strings.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func send(
    _ message: String, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) {
    try send(message.utf8, timeout: timeout, until: deadline)
  }

  /// Blocking form of `send`, for strings with descriptors.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func send(
    _ message: String, passing descriptors: [FileDescriptor], timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) throws(EndpointError) {
    try send(Array(message.utf8), passing: descriptors, timeout: timeout, until: deadline)
  }

  /// Blocking form of `send`, for spans.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func send(
    _ message: Span<UInt8>, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) {
    try send(unsafe message.bytes, timeout: timeout, until: deadline)
  }

  /// Blocking form of `send`, for raw spans.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  public func send(
    _ message: RawSpan, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) {
    let error = unsafe message.withUnsafeBytes { unsafe sent($0, nil, CallLimit(timeout, deadline)) }
    if let error { throw error }
  }

  @inlinable
  func sent(_ bytes: UnsafeRawBufferPointer, _ array: [UInt8]?, _ limit: CallLimit) -> EndpointError? {
    let half = endpoint.sendHalf
    return half.finishBlocking(
      unsafe endpoint.framing.start(bytes, array, on: half, as: .thread, limit))
  }
}

// MARK: - How a send begins

extension SendHalf {
  /// Begins to send a frame in parts.
  @usableFromInline
  func start(
    _ parts: consuming FrameParts, as kind: Place.Kind, _ limit: CallLimit,
    _ progress: (@Sendable (Int, Int) -> Void)?
  ) -> Started {
    start(Call(Outgoing(parts), as: kind, until: limit.deadline, progress: progress))
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
  /// Begins to send a frame with ancillary data.
  func start(
    _ message: Outgoing, _ ancillary: OutgoingAncillary, on half: SendHalf, as kind: Place.Kind,
    _ limit: CallLimit
  ) throws(EndpointError) -> SendHalf.Started {
    half.start(
      SWMessaging.Outgoing(try parts(of: message, for: half)), ancillary, as: kind, limit, progress)
  }

  /// Encodes a message, before its first byte is sent.
  @inlinable
  func parts(of message: Outgoing, for half: SendHalf) throws(EndpointError) -> FrameParts {
    if needsDatagrams, !half.carriesDatagrams { throw EndpointError(sending: .needsDatagrams) }
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

extension ByteFraming {
  /// Begins to send a payload that stays where it is.
  @inlinable
  func start(
    _ bytes: UnsafeRawBufferPointer, _ array: [UInt8]?, on half: SendHalf, as kind: Place.Kind,
    _ limit: CallLimit
  ) -> SendHalf.Started {
    if needsDatagrams, !half.carriesDatagrams { return .ended(EndpointError(sending: .needsDatagrams)) }
    do throws(FramingError) {
      let envelope = try envelope(for: unsafe Span(_unsafeBytes: bytes))
      return unsafe half.start(envelope, bytes, array, as: kind, limit, progress: progress)
    } catch {
      return .ended(EndpointError(sending: error))
    }
  }
}

extension FramingError {
  /// The framing has no boundaries on a stream, so it needs datagrams.
  @usableFromInline
  static var needsDatagrams: FramingError { FramingError(.needsDatagrams, offset: 0) }
}
