import SWMessaging

/// Plays schedules of a listener: the real `ListenerCore`, `AcceptSource` and half, with simulated callers, reactor and
/// kernel.
package enum ListenerSimulation {
  /// The outcome of one schedule.
  package struct Report: Sendable {
    package let seed: UInt64
    /// The first failure; nil if there is none.
    package let failure: String?
    /// Stands for everything that happened, in order: equal for equal schedules.
    package let traceHash: UInt64
    package let stepCount: Int
    package let coverage: ListenerCoverage
  }

  /// Plays the schedule of a seed.
  ///
  /// - Parameters:
  ///   - mistake: what goes wrong on purpose.
  ///   - isTracing: prints every step.
  package static func run(
    seed: UInt64, mistake: ListenerMistake? = nil, isTracing: Bool = false
  ) -> Report {
    do {
      let world = try ListenerWorld(seed: seed, mistake: mistake, isTracing: isTracing)
      world.play()
      return Report(
        seed: seed, failure: world.failure, traceHash: world.traceHash, stepCount: world.stepCount,
        coverage: world.coverage)
    } catch {
      return Report(
        seed: seed, failure: "there are no sockets to simulate with: \(error)", traceHash: 0, stepCount: 0,
        coverage: ListenerCoverage())
    }
  }
}

/// A fault that is made on purpose around a listener, outside of the code under test, to show that the checks notice.
package enum ListenerMistake: String, CaseIterable, Sendable {
  /// The kernel takes a connection from the queue and does not hand it out.
  case dropsConnection
  /// A client's arrival is not signalled.
  case losesSignal
  /// The shortage is not told of a descriptor that the library has closed.
  case dropsClose
  /// A blocked thread is not woken, or a parked task is not resumed.
  case dropsWakeUp
  /// A timer does not fire.
  case dropsTimer
  /// A caller keeps a connection and closes it only with the world.
  case leaksConnection
  /// The end of a pause is signalled all the time.
  case stirsForEver
}

/// How many times schedules came by what is hard to reach: a simulation that never gets there proves nothing.
package struct ListenerCoverage: Sendable {
  package enum Point: Int, CaseIterable, Sendable {
    case delivered, refused, peerFailed, shortage, paused, pausePassed, relief, closeEndedPause, interlude
    case timedOut, cancelled, finished, closedCalls, drained, listenerFailed, closedWhileAccepting
    case threadPolls, threadWaits, reactorDrives, shortageWithThreadsAndTasks, outOfPatience
  }

  private var counts = [Int](repeating: 0, count: Point.allCases.count)

  package init() {}

  package func count(_ point: Point) -> Int { counts[point.rawValue] }

  package mutating func note(_ point: Point) { counts[point.rawValue] += 1 }

  package mutating func add(_ other: ListenerCoverage) {
    for index in counts.indices { counts[index] += other.counts[index] }
  }

  /// A table for people.
  package var table: String {
    Point.allCases.map { point in
      let name = "\(point)"
      return name + String(repeating: " ", count: max(1, 30 - name.count)) + "\(count(point))"
    }.joined(separator: "\n")
  }
}
