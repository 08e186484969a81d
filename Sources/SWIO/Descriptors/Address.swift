internal import CSysShim
public import SystemPackage

/// Where a service listens, and where its clients connect: a Unix path, an abstract name, a host and port of TCP or UDP,
/// or a descriptor that this process was given.
///
/// | written | made | |
/// |---|---|---|
/// | `unix:/run/app.sock` | `.unix("/run/app.sock")` | a socket in the file system |
/// | `unix:@app` | `.abstract("app")` | a name in Linux's abstract namespace |
/// | `unix:@` | `.abstract("")` | the kernel chooses an abstract name; for listening |
/// | `tcp:example.org:80`, `tcp:127.0.0.1:80` | `.tcp(host: "example.org", port: 80)` | |
/// | `tcp:[::1]:80`, `tcp:[fe80::1%eth0]:80` | `.tcp(host: "::1", port: 80)` | brackets are written, and not part of the host |
/// | `udp:example.org:514`, `udp:[::1]:514` | `.udp(host: "example.org", port: 514)` | datagrams over IP |
/// | `fd:3` | `.descriptor(3)` | taken over: a connected socket, or for listening a listening one |
///
/// In text, a byte of a path or of an abstract name can be written as `\x` and two hexadecimal digits. A backslash, a
/// control character, a byte that is not UTF-8, and an `@` that begins a path must be. ``description`` does so, and
/// `Address(address.description)` is equal to `address` for every address that can be used.
///
/// Names keep their exact length: nothing is cut or padded. A path may be as long as the system allows (4095 bytes),
/// although a socket address of the kernel has room for 108 bytes: longer ones are reached through `/proc/self/fd`.
///
/// An address says where a service is. Over a Unix socket ``ConnectionKind`` says whether a stream, packets or datagrams go
/// there; `tcp:` always means a stream, and `udp:` datagrams.
///
/// An address that was made in code may be unusable: an empty path, an abstract name of more than 107 bytes, an
/// empty host. The call that uses it throws an ``AddressError`` then.
public struct Address: Hashable, Sendable {
  /// The parts of an address.
  @nonexhaustive
  public enum Kind: Hashable, Sendable {
    /// The path of a Unix socket.
    case unix(FilePath)
    /// The bytes of a name in the abstract namespace.
    case abstract([UInt8])
    /// A host name or an IP address, without brackets, and a port.
    case tcp(host: String, port: UInt16)
    /// A host name or an IP address, without brackets, and a port of UDP.
    case udp(host: String, port: UInt16)
    /// The number of a descriptor.
    case descriptor(Int32)
  }

  /// The parts of the address.
  public let kind: Kind

  private init(_ kind: Kind) { self.kind = kind }

  /// A Unix socket in the file system. A relative path starts at the process's working directory.
  public static func unix(_ path: FilePath) -> Address { Address(.unix(path)) }

  /// A Unix socket in the file system. A relative path starts at the process's working directory.
  public static func unix(_ path: String) -> Address { .unix(FilePath(path)) }

  /// A name in Linux's abstract namespace, with its exact length.
  ///
  /// - Parameter name: at most 107 bytes as UTF-8. Empty: the kernel chooses a name when a listener is made.
  public static func abstract(_ name: String) -> Address { Address(.abstract(Array(name.utf8))) }

  /// A name in Linux's abstract namespace, with its exact length.
  ///
  /// - Parameter name: at most 107 bytes, which may be zero. Empty: the kernel chooses a name when a listener is made.
  public static func abstract(_ name: [UInt8]) -> Address { Address(.abstract(name)) }

  /// A TCP service.
  ///
  /// - Parameters:
  ///   - host: a host name, an IPv4 address, or an IPv6 address without brackets, which may name its network
  ///     interface ("fe80::1%eth0").
  ///   - port: the port. 0: the kernel chooses one when a listener is made.
  public static func tcp(host: String, port: UInt16) -> Address { Address(.tcp(host: host, port: port)) }

  /// A UDP service.
  ///
  /// - Parameters:
  ///   - host: a host name, an IPv4 address, or an IPv6 address without brackets, which may name its network
  ///     interface ("fe80::1%eth0").
  ///   - port: the port. 0: the kernel chooses one when a socket is bound.
  public static func udp(host: String, port: UInt16) -> Address { Address(.udp(host: host, port: port)) }

  /// A descriptor of this process, which is taken over by the call that uses the address.
  public static func descriptor(_ number: Int32) -> Address { Address(.descriptor(number)) }

  /// The address that the system gives; nil of a family without a written form, and of a Unix socket without a name. An
  /// IP address and a port are taken for TCP's.
  public init?(_ address: SocketAddress) {
    if let ip = address.ip, let port = address.port {
      let scope = address.scope ?? 0
      self = .tcp(host: scope == 0 ? ip : "\(ip)%\(scope)", port: port)
    } else if let name = address.abstractName {
      self = .abstract(name)
    } else if case .unix = address.family, !address.isUnnamed {
      self = .unix(FilePath(bytes: address.bytes[2...].prefix { $0 != 0 }))
    } else {
      return nil
    }
  }
}

extension Address {
  /// The longest abstract name, in bytes.
  static var longestName: Int { 107 }

  /// The address in the kernel's form. Nil for a host name, for a descriptor, and for a path that does not fit.
  ///
  /// - Requires: the address is valid.
  package var socketAddress: SocketAddress? {
    switch kind {
    case .unix(let path):
      let bytes = path.bytes
      return bytes.count > 108 ? nil : SocketAddress(unixPathBytes: bytes)
    case .abstract(let name): return name.isEmpty ? .unnamedUnix : SocketAddress(abstractName: name)
    case .tcp(let host, let port), .udp(let host, let port): return SocketAddress(ip: host, port: port)
    case .descriptor: return nil
    }
  }
}

extension FilePath {
  /// The bytes of a path, without the closing NUL.
  package var bytes: [UInt8] {
    unsafe withPlatformString { text in
      unsafe UnsafeBufferPointer(start: text, count: length).map { UInt8(bitPattern: $0) }
    }
  }

  /// Makes a path of these bytes, none of which is NUL.
  package init(bytes: some Sequence<UInt8>) {
    unsafe self.init(platformString: bytes.map { CChar(bitPattern: $0) } + [0])
  }
}
