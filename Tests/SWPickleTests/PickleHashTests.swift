import SWPickle
import TestSupport
import Testing

extension PickleValue.Content {
  /// The number of elements of a set.
  fileprivate var count: Int? { if case .set(let elements) = self { elements.count } else { nil } }
}

/// Hashes of values. A peer chooses the keys of a dict, so they must not make many values alike.
@Suite(.lastResort, .leavesNothing) struct PickleHashTests {
  /// Values that differ in one number, in many ways.
  private static let families: [@Sendable (Int) -> PickleValue] = [
    { .frozenSet([PickleValue($0), PickleValue(-$0 - 1)]) },
    { .tuple([.frozenSet([.tuple([PickleValue($0)])])]) },
    { .tuple(Array(repeating: 0, count: 100) + [PickleValue($0)]) },
    { ["a": .list([PickleValue($0)])] },
    { .orderedDict([(PickleValue($0), PickleValue(1))]) },
    {
      .bytes(
        [UInt8](repeating: 0, count: 5000) + [
          UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0),
        ])
    },
    { PickleValue(NumPyArray([1, $0])) },
    { .object(PickleName("m", "C"), [1], state: ["a": PickleValue($0)]) },
    { .object(PickleName("m", "C\($0)"), []) },
    { .object(PickleName("m", "C"), [], appended: [PickleValue($0)]) },
    { .object(PickleName("m", "C"), [], items: [(PickleValue("k"), PickleValue($0))]) },
    { (0..<300).reduce(PickleValue($0)) { value, _ in .tuple([value]) } },
    { .dict([(.object(PickleName("app", "Color"), [PickleValue($0)]), 5)]) },
    { .set([.object(PickleName("pathlib", "PosixPath"), [PickleValue("\($0)")]), 1]) },
    {
      .frozenSet([
        .tuple([
          .object(PickleName("m", "C"), isNew: true, state: ["a": .list([PickleValue($0), .set([1, 2])])])
        ])
      ])
    },
    { .dict([(.object(PickleName("m", "C"), [.bytes([1]), .none], appended: [PickleValue($0)]), .none)]) },
    {
      .dict([
        (
          .object(PickleName("m", "C"), items: [("a", .orderedDict([(PickleValue($0), PickleValue(1))]))]),
          .none
        )
      ])
    },
    { .tuple([PickleValue(Double.nan), PickleValue($0 % 2)]) },
  ]

  /// An object that has itself as an attribute, as the key of a dict.
  private static func endlessKey(_ number: Int) -> PickleValue {
    var builder = PickleBuilder()
    let state = builder.dict()
    let object = builder.object(
      calling: builder.add(.name(PickleName("m", "Node"))), isNew: true, state: state)
    builder.set([(builder.string("self"), object)], in: state)
    let number = builder.add(PickleValue(number))
    return builder.value(builder.dict([(object, number)]))
  }

  @Test func `an object as a key is compared by what it says`() throws {
    func key(_ arguments: [PickleValue], state: PickleValue? = nil) -> PickleValue {
      .set([.object(PickleName("m", "C"), arguments, isNew: true, state: state)])
    }
    #expect(key([1]) == key([1]) && key([1]) != key([2]) && key([1]) != key([true]))
    #expect(key([1, 2]) != key([2, 1]) && key([1], state: [:]) != key([1]))
    #expect(key([], state: ["a": 1, "b": 2]) == key([], state: ["b": 2, "a": 1]))
    #expect(key([.list([1])]) != key([.tuple([1])]) && key([.list([1])]) != key([.set([1])]))
    // In Python such objects are not known to be equal, so both stay.
    let both = PickleValue.set([.object(PickleName("m", "C"), [1]), .object(PickleName("m", "C"), [1])])
    #expect(both.content.count == 2)
  }

  @Test func `many values that contain themselves fit in a set`() {
    let values = (0..<1000).map { number in
      var builder = PickleBuilder()
      let list = builder.list([builder.add(PickleValue(number))])
      builder.append(list, to: list)
      return builder.value(list)
    }
    #expect(Set(values.map(\.hashValue)).count > 990)
    let keys = (0..<1000).map(Self.endlessKey)
    // They are equal to nothing.
    #expect(keys[0] != Self.endlessKey(0))
    #expect(Set(keys.map(\.hashValue)).count > 990)
    let pairs = keys.map { PickleValue.tuple([1, $0]) }
    #expect(Set(pairs.map(\.hashValue)).count > 990)
    #expect(Set(values + keys).count == 2000)
  }

  @Test(arguments: families.indices) func `values that differ anywhere have different hashes`(_ family: Int) {
    let make = Self.families[family]
    // All values are there at once: what is equal to nothing has a hash of its own for as long as it exists.
    let values = (0..<1000).map(make)
    let hashes = Set(values.map(\.hashValue))
    #expect(hashes.count > 990, "\(hashes.count) of 1000")
  }

  @Test(arguments: families.indices.dropLast()) func `equal values have equal hashes`(_ family: Int) throws {
    let make = Self.families[family]
    for number in [0, 1, 77] {
      let (a, b) = (make(number), make(number))
      let read = try PickleValue(pickle: a.pickled())
      #expect(a == b && a.hashValue == b.hashValue)
      #expect(a == read && a.hashValue == read.hashValue)
      #expect(make(number + 1) != a)
    }
  }

  @Test func `neither order, nor sharing, nor the graph that a part is in changes a hash`() throws {
    let (one, two) = (PickleValue.tuple([1, "x"]), PickleValue.tuple([2, .bytes([1])]))
    #expect(PickleValue.set([one, two]).hashValue == PickleValue.set([two, one]).hashValue)
    #expect(
      PickleValue.dict([(one, two), (two, one)]).hashValue
        == PickleValue.dict([(two, one), (one, two)]).hashValue)
    #expect(PickleValue.list([one, two]).hashValue != PickleValue.list([two, one]).hashValue)
    var builder = PickleBuilder()
    let part = builder.tuple([builder.add(1), builder.string("x")])
    let shared = builder.value(builder.list([part, part]))
    #expect(shared == .list([one, one]) && shared.hashValue == PickleValue.list([one, one]).hashValue)
    // Zeros of both signs are equal.
    #expect(PickleValue.tuple([0.0]) == .tuple([-0.0]))
    #expect(PickleValue.tuple([0.0]).hashValue == PickleValue.tuple([-0.0]).hashValue)
  }

  @Test func `values that contain themselves have hashes, which agree with equality`() {
    // l = [l], and m = [[m]], which are equal.
    var builder = PickleBuilder()
    let outer = builder.list()
    builder.append(outer, to: outer)
    let first = builder.value(outer)
    var other = PickleBuilder()
    let (one, two) = (other.list(), other.list())
    other.append(two, to: one)
    other.append(one, to: two)
    let second = other.value(one)
    let around = PickleValue.list([first])
    #expect(first == second && first == around)
    #expect(first.hashValue == second.hashValue && first.hashValue == around.hashValue)
    // A list beside it is numbered on its own.
    #expect(PickleValue.tuple([1, first]).hashValue == PickleValue.tuple([1, second]).hashValue)
  }

  @Test func `a deep value has a hash`() {
    var builder = PickleBuilder()
    var value = builder.add(1)
    for _ in 0..<200_000 { value = builder.tuple([value]) }
    let deep = builder.value(value)
    // A chain of graphs, as well.
    let chain = (0..<20_000).reduce(PickleValue(1)) { value, _ in .tuple([value]) }
    #expect(Set([deep, chain]).count == 2)
  }

  @Test func `a large part that many keys share is hashed once`() throws {
    // Without that, the keys would take some ten thousand million steps.
    var builder = PickleBuilder()
    let large = builder.tuple((0..<100_000).map { builder.add(PickleValue($0)) })
    let keys = builder.value(
      builder.list((0..<100_000).map { builder.tuple([large, builder.add(PickleValue($0))]) }))
    let elements = try #require(keys.elements)
    #expect(Set(elements).count == 100_000)
  }
}
