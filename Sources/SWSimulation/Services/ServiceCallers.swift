import SWIO
import SWMessaging
import SystemPackage

/// The loop that accepts: of the server for tasks, or of one thread of the other server, which serves each connection itself.
// Invariant: everything happens on the single thread of the simulation.
final class ServiceAcceptor: SimulatedCaller, @unchecked Sendable {
  private unowned let world: ServiceWorld
  private let listening: ReceiveHalf
  /// Whether it waits for room.
  private var waitsForRoom = false
  /// The connection that the thread serves.
  private var served: ServiceHandler?

  init(_ world: ServiceWorld, index: Int, kind: Place.Kind, half: ReceiveHalf) {
    self.world = world
    listening = half
    super.init(world, index: index, kind: kind, half: half, drains: true)
  }

  override var isHeldBack: Bool {
    if let served, !served.isDone || !(served.end.isClosed || served.isOverdue) { return true }
    return waitsForRoom && !world.isBellRung
  }

  override func losesWakeUp() -> Bool { world.makes(.dropsWakeUp) }
  override func losesResumption() -> Bool { world.makes(.dropsWakeUp) }

  /// Lets go of the turn and of a connection, after a failure.
  func letGo() {
    if case .driving(let wait) = state { half.driveOn(as: wait.place) }
    if let place = place as? ReceivePlace, place.isDecided { state = .holding(listening.outcome(of: place)) }
    if case .holding(let outcome) = state { _ = try? listening.value(of: outcome) }
    state = .done
  }

  override func begin() {
    if waitsForRoom {
      waitsForRoom = false
      world.isBellRung = false
      world.coverage.note(.roomAgain)
    }
    if !world.schedule.isBlocking, !world.service.accepts, !world.makes(.acceptsWithoutRoom) {
      world.coverage.note(.full)
      waitsForRoom = true
      return
    }
    newCall(until: .never)
    switch listening.start(ReceiveHalf.nextItem, as: kind, until: .never) {
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
      let connection = SocketDuplex(
        core: try ListenerCore.connection(try listening.value(of: outcome), .exact))
      served = world.admit(connection)
      if !world.schedule.isBlocking { served = nil }
    } catch {
      switch error.reason {
      case .closed, .endOfStream:
        state = .done
        world.acceptorEnded(nil)
      case .transport where listening.inspect({ $0.over != nil }):
        state = .done
        world.acceptorEnded(error)
      default: break
      }
    }
  }
}

/// A handler: it receives requests until the end, and answers them.
// Invariant: everything happens on the single thread of the simulation.
final class ServiceHandler: SimulatedCaller, @unchecked Sendable {
  private unowned let world: ServiceWorld
  let connection: SocketDuplex
  let end: ServedEnd
  let number: Int
  private(set) var isGreeting: Bool
  let greetsUntil: Deadline
  private var greetingTimedOut = false
  /// Whether its task has been cancelled. A thread cannot be cancelled.
  private var isTaskCancelled = false
  let isStubborn: Bool
  /// When the server no longer waits for its connection to be closed.
  private(set) var closingUntil = Deadline.never
  /// Whether the kernel takes longer to close its connection than the server waits.
  var isOverdue: Bool { closingUntil <= world.clock && !end.isClosed }
  /// Whether its connection has been closed by the server.
  var lostConnection: Bool
  /// Until when it computes.
  private(set) var busyUntil = Deadline.immediately

  init(
    _ world: ServiceWorld, index: Int, connection: SocketDuplex, half: ReceiveHalf, end: ServedEnd,
    number: Int
  ) {
    self.world = world
    self.connection = connection
    self.end = end
    self.number = number
    isGreeting = world.schedule.greets
    greetsUntil = isGreeting ? world.clock(after: world.schedule.greetingTime) : .never
    isStubborn = world.chance(world.schedule.stubbornness)
    lostConnection = end.isClosing
    super.init(
      world, index: index, kind: world.schedule.isBlocking ? .thread : .task, half: half, drains: true)
  }

  override var isHeldBack: Bool { busyUntil > world.clock && !isTaskCancelled }
  override func losesWakeUp() -> Bool { world.makes(.dropsWakeUp) }
  override func losesResumption() -> Bool { world.makes(.dropsWakeUp) }

  override func begin() {
    newCall(until: .never)
    // As in an endpoint, a call that starts cancelled takes nothing.
    if isTaskCancelled {
      world.coverage.note(.cancelled)
      return leave(EndpointError(.cancelled))
    }
    guard let receiving = half as? ReceiveHalf else { return world.fail("a handler receives") }
    switch receiving.start(.upTo(4), as: kind, until: .never) {
    case .ended(let outcome): state = .holding(outcome)
    case .queued(let place): queued(place)
    }
  }

  override func end(_ place: Place) {
    guard let place = place as? ReceivePlace, let receiving = half as? ReceiveHalf else {
      return world.fail("it is no place to receive at")
    }
    state = .holding(receiving.outcome(of: place))
  }

  override func look(at outcome: ReceiveHalf.Outcome) {
    state = .between
    do throws(EndpointError) {
      try take(outcome)
      if isGreeting, greetingTimedOut { return leave(EndpointError(.timedOut)) }
      if isGreeting {
        isGreeting = false
        world.service.hasGreeted(number)
        world.coverage.note(.greeted)
      }
      if world.service.isDraining { world.coverage.note(.answeredAfterDrain) }
      if world.chance(world.schedule.work) { busyUntil = world.clock(after: 1 + world.below(3_000)) }
      if !world.isCalm, world.chance(world.schedule.failure) {
        leave(EndpointError(.codec(Errno.invalidArgument)))
      }
    } catch {
      switch error.reason {
      case .endOfStream:
        world.noteEndOfRequests(self)
        leave(isGreeting ? error : nil)
      case .cancelled:
        world.coverage.note(.cancelled)
        leave(error)
      case .closed:
        world.check(lostConnection || greetingTimedOut, "a handler loses its connection")
        leave(greetingTimedOut ? EndpointError(.timedOut) : error)
      default: world.fail("a handler is told of \(error)")
      }
    }
  }

  private func take(_ outcome: ReceiveHalf.Outcome) throws(EndpointError) {
    guard let receiving = half as? ReceiveHalf else { return }
    switch outcome {
    case .lent(let demand):
      _ = unsafe receiving.turn.takePayload(of: demand)
      receiving.finishLoan(demand)
    case .delivered: break
    case .failed(let error): throw error
    }
    guard let sending = connection.core.sending else { return }
    _ = sending.start(SendHalf.Call(Outgoing([1]), as: kind, until: .never))
  }

  /// The time for its greeting has passed.
  func endGreeting() {
    world.coverage.note(.greetingTimedOut)
    world.trace("greeting takes too long", number)
    greetingTimedOut = true
    connection.close()
  }

  /// Its task is cancelled.
  func cancelTask() {
    if isStubborn {
      world.coverage.note(.stubborn)
      return
    }
    isTaskCancelled = true
    cancel()
  }

  private func leave(_ error: EndpointError?) {
    state = .done
    closingUntil = world.clock(after: ServiceSchedule.grace)
    world.handlerEnded(self, error)
  }
}
