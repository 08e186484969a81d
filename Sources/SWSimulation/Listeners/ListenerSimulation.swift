import SWMessaging

/// The real `ListenerCore`, `AcceptSource` and half of a listener.
package enum ListenerSimulation: Simulation {
  package static var name: String { "listener" }

  package static func run(
    seed: UInt64, mistake: ListenerMistake?, isTracing: Bool
  ) -> SimulationReport<PointCoverage<ListenerPoint>> {
    do {
      let world = try ListenerWorld(seed: seed, mistake: mistake, isTracing: isTracing)
      world.play()
      world.tearDown()
      return SimulationReport(seed: seed, world.course, world.coverage)
    } catch {
      preconditionFailure("there are no sockets to simulate with: \(error)")
    }
  }
}

/// A seeded mistake around a listener.
package enum ListenerMistake: String, CaseIterable, Sendable {
  /// The kernel takes a connection from the queue and does not hand it out.
  case dropsConnection
  /// The kernel forgets the clients that wait, when it is told to refuse others.
  case forgetsWhenRefusing
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

package enum ListenerPoint: Int, CaseIterable, Sendable {
  case delivered, refused, peerFailed, shortage, paused, pausePassed, relief, closeEndedPause, interlude
  case timedOut, cancelled, finished, closedCalls, drained, listenerFailed, closedWhileAccepting
  case threadPolls, threadWaits, reactorDrives, shortageWithThreadsAndTasks, outOfPatience
  case refusesClients, connectedDuringFinish, triedWhileRefusing, lent
}
