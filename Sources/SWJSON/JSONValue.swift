internal import SWCoding

/// Any JSON value, for messages whose structure is not known in advance. `MsgPackValue` and `PickleValue` are its
/// counterparts in other formats.
///
/// ```swift
/// let value: JSONValue = ["id": 7, "tags": ["a", nil, true], "ratio": 0.5]
/// value["tags"]?[0]?.text    // "a"
/// ```
///
/// An integer of 64 bits is exact; any other number has double precision. An object does not keep the order of its
/// keys. If a key occurs twice in a text, one of the values is kept. Two spellings of one key that differ in their bytes, such as
/// `é` in one scalar and in two, are an error.
///
/// A ``JSONFraming`` reads a `JSONValue`, whether it is the whole message or a part of another type, in time proportional
/// to its length. The text has to be JSON of RFC 8259 in UTF-8. The names of an object are those of the text, whatever the
/// key strategy is; two that a strategy makes one are an error, also on the way to such a part. A message is refused if it has
/// thousands of such parts deeper than 16 levels, because `JSONDecoder` takes time with the square of the depth for each.
///
/// `JSONDecoder` does not tell the kind of a value. So a `JSONValue` that a program decodes with a `JSONDecoder` of its own,
/// or with a framing whose decoder has a custom key strategy, JSON5 or strings for infinities, is found by attempts. Their
/// cost grows with the cube of the nesting's depth: a hostile text of 1,000 bytes takes seconds.
public enum JSONValue: Hashable, Sendable {
  case null
  case bool(Bool)
  case int(Int64)
  /// An integer above `Int64.max`.
  case uint(UInt64)
  case double(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// The value for a key of an object; nil if there is none, and for other values.
  public subscript(key: String) -> JSONValue? {
    if case .object(let members) = self { members[key] } else { nil }
  }

  /// An element of an array; nil if there is none, and for other values.
  public subscript(index: Int) -> JSONValue? {
    guard case .array(let elements) = self, elements.indices.contains(index) else { return nil }
    return elements[index]
  }

  /// Whether the value is null.
  public var isNull: Bool { self == .null }

  /// The value of a bool; nil for other values.
  public var boolean: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  /// The value as an `Int`, if it is an integer that fits; otherwise nil.
  public var integer: Int? {
    switch self {
    case .int(let value): Int(exactly: value)
    case .uint(let value): Int(exactly: value)
    default: nil
    }
  }

  /// The value of any number, or the nearest `Double`; nil for other values.
  public var number: Double? {
    switch self {
    case .int(let value): Double(value)
    case .uint(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// The text of a string; nil for other values.
  public var text: String? {
    if case .string(let text) = self { text } else { nil }
  }

  /// The elements of an array; nil for other values.
  public var elements: [JSONValue]? {
    if case .array(let elements) = self { elements } else { nil }
  }
}

extension JSONValue: Codable {
  /// Decodes a value from any decoder whose data JSON can express.
  ///
  /// - Throws: `DecodingError`.
  public init(from decoder: any Decoder) throws {
    if let value = try JSONMessage.value(for: decoder) {
      self = value
      return
    }
    let single = try decoder.singleValueContainer()
    switch try (decoder as? any CodingKindTelling)?.codingKind {
    case .null: self = .null
    case .bool: self = .bool(try single.decode(Bool.self))
    case .floatingPoint: self.init(joining: try single.decode(Double.self))
    case .text: self = .string(try single.decode(String.self))
    case .array: self = .array(try Self.elements(of: decoder, single))
    case .map: self = .object(try Self.members(of: decoder, single))
    case .integer: try self.init(integer: single)
    case .other, nil: try self.init(attempting: decoder)
    }
  }

  // Functions of their own, because the initialiser is called once for each level, and would use more of the stack.

  private static func elements(
    of decoder: any Decoder, _ single: any SingleValueDecodingContainer
  ) throws -> [JSONValue] {
    guard decoder is any CodingLevelDecoder else { return try single.decode([JSONValue].self) }
    var (array, elements) = (try decoder.unkeyedContainer(), [JSONValue]())
    while !array.isAtEnd { elements.append(try array.decode(JSONValue.self)) }
    return elements
  }

  /// The members of a dictionary, whose keys no strategy changes, and which loses none in silence.
  private static func members(
    of decoder: any Decoder, _ single: any SingleValueDecodingContainer
  ) throws -> [String: JSONValue] {
    guard let decoder = decoder as? any CodingLevelDecoder else {
      return try single.decode([String: JSONValue].self)
    }
    return try decoder.decodeMap(of: JSONValue.self)
  }

  private init(integer single: any SingleValueDecodingContainer) throws {
    if let value = try? single.decode(Int64.self) {
      self = .int(value)
    } else if let value = try? single.decode(UInt64.self) {
      self = .uint(value)
    } else {
      self = .double(try single.decode(Double.self))
    }
  }

  /// Tries one type after another.
  private init(attempting decoder: any Decoder) throws {
    let single = try decoder.singleValueContainer()
    if single.decodeNil() {
      self = .null
    } else if let value = try? single.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? single.decode(Int64.self) {
      self = .int(value)
    } else if let value = try? single.decode(UInt64.self) {
      self = .uint(value)
    } else if let value = try? single.decode(Double.self) {
      self = .double(value)
    } else if let value = try? single.decode(String.self) {
      self = .string(value)
    } else if (try? decoder.container(keyedBy: Name.self)) != nil {
      self = .object(try single.decode([String: JSONValue].self))
    } else if (try? decoder.unkeyedContainer()) != nil {
      self = .array(try single.decode([JSONValue].self))
    } else {
      // Most likely a string with a lone surrogate or a number beyond a Double: the decoder's own error says so.
      do {
        self = .string(try single.decode(String.self))
      } catch DecodingError.typeMismatch {
        do {
          self = .double(try single.decode(Double.self))
        } catch DecodingError.typeMismatch(_, let context) {
          // A value that JSON does not have, such as a datetime. Double is only the last type that was tried.
          let (asked, text) = ("expected Double", context.debugDescription)
          throw DecodingError.typeMismatch(
            Self.self,
            .init(
              codingPath: context.codingPath,
              debugDescription: text.hasPrefix(asked)
                ? "expected a JSON value" + text.dropFirst(asked.count) : text,
              underlyingError: context.underlyingError))
        }
      }
    }
  }

  public func encode(to encoder: any Encoder) throws {
    switch self {
    case .array(let elements):
      var array = encoder.unkeyedContainer()
      for element in elements { try array.encode(element) }
      return
    // One level, and not two.
    case .object(let members) where encoder is any CodingDictionaryEncoder:
      return try members.encode(to: encoder)
    default: break
    }
    var single = encoder.singleValueContainer()
    switch self {
    case .bool(let value): try single.encode(value)
    case .int(let value): try single.encode(value)
    case .uint(let value): try single.encode(value)
    case .double(let value): try single.encode(value)
    case .string(let value): try single.encode(value)
    // As a dictionary that is a value: other encoders change the keys of one that encodes itself into their container.
    case .object(let members): try single.encode(members)
    case .null, .array: try single.encodeNil()
    }
  }

  struct Name: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// A number as an integer, if it is one of 64 bits. -2⁶³ stays a double, because integers below it are rounded to it.
  init(joining number: Double) {
    if number > -0x1p63, let value = Int64(exactly: number) {
      self = .int(value)
    } else if let value = UInt64(exactly: number) {
      self = .uint(value)
    } else {
      self = .double(number)
    }
  }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  public init(nilLiteral: ()) { self = .null }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  /// An object. If a key occurs twice, its last value counts.
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(Dictionary(elements) { _, last in last })
  }
}
