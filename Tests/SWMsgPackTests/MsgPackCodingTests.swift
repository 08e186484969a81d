import Foundation
import SWMessaging
import SWMsgPack
import SWTesting
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct MsgPackCodingTests {
  struct Plain: Codable, Equatable {
    var flag: Bool
    var small: Int8
    var large: UInt64
    var single: Float
    var double: Double
    var text: String
    var absent: Int?
    var data: Data
    var uuid: UUID
    var url: URL
    var date: Date
    var numbers: [Int]
    var reals: [Double]
    var words: [String]
    var table: [String: [Int16]]
    var value: MsgPackValue
    var stamp: MsgPackTimestamp
  }

  static let plain = Plain(
    flag: true, small: -7, large: .max, single: 0.1, double: 0.1, text: "héllo", absent: nil,
    data: Data([1, 2, 3]), uuid: UUID(), url: URL(filePath: "/a/b"),
    date: Date(timeIntervalSince1970: 1_700_000_000.25), numbers: [1, -1, .max], reals: [1, 2.5],
    words: ["a", ""], table: ["x": [1, -300]], value: ["k": [1, nil, .binary([9])]],
    stamp: MsgPackTimestamp(seconds: -1, nanoseconds: 999_999_999))

  func roundTrip<T: Codable>(
    _ value: T, encoder: MsgPackEncoder = MsgPackEncoder(), decoder: MsgPackDecoder = MsgPackDecoder()
  ) throws -> T {
    let bytes = try encoder.encodeBytes(value)
    #expect(try Array(encoder.encode(value)) == bytes)
    return try decoder.decode(T.self, from: bytes)
  }

  @Test func `a structure of every type comes back`() throws {
    #expect(try roundTrip(Self.plain) == Self.plain)
  }

  @Test func `values have the forms that are promised`() throws {
    let value = try MsgPackValue(MsgPackEncoder().encodeBytes(Self.plain))
    #expect(value["single"] == .float(0.1))
    #expect(value["double"] == .double(0.1))
    #expect(value["large"] == .uint(.max))
    #expect(value["data"] == .binary([1, 2, 3]))
    #expect(value["uuid"] == .string(Self.plain.uuid.uuidString))
    #expect(value["date"] == MsgPackTimestamp(seconds: 1_700_000_000, nanoseconds: 250_000_000).value)
    #expect(value["absent"] == nil)
    #expect(value["value"] == Self.plain.value)
    #expect(try MsgPackEncoder().encodeBytes([UInt8]([1, 200])) == [0xc4, 2, 1, 200])
    var encoder = MsgPackEncoder()
    encoder.bytesStrategy = .array
    #expect(try encoder.encodeBytes([UInt8]([1, 200])) == [0x92, 1, 0xcc, 200])
    for bytes: [UInt8] in [[0x92, 1, 0xcc, 200], [0xc4, 2, 1, 200]] {
      #expect(try MsgPackDecoder().decode([UInt8].self, from: bytes) == [1, 200])
    }
  }

  @Test(
    arguments: [
      ([0xcb, 0x40, 0x08, 0, 0, 0, 0, 0, 0], 3), ([0xca, 0x40, 0x40, 0, 0], 3), ([0xd1, 0xff, 0x7f], -129),
      ([0xcf, 0, 0, 0, 0, 0, 0, 0, 1], 1),
    ] as [([UInt8], Int)])
  func `numbers convert where nothing is lost`(_ bytes: [UInt8], _ number: Int) throws {
    #expect(try MsgPackDecoder().decode(Int.self, from: bytes) == number)
    #expect(try MsgPackDecoder().decode(Double.self, from: bytes) == Double(number))
    #expect(try MsgPackDecoder().decode(Float.self, from: bytes) == Float(number))
    #expect(try MsgPackDecoder().decode([Int16].self, from: [0x91] + bytes) == [Int16(number)])
    #expect(try MsgPackDecoder().decode([Int].self, from: [0x91] + bytes) == [number])
    #expect(try MsgPackDecoder().decode([Double].self, from: [0x91] + bytes) == [Double(number)])
  }

  @Test func `numbers that would lose something are refused, with their path`() throws {
    func check<T: Decodable>(_ type: T.Type, _ bytes: [UInt8]) {
      let error = #expect(throws: DecodingError.self) {
        try MsgPackDecoder().decode([[String: T]].self, from: [0x92, 0x80, 0x81, 0xa1, 0x6b] + bytes)
      }
      guard case .dataCorrupted(let context) = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(context.codingPath.map(\.stringValue) == ["Index 1", "k"])
    }
    check(Int.self, [0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0])
    check(Int.self, [0xcf] + Array(repeating: 0xff, count: 8))
    check(Int8.self, [0xcc, 0x80])
    check(UInt.self, [0xff])
    check(Float.self, [0xcb, 0x7e, 0x37, 0xe4, 0x3c, 0x88, 0, 0x75, 0x9c])
    check(Double.self, [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 1])
  }

  @Test func `errors say what was expected, what was found and where`() throws {
    let table: MsgPackValue = ["rows": [["id": 1], ["id": "x"]]]
    let bytes = try table.encoded()
    struct Row: Codable { var id: Int }
    struct Table: Codable { var rows: [Row] }
    do {
      _ = try MsgPackDecoder().decode(Table.self, from: bytes)
      Issue.record("it decodes")
    } catch DecodingError.typeMismatch(let type, let context) {
      #expect(type is Int.Type)
      #expect(context.codingPath.map(\.stringValue) == ["rows", "Index 1", "id"])
      #expect(context.debugDescription == "expected Int, found a string")
    }
    do {
      _ = try MsgPackDecoder().decode(Table.self, from: [0x80])
      Issue.record("it decodes")
    } catch DecodingError.keyNotFound(let key, _) {
      #expect(key.stringValue == "rows")
    }
    do {
      _ = try MsgPackDecoder().decode([Row].self, from: [0x91, 0x81, 0xa2, 0x69, 0x64, 0xc0])
      Issue.record("it decodes")
    } catch DecodingError.valueNotFound(_, let context) {
      #expect(context.codingPath.map(\.stringValue) == ["Index 0", "id"])
    }
  }

  @Test(
    arguments: [
      ([0xc1], .noValue, 0), ([0x92, 1], .truncated(needed: 3), 2), ([1, 2], .trailingBytes, 1),
      ([], .truncated(needed: 1), 0), ([0x91, 0xa2, 0xff, 0xfe], .notUTF8, 2),
      ([0x91, 0xd7, 0xff, 0xff, 0xff, 0xff, 0xfc, 0, 0, 0, 1], .malformedTimestamp, 3),
      ([0xdd, 0xff, 0xff, 0xff, 0xff], .tooManyElements(limit: 1 << 24), 0),
      ([0xc9, 0xff, 0xff, 0xff, 0xff, 0], .tooLong, 0),
    ] as [([UInt8], MsgPackError.Kind, Int)])
  func `bad bytes give a typed error with their place`(
    _ bytes: [UInt8], _ kind: MsgPackError.Kind, _ offset: Int
  ) {
    let error = #expect(throws: DecodingError.self) {
      if case .malformedTimestamp = kind {
        _ = try MsgPackDecoder().decode([Date].self, from: bytes)
      } else {
        _ = try MsgPackDecoder().decode([String].self, from: bytes)
      }
    }
    guard case .dataCorrupted(let context) = error, let cause = context.underlyingError as? MsgPackError
    else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(cause.kind == kind)
    #expect(cause.offset == offset)
    #expect(cause.firstByte == (offset < bytes.count ? bytes[offset] : nil))
  }

  @Test func `the last of a key's duplicates counts, in small and in large maps`() throws {
    for count in [2, 40] {
      let pairs = (0..<count).map { MsgPackValue.Pair("k", .int(Int64($0))) } + [.init("other", 0)]
      let bytes = try MsgPackValue.map(pairs).encoded()
      #expect(try MsgPackDecoder().decode([String: Int].self, from: bytes) == ["k": count - 1, "other": 0])
    }
  }

  struct WithNumbers: Codable, Equatable {
    var one: String
    var two: Int
    enum CodingKeys: Int, CodingKey {
      case one = 1
      case two
    }
  }

  @Test func `keys may be integers, and both forms are read`() throws {
    let value = WithNumbers(one: "x", two: 5)
    var encoder = MsgPackEncoder()
    #expect(try MsgPackValue(encoder.encodeBytes(value)) == ["one": "x", "two": 5])
    #expect(try roundTrip(value) == value)
    encoder.usesIntegerKeys = true
    #expect(try MsgPackValue(encoder.encodeBytes(value)) == [1: "x", 2: 5])
    #expect(try roundTrip(value, encoder: encoder) == value)
    #expect(try roundTrip([7: "a", -3: "b"], encoder: encoder) == [7: "a", -3: "b"])
    #expect(try roundTrip([7: "a", -3: "b"]) == [7: "a", -3: "b"])
  }

  struct CamelCase: Codable, Equatable {
    var oneTwo: Int
    var threeFourFive: String?
  }

  @Test func `keys are converted on demand`() throws {
    var (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
    encoder.keyStrategy = .snakeCase
    decoder.keyStrategy = .snakeCase
    let value = CamelCase(oneTwo: 1, threeFourFive: "x")
    #expect(try MsgPackValue(encoder.encodeBytes(value)) == ["one_two": 1, "three_four_five": "x"])
    #expect(try roundTrip(value, encoder: encoder, decoder: decoder) == value)
    encoder.keyStrategy = .custom { path in Name(path.map(\.stringValue).joined(separator: "/")) }
    decoder.keyStrategy = .custom { path in
      Name(path.last?.stringValue.split(separator: "/").last.map(String.init) ?? "")
    }
    #expect(try MsgPackValue(encoder.encodeBytes(["a": value]))["a"]?["a/oneTwo"] == 1)
    #expect(try roundTrip(["a": value], encoder: encoder, decoder: decoder) == ["a": value])
  }

  struct Name: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(_ text: String) { stringValue = text }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  @Test func `dates have strategies`() throws {
    let date = Date(timeIntervalSince1970: 1_700_000_000)
    let cases: [(CodingDateStrategy, MsgPackValue)] = [
      (.native, .extension(type: -1, [0x65, 0x53, 0xf1, 0])), (.secondsSince1970, 1_700_000_000.0),
      (.millisecondsSince1970, 1_700_000_000_000.0), (.iso8601, "2023-11-14T22:13:20Z"),
      (.deferredToDate, .double(date.timeIntervalSinceReferenceDate)),
      (
        .custom { date, encoder in
          var array = encoder.unkeyedContainer()
          try array.encode(date.timeIntervalSince1970)
        } decoding: { decoder in
          var array = try decoder.unkeyedContainer()
          return Date(timeIntervalSince1970: try array.decode(Double.self))
        }, [1_700_000_000.0]
      ),
    ]
    for (strategy, form) in cases {
      var (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
      encoder.dateStrategy = strategy
      decoder.dateStrategy = strategy
      #expect(try MsgPackValue(encoder.encodeBytes([date])) == [form])
      #expect(try roundTrip(["d": date], encoder: encoder, decoder: decoder) == ["d": date])
    }
    // All three lengths of timestamps, and before 1970.
    for seconds in [0, 1, 4_294_967_295.0, 4_294_967_296, 17_179_869_184, -1, 0.5, -0.5] {
      let date = Date(timeIntervalSince1970: seconds)
      #expect(try roundTrip(date) == date)
    }
  }

  class Base: Codable {
    var name = "base"
    init() {}
  }
  final class Derived: Base {
    var number = 7
    enum CodingKeys: String, CodingKey { case number, inner }
    enum InnerKeys: String, CodingKey { case list, last }

    override init() { super.init() }
    required init(from decoder: any Decoder) throws {
      let map = try decoder.container(keyedBy: CodingKeys.self)
      number = try map.decode(Int.self, forKey: .number)
      var inner = try map.nestedContainer(keyedBy: InnerKeys.self, forKey: .inner)
      #expect(inner.codingPath.map(\.stringValue) == decoder.codingPath.map(\.stringValue) + ["inner"])
      var list = try inner.nestedUnkeyedContainer(forKey: .list)
      #expect(try list.decode(Int.self) == 1)
      #expect(try list.decode(String.self) == "two")
      #expect(list.isAtEnd)
      #expect(try inner.decode(Bool.self, forKey: .last))
      inner = try map.nestedContainer(keyedBy: InnerKeys.self, forKey: .inner)
      #expect(inner.allKeys == [.list, .last])
      try super.init(from: map.superDecoder())
    }
    override func encode(to encoder: any Encoder) throws {
      var map = encoder.container(keyedBy: CodingKeys.self)
      // Nested containers out of order, and among them the superclass.
      var inner = map.nestedContainer(keyedBy: InnerKeys.self, forKey: .inner)
      var list = inner.nestedUnkeyedContainer(forKey: .list)
      try super.encode(to: map.superEncoder())
      try map.encode(number, forKey: .number)
      try list.encode(1)
      try inner.encode(true, forKey: .last)
      try list.encode("two")
    }
  }

  @Test func `nested containers may be used out of order, and superclasses have an encoder`() throws {
    let value = try MsgPackValue(MsgPackEncoder().encodeBytes([Derived()]))
    let expected: MsgPackValue = [
      ["inner": ["list": [1, "two"], "last": true], "super": ["name": "base"], "number": 7]
    ]
    #expect(value == expected)
    let back = try roundTrip(Array(repeating: Derived(), count: 20))
    #expect(back.count == 20)
    #expect(back.last?.name == "base")
    #expect(back.last?.number == 7)
  }

  struct Nothing: Codable, Equatable {}
  struct Mute: Encodable { func encode(to encoder: any Encoder) throws {} }
  struct Failing: Encodable {
    struct Failure: Error {}
    func encode(to encoder: any Encoder) throws {
      var map = encoder.container(keyedBy: Name.self)
      try map.encode(1, forKey: Name("left"))
      var nested = map.nestedUnkeyedContainer(forKey: Name("behind"))
      try nested.encode(2)
      throw Failure()
    }
  }
  struct Patient: Encodable {
    func encode(to encoder: any Encoder) throws {
      var map = encoder.container(keyedBy: Name.self)
      try map.encode(1, forKey: Name("a"))
      #expect(throws: Failing.Failure.self) { try map.encode(Failing(), forKey: Name("b")) }
      var list = map.nestedUnkeyedContainer(forKey: Name("c"))
      try list.encode(1)
      #expect(throws: Failing.Failure.self) { try list.encode(Failing()) }
      try list.encode(2)
      try map.encodeNil(forKey: Name("d"))
    }
  }

  @Test func `of a value that fails nothing is left`() throws {
    let value = try MsgPackValue(MsgPackEncoder().encodeBytes(Patient()))
    #expect(value == ["a": 1, "c": [1, 2], "d": nil])
  }

  @Test func `what encodes nothing is an empty map, but no message`() throws {
    #expect(try MsgPackEncoder().encodeBytes([Mute()]) == [0x91, 0x80])
    #expect(try MsgPackEncoder().encodeBytes(Nothing()) == [0x80])
    #expect(try roundTrip(["a": Nothing()]) == ["a": Nothing()])
    #expect(throws: EncodingError.self) { try MsgPackEncoder().encodeBytes(Mute()) }
  }

  final class Chain: Codable {
    var next: Chain?
    init(_ length: Int) { next = length > 1 ? Chain(length - 1) : nil }
  }

  @Test func `depth is limited in both directions`() throws {
    let deepest = try MsgPackEncoder().encodeBytes(Chain(512))
    _ = try MsgPackDecoder().decode(Chain.self, from: deepest)
    #expect(throws: EncodingError.self) { try MsgPackEncoder().encodeBytes(Chain(513)) }
    var decoder = MsgPackDecoder()
    decoder.limits.depth = 511
    let error = #expect(throws: DecodingError.self) { try decoder.decode(Chain.self, from: deepest) }
    guard case .dataCorrupted(let context) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect((context.underlyingError as? MsgPackError)?.kind == .tooDeep(limit: 511))
  }

  @Test func `long containers have long headers`() throws {
    for count in [15, 16, 65_535, 65_536] {
      let words = (0..<count).map { "\($0)" }
      #expect(try roundTrip(words) == words)
      let pairs = Dictionary(uniqueKeysWithValues: words.map { ($0, [$0]) })
      #expect(try roundTrip(pairs) == pairs)
      let optionals = words.map(Optional.some) + [nil]
      #expect(try roundTrip(optionals) == optionals)
    }
  }

  struct Keeper: Decodable {
    final class Box { var decoder: (any Decoder)? }
    let box = Box()
    init(from decoder: any Decoder) throws { box.decoder = decoder }
  }

  @Test func `a decoder that is kept still has its bytes`() throws {
    let value: MsgPackValue = ["a longer text than fits into a word", 2]
    let keepers = try MsgPackDecoder().decode([Keeper].self, from: value.encoded())
    let text = try keepers[0].box.decoder?.singleValueContainer().decode(String.self)
    #expect(text == "a longer text than fits into a word")
    #expect(try keepers[1].box.decoder?.singleValueContainer().decode(Int.self) == 2)
  }

  @Test func `attempts that fail cost the same however many there have been`() throws {
    enum Either: Decodable, Equatable {
      case number(Int)
      case text(String)
      init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let number = try? value.decode(Int.self) {
          self = .number(number)
        } else {
          self = .text(try value.decode(String.self))
        }
      }
    }
    let value: MsgPackValue = .array(
      (0..<2000).map { $0.isMultiple(of: 2) ? .int(Int64($0)) : .string("\($0)") })
    let decoded = try MsgPackDecoder().decode([Either].self, from: value.encoded())
    #expect(decoded == (0..<2000).map { $0.isMultiple(of: 2) ? .number($0) : .text("\($0)") })
  }

  @Test func `user information reaches both sides`() throws {
    struct Informed: Codable {
      init() {}
      init(from decoder: any Decoder) throws { #expect(decoder.userInfo.values.first as? Int == 7) }
      func encode(to encoder: any Encoder) throws {
        #expect(encoder.userInfo.values.first as? Int == 7)
        var value = encoder.singleValueContainer()
        try value.encodeNil()
      }
    }
    guard let key = CodingUserInfoKey(rawValue: "k") else { return }
    var (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
    encoder.userInfo = [key: 7]
    decoder.userInfo = [key: 7]
    _ = try roundTrip(Informed(), encoder: encoder, decoder: decoder)
  }

  @Test func `values pass through other coders`() throws {
    let value: MsgPackValue = ["a": [1, 2.5, nil, true, "x"], "b": [:]]
    let decoded = try JSONDecoder().decode(MsgPackValue.self, from: JSONEncoder().encode(value))
    #expect(decoded["a"] == value["a"])
    #expect(decoded["b"] == [:])
    #expect(value.description == #"{"a": [1, 2.5, nil, true, "x"], "b": {}}"#)
  }

  struct Request: Codable, Equatable, Sendable {
    var id: Int
    var data: Data
  }
  enum Reply: Codable, Equatable, Sendable {
    case done(id: Int, [Double])
    case refused(why: String)
  }

  @Test func `typed messages of two types go both ways`() async throws {
    let client = MsgPackFraming(receiving: Reply.self, sending: Request.self)
    let (left, right) = try makeSocketPair(framing: client, peer: client.flipped)
    try await left.send(Request(id: 1, data: Data("hello".utf8)))
    #expect(try await right.receive(timeout: .patience) == Request(id: 1, data: Data("hello".utf8)))
    try await right.send(contentsOf: [.done(id: 1, [1, 2.5]), .refused(why: "no")])
    #expect(try await left.receive(timeout: .patience) == .done(id: 1, [1, 2.5]))
    #expect(try await left.receive(timeout: .patience) == .refused(why: "no"))
    let (reader, writer) = try makePipe(framing: .msgPack(Request.self))
    try await writer.send(Request(id: 2, data: Data(repeating: 1, count: 3000)))
    #expect(try await reader.receive(timeout: .patience).data.count == 3000)
  }

  @Test func `a message of another type is consumed, and the stream goes on`() async throws {
    let (reader, writer) = try makePipe(framing: .msgPackValues)
    let raw = try reader.withDescriptor { number throws(EndpointError) in
      try MessageReader(duplicating: number, framing: MsgPackFraming<Request, Request>())
    }
    try await writer.send(contentsOf: ["no request", ["id": 3, "data": .binary([])], ["id": "x"]])
    let error = await #expect(throws: EndpointError.self) { try await raw.receive(timeout: .patience) }
    guard case .codec(let cause) = error?.reason else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(cause is DecodingError)
    #expect(try await raw.receive(timeout: .patience) == Request(id: 3, data: Data()))
  }

  @Test func `typed messages keep the laws`() throws {
    let rows = (0..<5).map { Request(id: $0, data: Data(repeating: 7, count: 100 * $0)) }
    try checkFraming(
      MsgPackFraming<[Request], [Request]>(), messages: [[], rows], hostileInputs: 3000, measuresTime: false)
  }
}
