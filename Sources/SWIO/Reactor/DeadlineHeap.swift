/// An object that is told when a deadline passes.
package protocol DeadlineReceiver: AnyObject, Sendable {
  /// Called once, on the reactor's thread, with no lock held. Not called if the timer was removed before.
  func deadlinePassed()
}

/// A deadline that a reactor keeps.
// Invariant: the lock of the reactor that keeps the timer guards everything that changes.
package final class Timer: @unchecked Sendable {
  @safe @exclusivity(unchecked)
  package fileprivate(set) var deadline = Deadline.never
  package let receiver: any DeadlineReceiver
  /// The position in the heap. Negative if the timer is not in a heap.
  @safe @exclusivity(unchecked)
  fileprivate var position = -1

  package init(_ receiver: any DeadlineReceiver) { self.receiver = receiver }
}

/// The timers that are set, earliest first: a binary heap whose elements know their position, so a removed timer leaves
/// nothing behind.
package struct DeadlineHeap: Sendable {
  private var timers: [Timer] = []

  package init() {}
  package var isEmpty: Bool { timers.isEmpty }
  package var count: Int { timers.count }
  package var earliest: Deadline { timers.first?.deadline ?? .never }

  package mutating func insert(_ timer: Timer, at deadline: Deadline) {
    precondition(timer.position < 0, "a timer is set once at a time")
    timer.deadline = deadline
    timer.position = timers.count
    timers.append(timer)
    siftUp(timer.position)
  }

  /// Removes a timer. Does nothing if it is not set, or has been removed to fire.
  package mutating func remove(_ timer: Timer) {
    let position = timer.position
    guard position >= 0 else { return }
    timer.position = -1
    let last = timers.removeLast()
    guard last !== timer else { return }
    timers[position] = last
    last.position = position
    siftDown(position)
    siftUp(last.position)
  }

  /// Removes and returns the earliest timer, if its deadline has passed by `now`.
  package mutating func popDue(by now: Deadline) -> Timer? {
    guard let first = timers.first, first.deadline <= now else { return nil }
    remove(first)
    return first
  }

  private mutating func siftUp(_ start: Int) {
    var position = start
    while position > 0 {
      let parent = (position - 1) / 2
      guard timers[position].deadline < timers[parent].deadline else { return }
      exchange(position, parent)
      position = parent
    }
  }

  private mutating func siftDown(_ start: Int) {
    var position = start
    while true {
      var least = position
      for child in [2 * position + 1, 2 * position + 2]
      where child < timers.count && timers[child].deadline < timers[least].deadline { least = child }
      guard least != position else { return }
      exchange(position, least)
      position = least
    }
  }

  private mutating func exchange(_ a: Int, _ b: Int) {
    timers.swapAt(a, b)
    timers[a].position = a
    timers[b].position = b
  }

  /// Checks the heap's order and every timer's position, for tests.
  package func checkInvariants() {
    for (position, timer) in timers.enumerated() {
      precondition(timer.position == position)
      precondition(position == 0 || timers[(position - 1) / 2].deadline <= timer.deadline)
    }
  }
}
