import Foundation
import SWCoding
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct CodingRuleTests {
  @Test func `a double becomes the nearest float, and a finite one no infinity`() {
    #expect(CodingNumbers.nearestFloat(0.1) == 0.1)
    #expect(CodingNumbers.nearestFloat(1e300) == nil)
    #expect(CodingNumbers.nearestFloat(-1e300) == nil)
    #expect(CodingNumbers.nearestFloat(.infinity) == .infinity)
    #expect(CodingNumbers.nearestFloat(.nan)?.isNaN == true)
    #expect(CodingNumbers.nearestFloat(1e-300) == 0)
    #expect(CodingNumbers.exactInteger(3, as: Int8.self) == 3)
    for number in [0.5, 128, .infinity, .nan] as [Double] {
      #expect(CodingNumbers.exactInteger(number, as: Int8.self) == nil)
    }
    #expect(CodingNumbers.exactDouble((1 << 53) + 1) == nil)
  }

  @Test(
    arguments: [
      ("1.10", "1.1"), ("-12.50", "-12.5"), ("1E+3", "1000"), ("1e-3", "0.001"), (".5", "0.5"), ("5.", "5"),
      ("-0", "0"), ("0E+999", "0"), ("340282366920938463463374607431768211455", nil),
      ("-99999999999999999999999999999999999999", nil), ("1E+127", nil), ("3.133", nil),
      ("12345678901234567890123456789012345678E-100", nil),
    ] as [(String, String?)])
  func `text becomes exactly the decimal that it spells`(_ text: String, _ expected: String?) throws {
    let decimal = try #require(Decimal(exactText: text))
    if let expected {
      #expect(decimal.description == expected)
    } else {
      #expect(Decimal(exactText: decimal.description) == decimal)
      #expect(decimal == Decimal(string: text))
    }
  }

  @Test(
    arguments: [
      "", "-", ".", "x", "1x", "1e", "1e+", "1 ", " 1", "Infinity", "-Infinity", "inf", "sNaN", "0x10",
      "1E+200",
      "1E-200", "1E+130", "1.2345678901234567890123456789012345678901234567",
      "340282366920938463463374607431768211456",
      "1E+99999999999999999999", "１", "--1", "1.2.3",
    ])
  func `text that a decimal cannot hold exactly is refused`(_ text: String) {
    #expect(Decimal(exactText: text) == nil)
  }

  @Test func `numbers become the decimal of their shortest text, and no infinity traps`() {
    #expect(Decimal(shortest: 3.133)?.description == "3.133")
    #expect(Decimal(shortest: Float(0.1))?.description == "0.1")
    #expect(Decimal(shortest: 1e22)?.description == "10000000000000000000000")
    #expect(Decimal(shortest: Double.infinity) == nil)
    #expect(Decimal(shortest: -Double.infinity) == nil)
    #expect(Decimal(shortest: 1e300) == nil)
    #expect(Decimal(shortest: Double.nan)?.isNaN == true)
    #expect(Decimal(exactText: "-NaN")?.isNaN == true)
    #expect(Decimal(exactInteger: UInt64.max)?.description == "18446744073709551615")
    #expect(Decimal(exactInteger: Int128.min)?.description == Int128.min.description)
    #expect(Decimal(exactInteger: UInt128.max)?.description == UInt128.max.description)
    #expect(Decimal(exactText: "-170141183460469231731687303715884105728")?.integer(Int128.self) == .min)
    #expect(Decimal(exactText: "1E+3")?.integer(Int.self) == 1000)
    #expect(Decimal(exactText: "1.5")?.integer(Int.self) == nil)
    #expect(Decimal.nan.integer(Int.self) == nil)
  }

  @Test func `dates come back equal by way of seconds and nanoseconds`() throws {
    for index in 0..<10_000 {
      let date = Date(timeIntervalSinceReferenceDate: 8e8 + Double(index) * 0.0123456789)
      let instant = try #require(CodingInstant(date))
      #expect(instant.date == date)
      let text = try #require(instant.iso8601)
      #expect(CodingInstant(iso8601: text)?.date == date)
    }
    for date in [Date.distantPast, .distantFuture, Date(timeIntervalSince1970: -0.25)] {
      #expect(CodingInstant(date)?.date == date)
    }
    for seconds in [Double.infinity, -.infinity, .nan, 1e19, -1e19] {
      #expect(CodingInstant(Date(timeIntervalSinceReferenceDate: seconds)) == nil)
    }
    // The ends of 64 bits.
    for seconds in [Int64.min, .max] {
      _ = CodingInstant(seconds: seconds, nanoseconds: 999_999_999).date
      _ = CodingInstant(seconds: seconds, nanoseconds: 999_999_999).iso8601
    }
  }

  @Test(
    arguments: [
      ("2026-11-25T20:00:00Z", 1_795_636_800, 0),
      ("2026-11-25T20:00:00.123456+00:00", 1_795_636_800, 123_456_000),
      ("2026-11-25 20:00:00.5", 1_795_636_800, 500_000_000), ("2026-11-25T22:00:00+02:00", 1_795_636_800, 0),
      ("2026-11-25T16:30:00-0330", 1_795_636_800, 0), ("20261125T200000Z", 1_795_636_800, 0),
      ("2026-11-25", 1_795_564_800, 0), ("1970-01-01T00:00Z", 0, 0),
      ("1969-12-31T23:59:59.9z", -1, 900_000_000),
      ("2000-02-29T00:00:00Z", 951_782_400, 0), ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
      ("2026-11-25T24:00:00Z", 1_795_651_200, 0),
      ("2026-11-25T20:00:00.1234567891Z", 1_795_636_800, 123_456_789),
    ] as [(String, Int64, UInt32)])
  func `text of ISO 8601 is read as Python and others write it`(
    _ text: String, _ seconds: Int64, _ nanoseconds: UInt32
  ) {
    #expect(CodingInstant(iso8601: text) == CodingInstant(seconds: seconds, nanoseconds: nanoseconds))
  }

  @Test(
    arguments: [
      "", "2026", "2026-13-01", "2026-02-29", "2026-11-25T", "2026-11-25T25:00Z", "2026-11-25T20:60Z",
      "2026-11-25T20:00:00.Z", "2026-11-25T20:00:00ZZ", "2026-11-25T20:00:00+2", "2026-1-25", "26-11-25",
      "2026-11-25T24:00:01Z",
    ])
  func `other text is no date`(_ text: String) { #expect(CodingInstant(iso8601: text) == nil) }

  @Test func `dates are written with the digits that they need`() {
    #expect(CodingInstant(seconds: 1_700_000_000, nanoseconds: 0).iso8601 == "2023-11-14T22:13:20Z")
    #expect(CodingInstant(seconds: 0, nanoseconds: 500_000_000).iso8601 == "1970-01-01T00:00:00.500Z")
    #expect(CodingInstant(seconds: 978_307_200, nanoseconds: 1).iso8601 == "2001-01-01T00:00:00.000000001Z")
    #expect(CodingInstant(seconds: 1 << 40, nanoseconds: 0).iso8601 == nil)
    #expect(CodingInstant(Date.distantPast)?.iso8601 == "0000-12-30T00:00:00Z")
  }

  @Test(
    arguments: [
      ("oneTwo", "one_two"), ("myURLKey", "my_url_key"), ("myURL", "my_url"), ("one_two", "one_two"),
      ("_0", "_0"),
      ("a", "a"), ("", ""),
    ])
  func `keys become snake case`(_ key: String, _ snake: String) { #expect(key.inSnakeCase == snake) }

  @Test func `the keys of dictionaries are known`() {
    struct Key: CodingKey {
      var stringValue: String
      var intValue: Int? { nil }
      init?(stringValue: String) { nil }
      init?(intValue: Int) { nil }
    }
    let type = CodingDictionaryKeys.type
    #expect(type as Any.Type != Key.self as Any.Type)
    #expect(String(describing: type) == "_DictionaryCodingKey")
    #expect([String: Int].keyKind == .text)
    #expect([Int: Int].keyKind == .integer)
    #expect([UUID: Int].keyKind == .other)
  }

  @Test func `identifiers are read with and without dashes`() {
    let id = UUID()
    #expect(UUID(text: id.uuidString) == id)
    #expect(UUID(text: id.uuidString.replacing("-", with: "").lowercased()) == id)
    for text in ["", "x", String(repeating: "g", count: 32), String(repeating: "0", count: 31)] {
      #expect(UUID(text: text) == nil)
    }
  }
}

/// Texts with runs of combining marks, which Swift sorts in time with the square of their number.
@Suite(.lastResort, .leavesNothing) struct CombiningMarkTests {
  private func areTooMany(_ text: String, limit: Int = CombiningMarks.mostInKey) -> Bool {
    var marks = CombiningMarks(limit: limit)
    unsafe Array(text.utf8).withUnsafeBytes { unsafe marks.take($0) }
    return marks.areTooMany
  }

  /// Each is one character that has to be sorted, or decomposes to such characters.
  @Test(arguments: [
    "\u{300}", "\u{316}", "\u{344}", "\u{5b0}", "\u{64b}", "\u{f71}", "\u{f73}", "\u{f81}", "\u{302a}",
    "\u{3099}",
    "\u{a66f}", "\u{abed}", "\u{fb1e}", "\u{fe20}", "\u{101fd}", "\u{1d165}", "\u{1e8d0}", "\u{16ff0}",
  ])
  func `a key has thirty combining marks in a row at most`(_ mark: String) {
    func marks(_ count: Int) -> String { String(repeating: mark, count: count) }
    for start in ["", "e", "日本語", "a long text of ASCII", "😀"] {
      #expect((start + marks(30)).isFitForKey)
      #expect(!(start + marks(31)).isFitForKey)
      #expect(!(start + marks(31) + "e").isFitForKey)
      #expect(!(start + marks(1000)).isFitForKey)
    }
    for letter in ["e", "é", "日", "가", "😀", "\u{0}", "Я", "\u{200d}"] {
      #expect(Array(repeating: marks(30), count: 9).joined(separator: letter).isFitForKey)
    }
    #expect(!areTooMany(marks(256), limit: 256))
    #expect(areTooMany(marks(257), limit: 256))
  }

  @Test func `each character that Unicode sorts counts, and no other`() {
    var counted = 0
    for value in 0..<0x110000 as Range<UInt32> {
      guard let character = Unicode.Scalar(value) else { continue }
      let parts = String(character).unicodeScalars
      let isSorted = character.properties.canonicalCombiningClass != .notReordered
      let isCounted = areTooMany(String(String.UnicodeScalarView([character, character])), limit: 1)
      if isSorted { #expect(isCounted, "U+\(String(value, radix: 16))") }
      if isCounted, !isSorted { #expect([0xf73, 0xf75, 0xf81].contains(value) && parts.count == 1) }
      counted += isCounted ? 1 : 0
    }
    #expect(counted > 900)
  }

  @Test func `bytes that are not UTF-8 are looked through without a trap`() {
    for start in [[0xcc], [0xe0, 0xa0], [0xf0, 0x90, 0x80], [0xff], [0x80]] as [[UInt8]] {
      for count in 0..<70 {
        let bytes = [UInt8](repeating: 0x61, count: count) + start
        #expect(unsafe !bytes.withUnsafeBytes { unsafe CombiningMarks.areTooMany(in: $0) })
      }
    }
  }
}
