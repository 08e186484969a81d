/// Why a text is no ``Address``, or why an address cannot be used.
public struct AddressError: Error, Hashable, Sendable {
  /// The kind of the fault.
  @nonexhaustive
  public enum Reason: Hashable, Sendable {
    /// The address does not begin with `unix:`, `tcp:`, `udp:` or `fd:`.
    case unknownScheme
    /// The path is empty, or is `/`.
    case emptyPath
    /// The path contains a NUL.
    case nulInPath
    /// The abstract name has more than 107 bytes.
    case nameTooLong
    /// A backslash is not followed by `x` and two hexadecimal digits.
    case invalidEscape
    /// There is no host.
    case missingHost
    /// The host is neither a name nor an IP address, or an IPv6 address is not in brackets.
    case invalidHost
    /// There is no port.
    case missingPort
    /// The port is no number from 0 to 65535.
    case invalidPort
    /// The descriptor is no number from 0 to 2147483647.
    case invalidDescriptor
  }

  /// The kind of the fault.
  public let reason: Reason
  /// The address as text.
  public let text: String
  /// Where in the text the fault is, in bytes of UTF-8 from its start.
  public let offset: Int
  /// The fault in words, for people.
  public let explanation: String

  init(_ reason: Reason, in text: String, at offset: Int, _ explanation: String) {
    self.reason = reason
    self.text = text
    self.offset = offset
    self.explanation = explanation
  }
}

extension AddressError: CustomStringConvertible {
  /// The address, the place of the fault, and the fault.
  public var description: String { "'\(text)' is not a valid address: at byte \(offset): \(explanation)" }
}
