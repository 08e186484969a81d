import SWIO
import SWMessaging
import SWTesting
import Synchronization
import TestSupport
import Testing

/// The reactor as a machine: every verb, and what it answers. No thread and no clock.
@Suite(.lastResort, .leavesNothing) struct ReactorStateTests {
  private final class Work: ReactorWork {
    func drive() {}
    func driveOffloaded() {}
  }

  private final class Receiver: ReadinessReceiver, DeadlineReceiver {
    func readinessChanged(_ readiness: Readiness, mayDrive: Bool) {}
    func deadlinePassed() {}
  }

  /// As an object, so that expectations can call what changes it.
  private final class Machine {
    private var state = ReactorState<Int>()

    func register(_ receiver: Receiver, descriptor: Int32, watching interest: Readiness) -> RegistrationID {
      state.register(receiver, descriptor: descriptor, watching: interest)
    }
    func watch(_ id: RegistrationID, _ interest: Readiness) { state.watch(id, interest) }
    func deregister(_ id: RegistrationID) -> Receiver? { state.deregister(id) as? Receiver }
    func receiver(of key: UInt64) -> Receiver? { state.receiver(of: key) as? Receiver }
    var registrations: [(id: RegistrationID, descriptor: Int32, interest: Readiness)] { state.registrations }
    var registrationCount: Int { state.registrationCount }
    var timerCount: Int { state.timerCount }
    func call(_ work: Work) -> Bool { state.call(work).wakesLeader }
    func enqueue(_ job: Int) -> Bool { state.enqueue(job).wakesLeader }
    func set(_ timer: Timer, at deadline: Deadline) -> Bool { state.set(timer, at: deadline).wakesLeader }
    func takeBack(_ timer: Timer) { state.takeBack(timer) }
    func woke(_ events: [PollerEvent] = []) {
      var events = events
      state.woke(&events)
      #expect(events.isEmpty)
    }
    func next(_ now: Deadline) -> ReactorStep<Int> { state.next(now) }
  }

  private static func at(_ nanoseconds: UInt64) -> Deadline { Deadline(nanoseconds: nanoseconds) }

  // MARK: The heap

  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func `timers come out in order, whichever are taken back before`(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var heap = DeadlineHeap()
    var model: [(timer: Timer, deadline: UInt64)] = []
    for _ in 0..<400 {
      switch Int.random(in: 0..<5, using: &generator) {
      case 0...2:
        let deadline = UInt64.random(in: 1...40, using: &generator)
        let timer = Timer(Receiver())
        heap.insert(timer, at: Self.at(deadline))
        #expect(timer.deadline == Self.at(deadline))
        model.append((timer, deadline))
      case 3:
        guard let index = model.indices.randomElement(using: &generator) else { continue }
        let timer = model.remove(at: index).timer
        heap.remove(timer)
        // It is in no heap any more.
        heap.remove(timer)
      default:
        let now = UInt64.random(in: 1...40, using: &generator)
        let found = heap.popDue(by: Self.at(now))
        let least = model.map(\.deadline).min()
        #expect((found != nil) == (least.map { $0 <= now } ?? false))
        if let found {
          #expect(found.deadline == least.map { Self.at($0) })
          #expect(model.contains { $0.timer === found })
          model.removeAll { $0.timer === found }
        }
      }
      heap.checkInvariants()
      #expect(heap.count == model.count && heap.isEmpty == model.isEmpty)
      #expect(heap.earliest == model.map(\.deadline).min().map { Self.at($0) } ?? .never)
    }
    while let timer = heap.popDue(by: Self.at(40)) {
      #expect(timer.deadline.nanoseconds == model.map(\.deadline).min())
      model.removeAll { $0.timer === timer }
    }
    #expect(model.isEmpty && heap.isEmpty)
  }

  // MARK: Registrations

  @Test func `a slot is used again, and nothing of its former owner reaches the next`() {
    let machine = Machine()
    let receivers = (0..<3).map { _ in Receiver() }
    let ids = receivers.enumerated().map { index, receiver in
      machine.register(receiver, descriptor: Int32(index + 10), watching: .readable)
    }
    #expect(Set(ids.map(\.key)).count == 3 && machine.registrationCount == 3)
    #expect(machine.deregister(ids[1]) === receivers[1])
    #expect(machine.registrationCount == 2)
    #expect(machine.receiver(of: ids[1].key) == nil)
    #expect(machine.deregister(ids[1]) == nil)
    let next = Receiver()
    let id = machine.register(next, descriptor: 20, watching: .writable)
    #expect(id.slot == ids[1].slot && id.key != ids[1].key)
    #expect(RegistrationID(key: id.key) == id)
    // By its old name it is changed no more, told of nothing, and not ended.
    machine.watch(ids[1], [])
    #expect(machine.receiver(of: ids[1].key) == nil)
    #expect(machine.deregister(ids[1]) == nil)
    #expect(machine.receiver(of: id.key) === next)
    #expect(machine.receiver(of: RegistrationID(slot: 3, generation: 0).key) == nil)
    machine.watch(ids[2], [.readable, .writable])
    #expect(machine.registrations.map(\.descriptor) == [10, 20, 12])
    #expect(machine.registrations.map(\.interest) == [.readable, .writable, [.readable, .writable]])
    #expect(machine.registrations.map(\.id) == [ids[0], id, ids[2]])
    for id in [ids[0], id, ids[2]] { _ = machine.deregister(id) }
    #expect(machine.registrationCount == 0 && machine.registrations.isEmpty)
  }

