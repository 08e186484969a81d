/// A law of `Framing` or `FrameScanner` that a framing broke, as `checkFraming` found it.
public struct FramingViolation: Error, Hashable, Sendable {
  /// What every framing must keep to.
  @nonexhaustive
  public enum Law: String, Hashable, Sendable, CaseIterable {
    /// Every message given to the check encodes, to at least one byte.
    case encodes
    /// What was encoded scans as one frame of that length, and decodes to the message.
    case roundTrips
    /// No demand is smaller than the one before.
    case demandNeverShrinks
    /// A demand is at least 1, and one that is not final asks for more than has been received.
    case demandGetsOn
    /// At the end of the stream a last frame is final and not longer than the bytes, and a stream without bytes holds
    /// none.
    case endFitsBytes
    /// No demand passes the frame's end.
    case demandStaysInFrame
    /// A part of a frame is never taken for a whole one.
    case truncatedStaysOpen
    /// Length, payload and message are the same however the bytes are cut, and whatever follows them.
    case ignoresChunking
    /// What a `ByteFraming` puts around the payload is what it encodes and what it scans.
    case envelopeFits
    /// A copy of a scanner goes on alone, and leaves the original as it was.
    case copiesAreAlone
    /// A frame that comes in many pieces costs work proportional to its length.
    case workIsLinear
  }

  public var law: Law

  /// Which of the messages it was, from 0; `nil` for bytes made up by the check and for the large message.
  public var messageIndex: Int?

  /// Where, in bytes from the frame's first byte.
  public var offset: Int

  /// What was expected, what was found, and what it takes to see it again.
  public var explanation: String
}

extension FramingViolation: CustomStringConvertible {
  public var description: String {
    let what = messageIndex.map { "message \($0)" } ?? "no message of yours"
    return "the framing breaks the law '\(law)' (\(what), offset \(offset)): \(explanation)"
  }
}
