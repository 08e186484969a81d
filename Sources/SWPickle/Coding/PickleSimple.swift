internal import SWCoding

/// A Swift type that is decoded without a container: text, a number, a bool.
protocol PickleSimple: Decodable, SendableMetatype {
  /// Decodes the value of a slot, if no conversion is needed. Returns nil otherwise, and for an error.
  init?(_ slot: PickleSlot, in graph: PickleGraph)
  /// Decodes a token in the same way.
  init?(_ token: PickleToken, in tape: PickleTape)
  /// Decodes a value in the same way.
  init?(direct value: PickleValue)
  /// - Throws: `DecodingError` for a value of another kind, or for a value that does not fit.
  init(_ conversion: PickleConversion) throws
  /// Throws if the value, which is a part of a key or of an element of a set, is slow to compare.
  func checkCompared(_ session: PickleDecodingSession, at path: @autoclosure () -> [any CodingKey]) throws
  /// The type of NumPy arrays whose elements have the layout of this type, where all bit patterns are values. Nil if there
  /// is none: then elements are converted one by one.
  static var elementType: NumPyType? { get }
}

/// A decoding whose value is converted, and has been charged for that. A pickle may refer to one value again and again, in two
/// bytes each time. So there is no other way to a conversion.
struct PickleConversion {
  let decoding: PickleDecoding

  init(_ decoding: PickleDecoding) throws {
    if case .value(let value) = decoding.source {
      try decoding.session.chargeConversion(of: value, at: decoding.codingPath)
    }
    self.decoding = decoding
  }
}

extension PickleSimple {
  /// The value of a decoding, converted if that is needed.
  init(decoding: PickleDecoding) throws {
    if case .value(let value) = decoding.source, let found = Self(direct: value) {
      self = found
    } else {
      self = try Self(PickleConversion(decoding))
    }
    if decoding.session.comparedLimit > 0 { try checkCompared(decoding.session, at: decoding.codingPath) }
  }

  init?(direct value: PickleValue) {
    switch value.storage {
    case .node(let graph, let index): self.init(.node(index), in: graph)
    case .bool(let value): self.init(.bool(value), in: .empty)
    case .int(let value): self.init(.int(value), in: .empty)
    case .float(let value): self.init(.float(value), in: .empty)
    default: return nil
    }
  }
}

extension PickleGraph {
  static let empty = PickleGraph(nodes: [])
}

extension Bool: PickleSimple {
  init?(_ slot: PickleSlot, in graph: PickleGraph) {
    guard case .bool(let value) = slot else { return nil }
    self = value
  }
  init?(_ token: PickleToken, in tape: PickleTape) {
    guard token.kind == .true || token.kind == .false else { return nil }
    self = token.kind == .true
  }
  init(_ conversion: PickleConversion) throws {
    let decoding = conversion.decoding
    guard let value = decoding.scalar.boolean else { throw decoding.mismatch(Bool.self) }
    self = value
  }
  // NumPy takes each byte but 0 for true. A Swift Bool of another byte than 0 and 1 is none.
  static var elementType: NumPyType? { nil }
}

extension String: PickleSimple {
  init?(_ slot: PickleSlot, in graph: PickleGraph) {
    guard case .node(let index) = slot, case .string(let text) = graph.nodes[index] else { return nil }
    self = text
  }
  @inline(__always)
  init?(_ token: PickleToken, in tape: PickleTape) {
    guard token.kind == .text else { return nil }
    self = tape.text(token)
  }
  init(_ conversion: PickleConversion) throws {
    let decoding = conversion.decoding
    guard let value = decoding.scalar.text else { throw decoding.mismatch(String.self) }
    self = value
  }
  static var elementType: NumPyType? { nil }
}

extension PickleSimple where Self: FixedWidthInteger {
  init?(_ slot: PickleSlot, in graph: PickleGraph) {
    guard case .int(let value) = slot else { return nil }
    self.init(exactly: value)
  }
  @inline(__always)
  init?(_ token: PickleToken, in tape: PickleTape) {
    guard token.kind == .int else { return nil }
    self.init(exactly: token.value)
  }

