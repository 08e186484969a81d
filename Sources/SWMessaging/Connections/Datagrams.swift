internal import CSysShim
public import SWFraming
public import SWIO
internal import SystemPackage

/// Binds a socket to an address, to receive datagrams there and to answer them.
///
///     let service = try bindDatagrams(at: .unix("/run/app.sock"), framing: .datagram)
///     while true {
///       let request = try await service.receiveMessage()
///       if let sender = request.sender { try await service.send(answer(to: request.message), to: sender) }
///     }
///
/// A client has a connected socket, which receives answers from this address alone:
///
///     let client = try await connect(to: .unix("/run/app.sock"), framing: .datagram, kind: .datagrams)
///     let client = try await connect(to: .udp(host: "::1", port: 5140), framing: .datagram)
///
/// **Unix paths.** The file has its permissions from the moment that it has its name, and never replaces a socket that a
/// process has, unless that is asked for. When the endpoint is closed, the file is removed if it is still the socket's
/// own; ``Endpoint/detach()`` leaves it. Permission to write to the file decides who may send. If the path has more than
/// 107 bytes, receivers of what this socket sends cannot answer, because the kernel's address has no room for it.
///
/// **Abstract names.** Any process of the same network namespace may send. The kernel says who did:
/// ``ReceivingEndpoint/setReceivesCredentials(_:)``.
///
/// **UDP.** Anybody who reaches the port may send, and may lie about its own address. `[::]` stands for IPv6 and IPv4. Port 0
/// has the kernel choose one: ``Endpoint/localAddress`` says which.
///
/// The call does not wait, with two exceptions: the name of a host is looked up on the calling thread, for as long as the
/// system's resolver takes; and if another process replaces a file in the same directory at this moment, the call waits
/// for it, for a second at most. It may be made from any thread. The endpoint is for threads and tasks at once.
///
/// - Parameters:
///   - address: where to receive. `fd:` takes over a socket of datagrams that is bound already, such as one that a service
///     manager has passed.
///   - framing: the framing of the messages: `.datagram`, or another whose frame fills each datagram.
///   - maximumFrameSize: the largest datagram to receive, in bytes. A larger one is an error of its own.
///   - file: the file of a Unix path. It has no meaning for other addresses.
/// - Throws: ``EndpointError`` with the ``EndpointError/subject`` `service`. Nothing is left, and nothing has changed.
///   - `transport`: the operation is the step that failed (`bind`, `publish`, `resolve`, `adopt`), and
///     ``EndpointError/explanation`` says more. EADDRINUSE: a process has a socket at that address. ENOTSOCK: there is
///     something else than a socket at the path. EPROTONOSUPPORT: the address is TCP's. EPROTOTYPE: the descriptor is a
///     socket of another kind.
///   - `address`: the address is not valid.
public func bindDatagrams<F: Framing>(
  at address: Address, framing: F, maximumFrameSize: Int = defaultMaximumFrameSize,
  file: SocketFile = .mode(0o600)
) throws(EndpointError) -> MessageDuplex<F> {
  MessageDuplex(
    core: try EndpointCore.bound(to: address, file), framing: framing, maximumFrameSize: maximumFrameSize)
}

/// Binds a socket to an address, for raw datagrams; see ``bindDatagrams(at:framing:maximumFrameSize:file:)``.
///
/// - Parameters:
///   - address: where to receive.
///   - file: the file of a Unix path.
public func bindDatagrams(
  at address: Address, file: SocketFile = .mode(0o600)
) throws(EndpointError) -> SocketDuplex {
  SocketDuplex(core: try EndpointCore.bound(to: address, file))
}

extension EndpointCore {
  private typealias Failure = PublishedName.Failure

  /// Makes a datagram socket that is bound to an address.
  fileprivate static func bound(to address: Address, _ file: SocketFile) throws(EndpointError) -> EndpointCore
  {
    do throws(AddressError) { try address.validate() } catch {
      throw EndpointError(.address(error), subject: .service(address))
    }
    do throws(Failure) {
      switch address.kind {
      case .unix(let path):
        let (socket, published) = try PublishedName.listen(at: path, .datagrams, file, backlog: 0)
        return try over(socket, published)
      case .abstract(let name):
        guard let wanted = name.isEmpty ? .unnamedUnix : SocketAddress(abstractName: name) else {
          throw Failure(.bind, .fileNameTooLong)
        }
        let socket = try BoundSocket.bind(to: wanted, .datagrams)
        return try over(socket, nil)
      case .udp(let host, let port):
        let socket = try BoundSocket.bind(toHost: host, port: port, .datagrams)
        return try over(socket, nil)
      case .tcp: throw Failure(.bind, .protocolNotSupported, "TCP has no datagrams; udp: has")
      case .descriptor(let number): return try adoptingDatagrams(number)
      }
    } catch {
      throw EndpointError(
        .transport(error.error), subject: .service(address), explanation: error.explanation)
    }
  }

  private static func over(_ socket: FreshDescriptor, _ name: PublishedName?) throws(Failure) -> EndpointCore
  {
    var willClose: (@Sendable () -> Void)?
    if let name { willClose = { name.remove() } }
    do throws(TransportError) {
      return try EndpointCore(datagrams: socket.take(), willClose: willClose)
    } catch {
      name?.remove()
      throw Failure(error.operation, error.errno)
    }
  }

  /// Takes over a socket that is bound already. Throws if it is not a bound datagram socket.
  private static func adoptingDatagrams(_ number: Int32) throws(Failure) -> EndpointCore {
    let type = swsys_socket_type(number)
    if type < 0 { throw Failure(.adopt, Errno(rawValue: -type)) }
    guard type == ConnectionKind.datagrams.type else {
      throw Failure(.adopt, .protocolWrongTypeForSocket, "it is a socket of another kind")
    }
    do throws(EndpointError) {
      return try EndpointCore(adopting: number, for: [.readable, .writable])
    } catch {
      guard case .transport(let failure) = error.reason else { preconditionFailure("nothing else fails") }
      throw Failure(failure.operation, failure.errno)
    }
  }
}
