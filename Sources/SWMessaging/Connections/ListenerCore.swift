internal import CSysShim
package import SWIO
internal import Synchronization
internal import SystemPackage

/// The part that all listeners share, without the type of its connections: a receiving half whose items are connections.
package final class ListenerCore: Sendable {
  package let address: Address
  package let half: ReceiveHalf
  private let source: AcceptSource?
  private let name: PublishedName?
  /// What else gives up the name: that of a listener below.
  private let unpublishing: (@Sendable () -> Void)?
  private let services = Guarded(Services())

  /// Those who serve the connections.
  private struct Services: Sendable {
    var isFinishing = false
    var entered: [ObjectIdentifier: any ServesConnections] = [:]
  }

  /// Over a source of items of its own, such as a listener in memory.
  ///
  /// - Parameter unpublishing: gives up the name of a listener below; called when this one finishes or closes, perhaps
  ///   more than once.
  package init(
    _ source: some ItemSource, address: Address, reactor: any Reacting = Reactor.shared,
    unpublishing: (@Sendable () -> Void)? = nil
  ) {
    self.address = address
    self.unpublishing = unpublishing
    half = ReceiveHalf(Port(source, for: .readable, reactor: reactor))
    self.source = nil
    name = nil
  }

  package init(
    accepting source: AcceptSource, address: Address, _ name: PublishedName? = nil,
    reactor: any Reacting = Reactor.shared
  ) {
    self.address = address
    self.source = source
    self.name = name
    unpublishing = nil
    let half = ReceiveHalf(Port(source, for: .readable, reactor: reactor))
    self.half = half
    source.setWake { [weak half] in half?.endPauseEarly() }
  }

  /// Listens at an address.
  convenience init(
    _ address: Address, _ kind: ConnectionKind, backlog: Int, _ file: SocketFile, _ policy: AcceptPolicy?
  ) throws(EndpointError) {
    let opened = try Opened(address, kind, backlog: Int32(clamping: backlog), file)
    let policy = policy ?? (opened.isOwnUnix ? .sameUser : .anyone)
    if policy.needsCredentials, !opened.isUnix {
      throw EndpointError(
        .transport(TransportError(.listen, .invalidArgument)), subject: .service(address),
        explanation: "the policy is about users, and nothing but a Unix socket knows them")
    }
    let source = AcceptSource(
      opened.socket.take(), kind, isUnix: opened.isUnix, policy, restoresBlocking: opened.restoresBlocking)
    self.init(accepting: source, address: opened.address, opened.name)
  }

  /// Gives up the name, closes the socket, and wakes all callers.
  package func close() {
    unpublish()
    drainServices()
    half.close()
  }

  /// Gives up the name. The connections that have been made are accepted, and then accepting ends.
  package func finish() {
    unpublish()
    drainServices()
    half.finishReceiving()
  }

  /// Accepting has ended for good because the listening descriptor is unusable. Any other error concerns one connection.
  var hasFailed: Bool {
    half.inspect { state in
      guard case .transport = state.over?.reason else { return false }
      return true
    }
  }

  /// It has been told to finish, or closed.
  package var isFinishing: Bool { services.withLock { $0.isFinishing } }

  private func drainServices() {
    let entered = services.withLock { services in
      services.isFinishing = true
      return Array(services.entered.values)
    }
    for service in entered { service.drain() }
  }

  /// Has the service told when the listener finishes: at once if it has done so.
  func enter(_ service: any ServesConnections) {
    let isFinishing = services.withLock { services in
      services.entered[ObjectIdentifier(service)] = service
      return services.isFinishing
    }
    if isFinishing { service.drain() }
  }

  func leave(_ service: any ServesConnections) {
    services.withLock { services in services.entered[ObjectIdentifier(service)] = nil }
  }

  var served: [ListenerSnapshot.Connection] {
    services.withLock { Array($0.entered.values) }.flatMap { $0.snapshot }.sorted { $0.number < $1.number }
  }

  /// Gives up the name alone: nobody connects any more, and who has connected can be accepted. Over an abstract name and
  /// over TCP nothing happens.
  package func unpublish() {
    name?.remove()
    unpublishing?()
  }

  /// Has `tell` called when accepting pauses for want of descriptors or memory, and with nil when it goes on.
  package func setOnPause(_ tell: @escaping @Sendable (TransportError?) -> Void) { source?.setOnPause(tell) }

  package var refusedCount: Int { source?.refusedCount ?? 0 }

  /// The connection that an item stands for: one that was accepted, or one made elsewhere.
  package static func connection(_ item: any Sendable, _ mode: ReceiveMode) throws(EndpointError)
    -> EndpointCore
  {
    if let fresh = item as? FreshDescriptor { return try fresh.core(mode) }
    guard let core = item as? EndpointCore else { preconditionFailure("a listener yields connections") }
    return core
  }
}

extension ListenerCore {
  /// Whether a descriptor can be listened with.
  static func check(_ number: Int32, _ kind: ConnectionKind) throws(EndpointError) {
    do throws(PublishedName.Failure) {
      try Opened.check(number, kind)
    } catch {
      throw EndpointError(
        .transport(error.error), subject: .service(.descriptor(number)), explanation: error.explanation)
    }
  }
}

/// A listening socket, before anybody accepts from it.
private struct Opened {
  let socket: FreshDescriptor
  let address: Address
  let isUnix: Bool
  /// It was made here, with a Unix address.
  let isOwnUnix: Bool
  var name: PublishedName?
  var restoresBlocking = false

