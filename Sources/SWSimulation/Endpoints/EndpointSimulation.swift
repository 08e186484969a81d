import SWMessaging

/// The real halves, ports and buffers of two ends of a connection.
package enum EndpointSimulation: Simulation {
  package static var name: String { "endpoints" }

  package static func run(
    seed: UInt64, mistake: EndpointMistake?, isTracing: Bool
  ) -> SimulationReport<EndpointCoverage> {
    var witnesses: [Witness] = []
    var report = play(seed, mistake, isTracing, &witnesses)
    // A half that a place, a timer or a registration still retains has not been freed.
    if report.failure == nil, witnesses.contains(where: { $0.half != nil }) {
      report.failure = "a half outlives its endpoint"
    }
    return report
  }

  private struct Witness { weak var half: Half? }

  private static func play(
    _ seed: UInt64, _ mistake: EndpointMistake?, _ isTracing: Bool, _ witnesses: inout [Witness]
  ) -> SimulationReport<EndpointCoverage> {
    let world = EndpointWorld(seed: seed, mistake: mistake, isTracing: isTracing)
    for core in world.cores {
      for half in [core.receiving as Half?, core.sending] { witnesses.append(Witness(half: half)) }
    }
    world.play()
    world.tearDown()
    return SimulationReport(seed: seed, world.course, world.coverage)
  }
}
