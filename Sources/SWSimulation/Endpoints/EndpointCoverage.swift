/// Counts how often the schedules reached each cell of the table in docs/half.md, and some places that are hard to reach.
package struct EndpointCoverage: SimulationCoverage {
  package enum Event: Int, CaseIterable, Sendable {
    case enter, readiness, moved, blocked, endedOrFailed, giveUpUnbegun, giveUpBegun, giveUpInUse, close
  }

  package enum State: Int, CaseIterable, Sendable {
    case idle, driven, waiting, closed
  }

  package enum Point: Int, CaseIterable, Sendable {
    case servedShort, shortBlocked, waitsAlone, shortInVain, servedAtOnce, servedInPlace, lent, lentInClosure,
      timedOut,
      cancelled, committed, closedCalls
    case endOfStream, truncated, resetOrBroken, flushed, batch, halfClose, receivingFinished, orphan,
      assembled, rawMixed
    case detached, detachRefused, registered, watched, unwatched, registrationFailed, threadPolls,
      threadWaits, reactorDrives
    case runInsideAttempt, runInsideScanner, runInsideWakeUp, staleEvent, mainBlocked, stalled
    case crossed, signalAwaited, hoarded, finishBlocked, offloaded, endSignalled, itemFailed, budgetSpent
    case paused, pausePassed
    case receivedBatch, deliveredBatch, workersTogether, jobRun, serialJobRun, serialJobWaits,
      longTask, drivenAtOnce, hung
  }

  /// By direction, event and state.
  private var cells = [Int](repeating: 0, count: 2 * Event.allCases.count * State.allCases.count)
  private var points = PointCoverage<Point>()

  package init() {}

  private static func index(_ isSending: Bool, _ event: Event, _ state: State) -> Int {
    ((isSending ? 1 : 0) * Event.allCases.count + event.rawValue) * State.allCases.count + state.rawValue
  }

  package mutating func note(_ event: Event, isSending: Bool, in state: State) {
    cells[Self.index(isSending, event, state)] += 1
  }

  package mutating func note(_ point: Point) { points.note(point) }

  package func count(_ event: Event, isSending: Bool, in state: State) -> Int {
    cells[Self.index(isSending, event, state)]
  }

  package func count(_ point: Point) -> Int { points.count(point) }

  package var missing: [String] { points.missing }

  package mutating func add(_ other: Self) {
    for index in cells.indices { cells[index] += other.cells[index] }
    points.add(other.points)
  }

  package var table: String {
    func padded(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(0, width - text.count))
    }
    func right(_ number: Int) -> String {
      let text = String(number)
      return String(repeating: " ", count: max(0, 11 - text.count)) + text
    }
    var lines: [String] = []
    for isSending in [false, true] {
      lines.append(
        padded(isSending ? "send" : "receive", 16)
          + State.allCases.map { padded("", 11 - "\($0)".count) + "\($0)" }.joined())
      for event in Event.allCases {
        lines.append(
          padded("  \(event)", 16)
            + State.allCases.map { right(count(event, isSending: isSending, in: $0)) }.joined())
      }
    }
    lines.append(points.table)
    return lines.joined(separator: "\n")
  }
}
