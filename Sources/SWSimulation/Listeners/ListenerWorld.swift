import SWIO
import SWMessaging
import SWTesting
import SystemPackage

/// A listener and its callers. The kernel has a queue of connections, errors of peers in between, and a limit of open descriptors. Each accepted
/// connection is a duplicate of one socket, so a socket at the other end tells when all of them are closed.
// Invariant: everything happens on the single thread of the simulation.
final class ListenerWorld: SmallReactorHost, @unchecked Sendable {
  typealias Mistake = ListenerMistake

  enum Actor {
    case caller(Int)
    case reactor
    /// Clients connect.
    case client
    /// A caller closes a connection that it has accepted.
    case closing
  }

  /// The state of a connection.
  enum Fate {
    case queued, accepted, refused, delivered, closed
  }

  let schedule: ListenerSchedule
  let course: Course<Mistake>

  private(set) lazy var reactor = SmallReactor(self)
  private(set) lazy var core = makeCore()
  let closes = DescriptorShortage()
  private(set) var callers: [ListenerCaller] = []
  var coverage = PointCoverage<ListenerPoint>()

  // The kernel.
  private(set) var fates: [Fate] = []
  private(set) var queue: [Int] = []
  /// Connections of the queue that have failed before they were accepted.
  private var failedPeers: [Errno] = []
  /// The connections that are accepted and open, by their descriptors.
  private var open: [Int32: Int] = [:]
  /// Descriptors that the rest of the program has.
  private var foreignCount: Int
  /// The listening descriptor has become unusable.
  private(set) var isBroken = false
  /// The far end of all accepted connections; and the near end, of which they are duplicates: -1 once it is closed.
  let far: OwnedDescriptor
  private var near: Int32
  /// The descriptor that the listener gets.
  private let listening: Int32
  /// A duplicate of it, by which the world sees that the listener has shut its socket down, so that clients are refused.
  private let listeningSocket: OwnedDescriptor
  /// The other end of the listener's socket. If it were closed, the socket would look as if it were shut down.
  private let otherEnd: OwnedDescriptor
  /// Whether the kernel refuses clients.
  private var isRefusing = false
  /// Whether the listener has lent its descriptor before it finished. Then it may not have the kernel refuse clients.
  private var isLent = false

  /// Descriptors have become free in a way that the library is not told of, and it has not tried again.
  private(set) var isReliefUntold = false
  /// Connections that callers have.
  private var held: [FreshDescriptor] = []
  private var clientsLeft: Int
  private var endingsLeft: Int
  private(set) var isFinishing = false
  private(set) var isClosed = false
  /// The shortage that was told to begin, and how many refusals were told.
  private(set) var spell: Errno?
  private(set) var refusedTold = 0

  /// How many attempts have met a shortage in vain, and how many things have happened that are a reason to attempt.
  private var vainCount = 0
  private var reasonCount = 0

  /// So many pauses may pass before the rest of the program gives its descriptors back.
  private var pausesLeft = 12

  init(seed: UInt64, mistake: ListenerMistake?, isTracing: Bool) throws {
    var generator = SeededGenerator(seed: seed)
    schedule = ListenerSchedule(&generator)
    course = Course(
      generator, mistake, interlude: (schedule.interlude, 2), disturbance: schedule.disturbance,
      mostSteps: 20_000, isTracing: isTracing)
    clientsLeft = schedule.clients
    endingsLeft = schedule.endings
    foreignCount = schedule.foreign
    let pair = try DescriptorPair.sockets(.unix)
    let sockets = try DescriptorPair.sockets(.unix)
    listening = try OwnedDescriptor(duplicating: sockets.first.withDescriptor { $0 }).release().rawValue
    listeningSocket = sockets.first
    otherEnd = sockets.second
    near = pair.first.release().rawValue
    far = pair.second
    core.enter(Observer(self))
    for index in 0..<schedule.callers {
      callers.append(
        ListenerCaller(
          self, index: index, kind: chance(0.5) ? .task : .thread, half: core.half,
          calls: 1 + below(schedule.mostCalls)))
    }
  }

  private func makeCore() -> ListenerCore {
    let source = AcceptSource(
      OwnedDescriptor(adopting: FileDescriptor(rawValue: listening)), .stream, isUnix: true,
      .when { [unowned self] _ in admits() }, isOwn: schedule.isOwn, closes: closes
    ) { [unowned self] descriptor in accept(descriptor) }
    return ListenerCore(accepting: source, address: .abstract("simulated"), reactor: reactor)
  }

  // MARK: The kernel

  var isShort: Bool { open.count + foreignCount >= schedule.limit }

  var offeredReadiness: Readiness { isReadable ? .readable : [] }
  func losesTimer() -> Bool { makes(.dropsTimer) }

  /// Whether an attempt to accept would find something.
  var hasWork: Bool { !isClosed && (!queue.isEmpty || !failedPeers.isEmpty || isBroken) }

  /// Whether `poll` reports the listening descriptor as readable. It does so for good when it refuses clients.
  var isReadable: Bool { hasWork || (!isClosed && refuses()) }

