internal import CSysShim
package import SystemPackage

// Sockets that listen, connect and are accepted. All of them are made through the C shim. Every socket that is made here is
// close-on-exec and nonblocking, and its number is above 2.

/// Which kind of socket carries a connection.
@nonexhaustive
public enum ConnectionKind: Hashable, Sendable {
  /// A stream of bytes (SOCK_STREAM).
  case stream
  /// Packets in order that end as a stream does (SOCK_SEQPACKET). Unix sockets only.
  case packets
  /// Datagrams (SOCK_DGRAM), over Unix sockets and UDP. They are not listened for: a socket is bound, and receives them.
  case datagrams

  package var type: Int32 {
    switch self {
    case .stream: swsys_sock_stream
    case .packets: swsys_sock_seqpacket
    case .datagrams: swsys_sock_dgram
    }
  }
}

extension SocketAddress {
  /// The system's number of the address family.
  fileprivate var familyNumber: Int32 {
    switch family {
    case .unix: Int32(SWSYS_UNIX_FAMILY)
    case .ipv4: Int32(SWSYS_INET_FAMILY)
    case .ipv6: Int32(SWSYS_INET6_FAMILY)
    case .other(let number): Int32(number)
    }
  }

  package var isIP: Bool { ipBytes != nil }

  /// Lends the bytes to a system call.
  fileprivate func withPointer(_ body: (UnsafeRawPointer, UInt32) -> Int32) -> Int32 {
    unsafe bytes.withUnsafeBytes { bytes in
      unsafe bytes.baseAddress.map { unsafe body($0, UInt32(bytes.count)) } ?? -Errno.invalidArgument.rawValue
    }
  }
}

extension OwnedDescriptor {
  /// Makes a socket that can be connected or bound to such an address. A TCP socket sends small messages at once
  /// (TCP_NODELAY).
  package static func socket(
    for address: SocketAddress, _ kind: ConnectionKind, _ operation: TransportError.Operation,
    noDelay: Bool = true
  ) throws(TransportError) -> OwnedDescriptor {
    if address.isIP, kind == .packets { throw TransportError(operation, .protocolNotSupported) }
    let number = try checked(operation, swsys_socket(address.familyNumber, kind.type))
    let socket = OwnedDescriptor(adopting: FileDescriptor(rawValue: number))
    if address.isIP, kind == .stream, noDelay { _ = try checked(operation, swsys_set_no_delay(number, true)) }
    return socket
  }

  package borrowing func bind(to address: SocketAddress) -> Int32 { withDescriptor { $0.bind(to: address) } }

  /// Returns 0 or a negative errno, including EINPROGRESS and EAGAIN.
  package borrowing func connect(to address: SocketAddress) -> Int32 {
    withDescriptor { $0.connect(to: address) }
  }
}

extension FileDescriptor {
  /// Returns 0 or a negative errno.
  package func bind(to address: SocketAddress) -> Int32 {
    unsafe address.withPointer { unsafe swsys_bind(rawValue, $0, $1) }
  }

  /// Returns 0 or a negative errno, including EINPROGRESS and EAGAIN.
  package func connect(to address: SocketAddress) -> Int32 {
    unsafe address.withPointer { unsafe swsys_connect(rawValue, $0, $1) }
  }
}

extension FileDescriptor {
  /// The address to which the socket is bound, or its peer's address.
  package func address(ofPeer: Bool = false) throws(Errno) -> SocketAddress {
    var bytes = [UInt8](repeating: 0, count: 128)
    let count = unsafe bytes.withUnsafeMutableBytes { room in
      unsafe room.baseAddress.map { unsafe swsys_socket_address(rawValue, ofPeer, $0, 128) }
        ?? -Errno.invalidArgument.rawValue
    }
    if count < 0 { throw Errno(rawValue: -count) }
    return SocketAddress(bytes: Array(bytes.prefix(max(Int(count), 2))))
  }

  /// Whether a socket is connected to itself. That happens on a connection to a local port at which no process listens, if
  /// the kernel chooses the same port for the client.
  package var isConnectedToItself: Bool {
    guard let own = try? address() else { return false }
    return own == (try? address(ofPeer: true))
  }

  /// Whether it is a Unix socket.
  package var isUnixSocket: Bool { swsys_is_unix(rawValue) }
}

// MARK: - Connecting

extension OwnedDescriptor {
  /// Makes one attempt to connect to a Unix socket. Unix sockets connect at once or not at all.
  ///
  /// - Parameter address: a valid Unix path or abstract name.
  /// - Throws: `TransportError`; EAGAIN if the server's queue of connections is full.
  package static func connected(
    to address: Address, _ kind: ConnectionKind
  ) throws(TransportError) -> OwnedDescriptor {
    let socket = try socket(for: .unnamedUnix, kind, .connect)
    if kind == .datagrams {
      // Without an address of its own, the socket could not receive answers.
      _ = try checked(.connect, socket.bind(to: .unnamedUnix))
    }
    if let found = address.socketAddress {
      if found.isUnnamed { throw TransportError(.connect, .invalidArgument) }
      _ = try checked(.connect, socket.connect(to: found))
      socket.endConnecting()
      return socket
    }
    guard case .unix(let path) = address.kind else { throw TransportError(.connect, .invalidArgument) }
    // The path is longer than the kernel's address, so the socket is reached through a descriptor that stands for it.
    let place = try OwnedDescriptor.place(path, isDirectory: false, .connect)
    _ = try checked(.connect, socket.connect(to: place.addressOfNumber))
    socket.endConnecting()
    return socket
  }

