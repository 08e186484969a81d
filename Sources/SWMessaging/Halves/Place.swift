internal import SWIO
internal import Synchronization

/// Why a caller gives up before its result.
package enum GiveUp: Sendable {
  case timedOut, cancelled

  var reason: EndpointError.Reason {
    switch self {
    case .timedOut: .timedOut
    case .cancelled: .cancelled
    }
  }
}

/// How a parked task is resumed.
@safe
package enum Resumption: Sendable {
  case continuation(UnsafeContinuation<Void, Never>)
  /// For simulations, which have no task.
  case callback(@Sendable () -> Void)

  func resume() {
    switch self {
    case .continuation(let continuation): unsafe continuation.resume()
    case .callback(let body): body()
    }
  }
}

/// A caller's place in the queue of a half. It is decided once, under the half's lock, and leaves the
/// queue with that; its caller finds the result whenever it comes to run again.
///
/// When a deadline that was set for it passes, it gives up.
///
/// The lock orders every access, so the run-time check for exclusive access is left out: 80 instructions an access, a
/// tenth of what a receive that waits takes.
@usableFromInline
// Invariant: what changes is guarded by the half's lock; once decided, only its caller reads it.
package class Place: DeadlineReceiver, @unchecked Sendable {
  @usableFromInline
  package enum Kind: Sendable {
    /// A blocked thread: it polls for itself when it is the head.
    case thread
    /// A task: the reactor watches for it.
    case task
    /// Nobody waits: the rest of a message that its sender has left, or a half-close.
    case orphan
  }

  let half: Half
  package final let kind: Kind

  @safe @exclusivity(unchecked)
  final var wakeUp: WakeUp?
  @safe @exclusivity(unchecked)
  final var resumption: Resumption?
  @safe @exclusivity(unchecked)
  package fileprivate(set) final var isDecided = false
  @safe @exclusivity(unchecked)
  package fileprivate(set) final var isQueued = false
  /// Its thread is, or is about to be, in `ppoll` on the descriptor: readiness needs no signal.
  final var isPolling = false
  /// What it polls for.
  package internal(set) final var polledInterest: Readiness = []
  /// Its step waits for the transport. A flush or a half-close does not: once it is the head, it is due.
  var needsReadiness: Bool { true }
  /// Until when its thread may wait at most before it looks again. Set under the lock, read by the thread.
  package internal(set) final var waitLimit = Deadline.never
  /// Set when a caller gave up that only the turn can settle.
  final var gaveUp: GiveUp?
  /// It stands aside: its attempt is repeated after a pause, and those behind it do not wait for that.
  package fileprivate(set) final var isAside = false
  /// It leaves no sooner than one pass has come to it: its deadline had passed before it came, or has passed and an
  /// attempt is owed to it. Raised under the lock.
  @safe @exclusivity(unchecked)
  final var isLate: Bool
  /// Until when its caller wants to wait: looked at while bytes move. Set before it is queued.
  @safe @exclusivity(unchecked)
  final var deadline = Deadline.never
  /// The attempt that every call is promised was left out, because it was known to be in vain: it is made before the
  /// deadline ends the call. Set before the place is queued, lowered under the lock.
  @safe @exclusivity(unchecked)
  final var owesAttempt = false

  @safe @exclusivity(unchecked)
  fileprivate final var next: Place?
  /// Under the lock: who stands behind it.
  final var following: Place? { isQueued ? next : nil }
  @exclusivity(unchecked)
  fileprivate final unowned(unsafe) var previous: Place?

  init(_ kind: Kind, isLate: Bool = false, in half: Half) {
    self.kind = kind
    self.isLate = isLate
    self.half = half
  }

  package final func deadlinePassed() { half.deadlinePassed(of: self) }

  /// Under the lock: marks it decided and tells its caller, after unlocking.
  final func decide(_ actions: inout Actions, by me: Place?) {
    precondition(!isDecided && !isQueued, "a place is decided once, when it leaves the queue")
    isDecided = true
    switch kind {
    case .thread: if self !== me, wakeUp != nil { actions.tell(self) }
    case .task: if resumption != nil { actions.tell(self) }
    case .orphan: break
    }
  }

  /// Wakes the caller of a decided place. Without the lock: from its decision on nobody else touches what
  /// wakes it.
  fileprivate final func tell() {
    wakeUp?.signal()
    if let resumption {
      self.resumption = nil
      resumption.resume()
    }
  }
}

