import Foundation
import SWFraming
import SWMsgPack
import TestSupport
import Testing

/// The rules that both families of coders keep, and what real peers of MessagePack send.
@Suite(.lastResort, .leavesNothing) struct MsgPackRuleTests {
  struct Key: CodingKey {
    var stringValue: String
    var intValue: Int?
    init(_ text: String) { stringValue = text }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { (stringValue, self.intValue) = ("\(intValue)", intValue) }
  }

  // MARK: Numbers

  /// Through a `Float`, the first becomes 1 and the second an infinity.
  @Test(
    arguments: [(1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-10), (65519.999, 65504), (1 + 0x1p-11, 1)]
      as [(Double, Float16)])
  func `a double becomes the nearest Float16, rounded once`(_ double: Double, _ half: Float16) throws {
    #expect(try MsgPackDecoder().decode(Float16.self, from: .double(double)) == half)
    #expect(try MsgPackDecoder().decode([Float16?].self, from: [.double(-double), nil]) == [-half, nil])
    #expect(try MsgPackDecoder().decode(Float16.self, from: .float(0.5)) == 0.5)
    #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(Float16.self, from: 2049) }
    let bytes = try MsgPackEncoder().encodeBytes(["x": half])
    #expect(try MsgPackDecoder().decode([String: Float16].self, from: bytes) == ["x": half])
  }