  @Test func `a receiver that is gone is not kept, and its events reach nobody`() {
    let machine = Machine()
    _ = machine.next(Self.at(1))
    let other = Receiver()
    weak var gone: Receiver?
    var events: [PollerEvent] = []
    do {
      let receiver = Receiver()
      gone = receiver
      let first = machine.register(receiver, descriptor: 3, watching: .readable)
      let second = machine.register(other, descriptor: 4, watching: .readable)
      for id in [first, second] { events.append(PollerEvent(key: id.key, readiness: .readable)) }
      _ = machine.deregister(first)
    }
    #expect(gone == nil)
    machine.woke(events)
    guard case .tell(let receiver, let event, _) = machine.next(Self.at(1)) else {
      Issue.record("an event has come")
      return
    }
    #expect(receiver as? Receiver === other && event.readiness == .readable)
    #expect(Self.isWait(machine.next(Self.at(1)), until: .never))
  }

  @Test func `events that have been told do not come again`() {
    let machine = Machine()
    let id = machine.register(Receiver(), descriptor: 3, watching: .readable)
    #expect(round(machine, at: 1) == ".")
    for _ in 0..<2 {
      // Nothing of the wait before is given back for the next wait, which appends to it.
      machine.woke([PollerEvent(key: id.key, readiness: .readable)])
      #expect(round(machine, at: 1) == "e.")
    }
    machine.woke()
    #expect(round(machine, at: 1) == ".")
  }

  private static func isWait(_ step: ReactorStep<Int>, until deadline: Deadline) -> Bool {
    if case .wait(let until) = step { return until == deadline }
    return false
  }

  // MARK: Sleep

