internal import SWCoding
private import Synchronization

#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

/// How the coders treat a type.
///
/// The answer for a type never changes, so one table keeps it for the whole process. The address of the type's metadata
/// finds it without a lock, in about 3 ns. A dictionary in a mutex took 40 ns, and the dynamic casts that find the answer
/// take a microsecond.
enum PickleTypeCode: UInt8 {
  case unknown
  /// The type codes itself.
  case ordinary
  /// A ``PickleSimple``.
  case simple
  /// A ``PickleConvertible``.
  case convertible
  /// `[UInt8]`.
  case bytes
  /// Other arrays of a ``PickleSimple``.
  case simpleArray
  /// Arrays of other elements.
  case array
  case dictionary
  /// A type of Foundation.
  case foundation
  /// A type that is made of a text, by comparisons with its cases. It codes itself.
  case madeOfText
  /// It codes itself.
  case set

  @inline(__always)
  init<T>(of type: T.Type) {
    let address = unsafe unsafeBitCast(type as Any.Type, to: UInt.self)
    let found = Self.table.code(of: address)
    self = found == .unknown ? Self.classify(type, address) : found
  }

  @inline(never)
  private static func classify<T>(_ type: T.Type, _ address: UInt) -> PickleTypeCode {
    let foundation: [Any.Type] = [Date.self, Data.self, UUID.self, Decimal.self, URL.self]
    let code: PickleTypeCode =
      if type is any PickleSimple.Type {
        .simple
      } else if type is any PickleConvertible.Type {
        .convertible
      } else if type == [UInt8].self {
        .bytes
      } else if type is any PickleArray.Type {
        .simpleArray
      } else if type is any PickleEncodableSequence.Type {
        .array
      } else if type is any PickleDictionary.Type || type is any PickleEncodableDictionary.Type {
        .dictionary
      } else {
        if foundation.contains(where: { $0 == type }) {
          .foundation
        } else if type is any CodingSet.Type {
          .set
        } else {
          isMadeOfText(type) ? .madeOfText : .ordinary
        }
      }
    table.set(code, for: address)
    return code
  }

  private static let table = Table()

  /// Addresses and codes, four bits each, in one word, so a read or a write is atomic.
  @safe
  // Invariant: `slots` is never changed, and what it refers to is atomic.
  private final class Table: @unchecked Sendable {
    private static var count: Int { 1024 }
    /// How far an entry may be from its own slot. If the table is full, the answer is found again each time.
    private static var reach: Int { 8 }
    private let slots: UnsafeMutablePointer<Atomic<UInt>>

    init() {
      unsafe slots = .allocate(capacity: Self.count)
      for index in 0..<Self.count { unsafe (slots + index).initialize(to: Atomic(0)) }
    }

    @inline(__always)
    private static func slot(_ address: UInt, _ step: Int) -> Int {
      (Int(truncatingIfNeeded: address >> 4 ^ address >> 13) &+ step) & (count - 1)
    }

    @inline(__always)
    func code(of address: UInt) -> PickleTypeCode {
      for step in 0..<Self.reach {
        let word = unsafe slots[Self.slot(address, step)].load(ordering: .relaxed)
        if word >> 4 == address { return PickleTypeCode(rawValue: UInt8(word & 15)) ?? .unknown }
        if word == 0 { break }
      }
      return .unknown
    }

    func set(_ code: PickleTypeCode, for address: UInt) {
      guard address >> 60 == 0 else { return }
      for step in 0..<Self.reach {
        let slot = Self.slot(address, step)
        let (isStored, old) = unsafe slots[slot].compareExchange(
          expected: 0, desired: address << 4 | UInt(code.rawValue), ordering: .relaxed)
        if isStored || old >> 4 == address { return }
      }
    }
  }
}
