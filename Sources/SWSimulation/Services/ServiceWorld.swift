import SWIO
import SWMessaging
import SWTesting
import SystemPackage

/// A call of `serve`, its clients, and its handlers. The loops of `AsyncServer` and `ThreadServer` are simulated, step by step.
/// The books, the listener and the connections are real.
// Invariant: everything happens on the single thread of the simulation.
final class ServiceWorld: SmallReactorHost, @unchecked Sendable {
  typealias Mistake = ServiceMistake

  enum Actor {
    case acceptor(Int)
    case handler(Int)
    case reactor
    /// The code that waits for the end.
    case server
    /// A client connects, sends, or ends.
    case connect
    case send(Int)
    case endOfClient(Int)
    /// The kernel closes a descriptor.
    case closed(Int)
    /// The time for a greeting has passed.
    case lateGreeting(Int)
    /// The timer fires that closes the listener when the time for the end has passed.
    case timeIsUp
  }

  /// The stage of the server's code that waits for the end.
  private enum Stage: Equatable {
    case serving, waiting
    case cancelling(until: Deadline)
    case handlersLeft
    case leaving(until: Deadline)
    case done
  }

  let schedule: ServiceSchedule
  let course: Course<Mistake>
  private(set) lazy var reactor = SmallReactor(self)
  private(set) lazy var source = ServedSource(self)
  private(set) lazy var core = ListenerCore(source, address: .abstract("simulated"), reactor: reactor)
  private(set) lazy var service = makeService()
  private var acceptors: [ServiceAcceptor] = []
  private(set) var handlers: [ServiceHandler] = []
  private(set) var ends: [ServedEnd] = []
  var coverage = PointCoverage<ServicePoint>()

  /// In each stage the server looks first, and waits then.
  private var stage = Stage.serving { didSet { isBellRung = true } }
  /// Whether something has changed since the server looked. One ring is kept.
  var isBellRung = false
  private var error: EndpointError?
  private var timerDeadline = Deadline.never
  private var drainBegan: Deadline?
  private var closesAgain: Deadline?

  // The reports to the observer.
  private var told: [Int: (closed: Int, end: ServedEnd?)] = [:]
  private var refusedCount = 0
  private var refused: [ServedEnd] = []
  private var isPaused = false
  private var cancellingCount = 0

  private var clientsLeft: Int
  private var errorsLeft: Int
  private var requestsLeft: [Int] = []

  init(seed: UInt64, mistake: Mistake?, isTracing: Bool) {
    var generator = SeededGenerator(seed: seed)
    schedule = ServiceSchedule(&generator)
    course = Course(
      generator, mistake, interlude: (schedule.interlude, schedule.mostDepth),
      disturbance: schedule.disturbance, mostSteps: 20_000, isTracing: isTracing)
    clientsLeft = schedule.clients
    errorsLeft = schedule.acceptErrors
    coverage.note(schedule.isBlocking ? .threads : .tasks)
    if schedule.finishesBefore {
      coverage.note(.finishedBefore)
      core.finish()
    }
    core.enter(service)
    for index in 0..<(schedule.isBlocking ? schedule.limit : 1) {
      acceptors.append(
        ServiceAcceptor(self, index: index, kind: schedule.isBlocking ? .thread : .task, half: core.half))
    }
  }

  private func makeService() -> Service<SocketDuplex> {
    Service<SocketDuplex>(
      Service<SocketDuplex>.Limits(connections: schedule.limit, perUser: nil),
      { [unowned self] event in observe(event) },
      drainBegins: { [unowned self] in
        let deadline = always(.ignoresPatience) ? .never : clock(after: schedule.patience)
        drainBegan = clock
        if !schedule.isBlocking { timerDeadline = deadline }
        return deadline
      },
      changed: { [unowned self] in if !makes(.losesBell) { isBellRung = true } })
  }

  var offeredReadiness: Readiness { [] }
  func losesTimer() -> Bool { makes(.dropsTimer) }

  // MARK: The server

