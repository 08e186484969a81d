import SWIO
import SWMessaging
import SWTesting
import SystemPackage

/// The server's end of a connection in memory.
// Invariant: everything happens on the single thread of the simulation.
final class ServedEnd: ClosesLater, @unchecked Sendable {
  private unowned let world: ServiceWorld
  let index: Int
  /// The half that receives from it.
  weak var half: ReceiveHalf?
  private var signal: ReadinessSignal?
  /// Requests of one byte that have not been received.
  private var incoming: [UInt8] = []
  /// The number of requests that the client has sent, how many of them before the end of the service began, and how many
  /// have been received.
  private(set) var sentCount = 0
  private(set) var sentBeforeEnd = 0
  private(set) var receivedCount = 0
  private var hasClientEnded = false
  /// Whether it is closed, or is being closed.
  private(set) var isClosing = false
  private(set) var isClosed = false
  private var whenClosed: (@Sendable () -> Void)?

  init(_ world: ServiceWorld, index: Int) {
    self.world = world
    self.index = index
  }

  // MARK: The client

  var canSend: Bool { !hasClientEnded && !isClosing }

  func send() {
    sentCount += 1
    incoming.append(UInt8(truncatingIfNeeded: sentCount))
    signal?.raise(.readable)
  }

  func endOfClient() {
    hasClientEnded = true
    signal?.raise(.readable)
  }

  func noteEndOfService() {
    sentBeforeEnd = sentCount
    if world.makes(.dropsRequests) { incoming = [] }
  }

  // MARK: SocketLike

  var readinessSource: ReadinessSource { .signal }
  func attach(_ signal: ReadinessSignal) { self.signal = signal }

  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    world.interlude()
    world.check(!isClosing, "received from what is closed")
    let count = min(incoming.count, memory.count)
    if count == 0 { return hasClientEnded ? .endOfStream : .wouldBlock }
    for offset in 0..<count { unsafe memory[offset] = incoming[offset] }
    incoming.removeFirst(count)
    receivedCount += count
    return .transferred(count)
  }

  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    world.interlude()
    world.check(!isClosing, "sent to what is closed")
    return .transferred(bytes.count)
  }

  func finishSending() throws(TransportError) {}

  func close(then done: @escaping @Sendable () -> Void) {
    world.check(!isClosing, "closed twice")
    world.trace("connection closes", index)
    isClosing = true
    signal = nil
    whenClosed = done
    if world.chance(world.schedule.lateClose) { world.coverage.note(.closesLate) } else { closeNow() }
  }

  var isClosingLate: Bool { isClosing && !isClosed }

  /// The kernel has closed the descriptor.
  func closeNow() {
    isClosed = true
    world.trace("connection closed", index)
    whenClosed.take()?()
  }
}

/// Connections in memory that wait to be accepted, and errors of accept that come before them.
// Invariant: everything happens on the single thread of the simulation.
final class ServedSource: AcceptingSource, ClosesLater, @unchecked Sendable {
  private unowned let world: ServiceWorld
  let reporter = AcceptReporter()
  private(set) var waiting: [EndpointCore] = []
  var errors: [Errno] = []
  private var signal: ReadinessSignal?
  private(set) var isClosed = false

  init(_ world: ServiceWorld) { self.world = world }

  func offer(_ core: EndpointCore) {
    waiting.append(core)
    signal?.raise(.readable)
  }

  func fail(_ error: Errno) {
    errors.append(error)
    signal?.raise(.readable)
  }

  var readinessSource: ReadinessSource { .signal }

  var capabilities: TransportCapabilities {
    var capabilities = TransportCapabilities()
    capabilities.shortestPause = 10
    capabilities.longestPause = 1_000
    return capabilities
  }

  func attach(_ signal: ReadinessSignal) { self.signal = signal }

  func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt {
    world.interlude()
    world.check(!isClosed, "accepted from what is closed")
    if let error = errors.first {
      errors.removeFirst()
      switch AcceptSource.Meaning(error) {
      case .nothingThere: return .wouldBlock
      case .peers:
        world.coverage.note(.peerFailed)
        return .transferred(0)
      case .shortage:
        world.coverage.note(.shortage)
        reporter.beginShortage(error)
        return .retryLater
      case .final:
        errors = [error]
        return .failed(TransportError(.accept, error, scope: .connection))
      }
    }
    reporter.endShortage()
    if waiting.isEmpty { return .wouldBlock }
    take(.value(waiting.removeFirst(), stays: false))
    return .transferred(1)
  }

  func close(then done: @escaping @Sendable () -> Void) {
    world.trace("listener closes")
    isClosed = true
    signal = nil
    reporter.end()
    // The connections close with their last references.
    waiting = []
    done()
  }
}
