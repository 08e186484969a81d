internal import SWPickle

/// Swift values to pickles and back, against CPython's pickle in C: the values of the MessagePack benchmark, and an array
/// of a mebibyte. No I/O.
enum PickleCoding {
  static var benchmarks: [Benchmark] {
    benchmarks("a", "a dict of 5 fields", MsgPackCoding.person)
      + benchmarks("b", "10,000 ints and 10,000 floats", MsgPackCoding.numbers)
      + benchmarks("c", "100 KB of records with strings", MsgPackCoding.entries)
      + benchmarks("d", "an array of 1 MiB", NumPyArray([Double](repeating: 1.5, count: 1 << 17)))
  }

  private static func benchmarks<Value: Codable & Sendable>(
    _ name: String, _ title: String, _ value: Value
  ) -> [Benchmark] {
    [false, true].map { isEncoding in
      let work = isEncoding ? "encode" : "decode"
      return Benchmark(
        name: "pickle/\(name)/\(work)", title: "Pickle, \(work) \(title)", unit: "value",
        contenders: [
          PickleContender(value: value, isEncoding: isEncoding),
          PythonPickleContender(value: value, isEncoding: isEncoding),
        ])
    }
  }
}
