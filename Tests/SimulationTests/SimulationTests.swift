import SWSimulation
import TestSupport
import Testing

@Suite(.lastResort, .leavesNothing) struct SimulationTests {
  @Test func `schedules of any kind keep every promise`() {
    var coverage = Coverage()
    for seed: UInt64 in 1...3_000 {
      let report = Simulation.run(seed: seed)
      coverage.add(report.coverage)
      #expect(report.failure == nil, "seed \(seed): replay with `swift run simulate --seed \(seed)`")
    }
    for point in Coverage.Point.allCases {
      #expect(coverage.count(point) > 0, "no schedule comes by \(point)")
    }
  }

  @Test func `the same seed plays the same schedule`() {
    for seed: UInt64 in 1...100 {
      let (first, second) = (Simulation.run(seed: seed), Simulation.run(seed: seed))
      #expect(first.traceHash == second.traceHash)
      #expect(first.stepCount == second.stepCount)
    }
    #expect(Simulation.run(seed: 1).traceHash != Simulation.run(seed: 2).traceHash)
  }

  @Test(arguments: Mistake.allCases)
  func `a mistake is noticed`(_ mistake: Mistake) {
    // An end that is lost takes a receiver who looks at a message while the last data comes, together with the end.
    let last: UInt64 = mistake == .foldsEnds ? 3_000 : 300
    let isNoticed = (1...last).contains { seed in
      Simulation.run(seed: seed, mistake: mistake).failure != nil
    }
    #expect(isNoticed, "nobody notices that the simulation \(mistake)")
  }
}

@Suite(.lastResort, .leavesNothing) struct ListenerSimulationTests {
  @Test func `schedules of a listener keep every promise`() {
    var coverage = ListenerCoverage()
    for seed: UInt64 in 1...3_000 {
      let report = ListenerSimulation.run(seed: seed)
      coverage.add(report.coverage)
      #expect(
        report.failure == nil,
        "seed \(seed): replay with `swift run simulate --world listener --seed \(seed)`")
    }
    for point in ListenerCoverage.Point.allCases {
      #expect(coverage.count(point) > 0, "no schedule comes by \(point)")
    }
  }

  @Test func `the same seed plays the same schedule of a listener`() {
    for seed: UInt64 in 1...100 {
      let (first, second) = (ListenerSimulation.run(seed: seed), ListenerSimulation.run(seed: seed))
      #expect(first.traceHash == second.traceHash)
      #expect(first.stepCount == second.stepCount)
    }
  }

  @Test(arguments: ListenerMistake.allCases)
  func `a mistake about a listener is noticed`(_ mistake: ListenerMistake) {
    let isNoticed = (1...300).contains { seed in
      ListenerSimulation.run(seed: seed, mistake: mistake).failure != nil
    }
    #expect(isNoticed, "nobody notices that the simulation \(mistake)")
  }
}
