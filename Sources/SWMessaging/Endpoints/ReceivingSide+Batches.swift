internal import SWFraming
internal import SWIO

/// The room that a batch still has.
@frozen
@usableFromInline
package struct BatchRoom: Sendable {
  @usableFromInline var count: Int
  @usableFromInline var byteCount: Int

  @inlinable
  package init(_ count: Int, byteCount: Int) {
    precondition(count > 0 && byteCount > 0, "a batch has room for at least one message")
    self.count = count
    self.byteCount = byteCount
  }

  /// Uses room for a message. Returns false if there is none.
  @inlinable @inline(__always)
  mutating func admit(_ frame: Int) -> Bool {
    guard count > 0, frame <= byteCount else { return false }
    count -= 1
    byteCount -= frame
    return true
  }

  /// Uses room for the first message, however large it is.
  @inlinable
  mutating func admitFirst(_ frame: Int) {
    count -= 1
    byteCount = max(0, byteCount - frame)
  }
}

// A batch waits for its first message like any receive. Then it takes the messages that have been received already. It stops
// when it is full, when another caller has come in between, or when a message cannot be decoded; the next call then reports
// why.

extension ReceivingSide {
  /// Passes whole frames from the front of the stream to `body`, in order. The first frame of a batch is passed whatever its
  /// size is.
  ///
  /// - Parameters:
  ///   - consumed: grows by each frame that was taken, including one for which `body` throws.
  ///   - body: returns false to leave its frame in the stream.
  @inlinable @inline(__always)
  func takeFrames<Failure: Error>(
    of unread: UnsafeRawBufferPointer, _ room: inout BatchRoom, isFirst: Bool, _ consumed: inout Int,
    _ body: (Span<UInt8>, _ payload: Range<Int>, F.Scanner) throws(Failure) -> Bool
  ) throws(Failure) {
    var isFirst = isFirst
    while isFirst || room.count > 0 {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: unread[consumed...])
      var scanner = source.framing.makeScanner()
      guard let demand = unsafe frame(in: rest, &scanner), let payload = demand.payload else { return }
      if isFirst {
        room.admitFirst(demand.byteCount)
        isFirst = false
      } else if !room.admit(demand.byteCount) {
        return
      }
      consumed += demand.byteCount
      let bytes = unsafe Span<UInt8>(_unsafeBytes: rest).extracting(first: demand.byteCount)
      guard try body(bytes, payload, scanner) else {
        consumed -= demand.byteCount
        return
      }
    }
  }

  /// Appends the messages at the front of the stream. Throws only if the first message of the batch cannot be decoded.
  @inlinable @inline(__always)
  func append(
    from unread: UnsafeRawBufferPointer, to batch: inout [F.Incoming], _ room: inout BatchRoom,
    _ consumed: inout Int
  ) throws(EndpointError) {
    try unsafe takeFrames(of: unread, &room, isFirst: batch.isEmpty, &consumed) {
      frame, payload, scanner throws(EndpointError) in
      if source.deliversPayload {
        batch.append(
          TypedSource<F>.message(
            payload: unsafe frame.extracting(payload).withUnsafeBufferPointer { unsafe Array($0) }))
        return true
      }
      do {
        batch.append(try source.framing.decode(frame, payload: payload, scanned: scanner))
        return true
      } catch {
        if batch.isEmpty { throw EndpointError(.codec(error)) }
        return false
      }
    }
  }

  /// The next messages if the buffer holds one. If not, the batch is empty, and `front` says how far the short way has come.
  @inlinable
  package func batchAtOnce(
    _ front: inout ReceiveHalf.Front, as kind: Place.Kind, _ limit: CallLimit, _ room: BatchRoom
  ) throws(EndpointError) -> [F.Incoming] {
    let found = unsafe half.takeFront(for: source, as: kind, limit)
    front = unsafe found.front
    return unsafe try batch(from: found.unread, room)
  }

  /// The messages at the front, if there is one. The caller has the turn, and this returns it then.
  @inlinable @inline(__always)
  func batch(from unread: UnsafeRawBufferPointer, _ room: BatchRoom) throws(EndpointError) -> [F.Incoming] {
    var (batch, room, consumed): ([F.Incoming], _, _) = ([], room, 0)
    defer { if consumed > 0 { half.leave(consuming: consumed) } }
    unsafe try append(from: unread, to: &batch, &room, &consumed)
    return batch
  }

  /// The next messages if the buffer holds one, for a caller that has the turn.
  @inlinable
  package func heldBatch(_ room: BatchRoom) throws(EndpointError) -> [F.Incoming] {
    unsafe try batch(from: half.front, room)
  }

  /// The messages of a call that took the long way.
  @inlinable
  package func batch(
    _ outcome: ReceiveHalf.Outcome, _ room: BatchRoom
  ) throws(EndpointError) -> [F.Incoming] {
    var (batch, room): ([F.Incoming], _) = ([], room)
    if half.carriesDatagrams {
      try appendDatagrams(outcome, to: &batch, &room)
      return batch
    }
    let unread: UnsafeRawBufferPointer?
    switch outcome {
    case .lent(let demand):
      batch.append(try lentMessage(demand))
      room.admitFirst(demand.byteCount)
      unsafe unread = half.goOn(after: demand, for: source)
    case .delivered(let delivery):
      batch.append(try message(outcome))
      room.admitFirst(delivery.frameByteCount)
      unsafe unread = half.goOn(behind: half.end(of: outcome), for: source)
    case .failed(let error): throw error
    }
    guard let unread = unsafe unread else { return batch }
    var consumed = 0
    defer { half.leave(consuming: consumed) }
    unsafe try append(from: unread, to: &batch, &room, &consumed)
    return batch
  }

  @usableFromInline
  func appendDatagrams(
    _ outcome: ReceiveHalf.Outcome, to batch: inout [F.Incoming], _ room: inout BatchRoom
  ) throws(EndpointError) {
    var position = half.end(of: outcome)
    let first = try half.bytes(of: outcome)
    batch.append(try message(datagram: first))
    room.admitFirst(first.count)
    while let datagram = half.heldDatagram(behind: position) {
      defer { half.leave(consuming: 0) }
      // If a message cannot be decoded, the next call reports that.
      guard room.admit(datagram.count), let message = try? message(datagram: datagram) else { return }
      batch.append(message)
      unsafe half.turn.consume(.atLeast(1))
      position += 1
    }
  }

  /// Receives the next messages, for a task.
  @inlinable
  func receiveBatch(_ limit: CallLimit, _ room: BatchRoom) async throws(EndpointError) -> [F.Incoming] {
    if await half.isCancelledAtBegin() { throw half.cancelled }
    var front = ReceiveHalf.Front.unseen
    let received = try batchAtOnce(&front, as: .task, limit, room)
    if !received.isEmpty { return received }
    return try await call(after: front, limit) { outcome throws(EndpointError) in try batch(outcome, room) }
  }
}

