internal import CMsgPack
internal import SWCoding

#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

/// How the coders treat a type.
///
/// The kind of a type never changes, so one table in C keeps it for the whole process, by the address of the type's
/// metadata. The comparisons below and the cast, which searches for a conformance, are made once for a type.
enum MsgPackTypeKind: UInt8 {
  case unknown
  /// It encodes and decodes itself.
  case ordinary
  /// The coders have a special form for it.
  case special
  case textDictionary
  case integerDictionary
  /// A dictionary with other keys. The map's keys are what its keys encode to.
  case otherDictionary
  /// A type that is made of a text, by comparisons with its cases.
  case madeOfText
  case set

  @inline(__always)
  init<T>(of type: T.Type) {
    let address = unsafe unsafeBitCast(type as Any.Type, to: UInt.self)
    let found = MsgPackTypeKind(rawValue: swmp_type_kind(address)) ?? .unknown
    self = found == .unknown ? Self.classify(type, address) : found
  }

  @inline(never)
  private static func classify<T>(_ type: T.Type, _ address: UInt) -> MsgPackTypeKind {
    let kind: MsgPackTypeKind =
      if isSpecial(type) {
        .special
      } else if let type = type as? any CodingDictionary.Type {
        switch type.keyKind {
        case .text: .textDictionary
        case .integer: .integerDictionary
        case .representable: .ordinary
        case .other: .otherDictionary
        }
      } else if type is any CodingSet.Type {
        .set
      } else {
        isMadeOfText(type) ? .madeOfText : .ordinary
      }
    swmp_set_type_kind(address, kind.rawValue)
    return kind
  }

  @inline(__always)
  var isDictionary: Bool { Self.textDictionary.rawValue...Self.otherDictionary.rawValue ~= rawValue }

  private static func isSpecial<T>(_ type: T.Type) -> Bool {
    type == [String].self || type == [Int].self || type == [Int64].self || type == [Double].self
      || type == [Float].self || type == [Int32].self || type == [UInt8].self || type == Date.self
      || type == Data.self || type == UUID.self || type == URL.self || type == Decimal.self
      || type == MsgPackValue.self || type == MsgPackTimestamp.self || type == String.self
      || type == Float16.self
  }
}