  /// Whether a client that connects now is put into the queue.
  private var takesClients: Bool { schedule.isOwn && !isLent ? !isClosed && !refuses() : !isFinishing }

  /// Looks whether the listener has told its socket to refuse clients.
  private func refuses() -> Bool {
    if isRefusing || !isFinishing || !schedule.isOwn { return isRefusing }
    guard listeningSocket.withDescriptor({ $0.isReady(for: .readable) }) else { return false }
    isRefusing = true
    trace("the kernel refuses clients")
    coverage.note(.refusesClients)
    check(!isLent, "a socket refuses clients that others may serve")
    if always(.forgetsWhenRefusing) { queue = [] }
    reactor.edge()
    return true
  }

  /// `accept(2)`.
  private func accept(_ descriptor: FileDescriptor) -> Int32 {
    let isOpen = (try? OwnedDescriptor.isInheritable(descriptor.rawValue)) != nil
    check(isOpen, "accepts at a descriptor that is closed")
    let wasClosed = isClosed
    interlude()
    if isClosed, !wasClosed { coverage.note(.closedWhileAccepting) }
    // The socket of a listener that may shut it down reports the shutdown with EINVAL.
    if isBroken { return -(schedule.isOwn ? Errno.badFileDescriptor : .invalidArgument).rawValue }
    let isUntold = isReliefUntold
    isReliefUntold = false
    if isShort {
      noteShortage(isUntold)
      return -schedule.shortage.rawValue
    }
    if let errno = failedPeers.popLast() {
      coverage.note(.peerFailed)
      trace("accept: a peer has failed")
      return -errno.rawValue
    }
    if queue.isEmpty, refuses() {
      coverage.note(.triedWhileRefusing)
      return -Errno.invalidArgument.rawValue
    }
    if queue.isEmpty { return -Errno.wouldBlock.rawValue }
    let id = queue.removeFirst()
    if makes(.dropsConnection) { return -Errno.wouldBlock.rawValue }
    let number: Int32
    do {
      number = try OwnedDescriptor(duplicating: FileDescriptor(rawValue: near)).release().rawValue
    } catch {
      fail("the process has no descriptors for the simulation")
      return -Errno.badFileDescriptor.rawValue
    }
    trace("accept", id)
    fates[id] = .accepted
    open[number] = id
    interlude()
    judged = (id, number)
    return number
  }

  /// An attempt has met a shortage. Attempts without a reason are a loop that spins.
  private func noteShortage(_ isUntold: Bool) {
    coverage.note(.shortage)
    trace("accept: shortage")
    let waiting = callers.filter { $0.isQueued }
    if waiting.contains(where: { $0.kind == .task }), waiting.contains(where: { $0.kind == .thread }) {
      coverage.note(.shortageWithThreadsAndTasks)
    }
    vainCount += 1
    check(
      vainCount <= 4 + 4 * reasonCount, "\(vainCount) attempts met a shortage, for \(reasonCount) reasons")
  }

  /// Something has happened after which the library may attempt to accept.
  func noteReason() { reasonCount += 1 }

  /// The connection that the policy is asked about.
  private var judged: (id: Int, number: Int32)?

  private func admits() -> Bool {
    guard let (id, number) = judged else {
      fail("the policy is asked of nothing")
      return true
    }
    judged = nil
    refusedInARow += 1
    if refusedInARow > 64 { coverage.note(.outOfPatience) }
    if !chance(schedule.refusal) {
      refusedInARow = 0
      return true
    }
    coverage.note(.refused)
    fates[id] = .refused
    open[number] = nil
    return false
  }

  private var refusedInARow = 0

  /// The library has closed a descriptor.
  private func noteClose() {
    noteReason()
    if closes.count > 0 { coverage.note(.closeEndedPause) }
    if makes(.dropsClose) { return }
    closes.noteClose()
  }

  private func connectClients() {
    for _ in 0...below(schedule.burst) where clientsLeft > 0 {
      clientsLeft -= 1
      if chance(schedule.peerFailure) {
        trace("a client fails")
        failedPeers.append([.connectionAbort, .protocolError, .networkDown, .notPermitted][below(4)])
      } else {
        trace("a client connects", fates.count)
        queue.append(fates.count)
        fates.append(.queued)
        if isFinishing { coverage.note(.connectedDuringFinish) }
      }
    }
    noteReason()
    if makes(.losesSignal) { return }
    reactor.edge()
  }

  // MARK: Reports of callers

  /// A caller has a connection.
  func delivered(_ fresh: FreshDescriptor, to caller: ListenerCaller) {
    let number = fresh.call { $0.rawValue }
    guard let id = open[number] else {
      return fail("caller \(caller.index) is given a descriptor that nobody accepted")
    }
    trace("delivered", id)
    check(fates[id] == .accepted, "connection \(id) is delivered, and was \(fates[id])")
    fates[id] = .delivered
    coverage.note(.delivered)
    if makes(.leaksConnection) {
      leaked.append(fresh)
    } else {
      held.append(fresh)
    }
  }

  private var leaked: [FreshDescriptor] = []

