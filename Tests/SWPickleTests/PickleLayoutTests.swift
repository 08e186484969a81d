import SWPickle
import TestSupport
import Testing

/// Arrays of NumPy in every layout, against what NumPy's `tolist()` returns.
@Suite(.lastResort, .leavesNothing) struct PickleLayoutTests {
  struct Golden: Decodable, Sendable {
    var arrays: [Layout]
  }

  struct Layout: Decodable, Sendable, CustomTestStringConvertible {
    var name: String
    var wire: Wire
    var value: Nested
    var testDescription: String { name }
  }

  /// A list of lists, of any depth.
  enum Nested: Decodable, Equatable, Sendable {
    case none
    case number(Double)
    case text(String)
    case list([Nested])

    init(from decoder: any Decoder) throws {
      let single = try decoder.singleValueContainer()
      if single.decodeNil() {
        self = .none
      } else if let number = try? single.decode(Double.self) {
        self = .number(number)
      } else if let text = try? single.decode(String.self) {
        self = .text(text)
      } else {
        self = .list(try single.decode([Nested].self))
      }
    }
  }

  private static let golden: Golden = vectors("layouts")

  @Test(arguments: golden.arrays) func `the elements are where NumPy has them`(_ layout: Layout) throws {
    #expect(try PickleDecoder().decode(Nested.self, from: layout.wire.bytes) == layout.value)
    let value = try PickleValue(pickle: layout.wire.bytes)
    #expect(try PickleDecoder().decode(Nested.self, from: value) == layout.value)
  }
}
