import SWMessaging

/// The real books of `serve` (`Service`), the listener and its half, and the connections. The loops of the two servers are
/// simulated, because one of them is made of tasks.
package enum ServiceSimulation: Simulation {
  package static var name: String { "service" }

  package static func run(
    seed: UInt64, mistake: ServiceMistake?, isTracing: Bool
  ) -> SimulationReport<PointCoverage<ServicePoint>> {
    let world = ServiceWorld(seed: seed, mistake: mistake, isTracing: isTracing)
    world.play()
    world.tearDown()
    return SimulationReport(seed: seed, world.course, world.coverage)
  }
}

/// A seeded mistake around a service.
package enum ServiceMistake: String, CaseIterable, Sendable {
  /// A handler closes its connection, and the service is not told.
  case forgetsLeave
  /// The service is told before the connection is closed.
  case leavesEarly
  /// The server is not woken when something has changed.
  case losesBell
  /// The server accepts although there is no room.
  case acceptsWithoutRoom
  /// Nothing happens when the time for the end has passed.
  case ignoresPatience
  /// The server is done before everything is closed.
  case leavesTooSoon
  /// Bytes that have arrived are dropped when receiving is to end.
  case dropsRequests
  /// A blocked thread is not woken, or a parked task is not resumed.
  case dropsWakeUp
  /// A timer does not fire.
  case dropsTimer
}

package enum ServicePoint: Int, CaseIterable, Sendable {
  case accepted, refused, closed, failed, greeted, greetingFailed, greetingTimedOut, full, roomAgain
  case peerFailed, shortage, listenerFailed, finished, listenerClosed, drainedServed, drainedWaiting
  case admittedWhileDraining, answeredAfterDrain, cancelling, cancelled, closedByServer, stubborn, closesLate
  case outlivedItsLimit, finishedBefore, threads, tasks, interlude, listenerClosedByTime, snapshot
}
