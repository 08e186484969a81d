internal import SWFraming
public import SWIO
public import SystemPackage

/// A raw endpoint that sends. `send` returns when the kernel has accepted every byte.
///
/// Every call takes a timeout, a deadline, or both; the earlier one counts. Calls that share a deadline end together.
public protocol ByteSending: SendingEndpoint {}

extension ByteSending {
  /// Sends bytes: an array, a slice, `Data`, a buffer. Contiguous ones are not copied unless the call
  /// has to wait.
  ///
  /// - Parameters:
  ///   - bytes: what to send.
  ///   - timeout: how long to wait; zero sends what the transport takes at once; nil waits without limit.
  ///   - deadline: until when to wait. With a timeout, the earlier one counts.
  /// - Returns: how many bytes were sent: all.
  /// - Throws: ``EndpointError``; after a timeout or cancellation `isCommitted` says whether the
  ///   endpoint goes on sending the rest, because some bytes had gone out already.
  @inlinable
  @discardableResult
  public func send<Bytes: Collection<UInt8>>(
    _ bytes: Bytes, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> Int {
    let limit = CallLimit(timeout, deadline)
    try await sendHalf.run { half in
      unsafe bytes.withBytes { unsafe half.start($0, $1, as: .task, limit) }
    }
    return bytes.count
  }

  /// Sends the UTF-8 bytes of a string.
  @inlinable
  @discardableResult
  public func send(
    _ text: String, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> Int {
    try await send(text.utf8, timeout: timeout, until: deadline)
  }

  /// Sends the bytes of a span.
  @inlinable
  @discardableResult
  public func send(
    _ bytes: Span<UInt8>, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> Int {
    try await send(unsafe bytes.bytes, timeout: timeout, until: deadline)
  }

  /// Sends the bytes of a raw span.
  @inlinable
  @discardableResult
  public func send(
    _ bytes: RawSpan, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> Int {
    let limit = CallLimit(timeout, deadline)
    try await sendHalf.run { half in
      unsafe bytes.withUnsafeBytes { unsafe half.start($0, nil, as: .task, limit) }
    }
    return bytes.byteCount
  }

  /// Sends bytes with descriptors, which the peer receives with
  /// ``ByteReceiving/receiveBytes(timeout:until:)``. Over a Unix socket only.
  ///
  /// They go out in a system call of their own, with the first byte or with the datagram. They are duplicated
  /// for the peer, and stay the caller's, to be kept open until this call returns.
  ///
  /// - Parameters:
  ///   - bytes: at least one, unless it is a datagram.
  ///   - descriptors: at most 253.
  /// - Throws: as `send(_:timeout:until:)`; `transport` with `Errno.notSupported` if the transport passes none.
  public func send(
    _ bytes: [UInt8], passing descriptors: [FileDescriptor], timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) async throws(EndpointError) {
    let limit = CallLimit(timeout, deadline)
    try await sendHalf.run { $0.start(bytes, OutgoingAncillary(descriptors: descriptors), as: .task, limit) }
  }

  /// Sends one datagram to an address, over a datagram socket that is not connected.
  ///
  /// - Throws: as `send(_:timeout:until:)`; an error about this datagram ends nothing.
  public func send(
    _ datagram: [UInt8], to address: SocketAddress, timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) async throws(EndpointError) {
    let limit = CallLimit(timeout, deadline)
    do throws(EndpointError) {
      try await sendHalf.run { $0.start(datagram, OutgoingAncillary(address: address), as: .task, limit) }
    } catch {
      throw error.about(.address(address))
    }
  }
}

// MARK: - Blocking

extension Blocking where E: ByteSending {
  /// Blocking form of `send`; the bytes are never copied, unless a timeout leaves a rest to be sent.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  @discardableResult
  public func send<Bytes: Collection<UInt8>>(
    _ bytes: Bytes, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> Int {
    let half = endpoint.sendHalf
    let error = unsafe bytes.withBytes {
      half.finishBlocking(unsafe half.start($0, $1, as: .thread, CallLimit(timeout, deadline)))
    }
    if let error { throw error }
    return bytes.count
  }

  /// Blocking form of `send`, for strings.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  @discardableResult
  public func send(
    _ text: String, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> Int {
    try send(text.utf8, timeout: timeout, until: deadline)
  }

  /// Blocking form of `send`, for spans.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  @discardableResult
  public func send(
    _ bytes: Span<UInt8>, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> Int {
    try send(unsafe bytes.bytes, timeout: timeout, until: deadline)
  }

  /// Blocking form of `send`, for raw spans.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  @inlinable
  @discardableResult
  public func send(
    _ bytes: RawSpan, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> Int {
    let half = endpoint.sendHalf
    let error = unsafe bytes.withUnsafeBytes {
      half.finishBlocking(unsafe half.start($0, nil, as: .thread, CallLimit(timeout, deadline)))
    }
    if let error { throw error }
    return bytes.byteCount
  }

  /// Blocking form of ``ByteSending/send(_:passing:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func send(
    _ bytes: [UInt8], passing descriptors: [FileDescriptor], timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) throws(EndpointError) {
    try send(bytes, OutgoingAncillary(descriptors: descriptors), CallLimit(timeout, deadline))
  }

  /// Blocking form of ``ByteSending/send(_:to:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func send(
    _ datagram: [UInt8], to address: SocketAddress, timeout: Duration? = nil,
    until deadline: Deadline = .never
  ) throws(EndpointError) {
    do throws(EndpointError) {
      try send(datagram, OutgoingAncillary(address: address), CallLimit(timeout, deadline))
    } catch {
      throw error.about(.address(address))
    }
  }

  private func send(
    _ bytes: [UInt8], _ ancillary: OutgoingAncillary, _ limit: CallLimit
  ) throws(EndpointError) {
    let half = endpoint.sendHalf
    let started = half.start(bytes, ancillary, as: .thread, limit)
    if let error = half.finishBlocking(started) { throw error }
  }
}

// MARK: - How a send begins

extension SendHalf {
  /// Begins to send bytes with ancillary data.
  func start(
    _ bytes: [UInt8], _ ancillary: OutgoingAncillary, as kind: Place.Kind, _ limit: CallLimit
  ) -> Started {
    start(Outgoing(bytes), ancillary, as: kind, limit)
  }

  /// Begins to send an `Outgoing` with ancillary data.
  func start(
    _ outgoing: Outgoing, _ ancillary: OutgoingAncillary, as kind: Place.Kind, _ limit: CallLimit,
    _ progress: (@Sendable (Int, Int) -> Void)? = nil
  ) -> Started {
    precondition(outgoing.byteCount > 0 || carriesDatagrams, "on a stream descriptors travel with a byte")
    precondition(ancillary.descriptors.count <= 253, "the kernel passes 253 descriptors at once")
    var call = Call(outgoing, as: kind, until: limit.deadline, progress: progress)
    call.ancillary = ancillary
    return start(call)
  }

  /// Begins to send plain bytes.
  @usableFromInline
  func start(
    _ bytes: UnsafeRawBufferPointer, _ array: [UInt8]?, as kind: Place.Kind, _ limit: CallLimit
  ) -> Started {
    unsafe start(FrameEnvelope(), bytes, array, as: kind, limit, progress: nil)
  }
}

extension Collection<UInt8> {
  /// Lends the bytes where they are if they are contiguous, and a copy otherwise. The second argument is the array itself,
  /// if the bytes are one.
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
