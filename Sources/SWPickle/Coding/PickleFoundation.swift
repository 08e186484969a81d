internal import SWCoding

#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

// The conversions of Foundation's types. They are separate from the coders, because only these need Foundation.

enum PickleFoundation {
  // MARK: Decoding

  /// Decodes a value of one of Foundation's types. Returns nil for another type, and for a date that decodes itself.
  static func decode<T>(_ type: T.Type, _ decoding: PickleDecoding) throws -> T? {
    switch type {
    case is Date.Type: return try date(decoding) as? T
    case is Data.Type: return try data(decoding) as? T
    case is UUID.Type: return try uuid(decoding) as? T
    case is Decimal.Type: return try decimal(decoding) as? T
    case is URL.Type: return try url(decoding) as? T
    default: return nil
    }
  }

  private static func data(_ decoding: PickleDecoding) throws -> Data {
    if let bytes = decoding.bytes(isArrayTaken: false) { return Data(bytes) }
    if let elements = decoding.value.object?.machineByteElements {
      try decoding.session.charge(elements.count, at: decoding.codingPath)
      return Data(
        try elements.map {
          try UInt8(decoding: PickleDecoding(.value($0), path: decoding.path, decoding.session))
        })
    }
    guard let array = decoding.value.array, array.type == UInt8.numPyType else {
      throw decoding.mismatch(Data.self, "it is read from bytes, a bytearray or an array of uint8")
    }
    // The bytes are in C order, whatever order the array has.
    if array.order == .rowMajor || array.shape.count < 2 { return Data(array.bytes) }
    return Data(array.transposed(Array(array.shape.indices)).bytes)
  }

  private static func uuid(_ decoding: PickleDecoding) throws -> UUID {
    let value = decoding.scalar
    switch value.content {
    case .string(let text):
      guard let uuid = UUID(text: text) else {
        throw decoding.corrupted("\(PickleValue(text)) does not spell a UUID")
      }
      return uuid
    case .bytes(let bytes):
      guard let uuid = UUID(bytes: bytes) else {
        throw decoding.corrupted("a UUID has 16 bytes, these are \(bytes.count)")
      }
      return uuid
    case .uuid(let uuid):
      let bytes = (0..<16).map { UInt8(truncatingIfNeeded: uuid.number >> UInt128(8 * (15 - $0))) }
      guard let uuid = UUID(bytes: bytes) else { throw decoding.mismatch(UUID.self) }
      return uuid
    default: throw decoding.mismatch(UUID.self, "it is read from a UUID, a str or 16 bytes")
    }
  }

  private static func decimal(_ decoding: PickleDecoding) throws -> Decimal {
    let value = decoding.scalar
    let found: Decimal?
    switch value.content {
    case .decimal(let decimal): found = Decimal(exactText: decimal.text)
    case .string(let text): found = Decimal(exactText: text)
    case .int(let int):
      found = int.small.flatMap { Decimal(exactInteger: $0) } ?? Decimal(exactText: int.description)
    case .float(let float):
      if decoding.session.comparedLimit > 0 {
        try float.checkCompared(decoding.session, at: decoding.codingPath)
      }
      found = Decimal(shortest: float)
    case .object(let object):
      guard let fraction = object.fraction else { fallthrough }
      found = fraction.decimalText.flatMap { Decimal(exactText: $0) }
      if found == nil { throw DecodingError.unfit("\(fraction)", Decimal.self, at: decoding.codingPath) }
    default: throw decoding.mismatch(Decimal.self, "it is read from a Decimal, an int, a float or a str")
    }
    guard let found else {
      throw DecodingError.unfit(value.description, Decimal.self, at: decoding.codingPath)
    }
    return found
  }

  private static func url(_ decoding: PickleDecoding) throws -> URL {
    if case .object(let object) = decoding.value.content, let flavor = object.pathFlavor,
      let path = object.path
    {
      guard flavor == .windows else {
        // Foundation takes a tilde at the start for a home directory. For Python it is a part of a name.
        return URL(filePath: path.utf8.first == UInt8(ascii: "~") ? "./" + path : path)
      }
      // On this system a backslash is a character of a name. So a path with a drive is made what Python's `as_uri` makes.
      guard path.utf8.dropFirst().starts(with: ":\\".utf8) else {
        throw decoding.corrupted("\(PickleValue(path)) is no path of Windows with a drive, and so no URL")
      }
      return URL(filePath: "/" + path.replacing("\\", with: "/"))
    }
    guard let text = decoding.scalar.text else {
      throw decoding.mismatch(URL.self, "it is read from a str or a path")
    }
    guard let url = URL(string: text) else { throw decoding.corrupted("\(PickleValue(text)) is no URL") }
    return url
  }

  private static func date(_ decoding: PickleDecoding) throws -> Date? {
    switch decoding.session.options.dateStrategy.kind {
    case .native: return try native(decoding)
    case .deferredToDate: return try finite(decoding) { $0 }
    case .secondsSince1970: return try finite(decoding) { $0 - 978_307_200 }
    case .millisecondsSince1970: return try finite(decoding) { $0 / 1000 - 978_307_200 }
    case .iso8601:
      guard let text = decoding.scalar.text else {
        throw decoding.mismatch(Date.self, "the date strategy reads text of ISO 8601")
      }
      guard let instant = CodingInstant(iso8601: text) else {
        throw decoding.corrupted("\(PickleValue(text)) is no date of ISO 8601")
      }
      return instant.date
    case .custom(_, let function?): return try function(decoding)
    case .custom: throw DecodingError.noDateFunction(at: decoding.codingPath)
    }
  }

