import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage

/// A transport that answers each attempt with the next one of a list, whatever it is. When a list has run out, receives
/// would block and sends are accepted. Unlike a scripted one it signals nothing by itself.
final class PlayedTransport: SocketLike {
  private struct State: Sendable {
    var receiving: [Attempt]
    var sending: [Attempt]
    var signal: ReadinessSignal?
    var log: [String] = []
    var nextByte: UInt8 = 1
    var finishing: [Errno]
    var meanwhile: (@Sendable () -> Void)?
    var longCount = 0
  }

  let content: TransportContent
  let capabilities: TransportCapabilities
  let readinessSource: ReadinessSource
  let drainsInOneReceive: Bool
  private let state: Mutex<State>

  init(
    _ content: TransportContent = .stream, receiving: [Attempt] = [], sending: [Attempt] = [],
    finishing: [Errno] = [], capabilities: TransportCapabilities = TransportCapabilities(),
    source: ReadinessSource = .signal, drains: Bool = false
  ) {
    self.content = content
    self.capabilities = capabilities
    readinessSource = source
    drainsInOneReceive = drains
    state = Mutex(State(receiving: receiving, sending: sending, finishing: finishing))
  }

  // MARK: For tests

  /// The calls in order: `receive` and `send` with their bytes, `finish`, `close`.
  var log: [String] { state.withLock { $0.log } }
  func count(_ entry: String) -> Int { log.count { $0.hasPrefix(entry) } }
  /// How many attempts were made on threads that may wait.
  var longCount: Int { state.withLock { $0.longCount } }
  func append(receiving attempts: Attempt...) { state.withLock { $0.receiving += attempts } }
  func append(sending attempts: Attempt...) { state.withLock { $0.sending += attempts } }
  func raise(_ readiness: Readiness) { state.withLock { $0.signal }?.raise(readiness) }
  /// Happens inside the next attempt, once.
  func meanwhile(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.meanwhile = body } }

  // MARK: SocketLike

  func attach(_ signal: ReadinessSignal) { state.withLock { $0.signal = signal } }

  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    // Invariant: used only inside this call, by this thread.
    nonisolated(unsafe) let memory = unsafe memory
    interrupt()
    return state.withLock { state in
      state.log.append("receive")
      let attempt = state.receiving.isEmpty ? .wouldBlock : state.receiving.removeFirst()
      guard case .transferred(let count) = attempt else { return attempt }
      for index in unsafe 0..<min(count, memory.count) {
        unsafe memory[index] = state.nextByte
        state.nextByte &+= 1
      }
      return unsafe .transferred(min(count, memory.count))
    }
  }

  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { unsafe send(Array(bytes), to: nil) }

  func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, with ancillary: OutgoingAncillary
  ) -> Attempt {
    var bytes: [UInt8] = []
    for index in parts.indices { unsafe bytes += parts[index] }
    return send(bytes, to: ancillary.address)
  }

  private func send(_ bytes: [UInt8], to address: SocketAddress?) -> Attempt {
    interrupt()
    return state.withLock { state in
      let target = address.map { " to \($0)" } ?? ""
      state.log.append("send \(bytes)\(target)")
      if state.sending.isEmpty { return .transferred(bytes.count) }
      return state.sending.removeFirst()
    }
  }

  func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    state.withLock { $0.longCount += 1 }
    return unsafe receive(into: memory)
  }

  func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    state.withLock { $0.longCount += 1 }
    return unsafe send(gathering: parts)
  }

  func sendDatagrams(_ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    interrupt()
    var sizes: [Int] = []
    for index in parts.indices { unsafe sizes.append(parts[index].count) }
    return state.withLock { [sizes] state in
      state.log.append("batch \(sizes)")
      if state.sending.isEmpty { return .transferred(sizes.reduce(0, +)) }
      return state.sending.removeFirst()
    }
  }

  func nextDatagramSize() -> Attempt { .transferred(100) }

  func finishSending() throws(TransportError) {
    interrupt()
    let errno = state.withLock { state in
      state.log.append("finish")
      return state.finishing.isEmpty ? nil : state.finishing.removeFirst()
    }
    if let errno { throw TransportError(.finishSending, errno) }
  }

  func close() {
    let signal = state.withLock { state in
      state.log.append("close")
      return state.signal.take()
    }
    _ = signal  // released here, without the lock
  }

  private func interrupt() { state.withLock { $0.meanwhile.take() }?() }
}

