import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// The conformance suite on our own transports, on a user's, and on broken ones.
@Suite(.lastResort, .leavesNothing) struct CheckTransportTests {
  enum Ours: CaseIterable, Sendable {
    case pipe, oldPipe, unix, tcp, datagrams, packets
    case pipeWithoutProc

    private var features: KernelFeatures? {
      switch self {
      case .oldPipe: KernelFeatures(nowaitPipes: false, nosignalPipes: false)
      case .pipeWithoutProc: KernelFeatures(nowaitPipes: false, nosignalPipes: false, reopens: false)
      default: nil
      }
    }

    func make() throws -> (sender: any SocketLike, receiver: any SocketLike) {
      switch self {
      case .pipe, .oldPipe, .pipeWithoutProc:
        let pair = try DescriptorPair.pipe()
        let (first, second) = (pair.first.release(), pair.second.release())
        return try KernelFeatures.$override.withValue(features) {
          (
            try SystemTransport(adopting: OwnedDescriptor(adopting: second), for: .writable),
            try SystemTransport(adopting: OwnedDescriptor(adopting: first), for: .readable)
          )
        }
      case .unix: return try ends(.unix)
      case .tcp: return try ends(.tcp)
      case .datagrams: return try ends(.unixDatagrams)
      case .packets: return try ends(.unixPackets)
      }
    }

    private func ends(_ kind: SocketPairKind) throws -> (sender: any SocketLike, receiver: any SocketLike) {
      let pair = try DescriptorPair.sockets(kind)
      return (try SystemTransport(adopting: pair.first), try SystemTransport(adopting: pair.second))
    }
  }

  @Test(arguments: Ours.allCases)
  func `what endpoints do with descriptors keeps the laws`(_ kind: Ours) async throws {
    try await TestThread { try checkTransport(patience: .patience) { try kind.make() } }.value
  }

  @Test(arguments: [1, 2, 3] as [UInt64])
  func `simulated transports keep the laws, however unsteady`(_ seed: UInt64) async throws {
    try await TestThread {
      try checkTransport(seed: seed, patience: .patience) {
        let (left, right) = SimulatedTransport.pair(capacity: 50_000, plan: .unsteady(seed: seed))
        return (left, right)
      }
    }.value
  }

  @Test func `a transport with room for next to nothing keeps the laws`() async throws {
    try await TestThread {
      try checkTransport(patience: .patience) { () -> (any SocketLike, any SocketLike) in
        SimulatedTransport.pair(capacity: 300, plan: SimulationPlan(seed: 1))
      }
    }.value
  }

  @Test func `a transport around another keeps the laws`() async throws {
    try await TestThread { try checkTransport(patience: .patience) { Wrapped.pair() } }.value
  }

  @Test func `the example that counts and throttles another transport keeps the laws`() throws {
    let answer = try run(binary("metered"), [])
    #expect(answer.status == 0)
    #expect(answer.lines.first == "the metered transport keeps the laws")
  }

  @Test(arguments: Fault.allCases)
  func `a transport that breaks a law is found out`(_ fault: Fault) async throws {
    // Where a law is broken by readiness that never comes, the patience has to pass; elsewhere it must not.
    let patience: Duration = fault.laws.contains(.tellsReadiness) ? .milliseconds(500) : .patience
    let found = try await TestThread { () -> TransportViolation? in
      do {
        try checkTransport(patience: patience) { Wrapped.pair(fault) }
        return nil
      } catch let violation as TransportViolation {
        return violation
      }
    }.value
    #expect(found.map { fault.laws.contains($0.law) } ?? false, "\(String(describing: found))")
  }

  enum Fault: CaseIterable, Sendable {
    case losesByte, repeatsByte, countsTooMuch, forgetsReadiness, swapsParts, losesEnd, movesBehindEnd
    case acceptsForNobody, offloadsTwice, resetsAtOnce

    var laws: [TransportViolation.Law] {
      switch self {
      case .losesByte, .repeatsByte: [.deliversInOrder, .tellsReadiness]
      case .countsTooMuch: [.countsRightly, .deliversInOrder]
      case .forgetsReadiness: [.tellsReadiness]
      case .swapsParts: [.gathersParts, .deliversInOrder]
      case .losesEnd: [.tellsReadiness]
      case .movesBehindEnd: [.endsBehindData, .countsRightly]
      case .resetsAtOnce: [.endsBehindData]
      case .acceptsForNobody: [.failsWithoutPeer]
      case .offloadsTwice: [.offloadsOnce]
      }
    }
  }

  /// A wrapper that a user might write around a simulated end: the five members, and a fault.
  final class Wrapped: SocketLike {
    private let inner: SimulatedTransport
    private let fault: Fault?
    private let count = Mutex(0)
    /// Whether this end, and the other one, have been closed.
    private let (isClosed, isPeerClosed): (Raised, Raised)
    private let hasSent = Raised()

    init(_ inner: SimulatedTransport, _ fault: Fault?, isClosed: Raised, isPeerClosed: Raised) {
      self.inner = inner
      self.fault = fault
      self.isClosed = isClosed
      self.isPeerClosed = isPeerClosed
    }

    static func pair(_ fault: Fault? = nil) -> (sender: any SocketLike, receiver: any SocketLike) {
      let (left, right) = SimulatedTransport.pair(plan: SimulationPlan(seed: 1))
      let (first, second) = (Raised(), Raised())
      return (
        Wrapped(left, fault, isClosed: first, isPeerClosed: second),
        Wrapped(right, fault, isClosed: second, isPeerClosed: first)
      )
    }

    private func isDue(every period: Int) -> Bool {
      count.withLock { count in
        count += 1
        return count % period == 0
      }
    }

    var readinessSource: ReadinessSource { .signal }

    func attach(_ signal: ReadinessSignal) { if fault != .forgetsReadiness { inner.attach(signal) } }

    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      if fault == .resetsAtOnce, isPeerClosed.isUp, hasSent.isUp {
        return .failed(TransportError(.receive, .connectionReset))
      }
      let attempt = unsafe inner.receive(into: memory)
      switch (fault, attempt) {
      case (.losesEnd, .endOfStream): return .wouldBlock
      case (.movesBehindEnd, .endOfStream):
        unsafe memory[0] = 1
        return isDue(every: 2) ? .transferred(1) : .endOfStream
      case (.offloadsTwice, .transferred): return .offload
      default: return attempt
      }
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
      hasSent.raise()
      if fault == .losesByte, bytes.count > 1, isDue(every: 5) {
        guard
          case .transferred(let count) = unsafe inner.send(
            UnsafeRawBufferPointer(rebasing: bytes.dropFirst()))
        else { return .wouldBlock }
        return .transferred(count + 1)
      }
      let attempt = unsafe inner.send(bytes)
      switch (fault, attempt) {
      case (.repeatsByte, .transferred(let count)) where count > 1 && isDue(every: 5):
        return .transferred(count - 1)
      case (.countsTooMuch, .transferred(let count)): return .transferred(count + 1)
      case (.acceptsForNobody, .failed): return .transferred(bytes.count)
      default: return attempt
      }
    }

    func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
      if fault == .swapsParts, parts.count > 1 { return unsafe send(parts[1]) }
      var whole: [UInt8] = []
      for index in parts.indices { unsafe whole.append(contentsOf: parts[index]) }
      return unsafe whole.withUnsafeBytes { unsafe send($0) }
    }

    func finishSending() throws(TransportError) { try inner.finishSending() }
    func close() {
      isClosed.raise()
      inner.close()
    }
  }
}
