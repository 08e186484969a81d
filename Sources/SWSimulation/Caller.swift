import SWFraming
import SWIO
import SWMessaging
import SWTesting

/// A caller of an endpoint: a thread or a task, reduced to its steps. Other callers can run between two steps. `ThreadWait`
/// and `TaskWait` decide the steps, as they do for real threads and tasks.
@safe
// Invariant: everything happens on the single thread of the simulation.
final class Caller: @unchecked Sendable {
  enum State {
    /// Between two calls.
    case between
    case done
    // A thread: about to take its next step, waiting, or about to drive.
    case stepping(ThreadWait)
    case waiting(ThreadWait, polling: Readiness, until: Deadline)
    case driving(ThreadWait)
    // A task.
    case arming(TaskWait)
    case parking(TaskWait)
    case parked(TaskWait)
    case resumed(TaskWait)
    /// The caller has a lent frame, or another result, and has not looked at it yet.
    case holding(ReceiveHalf.Outcome)
  }

  /// How a receiver turns an outcome into bytes.
  enum Way {
    case raw
    case bytes(ReceivingSide<SimulatedByteFraming>)
    case typed(ReceivingSide<SimulatedFraming>)
  }

  unowned let world: World
  let index: Int
  let kind: Place.Kind
  let isOnMain: Bool
  let end: SimulatedEnd
  let half: Half
  /// Whether the caller continues until the stream ends.
  let drains: Bool

  var state = State.between
  var isRunning = false
  /// Whether the caller is a task that prefers the workers of the reactor.
  private let isOnWorkers: Bool
  /// Whether its task waits for a worker to run it.
  var awaitsWorker = false
  var callsLeft: Int

  // The present call.
  var ticket = 0
  var deadline = Deadline.never
  var isCancelled = false
  var isSignalled = false
  /// The number of attempts that had been made when the call began.
  private var attemptsBefore = 0
  private(set) var way = Way.raw
  private(set) var request = ReceiveRequest.upTo(1)
  /// Whether the call also takes the messages that follow.
  private var isBatch = false
  private var frames: [[UInt8]] = []
  private var isFlush = false
  private var memory: UnsafeMutableRawBufferPointer = unsafe .init(start: nil, count: 0)
  private var wakeUp: WakeUp?

  init(
    _ world: World, index: Int, kind: Place.Kind, isOnMain: Bool, end: SimulatedEnd, half: Half, calls: Int,
    drains: Bool = false
  ) {
    self.world = world
    self.index = index
    self.kind = kind
    self.isOnMain = isOnMain
    self.end = end
    self.half = half
    self.drains = drains
    isOnWorkers = kind == .task && !isOnMain && world.schedule.workerCount > 1 && world.chance(0.5)
    callsLeft = calls
  }

  deinit { unsafe memory.deallocate() }

  var isSender: Bool { half is SendHalf }

  private var attemptCount: Int { isSender ? end.sendCount : end.receiveCount }
  /// Whether an attempt has begun since the call did.
  var hasSeenAttempt: Bool { attemptCount > attemptsBefore }

  /// The caller's place, if it has one.
  var place: Place? {
    switch state {
    case .between, .done, .holding: nil
    case .stepping(let wait), .waiting(let wait, _, _), .driving(let wait): wait.place
    case .arming(let wait), .parking(let wait), .parked(let wait), .resumed(let wait): wait.place
    }
  }

  /// The timer of its deadline.
  var timer: Timer? {
    switch state {
    case .parking(let wait), .parked(let wait), .resumed(let wait): wait.timer
    default: nil
    }
  }

  var isDone: Bool { if case .done = state { true } else { false } }

  var isPolling: Bool {
    switch state {
    case .stepping(let wait), .waiting(let wait, _, _): wait.isPolling
    default: false
    }
  }

  /// Whether the caller could take a step now.
  var isEnabled: Bool {
    if isRunning || awaitsWorker || (isOnMain && world.mainHolder.map { $0 !== self } ?? false) {
      return false
    }
    switch state {
    case .done, .parked: return false
    case .between, .stepping, .driving, .arming, .parking, .resumed, .holding: return true
    case .waiting(_, let polling, let until):
      return isSignalled || isReady(for: polling) || until <= world.clock
    }
  }

