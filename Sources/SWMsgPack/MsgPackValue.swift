/// Any MessagePack value, for messages whose structure is not known in advance.
///
/// ```swift
/// let value: MsgPackValue = ["data": .binary(Array("Hello world!".utf8)), "tags": [1, 2.5, nil]]
/// value["data"]        // .binary(…)
/// value["tags"]?[1]    // .double(2.5)
/// ```
///
/// Two values are equal if they have the same kind and the same content: `.int(1)` and `.double(1)` differ, and so
/// do maps whose pairs are in a different order. Strings are equal if their bytes are. An integer has one form: ``uint(_:)`` is for integers above
/// `Int64.max`, and ``init(_:)-(BinaryInteger)`` chooses the form.
public enum MsgPackValue: Hashable, Sendable {
  case null
  case bool(Bool)
  case int(Int64)
  /// An integer above `Int64.max`. A smaller one reads back as ``int(_:)``.
  case uint(UInt64)
  case float(Float)
  case double(Double)
  case string(String)
  case binary([UInt8])
  case `extension`(type: Int8, [UInt8])
  case array([MsgPackValue])
  /// Pairs, in the order in which they are written. Any value may be a key, and the same key may occur twice.
  case map([Pair])

  /// A key and its value.
  public struct Pair: Hashable, Sendable {
    public var key: MsgPackValue
    public var value: MsgPackValue

    public init(_ key: MsgPackValue, _ value: MsgPackValue) {
      self.key = key
      self.value = value
    }
  }

  /// An integer in its one form; nil if it does not fit 64 bits.
  public init?(_ integer: some BinaryInteger) {
    if let signed = Int64(exactly: integer) {
      self = .int(signed)
    } else if let unsigned = UInt64(exactly: integer) {
      self = .uint(unsigned)
    } else {
      return nil
    }
  }

  /// The value for a key of a map, the last if there are several; nil if there is none, and for other values.
  public subscript(key: MsgPackValue) -> MsgPackValue? {
    guard case .map(let pairs) = self else { return nil }
    return pairs.last { $0.key == key }?.value
  }

  /// The value for a string key of a map.
  public subscript(key: String) -> MsgPackValue? { self[.string(key)] }

  /// An element of an array; nil if there is none, and for other values.
  public subscript(index: Int) -> MsgPackValue? {
    guard case .array(let elements) = self, elements.indices.contains(index) else { return nil }
    return elements[index]
  }

  /// Whether the value is nil.
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
    case .float(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// The text of a string; nil for other values.
  public var text: String? {
    if case .string(let text) = self { text } else { nil }
  }

  /// The bytes of binary data; nil for other values.
  public var bytes: [UInt8]? {
    if case .binary(let bytes) = self { bytes } else { nil }
  }

  /// The elements of an array; nil for other values.
  public var elements: [MsgPackValue]? {
    if case .array(let elements) = self { elements } else { nil }
  }
}

extension MsgPackValue {
  // Swift compares strings by their canonical form, and needs time with the square of the length for some that a peer may send.

  public static func == (a: MsgPackValue, b: MsgPackValue) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.int(let a), .int(let b)): a == b
    case (.uint(let a), .uint(let b)): a == b
    case (.float(let a), .float(let b)): a == b
    case (.double(let a), .double(let b)): a == b
    case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
    case (.binary(let a), .binary(let b)): a == b
    case (.extension(let type, let a), .extension(let other, let b)): type == other && a == b
    case (.array(let a), .array(let b)): a == b
    case (.map(let a), .map(let b)): a == b
    default: false
    }
  }

  public func hash(into hasher: inout Hasher) {
    switch self {
    case .null: hasher.combine(0)
    case .bool(let value): hasher.combine(value)
    case .int(let value): hasher.combine(value)
    case .uint(let value): hasher.combine(value)
    case .float(let value): hasher.combine(value)
    case .double(let value): hasher.combine(value)
    case .string(var text):
      text.withUTF8 { bytes in unsafe hasher.combine(bytes: UnsafeRawBufferPointer(bytes)) }
      hasher.combine(0xff as UInt8)
    case .binary(let bytes): hasher.combine(bytes)
    case .extension(let type, let bytes):
      hasher.combine(type)
      hasher.combine(bytes)
    case .array(let elements): hasher.combine(elements)
    case .map(let pairs): hasher.combine(pairs)
    }
  }
}

extension MsgPackValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  public init(nilLiteral: ()) { self = .null }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral elements: MsgPackValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (MsgPackValue, MsgPackValue)...) {
    self = .map(elements.map { key, value in Pair(key, value) })
  }
}

extension MsgPackValue: CustomStringConvertible {
  /// A readable form: `{"data": <48656c6c6f>, 7: [1, 2.5, nil], "when": ext(-1, <00000001>)}`.
  ///
  /// Levels below ``MsgPackLimits/deepest`` are shown as an ellipsis.
  public var description: String {
    var text = ""
    describe(into: &text, depth: 0)
    return text
  }

  private func describe(into text: inout String, depth: Int) {
    switch self {
    case .null: text += "nil"
    case .bool(let value): text += "\(value)"
    case .int(let value): text += "\(value)"
    case .uint(let value): text += "\(value)"
    case .float(let value): text += "\(value)"
    case .double(let value): text += "\(value)"
    case .string(let value): text += String(reflecting: value)
    case .binary(let bytes): text += "<\(hexadecimal(bytes))>"
    case .extension(let type, let bytes): text += "ext(\(type), <\(hexadecimal(bytes))>)"
    case .array, .map: describeContainer(into: &text, depth: depth)
    }
  }

  private func describeContainer(into text: inout String, depth: Int) {
    if depth == MsgPackLimits.deepest {
      text += "…"
      return
    }
    switch self {
    case .array(let elements):
      text += "["
      for (index, element) in elements.enumerated() {
        if index > 0 { text += ", " }
        element.describe(into: &text, depth: depth + 1)
      }
      text += "]"
    case .map(let pairs):
      text += "{"
      for (index, pair) in pairs.enumerated() {
        if index > 0 { text += ", " }
        pair.key.describe(into: &text, depth: depth + 1)
        text += ": "
        pair.value.describe(into: &text, depth: depth + 1)
      }
      text += "}"
    default: break
    }
  }
}

/// Bytes as hexadecimal digits. Only the first ones if there are many.
private func hexadecimal(_ bytes: [UInt8]) -> String {
  let shown = bytes.prefix(64).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }
  return shown.joined() + (bytes.count > 64 ? "… \(bytes.count) bytes" : "")
}
