internal import CFloor
internal import Foundation

/// Runs benchmarks: a short round of each contender in turn, and then again. So other load on the machine affects all
/// contenders equally. A ratio is taken within one pass of rounds.
struct Runner: Sendable {
  var rounds: Int
  var roundSeconds: Double
  /// How long a round may hang before its peer is ended.
  var patience: Double = 30
  var progress: Progress

  @concurrent
  func run(_ benchmark: Benchmark) async -> BenchmarkResult {
    let passes = min(benchmark.rounds ?? rounds, rounds)
    if benchmark.isPinned { _ = floor_pin(0) }
    defer { if benchmark.isPinned { _ = floor_pin(-1) } }
    var racers: [Racer] = []
    var failures: [Int: Outcome] = [:]
    for (index, contender) in benchmark.contenders.enumerated() {
      progress.show("\(benchmark.name): \(contender.title)")
      do {
        let operations = try await guarded(contender) {
          try await contender.prepare()
          return try await calibrate(contender, benchmark.roundSeconds ?? roundSeconds)
        }
        contender.latencies?.reset()
        racers.append(Racer(index: index, contender: contender, operations: operations))
      } catch {
        failures[index] = await outcome(of: error, contender)
      }
    }
    for pass in 0..<passes {
      progress.show("\(benchmark.name): round \(pass + 1) of \(passes)")
      for position in racers.indices where !racers[position].hasFailed {
        let racer = racers[position]
        do {
          var round = try await guarded(racer.contender) {
            try await racer.contender.round(racer.operations)
          }
          // A mean would depend more on other load than on the contender.
          if let latencies = racer.contender.latencies {
            round.amount = latencies.endRound() * Double(round.operations)
          }
          racers[position].rounds.append(round)
        } catch {
          racers[position].hasFailed = true
          failures[racer.index] = await outcome(of: error, racer.contender)
        }
      }
    }
    for racer in racers where !racer.hasFailed { await racer.contender.finish() }
    progress.clear()
    return BenchmarkResult(benchmark, racers, failures)
  }

  struct Racer: Sendable {
    var index: Int
    var contender: any Contender
    var operations: Int
    var rounds: [Round] = []
    var hasFailed = false
  }

  /// Why a contender has no figures.
  enum Outcome: Sendable {
    case unavailable(String)
    case failed(String)
  }

  /// Finds how many operations take this long.
  private func calibrate(_ contender: any Contender, _ seconds: Double) async throws -> Int {
    guard contender.isScalable else {
      _ = try await contender.round(1)
      return 1
    }
    _ = try await contender.round(1)  // whatever is done only once
    var operations = 1
    while true {
      var wanted = 0.0
      // The fastest of three, because an interrupted round has no meaning.
      for _ in 0..<3 where wanted < 1.5 {
        let round = try await contender.round(operations)
        wanted = max(wanted, seconds * 1e9 / max(round.amount, 1))
      }
      if wanted < 1.5 || operations >= 1 << 24 { return max(1, Int(Double(operations) * wanted)) }
      operations = Int((Double(operations) * min(wanted, 8)).rounded(.up))
    }
  }

  private func guarded<Result: Sendable>(
    _ contender: any Contender, _ body: @escaping @Sendable @concurrent () async throws -> Result
  ) async throws -> Result {
    try await patiently(for: patience, interrupt: contender.interrupt, body)
  }

  private func outcome(of error: any Error, _ contender: any Contender) async -> Outcome {
    if let unavailable = error as? Unavailable { return .unavailable(unavailable.description) }
    let errors = contender.peerFate
    // A contender that hangs would hang again.
    if !(error is Hung) { await contender.finish() }
    return .failed("\(error)" + (errors.isEmpty ? "" : "; the peer \(errors)"))
  }
}
