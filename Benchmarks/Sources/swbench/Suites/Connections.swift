/// Many connections in one process: the cost of a message, and the memory of an idle connection.
enum Connections {
  static let counts = [10, 100, 1_000, 10_000]

  /// Compares each row with the same contender at ten connections, and with other contenders at the same number.
  private static var comparisons: [Comparison] {
    var own: [String: String] = [:]
    var floor: [String: String] = [:]
    var nio: [String: String] = [:]
    for way in ServerContender.Way.allCases {
      for count in counts {
        let title = ServerContender.title(way, count)
        own[title] = ServerContender.title(way, 10)
        floor[title] = ServerContender.title(.floor, count)
        nio[title] = ServerContender.title(.nio, count)
      }
    }
    return [
      Comparison("÷ the same with 10", references: own, hasSpread: true),
      Comparison("÷ C with as many", references: floor), Comparison("÷ NIO with as many", references: nio),
    ]
  }

  private static func echoing(
    _ name: String, _ title: String, window: (Int) -> Int
  ) -> Benchmark {
    Benchmark(
      name: "connections/\(name)", title: "Echoing on many connections, 64 B, \(title)", byteCount: 64,
      contenders: ServerContender.Way.allCases.flatMap { way in
        counts.map { ServerContender(way, connections: $0, window: window($0)) }
      },
      comparisons: comparisons, rounds: 5)
  }

  static var benchmarks: [Benchmark] {
    [
      echoing("busy", "a message in flight on each") { $0 },
      echoing("ten", "10 messages in flight in all") { _ in 10 },
      Benchmark(
        name: "idle",
        title: "Memory of an idle connection beside kernel buffers, \(IdleContender.count) connections",
        unit: "connection", measure: "bytes", contenders: IdleContender.Way.allCases.map(IdleContender.init),
        comparisons: [], rounds: 3),
    ]
  }
}
