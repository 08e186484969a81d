internal import SystemPackage

// Addresses as text. Positions are bytes of UTF-8.

extension Address: LosslessStringConvertible {
  /// The address that the text stands for; nil if it is not valid. ``init(parsing:)`` says why.
  public init?(_ description: String) {
    guard let address = try? Address(parsing: description) else { return nil }
    self = address
  }

  /// The address that a text stands for, such as `unix:/run/app.sock`.
  ///
  /// - Throws: ``AddressError``: what is wrong, and where.
  public init(parsing text: String) throws(AddressError) {
    let bytes = Array(text.utf8)
    let scheme = bytes.prefix { $0 != UInt8(ascii: ":") }
    let start = scheme.count + 1
    guard start <= bytes.count else { throw AddressError.scheme(text) }
    switch String(decoding: scheme, as: UTF8.self) {
    case "unix":
      if bytes[start...].first == UInt8(ascii: "@") {
        self = .abstract(try Self.unescaped(bytes, from: start + 1, of: text))
      } else {
        let path = try Self.unescaped(bytes, from: start, of: text)
        if path.contains(0) {
          throw AddressError(.nulInPath, in: text, at: start, "a path cannot contain a NUL")
        }
        self = .unix(FilePath(bytes: path))
      }
    case "tcp":
      let (host, port) = try Self.hostAndPort(bytes, from: start, of: text)
      self = .tcp(host: host, port: port)
    case "udp":
      let (host, port) = try Self.hostAndPort(bytes, from: start, of: text)
      self = .udp(host: host, port: port)
    case "fd": self = .descriptor(try Self.descriptor(bytes[start...], of: text))
    default: throw AddressError.scheme(text)
    }
    try validate(as: text)
  }

  /// The address as text, which ``init(parsing:)`` understands.
  public var description: String {
    switch kind {
    case .unix(let path):
      let bytes = path.bytes
      // A bare name that begins with an at sign would look abstract.
      return bytes.first == UInt8(ascii: "@")
        ? "unix:\\x40\(Self.escaped(bytes.dropFirst()))" : "unix:\(Self.escaped(bytes[...]))"
    case .abstract(let name): return "unix:@\(Self.escaped(name[...]))"
    case .tcp(let host, let port): return "tcp:\(Self.written(host)):\(port)"
    case .udp(let host, let port): return "udp:\(Self.written(host)):\(port)"
    case .descriptor(let number): return "fd:\(number)"
    }
  }
}

extension Address {
  /// Checks that the address can be used.
  ///
  /// - Throws: ``AddressError``.
  package func validate() throws(AddressError) { try validate(as: description) }

  /// - Parameter text: the address as text, for an error. Every connection is validated, so a valid address is not
  ///   written out.
  private func validate(as text: @autoclosure () -> String) throws(AddressError) {
    switch kind {
    case .unix(let path):
      if path.isEmpty { throw AddressError(.emptyPath, in: text(), at: 5, "the path is empty") }
      if path.lastComponent == nil {
        throw AddressError(
          .emptyPath, in: text(), at: 5, "the path names the root directory, and no file in it")
      }
    case .abstract(let name):
      if name.count > Self.longestName {
        throw AddressError(
          .nameTooLong, in: text(), at: 6,
          "the abstract name has \(name.count) bytes; the limit is \(Self.longestName)")
      }
    case .tcp(let host, _), .udp(let host, _):
      if host.isEmpty {
        throw AddressError(.missingHost, in: text(), at: 4, "there is no host; 0.0.0.0 and [::] mean any")
      }
      guard Self.isHost(host) else {
        throw AddressError(
          .invalidHost, in: text(), at: 4, "'\(host)' is neither a host name nor an IP address")
      }
    case .descriptor(let number):
      if number < 0 {
        throw AddressError(.invalidDescriptor, in: text(), at: 3, "a descriptor's number is not negative")
      }
    }
  }

  // MARK: Hosts

  private static func isHost(_ host: String) -> Bool {
    if host.utf8.contains(UInt8(ascii: ":")) {
      let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
      if parts.count > 1, !isZone(parts[1]) { return false }
      return SocketAddress(ip: String(parts[0]), port: 0)?.family == .ipv6
    }
    return host.unicodeScalars.allSatisfy { scalar in
      !scalar.properties.isWhitespace && isShown(scalar) && !"%/@[]\\".unicodeScalars.contains(scalar)
    }
  }

