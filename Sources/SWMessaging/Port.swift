internal import CSysShim
package import SWIO
internal import Synchronization
internal import SystemPackage

/// What the one or two halves of an endpoint share: the transport, its registration with the reactor,
/// the first error of a socket. The last half to leave closes it, once.
package final class Port: ReadinessReceiver {
  enum Transport: Sendable {
    case descriptor(DescriptorTransport)
    case custom(any SocketLike, descriptor: Int32?, ReadinessSignal?)
  }

  private struct State {
    var halvesInside: Int
    weak var receiving: ReceiveHalf?
    weak var sending: SendHalf?
    var registration: RegistrationID?
    /// What the reactor tells of.
    var watched: Readiness = []
    /// The reactor cannot tell: the descriptor never blocks.
    var isAlwaysReady = false
    var firstError: TransportError?
    var isDetached = false
  }

  package let reactor: any Reacting
  // Invariant: written while the port is made, before anybody else knows it.
  private nonisolated(unsafe) var transport: Transport
  /// Of a pipe that is received from.
  private let packets: PacketRest?
  private let state: Guarded<State>

  /// Takes over a descriptor for so many halves.
  ///
  /// - Throws: `TransportError` when the descriptor is not open or not for that; it is still the caller's.
  package init(
    _ descriptor: Int32, for directions: Readiness, reactor: any Reacting
  ) throws(TransportError) {
    let transport = try DescriptorTransport(descriptor, for: directions)
    unsafe self.transport = .descriptor(transport)
    packets =
      transport.isPipe && directions.contains(.readable)
      ? PacketRest(always: transport.declaresPackets) : nil
    self.reactor = reactor
    state = Guarded(State(halvesInside: directions == [.readable, .writable] ? 2 : 1))
  }

  package init(_ custom: any SocketLike, for directions: Readiness, reactor: any Reacting) {
    self.reactor = reactor
    packets = nil
    state = Guarded(State(halvesInside: directions == [.readable, .writable] ? 2 : 1))
    switch custom.readinessSource {
    case .descriptor(let descriptor):
      unsafe transport = .custom(custom, descriptor: descriptor.rawValue, nil)
    case .signal:
      unsafe transport = .custom(custom, descriptor: nil, nil)
      let signal = ReadinessSignal(self)
      unsafe transport = .custom(custom, descriptor: nil, signal)
      custom.attach(signal)
    }
  }

  func connect(receiving half: ReceiveHalf) { state.withLock { $0.receiving = half } }
  func connect(sending half: SendHalf) { state.withLock { $0.sending = half } }

  /// What a blocked thread polls; nil where readiness is signalled in process.
  var polledDescriptor: Int32? {
    switch unsafe transport {
    case .descriptor(let transport): transport.working
    case .custom(_, let descriptor, _): descriptor
    }
  }

  /// The owner's number, to be lent.
  var number: Int32? {
    switch unsafe transport {
    case .descriptor(let transport): transport.number
    case .custom(_, let descriptor, _): descriptor
    }
  }

  /// Whether a short read says that nothing is left. Not so on a pipe: others may write to it in packets. Nor on
  /// a transport of the user's own.
  var drainsInOneRead: Bool {
    if case .descriptor(let transport) = unsafe transport { return transport.isStreamSocket }
    return false
  }

  var writesAtomically: Bool {
    if case .descriptor(let transport) = unsafe transport { return transport.writesAtomically }
    return false
  }

  // MARK: Attempts, in a half's turn

  /// - Parameter readsAhead: bytes behind those that fit may be taken, too.
  func receive(into memory: UnsafeMutableRawBufferPointer, readsAhead: Bool) -> Attempt {
    if let packets, packets.serves(memory.count, readsAhead: readsAhead) {
      return unsafe packets.receive(into: memory) { room in unsafe receive(into: room) }
    }
    return unsafe receive(into: memory)
  }

  private func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    while true {
      let attempt =
        switch unsafe transport {
        case .descriptor(let transport): unsafe transport.receive(into: memory)
        case .custom(let transport, _, _): unsafe transport.receive(into: memory)
        }
      switch attempt {
      case .failed(let error) where error.errno == .interrupted: continue
      case .failed(let error): return .failed(first(error))
      case .endOfStream:
        // A reset that the other half saw first must not look like a clean end here.
        if let error = state.withLock({ $0.firstError }) { return .failed(error) }
        return attempt
      case .transferred, .wouldBlock: return attempt
      }
    }
  }

  func send(_ parts: UnsafeBufferPointer<iovec>) -> Attempt {
    while true {
      let attempt: Attempt
      switch unsafe transport {
      case .descriptor(let transport): attempt = unsafe transport.send(parts)
      case .custom(let transport, _, _):
        guard let part = unsafe parts.first else { return .transferred(0) }
        attempt = unsafe transport.send(UnsafeRawBufferPointer(start: part.iov_base, count: part.iov_len))
      }
      switch attempt {
      case .failed(let error) where error.errno == .interrupted: continue
      case .failed(let error): return .failed(first(error))
      case .endOfStream: return .failed(first(TransportError(.send, .brokenPipe)))
      case .transferred, .wouldBlock: return attempt
      }
    }
  }

  /// The first error of a socket stands for both directions; a broken pipe ends sending only.
  private func first(_ error: TransportError) -> TransportError {
    state.withLock { state in
      if let first = state.firstError { return first }
      if isConnection, error.errno != .brokenPipe { state.firstError = error }
      return error
    }
  }

  /// What goes wrong one way goes wrong both ways; not so with a file or a terminal.
  private var isConnection: Bool {
    if case .descriptor(let transport) = unsafe transport { return transport.mode == .socket }
    return true
  }

  /// Half-close, in the sending half's turn. `false`: only giving the descriptor up tells the peer.
  func finishSending() throws(TransportError) -> Bool {
    switch unsafe transport {
    case .descriptor(let transport): return try transport.finishSending()
    case .custom(let transport, _, _):
      try transport.finishSending()
      return true
    }
  }

  // MARK: Readiness

  package func readinessChanged(_ readiness: Readiness) {
    if !readiness.isDisjoint(with: [.readable, .hungUp]) {
      let receiving = state.withLock { $0.receiving }
      if readiness.contains(.urgent) { receiving?.noteUrgentData() }
      receiving?.stir()
    }
    if !readiness.isDisjoint(with: [.writable, .hungUp]) {
      let sending = state.withLock { $0.sending }
      sending?.stir()
    }
  }

  /// Has the reactor watch for one half, in its turn: close cannot give the number up meanwhile.
  func watch(_ direction: Readiness) -> Errno? {
    guard let descriptor = polledDescriptor else { return nil }  // in-process: always told
    return state.withLock { state in
      if state.isAlwaysReady { return nil }
      let wanted = state.watched.union(direction)
      if let registration = state.registration {
        if let errno = reactor.watch(registration, descriptor: descriptor, wanted) { return errno }
      } else {
        switch reactor.register(descriptor, for: self, watching: wanted) {
        case .registered(let id): state.registration = id
        case .alwaysReady: state.isAlwaysReady = true
        case .failed(let errno): return errno
        }
      }
      state.watched = wanted
      return nil
    }
  }

  /// Has the reactor watch no more for one half, in its turn.
  func unwatch(_ direction: Readiness) {
    guard let descriptor = polledDescriptor else { return }
    state.withLock { state in
      guard let registration = state.registration else { return }
      let wanted = state.watched.subtracting(direction)
      if reactor.watch(registration, descriptor: descriptor, wanted) == nil { state.watched = wanted }
    }
  }

  var isSignalled: Bool { polledDescriptor == nil }

  /// Whether there is a descriptor to give back, and nothing but it.
  var isDetachable: Bool {
    if case .descriptor = unsafe transport { return true }
    return false
  }

  // MARK: The end

  /// A half has no more use for the transport; with the last one it is closed.
  package func leave() {
    let isLast = state.withLock { state in
      state.halvesInside -= 1
      return state.halvesInside == 0 && !state.isDetached
    }
    if isLast { deregister(closing: true) }
  }

  private func deregister(closing: Bool) {
    let registration = state.withLock { state in
      defer { state.registration = nil }
      return state.registration
    }
    // DEL before close: a duplicate would keep the registration alive.
    if let registration, let descriptor = polledDescriptor {
      reactor.deregister(registration, descriptor: descriptor)
    }
    switch unsafe transport {
    case .descriptor(let transport): if closing { transport.close() } else { transport.closeWorking() }
    case .custom(let transport, _, let signal):
      signal?.detach()
      if closing { transport.close() }
    }
  }

  /// Bytes that the transport had to take ahead of anybody's wish; once both halves are out.
  func takeUnread() -> [UInt8] { packets?.take() ?? [] }

  /// Gives the number away without closing it; both halves are out already.
  func detach() -> Int32? {
    guard case .descriptor(let transport) = unsafe transport else { return nil }
    state.withLock { $0.isDetached = true }
    deregister(closing: false)
    return transport.number
  }
}
