public import SWFraming
internal import SWIO
public import SWMessaging
internal import Synchronization
public import SystemPackage

/// A listener whose connections exist in memory only. It tests services without addresses, files and the kernel.
///
///     let memory = MemoryListener(framing: .varInt)
///     let serving = Task { try await memory.listener.serve { peer in … } }
///     let client = try memory.connect()
///
/// Connections are ``SimulatedTransport``s, so a ``SimulationPlan`` can disturb both ends. It is safe to use from any
/// thread and task.
public final class MemoryListener<F: Framing>: Sendable {
  /// The listener, as a service uses it.
  public let listener: Listener<MessageDuplex<F>>

  private let source: MemorySource
  private let framing: F
  private let capacity: Int
  private let plan: SimulationPlan

  /// - Parameters:
  ///   - framing: the framing of the messages.
  ///   - backlog: the number of connections that may wait to be accepted.
  ///   - capacity: the number of bytes that may be under way in either direction of a connection.
  ///   - plan: the disturbances at both ends of each connection.
  public init(
    framing: F, backlog: Int = 4096, capacity: Int = 65_536, plan: SimulationPlan = SimulationPlan(seed: 1)
  ) {
    source = MemorySource(backlog)
    self.framing = framing
    self.capacity = capacity
    self.plan = plan
    listener = Listener(
      ListenerCore(source, address: .abstract("in memory")), framing, .readAhead, defaultMaximumFrameSize)
  }

  /// Connects to the listener.
  ///
  /// - Returns: the client's end.
  /// - Throws: `EndpointError` `transport` with the operation `connect`: ECONNREFUSED if the listener is finishing or
  ///   closed; EAGAIN if `backlog` connections wait already.
  public func connect() throws(EndpointError) -> MessageDuplex<F> {
    let (client, server) = SimulatedTransport.pair(capacity: capacity, plan: plan)
    let refusal: Errno? =
      listener.isFinishing
      ? .connectionRefused : source.offer(EndpointCore(server, for: [.readable, .writable]))
    if let refusal {
      throw EndpointError(.transport(TransportError(.connect, refusal)), subject: .service(listener.address))
    }
    return MessageDuplex(transport: client, framing: framing)
  }

  /// Makes the next accepts fail with these errors, one after the other.
  ///
  /// A listener waits after a shortage (EMFILE, ENFILE, ENOBUFS, ENOMEM), continues after the error of one peer
  /// (ECONNABORTED), and ends after EBADF, EINVAL and ENOTSOCK. It tells the
  /// observer of `serve` of shortages.
  public func failAccepts(_ errors: Errno...) { source.fail(errors) }
}

/// Connections that wait to be accepted, and errors that come before them.
final class MemorySource: AcceptingSource {
  private struct State: Sendable {
    var waiting: [EndpointCore] = []
    var errors: [Errno] = []
    var signal: ReadinessSignal?
    var isClosed = false
  }

  let reporter = AcceptReporter()
  private let backlog: Int
  private let state = Guarded(State())

  init(_ backlog: Int) { self.backlog = backlog }

  /// - Returns: the error if the connection is refused.
  func offer(_ core: EndpointCore) -> Errno? {
    let (refusal, signal) = state.withLock { state -> (Errno?, ReadinessSignal?) in
      if state.isClosed { return (.connectionRefused, nil) }
      if state.waiting.count >= backlog { return (.resourceTemporarilyUnavailable, nil) }
      state.waiting.append(core)
      return (nil, state.signal)
    }
    signal?.raise(.readable)
    return refusal
  }

  func fail(_ errors: [Errno]) {
    let signal = state.withLock { state in
      state.errors += errors
      return state.signal
    }
    signal?.raise(.readable)
  }

  var readinessSource: ReadinessSource { .signal }

  func attach(_ signal: ReadinessSignal) { state.withLock { $0.signal = signal } }

  func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt {
    let (core, error) = state.withLock { state -> (EndpointCore?, Errno?) in
      if !state.errors.isEmpty { return (nil, state.errors.removeFirst()) }
      return (state.waiting.isEmpty ? nil : state.waiting.removeFirst(), nil)
    }
    if let error {
      switch AcceptSource.Meaning(error) {
      // No readiness is reported again for connections that wait already, so the next attempt looks for them.
      case .nothingThere, .peers: return .transferred(0)
      case .shortage:
        reporter.beginShortage(error)
        return .retryLater
      case .final: return .failed(TransportError(.accept, error, scope: .connection))
      }
    }
    reporter.endShortage()
    guard let core else { return .wouldBlock }
    take(.value(core, stays: false))
    return .transferred(1)
  }

  func close() {
    let waiting = state.withLock { state in
      state.isClosed = true
      state.signal = nil
      defer { state.waiting = [] }
      return state.waiting
    }
    reporter.end()
    // Each connection closes with its last reference.
    _ = consume waiting
  }
}
