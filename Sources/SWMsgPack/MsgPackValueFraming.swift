internal import CMsgPack
public import SWFraming

/// Bare MessagePack values, one after another: what Python's socketwrapper calls `MsgPack`.
///
/// ```
///   ╭─ value ─────────────────────────────────────╮
///   │ 81 a4 d a t a c4 0c H e l l o ␠ w o r l d ! │     {"data": b"Hello world!"}
///   │ 07                                          │     7
///   │ 93 01 02 03                                 │     [1, 2, 3]
///   ╰─────────────────────────────────────────────╯
/// ```
///
/// The headers inside a value tell where it ends. Forms that are longer than necessary are read; the shortest form
/// is written. The byte 0xc1, and a value that exceeds the ``MsgPackLimits``, are framing errors. A string that is
/// not UTF-8 is a codec error: its frame is consumed, and the next receive reads the next message.
///
/// Source: the MessagePack specification, <https://github.com/msgpack/msgpack/blob/master/spec.md>; socketwrapper
/// 0.2.0, `framing.MsgPack`.
public struct MsgPackValueFraming: Framing {
  public let limits: MsgPackLimits
  /// Whether binary data is sent as strings, and strings that are not UTF-8 are received as binary data, for peers
  /// that use the format as it was before 2013.
  public let usesOldRaw: Bool

  public init(limits: MsgPackLimits = MsgPackLimits(), usesOldRaw: Bool = false) {
    self.limits = limits
    self.usesOldRaw = usesOldRaw
  }

  public func makeScanner() -> MsgPackScanner { MsgPackScanner(limits: limits) }

  public func decode(
    _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing MsgPackScanner
  ) throws -> MsgPackValue {
    guard let tape = scanned.tape else { preconditionFailure("the scanner has not seen the frame") }
    return try unsafe frame.withUnsafeBytes { bytes in
      try unsafe MsgPackValue(tape.tokens, at: 0, bytes, usesOldRaw: usesOldRaw)
    }
  }

  public func encode(_ message: MsgPackValue, into parts: inout FrameParts) throws {
    let sink = MsgPackSink(usesOldRaw: usesOldRaw)
    try sink.write(message, room: limits.depth)
    sink.move(to: &parts)
  }
}

extension MsgPackSink {
  /// Appends the bytes, which copies them once.
  func move(to parts: inout FrameParts) {
    if count < 1024 {
      // Invariant: the sink's memory is initialised up to its count, and outlives the span.
      withExtendedLifetime(self) { unsafe parts.append(copying: Span(_unsafeBytes: bytes)) }
    } else {
      parts.append(array)
    }
  }
}

extension Framing where Self == MsgPackValueFraming {
  /// Bare MessagePack values of any kind.
  public static var msgPackValues: MsgPackValueFraming { MsgPackValueFraming() }

  /// Bare MessagePack values of any kind, with limits.
  public static func msgPackValues(
    limits: MsgPackLimits = MsgPackLimits(), usesOldRaw: Bool = false
  ) -> MsgPackValueFraming {
    MsgPackValueFraming(limits: limits, usesOldRaw: usesOldRaw)
  }
}
