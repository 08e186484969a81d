import SWIO
import SWTesting
import SystemPackage

/// A datagram socket. `poll` says whether its own buffer has room, and nothing about the queue of a peer.
// Invariant: everything happens on the single thread of the simulation.
final class DatagramEnd: SocketLike, @unchecked Sendable {
  private unowned let world: DatagramWorld
  private let descriptor: Int32?
  private var signal: ReadinessSignal?
  private var isSending = false
  private(set) var isClosed = false
  private(set) var isFinished = false
  /// Whether the socket's own buffer is full.
  private(set) var isFull = false

  init(_ world: DatagramWorld) {
    self.world = world
    descriptor = world.schedule.isDescriptor ? 1_000_000 : nil
  }

  // MARK: SocketLike

  var content: TransportContent { .datagrams }

  var readinessSource: ReadinessSource {
    descriptor.map { .descriptor(FileDescriptor(rawValue: $0)) } ?? .signal
  }

  var capabilities: TransportCapabilities {
    var capabilities = TransportCapabilities()
    capabilities.shortestPause = 2
    capabilities.longestPause = 10
    return capabilities
  }

  func attach(_ signal: ReadinessSignal) { self.signal = signal }

  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt { .wouldBlock }

  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { unsafe attempt([Array(bytes)], to: nil) }

  func sendDatagrams(_ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    attempt(unsafe parts.map { unsafe Array($0) }, to: nil)
  }

  func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, with ancillary: OutgoingAncillary
  ) -> Attempt {
    var bytes: [UInt8] = []
    for index in parts.indices { unsafe bytes += Array(parts[index]) }
    return attempt([bytes], to: ancillary.address)
  }

  /// Makes one attempt to send datagrams, as many as are accepted at once.
  private func attempt(_ datagrams: [[UInt8]], to address: SocketAddress?) -> Attempt {
    world.check(!isSending, "two attempts at once")
    world.check(!isClosed && !isFinished, "an attempt on what is closed or finished")
    isSending = true
    defer { isSending = false }
    world.interlude()
    world.check(!isClosed, "closed under an attempt")
    // A schedule that has failed ends here, even if a half attempts for ever.
    if isClosed || world.course.failure != nil {
      return .failed(TransportError(.send, .badFileDescriptor))
    }
    let outcome = decide(datagrams, address)
    world.interlude()
    return outcome
  }

  private func decide(_ datagrams: [[UInt8]], _ address: SocketAddress?) -> Attempt {
    world.noteAttempt(datagrams[0])
    if !world.isCalm, world.chance(world.schedule.itemFailure) {
      world.trace("an item fails")
      world.noteItemFailure()
      return .failed(TransportError(.send, .connectionRefused, scope: .item))
    }
    if isFull || (!world.isCalm && world.chance(world.schedule.block)) {
      world.trace("would block")
      world.coverage.note(.blocked)
      isFull = true
      return .wouldBlock
    }
    let count = datagrams.count > 1 && !world.isCalm ? 1 + world.below(datagrams.count) : datagrams.count
    if count < datagrams.count { world.coverage.note(.batchCut) }
    guard world.hasRoom(address), world.isCalm || !world.chance(world.schedule.refusal) else {
      return refuse(datagrams[0])
    }
    let accepted = datagrams[..<count]
    if !world.makes(.losesDatagram) { for datagram in accepted { world.accept(datagram, address) } }
    if world.makes(.sendsTwice) { return .retryLater }
    return .transferred(accepted.reduce(0) { $0 + $1.count })
  }

  private func refuse(_ datagram: [UInt8]) -> Attempt {
    world.noteRefusal(datagram)
    if world.always(.blocksInsteadOfPausing) {
      tellWritable()
      return .wouldBlock
    }
    return .retryLater
  }

  func finishSending() throws(TransportError) {
    world.check(!isFinished && !isSending && !isClosed, "the half-close comes twice, or into a send")
    world.interlude()
    isFinished = true
    world.trace("finishes sending")
  }

  func close() {
    world.check(!isClosed, "closed twice")
    world.check(!isSending, "closed under an attempt")
    world.check(!world.callers.contains { $0.isPolling }, "closed under a thread that polls")
    world.trace("closed")
    isClosed = true
    signal = nil
  }

  // MARK: Readiness

  /// The buffer has room again.
  func makeRoom() {
    isFull = false
    world.trace("has room")
    if !world.makes(.losesSignal) { tellWritable() }
  }

  private func tellWritable() {
    if descriptor != nil { world.reactor.edge() } else { signal?.raise(.writable) }
  }
}