  /// Enters a connection, and has it handled.
  func admit(_ connection: SocketDuplex) -> ServiceHandler? {
    guard let half = connection.core.receiving, let end = ends.first(where: { $0.half === half }) else {
      fail("an unknown connection is accepted")
      return nil
    }
    if service.isDraining { coverage.note(.admittedWhileDraining) }
    let before = refusedCount
    guard let number = service.admit(connection, greets: schedule.greets) else {
      check(refusedCount == before + 1, "a connection is refused, and nobody is told")
      refused.append(end)
      return nil
    }
    trace("admitted", number, end.index)
    check(told[number] != nil, "a connection is served, and nobody is told")
    told[number]?.end = end
    let handler = ServiceHandler(
      self, index: handlers.count, connection: connection, half: half, end: end, number: number)
    handlers.append(handler)
    // Those that are being refused, and those that the kernel takes too long to close, do not count.
    let openCount = handlers.count { !$0.end.isClosed && !$0.isOverdue }
    check(openCount <= schedule.limit, "\(openCount) connections are served, \(schedule.limit) at most")
    return handler
  }

  func handlerEnded(_ handler: ServiceHandler, _ error: EndpointError?) {
    trace("handler ends", handler.number)
    if makes(.forgetsLeave) { return handler.connection.close() }
    if makes(.leavesEarly) { service.leave(handler.number, error) }
    handler.connection.core.close { [service, number = handler.number] in service.leave(number, error) }
  }

  /// The loop that accepts, or one of the threads, has ended.
  func acceptorEnded(_ error: EndpointError?) {
    trace("accepting has ended")
    if self.error == nil { self.error = error }
    guard schedule.isBlocking else { return }
    if error != nil { core.close() }
    isBellRung = true
  }

  private var hasAccepted: Bool { acceptors.allSatisfy { $0.isDone } }

  /// Whether the server's code can go on.
  private var isServerEnabled: Bool {
    switch stage {
    case .serving:
      return schedule.isBlocking
        ? isBellRung || hasAccepted || (closesAgain ?? service.deadline) <= clock : hasAccepted
    case .waiting: return isBellRung || service.deadline <= clock
    case .cancelling(let until): return isBellRung || until <= clock
    case .handlersLeft: return handlers.allSatisfy { $0.isDone }
    case .leaving(let until): return isBellRung || until <= clock
    case .done: return false
    }
  }

  private func serve() {
    isBellRung = false
    switch stage {
    case .serving:
      if schedule.isBlocking, !hasAccepted { return serveBlocking() }
      core.close { [service] in service.noteListenerClosed() }
      stage = schedule.isBlocking ? .leaving(until: clock(after: ServiceSchedule.grace)) : .waiting
    case .waiting:
      if service.isEmpty {
        stage = .handlersLeft
      } else if service.deadline.hasPassed(by: clock) {
        service.noteCancelling()
        for handler in handlers where !handler.isDone { handler.cancelTask() }
        stage = .cancelling(until: clock(after: ServiceSchedule.grace))
      }
    case .cancelling(let until):
      if service.isEmpty || until <= clock {
        closeAll()
        stage = .handlersLeft
      }
    case .handlersLeft: stage = .leaving(until: clock(after: ServiceSchedule.grace))
    case .leaving(let until):
      guard service.isOver || until <= clock || makes(.leavesTooSoon) else { return }
      core.leave(service)
      timerDeadline = .never
      noteDone(isLate: until <= clock)
      stage = .done
    case .done: fail("the server runs after its end")
    }
  }

  /// The thread that waits for the end of the others looks.
  private func serveBlocking() {
    guard (closesAgain ?? service.deadline).hasPassed(by: clock) else { return }
    if closesAgain == nil {
      service.noteCancelling()
      core.close()
    }
    closeAll()
    closesAgain = clock(after: ServiceSchedule.grace)
  }

  private func closeAll() {
    for handler in handlers where !handler.isDone {
      handler.lostConnection = true
      coverage.note(.closedByServer)
    }
    service.closeAll()
  }

  private func noteDone(isLate: Bool) {
    trace("done")
    if isLate { coverage.note(.outlivedItsLimit) }
    check(source.isClosed, "serving has ended, and the listener is open")
    for handler in handlers { check(handler.isDone, "serving has ended, and a handler runs") }
    for end in handlers.map(\.end) + refused {
      check(
        end.isClosed || (isLate && end.isClosing), "serving has ended, and connection \(end.index) is open")
    }
    if let drainBegan, !schedule.isBlocking, !handlers.contains(where: { $0.isStubborn }) {
      let most = UInt64(schedule.patience + 2 * ServiceSchedule.grace)
      check(
        clock.nanoseconds - drainBegan.nanoseconds <= most + lateness,
        "the end took \(clock.nanoseconds - drainBegan.nanoseconds), \(most) at most")
    }
  }

  /// How far disturbances have advanced the clock since the end began. The server may run so much later than it could.
  private var lateness: UInt64 = 0