  private static func finite(
    _ decoding: PickleDecoding, _ secondsSince2001: (Double) -> Double
  ) throws -> Date {
    // The count of a datetime64 is in its own unit.
    if case .array(let array) = decoding.value.content, array.type.unit != nil {
      throw decoding.mismatch(Date.self, "the date strategy reads numbers")
    }
    let number = try Double(decoding: decoding)
    guard let date = Date(finiteSinceReferenceDate: secondsSince2001(number)) else {
      throw DecodingError.unfit("\(number)", Date.self, at: decoding.codingPath)
    }
    return date
  }

  private static func native(_ decoding: PickleDecoding) throws -> Date {
    switch decoding.value.time.content {
    case .dateTime(let time):
      guard let microseconds = time.microsecondsSince1970 else {
        let zone =
          time.time.timeZone?.name.map { "the time zone \($0)" } ?? "the time zone, whose name is not known,"
        throw decoding.corrupted("the pickle does not say the offset of \(zone) at \(time)")
      }
      return date(microseconds)
    case .date(let date): return self.date(date.daysSince1970 * 86_400_000_000)
    case .array(let array) where array.shape.isEmpty && array.type.kind == .date:
      guard let date = date(array) else {
        throw decoding.corrupted("\(array.type) of \(array.value(at: 0)) is no Date")
      }
      return date
    case .object(let object):
      if let instant = object.pandasInstant { return instant.date }
      fallthrough
    default:
      throw decoding.mismatch(
        Date.self,
        "it is read from a datetime or a date; the date strategies read seconds, milliseconds and text")
    }
  }

  private static func date(_ microseconds: Int) -> Date {
    let (seconds, rest) = microseconds.flooredDivision(by: 1_000_000)
    return CodingInstant(seconds: Int64(seconds), nanoseconds: UInt32(rest * 1000)).date
  }

  /// Decodes a `datetime64` that is finer than Python's datetimes.
  private static func date(_ array: NumPyArray) -> Date? {
    guard case .integer(let number) = array.number(at: 0), let count = Int(exactly: number), count != .min,
      let unit = array.type.unit
    else { return nil }
    let perSecond: Int? =
      switch unit.code {
      case "ns": 1_000_000_000
      case "ps": 1_000_000_000_000
      case "fs": 1_000_000_000_000_000
      default: nil
      }
    let (units, isTooMany) = count.multipliedReportingOverflow(by: unit.count)
    guard let perSecond, !isTooMany else { return nil }
    let (seconds, rest) = units.flooredDivision(by: perSecond)
    return CodingInstant(seconds: Int64(seconds), nanoseconds: UInt32(rest / (perSecond / 1_000_000_000)))
      .date
  }

  // MARK: Encoding

  /// Writes the Python value of one of Foundation's types. Returns false for another type, and for a date that encodes
  /// itself.
  static func encode<T>(_ value: T, _ encoding: PickleEncoding, key: some CodingKey) throws -> Bool {
    let state = encoding.state
    switch value {
    case let date as Date: return try encode(date, encoding, key: key)
    case let data as Data:
      state.boundary()
      state.write(Array(data))
    case let uuid as UUID:
      let bytes = unsafe withUnsafeBytes(of: uuid.uuid) { unsafe Array($0) }
      let number = bytes.reduce(UInt128(0)) { number, byte in number << 8 | UInt128(byte) }
      try state.write(PickleNode.uuid(PickleUUID(number: number)))
    case let decimal as Decimal:
      guard let found = PickleDecimal(decimal.description) else {
        throw refusal(decimal, "cannot encode \(decimal) as a Decimal", encoding.path(key))
      }
      try state.write(PickleNode.decimal(found))
    case let url as URL:
      state.boundary()
      state.write(url.absoluteString)
    default: return false
    }
    return true
  }

  private static func refusal(_ value: Any, _ text: String, _ path: [any CodingKey]) -> EncodingError {
    .invalidValue(value, .init(codingPath: path, debugDescription: text))
  }

  private static func encode(_ date: Date, _ encoding: PickleEncoding, key: some CodingKey) throws -> Bool {
    let state = encoding.state
    switch state.options.dateStrategy.kind {
    case .native:
      // Errors show seconds and not the date, because Foundation's description of a date that is not a number traps.
      let seconds = date.timeIntervalSinceReferenceDate
      guard let instant = CodingInstant(date) else {
        throw refusal(
          seconds, "cannot encode a date that 64 bits of seconds do not hold", encoding.path(key))
      }
      let microseconds = instant.seconds.multipliedReportingOverflow(by: 1_000_000)
      guard !microseconds.overflow,
        let time = PickleDateTime(
          microsecondsSince1970: Int(microseconds.partialValue) + Int((instant.nanoseconds + 500) / 1000))
      else {
        let side = instant.seconds < 0 ? "before year 1" : "after year 9999"
        throw refusal(
          seconds, "cannot encode a date \(side), which Python's datetime does not have", encoding.path(key))
      }
      try state.write(PickleNode.dateTime(time, zone: nil))
    case .deferredToDate: return false
    case .secondsSince1970:
      state.boundary()
      state.write(date.timeIntervalSince1970)
    case .millisecondsSince1970:
      state.boundary()
      state.write(date.timeIntervalSince1970 * 1000)
    case .iso8601:
      // Python has no year 0.
      guard let text = CodingInstant(date)?.iso8601, !text.hasPrefix("0000") else {
        throw refusal(
          date.timeIntervalSinceReferenceDate,
          "cannot encode a date outside of the years 1 to 9999 as ISO 8601", encoding.path(key))
      }
      state.boundary()
      state.write(text)
    case .custom(let function?, _):
      try encoding.nested(key) { child in try function(date, child) }
    case .custom: throw EncodingError.noDateFunction(date, at: encoding.path(key))
    }
    return true
  }
}
