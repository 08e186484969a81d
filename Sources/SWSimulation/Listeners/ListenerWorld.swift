import SWIO
import SWMessaging
import SWTesting
import SystemPackage

/// A listener in one schedule. As in `World`, one thread does everything, one step at a time, and all choices come from
/// the seed.
///
/// The kernel has a queue of connections, errors of peers in between, and a limit of open descriptors. Each accepted
/// connection is a duplicate of one socket, so a socket at the other end tells when all of them are closed.
// Invariant: everything happens on the one thread of the simulation.
final class ListenerWorld: @unchecked Sendable {
  private enum Actor {
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
  private let mistake: ListenerMistake?
  private let isTracing: Bool
  private var generator: SeededGenerator

  private(set) lazy var reactor = ListenerReactor(self)
  private(set) lazy var core = makeCore()
  let closes = DescriptorShortage()
  private(set) var callers: [ListenerCaller] = []
  private(set) var clock = Deadline(nanoseconds: 1)
  var coverage = ListenerCoverage()

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
  private let listening: Int32

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

  private(set) var failure: String?
  private(set) var traceHash: UInt64 = 0xcbf2_9ce4_8422_2325
  private(set) var stepCount = 0
  private var depth = 0
  private var isReactorRunning = false
  private var isCalm = false
  private var stage = 0
  /// So many pauses may pass before the rest of the program gives its descriptors back.
  private var pausesLeft = 12

  private static let mostSteps = 20_000

  init(seed: UInt64, mistake: ListenerMistake?, isTracing: Bool) throws {
    generator = SeededGenerator(seed: seed)
    schedule = ListenerSchedule(&generator)
    self.mistake = mistake
    self.isTracing = isTracing
    clientsLeft = schedule.clients
    endingsLeft = schedule.endings
    foreignCount = schedule.foreign
    let pair = try DescriptorPair.sockets(.unix)
    listening = try OwnedDescriptor(duplicating: pair.first.withDescriptor { $0 }).release().rawValue
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
      .when { [unowned self] _ in admits() }, closes: closes
    ) { [unowned self] descriptor in accept(descriptor) }
    return ListenerCore(accepting: source, address: .abstract("simulated"), reactor: reactor)
  }

  // MARK: Chance

  func below(_ limit: Int) -> Int { Int(generator.next() % UInt64(limit)) }
  func chance(_ probability: Double) -> Bool {
    probability > 0 && Double(generator.next() >> 11) * 0x1p-53 < probability
  }
  func makes(_ candidate: ListenerMistake) -> Bool { mistake == candidate && chance(0.5) }
  func clock(after ticks: Int) -> Deadline { Deadline(nanoseconds: clock.nanoseconds + UInt64(ticks)) }

  // MARK: The kernel

  var isShort: Bool { open.count + foreignCount >= schedule.limit }

  /// Whether `poll` reports the listening descriptor as readable.
  var isReadable: Bool { !isClosed && (!queue.isEmpty || !failedPeers.isEmpty || isBroken) }

  /// `accept(2)`.
  private func accept(_ descriptor: FileDescriptor) -> Int32 {
    let isOpen = (try? OwnedDescriptor.isInheritable(descriptor.rawValue)) != nil
    check(isOpen, "accepts at a descriptor that is closed")
    let wasClosed = isClosed
    interlude()
    if isClosed, !wasClosed { coverage.note(.closedWhileAccepting) }
    if isBroken { return -Errno.invalidArgument.rawValue }
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
    if let id = open[number] { fates[id] = .closed }
    trace("closes", Int(number))
    _ = fresh.take()
    open[number] = nil
    noteClose()
  }

  private final class Observer: ServesConnections {
    private unowned let world: ListenerWorld
    init(_ world: ListenerWorld) { self.world = world }
    func drain() {}
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

