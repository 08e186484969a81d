internal import SWMessaging

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

  func makeScanner() -> AnyByteFraming.Scanner { base.makeScanner() }

  func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing AnyByteFraming.Scanner
  ) throws -> Message {
    Message(
      payload: try base.decode(frame, payload: payload, scanned: scanned),
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

extension [UInt8] {
  /// The bytes of a span.
  init(copying bytes: Span<UInt8>) {
    self = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
  }
}