  @Test func `a double becomes the nearest Float, and no infinity`() throws {
    struct Reply: Codable { var x: Float }
    let tenth: [UInt8] = [0x81, 0xa1, 0x78, 0xcb, 0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a]
    #expect(try MsgPackDecoder().decode(Reply.self, from: tenth).x == 0.1)
    #expect(
      try MsgPackDecoder().decode([Float].self, from: MsgPackValue.array([0.1, 1.0, 2.5]).encoded()) == [
        0.1, 1, 2.5,
      ])
    #expect(try MsgPackDecoder().decode(Float16.self, from: MsgPackValue.double(0.1).encoded()) == 0.1)
    for value in [MsgPackValue.double(1e300), -1e300] {
      #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(Float.self, from: value) }
      #expect(throws: DecodingError.self) { try MsgPackDecoder().decode([Float].self, from: .array([value])) }
    }
    #expect(try MsgPackDecoder().decode([Float].self, from: [.double(.infinity)]) == [.infinity])
    #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(Float16.self, from: 1e6) }
  }

  @Test func `integers of 128 bits go in every position as far as 64 bits hold them`() throws {
    struct Wide: Codable, Equatable {
      var x: Int128
      var y: UInt128?
      var list: [UInt128]
    }
    let wide = Wide(x: Int128(Int64.min), y: UInt128(UInt64.max), list: [0, 1 << 63])
    #expect(try MsgPackDecoder().decode(Wide.self, from: MsgPackEncoder().encodeBytes(wide)) == wide)
    #expect(try MsgPackDecoder().decode(Int128.self, from: MsgPackEncoder().encodeBytes(Int128(-7))) == -7)
    let error = #expect(throws: EncodingError.self) {
      try MsgPackEncoder().encodeBytes(["a": Wide(x: 1 << 100, y: nil, list: [])])
    }
    guard case .invalidValue(_, let context) = error else { return }
    #expect(context.codingPath.map(\.stringValue) == ["a", "x"])
    #expect(throws: EncodingError.self) { try MsgPackEncoder().encodeBytes([UInt128.max]) }
    #expect(throws: EncodingError.self) { try MsgPackEncoder().encodeBytes(Int128.min) }
    #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(UInt128.self, from: -1) }
  }

  @Test func `a Decimal is its text, and is read from every number without a trap`() throws {
    struct Order: Codable { var price: Decimal }
    let price = try #require(Decimal(string: "-12345678901234567890.123456789"))
    #expect(
      try MsgPackEncoder().encodeValue(Order(price: price)) == ["price": "-12345678901234567890.123456789"])
    #expect(try MsgPackDecoder().decode(Decimal.self, from: MsgPackEncoder().encodeBytes(price)) == price)
    #expect(try MsgPackDecoder().decode(Decimal.self, from: 3.133).description == "3.133")
    #expect(try MsgPackDecoder().decode(Decimal.self, from: .float(0.1)).description == "0.1")
    #expect(
      try MsgPackDecoder().decode(Decimal.self, from: .uint(.max)).description == "18446744073709551615")
    let bad: [MsgPackValue] = [
      .double(.infinity), .double(-.infinity), .float(.infinity), 1e300, "x", "1x", "Infinity",
    ]
    for value in bad {
      #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(Order.self, from: ["price": value]) }
    }
  }

  // MARK: Dates

  @Test func `dates come back equal`() throws {
    for index in 0..<10_000 {
      let date = Date(timeIntervalSinceReferenceDate: 8e8 + Double(index) * 0.0123456789)
      #expect(try MsgPackDecoder().decode(Date.self, from: MsgPackEncoder().encodeBytes(date)) == date)
    }
    for date in [Date.distantPast, .distantFuture, Date()] {
      #expect(try MsgPackDecoder().decode(Date.self, from: MsgPackEncoder().encodeBytes(date)) == date)
    }
    for seconds in [Double.infinity, .nan, 1e30] {
      #expect(throws: EncodingError.self) {
        try MsgPackEncoder().encodeBytes(Date(timeIntervalSinceReferenceDate: seconds))
      }
    }
  }

  @Test func `dates of ISO 8601 have their fraction in both directions`() throws {
    var (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
    encoder.dateStrategy = .iso8601
    decoder.dateStrategy = .iso8601
    let python = try decoder.decode(Date.self, from: "2026-11-25T20:00:00.123456+00:00")
    #expect(abs(python.timeIntervalSince1970 - 1_795_636_800.123456) < 1e-6)
    let half = Date(timeIntervalSince1970: 0.5)
    #expect(try encoder.encodeValue(half) == "1970-01-01T00:00:00.500Z")
    #expect(try decoder.decode(Date.self, from: encoder.encodeValue(half)) == half)
    #expect(throws: EncodingError.self) { try encoder.encodeBytes(Date(timeIntervalSince1970: 1e12)) }
    let error = #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(Date.self, from: 1.5) }
    #expect("\(String(describing: error))".contains("dateStrategy"))
  }

  // MARK: Bytes

  @Test func `bytes are read from strings, and the old format has a switch`() throws {
    struct Photo: Codable { var img: Data }
    let raw: [UInt8] = [0x81, 0xa3, 0x69, 0x6d, 0x67, 0xa4, 0xff, 0xd8, 0xff, 0xe0]
    #expect(try MsgPackDecoder().decode(Photo.self, from: raw).img == Data([0xff, 0xd8, 0xff, 0xe0]))
    #expect(
      try MsgPackDecoder().decode([String: [UInt8]].self, from: raw) == ["img": [0xff, 0xd8, 0xff, 0xe0]])
    #expect(throws: MsgPackError.self) { try MsgPackValue(raw) }
    #expect(try MsgPackValue(raw, usesOldRaw: true) == ["img": .binary([0xff, 0xd8, 0xff, 0xe0])])
    var decoder = MsgPackDecoder()
    decoder.usesOldRaw = true
    #expect(try decoder.decode([String: MsgPackValue].self, from: raw)["img"]?.bytes?.count == 4)

    var encoder = MsgPackEncoder()
    encoder.usesOldRaw = true
    #expect(try encoder.encodeBytes(Data([0xff])) == [0xa1, 0xff])
    let text = String(repeating: "x", count: 40)
    #expect(try encoder.encodeBytes([text]).prefix(4) == [0x91, 0xda, 0, 40])
    #expect(
      try encoder.encodeBytes(MsgPackValue.array([.string(text), .binary([1])])).prefix(4) == [
        0x92, 0xda, 0, 40,
      ])
  }

  @Test func `fluentd's packed messages are read`() throws {
    let entries: [UInt8] = [0x92, 0xce, 0x5d, 0x49, 0xd2, 0xa0, 0x81, 0xa1, 0x61, 0xc2]
    let message: [UInt8] = [0x93, 0xa3, 0x74, 0x61, 0x67, 0xdb, 0, 0, 0, 10] + entries + [0x80]
    struct Forward: Decodable {
      var entries: Data
      init(from decoder: any Decoder) throws {
        var array = try decoder.unkeyedContainer()
        _ = try array.decode(String.self)
        entries = try array.decode(Data.self)
      }
    }
    #expect(try Array(MsgPackDecoder().decode(Forward.self, from: message).entries) == entries)
    var decoder = MsgPackDecoder()
    decoder.usesOldRaw = true
    #expect(try decoder.decode([MsgPackValue].self, from: message)[1] == .binary(entries))
  }

  @Test func `empty arrays of every kind are arrays, and only bytes are bytes`() throws {
    struct Lists: Codable {
      var tags: [String] = []
      var reals: [Double] = []
      var nested: [[Int]] = []
      var bytes: [UInt8] = []
      var data = Data()
    }
    let value = try MsgPackEncoder().encodeValue(Lists())
    #expect(value == ["tags": [], "reals": [], "nested": [], "bytes": .binary([]), "data": .binary([])])
    var encoder = MsgPackEncoder()
    encoder.bytesStrategy = .array
    #expect(try encoder.encodeValue(Lists())["bytes"] == [])
  }

  // MARK: Keys

  @Test func `keys of dictionaries are left alone by every strategy`() throws {
    var (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
    encoder.keyStrategy = .snakeCase
    decoder.keyStrategy = .snakeCase
    encoder.usesIntegerKeys = true
    let table = ["HelloWorld": 1, "oneTwo": 2, "one_two": 3, "007": 4, "7": 5, "+5": 6]
    #expect(try encoder.encodeValue(table)["HelloWorld"] == 1)
    #expect(try decoder.decode([String: Int].self, from: encoder.encodeBytes(table)) == table)
    let inner = ["a": ["bC": ["dE": 1]]]
    #expect(
      try decoder.decode([String: [String: [String: Int]]].self, from: encoder.encodeBytes(inner)) == inner)
    #expect(try encoder.encodeValue([7: "a"]) == [7: "a"])
    encoder.keyStrategy = .custom { path in Key("x" + (path.last?.stringValue ?? "")) }
    #expect(try encoder.encodeValue(["a": 1]) == ["a": 1])
  }

  struct Snake: Codable, Equatable {
    var myURL: Int
    var alreadySnake: Int
    var inner: [String: Int]
    enum CodingKeys: String, CodingKey {
      case myURL
      case alreadySnake = "already_snake"
      case inner
    }
  }

  @Test func `snake case finds the keys that it writes`() throws {
    var (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
    encoder.keyStrategy = .snakeCase
    decoder.keyStrategy = .snakeCase
    let value = Snake(myURL: 1, alreadySnake: 2, inner: ["aB": 3])
    let form: MsgPackValue = ["my_url": 1, "already_snake": 2, "inner": ["aB": 3]]
    #expect(try encoder.encodeValue(value) == form)
    #expect(try decoder.decode(Snake.self, from: encoder.encodeBytes(value)) == value)
    enum Shape: Codable, Equatable {
      case bigCircle(innerRadius: Double)
      case point
    }
    let shapes = [Shape.bigCircle(innerRadius: 1), .point]
    #expect(try decoder.decode([Shape].self, from: encoder.encodeBytes(shapes)) == shapes)
  }

  @Test func `dictionaries of each kind of key are maps`() throws {
    let id = UUID()
    #expect(try MsgPackEncoder().encodeValue([id: 1]) == .map([.init(.string(id.uuidString), 1)]))
    #expect(try MsgPackEncoder().encodeValue([UInt64.max: 1]) == .map([.init(.uint(.max), 1)]))
    #expect(try MsgPackEncoder().encodeValue([Data([1]): 1]) == .map([.init(.binary([1]), 1)]))
    #expect(try MsgPackEncoder().encodeValue([-7: 1]) == [-7: 1])
    let empty: MsgPackValue = [:]
    #expect(try MsgPackEncoder().encodeValue([UUID: Int]()) == empty)
    func check<K: Codable & Hashable>(_ table: [K: [Int]]) throws {
      let bytes = try MsgPackEncoder().encodeBytes(["t": table])
      #expect(try MsgPackDecoder().decode([String: [K: [Int]]].self, from: bytes) == ["t": table])
    }
    try check([id: [1], UUID(): []])
    try check([1.5: [1], -0.5: [2]])
    try check([true: [1], false: []])
    try check([UInt8(1): [1], 200: [2]])
    try check([[1, 2]: [1], []: [3]])
    try check([Date(timeIntervalSince1970: 0.5): [1]])
    // The form of other encoders: keys and values take turns in an array.
    #expect(try MsgPackDecoder().decode([UInt8: String].self, from: [1, "a", 2, "b"]) == [1: "a", 2: "b"])
  }

  struct ByHand: Codable, Equatable {
    var table: [Int: String]
    init(_ table: [Int: String]) { self.table = table }
    init(from decoder: any Decoder) throws { table = try [Int: String](from: decoder) }
    func encode(to encoder: any Encoder) throws { try table.encode(to: encoder) }
  }

  @Test func `the keys of a dictionary that a type encodes by hand are strings, and both forms are read`()
    throws
  {
    let byHand = ByHand([7: "a", -1: "b"])
    let value = try MsgPackEncoder().encodeValue(byHand)
    #expect(value["7"] == "a" && value["-1"] == "b" && value[7] == nil)
    #expect(try MsgPackDecoder().decode(ByHand.self, from: value) == byHand)
    #expect(try MsgPackDecoder().decode(ByHand.self, from: MsgPackEncoder().encode(byHand.table)) == byHand)
  }

  @Test func `keys that cannot be told apart or expressed are errors`() throws {
    func refuse<T: Decodable>(_ type: T.Type, _ pairs: [MsgPackValue.Pair]) {
      #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(type, from: .map(pairs)) }
      let many = (0..<40).map { MsgPackValue.Pair(.int($0 + 100), 0) }
      #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(type, from: .map(pairs + many)) }
    }
    refuse([String: Int].self, [.init(7, 1), .init("7", 2)])
    refuse([String: Int].self, [.init("\u{e9}", 1), .init("e\u{301}", 2)])
    refuse([String: Int].self, [.init(.binary([0x61]), 1), .init("a", 2)])
    refuse([String: Int].self, [.init(nil, 1)])
    refuse([String: Int].self, [.init(1.5, 1)])
    refuse([String: Int].self, [.init(.binary([0xff]), 1)])
    refuse([Int: Int].self, [.init("7", 1), .init("007", 2)])
    refuse([Int: Int].self, [.init(7, 1), .init("+7", 2)])
    refuse([Int: Int].self, [.init("x", 1)])
    refuse([Double: Int].self, [.init(1, 1), .init(1.0, 2)])
    refuse([Double: Int].self, [.init(.double(0), 1), .init(.double(-0.0), 2)])
    // An exact repetition counts with its last value.
    #expect(try MsgPackDecoder().decode([UInt8: Int].self, from: .map([.init(1, 1), .init(1, 2)])) == [1: 2])
    #expect(try MsgPackDecoder().decode([Int: Int].self, from: .map([.init(1, 1), .init(1, 2)])) == [1: 2])
  }

  @Test func `keys of binary data are read as text`() throws {
    struct Row: Codable, Equatable {
      var id: Int
      var name: String?
    }
    let pairs: [MsgPackValue.Pair] = [
      .init(.binary(Array("id".utf8)), 7), .init(.binary(Array("name".utf8)), "x"),
    ]
    #expect(try MsgPackDecoder().decode(Row.self, from: .map(pairs)) == Row(id: 7, name: "x"))
    #expect(try MsgPackDecoder().decode([String: MsgPackValue].self, from: .map(pairs))["id"] == 7)
    #expect(try MsgPackDecoder().decode([Data: MsgPackValue].self, from: .map(pairs))[Data("id".utf8)] == 7)
  }

  @Test func `a key that is encoded twice is an error, however it comes about`() throws {
    struct Twice: Encodable {
      enum K: CodingKey { case a, b }
      enum Other: String, CodingKey { case second = "a" }
      var how: Int
      func encode(to encoder: any Encoder) throws {
        var map = encoder.container(keyedBy: K.self)
        try map.encode(1, forKey: .a)
        try map.encode(2, forKey: .b)
        switch how {
        case 0: try map.encode(3, forKey: .a)
        case 1: try map.encodeNil(forKey: .a)
        case 2: try encoder.container(keyedBy: Other.self).encodeOne()
        case 3:
          var list = map.nestedUnkeyedContainer(forKey: .a)
          try list.encode([1, 2])
        case 4:
          var any = encoder.container(keyedBy: Key.self)
          try any.encode(["x": 1], forKey: Key("c"))
          try any.encode(3, forKey: Key("a"))
        default:
          var any = encoder.container(keyedBy: Key.self)
          try any.encode(3, forKey: Key("c"))
        }
      }
    }
    for how in 0...4 {
      let error = #expect(throws: EncodingError.self) {
        try MsgPackEncoder().encodeBytes(["t": Twice(how: how)])
      }
      #expect("\(String(describing: error))".contains("same key"))
    }
    #expect(try MsgPackEncoder().encodeValue(Twice(how: 5)) == ["a": 1, "b": 2, "c": 3])
    struct Alike: Codable {
      var first = 1
      var second = 2
      enum CodingKeys: String, CodingKey {
        case first = "oneTwo"
        case second = "one_two"
      }
    }
    var encoder = MsgPackEncoder()
    #expect(try encoder.encodeValue(Alike()) == ["oneTwo": 1, "one_two": 2])
    encoder.keyStrategy = .snakeCase
    #expect(throws: EncodingError.self) { try encoder.encodeBytes(Alike()) }
  }

  @Test func `sorted keys make equal values equal bytes`() throws {
    var encoder = MsgPackEncoder()
    encoder.sortsKeys = true
    let table = Dictionary(uniqueKeysWithValues: (0..<100).map { ("k\($0)", ["b": [$0], "a": []]) })
    let bytes = try encoder.encodeBytes(table)
    for _ in 0..<5 {
      var other: [String: [String: [Int]]] = [:]
      for (key, value) in table.shuffled() { other[key] = value }
      #expect(try encoder.encodeBytes(other) == bytes)
    }
    guard case .map(let pairs) = try MsgPackValue(bytes) else { return }
    #expect(pairs.count == 100)
    let texts = try pairs.map { try $0.key.encoded() }
    #expect(texts == texts.sorted { $0.lexicographicallyPrecedes($1) })
    #expect(try MsgPackDecoder().decode([String: [String: [Int]]].self, from: bytes) == table)
  }

  // MARK: Failures

  struct Bad: Encodable {
    enum K: CodingKey { case a, b }
    func encode(to encoder: any Encoder) throws {
      var map = encoder.container(keyedBy: K.self)
      try map.encode(1, forKey: .a)
      var list = map.nestedUnkeyedContainer(forKey: .b)
      try list.encode(2)
      throw EncodingError.invalidValue(0, .init(codingPath: [], debugDescription: "bad"))
    }
  }
  struct Lossy: Encodable {
    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      do { try container.encode(Bad()) } catch { try container.encodeNil() }
    }
  }

  @Test func `a failed encode leaves nothing behind`() throws {
    #expect(try MsgPackEncoder().encodeValue(["x": Lossy()]) == ["x": nil])
    #expect(try MsgPackEncoder().encodeBytes([Lossy(), Lossy()]) == [0x92, 0xc0, 0xc0])
    #expect(try MsgPackEncoder().encodeBytes(Lossy()) == [0xc0])
    #expect(try MsgPackEncoder().encodeBytes([[Lossy()], [Lossy()]]) == [0x92, 0x91, 0xc0, 0x91, 0xc0])
  }

  struct Scripted: Encodable {
    var run: @Sendable (any Encoder) throws -> Void
    func encode(to encoder: any Encoder) throws { try run(encoder) }
  }

  @Test func `a single value container takes one value`() throws {
    let scripts: [@Sendable (any Encoder) throws -> Void] = [
      {
        var c = $0.singleValueContainer()
        try c.encode(1)
        try c.encode(2)
      },
      {
        var c = $0.singleValueContainer()
        try c.encode([1])
        try c.encodeNil()
      },
      {
        var c = $0.singleValueContainer()
        try c.encodeNil()
        try c.encode("x")
      },
      {
        var c = $0.singleValueContainer()
        try c.encode(1)
        var d = $0.unkeyedContainer()
        try d.encode(2)
      },
      {
        var d = $0.unkeyedContainer()
        try d.encode(2)
        var c = $0.singleValueContainer()
        try c.encode(1)
      },
      {
        var d = $0.unkeyedContainer()
        try d.encode(2)
        var e = $0.container(keyedBy: Key.self)
        try e.encode(1, forKey: Key("a"))
      },
    ]
    for script in scripts {
      #expect(throws: EncodingError.self) { try MsgPackEncoder().encodeBytes([Scripted(run: script)]) }
      #expect(throws: EncodingError.self) { try MsgPackEncoder().encodeBytes(Scripted(run: script)) }
      // A container that catches the error goes on as if nothing had been written.
      let outer = Scripted { encoder in
        var list = encoder.unkeyedContainer()
        try list.encode(1)
        try? list.encode(Scripted(run: script))
        try list.encode(2)
      }
      #expect(try MsgPackEncoder().encodeBytes(outer) == [0x92, 1, 2])
    }
    let error = #expect(throws: EncodingError.self) {
      try MsgPackEncoder().encodeBytes([Scripted(run: scripts[5])])
    }
    #expect("\(String(describing: error))".contains("cannot encode both an array and a map at this position"))
  }

  // MARK: Extensions

  struct Complex: Codable, Hashable {
    var real: Double
    var imaginary: Double
  }
  struct NotComplex: Error {}

  @Test func `extension types of the program's own go both ways`() throws {
    var extensions = MsgPackExtensions()
    extensions.register(Complex.self, as: 5) { complex in
      try MsgPackEncoder().encodeBytes([complex.real, complex.imaginary])
    } decode: { bytes in
      let parts = try MsgPackDecoder().decode([Double].self, from: bytes)
      guard parts.count == 2 else { throw NotComplex() }
      return Complex(real: parts[0], imaginary: parts[1])
    }
    var (encoder, decoder) = (MsgPackEncoder(), MsgPackDecoder())
    encoder.extensions = extensions
    decoder.extensions = extensions
    let value = ["a": [Complex(real: 1, imaginary: 2)]]
    let bytes = try encoder.encodeBytes(value)
    guard case .extension(5, let payload) = try MsgPackValue(bytes)["a"]?[0] else {
      Issue.record("no extension")
      return
    }
    #expect(payload.count == 19)
    #expect(try decoder.decode([String: [Complex]].self, from: bytes) == value)
    #expect(try decoder.decode(Complex?.self, from: encoder.encodeBytes(Complex?.none)) == nil)
    for bad: MsgPackValue in [
      .extension(type: 6, payload), .extension(type: 5, [0x90]), 1, ["real": 1, "imaginary": 2],
    ] {
      #expect(throws: DecodingError.self) { try decoder.decode(Complex.self, from: bad) }
    }
    #expect(
      try MsgPackDecoder().decode(Complex.self, from: MsgPackEncoder().encodeBytes(value["a"]?[0])).real == 1)
  }

  // MARK: Framings

  @Test func `values compose over any byte framing`() throws {
    struct Note: Codable, Sendable, Equatable {
      var id: Int
      var text: String
    }
    let framing = LengthPrefixedFraming.lengthPrefixed(.uint32).msgPack(Note.self)
    var parts = FrameParts()
    try framing.encode(Note(id: 7, text: "x"), into: &parts)
    #expect(parts.bytes.prefix(4) == [0, 0, 0, 12])
    #expect(try framing.decode(filling: parts.bytes.span) == Note(id: 7, text: "x"))
    let client = VarIntFraming.varInt.msgPack(receiving: Note.self, sending: Int.self)
    parts = FrameParts()
    try client.encode(5, into: &parts)
    #expect(parts.bytes == [1, 5])
    #expect(try client.flipped.decode(filling: parts.bytes.span) == 5)
    #expect(throws: DecodingError.self) { try client.flipped.decode(filling: [2, 5, 5].span) }
    let any = VarIntFraming.varInt.msgPack()
    #expect(try any.decode(filling: [2, 0x91, 0xc0].span) == [nil])
  }

  @Test func `identifiers are read in every form`() throws {
    let id = UUID()
    let bytes = unsafe withUnsafeBytes(of: id.uuid) { unsafe Array($0) }
    for form: MsgPackValue in [
      .string(id.uuidString), .string(id.uuidString.lowercased().replacing("-", with: "")), .binary(bytes),
    ] {
      #expect(try MsgPackDecoder().decode(UUID.self, from: form) == id)
    }
    #expect(throws: DecodingError.self) { try MsgPackDecoder().decode(UUID.self, from: "x") }
  }

  @Test func `a number that is no date is an error, because a program could not even print it`() throws {
    for strategy: CodingDateStrategy in [.secondsSince1970, .millisecondsSince1970, .deferredToDate] {
      var decoder = MsgPackDecoder()
      decoder.dateStrategy = strategy
      for number in [Double.nan, .infinity, -.infinity, .signalingNaN] {
        #expect(throws: DecodingError.self) { try decoder.decode(Date.self, from: .double(number)) }
        #expect(throws: DecodingError.self) { try decoder.decode([Date?].self, from: [.double(number)]) }
        #expect(throws: DecodingError.self) { try decoder.decode(Date.self, from: .float(Float(number))) }
      }
      for number in [Double.greatestFiniteMagnitude, -Double.greatestFiniteMagnitude, 0] {
        let date = try decoder.decode(Date.self, from: .double(number))
        #expect("\(date)".isEmpty == false)
        #expect(date.timeIntervalSinceReferenceDate.isFinite)
      }
    }
  }

  @Test func `a timestamp has less than a billion nanoseconds, and a date fits 64 bits of seconds`() throws {
    func timestamp(_ nanoseconds: UInt64) -> MsgPackTimestamp? {
      let both = nanoseconds << 34 | 5
      return MsgPackTimestamp(
        .extension(type: -1, (0..<8).map { UInt8(truncatingIfNeeded: both >> UInt64(56 - 8 * $0)) }))
    }
    #expect(timestamp(999_999_999) == MsgPackTimestamp(seconds: 5, nanoseconds: 999_999_999))
    #expect(timestamp(1_000_000_000) == nil)
    // The last number below 2⁶³: with the years between 1970 and 2001 it is too large.
    for seconds in [0x1p63.nextDown, 0x1p63, -0x1p63.nextUp * 2] {
      #expect(throws: EncodingError.self) {
        try MsgPackEncoder().encodeBytes(Date(timeIntervalSinceReferenceDate: seconds))
      }
    }
  }

  @Test func `two keys that the strategy makes one are an error, and a repeated key is none`() throws {
    struct Fields: Decodable { var a: Int }
    var decoder = MsgPackDecoder()
    decoder.keyStrategy = .custom { path in Key((path.last?.stringValue ?? "").lowercased()) }
    #expect(throws: DecodingError.self) { try decoder.decode(Fields.self, from: ["a": 1, "A": 2]) }
    #expect(try decoder.decode(Fields.self, from: ["A": 1, "b": 2]).a == 1)
    #expect(try decoder.decode(Fields.self, from: ["A": 1, "A": 2]).a == 2)
  }

  @Test func `a map whose keys another format cannot tell apart is refused, and loses no entry`() throws {
    let value = MsgPackValue.map([.init(7, "number"), .init("7", "text")])
    #expect(throws: EncodingError.self) { try JSONEncoder().encode(value) }
    #expect(throws: EncodingError.self) { try JSONEncoder().encode([value]) }
    // Of a key that occurs twice the last value counts, as everywhere.
    let twice = MsgPackValue.map([.init("a", 1), .init("a", 2)])
    #expect(try JSONDecoder().decode([String: Int].self, from: JSONEncoder().encode(twice)) == ["a": 2])
  }
}

extension KeyedEncodingContainer {
  /// Encodes a number under the first key of an enumeration that is found by the name of a.
  fileprivate func encodeOne() throws {
    var container = self
    if let key = K(stringValue: "a") { try container.encode(9, forKey: key) }
  }
}
