internal import CSysShim

/// The address of a socket: IPv4, IPv6, or Unix.
///
/// It keeps the bytes of the system's form (`struct sockaddr`), at their exact length:
///
/// ```
///   family (2, native order) | port (2, BE) | address (4) | zero (8)                          IPv4
///   family | port (2, BE) | flow (4, BE) | address (16) | scope (4, native order)             IPv6
///   family | path (1 to 108) | NUL, unless the path has 108 bytes                             Unix, a path
///   family | NUL | name (0 to 107)                                                            Unix, an abstract name
///   family                                                                                    Unix, unnamed
/// ```
///
/// Source: unix(7), ip(7), ipv6(7). Two addresses are equal if the system takes them for the same.
public struct SocketAddress: Hashable, Sendable {
  /// The address as the system takes it.
  public let bytes: [UInt8]

  /// Which kind of address it is.
  @nonexhaustive
  public enum Family: Hashable, Sendable {
    case ipv4, ipv6, unix
    /// Another one, by its number.
    case other(UInt16)
  }

  /// An address in the system's form. Bytes without meaning (after the end of a path, or beside an IPv4 address) are left
  /// out or set to zero.
  ///
  /// - Parameter bytes: a `struct sockaddr`. Requires 2 to 128 bytes.
  public init(bytes: [UInt8]) {
    precondition((2...128).contains(bytes.count), "a socket address has 2 to 128 bytes")
    self.bytes = Self.canonical(bytes)
  }

  private init(_ family: Int, _ rest: [UInt8]) {
    bytes = unsafe withUnsafeBytes(of: UInt16(family)) { unsafe Array($0) } + rest
  }

  private static func canonical(_ bytes: [UInt8]) -> [UInt8] {
    switch family(of: bytes) {
    case .ipv4 where bytes.count >= 8: return bytes[..<8] + [UInt8](repeating: 0, count: 8)
    case .ipv6 where bytes.count >= 28: return Array(bytes[..<28])
    case .unix where bytes.count > 2 && bytes[2] != 0:
      let path = bytes[2...].prefix { $0 != 0 }
      // The system returns a path of 108 bytes with a NUL, and accepts it without.
      return bytes[..<2] + path.prefix(longestPath) + (path.count < longestPath ? [0] : [])
    default: return bytes
    }
  }

  private static var longestPath: Int { 108 }

  private static func family(of bytes: [UInt8]) -> Family {
    var number: UInt16 = 0
    unsafe withUnsafeMutableBytes(of: &number) { unsafe $0.copyBytes(from: bytes[..<2]) }
    switch Int(number) {
    case SWSYS_INET_FAMILY: return .ipv4
    case SWSYS_INET6_FAMILY: return .ipv6
    case SWSYS_UNIX_FAMILY: return .unix
    default: return .other(number)
    }
  }

  /// Which kind of address it is.
  public var family: Family { Self.family(of: bytes) }
}

// MARK: - IP

extension SocketAddress {
  /// An IPv4 or IPv6 address and a port.
  ///
  /// - Parameters:
  ///   - text: four decimal numbers ("127.0.0.1"), or an IPv6 address ("::1"), which may name its scope by the number
  ///     or the name of a network interface ("fe80::1%2", "fe80::1%eth0"). No host name.
  ///   - port: the port, in the order of this machine.
  ///   - flow: the flow information of an IPv6 address.
  /// - Returns: nil if the text is no IP address, or names an interface that is not there.
  public init?(ip text: String, port: UInt16, flow: UInt32 = 0) {
    let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = parts.first, !text.utf8.contains(0) else { return nil }
    var address = [UInt8](repeating: 0, count: 16)
    let count = unsafe address.withUnsafeMutableBufferPointer { buffer -> Int32 in
      guard let start = buffer.baseAddress else { return 0 }
      return unsafe String(first).withCString { unsafe swsys_parse_ip($0, start) }
    }
    guard count > 0 else { return nil }
    var scope: UInt32 = 0
    if parts.count > 1 {
      let name = String(parts[1])
      guard count == 16, let index = UInt32(name) ?? Self.interfaceIndex(name) else { return nil }
      scope = index
    }
    self.init(ipBytes: Array(address.prefix(Int(count))), port: port, flow: flow, scope: scope)
  }

