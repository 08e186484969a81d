import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// A deadline wherever a timeout can be given.
@Suite(.lastResort, .leavesNothing) struct DeadlineTests {
  /// One that passed a moment ago, as an instant of the clock and not as `immediately`.
  private func past() -> Deadline { Deadline(nanoseconds: Deadline.now.nanoseconds - 1) }

  @Test func `a call takes a timeout, a deadline, or both, and the earlier one counts`() {
    let now = Deadline.now
    let soon = Deadline(nanoseconds: now.nanoseconds + 1_000_000_000_000)
    let never = CallLimit(nil, .never)
    #expect(never.mayWait && never.deadline == .never)
    let byDeadline = CallLimit(nil, soon)
    #expect(byDeadline.mayWait && byDeadline.deadline == soon)
    #expect(CallLimit(.seconds(100_000), soon).deadline == soon)
    #expect(CallLimit(.seconds(1), soon).deadline < soon)
    #expect(CallLimit(.seconds(1), .never).deadline > now)
    #expect(CallLimit(.zero, soon).deadline == .immediately)
    #expect(CallLimit(.seconds(1), .immediately).deadline == .immediately)
    #expect(CallLimit(.seconds(1), .never).mayWait && !CallLimit(nil, .immediately).mayWait)
    #expect(!CallLimit(.zero, .never).mayWait && !CallLimit(.seconds(-1), soon).mayWait)
  }

  @Test func `a timeout that is too long for the clock never comes, and one that is not is exact`() {
    // 2^64 nanoseconds are 18,446,744,073.709551616 seconds.
    #expect(Deadline.after(.seconds(Int64.max)) == .never)
    #expect(Deadline.after(.seconds(18_446_744_073)) == .never)
    #expect(Deadline.after(.seconds(18_446_744_073) + .milliseconds(800)) == .never)
    #expect(Deadline.after(.seconds(18_446_744_074)) == .never)
    #expect(Deadline.after(nil) == .never)
    #expect(Deadline.after(.zero) == .immediately && Deadline.after(.seconds(-1)) == .immediately)
    for (timeout, nanoseconds) in [
      (Duration.seconds(3), 3_000_000_000), (.milliseconds(1_500), 1_500_000_000), (.nanoseconds(1), 1),
      (Duration(secondsComponent: 0, attosecondsComponent: 1), 1),
      (Duration(secondsComponent: 2, attosecondsComponent: 1_000_000_001), 2_000_000_002),
    ] as [(Duration, UInt64)] {
      let before = Deadline.now.nanoseconds
      let deadline = Deadline.after(timeout).nanoseconds
      #expect(before + nanoseconds <= deadline && deadline <= Deadline.now.nanoseconds + nanoseconds)
    }
  }

  @Test func `what remains is negative without limit, and nothing when it has passed`() {
    #expect(Deadline.never.remaining == -1 && !Deadline.never.hasPassed)
    for passed in [0, 1, Deadline.now.nanoseconds] as [UInt64] {
      #expect(Deadline(nanoseconds: passed).remaining == 0)
      #expect(Deadline(nanoseconds: passed).hasPassed)
    }
    let later = Deadline(nanoseconds: Deadline.now.nanoseconds + 10_000_000_000_000)
    #expect(!later.hasPassed && later.remaining > 0 && later.remaining <= 10_000_000_000_000)
    #expect(Deadline(nanoseconds: .max - 1).remaining > 0)
  }

  /// The event may be an old one, of bytes that the thread has taken since.
  @Test(arguments: [false, true])
  func `a call that cannot wait ends although a thread polls and an event has brought nothing`(
    _ isThread: Bool
  ) async throws {
    let (reader, writer) = try makePipe(framing: .varInt)
    let half = try #require(reader.core.receiving)
    let polling = TestThread { try reader.blocking.receive() }
    await eventually { half.inspect { $0.queue.first?.isPolling == true || $0.loneWaiter != nil } }
    half.stir()
    let ended = Guarded<EndpointError?>(nil)
    let late = Task {
      let error =
        isThread
        ? try await TestThread { blockingError { try reader.blocking.receive(timeout: .zero) } }.value
        : await endpointError { try await reader.receive(timeout: .zero) }
      ended.withLock { $0 = error }
    }
    await eventually { ended.withLock { $0?.reason } == .timedOut }
    try await writer.send([1])
    #expect(try await polling.value == [1])
    try await late.value
  }

  @Test func `every asynchronous receive ends by its deadline`() async throws {
    let (raw, peer) = try makeSocketPair()
    let messages = MessageDuplex(over: raw)
    let (longAgo, hour) = (past(), Duration.seconds(3600))
    let reasons: [EndpointError.Reason?] = [
      await endpointError { try await raw.receive(exactly: 1, until: longAgo) }?.reason,
      await endpointError { try await raw.receive(upTo: 1, timeout: hour, until: longAgo) }?.reason,
      await endpointError { try await raw.receive(until: .immediately) }?.reason,
      await endpointError { try await raw.receiveBytes(until: longAgo) }?.reason,
      await endpointError { try await messages.receive(timeout: hour, until: longAgo) }?.reason,
      await endpointError { try await messages.next(until: longAgo) }?.reason,
      await endpointError { try await messages.withMessage(until: longAgo) { $0.count } }?.reason,
    ]
    #expect(reasons == Array(repeating: .timedOut, count: 7))
    // One that has passed still takes what is there.
    try await peer.send(try varIntFrame([7]) + [8])
    #expect(try await messages.receive(until: longAgo) == [7])
    #expect(try await raw.receive(exactly: 1, until: longAgo) == [8])
  }

