import SWFraming
import SWIO
import SWMessaging
import SWTesting
import SystemPackage

/// The result of a send.
struct SentRecord {
  let ticket: Int
  let frames: [[UInt8]]
  let error: EndpointError?
}

/// The result of a receive: bytes of the stream, with their position.
struct ReceivedRecord {
  let ticket: Int
  let isRaw: Bool
  let bytes: [UInt8]
  let error: EndpointError?
}

// The model is a queue of bytes for each direction. The results that callers get must add up to the bytes on the wire, in
// the order of the calls.
extension EndpointWorld {
  // MARK: Results

  func sent(_ caller: EndpointCaller, _ frames: [[UInt8]], isFlush: Bool, _ error: EndpointError?) {
    let index = caller.end.index
    trace("sent", caller.index, error.map { 1 + $0.byteCount } ?? 0)
    if let error {
      checkReason(error, caller)
      if error.isCommitted { coverage.note(.committed) }
    }
    sends[index].append(SentRecord(ticket: caller.ticket, frames: isFlush ? [] : frames, error: error))
  }

  func received(_ caller: EndpointCaller, _ bytes: [UInt8]) {
    let index = caller.end.index
    trace("received", caller.index, bytes.count)
    takenCounts[index] += bytes.count
    let isRaw = if case .raw = caller.way { true } else { false }
    receives[index].append(ReceivedRecord(ticket: caller.ticket, isRaw: isRaw, bytes: bytes, error: nil))
    if isRaw {
      switch caller.request {
      case .exactly(let count): check(bytes.count == count, "\(bytes.count) bytes instead of \(count)")
      case .upTo(let count, _):
        check(1...count ~= bytes.count, "\(bytes.count) bytes, \(count) at most")
      case .message: break
      }
    }
  }

  func received(_ caller: EndpointCaller, _ error: EndpointError) {
    trace("received nothing", caller.index, error.byteCount)
    checkReason(error, caller)
    receives[caller.end.index].append(
      ReceivedRecord(ticket: caller.ticket, isRaw: false, bytes: [], error: error))
  }

  /// Checks that a caller may get this error at all.
  private func checkReason(_ error: EndpointError, _ caller: EndpointCaller) {
    let half = caller.half
    let (isClosed, isOver) = half.inspect { ($0.isClosed, $0.over != nil) }
    var isRight = !error.isCommitted
    switch error.reason {
    case .timedOut:
      coverage.note(.timedOut)
      isRight = caller.deadline <= clock
      check(
        caller.deadline != .immediately || caller.hasSeenAttempt || caller.hasMetAway,
        "sent away without an attempt")
    case .cancelled:
      coverage.note(.cancelled)
      isRight = caller.isCancelled
    case .closed:
      coverage.note(.closedCalls)
      isRight = isRight && (isClosed || (caller.isSender && isOver))
    case .endOfStream:
      coverage.note(.endOfStream)
      isRight = isRight && !caller.isSender && isOver
    case .truncated:
      coverage.note(.truncated)
      isRight = isRight && !caller.isSender
    case .transport(let failure):
      coverage.note(.resetOrBroken)
      let isFailure =
        switch failure.errno {
        case .connectionReset: caller.end.isReset
        case .brokenPipe: caller.isSender && (caller.end.isBroken || caller.end.peer.isClosed)
        case .invalidArgument: failure.scope == .item && tellItemFailure()
        case .noSpace, .resourceTemporarilyUnavailable: schedule.registrationFailure > 0
        default: false
        }
      isRight = isRight && isFailure
    case .framing, .codec, .busy, .unreadDatagrams, .unreadDescriptors, .address: isRight = false
    }
    check(isRight, "caller \(caller.index) is told without reason: \(error)")
  }

  // MARK: All the time

  func checkInvariants() {
    for core in cores {
      core.receiving?.inspect { $0.checkInvariants() }
      let hasOrphan = core.sending?.inspect { state in
        state.checkInvariants()
        return state.queue.first?.kind == .orphan
      }
      if hasOrphan ?? false { coverage.note(.orphan) }
    }
  }

  // MARK: When no actor can take a step

