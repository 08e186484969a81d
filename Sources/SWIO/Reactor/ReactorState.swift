// The reactor as a pure machine: what is registered, who asked to be driven, which deadlines are set,
// and whether the thread sleeps. Each verb answers what its shell has to do; nothing here waits or
// makes a system call.
//
//             call, job, earlier deadline: notify
//   asleep ---------------------------------------> notified
//     ^                                                |
//     |  nothing to do                  the wait ended |
//     +------------------- working <-------------------+
//
// A thread that sleeps is notified once; what arrives while it works, or was notified, is seen before it
// sleeps again.

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

  private var slots: [Slot] = []
  private var freeSlots: [UInt32] = []
  private var timers = DeadlineHeap()
  private var calls: [any ReactorWork] = []
  private var jobs: [Job] = []
  private var phase = Phase.working

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

  /// Everything registered; for a reactor that has no epoll yet.
  package var registrations:
    [(id: RegistrationID, descriptor: Int32, interest: Readiness, receiver: any ReadinessReceiver)]
  {
    slots.enumerated().compactMap { index, slot in
      slot.receiver.map {
        (RegistrationID(slot: UInt32(index), generation: slot.generation), slot.descriptor, slot.interest, $0)
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

  /// Until when the thread may wait for events: not at all while there is work.
  package mutating func sleep() -> Deadline {
    if !calls.isEmpty || !jobs.isEmpty { return .immediately }
    let until = timers.earliest
    phase = .asleep(until: until)
    return until
  }

  package mutating func wake() { phase = .working }

  /// Who asked to be driven so far; who asks again from now on comes behind. `taken` is empty, and its memory
  /// serves for those.
  package mutating func takeCalls(_ taken: inout [any ReactorWork]) { swap(&calls, &taken) }

  package mutating func takeJobs(_ taken: inout [Job]) { swap(&jobs, &taken) }

  package mutating func takeDue(by now: Deadline) -> Timer? { timers.popDue(by: now) }
}