  /// Whether `ppoll` would return.
  private func isReady(for polled: Readiness) -> Bool {
    if polled.isEmpty { return false }
    let interest = polled.union(.hangUps)
    // Of the readiness that is offered crosswise, only the half's own counts. With the other direction's the caller would
    // spin.
    let isCrossed = interest.contains(isSender ? .readable : .writable)
    return !end.transport.readiness.isDisjoint(with: interest)
      || (isCrossed && end.transport.isCrossed(isSender ? .writable : .readable))
  }

  // MARK: Steps

  /// Takes one step. Other callers may run before the next one.
  func step() {
    switch state {
    case .between: begin()
    case .done, .parked: world.fail("a caller runs that cannot")
    case .stepping(let wait): step(wait)
    case .waiting(let wait, _, _):
      isSignalled = false
      state = .stepping(wait)
    case .driving(let wait):
      half.driveOn(as: wait.place)
      state = .stepping(wait)
    case .arming(let wait):
      if wait.givesUp { world.noteGiveUp(self) }
      wait.arm()
      state = .parking(wait)
    case .parking(let wait):
      // The state is set before parking, because the resumption may come at once.
      state = .parked(wait)
      let isParked = wait.park(.callback { [unowned self] in resume(wait.place) })
      if !isParked { state = .resumed(wait) }
      if isOnMain, isParked { world.release(main: self) }
    case .resumed(let wait):
      wait.finish()
      end(wait.place)
    case .holding(let outcome): look(at: outcome)
    }
  }

  private func resume(_ place: Place) {
    world.interlude(.runInsideWakeUp)
    if world.makes(.dropsResumption) { return }
    guard case .parked(let wait) = state, wait.place === place else {
      world.fail("caller \(index) is resumed twice")
      return
    }
    world.trace("resumed", index)
    state = .resumed(wait)
    guard isOnWorkers else { return }
    awaitsWorker = true
    world.reactor.enqueue(index)
  }

  private func signal() {
    // Nothing else runs in the middle: a half that wakes two threads at once signals the first of them under its lock.
    if world.makes(.dropsWakeUp) { return }
    world.trace("signalled", index)
    isSignalled = true
  }

  /// Takes a thread's next step.
  private func step(_ wait: ThreadWait) {
    var wait = wait
    if wait.givesUp { world.noteGiveUp(self) }
    // The caller no longer polls. If it is the last user, the descriptor is closed in `next`.
    state = .driving(wait)
    switch wait.next() {
    case .done: end(wait.place)
    case .drive: state = .driving(wait)
    case .wait(let polling, let until):
      world.coverage.note(wait.isPolling ? .threadPolls : .threadWaits)
      world.trace(wait.isPolling ? "polls" : "waits", index)
      state = .waiting(wait, polling: polling, until: until)
    }
  }

  // MARK: A call

  private func begin() {
    guard callsLeft > 0 else {
      state = .done
      return
    }
    callsLeft -= 1
    if isOnMain { world.mainHolder = self }
    ticket = world.nextTicket()
    isCancelled = false
    isSignalled = false
    attemptsBefore = attemptCount
    deadline = .never
    if !drains, world.chance(world.schedule.deadline) {
      deadline =
        world.chance(world.schedule.zeroDeadline) ? .immediately : world.clock(after: 1 + world.below(20))
    }
    world.trace(isSender ? "sends" : "receives", index, ticket)
    world.note(.enter, half)
    if let half = half as? ReceiveHalf {
      beginReceive(half)
    } else if let half = half as? SendHalf {
      beginSend(half)
    }
  }

  private func queued(_ place: Place) {
    if kind == .task {
      state = .arming(TaskWait(place))
      return
    }
    let wakeUp = wakeUp ?? WakeUp { [unowned self] in signal() }
    self.wakeUp = wakeUp
    state = .stepping(ThreadWait(place, in: half, wakeUp))
  }

  private func end(_ place: Place) {
    if let place = place as? ReceivePlace, let half = half as? ReceiveHalf {
      holds(half.outcome(of: place), inPlace: true)
    } else if let place = place as? SendPlace {
      endSend(place.error, inPlace: true)
    }
  }

  private func finished() {
    // The end comes right after the last data.
    if isSender, callsLeft == 0, world.schedule.endsEarly { world.finishSending(end.index) }
    if isOnMain { world.release(main: self) }
    state = .between
  }

  // MARK: Receiving

