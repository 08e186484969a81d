import Foundation
import SWPickle
import TestSupport
import Testing

/// A pickle of plain values is decoded from a tape, and any value from a graph: both have to say the same.
@Suite(.lastResort, .leavesNothing) struct PickleTapeTests {
  struct Record: Codable, Equatable {
    struct Part: Codable, Equatable { var x: Int8, y: Double? }
    enum Shape: Codable, Equatable {
      case circle(radius: Double)
      case pair(Int, String)
    }
    var id: Int
    var name: String
    var ratio: Float?
    var tags: [String]
    var numbers: [Double]
    var small: [UInt8]
    var table: [String: Int]
    var byNumber: [Int: String]?
    var part: Part?
    var parts: [Part]
    var shape: Shape?
    var big: UInt64?
    var wide: Int128?
    var when: UUID?
    var anything: PickleValue?
  }

  /// The outcome of decoding: the value, or the kind of error, its path and its text.
  private func outcome<T: Decodable & Equatable>(
    _ type: T.Type, _ decode: (PickleDecoder) throws -> T, _ decoder: PickleDecoder
  ) -> (value: T?, text: String) {
    func text(_ context: DecodingError.Context) -> String {
      let path = context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }
      return "\(path): \(context.debugDescription)"
    }
    do {
      return (try decode(decoder), "")
    } catch let error as DecodingError {
      switch error {
      case .typeMismatch(_, let context): return (nil, "mismatch \(text(context))")
      case .valueNotFound(_, let context): return (nil, "no value \(text(context))")
      case .keyNotFound(_, let context): return (nil, "no key \(text(context))")
      case .dataCorrupted(let context): return (nil, "corrupted \(text(context))")
      @unknown default: return (nil, "\(error)")
      }
    } catch {
      return (nil, "\(error)")
    }
  }

  private func expectAgreement<T: Decodable & Equatable>(
    _ type: T.Type, _ pickle: [UInt8], _ decoder: PickleDecoder = PickleDecoder()
  ) {
    let direct = outcome(type, { try $0.decode(type, from: pickle) }, decoder)
    let general = outcome(type, { try $0.decode(type, from: PickleValue(pickle: pickle)) }, decoder)
    #expect(direct.value == general.value)
    #expect(direct.text == general.text)
  }

  static let record = Record(
    id: 7, name: "é", ratio: 0.5, tags: ["a", "long enough for the heap"],
    numbers: (0..<40).map { Double($0) },
    small: [1, 2], table: ["x": 1, "y": -1], byNumber: [7: "seven"], part: .init(x: -1, y: nil),
    parts: [.init(x: 1, y: 2), .init(x: 3, y: 4), .init(x: 5, y: nil)], shape: .pair(1, "b"), big: .max,
    wide: 1 << 100, when: UUID(uuidString: "01234567-89AB-CDEF-0123-456789ABCDEF"), anything: ["k": [1, nil]])

  @Test func `both decode the same records`() throws {
    let pickle = try PickleEncoder().encodeBytes([Self.record, Self.record])
    expectAgreement([Record].self, pickle)
    // Without types of Foundation's, which are objects, the whole is plain.
    var plain = Self.record
    (plain.when, plain.anything) = (nil, nil)
    let bytes = try PickleEncoder().encodeBytes([plain, plain])
    #expect(try PickleDecoder().decode([Record].self, from: bytes) == [plain, plain])
    expectAgreement([Record].self, bytes)
  }

  static let values: [PickleValue] = [
    1, "a", 1.5, nil, true, [], [:], .tuple([]), .tuple([1, "a"]), [1, 2, 3], [1, 2.0, 300], [1, "a"],
    ["a", nil],
    [nil, nil], ["id": 1], ["id": "x", "name": 5], .dict([(1, "a"), ("1", "b")]), .dict([("a", 1), (2, 2)]),
    .dict([(nil, 1)]), .dict([(true, 1), (2, 2)]), .bytes([1, 2]), .byteArray([3]),
    PickleValue(PickleInt(UInt64.max)),
    [[1], [2, 3]], ["parts": [["x": 1000, "y": 1]]], ["circle": ["radius": 2]], ["pair": ["_0": 1]],
    .set([1]),
    .list((0..<20).map { PickleValue($0) }), .list((0..<20).map { $0 == 19 ? "x" : PickleValue($0) }),
    .dict((0..<30).map { (PickleValue("key \($0)"), PickleValue($0)) }), 1e300, -1, 3_000_000_000,
    ["x": 1, "y": nil], ["x": nil],
  ]

  @Test(arguments: values) func `both say the same of a value, errors included`(_ value: PickleValue) throws {
    let pickle = try value.pickled()
    func check<T: Decodable & Equatable>(_ type: T.Type) {
      expectAgreement(type, pickle)
      var snake = PickleDecoder()
      snake.keyStrategy = .snakeCase
      expectAgreement(type, pickle, snake)
    }
    check(Record.self)
    check(Record.Part.self)
    check(Record.Shape.self)
    check([Record.Part].self)
    check([Int].self)
    check([Int?].self)
    check([UInt8].self)
    check([[Int]].self)
    check([String].self)
    check([Float].self)
    check([String: Int].self)
    check([Int: Int].self)
    check([String: String?].self)
    check(Int.self)
    check(Int8.self)
    check(UInt64.self)
    check(Int128.self)
    check(Double.self)
    check(Float.self)
    check(Bool.self)
    check(String.self)
    check(Data.self)
    check(UUID.self)
    check(Date.self)
    check(Decimal.self)
    check(URL.self)
    check(PickleValue.self)
    check(PickleInt.self)
    check(Int?.self)
    check([Record.Shape].self)
  }

  /// Keys that a pickle repeats, and containers that change after they were put into others.
  @Test(arguments: [
    // {"x": 1, "x": 2, "y": 3}
    "80 04 7d 28 8c 01 78 4b 01 8c 01 78 4b 02 8c 01 79 4b 03 75 2e",
    // a list in a list, to which an element is appended later
    "80 04 5d 94 28 5d 94 4b 01 61 68 01 65 68 01 4b 02 61 30 2e",
    "80 04 5d 94 5d 94 61 68 01 4b 02 61 30 2e",
    // a list that grows behind another
    "80 04 5d 94 5d 94 28 68 00 68 01 85 4b 01 65 30 68 00 4b 02 61 2e",
    // surplus items, and bytes behind STOP
    "80 04 4b 01 5d 4b 02 61 2e ff", "80 04 28 4b 01 2e", "80 04 2e", "80 04 5d 28 65 2e",
    "80 04 4b 01 28 65 2e",
    // a lone surrogate, and bytes that are no UTF-8
    "80 04 8c 03 ed a0 80 2e", "80 04 8c 01 ff 2e", "80 04 5d 8c 05 41 42", "80 06 4e 2e",
    // memo entries that are numbered out of order, or not there
    "80 02 5d 71 05 4b 01 61 68 05 61 2e", "80 04 68 07 2e", "80 02 58 01 00 00 00 61 71 00 30 4e 2e",
    "80 04 8a 09 ff ff ff ff ff ff ff ff 00 2e", "80 04 8a 00 2e", "80 04 8a 01 80 2e",
  ])
  func `both say the same of a pickle that no encoder wrote`(_ text: String) {
    let pickle = bytes(text.filter { $0 != " " })
    func check<T: Decodable & Equatable>(_ type: T.Type) { expectAgreement(type, pickle) }
    check([Int].self)
    check([[Int]].self)
    check([[[Int]]].self)
    check([String: Int].self)
    check(Record.Part.self)
    check(Int.self)
    check(Int128.self)
    check(UInt64.self)
    check(String.self)
  }

  @Test func `a decoder that is kept goes on when the pickle is gone`() throws {
    final class Kept: Decodable {
      let container: any UnkeyedDecodingContainer
      init(from decoder: any Decoder) throws { container = try decoder.unkeyedContainer() }
    }
    var pickle = try PickleEncoder().encodeBytes(["one", "another that is longer"])
    let kept = try PickleDecoder().decode(Kept.self, from: pickle)
    pickle = []
    var container = kept.container
    #expect(try container.decode(String.self) == "one")
    #expect(try container.decode(String.self) == "another that is longer")
  }

  @Test func `the path of an error is right out of order, too`() throws {
    struct Later: Decodable {
      enum Key: CodingKey { case outer, inner, other }
      init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let nested = try container.nestedContainer(keyedBy: Key.self, forKey: .outer)
        var list = try nested.nestedUnkeyedContainer(forKey: .inner)
        _ = try container.decode([Int].self, forKey: .other)
        _ = try list.decode(Int.self)
        _ = try list.decode([Int].self)
      }
    }
    let pickle = try PickleEncoder().encodeBytes([["outer": ["inner": [1, 2]], "other": [1]] as PickleValue])
    let error = #expect(throws: DecodingError.self) { try PickleDecoder().decode([Later].self, from: pickle) }
    guard case .typeMismatch(_, let context) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(
      context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue } == [
        "0", "outer", "inner", "1",
      ])
  }

  @Test func `a few bytes that stand for a long range decode to little`() throws {
    let pickle = try PickleValue.object(PickleName("builtins", "range"), [0, PickleValue(1 << 40), 1])
      .pickled()
    struct Counted: Decodable {
      init(from decoder: any Decoder) throws {
        var container = try decoder.unkeyedContainer()
        while !container.isAtEnd {
          _ = try container.decode(Int.self)
          #expect(container.currentIndex < 1 << 16)
        }
      }
    }
    #expect(throws: DecodingError.self) { try PickleDecoder().decode(Counted.self, from: pickle) }
    // A value with as many parts as it says is decoded whole.
    let list = try PickleEncoder().encodeBytes(Array(0..<100_000))
    #expect(try PickleDecoder().decode([Int].self, from: list).count == 100_000)
  }
}