  // MARK: The observer

  private func observe(_ event: ListenerEvent) {
    switch event {
    case .accepted(let number, _):
      coverage.note(.accepted)
      check(told[number] == nil, "connection \(number) is accepted twice")
      told[number] = (0, nil)
    case .refused(let reason, _):
      coverage.note(.refused)
      check(reason == .draining && service.isDraining, "refused as \(reason), and the service does not end")
      refusedCount += 1
    case .closed(let number, let error, _):
      coverage.note(error == nil ? .closed : .failed)
      noteEnd(number)
    case .greetingFailed(let number, _):
      coverage.note(.greetingFailed)
      noteEnd(number)
    case .acceptingPaused:
      check(!isPaused, "a shortage begins twice")
      isPaused = true
    case .acceptingResumed:
      check(isPaused, "a shortage ends that has not begun")
      isPaused = false
    case .draining(let count): coverage.note(count > 0 ? .drainedServed : .drainedWaiting)
    case .cancelling(let count):
      coverage.note(.cancelling)
      cancellingCount += 1
      check(count > 0 && cancellingCount == 1, "the end of the patience is told \(cancellingCount) times")
    }
    interlude()
  }

  private func noteEnd(_ number: Int) {
    guard let record = told[number] else { return fail("connection \(number) ends that was not accepted") }
    told[number]?.closed += 1
    check(record.closed == 0, "the end of connection \(number) is told twice")
    check(record.end?.isClosed ?? false, "the end of connection \(number) is told, and it is open")
  }

  /// A handler has received everything that it will receive.
  func noteEndOfRequests(_ handler: ServiceHandler) {
    let end = handler.end
    check(
      end.receivedCount >= end.sentBeforeEnd,
      "connection \(end.index) sent \(end.sentBeforeEnd) requests before the end, and \(end.receivedCount) are received"
    )
  }

  // MARK: The clients

  private func connect() {
    clientsLeft -= 1
    let end = ServedEnd(self, index: ends.count)
    ends.append(end)
    requestsLeft.append(below(schedule.mostRequests + 1))
    trace("connects", end.index)
    let core = EndpointCore(end, for: [.readable, .writable], reactor: reactor)
    end.half = core.receiving
    source.offer(core)
  }

  /// The service begins to end.
  private func end() {
    // It begins once, however often the listener is told.
    if !core.isFinishing { for end in ends { end.noteEndOfService() } }
    if chance(schedule.close) {
      trace("closes the listener")
      coverage.note(.listenerClosed)
      core.close()
    } else {
      trace("finishes")
      coverage.note(.finished)
      core.finish()
    }
  }

  // MARK: The scheduler

  func interlude() {
    guard interrupts() else { return }
    coverage.note(.interlude)
    runOthers()
  }

  func interruptWakeUp() { interlude() }

  func enabledActors() -> [Actor] {
    var enabled: [Actor] = acceptors.indices.filter { acceptors[$0].isEnabled }.map { .acceptor($0) }
    for (index, handler) in handlers.enumerated() {
      if handler.isEnabled { enabled.append(.handler(index)) }
      if handler.isGreeting, !handler.isDone, !handler.end.isClosing, handler.greetsUntil <= clock {
        enabled.append(.lateGreeting(index))
      }
    }
    if reactor.isEnabled { enabled.append(.reactor) }
    if isServerEnabled, !isServing { enabled.append(.server) }
    if timerDeadline <= clock { enabled.append(.timeIsUp) }
    if clientsLeft > 0, !core.isFinishing { enabled.append(.connect) }
    for (index, end) in ends.enumerated() {
      if end.isClosingLate, isCalm || chance(0.2) { enabled.append(.closed(index)) }
      guard end.canSend else { continue }
      if requestsLeft[index] > 0 {
        enabled.append(.send(index))
      } else if isCalm || index % 2 == 0 || schedule.silence == 0 {
        enabled.append(.endOfClient(index))
      }
    }
    return enabled
  }

  private var isServing = false

  func step(_ actor: Actor) {
    switch actor {
    case .acceptor(let index): acceptors[index].step()
    case .handler(let index): handlers[index].step()
    case .reactor: reactor.step()
    case .server:
      isServing = true
      serve()
      isServing = false
    case .connect: connect()
    case .send(let index):
      requestsLeft[index] -= 1
      trace("sends", index)
      ends[index].send()
    case .endOfClient(let index):
      trace("client ends", index)
      ends[index].endOfClient()
    case .closed(let index): ends[index].closeNow()
    case .lateGreeting(let index): handlers[index].endGreeting()
    case .timeIsUp:
      timerDeadline = .never
      trace("the time is up")
      if !source.isClosed { coverage.note(.listenerClosedByTime) }
      core.close()
    }
  }

