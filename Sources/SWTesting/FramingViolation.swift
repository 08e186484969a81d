/// A law of `Framing` or `FrameScanner` that a framing broke, as `checkFraming` found it.
public struct FramingViolation: Error, Hashable, Sendable {
  /// A law of every framing.
  @nonexhaustive
  public enum Law: String, Hashable, Sendable, CaseIterable {
    /// Every message given to the check can be encoded, to at least one byte.
    case encodes
    /// The encoded bytes are scanned as one frame of that length, and decode to the message.
    case roundTrips
    /// No demand is smaller than the one before.
    case demandNeverShrinks
    /// A demand is at least 1, and a demand that is not final asks for more than has been received.
    case demandGetsOn
    /// At the end of the stream a last frame is final and not longer than the bytes. A stream without bytes ends with
    /// nothing, and one that ends within a frame does not.
    case endFitsBytes
    /// No demand passes the frame's end.
    case demandStaysInFrame
    /// A part of a frame is never scanned as a whole frame.
    case truncatedStaysOpen
    /// Length, payload and message do not depend on how the bytes are cut or on the bytes after them.
    case ignoresChunking
    /// The envelope of a `ByteFraming` is what it encodes and what it scans, also if it is made for a number of bytes.
    /// The payload that is scanned is the message that is decoded.
    case envelopeFits
    /// `decode(filling:)`, which datagrams and files take, gives the message of a frame and refuses other bytes, as its default
    /// does.
    case fillingFits
    /// A copy of a scanner is independent and leaves the original unchanged.
    case copiesAreAlone
    /// The work for a frame that arrives in many pieces is proportional to its length.
    case workIsLinear
  }

  public var law: Law

  /// The index of the message; nil for bytes that the check made up and for the large message.
  public var messageIndex: Int?

  /// The offset in bytes from the first byte of the frame.
  public var offset: Int

  /// The expected and the actual result, and how to reproduce it.
  public var explanation: String
}

extension FramingViolation: CustomStringConvertible {
  public var description: String {
    let what = messageIndex.map { "message \($0)" } ?? "no message of yours"
    return "the framing breaks the law '\(law)' (\(what), offset \(offset)): \(explanation)"
  }
}
