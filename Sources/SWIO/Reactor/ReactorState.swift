// The reactor as a pure machine: what is registered, who asked to be driven, which deadlines are set, and what each of
// its workers does next. Each verb answers what its shell has to do; nothing here waits or makes a system call. The
// threads of the real reactor and the simulated ones both do what `next` says, and nothing else.
//
//             call, job, earlier deadline: notify
//   asleep ---------------------------------------> notified
//     ^                                                |
//     |  nothing to do                  the wait ended |
//     +------------------- working <-------------------+
//
// A worker that sleeps is notified once; what arrives while it works, or was notified, is seen before it
// sleeps again.
//
// One round of a worker:
//
//   events ----> works ----> timers ----> jobs ----> wait
//                  ^  |        ^  |
//                  +--+        +--+   also between two works and between two jobs
//
// What has arrived in time is delivered before the deadline: events come first, and a place whose deadline passes has
// its half driven before, if that half was called (`DeadlineReceiver`). Timers are looked at after each work and each
// job, so that many works do not delay a deadline.
//
// Several workers share works, jobs and timers, and all that have nothing to do wait in one poller, which wakes one of
// them for each event. So whichever worker is woken by a message receives it and runs the task, and the next message
// finds another worker waiting. A worker wakes another one only for work that it does not come to:
//
//   more than one work or job is left behind what it takes up         at once
//   one is left, or the job that runs has made one                    if it is still there after `grace`
//
// Of timers that are taken back the alarm of the poller stays set (`alarm`). It rings in vain once at most, and a
// deadline behind it costs nothing.

/// Work that the reactor carries out in turn, a budget at a time.
package protocol ReactorWork: AnyObject, Sendable {
  /// Takes steps until blocked, or until its budget is spent; then it has called the reactor again.
  func drive()
  /// The same on a helper thread, for a turn that was handed over to it.
  func driveOffloaded()
}

/// A registration: a slot and the generation of its use, so that an event which was fetched before the
/// slot was given to somebody else reaches nobody.
package struct RegistrationID: Hashable, Sendable {
  package var slot: UInt32
  package var generation: UInt32

  package var key: UInt64 { UInt64(generation) << 32 | UInt64(slot) }

  package init(slot: UInt32, generation: UInt32) {
    self.slot = slot
    self.generation = generation
  }
  package init(key: UInt64) {
    self.init(slot: UInt32(truncatingIfNeeded: key), generation: UInt32(truncatingIfNeeded: key >> 32))
  }
}

/// What a reactor's thread does next.
package enum ReactorStep<Job: Sendable>: Sendable {
  case tell(any ReadinessReceiver, PollerEvent)
  case drive(any ReactorWork)
  case fire(Timer)
  case run(Job)
  /// Waits for events until then, or looks for them, if that has passed; then `woke`.
  case wait(until: Deadline)
}

/// The duties of the machine's shell after a verb.
package struct ReactorNotice: Hashable, Sendable {
  /// One worker that sleeps is to be woken.
  package var wakes = false
  /// The poller's alarm is to be set to this time.
  package var alarm: Deadline?

  package init(wakes: Bool = false, alarm: Deadline? = nil) {
    self.wakes = wakes
    self.alarm = alarm
  }
}

