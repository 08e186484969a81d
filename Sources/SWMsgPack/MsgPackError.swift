internal import CMsgPack

/// Bytes that are not MessagePack, or not such as can be taken.
public struct MsgPackError: Error, Hashable, Sendable {
  /// What is wrong.
  @nonexhaustive
  public enum Kind: Hashable, Sendable {
    /// No value begins with this byte (0xc1).
    case noValue
    /// The bytes end inside of a value, which has at least so many.
    case truncated(needed: UInt64)
    /// Bytes lie behind the value.
    case trailingBytes
    /// More containers lie in each other than ``MsgPackLimits/depth`` allows.
    case tooDeep(limit: Int)
    /// More values are declared than ``MsgPackLimits/elements`` allows.
    case tooManyElements(limit: Int)
    /// An extension of 2³² − 1 bytes, which msgpack-c cannot count.
    case tooLong
    /// A string is not UTF-8.
    case notUTF8
    /// An extension of type −1 that is no timestamp: of another length than 4, 8 or 12, or with a billion
    /// nanoseconds or more.
    case malformedTimestamp
  }

  public var kind: Kind
  /// Where, in bytes from the value's first: the beginning of the bad header; of a string and an extension
  /// the first byte of its payload.
  public var offset: Int
  /// The byte there, if there is one.
  public var firstByte: UInt8?

  init(_ kind: Kind, offset: Int, in bytes: UnsafeRawBufferPointer) {
    self.kind = kind
    self.offset = offset
    firstByte = offset < bytes.count ? unsafe bytes[offset] : nil
  }

  /// What a scan ended with.
  init(_ result: swmp_result, limits: MsgPackLimits, in bytes: UnsafeRawBufferPointer) {
    let offset = Int(clamping: result.offset)
    switch Int(result.status) {
    case SWMP_TOO_DEEP: unsafe self.init(.tooDeep(limit: limits.depth), offset: offset, in: bytes)
    case SWMP_TOO_MANY:
      unsafe self.init(.tooManyElements(limit: limits.elements), offset: offset, in: bytes)
    case SWMP_TOO_LONG: unsafe self.init(.tooLong, offset: offset, in: bytes)
    case SWMP_NO_MEMORY: preconditionFailure("out of memory")
    default: unsafe self.init(.noValue, offset: offset, in: bytes)
    }
  }
}

extension MsgPackError: CustomStringConvertible {
  public var description: String {
    let what =
      switch kind {
      case .noValue: "no MessagePack value begins like this"
      case .truncated(let needed): "the value has at least \(needed) bytes, and they end"
      case .trailingBytes: "bytes lie behind the value"
      case .tooDeep(let limit): "more than \(limit) containers in each other"
      case .tooManyElements(let limit): "more than \(limit) values in one"
      case .tooLong: "an extension of 4 GiB"
      case .notUTF8: "a string that is not UTF-8"
      case .malformedTimestamp: "a malformed timestamp"
      }
    let byte = firstByte.map { ": found 0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) } ?? ""
    return "\(what), at offset \(offset)\(byte)"
  }
}
