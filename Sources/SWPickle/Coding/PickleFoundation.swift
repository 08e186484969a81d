#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

// What Foundation's types are in Python. Apart from the coders, because only here Foundation is needed.

enum PickleFoundation {
  /// A value of one of Foundation's types; `.some(nil)`: it is one, and this is no such value.
  static func decode<T>(_ type: T.Type, from value: PickleValue) -> T?? {
    switch type {
    case is Date.Type: .some(date(value) as? T)
    case is Data.Type: .some(value.bytes.map { Data($0) } as? T)
    case is UUID.Type: .some(uuid(value) as? T)
    case is Decimal.Type: .some(decimal(value) as? T)
    case is URL.Type: .some(value.string.flatMap { URL(string: $0) } as? T)
    default: nil
    }
  }

  /// Python's value for one of Foundation's; `.some(nil)`: Python has no such value.
  static func encode<T>(_ value: T) -> PickleValue?? {
    switch value {
    case let date as Date:
      let microseconds = (date.timeIntervalSince1970 * 1_000_000).rounded()
      guard let exact = Int(exactly: microseconds), let time = PickleDateTime(microsecondsSince1970: exact)
      else { return .some(nil) }
      return PickleValue(time)
    case let data as Data: return .bytes(Array(data))
    case let uuid as UUID:
      let bytes = unsafe withUnsafeBytes(of: uuid.uuid) { unsafe Array($0) }
      return PickleValue(PickleUUID(number: bytes.reduce(0) { number, byte in number << 8 | UInt128(byte) }))
    case let decimal as Decimal:
      return .some(PickleDecimal(decimal.description).map { PickleValue($0) })
    case let url as URL: return PickleValue(url.absoluteString)
    default: return nil
    }
  }

  private static func date(_ value: PickleValue) -> Date? {
    switch value.content {
    case .dateTime(let time): Date(timeIntervalSince1970: Double(time.microsecondsSince1970) / 1_000_000)
    case .date(let date): Date(timeIntervalSince1970: Double(date.daysSince1970) * 86_400)
    default: nil
    }
  }

  private static func uuid(_ value: PickleValue) -> UUID? {
    switch value.content {
    case .string(let text): return UUID(uuidString: text)
    case .uuid(let uuid):
      func byte(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: uuid.number >> UInt128(8 * (15 - index))) }
      return UUID(
        uuid: (
          byte(0), byte(1), byte(2), byte(3), byte(4), byte(5), byte(6), byte(7), byte(8), byte(9), byte(10),
          byte(11), byte(12), byte(13), byte(14), byte(15)
        ))
    default: return nil
    }
  }

  private static func decimal(_ value: PickleValue) -> Decimal? {
    switch value.content {
    case .decimal(let decimal): Decimal(string: decimal.text)
    case .int(let int): Decimal(string: int.description)
    case .float(let float): Decimal(float)
    default: nil
    }
  }
}
