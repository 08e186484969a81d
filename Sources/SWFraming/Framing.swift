/// How messages become frames in a stream of bytes, and frames become messages again. No I/O here: a
/// framing works the same over a socket, a pipe, a file or a test's array.
///
/// A framing is a value that endpoints share between threads and tasks; the state of one frame's scan
/// lives in its ``FrameScanner``.
public protocol Framing<Incoming, Outgoing>: Sendable {
  /// What `receive` returns.
  associatedtype Incoming: Sendable
  /// What `send` takes.
  associatedtype Outgoing: Sendable
  /// Finds where a frame ends.
  associatedtype Scanner: FrameScanner

  /// A scanner for the next frame.
  func makeScanner() -> Scanner

  /// Turns a whole frame into a message.
  ///
  /// - Parameters:
  ///   - frame: the frame, header and trailer included, and nothing after it.
  ///   - payload: where the payload lies in it, as the scanner said.
  ///   - scanned: the scanner that found the frame's end, so that one pass may serve both.
  /// - Throws: anything; the frame is consumed and the stream goes on with the next.
  func decode(_ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Scanner) throws -> Incoming

  /// Turns a message into the parts of one frame.
  ///
  /// Called before the first byte is sent: when it throws, nothing has gone out.
  func encode(_ message: Outgoing, into parts: inout FrameParts) throws

  /// Told, outside every lock, that the transport has accepted bytes of a frame; for progress. The
  /// default does nothing. Must not call the endpoint.
  ///
  /// - Parameters:
  ///   - count: how many bytes of the frame have been accepted so far, header and trailer included.
  ///   - total: the frame's length.
  func didSend(count: Int, of total: Int)

  /// Makes a message of bytes that one frame has to fill exactly, such as a datagram's. The default scans and
  /// decodes them.
  ///
  /// - Throws: ``FramingError`` when the bytes hold less or more than one frame
  ///   (``FramingError/Kind/misfit``) or none at all; what ``decode(_:payload:scanned:)`` throws.
  func decode(filling bytes: Span<UInt8>) throws -> Incoming

  /// Whether messages have no borders of their own, so that only datagrams keep them apart. The default is
  /// false.
  var needsDatagrams: Bool { get }

  /// Whether ``didSend(count:of:)`` wants to be called, so that endpoints need not where it does nothing.
  var observesSending: Bool { get }
}

extension Framing {
  public func didSend(count: Int, of total: Int) {}
  public var observesSending: Bool { false }
  @inlinable
  public var needsDatagrams: Bool { false }
}

/// A framing whose message is the payload itself: it gives only what stands before and after.
///
/// Endpoints read a large payload straight into the array that `receive` returns, and send a payload
/// from the caller's memory.
public protocol ByteFraming: Framing where Incoming == [UInt8], Outgoing == [UInt8] {
  /// Gives header and trailer for a payload.
  ///
  /// - Throws: ``FramingError`` when the payload cannot be sent in this framing, such as one that
  ///   would read back differently. Nothing has gone out then.
  func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope

  /// Gives header and trailer for a payload of which only the length is known, so that a payload in several parts
  /// need not be joined.
  ///
  /// - Returns: nil if the envelope depends on the payload's bytes, or the payload has to be inspected. The default
  ///   returns nil.
  /// - Throws: ``FramingError`` when no payload of that length can be sent.
  func envelope(forByteCount byteCount: Int) throws(FramingError) -> FrameEnvelope?
}

extension ByteFraming {
  @inlinable
  public func envelope(forByteCount byteCount: Int) throws(FramingError) -> FrameEnvelope? { nil }

  @inlinable
  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Scanner
  ) throws -> [UInt8] {
    unsafe frame.extracting(payload).withUnsafeBufferPointer { unsafe Array($0) }
  }

  @inlinable
  public func encode(_ message: [UInt8], into parts: inout FrameParts) throws {
    parts.append(message, in: try envelope(for: message.span))
  }
}

/// What a ``ByteFraming`` puts around a payload.
public struct FrameEnvelope: Sendable {
  /// The bytes before the payload. A framing that needs more than ``ShortBytes/capacity`` is a ``Framing``.
  public var header: ShortBytes
  /// The bytes after it; an array that the framing keeps costs nothing here.
  public var trailer: [UInt8]

  @inlinable
  public init(header: ShortBytes = ShortBytes(), trailer: [UInt8] = []) {
    self.header = header
    self.trailer = trailer
  }
}
