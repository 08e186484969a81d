/// The state of an endpoint at one moment, for logs and for finding out why a program waits.
public struct EndpointSnapshot: Hashable, Sendable {
  /// The number of calls that wait to receive.
  public var waitingReceivers: Int
  /// The number of calls that wait to send.
  public var waitingSenders: Int
  /// The number of bytes that have been received, and that no call has returned yet.
  public var unreadByteCount: Int
  /// Whether the rest of a half-sent message has not gone out yet.
  public var owesRest: Bool
  /// Whether the endpoint has been closed or detached.
  public var isClosed: Bool
}

extension Endpoint {
  /// The state of the endpoint at this moment. The call takes the endpoint's locks for a short time and never waits for
  /// the peer. It may be made from anywhere.
  public var snapshot: EndpointSnapshot {
    let (receivers, isReceivingClosed) =
      core.receiving?.inspect { ($0.waiterCount, $0.isClosed) } ?? (0, true)
    let (senders, owesRest, isSendingClosed) =
      core.sending?.inspect { state in
        let owesRest = state.queue.first?.kind == .orphan
        return (state.queue.count - (owesRest ? 1 : 0), owesRest, state.isClosed)
      } ?? (0, false, true)
    return EndpointSnapshot(
      waitingReceivers: receivers, waitingSenders: senders, unreadByteCount: core.receiving?.held ?? 0,
      owesRest: owesRest, isClosed: isReceivingClosed && isSendingClosed)
  }
}
