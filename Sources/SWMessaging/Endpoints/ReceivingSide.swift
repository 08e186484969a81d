public import SWFraming
internal import SWIO

/// The receiving direction of a message endpoint. Opaque: only endpoints that receive have one.
public struct ReceivingSide<F: Framing>: Sendable {
  @usableFromInline let half: ReceiveHalf
  @usableFromInline let source: TypedSource<F>

  init(_ core: EndpointCore, _ framing: F, _ mode: ReceiveMode, _ maximumFrameSize: Int) {
    half = ByteReceivingSide(core).half
    source = TypedSource(framing, readsAhead: mode == .readAhead, maximumFrameSize: maximumFrameSize)
  }

  @usableFromInline
  package var request: ReceiveRequest { .message(source) }

  /// The same request, with ancillary data.
  var accompaniedRequest: ReceiveRequest { .message(source, accompanied: true) }

  /// The message of a frame that was lent or handed over, with its ancillary data.
  func accompanied(_ outcome: ReceiveHalf.Outcome) throws(EndpointError) -> ReceivedMessage<F.Incoming> {
    // The ancillary data is taken first, because taking the message ends the loan.
    let ancillary = half.ancillary(of: outcome)
    return ReceivedMessage(try message(outcome), ancillary)
  }

  /// The message of a frame that was lent or handed over.
  @usableFromInline
  package func message(_ outcome: ReceiveHalf.Outcome) throws(EndpointError) -> F.Incoming {
    if half.carriesDatagrams { return try message(datagram: half.bytes(of: outcome)) }
    switch outcome {
    case .lent(let demand):
      let message = try lentMessage(demand)
      half.finishLoan(demand)
      return message
    case .delivered(let delivery):
      do {
        return try source.decode(delivery)
      } catch {
        // Every error of the framing becomes `codec`, even an end of stream that the framing throws, which is not the end of
        // this stream.
        throw EndpointError(.codec(error))
      }
    case .failed(let error): throw error
    }
  }

  /// The message of a lent frame, which stays lent. If the message cannot be decoded, the loan ends.
  @usableFromInline
  func lentMessage(_ demand: FrameDemand) throws(EndpointError) -> F.Incoming {
    if source.deliversPayload {
      return TypedSource<F>.message(payload: unsafe half.turn.takePayload(of: demand))
    }
    do {
      return unsafe try half.turn.withFrame(demand) { frame in
        try source.decode(frame, payload: demand.payload ?? 0..<0)
      }
    } catch {
      half.finishLoan(demand)
      throw EndpointError(.codec(error))
    }
  }

  /// The message of a datagram, which its frame must fill exactly. If it does not, the datagram is consumed, and the next
  /// one is unaffected.
  func message(datagram: [UInt8]) throws(EndpointError) -> F.Incoming {
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
      half.goAway()
      return unsafe try half.turn.withPayload(of: demand, body)
    case .delivered(let delivery): return try body(delivery.bytes.span)
    case .failed(let error): throw error
    }
  }
}

// MARK: The short way

// If no other caller uses the half and the buffer holds the message, the call ends right here, in code that is compiled for
// the caller's framing. Every other call takes the long way through `ReceiveHalf.start`.

extension ReceivingSide {
  /// Returns the frame at the front if it is complete. Returns nil if only the long way can tell.
  @inlinable @inline(__always)
  func frame(in unread: UnsafeRawBufferPointer, _ scanner: inout F.Scanner) -> FrameDemand? {
    if unsafe unread.isEmpty { return nil }
    guard let demand = try? scanner.demand(in: unsafe Span(_unsafeBytes: unread)), demand.isFinal,
      demand.byteCount <= unread.count, demand.byteCount <= source.maximumFrameSize
    else { return nil }
    return demand
  }

  /// Lends the frame at the front to `body` and consumes it, if it is complete. The caller has the turn, and this returns it
  /// then.
  @inlinable @inline(__always)
  func served<Result, Failure: Error>(
    from bytes: UnsafeRawBufferPointer,
    _ body: (Span<UInt8>, _ byteCount: Int, _ payload: Range<Int>, F.Scanner) throws(Failure) -> Result
  ) throws(Failure) -> Result? {
    var scanner = source.framing.makeScanner()
    guard let demand = unsafe frame(in: bytes, &scanner), let payload = demand.payload else { return nil }
    defer { half.leave(consuming: demand.byteCount) }
    return try body(unsafe Span(_unsafeBytes: bytes), demand.byteCount, payload, scanner)
  }

