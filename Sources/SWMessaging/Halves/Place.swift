internal import SWIO
internal import Synchronization

/// Why a caller gives up before it has its result.
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
  /// Calls a closure, for simulations, which have no task.
  case callback(@Sendable () -> Void)

  func resume() {
    switch self {
    case .continuation(let continuation): unsafe continuation.resume()
    case .callback(let body): body()
    }
  }
}

/// A caller's place in the queue of a half. It is decided once, under the half's lock, and leaves the queue in the same
/// critical section. Its caller finds the result when it runs again.
///
/// As the receiver of its own timer, a place gives up when its deadline passes.
///
/// The lock orders every access, so the run-time check for exclusive access is left out. The check costs 80 instructions for
/// each access, which is a tenth of a receive that waits.
@usableFromInline
// Invariant: the half's lock guards everything that changes. After the decision only the place's caller reads it.
package class Place: DeadlineReceiver, @unchecked Sendable {
  @usableFromInline
  package enum Kind: Sendable {
    /// A blocked thread. It polls for itself when it is the head.
    case thread
    /// A task. The reactor watches for it.
    case task
    /// No caller waits: the rest of a message whose sender has left, or a half-close.
    case orphan
  }

  enum Standing: Sendable {
    case inLine, aside
    /// In line again, as the first of those that stand aside for its destination.
    case returned
  }

  let half: Half

  // Words come before flags, so that there are no gaps: an idle connection has a place for the task that waits.

  @safe @exclusivity(unchecked)
  final var wakeUp: WakeUp?
  /// The timer of a task's deadline, while it is set. Only the task uses it.
  @safe @exclusivity(unchecked)
  final var timer: Timer?
  /// The latest time at which its thread looks again. Set under the lock, read by the thread.
  package internal(set) final var waitLimit = Deadline.never
  /// The deadline of its caller, which is also checked while bytes move. Set before the place is queued.
  @safe @exclusivity(unchecked)
  final var deadline = Deadline.never
  @safe @exclusivity(unchecked)
  fileprivate final var next: Place?
  @exclusivity(unchecked)
  fileprivate final unowned(unsafe) var previous: Place?
  @safe @exclusivity(unchecked)
  final var resumption: Resumption?
  package final let kind: Kind
  @safe @exclusivity(unchecked)
  package fileprivate(set) final var isDecided = false
  @safe @exclusivity(unchecked)
  package fileprivate(set) final var isQueued = false
  /// Whether its thread is, or is about to be, in `ppoll` on the descriptor. Then readiness needs no signal.
  package internal(set) final var isPolling = false
  /// Whether the place stands aside: its attempt is repeated after a pause, and the places behind it do not wait for that.
  package final var isAside: Bool { standing == .aside }
  @safe @exclusivity(unchecked)
  final var standing = Standing.inLine
  /// Whether it stands aside behind all others, and not only behind those to its destination.
  final var isInRest = false
  /// Whether the place must be tried once before it leaves, because its deadline had passed before it came, or because it is
  /// owed an attempt. Raised under the lock.
  @safe @exclusivity(unchecked)
  final var isLate: Bool
  /// Whether the attempt that every call is promised was left out, because it was likely to fail. It is made before the
  /// deadline ends the call. Set before the place is queued, lowered under the lock.
  @safe @exclusivity(unchecked)
  final var owesAttempt = false
  /// Whether an attempt has been made for it, or is being made. A receive counts only one that may take long.
  @safe @exclusivity(unchecked)
  final var wasTried = false
  /// Whether a helper makes, or will make, the only attempt for this place, which has a timeout of zero. The place waits for
  /// that attempt, although it may never end.
  @safe @exclusivity(unchecked)
  final var hasOnlyAttempt = false
  /// Why the caller gave up, if only the turn holder can settle that.
  final var gaveUp: GiveUp?
  /// The readiness that its thread polls for.
  package internal(set) final var polledInterest: Readiness = []

  /// Whether its step waits for the transport. A flush or a half-close does not: it is due as soon as it is the head.
  var needsReadiness: Bool { true }
  /// The places that it stands behind while they stand aside.
  var asideOrder: AsideOrder { .datagram(nil) }
  /// Its number among those that stand aside, in the order of their calls. Only senders have one.
  var asideNumber: UInt64 {
    get { 0 }
    set {}
  }
  /// Under the lock: the place behind it.
  final var following: Place? { isQueued ? next : nil }

  init(_ kind: Kind, isLate: Bool = false, in half: Half) {
    self.kind = kind
    self.isLate = isLate
    self.half = half
  }

  package final func deadlinePassed() { half.deadlinePassed(of: self) }

  /// Under the lock: marks the place as decided. `actions` tells its caller after unlocking.
  final func decide(_ actions: inout Actions, by me: Place?) {
    precondition(!isDecided && !isQueued, "a place is decided once, when it leaves the queue")
    isDecided = true
    switch kind {
    case .thread: if self !== me, wakeUp != nil { actions.tell(self) }
    case .task: if resumption != nil { actions.tell(self) }
    case .orphan: break
    }
  }

  /// Wakes the caller of a decided place. This needs no lock, because nothing else uses the wake-up or the resumption after
  /// the decision.
  fileprivate final func tell() {
    wakeUp?.signal()
    if let resumption {
      self.resumption = nil
      resumption.resume()
    }
  }
}

