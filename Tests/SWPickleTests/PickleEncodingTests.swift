import Foundation
import SWPickle
import TestSupport
import Testing

/// The streaming encoder writes the same as the writer of values for the same value, whatever the shape.
@Suite(.lastResort, .leavesNothing) struct PickleEncodingTests {
  /// A tree that encodes itself into containers.
  indirect enum Tree: Encodable, Sendable {
    case int(Int)
    case real(Double)
    case text(String)
    case bytes(Int)
    case none
    case list([Tree])
    case dict([(String, Tree)])
    case value(PickleValue)

    struct Key: CodingKey {
      var stringValue: String
      var intValue: Int? { nil }
      init(stringValue: String) { self.stringValue = stringValue }
      init?(intValue: Int) { nil }
    }

    func encode(to encoder: any Encoder) throws {
      switch self {
      case .int(let value): try value.encode(to: encoder)
      case .real(let value): try value.encode(to: encoder)
      case .text(let value): try value.encode(to: encoder)
      case .bytes(let count):
        var container = encoder.singleValueContainer()
        try container.encode(Data(repeating: 7, count: count))
      case .none:
        var container = encoder.singleValueContainer()
        try container.encodeNil()
      case .value(let value):
        var container = encoder.singleValueContainer()
        try container.encode(value)
      case .list(let elements):
        var container = encoder.unkeyedContainer()
        for element in elements { try container.encode(element) }
      case .dict(let pairs):
        var container = encoder.container(keyedBy: Key.self)
        for (key, value) in pairs { try container.encode(value, forKey: Key(stringValue: key)) }
      }
    }

    /// The same as a value, in which equal keys are one object, as for the encoder.
    func add(to builder: inout PickleBuilder, _ keys: inout [String: PickleBuilder.Reference])
      -> PickleBuilder.Reference
    {
      switch self {
      case .int(let value): return builder.add(PickleValue(value))
      case .real(let value): return builder.add(PickleValue(value))
      case .text(let value): return builder.add(PickleValue(value))
      case .bytes(let count): return builder.add(.bytes([UInt8](repeating: 7, count: count)))
      case .none: return builder.add(.none)
      case .value(let value): return builder.add(value)
      case .list(let elements):
        var references: [PickleBuilder.Reference] = []
        for element in elements { references.append(element.add(to: &builder, &keys)) }
        return builder.list(references)
      case .dict(let pairs):
        var references: [(PickleBuilder.Reference, PickleBuilder.Reference)] = []
        for (key, value) in pairs {
          let reference = keys[key] ?? builder.string(key)
          keys[key] = reference
          references.append((reference, value.add(to: &builder, &keys)))
        }
        return builder.dict(references)
      }
    }

    static func random(_ random: inout SeededRandom, depth: Int) -> Tree {
      switch Int.random(in: 0..<(depth > 0 ? 14 : 8), using: &random) {
      case 0: return .int(Int.random(in: -3...300, using: &random))
      case 1: return .int(Int(truncatingIfNeeded: random.next()) >> Int.random(in: 0..<64, using: &random))
      case 2: return .real(Double.random(in: -1...1, using: &random))
      case 3: return .text(String(repeating: "é", count: Int.random(in: 0..<200, using: &random)))
      case 4: return .none
      case 5: return .bytes(Int.random(in: 0..<400, using: &random))
      case 6: return .value([.tuple([1, "x", [], nil]), .set([2]), .frozenSet(["y"])])
      case 7:
        // About as much as a frame holds.
        let count = Int.random(in: 65_500..<65_600, using: &random)
        return Bool.random(using: &random) ? .bytes(count) : .text(String(repeating: "x", count: count))
      case 8:
        // About as many as a batch holds.
        let count = Int.random(in: 998...1002, using: &random)
        return .list((0..<count).map { .int($0) })
      case 9:
        let count = Int.random(in: 998...1002, using: &random)
        return .dict((0..<count).map { ("key \($0)", .int($0)) })
      case 10, 11:
        let count = [0, 1, 2, 5].randomElement(using: &random) ?? 0
        return .list((0..<count).map { _ in Tree.random(&random, depth: depth - 1) })
      default:
        let count = [0, 1, 2, 5].randomElement(using: &random) ?? 0
        return .dict((0..<count).map { ("name \($0)", Tree.random(&random, depth: depth - 1)) })
      }
    }
  }

