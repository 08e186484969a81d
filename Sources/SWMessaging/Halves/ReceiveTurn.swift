package import SWFraming
package import SWIO

/// The part of a receiving half that belongs to the turn: the bytes that no receiver has taken yet, and how the stream
/// ended. A value without locks. Tests drive it directly.
///
///     front of the stream                                   what the next attempt brings
///     |  assembly: header, then payload in its final array  |
///     |  or: buffer                                         |
///
/// Small frames are received into the buffer, many at once if reading ahead is allowed. If the framing says in advance where
/// a large payload lies, the payload is received straight into the array that will be returned. The bytes behind it go to
/// the buffer again.
package struct ReceiveTurn: ~Copyable {
  package enum End: Sendable {
    case endOfStream
    case failed(TransportError)
  }

  /// A large payload that is being received.
  private struct Assembly {
    var header: [UInt8]
    var payload: [UInt8]
    /// The number of initialised bytes. Bytes behind them are never read.
    var filled = 0
    let payloadCount: Int
    var isFull: Bool { filled == payloadCount }

    func serves(_ demand: FrameDemand) -> Bool {
      demand.payload.map { $0.lowerBound == header.count && $0.count == payloadCount } ?? false
    }
  }

  /// The size from which payloads are assembled.
  static var assembledSize: Int { ReceiveBuffer.blockSize / 2 }

  private var buffer: ReceiveBuffer
  private var assembly: Assembly?
  /// The number of bytes of the stream that have been consumed.
  package private(set) var position: UInt64 = 0
  package var end: End?
  /// The last attempt's evidence about the data that is left.
  enum Rest: Sendable {
    case unknown
    /// The read was short. On most descriptors that means that nothing is left.
    case probablyNone
    case none
  }
  private(set) var rest = Rest.unknown

  /// Whether items are received, such as datagrams. The buffer is not used then, and the next item is here.
  private let carriesItems: Bool
  private var item: ReceivedItem?
  /// The items behind it, the last one first.
  private var itemsBehind: [ReceivedItem] = []
  /// The ancillary data of the held bytes of a stream.
  private var ancillary = AncillaryQueue()
  /// The unread bytes, and their position, when a receiver was told that the stream had ended inside a message.
  private var cut: Cut?

  private final class Cut {
    let position: UInt64
    let bytes: [UInt8]

    init(_ position: UInt64, _ bytes: [UInt8]) { (self.position, self.bytes) = (position, bytes) }
  }

  /// - Parameter carriesDatagrams: whether datagrams or other items are received.
  package init(unread: [UInt8] = [], carriesDatagrams: Bool = false) {
    buffer = ReceiveBuffer(carriesDatagrams ? [] : unread)
    carriesItems = carriesDatagrams
    if carriesDatagrams, !unread.isEmpty { item = .datagram(Datagram(unread)) }
  }

  /// The number of held bytes.
  package var count: Int {
    @inline(__always) get { carriesItems || assembly != nil ? countElsewhere : buffer.count }
  }
  /// A separate function, because most bytes are in the buffer, and every receive asks.
  private var countElsewhere: Int {
    @inline(never) get {
      if carriesItems { return item?.bytes.count ?? 0 }
      return buffer.count + (assembly.map { $0.header.count + $0.filled } ?? 0)
    }
  }
  /// Whether an item is held. It may be an empty datagram.
  var holdsItem: Bool { item != nil }
  /// Whether descriptors are held that came with the held bytes of a stream.
  var holdsDescriptors: Bool { ancillary.holdsDescriptors }
  /// Whether a large payload is being received, or has been received, into its array.
  package var isAssembled: Bool { assembly != nil }
  /// The size of the held memory, for tests.
  package var capacity: Int { buffer.capacity + (assembly?.payload.count ?? 0) }

  // MARK: Looking

  package enum Scan: Sendable {
    case complete(FrameDemand)
    case needs(FrameDemand)
    case failed(FramingError)
  }

  /// Looks whether the held bytes satisfy a request.
  package mutating func scan(_ request: ReceiveRequest) -> Scan {
    if carriesItems { return scanItem(request) }
    switch request {
    case .message(let source, _):
      // If the buffer is empty, the next step is a read in any case.
      if source.readsAhead, count == 0 { return .needs(.atLeast(1)) }
      do {
        let position = position
        // The payload was assembled for another endpoint, and this scanner needs the frame from its first byte.
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

  /// Asks the scanner of a message endpoint about the unread bytes, after the stream has ended. Of a payload that is assembled for
  /// this endpoint the length is known, so too few bytes are an incomplete frame, and the scanner need not see them.
  mutating func scanEnd(_ source: MessageSource) throws(FramingError) -> FrameEnd {
    let position = position
    return try buffer.withUnread { unread throws(FramingError) in try source.end(of: unread, at: position) }
  }

  /// Looks at an item. An item is always complete. A demand is never empty but a datagram may be, so only the payload
  /// counts.
  private func scanItem(_ request: ReceiveRequest) -> Scan {
    guard let item else { return .needs(.atLeast(1)) }
    let byteCount = item.bytes.count
    var taken = byteCount
    if case .upTo(let limit, _) = request { taken = min(taken, limit) }
    return .complete(.frame(byteCount: max(byteCount, 1), payload: 0..<taken))
  }

  /// Lends a complete frame in the buffer, or the assembled payload alone.
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

  /// Returns the payload as an array: the assembled one, which moves out, or a copy. The frame is still to be consumed.
  package mutating func takePayload(of demand: FrameDemand) -> [UInt8] {
    if carriesItems, demand.payload?.count == count, let taken = item.take() {
      // This is not `let whole = item?.bytes`, because Swift 6.3 never releases that copy if `self` is noncopyable.
      guard case .datagram(var datagram) = taken else {
        item = taken
        return []
      }
      let whole = datagram.bytes
      datagram.bytes = []
      item = .datagram(datagram)
      return whole
    }
    if let taken = assembly, taken.isFull, taken.serves(demand) {
      assembly = nil
      handedOver = taken.header.count + taken.payload.count
      return taken.payload
    }
    return withPayload(of: demand) { payload in unsafe payload.withUnsafeBufferPointer { unsafe Array($0) } }
  }
  /// The number of bytes of the frame at the front that `takePayload` has moved out.
  private var handedOver = 0

  /// The position in the stream behind the frame at the front.
  func position(behind demand: FrameDemand) -> UInt64 {
    position + (carriesItems ? 1 : UInt64(demand.byteCount))
  }

  /// Removes a frame from the front.
  package mutating func consume(_ demand: FrameDemand) {
    if carriesItems {
      if item?.stays == true { return }
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

  /// Returns the ancillary data of the frame that is about to be consumed.
  package mutating func takeAncillary(of demand: FrameDemand) -> Ancillary? {
    if carriesItems {
      guard case .datagram(let datagram)? = item else { return nil }
      return datagram.ancillary
    }
    return ancillary.isEmpty ? nil : ancillary.take(before: position + UInt64(demand.byteCount))
  }

  /// Drops all that was received, with its descriptors: no caller will ask for it.
  package mutating func dropAll() {
    item = nil
    itemsBehind = []
    assembly = nil
    cut = nil
    ancillary = AncillaryQueue()
    buffer.consume(buffer.count)
    buffer.releaseIfEmpty()
  }

  /// The item that is about to be consumed, if it is not a datagram.
  package var value: (any Sendable)? {
    if case .value(let value, _) = item { return value }
    return nil
  }

  /// The unread bytes in the buffer. Valid until the turn is used or released.
  var front: UnsafeRawBufferPointer { unsafe buffer.unread }

  /// Removes bytes in the buffer from the front.
  mutating func consume(buffered byteCount: Int) {
    buffer.consume(byteCount)
    position += UInt64(byteCount)
    if !ancillary.isEmpty { _ = ancillary.take(before: position) }
  }

  /// Returns all unread bytes, as the partial message of a stream that has ended. Each receiver gets the same array, so no
  /// receiver makes a copy of its own.
  mutating func truncated() -> [UInt8] {
    if let cut, cut.position == position, cut.bytes.count == count { return cut.bytes }
    let bytes = unread()
    cut = Cut(position, bytes)
    return bytes
  }

  /// Returns all unread bytes, for `detach`.
  package mutating func unread() -> [UInt8] {
    if carriesItems { return item?.bytes ?? [] }
    if assembly != nil { flatten() }
    return buffer.withUnread { unread in unsafe unread.withUnsafeBufferPointer { unsafe Array($0) } }
  }

  package mutating func takeUnread() -> [UInt8] {
    let bytes = unread()
    if carriesItems { return bytes }
    dropAll()
    return bytes
  }

  /// Frees memory that holds nothing.
  package mutating func releaseMemory() { buffer.releaseIfEmpty() }

  /// Prepares for a wait of unknown length: frees memory that holds nothing, and keeps part of a short frame in no more
  /// memory than it needs.
  mutating func waitForMore() {
    buffer.releaseIfEmpty()
    buffer.shrink()
  }

  // MARK: Attempting

  package enum Outcome: Hashable, Sendable {
    case moved
    case blocked
    /// The attempt may take long, and has not been made.
    case offload
    /// Nothing was taken, and another attempt may succeed.
    case failedOnce(TransportError)
    /// The stream has ended. `end` says how.
    case ended

    var hasMoved: Bool { if case .moved = self { true } else { false } }
    var isBlocked: Bool { if case .blocked = self { true } else { false } }
  }

  /// Makes one attempt to receive what a request still needs.
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
    // This is not `if let`, because a second reference to the array would make every attempt copy all of it.
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

  /// Makes one attempt to fill an empty buffer.
  mutating func readAhead(by receive: (UnsafeMutableRawBufferPointer) -> Attempt) -> Outcome {
    unsafe fillBuffer(minimum: 1, maximum: .max, declared: 1, by: receive)
  }

  /// Makes one attempt to receive items, when none is held.
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

  /// Adds the ancillary data of the last `byteCount` bytes that were received.
  ///
  /// - Parameter limit: how many descriptors a message may have.
  package mutating func add(_ found: Ancillary, besideLast byteCount: Int, limit: Int) {
    guard byteCount > 0 else { return }
    let end = position + UInt64(count)
    ancillary.add(found, beside: end - UInt64(byteCount)...end - 1, limit: limit)
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
      return .failedOnce(error)
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

  /// Returns an array of which only the front is initialised, because zeroing the rest would touch its memory.
  private static func reserved(_ size: Int, copying front: Span<UInt8>) -> [UInt8] {
    // Invariant: before other code sees the array, its holder fills it to its end or cuts it.
    unsafe [UInt8](unsafeUninitializedCapacity: size) { memory, count in
      unsafe front.withUnsafeBufferPointer { front in
        if let source = front.baseAddress, front.count > 0 {
          unsafe memory.baseAddress?.update(from: source, count: front.count)
        }
      }
      count = size
    }
  }

  /// Moves an assembled payload back into the buffer, because another kind of receiver is the head or the stream has ended
  /// early.
  private mutating func flatten() {
    guard let broken = assembly.take() else { return }
    let behind = buffer.withUnread { unread in unsafe unread.withUnsafeBufferPointer { unsafe Array($0) } }
    buffer.consume(behind.count)
    buffer.append(copying: broken.header.span)
    buffer.append(copying: broken.payload.span.extracting(first: broken.filled))
    buffer.append(copying: behind.span)
  }
}
