internal import CMsgPack
internal import SWFraming

/// A value as a flat list of tokens, which point into its bytes.
///
/// A container comes before its elements, and knows the index behind the last one. So a whole subtree is skipped in one
/// step. A tape never changes.
@safe
// Invariant: the tokens belong to this object alone and are only read.
final class MsgPackTape: @unchecked Sendable {
  let tokens: UnsafePointer<swmp_token>
  let count: Int
  private let tape: swmp_tape

  init(_ tape: swmp_tape) {
    guard let tokens = unsafe tape.tokens else { preconditionFailure("a value has a token") }
    unsafe self.tape = unsafe tape
    unsafe self.tokens = unsafe UnsafePointer(tokens)
    self.count = Int(unsafe tape.count)
  }

  deinit { unsafe swmp_tape_free(tape) }
}

/// Reads the single value in the bytes. The caller frees the tape.
func scan(_ bytes: UnsafeRawBufferPointer, _ limits: MsgPackLimits) throws(MsgPackError) -> swmp_tape {
  guard let start = bytes.baseAddress, unsafe !bytes.isEmpty else {
    throw unsafe MsgPackError(.truncated(needed: 1), offset: 0, in: bytes)
  }
  var scan: OpaquePointer?
  var tape = unsafe swmp_tape()
  let result = unsafe swmp_go_on(
    &scan, &tape, start.assumingMemoryBound(to: UInt8.self), bytes.count, UInt32(limits.depth),
    UInt32(clamping: limits.elements), false)
  switch Int(result.status) {
  case SWMP_COMPLETE:
    if result.offset < bytes.count {
      unsafe swmp_tape_free(tape)
      throw unsafe MsgPackError(.trailingBytes, offset: Int(result.offset), in: bytes)
    }
    return unsafe tape
  case SWMP_MORE:
    if let scan = unsafe scan { unsafe swmp_scan_free(scan) }
    throw unsafe MsgPackError(.truncated(needed: result.offset), offset: bytes.count, in: bytes)
  default:
    throw unsafe MsgPackError(result, limits: limits, in: bytes)
  }
}

extension swmp_token {
  /// The kind of the token, as a Swift enumeration.
  var what: TokenKind { unsafe unsafeBitCast(kind, to: TokenKind.self) }

  var int: Int64 { Int64(bitPattern: value) }
  var float: Float { Float(bitPattern: UInt32(truncatingIfNeeded: value)) }
  var double: Double { Double(bitPattern: value) }

  /// The number of elements of an array, or of pairs of a map.
  var elementCount: Int { Int(value) }

  /// The index behind the token at `index` and all its contents.
  func next(after index: Int) -> Int {
    kind >= TokenKind.array.rawValue ? Int(extent) : index + 1
  }
}

/// Invariant: the values are those of the enumeration in CMsgPack.h.
enum TokenKind: UInt8 {
  case null, `false`, `true`, int, uint, float, double, string, binary, `extension`, array, map

  /// The name of the kind in errors.
  var title: String {
    switch self {
    case .null: "nil"
    case .false, .true: "a boolean"
    case .int, .uint: "an integer"
    case .float, .double: "a floating point number"
    case .string: "a string"
    case .binary: "binary data"
    case .extension: "an extension"
    case .array: "an array"
    case .map: "a map"
    }
  }
}
