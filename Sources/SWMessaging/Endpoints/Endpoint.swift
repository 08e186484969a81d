public import SWIO
internal import Synchronization
public import SystemPackage

/// One end of a connection, for threads and tasks at once. Every endpoint is one: ``SocketReader``,
/// ``SocketWriter``, ``SocketDuplex`` for raw bytes, ``MessageReader``, ``MessageWriter``,
/// ``MessageDuplex`` for messages.
///
/// All calls may be made from any thread and any task, at the same time. Callers are served first come,
/// first served, per direction, whatever their colour. An endpoint owns its descriptor and closes it
/// when it is closed, or with the last reference.
public protocol Endpoint: AnyObject, Sendable {
  /// What the endpoint is made of. Opaque.
  var core: EndpointCore { get }
}

/// What an endpoint is made of: one or two halves over one or two ports. Opaque.
public final class EndpointCore: Sendable {
  package let receiving: ReceiveHalf?
  @usableFromInline package let sending: SendHalf?

  package init(receiving: ReceiveHalf?, sending: SendHalf?) {
    self.receiving = receiving
    self.sending = sending
  }

  deinit { close() }

  /// Takes over a descriptor for these directions. When it throws, the descriptor is still the caller's.
  package convenience init(
    adopting number: Int32, unread: [UInt8] = [], for directions: Readiness,
    reactor: any Reacting = Reactor.shared
  ) throws(EndpointError) {
    do throws(TransportError) {
      self.init(try Port(number, for: directions, reactor: reactor), unread: unread, for: directions)
    } catch {
      throw EndpointError(.transport(error))
    }
  }

  /// Takes over a transport.
  package convenience init(
    _ transport: some SocketLike, for directions: Readiness, reactor: any Reacting = Reactor.shared
  ) {
    self.init(Port(transport, for: directions, reactor: reactor), unread: [], for: directions)
  }

  private convenience init(_ port: Port, unread: [UInt8], for directions: Readiness) {
    self.init(
      receiving: directions.contains(.readable) ? ReceiveHalf(port, unread: unread) : nil,
      sending: directions.contains(.writable) ? SendHalf(port) : nil)
  }

  func close() {
    receiving?.close()
    sending?.close()
  }

  /// Gives the descriptors up unclosed, if nobody uses them.
  func detach() throws(EndpointError) -> DetachedEndpoint {
    let halves = [receiving, sending].compactMap { $0 as Half? }
    // A transport of the user's own is his to take apart.
    if halves.contains(where: { !$0.port.isDetachable }) {
      throw EndpointError(.transport(TransportError(.detach, .notSupported)))
    }
    if let refusal = Half.retire(halves[0], halves.count > 1 ? halves[1] : nil) {
      throw EndpointError(refusal)
    }
    let unread = unsafe (receiving?.turn.takeUnread() ?? []) + (receiving?.port.takeUnread() ?? [])
    var numbers: [Int32] = []
    var seen: Port?
    for half in halves where half.port !== seen {
      seen = half.port
      guard let number = half.port.detach() else {
        preconditionFailure("a transport without a descriptor cannot be detached")
      }
      numbers.append(number)
    }
    return DetachedEndpoint(
      descriptor: OwnedDescriptor(adopting: FileDescriptor(rawValue: numbers[0])),
      sendingDescriptor: numbers.count > 1
        ? OwnedDescriptor(adopting: FileDescriptor(rawValue: numbers[1])) : nil,
      unread: unread)
  }
}

/// What `detach` hands back: enough for another endpoint, here or in another process, to go on where
/// this one stopped.
public struct DetachedEndpoint: ~Copyable, Sendable {
  /// The descriptor; of a duplex over two descriptors, the one it received from.
  public var descriptor: OwnedDescriptor
  /// Of a duplex over two descriptors, the one it sent to.
  public var sendingDescriptor: OwnedDescriptor?
  /// Bytes that have been received and not been returned, an unfinished message included.
  public var unread: [UInt8]

  /// Gives away the descriptor that was received from, and closes the other one, if there is one.
  public consuming func release() -> (descriptor: FileDescriptor, unread: [UInt8]) {
    (descriptor.release(), unread)
  }
}

extension Endpoint {
  /// Closes at once: every blocked thread and suspended task of this endpoint gets the error `closed`.
  /// Idempotent, waits for nobody, throws nothing; may be called from anywhere. The descriptor itself is
  /// released when its last user has left, so its number cannot be reused under anybody's hands. The
  /// rest of a message that timed out half sent is dropped: ``SendingEndpoint/close(drainingFor:)``
  /// waits for it.
  public func close() { core.close() }

  /// Whether it has been closed or detached.
  public var isClosed: Bool {
    (core.receiving?.inspect { $0.isClosed } ?? true) && (core.sending?.inspect { $0.isClosed } ?? true)
  }

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

  /// Whether child processes inherit the descriptor at exec. Off from creation on. On a closed endpoint
  /// it reads false, and setting it does nothing.
  public var isInheritable: Bool {
    get {
      guard let half = core.receiving as Half? ?? core.sending else { return false }
      return (try? half.withTransport { try half.port.isInheritable() }) ?? false
    }
    set {
      let halves = [core.receiving as Half?, core.sending].compactMap { $0 }
      for half in halves { try? half.withTransport { try half.port.setInheritable(newValue) } }
    }
  }

