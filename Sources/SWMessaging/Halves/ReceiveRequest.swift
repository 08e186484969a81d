internal import SWFraming
internal import SWIO
internal import Synchronization

/// The request of a receiver.
@usableFromInline
package enum ReceiveRequest: Sendable {
  /// The next message of an endpoint.
  case message(MessageSource, accompanied: Bool = false)
  /// Exactly this number of bytes.
  case exactly(Int)
  /// At least one byte and at most this number, or the next item.
  case upTo(Int, accompanied: Bool = false)

  /// Whether the receiver also wants ancillary data: descriptors, the sender.
  var isAccompanied: Bool {
    switch self {
    case .message(_, let isAccompanied), .upTo(_, let isAccompanied): isAccompanied
    case .exactly: false
    }
  }

  var source: MessageSource? {
    if case .message(let source, _) = self { return source }
    return nil
  }
}

/// The scanning side of a message endpoint, without its types: the demand of the frame at the front of the stream. Several
/// endpoints may stand over one raw endpoint, each with its own source.
@usableFromInline
// Invariant: everything that changes belongs to the turn holder of the receiving half.
package class MessageSource: @unchecked Sendable {
  final let readsAhead: Bool
  @usableFromInline final let maximumFrameSize: Int
  /// The message is the payload, so a large one is received straight into its array.
  @usableFromInline final let deliversPayload: Bool

  /// The position in the stream of the frame that `demand` is about.
  private final var position: UInt64?
  private final var demand = FrameDemand.atLeast(1)
  /// The scanner's answer to the end of the stream. The scanner is asked once, because the question changes it.
  private final var end: Answer?
  private final var failure: Failure?
  private final let failed = Atomic(false)

  // Boxes, so a source without an end or an error stays small.
  private final class Answer {
    let end: FrameEnd
    init(_ end: FrameEnd) { self.end = end }
  }
  private final class Failure {
    let error: FramingError
    init(_ error: FramingError) { self.error = error }
  }

  init(readsAhead: Bool, maximumFrameSize: Int, deliversPayload: Bool) {
    precondition(maximumFrameSize > 0, "a frame has at least one byte")
    self.readsAhead = readsAhead
    self.maximumFrameSize = maximumFrameSize
    self.deliversPayload = deliversPayload
  }

  func resetScanner() { preconditionFailure("a source scans") }
  func scan(_ received: Span<UInt8>) throws(FramingError) -> FrameDemand {
    preconditionFailure("a source scans")
  }
  func scanEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
    preconditionFailure("a source scans")
  }
  /// The scanner of the frame just found, for a receiver that decodes it elsewhere. Nil if the message is the payload.
  func takeScanner() -> AnyObject? { nil }

  /// Whether the length of the frame at `position` is known.
  final func knowsFrame(at position: UInt64) -> Bool { self.position == position && demand.isFinal }

  /// Whether the scanner has seen bytes of the frame at `position`, or has failed for good.
  final func hasBegunFrame(at position: UInt64) -> Bool { self.position == position || failure != nil }

  /// The demand of the frame at `position`, for the bytes of it that have been received.
  final func demand(in received: Span<UInt8>, at position: UInt64) throws(FramingError) -> FrameDemand {
    if let failure { throw failure.error }
    if self.position != position {
      self.position = position
      demand = .atLeast(1)
      end = nil
      resetScanner()
    }
    if demand.isFinal || received.count < demand.byteCount { return demand }
    do throws(FramingError) {
      let next = try scan(received)
      if next.byteCount < demand.byteCount {
        let fault = next.byteCount < 1 ? "the scanner demands" : "the demand shrank to"
        throw FramingError(
          .brokenScanner, offset: demand.byteCount, explanation: "\(fault) \(next.byteCount) bytes")
      }
      if next.byteCount > maximumFrameSize {
        throw FramingError(
          .tooLarge(declared: UInt64(next.byteCount), limit: UInt64(maximumFrameSize)), offset: 0)
      }
      if !next.isFinal, next.byteCount <= received.count {
        throw FramingError(
          .brokenScanner, offset: next.byteCount, explanation: "it demands no more bytes than it was given")
      }
      demand = next
      return next
    } catch {
      // The positions of later frames are unknown, so the error is permanent.
      throw fail(error)
    }
  }

  fileprivate final func fail(_ error: FramingError) -> FramingError {
    failure = Failure(error)
    failed.store(true, ordering: .relaxed)
    return error
  }

  /// Whether no message can be received any more, because the stream broke the framing. It does not belong to the turn.
  final var hasFailed: Bool { failed.load(ordering: .relaxed) }
}