  private func beginReceive(_ half: ReceiveHalf) {
    (way, request) = world.chooseRequest(at: end)
    isBatch = if case .raw = way { false } else { world.chance(0.3) }
    var front = ReceiveHalf.Front.unseen
    if world.chance(world.schedule.endsEarly ? 0.95 : 0.5), goesShort(&front) { return finished() }
    switch half.start(request, as: kind, until: deadline, after: front) {
    case .ended(let outcome): holds(outcome, inPlace: false)
    case .queued(let place): queued(place)
    }
  }

  /// Tries the short way, as an endpoint does. Returns true if the call has ended.
  private func goesShort(_ front: inout ReceiveHalf.Front) -> Bool {
    let limit = CallLimit(nil, deadline)
    do throws(EndpointError) {
      if isBatch {
        let messages = try takeBatch { room throws(EndpointError) in
          switch way {
          case .raw: []
          case .typed(let side): try side.batchAtOnce(&front, as: kind, limit, room)
          case .bytes(let side): try side.batchAtOnce(&front, as: kind, limit, room)
          }
        }
        return !messages.isEmpty
      }
      let message: [UInt8]?
      switch way {
      case .raw: return false
      case .typed(let side): message = try side.messageAtOnce(&front, as: kind, limit)
      case .bytes(let side):
        if world.chance(0.5) {
          message = try side.messageAtOnce(&front, as: kind, limit)
        } else {
          let payload = try? side.withPayloadAtOnce(&front, as: kind, limit) { span in
            world.interlude(.runInsideScanner)
            return span.indices.map { span[$0] }
          }
          message = payload ?? nil
        }
      }
      world.coverage.note(front == .blocked ? .shortBlocked : message == nil ? .shortInVain : .servedShort)
      guard let message else { return false }
      world.received(self, framed(message))
    } catch {
      world.received(self, error)
    }
    return true
  }

  /// Also receives the messages behind the first one.
  private func takeBatch(
    _ body: (BatchRoom) throws(EndpointError) -> [[UInt8]]
  ) throws(EndpointError) -> [[UInt8]] {
    let batch = try body(BatchRoom(1 + world.below(4), byteCount: 1 + world.below(40)))
    if batch.count > 1 { world.coverage.note(.receivedBatch) }
    for message in batch { world.received(self, framed(message)) }
    return batch
  }

  private func holds(_ outcome: ReceiveHalf.Outcome, inPlace: Bool) {
    switch outcome {
    case .lent: world.coverage.note(.lent)
    case .delivered: world.coverage.note(.servedInPlace)
    case .failed: break
    }
    if case .lent = outcome, !inPlace { world.coverage.note(.servedAtOnce) }
    if case .lent = outcome, let half = half as? ReceiveHalf, unsafe half.turn.isAssembled {
      world.coverage.note(.assembled)
    }
    // Other callers run while this one has the lent frame, and the turn with it.
    if world.chance(0.5) {
      state = .holding(outcome)
    } else {
      look(at: outcome)
    }
  }

  private func look(at outcome: ReceiveHalf.Outcome) {
    guard let half = half as? ReceiveHalf else { return }
    state = .between
    var result: [UInt8] = []
    do throws(EndpointError) {
      if isBatch {
        if case .delivered = outcome { world.coverage.note(.deliveredBatch) }
        _ = try takeBatch { room throws(EndpointError) in
          switch way {
          case .raw: []
          case .typed(let side): try side.batch(outcome, room)
          case .bytes(let side): try side.batch(outcome, room)
          }
        }
        return finished()
      }
      switch way {
      case .raw: result = try takeRaw(outcome, half)
      case .bytes(let side):
        if world.chance(0.5) {
          result = try takeInClosure(outcome, side)
        } else {
          result = framed(try side.message(outcome))
        }
      case .typed(let side): result = framed(try side.message(outcome))
      }
      world.received(self, result)
    } catch {
      if drains { callsLeft = 0 }
      world.received(self, error)
    }
    finished()
  }

  private func takeRaw(
    _ outcome: ReceiveHalf.Outcome, _ half: ReceiveHalf
  ) throws(EndpointError) -> [UInt8] {
    switch outcome {
    case .lent(let demand):
      let bytes = unsafe half.turn.takePayload(of: demand)
      half.finishLoan(demand)
      return bytes
    case .delivered(let delivery): return delivery.bytes
    case .failed(let error): throw error
    }
  }

