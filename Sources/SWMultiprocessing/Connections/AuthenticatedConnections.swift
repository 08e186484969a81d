internal import SWIO
internal import SWMessaging
internal import Synchronization
internal import SystemPackage

/// The connections of a listener that have passed the handshake, as a source of items.
///
/// One task accepts, and has a child task for each handshake. It retains this source until the source is closed.
final class AuthenticatedConnections: ItemSource {
  private struct State: Sendable {
    /// The ready connections, in the order in which they passed the handshake.
    var ready: [EndpointCore] = []
    /// The number of ready connections, of those in a handshake, and of those whose handshake has failed and whose
    /// descriptor is not closed yet.
    var count = 0
    var failure: TransportError?
    /// Whether no other client may connect. Clients that have connected are still accepted.
    var isFinishing = false
    /// Whether the task has stopped accepting.
    var hasFinished = false
    var isClosed = false
    var signal: ReadinessSignal?
    /// The continuation of the accepting task, while it waits for room.
    var accepting: CheckedContinuation<Void, Never>?
    var task: Task<Void, Never>?

    /// The result of an attempt when no connection is ready. While the listener finishes and a connection is still to come,
    /// it is `waitsFor([])`, because the half would end after `wouldBlock`.
    var nothing: Attempt {
      if let failure { return .failed(failure) }
      return isFinishing && (count > 0 || !hasFinished) ? .waitsFor([]) : .wouldBlock
    }
  }

  private let listener: Listener<SocketDuplex>
  private let authentication: Authentication
  /// The most connections at a time.
  private let limit: Int
  private let onFailure: (@Sendable (MultiprocessingError) -> Void)?
  private let state = Guarded(State())

  init(
    _ listener: Listener<SocketDuplex>, _ authentication: Authentication, limit: Int?,
    _ onFailure: (@Sendable (MultiprocessingError) -> Void)?
  ) {
    self.listener = listener
    self.authentication = authentication
    self.limit = limit ?? min(DescriptorLimit.forStrangers, 4096)
    self.onFailure = onFailure
    let task = Task.detached { await self.run() }
    state.withLock { $0.task = task }
  }

  // MARK: ItemSource

  var readinessSource: ReadinessSource { .signal }

  func attach(_ signal: ReadinessSignal) { state.withLock { $0.signal = signal } }

  func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt {
    let (taken, nothing, accepting) = state.withLock { state in
      let taken = Array(state.ready.prefix(limit))
      state.ready.removeFirst(taken.count)
      state.count -= taken.count
      return (taken, state.nothing, taken.isEmpty ? nil : state.accepting.take())
    }
    accepting?.resume()
    if taken.isEmpty { return nothing }
    for core in taken { take(.value(core, stays: false)) }
    return .transferred(taken.count)
  }

  /// Accepts the clients that have connected, and then no more.
  func finish() {
    state.withLock { $0.isFinishing = true }
    listener.finish()
  }

  func close() {
    listener.close()
    let last = state.withLock { state in
      defer { state = State(isClosed: true) }
      return (task: state.task, accepting: state.accepting, ready: state.ready)
    }
    last.task?.cancel()
    last.accepting?.resume()
  }

  // MARK: The task

  private func run() async {
    await withDiscardingTaskGroup { group in
      while await waitForRoom() {
        do throws(EndpointError) {
          let connection = try await listener.accept()
          state.withLock { $0.count += 1 }
          group.addTask { await self.greet(connection) }
        } catch {
          guard case .transport(let failure) = error.reason else { break }
          // Any other operation concerns one connection, which is lost.
          if failure.operation != .accept { continue }
          state.withLock { $0.failure = failure }
          break
        }
      }
      // Handshakes continue to their ends, unless this task is cancelled.
      listener.close()
      change { $0.hasFinished = true }
    }
  }

  private func greet(_ connection: SocketDuplex) async {
    do throws(MultiprocessingError) {
      try await connection.authenticate(as: .listener, with: authentication, address: listener.address)
    } catch {
      if !isClosed { onFailure?(error) }
      connection.core.close { [self] in
        let (accepting, signal) = state.withLock { state in
          state.count -= 1
          return (state.accepting.take(), state.signal)
        }
        accepting?.resume()
        signal?.raise(.readable)
      }
      return
    }
    change { state in
      if !state.isClosed { state.ready.append(connection.core) }
    }
  }

  private var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Changes the state, and requests another attempt.
  private func change(_ body: (inout State) -> Void) {
    let signal = state.withLock { state in
      body(&state)
      return state.signal
    }
    signal?.raise(.readable)
  }

  /// Returns false when the source is closed.
  private func waitForRoom() async -> Bool {
    await withCheckedContinuation { continuation in
      let hasRoom = state.withLock { state in
        if state.isClosed || state.count < limit { return true }
        state.accepting = continuation
        return false
      }
      if hasRoom { continuation.resume() }
    }
    return !isClosed
  }
}
