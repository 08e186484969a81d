internal import CSysShim
internal import SystemPackage

/// Which kind of connected sockets to make.
@nonexhaustive
public enum SocketPairKind: Hashable, Sendable {
  /// `socketpair(2)` of the Unix domain.
  case unix
  /// A TCP connection over the IPv4 loopback.
  case tcp
  /// A TCP connection over the IPv6 loopback.
  case tcp6
  /// `socketpair(2)` of datagrams, whole and in order; there is no end.
  case unixDatagrams
  /// `socketpair(2)` of packets (SOCK_SEQPACKET): datagrams that end as a stream does.
  case unixPackets

  /// The type to ask `socketpair(2)` for. Nil for TCP.
  fileprivate var unixType: Int32? {
    if self == .unix { return swsys_sock_stream }
    if self == .unixDatagrams { return swsys_sock_dgram }
    return self == .unixPackets ? swsys_sock_seqpacket : nil
  }
}

extension DescriptorPair {
  /// Makes a pipe, close-on-exec and blocking. Endpoints do not change the flags of its open file descriptions, so a
  /// child may inherit either end.
  public static func pipe() throws(TransportError) -> DescriptorPair {
    var ends: (Int32, Int32) = (-1, -1)
    let result = unsafe withUnsafeMutableBytes(of: &ends) { bytes in
      unsafe bytes.withMemoryRebound(to: Int32.self) { ends in
        unsafe ends.baseAddress.map { unsafe swsys_pipe($0) } ?? -Errno.invalidArgument.rawValue
      }
    }
    _ = try checked(.makePipe, result)
    return DescriptorPair(ends)
  }

  /// Makes two connected sockets, close-on-exec.
  ///
  /// Linux has no `socketpair` for TCP. This call listens on the loopback, connects, and accepts only its own
  /// connection. TCP sockets have `TCP_NODELAY` set, because a message is complete when it is sent.
  public static func sockets(_ kind: SocketPairKind = .unix) throws(TransportError) -> DescriptorPair {
    var ends: (Int32, Int32) = (-1, -1)
    let result = unsafe withUnsafeMutableBytes(of: &ends) { bytes in
      unsafe bytes.withMemoryRebound(to: Int32.self) { ends in
        guard let ends = ends.baseAddress else { return -Errno.invalidArgument.rawValue }
        if let type = kind.unixType { return unsafe swsys_unix_pair(ends, type) }
        return unsafe swsys_tcp_pair(ends, kind == .tcp6)
      }
    }
    _ = try checked(.makeSocketPair, result)
    let pair = DescriptorPair(ends)
    if kind.unixType == nil {
      _ = try checked(.makeSocketPair, swsys_set_no_delay(ends.0, true))
      _ = try checked(.makeSocketPair, swsys_set_no_delay(ends.1, true))
    }
    return pair
  }

  private init(_ ends: (Int32, Int32)) {
    first = OwnedDescriptor(adopting: FileDescriptor(rawValue: ends.0))
    second = OwnedDescriptor(adopting: FileDescriptor(rawValue: ends.1))
  }
}
