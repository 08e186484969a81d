/// A type that stands for one kind of Python value. ``PickleDecoder`` and ``PickleEncoder`` take such a value as it
/// is, at any position of a `Codable` type. Other coders cannot encode or decode it.
///
/// A type of your own may conform, such as the Swift counterpart of a Python class.
public protocol PickleConvertible: Codable, SendableMetatype {
  /// - Returns: nil for a value of another kind.
  init?(pickleValue: PickleValue)
  /// Python's value.
  var pickleValue: PickleValue { get }
}

extension PickleConvertible {
  public init(from decoder: any Decoder) throws {
    if let decoder = decoder as? PickleTapeDecoding {
      self = try decoder.decode(Self.self)
      return
    }
    guard let decoder = decoder as? PickleDecoding else {
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: decoder.codingPath, debugDescription: "\(Self.self) is decoded by PickleDecoder alone"))
    }
    self = try decoder.unbox(Self.self)
  }

  public func encode(to encoder: any Encoder) throws {
    guard let encoder = encoder as? PickleEncoding else {
      throw EncodingError.invalidValue(
        self,
        .init(
          codingPath: encoder.codingPath, debugDescription: "\(Self.self) is encoded by PickleEncoder alone"))
    }
    try encoder.encode(pickleValue)
  }
}

extension PickleValue: PickleConvertible {
  public init?(pickleValue: PickleValue) { self = pickleValue }
  public var pickleValue: PickleValue { self }
}

extension PickleInt: PickleConvertible {
  public init?(pickleValue: PickleValue) {
    guard let value = pickleValue.bigInteger else { return nil }
    self = value
  }
  public var pickleValue: PickleValue { PickleValue(self) }
}

extension PickleComplex: PickleConvertible {
  public init?(pickleValue: PickleValue) {
    if case .complex(let value) = pickleValue.content {
      self = value
    } else if let real = pickleValue.number {
      // As for a Double: an int that it does not hold exactly is refused.
      if let int = pickleValue.bigInteger, PickleInt(exactly: real) != int { return nil }
      self.init(real: real, imaginary: 0)
    } else {
      return nil
    }
  }
  public var pickleValue: PickleValue { PickleValue(self) }
}

extension PickleDate: PickleConvertible {
  public init?(pickleValue: PickleValue) {
    guard case .date(let value) = pickleValue.time.content else { return nil }
    self = value
  }
  public var pickleValue: PickleValue { PickleValue(self) }
}

extension PickleTime: PickleConvertible {
  public init?(pickleValue: PickleValue) {
    guard case .time(let value) = pickleValue.time.content else { return nil }
    self = value
  }
  public var pickleValue: PickleValue { PickleValue(self) }
}

extension PickleDateTime: PickleConvertible {
  public init?(pickleValue: PickleValue) {
    // Also a NumPy datetime64 that counts a finer unit.
    guard case .dateTime(let value) = (pickleValue.array?.exactTime ?? pickleValue.time).content else {
      return nil
    }
    self = value
  }
  public var pickleValue: PickleValue { PickleValue(self) }
}

extension PickleTimeDelta: PickleConvertible {
  public init?(pickleValue: PickleValue) {
    switch pickleValue.time.content {
    case .timeDelta(let value): self = value
    case .array(let array):
      guard case .timeDelta(let value) = array.exactTime?.content else { return nil }
      self = value
    case .object(let object):
      guard let value = object.pandasTimeDelta else { return nil }
      self = value
    default: return nil
    }
  }
  public var pickleValue: PickleValue { PickleValue(self) }
}

extension PickleDecimal: PickleConvertible {
  public init?(pickleValue: PickleValue) {
    guard case .decimal(let value) = pickleValue.content else { return nil }
    self = value
  }
  public var pickleValue: PickleValue { PickleValue(self) }
}

extension PickleUUID: PickleConvertible {
  public init?(pickleValue: PickleValue) {
    guard case .uuid(let value) = pickleValue.content else { return nil }
    self = value
  }
  public var pickleValue: PickleValue { PickleValue(self) }
}

extension NumPyArray: PickleConvertible {
  public init?(pickleValue: PickleValue) {
    guard let value = pickleValue.array else { return nil }
    self = value
  }
  public var pickleValue: PickleValue { PickleValue(self) }
}

extension NumPyType: PickleConvertible {
  public init?(pickleValue: PickleValue) {
    guard case .arrayType(let value) = pickleValue.content else { return nil }
    self = value
  }
  public var pickleValue: PickleValue { PickleValue(self) }
}