  /// Checks that every waiting caller has a reason to wait.
  func checkQuiescence() {
    check(!reactor.neglectsWork(), "workers of the reactor sleep, and there is work")
    if reactor.leavesWork { return }
    for caller in callers {
      if case .waitingAlone = caller.state {
        check(caller.deadline > clock, "the deadline of thread \(caller.index) has passed")
        check(
          caller.half.inspect { !$0.isClosed && $0.queue.isEmpty && $0.loneWaiter != nil },
          "thread \(caller.index) waits alone, and is not")
        check(
          !caller.end.transport.readiness.contains(.readable),
          "there is data, and thread \(caller.index) waits alone")
        continue
      }
      guard let place = caller.place else {
        if !caller.isDone { coverage.note(.mainBlocked) }
        continue
      }
      switch caller.state {
      case .parked:
        check(!place.isDecided, "task \(caller.index) has its result and is not resumed")
        check(caller.deadline > clock, "the deadline of task \(caller.index) does not fire")
      case .waiting: check(!place.isDecided, "thread \(caller.index) has its result and is not woken")
      default: coverage.note(.mainBlocked)
      }
    }
    for end in ends {
      let core = cores[end.index]
      for half in [core.receiving as Half?, core.sending] {
        guard let half else { continue }
        let (head, turn, called, pollers, isClosed) = half.inspect {
          ($0.queue.first, $0.turn && $0.loneWaiter == nil, $0.called, $0.pollers, $0.isClosed)
        }
        let name = half is SendHalf ? "sending" : "receiving"
        check(!turn, "nobody runs, and the turn for \(name) at \(end.index) is held")
        check(!called, "the reactor was called for \(name) at \(end.index) and does not come")
        check(!isClosed || pollers == 0, "a thread polls what is closed")
        guard let head else { continue }
        check(!isClosed, "somebody waits for what is closed")
        if let pauseEnd = pauseEnd(of: half) {
          check(pauseEnd > clock, "the pause of \(name) at \(end.index) has passed, and nobody attempts")
          continue
        }
        let readiness = end.transport.readiness
        if let send = head as? SendPlace {
          check(send.step != .flush, "nothing is in front of a flush, and it waits")
          check(!readiness.contains(.writable), "there is room to send at \(end.index), and somebody waits")
        } else if let receive = head as? ReceivePlace {
          check(!readiness.contains(.readable), "there is data at \(end.index), and somebody waits")
          check(
            !isInBuffer(receive.request, end), "a result is in the buffer at \(end.index), and somebody waits"
          )
        }
      }
    }
  }

  /// Whether bytes that have been received and not taken satisfy a request.
  private func isInBuffer(_ request: ReceiveRequest, _ end: SimulatedEnd) -> Bool {
    var start = takenCounts[end.index]
    for caller in callers where caller.end === end && !caller.isSender { start += caller.takenInPlace }
    guard start <= end.receivedCount else {
      fail("more was taken at \(end.index) than was received")
      return false
    }
    let buffered = Array(end.peer.sent[start..<end.receivedCount])
    switch request {
    case .exactly(let count): return buffered.count >= count
    case .upTo: return !buffered.isEmpty
    case .message: return frameCount(buffered, at: 0).map { $0 <= buffered.count } ?? false
    }
  }

  /// The length of the frame that begins at an offset, if it is known.
  private func frameCount(_ bytes: [UInt8], at offset: Int) -> Int? {
    if offset == bytes.count { return nil }
    var scanner = VarIntFraming().makeScanner()
    let demand = try? scanner.demand(in: bytes.span.extracting(offset..<bytes.count))
    return demand.flatMap { $0.isFinal ? $0.byteCount : nil }
  }

  /// Whether a frame begins at an offset. If raw receivers cut frames, one may begin anywhere.
  private func frameBegins(at offset: Int, of wire: [UInt8]) -> Bool {
    if schedule.isRawMixed { return true }
    var position = 0
    while position < offset {
      guard let count = frameCount(wire, at: position) else { return false }
      position += count
    }
    return position == offset
  }

  /// Whether the bytes end at the end of a frame.
  func isWhole(_ bytes: [UInt8]) -> Bool {
    if schedule.itemFailure == 0 { return true }
    var position = 0
    while position < bytes.count {
      guard let count = frameCount(bytes, at: position) else { return false }
      position += count
    }
    return position == bytes.count
  }

  // MARK: At the end

