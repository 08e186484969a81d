internal import SWIO
internal import Synchronization

/// Those who serve a listener's connections, without the type of the connections.
package protocol ServesConnections: AnyObject, Sendable {
  /// The listener finishes.
  func drain()
  /// Something has happened that concerns the listener.
  func tell(_ event: ListenerEvent)
  var snapshot: [ListenerSnapshot.Connection] { get }
}

/// The books of one call of `serve`: who is served, who may be, and whether it is time to end.
///
///     room       connections are accepted
///     full       they wait in the kernel until one that is served is closed
///     draining   none is accepted that was not made before; those that are served receive what has arrived, and end
package final class Service<Connection: Endpoint>: ServesConnections {
  package struct Limits: Sendable {
    var connections: Int
    var perUser: Int?

    /// - Parameter connections: nil: half of the descriptors that this process may have.
    package init(connections: Int?, perUser: Int?) {
      self.connections = max(connections ?? DescriptorLimit.forConnections, 1)
      self.perUser = perUser
    }
  }

  private struct Entry: Sendable {
    let connection: Connection
    let peer: PeerCredentials?
    let begin: Deadline
    var isGreeting: Bool
  }

  private struct State: Sendable {
    var served: [Int: Entry] = [:]
    /// How many connections each user has; if that is limited.
    var users: [UInt32: Int] = [:]
    var lastNumber = 0
    var isDraining = false
    var deadline = Deadline.never
    var isListenerClosed = false
    /// The number of refused connections that are not closed yet.
    var refusedCount = 0
    /// The number of connections that are over, and whose end the observer is being told.
    var endsBeingTold = 0
  }

  private let limits: Limits
  private let observer: (@Sendable (ListenerEvent) -> Void)?
  /// Called after each change that somebody may wait for: a connection is closed, or draining begins.
  private let changed: @Sendable () -> Void
  /// Called when draining begins, once, before the listener stops accepting. Returns when the time for the end has passed.
  private let drainBegins: @Sendable () -> Deadline
  private let state = Guarded(State())

  package init(
    _ limits: Limits, _ observer: (@Sendable (ListenerEvent) -> Void)?,
    drainBegins: @escaping @Sendable () -> Deadline, changed: @escaping @Sendable () -> Void
  ) {
    self.drainBegins = drainBegins
    self.limits = limits
    self.observer = observer
    self.changed = changed
  }

  package func tell(_ event: ListenerEvent) { observer?(event) }

  // MARK: Connections

  /// Whether a connection is accepted now. When it drains, those that waited are.
  package var accepts: Bool { state.withLock { $0.isDraining || $0.served.count < limits.connections } }
  package var isDraining: Bool { state.withLock { $0.isDraining } }
  /// When the time for the end has passed. Never before it drains.
  package var deadline: Deadline { state.withLock { $0.deadline } }
  package var isEmpty: Bool { state.withLock { $0.served.isEmpty } }
  /// No number of a descriptor is left, neither of a connection nor of the listener, and the observer has been told of every end.
  package var isOver: Bool {
    state.withLock {
      $0.served.isEmpty && $0.refusedCount == 0 && $0.endsBeingTold == 0 && $0.isListenerClosed
    }
  }

  /// Enters a connection that has been accepted.
  ///
  /// - Returns: its number; nil if it is refused, and closed.
  package func admit(_ connection: Connection, greets: Bool) -> Int? {
    let peer = connection.peer
    let (number, refusal, isDraining) = state.withLock {
      state -> (Int, ListenerEvent.Refusal?, isDraining: Bool) in
      if state.isDraining, state.served.count >= limits.connections {
        state.refusedCount += 1
        return (0, .draining, true)
      }
      if let perUser = limits.perUser, let user = peer?.userID {
        let count = state.users[user, default: 0]
        if count >= perUser {
          state.refusedCount += 1
          return (0, .userLimit, false)
        }
        state.users[user] = count + 1
      }
      state.lastNumber += 1
      state.served[state.lastNumber] = Entry(
        connection: connection, peer: peer, begin: .now, isGreeting: greets)
      return (state.lastNumber, nil, state.isDraining)
    }
    if let refusal {
      // In this order, the event is there when the peer sees the end.
      tell(.refused(refusal, peer: peer))
      connection.core.close { [self] in
        state.withLock { $0.refusedCount -= 1 }
        changed()
      }
      return nil
    }
    tell(.accepted(connection: number, peer: peer))
    if isDraining { connection.core.receiving?.finishReceiving() }
    return number
  }

  package func hasGreeted(_ number: Int) { state.withLock { $0.served[number]?.isGreeting = false } }

  /// A connection is over, and its number is free. The kernel may take longer to close it, perhaps as long as the peer likes.
  package func leave(_ number: Int, _ error: (any Error)?) {
    let entry = state.withLock { state -> Entry? in
      let entry = state.served.removeValue(forKey: number)
      if entry != nil { state.endsBeingTold += 1 }
      if limits.perUser != nil, let user = entry?.peer?.userID, let count = state.users[user] {
        state.users[user] = count > 1 ? count - 1 : nil
      }
      return entry
    }
    guard let entry else { return }
    if entry.isGreeting, let error {
      tell(.greetingFailed(connection: number, error))
    } else {
      let nanoseconds = Deadline.now.nanoseconds - entry.begin.nanoseconds
      tell(.closed(connection: number, error: error, after: .nanoseconds(Int64(clamping: nanoseconds))))
    }
    state.withLock { $0.endsBeingTold -= 1 }
    changed()
  }

  // MARK: The end

  package func drain() {
    let served = state.withLock { state -> [Connection]? in
      if state.isDraining { return nil }
      state.isDraining = true
      return state.served.values.map { $0.connection }
    }
    guard let served else { return }
    let deadline = drainBegins()
    state.withLock { $0.deadline = deadline }
    tell(.draining(connectionCount: served.count))
    for connection in served { connection.core.receiving?.finishReceiving() }
    changed()
  }

  /// The time for the end has passed.
  package func noteCancelling() {
    let count = state.withLock { $0.served.count }
    if count > 0 { tell(.cancelling(connectionCount: count)) }
  }

  package func noteListenerClosed() {
    state.withLock { $0.isListenerClosed = true }
    changed()
  }

  /// Closes what is left.
  package func closeAll() {
    for connection in state.withLock({ $0.served.values.map { $0.connection } }) { connection.close() }
  }

  package var snapshot: [ListenerSnapshot.Connection] {
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
