public import SWIO
internal import Synchronization
public import SystemPackage

/// One end of a connection, for threads and tasks at once. Every endpoint is one: ``SocketReader``,
/// ``SocketWriter``, ``SocketDuplex`` for raw bytes, ``MessageReader``, ``MessageWriter``,
/// ``MessageDuplex`` for messages.
///
/// All calls may be made from any thread and any task, at the same time. In each direction callers are served in the order
/// in which they called, blocking and async calls alike. An endpoint owns its descriptor. The descriptor is closed by
/// ``close()``, or with the last reference to the endpoint.
///
/// Several endpoints can share one connection: a message endpoint over a raw endpoint (`init(over:framing:)`), and a
/// reader or a writer over one direction of a duplex (`init(over:)`). They share the descriptor, the unread bytes and the
/// order of callers. ``close()`` of one closes its directions for all of them. The descriptor itself is closed when every
/// direction is closed, or with the last of the endpoints.
public protocol Endpoint: AnyObject, Sendable {
  /// The connection behind the endpoint. Opaque.
  var core: EndpointCore { get }
}

extension Endpoint {
  /// Closes the endpoint at once. Every blocked thread and suspended task of this endpoint gets the error `closed`.
  ///
  /// The call is idempotent, does not wait, throws nothing, and may be made from anywhere. The descriptor itself is closed
  /// after the last call has left it, so its number is not reused while a call uses it. The rest of a half-sent message is
  /// dropped: ``SendingEndpoint/close(drainingFor:)`` waits for it.
  ///
  /// If closing the descriptor could take as long as the peer likes, another thread does that. The number is free at once, and
  /// the peer is told a moment later. That concerns Unix sockets that were adopted, lent or made inheritable and whose peer has
  /// not ended, and all whose peer has passed descriptors that were not received.
  ///
  /// Closing one direction of a duplex does not tell the peer: ``SendingEndpoint/finishSending()`` does.
  public func close() { core.close() }

  /// Whether the endpoint has been closed or detached.
  public var isClosed: Bool { core.isClosed }

  /// How long a blocking receive looks for its message before its thread sleeps. Zero from the start.
  ///
  /// Looking takes a whole processor, and spares the time that the kernel needs to wake a thread: some microseconds of
  /// each round trip, if the answer comes that soon. Threads that look take at most half of the processors of the
  /// process; on a single processor none does. May be changed at any time, from any thread; all endpoints over the same
  /// connection share it. For async calls see ``/SWIO/MessagingExecutor/spinning``.
  public var spinning: Duration {
    get { .nanoseconds(Int64(clamping: core.receiving?.port.spinTime.load(ordering: .relaxed) ?? 0)) }
    set { core.receiving?.port.spinTime.store(Spinning.nanoseconds(newValue), ordering: .relaxed) }
  }

  /// Lends the descriptor to `body`. It is not closed before `body` returns. Do not close it, and do not read or write it
  /// while other callers use the endpoint. A duplex over two descriptors lends the one for receiving, and the one for sending if
  /// receiving was closed.
  ///
  /// - Throws: the error of `body`, and ``EndpointError`` `closed` if the endpoint has no descriptor (any more).
  public func withDescriptor<Result>(_ body: (FileDescriptor) throws -> Result) throws -> Result {
    core.noteShared()
    return try core.halves.withDescriptor { try body(FileDescriptor(rawValue: $0)) }
  }

  /// Whether child processes inherit the descriptor at exec. It is false at first.
  ///
  /// Reading the property asks the system. It is false on a closed endpoint and over a transport without a descriptor.
  /// Setting it there changes nothing; ``setInheritable(_:)`` throws instead.
  public var isInheritable: Bool {
    get { (try? core.halves.withFirstOpen { half in try half.port.isInheritable() }) ?? false }
    set {
      do { try setInheritable(newValue) } catch { return }
    }
  }

  /// Sets whether child processes inherit the descriptor at exec. For a duplex over two descriptors it sets both, or the one
  /// whose direction has not been closed.
  ///
  /// - Throws: ``EndpointError`` `closed`; `transport` with `Errno.notSupported` over a transport without a
  ///   descriptor.
  public func setInheritable(_ inheritable: Bool) throws(EndpointError) {
    var isSet = false
    for half in core.halves {
      do {
        if try half.ifOpen({ try half.port.setInheritable(inheritable) }) != nil { isSet = true }
      } catch {
        throw EndpointError(
          .transport(error as? TransportError ?? TransportError(.inheritance, .notSupported)))
      }
    }
    if !isSet { throw EndpointError(.closed) }
  }

