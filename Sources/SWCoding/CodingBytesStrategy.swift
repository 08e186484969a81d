/// How a `[UInt8]` stands in a message. `Data` is always the format's own kind of bytes, and decoders read both
/// forms of a `[UInt8]`.
public struct CodingBytesStrategy: Hashable, Sendable {
  private enum Kind: Hashable, Sendable { case bytes, array }

  private let kind: Kind

  /// As the format's own kind of bytes: binary data in MessagePack, `bytes` in a pickle.
  public static var bytes: CodingBytesStrategy { CodingBytesStrategy(kind: .bytes) }

  /// As an array of integers, like any other array.
  public static var array: CodingBytesStrategy { CodingBytesStrategy(kind: .array) }
}
