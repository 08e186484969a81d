internal import SWFraming
public import SWIO
public import SystemPackage

/// A raw endpoint: it moves bytes and knows no messages.
public protocol RawEndpoint: Endpoint {
  /// The directions it needs its descriptor for.
  static var directions: Readiness { get }
  init(core: EndpointCore)
}

extension RawEndpoint {
  /// Takes over a descriptor, which is closed with the endpoint. Its flags are left alone: it may be
  /// shared with other processes, blocking or not.
  ///
  /// - Parameters:
  ///   - number: an open descriptor, readable or writable as needed. Adopt a number once.
  ///   - unread: bytes that come before whatever the descriptor gives: what `detach` handed back.
  /// - Throws: ``EndpointError`` `transport` when it is not open, or not for the direction; it is then
  ///   still the caller's.
  public init(adopting number: Int32, unread: [UInt8] = []) throws(EndpointError) {
    self.init(core: try EndpointCore(adopting: number, unread: unread, for: Self.directions))
  }

  /// Takes over a descriptor; see `init(adopting:unread:)`.
  public init(adopting descriptor: FileDescriptor, unread: [UInt8] = []) throws(EndpointError) {
    try self.init(adopting: descriptor.rawValue, unread: unread)
  }

  /// Takes over a descriptor, which is closed even when this throws.
  public init(adopting descriptor: consuming OwnedDescriptor, unread: [UInt8] = []) throws(EndpointError) {
    self.init(core: try EndpointCore.adopting(descriptor, unread: unread, for: Self.directions))
  }

  /// Duplicates a descriptor, which stays its owner's.
  public init(duplicating descriptor: FileDescriptor) throws(EndpointError) {
    self.init(core: try EndpointCore.duplicating(descriptor, for: Self.directions))
  }

  /// Takes over a transport of your own, which is closed with the endpoint.
  public init(transport: some SocketLike) {
    self.init(core: EndpointCore(transport, for: Self.directions))
  }
}

extension EndpointCore {
  static func adopting(
    _ descriptor: consuming OwnedDescriptor, unread: [UInt8], for directions: Readiness
  ) throws(EndpointError) -> EndpointCore {
    let number = descriptor.withDescriptor { $0.rawValue }
    let core = try EndpointCore(adopting: number, unread: unread, for: directions)
    _ = descriptor.release()
    return core
  }

  static func duplicating(
    _ descriptor: FileDescriptor, for directions: Readiness
  ) throws(EndpointError) -> EndpointCore {
    let copy: OwnedDescriptor
    do throws(TransportError) {
      copy = try OwnedDescriptor(duplicating: descriptor)
    } catch {
      throw EndpointError(.transport(error))
    }
    return try adopting(copy, unread: [], for: directions)
  }

  /// A duplex over two descriptors.
  static func adopting(
    reading: FileDescriptor, writing: FileDescriptor, unread: [UInt8]
  ) throws(EndpointError) -> EndpointCore {
    // One number is one descriptor: two ports would close it twice, the second time under a stranger.
    if reading == writing {
      return try EndpointCore(adopting: reading.rawValue, unread: unread, for: [.readable, .writable])
    }
    do throws(TransportError) {
      let receiving = ReceiveHalf(
        try Port(reading.rawValue, for: .readable, reactor: Reactor.shared), unread: unread)
      do throws(TransportError) {
        let sending = SendHalf(try Port(writing.rawValue, for: .writable, reactor: Reactor.shared))
        return EndpointCore(receiving: receiving, sending: sending)
      } catch {
        // Both stay the caller's.
        if Half.retire(receiving, nil) == nil { _ = receiving.port.detach() }
        throw error
      }
    } catch {
      throw EndpointError(.transport(error))
    }
  }
}

/// A raw endpoint that receives. All calls are safe from any thread and task at once; one that times
/// out or is cancelled takes nothing: its bytes stay for the next.
public protocol ByteReceiving: Endpoint {}

extension ByteReceiving {
  var receiveHalf: ReceiveHalf {
    guard let half = core.receiving else { preconditionFailure("a receiving endpoint has a receiving half") }
    return half
  }

  /// How much `receive()` returns at most.
  public static var largestChunk: Int { 65_536 }

