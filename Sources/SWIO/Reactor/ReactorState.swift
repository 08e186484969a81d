// The reactor as a pure machine: what is registered, which halves asked to be driven, which deadlines are set, and what each
// worker does next. Each method returns what the shell has to do. Nothing here waits or makes a system call. The threads of
// the real reactor and of the simulated one do what `next` says, and nothing else.
//
//             call, job, earlier deadline: notify
//   leading, following -----------------------------> notified
//     ^                                                |
//     |  nothing to do                  the wait ended |
//     +------------------- working <-------------------+
//
// The leader is the one worker that waits in the poller. The other workers without work are followers, which wait for a
// notification. A worker sees everything that arrived while it worked, or after it was notified, before it waits again.
//
// One round of a worker:
//
//   events ----> works ----> timers ----> jobs ----> wait
//                  ^  |        ^  |
//                  +--+        +--+   also between two works and between two jobs
//
// If no work waits, the half of the last event is driven at once. For most messages that is all a round does besides one job.
//
// Data that has arrived in time is delivered before the deadline: events come first. If a half was called, it is driven
// before the deadline of one of its places takes effect (`DeadlineReceiver`). Timers are looked at after each work and each
// job, so many works do not delay a deadline.
//
// Several workers share works, jobs and timers. The worker that a message wakes receives it and runs the task, and leads again
// afterwards. So messages one after the other are received by one thread, and wake no other one. While the leader works, nobody
// waits in the poller, unless another worker has nothing to do any more: it leads then. Events that come meanwhile are found as
// soon as a worker looks.
//
// A worker wakes another one only for work that it will not reach soon:
//
//   more than one work or job is left behind what it begins now         at once
//   one is left, or the running job has added one                       if it is still there after `grace`
//   nothing is left, and nobody leads                                   if no worker looks for events for `grace`
//
// In the last two cases an alarm wakes a worker: the leader if there is one, otherwise a follower. If no worker has looked for
// events since the alarm was set, the follower looks before it does anything else, and leads if there is nothing else to do.
// Otherwise it sets the alarm again. So a message waits for tasks that compute, or for many short ones, for twice the grace at
// most.
//
// A step that does not come back must not stop the others. The shell looks at the workers from time to time. One that is still in
// the step of the last look is lost (`replaceLost`): another worker is added for it, and takes over the events that the lost one has
// found. When the lost one comes back there is one worker too many, which the shell removes.
//
// If timers are removed, the leader's alarm stays set (`alarm`). It then fires without need once at most, and a later
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
  /// Tell a receiver. With `mayDrive`, no other work waits, so the receiver may drive at once.
  case tell(any ReadinessReceiver, PollerEvent, mayDrive: Bool)
  case drive(any ReactorWork)
  case fire(Timer)
  case run(Job)
  /// Wait for events until the deadline, or only look for them if it has passed. Then call `woke`.
  case wait(until: Deadline)
  /// Wait for a notification or an alarm of the followers. Then call `woke`.
  case follow
}

