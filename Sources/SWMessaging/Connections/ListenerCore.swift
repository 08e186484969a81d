internal import CSysShim
package import SWIO
internal import Synchronization
internal import SystemPackage

/// The part that all listeners share, without the type of the connections: a receiving half whose items are connections.
package final class ListenerCore: Sendable {
  package let address: Address
  package let half: ReceiveHalf
  private let reporter: AcceptReporter?
  private let name: PublishedName?
  private let accepting: AcceptSource?
  /// The listener whose connections this one passes on.
  private let lower: ListenerCore?
  /// An additional closure that gives up the name of the listener below.
  private let unpublishing: (@Sendable () -> Void)?
  private let services = Guarded(Services())

  /// The services that serve the connections.
  private struct Services: Sendable {
    var isFinishing = false
    var entered: [ObjectIdentifier: any ServesConnections] = [:]
  }

  /// Makes a listener over its own source of items, such as a listener in memory.
  ///
  /// - Parameters:
  ///   - lower: the listener whose connections the source passes on. This listener reports the lower one's descriptor, count
  ///     of refused connections, and events as its own.
  ///   - unpublishing: gives up the name of the lower listener. It is called when this one finishes or closes, perhaps more
  ///     than once.
  package init(
    _ source: some ItemSource, address: Address, reactor: any Reacting = Reactor.shared,
    over lower: ListenerCore? = nil, unpublishing: (@Sendable () -> Void)? = nil
  ) {
    self.address = address
    self.lower = lower
    self.unpublishing = unpublishing
    half = ReceiveHalf(Port(source, for: .readable, reactor: reactor))
    reporter = (source as? any AcceptingSource)?.reporter
    name = nil
    accepting = nil
    reporter?.setObserver { [weak self] event in self?.tell(event) }
    lower?.enter(EventRelay(to: self))
  }

  package init(
    accepting source: AcceptSource, address: Address, _ name: PublishedName? = nil,
    reactor: any Reacting = Reactor.shared
  ) {
    self.address = address
    reporter = source.reporter
    accepting = source
    self.name = name
    lower = nil
    unpublishing = nil
    let half = ReceiveHalf(Port(source, for: .readable, reactor: reactor))
    self.half = half
    source.setWake { [weak half] in half?.endPauseEarly() }
    source.reporter.setObserver { [weak self] event in self?.tell(event) }
  }

  /// Listens at an address.
  convenience init(
    _ address: Address, _ kind: ConnectionKind, backlog: Int, _ file: SocketFile, _ policy: AcceptPolicy?
  ) throws(EndpointError) {
    let opened = try ListeningSocket(address, kind, backlog: Int32(clamping: backlog), file, policy)
    let policy = policy ?? (opened.isOwnUnix ? .sameUser : .anyone)
    let source = AcceptSource(
      opened.socket.take(), kind, isUnix: opened.isUnix, policy, restoresBlocking: opened.restoresBlocking,
      isOwn: opened.isOwnUnix)
    self.init(accepting: source, address: opened.address, opened.name)
  }

  /// Gives up the name, closes the socket, and wakes all callers.
  package func close() {
    unpublish()
    drainServices()
    // The descriptor may be closed a while later, on another thread.
    refuse()
    half.close()
  }

  /// Closes, and calls `done` when the listening descriptor is closed: perhaps on another thread.
  package func close(then done: @escaping @Sendable () -> Void) {
    close()
    half.port.whenGone { [lower] in
      if let lower { lower.half.port.whenGone(done) } else { done() }
    }
  }

  /// Gives up the name. Connections that were made before are still accepted, and then accepting ends.
  package func finish() {
    unpublish()
    drainServices()
    // In this order, because the socket is readable from then on: a thread in `accept` would look at it over and over.
    refuse()
    half.finishReceiving()
  }

  /// Whether accepting has ended for good because the listening descriptor is unusable. Any other error concerns one
  /// connection.
  var hasFailed: Bool {
    half.inspect { state in
      guard case .transport = state.over?.reason else { return false }
      return true
    }
  }

  /// Whether the listener has been told to finish, or is closed.
  package var isFinishing: Bool { services.withLock { $0.isFinishing } }

  private func drainServices() {
    let entered = services.withLock { services in
      services.isFinishing = true
      return Array(services.entered.values)
    }
    for service in entered { service.drain() }
  }

  /// Registers a service, which is told when the listener finishes. If the listener is finishing already, the service is
  /// told at once.
  package func enter(_ service: any ServesConnections) {
    let isFinishing = services.withLock { services in
      services.entered[ObjectIdentifier(service)] = service
      return services.isFinishing
    }
    if isFinishing { service.drain() }
  }

  package func leave(_ service: any ServesConnections) {
    services.withLock { services in services.entered[ObjectIdentifier(service)] = nil }
  }

  var served: [ListenerSnapshot.Connection] {
    services.withLock { Array($0.entered.values) }.flatMap { $0.snapshot }.sorted { $0.number < $1.number }
  }

  /// Gives up the name. It has no effect on an abstract name or a TCP address.
  private func unpublish() {
    name?.remove()
    unpublishing?()
  }

  /// Has the kernel refuse further clients, if it can do so and keep those that have connected.
  private func refuse() {
    if let accepting { try? half.withDescriptor { _ in accepting.refuse() } }
  }

  /// Reports an event of the listener to its services.
  private func tell(_ event: ListenerEvent) {
    for service in services.withLock({ Array($0.entered.values) }) { service.tell(event) }
  }

  var refusedCount: Int { lower?.refusedCount ?? reporter?.refusedCount ?? 0 }

  /// Lends the listening descriptor.
  package func withDescriptor<Result>(_ body: (Int32) throws -> Result) throws -> Result {
    if let lower { return try lower.withDescriptor(body) }
    accepting?.noteLent()
    return try half.withDescriptor(body)
  }

  /// Returns the connection of an item: one that was accepted, or one that was made in another way.
  package static func connection(_ item: any Sendable, _ mode: ReceiveMode) throws(EndpointError)
    -> EndpointCore
  {
    if let fresh = item as? FreshDescriptor { return try fresh.core(mode) }
    guard let core = item as? EndpointCore else { preconditionFailure("a listener yields connections") }
    return core
  }
}

/// Passes the events of one listener on to the listener above it.
private final class EventRelay: ServesConnections {
  private let state: Guarded<Weak>

  private struct Weak: Sendable { weak var upper: ListenerCore? }

  init(to upper: ListenerCore) { state = Guarded(Weak(upper: upper)) }

  func drain() {}
  func tell(_ event: ListenerEvent) { state.withLock { $0.upper }?.relay(event) }
  var snapshot: [ListenerSnapshot.Connection] { [] }
}

extension ListenerCore {
  fileprivate func relay(_ event: ListenerEvent) { tell(event) }

  /// Checks whether a listener can use a descriptor.
  static func check(
    _ number: Int32, _ kind: ConnectionKind, _ policy: AcceptPolicy
  ) throws(EndpointError) {
    do throws(PublishedName.Failure) {
      try ListeningSocket.check(number, kind, policy)
    } catch {
      throw EndpointError(
        .transport(error.error), subject: .service(.descriptor(number)), explanation: error.explanation)
    }
  }
}
