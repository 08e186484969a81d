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

  @safe
  // So who finds a half here, under the lock, finds it alive. Weak references would say the same, and take
  // another fifty bytes each.
  // Invariant: a half leaves before it goes, and is forgotten with that.
  private struct State: @unchecked Sendable {
    var halvesInside: Int
    var receiving: Unmanaged<ReceiveHalf>?
    var sending: Unmanaged<SendHalf>?
    var registration: RegistrationID?
    /// What the reactor tells of, for each half; what it watches is both.
    var watchedToReceive: Readiness = []
    var watchedToSend: Readiness = []
    /// What each half's last attempt that would block asked to wait for; of a transport of the user's own.
    var awaitedToReceive: Readiness = .readable
    var awaitedToSend: Readiness = .writable
    /// The reactor cannot tell: the descriptor never blocks.
    var isAlwaysReady = false
    var firstError: TransportError?
    var isDetached = false

    mutating func forget(_ direction: Readiness) {
      if direction.contains(.readable) { unsafe receiving = nil }
      if direction.contains(.writable) { unsafe sending = nil }
    }
  }

  package let reactor: any Reacting
  // Invariant: written while the port is made, before anybody else knows it.
  private nonisolated(unsafe) var transport: Transport
  /// Of a pipe that is received from.
  private let packets: PacketRest?
  private let state: Guarded<State>
  /// An attempt has waited for the other direction's readiness: from then on both halves hear of everything.
  private let crosses = Atomic(false)

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
    state = Guarded(unsafe State(halvesInside: directions == [.readable, .writable] ? 2 : 1))
  }

  package init(_ custom: any SocketLike, for directions: Readiness, reactor: any Reacting) {
    self.reactor = reactor
    packets = nil
    state = Guarded(unsafe State(halvesInside: directions == [.readable, .writable] ? 2 : 1))
    var number: Int32?
    if case .descriptor(let descriptor) = custom.readinessSource { number = descriptor.rawValue }
    unsafe transport = .custom(custom, descriptor: number, nil)
    let signal = ReadinessSignal(self, reactor: reactor)
    unsafe transport = .custom(custom, descriptor: number, signal)
    custom.attach(signal)
  }

  func connect(receiving half: ReceiveHalf) {
    state.withLock { unsafe $0.receiving = .passUnretained(half) }
  }
  func connect(sending half: SendHalf) { state.withLock { unsafe $0.sending = .passUnretained(half) } }

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

  func isInheritable() throws(TransportError) -> Bool {
    switch unsafe transport {
    case .descriptor(let transport): try OwnedDescriptor.isInheritable(transport.number)
    case .custom(let transport, _, _): try transport.isInheritable()
    }
  }

  func setInheritable(_ inheritable: Bool) throws(TransportError) {
    switch unsafe transport {
    case .descriptor(let transport): try OwnedDescriptor.setInheritable(transport.number, inheritable)
    case .custom(let transport, _, _): try transport.setInheritable(inheritable)
    }
  }

  /// Whether a short read says that nothing is left. Not so on a pipe: others may write to it in packets. Nor on
  /// a transport of the user's own.
  var drainsInOneRead: Bool {
    if case .descriptor(let transport) = unsafe transport { return transport.isStreamSocket }
    return false
  }

  /// An attempt moves a whole datagram, which may be empty.
  var carriesDatagrams: Bool {
    switch unsafe transport {
    case .descriptor(let transport): transport.carriesDatagrams
    case .custom(let transport, _, _): transport.content == .datagrams
    }
  }

  /// The error is about the one datagram that was to be sent, or that came: others may fare better.
  static func isAboutOneDatagram(_ error: TransportError) -> Bool {
    let errors: [Errno] = [
      .messageTooLong, .noBufferSpace, .noMemory, .connectionRefused, .noRouteToHost, .networkUnreachable,
      .networkDown, .hostIsDown, .permissionDenied, .notPermitted, .tooManyReferences, .tooManyOpenFiles,
      .noSuchFileOrDirectory, .socketNotConnected, .addressRequired,
    ]
    return errors.contains(error.errno)
  }

  var writesAtomically: Bool {
    if case .descriptor(let transport) = unsafe transport { return transport.writesAtomically }
    return false
  }

  // MARK: Attempts, in a half's turn

  /// - Parameter readsAhead: bytes behind those that fit may be taken, too.
  /// - Parameter mayTakeLong: on a thread that may wait for a disk; without, such an attempt is not made but
  ///   answered with `offload`.
  func receive(
    into memory: UnsafeMutableRawBufferPointer, readsAhead: Bool, mayTakeLong: Bool = false
  ) -> Attempt {
    if let packets, packets.serves(memory.count, readsAhead: readsAhead) {
      return unsafe packets.receive(into: memory) { room in
        unsafe receive(into: room, mayTakeLong: mayTakeLong)
      }
    }
    return unsafe receive(into: memory, mayTakeLong: mayTakeLong)
  }

  private func receive(into memory: UnsafeMutableRawBufferPointer, mayTakeLong: Bool) -> Attempt {
    while true {
      let attempt: Attempt
      switch unsafe transport {
      case .descriptor(let transport):
        attempt = unsafe transport.receive(into: memory, mayTakeLong: mayTakeLong)
      case .custom(let transport, _, _):
        attempt =
          unsafe mayTakeLong ? transport.receiveTakingLong(into: memory) : transport.receive(into: memory)
        if crosses.load(ordering: .relaxed) { tellSending(of: attempt) }
      }
      switch attempt {
      case .failed(let error) where error.errno == .interrupted: continue
      case .failed(let error): return .failed(first(error))
      case .endOfStream:
        // A reset that the other half saw first must not look like a clean end here.
        if let error = state.withLock({ $0.firstError }) { return .failed(error) }
        return attempt
      case .offload:
        precondition(!mayTakeLong, "an attempt that may take long is offloaded once")
        return attempt
      case .transferred, .wouldBlock, .waitsFor: return attempt
      }
    }
  }

  func send(_ parts: UnsafeBufferPointer<iovec>, mayTakeLong: Bool = false) -> Attempt {
    while true {
      let attempt: Attempt
      switch unsafe transport {
      case .descriptor(let transport): attempt = unsafe transport.send(parts, mayTakeLong: mayTakeLong)
      case .custom(let transport, _, _):
        attempt = unsafe Self.send(parts, by: transport, mayTakeLong)
        if crosses.load(ordering: .relaxed) { tellReceiving(of: attempt) }
      }
      switch attempt {
      case .failed(let error) where error.errno == .interrupted: continue
      case .failed(let error): return .failed(first(error))
      case .endOfStream: return .failed(first(TransportError(.send, .brokenPipe)))
      case .offload:
        precondition(!mayTakeLong, "an attempt that may take long is offloaded once")
        return attempt
      case .transferred, .wouldBlock, .waitsFor: return attempt
      }
    }
  }

  /// Whole datagrams, at most so many, with what came beside them. What is transferred counts for nothing.
  func receiveDatagrams(atMost limit: Int, _ take: (Datagram) -> Void) -> Attempt {
    while true {
      let attempt =
        switch unsafe transport {
        case .descriptor(let transport): transport.receiveDatagrams(atMost: limit, take)
        case .custom(let transport, _, _): Self.receiveDatagram(by: transport, take)
        }
      switch attempt {
      case .failed(let error) where error.errno == .interrupted: continue
      case .failed(let error): return .failed(first(error))
      case .endOfStream:
        if let error = state.withLock({ $0.firstError }) { return .failed(error) }
        return attempt
      default: return attempt
      }
    }
  }

  private static func receiveDatagram(by transport: any SocketLike, _ take: (Datagram) -> Void) -> Attempt {
    let size = transport.nextDatagramSize()
    guard case .transferred(let byteCount) = size else { return size }
    return unsafe Datagram.receive(byteCount, take) { room, companions in
      let attempt = unsafe transport.receive(into: room, with: &companions)
      guard case .failed(let error) = attempt, error.errno == .notSupported else { return attempt }
      return unsafe transport.receive(into: room)
    }
  }

  /// Of a stream, with the descriptors that came beside the bytes.
  func receive(into memory: UnsafeMutableRawBufferPointer, with companions: inout Companions?) -> Attempt {
    while true {
      let attempt =
        switch unsafe transport {
        case .descriptor(let transport): unsafe transport.receive(into: memory, with: &companions)
        case .custom(let transport, _, _): unsafe transport.receive(into: memory, with: &companions)
        }
      switch attempt {
      case .failed(let error) where error.errno == .interrupted: continue
      case .failed(let error): return .failed(first(error))
      case .endOfStream:
        if let error = state.withLock({ $0.firstError }) { return .failed(error) }
        return attempt
      default: return attempt
      }
    }
  }

  /// Each part as a datagram, as many as are accepted at once.
  func sendDatagrams(_ parts: UnsafeBufferPointer<iovec>) -> Attempt {
    guard case .descriptor(let transport) = unsafe transport, parts.count > 1 else {
      return unsafe send(UnsafeBufferPointer(rebasing: parts.prefix(1)))
    }
    while true {
      let attempt = unsafe transport.sendDatagrams(parts)
      guard case .failed(let error) = attempt else { return attempt }
      if error.errno != .interrupted { return .failed(first(error)) }
    }
  }

  /// With descriptors, or to an address.
  func send(_ parts: UnsafeBufferPointer<iovec>, with companions: OutgoingCompanions) -> Attempt {
    while true {
      let attempt: Attempt
      switch unsafe transport {
      case .descriptor(let transport):
        attempt = unsafe transport.send(parts, passing: companions.descriptors, to: companions.address)
      case .custom(let transport, _, _):
        attempt = unsafe Self.gathering(parts) { gathered in
          unsafe transport.send(gathering: gathered, passing: companions.descriptors, to: companions.address)
        }
      }
      switch attempt {
      case .failed(let error) where error.errno == .interrupted: continue
      case .failed(let error): return .failed(first(error))
      default: return attempt
      }
    }
  }

  private static func send(
    _ parts: UnsafeBufferPointer<iovec>, by transport: any SocketLike, _ mayTakeLong: Bool
  ) -> Attempt {
    if parts.count == 1, !mayTakeLong, let part = unsafe parts.first {
      return unsafe transport.send(UnsafeRawBufferPointer(start: part.iov_base, count: part.iov_len))
    }
    return unsafe gathering(parts) { gathered in
      unsafe mayTakeLong
        ? transport.sendTakingLong(gathering: gathered) : transport.send(gathering: gathered)
    }
  }

  private static func gathering(
    _ parts: UnsafeBufferPointer<iovec>,
    by send: (UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt
  ) -> Attempt {
    unsafe withUnsafeTemporaryAllocation(of: UnsafeRawBufferPointer.self, capacity: max(parts.count, 1)) {
      blocks in
      for index in parts.indices {
        let part = unsafe parts[index]
        unsafe blocks.initializeElement(
          at: index, to: UnsafeRawBufferPointer(start: part.iov_base, count: part.iov_len))
      }
      // An empty datagram is one empty part.
      if parts.isEmpty {
        unsafe blocks.initializeElement(at: 0, to: UnsafeRawBufferPointer(start: nil, count: 0))
      }
      return unsafe send(UnsafeBufferPointer(rebasing: blocks[..<max(parts.count, 1)]))
    }
  }

  // MARK: Directions that cross

  /// In a half's turn: its attempt would block, and says on what. True when it is the first that waits for the
  /// other direction: what was signalled until now went to the other half alone.
  func note(_ direction: Readiness, waitsFor readiness: Readiness) -> Bool {
    state.withLock { state in
      if direction == .readable {
        state.awaitedToReceive = readiness
      } else {
        state.awaitedToSend = readiness
      }
    }
    return readiness != direction && !crosses.exchange(true, ordering: .acquiringAndReleasing)
  }

  /// One session stands behind both directions: what this attempt did may be what the other half waits for, and
  /// nothing else would tell it. Two halves that wait crosswise do not go on telling each other.
  private func tellSending(of attempt: Attempt) {
    let mayTell = attempt.moved || !attempt.crosses(.readable)
    let half = state.withLock { state in
      unsafe mayTell && state.awaitedToSend == .readable ? state.sending?.takeUnretainedValue() : nil
    }
    half?.stir(wakesPoller: true)
  }

  private func tellReceiving(of attempt: Attempt) {
    let mayTell = attempt.moved || !attempt.crosses(.writable)
    let half = state.withLock { state in
      unsafe mayTell && state.awaitedToReceive == .writable ? state.receiving?.takeUnretainedValue() : nil
    }
    half?.stir(wakesPoller: true)
  }

  /// The first error of a socket stands for both directions; a broken pipe ends sending only.
  private func first(_ error: TransportError) -> TransportError {
    state.withLock { state in
      if let first = state.firstError { return first }
      if carriesDatagrams, Self.isAboutOneDatagram(error) { return error }
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
      do throws(TransportError) {
        try transport.finishSending()
        return true
      } catch {
        if error.errno == .notSupported { return false }
        throw error
      }
    }
  }

  // MARK: Readiness

  package func readinessChanged(_ readiness: Readiness) {
    let isForBoth = crosses.load(ordering: .acquiring)
    if isForBoth || !readiness.isDisjoint(with: .concernsReceiving) {
      let receiving = state.withLock { unsafe $0.receiving?.takeUnretainedValue() }
      if !readiness.isDisjoint(with: [.urgent, .readClosed, .failed]) { receiving?.noteMoreThanData() }
      receiving?.stir(wakesPoller: isCustom)
    }
    if isForBoth || !readiness.isDisjoint(with: .concernsSending) {
      let sending = state.withLock { unsafe $0.sending?.takeUnretainedValue() }
      sending?.stir(wakesPoller: isCustom)
    }
  }

  /// It may know more than its descriptor shows to who polls that.
  private var isCustom: Bool {
    if case .custom = unsafe transport { return true }
    return false
  }

  /// Has the reactor watch for one half, in its turn: close cannot give the number up meanwhile.
  ///
  /// - Parameter interest: what it waits for; nothing: no more.
  func watch(_ direction: Readiness, for interest: Readiness) -> Errno? {
    guard let descriptor = polledDescriptor else { return nil }  // in-process: always told
    return state.withLock { state in
      if state.isAlwaysReady { return nil }
      let isReceiving = direction == .readable
      let wanted = interest.union(isReceiving ? state.watchedToSend : state.watchedToReceive)
      if let registration = state.registration {
        if let errno = reactor.watch(registration, descriptor: descriptor, wanted) { return errno }
      } else {
        switch reactor.register(descriptor, for: self, watching: wanted) {
        case .registered(let id): state.registration = id
        case .alwaysReady: state.isAlwaysReady = true
        case .failed(let errno): return errno
        }
      }
      if isReceiving { state.watchedToReceive = interest } else { state.watchedToSend = interest }
      return nil
    }
  }

  var isSignalled: Bool { polledDescriptor == nil }

  /// Whether there is a descriptor to give back, and nothing but it.
  var isDetachable: Bool {
    if case .descriptor = unsafe transport { return true }
    return false
  }

  // MARK: The end

  /// Nothing is to be told to this half any more.
  func forget(_ direction: Readiness) { state.withLock { $0.forget(direction) } }

  /// A half has no more use for the transport; with the last one it is closed.
  package func leave(_ direction: Readiness) {
    let isLast = state.withLock { state in
      state.forget(direction)
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
    state.withLock { state in
      state.isDetached = true
      state.forget([.readable, .writable])
    }
    deregister(closing: false)
    return transport.number
  }
}

extension Attempt {
  fileprivate var moved: Bool {
    if case .transferred = self { return true }
    return false
  }

  /// It waits for something else than its own direction.
  fileprivate func crosses(_ direction: Readiness) -> Bool {
    if case .waitsFor(let readiness) = self { return readiness != direction }
    return false
  }
}
