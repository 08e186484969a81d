/// An error in the bytes of a stream, or in a message to be sent, that breaks the rules of a framing.
public struct FramingError: Error, Hashable, Sendable {
  /// The kind of the error.
  @nonexhaustive
  public enum Kind: Hashable, Sendable {
    /// A frame is longer, or declares that it is longer, than the endpoint's `maximumFrameSize`, or than any
    /// machine could hold. No memory was reserved for it.
    case tooLarge(declared: UInt64, limit: UInt64)
    /// A header is not one that a sender of this framing writes.
    case malformedHeader
    /// The payload would be read back differently. It was not sent.
    case unrepresentable
    /// Bytes that must be exactly one frame, such as a datagram, are shorter or longer than the frame.
    case misfit
    /// The framing does not separate messages, and the transport is a stream.
    case needsDatagrams
    /// The scanner broke the laws of ``FrameScanner``. This is a bug in the framing, not an error of the peer.
    case brokenScanner
  }

  public var kind: Kind

  /// The offset of the error in bytes, from the start of the frame; when sending, from the start of the payload.
  public var offset: Int

  /// A readable description of what was expected and what was found.
  public var explanation: String

  public init(_ kind: Kind, offset: Int, explanation: String = "") {
    self.kind = kind
    self.offset = offset
    self.explanation = explanation
  }
}

extension FramingError: CustomStringConvertible {
  public var description: String {
    let what =
      switch kind {
      case .tooLarge(let declared, let limit):
        "a frame of \(declared) bytes, and the limit is \(limit)"
      case .malformedHeader: "malformed header at byte \(offset)"
      case .unrepresentable: "the framing cannot carry the payload, because of byte \(offset)"
      case .misfit: "the frame and its datagram differ in size from byte \(offset) on"
      case .needsDatagrams: "the framing needs datagrams, and the transport carries a stream"
      case .brokenScanner: "the scanner of the framing broke its laws at byte \(offset)"
      }
    return what + (explanation.isEmpty ? "" : ": \(explanation)")
  }
}
