internal import CSysShim
internal import SWIO
internal import SystemPackage

/// A listening socket from which nothing has been accepted yet.
struct ListeningSocket {
  let socket: FreshDescriptor
  let address: Address
  let isUnix: Bool
  /// Whether the library made it, with a Unix address.
  let isOwnUnix: Bool
  var name: PublishedName?
  var restoresBlocking = false

  init(
    _ address: Address, _ kind: ConnectionKind, backlog: Int32, _ file: SocketFile, _ policy: AcceptPolicy?
  ) throws(EndpointError) {
    do throws(AddressError) { try address.validate() } catch {
      throw EndpointError(.address(error), subject: .service(address))
    }
    do throws(PublishedName.Failure) {
      if kind == .datagrams {
        throw Self.noConnections
      }
      switch address.kind {
      case .unix(let path):
        let (socket, name) = try PublishedName.listen(at: path, kind, file, backlog: backlog)
        self.init(socket: socket, address: address, isUnix: true, isOwnUnix: true, name: name)
      case .abstract(let name):
        guard let wanted = name.isEmpty ? .unnamedUnix : SocketAddress(abstractName: name) else {
          throw PublishedName.Failure(.bind, .fileNameTooLong)
        }
        let socket = try BoundSocket.bind(to: wanted, kind)
        try Self.listen(socket, backlog)
        self.init(
          socket: socket, address: BoundSocket.address(of: socket) ?? address, isUnix: true, isOwnUnix: true)
      case .tcp(let host, let port):
        try Self.check(policy, isUnix: false)
        let socket = try BoundSocket.bind(toHost: host, port: port, kind) {
          socket throws(PublishedName.Failure) in
          try Self.listen(socket, backlog)
        }
        self.init(
          socket: socket, address: BoundSocket.address(of: socket) ?? address, isUnix: false, isOwnUnix: false
        )
      case .udp:
        throw Self.noConnections
      case .descriptor(let number):
        let (socket, wasBlocking) = try Self.adopt(number, kind, policy)
        self.init(
          socket: socket, address: BoundSocket.address(of: socket) ?? address, isUnix: socket.isUnix,
          isOwnUnix: false,
          restoresBlocking: wasBlocking)
      }
    } catch {
      throw EndpointError(
        .transport(error.error), subject: .service(address), explanation: error.explanation)
    }
  }

  private static var noConnections: PublishedName.Failure {
    PublishedName.Failure(
      .listen, .notSupportedOnSocket,
      "datagrams have no connections to accept: bindDatagrams(at:) receives them")
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

  private static func listen(_ socket: FreshDescriptor, _ backlog: Int32) throws(PublishedName.Failure) {
    let result = socket.call { swsys_listen($0.rawValue, backlog) }
    if result < 0 { throw PublishedName.Failure(.listen, Errno(rawValue: -result)) }
  }

  /// Takes over a listening socket. Throws if the descriptor is something else.
  private static func adopt(
    _ number: Int32, _ kind: ConnectionKind, _ policy: AcceptPolicy?
  ) throws(PublishedName.Failure) -> (FreshDescriptor, wasBlocking: Bool) {
    try check(number, kind, policy)
    let wasBlocking = try adopted(swsys_is_nonblocking(number)) == 0
    _ = try adopted(swsys_set_close_on_exec(number, true))
    if wasBlocking { _ = try adopted(swsys_set_nonblocking(number, true)) }
    let descriptor = FileDescriptor(rawValue: number)
    let isUnix = descriptor.isUnixSocket
    if !isUnix { _ = swsys_set_no_delay(number, true) }
    return (FreshDescriptor(OwnedDescriptor(adopting: descriptor), kind, isUnix: isUnix), wasBlocking)
  }

  /// Checks whether a descriptor can be taken over, and changes nothing.
  static func check(
    _ number: Int32, _ kind: ConnectionKind, _ policy: AcceptPolicy?
  ) throws(PublishedName.Failure) {
    let type = try adopted(swsys_socket_type(number))
    guard type == kind.type else {
      throw PublishedName.Failure(.adopt, .protocolWrongTypeForSocket, "it is a socket of another kind")
    }
    guard try adopted(swsys_is_listening(number)) == 1 else {
      throw PublishedName.Failure(.adopt, .invalidArgument, "the socket does not listen")
    }
    try check(policy, isUnix: FileDescriptor(rawValue: number).isUnixSocket)
  }

  private static func check(_ policy: AcceptPolicy?, isUnix: Bool) throws(PublishedName.Failure) {
    if isUnix || !(policy?.needsCredentials ?? false) { return }
    throw PublishedName.Failure(
      .listen, .invalidArgument, "the policy needs the user of a peer, which only a Unix socket knows")
  }

  private static func adopted(_ result: Int32) throws(PublishedName.Failure) -> Int32 {
    if result < 0 { throw PublishedName.Failure(.adopt, Errno(rawValue: -result)) }
    return result
  }
}
