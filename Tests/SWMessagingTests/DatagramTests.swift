import CSysShim
import Foundation
import SWFraming
import SWIO
import SWJSON
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Sockets that carry datagrams: raw endpoints, and message endpoints whose frames fill them.
@Suite(.lastResort, .leavesNothing) struct DatagramTests {
  static let kinds = [SocketPairKind.unixDatagrams, .unixPackets]

  @Test(arguments: kinds)
  func `line 12: fault 14: a datagram is received whole, whatever its size`(_ kind: SocketPairKind)
    async throws
  {
    let (left, right) = try makeSocketPair(kind)
    for size in [1, 0, 5, 0, 65_536, 65_537, 0, 150_000, 3] {
      let sent = pattern(size, seed: size)
      #expect(try await left.send(sent) == size)
      #expect(try await right.receive() == sent)
    }
  }

  @Test(arguments: kinds)
  func `line 12: a thread and a task receive datagrams like each other`(_ kind: SocketPairKind) async throws {
    let (left, right) = try makeSocketPair(kind)
    let task = Task { try await right.receive() }
    await eventually { right.queued == 1 }
    let thread = TestThread { try right.blocking.receive() }
    await eventually { right.queued == 2 }
    try await left.send("first")
    try await left.send("")
    #expect(try await task.value == Array("first".utf8))
    #expect(try await thread.value == [])
  }

