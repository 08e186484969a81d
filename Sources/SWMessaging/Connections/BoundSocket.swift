internal import CSysShim
internal import SWIO
internal import SystemPackage

/// Makes sockets that are bound to an address.
enum BoundSocket {
  typealias Failure = PublishedName.Failure

  /// Makes a socket with that address.
  static func bind(to address: SocketAddress, _ kind: ConnectionKind) throws(Failure) -> FreshDescriptor {
    do throws(TransportError) {
      let socket = try OwnedDescriptor.socket(for: address, kind, .bind)
      let number = socket.withDescriptor { $0.rawValue }
      if let bytes = address.ipBytes {
        // On a datagram socket, this option would let another process bind the same address.
        if kind == .stream { _ = try checked(.bind, swsys_set_reuse_address(number)) }
        // The wildcard address accepts IPv4, too, whatever the system's default is.
        if bytes.count == 16, !bytes.contains(where: { $0 != 0 }) {
          _ = try checked(.bind, swsys_set_v6_only(number, false))
        }
      }
      _ = try checked(.bind, socket.bind(to: address))
      return FreshDescriptor(socket, kind, isUnix: !address.isIP)
    } catch {
      throw Failure(error.operation, error.errno)
    }
  }

  /// Makes a socket with the first usable address of a host. Looks the host up on the calling thread.
  ///
  /// An address is passed over only if this host does not have it or not its family. Any other error is the result. If
  /// another server has the address, a server at the next address would get only some of the clients, or none.
  ///
  /// - Parameter prepare: another step that must succeed with that address.
  static func bind(
    toHost host: String, port: UInt16, _ kind: ConnectionKind,
    _ prepare: (FreshDescriptor) throws(Failure) -> Void = { _ in }
  ) throws(Failure) -> FreshDescriptor {
    let addresses: [SocketAddress]
    if let address = SocketAddress(ip: host, port: port) {
      addresses = [address]
    } else {
      do throws(Resolver.Failure) {
        addresses = try Resolver.addresses(of: host, port: port)
      } catch {
        throw Failure(.resolve, error.errno, error.explanation)
      }
    }
    var last = Failure(.bind, .noSuchAddressOrDevice)
    for address in addresses {
      do throws(Failure) {
        let socket = try bind(to: address, kind)
        try prepare(socket)
        return socket
      } catch {
        last = error
        guard [.addressNotAvailable, .addressFamilyNotSupported].contains(error.error.errno) else { break }
      }
    }
    throw last
  }

  /// Returns the address that the kernel has for a socket.
  static func address(of socket: FreshDescriptor) -> Address? {
    let found = socket.withNumber { try? FileDescriptor(rawValue: $0).address() } ?? nil
    return found.flatMap { Address($0) }
  }
}
