internal import ArgumentParser
internal import SWMessaging
internal import SWPickle

/// The meaning of payloads.
enum PayloadKind: Sendable {
  case bytes
  case pickle
  case msgpack
}

/// A framing by its name on the command line, and the meaning of its payloads.
struct FramingChoice: Sendable {
  let framing: AnyByteFraming
  let codec: any PayloadCodec
  /// The kind of payloads. Payloads of one kind pass unchanged from one peer to another.
  let kind: PayloadKind
  /// Whether it is a framing of Python's `multiprocessing`, whose connections may have a key.
  let isOfMultiprocessing: Bool

  /// Every name, as `--help` shows them.
  static let names =
    "varint, multiprocessing, pickle, msgpack, lines, nul, delimiter:HEX, u8, u16be, u16le, u32be, u32le, u64be, "
    + "u64le, content-length, protobuf, fixed:N"

  /// The completions that a shell offers.
  static let completions = names.split(separator: ", ").map { name in
    name.hasSuffix(":HEX") || name.hasSuffix(":N") ? "\(name.prefix { $0 != ":" }):" : String(name)
  }

  init(
    _ framing: some ByteFraming, _ codec: some PayloadCodec = BytesCodec(), of kind: PayloadKind = .bytes
  ) {
    self.framing = AnyByteFraming(framing)
    self.codec = codec
    self.kind = kind
    isOfMultiprocessing = framing is MultiprocessingBytesFraming
  }

  init(named name: String) throws {
    switch name {
    case "varint": self.init(.varInt)
    case "multiprocessing": self.init(.multiprocessingBytes)
    case "pickle": self.init(.multiprocessingBytes, PickleCodec(), of: .pickle)
    case "msgpack":
      #if canImport(SWMsgPack)
        self.init(MsgPackBytesFraming(), MsgPackCodec(), of: .msgpack)
      #else
        throw ValidationError("this build has no msgpack")
      #endif
    case "lines": self.init(.lines)
    case "nul": self.init(.delimited())
    case "u8": self.init(.lengthPrefixed(.uint8))
    case "u16be": self.init(.lengthPrefixed(.uint16))
    case "u16le": self.init(.lengthPrefixed(.uint16, byteOrder: .littleEndian))
    case "u32be": self.init(.lengthPrefixed(.uint32))
    case "u32le": self.init(.lengthPrefixed(.uint32, byteOrder: .littleEndian))
    case "u64be": self.init(.lengthPrefixed(.uint64))
    case "u64le": self.init(.lengthPrefixed(.uint64, byteOrder: .littleEndian))
    case "content-length": self.init(.contentLength)
    case "protobuf": self.init(.protobufDelimited)
    default: try self.init(withParameter: name)
    }
  }

  /// `name:parameter`.
  private init(withParameter name: String) throws {
    let parts = name.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let parameter = parts.count > 1 ? String(parts[1]) : ""
    switch parts.first {
    case "delimiter":
      guard !parameter.isEmpty, let delimiter = try? Hexadecimal.read(Array(parameter.utf8)) else {
        throw ValidationError(
          "expected delimiter:HEX with two hexadecimal digits for each byte, such as delimiter:0d0a")
      }
      self.init(.delimited(by: delimiter))
    case "fixed":
      guard let byteCount = ByteSize.read(parameter) else {
        throw ValidationError("expected fixed:N with the size of a record, at least 1, such as fixed:16")
      }
      self.init(.fixedSize(byteCount))
    default:
      let names = Self.names.split(separator: ", ").map(String.init)
      throw ValidationError("expected one of \(Self.names)\(Nearest.hint(to: name, among: names))")
    }
  }
}
