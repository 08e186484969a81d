/// How messages become frames in a stream of bytes, and frames become messages again. A framing does no I/O: it
/// works the same over a socket, a pipe, a file or an array in a test.
///
/// A framing is a value that endpoints share between threads and tasks. The state of scanning one frame is in a
/// ``FrameScanner``.
public protocol Framing<Incoming, Outgoing>: Sendable {
  /// The type of received messages.
  associatedtype Incoming: Sendable
  /// The type of sent messages.
  associatedtype Outgoing: Sendable
  /// The type that finds where a frame ends.
  associatedtype Scanner: FrameScanner

  /// A scanner for the next frame.
  func makeScanner() -> Scanner

  /// Decodes the message in a whole frame.
  ///
  /// - Parameters:
  ///   - frame: the frame with its header and trailer, and nothing after it.
  ///   - payload: the range of the payload in the frame, as the scanner returned it.
  ///   - scanned: the scanner that found the frame's end. A scanner may decode on the way, so that the bytes are read
  ///     only once.
  /// - Throws: any error. The frame is consumed, and the next receive reads the next frame.
  func decode(_ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Scanner) throws -> Incoming

  /// Encodes a message as the parts of one frame.
  ///
  /// An endpoint calls this before it sends the first byte.
  ///
  /// - Throws: any error. Nothing has been sent then.
  func encode(_ message: Outgoing, into parts: inout FrameParts) throws

  /// Observes that the transport has accepted bytes of a frame. The default does nothing.
  ///
  /// An endpoint calls this outside every lock. It must not call the endpoint.
  ///
  /// - Parameters:
  ///   - count: the number of bytes of the frame that have been accepted so far, counting header and trailer.
  ///   - total: the frame's length in bytes.
  func didSend(count: Int, of total: Int)

  /// Decodes bytes that must be exactly one frame, such as a datagram. The default scans and decodes them.
  ///
  /// - Throws: ``FramingError`` if the bytes are not exactly one frame (``FramingError/Kind/misfit``), or no frame at
  ///   all; and an error of ``decode(_:payload:scanned:)``.
  func decode(filling bytes: Span<UInt8>) throws -> Incoming

  /// Whether frames have no boundaries of their own, so that only a transport with datagrams can separate messages.
  /// The default is false.
  var needsDatagrams: Bool { get }

  /// Whether endpoints call ``didSend(count:of:)``. The default is false.
  var observesSending: Bool { get }
}

extension Framing {
  public func didSend(count: Int, of total: Int) {}
  public var observesSending: Bool { false }
  @inlinable
  public var needsDatagrams: Bool { false }
}

/// A framing whose message is the payload itself, so that the framing only adds a header and a trailer.
///
/// An endpoint reads a large payload directly into the array that `receive` returns, and sends a payload from the
/// caller's memory.
public protocol ByteFraming: Framing where Incoming == [UInt8], Outgoing == [UInt8] {
  /// Returns the header and trailer for a payload.
  ///
  /// - Throws: ``FramingError`` if the payload cannot be sent in this framing, for example because it would be read
  ///   back differently. Nothing has been sent then.
  func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope

  /// Returns the header and trailer for a payload whose length alone is known, so that a payload in several parts
  /// need not be joined.
  ///
  /// - Returns: nil if the envelope depends on the payload's bytes, or if the payload must be inspected. The default
  ///   returns nil.
  /// - Throws: ``FramingError`` if no payload of that length can be sent.
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

/// The bytes that a ``ByteFraming`` puts around a payload.
public struct FrameEnvelope: Sendable {
  /// The bytes before the payload. A framing with headers longer than ``ShortBytes/capacity`` must conform to
  /// ``Framing`` instead.
  public var header: ShortBytes
  /// The bytes after the payload. An array that the framing keeps is not copied.
  public var trailer: [UInt8]

  @inlinable
  public init(header: ShortBytes = ShortBytes(), trailer: [UInt8] = []) {
    self.header = header
    self.trailer = trailer
  }
}
