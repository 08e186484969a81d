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
  /// - Throws: ``EndpointError`` `endOfStream` when the stream ended before the first of them,
  ///   `truncated` when it ended before the last (they stay, for `receive(upTo:)`), `timedOut`,
  ///   `cancelled`, `closed`, `transport`.
  public func receive(exactly byteCount: Int, timeout: Duration? = nil) async throws(EndpointError) -> [UInt8]
  {
    precondition(byteCount >= 0, "a byte count is not negative")
    if byteCount == 0 { return [] }
    return try receiveHalf.bytes(of: await receiveHalf.receive(.exactly(byteCount), timeout: timeout))
  }

  /// Receives what is there: at least one byte, at most so many.
  ///
  /// - Throws: as ``receive(exactly:timeout:)``; `endOfStream` at the end.
  public func receive(upTo byteCount: Int, timeout: Duration? = nil) async throws(EndpointError) -> [UInt8] {
    precondition(byteCount >= 0, "a byte count is not negative")
    if byteCount == 0 { return [] }
    return try receiveHalf.bytes(of: await receiveHalf.receive(.upTo(byteCount), timeout: timeout))
  }

  /// Receives the first available chunk, ``largestChunk`` bytes at most.
  public func receive(timeout: Duration? = nil) async throws(EndpointError) -> [UInt8] {
    try await receive(upTo: Self.largestChunk, timeout: timeout)
  }
}

extension Blocking where E: ByteReceiving {
  /// Blocking form of ``ByteReceiving/receive(exactly:timeout:)``.
  public func receive(exactly byteCount: Int, timeout: Duration? = nil) throws(EndpointError) -> [UInt8] {
    precondition(byteCount >= 0, "a byte count is not negative")
    if byteCount == 0 { return [] }
    let half = endpoint.receiveHalf
    return try half.bytes(of: half.receiveBlocking(.exactly(byteCount), timeout: timeout))
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
    try receive(upTo: E.largestChunk, timeout: timeout)
  }
}

extension ReceiveHalf {
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

extension Blocking where E: ByteSending {
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
