import SWFraming
import SWIO
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// Many messages in one call: what belongs to a batch, and what stays for the next call.
@Suite(.lastResort, .leavesNothing) struct BatchTests {
  private static func frames(_ payloads: [[UInt8]]) throws -> [UInt8] {
    try payloads.flatMap { try varIntFrame($0) }
  }

  /// A message of one byte: the value 9 is not understood, and a frame of 9 bytes breaks the framing.
  private struct Choosy: Framing {
    struct NotUnderstood: Error {}

    struct Scanner: FrameScanner {
      mutating func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
        if received.isEmpty { return .atLeast(1) }
        if received[0] == 9 {
          throw FramingError(.tooLarge(declared: 9, limit: 1), offset: 0)
        }
        return .frame(byteCount: 2, payload: 1..<2)
      }
    }

    func makeScanner() -> Scanner { Scanner() }
    func decode(_ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Scanner) throws -> UInt8 {
      if frame[1] == 9 { throw NotUnderstood() }
      return frame[1]
    }
    func encode(_ message: UInt8, into parts: inout FrameParts) throws {
      parts.append(1)
      parts.append(message)
    }
  }

  // MARK: What belongs to a batch

  @Test(arguments: Wire.allCases)
  func `a batch is every message that has arrived, up to a count or a size`(_ wire: Wire) async throws {
    let (raw, writer) = try wire.make()
    let reader = MessageReader(over: raw)
    let messages = (0..<20).map { [UInt8](repeating: UInt8($0), count: $0) }
    try await writer.send(try Self.frames(messages))
    #expect(try await reader.receive() == [])
    #expect(reader.held == messages[1...].reduce(0) { $0 + 1 + $1.count })
    #expect(try await reader.receiveBatch(upTo: 3) == Array(messages[1...3]))
    #expect(
      try await TestThread { try reader.blocking.receiveBatch(upTo: 2) }.value == Array(messages[4...5]))
    // Frames of 7 and 8 bytes fit in 16; the next one would not.
    #expect(try await reader.receiveBatch(byteCount: 16) == Array(messages[6...7]))
    // The first one always comes.
    #expect(try await reader.receiveBatch(byteCount: 1) == [messages[8]])
    var lent: [[UInt8]] = []
    let alone = try await reader.withMessages(upTo: 1) { span in lent.append(span.indices.map { span[$0] }) }
    #expect(lent == [messages[9]] && alone == 1)
    lent = []
    let count = try await reader.withMessages { span in lent.append(span.indices.map { span[$0] }) }
    #expect(lent == Array(messages[10...]) && count == 10)
    #expect(await endpointError { try await reader.receiveBatch(timeout: .zero) }?.reason == .timedOut)
  }

  @Test func `a task that waits gets what came with its message`() throws {
    let hand = HandDriven(receiving: [.wouldBlock])
    let side = hand.side(.varInt)
    let call = hand.receive(side.request)
    hand.bring(.bytes(try Self.frames([[1], [2, 2], [3], [4]])))
    let outcome = try #require(hand.outcome(call))
    guard case .delivered = outcome else {
      Issue.record("the reactor has served it")
      return
    }
    let batch = try side.batch(outcome, BatchRoom(3, byteCount: .max))
    #expect(batch == [[1], [2, 2], [3]])
    #expect(hand.result(hand.receive(side.request), side)?.value == [4])
    #expect(hand.receiveHalf.inspect { !$0.turn && $0.queue.isEmpty })
  }

  @Test func `the messages of a batch follow one another, whoever came in between`() throws {
    let hand = HandDriven(receiving: [.wouldBlock])
    let side = hand.side(.varInt)
    let first = hand.receive(side.request)
    hand.bring(.bytes(try Self.frames([[1], [2], [3]])))
    // Before the first caller runs, a second one comes and takes the next message.
    #expect(hand.result(hand.receive(side.request), side)?.value == [2])
    let batch = try side.batch(try #require(hand.outcome(first)), BatchRoom(9, byteCount: .max))
    #expect(batch == [[1]])
    #expect(hand.result(hand.receive(side.request), side)?.value == [3])
  }

  @Test func `a batch leaves those alone who wait behind it`() throws {
    let hand = HandDriven(receiving: [.wouldBlock])
    let side = hand.side(.varInt)
    let calls = (0..<3).map { _ in hand.receive(side.request) }
    hand.bring(.bytes(try Self.frames([[1], [2]])))
    for (call, expected) in zip(calls, [1, 2] as [UInt8]) {
      let batch = try side.batch(try #require(hand.outcome(call)), BatchRoom(9, byteCount: .max))
      #expect(batch == [[expected]])
    }
    #expect(hand.outcome(calls[2]) == nil)
    hand.bring(.bytes(try Self.frames([[3]])))
    #expect(hand.result(calls[2], side)?.value == [3])
  }

  @Test func `with exact reading a batch is one message, and the rest stays in the kernel`() async throws {
    let (plain, writer) = try makePipe()
    let reader = MessageReader(core: plain.core, framing: .varInt, mode: .exact)
    try await writer.send(try Self.frames([[1], [2]]))
    #expect(try await reader.receiveBatch() == [[1]])
    #expect(reader.held == 0)
    #expect(try await reader.receiveBatch() == [[2]])
  }

  @Test func `a large message ends a batch and comes whole`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let large = pattern(300_000)
    async let sent: Void = left.send(contentsOf: [[1], [2], large, [3]])
    var messages: [[UInt8]] = []
    while messages.count < 4 { messages += try await right.receiveBatch() }
    try await sent
    #expect(messages == [[1], [2], large, [3]])
  }

  // MARK: What ends a batch

  @Test(arguments: [false, true])
  func `messages before a broken frame come first, and then the error, again and again`(
    _ waits: Bool
  ) async throws {
    let (left, right) = try makeSocketPair()
    let reader = MessageReader(over: right, framing: Choosy())
    let task = Task { () throws(EndpointError) in try await reader.receiveBatch() }
    if waits { await eventually { reader.queued == 1 } }
    try await left.send([1, 7, 1, 8, 9, 9])
    var batch = try await task.value
    if batch == [7] { batch += try await reader.receiveBatch() }
    #expect(batch == [7, 8])
    for _ in 0..<2 {
      let error = await endpointError { try await reader.receiveBatch() }
      guard case .framing = error?.reason else {
        Issue.record("the framing is broken: \(String(describing: error))")
        return
      }
    }
    #expect(blockingFramingError(reader))
  }

  private func blockingFramingError(_ reader: MessageReader<Choosy>) -> Bool {
    guard case .framing = blockingError(of: { try reader.blocking.receiveBatch() })?.reason else {
      return false
    }
    return true
  }

  @Test func `a message that is not understood ends the batch before it, and fails the next call alone`()
    async throws
  {
    let (left, right) = try makeSocketPair()
    let reader = MessageReader(over: right, framing: Choosy())
    try await left.send([1, 7, 1, 9, 1, 8])
    #expect(try await reader.receiveBatch() == [7])
    let error = await endpointError { try await reader.receiveBatch() }
    guard case .codec = error?.reason else {
      Issue.record("it is not understood: \(String(describing: error))")
      return
    }
    #expect(try await reader.receiveBatch() == [8])
  }

  @Test func `the end of the stream comes behind the last batch, and inside a message with its bytes`()
    async throws
  {
    let (left, right) = try makeSocketPair()
    let reader = MessageReader(over: right)
    try await left.send(try Self.frames([[1], [2]]) + [5, 1, 2])
    left.finishSending()
    #expect(try await reader.receiveBatch() == [[1], [2]])
    let error = await endpointError { try await reader.nextBatch() }
    #expect(error?.reason == .truncated && error?.partialBytes == [5, 1, 2])

    let (one, other) = try makeSocketPair(framing: .varInt)
    try await one.send(contentsOf: [[1], [2], [3]])
    one.finishSending()
    var batches: [[[UInt8]]] = []
    for try await batch in other.batches(upTo: 2) { batches.append(batch) }
    #expect(batches == [[[1], [2]], [[3]]])
    #expect(try await other.nextBatch() == nil)
    #expect(try await TestThread { try other.blocking.nextBatch() }.value == nil)
  }

  @Test func `a body that throws has taken its message, and no other`() async throws {
    struct Enough: Error {}
    let (left, right) = try makeSocketPair(framing: .varInt)
    try await left.send(contentsOf: [[1], [2], [3]])
    var seen: [UInt8] = []
    await #expect(throws: Enough.self) {
      try await right.withMessages { span in
        seen.append(span[0])
        if span[0] == 2 { throw Enough() }
      }
    }
    #expect(seen == [1, 2])
    #expect(try await right.receive() == [3])
    // The one that was waited for, too.
    let task = Task {
      try await right.withMessages { span in if span[0] == 4 { throw Enough() } }
    }
    await eventually { right.queued == 1 }
    try await left.send(contentsOf: [[4], [5]])
    await #expect(throws: Enough.self) { try await task.value }
    #expect(try await right.receive() == [5])
  }

  // MARK: Leaving

  /// Accepts everything, and cancels the task that sends.
  private final class Cancelling: SocketLike {
    var readinessSource: ReadinessSource { .signal }
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt { .wouldBlock }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
      unsafe withUnsafeCurrentTask { task in unsafe task?.cancel() }
      return .transferred(bytes.count)
    }
    func finishSending() throws(TransportError) {}
    func close() {}
  }

  @Test func `messages that have all gone out have been sent, cancelled or not`() async throws {
    let writer = MessageDuplex(transport: Cancelling(), framing: .varInt)
    defer { writer.close() }
    try await Task { try await writer.send(contentsOf: [[1], [2]] as [[UInt8]]) }.value
    // With messages left, the call ends where the next ones would begin.
    let many = [[UInt8]](repeating: [1, 2, 3], count: 100_000)
    let error = await Task { await endpointError { try await writer.send(contentsOf: many) } }.value
    let count = try #require(error?.messageCount)
    #expect(error?.reason == .cancelled && count > 0 && count < many.count)
  }

  @Test func `a batch that ends early has taken nothing`() async throws {
    let (left, right) = try makeSocketPair()
    let reader = MessageReader(over: right)
    try await left.send([3, 1, 2])
    let late = await endpointError { try await reader.receiveBatch(timeout: .milliseconds(1)) }
    #expect(late?.reason == .timedOut && late?.byteCount == 3)
    let task = Task { await endpointError { try await reader.receiveBatch() } }
    await eventually { reader.queued == 1 }
    task.cancel()
    #expect(await task.value?.reason == .cancelled)
    try await left.send([3] + [1, 9])
    #expect(try await reader.receiveBatch() == [[1, 2, 3], [9]])
    let gate = Gate()
    let cancelled = Task {
      await gate.wait()
      return await endpointError { try await reader.receiveBatch() }
    }
    cancelled.cancel()
    try await left.send([1, 4])
    gate.open()
    #expect(await cancelled.value?.reason == .cancelled)
    #expect(try await reader.receiveBatch() == [[4]])
    let waiting = Task { await endpointError { try await reader.receiveBatch() } }
    await eventually { reader.queued == 1 }
    reader.close()
    #expect(await waiting.value?.reason == .closed)
  }

  // MARK: Datagrams

  @Test(arguments: [SocketPairKind.unixDatagrams, .unixPackets])
  func `a datagram that is looked at in advance comes alone`(_ kind: SocketPairKind) async throws {
    let (left, right) = try makeSocketPair(kind, framing: .datagram)
    for message in [[1], [], [2]] as [[UInt8]] { try await left.send(message) }
    for message in [[1], [], [2]] as [[UInt8]] { #expect(try await right.receiveBatch() == [message]) }
  }

  @Test(arguments: UDPSocket.Version.allCases)
  func `datagrams that are held come in batches, empty ones too`(_ version: UDPSocket.Version) async throws {
    let (left, right) = try UDPSocket.pair(version)
    let (writer, reader) = (
      MessageWriter(over: left, framing: .datagram), MessageReader(over: right, framing: .datagram)
    )
    let sent: [[UInt8]] = [[1], [], [2, 2], [3], [4], [5]]
    for message in sent { try await writer.send(message) }
    #expect(try await reader.receiveBatch(upTo: 4) == Array(sent[..<4]))
    var lent: [UInt8] = []
    #expect(try await reader.withMessages { lent.append($0[0]) } == 2)
    #expect(lent == [4, 5] && reader.held == 0)
  }

  @Test func `a datagram that is not understood is the next call's error`() async throws {
    let (left, right) = try UDPSocket.pair(.v4)
    let reader = MessageReader(over: right, framing: Choosy())
    for datagram in [[1, 7], [1, 9], [1, 8]] as [[UInt8]] { _ = try await left.send(datagram) }
    #expect(try await reader.receiveBatch() == [7])
    let error = await endpointError { try await reader.receiveBatch() }
    guard case .codec = error?.reason else {
      Issue.record("it is not understood: \(String(describing: error))")
      return
    }
    #expect(try await reader.receiveBatch() == [8])
  }

  // MARK: Together

  @Test func `many receivers of batches share a stream, and none of it is lost or comes twice`() async throws
  {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let count = stressed(20_000)
    let sums = try await withThrowingTaskGroup(of: [Int].self) { group in
      for index in 0..<4 {
        group.addTask {
          var seen: [Int] = []
          func note(_ message: [UInt8]) { seen.append(message.reduce(0) { $0 << 8 | Int($1) }) }
          if index == 0 {
            while let message = try await right.next() { note(message) }
          } else {
            for try await batch in right.batches(upTo: index * 10) { for message in batch { note(message) } }
          }
          // Each receiver sees them in order.
          #expect(seen == seen.sorted())
          return seen
        }
      }
      try await left.send(
        contentsOf: (0..<count).map { [UInt8($0 >> 16), UInt8($0 >> 8 & 255), UInt8($0 & 255)] })
      left.finishSending()
      return try await group.reduce(into: []) { $0 += $1 }
    }
    #expect(sums.sorted() == Array(0..<count))
  }
}
