// A blocking call whose message was not there at once waits alone as long as it can, and else in line. These are functions of
// their own, so that the calls that find their message stay short.

extension ReceivingSide {
  @inlinable @inline(never)
  func awaitMessage(
    after begun: ReceiveHalf.Front, _ limit: CallLimit
  ) throws(EndpointError) -> F.Incoming {
    var (front, limit) = (begun, limit)
    if half.waitAlone(&front, &limit), let message = try heldMessage() { return message }
    return try message(half.receiveBlocking(request, limit, after: front))
  }

  @inlinable @inline(never)
  func awaitBatch(
    after begun: ReceiveHalf.Front, _ limit: CallLimit, _ room: BatchRoom
  ) throws(EndpointError) -> [F.Incoming] {
    var (front, limit) = (begun, limit)
    if half.waitAlone(&front, &limit) {
      let batch = try heldBatch(room)
      if !batch.isEmpty { return batch }
    }
    return try batch(half.receiveBlocking(request, limit, after: front), room)
  }
}

extension ReceivingSide where F: ByteFraming {
  @inlinable @inline(never)
  func awaitPayload<Result>(
    after begun: ReceiveHalf.Front, _ limit: CallLimit, _ body: (Span<UInt8>) throws -> Result
  ) throws -> Result {
    var (front, limit) = (begun, limit)
    if half.waitAlone(&front, &limit), let result = try withHeldPayload(body) { return result }
    return try withPayload(half.receiveBlocking(request, limit, after: front), body)
  }

  @inlinable @inline(never)
  func awaitPayloads(
    after begun: ReceiveHalf.Front, _ limit: CallLimit, _ room: BatchRoom,
    _ body: (Span<UInt8>) throws -> Void
  ) throws -> Int {
    var (front, limit) = (begun, limit)
    if half.waitAlone(&front, &limit) {
      half.goAway()
      let lent = try unsafe withPayloads(from: half.front, room, body)
      if lent > 0 { return lent }
      half.comeBack()
    }
    return try withPayloads(half.receiveBlocking(request, limit, after: front), room, body)
  }
}