/// The duties of the machine's shell after a method.
package struct ReactorNotice: Hashable, Sendable {
  /// Whether to end the leader's wait.
  package var wakesLeader = false
  /// Whether to wake one of the followers.
  package var wakesFollower = false
  /// The time for which to set the leader's alarm, or `never`.
  package var alarm = Deadline.never
  /// The time for which to set the followers' alarm, or `never`.
  package var followersAlarm = Deadline.never

  package init() {}

  package var isEmpty: Bool { !wakesLeader && !wakesFollower && alarm == .never && followersAlarm == .never }
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

  private enum Activity: Sendable { case none, working, running, runningSerial, leading, following }

  /// The state of a worker since the last look for lost ones.
  private enum Progress: Sendable {
    case unbegun
    /// It has taken a step.
    case stepped
    /// It has not.
    case same
    /// It has not come back from its step in time, and another worker has been added for it.
    case lost
  }

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
    /// Whether the last event's receiver may have driven.
    @safe @exclusivity(unchecked)
    var hasDriven = false
    /// Whether the alarm of the followers has woken the worker although the others go on.
    @safe @exclusivity(unchecked)
    var leavesLead = false
    /// Whether to look for events before all else, because the alarm of the followers found that no worker has looked.
    @safe @exclusivity(unchecked)
    var looksFirst = false
    @safe @exclusivity(unchecked)
    var progress = Progress.unbegun

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
  private var hasLeader = false
  private var followerCount = 0
  /// Whether the leader has been notified and no worker has looked for events since.
  private var isLeaderNotified = false
  /// Whether a follower has been notified and none has woken since.
  private var isFollowerNotified = false
  /// The latest time at which the leader looks again.
  package private(set) var alarm = Deadline.never
  /// Whether the leader's alarm is for work that a worker may not reach in time.
  private var hasGraceAlarm = false
  /// Whether the followers' alarm is set.
  private var hasFollowersAlarm = false
  /// Counts how many times workers have looked for events.
  private var lookCount: UInt64 = 0
  /// The value of `lookCount` when the followers' alarm was set.
  private var lookCountAtAlarm: UInt64 = 0
  private var notice = ReactorNotice()
  /// Whether the leader's alarm is kept by the poller. Otherwise it is the deadline of the leader's wait.
  package var keepsAlarm = false {
    didSet { (alarm, hasGraceAlarm) = (.never, false) }
  }

  /// How long work may wait for a busy worker while others have nothing to do, in nanoseconds.
  package static var grace: UInt64 { 250_000 }

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
  /// Whether a worker has nothing to do.
  package var hasSleepers: Bool { hasLeader || followerCount > 0 }
  /// Whether no worker waits in the poller, although one could.
  package var lacksLeader: Bool { !hasLeader && followerCount > 0 }
  /// Whether there is work that no worker has begun.
  package var hasWork: Bool { waitingCount > 0 }
  /// The number of workers that are lost.
  package private(set) var lostCount = 0

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

  /// Looks at all workers. If one has been in the same step since the last look, it is lost, and another one is added for it. A
  /// worker that runs a job is not lost, however long that takes.
  ///
  /// - Returns: the new worker's number, and whether any worker has taken a step since the last look.
  package mutating func replaceLost() -> (replacement: Int?, hasStepped: Bool) {
    var replacement: Int?
    var hasStepped = false
    for worker in workers {
      if worker.progress == .stepped {
        hasStepped = true
        worker.progress = .same
      } else if worker.progress == .same, worker.activity == .working, replacement == nil {
        replacement = replace(worker)
      }
    }
    return (replacement, hasStepped)
  }

  private mutating func replace(_ lost: Worker) -> Int {
    lost.progress = .lost
    lostCount += 1
    let number = addWorker()
    let new = workers[number]
    new.stage = .events
    // The ones that have been told leave with the others.
    new.events = Array(lost.events.dropFirst(lost.position))
    (lost.events, lost.position) = ([], 0)
    return number
  }

  /// Removes a worker that would otherwise wait.
  ///
  /// - Returns: whether to wake another worker, which may have to take over or to end, too.
  package mutating func removeWorker(_ worker: Int) -> ReactorNotice {
    leaveWait(workers[worker])
    workers[worker] = Worker(.none)
    (isLeaderNotified, isFollowerNotified) = (false, false)
    if followerCount == 0 { hasFollowersAlarm = false }
    return rouse()
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
    // Without a leader, the next one sets the alarm.
    guard hasLeader, deadline < alarm else { return ReactorNotice() }
    if !keepsAlarm { return wakeLeader() }
    var notice = ReactorNotice()
    alarm = deadline
    notice.alarm = deadline
    return notice
  }

  package mutating func takeBack(_ timer: Timer) { timers.remove(timer) }

  private mutating func noticeOfWork(from worker: Int?, _ now: @autoclosure () -> Deadline) -> ReactorNotice {
    guard hasSleepers else { return ReactorNotice() }
    // A worker that is lost may not come back from its step for long.
    guard let worker, workers[worker].progress != .lost else { return rouse() }
    switch workers[worker].activity {
    case .running, .runningSerial: return noticeOfRest(now())
    // The worker reaches the job after its present step, which is short.
    case .none, .working, .leading, .following: return ReactorNotice()
    }
  }

  /// The number of works and jobs that a worker could begin.
  private var waitingCount: Int { calls.count + jobs.count + (runsSerialJob ? 0 : serialJobs.count) }

  /// Has another worker begin the work that a worker leaves.
  private mutating func noticeOfRest(_ now: @autoclosure () -> Deadline) -> ReactorNotice {
    let rest = waitingCount
    if rest > 1 { return rouse() }
    if !hasLeader { return noticeOfLead(now()) }
    var notice = ReactorNotice()
    guard rest > 0, !isLeaderNotified, !isFollowerNotified, !hasGraceAlarm else { return notice }
    let latest = Deadline(nanoseconds: now().nanoseconds &+ Self.grace)
    if latest < alarm {
      (alarm, hasGraceAlarm) = (latest, true)
      notice.alarm = latest
    }
    return notice
  }

  /// Has a follower look after the poller, if no worker does so in time.
  private mutating func noticeOfLead(_ now: @autoclosure () -> Deadline) -> ReactorNotice {
    var notice = ReactorNotice()
    if followerCount == 0 || hasFollowersAlarm { return notice }
    hasFollowersAlarm = true
    lookCountAtAlarm = lookCount
    notice.followersAlarm = Deadline(nanoseconds: now().nanoseconds &+ Self.grace)
    return notice
  }

  /// Wakes a worker: a follower if there is one, because the leader looks after the poller.
  private mutating func rouse() -> ReactorNotice {
    if followerCount == 0 { return wakeLeader() }
    var notice = ReactorNotice()
    notice.wakesFollower = !isFollowerNotified
    isFollowerNotified = true
    return notice
  }

  private mutating func wakeLeader() -> ReactorNotice {
    var notice = ReactorNotice()
    notice.wakesLeader = hasLeader && !isLeaderNotified
    if hasLeader { isLeaderNotified = true }
    return notice
  }

  // MARK: A worker's round

  /// Takes the events of a wait that `next` asked for. `found` is empty afterwards.
  package mutating func woke(_ found: inout [PollerEvent], worker: Int = 0) {
    let me = workers[worker]
    if me.activity == .following {
      isFollowerNotified = false
      if found.contains(where: { $0.key == PollerEvent.alarmKey }) {
        hasFollowersAlarm = false
        me.leavesLead = lookCount != lookCountAtAlarm
        me.looksFirst = !me.leavesLead && !hasLeader
      }
      found.removeAll(keepingCapacity: true)
    } else {
      // Whether the worker led or only looked, it may have consumed the notification.
      isLeaderNotified = false
      lookCount &+= 1
    }
    leaveWait(me)
    me.activity = .working
    me.stage = .events
    me.position = 0
    swap(&me.events, &found)
  }

  private mutating func leaveWait(_ me: Worker) {
    if me.activity == .following { followerCount -= 1 }
    if me.activity == .leading {
      hasLeader = false
      if !keepsAlarm { alarm = .never }
    }
  }

  /// Returns a worker's next step. The step before has been taken. Afterwards `takeNotice` returns what else to do.
  ///
  /// - Parameter now: evaluated only if a timer is set, or if work is left to others.
  package mutating func next(_ now: @autoclosure () -> Deadline, worker: Int = 0) -> ReactorStep<Job> {
    let me = workers[worker]
    if me.progress == .lost { lostCount -= 1 }
    me.progress = .stepped
    if me.activity == .runningSerial { runsSerialJob = false }
    me.activity = .working
    if me.looksFirst {
      me.looksFirst = false
      return .wait(until: .immediately)
    }
    if me.stage == .events {
      if let told = nextEvent(me) {
        if me.hasDriven { noteRest(now()) }
        return told
      }
      me.events.removeAll(keepingCapacity: true)
      me.begin(.works, calls.count)
      (me.looksAtTimers, me.hasDriven) = (me.hasDriven, false)
    }
    if let timer = due(me, now()) { return fire(timer, now()) }
    if me.stage == .works {
      if me.left > 0, let work = calls.popFirst() {
        me.left -= 1
        me.looksAtTimers = true
        noteRest(now())
        return .drive(work)
      }
      me.begin(.timers, 0)
      me.looksAtTimers = true
      if let timer = due(me, now()) { return fire(timer, now()) }
    }
    if me.stage == .timers { me.begin(.jobs, jobs.count + serialJobs.count) }
    if me.left > 0, let (job, isSerial) = takeJob() {
      me.left -= 1
      me.looksAtTimers = true
      me.activity = isSerial ? .runningSerial : .running
      noteRest(now())
      return .run(job)
    }
    return wait(me, now())
  }

  /// Whether there is something to do after `next`, besides the step.
  package var hasNotice: Bool { !notice.isEmpty }

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
      if let receiver = receiver(of: event.key) {
        me.hasDriven = me.position == me.events.count && calls.count == 0
        return .tell(receiver, event, mayDrive: me.hasDriven)
      }
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
    guard hasSleepers else { return }
    notice = noticeOfRest(now())
    setAlarm()
  }

  /// Sets the leader's alarm if a timer is due earlier.
  private mutating func setAlarm() {
    guard hasLeader, timers.earliest < alarm else { return }
    alarm = timers.earliest
    if keepsAlarm { notice.alarm = alarm }
  }

  /// The receiver of a deadline may drive.
  private mutating func fire(_ timer: Timer, _ now: @autoclosure () -> Deadline) -> ReactorStep<Job> {
    noteRest(now())
    return .fire(timer)
  }

  /// Returns how the worker waits. While there is work it may only look.
  private mutating func wait(_ me: Worker, _ now: @autoclosure () -> Deadline) -> ReactorStep<Job> {
    let leavesLead = me.leavesLead
    me.leavesLead = false
    if hasWork { return .wait(until: .immediately) }
    if hasLeader || leavesLead {
      me.activity = .following
      followerCount += 1
      // The worker may hold the alarm that the leader relies on.
      if hasLeader { setAlarm() } else { notice = noticeOfLead(now()) }
      return .follow
    }
    me.activity = .leading
    hasLeader = true
    setAlarm()
    return .wait(until: alarm)
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
