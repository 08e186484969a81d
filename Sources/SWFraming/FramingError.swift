/// The bytes of a stream, or a message to be sent, broke the rules of a framing.
public struct FramingError: Error, Hashable, Sendable {
  /// What is wrong.
  @nonexhaustive
  public enum Kind: Hashable, Sendable {
    /// A frame is, or says it is, longer than the endpoint's `maximumFrameSize`, or than any machine
    /// could hold. Nothing was reserved for it.
    case tooLarge(declared: UInt64, limit: UInt64)
    /// A header that no sender of this framing writes.
    case malformedHeader
    /// The payload would read back differently, so it was not sent.
    case unrepresentable
    /// Bytes that one frame has to fill exactly, such as a datagram's, hold less or more than it.
    case misfit
    /// The framing marks no border between messages, and the transport carries a stream.
    case needsDatagrams
    /// The scanner broke its protocol's laws; a fault of the framing and not of the peer.
    case brokenScanner
  }

  public var kind: Kind

  /// Where, in bytes from the frame's first byte (when sending: from the payload's first byte).
  public var offset: Int

  /// What was expected and what was found, for people.
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
      case .unrepresentable: "the payload would read back differently from byte \(offset) on"
      case .misfit: "the frame and its datagram differ in size from byte \(offset) on"
      case .needsDatagrams: "the framing needs datagrams, and the transport carries a stream"
      case .brokenScanner: "the scanner of the framing broke its laws at byte \(offset)"
      }
    return what + (explanation.isEmpty ? "" : ": \(explanation)")
  }
}