  func checkEnd() {
    for caller in callers { check(caller.isDone, "caller \(caller.index) never came back") }
    check(mainHolder == nil, "somebody is still on the main thread")
    for end in ends {
      check(end.isClosed || end.isDetached, "end \(end.index) was not closed")
      let core = cores[end.index]
      for half in [core.receiving as Half?, core.sending] {
        guard let half else { continue }
        half.inspect { state in
          check(state.queue.isEmpty && state.queue.count == 0, "a place is left")
          check(!state.turn && !state.called, "the turn or a call is left")
          check(state.pollers == 0 && state.isClosed && state.isOut, "the descriptor is still in use")
        }
      }
      checkSent(end)
      checkReceived(end)
    }
    check(reactor.registrationCount == 0, "a registration is left")
    check(reactor.timerCount == 0, "a timer is left")
  }

  /// Checks that the wire carries what senders were told: whole frames, in the order of the calls.
  private func checkSent(_ end: SimulatedEnd) {
    var expected: [UInt8] = []
    /// Whether something was cut off, so nothing may follow.
    var isCut = false
    /// From this position on the last frame may be missing, because the endpoint owed its rest when the stream ended.
    var owedFrom: Int?
    func add(_ bytes: [UInt8]) {
      if bytes.isEmpty { return }
      check(!isCut, "something follows the cut-off rest of a frame")
      owedFrom = nil
      expected += bytes
    }
    for send in sends[end.index].sorted(by: { $0.ticket < $1.ticket }) {
      guard let error = send.error else {
        for frame in send.frames { add(frame) }
        continue
      }
      guard error.messageCount <= send.frames.count else {
        fail("more messages sent than there were")
        return
      }
      for frame in send.frames[..<error.messageCount] { add(frame) }
      if error.isCommitted {
        let begun = send.frames[..<error.messageCount].last?.count ?? 0
        check(0 < error.byteCount && error.byteCount < begun, "committed, but not begun or already gone")
        owedFrom = expected.count - begun + error.byteCount
      } else if error.byteCount > 0 {
        guard error.messageCount < send.frames.count else {
          fail("bytes of a message that there is not")
          return
        }
        let isEnd =
          switch error.reason {
          case .timedOut, .cancelled: false
          default: true
          }
        check(isEnd, "a begun message was left, and is not committed")
        add(Array(send.frames[error.messageCount].prefix(error.byteCount)))
        isCut = true
      }
    }
    if end.sent == expected { return }
    if let owedFrom {
      if end.sent.count >= owedFrom, expected.starts(with: end.sent), isEnded(end) { return }
    }
    let common = zip(end.sent, expected).prefix { $0 == $1 }.count
    fail(
      "end \(end.index) sent \(end.sent.count) bytes, its callers think \(expected.count); equal up to \(common)"
    )
  }

  /// Whether the rest of an owed frame may be missing.
  private func isEnded(_ end: SimulatedEnd) -> Bool {
    end.isBroken || end.peer.isClosed || end.isClosed || schedule.registrationFailure > 0
  }

  /// Checks that receivers got the stream from its beginning, in the order of the calls, with nothing repeated and nothing
  /// missing.
  private func checkReceived(_ end: SimulatedEnd) {
    let wire = end.peer.sent
    var position = 0
    for receive in receives[end.index].sorted(by: { $0.ticket < $1.ticket }) {
      if let error = receive.error {
        switch error.reason {
        case .endOfStream:
          // An attempt that finds nothing although bytes were sent may also end receiving.
          let least = wireAtFinish[end.index].map { schedule.findsAll ? $0 : 0 } ?? wire.count
          check(position >= least, "the end of the stream, \(least - position) bytes too early")
          check(position == wire.count || frameBegins(at: position, of: wire), "the end, inside a message")
        case .truncated:
          // An error takes nothing. So a batch whose call is older may take these bytes later.
          let count = error.partialBytes.count
          check(
            position + count >= wire.count && error.partialBytes.elementsEqual(wire.suffix(count)),
            "truncated, but not there")
        default: break
        }
        continue
      }
      let stop = position + receive.bytes.count
      guard stop <= wire.count, receive.bytes.elementsEqual(wire[position..<stop]) else {
        fail("what was received at \(end.index) is not what comes at \(position)")
        return
      }
      if !receive.isRaw {
        check(
          frameCount(wire, at: position) == receive.bytes.count, "not the frame that begins at \(position)")
      }
      position = stop
    }
    if let unread = detachedUnread[end.index], cores[end.index].receiving != nil {
      check(
        position + unread.count == end.receivedCount
          && unread.elementsEqual(wire[position..<min(position + unread.count, wire.count)]),
        "what was handed back is not what was unread")
    }
  }
}
