internal import SWFraming
internal import SWIO
internal import SystemPackage

/// The place of a sender, or an orphan: the rest of a message whose sender has left, or a half-close.
@usableFromInline
// Invariant: like `Place`; `outgoing` changes only in the turn, or before the place is queued.
package final class SendPlace: Place, @unchecked Sendable {
  package enum Step: Sendable {
    case bytes
    /// Decided as soon as it is the head, because everything before it has been sent.
    case flush
    /// Half-closes as soon as it is the head.
    case halfClose
  }

  package let step: Step
  fileprivate var outgoing: Outgoing
  fileprivate var walk = Outgoing.Walk()
  /// The number of bytes that the transport has accepted.
  package fileprivate(set) var sent = 0
  /// Whether an attempt reads the caller's memory right now.
  package fileprivate(set) var inUse = false
  /// Whether it stands aside, or has done so.
  fileprivate var hasStoodAside = false
  /// Its position among those that stand aside.
  private var asidePosition: UInt64 = 0
  fileprivate let progress: (@Sendable (_ sent: Int, _ total: Int) -> Void)?
  /// The array from which `outgoing` borrows, if there is one. An orphan retains it.
  fileprivate var array: [UInt8]?
  /// The error of the decided place. Nil if every byte was accepted.
  @usableFromInline package fileprivate(set) var error: EndpointError?

  fileprivate init(
    _ kind: Kind, _ step: Step, _ outgoing: Outgoing, sent: Int = 0, isLate: Bool = false,
    progress: (@Sendable (Int, Int) -> Void)?, in half: SendHalf
  ) {
    self.step = step
    self.outgoing = outgoing
    self.sent = sent
    self.progress = progress
    super.init(kind, isLate: isLate, in: half)
  }

  /// Whether the half-close has been tried and has to wait for the transport.
  fileprivate var waitsToFinish = false

  override var needsReadiness: Bool { hasAttempts || waitsToFinish }

  override var asideOrder: AsideOrder {
    switch step {
    case .bytes: .datagram(ancillary?.address)
    case .flush: .flush
    case .halfClose: .halfClose
    }
  }

  override var asideNumber: UInt64 {
    get { asidePosition }
    set { asidePosition = newValue }
  }

  /// Whether there is something to attempt. An empty datagram counts.
  fileprivate var hasAttempts: Bool {
    step == .bytes && (outgoing.byteCount > 0 || half.carriesDatagrams)
  }

  /// The ancillary data for the first byte, or for the datagram.
  fileprivate var ancillary: OutgoingAncillary?

  /// Whether part of a frame has been sent, so only the rest of that frame may follow. Datagrams go whole.
  fileprivate var hasBegun: Bool { kind == .orphan || (sent > 0 && !half.carriesDatagrams) }

  fileprivate func error(_ reason: EndpointError.Reason, isCommitted: Bool = false) -> EndpointError {
    EndpointError(
      reason, byteCount: sent - (outgoing.borders.last { $0 <= sent } ?? 0), isCommitted: isCommitted,
      messageCount: outgoing.framesCompleted(by: sent) + (isCommitted ? 1 : 0))
  }
}

