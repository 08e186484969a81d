/// Finds the end of one frame in a stream of bytes. It is called repeatedly, each time with all bytes of the frame
/// that have arrived, and answers how many bytes the frame needs. Each frame has a new scanner.
///
/// The laws of a scanner, which `checkFraming` of SWTesting checks:
/// - The demand never shrinks from call to call, and is at least 1. Until it is final, it is greater than the
///   number of received bytes; otherwise an endpoint could not proceed.
/// - The final demand does not depend on how the bytes were cut into chunks.
/// - No demand goes beyond the frame's end. An endpoint in exact mode reads exactly what is demanded.
/// - State persists between calls, so that each call looks only at new bytes; the total work is linear.
///
/// A scanner must accept any bytes. For hostile bytes it throws; it never traps, and never allocates memory because
/// of a declared length.
public protocol FrameScanner: Sendable {
  /// Returns how many bytes the frame needs, as far as the received bytes tell.
  ///
  /// - Parameter received: the bytes received so far, starting at the frame's first byte. It may be empty, and may
  ///   contain bytes of later frames. Each call gets at least the bytes of the previous call.
  /// - Returns: ``FrameDemand/atLeast(_:)`` while the length is not known, and
  ///   ``FrameDemand/frame(byteCount:payload:)`` once it is. The scanner is not called again after it has returned a
  ///   frame's length.
  /// - Throws: ``FramingError`` if no frame can begin with these bytes. Frames can then no longer be told apart, so
  ///   every later receive on the endpoint throws the same error.
  mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand

  /// Returns the meaning of the bytes that are left when the stream has ended.
  ///
  /// It is called once for a frame, after the last call of ``demand(in:)`` has demanded more bytes than there are.
  /// The default returns ``FrameEnd/nothing`` if there are no bytes, and otherwise ``FrameEnd/incomplete``.
  ///
  /// - Parameter received: all bytes from the frame's first byte to the end of the stream. It may be empty.
  /// - Throws: ``FramingError`` if the bytes are neither a frame nor the beginning of one.
  mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd
}

extension FrameScanner {
  @inlinable
  public mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
    received.isEmpty ? .nothing : .incomplete
  }
}

/// The meaning of the last bytes of a stream, as ``FrameScanner/atEnd(of:)`` returns it.
public enum FrameEnd: Hashable, Sendable {
  /// An incomplete frame: a receive throws `truncated`, with the bytes.
  case incomplete
  /// No frame: the stream ended between two frames. The bytes, such as blank lines, have no meaning.
  case nothing
  /// The last frame, which ends with the stream. The demand is final and not longer than the bytes. If there are
  /// bytes after it, they are an incomplete frame.
  case frame(FrameDemand)
}

/// The demand of a ``FrameScanner``: a number of bytes, counted from the frame's first byte, and, once the frame's
/// length is known, the range of the payload in it.
public struct FrameDemand: Hashable, Sendable {
  /// The number of bytes that the frame needs, counted from its start; at least 1.
  public let byteCount: Int

  /// The range of the payload in the frame; nil while the frame's length is not known.
  public let payload: Range<Int>?

  /// Whether `byteCount` is the frame's length, so that nothing more needs to be scanned.
  @inlinable
  public var isFinal: Bool { payload != nil }

  @inlinable
  init(byteCount: Int, payload: Range<Int>?) {
    self.byteCount = byteCount
    self.payload = payload
  }

  /// The frame needs at least this many bytes. The scanner is called again when they have arrived.
  ///
  /// A framing that observes progress may demand a long frame in pieces: it returns this value until the last
  /// piece.
  ///
  /// A demand below 1, or for no more than has been received, breaks the scanner's laws. It does not trap, so that
  /// a scanner that computes a demand from hostile bytes cannot end the process. An endpoint throws
  /// ``FramingError/Kind/brokenScanner``, and `checkFraming` reports it.
  @inlinable
  public static func atLeast(_ byteCount: Int) -> FrameDemand {
    FrameDemand(byteCount: byteCount, payload: nil)
  }

  /// The frame is `byteCount` bytes long, at least 1, and its payload is the range `payload` of it.
  ///
  /// A frame of no bytes would be found at the same place again and again. So it breaks the scanner's laws like
  /// ``atLeast(_:)`` of 0, and is the same value: it is not final, and does not trap.
  ///
  /// - Requires: a payload inside the frame.
  @inlinable
  public static func frame(byteCount: Int, payload: Range<Int>) -> FrameDemand {
    precondition(
      payload.lowerBound >= 0 && payload.upperBound <= byteCount, "the payload lies inside its frame")
    return FrameDemand(byteCount: byteCount, payload: byteCount > 0 ? payload : nil)
  }
}
