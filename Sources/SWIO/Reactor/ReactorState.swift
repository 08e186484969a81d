// The reactor as a pure machine: what is registered, which halves asked to be driven, which deadlines are set, and what each
// worker does next. Each method returns what the shell has to do. Nothing here waits or makes a system call. The threads of
// the real reactor and of the simulated one do what `next` says, and nothing else.
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
// Data that has arrived in time is delivered before the deadline: events come first. If a half was called, it is driven
// before the deadline of one of its places takes effect (`DeadlineReceiver`). Timers are looked at after each work and each
// job, so many works do not delay a deadline.
//
// Several workers share works, jobs and timers. All idle workers wait in one poller, which wakes one of them for each event.
// So the worker that a message wakes receives it and runs the task, and the next message finds another worker waiting. A
// worker wakes another one only for work that it will not reach soon:
//
//   more than one work or job is left behind what it begins now         at once
//   one is left, or the running job has added one                       if it is still there after `grace`
//
// If timers are removed, the alarm of the poller stays set (`alarm`). It then fires without need once at most, and a later
// deadline costs nothing.

/// Work that the reactor carries out in turn, a budget at a time.
package protocol ReactorWork: AnyObject, Sendable {
  /// Takes steps until they would block or the budget is spent. In the second case it has called the reactor again.
  func drive()
  /// Does the same on a helper thread, for a turn that was handed over to it.
  func driveOffloaded()
}

/// A registration: a slot, and the generation of the slot's use. So an event that was fetched before the slot was reused
/// reaches no receiver.
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

/// The next step of a reactor's thread.
package enum ReactorStep<Job: Sendable>: Sendable {
  case tell(any ReadinessReceiver, PollerEvent)
  case drive(any ReactorWork)
  case fire(Timer)
  case run(Job)
  /// Wait for events until the deadline, or only look for them if it has passed. Then call `woke`.
  case wait(until: Deadline)
}

/// The duties of the machine's shell after a method.
package struct ReactorNotice: Hashable, Sendable {
  /// Whether to wake one sleeping worker.
  package var wakes = false
  /// The time for which to set the poller's alarm.
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

  /// The stage of a worker's round.
  private enum Stage: Sendable { case events, works, timers, jobs }

  private enum Activity: Sendable { case none, working, running, runningSerial, asleep }

  /// A class, because every step changes several of its fields, and each change of an element of an array would be checked.
  @safe
  // Invariant: accessed only by the machine, and so under the lock of its shell.
  private final class Worker: @unchecked Sendable {
    @safe @exclusivity(unchecked)
    var activity = Activity.working
    // The present round: how much was there when each stage began, and how much of it is left.
    @safe @exclusivity(unchecked)
    var stage = Stage.jobs
    @safe @exclusivity(unchecked)
    var events: [PollerEvent] = []
    @safe @exclusivity(unchecked)
    var position = 0
    @safe @exclusivity(unchecked)
    var left = 0
    /// Whether to look at the timers. Set after each work and each job, and before the jobs begin.
    @safe @exclusivity(unchecked)
    var looksAtTimers = false
    /// The timers that may still fire before the next work, and the instant by which they were due. Timers that are set
    /// meanwhile come later.
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
  /// Jobs of which only one runs at a time.
  private var serialJobs = FirstInFirstOut<Job>()
  private var runsSerialJob = false
  private var workers = [Worker()]
  /// The number of sleeping workers.
  private var asleepCount = 0
  /// Whether a sleeping worker has been notified and none has woken since.
  private var isNotified = false
  /// The latest time at which a sleeping worker looks again.
  package private(set) var alarm = Deadline.never
  /// Whether the alarm is for work that a worker may not reach in time.
  private var hasGraceAlarm = false
  private var notice = ReactorNotice()
  /// Whether the alarm is the poller's, and wakes one worker. Otherwise it ends the wait of the only worker.
  package var keepsAlarm = false

  /// How long work may wait for a busy worker while others sleep, in nanoseconds.
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

  /// Ends a registration. Events of it that were fetched before reach no receiver.
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

  /// All registrations, for a reactor that changes its poller.
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

  /// The number of workers. The machine begins with one, which has the number 0.
  package var workerCount: Int { workers.count { $0.activity != .none } }
  package var hasSleepers: Bool { asleepCount > 0 }
  /// Whether there is work that no worker has begun.
  package var hasWork: Bool { waitingCount > 0 }

  /// Adds a worker.
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

  /// Removes a worker that would otherwise wait.
  ///
  /// - Returns: whether to wake another worker, which may have to take over or to end, too.
  package mutating func removeWorker(_ worker: Int) -> ReactorNotice {
    if workers[worker].activity == .asleep { asleepCount -= 1 }
    workers[worker] = Worker(.none)
    isNotified = false
    return ReactorNotice(wakes: rouse())
  }

  // MARK: Work
  //
  // - Parameter worker: the worker that calls, on its own thread. Nil for any other caller.

  package mutating func call(
    _ work: any ReactorWork, from worker: Int? = nil, now: @autoclosure () -> Deadline = .now
  ) -> ReactorNotice {
    calls.append(work)
    return noticeOfWork(from: worker, now())
  }

  /// - Parameter isSerial: whether no other serial job may run at the same time.
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
    // The worker reaches the job after its present step, which is short.
    case .none, .working, .asleep: return ReactorNotice()
    }
  }

  /// The number of works and jobs that a worker could begin.
  private var waitingCount: Int { calls.count + jobs.count + (runsSerialJob ? 0 : serialJobs.count) }

  /// Has another worker begin the work that a worker leaves.
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

  /// Takes the events of a wait that `next` asked for. `found` is empty afterwards.
  package mutating func woke(_ found: inout [PollerEvent], worker: Int = 0) {
    let me = workers[worker]
    if me.activity == .asleep {
      asleepCount -= 1
      if !keepsAlarm { alarm = .never }
    }
    // Whether the worker slept or only looked, it may have consumed the notification.
    isNotified = false
    me.activity = .working
    me.stage = .events
    me.position = 0
    swap(&me.events, &found)
  }

  /// Returns a worker's next step. The step before has been taken. Afterwards `takeNotice` returns what else to do.
  ///
  /// - Parameter now: evaluated only if a timer is set, or if work is left to others.
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

  /// Whether there is something to do after `next`, besides the step.
  package var hasNotice: Bool { notice.wakes || notice.alarm != nil }

  /// Returns what to do after `next`, besides the step.
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

  /// Removes and returns a timer that is due, if it is time to look.
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

  /// Notes what the worker leaves to others before a step that may take long.
  private mutating func noteRest(_ now: @autoclosure () -> Deadline) {
    guard asleepCount > 0 else { return }
    notice = noticeOfRest(now())
    if timers.earliest < alarm {
      alarm = timers.earliest
      notice.alarm = alarm
    }
  }

  /// Returns how long the worker may wait for events. While there is work it may only look.
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
  /// The first element is the last of `front`; then `back` follows.
  private var front: [Element] = []
  private var back: [Element] = []

  /// How many elements' memory is kept when the queue is empty.
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