  struct SeededRandom: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) ^ (state << 31)
    }
  }

  @Test(arguments: 0..<60) func `a value encodes to the bytes of the same value in Python`(_ seed: Int) throws
  {
    var random = SeededRandom(state: UInt64(seed))
    let tree = Tree.random(&random, depth: 5)
    var builder = PickleBuilder()
    var keys: [String: PickleBuilder.Reference] = [:]
    let root = tree.add(to: &builder, &keys)
    for version in [PickleProtocol.four, .five] {
      var encoder = PickleEncoder()
      encoder.version = version
      #expect(try encoder.encodeBytes(tree) == builder.value(root).pickled(version))
    }
  }

  /// A frame that ends in a container of one element, whose MARK is taken back behind it.
  @Test func `frames end where Python ends them, also inside of a container with one element`() throws {
    for byteCount in 65_480..<65_560 {
      let tree = Tree.dict([
        (
          "only",
          .list([
            .list([.text(String(repeating: "x", count: byteCount / 2))]),
            .text(String(repeating: "y", count: byteCount - byteCount / 2)), .int(1), .int(2),
          ])
        )
      ])
      var builder = PickleBuilder()
      var keys: [String: PickleBuilder.Reference] = [:]
      let root = tree.add(to: &builder, &keys)
      #expect(try PickleEncoder().encodeBytes(tree) == builder.value(root).pickled())
    }
  }

  struct OutOfOrder: Encodable {
    enum Key: CodingKey { case first, second, third }
    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: Key.self)
      var first = container.nestedUnkeyedContainer(forKey: .first)
      var second = container.nestedContainer(keyedBy: Key.self, forKey: .second)
      try container.encode(["second": "x"], forKey: .third)
      // Later, in another order than they stand in, and with keys that all of them have.
      try second.encode(2, forKey: .second)
      var inner = first.nestedContainer(keyedBy: Key.self)
      try first.encode(PickleValue.tuple([1, "a"]))
      try inner.encode([1.5], forKey: .second)
      try second.encodeNil(forKey: .first)
    }
  }

  @Test func `containers may be used out of order`() throws {
    let value = try PickleValue(pickle: PickleEncoder().encodeBytes(OutOfOrder()))
    #expect(
      value
        == [
          "first": [["second": [1.5]], .tuple([1, "a"])], "second": ["second": 2, "first": nil],
          "third": ["second": "x"],
        ])
    #expect(try PickleEncoder().encodeValue([OutOfOrder()])[0] == value)
  }

  @Test func `sorted keys make equal pickles of equal values`() throws {
    struct Part: Encodable {
      var table: [String: [Int: OutOfOrder]]
      var other = ["z": 1, "a": 2, "m": 3]
    }
    var encoder = PickleEncoder()
    encoder.sortsKeys = true
    let keys = (0..<1200).map { "key \($0)" }
    let whole = try encoder.encodeBytes(Dictionary(uniqueKeysWithValues: keys.map { ($0, 1) }))
    let shuffled = try encoder.encodeBytes(Dictionary(uniqueKeysWithValues: keys.shuffled().map { ($0, 1) }))
    #expect(whole == shuffled)
    let sorted = keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    #expect(try PickleValue(pickle: whole).pairs?.compactMap(\.key.text) == sorted)
    // Byte for byte what the writer makes of the same order.
    #expect(try whole == PickleValue.dict(sorted.map { (PickleValue($0), 1) }).pickled())

    let part = Part(table: ["x": [2: OutOfOrder(), -1: OutOfOrder()], "b": [:]])
    let value = try PickleValue(pickle: encoder.encodeBytes(part))
    #expect(value.pairs?.compactMap(\.key.text) == ["other", "table"])
    #expect(value["other"]?.pairs?.compactMap(\.key.text) == ["a", "m", "z"])
    #expect(value["table"]?.pairs?.compactMap(\.key.text) == ["b", "x"])
    #expect(value["table"]?["x"]?.pairs?.compactMap(\.key.integer) == [-1, 2])
    #expect(value["table"]?["x"]?.pairs?.first?.value["first"]?[1] == .tuple([1, "a"]))
  }

  @Test func `two cases of one text are one key, which is an error`() {
    struct Twice: Encodable {
      enum Key: String, CodingKey {
        case one, other
        var stringValue: String { "same" }
        init?(stringValue: String) { nil }
      }
      func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(1, forKey: .one)
        try container.encode(2, forKey: .other)
      }
    }
    #expect(throws: EncodingError.self) { try PickleEncoder().encodeBytes(Twice()) }
    // Also where the keys of the type are known already.
    #expect(throws: EncodingError.self) {
      try PickleEncoder().encodeBytes([Good(), Good(), Good(isTwice: true)])
    }
  }

  struct Good: Encodable {
    enum Key: CodingKey {
      case one, other
      var stringValue: String { "same" }
      init?(stringValue: String) { nil }
      var intValue: Int? { nil }
      init?(intValue: Int) { nil }
    }
    var isTwice = false
    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: Key.self)
      try container.encode(1, forKey: .one)
      if isTwice { try container.encode(2, forKey: .other) }
    }
  }

  @Test func `many keys are told apart, and one that comes twice is an error`() throws {
    let pairs = (0..<200).map { ("key \($0)", Tree.int($0)) }
    #expect(try PickleValue(pickle: PickleEncoder().encodeBytes(Tree.dict(pairs))).pairs?.count == 200)
    for twice in [0, 70, 199] {
      #expect(throws: EncodingError.self) {
        try PickleEncoder().encodeBytes(Tree.dict(pairs + [("key \(twice)", .none)]))
      }
    }
  }

  /// A value that fails behind a part of it, for a container that goes on.
  struct Failing: Encodable {
    enum Key: CodingKey { case good, bad, kept }
    struct Bad: Encodable {
      func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode([1, 2], forKey: .bad)
        try container.encode(PickleValue.tuple(["shared"]), forKey: .kept)
        throw EncodingError.invalidValue(0, .init(codingPath: [], debugDescription: ""))
      }
    }
    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: Key.self)
      try? container.encode(Bad(), forKey: .good)
      try container.encode(["bad": 1, "kept": 2], forKey: .good)
      try container.encode(PickleValue.tuple(["shared"]), forKey: .kept)
    }
  }

  @Test func `what a failed encoding had numbered is numbered anew`() throws {
    let value = try PickleValue(pickle: PickleEncoder().encodeBytes([Failing(), Failing()]))
    let expected: PickleValue = ["good": ["bad": 1, "kept": 2], "kept": .tuple(["shared"])]
    #expect(value == [expected, expected])
  }
}
