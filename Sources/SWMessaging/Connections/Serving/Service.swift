internal import CSysShim
internal import SWIO
internal import Synchronization

/// Those who serve a listener's connections, without the type of the connections.
protocol ServesConnections: AnyObject, Sendable {
  /// The listener finishes.
  func drain()
  var snapshot: [ListenerSnapshot.Connection] {
    let served = state.withLock { $0.served }
    // After all of them have begun.
    let now = Deadline.now.nanoseconds
    return served.map { number, entry in
      ListenerSnapshot.Connection(
        number: number, peer: entry.peer, age: .nanoseconds(Int64(clamping: now - entry.begin.nanoseconds)),
        isGreeting: entry.isGreeting, endpoint: entry.connection.snapshot)
    }
  }
}

// The rest of a message that timed out half sent goes out before the connection is closed, if the peer takes it.
extension EndpointCore {
  private static var patience: Duration { .seconds(1) }

  private var half: SendHalf? {
    guard let sending, sending.inspect({ $0.queue.first?.kind == .orphan }) else { return nil }
    return sending
  }

  private func flush(_ half: SendHalf, as kind: Place.Kind) -> SendHalf.Started {
    half.start(SendHalf.Call(Outgoing([]), as: kind, step: .flush, until: .after(Self.patience)))
  }

  func sendOwedRest() async {
    guard let half else { return }
    _ = await half.finish(flush(half, as: .task))
  }

  func sendOwedRestBlocking() {
    guard let half else { return }
    _ = half.finishBlocking(flush(half, as: .thread))
  }
}