  init(_ conversion: PickleConversion) throws {
    let decoding = conversion.decoding
    let value = decoding.scalar
    if case .float(let number) = value.storage {
      guard let integer = CodingNumbers.exactInteger(number, as: Self.self) else {
        throw DecodingError.unfit("\(number)", Self.self, at: decoding.codingPath)
      }
      self = integer
      return
    }
    guard let number = value.bigInteger else {
      if let fraction = value.object?.fraction {
        throw DecodingError.unfit("\(fraction)", Self.self, at: decoding.codingPath)
      }
      throw decoding.mismatch(Self.self)
    }
    guard let integer = Self(exactly: number) else {
      throw DecodingError.unfit(PickleValue(number).description, Self.self, at: decoding.codingPath)
    }
    self = integer
  }

  static var elementType: NumPyType? {
    bitWidth > 64
      ? nil
      : NumPyType(native: isSigned ? .signed : .unsigned, byteCount: bitWidth / 8)
  }
}

extension Int: PickleSimple {}
extension Int8: PickleSimple {}
extension Int16: PickleSimple {}
extension Int32: PickleSimple {}
extension Int64: PickleSimple {}
extension Int128: PickleSimple {}
extension UInt: PickleSimple {}
extension UInt8: PickleSimple {}
extension UInt16: PickleSimple {}
extension UInt32: PickleSimple {}
extension UInt64: PickleSimple {}
extension UInt128: PickleSimple {}

extension PickleSimple where Self: BinaryFloatingPoint {
  init(_ conversion: PickleConversion) throws {
    let decoding = conversion.decoding
    let value = decoding.scalar
    if let fraction = decoding.value.object?.fraction {
      guard let nearest = CodingNumbers.nearest(fraction.double, as: Self.self), nearest.isFinite else {
        throw DecodingError.overflow("\(fraction)", Self.self, at: decoding.codingPath)
      }
      self = nearest
      return
    }
    if case .float(let number) = value.storage {
      guard let nearest = CodingNumbers.nearest(number, as: Self.self) else {
        throw DecodingError.overflow("\(number)", Self.self, at: decoding.codingPath)
      }
      self = nearest
      return
    }
    guard let number = value.bigInteger else { throw decoding.mismatch(Self.self) }
    let double = number.double
    guard double.isFinite, PickleInt(exactly: double) == number, let exact = Self(exactly: double) else {
      throw DecodingError.unfit(PickleValue(number).description, Self.self, at: decoding.codingPath)
    }
    self = exact
  }

  static var elementType: NumPyType? { NumPyType(native: .float, byteCount: MemoryLayout<Self>.size) }
}

extension Double: PickleSimple {
  init?(_ slot: PickleSlot, in graph: PickleGraph) {
    guard case .float(let value) = slot else { return nil }
    self = value
  }
  @inline(__always)
  init?(_ token: PickleToken, in tape: PickleTape) {
    guard token.kind == .float else { return nil }
    self = token.double
  }
}

extension Float: PickleSimple {
  init?(_ slot: PickleSlot, in graph: PickleGraph) {
    guard case .float(let value) = slot, let nearest = CodingNumbers.nearestFloat(value) else { return nil }
    self = nearest
  }
  init?(_ token: PickleToken, in tape: PickleTape) {
    guard token.kind == .float, let nearest = CodingNumbers.nearestFloat(token.double) else { return nil }
    self = nearest
  }
}

// Without these, `Float16` would decode itself as a `Float` and round a double twice.
extension Float16: PickleSimple {
  init?(_ slot: PickleSlot, in graph: PickleGraph) {
    guard case .float(let value) = slot, let nearest = CodingNumbers.nearest(value, as: Float16.self) else {
      return nil
    }
    self = nearest
  }
  init?(_ token: PickleToken, in tape: PickleTape) {
    guard token.kind == .float, let nearest = CodingNumbers.nearest(token.double, as: Float16.self) else {
      return nil
    }
    self = nearest
  }
}