/// What has to happen after unlocking.
package struct Actions {
  /// Decided places whose callers wait, linked by `next`, the last first.
  private var told: Place?
  /// Of a head that has to look for itself.
  private var wakeUp: WakeUp?
  /// Ask the reactor to drive.
  var callsReactor = false
  /// Have the reactor repeat attempts at this time.
  var retryAt: Deadline?
  /// This half has no more use for the descriptor.
  var leavesPort = false

  fileprivate mutating func tell(_ place: Place) {
    place.next = told
    told = place
  }

  /// Has the thread of a queued place look for itself.
  mutating func signal(_ place: Place) {
    guard let signalled = place.wakeUp, signalled !== wakeUp else { return }
    // Two heads in one critical section are rare, and a signal never waits.
    wakeUp?.signal()
    wakeUp = signalled
  }

  @inline(__always)
  consuming func perform(for half: Half) {
    if told == nil, wakeUp == nil, !callsReactor, !leavesPort, retryAt == nil { return }
    performAll(for: half)
  }

  @inline(never)
  private consuming func performAll(for half: Half) {
    wakeUp?.signal()
    // First decided, first told.
    var (place, ordered) = (told, nil as Place?)
    while let current = place {
      place = current.next
      current.next = ordered
      ordered = current
    }
    while let current = ordered {
      ordered = current.next
      current.next = nil
      current.tell()
    }
    if let retryAt { half.setRetryTimer(at: retryAt) }
    if callsReactor { half.port.reactor.call(half) }
    if leavesPort {
      half.dropItems()
      half.port.leave(half.direction)
    }
  }
}

/// Places, first in first out, each removable from the middle in constant time: a list that runs through
/// the places themselves. Places that stand aside are in a second list.
package struct PlaceQueue: Sendable {
  private var waiting = PlaceList()
  private var aside = PlaceList()

  package var first: Place? { waiting.first }
  /// Nobody waits in line; places may stand aside.
  package var isEmpty: Bool { waiting.first == nil }
  package var hasAside: Bool { aside.first != nil }
  /// How many there are, those that stand aside included.
  package var count: Int { waiting.count + aside.count }

  mutating func append(_ place: Place) { waiting.append(place) }

  /// Puts a place in front: the one that the fast path had implied there, or a tail in its message's place.
  mutating func prepend(_ place: Place) { waiting.prepend(place) }

  mutating func remove(_ place: Place) {
    // In this order: each look at the place is checked for exclusivity at run time.
    if hasAside, place.isAside {
      aside.remove(place)
      place.isAside = false
    } else {
      waiting.remove(place)
    }
  }

  /// Puts a place behind those that stand aside.
  mutating func putAside(_ place: Place) {
    if place.isQueued { remove(place) }
    aside.append(place)
    place.isAside = true
  }

  /// Puts those that stand aside back in front, in their order.
  mutating func returnAside() {
    while let place = aside.last {
      aside.remove(place)
      place.isAside = false
      waiting.prepend(place)
    }
  }

  /// Takes out one after the other, those that stand aside first.
  mutating func removeFirst() -> Place? {
    guard let place = aside.first ?? waiting.first else { return nil }
    remove(place)
    return place
  }

  /// Visits the places that wait in line, in order, so many at most.
  func visit(first count: Int = .max, _ body: (Place) -> Void) { waiting.visit(first: count, body) }

  /// Visits the places that stand aside, in order.
  func visitAside(_ body: (Place) -> Void) { aside.visit(body) }
}

private struct PlaceList: Sendable {
  private(set) var first: Place?
  // Invariant: alive as long as it is in the list, which `first` and the `next` links own.
  private nonisolated(unsafe) unowned(unsafe) var end: Place?
  private(set) var count = 0

  var last: Place? { unsafe end }

  mutating func append(_ place: Place) {
    precondition(!place.isQueued && !place.isDecided, "a place is queued once")
    place.isQueued = true
    unsafe place.previous = end
    if let end = unsafe end { end.next = place } else { first = place }
    unsafe end = place
    count += 1
  }

  mutating func prepend(_ place: Place) {
    precondition(!place.isQueued && !place.isDecided, "a place is queued once")
    place.isQueued = true
    place.next = first
    if let first { unsafe first.previous = place } else { unsafe end = place }
    first = place
    count += 1
  }

  mutating func remove(_ place: Place) {
    precondition(place.isQueued, "only a queued place is removed")
    place.isQueued = false
    let (previous, next) = unsafe (place.previous, place.next)
    if let previous { previous.next = next } else { first = next }
    if let next { unsafe next.previous = previous } else { unsafe end = previous }
    place.next = nil
    unsafe place.previous = nil
    count -= 1
  }

  func visit(first count: Int = .max, _ body: (Place) -> Void) {
    var place = first
    var rest = count
    while let current = place, rest > 0 {
      body(current)
      place = current.next
      rest -= 1
    }
  }
}