  @Test func `line 7: fault 14: an empty packet is not the end, even right in front of it`() async throws {
    for empties in 0...3 {
      let (left, right) = try makeSocketPair(.unixPackets)
      for _ in 0..<empties { try await left.send("") }
      try await left.send("x")
      for _ in 0..<empties { try await left.send("") }
      left.close()
      for _ in 0..<empties { #expect(try await right.receive() == []) }
      #expect(try await right.receive() == Array("x".utf8))
      for _ in 0..<empties { #expect(try right.receiveBlocking() == []) }
      for _ in 0..<2 {
        #expect(await endpointError { try await right.receive() }?.reason == .endOfStream)
      }
    }
  }

  @Test func `line 7: a half-close ends packets, and the other direction goes on`() async throws {
    let (left, right) = try makeSocketPair(.unixPackets, framing: .datagram)
    try await left.send("last")
    left.finishSending()
    #expect(try await right.next() == Array("last".utf8))
    #expect(try await right.next() == nil)
    try await right.send("answer")
    #expect(try await left.receive() == Array("answer".utf8))
  }

  @Test func `a size cuts a datagram or has to fit it, and the next is whole`() async throws {
    let (left, right) = try makeSocketPair(.unixDatagrams)
    for text in ["hello", "world", "again"] { try await left.send(text) }
    #expect(try await right.receive(upTo: 2) == Array("he".utf8))
    let error = await endpointError { try await right.receive(exactly: 3) }
    #expect(error?.partialBytes == Array("world".utf8))
    guard case .codec(let misfit as FramingError) = error?.reason else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(misfit.kind == .misfit)
    #expect(try await right.receive(exactly: 5) == Array("again".utf8))
  }

  @Test func `a datagram that is too large fails alone`() async throws {
    let (left, right) = try makeSocketPair(.unixDatagrams)
    let error = await endpointError { try await left.send([UInt8](repeating: 7, count: 4 << 20)) }
    #expect(error?.reason == .transport(TransportError(.send, .messageTooLong)))
    try await left.send("small")
    #expect(try await right.receive() == Array("small".utf8))
  }

  @Test(arguments: kinds)
  func `small print: a frame fills its datagram exactly, and one that does not is consumed`(
    _ kind: SocketPairKind
  ) async throws {
    let (raw, other) = try makeSocketPair(kind)
    let messages = MessageDuplex(over: other, framing: .varInt)
    try await messages.send("out")
    #expect(try await raw.receive() == [3] + Array("out".utf8))
    // The fault: `05 he` was received as `he`.
    for wrong in [[5, 0x68, 0x65], [1, 0x68, 0x65], []] as [[UInt8]] {
      try await raw.send(wrong)
      try await raw.send([2, 0x68, 0x69])
      let error = await endpointError { try await messages.receive() }
      #expect(error?.partialBytes == wrong)
      guard case .codec(let misfit as FramingError) = error?.reason else {
        Issue.record("\(String(describing: error))")
        continue
      }
      #expect(misfit.kind == .misfit)
      #expect(try await messages.receive() == Array("hi".utf8))
    }
    try await raw.send([0])
    #expect(try await messages.receive() == [])
  }

  @Test(arguments: kinds)
  func `small print: bare datagrams are messages, empty ones too, alone and in batches`(
    _ kind: SocketPairKind
  ) async throws {
    let (left, right) = try makeSocketPair(kind, framing: .datagram)
    let messages: [[UInt8]] = [[], [1], [], pattern(70_000), [], [2, 3]]
    try await left.send(contentsOf: messages)
    for message in messages { #expect(try await right.receive() == message) }
    for message in messages {
      try await left.send(message)
      let copy = try await right.withMessage { span in
        unsafe span.withUnsafeBufferPointer { unsafe Array($0) }
      }
      #expect(copy == message)
    }
  }

  @Test(arguments: kinds, [true, false])
  func `batches of datagrams wait for room, and none is lost or torn`(
    _ kind: SocketPairKind, _ isTask: Bool
  ) async throws {
    let (left, right) = try makeSocketPair(kind, framing: .datagram)
    let messages = (0..<500).map { pattern($0 % 7 == 0 ? 0 : $0 % 50 == 3 ? 90_000 : $0 * 3, seed: $0) }
    let task = isTask ? Task { try await left.send(contentsOf: messages, timeout: .patience) } : nil
    let thread =
      isTask ? nil : TestThread { try left.blocking.send(contentsOf: messages, timeout: .patience) }
    let receiving = Task {
      for message in messages {
        let received = try await right.receive(timeout: .patience)
        #expect(received == message)
      }
    }
    // First, for what is missing at the other end may be missing because of it.
    try await task?.value
    try await thread?.value
    try await receiving.value
    #expect(await endpointError { try await right.receive(timeout: .zero) }?.reason == .timedOut)
  }

  @Test func `typed messages go over datagrams too`() async throws {
    let numbers = DatagramFraming.datagram.json([Int].self)
    let (left, right) = try makeSocketPair(.unixPackets, framing: numbers)
    try await left.send(contentsOf: [[1, 2], [], [3]])
    #expect(try await right.receive() == [1, 2])
    #expect(try await right.receive() == [])
    #expect(try await right.receive() == [3])
  }

  @Test func `bare datagrams need datagrams`() async throws {
    let (left, right) = try makeSocketPair(.unix, framing: .datagram)
    let refused = EndpointError.Reason.framing(FramingError(.needsDatagrams, offset: 0))
    #expect(await endpointError { try await left.send("no") }?.reason == refused)
    #expect(await endpointError { try await left.send(contentsOf: [[1]] as [[UInt8]]) }?.reason == refused)
    try await MessageDuplex(core: left.core, framing: .varInt, mode: .exact, maximumFrameSize: 100).send("x")
    #expect(await endpointError { try await right.receive() }?.reason == refused)
  }

  @Test func `a frame above the limit is refused, and consumed`() async throws {
    let pair = try DescriptorPair.sockets(.unixDatagrams)
    let left = try SocketDuplex(adopting: pair.first)
    let right = try MessageDuplex(adopting: pair.second, framing: .datagram, maximumFrameSize: 10)
    try await left.send(pattern(11))
    try await left.send(pattern(10))
    let error = await endpointError { try await right.receive() }
    guard case .codec(let refusal as FramingError) = error?.reason else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(refusal.kind == .tooLarge(declared: 11, limit: 10))
    #expect(try await right.receive() == pattern(10))
  }

  @Test func `line 3: senders wait for room, and every datagram is whole`() async throws {
    let (left, right) = try makeSocketPair(.unixDatagrams, framing: .varInt)
    let tasks = (0..<4).map { seed in
      Task { for index in 0..<200 { try await left.send(pattern(index * 37 % 3_000, seed: seed)) } }
    }
    let thread = TestThread { for index in 0..<200 { try left.blocking.send(pattern(index, seed: 9)) } }
    var count = 0
    while count < 1_000 {
      _ = try await right.receive(timeout: .patience)
      count += 1
    }
    for task in tasks { try await task.value }
    try await thread.value
    #expect(await endpointError { try await right.receive(timeout: .zero) }?.reason == .timedOut)
  }

  /// It was received for a caller that left meanwhile. Unread bytes could not show that it is there.
  @Test(arguments: [[], [1, 2]] as [[UInt8]])
  func `line 2: a datagram whose receiver left is not detached, and goes to the next`(_ datagram: [UInt8])
    async throws
  {
    let transport = OneDatagram(datagram)
    let reactor = ManualReactor()
    let core = EndpointCore(transport, for: .readable, reactor: reactor)
    guard let half = core.receiving,
      case .queued(let place) = half.start(.upTo(.max), as: .task, until: .never)
    else {
      Issue.record("it has to wait")
      return
    }
    transport.bring { half.giveUp(place, .cancelled) }
    reactor.drive()
    #expect(place.isDecided)
    #expect(Half.retire(half, nil) == .unreadDatagrams)
    #expect(try await SocketReader(core: core).receive(timeout: .zero) == datagram)
    #expect(Half.retire(half, nil) == nil)
    half.port.leave(.readable)
  }

  /// Brings one datagram, and lets something happen while it does.
  private final class OneDatagram: SocketLike {
    private let datagram: [UInt8]
    private let signal = Guarded<ReadinessSignal?>(nil)
    private let meanwhile = Guarded<(@Sendable () -> Void)?>(nil)

    init(_ datagram: [UInt8]) { self.datagram = datagram }

    func bring(_ meanwhile: @escaping @Sendable () -> Void) {
      self.meanwhile.withLock { $0 = meanwhile }
      signal.withLock { $0 }?.raise(.readable)
    }

    let readinessSource = ReadinessSource.signal
    let content = TransportContent.datagrams
    func attach(_ signal: ReadinessSignal) { self.signal.withLock { $0 = signal } }
    func nextDatagramSize() -> Attempt {
      meanwhile.withLock { $0 == nil } ? .wouldBlock : .transferred(datagram.count)
    }
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      guard let happens = meanwhile.withLock({ $0.take() }) else { return .wouldBlock }
      happens()
      unsafe memory.copyBytes(from: datagram)
      return .transferred(datagram.count)
    }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { .failed(TransportError(.send, .notSupported)) }
    func finishSending() {}
    func close() {}
  }

  @Test func `line 2: a datagram that nobody took is there for the next`() async throws {
    let (left, right) = try makeSocketPair(.unixDatagrams)
    #expect(await endpointError { try await right.receive(timeout: .zero) }?.reason == .timedOut)
    let waiting = Task { try await right.receive() }
    await eventually { right.queued == 1 }
    waiting.cancel()
    #expect(await endpointError { try await waiting.value }?.reason == .cancelled)
    try await left.send("for the next")
    #expect(try await right.receive(timeout: .zero) == Array("for the next".utf8))
  }

  /// A message of many parts.
  private struct ManyParts: Framing {
    struct Scanner: FrameScanner {
      mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
        .atLeast(received.count + 1)
      }
    }
    func makeScanner() -> Scanner { Scanner() }
    func encode(_ message: [[UInt8]], into parts: inout FrameParts) throws {
      for part in message {
        parts.append(UInt8(1))
        parts.append(part)
      }
    }
    func decode(_ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Scanner) throws -> [[UInt8]] {
      []
    }
  }

  @Test func `a frame of many parts is one datagram`() async throws {
    let pair = try DescriptorPair.sockets(.unixDatagrams)
    let here = try MessageDuplex(adopting: pair.first, framing: ManyParts())
    let there = try MessageDuplex(adopting: pair.second, framing: .datagram)
    let message = [[UInt8]](repeating: [UInt8](repeating: 7, count: 1_024), count: 40)
    try await here.send(message, timeout: .patience)
    #expect(try await there.receive(timeout: .patience).count == 40 * 1_025)
    #expect(await endpointError { try await there.receive(timeout: .zero) }?.reason == .timedOut)
  }
}

extension SocketDuplex {
  /// Usable from a test's async body: what it waits for is there.
  fileprivate func receiveBlocking() throws -> [UInt8] { try blocking.receive(timeout: .patience) }
}
