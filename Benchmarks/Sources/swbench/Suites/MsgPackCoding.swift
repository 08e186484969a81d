internal import Foundation
internal import SWMessaging
internal import SWMsgPack

/// Swift values to MessagePack and back, against Foundation's JSON coders and Python's C extension. No I/O.
enum MsgPackCoding {
  struct Person: Codable, Sendable {
    var id: Int
    var name: String
    var active: Bool
    var score: Double
    var role: String
  }
  struct Numbers: Codable, Sendable {
    var integers: [Int]
    var reals: [Double]
  }
  struct Entry: Codable, Sendable {
    var id: Int
    var name: String
    var email: String
    var city: String
    var tags: [String]
    var score: Double
    var active: Bool
  }

  static let person = Person(id: 123_456, name: "Ada Lovelace", active: true, score: 98.6, role: "programmer")
  /// Numbers of all lengths: each has a different number of significant bits.
  static let numbers = Numbers(
    integers: (0..<10_000).map { (0x1234_5678_9abc_def &* ($0 &+ 1) & Int.max) >> ($0 % 62) },
    reals: (0..<10_000).map { Double($0) / 7 })
  static let entries = (0..<780).map { index in
    Entry(
      id: index * 7919, name: "Person Number \(index)", email: "person\(index)@example.org",
      city: "Städtchen \(index % 17)", tags: ["alpha", "beta \(index)", "gamma"], score: Double(index) * 1.37,
      active: index.isMultiple(of: 3))
  }

  static var benchmarks: [Benchmark] {
    benchmarks("a", "a map of 5 fields", person)
      + benchmarks("b", "10,000 integers and 10,000 doubles", numbers)
      + benchmarks("c", "100 KB of records with strings", entries)
  }

  private static func benchmarks<Value: Codable & Sendable>(
    _ name: String, _ title: String, _ value: Value
  ) -> [Benchmark] {
    [false, true].map { isEncoding in
      let work = isEncoding ? "encode" : "decode"
      let contenders: [any Contender] =
        CodingContender<Value>.Coder.allCases.map {
          CodingContender(value: value, coder: $0, isEncoding: isEncoding)
        } + [PythonCodingContender(value: value, isEncoding: isEncoding)]
      return Benchmark(
        name: "msgpack/\(name)/\(work)", title: "MessagePack, \(work) \(title)", unit: "value",
        contenders: contenders)
    }
  }
}