  init(
    _ address: Address, _ kind: ConnectionKind, backlog: Int32, _ file: SocketFile
  ) throws(EndpointError) {
    do throws(AddressError) { try address.validate() } catch {
      throw EndpointError(.address(error), subject: .service(address))
    }
    do throws(PublishedName.Failure) {
      if kind == .datagrams {
        throw PublishedName.Failure(.listen, .notSupportedOnSocket, "datagrams have no connections to accept")
      }
      switch address.kind {
      case .unix(let path):
        let (socket, name) = try PublishedName.listen(at: path, kind, file, backlog: backlog)
        self.init(socket: socket, address: address, isUnix: true, isOwnUnix: true, name: name)
      case .abstract(let name):
        guard let wanted = name.isEmpty ? .unnamedUnix : SocketAddress(abstractName: name) else {
          throw PublishedName.Failure(.bind, .fileNameTooLong)
        }
        let socket = try Self.listen(at: wanted, kind, backlog)
        self.init(
          socket: socket, address: Self.address(of: socket) ?? address, isUnix: true, isOwnUnix: true)
      case .tcp(let host, let port):
        let socket = try Self.listen(atHost: host, port: port, kind, backlog)
        self.init(
          socket: socket, address: Self.address(of: socket) ?? address, isUnix: false, isOwnUnix: false)
      case .descriptor(let number):
        let (socket, wasBlocking) = try Self.adopt(number, kind)
        self.init(
          socket: socket, address: Self.address(of: socket) ?? address, isUnix: socket.isUnix,
          isOwnUnix: false,
          restoresBlocking: wasBlocking)
      }
    } catch {
      throw EndpointError(
        .transport(error.error), subject: .service(address), explanation: error.explanation)
    }
  }

  private init(
    socket: FreshDescriptor, address: Address, isUnix: Bool, isOwnUnix: Bool, name: PublishedName? = nil,
    restoresBlocking: Bool = false
  ) {
    self.socket = socket
    self.address = address
    self.isUnix = isUnix
    self.isOwnUnix = isOwnUnix
    self.name = name
    self.restoresBlocking = restoresBlocking
  }

  private static func address(of socket: FreshDescriptor) -> Address? {
    let found = socket.withNumber { try? FileDescriptor(rawValue: $0).address() } ?? nil
    return found.flatMap { Address($0) }
  }

  private static func listen(
    at address: SocketAddress, _ kind: ConnectionKind, _ backlog: Int32
  ) throws(PublishedName.Failure) -> FreshDescriptor {
    do throws(TransportError) {
      let socket = try OwnedDescriptor.socket(for: address, kind, .bind)
      let number = socket.withDescriptor { $0.rawValue }
      if let bytes = address.ipBytes {
        _ = try checked(.bind, swsys_set_reuse_address(number))
        // The address that stands for any: over IPv4, too, whatever the system's own choice is.
        if bytes.count == 16, !bytes.contains(where: { $0 != 0 }) {
          _ = try checked(.bind, swsys_set_v6_only(number, false))
        }
      }
      _ = try checked(.bind, socket.bind(to: address))
      _ = try checked(.listen, swsys_listen(number, backlog))
      return FreshDescriptor(socket, kind, isUnix: !address.isIP)
    } catch {
      throw PublishedName.Failure(error.operation, error.errno)
    }
  }

  private static func listen(
    atHost host: String, port: UInt16, _ kind: ConnectionKind, _ backlog: Int32
  ) throws(PublishedName.Failure) -> FreshDescriptor {
    let addresses: [SocketAddress]
    if let address = SocketAddress(ip: host, port: port) {
      addresses = [address]
    } else {
      do throws(Resolver.Failure) {
        addresses = try Resolver.addresses(of: host, port: port)
      } catch {
        throw PublishedName.Failure(.resolve, error.errno, error.explanation)
      }
    }
    var last = PublishedName.Failure(.bind, .noSuchAddressOrDevice)
    for address in addresses {
      do throws(PublishedName.Failure) { return try listen(at: address, kind, backlog) } catch {
        last = error
      }
    }
    throw last
  }

  /// Takes over a listening socket, unless it is something else.
  private static func adopt(
    _ number: Int32, _ kind: ConnectionKind
  ) throws(PublishedName.Failure) -> (FreshDescriptor, wasBlocking: Bool) {
    try check(number, kind)
    let wasBlocking = try adopted(swsys_is_nonblocking(number)) == 0
    _ = try adopted(swsys_set_close_on_exec(number, true))
    if wasBlocking { _ = try adopted(swsys_set_nonblocking(number, true)) }
    let descriptor = FileDescriptor(rawValue: number)
    let isUnix = descriptor.isUnixSocket
    if !isUnix { _ = swsys_set_no_delay(number, true) }
    return (FreshDescriptor(OwnedDescriptor(adopting: descriptor), kind, isUnix: isUnix), wasBlocking)
  }

  /// Whether a descriptor can be taken over.
  static func check(_ number: Int32, _ kind: ConnectionKind) throws(PublishedName.Failure) {
    let type = try adopted(swsys_socket_type(number))
    guard type == kind.type else {
      throw PublishedName.Failure(.adopt, .protocolWrongTypeForSocket, "it is a socket of another kind")
    }
    guard try adopted(swsys_is_listening(number)) == 1 else {
      throw PublishedName.Failure(.adopt, .invalidArgument, "the socket does not listen")
    }
  }

  private static func adopted(_ result: Int32) throws(PublishedName.Failure) -> Int32 {
    if result < 0 { throw PublishedName.Failure(.adopt, Errno(rawValue: -result)) }
    return result
  }
}
