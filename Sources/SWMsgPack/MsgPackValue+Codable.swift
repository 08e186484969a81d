internal import SWCoding

extension MsgPackTimestamp: Codable {
  private enum CodingKeys: String, CodingKey { case seconds, nanoseconds }

  /// Decodes a timestamp: from the extension with this module's decoder, from a map of two numbers with others.
  public init(from decoder: any Decoder) throws {
    if decoder is MsgPackDecoding {
      self = try decoder.singleValueContainer().decode(MsgPackTimestamp.self)
      return
    }
    let map = try decoder.container(keyedBy: CodingKeys.self)
    seconds = try map.decode(Int64.self, forKey: .seconds)
    nanoseconds = try map.decode(UInt32.self, forKey: .nanoseconds)
    if nanoseconds >= 1_000_000_000 {
      throw DecodingError.dataCorruptedError(
        forKey: .nanoseconds, in: map, debugDescription: "nanoseconds are less than a second")
    }
  }

  public func encode(to encoder: any Encoder) throws {
    if encoder is MsgPackEncoding {
      var container = encoder.singleValueContainer()
      try container.encode(self)
      return
    }
    var map = encoder.container(keyedBy: CodingKeys.self)
    try map.encode(seconds, forKey: .seconds)
    try map.encode(nanoseconds, forKey: .nanoseconds)
  }
}

extension MsgPackValue: Codable {
  /// Decodes any value with this module's decoder. Other decoders, such as `JSONDecoder`, give the values that
  /// their format has: no binary data, no extensions, and only strings as keys.
  ///
  /// `JSONDecoder` does not tell the kind of a value. A `JSONFraming` of SWJSON knows it. Elsewhere it is found by attempts, whose
  /// cost grows with the cube of the nesting's depth: a hostile text of some kilobytes takes seconds.
  public init(from decoder: any Decoder) throws {
    if decoder is MsgPackDecoding {
      self = try decoder.singleValueContainer().decode(MsgPackValue.self)
      return
    }
    if let value = try CodingAnyValue.read(from: decoder) {
      self.init(value)
      return
    }
    let single = try decoder.singleValueContainer()
    switch try (decoder as? any CodingKindTelling)?.codingKind {
    case .null: self = .null
    case .bool: self = .bool(try single.decode(Bool.self))
    case .floatingPoint: self = .double(try single.decode(Double.self))
    case .text: self = .string(try single.decode(String.self))
    case .integer:
      if let value = try? single.decode(Int64.self) {
        self = .int(value)
      } else if let value = try? single.decode(UInt64.self) {
        self = .uint(value)
      } else {
        self = .double(try single.decode(Double.self))
      }
    case .array: self = .array(try Self.elements(decoder.unkeyedContainer()))
    case .map: self = .map(try Self.pairs(decoder.container(keyedBy: TextKey.self)))
    case .other, nil: try self.init(attempting: decoder, single)
    }
  }

  /// Tries one type after another, the simple ones first.
  private init(attempting decoder: any Decoder, _ single: any SingleValueDecodingContainer) throws {
    if single.decodeNil() {
      self = .null
    } else if let bool = try? single.decode(Bool.self) {
      self = .bool(bool)
    } else if let int = try? single.decode(Int64.self) {
      self = .int(int)
    } else if let uint = try? single.decode(UInt64.self) {
      self = .uint(uint)
    } else if let double = try? single.decode(Double.self) {
      self = .double(double)
    } else if let text = try? single.decode(String.self) {
      self = .string(text)
    } else if let map = try? decoder.container(keyedBy: TextKey.self) {
      self = .map(try Self.pairs(map))
    } else if let array = try? decoder.unkeyedContainer() {
      self = .array(try Self.elements(array))
    } else {
      // The decoder's own error says what the value is.
      self = .string(try single.decode(String.self))
    }
  }

  private static func elements(_ array: any UnkeyedDecodingContainer) throws -> [MsgPackValue] {
    var (array, elements) = (array, [MsgPackValue]())
    while !array.isAtEnd { elements.append(try array.decode(MsgPackValue.self)) }
    return elements
  }

  private static func pairs(_ map: KeyedDecodingContainer<TextKey>) throws -> [Pair] {
    try map.allKeys.map { Pair(.string($0.stringValue), try map.decode(MsgPackValue.self, forKey: $0)) }
  }

  private init(_ value: CodingAnyValue) {
    switch value {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .int(let value): self = .int(value)
    case .uint(let value): self = .uint(value)
    case .double(let value): self = .double(value)
    case .string(let value): self = .string(value)
    case .array(let elements): self = .array(elements.map { MsgPackValue($0) })
    case .object(let members): self = .map(members.map { Pair(.string($0), MsgPackValue($1)) })
    }
  }

  /// Encodes the value as itself with this module's encoder. With other encoders, binary data becomes an array of
  /// integers, an extension an array of its type and its bytes, and a key that is not a string its description.
  public func encode(to encoder: any Encoder) throws {
    switch self {
    case .map(let pairs) where !(encoder is MsgPackEncoding):
      var map = encoder.container(keyedBy: TextKey.self)
      var originals: [String: MsgPackValue] = [:]
      for pair in pairs {
        let key = TextKey(stringValue: pair.key.text ?? pair.key.description)
        if !key.stringValue.isFitForKey {
          throw EncodingError.invalidValue(
            pair.key, .init(codingPath: encoder.codingPath, debugDescription: DecodingError.unfitKey))
        }
        // Of a key that occurs twice the last value counts. Two keys of one text would lose an entry.
        if let other = originals.updateValue(pair.key, forKey: key.stringValue), other != pair.key {
          throw EncodingError.sameKey(key.stringValue, at: encoder.codingPath)
        }
        try map.encode(pair.value, forKey: key)
      }
    case .array(let elements) where !(encoder is MsgPackEncoding):
      var array = encoder.unkeyedContainer()
      for element in elements { try array.encode(element) }
    default:
      var container = encoder.singleValueContainer()
      if encoder is MsgPackEncoding {
        try container.encode(self)
        return
      }
      switch self {
      case .null: try container.encodeNil()
      case .bool(let value): try container.encode(value)
      case .int(let value): try container.encode(value)
      case .uint(let value): try container.encode(value)
      case .float(let value): try container.encode(value)
      case .double(let value): try container.encode(value)
      case .string(let value): try container.encode(value)
      case .binary(let bytes): try container.encode(bytes)
      case .extension(let type, let bytes):
        try container.encode([MsgPackValue.int(Int64(type)), .array(bytes.map { .int(Int64($0)) })])
      case .array, .map: break
      }
    }
  }
}
