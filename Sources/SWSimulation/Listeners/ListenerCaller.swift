import SWIO
import SWMessaging

/// A thread or a task that accepts.
// Invariant: everything happens on the single thread of the simulation.
final class ListenerCaller: SimulatedCaller, @unchecked Sendable {
  private unowned let world: ListenerWorld
  private let listening: ReceiveHalf
  private var callsLeft: Int

  init(
    _ world: ListenerWorld, index: Int, kind: Place.Kind, half: ReceiveHalf, calls: Int, drains: Bool = false
  ) {
    self.world = world
    listening = half
    callsLeft = calls
    super.init(world, index: index, kind: kind, half: half, drains: drains)
  }

  override func isReady(for polled: Readiness) -> Bool { world.isReadable }
  override func noteWait(polls: Bool) { world.coverage.note(polls ? .threadPolls : .threadWaits) }
  override func losesWakeUp() -> Bool { world.makes(.dropsWakeUp) }
  override func losesResumption() -> Bool { world.makes(.dropsWakeUp) }

  override func begin() {
    guard callsLeft > 0 else {
      state = .done
      return
    }
    callsLeft -= 1
    var deadline = Deadline.never
    if !drains, world.chance(world.schedule.deadline) {
      deadline =
        world.chance(world.schedule.zeroDeadline)
        ? .immediately : world.clock(after: 1 + world.below(30_000_000))
    }
    newCall(until: deadline)
    world.trace("accepts", index)
    world.noteReason()
    switch listening.start(ReceiveHalf.nextItem, as: kind, until: deadline) {
    case .ended(let outcome): state = .holding(outcome)
    case .queued(let place): queued(place)
    }
  }

  override func end(_ place: Place) {
    guard let place = place as? ReceivePlace else { return world.fail("it is no place to receive at") }
    state = .holding(listening.outcome(of: place))
  }

  override func look(at outcome: ReceiveHalf.Outcome) {
    state = .between
    do throws(EndpointError) {
      guard let fresh = try listening.value(of: outcome) as? FreshDescriptor else {
        return world.fail("an item is no connection")
      }
      world.delivered(fresh, to: self)
    } catch {
      world.ended(self, error)
      switch error.reason {
      case .closed, .transport: callsLeft = 0
      case .endOfStream:
        if drains { world.coverage.note(.drained) }
        callsLeft = 0
      default: break
      }
    }
  }
}