  /// Receives just so many bytes; zero are there at once.
  ///
  /// A datagram must have just so many; the error `codec` has the bytes of one that has not.
  ///
  /// - Throws: ``EndpointError`` `endOfStream` when the stream ended before the first of them,
  ///   `truncated` when it ended before the last (they stay, for `receive(upTo:)`), `timedOut`,
  ///   `cancelled`, `closed`, `transport`.
  public func receive(exactly byteCount: Int, timeout: Duration? = nil) async throws(EndpointError) -> [UInt8]
  {
    precondition(byteCount >= 0, "a byte count is not negative")
    if byteCount == 0 { return [] }
    let half = receiveHalf
    return try half.bytes(of: await half.receive(.exactly(byteCount), timeout: timeout), exactly: byteCount)
  }

  /// Receives what is there: at least one byte, at most so many. Of a datagram this takes so many bytes, and
  /// drops the rest.
  ///
  /// - Throws: as ``receive(exactly:timeout:)``; `endOfStream` at the end.
  public func receive(upTo byteCount: Int, timeout: Duration? = nil) async throws(EndpointError) -> [UInt8] {
    precondition(byteCount >= 0, "a byte count is not negative")
    if byteCount == 0 { return [] }
    return try receiveHalf.bytes(of: await receiveHalf.receive(.upTo(byteCount), timeout: timeout))
  }

  /// Receives the first available chunk, ``largestChunk`` bytes at most; over a datagram or a seqpacket socket one
  /// whole datagram, whatever its size, which may be empty.
  public func receive(timeout: Duration? = nil) async throws(EndpointError) -> [UInt8] {
    try await receive(upTo: receiveHalf.largestChunk, timeout: timeout)
  }

  /// Receives the first available chunk or one whole datagram, as ``receive(timeout:)`` does, with what came beside
  /// it: descriptors, and the sender's address.
  ///
  /// On a stream the descriptors came with the last of the bytes; the kernel may have put bytes in front that
  /// were sent before. Other calls of this endpoint drop descriptors that come with the bytes that they take.
  ///
  /// - Throws: ``EndpointError`` as ``receive(exactly:timeout:)``.
  public func receiveAccompanied(
    timeout: Duration? = nil
  ) async throws(EndpointError) -> (bytes: [UInt8], ancillary: Ancillary?) {
    let half = receiveHalf
    return try half.accompanied(
      await half.receive(.upTo(half.largestChunk, accompanied: true), timeout: timeout))
  }
}

extension Blocking where E: ByteReceiving {
  /// Blocking form of ``ByteReceiving/receive(exactly:timeout:)``.
  public func receive(exactly byteCount: Int, timeout: Duration? = nil) throws(EndpointError) -> [UInt8] {
    precondition(byteCount >= 0, "a byte count is not negative")
    if byteCount == 0 { return [] }
    let half = endpoint.receiveHalf
    return try half.bytes(of: half.receiveBlocking(.exactly(byteCount), timeout: timeout), exactly: byteCount)
  }

  /// Blocking form of ``ByteReceiving/receive(upTo:timeout:)``.
  public func receive(upTo byteCount: Int, timeout: Duration? = nil) throws(EndpointError) -> [UInt8] {
    precondition(byteCount >= 0, "a byte count is not negative")
    if byteCount == 0 { return [] }
    let half = endpoint.receiveHalf
    return try half.bytes(of: half.receiveBlocking(.upTo(byteCount), timeout: timeout))
  }

  /// Blocking form of ``ByteReceiving/receive(timeout:)``.
  public func receive(timeout: Duration? = nil) throws(EndpointError) -> [UInt8] {
    try receive(upTo: endpoint.receiveHalf.largestChunk, timeout: timeout)
  }

  /// Blocking form of ``ByteReceiving/receiveAccompanied(timeout:)``.
  public func receiveAccompanied(
    timeout: Duration? = nil
  ) throws(EndpointError) -> (bytes: [UInt8], ancillary: Ancillary?) {
    let half = endpoint.receiveHalf
    return try half.accompanied(
      half.receiveBlocking(.upTo(half.largestChunk, accompanied: true), timeout: timeout))
  }
}

extension ReceiveHalf {
  /// How much an unsized receive asks for: of a datagram, all.
  var largestChunk: Int { carriesDatagrams ? .max : SocketReader.largestChunk }

  /// The bytes, if they are so many: a datagram may be of another size.
  func bytes(of outcome: Outcome, exactly byteCount: Int) throws(EndpointError) -> [UInt8] {
    let bytes = try bytes(of: outcome)
    if bytes.count != byteCount {
      let misfit = FramingError(
        .misfit, offset: min(bytes.count, byteCount),
        explanation: "expected a datagram of \(byteCount) bytes; found \(bytes.count)")
      throw EndpointError(.codec(misfit), partialBytes: bytes)
    }
    return bytes
  }

