/// What an endpoint is waiting for, at one moment; for logs and for finding out why a program stands still.
public struct EndpointSnapshot: Hashable, Sendable {
  /// How many calls wait to receive.
  public var waitingReceivers: Int
  /// How many calls wait to send.
  public var waitingSenders: Int
  /// How many bytes have been received and not been returned by a receive.
  public var unreadByteCount: Int
  /// The rest of a message that timed out half sent has not gone out yet.
  public var owesRest: Bool
  /// The endpoint has been closed or detached.
  public var isClosed: Bool
}

extension Endpoint {
  /// What the endpoint is waiting for at this moment. Takes the endpoint's locks for a short time and waits for nobody;
  /// may be called from anywhere.
  public var snapshot: EndpointSnapshot {
    let (receivers, isReceivingClosed) =
      core.receiving?.inspect { ($0.queue.count, $0.isClosed) } ?? (0, true)
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