  /// How many descriptors a message may bring: 0 unless it is set. Descriptors beyond that are closed, on a thread
  /// of the library's own, and the message is received without them. Set it before the first message comes: what has
  /// been received ahead came without.
  public var maximumDescriptors: Int {
    get { core.receiving?.port.maximumDescriptors ?? 0 }
    set {
      precondition(newValue >= 0, "a number of descriptors is not negative")
      core.receiving?.port.maximumDescriptors = newValue
    }
  }

  /// Has received messages bring the credentials of their senders, over a Unix socket (SO_PASSCRED).
  ///
  /// - Throws: ``EndpointError`` `transport` with `Errno.notSupported` over anything else; `closed`.
  public func setReceivesCredentials(_ receives: Bool) throws(EndpointError) {
    guard let half = core.receiving else { throw EndpointError(.transport(TransportError(.receive, .notSupported))) }
    do {
      try half.withTransport { try half.port.setReceivesCredentials(receives) }
    } catch let error as TransportError {
      throw EndpointError(.transport(error))
    } catch {
      throw EndpointError(.closed)
    }
  }

  /// Takes the endpoint apart: descriptor and unread bytes go back to the caller, the endpoint is closed
  /// and the descriptor is not.
  ///
  /// - Throws: ``EndpointError`` `busy` when a call is under way or the rest of a message is still owed, and
  ///   `unreadDatagrams` when datagrams have been received ahead that nobody has taken: a receive has the next of
  ///   them at once (nothing has changed then); `closed` when there is nothing left to detach; `transport` over a
  ///   transport of your own.
  public func detach() throws(EndpointError) -> DetachedEndpoint { try core.detach() }
}

/// An endpoint that sends.
public protocol SendingEndpoint: Endpoint {}

extension SendingEndpoint {
  @inlinable
  package var sendHalf: SendHalf {
    guard let half = core.sending else { preconditionFailure("a sending endpoint has a sending half") }
    return half
  }

  /// Waits until everything sent before has been accepted by the kernel: other callers' messages, and
  /// the rest of one that timed out.
  ///
  /// - Throws: ``EndpointError`` `timedOut`, `cancelled`, `closed`, `transport`. Nothing is left behind.
  public func flush(timeout: Duration? = nil) async throws(EndpointError) {
    let deadline = Deadline.after(timeout)
    try await sendHalf.send(SendHalf.Call(Outgoing([]), as: .task, step: .flush, until: deadline))
  }

  /// Half-close: the peer sees the end of the stream behind everything that has been sent so far, the rest
  /// of a half-sent message included. Later sends throw `closed`; receiving goes on. Returns at once.
  ///
  /// On a stream socket this is `shutdown(SHUT_WR)`; on any other descriptor it closes it.
  public func finishSending() {
    _ = sendHalf.start(SendHalf.Call(Outgoing([]), as: .orphan, step: .halfClose, until: .never))
  }

  /// Flushes, then closes, whether or not everything went out in time.
  ///
  /// - Throws: what ``flush(timeout:)`` throws; the endpoint is closed all the same.
  public func close(drainingFor timeout: Duration) async throws(EndpointError) {
    defer { close() }
    try await flush(timeout: timeout)
  }
}

extension Half {
  /// Before an asynchronous call enters: whether the caller's task is cancelled, and so takes nothing.
  /// Busy callers let others run.
  @inlinable @inline(__always)
  func isCancelledAtBegin() async -> Bool {
    if shouldYield() { await Task.yield() }
    return Task.isCancelled
  }
}

extension SendHalf {
  /// An asynchronous call.
  func send(_ call: Call) async throws(EndpointError) {
    if await isCancelledAtBegin() { throw EndpointError(.cancelled) }
    if let error = await finish(start(call)) { throw error }
  }

  /// The end of an asynchronous call.
  @inlinable
  func finish(_ started: Started) async -> EndpointError? {
    switch started {
    case .ended(let error): return error
    case .queued(let place):
      await runTask(place)
      return place.error
    }
  }

  /// The end of a blocking call.
  @usableFromInline
  func finishBlocking(_ started: Started) -> EndpointError? {
    switch started {
    case .ended(let error): return error
    case .queued(let place):
      runThread(place)
      return place.error
    }
  }
}

extension ReceiveHalf {
  /// Begins a call the long way.
  ///
  /// - Parameter front: how far the short way has come.
  @usableFromInline
  func start(_ request: ReceiveRequest, as kind: Place.Kind, timeout: Duration?, after front: Front)
    -> Started
  {
    start(request, as: kind, until: .after(timeout), after: front)
  }

  /// What a call throws whose task was cancelled before.
  @usableFromInline
  var cancelled: EndpointError {
    EndpointError(.cancelled, byteCount: heldBytes.load(ordering: .relaxed))
  }

  /// An asynchronous call, the long way alone.
  func receive(_ request: ReceiveRequest, timeout: Duration?) async -> Outcome {
    if await isCancelledAtBegin() { return .failed(cancelled) }
    switch start(request, as: .task, timeout: timeout, after: .unseen) {
    case .ended(let outcome): return outcome
    case .queued(let place):
      await runTask(place)
      return outcome(of: place)
    }
  }

  /// A blocking call, the long way from where the short way has come.
  @usableFromInline
  func receiveBlocking(_ request: ReceiveRequest, timeout: Duration?, after front: Front = .unseen) -> Outcome
  {
    switch start(request, as: .thread, timeout: timeout, after: front) {
    case .ended(let outcome): return outcome
    case .queued(let place):
      runThread(place)
      return outcome(of: place)
    }
  }
}
