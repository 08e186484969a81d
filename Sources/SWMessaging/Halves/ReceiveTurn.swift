package import SWFraming
package import SWIO

/// What belongs to the turn of a receiving half: the bytes no receiver has taken yet, and how the stream
/// ended. A value without locks, driven by hand in tests.
///
///     front of the stream                                   what the next attempt brings
///     |  assembly: header, then payload in its final array  |
///     |  or: buffer                                         |
///
/// Small frames are received into the buffer, many at once where reading ahead is allowed. A large
/// payload whose framing says in advance where it lies is received straight into the array that will be
/// returned; bytes behind it go to the buffer again.
package struct ReceiveTurn: ~Copyable {
  package enum End: Sendable {
    case endOfStream
    case failed(TransportError)
  }

  /// A large payload on its way.
  private struct Assembly {
    var header: [UInt8]
    var payload: [UInt8]
    /// Bytes behind this one are not initialised and never looked at.
    var filled = 0
    let payloadCount: Int
    var isFull: Bool { filled == payloadCount }

    func serves(_ demand: FrameDemand) -> Bool {
      demand.payload.map { $0.lowerBound == header.count && $0.count == payloadCount } ?? false
    }
  }

  /// Payloads from this size on are assembled.
  static var assembledSize: Int { ReceiveBuffer.blockSize / 2 }

  private var buffer: ReceiveBuffer
  private var assembly: Assembly?
  /// How many bytes of the stream have been consumed.
  package private(set) var position: UInt64 = 0
  package var end: End?
  /// What the last attempt says of what is left.
  enum Rest: Sendable {
    case unknown
    /// It did not fill the room that it was given. On most descriptors there was no more.
    case probablyNone
    case none
  }
  private(set) var rest = Rest.unknown

  /// Of datagrams the buffer holds none: the next one that has been received lies here.
  private let carriesDatagrams: Bool
  private var datagram: Datagram?
  /// Those behind it, the last one first.
  private var datagramsBehind: [Datagram] = []
  /// What came beside the bytes of a stream that are there: it goes with the last of them.
  private var companions: Companions?
  /// Why the last attempt brought no datagram; the next may.
  package private(set) var failure: TransportError?

  package init(unread: [UInt8] = [], carriesDatagrams: Bool = false) {
    buffer = ReceiveBuffer(carriesDatagrams ? [] : unread)
    self.carriesDatagrams = carriesDatagrams
    if carriesDatagrams, !unread.isEmpty { datagram = Datagram(unread) }
  }

  /// How many bytes are there.
  package var count: Int {
    if carriesDatagrams { return datagram?.bytes.count ?? 0 }
    return buffer.count + (assembly.map { $0.header.count + $0.filled } ?? 0)
  }
  /// A datagram is there; it may be empty.
  var holdsDatagram: Bool { datagram != nil }
  /// A large payload is being, or has been, received into its array.
  package var isAssembled: Bool { assembly != nil }
  /// How much memory is held; for tests.
  package var capacity: Int { buffer.capacity + (assembly?.payload.count ?? 0) }

  // MARK: Looking

  package enum Scan: Sendable {
    case complete(FrameDemand)
    case needs(FrameDemand)
    case failed(FramingError)
  }

  /// Whether what is there satisfies a request.
  package mutating func scan(_ request: ReceiveRequest) -> Scan {
    if carriesDatagrams { return scanDatagram(request) }
    switch request {
    case .message(let source):
      // With nothing there any answer of the scanner's would lead to the same read.
      if source.readsAhead, count == 0 { return .needs(.atLeast(1)) }
      do {
        let position = position
        // Assembled for somebody else: the scanner wants the frame from its first byte.
        if assembly != nil, !source.knowsFrame(at: position) { flatten() }
        let demand = try buffer.withUnread { unread throws(FramingError) in
          try source.demand(in: unread, at: position)
        }
        return demand.isFinal && demand.byteCount <= count ? .complete(demand) : .needs(demand)
      } catch {
        return .failed(error)
      }
    case .exactly(let byteCount):
      let demand = FrameDemand.frame(byteCount: byteCount, payload: 0..<byteCount)
      return count >= byteCount ? .complete(demand) : .needs(demand)
    case .upTo(let byteCount), .accompanied(let byteCount):
      if count == 0 { return .needs(.atLeast(1)) }
      let taken = min(count, byteCount)
      return .complete(.frame(byteCount: taken, payload: 0..<taken))
    }
  }

  /// A datagram is complete as it comes. A demand is never empty, a datagram may be: only the payload counts.
  private func scanDatagram(_ request: ReceiveRequest) -> Scan {
    guard let datagram else { return .needs(.atLeast(1)) }
    var taken = datagram.bytes.count
    if case .upTo(let byteCount) = request { taken = min(taken, byteCount) }
    return .complete(.frame(byteCount: max(datagram.bytes.count, 1), payload: 0..<taken))
  }

  /// Lends a complete frame that lies in the buffer, or the assembled payload alone.
  package mutating func withPayload<Result, Failure: Error>(
    of demand: FrameDemand, _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let payload = demand.payload ?? 0..<0
    if carriesDatagrams, let datagram { return try body(datagram.bytes.span.extracting(payload)) }
    if let assembly {
      if assembly.serves(demand) { return try body(assembly.payload.span) }
      flatten()
    }
    return try buffer.withUnread { unread throws(Failure) in try body(unread.extracting(payload)) }
  }

  /// Lends a complete frame.
  package mutating func withFrame<Result, Failure: Error>(
    _ demand: FrameDemand, _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    if assembly != nil { flatten() }
    return try buffer.withUnread { unread throws(Failure) in
      try body(unread.extracting(first: demand.byteCount))
    }
  }

  /// The payload as an array: the assembled one as it is, which then is gone, or a copy. The frame is
  /// still to be consumed.
  package mutating func takePayload(of demand: FrameDemand) -> [UInt8] {
    if carriesDatagrams, demand.payload?.count == count, var taken = datagram.take() {
      // Not `let whole = datagram?.bytes`: of a noncopyable `self`, Swift 6.3 never releases that copy.
      let whole = taken.bytes
      taken.bytes = []
      datagram = taken
      return whole
    }
    if var taken = assembly, taken.isFull, taken.serves(demand) {
      assembly = nil
      let payload = taken.payload
      taken.payload = []
      taken.filled = 0
      handedOver = taken.header.count + payload.count
      return payload
    }
    return withPayload(of: demand) { payload in unsafe payload.withUnsafeBufferPointer { unsafe Array($0) } }
  }
  /// Bytes of the frame at the front that `takePayload` has taken out already.
  private var handedOver = 0

  /// Takes a frame off the front.
  package mutating func consume(_ demand: FrameDemand) {
    if carriesDatagrams {
      datagram = datagramsBehind.popLast()
      if datagramsBehind.isEmpty { datagramsBehind = [] }
      position += 1
      return
    }
    var rest = demand.byteCount - handedOver
    handedOver = 0
    if let assembly {
      rest -= assembly.header.count + assembly.filled
      if rest < 0 {
        flatten()
        rest = demand.byteCount
      } else {
        self.assembly = nil
      }
    }
    buffer.consume(rest)
    position += UInt64(demand.byteCount)
    if companions != nil, count == 0 { companions = nil }
  }

  /// What came beside the frame that is about to be consumed, if that takes the last of its bytes.
  package mutating func takeCompanions(of demand: FrameDemand) -> Companions? {
    if carriesDatagrams { return datagram?.takeCompanions() }
    guard companions != nil, demand.byteCount == count else { return nil }
    return companions.take()
  }

  /// The unread bytes that lie in the buffer. Valid until the turn is used or given back.
  var front: UnsafeRawBufferPointer { unsafe buffer.unread }

  /// Takes bytes off the front that lie in the buffer.
  mutating func consume(buffered byteCount: Int) {
    buffer.consume(byteCount)
    position += UInt64(byteCount)
    if companions != nil, buffer.isEmpty { companions = nil }
  }

  /// Everything unread; what is cut off when the stream ends, and what `detach` hands back.
  package mutating func unread() -> [UInt8] {
    if carriesDatagrams {
      guard let datagram else { return [] }
      return datagram.bytes
    }
    if assembly != nil { flatten() }
    return buffer.withUnread { unread in unsafe unread.withUnsafeBufferPointer { unsafe Array($0) } }
  }

  package mutating func takeUnread() -> [UInt8] {
    let bytes = unread()
    if carriesDatagrams { return bytes }
    buffer.consume(bytes.count)
    buffer.releaseIfEmpty()
    return bytes
  }

  /// Gives memory back that holds nothing.
  package mutating func releaseMemory() { buffer.releaseIfEmpty() }

  // MARK: Attempting

  package enum Outcome: Sendable {
    case moved
    case blocked
    /// It may take long, and has not been made.
    case offload
    /// `failure` says why; another attempt may fare better.
    case failedOnce
    /// `end` says how.
    case ended
  }

  /// One attempt to receive what a request still needs.
  package mutating func attempt(
    _ demand: FrameDemand, for request: ReceiveRequest,
    by receive: (UnsafeMutableRawBufferPointer) -> Attempt
  ) -> Outcome {
    if assembly.map({ !$0.serves(demand) }) ?? false { flatten() }
    if assembly == nil, demand.isFinal, let payload = demand.payload,
      payload.count >= Self.assembledSize, payload.lowerBound <= buffer.count,
      request.source?.deliversPayload ?? true
    {
      beginAssembly(payload)
      if count >= demand.byteCount { return .moved }
    }
    // Not `if let`: a second reference to the array would have every attempt copy all of it.
    if assembly?.isFull == false { return unsafe fillAssembly(by: receive) }
    let missing = demand.byteCount - count
    let readsAhead = request.source?.readsAhead ?? false
    let wanted =
      switch request {
      case .message, .exactly: missing
      case .upTo(let byteCount), .accompanied(let byteCount): min(byteCount, ReceiveBuffer.blockSize)
      }
    return unsafe fillBuffer(
      minimum: min(wanted, ReceiveBuffer.blockSize), maximum: readsAhead ? .max : wanted,
      declared: demand.byteCount, by: receive)
  }

  /// One attempt to receive as much as there is room for in an empty buffer.
  mutating func readAhead(by receive: (UnsafeMutableRawBufferPointer) -> Attempt) -> Outcome {
    unsafe fillBuffer(minimum: 1, maximum: .max, declared: 1, by: receive)
  }

  /// One attempt to receive datagrams, of which none is there.
  package mutating func attemptDatagrams(by receive: ((Datagram) -> Void) -> Attempt) -> Outcome {
    var first: Datagram?
    var behind: [Datagram] = []
    let attempt = receive { datagram in
      if first == nil { first = datagram } else { behind.append(datagram) }
    }
    behind.reverse()
    (datagram, datagramsBehind) = (first, behind)
    switch attempt {
    case .transferred: return .moved
    case .failed(let error) where Port.isAboutOneDatagram(error):
      failure = error
      return .failedOnce
    default: return note(attempt, isShort: false)
    }
  }

  /// Descriptors came beside the bytes that were just received.
  package mutating func add(_ found: Companions) { companions = found }

  private mutating func fillBuffer(
    minimum: Int, maximum: Int, declared: Int, by receive: (UnsafeMutableRawBufferPointer) -> Attempt
  ) -> Outcome {
    let (attempt, isShort) = unsafe buffer.fill(minimum: minimum, maximum: maximum, declared: declared) {
      room in
      let attempt = unsafe receive(room)
      if case .transferred(let received) = attempt { return (received, (attempt, received < room.count)) }
      return (0, (attempt, false))
    }
    return note(attempt, isShort: isShort)
  }

  private mutating func note(_ attempt: Attempt, isShort: Bool) -> Outcome {
    rest = isShort ? .probablyNone : .unknown
    switch attempt {
    case .transferred: return .moved
    case .wouldBlock, .waitsFor:
      rest = .none
      return .blocked
    case .offload: return .offload
    case .endOfStream:
      end = .endOfStream
      return .ended
    case .failed(let error):
      end = .failed(error)
      return .ended
    }
  }

  private mutating func beginAssembly(_ payload: Range<Int>) {
    let size = ReceiveBuffer.reservation(for: payload.count, holding: 0)
    let (header, array, filled) = buffer.withUnread { unread in
      let header = unsafe unread.extracting(first: min(payload.lowerBound, unread.count))
        .withUnsafeBufferPointer { unsafe Array($0) }
      let begun = unread.extracting(
        min(payload.lowerBound, unread.count)..<min(payload.upperBound, unread.count))
      let array = Self.reserved(max(size, begun.count), copying: begun)
      return (header, array, begun.count)
    }
    precondition(header.count == payload.lowerBound, "a payload's place is known once its header is there")
    assembly = Assembly(header: header, payload: array, filled: filled, payloadCount: payload.count)
    buffer.consume(header.count + filled)
  }

  private mutating func fillAssembly(by receive: (UnsafeMutableRawBufferPointer) -> Attempt) -> Outcome {
    guard var current = assembly.take() else { return .blocked }
    if current.filled == current.payload.count {
      let size = ReceiveBuffer.reservation(for: current.payloadCount, holding: current.filled)
      current.payload = Self.reserved(size, copying: current.payload.span)
    }
    let filled = current.filled
    let attempt = unsafe current.payload.withUnsafeMutableBytes { bytes in
      unsafe receive(UnsafeMutableRawBufferPointer(rebasing: bytes[filled...]))
    }
    if case .transferred(let received) = attempt { current.filled += received }
    let isShort = current.filled < current.payload.count
    assembly = current
    return note(attempt, isShort: isShort)
  }

  /// An array of which only the front is initialised: zeroing the rest would touch its memory.
  private static func reserved(_ size: Int, copying front: Span<UInt8>) -> [UInt8] {
    // Invariant: who holds the array fills it to its end before anybody else sees it, or cuts it.
    unsafe [UInt8](unsafeUninitializedCapacity: size) { memory, count in
      unsafe front.withUnsafeBufferPointer { front in
        if let source = front.baseAddress, front.count > 0 {
          unsafe memory.baseAddress?.update(from: source, count: front.count)
        }
      }
      count = size
    }
  }

  /// Back into the buffer: another kind of receiver has come to the front, or the stream broke off.
  private mutating func flatten() {
    guard let broken = assembly.take() else { return }
    let behind = buffer.withUnread { unread in unsafe unread.withUnsafeBufferPointer { unsafe Array($0) } }
    buffer.consume(behind.count)
    buffer.append(copying: broken.header.span)
    buffer.append(copying: broken.payload.span.extracting(first: broken.filled))
    buffer.append(copying: behind.span)
  }
}
