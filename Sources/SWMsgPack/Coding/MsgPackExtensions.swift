/// The extension types that a program defines: which Swift type corresponds to which extension type.
///
/// ```swift
/// var extensions = MsgPackExtensions()
/// extensions.register(Complex.self, as: 5) { complex in
///   try MsgPackEncoder().encodeBytes([complex.real, complex.imaginary])
/// } decode: { bytes in
///   let parts = try MsgPackDecoder().decode([Double].self, from: bytes)
///   guard parts.count == 2 else { throw NotComplex() }
///   return Complex(parts[0], parts[1])
/// }
/// encoder.extensions = extensions
/// decoder.extensions = extensions
/// ```
///
/// A registered type is written and read as its extension at any position of a value. Its own `encode(to:)` and
/// `init(from:)` are not called. Python's `msgpack` has `default` and `ext_hook` for the same purpose.
public struct MsgPackExtensions: Sendable {
  struct Entry: Sendable {
    let type: Int8
    let encode: @Sendable (Any) throws -> [UInt8]
    let decode: @Sendable ([UInt8]) throws -> Any
  }

  private var entries: [ObjectIdentifier: Entry] = [:]

  public init() {}

  /// Registers a Swift type as an extension type. A later registration of the same Swift type replaces the earlier
  /// one. A registration of `Bool`, `String`, an integer type or a floating-point type has no effect, because MessagePack has
  /// types for them.
  ///
  /// - Parameters:
  ///   - type: the Swift type.
  ///   - number: the extension type, from 0 to 127. MessagePack reserves the negative numbers.
  ///   - encode: makes the extension's bytes; called on every thread and task that encodes.
  ///   - decode: reads the bytes; called on every thread and task that decodes. An error that it throws becomes the
  ///     underlying error of a `DecodingError` with the coding path.
  /// - Requires: a number that is not negative.
  public mutating func register<T>(
    _ type: T.Type, as number: Int8, encode: @escaping @Sendable (T) throws -> [UInt8],
    decode: @escaping @Sendable ([UInt8]) throws -> T
  ) {
    precondition(number >= 0, "the extension types below 0 are reserved by MessagePack")
    entries[ObjectIdentifier(type)] = Entry(
      type: number,
      encode: { value in
        guard let value = value as? T else { preconditionFailure("a value of the registered type") }
        return try encode(value)
      },
      decode: decode)
  }

  var isEmpty: Bool { entries.isEmpty }

  func entry<T>(for type: T.Type) -> Entry? { entries[ObjectIdentifier(type)] }
}
