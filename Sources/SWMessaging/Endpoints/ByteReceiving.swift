internal import SWFraming
public import SWIO

/// A raw endpoint that receives. All calls are safe from any thread and task at the same time. A call that times out or
/// is cancelled takes nothing: the bytes stay for the next call.
///
/// Every call takes a timeout, a deadline, or both; the earlier one counts. Calls that share a deadline end together.
public protocol ByteReceiving: ReceivingEndpoint {
  /// The direction that receives. Opaque.
  var receivingSide: ByteReceivingSide { get }
}

/// The receiving direction of a raw endpoint. Opaque: only endpoints that receive have one.
public struct ByteReceivingSide: Sendable {
  let half: ReceiveHalf

  init(_ core: EndpointCore) {
    guard let half = core.receiving else { preconditionFailure("a receiving endpoint has a receiving half") }
    self.half = half
  }
}

extension ByteReceiving {
  var receiveHalf: ReceiveHalf { receivingSide.half }

  /// The largest number of bytes that `receive()` returns.
  public static var largestChunk: Int { 65_536 }

  /// Receives exactly `byteCount` bytes. 0 returns at once.
  ///
  /// A datagram must have exactly this size. Otherwise the call throws `codec`, and the error has the datagram's bytes.
  ///
  /// - Parameters:
  ///   - byteCount: the number of bytes; not negative.
  ///   - timeout: the longest time to wait. Zero makes one attempt, after the calls that are queued ahead. Nil waits
  ///     without limit.
  ///   - deadline: the instant to wait for at the latest. With a timeout, the earlier one counts.
  /// - Throws: ``EndpointError`` `endOfStream` if the stream ended before the first byte, `truncated` if it ended before
  ///   the last (the bytes stay, for `receive(upTo:)`), `timedOut`, `cancelled`, `closed`, `transport`.
  public func receive(
    exactly byteCount: Int, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> [UInt8] {
    if isNothing(byteCount) { return [] }
    let outcome = await receiveHalf.receive(.exactly(byteCount), CallLimit(timeout, deadline))
    return try receiveHalf.bytes(of: outcome, exactly: byteCount)
  }

  /// Receives the bytes that are there: at least one and at most `byteCount`. It takes at most `byteCount` bytes of a
  /// datagram and drops the rest.
  ///
  /// - Throws: as ``receive(exactly:timeout:until:)``; `endOfStream` at the end.
  public func receive(
    upTo byteCount: Int, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> [UInt8] {
    if isNothing(byteCount) { return [] }
    return try receiveHalf.bytes(
      of: await receiveHalf.receive(.upTo(byteCount), CallLimit(timeout, deadline)))
  }

  /// Receives the bytes that are there, at most ``largestChunk``. On a datagram or seqpacket socket it receives one whole
  /// datagram of any size, which may be empty.
  ///
  /// - Throws: as ``receive(exactly:timeout:until:)``; `endOfStream` at the end.
  public func receive(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> [UInt8] {
    try await receive(upTo: receiveHalf.largestChunk, timeout: timeout, until: deadline)
  }

  /// Receives like ``receive(timeout:until:)``, and returns the control data, too: descriptors (see
  /// ``ReceivingEndpoint/maximumDescriptors``), the sender's address and credentials.
  ///
  /// On a stream the descriptors came with the last of the bytes. The kernel may have put earlier bytes in front of
  /// them. Other calls of this endpoint close the descriptors that come with their bytes.
  ///
  /// - Throws: ``EndpointError`` as ``receive(timeout:until:)``.
  public func receiveBytes(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> ReceivedBytes {
    let half = receiveHalf
    let request = ReceiveRequest.upTo(half.largestChunk, accompanied: true)
    return try half.accompanied(await half.receive(request, CallLimit(timeout, deadline)))
  }

  /// Receives at most `byteCount` bytes with their control data. Otherwise like ``receiveBytes(timeout:until:)``. It takes
  /// at most `byteCount` bytes of a datagram and drops the rest.
  ///
  /// - Parameter byteCount: the largest number of bytes; at least 1.
  /// - Throws: ``EndpointError`` as ``receive(timeout:until:)``.
  public func receiveBytes(
    upTo byteCount: Int, timeout: Duration? = nil, until deadline: Deadline = .never
  ) async throws(EndpointError) -> ReceivedBytes {
    precondition(byteCount > 0, "a receive asks for at least one byte")
    let half = receiveHalf
    let request = ReceiveRequest.upTo(byteCount, accompanied: true)
    return try half.accompanied(await half.receive(request, CallLimit(timeout, deadline)))
  }
}

extension Blocking where E: ByteReceiving {
  /// Blocking form of ``ByteReceiving/receive(exactly:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func receive(
    exactly byteCount: Int, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> [UInt8] {
    if isNothing(byteCount) { return [] }
    let half = endpoint.receiveHalf
    return try half.bytes(
      of: half.receiveBlocking(.exactly(byteCount), CallLimit(timeout, deadline)), exactly: byteCount)
  }

  /// Blocking form of ``ByteReceiving/receive(upTo:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func receive(
    upTo byteCount: Int, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> [UInt8] {
    if isNothing(byteCount) { return [] }
    let half = endpoint.receiveHalf
    return try half.bytes(of: half.receiveBlocking(.upTo(byteCount), CallLimit(timeout, deadline)))
  }

  /// Blocking form of ``ByteReceiving/receive(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func receive(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> [UInt8] {
    try receive(upTo: endpoint.receiveHalf.largestChunk, timeout: timeout, until: deadline)
  }

  /// Blocking form of ``ByteReceiving/receiveBytes(timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func receiveBytes(
    timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> ReceivedBytes {
    let half = endpoint.receiveHalf
    let request = ReceiveRequest.upTo(half.largestChunk, accompanied: true)
    return try half.accompanied(half.receiveBlocking(request, CallLimit(timeout, deadline)))
  }

  /// Blocking form of ``ByteReceiving/receiveBytes(upTo:timeout:until:)``.
  @available(*, noasync, message: "blocking calls would block the pool: use the async call of the same name")
  public func receiveBytes(
    upTo byteCount: Int, timeout: Duration? = nil, until deadline: Deadline = .never
  ) throws(EndpointError) -> ReceivedBytes {
    precondition(byteCount > 0, "a receive asks for at least one byte")
    let half = endpoint.receiveHalf
    let request = ReceiveRequest.upTo(byteCount, accompanied: true)
    return try half.accompanied(half.receiveBlocking(request, CallLimit(timeout, deadline)))
  }
}

/// Whether a receive has nothing to wait for.
private func isNothing(_ byteCount: Int) -> Bool {
  precondition(byteCount >= 0, "a byte count is not negative")
  return byteCount == 0
}

extension ReceiveHalf {
  /// The limit of a receive without a size. For a datagram there is none.
  var largestChunk: Int { carriesDatagrams ? .max : SocketReader.largestChunk }

  /// Returns the bytes if their number is right. A datagram may be of another size.
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

  /// Returns the bytes with their ancillary data.
  func accompanied(_ outcome: Outcome) throws(EndpointError) -> ReceivedBytes {
    // The ancillary data is taken first, because taking the bytes ends the loan.
    let ancillary = ancillary(of: outcome)
    return ReceivedBytes(try bytes(of: outcome), ancillary)
  }

  /// The ancillary data of a request that asked for it.
  func ancillary(of outcome: Outcome) -> Ancillary? {
    switch outcome {
    case .lent(let demand): unsafe turn.takeAncillary(of: demand)
    case .delivered(let delivery): delivery.ancillary
    case .failed: nil
    }
  }

  /// The bytes of a raw request.
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
