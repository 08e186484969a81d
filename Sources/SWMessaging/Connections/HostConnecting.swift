internal import SWIO
internal import Synchronization
internal import SystemPackage

/// A TCP or UDP connection attempt, for one caller.
final class HostConnecting: Connecting {
  let half: ReceiveHalf
  private let source: HostConnectSource

  init(host: String, port: UInt16, _ kind: ConnectionKind, _ connector: Connector) {
    source = HostConnectSource(host: host, port: port, kind, connector)
    half = ReceiveHalf(Port(source, for: .readable, reactor: Reactor.shared))
  }

  /// Nothing waits for the resolver. Its answer will find the source closed.
  func end() { half.close() }

  func explanation(of error: EndpointError, at address: Address) -> String {
    let (last, words) = source.lastFailure
    return explanation(last, words, of: error, at: address)
  }
}

/// Looks a host up, and connects to the first of its addresses that answers. The item is the connected descriptor.
///
///     resolving   a helper thread looks the host up. An IP address is known at once
///     racing      attempts to connect are under way, each watched by the reactor
///     closed      all sockets are closed; the resolver's answer is dropped
private final class HostConnectSource: ItemSource, ReadinessReceiver {
  private enum Phase: Sendable {
    case new
    case resolving
    case resolved([SocketAddress])
    case unresolved(Resolver.Failure)
    case racing(AddressRace)
    case closed
  }

  private struct State: Sendable {
    var phase = Phase.new
    var signal: ReadinessSignal?
    var sockets: [WatchedSocket] = []
    var lastFailure: TransportError?
    var words = ""
  }

  private let host: String
  private let port: UInt16
  private let kind: ConnectionKind
  private let waitsForServer: Bool
  private let noDelay: Bool
  private let state = Guarded(State())

  init(host: String, port: UInt16, _ kind: ConnectionKind, _ connector: Connector) {
    self.host = host
    self.port = port
    self.kind = kind
    waitsForServer = connector.waitsForServer
    noDelay = !connector.delaysSmallMessages
  }

  var lastFailure: (TransportError?, String) { state.withLock { ($0.lastFailure, $0.words) } }

  // MARK: SocketLike

  var readinessSource: ReadinessSource { .signal }

  var capabilities: TransportCapabilities {
    var capabilities = TransportCapabilities()
    capabilities.shortestPause = 10_000_000
    capabilities.longestPause = 250_000_000
    return capabilities
  }

  func attach(_ signal: ReadinessSignal) { state.withLock { $0.signal = signal } }

  func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt {
    switch state.withLock({ $0.phase }) {
    case .new: return resolve(take)
    case .resolving, .closed: return .wouldBlock
    case .unresolved(let failure):
      let error = TransportError(.resolve, failure.errno, scope: .connection)
      note(error, failure.explanation)
      return .failed(error)
    case .resolved(let addresses): return run(AddressRace(addresses), take)
    case .racing(let race): return run(race, take)
    }
  }

  func close() {
    let sockets = state.withLock { state in
      state.phase = .closed
      state.signal = nil
      defer { state.sockets = [] }
      return state.sockets
    }
    for socket in sockets { socket.close() }
  }

  // MARK: Steps, in the half's turn

  private func resolve(_ take: (ReceivedItem) -> Void) -> Attempt {
    if let address = SocketAddress(ip: host, port: port) { return run(AddressRace([address]), take) }
    state.withLock { $0.phase = .resolving }
    let errno = Resolver.start(host, port: port) { [self] result in
      let signal = state.withLock { state -> ReadinessSignal? in
        guard case .resolving = state.phase else { return nil }
        switch result {
        case .success(let addresses): state.phase = .resolved(addresses)
        case .failure(let failure): state.phase = .unresolved(failure)
        }
        return state.signal
      }
      signal?.raise(.readable)
    }
    guard let errno else { return .wouldBlock }
    let error = TransportError(.resolve, errno, scope: .connection)
    note(error, "no thread can be made for the resolver")
    return .failed(error)
  }