  /// Clears O_NONBLOCK, which only `connect(2)` needs. Others that get the socket by descriptor, such as a child, expect that it
  /// blocks.
  package borrowing func endConnecting() { withDescriptor { swsys_end_connecting($0.rawValue) } }

  /// Returns a descriptor that stands for a file without opening it (O_PATH).
  package static func place(
    _ path: FilePath, isDirectory: Bool, _ operation: TransportError.Operation
  ) throws(TransportError) -> OwnedDescriptor {
    let number = unsafe path.withPlatformString { unsafe swsys_open_place($0, isDirectory) }
    return OwnedDescriptor(adopting: FileDescriptor(rawValue: try checked(operation, number)))
  }

  /// The address of a socket that this descriptor stands for.
  private var addressOfNumber: SocketAddress {
    let number = withDescriptor { $0.rawValue }
    return SocketAddress(unixPath: "/proc/self/fd/\(number)") ?? .unnamedUnix
  }
}

/// A connection attempt over IP. A datagram socket is connected at once.
package struct ConnectingSocket: ~Copyable, Sendable {
  private let socket: OwnedDescriptor

  package enum Progress: Hashable, Sendable {
    case connecting
    case connected
    case failed(Errno)
  }

  /// Begins to connect.
  package init(to address: SocketAddress, _ kind: ConnectionKind, noDelay: Bool) throws(TransportError) {
    let made = try OwnedDescriptor.socket(for: address, kind, .connect, noDelay: noDelay)
    let result = made.connect(to: address)
    if result != -Errno.nowInProgress.rawValue { _ = try checked(.connect, result) }
    socket = made
  }

  package var number: Int32 { socket.withDescriptor { $0.rawValue } }

  /// The progress of the attempt.
  package var progress: Progress {
    socket.withDescriptor { descriptor in
      guard descriptor.isReady(for: .writable) else { return .connecting }
      let result = swsys_socket_error(descriptor.rawValue)
      if result < 0 { return .failed(Errno(rawValue: -result)) }
      return descriptor.isConnectedToItself ? .failed(.connectionRefused) : .connected
    }
  }

  package consuming func release() -> OwnedDescriptor { socket }
}

// MARK: - Names of hosts

/// The system's resolver. A look-up can take a minute, so it runs on a thread of the library.
package enum Resolver {
  package struct Failure: Error, Hashable, Sendable {
    package var errno: Errno
    /// The resolver's own explanation, if it has one.
    package var explanation = ""
  }

  private static let threads = HelperThreads(name: "sw-resolver", usual: 4, most: 64)

  /// Returns the addresses of a host, in the order of preference. Blocks for as long as the resolver takes.
  package static func addresses(of host: String, port: UInt16) throws(Failure) -> [SocketAddress] {
    if let override { return override(host) }
    var found: UnsafeMutablePointer<swsys_resolved>?
    let count = unsafe host.withCString { host in
      unsafe "\(port)".withCString { port in unsafe swsys_resolve(host, port, false, &found) }
    }
    defer { unsafe swsys_free_resolved(found) }
    if count < -Int32(SWSYS_RESOLVER) {
      let text = unsafe swsys_resolver_text(count).map { unsafe String(cString: $0) } ?? ""
      throw Failure(errno: Errno(rawValue: swsys_resolver_errno(count)), explanation: text)
    }
    if count < 0 { throw Failure(errno: Errno(rawValue: -count)) }
    var addresses: [SocketAddress] = []
    for index in 0..<Int(count) {
      guard let entry = unsafe found?[index] else { break }
      let bytes = unsafe withUnsafeBytes(of: entry.address) { unsafe Array($0.prefix(Int(entry.length))) }
      let address = SocketAddress(bytes: bytes)
      if !addresses.contains(address) { addresses.append(address) }
    }
    if addresses.isEmpty { throw Failure(errno: .noSuchAddressOrDevice) }
    return addresses
  }

  /// Set by tests in place of the resolver.
  @TaskLocal package static var override: (@Sendable (String) -> [SocketAddress])?

  /// Looks a host up on a helper thread.
  ///
  /// - Returns: the error if no thread can be started. `completion` is not called then.
  package static func start(
    _ host: String, port: UInt16,
    _ completion: @escaping @Sendable (Result<[SocketAddress], Failure>) -> Void
  ) -> Errno? {
    if let override { return threads.submit { completion(.success(override(host))) } }
    return threads.submit {
      completion(Result { () throws(Failure) in try addresses(of: host, port: port) })
    }
  }
}

// MARK: - Accepting

extension FileDescriptor {
  /// Accepts a connection. Returns the number of its descriptor, or a negative errno.
  package func accept() -> Int32 { swsys_accept(rawValue) }
}
