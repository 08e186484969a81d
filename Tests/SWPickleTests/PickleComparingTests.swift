import Foundation
import SWPickle
import TestSupport
import Testing

/// Values of a peer that a program compares: the keys of dictionaries and the elements of sets, from all sources.
@Suite(.lastResort, .leavesNothing) struct PickleComparingTests: PickleCases {
  private struct Point: Codable, Hashable {
    var x: Double
    var y: Double
  }

  /// Reads one attribute of several.
  private struct Named: Codable, Hashable { var name: String }

  private static let nans = NumPyArray([Double.nan, .nan])

  /// An array, of nans if nothing else is given.
  private static func array(
    _ shape: [Int], _ type: NumPyType = Double.numPyType, _ bytes: [UInt8]? = nil
  ) throws -> PickleValue {
    let count = shape.reduce(1, *)
    let bytes = bytes ?? NumPyArray([Double](repeating: .nan, count: count)).bytes
    return PickleValue(try #require(NumPyArray(shape: shape, type: type, bytes: bytes)))
  }

  private static func objects(_ elements: [PickleValue], shape: [Int]) throws -> PickleValue {
    let type = PickleValue.object(
      PickleName("numpy", "dtype"), ["O8", false, true],
      state: .tuple([3, "|", .none, .none, .none, -1, -1, 63]))
    let description = PickleValue.object(
      PickleName("numpy._core.multiarray", "_reconstruct"),
      [.name(PickleName("numpy", "ndarray")), .tuple([0]), .bytes([0x62])],
      state: .tuple([
        1, .tuple(shape.map { PickleValue($0) }), type, false, .list(elements),
      ]))
    // The reader interprets the type.
    return try PickleValue(pickle: description.pickled())
  }

  private static func machineArray(_ numbers: [Double]) -> PickleValue {
    .object(
      PickleName("array", "_array_reconstructor"),
      [.name(PickleName("array", "array")), "d", 16, .bytes(NumPyArray(numbers).bytes)])
  }

  private static func shared(_ value: PickleValue, beside others: [PickleValue] = []) -> PickleValue {
    var builder = PickleBuilder()
    let element = builder.add(value)
    return builder.value(builder.list(others.map { builder.add($0) } + [element, element]))
  }

  /// The text of the error of a decoding, from a value and from its pickle.
  private func refusals<T: Decodable>(_ type: T.Type, _ value: PickleValue) throws -> [String] {
    let pickle = try value.pickled()
    let again = try PickleValue(pickle: pickle)
    return try [
      { try PickleDecoder().decode(type, from: value) }, { try PickleDecoder().decode(type, from: again) },
      { try PickleDecoder().decode(type, from: pickle) },
    ].map { (decode: () throws -> T) in
      let error = try #require(throws: DecodingError.self) { try decode() }
      guard case .dataCorrupted(let context) = error else { return "\(error)" }
      return context.debugDescription
    }
  }

  private func expectNaN<T: Decodable>(_ type: T.Type, _ value: PickleValue) throws {
    for text in try refusals(type, value) {
      #expect(text.contains("not equal to itself"), "\(type): \(text)")
    }
  }

  @Test func `a nan in an array is no key, and no element of a set`() throws {
    let nans = PickleValue(Self.nans)
    try expectNaN(Set<Double>.self, .list([Self.array([]), Self.array([])]))
    try expectNaN(Set<Double?>.self, .list([Self.array([]), Self.array([])]))
    try expectNaN(Set<Float>.self, .list([Self.array([]), Self.array([])]))
    try expectNaN(Set<[Float]>.self, Self.shared(PickleValue(NumPyArray([Float.nan]))))
    try expectNaN(Set<PickleComplex>.self, .list([Self.array([]), Self.array([])]))
    try expectNaN(Set<Decimal>.self, .list([Self.array([]), Self.array([])]))
    try expectNaN(Set<Double>.self, nans)
    try expectNaN(Set<[Double]>.self, Self.shared(nans))
    try expectNaN(Set<[Double?]>.self, Self.shared(nans))
    try expectNaN(Set<[[Double]]>.self, Self.shared(.list([nans])))
    // Rows of an array, whether they are copied or not.
    try expectNaN(Set<[Double]>.self, Self.array([3, 1]))
    try expectNaN(Set<[Float]>.self, Self.array([3, 1]))
    try expectNaN(Set<[[Double]]>.self, Self.array([3, 1, 1]))
    try expectNaN(Set<[Double]>.self, Self.shared(Self.machineArray([.nan])))
    try expectNaN(Set<Double?>.self, .maskedArray([1, .nan]))
    try expectNaN(Set<Double>.self, Self.objects([PickleValue(Double.nan), 1], shape: [2]))
    try expectNaN(Set<[Double]>.self, Self.objects([PickleValue(Double.nan), 1], shape: [2, 1]))
    try expectNaN(Set<[Double]>.self, Self.shared(Self.objects([PickleValue(Double.nan)], shape: [1])))
    let float = Double.numPyType
    let type = try #require(
      NumPyType(fields: [.init("x", float, offset: 0), .init("y", float, offset: 8)], byteCount: 16))
    try expectNaN(
      Set<Point>.self, Self.array([2], type, NumPyArray([Double](repeating: .nan, count: 4)).bytes))
    try expectNaN(
      Set<[Point]>.self, Self.array([2, 1], type, NumPyArray([Double](repeating: .nan, count: 4)).bytes))
  }