/// A transport over a descriptor, which brings nothing and accepts everything.
final class EmptyTransport: DescriptorTransport {
  private let pair: DescriptorPair
  private let receives = Atomic(0)
  private let ancillaryReceives = Atomic(0)

  init() throws { pair = try DescriptorPair.pipe() }

  var receiveCount: Int { receives.load(ordering: .relaxed) }
  /// How many of them asked for ancillary data.
  var ancillaryReceiveCount: Int { ancillaryReceives.load(ordering: .relaxed) }

  var number: Int32 { pair.first.withDescriptor { $0.rawValue } }
  var working: Int32 { number }
  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    receives.add(1, ordering: .relaxed)
    return .wouldBlock
  }
  func receive(
    into memory: UnsafeMutableRawBufferPointer, maximumDescriptors: Int, ancillary: inout Ancillary?
  ) -> Attempt {
    ancillaryReceives.add(1, ordering: .relaxed)
    return unsafe receive(into: memory)
  }
  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { .transferred(bytes.count) }
  func finishSending() throws(TransportError) {}
  func close(then done: @escaping @Sendable () -> Void) { done() }
}

/// A played transport with the halves over it and a reactor, all driven by hand.
struct HandPlayed {
  let transport: PlayedTransport
  let reactor: ManualReactor
  let core: EndpointCore
  let receiving: ReceiveHalf
  let sending: SendHalf

  init(_ transport: PlayedTransport, reactor: ManualReactor = ManualReactor()) {
    (self.transport, self.reactor) = (transport, reactor)
    core = EndpointCore(transport, for: [.readable, .writable], reactor: reactor)
    guard let receiving = core.receiving, let sending = core.sending else {
      preconditionFailure("it was made with both halves")
    }
    (self.receiving, self.sending) = (receiving, sending)
  }

  /// A receive, which is queued.
  func receive(
    _ request: ReceiveRequest = .upTo(10), as kind: Place.Kind = .task, until deadline: Deadline = .never
  ) -> HandCaller? {
    guard case .queued(let place) = receiving.start(request, as: kind, until: deadline) else { return nil }
    return HandCaller(place, in: receiving)
  }

  /// A send; nil when it has ended, and `error` is set then.
  func send(
    _ bytes: [UInt8], to address: SocketAddress? = nil, as kind: Place.Kind = .task,
    step: SendPlace.Step = .bytes, borders: [Int] = [], until deadline: Deadline = .never
  ) -> HandSent {
    var call = SendHalf.Call(Outgoing(bytes, borders: borders), as: kind, step: step, until: deadline)
    call.ancillary = address.map { OutgoingAncillary(address: $0) }
    switch sending.start(call) {
    case .ended(let error): return HandSent(caller: nil, ended: .some(error))
    case .queued(let place): return HandSent(caller: HandCaller(place, in: sending), ended: nil)
    }
  }

  /// How a receive has ended, in a word; nil as long as it waits.
  func outcome(_ caller: HandCaller?) -> String? {
    guard let caller, caller.isDecided, let place = caller.place as? ReceivePlace else { return nil }
    switch receiving.outcome(of: place) {
    case .lent(let demand):
      let bytes = unsafe receiving.turn.takePayload(of: demand)
      receiving.finishLoan(demand)
      return "\(bytes)"
    case .delivered(let delivery): return "\(delivery.bytes)"
    case .failed(let error): return "\(error.reason)"
    }
  }

  /// Lets pauses pass until something holds.
  func passPauses(until condition: () -> Bool) {
    // Nothing happens in between: what has not come to pass after that many pauses never will.
    for _ in 0..<1_000 where !condition() {
      reactor.pass(.after(.seconds(1_000)))
      reactor.drive()
    }
  }

  /// Gives the transport up; else it and its port hold each other.
  func end() {
    receiving.close()
    sending.close()
    reactor.pass(.after(.seconds(1_000)))
    reactor.drive()
  }
}

/// A send by hand.
struct HandSent {
  let caller: HandCaller?
  fileprivate let ended: EndpointError??

  init(caller: HandCaller?, ended: EndpointError??) {
    self.caller = caller
    self.ended = ended
  }

  /// `sent`, or why not; nil as long as it waits.
  var outcome: String? {
    if let ended { return ended.map { "\($0.reason)" } ?? "sent" }
    guard let caller, caller.isDecided, let place = caller.place as? SendPlace else { return nil }
    return place.error.map { "\($0.reason)" } ?? "sent"
  }

  var error: EndpointError? {
    if let ended { return ended }
    return (caller?.place as? SendPlace)?.error
  }
}
