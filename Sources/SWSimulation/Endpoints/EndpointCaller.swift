import SWFraming
import SWIO
import SWMessaging
import SWTesting

/// A caller of an endpoint.
@safe
// Invariant: everything happens on the single thread of the simulation.
final class EndpointCaller: SimulatedCaller, @unchecked Sendable {
  /// How a receiver turns an outcome into bytes.
  enum Way {
    case raw
    case bytes(ReceivingSide<SimulatedByteFraming>)
    case typed(ReceivingSide<SimulatedFraming>)
  }

  private unowned let world: EndpointWorld
  let isOnMain: Bool
  let end: SimulatedEnd
  /// Whether the caller is a task that prefers the workers of the reactor.
  private let isOnWorkers: Bool
  /// Whether its jobs there are those of an executor that runs one at a time.
  let isSerial: Bool
  /// Whether its task waits for a worker to run it.
  var awaitsWorker = false
  private var callsLeft: Int

  // The present call.
  private(set) var ticket = 0
  /// The number of attempts that had been made when the call began.
  private var attemptsBefore = 0
  /// The number of times that the turn had been away when the call began, without one that was still going on.
  /// The absences of the turn that were over when the call began.
  private var absencesBefore = 0
  private(set) var way = Way.raw
  private(set) var request = ReceiveRequest.upTo(1)
  /// Whether the call also takes the messages that follow.
  private var isBatch = false
  private var frames: [[UInt8]] = []
  private var isFlush = false
  private var memory: UnsafeMutableRawBufferPointer = unsafe .init(start: nil, count: 0)

  init(
    _ world: EndpointWorld, index: Int, kind: Place.Kind, isOnMain: Bool, end: SimulatedEnd, half: Half,
    calls: Int,
    drains: Bool = false
  ) {
    self.world = world
    self.isOnMain = isOnMain
    self.end = end
    isOnWorkers = kind == .task && !isOnMain && world.schedule.workerCount > 1 && world.chance(0.5)
    isSerial = isOnWorkers && world.chance(world.schedule.serialTask)
    callsLeft = calls
    super.init(world, index: index, kind: kind, half: half, drains: drains)
  }

  deinit { unsafe memory.deallocate() }

  var isSender: Bool { half is SendHalf }

  private var attemptCount: Int { isSender ? end.sendCount : end.receiveCount }
  /// Whether an attempt has begun since the call did.
  var hasSeenAttempt: Bool { attemptCount > attemptsBefore }
  /// Whether the turn was away for a time since the call began. No attempt is near then.
  var hasMetAway: Bool {
    // The turn is marked a moment before it is away, and until a moment after that.
    end.absences(isSending: isSender).count > absencesBefore || half.inspect { $0.isAway }
  }

  override var isHeldBack: Bool {
    awaitsWorker || (isOnMain && world.mainHolder.map { $0 !== self } ?? false)
  }

  override func isReady(for polled: Readiness) -> Bool {
    let interest = polled.union(.hangUps)
    // Of the readiness that is offered crosswise, only the half's own counts. With the other direction's the caller would
    // spin.
    let isCrossed = interest.contains(isSender ? .readable : .writable)
    return !end.polledReadiness.isDisjoint(with: interest)
      || (isCrossed && end.transport.isCrossed(isSender ? .writable : .readable))
  }

  override func noteGiveUp() { world.noteGiveUp(self) }

  override func noteWait(polls: Bool) { world.coverage.note(polls ? .threadPolls : .threadWaits) }

  override func noteParked() { if isOnMain { world.release(main: self) } }

  override func noteResumed() {
    guard isOnWorkers else { return }
    awaitsWorker = true
    world.reactor.enqueue(self)
  }

  override func losesWakeUp() -> Bool { world.makes(.dropsWakeUp) }
  override func losesResumption() -> Bool { world.makes(.dropsResumption) }

  // MARK: A call

