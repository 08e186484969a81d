package import SWFraming
internal import SWIO
internal import Synchronization

/// A receiver's place.
@usableFromInline
// Invariant: like `Place`.
package final class ReceivePlace: Place, @unchecked Sendable {
  package let request: ReceiveRequest
  /// Set with the decision.
  @safe @exclusivity(unchecked)
  package fileprivate(set) final var outcome: ReceiveHalf.Outcome?

  init(_ kind: Kind, _ request: ReceiveRequest, isLate: Bool = false, in half: ReceiveHalf) {
    self.request = request
    super.init(kind, isLate: isLate, in: half)
  }
}

/// The receiving direction. The step: look for a complete frame, else attempt, else watch.
///
/// Attempts write only into the half's own memory, so a receiver may leave at any moment. A frame goes
/// to whoever is the head when it is complete, not to who was when it began.
@usableFromInline
// Invariant: `turn` is touched only by who holds the turn, which changes hands under the lock.
package final class ReceiveHalf: Half, @unchecked Sendable {
  @usableFromInline
  package enum Outcome: Sendable {
    /// The caller took the step itself: the frame lies in the turn, which is the caller's until
    /// `finishLoan`.
    case lent(FrameDemand)
    /// Somebody else took the step.
    case delivered(Delivery)
    case failed(EndpointError)
  }

  @usableFromInline
  package enum Started: Sendable {
    case ended(Outcome)
    /// Queued, and to be waited for.
    case queued(ReceivePlace)
  }

  @exclusivity(unchecked)
  // Invariant: touched only by who holds the turn.
  package nonisolated(unsafe) var turn: ReceiveTurn

  /// How often in a row a thread that came to an empty buffer found nothing in the kernel either, or expected that.
  @exclusivity(unchecked)
  // Invariant: touched only by who holds the turn.
  private nonisolated(unsafe) var vainAttempts = 0

  /// More than data has been signalled: the end of the stream, an error, urgent data. This never goes back.
  private let hasMoreThanData = Atomic(false)

  /// Receiving goes on until nothing is there between two messages, and then ends for everybody.
  package func finishReceiving() {
    // Both at once: an attempt that is under way may have begun before the last bytes came, and must not end this.
    locked { state, actions in
      guard !state.isClosed else { return }
      (state.endsWhenIdle, state.stirred) = (true, true)
      state.pass(by: nil, &actions)
    }
    stir(wakesPoller: true)
  }

  /// More has been signalled than data, and a short read does not say that it has been seen: the end of the
  /// stream, an error, or urgent data, where reads stop and what is behind it makes no edge.
  func noteMoreThanData() { hasMoreThanData.store(true, ordering: .relaxed) }

  package init(_ port: Port, unread: [UInt8] = []) {
    unsafe turn = ReceiveTurn(unread: unread, carriesDatagrams: port.carriesDatagrams)
    super.init(port, .readable)
    port.connect(receiving: self)
  }

  override func detachRefusal(_ state: HalfState) -> EndpointError.Reason? {
    if let refusal = state.detachRefusal { return refusal }
    // Nobody has the turn.
    return unsafe turn.holdsItem ? .unreadDatagrams : nil
  }

  override func dropItems() {
    // Closed, and without a turn: nobody else touches it any more.
    unsafe turn.dropItems()
  }

  override func fail(_ place: Place, _ error: EndpointError) {
    unsafe unsafeDowncast(place, to: ReceivePlace.self).outcome = .failed(error)
  }

  // MARK: A call

  private enum Entry: Sendable {
    case refused(EndpointError)
    case alone
    case behind(ReceivePlace)
  }

  /// Enters: takes the turn if nobody is there, else a place. Never waits.
  ///
  /// - Parameter deadline: looked at while bytes move. `immediately` means one pass, however long it takes:
  ///   without a place of its own the call ends here.
  /// - Parameter front: what the short way has come to.
  package func start(
    _ request: ReceiveRequest, as kind: Place.Kind, until deadline: Deadline, after front: Front = .unseen
  ) -> Started {
    if front.holdsTurn || turnstile.take() {
      var driver = Driver(implied: request, kind: kind, deadline: deadline)
      // There is nothing to scan.
      if front == .blocked {
        driver.owesAttempt = true
        if let ended = blocked(nil, &driver) { return ended }
        driver.owesAttempt = false
      }
      return run(driver)
    }
    let mayWait = deadline != .immediately
    let entry: Entry = locked { state, _ in
      if let refusal = state.refusal { return .refused(refusal) }
      if state.isIdle {
        state.turn = true
        return .alone
      }
      let place = ReceivePlace(kind, request, isLate: !mayWait, in: self)
      place.deadline = deadline
      state.queue.append(place)
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

  /// The end of a call that was queued.
  @usableFromInline
  package func outcome(of place: ReceivePlace) -> Outcome {
    place.outcome ?? .failed(EndpointError(.closed))
  }

  /// Consumes the lent frame and goes on for others, from the buffer alone.
  package func finishLoan(_ demand: FrameDemand) {
    unsafe turn.consume(demand)
    endLoan()
  }

  /// Gives the caller's turn back, or goes on for others, from the buffer alone.
  private func endLoan() {
    unsafe turn.releaseMemory()
    unsafe heldBytes.store(turn.count, ordering: .relaxed)
    if turnstile.giveBack() { return }
    let isDone = locked { state, actions in
      guard state.queue.isEmpty || state.isClosed else { return false }
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
  package enum Front: Sendable {
    /// Somebody else is there, or it was not tried.
    case unseen
    /// The caller has the turn, and the unread bytes at the front of the stream lie in `unread`.
    case held
    /// The caller has the turn; an attempt has been made, or would have been in vain, and nothing was there.
    case blocked

    @inlinable var holdsTurn: Bool { self != .unseen }
  }

  /// What the short way has found.
  @usableFromInline
  typealias Found = (front: Front, unread: UnsafeRawBufferPointer)

  /// Takes the turn if nobody is there, and sees to it that something is in the buffer, with one attempt.
  /// Ends with `leave(consuming:)`, or the long way.
  ///
  /// - Returns: how far it has come, and the bytes at the front: none also when only the long way knows how
  ///   far the frame there has been scanned.
  @usableFromInline
  final func takeFront(for source: MessageSource, as kind: Place.Kind, _ limit: CallLimit) -> Found {
    guard !carriesDatagrams, turnstile.take() else { return unsafe (.unseen, Self.none) }
    guard unsafe !turn.isAssembled && !source.hasBegunFrame(at: turn.position) else {
      return unsafe (.held, Self.none)
    }
    if unsafe turn.front.isEmpty, source.readsAhead, unsafe turn.end == nil {
      return unsafe fillFront(kind, limit)
    }
    return unsafe (.held, turn.front)
  }

  /// Holding the turn, with nothing in the buffer: one attempt, unless it is known to be in vain.
  @inline(never)
  private func fillFront(_ kind: Place.Kind, _ limit: CallLimit) -> Found {
    let permission: Permission = locked { state, _ in
      if state.isClosed { return .stop }
      // A call with a timeout of zero is always tried once. One with a later deadline is tried when that passes.
      if limit.mayWait, isDrained(state, for: kind) || (kind == .thread && waitsFirst(state)) {
        return .again
      }
      state.stirred = false
      return .attempt
    }
    switch permission {
    case .attempt: break
    case .again: return unsafe (.blocked, Self.none)
    case .stop: return unsafe (.held, Self.none)
    }
    let outcome = withAncillary { found in
      unsafe turn.readAhead { memory in unsafe attempt(into: memory, readsAhead: true, &found) }
    }
    if kind == .thread { unsafe vainAttempts = outcome == .blocked ? vainAttempts + 1 : 0 }
    return unsafe outcome == .blocked ? (.blocked, Self.none) : (.held, turn.front)
  }

  /// Under the lock and in the turn: whether a thread polls before it attempts, because the attempts of the last calls
  /// were in vain. That spares a system call if it is so again, and costs one if not. From time to time an attempt is
  /// made all the same.
  private func waitsFirst(_ state: HalfState) -> Bool {
    guard unsafe vainAttempts >= Self.patience, !state.stirred, !state.endsWhenIdle,
      port.polledDescriptor != nil
    else { return false }
    unsafe vainAttempts += 1
    guard unsafe vainAttempts > Self.patience + Self.mostLeftOut else { return true }
    unsafe vainAttempts = Self.patience - 1
    return false
  }

  private static var patience: Int { 4 }
  private static var mostLeftOut: Int { 32 }

  /// One attempt, of whichever kind the request needs.
  private func attempt(
    _ demand: FrameDemand, for request: ReceiveRequest, mayTakeLong: Bool
  ) -> ReceiveTurn.Outcome {
    if carriesDatagrams {
      // What nobody has asked for stays in the kernel, unless reading ahead is allowed.
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

  /// An attempt on a stream; what comes beside the bytes is kept by where they stand in the stream.
  @inline(__always)
  private func withAncillary(_ body: (inout Ancillary?) -> ReceiveTurn.Outcome) -> ReceiveTurn.Outcome {
    var found: Ancillary?
    let before = unsafe turn.count
    let outcome = body(&found)
    if let found { unsafe turn.add(found, besideLast: turn.count - before) }
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
  /// Only valid for tasks, and only if the descriptor was registered before the last attempt. A blocked thread polls,
  /// which is level-triggered, and needs no such guarantee. A short read says that no data is left, unless it met a
  /// barrier. It does not say that the end, or an error, has not been signalled before it: a new edge comes for
  /// neither.
  private func isDrained(_ state: HalfState, for kind: Place.Kind) -> Bool {
    kind == .task && isDrained(state)
  }

  private func isDrained(_ state: HalfState) -> Bool {
    let rest = unsafe turn.rest
    if state.stirred || rest == .unknown || !state.isRegistered { return false }
    return rest == .none || (!hasMoreThanData.load(ordering: .relaxed) && port.drainsInOneReceive)
  }

  private static var none: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: nil, count: 0) }

  /// Gives the turn of `takeFront` back, and so many bytes of its front are consumed.
  @usableFromInline
  final func leave(consuming byteCount: Int) {
    unsafe turn.consume(buffered: byteCount)
    endLoan()
  }

  package override func drive() {
    let isTaken = locked { state, _ in
      state.called = false
      return state.takeTurn(first: true, by: nil)
    }
    if isTaken { _ = run(Driver(budget: 64, byteBudget: port.reactor.receiveBudget)) }
  }

  package override func driveOn(as me: Place) {
    var driver = Driver(me: unsafe unsafeDowncast(me, to: ReceivePlace.self), deadline: me.deadline)
    if Reactor.isCurrentThread { driver.budget = 64 }
    _ = run(driver)
  }

  package override func driveOffloaded() {
    var driver = Driver(budget: 64)
    driver.mayTakeLong = true
    _ = run(driver)
  }

  // MARK: The step

  /// Who drives, and for how long.
  private struct Driver {
    /// The caller's place, if it has one.
    var me: ReceivePlace?
    /// The caller has no place yet: it stands in front of the queue by implication.
    var implied: ReceiveRequest?
    var kind = Place.Kind.thread
    var deadline = Deadline.never
    var mayWait: Bool { deadline != .immediately }
    /// The attempt that every call is promised may have been left out.
    var owesAttempt = false
    /// The caller has its result: no attempt for others.
    var mine = false
    /// On this thread an attempt may wait for a disk.
    var mayTakeLong = false
    /// The driver is a blocking call's own thread.
    var isThread: Bool { (me?.kind ?? (implied == nil ? .task : kind)) == .thread }
    /// How many frames it may still hand to others, and how many bytes.
    var budget = Int.max
    var byteBudget = 256 << 10
    var isSpent: Bool { budget <= 0 || (byteBudget <= 0 && budget != .max) }

    /// The caller has its result, though not the one it hoped for: it does not go on for others forever.
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

  /// Before the turn goes: what errors will report, and memory that holds nothing.
  private func note(_ state: inout HalfState) {
    unsafe turn.waitForMore()
    unsafe heldBytes.store(turn.count, ordering: .relaxed)
  }

  /// Holding the turn: serves head after head until blocked, closed, or done. Answers for the implied
  /// caller; a queued one finds its outcome in its place.
  private func run(_ begun: Driver) -> Started {
    var driver = begun
    // Who was the head when the last attempt began. Should another have come to the front since, whoever serves it
    // finds out.
    var known: ReceivePlace?
    while true {
      // Whose step it is.
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
              // Its demand is known now.
              if case .frame = last { continue }
              if last == .nothing {
                // The bytes mean nothing to this endpoint. A raw receiver may take them.
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
        switch permission(head, driver) {
        case .again: continue
        case .stop:
          return driver.implied != nil ? .ended(.failed(EndpointError(.closed))) : released(driver)
        case .attempt: break
        }
        let before = unsafe turn.count
        let outcome = attempt(demand, for: request, mayTakeLong: driver.mayTakeLong)
        unsafe driver.byteBudget -= turn.count - before
        // Items that came to nothing count, too: refused connections must not hold up other halves.
        if carriesDatagrams, outcome == .moved, unsafe !turn.holdsItem { driver.byteBudget -= 64 << 10 }
        if outcome == .failedOnce, let failure = unsafe turn.failure {
          let error = EndpointError(.transport(failure))
          if let ended = serveFailure(error, head, driver) { return ended }
          driver.noteFailure(of: head)
          continue
        }
        if outcome == .offload {
          driver.mayTakeLong = driver.isThread
          if !driver.isThread, let ended = handOver(&driver) { return ended }
          continue
        }
        if outcome == .blocked, let ended = blocked(head, &driver) { return ended }
        // A budget that is spent is looked at in the next critical section.
        if outcome == .moved { known = driver.isSpent ? nil : head }
        if driver.mayWait, driver.deadline.hasPassed(by: port.reactor.now), let ended = stopLate(driver) {
          return ended
        }
        if driver.byteBudget <= 0, driver.implied != nil, Reactor.isCurrentThread {
          return stopForOthers(&driver)
        }
      }
    }
  }

  /// Puts the implied caller's place in front, while the turn is kept. False: it is closed, and the turn has gone.
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

  /// A task on the reactor's thread has received for long enough: the reactor goes on for it when others have had
  /// their turn.
  private func stopForOthers(_ driver: inout Driver) -> Started {
    guard placeImplied(&driver) else { return .ended(.failed(EndpointError(.closed))) }
    let me = driver.me
    locked { state, actions in stop(&state, &actions, by: me) }
    return released(driver)
  }

  /// The attempt may take long, and this thread is not to wait: a helper goes on with the turn. Nil when there is
  /// none to be had; the head has failed then, and the turn is still here.
  private func handOver(_ driver: inout Driver) -> Started? {
    guard placeImplied(&driver) else { return .ended(.failed(EndpointError(.closed))) }
    guard let errno = port.reactor.offload(self) else { return released(driver) }
    failHead(TransportError(.offload, errno), by: driver.me)
    driver.noteFailure(of: driver.me)
    return nil
  }

  /// The deadline of who drives has passed while bytes were moving: no attempt more, unless what came is
  /// all that was missing.
  private func stopLate(_ driver: Driver) -> Started? {
    let request = driver.implied ?? driver.me?.request
    if let request, case .complete = unsafe turn.scan(request) { return nil }
    let held = unsafe turn.count
    locked { state, actions in stop(&state, &actions, by: driver.me) }
    if driver.implied != nil { return .ended(.failed(EndpointError(.timedOut, byteCount: held))) }
    return released(driver)
  }

  /// What `run` answers when the turn has gone and nothing is implied.
  private func released(_ driver: Driver) -> Started {
    driver.me.map { .queued($0) } ?? .ended(.failed(EndpointError(.closed)))
  }

  /// A complete frame, for the head of now: the one it was scanned for may have left meanwhile.
  private func serve(_ demand: FrameDemand, _ head: ReceivePlace?, _ driver: inout Driver) -> Started? {
    let me = driver.me
    if head === me {
      // For itself: the frame stays where it is, and the turn is kept while the caller looks at it.
      if me == nil, turnstile.isHeld { return .ended(.lent(demand)) }
      let isLent: Bool = locked { state, actions in
        guard !state.isClosed else {
          stop(&state, &actions, by: me)
          return false
        }
        if let me {
          guard state.queue.first === me else {
            stop(&state, &actions, by: me)
            return false
          }
          state.queue.remove(me)
          state.pauseLength = 0
          me.outcome = .lent(demand)
          me.decide(&actions, by: me)
        }
        return true
      }
      if driver.implied != nil { return .ended(isLent ? .lent(demand) : .failed(EndpointError(.closed))) }
      return released(driver)
    }
    guard let head else { return nil }
    // For somebody else: a small frame is copied before the lock is taken, a large payload is moved under it.
    // One that was assembled for another endpoint over the same bytes may be no payload to this one.
    let isMoved =
      unsafe carriesDatagrams || (turn.isAssembled && head.request.source?.deliversPayload ?? true)
    let copied = isMoved ? nil : copy(demand, for: head.request)
    let service: Service = locked { state, actions in
      guard !state.isClosed, !state.queue.isEmpty else { return .none }
      guard state.queue.first === head else { return .none }
      state.queue.remove(head)
      state.pauseLength = 0
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
      // The turn goes in the same section, before the caller is told: an endpoint can be detached right after a receive.
      // If nothing can be there, the next receive need not look: `stirred` stays as it is.
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
    /// Another head has come.
    case none
    case served
    /// Nobody is left, and the turn has gone.
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

  /// The head alone fails: a broken framing is its endpoint's affair.
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

  /// The stream has ended. With nothing left this is how it is for everybody; with an unfinished
  /// message, the head's request cannot be met, and others may want the bytes.
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
    /// Another head has come: look what it wants.
    case again
    /// There is nobody to attempt for; the turn has gone.
    case stop
  }

  /// Before an attempt, which may get on: lowers `stirred`.
  private func permission(_ head: ReceivePlace?, _ driver: Driver) -> Permission {
    locked { state, actions in
      if state.isClosed || (head != nil && (driver.mine || state.queue.isEmpty)) {
        stop(&state, &actions, by: driver.me)
        return .stop
      }
      if let head, state.queue.first !== head { return .again }
      state.stirred = false
      return .attempt
    }
  }

  private enum Watch: Sendable {
    case again, register, released, closed, late
    /// Nothing is there, and nothing is waited for any more.
    case ended
  }

  /// Under the lock and in the turn, when an attempt found nothing: receiving was to end as soon as that happened.
  private func endsNow(_ state: HalfState) -> Bool {
    guard state.endsWhenIdle, !state.stirred else { return false }
    return unsafe interest == direction && !isPausing && turn.count == 0 && !turn.holdsItem
  }

  /// The attempt moved nothing: watch, or try again if something stirred since. Nil: try again.
  ///
  /// - Parameter head: whom the attempt was for. What it has brought may be enough for whoever has come to
  ///   the front meanwhile, if that one wants something else.
  private func blocked(_ head: ReceivePlace?, _ driver: inout Driver) -> Started? {
    let place = driver.implied.flatMap { implied in
      driver.mayWait ? ReceivePlace(driver.kind, implied, in: self) : nil
    }
    place?.deadline = driver.deadline
    place?.owesAttempt = driver.owesAttempt
    var isPlaced = false
    while true {
      let (me, isImplied, wasPlaced) = (driver.me, driver.implied != nil, isPlaced)
      let next: Watch = locked { state, actions in
        if state.isClosed {
          releaseTurn(&state, &actions, by: me)
          return isImplied ? .closed : .released
        }
        if state.stirred, !wasPlaced { return .again }
        if endsNow(state) { return .ended }
        if isImplied {
          guard let place else {
            // What was too little for this one may be enough for the next; and the next one has no readiness to wait for.
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
        if first.kind != .thread, !state.isRegistered { return .register }
        state.headWaits(
          pausing: unsafe isPausing, now: port.reactor.now, by: place ?? me, &actions)
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
      case .register: register(by: driver.me)
      }
    }
  }

  /// Has the reactor watch; without it the head cannot wait, and fails.
  private func register(by me: ReceivePlace?) {
    if let errno = port.watch(direction, for: interest) {
      failHead(TransportError(.wait, errno), by: me)
    } else {
      locked { state, _ in state.isRegistered = true }
    }
  }

  /// In the turn: a head that is no thread cannot get on by itself, and nobody is to be had who helps it.
  private func failHead(_ error: TransportError, by me: ReceivePlace?) {
    locked { state, actions in
      guard let head = state.queue.first, head.kind != .thread else { return }
      state.queue.remove(head)
      fail(head, EndpointError(.transport(error)))
      head.decide(&actions, by: me)
    }
  }
}
