internal import CMsgPack
public import SWFraming

/// Finds the end of a MessagePack value, and reads the value on the way: the framings of this module decode the
/// tape of its tokens.
///
/// A scanner has three states: no byte has been seen; waiting, with the state of msgpack-c's template and the tape
/// so far in allocated memory; done, with the tape. It takes memory between calls only while waiting.
///
/// It demands the rest of the current token, plus one byte for each element that is still missing, and reads no
/// byte that it has not demanded. Neither the end of a frame nor a refusal therefore depends on how the bytes were
/// cut into chunks.
public struct MsgPackScanner: FrameScanner {
  private let limits: MsgPackLimits
  private var needed = 1
  private var waiting: Waiting?
  private(set) var tape: MsgPackTape?

  init(limits: MsgPackLimits) { self.limits = limits }

  public mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
    if tape != nil { return .frame(byteCount: needed, payload: 0..<needed) }
    if received.count < needed { return .atLeast(needed) }

    var scan: OpaquePointer?
    if waiting != nil {
      // A copy of this scanner may share the waiting scan.
      let isOurs = isKnownUniquelyReferenced(&waiting)
      unsafe scan = isOurs ? waiting?.take() : waiting?.copy()
      waiting = nil
    }
    var tape = unsafe swmp_tape()
    let limits = limits
    let result = unsafe received.withUnsafeBufferPointer { bytes in
      guard let start = bytes.baseAddress else { preconditionFailure("a byte at least is there") }
      return unsafe swmp_go_on(
        &scan, &tape, start, bytes.count, UInt32(limits.depth), UInt32(clamping: limits.elements), true)
    }
    switch Int(result.status) {
    case SWMP_COMPLETE:
      needed = Int(result.offset)
      self.tape = unsafe MsgPackTape(tape)
      return .frame(byteCount: needed, payload: 0..<needed)
    case SWMP_MORE:
      // There are at most as many elements as 32 bits can count, on each of 1024 levels. An Int can count that.
      needed = Int(result.offset)
      if let scan = unsafe scan { waiting = unsafe Waiting(scan) }
      return .atLeast(needed)
    default:
      throw refusal(result, received)
    }
  }

  private func refusal(_ result: swmp_result, _ received: Span<UInt8>) -> FramingError {
    let error = unsafe received.withUnsafeBytes { bytes in
      unsafe MsgPackError(result, limits: limits, in: bytes)
    }
    let kind: FramingError.Kind =
      error.kind == .tooLong
      ? .tooLarge(declared: UInt64(UInt32.max) + 6, limit: UInt64(UInt32.max) + 5) : .malformedHeader
    return FramingError(kind, offset: error.offset, explanation: error.description)
  }

  /// The heap memory of a value that has begun to arrive, in bytes, besides the value itself.
  package var waitingByteCount: Int { waiting?.byteCount ?? 0 }
}

/// A scan between two calls.
@safe
// Invariant: the scan is changed only after it has been taken, which only its single holder does.
private final class Waiting: @unchecked Sendable {
  private var scan: OpaquePointer?

  init(_ scan: OpaquePointer) { unsafe self.scan = unsafe scan }

  deinit { if let scan = unsafe scan { unsafe swmp_scan_free(scan) } }

  func take() -> OpaquePointer? {
    defer { unsafe scan = nil }
    return unsafe scan
  }

  func copy() -> OpaquePointer? { unsafe scan.map { unsafe swmp_scan_copy($0) } }

  var byteCount: Int { unsafe scan.map { unsafe swmp_scan_size($0) } ?? 0 }
}
