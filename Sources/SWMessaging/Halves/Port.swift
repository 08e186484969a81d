internal import CSysShim
package import SWIO
internal import Synchronization
internal import SystemPackage

/// The part that the one or two halves of an endpoint share: the transport, its registration with the reactor, and the first
/// error of the connection. The last half that leaves closes the transport, once.
package final class Port: ReadinessReceiver {
  @safe
  // Unowned pointers, valid while the lock is held: each half removes its pointer before it is deallocated. (Weak
  // references would also work, but cost fifty bytes for each idle connection.)
  // Invariant: a half leaves before it goes, and is forgotten with that.
  private struct State: @unchecked Sendable {
    // Words come before what is smaller, so that there are no gaps in what each connection has.
    var receiving: Unmanaged<ReceiveHalf>?
    var sending: Unmanaged<SendHalf>?
    /// Called when the transport has been closed or given away.
    var whenGone: (@Sendable () -> Void)?
    var firstError: TransportError?
    var halvesInside: Int8
    /// Whether the transport has been closed or given away.
    var isGone = false
    var registration: RegistrationID?
    /// The readiness that the reactor reports to each half. The reactor watches the union of both.
    var watchedToReceive: Readiness = []
    var watchedToSend: Readiness = []
    /// The readiness that each half's last attempt asked to wait for, if it would block. For transports of users.
    var awaitedToReceive: Readiness = .readable
    var awaitedToSend: Readiness = .writable
    /// Whether the reactor cannot watch the descriptor because it never blocks.
    var isAlwaysReady = false

    mutating func forget(_ direction: Readiness) {
      if direction.contains(.readable) { unsafe receiving = nil }
      if direction.contains(.writable) { unsafe sending = nil }
    }
  }

  package let reactor: any Reacting
  private let transport: any SocketLike
  /// The same transport, if the library made it. Its descriptor can be lent and detached.
  let ours: (any DescriptorTransport)?
  /// The same transport, if it yields items other than datagrams.
  private let items: (any ItemSource)?
  /// The descriptor that a blocked thread polls. Nil if readiness is signalled in process.
  let polledDescriptor: Int32?
  /// Whether an attempt moves a whole datagram, which may be empty.
  let carriesDatagrams: Bool
  var capabilities: TransportCapabilities { transport.capabilities }
  /// The rest of a packet, for a transport that may return packets and that is received from.
  private let packets: PacketRest?
  /// The signal of a user's transport.
  // Invariant: written while the port is made, before any other code has a reference to it.
  private nonisolated(unsafe) var signal: ReadinessSignal?
  private let state: Guarded<State>
  /// Whether the process at the other end is gone, although other processes may hold its end.
  private let isForsaken = Atomic(false)
  /// Whether an attempt has met an error of the connection.
  private let hasFailed = Atomic(false)
  /// Whether an attempt has waited for the readiness of the other direction. From then on each event is reported to both
  /// halves.
  private let crosses = Atomic(false)
  private let receivesCredentials = Atomic(false)
  /// Whether the socket was accepted, or was connected by the library. Then its credentials are those of the peer.
  let knowsPeer = Atomic(false)
  /// The most descriptors that a message may bring.
  private let descriptorLimit = Atomic<Int32>(0)
  /// After `forsake`: how many bytes are left of those that were there at the first attempt after it. Negative before that.
  /// The largest number if the stream ends by itself.
  // Invariant: only the turn of the receiving half uses it.
  private nonisolated(unsafe) var rest: Int32 = -1
  /// How long a blocked receiver spins before it sleeps, in nanoseconds.
  let spinTime = Atomic<UInt64>(0)

  /// Takes over a descriptor for these halves.
  ///
  /// - Throws: `TransportError` if the descriptor is not open, lacks a direction, or is no stream. The caller still owns it
  ///   then.
  package convenience init(
    _ descriptor: Int32, for directions: Readiness, reactor: any Reacting
  ) throws(TransportError) {
    let transport = try makeTransport(over: descriptor, for: directions)
    self.init(transport, ours: transport, for: directions, reactor: reactor)
  }

  /// Takes over a socket that connects this process with another one.
  package convenience init(
    connected transport: any DescriptorTransport, for directions: Readiness = [.readable, .writable],
    reactor: any Reacting
  ) {
    self.init(transport, ours: transport, for: directions, reactor: reactor)
    knowsPeer.store(true, ordering: .relaxed)
  }

  package convenience init(_ custom: any SocketLike, for directions: Readiness, reactor: any Reacting) {
    self.init(custom, ours: nil, for: directions, reactor: reactor)
    let signal = ReadinessSignal(self, reactor: reactor)
    unsafe self.signal = signal
    custom.attach(signal)
  }

  private init(
    _ transport: any SocketLike, ours: (any DescriptorTransport)?, for directions: Readiness,
    reactor: any Reacting
  ) {
    self.transport = transport
    self.ours = ours
    self.reactor = reactor
    carriesDatagrams = transport.content == .datagrams
    items = carriesDatagrams ? transport as? any ItemSource : nil
    let capabilities = transport.capabilities
    packets = directions.contains(.readable) ? PacketRest(capabilities) : nil
    attemptsMayHang = capabilities.attemptsMayHang
    polledDescriptor =
      if case .descriptor(let descriptor) = transport.readinessSource { descriptor.rawValue } else { nil }
    state = Guarded(unsafe State(halvesInside: directions == [.readable, .writable] ? 2 : 1))
    // Before any step of the reactor makes an attempt.
    if attemptsMayHang { reactor.expectHangs() }
  }

  func connect(receiving half: ReceiveHalf) {
    state.withLock { unsafe $0.receiving = .passUnretained(half) }
  }
  func connect(sending half: SendHalf) { state.withLock { unsafe $0.sending = .passUnretained(half) } }

  /// Whether another process can make an attempt wait, on whichever thread it is made.
  let attemptsMayHang: Bool

  /// The descriptor's number, to be lent.
  var number: Int32? { ours?.number ?? polledDescriptor }

  /// Notes that this process alone has the descriptor.
  func noteSole() { ours?.noteSole() }
  /// Notes that other code may copy the descriptor, or another process may have it.
  func noteShared() { ours?.noteShared() }

  func isInheritable() throws(TransportError) -> Bool { try transport.isInheritable() }

  func setInheritable(_ inheritable: Bool) throws(TransportError) {
    if inheritable { noteShared() }
    try transport.setInheritable(inheritable)
  }

  /// Whether the descriptor is readable for as long as an attempt to receive would bring something. A transport of a user may
  /// have taken in more than it has handed out, as TLS does. The rest of a packet is not in the descriptor either, and neither
  /// is the end of a peer that is gone.
  var pollShowsData: Bool {
    ours != nil && !isForsaken.load(ordering: .relaxed) && packets?.holdsNothing ?? true
  }

  /// Whether a short read means that no data is left. On a pipe it does not, because other writers may write packets.
  var drainsInOneReceive: Bool { transport.drainsInOneReceive }

  // MARK: What comes beside bytes

  /// The most descriptors that a message may bring. 0 unless an endpoint asks for more.
  var maximumDescriptors: Int {
    get { Int(descriptorLimit.load(ordering: .relaxed)) }
    set { descriptorLimit.store(Int32(clamping: newValue), ordering: .relaxed) }
  }

  /// Has messages bring the credentials of their senders.
  func setReceivesCredentials(_ receives: Bool) throws(TransportError) {
    try transport.setReceivesCredentials(receives)
    receivesCredentials.store(receives, ordering: .relaxed)
  }

  /// Whether receives of a stream have to ask for ancillary data.
  private var wantsAncillary: Bool {
    maximumDescriptors > 0 || receivesCredentials.load(ordering: .relaxed)
  }

  // MARK: Attempts, in a half's turn

  /// Makes one attempt and does what all attempts have in common: it repeats an interrupted one, reports to a half that
  /// waits crosswise, and keeps the first error for the whole connection.
  @inline(__always)
  private func perform(_ direction: Readiness, mayTakeLong: Bool = false, _ body: () -> Attempt) -> Attempt {
    if direction == .writable, isForsaken.load(ordering: .acquiring) {
      return .failed(first(TransportError(.send, .brokenPipe, scope: .direction)))
    }
    if direction == .writable, hasFailed.load(ordering: .acquiring),
      let error = state.withLock({ $0.firstError })
    {
      return .failed(error)
    }
    while true {
      let attempt = body()
      if crosses.load(ordering: .relaxed) { tellOther(than: direction, of: attempt) }
      switch attempt {
      case .wouldBlock, .waitsFor:
        if hasFailed.load(ordering: .acquiring), let error = state.withLock({ $0.firstError }) {
          return .failed(error)
        }
        guard direction == .readable, isForsaken.load(ordering: .acquiring) else { return attempt }
        return state.withLock { $0.firstError }.map { .failed($0) } ?? .endOfStream
      case .transferred, .retryLater: return attempt
      case .failed(let error) where error.errno == .interrupted: continue
      case .failed(let error): return .failed(first(error))
      case .endOfStream where direction == .writable:
        return .failed(first(TransportError(.send, .brokenPipe, scope: .direction)))
      case .endOfStream:
        // A reset that the other half has met must not look like a clean end here.
        return state.withLock { $0.firstError }.map { .failed($0) } ?? .endOfStream
      case .offload:
        precondition(!mayTakeLong, "an attempt that may take long is offloaded once")
        return attempt
      }
    }
  }

  /// Makes one attempt to receive.
  ///
  /// - Parameters:
  ///   - readsAhead: whether bytes behind those that fit may be taken, too.
  ///   - mayTakeLong: whether this thread may wait. Otherwise an attempt that may take long is not made, and the result is
  ///     `offload`.
  ///   - ancillary: receives the ancillary data, if an endpoint wants it.
  func receive(
    into memory: UnsafeMutableRawBufferPointer, readsAhead: Bool, mayTakeLong: Bool = false,
    ancillary: inout Ancillary?
  ) -> Attempt {
    if let packets, packets.serves(memory.count, readsAhead: readsAhead) {
      return unsafe packets.receive(into: memory) { room in
        unsafe receive(into: room, mayTakeLong: mayTakeLong, &ancillary)
      }
    }
    return unsafe receive(into: memory, mayTakeLong: mayTakeLong, &ancillary)
  }

  private func receive(
    into memory: UnsafeMutableRawBufferPointer, mayTakeLong: Bool, _ ancillary: inout Ancillary?
  ) -> Attempt {
    if isForsaken.load(ordering: .acquiring) {
      return unsafe receiveRest(into: memory, mayTakeLong: mayTakeLong, &ancillary)
    }
    return unsafe attempt(into: memory, mayTakeLong: mayTakeLong, &ancillary)
  }

  @inline(__always)
  private func attempt(
    into memory: UnsafeMutableRawBufferPointer, mayTakeLong: Bool, _ ancillary: inout Ancillary?
  ) -> Attempt {
    if !mayTakeLong, wantsAncillary {
      return perform(.readable) {
        unsafe transport.receive(
          into: memory, maximumDescriptors: maximumDescriptors, ancillary: &ancillary)
      }
    }
    return perform(.readable, mayTakeLong: mayTakeLong) {
      unsafe mayTakeLong ? transport.receiveTakingLong(into: memory) : transport.receive(into: memory)
    }
  }

  /// Receives at most `limit` items: datagrams with their ancillary data, or the items of an `ItemSource`. The count of
  /// `transferred` has no meaning.
  func receiveItems(atMost limit: Int, mayTakeLong: Bool, _ take: (ReceivedItem) -> Void) -> Attempt {
    perform(.readable, mayTakeLong: mayTakeLong) {
      if let items { return items.receiveItems(atMost: limit, take) }
      return transport.receiveDatagrams(
        atMost: limit, maximumDescriptors: maximumDescriptors, mayTakeLong: mayTakeLong
      ) { take(.datagram($0)) }
    }
  }

  func send(_ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, mayTakeLong: Bool = false) -> Attempt {
    perform(.writable, mayTakeLong: mayTakeLong) {
      if mayTakeLong { return unsafe transport.sendTakingLong(gathering: parts) }
      if parts.count == 1 { return unsafe transport.send(parts[0]) }
      // An empty datagram is sent as one empty part.
      if parts.isEmpty { return unsafe transport.send(UnsafeRawBufferPointer(start: nil, count: 0)) }
      return unsafe transport.send(gathering: parts)
    }
  }

  /// Sends each part as a datagram, as many as are accepted in one call.
  func sendDatagrams(_ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    perform(.writable) {
      unsafe parts.count == 1 ? transport.send(parts[0]) : transport.sendDatagrams(parts)
    }
  }

  /// Sends with descriptors, or to an address.
  func send(
    _ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, with ancillary: OutgoingAncillary
  ) -> Attempt {
    let attempt = perform(.writable) {
      unsafe transport.send(gathering: parts, with: ancillary)
    }
    // No attempt of this kind may take long.
    return attempt == .offload ? .failed(TransportError(.send, .notSupported, scope: .item)) : attempt
  }

  // MARK: A peer that is gone

  /// Receives of what was there at the first attempt after `forsake`, and then the end: another process may go on writing for
  /// ever.
  @inline(never)
  private func receiveRest(
    into memory: UnsafeMutableRawBufferPointer, mayTakeLong: Bool, _ ancillary: inout Ancillary?
  ) -> Attempt {
    if unsafe rest < 0 {
      let unread = ours.map { swsys_unread_before_end($0.working) } ?? -1
      unsafe rest = unread < 0 ? .max : unread
    }
    if unsafe rest == 0 { return perform(.readable) { .endOfStream } }
    let room = unsafe UnsafeMutableRawBufferPointer(
      start: memory.baseAddress, count: min(memory.count, Int(rest)))
    let attempt = unsafe attempt(into: room, mayTakeLong: mayTakeLong, &ancillary)
    if case .transferred(let count) = attempt, unsafe rest < .max { unsafe rest -= Int32(count) }
    return attempt
  }

  /// Notes that the process at the other end has ended. Data that is there is received, and then the end. Sending fails,
  /// although another process may hold the other end. For streams.
  package func forsake() {
    isForsaken.store(true, ordering: .releasing)
    let (receiving, sending) = state.withLock { state in
      unsafe (state.receiving?.takeUnretainedValue(), state.sending?.takeUnretainedValue())
    }
    receiving?.noteMoreThanData()
    receiving?.stir(wakesPoller: true)
    sending?.stir(wakesPoller: true)
  }

  // MARK: Directions that cross

  /// In a half's turn: its attempt would block, and now waits for something else than the attempt before.
  ///
  /// - Returns: Whether another attempt is due, because the half now waits for something other than its own
  ///   direction. Readiness and progress of the other direction that came after the attempt and before this call
  ///   were not told to this half.
  func note(_ direction: Readiness, waitsFor readiness: Readiness) -> Bool {
    state.withLock { state in
      if direction == .readable {
        state.awaitedToReceive = readiness
      } else {
        state.awaitedToSend = readiness
      }
    }
    guard readiness != direction else { return false }
    crosses.store(true, ordering: .releasing)
    return true
  }

  /// For transports such as TLS an attempt in one direction can unblock the other. The other half is told, unless this
  /// attempt itself waits for the opposite direction. Otherwise two blocked halves would wake each other for ever.
  private func tellOther(than direction: Readiness, of attempt: Attempt) {
    guard !attempt.crosses(direction) else { return }
    let half: Half? = state.withLock { state in
      if direction == .readable {
        return unsafe state.awaitedToSend == .readable ? state.sending?.takeUnretainedValue() : nil
      }
      return unsafe state.awaitedToReceive == .writable ? state.receiving?.takeUnretainedValue() : nil
    }
    half?.stir(wakesPoller: true)
  }

  // MARK: Errors

  /// The first error of a connection replaces later ones in both directions. An error with a smaller scope is returned as it
  /// is.
  private func first(_ error: TransportError) -> TransportError {
    var error = error
    let scope = error.scope ?? scope(of: error.errno)
    error.scope = scope
    if scope == .item { return error }
    let told = error
    let (known, receiving, sending) = state.withLock { state in
      if state.firstError != nil || scope != .connection {
        return (state.firstError, nil as ReceiveHalf?, nil as SendHalf?)
      }
      state.firstError = told
      hasFailed.store(true, ordering: .releasing)
      return unsafe (nil, state.receiving?.takeUnretainedValue(), state.sending?.takeUnretainedValue())
    }
    // A transport of a user signals what has happened in this direction, and perhaps not that the other one is over, too.
    receiving?.noteMoreThanData()
    receiving?.stir(wakesPoller: true)
    sending?.stir(wakesPoller: true)
    return known ?? told
  }

  /// The scope of an error for which the transport states none.
  private func scope(of errno: Errno) -> TransportError.Scope {
    if carriesDatagrams {
      return [.badFileDescriptor, .notSocket, .badAddress].contains(errno) ? .connection : .item
    }
    return errno == .brokenPipe ? .direction : .connection
  }

  /// Half-closes, in the turn of the sending half. Returns false if only closing the descriptor tells the peer.
  func finishSending() throws(TransportError) -> Bool {
    do throws(TransportError) {
      try transport.finishSending()
      return true
    } catch {
      if error.errno == .notSupported { return false }
      var error = error
      if error.scope == nil { error.scope = .direction }
      throw error
    }
  }

  // MARK: Readiness

  package func readinessChanged(_ readiness: Readiness, mayDrive: Bool) {
    let isForBoth = crosses.load(ordering: .acquiring)
    if isForBoth || !readiness.isDisjoint(with: .concernsReceiving) {
      let receiving = state.withLock { unsafe $0.receiving?.takeUnretainedValue() }
      if !readiness.isDisjoint(with: [.urgent, .readClosed, .failed]) { receiving?.noteMoreThanData() }
      receiving?.stir(wakesPoller: ours == nil, mayDrive: mayDrive)
    }
    if isForBoth || !readiness.isDisjoint(with: .concernsSending) {
      let sending = state.withLock { unsafe $0.sending?.takeUnretainedValue() }
      sending?.stir(wakesPoller: ours == nil, mayDrive: mayDrive)
    }
  }

  /// Has the reactor watch for one half, in that half's turn. `close` cannot give the number up meanwhile.
  ///
  /// - Parameter interest: the readiness to wait for. An empty set ends the watching.
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

  /// Whether `detach` can return a descriptor, and nothing else is lost by it.
  var isDetachable: Bool { ours != nil }

  // MARK: The end

  /// Drops the reference to a half. Nothing is reported to that half any more.
  func forget(_ direction: Readiness) { state.withLock { $0.forget(direction) } }

  /// Notes that a half has no more use for the transport. When the last one leaves, the transport is closed.
  package func leave(_ direction: Readiness) {
    let isLast = state.withLock { state in
      state.forget(direction)
      state.halvesInside -= 1
      return state.halvesInside == 0
    }
    if isLast {
      deregister()
      // Our own first: the cast costs more than the rest.
      if let later = ours ?? (transport as? any ClosesLater) {
        later.close { [self] in noteGone() }
      } else {
        transport.close()
        noteGone()
      }
    }
  }

  private func noteGone() {
    let told = state.withLock { state in
      state.isGone = true
      defer { state.whenGone = nil }
      return state.whenGone
    }
    told?()
  }

  /// Calls `body` once: when the transport has been closed or given away, on the thread that did so, or now if that is
  /// so already.
  package func whenGone(_ body: @escaping @Sendable () -> Void) {
    let isGone = state.withLock { state in
      if state.isGone { return true }
      guard let other = state.whenGone else {
        state.whenGone = body
        return false
      }
      state.whenGone = {
        other()
        body()
      }
      return false
    }
    if isGone { body() }
  }

  private func deregister() {
    let registration = state.withLock { $0.registration }
    // The registration is deleted before the close, because a duplicate of the descriptor would keep it alive.
    if let registration, let descriptor = polledDescriptor {
      reactor.deregister(registration, descriptor: descriptor)
    }
    unsafe signal?.detach()
  }

  /// Returns bytes that the transport had to take although no caller had asked for them. Called when both halves are out.
  func takeUnread() -> [UInt8] { packets?.take() ?? [] }

  /// Gives the number away without closing it. Both halves are out already.
  func detach() -> Int32? {
    guard let ours else { return nil }
    state.withLock { $0.forget([.readable, .writable]) }
    deregister()
    ours.closeWorking { [self] in noteGone() }
    return ours.number
  }
}

extension Attempt {
  /// Whether the half waits for the readiness of the other direction.
  fileprivate func crosses(_ direction: Readiness) -> Bool {
    if case .waitsFor(let readiness) = self { return readiness != direction }
    return false
  }
}
