public import SWIO
internal import SystemPackage

extension Endpoint {
  /// The address of this end's socket, with the port or the abstract name that the kernel has chosen; nil of anything but a
  /// socket, and when the endpoint is closed.
  ///
  /// This is what `getsockname(2)` says. A Unix socket that was accepted has the name to which the listening one was bound,
  /// which need not be the path that the client has used: ``Listener/address`` is.
  public var localAddress: SocketAddress? { address(ofPeer: false) }

  /// The address of the socket at the other end (`getpeername(2)`): over TCP, the client's or the server's. Nil of anything
  /// but a connected socket, and when the endpoint is closed. Most clients of Unix sockets have no name
  /// (``SocketAddress/isUnnamed``); ``peer`` says which process it is.
  public var peerAddress: SocketAddress? { address(ofPeer: true) }

  private func address(ofPeer: Bool) -> SocketAddress? {
    (try? core.halves.withDescriptor { try? FileDescriptor(rawValue: $0).address(ofPeer: ofPeer) }) ?? nil
  }
}