/// The actions to perform after unlocking.
package struct Actions {
  /// Decided places whose callers wait, linked by `next`, the last one first.
  private var told: Place?
  /// The wake-up of a head that has to look for itself.
  private var wakeUp: WakeUp?
  /// Whether to ask the reactor to drive.
  var callsReactor = false
  /// When the reactor is to repeat attempts.
  var retryAt: Deadline?
  /// Whether this half has no more use for the descriptor.
  var leavesPort = false

  fileprivate mutating func tell(_ place: Place) {
    place.next = told
    told = place
  }

  /// Makes the thread of a queued place look for itself.
  mutating func signal(_ place: Place) {
    if let signalled = place.wakeUp { signal(signalled) }
  }

  mutating func signal(_ signalled: WakeUp) {
    if signalled === wakeUp { return }
    // A second head in one critical section is rare, so only one is deferred. A signal never waits, so it is safe here.
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
    // The place that was decided first is told first.
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
      half.dropReceived()
      half.port.leave(half.direction)
    }
  }
}

/// A queue of places, first in, first out. Any place can be removed in constant time, because the list runs through the
/// places themselves. Places that stand aside are in lists of their own.
package struct PlaceQueue: Sendable {
  /// Nil if no place stands aside and none has returned from there.
  private var aside: AsidePlaces?
  private var waiting = PlaceList()

  package var first: Place? { waiting.first }
  /// Whether no place waits in line. Places may stand aside.
  package var isEmpty: Bool { waiting.first == nil }
  package var hasAside: Bool { aside.map { $0.count > 0 } ?? false }
  /// Whether a place that stands aside waits for the end of the pause, and not only for another place.
  package var rests: Bool { aside?.rests ?? false }
  /// The number of places, including those that stand aside.
  package var count: Int { Int(waiting.count) + (aside?.count ?? 0) }

  mutating func append(_ place: Place) { waiting.append(place) }

  /// Inserts a place at the front: the place of a caller that took the turn without one, or an orphan in its sender's
  /// position.
  mutating func prepend(_ place: Place) { waiting.prepend(place) }

  mutating func remove(_ place: Place) {
    guard let aside else { return waiting.remove(place) }
    switch place.standing {
    case .inLine: return waiting.remove(place)
    case .aside: aside.remove(place)
    case .returned:
      waiting.remove(place)
      if let next = aside.follow(place) { waiting.prepend(next) }
    }
    if aside.isOver { self.aside = nil }
  }

  /// Moves a place in line, or a new one, aside: behind those that it has to stay behind. One that has returned from there is
  /// the first again.
  mutating func putAside(_ place: Place) {
    precondition(!place.isAside, "a place stands aside once")
    if place.isQueued { waiting.remove(place) }
    let aside = aside ?? AsidePlaces()
    self.aside = aside
    aside.add(place)
  }

  /// Whether a place at the head of the line has to stand aside, because it must stay behind one that does.
  func holdsBack(_ place: Place) -> Bool { aside?.holdsBack(place) ?? false }

  /// Whether a place waits for the end of the pause, and not for another place.
  func waitsForPause(_ place: Place) -> Bool { place.isAside && aside?.isFirst(place) == true }

  /// Returns a place that waits for the end of the pause from now on, because the one in front of it has left.
  mutating func takeFollower() -> Place? { aside?.takeFollower() }

  /// Moves the first place to each destination back to the front, in their order. The others follow it as it leaves the line.
  mutating func returnAside() {
    guard let aside else { return }
    for place in aside.returnFirsts().reversed() { waiting.prepend(place) }
  }

  /// Moves the place that is to be tried before a datagram to the same destination back to the front.
  mutating func returnAside(before place: Place) {
    if let first = aside?.returnFirst(before: place) { waiting.prepend(first) }
  }

  /// Removes and returns the first place. Those that stand aside come first.
  mutating func removeFirst() -> Place? {
    if let aside {
      for place in aside.removeAll().reversed() { waiting.prepend(place) }
      self.aside = nil
      // The lanes are forgotten, so nothing follows those that had returned.
      waiting.visit { $0.standing = .inLine }
    }
    guard let place = waiting.first else { return nil }
    waiting.remove(place)
    return place
  }

  /// Visits the first places in line, in order.
  package func visit(first count: Int = .max, _ body: (Place) -> Void) { waiting.visit(first: count, body) }

  /// Visits the places that stand aside, in order.
  func visitAside(_ body: (Place) -> Void) { aside?.visit(body) }
}

struct PlaceList: Sendable {
  private(set) var first: Place?
  // Invariant: the object is alive as long as it is in the list, which `first` and the `next` links own.
  private nonisolated(unsafe) unowned(unsafe) var end: Place?
  // The end of the queue and `HalfState.pollers` leave no gap, because each connection has two of them.
  private(set) var count: Int32 = 0

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
