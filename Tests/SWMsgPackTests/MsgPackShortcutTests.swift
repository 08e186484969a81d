import SWFraming
import SWMsgPack
import TestSupport
import Testing

/// The ways that were taken because they are fast: each has borders of its own.
@Suite(.lastResort, .leavesNothing) struct MsgPackShortcutTests {
  struct Name: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(_ text: String) { stringValue = text }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// Decodes the values of some keys from a map, in that order.
  struct Picker: Decodable {
    static let keys = CodingUserInfoKey(rawValue: "keys")
    var values: [Int?] = []
    init(from decoder: any Decoder) throws {
      let map = try decoder.container(keyedBy: Name.self)
      guard let key = Self.keys, let names = decoder.userInfo[key] as? [String] else { return }
      values = try names.map { try map.decodeIfPresent(Int.self, forKey: Name($0)) }
    }
  }

  func pick(_ names: [String], from value: MsgPackValue) throws -> [Int?] {
    var decoder = MsgPackDecoder()
    if let key = Picker.keys { decoder.userInfo = [key: names] }
    return try decoder.decode(Picker.self, from: value.encoded()).values
  }

  @Test(arguments: 0...34) func `keys of each length are told apart by any one byte`(_ length: Int) throws {
    let name = String(repeating: "k", count: length)
    var names = [name, name + "k"]
    for index in 0..<length {
      var other = Array(name.utf8)
      other[index] = UInt8(ascii: "x")
      names.append(String(decoding: other, as: UTF8.self))
    }
    for other in names.dropFirst() {
      let map: MsgPackValue = .map([.init(.string(other), 1), .init(.string(name), 2)])
      #expect(try pick([other, name, other], from: map) == [1, 2, 1])
      #expect(try pick([name, other, name], from: map) == [2, 1, 2])
      #expect(try pick([name], from: .map([.init(.string(other), 1)])) == [nil])
    }
  }

  @Test func `keys of equal ends are no duplicates, and duplicates among them are found`() throws {
    let names = ["axb", "ayb", "azb", ""]
    var pairs = names.enumerated().map { MsgPackValue.Pair(.string($1), .int(Int64($0))) }
    pairs.append(.init(7, 70))
    #expect(try pick(names, from: .map(pairs)) == [0, 1, 2, 3])
    pairs.append(.init("ayb", 9))
    #expect(try pick(names, from: .map(pairs)) == [0, 9, 2, 3])
    pairs.append(.init("", 8))
    #expect(try pick(names.reversed(), from: .map(pairs)) == [8, 2, 9, 0])
  }

  @Test(arguments: 0...40) func `texts of each length go both ways, and what is no text is refused`(
    _ length: Int
  ) throws {
    let plain = String(repeating: "a", count: length)
    for text in [plain, plain + "é", "é" + plain, plain + "é" + plain] {
      let bytes = try MsgPackEncoder().encodeBytes([text: text])
      #expect(try MsgPackValue(bytes) == .map([.init(.string(text), .string(text))]))
      #expect(try bytes == MsgPackValue.map([.init(.string(text), .string(text))]).encoded())
      #expect(try MsgPackDecoder().decode([String: String].self, from: bytes) == [text: text])
    }
    for index in 0..<length {
      var bytes = try MsgPackEncoder().encodeBytes([plain])
      bytes[bytes.count - length + index] = 0xff
      #expect(throws: DecodingError.self) { try MsgPackDecoder().decode([String].self, from: bytes) }
      let error = #expect(throws: MsgPackError.self) { try MsgPackValue(bytes) }
      #expect(error?.kind == .notUTF8)
    }
  }

  /// The result of a scanner that gets the bytes one by one.
  func scanned(_ bytes: [UInt8], _ limits: MsgPackLimits) -> MsgPackValue? {
    let framing = MsgPackValueFraming(limits: limits)
    var scanner = framing.makeScanner()
    for count in 1...bytes.count {
      let received = Array(bytes[..<count])
      guard let demand = try? scanner.demand(in: received.span) else { return nil }
      if let payload = demand.payload {
        guard demand.byteCount == bytes.count else { return nil }
        return try? framing.decode(bytes.span, payload: payload, scanned: scanner)
      }
    }
    return nil
  }