  private func run(_ begun: AddressRace, _ take: (ReceivedItem) -> Void) -> Attempt {
    var race = begun
    while true {
      if let winner = look(&race) {
        let socket = winner.release()
        socket.endConnecting()
        take(.value(FreshDescriptor(socket, kind, isUnix: false), stays: false))
        return .transferred(1)
      }
      switch race.next(now: .now) {
      case .start(let address):
        if let error = start(address) {
          note(error)
          race.failed(error)
        }
      case .wait(let deadline):
        let signal = state.withLock { [race] state in
          state.phase = .racing(race)
          return state.signal
        }
        if deadline != .never {
          signal?.raise(.readable, after: .nanoseconds(max(deadline.remaining, 1)))
        }
        // If a socket has become ready since it was examined, the reactor has reported that, and the half tries again.
        return .wouldBlock
      case .lost(let error):
        if waitsForServer, race.wasRefused {
          state.withLock { $0.phase = .new }
          return .retryLater
        }
        return .failed(TransportError(error.operation, error.errno, scope: .connection))
      }
    }
  }

  /// Examines the attempts under way, and returns one that has connected.
  private func look(_ race: inout AddressRace) -> WatchedSocket? {
    for socket in state.withLock({ $0.sockets }) {
      switch socket.progress {
      case .connecting: break
      case .connected:
        state.withLock { state in state.sockets.removeAll { $0 === socket } }
        return socket
      case .failed(let errno):
        state.withLock { state in state.sockets.removeAll { $0 === socket } }
        socket.close()
        let error = TransportError(.connect, errno)
        note(error)
        race.failed(error)
      }
    }
    return nil
  }

  private func start(_ address: SocketAddress) -> TransportError? {
    do throws(TransportError) {
      let socket = WatchedSocket(try ConnectingSocket(to: address, kind, noDelay: noDelay))
      if let errno = socket.watch(for: self) { return TransportError(.wait, errno) }
      state.withLock { $0.sockets.append(socket) }
      return nil
    } catch {
      return error
    }
  }

  private func note(_ error: TransportError, _ words: String = "") {
    state.withLock { state in
      state.lastFailure = error
      state.words = words
    }
  }

  // MARK: ReadinessReceiver

  func readinessChanged(_ readiness: Readiness, mayDrive: Bool) {
    let signal = state.withLock { $0.signal }
    signal?.raise(.readable)
  }
}

/// A connecting socket that the reactor watches.
private final class WatchedSocket: Sendable {
  private struct State: ~Copyable, Sendable {
    var socket: ConnectingSocket?
    var registration: RegistrationID?
  }

  private let state: Guarded<State>

  init(_ socket: consuming ConnectingSocket) {
    state = Guarded(State(socket: consume socket, registration: nil))
  }

  func watch(for receiver: any ReadinessReceiver) -> Errno? {
    state.withLock { state in
      guard let number = state.socket?.number else { return nil }
      switch Reactor.shared.register(number, for: receiver, watching: .writable) {
      case .registered(let id): state.registration = id
      case .alwaysReady: break
      case .failed(let errno): return errno
      }
      return nil
    }
  }

  var progress: ConnectingSocket.Progress { state.withLock { $0.socket?.progress ?? .connecting } }

  private func unwatch(_ state: inout State) {
    if let id = state.registration, let number = state.socket?.number {
      Reactor.shared.deregister(id, descriptor: number)
    }
    state.registration = nil
  }

  func close() {
    state.withLock { state in
      unwatch(&state)
      state.socket = nil
    }
  }

  /// Gives the descriptor away.
  func release() -> OwnedDescriptor {
    state.withLock { state in
      unwatch(&state)
      guard let socket = state.socket.take() else { preconditionFailure("a socket is released once") }
      return socket.release()
    }
  }
}