  /// Lets others run in the middle of a step.
  func interlude() {
    guard failure == nil, depth <= 2, chance(schedule.interlude) else { return }
    coverage.note(.interlude)
    for _ in 0...below(3) where !runOne() { return }
  }

  private func runOne() -> Bool {
    guard failure == nil else { return false }
    stepCount += 1
    guard stepCount < Self.mostSteps else {
      fail("it never ends")
      return false
    }
    if !isCalm, chance(schedule.disturbance) { disturb() }
    if mistake == .stirsForEver { core.half.endPauseEarly() }
    var enabled: [Actor] = callers.indices.filter { callers[$0].isEnabled }.map { .caller($0) }
    if !isReactorRunning, reactor.isEnabled { enabled.append(.reactor) }
    if clientsLeft > 0, !isFinishing { enabled.append(.client) }
    if !held.isEmpty { enabled.append(.closing) }
    if enabled.isEmpty { return false }
    depth += 1
    switch enabled[below(enabled.count)] {
    case .caller(let index):
      let caller = callers[index]
      caller.isRunning = true
      caller.step()
      caller.isRunning = false
    case .reactor:
      isReactorRunning = true
      reactor.step()
      isReactorRunning = false
    case .client: connectClients()
    case .closing: closeHeld()
    }
    depth -= 1
    core.half.inspect { $0.checkInvariants() }
    return failure == nil
  }

  /// The rest of the program closes its descriptors.
  private func relieve() {
    guard foreignCount > 0 else { return }
    trace("relief")
    foreignCount = 0
    isReliefUntold = true
    coverage.note(.relief)
  }

  /// Something that nobody asked for.
  private func disturb() {
    noteReason()
    switch below(7) {
    case 0: clock = clock(after: 1 + below(5_000_000))
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
  }

  private func close() {
    trace("closes the listener")
    (isFinishing, isClosed) = (true, true)
    core.close()
  }

  /// Plays the schedule to its end, and then everything that is left to its end.
  func play() {
    while failure == nil {
      if runOne() { continue }
      if failure != nil { break }
      checkQuiescence()
      if advanceClock() { continue }
      if !windUp() { break }
    }
    if failure == nil { checkEnd() }
    // A failure may leave open descriptors. They are closed as long as there is a world.
    core.close()
    letGo()
  }

  /// Lets the next deadline pass, because no actor can run before it.
  private func advanceClock() -> Bool {
    var next = reactor.nextDeadline
    for caller in callers { next = min(next, caller.nextDeadline) }
    if next == .never || next <= clock { return false }
    if !isCalm {
      if pausesLeft == 0 { return false }
      pausesLeft -= 1
    }
    if core.half.inspect({ $0.isHeadPaused }) { coverage.note(.pausePassed) }
    trace("the clock advances")
    clock = next
    noteReason()
    return true
  }

  /// Brings the schedule a bit further to its end each time, because no actor can run at all.
  private func windUp() -> Bool {
    stage += 1
    trace("winding up", stage)
    switch stage {
    case 1:
      isCalm = true
      relieve()
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

  /// Nothing is left that an accepted connection could be held by.
  func letGo() {
    held = []
    if near >= 0 { _ = OwnedDescriptor(adopting: FileDescriptor(rawValue: near)) }
    near = -1
  }

  // MARK: Verdict

  func check(_ condition: Bool, _ claim: @autoclosure () -> String) { if !condition { fail(claim()) } }

  func fail(_ explanation: String) {
    if failure == nil {
      failure = "\(explanation) (step \(stepCount))"
      if isTracing { print("FAILED: \(explanation)") }
    }
  }

  func trace(_ event: StaticString, _ number: Int = 0) {
    for value in [event.utf8CodeUnitCount, number, depth] {
      traceHash = (traceHash ^ UInt64(truncatingIfNeeded: value)) &* 0x100_0000_01b3
    }
    if isTracing { print("\(stepCount) \(String(repeating: "  ", count: depth))\(event) \(number)") }
  }
}