package struct ReactorState<Job: Sendable>: Sendable {
  private struct Slot: Sendable {
    var generation: UInt32 = 0
    var descriptor: Int32 = -1
    var interest: Readiness = []
    var receiver: (any ReadinessReceiver)?
  }

  /// How far a worker is in its round.
  private enum Stage: Sendable { case events, works, timers, jobs }

  private enum Activity: Sendable { case none, working, running, runningSerial, asleep }

  /// A class, because every step changes it in several places, and each change of an element of an array is checked.
  @safe
  // Invariant: touched by the machine alone, and so behind the lock of its shell.
  private final class Worker: @unchecked Sendable {
    @safe @exclusivity(unchecked)
    var activity = Activity.working
    // The round under way: what was there when each stage began, and how much of it is left.
    @safe @exclusivity(unchecked)
    var stage = Stage.jobs
    @safe @exclusivity(unchecked)
    var events: [PollerEvent] = []
    @safe @exclusivity(unchecked)
    var position = 0
    @safe @exclusivity(unchecked)
    var left = 0
    /// Set after each work and each job, and before the jobs begin.
    @safe @exclusivity(unchecked)
    var looksAtTimers = false
    /// The timers that may still fire before the next work, and until when they were due: those that are set
    /// meanwhile come after that.
    @safe @exclusivity(unchecked)
    var firing: (count: Int, by: Deadline) = (0, .immediately)

    init(_ activity: Activity = .working) { self.activity = activity }

    func begin(_ next: Stage, _ count: Int) {
      stage = next
      left = count
      looksAtTimers = false
      firing.count = 0
    }
  }

  private var slots: [Slot] = []
  private var freeSlots: [UInt32] = []
  private var timers = DeadlineHeap()
  private var calls = FirstInFirstOut<any ReactorWork>()
  private var jobs = FirstInFirstOut<Job>()
  /// Jobs of which one runs at a time.
  private var serialJobs = FirstInFirstOut<Job>()
  private var runsSerialJob = false
  private var workers = [Worker()]
  /// How many workers sleep.
  private var asleepCount = 0
  /// One of them has been notified, and none has come since.
  private var isNotified = false
  /// When a sleeping worker looks again at the latest.
  package private(set) var alarm = Deadline.never
  /// The alarm is for work that a worker may not come to in time.
  private var hasGraceAlarm = false
  private var notice = ReactorNotice()
  /// The alarm is the poller's, and rings for one worker. Otherwise it ends the wait of the only one.
  package var keepsAlarm = false

  /// How long work may wait for a worker that is busy while others sleep, in nanoseconds.
  package static var grace: UInt64 { 200_000 }

  package init() {}

  // MARK: Registrations

  package mutating func register(
    _ receiver: any ReadinessReceiver, descriptor: Int32, watching interest: Readiness
  ) -> RegistrationID {
    let slot: UInt32
    if let free = freeSlots.popLast() {
      slot = free
    } else {
      slot = UInt32(slots.count)
      slots.append(Slot())
    }
    slots[Int(slot)].receiver = receiver
    slots[Int(slot)].descriptor = descriptor
    slots[Int(slot)].interest = interest
    return RegistrationID(slot: slot, generation: slots[Int(slot)].generation)
  }

  package mutating func watch(_ id: RegistrationID, _ interest: Readiness) {
    if receiver(of: id.key) != nil { slots[Int(id.slot)].interest = interest }
  }

  /// Ends a registration. Events of it that were fetched already will find nobody.
  package mutating func deregister(_ id: RegistrationID) -> (any ReadinessReceiver)? {
    guard receiver(of: id.key) != nil else { return nil }
    let receiver = slots[Int(id.slot)].receiver
    slots[Int(id.slot)].receiver = nil
    slots[Int(id.slot)].descriptor = -1
    slots[Int(id.slot)].generation &+= 1
    freeSlots.append(id.slot)
    return receiver
  }

  package func receiver(of key: UInt64) -> (any ReadinessReceiver)? {
    let id = RegistrationID(key: key)
    guard Int(id.slot) < slots.count, slots[Int(id.slot)].generation == id.generation else { return nil }
    return slots[Int(id.slot)].receiver
  }

  /// Everything registered; for a reactor that gets another poller.
  package var registrations: [(id: RegistrationID, descriptor: Int32, interest: Readiness)] {
    slots.enumerated().compactMap { index, slot in
      slot.receiver.map { _ in
        (RegistrationID(slot: UInt32(index), generation: slot.generation), slot.descriptor, slot.interest)
      }
    }
  }

  package var registrationCount: Int { slots.count - freeSlots.count }
  package var timerCount: Int { timers.count }

  // MARK: Workers

  /// How many workers there are. The machine begins with one, whose number is 0.
  package var workerCount: Int { workers.count { $0.activity != .none } }
  package var hasSleepers: Bool { asleepCount > 0 }
  /// Work is there that no worker has taken up.
  package var hasWork: Bool { waitingCount > 0 }

  /// Another worker begins.
  ///
  /// - Returns: its number.
  package mutating func addWorker() -> Int {
    if let free = workers.firstIndex(where: { $0.activity == .none }) {
      workers[free] = Worker()
      return free
    }
    workers.append(Worker())
    return workers.count - 1
  }

  /// A worker ends instead of waiting.
  ///
  /// - Returns: whether another one is to be woken, which may have to take over or to end, too.
  package mutating func removeWorker(_ worker: Int) -> ReactorNotice {
    if workers[worker].activity == .asleep { asleepCount -= 1 }
    workers[worker] = Worker(.none)
    isNotified = false
    return ReactorNotice(wakes: rouse())
  }

  // MARK: Work
  //
  // - Parameter worker: the one that asks, on its own thread; nil: somebody else.

  package mutating func call(
    _ work: any ReactorWork, from worker: Int? = nil, now: @autoclosure () -> Deadline = .now
  ) -> ReactorNotice {
    calls.append(work)
    return noticeOfWork(from: worker, now())
  }

  /// - Parameter isSerial: no other serial job runs at the same time.
  package mutating func enqueue(
    _ job: Job, isSerial: Bool = false, from worker: Int? = nil, now: @autoclosure () -> Deadline = .now
  ) -> ReactorNotice {
    if isSerial { serialJobs.append(job) } else { jobs.append(job) }
    return noticeOfWork(from: worker, now())
  }

  package mutating func set(_ timer: Timer, at deadline: Deadline) -> ReactorNotice {
    timers.insert(timer, at: deadline)
    guard asleepCount > 0, deadline < alarm else { return ReactorNotice() }
    if !keepsAlarm { return ReactorNotice(wakes: rouse()) }
    alarm = deadline
    return ReactorNotice(alarm: deadline)
  }

  package mutating func takeBack(_ timer: Timer) { timers.remove(timer) }

  private mutating func noticeOfWork(from worker: Int?, _ now: @autoclosure () -> Deadline) -> ReactorNotice {
    guard asleepCount > 0 else { return ReactorNotice() }
    guard let worker else { return ReactorNotice(wakes: rouse()) }
    switch workers[worker].activity {
    case .running, .runningSerial: return noticeOfRest(now())
    // It comes to it when it has done what it is at, which is short.
    case .none, .working, .asleep: return ReactorNotice()
    }
  }

  /// Works and jobs that a worker could take up.
  private var waitingCount: Int { calls.count + jobs.count + (runsSerialJob ? 0 : serialJobs.count) }

  /// Sees to it that work which a worker leaves behind is taken up by another one.
  private mutating func noticeOfRest(_ now: @autoclosure () -> Deadline) -> ReactorNotice {
    let rest = waitingCount
    guard rest > 0, asleepCount > 0, !isNotified else { return ReactorNotice() }
    if rest > 1 { return ReactorNotice(wakes: rouse()) }
    if hasGraceAlarm { return ReactorNotice() }
    let latest = Deadline(nanoseconds: now().nanoseconds &+ Self.grace)
    guard latest < alarm else { return ReactorNotice() }
    (alarm, hasGraceAlarm) = (latest, true)
    return ReactorNotice(alarm: latest)
  }

  private mutating func rouse() -> Bool {
    guard asleepCount > 0, !isNotified else { return false }
    isNotified = true
    return true
  }

  // MARK: A worker's round

  /// The wait that `next` asked for has ended, and has found these. `found` is emptied.
  package mutating func woke(_ found: inout [PollerEvent], worker: Int = 0) {
    let me = workers[worker]
    if me.activity == .asleep {
      asleepCount -= 1
      if !keepsAlarm { alarm = .never }
    }
    // Whether it slept or only looked: it may have used up the notification.
    isNotified = false
    me.activity = .working
    me.stage = .events
    me.position = 0
    swap(&me.events, &found)
  }

  /// Returns a worker's next step. The step before has been done. Afterwards `takeNotice` tells what else is to be done.
  ///
  /// - Parameter now: asked only if a timer is set, or if work is left to others.
  package mutating func next(_ now: @autoclosure () -> Deadline, worker: Int = 0) -> ReactorStep<Job> {
    let me = workers[worker]
    if me.activity == .runningSerial { runsSerialJob = false }
    me.activity = .working
    if me.stage == .events {
      if let told = nextEvent(me) { return told }
      me.events.removeAll(keepingCapacity: true)
      me.begin(.works, calls.count)
    }
    if let timer = due(me, now()) { return .fire(timer) }
    if me.stage == .works {
      if me.left > 0, let work = calls.popFirst() {
        me.left -= 1
        me.looksAtTimers = true
        noteRest(now())
        return .drive(work)
      }
      me.begin(.timers, 0)
      me.looksAtTimers = true
      if let timer = due(me, now()) { return .fire(timer) }
    }
    if me.stage == .timers { me.begin(.jobs, jobs.count + serialJobs.count) }
    if me.left > 0, let (job, isSerial) = takeJob() {
      me.left -= 1
      me.looksAtTimers = true
      me.activity = isSerial ? .runningSerial : .running
      noteRest(now())
      return .run(job)
    }
    return .wait(until: sleep(me))
  }

  /// Whether there is something to be done after `next`, besides the step.
  package var hasNotice: Bool { notice.wakes || notice.alarm != nil }

  /// The duties after `next`, besides the step.
  package mutating func takeNotice() -> ReactorNotice {
    defer { notice = ReactorNotice() }
    return notice
  }

  private mutating func nextEvent(_ me: Worker) -> ReactorStep<Job>? {
    while me.position < me.events.count {
      let event = me.events[me.position]
      me.position += 1
      if event.key == PollerEvent.alarmKey {
        (alarm, hasGraceAlarm) = (.never, false)
        continue
      }
      if let receiver = receiver(of: event.key) { return .tell(receiver, event) }
    }
    return nil
  }

  private mutating func takeJob() -> (Job, isSerial: Bool)? {
    if !runsSerialJob, let job = serialJobs.popFirst() {
      runsSerialJob = true
      return (job, true)
    }
    return jobs.popFirst().map { ($0, false) }
  }

  /// Takes a timer that is due, if it is time to look.
  private mutating func due(_ me: Worker, _ now: @autoclosure () -> Deadline) -> Timer? {
    if me.looksAtTimers {
      me.looksAtTimers = false
      if timers.isEmpty { return nil }
      me.firing = (timers.count, now())
    }
    guard me.firing.count > 0 else { return nil }
    me.firing.count -= 1
    let timer = timers.popDue(by: me.firing.by)
    if timer == nil { me.firing.count = 0 }
    return timer
  }

  /// Before a step that may take long: what the worker leaves to others.
  private mutating func noteRest(_ now: @autoclosure () -> Deadline) {
    guard asleepCount > 0 else { return }
    notice = noticeOfRest(now())
    if timers.earliest < alarm {
      alarm = timers.earliest
      notice.alarm = alarm
    }
  }

  /// Until when the worker may wait for events: not at all while there is work.
  private mutating func sleep(_ me: Worker) -> Deadline {
    me.position = 0
    if hasWork { return .immediately }
    me.activity = .asleep
    asleepCount += 1
    if !keepsAlarm {
      alarm = timers.earliest
    } else if timers.earliest < alarm {
      alarm = timers.earliest
      notice.alarm = alarm
    }
    return alarm
  }
}

/// A queue of two stacks.
private struct FirstInFirstOut<Element: Sendable>: Sendable {
  /// The first comes last; then follows `back`.
  private var front: [Element] = []
  private var back: [Element] = []

  /// How many keep their memory when the queue is empty.
  private static var mostKept: Int { 1024 }

  var count: Int { front.count + back.count }

  mutating func append(_ element: Element) { back.append(element) }

  mutating func popFirst() -> Element? {
    if front.isEmpty {
      if back.isEmpty { return nil }
      if front.capacity > Self.mostKept { front = [] }
      swap(&front, &back)
      front.reverse()
    }
    return front.popLast()
  }
}