  /// An IPv4 or IPv6 address and a port.
  ///
  /// - Parameters:
  ///   - address: 4 or 16 bytes, in network order.
  ///   - port: the port, in the order of this machine.
  ///   - flow: the flow information of an IPv6 address.
  ///   - scope: the number of the network interface that an IPv6 address belongs to; 0: none.
  /// - Returns: nil if the address has another size.
  public init?(ipBytes address: [UInt8], port: UInt16, flow: UInt32 = 0, scope: UInt32 = 0) {
    let portBytes = [UInt8(truncatingIfNeeded: port >> 8), UInt8(truncatingIfNeeded: port)]
    switch address.count {
    case 4: self.init(SWSYS_INET_FAMILY, portBytes + address + [UInt8](repeating: 0, count: 8))
    case 16:
      let flowBytes = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: flow >> $0) }
      let scopeBytes = unsafe withUnsafeBytes(of: scope) { unsafe Array($0) }
      self.init(SWSYS_INET6_FAMILY, portBytes + flowBytes + address + scopeBytes)
    default: return nil
    }
  }

  private static func interfaceIndex(_ name: String) -> UInt32? {
    let index = unsafe name.withCString { unsafe swsys_interface_index($0) }
    return index == 0 ? nil : index
  }

  /// The bytes of an IP address in network order, 4 or 16; nil of another family.
  public var ipBytes: [UInt8]? {
    switch family {
    case .ipv4 where bytes.count == 16: Array(bytes[4..<8])
    case .ipv6 where bytes.count == 28: Array(bytes[8..<24])
    default: nil
    }
  }

  /// An IP address as text, without port and scope; nil of another family.
  public var ip: String? {
    guard let address = ipBytes else { return nil }
    var text = [CChar](repeating: 0, count: 64)
    let isWritten = unsafe address.withUnsafeBufferPointer { address in
      unsafe text.withUnsafeMutableBufferPointer { text in
        guard let from = address.baseAddress, let to = text.baseAddress else { return false }
        return unsafe swsys_format_ip(from, Int32(address.count), to)
      }
    }
    guard isWritten else { return nil }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The port of an IP address, in the order of this machine; nil of another family.
  public var port: UInt16? {
    ipBytes == nil ? nil : UInt16(bytes[2]) << 8 | UInt16(bytes[3])
  }

  /// The flow information of an IPv6 address; nil of another family.
  public var flow: UInt32? {
    guard ipBytes?.count == 16 else { return nil }
    return bytes[4..<8].reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// The number of the network interface that an IPv6 address belongs to, 0 if to none; nil of another family.
  public var scope: UInt32? {
    guard ipBytes?.count == 16 else { return nil }
    var scope: UInt32 = 0
    unsafe withUnsafeMutableBytes(of: &scope) { unsafe $0.copyBytes(from: bytes[24..<28]) }
    return scope
  }
}

// MARK: - Unix

extension SocketAddress {
  /// The address of a socket in the file system.
  ///
  /// - Parameter path: 1 to 108 bytes as UTF-8, none of them NUL.
  /// - Returns: nil if the path has another size, or contains NUL.
  public init?(unixPath path: String) { self.init(unixPathBytes: Array(path.utf8)) }

  /// Makes a Unix address from the bytes of the path.
  package init?(unixPathBytes path: [UInt8]) {
    guard (1...Self.longestPath).contains(path.count), !path.contains(0) else { return nil }
    self.init(SWSYS_UNIX_FAMILY, path + (path.count < Self.longestPath ? [0] : []))
  }

  /// The address of a socket in Linux's abstract namespace, which needs no file.
  ///
  /// - Parameter name: at most 107 bytes, of any values. They are taken as they are: no NUL is added.
  /// - Returns: nil if the name is longer.
  public init?(abstractName name: [UInt8]) {
    guard name.count < Self.longestPath else { return nil }
    self.init(SWSYS_UNIX_FAMILY, [0] + name)
  }

  /// The address of a socket in Linux's abstract namespace, by the UTF-8 bytes of a name.
  ///
  /// - Returns: nil if the name has more than 107 bytes.
  public init?(abstractName name: String) { self.init(abstractName: Array(name.utf8)) }

  /// The address of a Unix socket that has no name. To bind a socket to it gives the socket an abstract name that the
  /// system chooses.
  public static var unnamedUnix: SocketAddress { SocketAddress(SWSYS_UNIX_FAMILY, []) }

  /// The path of a socket in the file system; nil of another address. Bytes that are no UTF-8 are replaced:
  /// ``bytes`` has them.
  public var unixPath: String? {
    guard family == .unix, bytes.count > 2, bytes[2] != 0 else { return nil }
    return String(decoding: bytes[2...].prefix { $0 != 0 }, as: UTF8.self)
  }

  /// The name of a socket in Linux's abstract namespace; nil of another address.
  public var abstractName: [UInt8]? {
    guard family == .unix, bytes.count > 2, bytes[2] == 0 else { return nil }
    return Array(bytes[3...])
  }

  /// Whether it is the address of a Unix socket that has no name.
  public var isUnnamed: Bool { family == .unix && bytes.count == 2 }
}

extension SocketAddress: CustomStringConvertible {
  /// For people: `127.0.0.1:80`, `[::1]:80`, `[fe80::1%2]:80`, a path, `@` and an abstract name, in which bytes that
  /// cannot be shown are written as `\x00`.
  public var description: String {
    if let ip, let port {
      guard let scope else { return "\(ip):\(port)" }
      return scope == 0 ? "[\(ip)]:\(port)" : "[\(ip)%\(scope)]:\(port)"
    }
    if let unixPath { return unixPath }
    if let abstractName { return "@" + abstractName.map(Self.shown).joined() }
    if isUnnamed { return "an unnamed Unix socket" }
    if case .other(let number) = family { return "an address of family \(number)" }
    return "an incomplete address"
  }

  private static func shown(_ byte: UInt8) -> String {
    if (0x20..<0x7f).contains(byte), byte != UInt8(ascii: "\\") {
      return String(UnicodeScalar(byte))
    }
    let digits = String(byte, radix: 16)
    return "\\x" + (digits.count < 2 ? "0" : "") + digits
  }
}
