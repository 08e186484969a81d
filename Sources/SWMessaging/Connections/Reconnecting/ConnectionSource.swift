internal import SWFraming
internal import SWIO
internal import Synchronization
internal import SystemPackage

/// A client's connection as a source of items: every receiver gets the same connection, until it breaks.
///
///     none        when a receiver comes, the attempts begin in their own task
///     attempting  connected: receivers get the connection; given up: waiting receivers get the error
///     connected   the connection broke: none
///     ended       no connection is made any more
///
/// When no receiver waits any more, the attempt that is under way is the last. It is not cancelled, because otherwise callers
/// whose timeouts are shorter than an attempt would never get a connection.
final class ConnectionSource<F: Framing>: ItemSource {
  typealias Connect = @Sendable (Deadline) async throws(EndpointError) -> MessageDuplex<F>
  private typealias States = AsyncStream<ReconnectingClient<F>.State>

  private struct State: Sendable {
    var signal: ReadinessSignal?
    var connection: MessageDuplex<F>?
    /// The task of the attempts, while it runs.
    var attempts: Task<Void, Never>?
    var lastFailure: EndpointError?
    /// The number of consecutive connections that lasted for less than the longest pause.
    var briefCount = 0
    /// When the connection has lasted so long that it does not count as brief, so the next one needs no pause.
    var mayRetryFrom = Deadline.immediately
    var isBriefUntil = Deadline.immediately
    var isEnded = false
    var current = ReconnectingClient<F>.State.idle
    var watchers: [Int: States.Continuation] = [:]
    var lastWatcher = 0
    /// The changes that the watchers are still to be told of, the oldest first.
    var untold: [Change] = []
    /// Whether a caller is telling the watchers. It tells them of later changes, too.
    var isTelling = false
  }

  /// A change of the state, and those who watched when it was made.
  private struct Change: Sendable {
    var state: ReconnectingClient<F>.State
    var watchers: [States.Continuation]
  }

  private let backoff: Backoff
  private let attemptTimeout: Duration
  private let limit: Duration?
  private let connect: Connect
  private let bell = Bell()
  private let guarded = Guarded(State())
  private let receivers = Guarded<Receivers>(Receivers())

  private struct Receivers: Sendable {
    weak var half: ReceiveHalf?
  }

  init(_ backoff: Backoff, _ attemptTimeout: Duration, _ limit: Duration?, _ connect: @escaping Connect) {
    self.backoff = backoff
    self.attemptTimeout = attemptTimeout
    self.limit = limit
    self.connect = connect
  }

  func begin(for half: ReceiveHalf) { receivers.withLock { $0.half = half } }

  /// The number of receivers that wait for a connection.
  private var waitingCount: Int { receivers.withLock { $0.half }?.inspect { $0.queue.count } ?? 0 }

  // MARK: ItemSource

  var readinessSource: ReadinessSource { .signal }

  func attach(_ signal: ReadinessSignal) { guarded.withLock { $0.signal = signal } }

  func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt {
    let connection = change { state -> MessageDuplex<F>? in
      if let connection = state.connection {
        let condition = connection.condition
        if condition == .inOrder { return connection }
        leave(condition, &state)
      }
      if state.attempts == nil, !state.isEnded {
        state.attempts = Task { [weak self] in await self?.attempt() }
      }
      return nil
    }
    guard let connection else { return .wouldBlock }
    take(.value(connection, stays: false))
    return .transferred(1)
  }

  func close() { end() }

  /// Leaves the connection. Only if the peer or the way to it has failed, it counts as brief.
  private func leave(_ condition: ConnectionCondition, _ state: inout State) {
    state.connection = nil
    if condition == .broken {
      state.briefCount = state.isBriefUntil.hasPassed ? 0 : state.briefCount + 1
    } else {
      state.mayRetryFrom = .immediately
    }
    set(.idle, &state)
  }

  /// Closes a connection that a caller does not want any more.
  func giveUp(_ connection: MessageDuplex<F>) {
    // In this order, because the close hides what the peer has done.
    change { state in
      if state.connection === connection { leave(connection.condition, &state) }
    }
    connection.close()
  }

  // MARK: Attempts

  private func attempt() async {
    let giveUp = Deadline.after(limit)
    guard await pauseAfterBriefConnection(giveUp) else { return }
    var attempt = 0
    while true {
      attempt += 1
      let isWanted = change { state in
        if !state.isEnded { set(.connecting(attempt: attempt), &state) }
        return !state.isEnded
      }
      guard isWanted else { return }
      let failure: EndpointError
      do throws(EndpointError) {
        let connection = try await connect(min(.after(attemptTimeout), giveUp))
        return connected(connection)
      } catch {
        failure = error
      }
      guard let pause = failed(failure, attempt, giveUp) else { return }
      await bell.wait(until: .after(pause))
      guard mayContinue() else { return }
    }
  }

  /// Pauses after brief connections, so a server that accepts connections and ends them at once does not make the client
  /// spin.
  ///
  /// - Returns: whether to continue. If false, no receiver waits any more.
  private func pauseAfterBriefConnection(_ giveUp: Deadline) async -> Bool {
    let pauseEnd = change { state -> Deadline? in
      let now = Deadline.now
      guard !state.isEnded, state.briefCount > 0, state.mayRetryFrom > now else { return nil }
      let pause = Duration.nanoseconds(Int64(clamping: state.mayRetryFrom.nanoseconds - now.nanoseconds))
      set(.waiting(attempt: state.briefCount, pause: pause, after: EndpointError(.endOfStream)), &state)
      return state.mayRetryFrom
    }
    guard let pauseEnd else { return true }
    await bell.wait(until: min(pauseEnd, giveUp))
    return mayContinue()
  }

