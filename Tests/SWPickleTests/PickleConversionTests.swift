import Foundation
import SWPickle
import TestSupport
import Testing

/// Values of Python that become numbers, dates and identifiers.
@Suite(.lastResort, .leavesNothing) struct PickleConversionTests: PickleCases {
  private func fraction(_ numerator: PickleInt, _ denominator: PickleInt) -> PickleValue {
    .object(PickleName("fractions", "Fraction"), [PickleValue(numerator), PickleValue(denominator)])
  }

  private func decode<T: Decodable>(_ type: T.Type, _ value: PickleValue) throws -> T {
    let direct = Result { try PickleDecoder().decode(type, from: value) }
    let read = Result { try PickleDecoder().decode(type, from: value.pickled()) }
    #expect("\(direct)" == "\(read)")
    return try direct.get()
  }

  @Test func `a Fraction is an integer exactly, or an error`() throws {
    let beyond = (1 << 53) + 1
    #expect(try decode(Int.self, fraction(PickleInt(beyond), 1)) == beyond)
    #expect(try decode(Int.self, fraction(PickleInt(-beyond), 1)) == -beyond)
    #expect(try decode([String: Int].self, ["a": fraction(PickleInt(beyond), 1)]) == ["a": beyond])
    #expect(try decode(Int128.self, fraction("1000000000000000000000000000001", 1)) == 10 ** 30 + 1)
    #expect(throws: DecodingError.self) { try decode(Int.self, fraction("100000000000000001", 3)) }
    #expect(throws: DecodingError.self) { try decode(Int.self, fraction("9223372036854775808", 1)) }
    #expect(throws: DecodingError.self) { try decode(Int.self, fraction(1, 2)) }
    #expect(throws: DecodingError.self) { try decode(Int.self, fraction(1, 0)) }
    #expect(throws: DecodingError.self) { try decode(String.self, fraction(1, 2)) }
    // As the text of older Pythons.
    let text = PickleValue.object(PickleName("fractions", "Fraction"), ["9007199254740993"])
    #expect(try decode(Int.self, text) == beyond)
    #expect(try decode(Double.self, .object(PickleName("fractions", "Fraction"), ["-3/4"])) == -0.75)
  }

  @Test func `a Fraction is a Decimal if that is exact`() throws {
    #expect(try decode(Decimal.self, fraction(1, 2)) == Decimal(string: "0.5"))
    #expect(try decode(Decimal.self, fraction(-7, 400)) == Decimal(string: "-0.0175"))
    #expect(try decode(Decimal.self, fraction(9_007_199_254_740_993, 1)) == Decimal(9_007_199_254_740_993))
    #expect(
      try decode(Decimal.self, fraction("100000000000000001", 1000)) == Decimal(string: "100000000000000.001")
    )
    #expect(throws: DecodingError.self) { try decode(Decimal.self, fraction(1, 3)) }
    #expect(throws: DecodingError.self) { try decode(Decimal.self, fraction(1, 0)) }
  }

  /// The results are those of `float(Fraction(…))`.
  @Test func `a Fraction is the nearest float`() throws {
    #expect(try decode(Double.self, fraction(1, 3)) == 1 / 3)
    #expect(try decode(Double.self, fraction(9_007_199_254_740_993, 1)) == 9_007_199_254_740_992)
    #expect(try decode(Double.self, fraction("9007199254740993", "9007199254740991")) == 1.0000000000000002)
    #expect(try decode(Double.self, fraction("-100000000000000001", 3)) == -33333333333333332)
    #expect(try decode(Float.self, fraction(1, 3)) == 1 / 3)
    let (huge, more) = (PickleInt(1 << 62), "1" + String(repeating: "0", count: 400))
    #expect(try decode(Double.self, fraction(PickleInt(more) ?? 0, PickleInt(more) ?? 0)) == 1)
    #expect(try decode(Double.self, fraction(huge, PickleInt(more) ?? 0)) == 0)
    #expect(
      try decode(Double.self, fraction(3, PickleInt("5" + String(repeating: "0", count: 320)) ?? 0))
        == Double("6e-321"))
    #expect(throws: DecodingError.self) { try decode(Double.self, fraction(PickleInt(more) ?? 0, 3)) }
  }

  @Test func `only a rounded date is kept in year 9999`() throws {
    // datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-23)))
    let late =
      "8004955b000000000000008c086461746574696d65948c086461746574696d65949394430a270f0c1f1700000000009468008c0874696d"
      + "657a6f6e6594939468008c0974696d6564656c74619493944affffffff4d100e4b008794529485945294869452942e"
    #expect(try decode(Date.self, late).timeIntervalSince1970 == 253_402_300_800 + 22 * 3600)
    // datetime.max
    let last =
      "8004952a000000000000008c086461746574696d65948c086461746574696d65949394430a270f0c1f173b3b0f423f94859452942e"
    let date = try decode(Date.self, last)
    #expect(date.timeIntervalSince1970 < 253_402_300_800 && date.timeIntervalSince1970 > 253_402_300_799)
  }

  // `uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe)`, and the same that is unsafe.
  private static let unsafe =
    "80049530000000000000008c0475756964948c04555549449493942981947d94288c03696e74944b058c0769735f73616665944affffffff"
    + "75622e"
  private static let safe =
    "8004952d000000000000008c0475756964948c04555549449493942981947d94288c03696e74944b058c0769735f73616665944b0075622e"

  @Test(arguments: [safe, unsafe])
  func `a UUID keeps what it knows of its safety`(_ pickle: String) throws {
    #expect(try decode(UUID.self, pickle).uuidString == "00000000-0000-0000-0000-000000000005")
    let value = try value(pickle)
    #expect(try value.pickled() == bytes(pickle))
    #expect(try decode(PickleUUID.self, pickle).number == 5)
    #expect(try PickleEncoder().encodeBytes(decode(PickleUUID.self, pickle)) == bytes(pickle))
    // In Python it is equal to one of which nothing is known.
    let keys = PickleValue.dict(
      [(value, 1), (PickleValue(PickleUUID(number: 5)), 2)] as [(PickleValue, PickleValue)])
    #expect(keys.pairs?.count == 1)
  }

  @Test func `an object that is no sequence is not decoded as one`() throws {
    let dict = PickleValue.object(
      PickleName("collections", "defaultdict"), [.name(PickleName("builtins", "int"))])
    #expect(throws: DecodingError.self) { try decode([PickleValue].self, dict) }
    #expect(try decode([String: Int].self, dict) == [:])
  }
}

/// A power of ten and the like.
infix operator ** : MultiplicationPrecedence
private func ** (base: Int128, exponent: Int) -> Int128 {
  (0..<exponent).reduce(1) { product, _ in product * base }
}
