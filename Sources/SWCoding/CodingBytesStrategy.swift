/// The form in which a `[UInt8]` is encoded. `Data` is always encoded as the format's own bytes type, and decoders
/// read both forms of a `[UInt8]`.
public struct CodingBytesStrategy: Hashable, Sendable {
  private enum Kind: Hashable, Sendable { case bytes, array }

  private let kind: Kind

  /// The format's own bytes type: binary data in MessagePack, `bytes` in a pickle.
  public static var bytes: CodingBytesStrategy { CodingBytesStrategy(kind: .bytes) }

  /// An array of integers, like any other array.
  public static var array: CodingBytesStrategy { CodingBytesStrategy(kind: .array) }
}