/// The sending direction. A step hands the head's bytes to the transport. If the attempt would block, it watches.
///
/// A begun frame is followed by its own rest or by nothing: when its sender leaves, the rest stays in the same place as the
/// orphan. Attempts read the sender's memory, so a place leaves only when no attempt does (`inUse`).
@usableFromInline
// Invariant: like `Half`.
package final class SendHalf: Half, @unchecked Sendable {
  @usableFromInline
  package enum Started: Sendable {
    case ended(EndpointError?)
    case queued(SendPlace)
  }

  /// The size above which other processes' writes may come in between. 0 if none ever do.
  private let atomicSendSize: Int

  package init(_ port: Port) {
    atomicSendSize = port.capabilities.atomicSendSize
    super.init(port, .writable)
    port.connect(sending: self)
  }

  override func fail(_ place: Place, _ error: EndpointError) {
    let place = unsafe unsafeDowncast(place, to: SendPlace.self)
    place.error = place.error(error.reason)
  }

  override func leavesAtOnce(_ place: Place) -> Bool {
    let place = unsafe unsafeDowncast(place, to: SendPlace.self)
    return !place.inUse && !place.hasBegun
  }

  // MARK: A call

  /// A call that has no place yet.
  package struct Call {
    var outgoing: Outgoing
    /// The array from which `outgoing` borrows, if there is one. It is retained instead of copied.
    var array: [UInt8]?
    var kind: Place.Kind
    var step = SendPlace.Step.bytes
    /// The deadline, which is also checked while bytes move. `immediately` means one pass, however long it takes.
    var deadline: Deadline
    var mayWait: Bool { deadline != .immediately }
    var progress: (@Sendable (Int, Int) -> Void)?
    package var ancillary: OutgoingAncillary?

    package init(
      _ outgoing: Outgoing, array: [UInt8]? = nil, as kind: Place.Kind, step: SendPlace.Step = .bytes,
      until deadline: Deadline, progress: (@Sendable (Int, Int) -> Void)? = nil
    ) {
      self.outgoing = outgoing
      self.array = array
      self.kind = kind
      self.step = step
      self.deadline = deadline
      self.progress = progress
    }
  }

  private enum Entry: Sendable {
    case refused(EndpointError)
    case alone, behind
    /// A flush after the half-close has gone out.
    case flushed
  }

  /// Begins a call: attempts at once if no other caller uses the half, and takes a place otherwise. Never waits. A place
  /// that stays queued owns its bytes if it is a task's. A thread's bytes are borrowed until its place is decided.
  package func start(_ call: Call) -> Started {
    if turnstile.take() { return attemptAlone(call) }
    let entry: Entry = locked { state, _ in
      if call.step == .flush, state.isFinished { return .flushed }
      if let refusal = state.refusal { return .refused(refusal) }
      // If a datagram stands aside, this call may have to stay behind it.
      guard state.isIdle, !state.queue.hasAside else { return .behind }
      state.turn = true
      return .alone
    }
    switch entry {
    case .refused(let error): return .ended(error)
    case .flushed: return .ended(nil)
    case .alone: return attemptAlone(call)
    case .behind:
      let place = makePlace(call, sent: 0)
      // The turn holder may have left since the first section. Then only this caller looks after the place, from this
      // section on.
      enum Behind: Sendable {
        case refused(EndpointError)
        case driving, queued
      }
      let behind: Behind = locked { state, _ in
        if let refusal = state.refusal { return .refused(refusal) }
        // A caller that does not wait is promised one pass, and so are the places ahead of it. So those that it has to stay
        // behind return to the queue, and the turn is taken in this section.
        if place.isLate, state.queue.hasAside { state.endPause(before: place) }
        state.queue.append(place)
        return state.takeTurn(first: true, by: place) ? .driving : .queued
      }
      switch behind {
      case .refused(let refusal): return .ended(refusal)
      case .driving: driveOn(as: place)
      case .queued: break
      }
      return locked { _, _ in place.isDecided ? .ended(place.error) : .queued(place) }
    }
  }

  private func makePlace(_ call: Call, sent: Int) -> SendPlace {
    let outgoing = call.kind == .thread ? call.outgoing : call.outgoing.owned(retaining: call.array)
    let place = SendPlace(
      call.kind, call.step, outgoing, sent: sent, isLate: !call.mayWait, progress: call.progress, in: self)
    place.array = call.array
    place.ancillary = call.ancillary
    place.deadline = call.deadline
    return place
  }

  override func driveOnReactor() { run(Driver(budget: 64)) }

  package override func driveOn(as me: Place) {
    var driver = Driver(me: unsafe unsafeDowncast(me, to: SendPlace.self))
    if Reactor.isCurrentThread { driver.budget = 64 }
    run(driver)
  }

  package override func driveOffloaded() {
    var driver = Driver(budget: 64)
    (driver.mayTakeLong, driver.isHelper) = (true, true)
    run(driver)
  }

  // MARK: The short way

  /// Sends a frame around bytes that stay where they are. If no other caller uses the half and the transport takes the whole
  /// frame, no `Call` is made.
  @usableFromInline
  final func start(
    _ envelope: FrameEnvelope, _ payload: UnsafeRawBufferPointer, _ array: [UInt8]?, as kind: Place.Kind,
    _ limit: CallLimit, progress: (@Sendable (Int, Int) -> Void)?
  ) -> Started {
    var first: Attempt?
    let holdsTurn = turnstile.take()
    let byteCount = envelope.header.count + payload.count + envelope.trailer.count
    if holdsTurn, progress == nil, byteCount > 0 || carriesDatagrams, !leavesAttempts(kind), mayAttempt() {
      let attempt = unsafe envelope.gather(around: payload) { parts in unsafe port.send(parts) }
      if case .transferred(byteCount) = attempt {
        endAlone()
        return .ended(nil)
      }
      first = attempt
    }
    let call = Call(
      Outgoing(envelope, unsafe .borrowed(Outgoing.BorrowedBytes(payload))), array: array, as: kind,
      until: limit.deadline, progress: progress)
    return holdsTurn ? attemptAlone(call, first: first) : start(call)
  }

  /// Holding the turn: lowers `stirred` before an attempt. Returns false if the half is closed.
  private func mayAttempt() -> Bool {
    locked { state, _ in
      if state.isClosed { return false }
      state.stirred = false
      return true
    }
  }

  /// Returns the turn of a caller that has its result, or serves the callers that came in the meantime.
  private func endAlone() {
    if turnstile.giveBack() { return }
    let isDone = locked { state, actions in
      guard state.queue.isEmpty else { return false }
      state.stop(by: nil, &actions)
      return true
    }
    if isDone { return }
    run(Driver(budget: 16))
  }

  // MARK: Alone

  /// Holding the turn, with no place ahead: attempts without a place, and makes one only to wait.
  ///
  /// - Parameter first: the result of an attempt that has been made already.
  private func attemptAlone(_ call: Call, first: Attempt? = nil) -> Started {
    var first = first
    var mayTakeLong = false
    var walk = Outgoing.Walk()
    guard call.step == .bytes, call.outgoing.byteCount > 0 || carriesDatagrams else {
      let place = makePlace(call, sent: 0)
      locked { state, actions in
        if state.isClosed {
          place.error = place.error(.closed)
          place.decide(&actions, by: place)
        } else {
          state.queue.prepend(place)
        }
      }
      run(Driver(me: place))
      return locked { _, _ in place.isDecided ? .ended(place.error) : .queued(place) }
    }
    let total = call.outgoing.byteCount
    var sent = 0
    var byteBudget = Driver.mostBytes
    while true {
      let attempt: Attempt
      if let made = first.take() {
        attempt = made
      } else {
        if leavesAttempts(call.kind) { return stopEarly(call, sent: sent, owesAttempt: call.mayWait) }
        guard mayAttempt() else {
          locked { state, actions in state.stop(by: nil, &actions) }
          return .ended(error(.closed, call, sent: sent))
        }
        if mayTakeLong { goAway() }
        attempt = self.attempt(call.outgoing, from: sent, &walk, call.ancillary, mayTakeLong: mayTakeLong)
        if mayTakeLong { comeBack() }
        mayTakeLong = false
      }
      note(attempt)
      switch attempt {
      case .transferred(let count):
        sent += count
        if let progress = call.progress {
          goAway()
          progress(sent, total)
          comeBack()
        }
        if sent < total {
          byteBudget -= count
          let isSpent = byteBudget <= 0 && Reactor.isCurrentThread
          if call.mayWait, isSpent || call.deadline.hasPassed(by: port.reactor.now) {
            return stopEarly(call, sent: sent)
          }
          continue
        }
        endAlone()
        return .ended(nil)
      case .offload where call.kind == .thread: mayTakeLong = true
      case .offload: return handOver(call, sent: sent)
      case .retryLater where carriesDatagrams: return putAside(call, sent: sent)
      case .wouldBlock, .waitsFor, .retryLater:
        if !call.mayWait, sent == 0 {
          let isStirred: Bool = locked { state, actions in
            if state.stirred, !state.isClosed { return true }
            settleLate(by: nil, &state, &actions)
            // No readiness wakes the next place, so it has to try by itself and then wait for the end of the pause.
            if unsafe isPausing {
              state.stop(by: nil, &actions)
            } else {
              state.releaseTurn(by: nil, &actions)
            }
            return false
          }
          if isStirred { continue }
          return .ended(error(.timedOut, call, sent: 0))
        }
        let place = makePlace(call, sent: sent)
        place.wasTried = true
        let isQueued: Bool = locked { state, actions in
          if state.isClosed {
            state.releaseTurn(by: nil, &actions)
            return false
          }
          state.queue.prepend(place)
          return true
        }
        guard isQueued else { return .ended(error(.closed, call, sent: sent)) }
        var driver = Driver(me: place)
        if blocked(&driver) { run(driver) }
        return locked { _, _ in place.isDecided ? .ended(place.error) : .queued(place) }
      case .failed(let failure) where failure.scope == .item && (sent == 0 || carriesDatagrams):
        endAlone()
        return .ended(error(.transport(failure), call, sent: sent))
      case .failed(let failure):
        let failure = Self.ending(failure)
        let reason = EndpointError.Reason.transport(failure)
        let isClosed = locked { state, actions in
          sendingFailed(failure, by: nil, &state, &actions)
          return state.isClosed
        }
        return .ended(error(isClosed ? .closed : reason, call, sent: sent))
      case .endOfStream: preconditionFailure("a port sends or fails")
      }
    }
  }

  /// Hands the turn to a helper thread, because the attempt may take long and this thread must not wait.
  private func handOver(_ call: Call, sent: Int) -> Started {
    let place = makePlace(call, sent: sent)
    let isQueued: Bool = locked { state, actions in
      if state.isClosed {
        state.releaseTurn(by: nil, &actions)
        return false
      }
      state.queue.prepend(place)
      goAway(for: place, by: place, &state, &actions)
      return true
    }
    guard isQueued else { return .ended(error(.closed, call, sent: sent)) }
    if let errno = port.reactor.offload(self) {
      locked { state, _ in comeBack(for: place, &state) }
      failHead(TransportError(.offload, errno), by: place)
      run(Driver(me: place, budget: 16))
    }
    return locked { _, _ in place.isDecided ? .ended(place.error) : .queued(place) }
  }

  /// Puts a datagram aside, because no readiness announces when it can be sent. The places behind it do not wait for it.
  private func putAside(_ call: Call, sent: Int) -> Started {
    if !call.mayWait {
      endAlone()
      return .ended(error(.timedOut, call, sent: sent))
    }
    let place = makePlace(call, sent: sent)
    let isQueued: Bool = locked { state, actions in
      if state.isClosed {
        state.releaseTurn(by: nil, &actions)
        return false
      }
      putAside(place, &state, &actions)
      return true
    }
    guard isQueued else { return .ended(error(.closed, call, sent: sent)) }
    endAlone()
    return locked { _, _ in place.isDecided ? .ended(place.error) : .queued(place) }
  }

  /// Stops because the deadline has passed while bytes were moving: the caller takes a place and gives up like a waiting
  /// one. Also stops a task that has sent for long enough on the reactor's thread, or leaves its attempts to the reactor: the reactor
  /// continues for it after other halves.
  private func stopEarly(_ call: Call, sent: Int, owesAttempt: Bool = false) -> Started {
    let place = makePlace(call, sent: sent)
    place.owesAttempt = owesAttempt
    let isQueued: Bool = locked { state, actions in
      defer { state.stop(by: place, &actions) }
      if state.isClosed { return false }
      state.queue.prepend(place)
      return true
    }
    return isQueued ? .queued(place) : .ended(error(.closed, call, sent: sent))
  }

  private func error(_ reason: EndpointError.Reason, _ call: Call, sent: Int) -> EndpointError {
    let begun = call.outgoing.borders.last { $0 <= sent } ?? 0
    return EndpointError(
      reason, byteCount: sent - begun, messageCount: call.outgoing.framesCompleted(by: sent))
  }

  private func attempt(
    _ outgoing: Outgoing, from sent: Int, _ walk: inout Outgoing.Walk, _ ancillary: OutgoingAncillary?,
    mayTakeLong: Bool
  ) -> Attempt {
    if carriesDatagrams, outgoing.borders.count > 1, !mayTakeLong {
      return unsafe outgoing.attemptFrames(from: sent, &walk) { parts in unsafe port.sendDatagrams(parts) }
    }
    let end =
      carriesDatagrams
      ? outgoing.nextBorder(after: sent)
      : atomicSendSize > 0 ? outgoing.atomicEnd(from: sent, limit: atomicSendSize) : outgoing.byteCount
    if let ancillary, sent == 0 {
      return unsafe outgoing.attempt(from: sent, to: end, &walk, whole: carriesDatagrams) { parts in
        unsafe port.send(parts, with: ancillary)
      }
    }
    return unsafe outgoing.attempt(from: sent, to: end, &walk, whole: carriesDatagrams) { parts in
      unsafe port.send(parts, mayTakeLong: mayTakeLong)
    }
  }

  // MARK: The step

  private struct Driver {
    var me: SendPlace?
    /// The number of places that the driver may still serve after its own, or as the reactor.
    var budget = Int.max
    var byteBudget = mostBytes
    /// The number of bytes that the reactor moves for one half before it turns to others.
    static var mostBytes: Int { 256 << 10 }
    /// Whether the next attempt may wait for a disk, because the one before was offloaded.
    var mayTakeLong = false
    /// Whether the driver is a helper thread.
    var isHelper = false
    /// Whether the head is sent alone, because an attempt for several places would take long.
    var goesAlone = false

    var isSpent: Bool { budget <= 0 || (byteBudget <= 0 && budget != .max) }

    /// Notes that a place has been served. After the caller's own result, even an error, the driver serves only a few
    /// others.
    mutating func noteService(of head: SendPlace) {
      if head === me {
        budget = 16
      } else if budget != .max {
        budget -= 1
      }
    }
  }

  private enum Next: Sendable {
    case attempt(SendPlace)
    /// The head and the places behind it, in one attempt.
    case together([SendPlace])
    case settle(SendPlace)
    case halfClose(SendPlace)
    /// The place was due, and is decided.
    case served(SendPlace)
    /// The place waits for places that stand aside, and stands aside itself.
    case aside(SendPlace)
    case released
  }

  /// Holding the turn: serves one head after the other until an attempt would block, the half is closed, or the driver is
  /// done.
  private func run(_ begun: Driver) {
    var driver = begun
    while true {
      switch next(driver) {
      case .released: return
      case .served(let head): driver.noteService(of: head)
      case .aside(let head): driver.noteService(of: head)
      case .settle(let head):
        settle(head, by: driver.me)
        driver.noteService(of: head)
      case .halfClose(let head):
        if !halfClose(head, &driver) { return }
      case .together(let places):
        let attempt = attempt(places)
        note(attempt)
        switch finish(attempt, places, &driver) {
        case .released: return
        case .blocked: if !blocked(&driver) { return }
        case .offload: driver.goesAlone = true
        case .goOn: break
        }
      case .attempt(let head):
        let attempt = attempt(
          head.outgoing, from: head.sent, &head.walk, head.ancillary, mayTakeLong: driver.mayTakeLong)
        driver.mayTakeLong = false
        note(attempt)
        if case .transferred(let count) = attempt {
          if let progress = head.progress {
            goAway()
            // It comes back in `finish`.
            progress(head.sent + count, head.outgoing.byteCount)
          }
        }
        switch finish(attempt, head, &driver) {
        case .released: return
        case .blocked: if !blocked(&driver) { return }
        case .offload:
          driver.mayTakeLong = driver.isHelper || driver.me?.kind == .thread
          if !driver.mayTakeLong {
            let me = driver.me
            locked { state, actions in goAway(for: head, by: me, &state, &actions) }
            guard let errno = port.reactor.offload(self) else { return }
            let isOver = locked { state, actions in
              comeBack(for: head, &state)
              // A thread at the head makes the attempt itself.
              guard state.queue.first?.kind == .thread else { return false }
              state.stop(by: me, &actions)
              return true
            }
            if isOver { return }
            failHead(TransportError(.offload, errno), by: driver.me)
            driver.noteService(of: head)
          }
        case .goOn:
          // The caller of this place gives up as soon as the turn is free.
          if head === driver.me, !head.isLate, head.deadline.hasPassed(by: port.reactor.now) {
            locked { state, actions in state.stop(by: head, &actions) }
            return
          }
        }
      }
    }
  }

  /// Finds the next step and its place. Lowers `stirred` if the step is an attempt.
  private func next(_ driver: Driver) -> Next {
    let me = driver.me
    let isForReactor = me.map { leavesAttempts($0.kind) } ?? false
    let isSpent = driver.isSpent || isForReactor
    let mayGather = !carriesDatagrams && !driver.goesAlone && !driver.mayTakeLong
    return locked { state, actions in
      if isForReactor, let me, me.isQueued { me.owesAttempt = me.deadline != .immediately }
      guard !state.isClosed, !isSpent, let first = state.queue.first else {
        state.stop(by: me, &actions)
        return .released
      }
      let head = unsafe unsafeDowncast(first, to: SendPlace.self)
      // A late caller is owed one attempt before it fails.
      if head.gaveUp != nil, head.wasTried || !head.isLate {
        head.inUse = true  // its memory is copied outside the lock
        return .settle(head)
      }
      if state.queue.holdsBack(head) {
        if head.isLate {
          state.queue.remove(head)
          fail(head, EndpointError(.timedOut))
          head.decide(&actions, by: me)
          return .served(head)
        }
        putAside(head, &state, &actions)
        return .aside(head)
      }
      switch head.step {
      case .halfClose:
        head.inUse = true
        state.stirred = false
        return .halfClose(head)
      case .bytes where head.hasAttempts:
        state.stirred = false
        let together = mayGather ? gather(from: head) : []
        if !together.isEmpty { return .together(together) }
        if driver.mayTakeLong { goAway(for: head, by: me, &state, &actions) }
        head.inUse = true
        head.wasTried = true
        return .attempt(head)
      case .flush, .bytes:
        state.queue.remove(head)
        head.decide(&actions, by: me)
        return .served(head)
      }
    }
  }

  /// Under the lock: moves a place aside until its attempt is repeated.
  private func putAside(_ place: SendPlace, _ state: inout HalfState, _ actions: inout Actions) {
    place.hasStoodAside = true
    state.putAside(place, now: port.reactor.now, within: pauseLengths, &actions)
  }

  // MARK: Together

  /// The number of bytes of several places that one attempt takes. They are copied into one piece, and a pipe takes them
  /// whole.
  private static var mostTogether: Int { atomicPipeWrite }

  /// Under the lock: the head and the places behind it whose bytes are sent in one attempt. They are in use from now on.
  /// Empty if the head goes alone.
  private func gather(from head: SendPlace) -> [SendPlace] {
    let room = atomicSendSize > 0 ? min(atomicSendSize, Self.mostTogether) : Self.mostTogether
    var rest = room - (head.outgoing.byteCount - head.sent)
    guard head.progress == nil, head.ancillary == nil, var next = head.following as? SendPlace
    else { return [] }
    var places: [SendPlace] = []
    while next.step == .bytes, next.gaveUp == nil, next.progress == nil, next.ancillary == nil,
      next.outgoing.byteCount > 0
    {
      rest -= next.outgoing.byteCount
      if rest < 0 { break }
      if places.isEmpty { places.append(head) }
      places.append(next)
      guard let following = next.following as? SendPlace else { break }
      next = following
    }
    for place in places {
      place.inUse = true
      place.wasTried = true
    }
    return places
  }

  private func attempt(_ places: [SendPlace]) -> Attempt {
    unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.mostTogether) { memory in
      var count = 0
      for place in places {
        let taken = place.outgoing.byteCount - place.sent
        unsafe place.outgoing.copy(
          from: place.sent, into: UnsafeMutableBufferPointer(rebasing: memory[count..<count + taken]))
        count += taken
      }
      let whole = unsafe UnsafeRawBufferPointer(start: memory.baseAddress, count: count)
      return unsafe whole.asOnlyPart { parts in unsafe port.send(parts) }
    }
  }

  private func finish(_ attempt: Attempt, _ places: [SendPlace], _ driver: inout Driver) -> After {
    let me = driver.me
    let after: After = locked { state, actions in
      var count = 0
      var after = After.goOn
      switch attempt {
      case .transferred(let accepted): count = accepted
      case .wouldBlock, .waitsFor, .retryLater: after = .blocked
      // Each place is attempted alone then, because the error may concern only one of them.
      case .offload: after = .offload
      case .failed(let error) where error.scope == .item: after = .offload
      case .failed(let error):
        for place in places { place.inUse = false }
        sendingFailed(error, by: me, &state, &actions)
        return .released
      case .endOfStream: preconditionFailure("a port sends or fails")
      }
      for place in places {
        place.inUse = false
        let taken = min(count, place.outgoing.byteCount - place.sent)
        place.sent += taken
        count -= taken
        if place.sent == place.outgoing.byteCount {
          state.queue.remove(place)
          place.decide(&actions, by: me)
        } else if let reason = place.gaveUp, place.sent == 0, !state.isClosed {
          // The sender gave up while its buffer was in use. Nothing of it was sent, so fail it now instead of when it
          // reaches the head of the queue.
          state.queue.remove(place)
          fail(place, EndpointError(reason.reason))
          place.decide(&actions, by: me)
        }
      }
      if state.isClosed {
        decideEverybody(EndpointError(.closed), by: me, &state, &actions)
        state.releaseTurn(by: me, &actions)
        return .released
      }
      return after
    }
    if case .transferred(let count) = attempt { driver.byteBudget -= count }
    for place in places where place.sent == place.outgoing.byteCount { driver.noteService(of: place) }
    return after
  }

  private enum After: Sendable { case goOn, blocked, offload, released }

  private func finish(_ attempt: Attempt, _ head: SendPlace, _ driver: inout Driver) -> After {
    let me = driver.me
    let after: After = locked { state, actions in
      head.inUse = false
      comeBack(for: head, &state)
      var after = After.goOn
      switch attempt {
      case .transferred(let count):
        head.sent += count
        if head.sent == head.outgoing.byteCount {
          state.queue.remove(head)
          head.decide(&actions, by: me)
          // There is room again where there was none. The success of others says nothing about that.
          if head.hasStoodAside { state.endGrowth() }
          // As in the receiving half, the turn is released before the caller is told.
          if state.queue.isEmpty, !state.isClosed {
            state.stop(by: me, &actions)
            return .released
          }
        }
      case .retryLater where carriesDatagrams && head.isLate:
        state.queue.remove(head)
        fail(head, EndpointError(.timedOut))
        head.decide(&actions, by: me)
      case .retryLater where carriesDatagrams && head.gaveUp == nil && !state.isClosed:
        putAside(head, &state, &actions)
      case .wouldBlock, .waitsFor, .retryLater: after = .blocked
      case .offload:
        // Nothing has been tried yet.
        head.wasTried = false
        after = .offload
      case .failed(let error) where error.scope == .item && !head.hasBegun:
        state.queue.remove(head)
        fail(head, EndpointError(.transport(error)))
        head.decide(&actions, by: me)
      case .failed(let error):
        sendingFailed(error, by: me, &state, &actions)
        return .released
      case .endOfStream: preconditionFailure("a port sends or fails")
      }
      if state.isClosed {
        decideEverybody(EndpointError(.closed), by: me, &state, &actions)
        state.releaseTurn(by: me, &actions)
        return .released
      }
      return after
    }
    if after == .goOn {
      switch attempt {
      case .failed, .retryLater: driver.noteService(of: head)
      default: break
      }
    }
    if case .transferred(let count) = attempt {
      driver.byteBudget -= count
      if head.sent == head.outgoing.byteCount {
        driver.noteService(of: head)
      } else if driver.budget != .max {
        driver.budget -= 1
      }
    }
    return after
  }

  /// Under the lock: ends sending. All queued places fail, and so do all later calls.
  private func sendingFailed(
    _ error: TransportError, by me: Place?, _ state: inout HalfState, _ actions: inout Actions
  ) {
    let error = EndpointError(.transport(Self.ending(error)))
    state.over = error
    decideEverybody(state.isClosed ? EndpointError(.closed) : error, by: me, &state, &actions)
    state.releaseTurn(by: me, &actions)
  }

  /// An error that ends sending. One of an item does, if a part of the item is out.
  private static func ending(_ error: TransportError) -> TransportError {
    var error = error
    if error.scope == .item { error.scope = .direction }
    return error
  }

  /// Removes a head that gave up. If its frame has begun, the rest stays in its place as the orphan.
  private func settle(_ head: SendPlace, by me: SendPlace?) {
    var rest: SendPlace?
    let end = head.outgoing.nextBorder(after: head.sent)
    // A batch that stopped between two frames has no rest to send.
    let owes = head.sent > 0 && !(head.outgoing.borders.contains { $0 == head.sent })
    if owes {
      let (outgoing, skipped) = head.outgoing.rest(from: head.sent, to: end, retaining: head.array)
      var progress: (@Sendable (Int, Int) -> Void)?
      if let told = head.progress { progress = { sent, total in told(skipped + sent, skipped + total) } }
      rest = SendPlace(
        .orphan, .bytes, outgoing, sent: head.sent - skipped, progress: progress, in: self)
    }
    let orphan = rest
    locked { state, actions in
      head.inUse = false
      guard !state.isClosed else {
        decideEverybody(EndpointError(.closed), by: me, &state, &actions)
        return
      }
      state.queue.remove(head)
      let reason = (head.gaveUp ?? .timedOut).reason
      head.error = head.error(reason, isCommitted: owes)
      if let orphan { state.queue.prepend(orphan) }
      head.decide(&actions, by: me)
    }
  }

  /// Takes the step of a half-close at the head. If only closing the descriptor tells the peer, this half closes.
  ///
  /// - Returns: whether the turn is still held, because the half-close had to wait and another attempt is due.
  private func halfClose(_ head: SendPlace, _ driver: inout Driver) -> Bool {
    let me = driver.me
    var failure: TransportError?
    var closes = false
    do { closes = try !port.finishSending() } catch { failure = error }
    if failure?.errno == .wouldBlock {
      head.waitsToFinish = true
      note(.wouldBlock)
      locked { state, actions in
        head.inUse = false
        if state.isClosed { decideEverybody(EndpointError(.closed), by: me, &state, &actions) }
      }
      return blocked(&driver)
    }
    let result = failure
    let closesNow = closes
    locked { state, actions in
      head.inUse = false
      state.over = result.map { EndpointError(.transport($0)) } ?? EndpointError(.closed)
      if state.queue.first === head {
        state.queue.remove(head)
        head.decide(&actions, by: me)
      }
      if result == nil, !state.isClosed {
        state.isFinished = true
        finishFlushes(by: me, &state, &actions)
      }
      decideEverybody(state.over ?? EndpointError(.closed), by: me, &state, &actions)
      if closesNow { state.isClosed = true }
      state.releaseTurn(by: me, &actions)
    }
    return false
  }

  /// Under the lock, after the half-close: everything before a flush has been accepted, so flushes are decided.
  private func finishFlushes(by me: Place?, _ state: inout HalfState, _ actions: inout Actions) {
    var flushes: [SendPlace] = []
    func note(_ place: Place) {
      let place = unsafe unsafeDowncast(place, to: SendPlace.self)
      if place.step == .flush { flushes.append(place) }
    }
    state.queue.visitAside(note)
    state.queue.visit(note)
    for flush in flushes {
      state.queue.remove(flush)
      flush.decide(&actions, by: me)
    }
  }

  private enum Watch: Sendable {
    case again, register, released
  }

  /// Handles an attempt that moved nothing. Returns true if another attempt is due. Otherwise the head is watched, and the
  /// turn has been released.
  private func blocked(_ driver: inout Driver) -> Bool {
    // Whether the reactor could not watch.
    var isRefused = false
    while true {
      let (me, refused) = (driver.me, isRefused)
      let watch: Watch = locked { state, actions in
        guard !state.isClosed, let first = state.queue.first else {
          state.releaseTurn(by: me, &actions)
          return .released
        }
        if state.stirred || first.gaveUp != nil || !first.needsReadiness { return .again }
        let isUnwatched = first.kind != .thread && !state.isRegistered
        if isUnwatched, !refused { return .register }
        state.headWaits(
          pausing: unsafe isPausing || isUnwatched, now: port.reactor.now, within: pauseLengths, by: me,
          &actions)
        settleLate(by: me, &state, &actions)
        state.releaseTurn(by: me, &actions)
        return .released
      }
      switch watch {
      case .again: return true
      case .released: return false
      case .register: isRefused = register(by: me) == .refused
      }
    }
  }

  /// Has the reactor watch. If it cannot (ENOSPC, ENOMEM), the head is tried again after a pause, because a timer needs no
  /// watching. If there is no reactor either, the head fails because it cannot wait, and a failed orphan ends sending.
  private func register(by me: SendPlace?) -> Registration {
    if port.watch(direction, for: interest) == nil {
      locked { state, _ in state.isRegistered = true }
      return .done
    }
    guard let errno = port.reactor.start() else { return .refused }
    failHead(TransportError(.wait, errno), by: me)
    return .failed
  }

  /// In the turn: fails a head that is not a thread, because neither the reactor nor a helper can continue for it.
  private func failHead(_ error: TransportError, by me: SendPlace?) {
    locked { state, actions in
      guard let head = state.queue.first, head.kind != .thread else { return }
      let isBegun = (unsafe unsafeDowncast(head, to: SendPlace.self)).hasBegun
      var failure = error
      failure.scope = isBegun ? .direction : .item
      let error = EndpointError(.transport(failure))
      state.queue.remove(head)
      fail(head, error)
      head.decide(&actions, by: me)
      if isBegun {
        state.over = error
        decideEverybody(error, by: me, &state, &actions)
      }
    }
  }
}