  func checkInvariants() {
    core.half.inspect { $0.checkInvariants() }
    for handler in handlers { handler.half.inspect { $0.checkInvariants() } }
  }

  func disturb() {
    switch below(6) {
    case 0:
      let ticks = 1 + below(100)
      advanceClock(by: ticks)
      if drainBegan != nil { lateness += UInt64(ticks) }
    case 1: core.half.stir()
    case 2, 3:
      guard errorsLeft > 0, !source.isClosed else { return }
      errorsLeft -= 1
      let isFinal = schedule.failsForGood && chance(0.2)
      if isFinal { coverage.note(.listenerFailed) }
      source.fail(
        isFinal ? .invalidArgument : [.connectionAbort, .tooManyOpenFiles, .noBufferSpace][below(3)])
    case 4:
      coverage.note(.snapshot)
      check(
        service.snapshot.count <= schedule.limit + handlers.count { $0.isOverdue },
        "more connections are listed than may be served")
    default: if chance(0.3) { end() }
    }
  }

  func nextInstant() -> Deadline {
    var next = min(reactor.nextInstant, timerDeadline)
    if let retryAt = core.half.inspect({ $0.isClosed ? nil : $0.retryAt }), retryAt > clock {
      next = min(next, retryAt)
    }
    for handler in handlers where handler.isDone && !handler.end.isClosed && handler.closingUntil > clock {
      next = min(next, handler.closingUntil)
    }
    for handler in handlers where !handler.isDone && handler.busyUntil > clock {
      next = min(next, handler.busyUntil)
    }
    for handler in handlers where handler.isGreeting && !handler.isDone && !handler.end.isClosing {
      next = min(next, handler.greetsUntil)
    }
    switch stage {
    case .serving: if schedule.isBlocking { next = min(next, closesAgain ?? service.deadline) }
    case .waiting: next = min(next, service.deadline)
    case .cancelling(let until), .leaving(let until): next = min(next, until)
    case .handlersLeft, .done: break
    }
    return next
  }

  func windUp(_ stage: Int) -> Bool {
    switch stage {
    case 1: if !core.isFinishing { end() }
    default: return false
    }
    return true
  }

  /// Closes what a failure has left open, while the world still exists.
  func tearDown() {
    core.close()
    for acceptor in acceptors { acceptor.letGo() }
    for handler in handlers { handler.connection.close() }
    for end in ends where end.isClosingLate { end.closeNow() }
    core.leave(service)
  }

  // MARK: Checks

  func checkQuiescence() {
    for caller in acceptors { caller.checkQuiescence() }
    for caller in handlers { caller.checkQuiescence() }
    let (turn, called, head, pauseEnd) = core.half.inspect {
      ($0.turn, $0.called, $0.queue.first != nil, $0.isHeadPaused ? $0.retryAt : nil)
    }
    check(!turn && !called, "the turn or a call is left, and nobody runs")
    let waits = !source.waiting.isEmpty || !source.errors.isEmpty
    if head, waits {
      check(pauseEnd.map { $0 > clock } ?? false, "connections wait, and the server waits to accept")
    }
    if stage == .serving, !schedule.isBlocking, !hasAccepted {
      check(head || !service.accepts, "there is room, and the server does not accept")
    }
    check(!(stage == .waiting && service.isEmpty), "every connection is closed, and the server waits")
    let isPatient =
      stage == .waiting || (schedule.isBlocking && stage == .serving && !hasAccepted && closesAgain == nil)
    if isPatient, let drainBegan {
      check(
        clock.nanoseconds < drainBegan.nanoseconds + UInt64(schedule.patience),
        "the time for the end has passed, and nothing happens")
    }
  }

  func checkEnd() {
    check(stage == .done, "serving has not ended")
    for (number, record) in told {
      check(record.closed == 1, "the end of connection \(number) is told \(record.closed) times")
    }
    // Every client was served and told of the end, or told that nobody serves.
    for end in ends { check(end.isClosed, "connection \(end.index) is open after the end") }
    check(service.isEmpty && service.isOver, "the books are not closed")
    check(reactor.timerCount == 0, "a timer is left")
  }
}