  @Test func `every blocking receive ends by its deadline`() async throws {
    let (raw, peer) = try makeSocketPair()
    let messages = MessageDuplex(over: raw)
    let longAgo = past()
    let reasons = try await TestThread { () -> [EndpointError.Reason?] in
      [
        blockingError { try raw.blocking.receive(exactly: 1, until: longAgo) }?.reason,
        blockingError { try raw.blocking.receive(upTo: 1, timeout: .seconds(3600), until: longAgo) }?.reason,
        blockingError { try raw.blocking.receive(until: .immediately) }?.reason,
        blockingError { try raw.blocking.receiveBytes(until: longAgo) }?.reason,
        blockingError { try messages.blocking.receive(until: longAgo) }?.reason,
        blockingError { try messages.blocking.next(until: longAgo) }?.reason,
        blockingError { try messages.blocking.withMessage(until: longAgo) { $0.count } }?.reason,
      ]
    }.value
    #expect(reasons == Array(repeating: .timedOut, count: 7))
    try await peer.send([8])
    #expect(try await TestThread { try raw.blocking.receive(exactly: 1, until: longAgo) }.value == [8])
  }

  @Test func `every send ends by its deadline`() async throws {
    let (raw, peer) = try makeSocketPair()
    let messages = MessageDuplex(over: raw)
    // The message of another sender fills the socket, and the peer does not read.
    let first = Task { try await raw.send(pattern(4_000_000)) }
    await eventually { raw.queued == 1 }
    let longAgo = past()
    let bytes: [UInt8] = [1, 2]
    let reasons: [EndpointError.Reason?] = [
      await endpointError { try await raw.send(bytes, until: longAgo) }?.reason,
      await endpointError { try await raw.send("x", until: longAgo) }?.reason,
      await endpointError { try await raw.send(bytes.span, until: longAgo) }?.reason,
      await endpointError { try await raw.send(unsafe bytes.span.bytes, until: longAgo) }?.reason,
      await endpointError { try await raw.send(bytes, passing: [], until: longAgo) }?.reason,
      await endpointError { try await raw.flush(until: longAgo) }?.reason,
      await endpointError { try await messages.send(bytes, until: longAgo) }?.reason,
      await endpointError { try await messages.send(bytes[...], until: longAgo) }?.reason,
      await endpointError { try await messages.send("x", until: longAgo) }?.reason,
      await endpointError { try await messages.send(bytes.span, until: longAgo) }?.reason,
      await endpointError { try await messages.send(unsafe bytes.span.bytes, until: longAgo) }?.reason,
      await endpointError { try await messages.send(contentsOf: [bytes], until: longAgo) }?.reason,
    ]
    #expect(reasons == Array(repeating: .timedOut, count: 12))
    let blocking = try await TestThread { () -> [EndpointError.Reason?] in
      let bytes: [UInt8] = [1, 2]
      return [
        blockingError { try raw.blocking.send(bytes, until: longAgo) }?.reason,
        blockingError { try raw.blocking.send("x", until: longAgo) }?.reason,
        blockingError { try raw.blocking.send(bytes.span, until: longAgo) }?.reason,
        blockingError { try raw.blocking.send(unsafe bytes.span.bytes, until: longAgo) }?.reason,
        blockingError { try raw.blocking.send(bytes, passing: [], until: longAgo) }?.reason,
        blockingError { try raw.blocking.flush(until: longAgo) }?.reason,
        blockingError { try messages.blocking.send(bytes, until: longAgo) }?.reason,
        blockingError { try messages.blocking.send(bytes[...], until: longAgo) }?.reason,
        blockingError { try messages.blocking.send("x", until: longAgo) }?.reason,
        blockingError { try messages.blocking.send(bytes.span, until: longAgo) }?.reason,
        blockingError { try messages.blocking.send(unsafe bytes.span.bytes, until: longAgo) }?.reason,
        blockingError { try messages.blocking.send(contentsOf: [bytes], until: longAgo) }?.reason,
      ]
    }.value
    #expect(blocking == Array(repeating: .timedOut, count: 12))
    #expect(await endpointError { try await raw.close(drainingUntil: longAgo) }?.reason == .timedOut)
    #expect(raw.isClosed)
    #expect(await endpointError { try await first.value }?.reason == .closed)
    withExtendedLifetime(peer) {}
  }

  @Test func `calls that share a deadline end together`() async throws {
    let (reader, writer) = try makePipe(framing: .varInt)
    try await writer.send(contentsOf: [[1], [2]])
    let deadline = Deadline.after(.milliseconds(50))
    var received: [[UInt8]] = []
    let error = await endpointError {
      while let message = try await reader.next(timeout: .seconds(3600), until: deadline) {
        received.append(message)
      }
    }
    #expect(received == [[1], [2]])
    #expect(error?.reason == .timedOut)
    #expect(deadline.hasPassed)
  }

  @Test func `a raw span is sent as it is`() async throws {
    let (left, right) = try makeSocketPair()
    let bytes: [UInt8] = [1, 2, 3]
    let count = try await left.send(unsafe bytes.span.bytes)
    #expect(count == 3)
    #expect(try await right.receive(exactly: 3) == bytes)
    let thread = TestThread { () -> Int in
      let bytes: [UInt8] = [4, 5]
      return try left.blocking.send(unsafe bytes.span.bytes)
    }
    #expect(try await thread.value == 2)
    #expect(try await right.receive(exactly: 2) == [4, 5])
  }
}
