import SWSimulation
import TestSupport
import Testing

/// Plays schedules of a world. None may fail, and together they must reach every place that is hard to reach.
private func playAll<World: Simulation>(_ world: World.Type, count: UInt64 = 3_000) {
  var coverage = World.Coverage()
  for seed in 1...count {
    let report = world.run(seed: seed)
    coverage.add(report.coverage)
    #expect(
      report.failure == nil,
      "seed \(seed): replay with `swift run simulate --world \(world.name) --seed \(seed)`")
  }
  #expect(coverage.missing == [], "places that no schedule reaches")
}

/// Checks that equal seeds play equal schedules, and others do not.
private func playTwice<World: Simulation>(_ world: World.Type) {
  for seed: UInt64 in 1...100 {
    let (first, second) = (world.run(seed: seed), world.run(seed: seed))
    #expect(first.traceHash == second.traceHash)
    #expect(first.stepCount == second.stepCount)
  }
  #expect(world.run(seed: 1).traceHash != world.run(seed: 2).traceHash)
}

private func notices<World: Simulation>(
  _ mistake: World.Mistake, in world: World.Type, by last: UInt64 = 300
) -> Bool {
  (1...last).contains { seed in world.run(seed: seed, mistake: mistake).failure != nil }
}

@Suite(.lastResort, .leavesNothing) struct EndpointSimulationTests {
  @Test func `schedules of endpoints keep every promise`() { playAll(EndpointSimulation.self) }

  @Test func `the same seed plays the same schedule of endpoints`() { playTwice(EndpointSimulation.self) }

  @Test(arguments: EndpointMistake.allCases)
  func `a mistake about endpoints is noticed`(_ mistake: EndpointMistake) {
    // An end that is lost takes a receiver who looks at a message while the last data comes, together with the end.
    #expect(notices(mistake, in: EndpointSimulation.self, by: mistake == .foldsEnds ? 3_000 : 300))
  }
}

@Suite(.lastResort, .leavesNothing) struct ListenerSimulationTests {
  @Test func `schedules of a listener keep every promise`() { playAll(ListenerSimulation.self) }

  @Test func `the same seed plays the same schedule of a listener`() { playTwice(ListenerSimulation.self) }

  @Test(arguments: ListenerMistake.allCases)
  func `a mistake about a listener is noticed`(_ mistake: ListenerMistake) {
    #expect(notices(mistake, in: ListenerSimulation.self))
  }
}

@Suite(.lastResort, .leavesNothing) struct DatagramSimulationTests {
  @Test func `schedules of datagrams keep every promise`() { playAll(DatagramSimulation.self) }

  @Test func `the same seed plays the same schedule of datagrams`() { playTwice(DatagramSimulation.self) }

  /// A half that closed trapped, because a pause had brought places in front of one whose memory was read.
  @Test func `a schedule that once trapped plays to its end`() {
    #expect(DatagramSimulation.run(seed: 20_590).failure == nil)
  }

  @Test(arguments: DatagramMistake.allCases)
  func `a mistake about datagrams is noticed`(_ mistake: DatagramMistake) {
    #expect(notices(mistake, in: DatagramSimulation.self))
  }
}

@Suite(.lastResort, .leavesNothing) struct ServiceSimulationTests {
  @Test func `schedules of a service keep every promise`() { playAll(ServiceSimulation.self) }

  @Test func `the same seed plays the same schedule of a service`() { playTwice(ServiceSimulation.self) }

  @Test(arguments: ServiceMistake.allCases)
  func `a mistake about a service is noticed`(_ mistake: ServiceMistake) {
    #expect(notices(mistake, in: ServiceSimulation.self, by: 1_000))
  }
}