  private func takeInClosure(
    _ outcome: ReceiveHalf.Outcome, _ side: ReceivingSide<SimulatedByteFraming>
  ) throws(EndpointError) -> [UInt8] {
    if case .failed(let error) = outcome { throw error }
    let payload = try? side.withPayload(outcome) { span in
      world.coverage.note(.lentInClosure)
      world.interlude(.runInsideScanner)
      return span.indices.map { span[$0] }
    }
    return framed(payload ?? [])
  }

  private func framed(_ payload: [UInt8]) -> [UInt8] {
    var parts = FrameParts()
    do {
      try VarIntFraming().encode(payload, into: &parts)
    } catch {
      world.fail("a payload cannot be framed again: \(error)")
    }
    return parts.bytes
  }

  /// The number of bytes of the stream that its decided place has taken, if the caller has not looked at it yet.
  var takenInPlace: Int {
    guard let place = place as? ReceivePlace, place.isDecided else {
      if case .holding(.delivered(let delivery)) = state { return taken(delivery) }
      return 0
    }
    if case .delivered(let delivery) = place.outcome { return taken(delivery) }
    return 0
  }

  private func taken(_ delivery: Delivery) -> Int {
    switch way {
    case .raw, .typed: delivery.bytes.count
    case .bytes: framed(delivery.bytes).count
    }
  }

  // MARK: Sending

  private func beginSend(_ half: SendHalf) {
    isFlush = world.chance(0.1)
    var progress: (@Sendable (Int, Int) -> Void)?
    if world.chance(0.2) {
      progress = { [unowned world] sent, total in
        world.check(sent <= total, "more bytes sent than there are")
        world.interlude(.runInsideAttempt)
      }
    }
    frames = []
    unsafe memory.deallocate()
    unsafe memory = .init(start: nil, count: 0)
    let call: SendHalf.Call
    if isFlush {
      call = SendHalf.Call(Outgoing([]), as: kind, step: .flush, until: deadline)
    } else if world.schedule.itemFailure == 0, world.chance(0.2) {
      // A batch that has begun counts as one item.
      let count = 1 + world.below(5)
      var (bytes, borders): ([UInt8], [Int]) = ([], [])
      for _ in 0..<count {
        let frame = framed(world.makePayload())
        bytes += frame
        borders.append(bytes.count)
        frames.append(frame)
      }
      world.coverage.note(.batch)
      call = SendHalf.Call(
        Outgoing(bytes, borders: borders), as: kind, until: deadline,
        progress: progress)
    } else {
      let payload = world.makePayload()
      let frame = framed(payload)
      frames = [frame]
      if world.chance(0.3) {
        // Retained, as in `send(contentsOf:)` and for raw arrays.
        call = SendHalf.Call(
          Outgoing(frame), as: kind, until: deadline, progress: progress)
      } else {
        // The caller's memory is lent: a task's until `start` has returned, a thread's until the call ends.
        unsafe memory = .allocate(byteCount: max(payload.count, 1), alignment: 1)
        unsafe memory.copyBytes(from: payload)
        let header = Array(frame[..<(frame.count - payload.count)])
        let lent = unsafe UnsafeRawBufferPointer(rebasing: memory[..<payload.count])
        let outgoing = Outgoing(
          FrameEnvelope(header: ShortBytes(header)),
          Outgoing.Body.borrowed(unsafe Outgoing.BorrowedBytes(lent)))
        call = SendHalf.Call(outgoing, as: kind, until: deadline, progress: progress)
      }
    }
    switch half.start(call) {
    case .ended(let error): endSend(error, inPlace: false)
    case .queued(let place):
      if kind == .task || world.makes(.changesMemory) { poison() }
      queued(place)
    }
  }

  /// Overwrites the memory that was lent, because the caller may use it again now.
  private func poison() { unsafe memory.initializeMemory(as: UInt8.self, repeating: 0xee) }

  private func endSend(_ error: EndpointError?, inPlace: Bool) {
    poison()
    if error == nil {
      let point: Coverage.Point = isFlush ? .flushed : inPlace ? .servedInPlace : .servedAtOnce
      world.coverage.note(point)
    }
    world.sent(self, frames, isFlush: isFlush, error)
    finished()
  }
}
