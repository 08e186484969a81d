/// A Python value, as a pickle carries it: what Python's `Connection.send` sends and `recv` returns.
///
/// ```swift
/// let request: PickleValue = ["id": 7, "tags": ["a", "b"]]
/// try await worker.channel.send(request)
/// let reply = try await worker.channel.receive()
/// if let id = reply["id"]?.integer { … }
/// switch reply.content {
/// case .dict(let pairs): for (key, value) in pairs { … }
/// case .tuple(let elements): …
/// default: …
/// }
/// ```
///
/// A value is immutable. Objects that Python shares, or that contain themselves, are shared here too and never
/// expanded: a value takes memory in proportion to its pickle. Your own code that follows every reference of a
/// value may therefore run for a very long time, or for ever if the value contains itself. ``PickleDecoder`` and
/// `description` have bounds. Making, comparing and releasing a value is safe at any depth of nesting.
///
/// ``PickleBuilder`` makes values that contain themselves.
public struct PickleValue: Sendable {
  enum Storage: Sendable {
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    /// A string that no other value shares.
    case string(String)
    case node(PickleGraph, Int)
  }

  let storage: Storage

  init(_ storage: Storage) { self.storage = storage }

  init(_ slot: PickleSlot, in graph: PickleGraph) {
    var slot = slot
    // The result of an object's reader may be an object that has a reader, too.
    while case .node(let index) = slot, case .alias(let other) = graph.nodes[index] { slot = other }
    switch slot {
    case .none: storage = .none
    case .bool(let value): storage = .bool(value)
    case .int(let value): storage = .int(value)
    case .float(let value): storage = .float(value)
    case .node(let index): storage = .node(graph, index)
    case .link(let index): storage = .node(graph.links[index].graph, graph.links[index].index)
    }
  }

  /// A single object.
  init(_ node: PickleNode) { storage = .node(PickleGraph(nodes: [node]), 0) }

  /// The kind of a value, and its content.
  public enum Content: Sendable {
    case none
    case bool(Bool)
    case int(PickleInt)
    case float(Double)
    case complex(PickleComplex)
    case string(String)
    case bytes([UInt8])
    case byteArray([UInt8])
    case list(PickleElements)
    case tuple(PickleElements)
    case set(PickleElements)
    case frozenSet(PickleElements)
    case dict(PicklePairs)
    case orderedDict(PicklePairs)
    case date(PickleDate)
    case time(PickleTime)
    case dateTime(PickleDateTime)
    case timeDelta(PickleTimeDelta)
    case timeZone(PickleTimeZone)
    case decimal(PickleDecimal)
    case uuid(PickleUUID)
    /// A NumPy array. Scalars are read as Python's own numbers where those can hold them.
    case array(NumPyArray)
    /// A NumPy dtype.
    case arrayType(NumPyType)
    /// An object of any other class, or the result of any other function: the description that the pickle gives.
    case object(PickleObject)
    /// A class or function.
    case name(PickleName)
  }

  /// The identity of the Python object: two values have the same identity if Python's `is` says that they are one
  /// object. Nil for None, bools, floats, ints up to 64 bits and the empty tuple, and for a string that is not a
  /// part of another value.
  ///
  /// An identity is valid as long as the value, or a value that contains it, exists.
  public var identity: Identity? {
    guard case .node(let graph, let index) = storage else { return nil }
    if case .tuple(let slots) = graph.nodes[index], slots.isEmpty { return nil }
    return Identity(object: PickleIdentity(graph: ObjectIdentifier(graph), index: index))
  }

  public struct Identity: Hashable, Sendable {
    let object: PickleIdentity
  }

  public var content: Content {
    switch storage {
    case .none: return .none
    case .bool(let value): return .bool(value)
    case .int(let value): return .int(PickleInt(value))
    case .float(let value): return .float(value)
    case .string(let value): return .string(value)
    case .node(let graph, let index): return Self.content(of: graph.nodes[index], in: graph, index)
    }
  }

  private static func content(of node: PickleNode, in graph: PickleGraph, _ index: Int) -> Content {
    switch node {
    case .string(let value): .string(value)
    case .bytes(let value): .bytes(value)
    case .byteArray(let value): .byteArray(value)
    case .integer(let value): .int(value)
    case .complex(let value): .complex(value)
    case .list(let slots): .list(PickleElements(slots, in: graph))
    case .tuple(let slots): .tuple(PickleElements(slots, in: graph))
    case .set(let slots): .set(PickleElements(slots, in: graph))
    case .frozenSet(let slots): .frozenSet(PickleElements(slots, in: graph))
    case .dict(let slots): .dict(PicklePairs(slots, in: graph, of: index))
    case .orderedDict(let slots, _): .orderedDict(PicklePairs(slots, in: graph, of: index))
    case .date(let value): .date(value)
    case .time(let value, _): .time(value)
    case .dateTime(let value, _): .dateTime(value)
    case .timeDelta(let value): .timeDelta(value)
    case .timeZone(let value): .timeZone(value)
    case .decimal(let value): .decimal(value)
    case .uuid(let value): .uuid(value)
    case .array(let value): .array(value)
    case .arrayType(let value): .arrayType(value)
    case .name(let value): .name(value)
    case .object(let object): .object(PickleObject(object, in: graph))
    case .alias: .none
    }
  }
}

/// Python's `complex`.
public struct PickleComplex: Hashable, Sendable {
  public var real: Double
  public var imaginary: Double

  public init(real: Double, imaginary: Double) {
    self.real = real
    self.imaginary = imaginary
  }
}

/// Python's `uuid.UUID`.
public struct PickleUUID: Hashable, Sendable {
  /// The 16 bytes as one number, the first byte the most significant.
  public var number: UInt128
  /// Whether the program that made it is known to have done so in a way that is safe for several processes at once
  /// (`is_safe`). Nil if that is unknown. In Python it does not matter for equality.
  public var isSafe: Bool?

  public init(number: UInt128, isSafe: Bool? = nil) {
    self.number = number
    self.isSafe = isSafe
  }
}

/// Python's `decimal.Decimal`, as its exact text, with trailing zeros, such as `-123.4500` or `1E+3`.
public struct PickleDecimal: Hashable, Sendable {
  public let text: String

  /// The decimal of a text.
  ///
  /// - Returns: nil if the text is neither a decimal number nor `NaN`, `sNaN` or `Infinity`.
  public init?(_ text: String) {
    guard Self.isValid(text) else { return nil }
    self.text = text
  }

  private static func isValid(_ text: String) -> Bool {
    var rest = Substring(text.lowercased()).utf8
    if let first = rest.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") { rest.removeFirst() }
    func takeDigits() -> Int {
      let digits = rest.prefix { 0x30...0x39 ~= $0 }
      rest = rest.dropFirst(digits.count)
      return digits.count
    }
    if rest.elementsEqual("inf".utf8) || rest.elementsEqual("infinity".utf8) { return true }
    if rest.starts(with: "nan".utf8) || rest.starts(with: "snan".utf8) {
      rest = rest.drop { $0 != UInt8(ascii: "n") }.dropFirst(3)
      _ = takeDigits()
      return rest.isEmpty
    }
    var digitCount = takeDigits()
    if rest.first == UInt8(ascii: ".") {
      rest.removeFirst()
      digitCount += takeDigits()
    }
    guard digitCount > 0 else { return false }
    if rest.first == UInt8(ascii: "e") {
      rest.removeFirst()
      if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { rest.removeFirst() }
      if takeDigits() == 0 { return false }
    }
    return rest.isEmpty
  }
}
