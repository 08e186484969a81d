import Foundation
import SWPickle
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct PickleCodingTests {
  struct Everything: Codable, Equatable {
    struct Part: Codable, Equatable { var x: Int8 }
    enum Color: String, Codable { case red }
    var id: Int
    var text: String
    var score: Double
    var ratio: Float
    var isNew: Bool
    var nothing: Int?
    var wide: UInt64
    var part: Part
    var parts: [Part]
    var byName: [String: Int]
    var byNumber: [Int: String]
    var color: Color
    var data: Data
    var raw: [UInt8]
    var date: Date
    var id2: UUID
    var price: Decimal
    var link: URL
    var value: PickleValue
    var array: NumPyArray
    var big: PickleInt
  }

  static let everything = Everything(
    id: 7, text: "…", score: 0.5, ratio: 0.25, isNew: true, nothing: nil, wide: .max, part: .init(x: -1),
    parts: [.init(x: 1), .init(x: 2)], byName: ["7": 1], byNumber: [7: "a"], color: .red,
    data: Data([0, 255]),
    raw: [1, 2], date: Date(timeIntervalSince1970: 1_700_000_000.25),
    id2: UUID(uuid: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)),
    price: Decimal(string: "-12.50") ?? 0,
    link: URL(filePath: "/a"), value: .tuple([1, "x"]), array: NumPyArray([1.5]),
    big: "123456789012345678901234567890")

  @Test func `a struct becomes a dict, and comes back`() throws {
    let value = try PickleEncoder().encodeValue(Self.everything)
    #expect(value["id"] == 7 && value["ratio"] == 0.25 && value["nothing"] == nil)
    #expect(value["wide"]?.bigInteger == "18446744073709551615")
    #expect(value["byName"] == ["7": 1])
    #expect(value["byNumber"] == .dict([(7, "a")]))
    #expect(value["data"] == .bytes([0, 255]) && value["raw"] == .bytes([1, 2]))
    #expect(value["date"]?.description == "2023-11-14T22:13:20.250000+00:00")
    #expect(value["price"]?.description == "Decimal(-12.5)")
    #expect(value["value"] == .tuple([1, "x"]))
    let pickled = try PickleValue(pickle: value.pickled())
    #expect(pickled == value)
    #expect(try PickleDecoder().decode(Everything.self, from: pickled) == Self.everything)
  }

  /// Through a `Float`, the first becomes 1 and the second an infinity.
  @Test(
    arguments: [(1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-10), (65519.999, 65504), (1 + 0x1p-11, 1)]
      as [(Double, Float16)])
  func `a double becomes the nearest Float16, rounded once`(_ double: Double, _ half: Float16) throws {
    // From the bytes, from a value, in an array and alone.
    let pickle = try PickleValue.list([PickleValue(double)]).pickled()
    #expect(try PickleDecoder().decode([Float16].self, from: pickle) == [half])
    #expect(try PickleDecoder().decode([Float16?].self, from: PickleValue(pickle: pickle)) == [half])
    #expect(try PickleDecoder().decode(Float16.self, from: PickleValue(double).pickled()) == half)
    #expect(throws: DecodingError.self) { try PickleDecoder().decode(Float16.self, from: 1e6) }
    #expect(throws: DecodingError.self) {
      try PickleDecoder().decode([Float16].self, from: PickleValue.list([2049]))
    }
    let bytes = try PickleEncoder().encodeBytes([[half], []])
    #expect(try PickleDecoder().decode([[Float16]].self, from: bytes) == [[half], []])
  }

  @Test func `bytes are a list when asked for`() throws {
    var encoder = PickleEncoder()
    encoder.bytesStrategy = .array
    #expect(try encoder.encodeValue([UInt8]([1, 2])) == [1, 2])
    #expect(try PickleDecoder().decode([UInt8].self, from: [1, 2] as PickleValue) == [1, 2])
    #expect(try PickleDecoder().decode([UInt8].self, from: .byteArray([1, 2])) == [1, 2])
    #expect(try PickleDecoder().decode(Data.self, from: .byteArray([1, 2])) == Data([1, 2]))
    #expect(try PickleEncoder().encodeValue(Data([1])) == .bytes([1]))
  }

  struct Failing: Decodable {
    struct Inner: Decodable { var x: Int }
    var list: [Inner]
  }

  @Test(
    arguments: [
      (["list": [["x": 1], ["x": "a"]]], "list.1.x"), (["list": [["x": 1.5]]], "list.0.x"),
      (["list": [["y": 1]]], "list.0"), (["list": 5], "list"), ([], ""), (["list": [["x": nil]]], "list.0.x"),
      (["list": [["x": .init("0x10000000000000000" as PickleInt)]]], "list.0.x"),
    ] as [(PickleValue, String)])
  func `an error says where`(_ value: PickleValue, _ path: String) throws {
    let error = try #require(throws: DecodingError.self) {
      try PickleDecoder().decode(Failing.self, from: value)
    }
    let context =
      switch error {
      case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
        .dataCorrupted(let context):
        context
      @unknown default: throw error
      }
    #expect(
      context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".") == path
    )
    #expect(!context.debugDescription.isEmpty)
  }

  class Base: Codable {
    var a = 1
    init() {}
  }
  final class Derived: Base {
    var b = 2
    enum Key: CodingKey { case b, nested, list }
    override init() { super.init() }
    required init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: Key.self)
      b = try container.decode(Int.self, forKey: .b)
      var list = try container.nestedUnkeyedContainer(forKey: .list)
      #expect(try list.decodeNil() && list.count == 2)
      #expect(try list.nestedContainer(keyedBy: Key.self).decode(Int.self, forKey: .b) == 3)
      #expect(list.isAtEnd)
      try super.init(from: container.superDecoder())
    }
    override func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: Key.self)
      try container.encode(b, forKey: .b)
      try super.encode(to: container.superEncoder())
      var list = container.nestedUnkeyedContainer(forKey: .list)
      try list.encodeNil()
      var nested = list.nestedContainer(keyedBy: Key.self)
      try nested.encode(3, forKey: .b)
    }
  }

  @Test func `nested containers and superclasses are coded as by Foundation's coders`() throws {
    let object = Derived()
    (object.a, object.b) = (5, 6)
    let value = try PickleEncoder().encodeValue(object)
    #expect(value == ["b": 6, "super": ["a": 5], "list": [nil, ["b": 3]]])
    // A value that was encoded separately is written as if it had not been.
    #expect(try PickleValue(pickle: value.pickled()) == value)
    let again = try PickleDecoder().decode(Derived.self, from: value)
    #expect(again.a == 5 && again.b == 6)
  }

  @Test func `userInfo is handed on`() throws {
    struct Reader: Codable {
      var seen: Int
      static let key = CodingUserInfoKey(rawValue: "test")
      init() { seen = 0 }
      init(from decoder: any Decoder) throws {
        seen = Self.key.flatMap { decoder.userInfo[$0] as? Int } ?? 0
      }
      func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(Self.key.flatMap { encoder.userInfo[$0] as? Int } ?? 0)
      }
    }
    let key = try #require(Reader.key)
    var (encoder, decoder) = (PickleEncoder(), PickleDecoder())
    encoder.userInfo[key] = 5
    decoder.userInfo[key] = 6
    #expect(try encoder.encodeValue([Reader()]) == [5])
    #expect(try decoder.decode([Reader].self, from: [1] as PickleValue)[0].seen == 6)
  }

  @Test func `a datetime without a time zone is taken for UTC`() throws {
    let date = try #require(PickleDate(year: 2024, month: 2, day: 29))
    let hour = try #require(PickleTimeDelta(days: 0, seconds: 3600))
    let offset = try #require(PickleTimeZone(offset: hour))
    for (zone, expected) in [(nil, 1_709_208_000), (.utc, 1_709_208_000), (offset, 1_709_204_400)]
      as [(PickleTimeZone?, Double)]
    {
      let noon = try #require(PickleTime(hour: 12, minute: 0, timeZone: zone))
      let time = PickleDateTime(date: date, time: noon)
      #expect(
        try PickleDecoder().decode(Date.self, from: PickleValue(time))
          == Date(timeIntervalSince1970: expected))
    }
    #expect(
      try PickleDecoder().decode(Date.self, from: PickleValue(date))
        == Date(timeIntervalSince1970: 1_709_164_800))
    #expect(throws: EncodingError.self) {
      try PickleEncoder().encodeValue(Date.distantFuture.addingTimeInterval(1e12))
    }
  }

  @Test func `a registered class decodes as what it is made of`() throws {
    struct User: Decodable { var name: String, age: Int }
    enum Color: Int, Decodable { case red = 1 }
    struct Message: Decodable { var user: User, color: Color, point: [Int] }
    let pickle =
      "}(S'user'\n(iapp\nUser\n}(S'name'\nS'ann'\nS'age'\nK\u{03}ubS'color'\ncapp\nColor\n(K\u{01}tRS'point'\ncapp\nPoint\n(K\u{01}K\u{02}tRu."
    var decoder = PickleDecoder()
    for name in ["User", "Color", "Point"] { decoder.registry.register("app", name) }
    let message = try decoder.decode(Message.self, from: Array(pickle.utf8))
    #expect(
      message.user.name == "ann" && message.user.age == 3 && message.color == .red && message.point == [1, 2])
  }

  @Test func `a NumPy array of one dimension is a sequence of numbers`() throws {
    let array = PickleValue(NumPyArray([1.5, 2.5]))
    #expect(try PickleDecoder().decode([Double].self, from: array) == [1.5, 2.5])
    #expect(try PickleDecoder().decode([Float].self, from: array) == [1.5, 2.5])
    #expect(
      try PickleDecoder().decode([Int].self, from: PickleValue(NumPyArray([1, 2] as [Int16]))) == [1, 2])
    #expect(throws: DecodingError.self) { try PickleDecoder().decode([Int].self, from: array) }
    let square = try #require(
      NumPyArray(shape: [1, 2], type: Double.numPyType, bytes: [UInt8](repeating: 0, count: 16)))
    #expect(try PickleDecoder().decode([[Double]].self, from: PickleValue(square)) == [[0, 0]])
    #expect(throws: DecodingError.self) {
      try PickleDecoder().decode([Double].self, from: PickleValue(square))
    }
    #expect(throws: EncodingError.self) { try JSONEncoder().encode(square) }
  }

  /// Swift's strings, wide integers and bools are not laid out as NumPy's elements are, whatever the sizes say.
  @Test func `elements are copied as they are where each bit pattern is a value, and converted elsewhere`()
    throws
  {
    let decoder = PickleDecoder()
    let (text, raw) = (NumPyType(.text, byteCount: 0), NumPyType(.raw, byteCount: 0))
    func array(_ shape: [Int], _ type: NumPyType?, _ bytes: [UInt8] = []) -> PickleValue? {
      type.flatMap { NumPyArray(shape: shape, type: $0, bytes: bytes) }.map { PickleValue($0) }
    }
    if let row = array([4096], text), let rows = array([2, 2048], text) {
      #expect(try decoder.decode([String].self, from: row) == Array(repeating: "", count: 4096))
      let decoded = try decoder.decode([[String]].self, from: rows)
      #expect(decoded.count == 2 && decoded.allSatisfy { $0 == Array(repeating: "", count: 2048) })
    }
    if let row = array([4096], raw), let rows = array([2, 2048], raw) {
      #expect(throws: DecodingError.self) { try decoder.decode([Int128].self, from: row) }
      #expect(throws: DecodingError.self) { try decoder.decode([[UInt128]].self, from: rows) }
    }
    // From a peer: an array of 4096 empty texts, in 120 bytes.
    let pickle =
      Array("\u{2}cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0".utf8) + [0x85]
      + Array("C\u{1}btR(K\u{1}M\0\u{10}".utf8) + [0x85]
      + Array("cnumpy\ndtype\n(X\u{2}\0\0\0U0".utf8) + [0x89, 0x88]
      + Array("tR(K\u{3}X\u{1}\0\0\0<NNNK\0K\u{4}K\u{8}tb".utf8) + [0x89] + Array("C\0tb.".utf8)
    #expect(
      try decoder.decode([String].self, from: [0x80] + [UInt8](pickle)) == Array(repeating: "", count: 4096))
    let bools = try #require(array([4], NumPyType(.bool, byteCount: 1), [0, 1, 2, 255]))
    let decoded = try decoder.decode([Bool].self, from: bools)
    #expect(decoded == [false, true, true, true] && decoded.allSatisfy { $0 == !(!$0) })
    #expect(decoded.map { unsafe unsafeBitCast($0, to: UInt8.self) } == [0, 1, 1, 1])
  }
}