  /// The bytes, and what came beside them.
  func accompanied(_ outcome: Outcome) throws(EndpointError) -> (bytes: [UInt8], ancillary: Ancillary?) {
    switch outcome {
    case .lent(let demand):
      let ancillary = unsafe turn.takeAncillary(of: demand)
      let bytes = unsafe turn.takePayload(of: demand)
      finishLoan(demand)
      return (bytes, ancillary)
    case .delivered(let delivery): return (delivery.bytes, delivery.ancillary)
    case .failed(let error): throw error
    }
  }

  /// The bytes that a raw request was for.
  func bytes(of outcome: Outcome) throws(EndpointError) -> [UInt8] {
    switch outcome {
    case .lent(let demand):
      let bytes = unsafe turn.takePayload(of: demand)
      finishLoan(demand)
      return bytes
    case .delivered(let delivery): return delivery.bytes
    case .failed(let error): throw error
    }
  }
}

/// A raw endpoint that sends. `send` returns when the kernel has accepted every byte.
public protocol ByteSending: SendingEndpoint {}

extension ByteSending {
  /// Sends bytes: an array, a slice, `Data`, a buffer. Contiguous ones are not copied unless the call
  /// has to wait.
  ///
  /// - Returns: how many bytes were sent: all.
  /// - Throws: ``EndpointError``; after a time-out or cancellation `isCommitted` says whether the
  ///   endpoint goes on sending the rest, because some bytes had gone out already.
  @inlinable
  @discardableResult
  public func send<Bytes: Collection<UInt8>>(
    _ bytes: Bytes, timeout: Duration? = nil
  ) async throws(EndpointError) -> Int {
    let half = sendHalf
    if await half.isCancelledAtBegin() { throw EndpointError(.cancelled) }
    let count = bytes.count
    let started = unsafe bytes.withBytes { bytes, array in
      unsafe half.start(bytes, array, as: .task, timeout: timeout)
    }
    if let error = await half.finish(started) { throw error }
    return count
  }

  /// Sends the UTF-8 bytes of a string.
  @inlinable
  @discardableResult
  public func send(_ text: String, timeout: Duration? = nil) async throws(EndpointError) -> Int {
    try await send(text.utf8, timeout: timeout)
  }

  /// Sends the bytes of a span.
  @inlinable
  @discardableResult
  public func send(_ bytes: Span<UInt8>, timeout: Duration? = nil) async throws(EndpointError) -> Int {
    let half = sendHalf
    if await half.isCancelledAtBegin() { throw EndpointError(.cancelled) }
    let count = bytes.count
    let started = unsafe bytes.withUnsafeBytes { unsafe half.start($0, nil, as: .task, timeout: timeout) }
    if let error = await half.finish(started) { throw error }
    return count
  }
}

extension ByteSending {
  /// Sends bytes with descriptors, which the peer receives with
  /// ``ByteReceiving/receiveAccompanied(timeout:)``. Over a Unix socket only.
  ///
  /// They go out in a system call of their own, with the first byte or with the datagram. They are duplicated
  /// for the peer, and stay the caller's, to be kept open until this call returns.
  ///
  /// - Parameters:
  ///   - bytes: at least one, unless it is a datagram.
  ///   - descriptors: at most 253.
  /// - Throws: as `send(_:timeout:)`; `transport` with `Errno.notSupported` where the transport passes none.
  public func send(
    _ bytes: [UInt8], passing descriptors: [FileDescriptor], timeout: Duration? = nil
  ) async throws(EndpointError) {
    try await sendHalf.send(sendHalf.call(bytes, OutgoingAncillary(descriptors: descriptors), .task, timeout))
  }

  /// Sends one datagram to an address, over a datagram socket that is not connected.
  ///
  /// - Throws: as `send(_:timeout:)`; an error about this datagram ends nothing.
  public func send(
    _ datagram: [UInt8], to address: SocketAddress, timeout: Duration? = nil
  ) async throws(EndpointError) {
    try await sendHalf.send(sendHalf.call(datagram, OutgoingAncillary(address: address), .task, timeout))
  }
}

extension Blocking where E: ByteSending {
  /// Blocking form of ``ByteSending/send(_:passing:timeout:)``.
  public func send(
    _ bytes: [UInt8], passing descriptors: [FileDescriptor], timeout: Duration? = nil
  ) throws(EndpointError) {
    let half = endpoint.sendHalf
    let call = half.call(bytes, OutgoingAncillary(descriptors: descriptors), .thread, timeout)
    if let error = half.finishBlocking(half.start(call)) { throw error }
  }

