internal import CMsgPack

/// A timestamp, the extension of type −1: seconds since the start of 1970, and nanoseconds. It is more precise than
/// a `Date`.
///
/// ```
///   d6 ff  SS SS SS SS                             seconds, unsigned
///   d7 ff  NN NN NN Ns SS SS SS SS                 30 bits of nanoseconds, 34 of seconds
///   c7 0c ff  NN NN NN NN  SS SS SS SS SS SS SS SS    nanoseconds, seconds (signed)
/// ```
///
/// The encoder writes the smallest form that fits; the decoder reads all three. Source: the MessagePack
/// specification, "Timestamp extension type".
public struct MsgPackTimestamp: Hashable, Sendable {
  public var seconds: Int64
  /// The nanoseconds, below a billion.
  public var nanoseconds: UInt32

  public init(seconds: Int64, nanoseconds: UInt32) {
    precondition(nanoseconds < 1_000_000_000, "nanoseconds are less than a second")
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  /// Reads an extension's payload. Returns nil if it is not a timestamp: it has another length, or a billion nanoseconds or
  /// more.
  init?(_ payload: UnsafeRawBufferPointer) {
    func integer(_ range: Range<Int>) -> UInt64 {
      range.reduce(0) { value, index in value << 8 | UInt64(unsafe payload[index]) }
    }
    let nanoseconds: UInt64
    switch payload.count {
    case 4:
      nanoseconds = 0
      seconds = Int64(integer(0..<4))
    case 8:
      let both = integer(0..<8)
      nanoseconds = both >> 34
      seconds = Int64(both & (1 << 34 - 1))
    case 12:
      nanoseconds = integer(0..<4)
      seconds = Int64(bitPattern: integer(4..<12))
    default: return nil
    }
    guard nanoseconds < 1_000_000_000 else { return nil }
    self.nanoseconds = UInt32(nanoseconds)
  }

  /// The timestamp in a value; nil for any other value, and for a malformed timestamp.
  public init?(_ value: MsgPackValue) {
    guard case .extension(-1, let bytes) = value else { return nil }
    guard let timestamp = unsafe bytes.withUnsafeBytes({ unsafe MsgPackTimestamp($0) }) else { return nil }
    self = timestamp
  }

  /// The timestamp as a value.
  public var value: MsgPackValue {
    let sink = MsgPackSink()
    unsafe swmp_write_timestamp(sink.sink, seconds, nanoseconds)
    let bytes = sink.array
    return .extension(type: -1, Array(bytes.dropFirst(bytes.count == 15 ? 3 : 2)))
  }
}
