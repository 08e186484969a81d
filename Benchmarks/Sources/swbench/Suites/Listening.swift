/// Connecting, accepting, and many connections that were accepted.
enum Listening {
  private static func hardship(
    _ name: String, _ title: String, _ measure: String, _ contender: HardshipContender
  )
    -> Benchmark
  {
    Benchmark(
      name: "listening/\(name)", title: title, unit: "run", measure: measure, contenders: [contender],
      comparisons: [], rounds: 5)
  }

  static var benchmarks: [Benchmark] {
    [
      Benchmark(
        name: "listening/connect", title: "Connect, one message of 64 B there and back, close; Unix socket",
        unit: "connection", contenders: ConnectingContender.Way.allCases.map(ConnectingContender.init),
        peers: [ConnectingContender.Way.nio.rawValue, ConnectingContender.Way.python.rawValue]),
      Benchmark(
        name: "listening/open",
        title: "Memory of an accepted connection beside kernel buffers, \(OpenContender.count) connections",
        unit: "connection", measure: "bytes", contenders: OpenContender.Way.allCases.map(OpenContender.init),
        comparisons: [], rounds: 3),
      hardship(
        "shortage", "From a close to the next accept, when descriptors were lacking", "ns",
        HardshipContender(
          "a thread", role: "shortage", also: ["longest ns", "processor while waiting, ‰"])),
      hardship(
        "computing", "A round trip on .messaging, 2 workers, beside a task that computes 100 ms at a time",
        "ns",
        HardshipContender(
          "async", role: "computing", also: ["p99 ns", "longest ns", "median without it, ns"])),
      hardship(
        "silent", "A client's greeting beside 1,000 clients that say nothing", "ns",
        HardshipContender("serve", role: "greeted", also: ["longest ns", "median without them, ns"])),
      hardship(
        "crowd", "20 clients, a backlog of one, one accepted each 50 ms: until all are connected", "ms",
        HardshipContender("connect", role: "crowd", also: ["connected", "processor, ‰"])),
    ]
  }
}
