internal import CMsgPack

/// Bytes that are not MessagePack, or that exceed a limit.
public struct MsgPackError: Error, Hashable, Sendable {
  /// The kinds of errors.
  @nonexhaustive
  public enum Kind: Hashable, Sendable {
    /// No value begins with this byte (0xc1).
    case noValue
    /// The bytes end inside a value, which has at least `needed` bytes.
    case truncated(needed: UInt64)
    /// There are bytes after the value.
    case trailingBytes
    /// Containers are nested deeper than ``MsgPackLimits/depth``.
    case tooDeep(limit: Int)
    /// The headers declare more values than ``MsgPackLimits/elements``.
    case tooManyElements(limit: Int)
    /// An extension has 2³² − 1 bytes, which msgpack-c cannot count.
    case tooLong
    /// A string is not UTF-8.
    case notUTF8
    /// An extension of type −1 is not a timestamp: its length is not 4, 8 or 12, or it has a billion nanoseconds or
    /// more.
    case malformedTimestamp
  }

  public var kind: Kind
  /// The offset from the start of the value, in bytes: of the bad header, or of the first byte of the payload of a
  /// string or extension.
  public var offset: Int
  /// The byte at the offset, if there is one.
  public var firstByte: UInt8?

  init(_ kind: Kind, offset: Int, in bytes: UnsafeRawBufferPointer) {
    self.kind = kind
    self.offset = offset
    firstByte = offset < bytes.count ? unsafe bytes[offset] : nil
  }

  /// Makes the error of a scan's result.
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
      case .noValue: "expected a MessagePack value, found a byte that begins none"
      case .truncated(let needed): "expected at least \(needed) bytes, found the end of the bytes"
      case .trailingBytes: "expected the end of the bytes after one value, found more bytes"
      case .tooDeep(let limit): "nesting deeper than \(limit) levels"
      case .tooManyElements(let limit):
        "expected at most \(limit) values in one, found a header that declares more"
      case .tooLong: "expected an extension of less than 4 GiB, found a longer one"
      case .notUTF8: "expected text in UTF-8, found a string of other bytes"
      case .malformedTimestamp:
        "expected a timestamp of 4, 8 or 12 bytes and less than a billion nanoseconds, found another"
      }
    let byte = firstByte.map { " (0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) + ")" } ?? ""
    return "\(what) at offset \(offset)\(byte)"
  }
}
