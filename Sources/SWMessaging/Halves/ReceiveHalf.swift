package import SWFraming
package import SWIO
internal import Synchronization

/// The place of a receiver.
@usableFromInline
// Invariant: like `Place`.
package final class ReceivePlace: Place, @unchecked Sendable {
  package let request: ReceiveRequest
  /// The result. Set with the decision.
  @safe @exclusivity(unchecked)
  package fileprivate(set) final var outcome: ReceiveHalf.Outcome?

  init(_ kind: Kind, _ request: ReceiveRequest, isLate: Bool = false, in half: ReceiveHalf) {
    self.request = request
    super.init(kind, isLate: isLate, in: half)
  }
}

/// The receiving direction. A step looks for a complete frame. If there is none, it attempts. If the attempt would block, it
/// watches.
///
/// An attempt writes only into the half's own memory, so a receiver may leave at any moment. A complete frame goes to the
/// place that is the head at that time, even if another place was the head when the frame began.
@usableFromInline
// Invariant: `turn` is accessed only by the turn holder, and the turn changes hands under the lock.
package final class ReceiveHalf: Half, @unchecked Sendable {
  @usableFromInline
  package enum Outcome: Sendable {
    /// The caller took the step itself. The frame lies in the turn, which the caller holds until `finishLoan`.
    case lent(FrameDemand)
    /// Another driver took the step.
    case delivered(Delivery)
    case failed(EndpointError)
  }

  @usableFromInline
  package enum Started: Sendable {
    case ended(Outcome)
    /// The call is queued, and the caller has to wait for its place.
    case queued(ReceivePlace)
  }

  @exclusivity(unchecked)
  // Invariant: accessed only by the turn holder.
  package nonisolated(unsafe) var turn: ReceiveTurn

  /// How many times in a row a thread that found the buffer empty found nothing in the kernel either, or did not look
  /// because it expected that.
  @exclusivity(unchecked)
  // Invariant: accessed only by the turn holder.
  private nonisolated(unsafe) var vainAttempts = 0

  /// Whether more than data has been signalled: the end of the stream, an error, or urgent data. It is never lowered.
  private let hasMoreThanData = Atomic(false)

  /// Ends receiving for all callers, as soon as an attempt finds nothing between two messages.
  package func finishReceiving() {
    // Both flags change in one critical section. An attempt that is under way may have begun before the last bytes came, and
    // must not end receiving.
    locked { state, actions in
      guard !state.isClosed else { return }
      (state.endsWhenIdle, state.stirred) = (true, true)
      state.pass(by: nil, &actions)
      state.wakePoller(&actions)
    }
  }

  /// Notes that more than data has been signalled: the end of the stream, an error, or urgent data. A short read then does
  /// not prove that nothing is left: reads stop at urgent data, and the bytes behind it make no edge.
  func noteMoreThanData() { hasMoreThanData.store(true, ordering: .relaxed) }

  package init(_ port: Port, unread: [UInt8] = []) {
    unsafe turn = ReceiveTurn(unread: unread, carriesDatagrams: port.carriesDatagrams)
    super.init(port, .readable)
    port.connect(receiving: self)
  }

  override func detachRefusal(_ state: HalfState) -> EndpointError.Reason? {
    if let refusal = state.detachRefusal { return refusal }
    // No driver holds the turn here, so this access is safe.
    if unsafe turn.holdsItem { return .unreadDatagrams }
    return unsafe turn.holdsDescriptors ? .unreadDescriptors : nil
  }

  override func dropReceived() {
    // The half is closed and the turn is free, so no other code uses the turn any more.
    unsafe turn.dropAll()
  }

  override func fail(_ place: Place, _ error: EndpointError) {
    unsafe unsafeDowncast(place, to: ReceivePlace.self).outcome = .failed(error)
  }

  /// Fails the calls that are queued now, and no later one.
  func failQueued(_ error: EndpointError) {
    locked { state, actions in decideEverybody(error, by: nil, &state, &actions) }
  }

  // MARK: A call

  private enum Entry: Sendable {
    case refused(EndpointError)
    case alone
    case behind(ReceivePlace)
  }

  /// Begins a call: takes the turn if no other caller uses the half, and a place otherwise. Never waits.
  ///
  /// - Parameters:
  ///   - deadline: also checked while bytes move. `immediately` means one pass, however long it takes. Without a place the
  ///     call ends here.
  ///   - front: how far the short way has come.
  package func start(
    _ request: ReceiveRequest, as kind: Place.Kind, until deadline: Deadline, after front: Front = .unseen
  ) -> Started {
    if front.holdsTurn || turnstile.take() {
      var driver = Driver(implied: request, kind: kind, deadline: deadline)
      switch front {
      case .unseen, .held: break
      case .blocked:
        // The buffer is empty, so there is nothing to scan.
        driver.owesAttempt = true
        if let ended = blocked(nil, &driver) { return ended }
        driver.owesAttempt = false
      case .failed(let failure):
        if let ended = serveFailure(EndpointError(.transport(failure)), nil, driver) { return ended }
      }
      return run(driver)
    }
    let mayWait = deadline != .immediately
    let entry: Entry = locked { state, actions in
      if let refusal = state.refusal { return .refused(refusal) }
      if state.isIdle {
        state.turn = true
        return .alone
      }
      let place = ReceivePlace(kind, request, isLate: !mayWait, in: self)
      place.deadline = deadline
      state.queue.append(place)
      state.recall(&actions)
      return .behind(place)
    }
    switch entry {
    case .refused(let error): return .ended(.failed(error))
    case .alone: return run(Driver(implied: request, kind: kind, deadline: deadline))
    case .behind(let place):
      drive(as: place, first: true)
      return locked { _, _ in place.outcome.map { .ended($0) } ?? .queued(place) }
    }
  }

  /// The result of a call that was queued.
  @usableFromInline
  package func outcome(of place: ReceivePlace) -> Outcome {
    place.outcome ?? .failed(EndpointError(.closed))
  }

  /// Consumes the lent frame, and serves other places from the buffer alone.
  package func finishLoan(_ demand: FrameDemand) {
    unsafe turn.consume(demand)
    endLoan()
  }

  /// Returns the caller's turn, or serves other places from the buffer alone.
  private func endLoan() {
    unsafe turn.releaseMemory()
    unsafe heldBytes.store(turn.count, ordering: .relaxed)
    if turnstile.giveBack() { return }
    let isDone = locked { state, actions in
      state.isAway = false
      guard state.queue.isEmpty else { return false }
      stop(&state, &actions, by: nil)
      return true
    }
    if isDone { return }
    var driver = Driver(budget: 16)
    driver.mine = true
    _ = run(driver)
  }

  // MARK: The short way

  /// How far the short way has come.
  @usableFromInline
  package enum Front: Equatable, Sendable {
    /// Another caller uses the half, or the short way was not tried.
    case unseen
    /// The caller has the turn, and `unread` holds the unread bytes at the front of the stream.
    case held
    /// The caller has the turn, and nothing was received: an attempt found nothing, or was left out because it was likely to
    /// fail.
    case blocked
    /// The caller has the turn, and an attempt failed for this call alone.
    case failed(TransportError)

    @usableFromInline var holdsTurn: Bool { if case .unseen = self { false } else { true } }
    var isHeld: Bool { if case .held = self { true } else { false } }
    var isBlocked: Bool { if case .blocked = self { true } else { false } }
  }

  /// The result of the short way.
  @usableFromInline
  typealias Found = (front: Front, unread: UnsafeRawBufferPointer)

  /// Takes the turn if no other caller uses the half. If the buffer is empty, makes one attempt to fill it. The caller ends
  /// with `leave(consuming:)`, or takes the long way.
  ///
  /// - Parameter lends: whether code of the user reads the bytes while the turn is held.
  /// - Returns: how far the short way has come, and the bytes at the front. The bytes are also empty if only the long way
  ///   knows how far the frame there has been scanned.
  @usableFromInline
  final func takeFront(
    for source: MessageSource, as kind: Place.Kind, _ limit: CallLimit, lends: Bool = false
  ) -> Found {
    guard !carriesDatagrams, turnstile.take(forLong: lends) else { return unsafe (.unseen, Self.none) }
    guard unsafe !turn.isAssembled && !source.hasBegunFrame(at: turn.position) else {
      return unsafe (.held, Self.none)
    }
    if unsafe turn.front.isEmpty, source.readsAhead, unsafe turn.end == nil {
      let found = unsafe fillFront(kind, limit)
      if lends, !(unsafe found.unread.isEmpty) { goAway() }
      return unsafe found
    }
    return unsafe (.held, turn.front)
  }

  /// Holding the turn, with an empty buffer: makes one attempt, unless it is likely to fail.
  @inline(never)
  private func fillFront(_ kind: Place.Kind, _ limit: CallLimit) -> Found {
    if leavesAttempts(kind) { return unsafe (.held, Self.none) }
    let permission: Permission = locked { state, _ in
      if state.isClosed { return .stop }
      // A call with a zero timeout is always tried once. A call with a later deadline is tried when the deadline passes.
      if limit.mayWait, isDrained(state, for: kind) || (kind == .thread && waitsFirst(state)) {
        return .again
      }
      (state.stirred, state.isAway) = (false, false)
      return .attempt
    }
    switch permission {
    case .attempt: break
    case .again: return unsafe (.blocked, Self.none)
    case .stop: return unsafe (.held, Self.none)
    }
    let front = attemptFront()
    if kind == .thread { unsafe vainAttempts = front.isBlocked ? vainAttempts + 1 : 0 }
    return unsafe (front, front.isHeld ? turn.front : Self.none)
  }

  /// Holding the turn, with an empty buffer: makes one attempt.
  final func attemptFront() -> Front {
    let outcome = withAncillary { found in
      unsafe turn.readAhead { memory in unsafe attempt(into: memory, readsAhead: true, &found) }
    }
    switch outcome {
    case .blocked: return .blocked
    case .failedOnce(let failure): return .failed(failure)
    case .moved, .offload, .ended: return .held
    }
  }

  /// Under the lock and in the turn: whether a thread polls before it attempts, because the attempts of the last calls found
  /// nothing. That saves a system call if the next attempt would find nothing either, and costs one otherwise. From time to
  /// time an attempt is made all the same.
  private func waitsFirst(_ state: HalfState) -> Bool {
    guard unsafe vainAttempts >= Self.patience, !state.stirred, !state.endsWhenIdle, port.pollShowsData
    else { return false }
    unsafe vainAttempts += 1
    guard unsafe vainAttempts > Self.patience + Self.mostLeftOut else { return true }
    unsafe vainAttempts = Self.patience - 1
    return false
  }

  private static var patience: Int { 4 }
  private static var mostLeftOut: Int { 32 }

  /// Makes one attempt, of the kind that the request needs.
  private func attempt(
    _ demand: FrameDemand, for request: ReceiveRequest, mayTakeLong: Bool
  ) -> ReceiveTurn.Outcome {
    if carriesDatagrams {
      // Datagrams that no caller has asked for stay in the kernel, unless reading ahead is allowed.
      let limit = request.source?.readsAhead ?? false ? Int.max : 1
      return unsafe turn.attemptItems { take in
        let attempt = port.receiveItems(atMost: limit, mayTakeLong: mayTakeLong, take)
        note(attempt)
        return attempt
      }
    }
    let readsAhead = request.source?.readsAhead ?? false
    return withAncillary { found in
      unsafe turn.attempt(demand, for: request) { memory in
        unsafe attempt(into: memory, readsAhead: readsAhead, mayTakeLong: mayTakeLong, &found)
      }
    }
  }

  /// Makes an attempt on a stream, and keeps its ancillary data with the position in the stream.
  @inline(__always)
  private func withAncillary(_ body: (inout Ancillary?) -> ReceiveTurn.Outcome) -> ReceiveTurn.Outcome {
    var found: Ancillary?
    let before = unsafe turn.count
    let outcome = body(&found)
    if let found {
      unsafe turn.add(found, besideLast: turn.count - before, limit: port.maximumDescriptors)
    }
    return outcome
  }

  private func attempt(
    into memory: UnsafeMutableRawBufferPointer, readsAhead: Bool, mayTakeLong: Bool = false,
    _ found: inout Ancillary?
  ) -> Attempt {
    let attempt = unsafe port.receive(
      into: memory, readsAhead: readsAhead, mayTakeLong: mayTakeLong, ancillary: &found)
    note(attempt)
    return attempt
  }

  /// Under the lock and in the turn: whether another attempt cannot succeed before a new readiness event arrives.
  ///
  /// This is valid only for tasks, and only if the descriptor was registered before the last attempt. A blocked thread
  /// polls, which is level-triggered, so it needs no such guarantee. A short read means that no data is left, unless it
  /// stopped at control data or urgent data. It does not rule out that an end or an error was signalled before it, and no
  /// new edge comes for those.
  private func isDrained(_ state: HalfState, for kind: Place.Kind) -> Bool {
    kind == .task && isDrained(state)
  }

  private func isDrained(_ state: HalfState) -> Bool {
    let rest = unsafe turn.rest
    if state.stirred || rest == .unknown || !state.isRegistered { return false }
    return rest == .none || (!hasMoreThanData.load(ordering: .relaxed) && port.drainsInOneReceive)
  }

  /// The bytes at the front, for a caller that has the turn.
  @usableFromInline
  final var front: UnsafeRawBufferPointer { unsafe turn.front }

  private static var none: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: nil, count: 0) }

  /// Consumes bytes at the front, and returns the turn that `takeFront` took.
  @usableFromInline
  final func leave(consuming byteCount: Int) {
    unsafe turn.consume(buffered: byteCount)
    endLoan()
  }

  override func driveOnReactor() {
    _ = run(Driver(budget: 64, byteBudget: port.reactor.receiveBudget))
  }

  package override func driveOn(as me: Place) {
    var driver = Driver(me: unsafe unsafeDowncast(me, to: ReceivePlace.self), deadline: me.deadline)
    if Reactor.isCurrentThread { driver.budget = 64 }
    _ = run(driver)
  }

  package override func driveOffloaded() {
    var driver = Driver(budget: 64)
    (driver.mayTakeLong, driver.isHelper) = (true, true)
    _ = run(driver)
  }

  // MARK: The step

  /// The driver: on whose behalf it drives, and how much it may do.
  private struct Driver {
    /// The caller's place, if it has one.
    var me: ReceivePlace?
    /// The request of a caller that has no place yet. It is implied to be at the front of the queue.
    var implied: ReceiveRequest?
    var kind = Place.Kind.thread
    var deadline = Deadline.never
    var mayWait: Bool { deadline != .immediately }
    /// Whether the attempt that every call is promised may have been left out.
    var owesAttempt = false
    /// Whether the caller has its result. Then no attempt is made for others.
    var mine = false
    /// Whether the next attempt may wait for a disk, because the one before was offloaded.
    var mayTakeLong = false
    /// Whether the driver is a helper thread.
    var isHelper = false
    /// The kind of the caller that drives. An orphan if it is the reactor, or a helper.
    var callerKind: Place.Kind { me?.kind ?? (implied == nil ? .orphan : kind) }
    /// Whether the driver is the thread of a blocking call.
    var isThread: Bool { callerKind == .thread }
    /// The number of frames that the driver may still hand to others; `byteBudget` limits the bytes.
    var budget = Int.max
    var byteBudget = 256 << 10
    var isSpent: Bool { budget <= 0 || (byteBudget <= 0 && budget != .max) }

    /// Notes that the caller has an error as its result, so it serves only a few others.
    mutating func noteFailure(of head: ReceivePlace?) {
      guard let me, me === head else { return }
      mine = true
      budget = 16
    }
  }

  private func stop(_ state: inout HalfState, _ actions: inout Actions, by me: Place?) {
    note(&state)
    state.stop(by: me, &actions)
  }

  private func releaseTurn(_ state: inout HalfState, _ actions: inout Actions, by me: Place?) {
    note(&state)
    settleLate(by: me, &state, &actions)
    state.releaseTurn(by: me, &actions)
  }

  /// Before the turn is released: updates what errors report, and frees memory that holds nothing.
  private func note(_ state: inout HalfState) {
    unsafe turn.waitForMore()
    unsafe heldBytes.store(turn.count, ordering: .relaxed)
  }

  /// Holding the turn: serves one head after the other until an attempt would block, the half is closed, or the driver is
  /// done. Returns the result of an implied caller. A queued caller finds its result in its place.
  private func run(_ begun: Driver) -> Started {
    var driver = begun
    // The head for which the last attempt was made. If another place has come to the front since, `serve` and `permission`
    // notice that.
    var known: ReceivePlace?
    while true {
      // The place whose step comes next.
      let head: ReceivePlace?
      let request: ReceiveRequest
      if let implied = driver.implied {
        (head, request) = (nil, implied)
      } else if let place = known.take() {
        (head, request) = (place, place.request)
      } else {
        let (me, isSpent) = (driver.me, driver.isSpent)
        let found: ReceivePlace? = locked { state, actions in
          guard !state.isClosed, !isSpent, let first = state.queue.first else {
            stop(&state, &actions, by: me)
            return nil
          }
          return unsafe unsafeDowncast(first, to: ReceivePlace.self)
        }
        guard let found else { return released(driver) }
        (head, request) = (found, found.request)
      }

      switch unsafe turn.scan(request) {
      case .complete(let demand):
        if let ended = serve(demand, head, &driver) { return ended }
      case .failed(let error):
        if let ended = serveFailure(
          EndpointError(.framing(error), byteCount: unsafe turn.count), head, driver)
        {
          return ended
        }
        driver.noteFailure(of: head)
      case .needs(let demand):
        if let end = unsafe turn.end {
          if case .endOfStream = end, let source = request.source, unsafe turn.count > 0, !carriesDatagrams {
            do throws(FramingError) {
              let last = unsafe try turn.scanEnd(source)
              // The scanner knows the demand now.
              if case .frame = last { continue }
              if last == .nothing {
                // The bytes mean nothing to this endpoint, but a raw receiver may take them.
                if let ended = serveFailure(EndpointError(.endOfStream), head, driver) { return ended }
                driver.noteFailure(of: head)
                continue
              }
            } catch {
              let error = EndpointError(.framing(error), byteCount: unsafe turn.count)
              if let ended = serveFailure(error, head, driver) { return ended }
              driver.noteFailure(of: head)
              continue
            }
          }
          if let ended = serveEnd(end, head, driver) { return ended }
          driver.noteFailure(of: head)
          continue
        }
        if leavesAttempts(driver.callerKind) { return stopForOthers(&driver, owesAttempt: driver.mayWait) }
        switch permission(head, driver) {
        case .again: continue
        case .stop:
          return driver.implied != nil ? .ended(.failed(EndpointError(.closed))) : released(driver)
        case .attempt: break
        }
        let before = unsafe turn.count
        let outcome = attempt(demand, for: request, mayTakeLong: driver.mayTakeLong)
        if driver.mayTakeLong { locked { state, _ in comeBack(for: head, &state) } }
        driver.mayTakeLong = false
        unsafe driver.byteBudget -= turn.count - before
        // Items that came to nothing count as well, because refused connections must not hold up other halves.
        if carriesDatagrams, outcome.hasMoved, unsafe !turn.holdsItem { driver.byteBudget -= 64 << 10 }
        if case .failedOnce(let failure) = outcome {
          let error = EndpointError(.transport(failure))
          if let ended = serveFailure(error, head, driver) { return ended }
          driver.noteFailure(of: head)
          continue
        }
        if case .offload = outcome {
          // A helper makes it also for a thread that a deadline must end, and where it may never end, because `close` must
          // end the call then.
          driver.mayTakeLong =
            driver.isHelper || driver.isThread && driver.deadline == .never && !port.attemptsMayHang
          if !driver.mayTakeLong, let ended = handOver(&driver) { return ended }
          continue
        }
        if outcome.isBlocked, let ended = blocked(head, &driver) { return ended }
        // If the budget is spent, the next critical section stops the driver.
        if outcome.hasMoved { known = driver.isSpent ? nil : head }
        if driver.mayWait, driver.deadline.hasPassed(by: port.reactor.now), let ended = stopLate(driver) {
          return ended
        }
        if driver.byteBudget <= 0, driver.implied != nil, Reactor.isCurrentThread {
          return stopForOthers(&driver)
        }
      }
    }
  }

  /// Inserts the implied caller's place at the front, and keeps the turn. Returns false if the half is closed; the turn has
  /// been released then.
  private func placeImplied(_ driver: inout Driver) -> Bool {
    guard let implied = driver.implied else { return true }
    let place = ReceivePlace(driver.kind, implied, isLate: !driver.mayWait, in: self)
    place.deadline = driver.deadline
    let isQueued: Bool = locked { state, actions in
      if state.isClosed {
        releaseTurn(&state, &actions, by: nil)
        return false
      }
      state.queue.prepend(place)
      return true
    }
    guard isQueued else { return false }
    driver.me = place
    driver.implied = nil
    return true
  }

  /// Stops a task that has received for long enough on the reactor's thread, or leaves its attempts to the reactor. The reactor
  /// continues for it after other halves.
  private func stopForOthers(_ driver: inout Driver, owesAttempt: Bool = false) -> Started {
    guard placeImplied(&driver) else { return .ended(.failed(EndpointError(.closed))) }
    let me = driver.me
    locked { state, actions in
      if owesAttempt { me?.owesAttempt = true }
      stop(&state, &actions, by: me)
    }
    return released(driver)
  }

  /// Hands the turn to a helper thread, because the attempt may take long and this thread must not wait. Returns nil if there is
  /// no helper and this thread is to wait itself, with the turn.
  private func handOver(_ driver: inout Driver) -> Started? {
    guard placeImplied(&driver) else { return .ended(.failed(EndpointError(.closed))) }
    let me = driver.me
    // Before the helper begins, which may be long after, or at once.
    locked { state, actions in goAway(for: state.queue.first, by: me, &state, &actions) }
    guard let errno = port.reactor.offload(self) else { return released(driver) }
    locked { state, _ in comeBack(for: state.queue.first, &state) }
    if driver.isThread {
      // Without a helper the thread makes the attempt itself.
      driver.mayTakeLong = true
      return nil
    }
    failHead(TransportError(.offload, errno), by: me)
    // A thread at the head makes the attempt itself. For any other one the reactor asks for a helper again.
    locked { state, actions in stop(&state, &actions, by: me) }
    return released(driver)
  }

  /// Stops because the driver's deadline has passed while bytes were moving. No further attempt is made, unless its message
  /// is complete now.
  private func stopLate(_ driver: Driver) -> Started? {
    let request = driver.implied ?? driver.me?.request
    if let request, case .complete = unsafe turn.scan(request) { return nil }
    let held = unsafe turn.count
    locked { state, actions in stop(&state, &actions, by: driver.me) }
    if driver.implied != nil { return .ended(.failed(EndpointError(.timedOut, byteCount: held))) }
    return released(driver)
  }

  /// The result of `run` if the turn has been released and no caller is implied.
  private func released(_ driver: Driver) -> Started {
    driver.me.map { .queued($0) } ?? .ended(.failed(EndpointError(.closed)))
  }

  /// Serves a complete frame to the present head, because the head for which it was scanned may have left.
  private func serve(_ demand: FrameDemand, _ head: ReceivePlace?, _ driver: inout Driver) -> Started? {
    let me = driver.me
    if head === me {
      // The driver serves itself: the frame stays where it is, and the turn is kept while the caller reads it.
      if me == nil, turnstile.isHeld { return .ended(.lent(demand)) }
      let isLent: Bool = locked { state, actions in
        guard !state.isClosed, me == nil || state.queue.first === me else {
          stop(&state, &actions, by: me)
          return false
        }
        if let me {
          state.queue.remove(me)
          state.endGrowth()
          me.outcome = .lent(demand)
          me.decide(&actions, by: me)
        }
        return true
      }
      if driver.implied != nil { return .ended(isLent ? .lent(demand) : .failed(EndpointError(.closed))) }
      return released(driver)
    }
    guard let head else { return nil }
    // The driver serves another place: a small frame is copied before the lock is taken, and a large payload is moved under
    // the lock. A payload that was assembled for another endpoint over the same stream may be no payload to this one.
    let isMoved =
      unsafe carriesDatagrams || (turn.isAssembled && head.request.source?.deliversPayload ?? true)
    let copied = isMoved ? nil : copy(demand, for: head.request)
    let service: Service = locked { state, actions in
      guard !state.isClosed, !state.queue.isEmpty else { return .none }
      guard state.queue.first === head else { return .none }
      state.queue.remove(head)
      state.endGrowth()
      var delivery = unsafe copied ?? Delivery(payload: turn.takePayload(of: demand))
      if carriesDatagrams || head.request.isAccompanied {
        let ancillary = unsafe head.request.isAccompanied ? turn.takeAncillary(of: demand) : nil
        delivery.add(ancillary, unsafe turn.value)
      }
      delivery.end = unsafe turn.position(behind: demand)
      delivery.frameByteCount = demand.byteCount
      head.outcome = .delivered(delivery)
      unsafe turn.consume(demand)
      head.decide(&actions, by: me)
      guard state.queue.isEmpty else { return .served }
      // The turn is released in this section, before the caller is told, so an endpoint can be detached right after a
      // receive. If nothing can be left to receive, `stirred` stays as it is, so the next receive need not look.
      if unsafe turn.count == 0, isDrained(state) {
        releaseTurn(&state, &actions, by: me)
      } else {
        stop(&state, &actions, by: me)
      }
      return .servedLast
    }
    switch service {
    case .none: break
    case .served: if driver.budget != .max { driver.budget -= 1 }
    case .servedLast: return released(driver)
    }
    return nil
  }

  private enum Service: Sendable {
    /// Another place is the head now.
    case none
    case served
    /// The queue is empty, and the turn has been released.
    case servedLast
  }

  private func copy(_ demand: FrameDemand, for request: ReceiveRequest) -> Delivery {
    guard let source = request.source, !source.deliversPayload else {
      return Delivery(payload: unsafe turn.takePayload(of: demand))
    }
    let frame = unsafe turn.withFrame(demand) { frame in
      unsafe frame.withUnsafeBufferPointer { unsafe Array($0) }
    }
    return Delivery(frame: frame, payload: demand.payload ?? 0..<0, scanned: source.takeScanner())
  }

  /// Fails the head alone, because a framing error concerns only its endpoint.
  private func serveFailure(_ error: EndpointError, _ head: ReceivePlace?, _ driver: Driver) -> Started? {
    let me = driver.me
    guard let head else {
      locked { state, actions in stop(&state, &actions, by: nil) }
      return .ended(.failed(error))
    }
    locked { state, actions in
      guard state.queue.first === head else { return }
      state.queue.remove(head)
      head.outcome = .failed(error)
      head.decide(&actions, by: me)
    }
    return nil
  }

  /// Handles the end of the stream. If no bytes are held, receiving ends for all callers. If an unfinished message is held,
  /// only the head fails, because other receivers may take the bytes.
  private func serveEnd(_ end: ReceiveTurn.End, _ head: ReceivePlace?, _ driver: Driver) -> Started? {
    let held = unsafe turn.count
    let partial = unsafe held > 0 ? turn.truncated() : []
    let reason: EndpointError.Reason =
      switch end {
      case .endOfStream: held > 0 ? .truncated : .endOfStream
      case .failed(let error): .transport(error)
      }
    let error = EndpointError(reason, byteCount: held, partialBytes: partial)
    if held > 0 { return serveFailure(error, head, driver) }
    let isImplied = driver.implied != nil
    let me = driver.me
    locked { state, actions in
      state.over = error
      decideEverybody(error, by: me, &state, &actions)
      releaseTurn(&state, &actions, by: me)
    }
    return isImplied ? .ended(.failed(error)) : released(driver)
  }

  private enum Permission: Sendable {
    case attempt
    /// Another place is the head now. Look at its request.
    case again
    /// There is no place to attempt for, and the turn has been released.
    case stop
  }

  /// Lowers `stirred` before an attempt, if one is due.
  private func permission(_ head: ReceivePlace?, _ driver: Driver) -> Permission {
    locked { state, actions in
      // The head may leave, if it has had its attempt.
      if driver.mayTakeLong { goAway(for: head, by: driver.me, &state, &actions) }
      if state.isClosed || (head != nil && (driver.mine || state.queue.isEmpty)) {
        stop(&state, &actions, by: driver.me)
        return .stop
      }
      if let head, state.queue.first !== head { return .again }
      state.stirred = false
      if driver.mayTakeLong { head?.wasTried = true }
      return .attempt
    }
  }

  private enum Watch: Sendable {
    case again, register, released, closed, late
    /// Nothing is left to receive, and receiving was to end then.
    case ended
  }

  /// Under the lock and in the turn, when an attempt found nothing: whether receiving ends now.
  private func endsNow(_ state: HalfState) -> Bool {
    guard state.endsWhenIdle, !state.stirred else { return false }
    return unsafe interest == direction && !isPausing && turn.count == 0
  }

  /// Handles an attempt that moved nothing: has the head watched, or returns nil if another attempt is due.
  ///
  /// - Parameter head: the place for which the attempt was made. If another place has come to the front with another
  ///   request, the held bytes may be enough for it.
  private func blocked(_ head: ReceivePlace?, _ driver: inout Driver) -> Started? {
    let place = driver.implied.flatMap { implied in
      driver.mayWait ? ReceivePlace(driver.kind, implied, in: self) : nil
    }
    place?.deadline = driver.deadline
    place?.owesAttempt = driver.owesAttempt
    var isPlaced = false
    // Whether the reactor could not watch.
    var isRefused = false
    while true {
      let (me, isImplied, wasPlaced, refused) = (driver.me, driver.implied != nil, isPlaced, isRefused)
      let next: Watch = locked { state, actions in
        if state.isClosed {
          releaseTurn(&state, &actions, by: me)
          return isImplied ? .closed : .released
        }
        if state.stirred, !wasPlaced { return .again }
        if endsNow(state) { return .ended }
        if isImplied {
          guard let place else {
            // Bytes that were too few for this caller may be enough for the next place. After a pause no readiness wakes the
            // next place.
            if unsafe turn.count > 0 || isPausing {
              stop(&state, &actions, by: nil)
            } else {
              releaseTurn(&state, &actions, by: nil)
            }
            return .late
          }
          state.queue.prepend(place)
        }
        guard let first = state.queue.first else {
          releaseTurn(&state, &actions, by: me)
          return .released
        }
        if state.stirred || first !== place ?? head { return .again }
        let isUnwatched = first.kind != .thread && !state.isRegistered
        if isUnwatched, !refused { return .register }
        state.headWaits(
          pausing: unsafe isPausing || isUnwatched, now: port.reactor.now, within: pauseLengths,
          by: place ?? me, &actions)
        releaseTurn(&state, &actions, by: place ?? me)
        return .released
      }
      if isImplied, next != .closed, next != .late, next != .again, next != .ended, let place {
        driver.me = place
        driver.implied = nil
        isPlaced = true
      }
      switch next {
      case .again: return nil
      case .closed: return .ended(.failed(EndpointError(.closed)))
      case .late:
        return .ended(.failed(EndpointError(.timedOut, byteCount: heldBytes.load(ordering: .relaxed))))
      case .released: return released(driver)
      case .ended: return serveEnd(.endOfStream, head, driver)
      case .register: isRefused = register(by: driver.me) == .refused
      }
    }
  }

  /// Has the reactor watch. If it cannot (ENOSPC, ENOMEM), the head is tried again after a pause, because a timer needs no
  /// watching. If there is no reactor either, the head fails because it cannot wait.
  private func register(by me: ReceivePlace?) -> Registration {
    if port.watch(direction, for: interest) == nil {
      locked { state, _ in state.isRegistered = true }
      return .done
    }
    guard let errno = port.reactor.start() else { return .refused }
    failHead(TransportError(.wait, errno), by: me)
    return .failed
  }

  /// In the turn: fails a head that is not a thread, because neither the reactor nor a helper can continue for it.
  private func failHead(_ error: TransportError, by me: ReceivePlace?) {
    locked { state, actions in
      guard let head = state.queue.first, head.kind != .thread else { return }
      state.queue.remove(head)
      fail(head, EndpointError(.transport(error)))
      head.decide(&actions, by: me)
    }
  }
}