extension ReceivingSide where F: ByteFraming {
  /// Lends the next payloads, if the buffer holds one.
  ///
  /// - Returns: their number.
  @inlinable
  package func withPayloadsAtOnce(
    _ front: inout ReceiveHalf.Front, as kind: Place.Kind, _ limit: CallLimit, _ room: BatchRoom,
    _ body: (Span<UInt8>) throws -> Void
  ) throws -> Int {
    let found = unsafe half.takeFront(for: source, as: kind, limit, lends: true)
    front = unsafe found.front
    let count = unsafe try withPayloads(from: found.unread, room, body)
    if count == 0, front.holdsTurn { half.comeBack() }
    return count
  }

  /// Lends the payloads at the front, if there is one. The caller has the turn, and this returns it then.
  ///
  /// - Returns: their number.
  @inlinable @inline(__always)
  func withPayloads(
    from unread: UnsafeRawBufferPointer, _ room: BatchRoom, _ body: (Span<UInt8>) throws -> Void
  ) throws -> Int {
    var consumed = 0
    defer { if consumed > 0 { half.leave(consuming: consumed) } }
    var rest = room
    unsafe try lend(unread, &rest, isFirst: true, &consumed, body)
    return room.count - rest.count
  }

  @inlinable @inline(__always)
  func lend(
    _ unread: UnsafeRawBufferPointer, _ room: inout BatchRoom, isFirst: Bool, _ consumed: inout Int,
    _ body: (Span<UInt8>) throws -> Void
  ) throws {
    try unsafe takeFrames(of: unread, &room, isFirst: isFirst, &consumed) { frame, payload, _ in
      try body(frame.extracting(payload))
      return true
    }
  }

  /// Lends the payloads of a call that took the long way.
  ///
  /// - Returns: their number.
  @inlinable
  package func withPayloads(
    _ outcome: ReceiveHalf.Outcome, _ room: BatchRoom, _ body: (Span<UInt8>) throws -> Void
  ) throws -> Int {
    var rest = room
    guard let unread = unsafe try lendFirst(outcome, &rest, body) else { return room.count - rest.count }
    var consumed = 0
    defer { half.leave(consuming: consumed) }
    unsafe try lend(unread, &rest, isFirst: false, &consumed, body)
    return room.count - rest.count
  }

  /// - Returns: the bytes behind the first payload, with the turn held. Nil if there is nothing to continue with.
  @usableFromInline
  func lendFirst(
    _ outcome: ReceiveHalf.Outcome, _ room: inout BatchRoom, _ body: (Span<UInt8>) throws -> Void
  ) throws -> UnsafeRawBufferPointer? {
    if half.carriesDatagrams {
      var batch: [F.Incoming] = []
      try appendDatagrams(outcome, to: &batch, &room)
      for payload in batch { try body(payload.span) }
      return nil
    }
    switch outcome {
    case .lent(let demand):
      half.goAway()
      do {
        unsafe try half.turn.withPayload(of: demand, body)
      } catch {
        half.finishLoan(demand)
        throw error
      }
      room.admitFirst(demand.byteCount)
      return unsafe half.goOn(after: demand, for: source)
    case .delivered(let delivery):
      try body(delivery.bytes.span)
      room.admitFirst(delivery.frameByteCount)
      return unsafe half.goOn(behind: delivery.end, for: source, lends: true)
    case .failed(let error): throw error
    }
  }
}
