/// Many connections in one process: what a message costs, and what an idle connection does.
enum Connections {
  static let counts = [10, 100, 1_000, 10_000]

  static var benchmarks: [Benchmark] {
    [
      Benchmark(
        name: "connections", title: "Echoing on many connections, 64B, 10 messages in flight", byteCount: 64,
        contenders: ServerContender.Way.allCases.flatMap { way in
          counts.map { ServerContender(way, connections: $0) }
        },
        peers: counts.map { ServerContender.title(.nio, $0) }),
      Benchmark(
        name: "idle",
        title: "Memory of an idle connection beside kernel buffers, \(IdleContender.count) connections",
        unit: "connection", measure: "bytes", contenders: IdleContender.Way.allCases.map(IdleContender.init),
        peers: [], rounds: 3),
    ]
  }
}