  /// The name or the number of a network interface.
  private static func isZone(_ zone: Substring) -> Bool {
    !zone.isEmpty
      && zone.unicodeScalars.allSatisfy { scalar in
        (0x21..<0x7f).contains(scalar.value) && !"%/[]\\".unicodeScalars.contains(scalar)
      }
  }

  /// Returns a host, in brackets if it needs them.
  private static func written(_ host: String) -> String {
    host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host
  }

  private static func hostAndPort(
    _ bytes: [UInt8], from start: Int, of text: String
  ) throws(AddressError) -> (host: String, port: UInt16) {
    var hostStart = start
    var hostEnd = bytes[start...].firstIndex(of: UInt8(ascii: ":")) ?? bytes.count
    var portStart = hostEnd
    let isBracketed = bytes[start...].first == UInt8(ascii: "[")
    if isBracketed {
      guard let closing = bytes[start...].firstIndex(of: UInt8(ascii: "]")) else {
        throw AddressError(.invalidHost, in: text, at: start, "the bracket is not closed")
      }
      (hostStart, hostEnd, portStart) = (start + 1, closing, closing + 1)
    }
    let host = String(decoding: bytes[hostStart..<hostEnd], as: UTF8.self)
    guard bytes[portStart...].first == UInt8(ascii: ":") else {
      throw AddressError(.missingPort, in: text, at: portStart, "a colon and a port must follow the host")
    }
    let digits = bytes[(portStart + 1)...]
    if digits.contains(UInt8(ascii: ":")) {
      throw AddressError(
        .invalidHost, in: text, at: start,
        "an IPv6 address must be written in brackets, as in \(text.prefix(3)):[::1]:80")
    }
    if digits.isEmpty {
      throw AddressError(.missingPort, in: text, at: portStart + 1, "there is no port behind the colon")
    }
    guard let number = number(digits), let port = UInt16(exactly: number) else {
      throw AddressError(
        .invalidPort, in: text, at: portStart + 1, "a port is a number from 0 to 65535")
    }
    if isBracketed, !host.utf8.contains(UInt8(ascii: ":")) {
      throw AddressError(.invalidHost, in: text, at: hostStart, "'\(host)' is not an IPv6 address")
    }
    return (host, port)
  }

  private static func descriptor(_ digits: ArraySlice<UInt8>, of text: String) throws(AddressError) -> Int32 {
    guard let number = number(digits), let descriptor = Int32(exactly: number) else {
      throw AddressError(
        .invalidDescriptor, in: text, at: digits.startIndex, "a descriptor is a number from 0 to 2147483647")
    }
    return descriptor
  }

  /// Parses decimal digits and nothing else.
  private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
    guard digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
    return UInt64(String(decoding: digits, as: UTF8.self))
  }

  // MARK: Bytes

  private static func unescaped(
    _ bytes: [UInt8], from start: Int, of text: String
  ) throws(AddressError) -> [UInt8] {
    var found: [UInt8] = []
    var index = start
    while index < bytes.count {
      guard bytes[index] == UInt8(ascii: "\\") else {
        found.append(bytes[index])
        index += 1
        continue
      }
      let digits = bytes[(index + 1)...].prefix(3)
      guard digits.count == 3, digits.first == UInt8(ascii: "x"),
        digits.dropFirst().allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }),
        let byte = UInt8(String(decoding: digits.dropFirst(), as: UTF8.self), radix: 16)
      else {
        throw AddressError(
          .invalidEscape, in: text, at: index,
          "a backslash must be followed by 'x' and two hexadecimal digits; a backslash itself is \\x5c")
      }
      found.append(byte)
      index += 4
    }
    return found
  }

  private static func escaped(_ bytes: ArraySlice<UInt8>) -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      return bytes.map { $0 < 0x80 ? shown(UnicodeScalar($0)) : escaped($0) }.joined()
    }
    return text.unicodeScalars.map(shown).joined()
  }

  private static func shown(_ scalar: UnicodeScalar) -> String {
    isShown(scalar) && scalar != "\\" ? String(scalar) : String(scalar).utf8.map(escaped).joined()
  }

  /// Whether a reader can recognise the character.
  private static func isShown(_ scalar: UnicodeScalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    default: true
    }
  }

  private static func escaped(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16)
    return "\\x" + (digits.utf8.count < 2 ? "0" : "") + digits
  }
}

extension AddressError {
  fileprivate static func scheme(_ text: String) -> AddressError {
    AddressError(.unknownScheme, in: text, at: 0, "an address begins with unix:, tcp:, udp: or fd:")
  }
}
