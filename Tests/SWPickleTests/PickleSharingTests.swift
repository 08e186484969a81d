import Foundation
import SWPickle
import TestSupport
import Testing

/// Parts that a pickle refers to again and again, two bytes each time, and that are converted or listed for each.
@Suite(.lastResort, .leavesNothing) struct PickleSharingTests {
  enum Shape: Codable, Equatable {
    case circle(radius: Int)
    case square(Int)
  }

  /// Lists the keys, and decodes nothing.
  private struct Keys: Decodable {
    struct Key: CodingKey {
      var stringValue: String
      var intValue: Int? { nil }
      init?(stringValue: String) { self.stringValue = stringValue }
      init?(intValue: Int) { nil }
    }
    var count: Int
    init(from decoder: any Decoder) throws {
      count = try decoder.container(keyedBy: Key.self).allKeys.count
    }
  }

  /// Opens the elements as containers, without a value of their own.
  private struct Opened: Decodable {
    init(from decoder: any Decoder) throws {
      var list = try decoder.unkeyedContainer()
      while !list.isAtEnd { _ = try list.nestedContainer(keyedBy: Keys.Key.self).allKeys }
    }
  }

  /// The pickle of a list with the same dict so many times.
  private static func dicts(keys: Int, count: Int) throws -> [UInt8] {
    var pairs = (0..<keys).map { (PickleValue(String($0, radix: 36) + "_"), PickleValue.none) }
    pairs.append(("circle", ["radius": 1]))
    return try shared(.dict(pairs), count)
  }

  private static func shared(_ value: PickleValue, _ count: Int) throws -> [UInt8] {
    var builder = PickleBuilder()
    let element = builder.add(value)
    return try builder.value(builder.list(Array(repeating: element, count: count))).pickled()
  }

  @Test(arguments: [false, true])
  func `the keys of a large dict that many elements share are charged each time they are listed`(
    usesSnakeCase: Bool
  ) throws {
    var decoder = PickleDecoder()
    if usesSnakeCase { decoder.keyStrategy = .snakeCase }
    var strict = decoder
    strict.limits.repeatedParts = 0
    let bytes = try Self.dicts(keys: 1000, count: 1500)
    let value = try PickleValue(pickle: bytes)
    #expect(throws: DecodingError.self) { try strict.decode([Shape].self, from: bytes) }
    #expect(throws: DecodingError.self) { try strict.decode([Shape].self, from: value) }
    #expect(throws: DecodingError.self) { try strict.decode([Keys].self, from: bytes) }
    #expect(throws: DecodingError.self) { try strict.decode([Keys].self, from: value) }
    #expect(throws: DecodingError.self) { try strict.decode(Opened.self, from: bytes) }
    #expect(throws: DecodingError.self) { try strict.decode(Opened.self, from: value) }
    // Many programs share a dict of settings.
    let few = try Self.dicts(keys: 0, count: 20_000)
    #expect(try decoder.decode([Shape].self, from: few).last == .circle(radius: 1))
    let some = try Self.dicts(keys: 300, count: 300)
    #expect(try decoder.decode([Keys].self, from: some).map(\.count) == Array(repeating: 301, count: 300))
  }

  @Test func `keys that are kept are those of the asking type, and of the strategy`() throws {
    struct One: CodingKey {
      var stringValue: String
      var intValue: Int? { nil }
      init?(stringValue: String) {
        guard stringValue == "userName" else { return nil }
        self.stringValue = stringValue
      }
      init?(intValue: Int) { nil }
    }
    struct Both: Decodable {
      var names: [String]
      init(from decoder: any Decoder) throws {
        names = try decoder.container(keyedBy: One.self).allKeys.map(\.stringValue)
        names += try decoder.container(keyedBy: Keys.Key.self).allKeys.map(\.stringValue).sorted()
        names += try decoder.container(keyedBy: One.self).allKeys.map(\.stringValue)
      }
    }
    var decoder = PickleDecoder()
    decoder.keyStrategy = .snakeCase
    for others in [0, 20] {
      let more = (0..<others).map { (PickleValue("k\($0)"), PickleValue(1)) }
      let bytes = try Self.shared(.dict([("user_name", 1)] + more), 2)
      let expected = ["userName"] + (["userName"] + (0..<others).map { "k\($0)" }).sorted() + ["userName"]
      #expect(try decoder.decode([Both].self, from: bytes).map(\.names) == [expected, expected])
      let found = try decoder.decode([Both].self, from: PickleValue(pickle: bytes))
      #expect(found.map(\.names) == [expected, expected])
    }
  }

  @Test func `elements of arrays are charged as other values that need a conversion`() throws {
    var strict = PickleDecoder()
    strict.limits.repeatedParts = 0
    let path = PickleValue.object(
      PickleName("pathlib", "PurePosixPath"), Array(repeating: PickleValue("aa"), count: 1500))
    let paths = try Self.shared(path, 1500)
    #expect(throws: DecodingError.self) { try strict.decode([String].self, from: paths) }
    let long = PickleValue(PickleInt(twosComplement: [UInt8](repeating: 0x77, count: 2000)[...]))
    let fractions = try Self.shared(
      .object(PickleName("fractions", "Fraction"), [long, long]), 2000)
    #expect(throws: DecodingError.self) { try strict.decode([Double].self, from: fractions) }
    #expect(throws: DecodingError.self) { try strict.decode([Float].self, from: fractions) }
    // A path is looked at several times.
    let few = PickleValue.object(PickleName("pathlib", "PurePosixPath"), Array(repeating: "aa", count: 600))
    #expect(throws: DecodingError.self) { try strict.decode([String].self, from: Self.shared(few, 12)) }
    // Short ones are not.
    let short = PickleValue.object(PickleName("pathlib", "PurePosixPath"), ["/", "tmp"])
    #expect(try PickleDecoder().decode([String].self, from: Self.shared(short, 20_000)).last == "/tmp")
  }

  /// A value of any kind, which tries a dictionary first.
  private enum Anything: Decodable {
    case map([String: Anything])
    case list([Anything])
    case number(Int)

    init(from decoder: any Decoder) throws {
      let single = try decoder.singleValueContainer()
      if let map = try? single.decode([String: Anything].self) {
        self = .map(map)
      } else if let list = try? single.decode([Anything].self) {
        self = .list(list)
      } else {
        self = .number(try single.decode(Int.self))
      }
    }
  }

  @Test func `a list is not charged for each of its levels because a type tries a dictionary first`() throws {
    var value = PickleValue.list(repeatElement(1, count: 20_000))
    for _ in 0..<100 { value = [value] }
    var decoder = PickleDecoder()
    decoder.limits.repeatedParts = 0
    var found = try decoder.decode(Anything.self, from: value.pickled())
    for _ in 0..<100 {
      guard case .list(let elements) = found, let first = elements.first else { break }
      found = first
    }
    guard case .list(let elements) = found else {
      Issue.record("\(found)")
      return
    }
    #expect(elements.count == 20_000)
  }
}