  /// Blocking form of ``ByteSending/send(_:to:timeout:)``.
  public func send(
    _ datagram: [UInt8], to address: SocketAddress, timeout: Duration? = nil
  ) throws(EndpointError) {
    let half = endpoint.sendHalf
    let call = half.call(datagram, OutgoingAncillary(address: address), .thread, timeout)
    if let error = half.finishBlocking(half.start(call)) { throw error }
  }

  /// Blocking form of `send`; the bytes are never copied, unless a time-out leaves a rest to be sent.
  @inlinable
  @discardableResult
  public func send<Bytes: Collection<UInt8>>(
    _ bytes: Bytes, timeout: Duration? = nil
  ) throws(EndpointError) -> Int {
    let half = endpoint.sendHalf
    let count = bytes.count
    let error = unsafe bytes.withBytes { bytes, array in
      half.finishBlocking(unsafe half.start(bytes, array, as: .thread, timeout: timeout))
    }
    if let error { throw error }
    return count
  }

  /// Blocking form of `send`, for strings.
  @inlinable
  @discardableResult
  public func send(_ text: String, timeout: Duration? = nil) throws(EndpointError) -> Int {
    try send(text.utf8, timeout: timeout)
  }

  /// Blocking form of `send`, for spans.
  @inlinable
  @discardableResult
  public func send(_ bytes: Span<UInt8>, timeout: Duration? = nil) throws(EndpointError) -> Int {
    let half = endpoint.sendHalf
    let error = unsafe bytes.withUnsafeBytes {
      half.finishBlocking(unsafe half.start($0, nil, as: .thread, timeout: timeout))
    }
    if let error { throw error }
    return bytes.count
  }
}

extension SendHalf {
  /// A call that sends more than bytes.
  func call(
    _ bytes: [UInt8], _ ancillary: OutgoingAncillary, _ kind: Place.Kind, _ timeout: Duration?
  ) -> Call {
    precondition(!bytes.isEmpty || carriesDatagrams, "on a stream descriptors travel with a byte")
    precondition(ancillary.descriptors.count <= 253, "the kernel passes 253 descriptors at once")
    var call = Call(Outgoing(bytes), as: kind, until: .after(timeout))
    call.ancillary = ancillary
    return call
  }

  /// Begins to send bytes with nothing around them.
  @usableFromInline
  func start(
    _ bytes: UnsafeRawBufferPointer, _ array: [UInt8]?, as kind: Place.Kind, timeout: Duration?
  ) -> Started {
    unsafe start(FrameEnvelope(), bytes, array, as: kind, timeout: timeout, progress: nil)
  }
}

extension Collection<UInt8> {
  /// Lends the bytes where they are, if they are in one piece, else a copy; and the array that they are,
  /// if they are one.
  @inlinable
  func withBytes<Result>(_ body: (UnsafeRawBufferPointer, [UInt8]?) -> Result) -> Result {
    if let array = self as? [UInt8] {
      return unsafe array.withUnsafeBytes { unsafe body($0, array) }
    }
    if let result = withContiguousStorageIfAvailable({ unsafe body(UnsafeRawBufferPointer($0), nil) }) {
      return result
    }
    let copy = Array(self)
    return unsafe copy.withUnsafeBytes { unsafe body($0, copy) }
  }
}

/// Receives raw bytes from a pipe or a socket.
public final class SocketReader: RawEndpoint, ByteReceiving {
  public static var directions: Readiness { .readable }
  public let core: EndpointCore
  public init(core: EndpointCore) { self.core = core }
}

/// Sends raw bytes to a pipe or a socket.
public final class SocketWriter: RawEndpoint, ByteSending {
  public static var directions: Readiness { .writable }
  public let core: EndpointCore
  public init(core: EndpointCore) { self.core = core }
}

/// Receives and sends raw bytes; both directions are independent of each other.
public final class SocketDuplex: RawEndpoint, ByteReceiving, ByteSending {
  public static var directions: Readiness { [.readable, .writable] }
  public let core: EndpointCore
  public init(core: EndpointCore) { self.core = core }

  /// Takes over two descriptors, such as standard input and output. When it throws, both are still the
  /// caller's.
  public convenience init(
    reading: FileDescriptor, writing: FileDescriptor, unread: [UInt8] = []
  ) throws(EndpointError) {
    self.init(core: try EndpointCore.adopting(reading: reading, writing: writing, unread: unread))
  }
}