  /// Returns the message at the front, if it is complete.
  @inlinable @inline(__always)
  func message(from bytes: UnsafeRawBufferPointer) throws(EndpointError) -> F.Incoming? {
    try unsafe served(from: bytes) { unread, byteCount, payload, scanner throws(EndpointError) in
      if source.deliversPayload {
        return TypedSource<F>.message(
          payload: unsafe unread.extracting(payload).withUnsafeBufferPointer { unsafe Array($0) })
      }
      do {
        return try source.framing.decode(
          unread.extracting(first: byteCount), payload: payload, scanned: scanner)
      } catch {
        throw EndpointError(.codec(error))
      }
    }
  }

  /// Returns the next message if the buffer holds it. If not, `front` says how far the short way has come.
  @inlinable
  package func messageAtOnce(
    _ front: inout ReceiveHalf.Front, as kind: Place.Kind, _ limit: CallLimit
  ) throws(EndpointError) -> F.Incoming? {
    let found = unsafe half.takeFront(for: source, as: kind, limit)
    front = unsafe found.front
    return unsafe try message(from: found.unread)
  }

  /// Returns the next message if the buffer holds it, for a caller that has the turn.
  @inlinable
  package func heldMessage() throws(EndpointError) -> F.Incoming? { unsafe try message(from: half.front) }

  /// Lends the next payload if the buffer holds it. If not, `front` says how far the short way has come.
  @inlinable
  package func withPayloadAtOnce<Result>(
    _ front: inout ReceiveHalf.Front, as kind: Place.Kind, _ limit: CallLimit,
    _ body: (Span<UInt8>) throws -> Result
  ) throws -> Result? {
    let found = unsafe half.takeFront(for: source, as: kind, limit, lends: true)
    front = unsafe found.front
    let result = unsafe try served(from: found.unread) { unread, _, payload, _ in
      try body(unread.extracting(payload))
    }
    if result == nil, front.holdsTurn { half.comeBack() }
    return result
  }

  /// Lends the next payload if the buffer holds it, for a caller that has the turn.
  @inlinable
  package func withHeldPayload<Result>(_ body: (Span<UInt8>) throws -> Result) throws -> Result? {
    half.goAway()
    let result = unsafe try served(from: half.front) { unread, _, payload, _ in
      try body(unread.extracting(payload))
    }
    if result == nil { half.comeBack() }
    return result
  }

  // A task that waits keeps the frames of its asynchronous functions. So the steps before and after the only suspension are
  // functions of their own, and what they need is in no frame.

  /// Receives the next message, for a task.
  @inlinable @inline(__always)
  func receive(_ limit: CallLimit) async throws(EndpointError) -> F.Incoming {
    if await half.isCancelledAtBegin() { throw half.cancelled }
    var front = ReceiveHalf.Front.unseen
    if let message = try messageAtOnce(&front, as: .task, limit) { return message }
    switch try begin(after: front, limit) {
    case .ended(let message): return message
    case .waits(let place):
      await half.runTask(place)
      return try end(place)
    }
  }

  @inlinable @inline(never)
  func begin(
    after front: ReceiveHalf.Front, _ limit: CallLimit
  ) throws(EndpointError) -> BegunReceive<F.Incoming> {
    switch half.start(request, as: .task, limit, after: front) {
    case .ended(let outcome): .ended(try message(outcome))
    case .queued(let place): .waits(place)
    }
  }

  @inlinable @inline(never)
  func end(_ place: ReceivePlace) throws(EndpointError) -> F.Incoming { try message(half.outcome(of: place)) }

  /// Goes the long way of another async call, whose result `take` makes of what is received.
  @inlinable @inline(__always)
  func call<Result, Failure: Error>(
    after front: ReceiveHalf.Front, _ limit: CallLimit,
    _ take: (ReceiveHalf.Outcome) throws(Failure) -> Result
  ) async throws(Failure) -> Result {
    switch try begin(after: front, limit, take) {
    case .ended(let result): return result
    case .waits(let place):
      await half.runTask(place)
      return try end(place, take)
    }
  }

  @inlinable @inline(never)
  func begin<Result, Failure: Error>(
    after front: ReceiveHalf.Front, _ limit: CallLimit,
    _ take: (ReceiveHalf.Outcome) throws(Failure) -> Result
  ) throws(Failure) -> BegunReceive<Result> {
    switch half.start(request, as: .task, limit, after: front) {
    case .ended(let outcome): .ended(try take(outcome))
    case .queued(let place): .waits(place)
    }
  }

  @inlinable @inline(never)
  func end<Result, Failure: Error>(
    _ place: ReceivePlace, _ take: (ReceiveHalf.Outcome) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try take(half.outcome(of: place))
  }
}

/// A receive that has begun: its result, or the place in which it waits.
@usableFromInline
enum BegunReceive<Result> {
  case ended(Result)
  case waits(ReceivePlace)
}
