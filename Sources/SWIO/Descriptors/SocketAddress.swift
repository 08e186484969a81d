internal import CSysShim

/// The address of a socket, as the kernel writes it (`struct sockaddr` and what follows it).
///
/// ```
///   family (2, native order) | path, NUL              AF_UNIX; a leading NUL: the abstract namespace
///   family | port (2, BE) | address (4)               AF_INET
///   family | port (2, BE) | flow (4) | address (16) | scope (4)   AF_INET6
/// ```
///
/// Source: unix(7), ip(7), ipv6(7).
public struct SocketAddress: Hashable, Sendable {
  public let bytes: [UInt8]

  /// - Parameter bytes: a `sockaddr`, 2 to 128 bytes.
  public init(bytes: [UInt8]) {
    precondition((2...128).contains(bytes.count), "an address has 2 to 128 bytes")
    self.bytes = bytes
  }

  /// The address of a socket in the file system.
  ///
  /// - Parameter path: at most 107 bytes, none of them NUL.
  public init?(unixPath path: String) {
    let path = Array(path.utf8)
    guard (1...107).contains(path.count), !path.contains(0) else { return nil }
    bytes = unsafe withUnsafeBytes(of: UInt16(SWSYS_UNIX_FAMILY)) { unsafe Array($0) } + path + [0]
  }

  /// The path of a socket in the file system.
  public var unixPath: String? {
    let family = UInt16(SWSYS_UNIX_FAMILY)
    guard unsafe withUnsafeBytes(of: family, { unsafe bytes.starts(with: $0) }), bytes.count > 3,
      bytes[2] != 0
    else {
      return nil
    }
    return String(decoding: bytes[2...].prefix { $0 != 0 }, as: UTF8.self)
  }
}
