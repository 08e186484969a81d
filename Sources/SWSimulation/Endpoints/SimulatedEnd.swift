import SWIO
import SWMessaging
import SWTesting
import SystemPackage

/// One end of the simulated connection, as its endpoint sees it: a simulated transport that lets others run inside each
/// attempt, records what goes over the wire, and checks what must not happen. It looks like a stream socket, like a user's
/// transport over a descriptor, or like an in-process transport.
// Invariant: everything happens on the single thread of the simulation.
final class SimulatedEnd: DescriptorTransport, ReadinessReceiver, @unchecked Sendable {
  unowned let world: EndpointWorld
  let index: Int
  let transport: SimulatedTransport
  /// The number of the descriptor that it looks like. No system call ever uses it.
  let descriptor: Int32?

  /// The endpoint's signal, for in-process transports.
  private var signal: ReadinessSignal?
  private var isReceiving = false
  private var isSending = false
  private(set) var isClosed = false
  /// Whether the endpoint was detached, so no caller uses this end any more.
  var isDetached = false
  var registration: RegistrationID?
  /// The readiness that its registration watches.
  var watched: Readiness = []
  /// In-process readiness that has not been delivered.
  var news: Readiness = []
  /// The part of it for which the endpoint waits although there is a descriptor.
  private var awaitedNews: Readiness = []

  /// The number of bytes that a hoarding transport has taken in and not handed out.
  private var hoard = 0

  /// Everything this end has sent.
  private(set) var sent: [UInt8] = []
  /// The number of bytes that this end has received.
  private(set) var receivedCount = 0
  private(set) var isFinished = false
  /// The number of attempts. A half-close counts as an attempt to send.
  private(set) var receiveCount = 0
  private(set) var sendCount = 0
  var isReset = false
  var isBroken = false

  init(_ world: EndpointWorld, index: Int, transport: SimulatedTransport, descriptor: Int32?) {
    self.world = world
    self.index = index
    self.transport = transport
    self.descriptor = descriptor
    transport.attach(ReadinessSignal(self))
  }

  var peer: SimulatedEnd { world.ends[1 - index] }

  /// The readiness that the kernel would report. The end of a stream stays reported.
  var offeredReadiness: Readiness {
    let offered =
      transport.isCrossed(.writable) ? transport.offeredReadiness : shown(transport.offeredReadiness)
    return world.schedule.isStreamSocket && peer.isFinished
      ? offered.union([.readable, .readClosed]) : offered
  }

  /// The readiness that a poll would report, without the one for which an attempt waits crosswise.
  var polledReadiness: Readiness { shown(transport.readiness) }

  /// The part of the transport's readiness that its descriptor shows.
  private func shown(_ readiness: Readiness) -> Readiness {
    guard hoard > 0, hoard == transport.receivableCount, !peer.isFinished else { return readiness }
    world.coverage.note(.hoarded)
    return readiness.subtracting(.readable)
  }

  // MARK: DescriptorTransport

  var number: Int32 { descriptor ?? -1 }
  var working: Int32 { number }

  var capabilities: TransportCapabilities {
    var capabilities = TransportCapabilities()
    capabilities.shortestPause = 2
    capabilities.longestPause = 10
    capabilities.attemptsMayHang = world.schedule.hang > 0
    return capabilities
  }

  var drainsInOneReceive: Bool { world.schedule.isStreamSocket }

  var readinessSource: ReadinessSource {
    descriptor.map { .descriptor(FileDescriptor(rawValue: $0)) } ?? .signal
  }

