import SWPickle
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct PickleValueTests {
  @Test func `literals make the values that they look like`() throws {
    let value: PickleValue = ["id": 7, "tags": ["a", "b"], "score": 0.5, "ok": true, "none": nil]
    #expect(value["id"]?.integer == 7)
    #expect(value["tags"]?[1]?.text == "b")
    #expect(value["score"]?.number == 0.5)
    #expect(value["ok"]?.boolean == true)
    #expect(value["none"]?.isNone == true)
    #expect(value["absent"] == nil && value[0] == nil)
    #expect(value.description == #"{"id": 7, "tags": ["a", "b"], "score": 0.5, "ok": True, "none": None}"#)
  }

  @Test func `values are equal as Swift's are, whatever is shared`() throws {
    #expect(([1, 2] as PickleValue) == [1, 2])
    #expect(([1, 2] as PickleValue) != .tuple([1, 2]))
    #expect(PickleValue(1) != true && PickleValue(1) != 1.0)
    // In Swift the two spellings of é are one string, in Python they are two.
    #expect(PickleValue("\u{e9}") != "e\u{301}")
    #expect((["a": 1, "b": 2] as PickleValue) == ["b": 2, "a": 1])
    #expect(PickleValue.set([1, .tuple([2, 3])]) == .set([.tuple([2, 3]), 1]))
    let part: PickleValue = [1]
    var builder = PickleBuilder()
    let shared = builder.add(part)
    let pair = builder.value(builder.list([shared, shared]))
    #expect(pair == [[1], [1]])
    let big: PickleValue = PickleValue("123456789012345678901234567890" as PickleInt)
    #expect(Set([big, "a", [1, 2], big, [1, 2]]).count == 3)
  }

  @Test func `equal keys are one, as in Python`() {
    let dict = PickleValue.dict([(1, "a"), (true, "b"), (1.0, "c"), ("1", "d")])
    #expect(dict.pairs?.count == 2)
    #expect(dict.pairs?.first?.value == "c")
    #expect(dict.pairs?.first?.key == 1)
    #expect(
      PickleValue.set([1, true, 1.0, PickleValue(PickleComplex(real: 1, imaginary: 0))]).elements?.count == 1)
    let wide = PickleValue.dict((0..<100).map { (PickleValue($0 % 50), PickleValue($0)) })
    #expect(wide.pairs?.count == 50)
    #expect(wide.pairs?.last?.value == 99)
  }

  @Test func `a list may contain itself, and is compared, shown and written in bounds`() throws {
    func recursive() -> PickleValue {
      var builder = PickleBuilder()
      let list = builder.list([builder.add(1)])
      builder.append(list, to: list)
      return builder.value(list)
    }
    let value = recursive()
    #expect(value == recursive())
    #expect(value[1]?[1]?[0] == 1)
    #expect(value[1]?.identity == value.identity)
    #expect(value.description.utf8.count < 2000)
    #expect(
      try value.pickled() == [
        0x80, 4, 0x95, 9, 0, 0, 0, 0, 0, 0, 0, 0x5d, 0x94, 0x28, 0x4b, 1, 0x68, 0, 0x65, 0x2e,
      ])
    #expect(throws: DecodingError.self) { try PickleDecoder().decode(Endless.self, from: value) }
  }

  struct Endless: Decodable {
    init(from decoder: any Decoder) throws {
      var container = try decoder.unkeyedContainer()
      _ = try container.decode(Int.self)
      _ = try container.decode(Endless.self)
    }
  }

  @Test func `a tuple that contains itself without a list between is refused, and not for ever`() throws {
    var builder = PickleBuilder()
    let placeholder = builder.placeholder()
    let tuple = builder.tuple([builder.add(1), placeholder])
    builder.define(placeholder, as: tuple)
    let value = builder.value(tuple)
    #expect(value == value)
    let error = #expect(throws: PickleError.self) { try value.pickled() }
    #expect(error?.kind == .unrepresentable)
  }

  @Test(arguments: ["lists", "tuples", "dicts"])
  func `a hundred thousand levels are made, compared, written, read and dropped`(_ shape: String) throws {
    var value: PickleValue = [1]
    for _ in 0..<100_000 {
      switch shape {
      case "lists": value = .list([value])
      case "tuples": value = .tuple([value])
      default: value = ["key": value]
      }
    }
    #expect(value == value)
    #expect(value != [1])
    #expect(value.description.utf8.count < 100_000)
    let pickle = try value.pickled()
    let error = #expect(throws: PickleError.self) { try PickleValue(pickle: pickle) }
    #expect(error?.kind == .limit)
    #expect(try PickleValue(pickle: pickle, limits: PickleLimits(depth: 200_000)) == value)
  }

  @Test func `what is shared forty times over takes no more for it`() throws {
    var value: PickleValue = []
    for _ in 0..<40 { value = twice(value) }
    #expect(value == value)
    #expect(try value.pickled().count < 1000)
    let again = try PickleValue(pickle: value.pickled())
    #expect(again == value)
    #expect(again.description.utf8.count < 100_000)
    var decoder = PickleDecoder()
    decoder.limits.repeatedParts = 1 << 14
    let error = #expect(throws: DecodingError.self) { try decoder.decode(Tree.self, from: again) }
    guard case .dataCorrupted = error else {
      Issue.record("another error: \(String(describing: error))")
      return
    }
  }

  private func twice(_ value: PickleValue) -> PickleValue {
    var builder = PickleBuilder()
    let shared = builder.add(value)
    return builder.value(builder.list([shared, shared]))
  }

  struct Tree: Decodable {
    init(from decoder: any Decoder) throws {
      var container = try decoder.unkeyedContainer()
      while !container.isAtEnd { _ = try container.decode(Tree.self) }
    }
  }

  @Test(
    arguments: [
      [0x7d, 0x94, 0x68, 0, 0x4e, 0x73, 0x2e],  // d = {}; d[d] = None
      [0x7d, 0x94, 0x28, 0x68, 0, 0x4e, 0x75, 0x2e], [0x8f, 0x94, 0x28, 0x68, 0, 0x90, 0x2e],
      [0x8f, 0x94, 0x28, 0x68, 0, 0x85, 0x90, 0x2e],
    ] as [[UInt8]])
  func `a dict is not its own key, nor a set its own element`(_ pickle: [UInt8]) throws {
    let error = #expect(throws: PickleError.self) { try PickleValue(pickle: pickle) }
    #expect(error?.kind == .malformed)
  }

  @Test func `limits are kept, each with its error`() throws {
    func kind(_ pickle: [UInt8], _ limits: PickleLimits) -> PickleError.Kind? {
      do { _ = try PickleValue(pickle: pickle, limits: limits) } catch {
        return (error as? PickleError)?.kind
      }
      return nil
    }
    let nested = [UInt8](repeating: 0x5d, count: 50) + [UInt8](repeating: 0x61, count: 49) + [0x2e]
    #expect(kind(nested, PickleLimits(depth: 49)) == nil)
    #expect(kind(nested, PickleLimits(depth: 48)) == .limit)
    #expect(kind(nested, PickleLimits(elements: 48)) == .limit)
    let numbered: [UInt8] = [0x4e] + [UInt8](repeating: 0x94, count: 50) + [0x2e]
    #expect(kind(numbered, PickleLimits(memoEntries: 50)) == nil)
    #expect(kind(numbered, PickleLimits(memoEntries: 49)) == .limit)
    // A byte of such a pickle takes some hundred of memory.
    let empties = [UInt8](repeating: 0x5d, count: 100_000) + [0x2e]
    #expect(kind(empties, PickleLimits()) == nil)
    #expect(kind(empties, PickleLimits(memory: 1 << 20)) == .limit)
    #expect(kind([UInt8](repeating: 0x28, count: 1_000_000), PickleLimits(memory: 1 << 20)) == .limit)
  }

  @Test func `a class is read by the reader that is registered for just that name`() throws {
    // pickle.dumps(Outer(Point(1, 2))) with attributes, and a namedtuple inside.
    let point = Array("cgeo\nPoint\n(K\u{01}K\u{02}tR".utf8)
    let outer =
      Array("ccopy_reg\n_reconstructor\n(capp\nOuter\nc__builtin__\nobject\nNtR}S'at'\n".utf8) + point
      + Array("sb.".utf8)
    #expect(throws: PickleError.self) { try PickleValue(pickle: outer, registry: .strict) }

    var registry = PickleRegistry.strict
    registry.register("geo", "Point")
    registry.register("app", "Outer")
    let plain = try PickleValue(pickle: outer, registry: registry)
    guard case .object(let object) = plain.content else {
      Issue.record("no object: \(plain)")
      return
    }
    #expect(object.name == PickleName("app", "Outer"))
    #expect(object["at"]?.description == "<geo.Point(1, 2)>")

    // The inner one first, so that the outer one sees what became of it.
    registry.register("geo", "Point") { point in .tuple(point.arguments) }
    registry.register("app", "Outer") { object in ["seen": object["at"] ?? .none] }
    #expect(try PickleValue(pickle: outer, registry: registry) == ["seen": .tuple([1, 2])])

    struct Refused: Error {}
    registry.register("geo", "Point") { _ in throw Refused() }
    #expect(throws: Refused.self) { try PickleValue(pickle: outer, registry: registry) }
    #expect(throws: PickleError.self) {
      try PickleValue(pickle: Array("cgeo\npoint\n.".utf8), registry: registry)
    }
    #expect(throws: PickleError.self) {
      try PickleValue(pickle: Array("c__builtin__\nset\n)R.".utf8), registry: .empty)
    }
  }

  @Test func `an object goes back to Python as it came`() throws {
    let registry = PickleRegistry.standard.registering("m", "C")
    // m.C.__new__(m.C), then attributes.
    let new: [UInt8] =
      [0x80, 4] + Array("\u{8c}\u{01}m".unicodeScalars.map { UInt8($0.value) }) + [
        0x94, 0x8c, 1, 0x43, 0x94, 0x93, 0x94, 0x29, 0x81, 0x94, 0x7d, 0x94, 0x8c, 1, 0x61, 0x94, 0x4b, 1,
        0x73, 0x62, 0x2e,
      ]
    let framed = Array(new[..<2]) + [0x95, UInt8(new.count - 2), 0, 0, 0, 0, 0, 0, 0] + Array(new[2...])
    #expect(try PickleValue(pickle: framed, registry: registry).pickled() == framed)
  }

  @Test func `integers of every size keep their text`() throws {
    for text in [
      "0", "-1", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
      "1" + String(repeating: "0", count: 4299), "-340282366920938463463374607431768211456",
    ] {
      let value = try #require(PickleInt(text))
      #expect(value.description == text)
      #expect(PickleInt(value.hexadecimal) == value)
      #expect(PickleInt(twosComplement: value.twosComplement[...]) == value)
    }
    // Beyond Python's limit the text is hexadecimal, which takes no quadratic work.
    #expect(PickleInt("1" + String(repeating: "0", count: 4300)) == nil)
    let huge = PickleInt(twosComplement: [UInt8](repeating: 0x11, count: 100_000)[...])
    #expect(huge.description.hasPrefix("0x1111"))
    #expect(PickleInt(huge.description) == huge)
    #expect(UInt64(exactly: "18446744073709551615" as PickleInt) == .max)
    #expect(UInt64(exactly: "18446744073709551616" as PickleInt) == nil)
    #expect(PickleInt(UInt128.max).description == "\(UInt128.max)")
    let ordered = [
      "-18446744073709551617", "-18446744073709551616", "-2", "3", "9223372036854775808",
      "18446744073709551616",
    ]
    #expect(ordered.compactMap { PickleInt($0) }.sorted().map(\.description) == ordered)
  }

  @Test func `an integer becomes the nearest Double`() {
    for (text, double) in [
      ("9007199254740993", 9007199254740992.0), ("9007199254740995", 9007199254740996.0),
      ("18446744073709551616", 0x1p64), ("-18446744073709551617", -0x1p64),
      ("0x20000000000001000000000000000000000000000000000001", 0x1.0000000000001p197),
      ("1" + String(repeating: "0", count: 308), 1e308),
      ("1" + String(repeating: "0", count: 309), .infinity),
    ] { #expect(PickleInt(text)?.double == double, "\(text)") }
    for double in [0x1p64, -0x1p63, 0x1.fffffffffffffp1023, 12345.0, -0.0] {
      #expect(PickleInt(exactly: double)?.double == double)
    }
    #expect(PickleInt(exactly: 0.5) == nil && PickleInt(exactly: .infinity) == nil)
  }

  @Test func `dates count their days as the calendar does`() throws {
    var days = try #require(PickleDate(daysSince1970: -719_162)).daysSince1970
    #expect(PickleDate(daysSince1970: -719_162) == PickleDate(year: 1, month: 1, day: 1))
    #expect(PickleDate(daysSince1970: -719_163) == nil)
    var last = try #require(PickleDate(year: 1, month: 1, day: 1))
    while let next = PickleDate(daysSince1970: days + 1) {
      days += 1
      let follows =
        (next.year, next.month, next.day) == (last.year, last.month, last.day + 1)
        || (next.day == 1
          && (next.month == last.month + 1 || (next.month == 1 && next.year == last.year + 1)))
      guard follows, next.daysSince1970 == days else {
        Issue.record("\(next) follows \(last)")
        return
      }
      last = next
    }
    #expect(last == PickleDate(year: 9999, month: 12, day: 31))
  }
}