  @Test func `a value that is there as a whole is what it is byte by byte, within the same limits`() throws {
    let wires =
      MsgPackVectors.golden.pack.filter { $0.packedPrefixOnly != true }.map(\.packed.bytes)
      + MsgPackVectors.golden.noncanonical.map(\.packed.bytes)
      + MsgPackVectors.golden.singleFloat.map(\.packed.bytes)
    for wire in wires where wire.count < 3000 {
      for limits in [
        MsgPackLimits(), MsgPackLimits(depth: 1), MsgPackLimits(depth: 2), MsgPackLimits(elements: 1),
        MsgPackLimits(elements: 2), MsgPackLimits(elements: 3), MsgPackLimits(elements: 5),
      ] {
        let whole = try? MsgPackValue(wire, limits: limits)
        // As bytes: what is not a number equals nothing.
        #expect(try whole?.encoded() == scanned(wire, limits)?.encoded())
      }
      #expect(throws: MsgPackError.self) { try MsgPackValue(wire + [0xc0]) }
      #expect(throws: MsgPackError.self) { try MsgPackValue(Array(wire.dropLast())) }
    }
  }

  struct Mixed: Codable, Equatable {
    struct Left: Codable, Equatable { var left: [String] }
    struct Right: Codable, Equatable {
      var right: [Double]
      var lefts: [Left]
    }
    var first: Left
    var words: [String]
    var second: Right
    var third: Left
    var more: [Right]
  }

  @Test func `types that take turns are each decoded as what they are`() throws {
    let left = Mixed.Left(left: ["a longer text than fits into a word", ""])
    let right = Mixed.Right(right: [1.5], lefts: [left, left])
    let value = Mixed(first: left, words: ["w"], second: right, third: left, more: [right, right])
    let bytes = try MsgPackEncoder().encodeBytes([value, value])
    #expect(try MsgPackDecoder().decode([Mixed].self, from: bytes) == [value, value])
  }

  struct Keeper: Decodable {
    final class Box {
      var map: KeyedDecodingContainer<Name>?
      var nested: KeyedDecodingContainer<Name>?
      var inner: (any Decoder)?
    }
    let box = Box()
    init(from decoder: any Decoder) throws {
      let map = try decoder.container(keyedBy: Name.self)
      box.map = map
      box.nested = try map.nestedContainer(keyedBy: Name.self, forKey: Name("nested"))
      box.inner = try map.superDecoder(forKey: Name("text"))
    }
  }

  @Test(arguments: [0, 40]) func `containers that are kept still have their bytes and their path`(
    _ others: Int
  ) throws {
    let text = "a longer text than fits into a word"
    let filling = (0..<others).map { MsgPackValue.Pair(.string("other \($0)"), nil) }
    let map = MsgPackValue.map(
      [.init("text", .string(text)), .init("nested", .map([.init("text", .string(text))]))] + filling)
    let keepers = try MsgPackDecoder().decode([Keeper].self, from: MsgPackValue.array([map, map]).encoded())
    for (index, keeper) in keepers.enumerated() {
      #expect(try keeper.box.map?.decode(String.self, forKey: Name("text")) == text)
      #expect(try keeper.box.nested?.decode(String.self, forKey: Name("text")) == text)
      #expect(try keeper.box.inner?.singleValueContainer().decode(String.self) == text)
      #expect(keeper.box.nested?.codingPath.map(\.stringValue) == ["Index \(index)", "nested"])
      #expect(keeper.box.inner?.codingPath.map(\.stringValue) == ["Index \(index)", "text"])
    }
  }

  struct Tower: Encodable {
    var height: Int
    func encode(to encoder: any Encoder) throws {
      var map = encoder.container(keyedBy: Name.self)
      try Tower.Side().encode(to: map.superEncoder(forKey: Name("side")))
      if height > 1 { try map.encode(Tower(height: height - 1), forKey: Name("on")) }
    }
    struct Side: Encodable {
      func encode(to encoder: any Encoder) throws {
        var list = encoder.unkeyedContainer()
        try list.encode(String(repeating: "s", count: 40))
      }
    }
  }

  @Test func `what is written apart finds its place on every level`() throws {
    let side = MsgPackValue.array([.string(String(repeating: "s", count: 40))])
    var expected: MsgPackValue = ["side": side]
    for _ in 1..<40 { expected = ["side": side, "on": expected] }
    #expect(try MsgPackValue(MsgPackEncoder().encodeBytes(Tower(height: 40))) == expected)
  }
}
