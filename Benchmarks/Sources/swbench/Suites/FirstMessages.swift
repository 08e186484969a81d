/// The time from starting a process to its first message.
enum FirstMessages {
  static var benchmarks: [Benchmark] {
    [
      Benchmark(
        name: "first-message", title: "From starting a process to its first message", unit: "process",
        measure: "µs",
        contenders: FirstMessageContender.Way.allCases.map(FirstMessageContender.init))
    ]
  }
}