  @Test func `a nan in an array is no key of a dictionary that is written as an array`() throws {
    try expectNaN([Double: Int].self, .list([Self.array([]), 1]))
    try expectNaN([[Double]: Int].self, .list([PickleValue(Self.nans), 1]))
    try expectNaN([[Double]: [Double]].self, Self.array([2, 1]))
    try expectNaN([Double: Double].self, Self.array([2]))
    // A dict that Python could not make.
    #expect(throws: DecodingError.self) {
      try PickleDecoder().decode([[Double]: Int].self, from: .dict([(.tuple([Self.array([])]), 1)]))
    }
    // A value may be one, and the number of elements is even.
    let values = try PickleDecoder().decode(
      [Double: Double].self, from: .list([1, PickleValue(Double.nan), 2, 3]))
    #expect(values[1]?.isNaN == true && values[2] == 3 && values.count == 2)
    #expect(try PickleDecoder().decode([Double: Int].self, from: .list([1, 2, 1, 3])) == [1: 3])
    let odd = try refusals([Double: Int].self, .list([1, 2, 3]))
    #expect(odd.allSatisfy { $0.contains("odd") }, "\(odd)")
    #expect(throws: DecodingError.self) { try PickleDecoder().decode([Double: Int].self, from: 1) }
  }

  @Test func `an array that has been decoded before is looked through when it becomes an element of a set`()
    throws
  {
    struct Both: Decodable {
      var a: [Double]
      var b: Set<[Double]>
    }
    var builder = PickleBuilder()
    let part = builder.list((0..<20).map { _ in builder.add(PickleValue(Double.nan)) })
    let value = builder.value(
      builder.dict([(builder.string("a"), part), (builder.string("b"), builder.list([part, part]))]))
    try expectNaN(Both.self, value)
  }

  @Test func `a nan that is no part of the key is none`() throws {
    func person(_ name: String) -> PickleValue {
      .object(
        PickleName("m", "Person"), isNew: true,
        state: ["name": PickleValue(name), "size": PickleValue(Double.nan)])
    }
    let found = try PickleDecoder().decode(
      Set<Named>.self, from: PickleValue.list([person("a"), person("b")]).pickled())
    #expect(found == [Named(name: "a"), Named(name: "b")])
    // After a set, and as the only element of one.
    struct After: Decodable {
      var set: Set<[Double]>
      var only: Set<Double>
      var numbers: [Double]
    }
    let value: PickleValue = [
      "set": .list([.list([1]), PickleValue(NumPyArray([2.0]))]), "only": .list([PickleValue(Double.nan)]),
      "numbers": .list([PickleValue(Double.nan)]),
    ]
    let after = try PickleDecoder().decode(After.self, from: value.pickled())
    #expect(after.set == [[1], [2]] && after.only.count == 1 && after.numbers[0].isNaN)
    let only = try PickleDecoder().decode(
      Set<Double>.self, from: PickleValue.list([PickleValue(Double.nan)]).pickled())
    #expect(only.count == 1)
    #expect(
      try PickleDecoder().decode(
        Set<[Double]>.self, from: Self.array([2, 1], Double.numPyType, NumPyArray([1.0, 2]).bytes)) == [
          [1], [2],
        ])
  }

  @Test func `a text with many marks in an array is no element of a set`() throws {
    let text = "e" + String(repeating: "\u{301}", count: 300)
    let type = try #require(NumPyType(.text, byteCount: 4 * 301))
    let bytes = text.unicodeScalars.flatMap { scalar in
      (0..<4).map { UInt8(truncatingIfNeeded: scalar.value >> (8 * $0)) }
    }
    let rows = try Self.array([2, 1], type, bytes + bytes)
    #expect(try PickleDecoder().decode([[String]].self, from: rows) == [[text], [text]])
    for text in try refusals(Set<[String]>.self, rows) { #expect(text.contains("combining marks")) }
    let row = try Self.array([1], type, bytes)
    for text in try refusals([[String]: Int].self, .list([row, 1])) {
      #expect(text.contains("combining marks"))
    }
    for text in try refusals(Set<[String]>.self, Self.shared(Self.objects([PickleValue(text)], shape: [1]))) {
      #expect(text.contains("combining marks"))
    }
  }

  // MARK: Values that contain themselves

  /// `m.C()` with itself as an attribute, and a number.
  private static func endless(_ count: Int, asKeys: Bool) -> PickleValue {
    var builder = PickleBuilder()
    let type = builder.add(.name(PickleName("m", "C")))
    let objects = (0..<count).map { number in
      let state = builder.dict()
      let object = builder.object(calling: type, isNew: true, state: state)
      builder.set(
        [(builder.string("m"), object), (builder.string("n"), builder.add(PickleValue(number)))], in: state)
      return object
    }
    if asKeys {
      return builder.value(builder.dict(objects.map { ($0, builder.add(1)) }))
    }
    return builder.value(builder.list(objects))
  }

  @Test func `a value that contains itself is no key, and no element of a set`() throws {
    struct Holder: Codable, Hashable { var value: PickleValue }
    func expectEndless<T: Decodable>(_ type: T.Type, _ value: PickleValue) throws {
      for text in try refusals(type, value) { #expect(text.contains("contains itself"), "\(type): \(text)") }
    }
    try expectEndless(Set<PickleValue>.self, Self.endless(2, asKeys: false))
    try expectEndless([PickleValue: Int].self, Self.endless(1, asKeys: true))
    try expectEndless([PickleValue: Int].self, Self.endless(2, asKeys: false))
    try expectEndless(Set<PickleValue>.self, .list([1, .tuple([.list([Self.endless(1, asKeys: false)])])]))
    try expectEndless(Set<[PickleValue]>.self, .list([.list([]), Self.endless(1, asKeys: false)]))
    try expectEndless(Set<Holder>.self, .list([["value": 1], ["value": Self.endless(1, asKeys: false)]]))
    // Elsewhere it may, and so may the part of an element that the type does not read.
    let list = try PickleDecoder().decode([PickleValue].self, from: Self.endless(3, asKeys: false).pickled())
    #expect(list.count == 3)
    let dict = try PickleDecoder().decode(
      [String: PickleValue].self,
      from: PickleValue.dict([(PickleValue("a"), Self.endless(1, asKeys: false))]).pickled())
    #expect(dict.count == 1)
    struct Number: Codable, Hashable { var n: Int }
    let numbers = try PickleDecoder().decode(Set<Number>.self, from: Self.endless(3, asKeys: false).pickled())
    #expect(numbers.count == 3)
    let only = try PickleDecoder().decode(
      Set<PickleValue>.self, from: Self.endless(1, asKeys: false).pickled())
    #expect(only.count == 1)
    let shared = Self.shared(.list([1]))
    #expect(try PickleDecoder().decode(Set<PickleValue>.self, from: shared.pickled()).count == 1)
  }
}
