import SWMessaging
import SWTesting
import Synchronization
import TestSupport
import Testing

/// Lines 6, 11 and 14 of the contract, with real threads and tasks.
@Suite(.lastResort, .leavesNothing) struct FairnessTests {
  @Test(arguments: [(Wire.pipe, 25_000), (.unix, 100_000), (.tcp, 25_000)])
  func `line 6: eight threads and eight tasks send numbered messages through one endpoint`(
    _ wire: Wire, _ count: Int
  ) async throws {
    let (raw, rawWriter) = try wire.make()
    let reader = MessageReader(over: raw)
    let writer = MessageWriter(over: rawWriter)
    let each = stressed(count) / 16
    // All have sent their first message before any continues, so all of them run.
    let allRun = Gate()
    let threads = (0..<8).map { sender in
      TestThread {
        try writer.blocking.send(FairnessTests.message(sender, 0))
        allRun.waitBlocking()
        for number in 1..<each { try writer.blocking.send(Self.message(sender, number)) }
      }
    }
    let tasks = (8..<16).map { sender in
      Task {
        try await writer.send(FairnessTests.message(sender, 0))
        await allRun.wait()
        for number in 1..<each { try await writer.send(FairnessTests.message(sender, number)) }
      }
    }
    var next = [Int](repeating: 0, count: 16)
    for received in 0..<16 * each {
      let message = try await reader.receive()
      let (sender, number) = Self.parse(message)
      // An expectation for each of the messages would take longer than the messages.
      if number != next[sender] { Issue.record("\(number) of \(sender) instead of \(next[sender])") }
      next[sender] = number + 1
      if received == 15 { allRun.open() }
    }
    for thread in threads { try await thread.value }
    for task in tasks { try await task.value }
    #expect(next == [Int](repeating: each, count: 16))
  }

  private static func message(_ sender: Int, _ number: Int) -> [UInt8] {
    unsafe [UInt8(sender)] + withUnsafeBytes(of: UInt32(number).bigEndian) { unsafe Array($0) }
      + [UInt8](repeating: UInt8(sender), count: number % 300)
  }

  private static func parse(_ message: [UInt8]) -> (Int, Int) {
    let number = message[1...4].reduce(0) { $0 << 8 | Int($1) }
    if message.count != 5 + number % 300 || message[5...].contains(where: { $0 != message[0] }) {
      Issue.record("\(message) is torn")
    }
    return (Int(message[0]), number)
  }

  /// The callers in the order in which they were served.
  private final class Log: Sendable {
    private let receivers = Guarded<[Int]>([])
    var order: [Int] { receivers.withLock { $0 } }
    func append(_ receiver: Int) { receivers.withLock { $0.append(receiver) } }
  }

  /// Fault 20 of the original: on one endpoint a thread got 14,538 messages and a task 1,003.
  ///
  /// Each message is sent when every receiver waits again, so the shares follow from the order of the queue alone.
  @Test func `line 6: fault 20: receivers that wait are served in turn, threads and tasks alike`()
    async throws
  {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let log = Log()
    let threads = (0..<2).map { receiver in
      TestThread {
        while try left.blocking.next() != nil { log.append(receiver) }
      }
    }
    let tasks = (2..<4).map { receiver in
      Task {
        while try await left.next() != nil { log.append(receiver) }
      }
    }
    for round in 0..<200 {
      // The log first: a receiver that is in it waits again only if it has come back since.
      await eventually { log.order.count == round && left.queued == 4 }
      try await right.send([UInt8(round)])
    }
    await eventually { log.order.count == 200 && left.queued == 4 }
    right.finishSending()
    for thread in threads { try await thread.value }
    for task in tasks { try await task.value }
    let served = log.order
    #expect(Set(served[..<4]) == [0, 1, 2, 3])
    #expect((4..<200).allSatisfy { served[$0] == served[$0 - 4] })
  }