  override func begin() {
    guard callsLeft > 0 else {
      state = .done
      return
    }
    callsLeft -= 1
    if isOnMain { world.mainHolder = self }
    ticket = world.nextTicket()
    attemptsBefore = attemptCount
    let absences = end.absences(isSending: isSender)
    absencesBefore = absences.count - absences.underWay
    var deadline = Deadline.never
    if !drains, world.chance(world.schedule.deadline) {
      deadline =
        world.chance(world.schedule.zeroDeadline) ? .immediately : world.clock(after: 1 + world.below(20))
    }
    newCall(until: deadline)
    world.trace(isSender ? "sends" : "receives", index, ticket)
    world.note(.enter, half)
    if let half = half as? ReceiveHalf {
      beginReceive(half)
    } else if let half = half as? SendHalf {
      beginSend(half)
    }
  }

  override func end(_ place: Place) {
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
    waitAlone(half, after: front)
  }

  /// Waits without a place, as a thread does that is alone. If it cannot, the call takes the long way.
  private func waitAlone(_ half: ReceiveHalf, after front: ReceiveHalf.Front) {
    if kind == .thread, front == .blocked, CallLimit(nil, deadline).mayWait,
      let interest = half.beginLoneWait(threadsWakeUp, until: deadline)
    {
      world.coverage.note(.waitsAlone)
      world.trace("waits alone", index)
      state = .waitingAlone(for: interest)
      return
    }
    switch half.start(request, as: kind, until: deadline, after: front) {
    case .ended(let outcome): holds(outcome, inPlace: false)
    case .queued(let place): queued(place)
    }
  }

  override func endLoneWait() {
    guard let half = half as? ReceiveHalf else { return }
    state = .between
    var front = half.endLoneWait()
    if front == .held, goesShort(&front) { return finished() }
    waitAlone(half, after: front)
  }

  /// Tries the short way, as an endpoint does, or goes on in it with the turn. Returns true if the call has ended.
  private func goesShort(_ front: inout ReceiveHalf.Front) -> Bool {
    let limit = CallLimit(nil, deadline)
    let isHeld = front == .held
    do throws(EndpointError) {
      if isBatch {
        let messages = try takeBatch { room throws(EndpointError) in
          switch way {
          case .raw: []
          case .typed(let side) where isHeld: try side.heldBatch(room)
          case .bytes(let side) where isHeld: try side.heldBatch(room)
          case .typed(let side): try side.batchAtOnce(&front, as: kind, limit, room)
          case .bytes(let side): try side.batchAtOnce(&front, as: kind, limit, room)
          }
        }
        return !messages.isEmpty
      }
      let message: [UInt8]?
      switch way {
      case .raw: return false
      case .typed(let side):
        message = isHeld ? try side.heldMessage() : try side.messageAtOnce(&front, as: kind, limit)
      case .bytes(let side):
        if world.chance(0.5) {
          message = isHeld ? try side.heldMessage() : try side.messageAtOnce(&front, as: kind, limit)
        } else {
          func copy(_ span: Span<UInt8>) -> [UInt8] {
            world.interlude(.runInsideScanner)
            return span.indices.map { span[$0] }
          }
          let payload = end.whileAway {
            isHeld
              ? try? side.withHeldPayload(copy) : try? side.withPayloadAtOnce(&front, as: kind, limit, copy)
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

  override func look(at outcome: ReceiveHalf.Outcome) {
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
      return end.whileAway {
        world.interlude(.runInsideScanner)
        return span.indices.map { span[$0] }
      }
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
      progress = { [unowned world, unowned end] sent, total in
        world.check(sent <= total, "more bytes sent than there are")
        end.whileAway(isSending: true) { world.interlude(.runInsideAttempt) }
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
      let point: EndpointCoverage.Point = isFlush ? .flushed : inPlace ? .servedInPlace : .servedAtOnce
      world.coverage.note(point)
    }
    world.sent(self, frames, isFlush: isFlush, error)
    finished()
  }
}
