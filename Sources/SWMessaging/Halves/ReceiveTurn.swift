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

  /// What comes is items, such as datagrams. The buffer is not used then: the next item lies here.
  private let carriesItems: Bool
  private var item: ReceivedItem?
  /// Those behind it, the last one first.
  private var itemsBehind: [ReceivedItem] = []
  /// What came beside the bytes of a stream that are there.
  private var ancillary = AncillaryQueue()
  /// What was unread when a receiver was told that the stream had ended inside a message, and where that began.
  private var cut: (position: UInt64, bytes: [UInt8])?
  /// Why the last attempt brought nothing; the next may.
  package private(set) var failure: TransportError?

  /// - Parameter carriesDatagrams: datagrams, or other items.
  package init(unread: [UInt8] = [], carriesDatagrams: Bool = false) {
    buffer = ReceiveBuffer(carriesDatagrams ? [] : unread)
    carriesItems = carriesDatagrams
    if carriesDatagrams, !unread.isEmpty { item = .datagram(Datagram(unread)) }
  }

  /// How many bytes are there.
  package var count: Int {
    @inline(__always) get { carriesItems || assembly != nil ? countElsewhere : buffer.count }
  }
  /// Apart, because most bytes lie in the buffer, and every receive asks.
  private var countElsewhere: Int {
    @inline(never) get {
      if carriesItems { return item?.bytes.count ?? 0 }
      return buffer.count + (assembly.map { $0.header.count + $0.filled } ?? 0)
    }
  }
  /// An item is there; it may be an empty datagram.
  var holdsItem: Bool { item != nil }
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
    if carriesItems { return scanItem(request) }
    switch request {
    case .message(let source, _):
      // If the buffer is empty, the next step is a read in any case.
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
    case .upTo(let byteCount, _):
      if count == 0 { return .needs(.atLeast(1)) }
      let taken = min(count, byteCount)
      return .complete(.frame(byteCount: taken, payload: 0..<taken))
    }
  }

  /// What the unread bytes are to a message endpoint, now that the stream has ended.
  mutating func scanEnd(_ source: MessageSource) throws(FramingError) -> FrameEnd {
    if assembly != nil { flatten() }
    let position = position
    return try buffer.withUnread { unread throws(FramingError) in try source.end(of: unread, at: position) }
  }

  /// An item is complete as it comes. A demand is never empty, a datagram may be: only the payload counts.
  private func scanItem(_ request: ReceiveRequest) -> Scan {
    guard let item else { return .needs(.atLeast(1)) }
    let byteCount = item.bytes.count
    var taken = byteCount
    if case .upTo(let limit, _) = request { taken = min(taken, limit) }
    return .complete(.frame(byteCount: max(byteCount, 1), payload: 0..<taken))
  }

  /// Lends a complete frame that lies in the buffer, or the assembled payload alone.
  package mutating func withPayload<Result, Failure: Error>(
    of demand: FrameDemand, _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let payload = demand.payload ?? 0..<0
    if carriesItems, let item {
      let bytes = item.bytes
      return try body(bytes.span.extracting(payload))
    }
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
    if carriesItems, demand.payload?.count == count, let taken = item.take() {
      // Not `let whole = item?.bytes`: of a noncopyable `self`, Swift 6.3 never releases that copy.
      guard case .datagram(var datagram) = taken else {
        item = taken
        return []
      }
      let whole = datagram.bytes
      datagram.bytes = []
      item = .datagram(datagram)
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

  /// The position in the stream behind the frame at the front.
  func position(behind demand: FrameDemand) -> UInt64 {
    position + (carriesItems ? 1 : UInt64(demand.byteCount))
  }

  /// Takes a frame off the front.
  package mutating func consume(_ demand: FrameDemand) {
    if carriesItems {
      if item?.stays ?? false { return }
      item = itemsBehind.popLast()
      if itemsBehind.isEmpty { itemsBehind = [] }
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
    if !ancillary.isEmpty { _ = ancillary.take(before: position) }
  }

  /// What came beside the frame that is about to be consumed. Taken once.
  package mutating func takeAncillary(of demand: FrameDemand) -> Ancillary? {
    if carriesItems {
      guard let taken = item.take() else { return nil }
      guard case .datagram(var datagram) = taken else {
        item = taken
        return nil
      }
      let found = datagram.ancillary
      datagram.ancillary = nil
      item = .datagram(datagram)
      return found
    }
    return ancillary.isEmpty ? nil : ancillary.take(before: position + UInt64(demand.byteCount))
  }

  /// Drops items that nobody will ask for.
  mutating func dropItems() {
    item = nil
    itemsBehind = []
  }

  /// The item that is about to be consumed, if it is no datagram.
  package var value: (any Sendable)? {
    if case .value(let value, _) = item { return value }
    return nil
  }

  /// The unread bytes that lie in the buffer. Valid until the turn is used or given back.
  var front: UnsafeRawBufferPointer { unsafe buffer.unread }

  /// Takes bytes off the front that lie in the buffer.
  mutating func consume(buffered byteCount: Int) {
    buffer.consume(byteCount)
    position += UInt64(byteCount)
    if !ancillary.isEmpty { _ = ancillary.take(before: position) }
  }

  /// Everything unread, as what is cut off when the stream has ended. Each receiver is told of the same array: none of
  /// them makes a copy of its own.
  mutating func truncated() -> [UInt8] {
    if let cut, cut.position == position, cut.bytes.count == count { return cut.bytes }
    let bytes = unread()
    cut = (position, bytes)
    return bytes
  }

  /// Everything unread; what `detach` hands back.
  package mutating func unread() -> [UInt8] {
    if carriesItems { return item?.bytes ?? [] }
    if assembly != nil { flatten() }
    return buffer.withUnread { unread in unsafe unread.withUnsafeBufferPointer { unsafe Array($0) } }
  }

  package mutating func takeUnread() -> [UInt8] {
    let bytes = unread()
    if carriesItems { return bytes }
    buffer.consume(bytes.count)
    buffer.releaseIfEmpty()
    return bytes
  }

  /// Gives memory back that holds nothing.
  package mutating func releaseMemory() { buffer.releaseIfEmpty() }

  /// Nothing has come, and nobody knows when more will: gives memory back that holds nothing, and holds part of a
  /// short frame in no more memory than it takes.
  mutating func waitForMore() {
    buffer.releaseIfEmpty()
    buffer.shrink()
  }

  // MARK: Attempting

  package enum Outcome: Sendable {
    case moved
    case blocked
    /// It may take long, and has not been made.
    case offload
    /// `failure` says why; another attempt may fare better. Nothing was taken.
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
      case .upTo(let byteCount, _): min(byteCount, ReceiveBuffer.blockSize)
      }
    return unsafe fillBuffer(
      minimum: min(wanted, ReceiveBuffer.blockSize), maximum: readsAhead ? .max : wanted,
      declared: demand.byteCount, by: receive)
  }

  /// One attempt to receive as much as there is room for in an empty buffer.
  mutating func readAhead(by receive: (UnsafeMutableRawBufferPointer) -> Attempt) -> Outcome {
    unsafe fillBuffer(minimum: 1, maximum: .max, declared: 1, by: receive)
  }

  /// One attempt to receive items, of which none is there.
  package mutating func attemptItems(by receive: ((ReceivedItem) -> Void) -> Attempt) -> Outcome {
    var first: ReceivedItem?
    var behind: [ReceivedItem] = []
    let attempt = receive { item in
      if first == nil { first = item } else { behind.append(item) }
    }
    behind.reverse()
    (item, itemsBehind) = (first, behind)
    return note(attempt, isShort: false)
  }

  /// This came beside the last bytes that were received, so many of them.
  package mutating func add(_ found: Ancillary, besideLast byteCount: Int) {
    guard byteCount > 0 else { return }
    let end = position + UInt64(count)
    ancillary.add(found, beside: end - UInt64(byteCount)...end - 1)
  }

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
    case .retryLater: return .blocked
    case .offload: return .offload
    case .endOfStream:
      end = .endOfStream
      return .ended
    case .failed(let error) where error.scope == .item:
      failure = error
      return .failedOnce
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
