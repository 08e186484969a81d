import SWMessaging

/// The real sending half of a datagram socket whose peers have full queues.
package enum DatagramSimulation: Simulation {
  package static var name: String { "datagrams" }

  package static func run(
    seed: UInt64, mistake: DatagramMistake?, isTracing: Bool
  ) -> SimulationReport<PointCoverage<DatagramPoint>> {
    let world = DatagramWorld(seed: seed, mistake: mistake, isTracing: isTracing)
    world.play()
    world.tearDown()
    return SimulationReport(seed: seed, world.course, world.coverage)
  }
}

/// A seeded mistake around a datagram socket.
package enum DatagramMistake: String, CaseIterable, Sendable {
  /// The transport says of a peer whose queue is full that the attempt would block, and the descriptor stays writable.
  case blocksInsteadOfPausing
  /// The transport accepts a datagram and says that it did not.
  case sendsTwice
  /// The transport says that it has accepted a datagram, and loses it.
  case losesDatagram
  /// A timer does not fire.
  case dropsTimer
  /// A blocked thread is not woken, or a parked task is not resumed.
  case dropsWakeUp
  /// The descriptor becomes writable, and that is not signalled.
  case losesSignal
}

package enum DatagramPoint: Int, CaseIterable, Sendable {
  case accepted, refused, blocked, itemFailed, batch, batchCut, sentBesideAside, pausePassed, pauseEndedEarly
  case stoodAside, twoStoodAside, batchStoodAside, threadStoodAside, taskStoodAside, stoodAsideBehind
  case flushed, flushStoodAside, finishStoodAside, timedOutAside, cancelledAside, closedAside, lateMetPause
  case timedOut, cancelled, closedCalls, partOfBatch, threadPolls, threadWaits, reactorDrives
  case closedInsideAttempt, interlude
}
