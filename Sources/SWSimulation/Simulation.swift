import SWMessaging

/// Plays schedules: the real halves, ports and buffers, with simulated callers, reactor and transport.
package enum Simulation {
  /// Plays the schedule of a seed.
  ///
  /// - Parameters:
  /// - mistake: the mistake to seed.
  ///   - isTracing: prints every step.
  package static func run(seed: UInt64, mistake: Mistake? = nil, isTracing: Bool = false) -> SimulationReport
  {
    var witnesses: [Witness] = []
    var report = play(seed, mistake, isTracing, &witnesses)
    // A half that a place, a timer or a registration still retains has not been freed.
    if report.failure == nil, witnesses.contains(where: { $0.half != nil }) {
      report = SimulationReport(
        seed: seed, failure: "a half outlives its endpoint", traceHash: report.traceHash,
        stepCount: report.stepCount, coverage: report.coverage)
    }
    return report
  }

  private struct Witness { weak var half: Half? }

  private static func play(
    _ seed: UInt64, _ mistake: Mistake?, _ isTracing: Bool, _ witnesses: inout [Witness]
  ) -> SimulationReport {
    let world = World(seed: seed, mistake: mistake, isTracing: isTracing)
    for core in world.cores {
      for half in [core.receiving as Half?, core.sending] { witnesses.append(Witness(half: half)) }
    }
    world.play()
    world.tearDown()
    return SimulationReport(
      seed: seed, failure: world.failure, traceHash: world.traceHash, stepCount: world.stepCount,
      coverage: world.coverage)
  }
}