  func ended(_ caller: ListenerCaller, _ error: EndpointError) {
    trace("ended", caller.index)
    let isRight =
      switch error.reason {
      case .timedOut: caller.deadline <= clock
      case .cancelled: caller.isCancelled
      case .closed: isClosed
      case .endOfStream: isFinishing
      case .transport: isBroken
      default: false
      }
    check(isRight, "caller \(caller.index) is told without reason: \(error)")
    switch error.reason {
    case .timedOut: coverage.note(.timedOut)
    case .cancelled: coverage.note(.cancelled)
    case .endOfStream: coverage.note(.finished)
    case .transport: coverage.note(.listenerFailed)
    default: coverage.note(.closedCalls)
    }
  }

  private func closeHeld() {
    let fresh = held.remove(at: below(held.count))
    let number = fresh.call { $0.rawValue }
    if let id = open[number] {
      fates[id] = .closed
      // Which number a descriptor gets depends on closes that threads of the library make in their own time.
      trace("closes", id)
    }
    _ = fresh.take()
    open[number] = nil
    noteClose()
  }

  private final class Observer: ServesConnections {
    private unowned let world: ListenerWorld
    init(_ world: ListenerWorld) { self.world = world }
    func drain() { world.interlude() }
    var snapshot: [ListenerSnapshot.Connection] { [] }
    func tell(_ event: ListenerEvent) { world.told(event) }
  }

  private func told(_ event: ListenerEvent) {
    switch event {
    case .acceptingPaused(let error):
      check(spell == nil, "a shortage begins twice")
      spell = error.errno
    case .acceptingResumed:
      check(spell != nil, "a shortage ends that has not begun")
      spell = nil
    case .refused(.policy, _):
      refusedTold += 1
      // Its descriptor is closed by now.
      noteClose()
    default: fail("the listener tells of \(event)")
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
    if always(.stirsForEver) { core.half.endPauseEarly() }
    var enabled: [Actor] = callers.indices.filter { callers[$0].isEnabled }.map { .caller($0) }
    if reactor.isEnabled { enabled.append(.reactor) }
    if clientsLeft > 0, takesClients { enabled.append(.client) }
    if !held.isEmpty { enabled.append(.closing) }
    return enabled
  }

  func step(_ actor: Actor) {
    switch actor {
    case .caller(let index): callers[index].step()
    case .reactor: reactor.step()
    case .client: connectClients()
    case .closing: closeHeld()
    }
  }

  func checkInvariants() { core.half.inspect { $0.checkInvariants() } }

  /// The rest of the program closes its descriptors.
  private func relieve() {
    guard foreignCount > 0 else { return }
    trace("relief")
    foreignCount = 0
    isReliefUntold = true
    coverage.note(.relief)
  }

  func disturb() {
    noteReason()
    switch below(8) {
    case 0: advanceClock(by: 1 + below(5_000_000))
    case 1: for caller in callers where caller.isWaiting && chance(0.5) { caller.isSignalled = true }
    case 2: core.half.stir()
    case 3: relieve()
    case 4:
      let candidates = callers.filter { $0.canBeCancelled }
      if !candidates.isEmpty { candidates[below(candidates.count)].cancel() }
    case 5:
      guard schedule.failsForGood, !isBroken else { return }
      trace("the listening descriptor fails")
      isBroken = true
      reactor.edge()
    case 6:
      guard chance(schedule.lending) else { return }
      if !refuses() { isLent = true }
      coverage.note(.lent)
      try? core.withDescriptor { _ in }
    default:
      guard endingsLeft > 0 else { return }
      endingsLeft -= 1
      if chance(0.5) { finish() } else { close() }
    }
  }

  private func finish() {
    trace("finishes")
    isFinishing = true
    noteReason()
    core.finish()
    if schedule.isOwn, !isLent, !isClosed, !isBroken {
      check(refuses(), "the listener has finished, and clients can connect")
    }
  }

  private func close() {
    trace("closes the listener")
    (isFinishing, isClosed) = (true, true)
    core.close()
  }

  func nextInstant() -> Deadline {
    callers.reduce(reactor.nextInstant) { min($0, $1.nextInstant) }
  }

  func mayAdvance() -> Bool {
    if !isCalm {
      if pausesLeft == 0 { return false }
      pausesLeft -= 1
    }
    if core.half.inspect({ $0.isHeadPaused }) { coverage.note(.pausePassed) }
    noteReason()
    return true
  }

  func windUp(_ stage: Int) -> Bool {
    switch stage {
    case 1: relieve()
    case 2:
      if !isFinishing { finish() }
      // A caller for all that is there, until the end.
      callers.append(
        ListenerCaller(
          self, index: callers.count, kind: chance(0.5) ? .task : .thread, half: core.half, calls: .max,
          drains: true))
    case 3: close()
    default: return false
    }
    return true
  }

  /// Closes what a failure has left open, while the world still exists.
  func tearDown() {
    core.close()
    letGo()
    if reactor.hasDriven { coverage.note(.reactorDrives) }
  }

  /// Nothing is left that an accepted connection could be held by.
  func letGo() {
    held = []
    if near >= 0 { _ = OwnedDescriptor(adopting: FileDescriptor(rawValue: near)) }
    near = -1
  }
}