  func attach(_ signal: ReadinessSignal) { self.signal = signal }

  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    notingAbsence(isSending: false) {
      unsafe receive {
        unsafe transport.receive(into: memory)
      } into: {
        unsafe memory
      }
    }
  }

  func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    notingAbsence(isSending: false) {
      unsafe receive {
        unsafe transport.receiveTakingLong(into: memory)
      } into: {
        unsafe memory
      }
    }
  }

  /// How many times a turn has been away for long, and how many of them have not ended.
  struct Absences {
    var count = 0
    var underWay = 0
    /// Whether one of them is that of an attempt that has been left to a thread that may wait.
    fileprivate var isLeft = false
  }

  /// The absences of the turn to receive, and of the turn to send.
  private var absences = [Absences(), Absences()]

  func absences(isSending: Bool) -> Absences { absences[isSending ? 1 : 0] }
  private func goesAway(_ direction: Int) {
    absences[direction].count += 1
    absences[direction].underWay += 1
  }

  func whileAway<Result>(isSending: Bool = false, _ body: () -> Result) -> Result {
    let direction = isSending ? 1 : 0
    goesAway(direction)
    defer { absences[direction].underWay -= 1 }
    return body()
  }

  /// Sometimes an attempt hangs: late callers leave before it has returned.
  private func mayHang(isSending: Bool, _ body: () -> Attempt) -> Attempt {
    guard world.chance(world.schedule.hang) else { return body() }
    return whileAway(isSending: isSending) {
      world.noteHang(self, isSending: isSending)
      return body()
    }
  }

  /// The turn is away from an attempt that is left to another thread until the next attempt has returned. One that was interrupted
  /// is repeated meanwhile.
  private func notingAbsence(isSending: Bool, _ body: () -> Attempt) -> Attempt {
    let direction = isSending ? 1 : 0
    let wasLeft = absences[direction].isLeft
    absences[direction].isLeft = false
    let attempt = mayHang(isSending: isSending, body)
    if wasLeft, case .failed(let error) = attempt, error.errno == .interrupted {
      absences[direction].isLeft = true
      return attempt
    }
    if wasLeft { absences[direction].underWay -= 1 }
    if attempt == .offload {
      absences[direction].isLeft = true
      goesAway(direction)
    }
    return attempt
  }

  private func receive(
    by attempt: () -> Attempt, into place: () -> UnsafeMutableRawBufferPointer
  ) -> Attempt {
    let memory = unsafe place()
    world.check(!isReceiving, "two attempts to receive at once")
    world.check(!isClosed && !isDetached, "an attempt to receive on what is closed")
    isReceiving = true
    defer { isReceiving = false }
    world.interlude(.runInsideAttempt)
    world.check(!isClosed, "closed under an attempt to receive")
    if isClosed || isDetached { return .failed(TransportError(.receive, .badFileDescriptor)) }
    receiveCount += 1
    if let failed = world.failItem(.receive) { return failed }
    world.noteDrivenAttempt()
    let attempt = attempt()
    note(attempt, .readable)
    hoard = 0
    switch attempt {
    case .transferred(let count):
      if world.schedule.isHoarding { hoard = transport.receivableCount }
      let wire = peer.sent
      world.check(receivedCount + count <= wire.count, "received more than was sent")
      if receivedCount + count <= wire.count {
        let expected = wire[receivedCount..<receivedCount + count]
        world.check(unsafe memory[..<count].elementsEqual(expected), "the transport itself is broken")
      }
      if world.makes(.corruptsByte) { unsafe memory[0] &+= 1 }
      receivedCount += count
      world.noteDriven(count)
      world.noteAttempt(.moved, self, isSending: false)
      world.trace("received", index, count)
    case .waitsFor(let readiness):
      world.coverage.note(readiness.isEmpty ? .signalAwaited : .crossed)
      world.noteAttempt(.blocked, self, isSending: false)
    case .wouldBlock, .offload, .retryLater: world.noteAttempt(.blocked, self, isSending: false)
    case .endOfStream: world.noteAttempt(.endedOrFailed, self, isSending: false)
    case .failed(let error): noteFailure(error, isSending: false)
    }
    // The bytes that moved are recorded now, so readiness may be delivered.
    for end in world.ends where world.chance(0.3) { end.deliverNews() }
    world.interlude(.runInsideAttempt)
    return attempt
  }

  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    notingAbsence(isSending: true) { unsafe send(bytes) { unsafe transport.send(bytes) } }
  }

  func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    notingAbsence(isSending: true) {
      unsafe send(parts[0]) { unsafe transport.sendTakingLong(gathering: parts) }
    }
  }

  private func send(_ bytes: UnsafeRawBufferPointer, by attempt: () -> Attempt) -> Attempt {
    world.check(!isSending, "two attempts to send at once")
    world.check(!isClosed && !isDetached, "an attempt to send on what is closed")
    world.check(!isFinished, "an attempt to send after the half-close")
    isSending = true
    defer { isSending = false }
    world.interlude(.runInsideAttempt)
    world.check(!isClosed, "closed under an attempt to send")
    if isClosed || isDetached || isFinished { return .failed(TransportError(.send, .badFileDescriptor)) }
    sendCount += 1
    if world.isWhole(sent), let failed = world.failItem(.send) { return failed }
    var attempt = attempt()
    note(attempt, .writable)
    switch attempt {
    case .transferred(let count):
      unsafe sent.append(contentsOf: bytes[..<count])
      world.noteAttempt(.moved, self, isSending: true)
      world.trace("sent", index, count)
      if world.schedule.isStreamSocket { peer.readinessChanged(.readable) }
      if count > 1, world.makes(.sendsTwice) { attempt = .transferred(count - 1) }
    case .waitsFor(let readiness):
      world.coverage.note(readiness.isEmpty ? .signalAwaited : .crossed)
      world.noteAttempt(.blocked, self, isSending: true)
    case .wouldBlock, .offload, .retryLater: world.noteAttempt(.blocked, self, isSending: true)
    case .failed(let error): noteFailure(error, isSending: true)
    case .endOfStream: world.fail("a send that ends the stream")
    }
    // The bytes that moved are recorded now, so readiness may be delivered.
    for end in world.ends where world.chance(0.3) { end.deliverNews() }
    world.interlude(.runInsideAttempt)
    return attempt
  }

  private func noteFailure(_ error: TransportError, isSending: Bool) {
    if error.errno == .interrupted { return }
    world.trace("attempt fails", index, Int(error.errno.rawValue))
    if error.errno == .connectionReset { (isReset, peer.isReset) = (true, true) }
    (isBroken, peer.isBroken) = (true, true)
    world.noteAttempt(.endedOrFailed, self, isSending: isSending)
  }

  /// Until the signal comes, the descriptor does not show whether this attempt could succeed.
  private func note(_ attempt: Attempt, _ direction: Readiness) {
    switch attempt {
    case .waitsFor(let readiness): world.trace("waits for", index, Int(readiness.rawValue))
    case .wouldBlock: world.trace("would block", index, Int(direction.rawValue))
    case .retryLater:
      world.trace("asks for a pause", index, Int(direction.rawValue))
      world.coverage.note(.paused)
    default: break
    }
    if case .waitsFor([]) = attempt {
      awaitedNews.formUnion(direction)
    } else {
      awaitedNews.subtract(direction)
    }
  }

  func finishSending() throws(TransportError) {
    world.check(!isFinished && !isSending, "the half-close comes twice, or into a send")
    world.check(!isClosed && !isDetached, "a half-close of what is closed")
    world.interlude(.runInsideAttempt)
    sendCount += 1
    awaitedNews.subtract(.writable)
    do throws(TransportError) {
      try transport.finishSending()
    } catch {
      world.trace("cannot finish sending yet", index)
      world.coverage.note(.finishBlocked)
      throw error
    }
    isFinished = true
    world.trace("finishes sending", index)
    if world.schedule.isStreamSocket { peer.readinessChanged([.readable, .readClosed]) }
  }

  func close(then done: @escaping @Sendable () -> Void) {
    close()
    done()
  }

  func close() {
    world.interlude(.runInsideWakeUp)
    world.check(!isClosed, "closed twice")
    world.check(!isReceiving && !isSending, "closed under an attempt")
    world.check(registration == nil, "closed while the reactor watches")
    world.check(!world.isPolled(self), "closed under a thread that polls")
    world.trace("closed", index)
    if isClosed { return }
    isClosed = true
    signal = nil
    transport.close()
  }

  // MARK: Readiness

  /// Notes that the transport's readiness has changed. An in-process endpoint hears of it later. An endpoint with a
  /// descriptor hears of it from the reactor, if that watches.
  func readinessChanged(_ readiness: Readiness, mayDrive: Bool = false) {
    if readiness.contains(.readable), world.makes(.losesSignal) { return }
    guard descriptor != nil else {
      news.formUnion(readiness)
      return
    }
    news.formUnion(readiness.intersection(awaitedNews))
    awaitedNews.subtract(readiness)
    world.reactor.edge(self, readiness)
  }

  func deliverNews() {
    let readiness = news
    news = []
    guard let signal, !readiness.isEmpty else { return }
    world.trace("signal", index, Int(readiness.rawValue))
    world.noteReadiness(self, readiness)
    signal.raise(readiness)
  }

  /// Notes that the endpoint was detached. The new owner of the descriptor closes it.
  func abandon() {
    isDetached = true
    if let registration, let descriptor { world.reactor.deregister(registration, descriptor: descriptor) }
    signal?.detach()
    signal = nil
    transport.close()
  }
}
