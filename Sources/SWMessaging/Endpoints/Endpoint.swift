public import SWIO
public import SystemPackage

/// One end of a connection, for threads and tasks at once. Every endpoint is one: ``SocketReader``,
/// ``SocketWriter``, ``SocketDuplex`` for raw bytes, ``MessageReader``, ``MessageWriter``,
/// ``MessageDuplex`` for messages.
///
/// All calls may be made from any thread and any task, at the same time. Callers are served first come,
/// first served, per direction, blocking and async calls alike. An endpoint owns its descriptor and closes it
/// when it is closed, or with the last reference.
///
/// Several endpoints can stand over one connection: messages over a raw endpoint (`init(over:framing:)`), and a
/// reader or a writer over one direction of a duplex (`init(over:)`). They share the descriptor, the unread bytes and
/// the order of callers. ``close()`` of one closes the directions that it has, for all of them. The descriptor itself
/// is closed when every direction is closed, or when the last of the endpoints has gone.
public protocol Endpoint: AnyObject, Sendable {
  /// The connection behind the endpoint. Opaque.
  var core: EndpointCore { get }
}

extension Endpoint {
  /// Closes at once: every blocked thread and suspended task of this endpoint gets the error `closed`.
  /// Idempotent, does not wait, throws nothing; may be called from anywhere. The descriptor itself is
  /// released when its last user has left, so that its number is not reused while a call still uses it. The
  /// rest of a message that timed out half sent is dropped: ``SendingEndpoint/close(drainingFor:)``
  /// waits for it.
  ///
  /// Closing one direction of a duplex does not tell the peer: ``SendingEndpoint/finishSending()`` does.
  public func close() { core.close() }

  /// Whether it has been closed or detached.
  public var isClosed: Bool { core.isClosed }

  /// Lends the descriptor while `body` runs; it is not closed before `body` returns. Do not close it, and
  /// do not read or write it while others use the endpoint. Of a duplex over two descriptors it is the
  /// one for receiving.
  ///
  /// - Throws: what `body` throws, and ``EndpointError`` `closed` when there is no descriptor any more
  ///   or never was one.
  public func withDescriptor<Result>(_ body: (FileDescriptor) throws -> Result) throws -> Result {
    guard let half = core.receiving as Half? ?? core.sending else { throw EndpointError(.closed) }
    return try half.withDescriptor { try body(FileDescriptor(rawValue: $0)) }
  }

  /// Whether child processes inherit the descriptor at exec. Off from creation on.
  ///
  /// Reading it asks the system; it is false on a closed endpoint and over a transport without a descriptor.
  /// Setting it there changes nothing, as reading it again shows: ``setInheritable(_:)`` throws instead.
  public var isInheritable: Bool {
    get {
      guard let half = core.receiving as Half? ?? core.sending else { return false }
      return (try? half.withTransport { try half.port.isInheritable() }) ?? false
    }
    set {
      do { try setInheritable(newValue) } catch { return }
    }
  }

  /// Lets child processes inherit the descriptor at exec, or not; of a duplex over two descriptors, both.
  ///
  /// - Throws: ``EndpointError`` `closed`; `transport` with `Errno.notSupported` over a transport without a
  ///   descriptor.
  public func setInheritable(_ inheritable: Bool) throws(EndpointError) {
    for half in [core.receiving as Half?, core.sending].compactMap({ $0 }) {
      do {
        try half.withTransport { try half.port.setInheritable(inheritable) }
      } catch let error as EndpointError {
        throw error
      } catch {
        throw EndpointError(
          .transport(error as? TransportError ?? TransportError(.inheritance, .notSupported)))
      }
    }
  }

  /// Takes the endpoint apart: descriptor and unread bytes go back to the caller, the endpoint is closed
  /// and the descriptor is not. Other endpoints over the same connection are closed, too.
  ///
  /// A reader or a writer over one direction of a duplex can be detached when the other direction has been closed, or
  /// has a descriptor of its own.
  ///
  /// - Throws: ``EndpointError`` `busy` when a call is under way, when the rest of a message is still owed, or when
  ///   the other direction of the descriptor is open; `unreadDatagrams` when datagrams have been received ahead and
  ///   no receive has returned them: a receive has the next of them at once (nothing has changed then); `closed` when
  ///   there is nothing left to detach; `transport` over a transport of your own.
  public func detach() throws(EndpointError) -> DetachedEndpoint { try core.detach() }
}

/// An endpoint that receives.
public protocol ReceivingEndpoint: Endpoint {}

extension ReceivingEndpoint {
  /// How many descriptors a message, or a raw receive, may bring over a Unix socket: 0 unless it is set. All endpoints
  /// over one descriptor share it.
  ///
  /// Descriptors beyond it are closed, on a thread of the library's own, and the message is received without them. Set
  /// it before the first message comes: what has been received ahead came without.
  public var maximumDescriptors: Int {
    get { core.receiving?.port.maximumDescriptors ?? 0 }
    set {
      precondition(newValue >= 0, "a number of descriptors is not negative")
      core.receiving?.port.maximumDescriptors = newValue
    }
  }

  /// Ends receiving in good order: receives return what has arrived, and then report the end of the stream, as if the
  /// peer had half-closed. A message that has begun to arrive is received whole. What arrives later is not received.
  ///
  /// This is for a service that stops: the requests that were sent before are still answered, and the loops that wait
  /// for the next one end. The peer is not told; it sees the end when the endpoint finishes sending, or is closed.
  /// Does not wait. Idempotent; may be called from anywhere.
  public func finishReceiving() { core.receiving?.finishReceiving() }

  /// Has received messages bring the credentials of their senders, over a Unix socket (SO_PASSCRED), or no more.
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

  /// Waits until everything sent before has been accepted by the kernel: other callers' messages, and
  /// the rest of one that timed out.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait at most; nil: without limit.
  ///   - deadline: until when to wait at most. With both, the earlier one counts.
  /// - Throws: ``EndpointError`` `timedOut`, `cancelled`, `closed`, `transport`. Nothing is left behind.
  public func flush(timeout: Duration? = nil, until deadline: Deadline = .never) async throws(EndpointError) {
    let deadline = CallLimit(timeout, deadline).deadline
    try await sendHalf.run { half in
      half.start(SendHalf.Call(Outgoing([]), as: .task, step: .flush, until: deadline))
    }
  }

  /// Half-close: the peer sees the end of the stream behind everything that has been sent so far, the rest
  /// of a half-sent message included. Later sends throw `closed`; receiving goes on. Does not wait for the peer.
  ///
  /// On a stream socket this is `shutdown(SHUT_WR)`. On any other descriptor the endpoint gives up its descriptor for
  /// sending. The peer sees the end when that is closed: at once, unless the same descriptor also receives, as that of
  /// a terminal does; then when the endpoint is closed.
  public func finishSending() {
    _ = sendHalf.start(SendHalf.Call(Outgoing([]), as: .orphan, step: .halfClose, until: .never))
  }

  /// Flushes, then closes, whether or not everything went out in time.
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