  /// Senders of either kind wait for room in a full pipe: no waiting sender is served twice before another.
  @Test func `line 6: fault 20: senders that wait are served in turn, threads and tasks alike`() async throws
  {
    let (raw, rawWriter) = try makePipe()
    let writer = MessageWriter(over: rawWriter)
    // With its header a message has the size of a page: each page that is read makes room for one.
    let byteCount = 4_093
    // The pipe is full, so that every sender has to wait from the beginning.
    var filled = 0
    while true {
      do throws(EndpointError) {
        filled += try await rawWriter.send([UInt8](repeating: 9, count: 4_096), timeout: .zero)
      } catch {
        try #require(error.reason == .timedOut)
        break
      }
    }
    let rounds = 20
    let log = Log()
    let threads = (0..<8).map { sender in
      TestThread {
        for _ in 0..<rounds {
          try writer.blocking.send([UInt8](repeating: UInt8(sender), count: byteCount))
          log.append(sender)
        }
      }
    }
    let tasks = (8..<16).map { sender in
      Task {
        for _ in 0..<rounds {
          try await writer.send([UInt8](repeating: UInt8(sender), count: byteCount))
          log.append(sender)
        }
      }
    }
    // One page at a time, and the next when the sender whose message took its place waits again. Before the last
    // round each of the sixteen has something to send.
    for page in 0..<16 * (rounds - 1) {
      await eventually { log.order.count == page && writer.queued == 16 }
      _ = try await raw.receive(exactly: 4_096)
    }
    await eventually { log.order.count == 16 * (rounds - 1) && writer.queued == 16 }
    let served = log.order
    #expect(Set(served[..<16]) == Set(0..<16))
    #expect((16..<served.count).allSatisfy { served[$0] == served[$0 - 16] })
    for _ in 0..<16 + filled / 4_096 { _ = try await raw.receive(exactly: 4_096) }
    for thread in threads { try await thread.value }
    for task in tasks { try await task.value }
  }

  @Test func `line 14: cancellation, deadline, close and readiness race in any order`() async throws {
    for round in 0..<stressed(20_000) {
      let (left, right) = try makeSocketPair(framing: .varInt)
      let frames = round % 3
      let receivers = (0..<3).map { index in
        Task { () -> [UInt8]? in
          do throws(EndpointError) {
            return try await left.receive(timeout: index == 0 ? .microseconds(round % 200) : nil)
          } catch {
            switch error.reason {
            case .timedOut, .cancelled, .closed: return nil
            default:
              Issue.record("\(error)")
              return nil
            }
          }
        }
      }
      for byte in 0..<frames { try await right.send([UInt8(byte)]) }
      receivers[1].cancel()
      var received: [[UInt8]] = []
      if round % 2 == 0 { left.close() }
      if round % 2 == 1 {
        // Messages that no caller took are still there, in order.
        let first = await receivers[0].value
        let second = await receivers[1].value
        received += [first, second].compactMap { $0 }
        receivers[2].cancel()
        if let third = await receivers[2].value { received.append(third) }
        while received.count < frames { received.append(try await left.receive(timeout: .zero)) }
        #expect(Set(received) == Set((0..<frames).map { [UInt8($0)] }))
      } else {
        for receiver in receivers { _ = await receiver.value }
        #expect(await endpointError { try await left.receive() }?.reason == .closed)
      }
      #expect(left.queued == 0)
    }
  }

  @Test func `line 11: a hundred tasks wait, and the pool is free for others`() async throws {
    var pairs: [(MessageDuplex<VarIntFraming>, MessageDuplex<VarIntFraming>)] = []
    for _ in 0..<100 { pairs.append(try makeSocketPair(framing: .varInt)) }
    let waiting = pairs.map { pair in Task { try await pair.0.receive() } }
    await eventually { pairs.allSatisfy { $0.0.queued == 1 } }
    // This very task still runs, and so do others.
    for pair in pairs { try await pair.1.send("go") }
    for task in waiting { #expect(try await task.value == Array("go".utf8)) }
  }

  @Test func `the reactor's executor runs tasks, and messages resume them there`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let echo = Task.detached(executorPreference: .reactor) {
      var hops = 0
      while let message = try await left.next() {
        if !Reactor.isCurrentThread { hops += 1 }
        try await left.send(message)
      }
      return hops
    }
    for round in 0..<200 {
      try await right.send([UInt8(round)])
      #expect(try await right.receive() == [UInt8(round)])
    }
    right.finishSending()
    #expect(try await echo.value == 0)
  }

  @Test func `line 10: waiting leaves nothing behind`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    for _ in 0..<50 {
      #expect(await endpointError { try await left.receive(timeout: .microseconds(50)) }?.reason == .timedOut)
      let task = Task { await endpointError { try await left.receive(timeout: .seconds(1000)) } }
      await eventually { left.queued == 1 }
      task.cancel()
      #expect(await task.value?.reason == .cancelled)
    }
    #expect(left.queued == 0)
    try await right.send(pattern(50_000))
    _ = try await left.receive()
    // The caller may be resumed before the reactor has given the turn back.
    await eventually { left.core.receiving?.inspect { !$0.turn } ?? false }
    // No read-ahead memory while nothing is unread.
    #expect(unsafe left.core.receiving?.turn.capacity == 0)
  }
}