extension MessageSource {
  /// Asks the scanner about the bytes at `position` after the end of the stream. If they turn out to be a frame, its demand
  /// is known from now on.
  final func end(of received: Span<UInt8>, at position: UInt64) throws(FramingError) -> FrameEnd {
    if let end, self.position == position { return end.end }
    if demand.isFinal { return .incomplete }
    do throws(FramingError) {
      let found = try scanEnd(of: received)
      if case .frame(let last) = found {
        guard last.isFinal, (1...max(received.count, 1)).contains(last.byteCount), !received.isEmpty else {
          throw FramingError(
            .brokenScanner, offset: last.byteCount,
            explanation: "the last frame is longer than the received bytes")
        }
        demand = last
      }
      end = Answer(found)
      return found
    } catch {
      throw fail(error)
    }
  }
}

/// The source of an endpoint with a given framing.
@usableFromInline
// Invariant: like `MessageSource`.
final class TypedSource<F: Framing>: MessageSource, @unchecked Sendable {
  @usableFromInline let framing: F
  #if SW_TSAN
    /// Padding. A scanner of size zero would have the address of the object itself. The thread sanitizer would take its
    /// change for a change of the object's header.
    private struct Padded: Sendable {
      var scanner: F.Scanner
      var padding = 0
    }
    private var padded: Padded
    private var scanner: F.Scanner {
      get { padded.scanner }
      set { padded.scanner = newValue }
    }
  #else
    // The turn excludes all other access.
    @safe @exclusivity(unchecked)
    private var scanner: F.Scanner
  #endif

  init(_ framing: F, readsAhead: Bool, maximumFrameSize: Int) {
    self.framing = framing
    #if SW_TSAN
      padded = Padded(scanner: framing.makeScanner())
    #else
      scanner = framing.makeScanner()
    #endif
    super.init(
      readsAhead: readsAhead, maximumFrameSize: maximumFrameSize,
      deliversPayload: F.self is any ByteFraming.Type)
  }

  override func resetScanner() { scanner = framing.makeScanner() }

  override func scan(_ received: Span<UInt8>) throws(FramingError) -> FrameDemand {
    try scanner.demand(in: received)
  }

  override func scanEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
    try scanner.atEnd(of: received)
  }

  override func takeScanner() -> AnyObject? { deliversPayload ? nil : Scanned(scanner) }

  private final class Scanned {
    let scanner: F.Scanner
    init(_ scanner: F.Scanner) { self.scanner = scanner }
  }

  /// Decodes a message from a frame in the buffer. Called in the turn.
  func decode(_ frame: Span<UInt8>, payload: Range<Int>) throws -> F.Incoming {
    try framing.decode(frame, payload: payload, scanned: scanner)
  }

  /// Decodes a message from a frame that was handed over.
  func decode(_ delivery: Delivery) throws -> F.Incoming {
    guard let scanned = unsafe delivery.scanned else { return Self.message(payload: delivery.bytes) }
    let scanner = unsafe unsafeDowncast(scanned, to: Scanned.self).scanner
    return try framing.decode(delivery.bytes.span, payload: delivery.payload, scanned: scanner)
  }

  /// Returns a payload as the message.
  @inlinable
  static func message(payload: [UInt8]) -> F.Incoming {
    // Invariant: called only for a ByteFraming, whose Incoming is [UInt8].
    precondition(F.Incoming.self == [UInt8].self, "only a byte framing delivers its payload")
    return unsafe unsafeBitCast(payload, to: F.Incoming.self)
  }
}

/// The result for a receiver that did not take the step itself.
@usableFromInline
package struct Delivery: Sendable {
  /// The frame. If there is no scanner, the payload alone.
  package var bytes: [UInt8]
  var payload: Range<Int>
  /// The position in the stream behind the frame.
  var end: UInt64 = 0
  /// The size of the frame in the stream, in bytes.
  @usableFromInline var frameByteCount = 0
  /// The scanner of a message that the framing decodes.
  // Invariant: made for one receiver, and never changed.
  nonisolated(unsafe) var scanned: AnyObject?
  /// A box for what few receivers ask for, so a delivery without it stays small.
  private var extras: Extras?

  private final class Extras: Sendable {
    let ancillary: Ancillary?
    let value: (any Sendable)?

    init(_ ancillary: Ancillary?, _ value: (any Sendable)?) {
      self.ancillary = ancillary
      self.value = value
    }
  }

  /// The ancillary data, if the receiver asked for it.
  package var ancillary: Ancillary? { extras?.ancillary }
  /// The item, if it is not a datagram.
  package var value: (any Sendable)? { extras?.value }

  mutating func add(_ ancillary: Ancillary?, _ value: (any Sendable)?) {
    if ancillary != nil || value != nil { extras = Extras(ancillary, value) }
  }

  init(payload bytes: [UInt8]) {
    self.bytes = bytes
    payload = 0..<bytes.count
    unsafe scanned = nil
  }

  init(frame bytes: [UInt8], payload: Range<Int>, scanned: AnyObject?) {
    self.bytes = bytes
    self.payload = payload
    unsafe self.scanned = scanned
  }
}
