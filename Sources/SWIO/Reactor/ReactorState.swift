// The reactor as a pure machine: what is registered, who asked to be driven, which deadlines are set, and what the
// thread does next. Each verb answers what its shell has to do; nothing here waits or makes a system call. The thread
// of the real reactor and the simulated one both do what `next` says, and nothing else.
//
//             call, job, earlier deadline: notify
//   asleep ---------------------------------------> notified
//     ^                                                |
//     |  nothing to do                  the wait ended |
//     +------------------- working <-------------------+
//
// A thread that sleeps is notified once; what arrives while it works, or was notified, is seen before it
// sleeps again.
//
// One round of the thread:
//
//   events ----> works ----> timers ----> jobs ----> wait
//                  ^  |        ^  |
//                  +--+        +--+   also between two works and between two jobs
//
// What has arrived in time is delivered before the deadline: events come first, and a place whose deadline passes has
// its half driven before, if that half was called (`DeadlineReceiver`). Timers are looked at after each work and each
// job, so that many works do not delay a deadline.

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

package struct ReactorState<Job: Sendable>: Sendable {
  private struct Slot: Sendable {
    var generation: UInt32 = 0
    var descriptor: Int32 = -1
    var interest: Readiness = []
    var receiver: (any ReadinessReceiver)?
  }

  private enum Phase: Sendable {
    case working
    case asleep(until: Deadline)
    case notified
  }

  /// How far the thread is in its round.
  private enum Stage: Sendable { case events, works, timers, jobs }

  private var slots: [Slot] = []
  private var freeSlots: [UInt32] = []
  private var timers = DeadlineHeap()
  private var calls: [any ReactorWork] = []
  private var jobs: [Job] = []
  private var phase = Phase.working

  // The round under way: what was there when each stage began, and how much of it is done.
  private var stage = Stage.jobs
  private var events: [PollerEvent] = []
  private var works: [any ReactorWork] = []
  private var roundJobs: [Job] = []
  private var position = 0
  /// Set after each work and each job, and before the jobs begin.
  private var looksAtTimers = false
  /// The timers that may still fire before the next work, and until when they were due: those that are set meanwhile
  /// come after that.
  private var firing: (count: Int, by: Deadline) = (0, .immediately)

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

  // MARK: Work. Each answers whether the thread must be notified.

  package mutating func call(_ work: any ReactorWork) -> Bool {
    calls.append(work)
    return rouse()
  }

  package mutating func enqueue(_ job: Job) -> Bool {
    jobs.append(job)
    return rouse()
  }

  package mutating func set(_ timer: Timer, at deadline: Deadline) -> Bool {
    timers.insert(timer, at: deadline)
    if case .asleep(let until) = phase, deadline < until { return rouse() }
    return false
  }

  package mutating func takeBack(_ timer: Timer) { timers.remove(timer) }

  private mutating func rouse() -> Bool {
    guard case .asleep = phase else { return false }
    phase = .notified
    return true
  }

  // MARK: The thread's round

  /// The wait that `next` asked for has ended, and has found these. `found` is emptied.
  package mutating func woke(_ found: inout [PollerEvent]) {
    phase = .working
    stage = .events
    position = 0
    swap(&events, &found)
  }

  /// What the thread does next.
  ///
  /// - Parameter now: asked only if a timer is set.
  package mutating func next(_ now: @autoclosure () -> Deadline) -> ReactorStep<Job> {
    if stage == .events {
      while position < events.count {
        let event = events[position]
        position += 1
        if let receiver = receiver(of: event.key) { return .tell(receiver, event) }
      }
      events.removeAll(keepingCapacity: true)
      begin(.works)
      swap(&works, &calls)
    }
    if let timer = due(now()) { return .fire(timer) }
    if stage == .works {
      if position < works.count {
        let work = works[position]
        position += 1
        looksAtTimers = true
        return .drive(work)
      }
      works.removeAll(keepingCapacity: works.capacity <= Self.mostKept)
      begin(.timers)
      looksAtTimers = true
      if let timer = due(now()) { return .fire(timer) }
    }
    if stage == .timers {
      begin(.jobs)
      swap(&roundJobs, &jobs)
    }
    if position < roundJobs.count {
      let job = roundJobs[position]
      position += 1
      looksAtTimers = true
      return .run(job)
    }
    roundJobs.removeAll(keepingCapacity: roundJobs.capacity <= Self.mostKept)
    position = 0
    return .wait(until: sleep())
  }

  /// How many works and jobs keep their memory for the next round.
  private static var mostKept: Int { 1024 }

  private mutating func begin(_ next: Stage) {
    stage = next
    position = 0
    looksAtTimers = false
    firing.count = 0
  }

  /// Takes a timer that is due, if it is time to look.
  private mutating func due(_ now: @autoclosure () -> Deadline) -> Timer? {
    if looksAtTimers {
      looksAtTimers = false
      if timers.isEmpty { return nil }
      firing = (timers.count, now())
    }
    guard firing.count > 0 else { return nil }
    firing.count -= 1
    let timer = timers.popDue(by: firing.by)
    if timer == nil { firing.count = 0 }
    return timer
  }

  /// Until when the thread may wait for events: not at all while there is work.
  private mutating func sleep() -> Deadline {
    if !calls.isEmpty || !jobs.isEmpty { return .immediately }
    let until = timers.earliest
    phase = .asleep(until: until)
    return until
  }
}
