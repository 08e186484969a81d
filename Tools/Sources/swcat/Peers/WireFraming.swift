internal import SWMessaging
internal import Synchronization

/// A received message: its payload, and its position in the stream.
struct Message: Sendable {
  var payload: [UInt8]
  /// The frame's bytes. Nil if they are not kept.
  var frame: [UInt8]?
  var frameSize: Int
  /// Where the payload begins in the frame.
  var payloadOffset: Int
  /// Where the frame begins in the stream.
  var offset: UInt64 = 0
}

/// A framing that reports the position of its payloads. It refuses to send a message that it would not receive.
struct WireFraming: Framing {
  let base: AnyByteFraming
  let maximumFrameSize: Int
  /// Whether messages bring their frames.
  let keepsFrames: Bool
  /// Takes the bytes at which frames end; nil: they are not kept.
  let remains: Remains?

  func makeScanner() -> Scanner {
    Scanner(base: base.makeScanner(), maximumFrameSize: maximumFrameSize, remains: remains)
  }

  func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Scanner
  ) throws -> Message {
    Message(
      payload: try base.decode(frame, payload: payload, scanned: scanned.base),
      frame: keepsFrames ? Array(copying: frame) : nil, frameSize: frame.count,
      payloadOffset: payload.lowerBound)
  }

  func encode(_ payload: [UInt8], into parts: inout FrameParts) throws {
    let before = parts.byteCount
    try base.encode(payload, into: &parts)
    let byteCount = parts.byteCount - before
    if byteCount > maximumFrameSize {
      throw Misread(
        at: 0, expected: "a frame of at most \(maximumFrameSize) bytes", found: "one of \(byteCount)")
    }
  }

  func didSend(count: Int, of total: Int) { base.didSend(count: count, of: total) }
  var observesSending: Bool { base.observesSending }

  /// The frame of a payload.
  func frame(of payload: [UInt8]) throws -> [UInt8] {
    var parts = FrameParts()
    try encode(payload, into: &parts)
    return parts.bytes
  }
}

extension WireFraming {
  /// The scanner of the framing, which keeps what it refuses.
  struct Scanner: FrameScanner {
    fileprivate var base: AnyByteFraming.Scanner
    fileprivate let maximumFrameSize: Int
    fileprivate let remains: Remains?

    mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
      do throws(FramingError) {
        let demand = try base.demand(in: received)
        // The endpoint refuses such a frame.
        if demand.byteCount > maximumFrameSize { remains?.keep(Array(copying: received)) }
        return demand
      } catch {
        remains?.keep(Array(copying: received))
        throw error
      }
    }

    mutating func atEnd(of received: Span<UInt8>) throws(FramingError) -> FrameEnd {
      do throws(FramingError) {
        return try base.atEnd(of: received)
      } catch {
        remains?.keep(Array(copying: received))
        throw error
      }
    }
  }
}

/// The bytes behind the last whole frame of a stream that broke.
final class Remains: Sendable {
  private let bytes = Mutex<[UInt8]>([])

  func keep(_ bytes: [UInt8]) { self.bytes.withLock { $0 = bytes } }

  /// Returns them once.
  func take() -> [UInt8] {
    bytes.withLock { bytes in
      defer { bytes = [] }
      return bytes
    }
  }
}

extension [UInt8] {
  /// The bytes of a span.
  init(copying bytes: Span<UInt8>) {
    self = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
  }
}