  /// Closes the endpoint and returns its descriptor, still open, with the unread bytes. Other endpoints over the same
  /// connection are closed, too.
  ///
  /// A reader or a writer over one direction of a duplex can be detached if the other direction has been closed, or has
  /// a descriptor of its own. A duplex can be detached if one direction has been closed; ``SendingEndpoint/finishSending()``
  /// closes sending where the peer would see no end otherwise. Of two descriptors the one that is left is returned then.
  ///
  /// It waits for no call, but for the end of an attempt that was being made for one which has just been cancelled or timed
  /// out: for a moment, and for a second at most.
  ///
  /// - Throws: ``EndpointError`` `busy` if a call is under way, if the rest of a message has not gone out yet, or if the
  ///   other direction of the descriptor is open; `unreadDatagrams` or `unreadDescriptors` if datagrams, or descriptors that
  ///   peers have passed, have been received ahead and not been returned (receive their messages first); `closed` if the
  ///   endpoint is closed; `transport` over a transport of your own. After `busy`, `unreadDatagrams` and `unreadDescriptors`
  ///   the endpoint is as before.
  public func detach() throws(EndpointError) -> DetachedEndpoint { try core.detach() }
}

/// An endpoint that receives.
public protocol ReceivingEndpoint: Endpoint {}

extension ReceivingEndpoint {
  /// The number of descriptors that a message, or a raw receive, may bring over a Unix socket. The default is 0. All
  /// endpoints over one descriptor share it.
  ///
  /// Surplus descriptors are closed, on a separate thread, and the message is received without them. Set it before the
  /// first message arrives: messages that were received ahead have lost theirs.
  public var maximumDescriptors: Int {
    get { core.receiving?.port.maximumDescriptors ?? 0 }
    set {
      precondition(newValue >= 0, "a number of descriptors is not negative")
      core.receiving?.port.maximumDescriptors = newValue
    }
  }

  /// Ends receiving gracefully. Receives return the messages that have arrived, and then report the end of the stream, as
  /// if the peer had half-closed. A message that has begun to arrive is received completely. Later messages are not
  /// received.
  ///
  /// A service uses it to stop: requests that were sent before are still answered, and loops that wait for the next
  /// request end. The peer is not told. It sees the end when the endpoint finishes sending, or is closed. The call does
  /// not wait, is idempotent, and may be made from anywhere.
  public func finishReceiving() { core.receiving?.finishReceiving() }

  /// Sets whether received messages carry the credentials of their senders (SO_PASSCRED). For Unix sockets.
  ///
  /// - Throws: ``EndpointError`` `transport` with `Errno.notSupported` over anything else; `closed`.
  public func setReceivesCredentials(_ receives: Bool) throws(EndpointError) {
    guard let half = core.receiving else { return }
    try half.withOwnTransport { () throws(TransportError) in try half.port.setReceivesCredentials(receives) }
  }
}

/// An endpoint that sends.
public protocol SendingEndpoint: Endpoint {
  /// The direction that sends. Opaque.
  var sendingSide: SendingSide { get }
}

/// The sending direction of an endpoint. Opaque: only endpoints that send have one.
public struct SendingSide: Sendable {
  @usableFromInline let half: SendHalf

  @inlinable
  init(_ core: EndpointCore) {
    guard let half = core.sending else { preconditionFailure("a sending endpoint has a sending half") }
    self.half = half
  }
}

extension SendingEndpoint {
  @inlinable
  package var sendHalf: SendHalf { sendingSide.half }

  /// Waits until the kernel has accepted everything that was sent before: the messages of other callers, and the rest of
  /// a message that timed out.
  ///
  /// - Parameters:
  ///   - timeout: the longest time to wait. Nil waits without limit.
  ///   - deadline: the instant to wait for at the latest. With both, the earlier one counts.
  /// - Throws: ``EndpointError`` `timedOut`, `cancelled`, `closed`, `transport`. Nothing is left behind.
  public func flush(timeout: Duration? = nil, until deadline: Deadline = .never) async throws(EndpointError) {
    let deadline = CallLimit(timeout, deadline).deadline
    try await sendHalf.run { half in
      half.start(SendHalf.Call(Outgoing([]), as: .task, step: .flush, until: deadline))
    }
  }

  /// Half-closes the connection. The peer sees the end of the stream after everything that has been sent so far, including
  /// the rest of a half-sent message. The call does not wait for that. Later sends throw `closed`; while the rest is still going
  /// out they wait for it first, up to their own time limits. Receiving continues.
  ///
  /// On a stream socket this is `shutdown(SHUT_WR)`. On any other descriptor the endpoint closes its descriptor for
  /// sending. If the same descriptor also receives, as that of a terminal does, the peer sees the end when the endpoint is
  /// closed.
  public func finishSending() {
    _ = sendHalf.start(SendHalf.Call(Outgoing([]), as: .orphan, step: .halfClose, until: .never))
  }

  /// Flushes, and then closes, whether or not everything went out in time.
  ///
  /// - Throws: what ``flush(timeout:until:)`` throws; the endpoint is closed all the same.
  public func close(drainingFor timeout: Duration) async throws(EndpointError) {
    try await close(drainingUntil: .after(timeout))
  }

  /// Flushes, then closes, whether or not everything went out by the deadline.
  ///
  /// - Throws: what ``flush(timeout:until:)`` throws; the endpoint is closed all the same.
  public func close(drainingUntil deadline: Deadline) async throws(EndpointError) {
    defer { close() }
    try await flush(until: deadline)
  }
}