  @Test func `a thread that sleeps is notified once, and one that works is not`() {
    let machine = Machine()
    let work = Work()
    // It works from the beginning.
    #expect(!machine.call(work) && !machine.enqueue(1))
    #expect(Self.isWait(machine.next(Self.at(1)), until: .immediately))
    machine.woke()
    for _ in 0..<2 { #expect(!Self.isWait(machine.next(Self.at(1)), until: .never)) }
    let asks = [
      ("www2.", { machine.call(work) }), ("ww12.", { machine.enqueue(1) }),
      ("wtw2.", { machine.set(Timer(Receiver()), at: Self.at(5)) }),
    ]
    for (steps, ask) in asks {
      #expect(Self.isWait(machine.next(Self.at(1)), until: .never))
      #expect(ask())
      // It has been notified by now.
      #expect(!machine.call(work) && !machine.enqueue(2))
      machine.woke()
      #expect(!machine.call(work))
      #expect(round(machine, at: 9) == steps)
      machine.woke()
    }
  }

  @Test func `an earlier deadline ends a sleep, and a later one does not`() {
    let machine = Machine()
    let first = Timer(Receiver())
    #expect(!machine.set(first, at: Self.at(100)))
    #expect(Self.isWait(machine.next(Self.at(1)), until: Self.at(100)))
    #expect(!machine.set(Timer(Receiver()), at: Self.at(100)))
    #expect(!machine.set(Timer(Receiver()), at: Self.at(101)))
    #expect(machine.set(Timer(Receiver()), at: Self.at(99)))
    #expect(!machine.set(Timer(Receiver()), at: Self.at(98)))
    #expect(machine.timerCount == 5)
    machine.takeBack(first)
    machine.takeBack(first)
    #expect(machine.timerCount == 4)
    machine.woke()
    var fired: [UInt64] = []
    while case .fire(let timer) = machine.next(Self.at(100)) { fired.append(timer.deadline.nanoseconds) }
    #expect(fired == [98, 99, 100])
    #expect(machine.timerCount == 1)
    machine.woke()
    #expect(Self.isWait(machine.next(Self.at(100)), until: Self.at(101)))
  }

  // MARK: The round

  /// The steps of the machine in a round, one letter each: events, works, timers, jobs, and a wait.
  private func round(_ machine: Machine, at time: UInt64) -> String {
    var steps = ""
    while true {
      switch machine.next(Self.at(time)) {
      case .tell: steps += "e"
      case .drive: steps += "w"
      case .fire: steps += "t"
      case .run(let job): steps += "\(job)"
      case .follow: return steps + "f"
      case .wait(let until): return steps + (until == .immediately ? "!" : ".")
      }
    }
  }

  @Test func `what comes during a round waits for the next, and the thread does not sleep before`() {
    let machine = Machine()
    let work = Work()
    #expect(round(machine, at: 1) == ".")
    for job in 1...3 { _ = machine.enqueue(job) }
    _ = machine.call(work)
    _ = machine.call(work)
    machine.woke()
    guard case .drive = machine.next(Self.at(1)) else {
      Issue.record("works come first")
      return
    }
    // The one that was driven asks to be driven again: behind the other, and behind the jobs.
    _ = machine.call(work)
    guard case .drive = machine.next(Self.at(1)), case .run(1) = machine.next(Self.at(1)) else {
      Issue.record("then the other work, and the jobs")
      return
    }
    _ = machine.enqueue(4)
    #expect(round(machine, at: 1) == "23!")
    machine.woke()
    #expect(round(machine, at: 1) == "w4.")
    machine.woke()
    #expect(round(machine, at: 1) == ".")
  }

  @Test func `timers are looked at after each work and each job, and in a round without either`() {
    for steps in ["wt", "1t", "t"] {
      let machine = Machine()
      #expect(round(machine, at: 1) == ".")
      if steps.hasPrefix("w") { _ = machine.call(Work()) }
      if steps.hasPrefix("1") { _ = machine.enqueue(1) }
      machine.woke()
      if steps != "t" {
        // It falls due during the first step.
        let first = machine.next(Self.at(1))
        #expect(!Self.isWait(first, until: .immediately))
      }
      _ = machine.set(Timer(Receiver()), at: Self.at(5))
      #expect(round(machine, at: 5) == "t.")
      #expect(machine.timerCount == 0)
    }
  }

  @Test
  func `as many timers fire at once as were due, and one that is set meanwhile comes in the next round`() {
    let machine = Machine()
    #expect(round(machine, at: 1) == ".")
    for deadline in [3, 4, 5, 9] as [UInt64] { _ = machine.set(Timer(Receiver()), at: Self.at(deadline)) }
    machine.woke()
    guard case .fire(let first) = machine.next(Self.at(5)) else {
      Issue.record("it is due")
      return
    }
    #expect(first.deadline == Self.at(3))
    // The clock is not looked at again, and the newest one is not counted.
    #expect(round(machine, at: 9) == "tt.")
    machine.woke()
    #expect(round(machine, at: 9) == "t.")
  }

  @Test func `works come before a timer, also after timers that were looked at in vain`() {
    let machine = Machine()
    for _ in 0..<2 { _ = machine.set(Timer(Receiver()), at: Self.at(100)) }
    #expect(Self.isWait(machine.next(Self.at(1)), until: Self.at(100)))
    machine.woke()
    #expect(round(machine, at: 1) == ".")
    _ = machine.call(Work())
    _ = machine.set(Timer(Receiver()), at: .immediately)
    machine.woke()
    #expect(round(machine, at: 2) == "wt.")
  }

  // MARK: Several workers

  /// Two workers and an alarm. Worker 0 leads, and worker 1 follows.
  private final class Workers {
    private var state = ReactorState<Int>()
    let receiver = Receiver()
    private(set) var id = RegistrationID(slot: 0, generation: 0)

    init() {
      state.keepsAlarm = true
      #expect(state.addWorker() == 1)
      id = state.register(receiver, descriptor: 3, watching: .readable)
      #expect(step(0, at: 1) == "lead" && step(1, at: 1) == "follow")
      #expect(state.hasSleepers && !state.lacksLeader)
    }

    /// The next step of a worker, and its other duties.
    func step(_ worker: Int, at time: UInt64) -> String {
      let step = state.next(Deadline(nanoseconds: time), worker: worker)
      let notice = state.takeNotice()
      var text =
        switch step {
        case .tell(_, _, let mayDrive): mayDrive ? "tell and drive" : "tell"
        case .drive: "drive"
        case .fire: "fire"
        case .run(let job): "run \(job)"
        case .wait(let until): until == .immediately ? "look" : "lead"
        case .follow: "follow"
        }
      text += Self.text(notice)
      return text
    }

    private static func text(_ notice: ReactorNotice) -> String {
      var text = notice.wakesLeader ? " wake leader" : ""
      if notice.wakesFollower { text += " wake follower" }
      if notice.alarm != .never { text += " alarm \(notice.alarm.nanoseconds)" }
      if notice.followersAlarm != .never { text += " followers' alarm \(notice.followersAlarm.nanoseconds)" }
      #expect(notice.isEmpty == text.isEmpty)
      return text
    }

    /// A worker's wait ends, for one or more events, or for nothing.
    func woke(_ worker: Int, events: Int = 0, rings: Bool = false) {
      var found = (0..<events).map { _ in PollerEvent(key: id.key, readiness: .readable) }
      if rings { found.append(PollerEvent(key: PollerEvent.alarmKey, readiness: .readable)) }
      state.woke(&found, worker: worker)
    }

    func call(from worker: Int? = nil, at time: UInt64 = 1) -> String {
      Self.text(state.call(Work(), from: worker, now: Deadline(nanoseconds: time)))
    }
    func enqueue(_ job: Int, isSerial: Bool = false, from worker: Int? = nil, at time: UInt64 = 1) -> String {
      Self.text(
        state.enqueue(job, isSerial: isSerial, from: worker, now: Deadline(nanoseconds: time)))
    }
    func set(_ timer: Timer, at time: UInt64) -> String {
      Self.text(state.set(timer, at: Deadline(nanoseconds: time)))
    }
    func takeBack(_ timer: Timer) { state.takeBack(timer) }
    func remove(_ worker: Int) -> String { Self.text(state.removeWorker(worker)) }
    func add() -> Int { state.addWorker() }
    var count: Int { state.workerCount }
    var alarm: UInt64 { state.alarm.nanoseconds }
    var lacksLeader: Bool { state.lacksLeader }
  }

  /// There may have been no poller for the alarm that was noted.
  @Test func `the alarm of the followers is set anew after the last of them has been removed`() {
    let workers = Workers()
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 1) == "tell and drive" + Self.followersAlarm(1 + Self.grace))
    #expect(workers.remove(1) == "" && workers.add() == 1)
    #expect(workers.step(1, at: 2) == "lead" && workers.step(0, at: 2) == "follow")
    workers.woke(1, events: 1)
    #expect(workers.step(1, at: 3) == "tell and drive" + Self.followersAlarm(3 + Self.grace))
  }

  // MARK: A step that does not come back

  /// A machine with three descriptors.
  private struct Losing {
    var state = ReactorState<Int>()
    let receivers = (0..<3).map { _ in Receiver() }
    private var ids: [RegistrationID] = []

    init() {
      state.keepsAlarm = true
      for (index, receiver) in receivers.enumerated() {
        ids.append(state.register(receiver, descriptor: Int32(index + 3), watching: .readable))
      }
    }

    /// All three are ready.
    mutating func woke(_ worker: Int = 0) {
      var found = ids.map { PollerEvent(key: $0.key, readiness: .readable) }
      state.woke(&found, worker: worker)
    }
    mutating func woke(_ worker: Int, none: Void) {
      var found: [PollerEvent] = []
      state.woke(&found, worker: worker)
    }

    /// A worker's next step: which receiver it tells, and otherwise a word.
    mutating func next(_ worker: Int) -> String {
      switch state.next(at(1), worker: worker) {
      case .tell(let told, _, _): receivers.firstIndex { $0 === told as? Receiver }.map { "\($0)" } ?? "?"
      case .drive: "drive"
      case .fire: "fire"
      case .run: "run"
      case .wait(let until): until == .never ? "lead" : "look"
      case .follow: "follow"
      }
    }

    /// The result of a look: a worker that replaces one, and whether there was a step before.
    mutating func look() -> String {
      let (replacement, hasStepped) = state.replaceLost()
      return (replacement.map { "\($0)" } ?? "none") + (hasStepped ? ", stepped" : "")
    }
  }

  @Test func `for a worker that does not come back another one goes on with its events`() {
    var machine = Losing()
    // One that has not begun, or waits, is not lost.
    for _ in 0..<3 { #expect(machine.look() == "none") }
    #expect(machine.next(0) == "lead")
    #expect(machine.look() == "none, stepped" && machine.look() == "none" && machine.look() == "none")
    machine.woke()
    #expect(machine.next(0) == "0")
    #expect(machine.look() == "none, stepped" && machine.state.lostCount == 0)
    #expect(machine.look() == "1" && machine.state.lostCount == 1 && machine.state.workerCount == 2)
    // It is lost once, and the new one has not begun.
    for _ in 0..<3 { #expect(machine.look() == "none") }
    #expect(machine.next(1) == "1" && machine.state.lostCount == 1)
    // The new one does not come back either.
    #expect(machine.look() == "none, stepped" && machine.look() == "2" && machine.state.lostCount == 2)
    #expect(machine.next(2) == "2" && machine.next(2) == "lead")
    #expect(machine.look() == "none, stepped" && machine.look() == "none")
    // They come back, have nothing to do, and are removed.
    for (worker, left) in [(1, 1), (0, 0)] {
      #expect(machine.next(worker) == "follow" && machine.state.lostCount == left)
      #expect(machine.state.removeWorker(worker).wakesLeader)
      machine.woke(2, none: ())
      #expect(machine.next(2) == "lead")
    }
    #expect(machine.state.workerCount == 1)
    #expect(machine.state.registrationCount == 3)
  }

  /// Its present step may not come back for long: the others do what comes from it.
  @Test func `work and jobs from a worker that is lost wake another one`() {
    var machine = Losing()
    #expect(machine.next(0) == "lead")
    machine.woke()
    #expect(machine.next(0) == "0")
    #expect(machine.state.call(Work(), from: 0).isEmpty)
    #expect(machine.look() == "none, stepped" && machine.look() == "1")
    for step in ["1", "2", "drive", "lead"] { #expect(machine.next(1) == step) }
    #expect(machine.state.call(Work(), from: 0).wakesLeader)
    machine.woke(1, none: ())
    #expect(machine.next(1) == "drive" && machine.next(1) == "lead")
  }

  @Test func `of two workers that do not come back each is replaced`() {
    var machine = Losing()
    #expect(machine.state.addWorker() == 1)
    #expect(machine.next(0) == "lead" && machine.next(1) == "follow")
    machine.woke(0)
    machine.woke(1, none: ())
    _ = machine.state.call(Work())
    #expect(machine.next(0) == "0" && machine.next(1) == "drive")
    #expect(machine.look() == "none, stepped")
    #expect(machine.look() == "2" && machine.look() == "3" && machine.look() == "none")
    #expect(machine.state.lostCount == 2)
    // One of them has the events that worker 0 had found.
    #expect(machine.next(2) == "1" && machine.next(3) == "lead" && machine.next(2) == "2")
  }

  @Test func `a worker that has told all its events leaves none to another`() {
    var machine = Losing()
    #expect(machine.next(0) == "lead")
    _ = machine.state.call(Work())
    machine.woke()
    #expect((0..<4).map { _ in machine.next(0) } == ["0", "1", "2", "drive"])
    #expect(machine.look() == "none, stepped" && machine.look() == "1")
    #expect(machine.next(1) == "lead")
  }

  @Test(arguments: [true, false]) func `a worker that runs a job is not lost`(_ isSerial: Bool) {
    var machine = Losing()
    #expect(machine.next(0) == "lead")
    _ = machine.state.enqueue(1, isSerial: isSerial)
    machine.woke(0, none: ())
    #expect(machine.next(0) == "run")
    #expect(machine.look() == "none, stepped" && machine.look() == "none" && machine.look() == "none")
    #expect(machine.state.lostCount == 0)
  }

  private static var grace: UInt64 { ReactorState<Int>.grace }
  private static func alarm(_ time: UInt64) -> String { " alarm \(time)" }
  private static func followersAlarm(_ time: UInt64) -> String { " followers' alarm \(time)" }

  @Test func `a machine without followers lacks no leader`() {
    let state = ReactorState<Int>()
    #expect(!state.lacksLeader && !state.hasSleepers && state.workerCount == 1)
  }

  @Test func `a leader that is woken by a message does everything itself, wakes nobody, and leads again`() {
    let workers = Workers()
    workers.woke(0, events: 1)
    #expect(workers.lacksLeader)
    #expect(workers.step(0, at: 1) == "tell and drive" + Self.followersAlarm(1 + Self.grace))
    #expect(workers.call(from: 0) == "")
    // The alarm is set already.
    #expect(workers.step(0, at: 1) == "drive")
    #expect(workers.enqueue(7, from: 0) == "")
    #expect(workers.step(0, at: 1) == "run 7")
    #expect(workers.step(0, at: 1) == "lead")
    #expect(!workers.lacksLeader)
  }

  @Test func `only the last event's half is driven at once, and only if no work waits`() {
    let workers = Workers()
    workers.woke(0, events: 2)
    #expect(workers.step(0, at: 1) == "tell")
    #expect(workers.step(0, at: 1) == "tell and drive" + Self.followersAlarm(1 + Self.grace))
    // A deadline that has passed in the meantime comes before the next work.
    _ = workers.call(from: 0)
    _ = workers.set(Timer(Receiver()), at: 2)
    #expect(workers.step(0, at: 2) == "fire")
    #expect(workers.step(0, at: 2) == "drive")
    #expect(workers.step(0, at: 2) == "lead")
    #expect(workers.call(from: 0) == "")
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 3) == "tell")
    #expect(workers.step(0, at: 3) == "drive")
  }

  @Test func `a follower leads if no worker has looked for events for the grace, however many steps it took`()
  {
    let workers = Workers()
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 1) == "tell and drive" + Self.followersAlarm(1 + Self.grace))
    for job in 1...3 { _ = workers.enqueue(job, isSerial: true, from: 0) }
    #expect(workers.step(0, at: 1) == "run 1")
    #expect(workers.step(0, at: 2) == "run 2")
    let first = 1 + Self.grace
    workers.woke(1, rings: true)
    #expect(workers.step(1, at: first) == "look")
    workers.woke(1)
    #expect(workers.step(1, at: first) == "lead")
    #expect(!workers.lacksLeader)
    // The other one comes too late to lead.
    #expect(workers.step(0, at: first) == "run 3" && workers.step(0, at: first) == "follow")
    // An alarm that rings although there is a leader is not set again.
    workers.woke(0, rings: true)
    #expect(workers.step(0, at: 900_000) == "follow")
  }

  /// The first worker has led again since the alarm was set, so the second one, which that wakes, leaves it the lead.
  ///
  /// - Returns: the workers, and the time.
  private func followerThatLeftTheLead() -> (Workers, UInt64) {
    let workers = Workers()
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 1) == "tell and drive" + Self.followersAlarm(1 + Self.grace))
    #expect(workers.step(0, at: 2) == "lead")
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 3) == "tell and drive")
    let first = 1 + Self.grace
    workers.woke(1, rings: true)
    #expect(workers.step(1, at: first) == "follow" + Self.followersAlarm(first + Self.grace))
    return (workers, first)
  }

  @Test func `a follower leaves the lead to a worker that has looked for events since the alarm was set`() {
    let (workers, first) = followerThatLeftTheLead()
    #expect(workers.lacksLeader)
    workers.woke(1, rings: true)
    #expect(workers.step(1, at: first + Self.grace) == "look")
    workers.woke(1)
    #expect(workers.step(1, at: first + Self.grace) == "lead")
    #expect(workers.step(0, at: first + Self.grace) == "follow")
  }

  @Test func `a follower that the alarm wakes does not look while another worker leads`() {
    let workers = Workers()
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 1) == "tell and drive" + Self.followersAlarm(1 + Self.grace))
    // No worker has looked since the alarm was set, but this one waits for what comes.
    #expect(workers.step(0, at: 2) == "lead")
    workers.woke(1, rings: true)
    #expect(workers.step(1, at: 1 + Self.grace) == "follow")
  }

  @Test
  func `a follower that the alarm wakes looks for events before it takes up work, and leads afterwards`() {
    let workers = Workers()
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 1) == "tell and drive" + Self.followersAlarm(1 + Self.grace))
    _ = workers.enqueue(1, from: 0)
    #expect(workers.step(0, at: 1) == "run 1")
    #expect(workers.enqueue(2, from: 0) == "")
    workers.woke(1, rings: true)
    #expect(workers.step(1, at: 1 + Self.grace) == "look")
    workers.woke(1, events: 1)
    #expect(workers.step(1, at: 1 + Self.grace) == "tell and drive")
    #expect(workers.step(1, at: 1 + Self.grace) == "run 2")
    #expect(workers.step(1, at: 2 + Self.grace) == "lead")
    #expect(workers.step(0, at: 3 + Self.grace) == "follow")
  }

  @Test func `a follower that the alarm wakes takes up work at once if a worker has looked meanwhile`() {
    let workers = Workers()
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 1) == "tell and drive" + Self.followersAlarm(1 + Self.grace))
    #expect(workers.step(0, at: 2) == "lead")
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 3) == "tell and drive")
    _ = workers.enqueue(1, from: 0)
    #expect(workers.step(0, at: 3) == "run 1")
    #expect(workers.enqueue(2, from: 0) == "")
    let first = 1 + Self.grace
    workers.woke(1, rings: true)
    #expect(workers.step(1, at: first) == "run 2")
  }

  @Test func `a caller that is no worker wakes a follower, and no second one before that has come`() {
    let workers = Workers()
    #expect(workers.call() == " wake follower" && workers.call() == "" && workers.enqueue(1) == "")
    workers.woke(1)
    // Without a further follower, the leader is woken for the rest.
    #expect(workers.step(1, at: 1) == "drive wake leader")
    workers.woke(0)
    #expect(workers.step(0, at: 1) == "drive")
    #expect(workers.step(1, at: 1) == "run 1")
    #expect(workers.step(0, at: 1) == "lead" && workers.step(1, at: 1) == "follow")
    #expect(workers.enqueue(2) == " wake follower")
    workers.woke(1)
    // Only the leader is left.
    #expect(workers.enqueue(3) == " wake leader" && workers.enqueue(4) == "")
    // Work that another worker takes before the leader comes leaves nothing behind.
    for job in 2...4 { #expect(workers.step(1, at: 1) == "run \(job)") }
    #expect(workers.step(1, at: 1) == "follow")
    workers.woke(0)
    #expect(workers.step(0, at: 1) == "lead")
  }

  @Test func `work that is left alone behind a job is taken up when the grace has passed`() {
    let workers = Workers()
    #expect(workers.enqueue(1) == " wake follower")
    workers.woke(1)
    #expect(workers.step(1, at: 100) == "run 1")
    // The job that runs makes another one, and then one more.
    #expect(workers.enqueue(2, from: 1, at: 100) == Self.alarm(100 + Self.grace))
    workers.woke(0, rings: true)
    #expect(workers.step(0, at: 100 + Self.grace) == "run 2")
    #expect(workers.step(0, at: 100 + Self.grace) == "lead")
    let second = 900 + Self.grace
    #expect(workers.enqueue(3, from: 1, at: second) == Self.alarm(second + Self.grace))
    #expect(workers.enqueue(4, from: 1, at: second) == " wake leader")
    // The worker that makes them comes first after all.
    #expect(workers.step(1, at: second + 1) == "look")
    workers.woke(1)
    #expect(workers.step(1, at: second + 1) == "run 3")
    // The alarm is still set.
    #expect(workers.alarm == second + Self.grace)
  }

  @Test func `an alarm that is set stays, and a later deadline costs nothing`() {
    let workers = Workers()
    let timers = (0..<3).map { _ in Timer(Receiver()) }
    #expect(workers.set(timers[0], at: 100) == Self.alarm(100))
    #expect(workers.set(timers[1], at: 200) == "")
    workers.takeBack(timers[0])
    #expect(workers.alarm == 100)
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 50) == "tell and drive" + Self.followersAlarm(50 + Self.grace))
    #expect(workers.step(0, at: 50) == "lead")
    // It rings without need, and is set again.
    workers.woke(0, rings: true)
    #expect(workers.step(0, at: 100) == "lead" + Self.alarm(200))
    workers.woke(0, rings: true)
    #expect(workers.step(0, at: 200) == "fire")
    #expect(workers.step(0, at: 200) == "lead" && workers.alarm == .max)
  }

  @Test func `a deadline that is set while nobody leads is seen to by the next leader`() {
    let workers = Workers()
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 50) == "tell and drive" + Self.followersAlarm(50 + Self.grace))
    #expect(workers.set(Timer(Receiver()), at: 100) == "")
    #expect(workers.step(0, at: 50) == "lead" + Self.alarm(100))
  }

  @Test func `a worker that takes up a job leaves its timers to the leader's alarm`() {
    let workers = Workers()
    let timers = (0..<2).map { _ in Timer(Receiver()) }
    for (timer, time) in zip(timers, [100, 200] as [UInt64]) { _ = workers.set(timer, at: time) }
    workers.woke(0, rings: true)
    #expect(workers.enqueue(1) == " wake follower")
    // The one that is due fires first.
    #expect(workers.step(0, at: 150) == "fire" + Self.followersAlarm(150 + Self.grace))
    #expect(workers.step(0, at: 150) == "run 1")
    workers.woke(1)
    #expect(workers.step(1, at: 160) == "lead" + Self.alarm(200))
    workers.woke(1, rings: true)
    #expect(workers.step(1, at: 200) == "fire")
  }

  /// Set again it would cost a system call, and if it were forgotten, a later deadline would move it.
  @Test func `an alarm of the followers leaves the leader's alarm as it is`() {
    let workers = Workers()
    #expect(workers.set(Timer(Receiver()), at: 1_000_000) == Self.alarm(1_000_000))
    workers.woke(0, events: 1)
    #expect(workers.step(0, at: 1) == "tell and drive" + Self.followersAlarm(1 + Self.grace))
    #expect(workers.step(0, at: 2) == "lead" && workers.alarm == 1_000_000)
    workers.woke(1, rings: true)
    #expect(workers.step(1, at: 1 + Self.grace) == "follow" && workers.alarm == 1_000_000)
  }

  @Test func `work that is left behind a job sets no alarm where one is set for that time`() {
    let workers = Workers()
    let latest = 100 + Self.grace
    #expect(workers.set(Timer(Receiver()), at: latest) == Self.alarm(latest))
    #expect(workers.enqueue(1) == " wake follower")
    workers.woke(1)
    #expect(workers.step(1, at: 100) == "run 1")
    #expect(workers.enqueue(2, from: 1, at: 100) == "")
    workers.woke(0, rings: true)
    #expect(workers.step(0, at: latest) == "fire" && workers.step(0, at: latest) == "run 2")
  }

  @Test(arguments: [true, false])
  func `a worker that has found the alarm which another one relies on sets it anew`(_ hasWork: Bool) {
    let workers = Workers()
    let timers = (0..<2).map { _ in Timer(Receiver()) }
    for (timer, time) in zip(timers, [100, 200] as [UInt64]) { _ = workers.set(timer, at: time) }
    workers.takeBack(timers[0])
    // The wait has found an event, and the alarm behind it.
    workers.woke(0, events: 1, rings: true)
    #expect(workers.step(0, at: 100) == "tell")
    // The other one does not know that it has rung.
    workers.woke(1)
    #expect(workers.step(1, at: 100) == "lead" && workers.alarm == 100)
    if hasWork { #expect(workers.call(from: 0) == "") }
    #expect(workers.step(0, at: 100) == (hasWork ? "drive" : "follow") + Self.alarm(200))
  }

  @Test func `a follower that has left the lead to another worker takes it the next time`() {
    let (workers, first) = followerThatLeftTheLead()
    #expect(workers.enqueue(1) == " wake follower")
    workers.woke(1)
    #expect(workers.step(1, at: first) == "run 1")
    #expect(workers.step(1, at: first) == "lead")
  }

  /// If it ended twice, two others would run at once.
  @Test func `a serial job ends with the next step of its worker, and once`() {
    let workers = Workers()
    #expect(workers.enqueue(1, isSerial: true) == " wake follower")
    workers.woke(1)
    #expect(workers.step(1, at: 1) == "run 1")
    #expect(workers.set(Timer(Receiver()), at: 2) == Self.alarm(2))
    #expect(workers.step(1, at: 3) == "fire")
    // Another worker begins the next one while the timer's receiver is told.
    #expect(workers.enqueue(2, isSerial: true) == " wake leader")
    workers.woke(0)
    #expect(workers.step(0, at: 3) == "run 2")
    #expect(workers.enqueue(3, isSerial: true, from: 0) == "")
    #expect(workers.step(1, at: 3) == "lead")
    #expect(workers.step(0, at: 3) == "look")
    workers.woke(0)
    #expect(workers.step(0, at: 3) == "run 3")
  }

  @Test func `an alarm of the wait is set anew in a poller that keeps it`() {
    var state = ReactorState<Int>()
    _ = state.set(Timer(Receiver()), at: Self.at(100))
    #expect(Self.isWait(state.next(Self.at(1)), until: Self.at(100)))
    #expect(!state.hasNotice)
    state.keepsAlarm = true
    var none: [PollerEvent] = []
    state.woke(&none)
    #expect(Self.isWait(state.next(Self.at(1)), until: Self.at(100)))
    #expect(state.takeNotice().alarm == Self.at(100))
  }

  @Test func `of serial jobs one runs at a time, and others go on beside it`() {
    let workers = Workers()
    #expect(workers.enqueue(1, isSerial: true) == " wake follower")
    _ = workers.enqueue(2, isSerial: true)
    workers.woke(1)
    #expect(workers.step(1, at: 1) == "run 1")
    #expect(workers.enqueue(3) == " wake leader")
    workers.woke(0)
    #expect(workers.step(0, at: 1) == "run 3")
    #expect(workers.step(0, at: 1) == "lead")
    // No other worker need be woken for it: the worker that is at the first one finds the second.
    #expect(workers.step(1, at: 1) == "run 2")
    #expect(workers.step(1, at: 1) == "follow")
  }

  @Test func `a worker that ends leaves what it was woken for to another, and the lead, too`() {
    let workers = Workers()
    #expect(workers.enqueue(1) == " wake follower")
    #expect(workers.remove(1) == " wake leader" && workers.count == 1)
    workers.woke(0)
    #expect(workers.step(0, at: 1) == "run 1")
    #expect(workers.step(0, at: 1) == "lead")
    #expect(workers.add() == 1 && workers.add() == 2 && workers.count == 3)
    #expect(workers.step(1, at: 1) == "follow" && workers.step(2, at: 1) == "follow")
    // The leader ends, and a follower comes to lead.
    #expect(workers.remove(0) == " wake follower")
    workers.woke(2)
    #expect(workers.step(2, at: 1) == "lead")
    #expect(workers.remove(1) == " wake leader" && workers.remove(2) == "")
  }
}
