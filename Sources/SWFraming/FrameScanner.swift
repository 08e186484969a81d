/// Finds the end of one frame in a stream of bytes, generator-style: it is called with what has arrived
/// so far and answers how much the frame needs. A fresh scanner serves each frame.
///
/// The laws, which `checkFraming` of SWTesting holds a scanner to:
/// - The demand never shrinks from call to call, and is at least 1. Until it is final it asks for more
///   than has been received, or an endpoint could not get on.
/// - The final demand does not depend on how the bytes were cut into chunks.
/// - No demand passes the frame's end: an endpoint in exact mode reads just what is demanded.
/// - State persists between calls, so each call looks only at what is new; the total work is linear.
///
/// A scanner must survive any bytes: hostile input throws, it never traps and never allocates on the
/// word of a length it was told.
public protocol FrameScanner: Sendable {
  /// Says how many bytes the frame needs, as far as can be told.
  ///
  /// - Parameter received: the bytes received so far, from the frame's first byte on. It may hold bytes
  ///   of later frames, and may be empty. Each call sees at least the bytes of the call before.
  /// - Returns: ``FrameDemand/atLeast(_:)`` while the length is not known, and
  ///   ``FrameDemand/frame(byteCount:payload:)`` once it is; the scanner is not called again for a frame
  ///   of which it gave the length.
  /// - Throws: ``FramingError`` when no frame can begin with these bytes. The error sticks: the
  ///   stream's borders are lost, and every later receive on the endpoint throws it again.
  mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand

  /// Says what the bytes are that are left when the stream has ended.
  ///
  /// Called once for a frame, after the last ``demand(in:)``, whose answer asked for more bytes than there are.
  /// The default returns ``FrameEnd/nothing`` if there are no bytes, and else ``FrameEnd/incomplete``.
  ///
  /// - Parameter received: all bytes from the frame's first byte to the end of the stream; may be empty.
  /// - Throws: ``FramingError`` when the bytes are neither a frame nor the beginning of one.
  mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd
}

extension FrameScanner {
  @inlinable
  public mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
    received.isEmpty ? .nothing : .incomplete
  }
}

/// The meaning of the last bytes of a stream, as ``FrameScanner/atEnd(of:)`` finds it.
public enum FrameEnd: Hashable, Sendable {
  /// A frame that the stream broke off: a receive throws `truncated`, with the bytes.
  case incomplete
  /// No frame: the stream ended between two frames, and the bytes, such as blank lines, mean nothing.
  case nothing
  /// The last frame, which the end of the stream ends. The demand is final and not longer than the bytes; bytes behind
  /// it are incomplete.
  case frame(FrameDemand)
}

/// What a ``FrameScanner`` asks for: a count of bytes from the frame's first byte on, and, once the
/// frame's length is known, where in it the payload lies.
public struct FrameDemand: Hashable, Sendable {
  /// Bytes needed, counted from the frame's start. At least 1.
  public let byteCount: Int

  /// Where the payload lies in the frame; `nil` as long as the frame's length is not known.
  public let payload: Range<Int>?

  /// The frame's length is `byteCount`: nothing more needs to be scanned.
  @inlinable
  public var isFinal: Bool { payload != nil }

  @inlinable
  init(byteCount: Int, payload: Range<Int>?) {
    self.byteCount = byteCount
    self.payload = payload
  }

  /// The frame needs at least this many bytes; ask again when they are there.
  ///
  /// A framing that wants to observe progress may ask for a long frame in pieces: it answers this
  /// until the last piece.
  ///
  /// A demand below 1, or for no more than has been received, breaks the scanner's laws. It does not trap, so that a
  /// scanner which computes it from hostile bytes costs its endpoint and not the process: an endpoint throws
  /// ``FramingError/Kind/brokenScanner``, and `checkFraming` reports it.
  @inlinable
  public static func atLeast(_ byteCount: Int) -> FrameDemand {
    FrameDemand(byteCount: byteCount, payload: nil)
  }

  /// The frame is `byteCount` bytes long, at least 1, and its payload lies at `payload` in it.
  ///
  /// - Requires: a payload inside the frame.
  @inlinable
  public static func frame(byteCount: Int, payload: Range<Int>) -> FrameDemand {
    precondition(
      payload.lowerBound >= 0 && payload.upperBound <= byteCount, "the payload lies inside its frame")
    return FrameDemand(byteCount: byteCount, payload: payload)
  }
}
