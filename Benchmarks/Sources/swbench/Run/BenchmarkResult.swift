internal import Histogram

/// The result of a benchmark, ready to be printed, plotted and written as JSON.
struct BenchmarkResult: Codable, Sendable {
  struct Row: Codable, Sendable {
    var contender: String
    /// Nanoseconds for each operation, over the rounds, or the benchmark's own measure.
    var figure: Spread?
    /// Ratios by the row that divides: a round's figure divided by that row's of the same pass.
    var ratios: [String: Spread] = [:]
    /// Percentiles of the latency in nanoseconds, from "50" to "99.9".
    var latency: [String: UInt64]?
    /// The latency's whole distribution: percentile and nanoseconds.
    var distribution: [[Double]]?
    var extras: [String: Spread] = [:]
    /// Why there are no figures.
    var unavailable: String?
    var failure: String?
    var rounds: Int = 0
    var operationsPerRound: Int = 0
  }

  var name: String
  var title: String
  var unit: String
  var measure: String
  var byteCount: Int
  var hasLatencies: Bool
  var columns: [Comparison]
  var rows: [Row]

  func row(_ contender: String) -> Row? { rows.first { $0.contender == contender } }
}

extension BenchmarkResult {
  init(_ benchmark: Benchmark, _ racers: [Runner.Racer], _ failures: [Int: Runner.Outcome]) {
    name = benchmark.name
    title = benchmark.title
    unit = benchmark.unit
    measure = benchmark.measure
    byteCount = benchmark.byteCount
    hasLatencies = benchmark.hasLatencies
    columns = benchmark.columns
    rows = []
    let complete = racers.filter { !$0.hasFailed }
    for (index, contender) in benchmark.contenders.enumerated() {
      var row = Row(contender: contender.title)
      if let racer = complete.first(where: { $0.index == index }) {
        row.rounds = racer.rounds.count
        row.operationsPerRound = racer.operations
        row.figure = Spread(racer.rounds.map(\.perOperation))
        for other in complete where other.index != index {
          let ratios = zip(racer.rounds, other.rounds).map { $0.perOperation / $1.perOperation }
          row.ratios[other.contender.title] = Spread(ratios)
        }
        for key in Set(racer.rounds.flatMap(\.extras.keys)) {
          row.extras[key] = Spread(racer.rounds.compactMap { $0.extras[key] })
        }
        if let latencies = racer.contender.latencies, benchmark.hasLatencies {
          row.latency = latencies.percentiles
          row.distribution = latencies.distribution
        }
      }
      switch failures[index] {
      case .unavailable(let reason): row.unavailable = reason
      case .failed(let reason): row.failure = reason
      case nil: break
      }
      rows.append(row)
    }
  }
}

extension Latencies {
  var percentiles: [String: UInt64] {
    [
      "50": histogram.valueAtPercentile(50), "99": histogram.valueAtPercentile(99),
      "99.9": histogram.valueAtPercentile(99.9),
    ]
  }

  /// Points for a plot, up to 99.99 %.
  var distribution: [[Double]] {
    histogram.percentiles(ticksPerHalfDistance: 5).filter { $0.percentile <= 99.99 }
      .map { [$0.percentile, Double($0.value)] }
  }
}