  /// Ends the attempts if no receiver waits any more.
  ///
  /// - Returns: whether to continue.
  private func mayContinue() -> Bool {
    let waiting = waitingCount
    let signal = change { state -> ReadinessSignal? in
      if waiting > 0 || state.isEnded { return nil }
      state.attempts = nil
      set(.idle, &state)
      return state.signal
    }
    // A receiver may have come since, and have found that attempts are under way.
    signal?.raise(.readable)
    return signal == nil
  }

  private func connected(_ connection: MessageDuplex<F>) {
    let signal = change { state -> ReadinessSignal? in
      state.attempts = nil
      if state.isEnded { return nil }
      state.connection = connection
      state.lastFailure = nil
      state.mayRetryFrom = .after(backoff.wait(after: state.briefCount + 1))
      state.isBriefUntil = .after(backoff.most)
      set(.connected, &state)
      return state.signal
    }
    if signal == nil { connection.close() }
    signal?.raise(.readable)
  }

  /// - Returns: how long to wait before the next attempt. Nil if there is none.
  private func failed(_ failure: EndpointError, _ attempt: Int, _ giveUp: Deadline) -> Duration? {
    let pause = backoff.wait(after: attempt)
    let isGivenUp = giveUp <= .after(pause)
    guarded.withLock { $0.lastFailure = failure }
    // Those who wait now are told at once, so that nobody who comes later gets their error.
    if isGivenUp { receivers.withLock { $0.half }?.failQueued(failure) }
    let waiting = waitingCount
    let (isOver, signal) = change { state -> (Bool, ReadinessSignal?) in
      if state.isEnded { return (true, nil) }
      if waiting == 0 || isGivenUp {
        state.attempts = nil
        set(.idle, &state)
        return (true, state.signal)
      }
      set(.waiting(attempt: attempt, pause: pause, after: failure), &state)
      return (false, nil)
    }
    // The signal is needed even if no receiver waited, because one may have come since and found that attempts are under
    // way.
    signal?.raise(.readable)
    return isOver ? nil : pause
  }

  // MARK: The end

  func disconnect() {
    if let connection = guarded.withLock({ $0.connection }) { giveUp(connection) }
  }

  func end() {
    let (connection, attempts) = change { state in
      state.isEnded = true
      state.signal = nil
      set(.closed, &state)
      defer { state.attempts = nil }
      return (state.connection.take(), state.attempts)
    }
    connection?.close()
    attempts?.cancel()
    bell.ring()
  }

  // MARK: State

  var lastFailure: EndpointError? { guarded.withLock { $0.lastFailure } }
  var state: ReconnectingClient<F>.State { guarded.withLock { $0.current } }

  /// Under the lock: notes the change for `change`, which tells the watchers of it.
  private func set(_ current: ReconnectingClient<F>.State, _ state: inout State) {
    if case .closed = state.current { return }
    state.current = current
    if !state.watchers.isEmpty {
      state.untold.append(Change(state: current, watchers: Array(state.watchers.values)))
    }
    // Nothing follows, and the watchers are told so.
    if case .closed = current { state.watchers = [:] }
  }

  /// Changes the state under the lock, and then tells the watchers without it. A watcher's task may run inside the call
  /// that tells it, and use the client there.
  private func change<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
    let (result, tells) = guarded.withLock { state in
      let result = body(&state)
      let tells = !state.untold.isEmpty && !state.isTelling
      if tells { state.isTelling = true }
      return (result, tells)
    }
    if tells { tell() }
    return result
  }

  /// Tells the watchers of all changes, in order. One caller at a time does that.
  private func tell() {
    while true {
      let next = guarded.withLock { state -> Change? in
        if state.untold.isEmpty {
          state.isTelling = false
          return nil
        }
        return state.untold.removeFirst()
      }
      guard let next else { return }
      for watcher in next.watchers {
        watcher.yield(next.state)
        if case .closed = next.state { watcher.finish() }
      }
    }
  }

  func states() -> AsyncStream<ReconnectingClient<F>.State> {
    let (stream, continuation) = States.makeStream(bufferingPolicy: .bufferingNewest(1))
    let (number, isEnded) = guarded.withLock { state in
      // No task waits for this stream yet, so this runs none.
      continuation.yield(state.current)
      state.lastWatcher += 1
      if !state.isEnded { state.watchers[state.lastWatcher] = continuation }
      return (state.lastWatcher, state.isEnded)
    }
    if isEnded {
      continuation.finish()
      return stream
    }
    continuation.onTermination = { [weak self] _ in
      let gone = self?.guarded.withLock { state in state.watchers.removeValue(forKey: number) }
      _ = gone  // released here, without the lock
    }
    return stream
  }
}

/// The condition of a connection, as far as this end can tell.
private enum ConnectionCondition {
  /// Messages can go both ways.
  case inOrder
  /// It was closed here, and nothing else is wrong with it.
  case closed
  /// The peer has ended it, or it has failed, or what came over it broke the framing.
  case broken
}

extension MessageDuplex {
  fileprivate var condition: ConnectionCondition {
    let halves = core.halves.map { $0.inspect { (isOver: $0.over != nil, isClosed: $0.isClosed) } }
    if receivingSide.source.hasFailed || halves.contains(where: { $0.isOver }) { return .broken }
    if halves.contains(where: { $0.isClosed }) { return .closed }
    // The peer may have gone although no call has received since.
    let hasEnded = try? core.halves.withDescriptor { FileDescriptor(rawValue: $0).isReady(for: .hangUps) }
    return hasEnded ?? false ? .broken : .inOrder
  }
}
