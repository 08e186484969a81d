import SWJSON
import SWPickle
import TestSupport
import Testing

/// The bound of a decoding's visits: values without sharing stay below it, whatever they consist of.
@Suite(.lastResort, .leavesNothing) struct PickleBoundTests {
  private static let data = [UInt8](repeating: 7, count: 20_000)

  @Test func `bytes decode as numbers, however many they are`() throws {
    for value in [PickleValue.bytes(Self.data), .byteArray(Self.data), .list([.bytes(Self.data)])] {
      let pickle = try value.pickled()
      let part = value.elements?.first ?? value
      #expect(try PickleDecoder().decode([Int].self, from: part).count == Self.data.count)
      #expect(try PickleDecoder().decode([JSONValue].self, from: part).count == Self.data.count)
      #expect(
        try PickleDecoder().decode(JSONValue.self, from: part.pickled()).elements?.count == Self.data.count)
      if value.elements != nil {
        #expect(try PickleDecoder().decode([[Int]].self, from: pickle)[0].count == Self.data.count)
        #expect(
          try PickleDecoder().decode([JSONValue].self, from: pickle)[0].elements?.count == Self.data.count)
      }
    }
  }

  @Test func `a masked array and an array of the machine decode, however long they are`() throws {
    let numbers = [Double](repeating: 1, count: 30_000)
    let masked = PickleValue.maskedArray(numbers)
    #expect(try PickleDecoder().decode([Double?].self, from: masked) == numbers)
    #expect(try PickleDecoder().decode([Double?].self, from: masked.pickled()) == numbers)
    let bytes = PickleValue.object(
      PickleName("array", "_array_reconstructor"),
      [.name(PickleName("array", "array")), "B", 0, .bytes(Self.data)])
    #expect(try PickleDecoder().decode([Int].self, from: bytes.pickled()).count == Self.data.count)
    #expect(
      try PickleDecoder().decode(JSONValue.self, from: bytes.pickled()).elements?.count == Self.data.count)
  }

  @Test func `bytes that are shared are charged each time`() throws {
    var builder = PickleBuilder()
    let part = builder.bytes([UInt8](repeating: 7, count: 2000))
    let value = builder.value(builder.list(Array(repeating: part, count: 20_000)))
    let pickle = try value.pickled()
    var decoder = PickleDecoder()
    decoder.limits.repeatedParts = 0
    #expect(throws: DecodingError.self) { try decoder.decode([[Int]].self, from: value) }
    #expect(throws: DecodingError.self) { try decoder.decode([[Int]].self, from: pickle) }
    #expect(throws: DecodingError.self) { try decoder.decode(JSONValue.self, from: pickle) }
    // Text that is shared is copied as often as before.
    let texts = PickleValue.list([.bytes(Self.data), PickleValue(String(repeating: "é", count: 10_000))])
    #expect(try decoder.decode(JSONValue.self, from: texts.pickled()).elements?.count == 2)
  }

  @Test func `a value that a program has put together is bounded by its distinct parts`() {
    var pairs = PickleValue.list([1])
    var diamonds = PickleValue.list([1])
    for _ in 0..<60 {
      pairs = .list([pairs, pairs])
      diamonds = .list([.list([diamonds]), .tuple([diamonds])])
    }
    for value in [pairs, diamonds] {
      #expect(throws: DecodingError.self) { try PickleDecoder().decode(JSONValue.self, from: value) }
    }
  }
}
