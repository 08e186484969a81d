import CSysShim
import CSysTestSupport
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Lines 5 and 6 of the contract.
@Suite(.lastResort, .leavesNothing) struct ClosingTests {
  private static var rounds: Int { stressed(10_000) }

  /// Faults 5, 6 and 19 of the original: closing left receivers blocked, and a reused number gave them a
  /// stranger's data. Ten thousand rounds on each kind: every caller hears of it, every number comes back.
  @Test(arguments: [Wire.pipe, .unix, .tcp])
  func `line 5: close wakes every blocked thread and task, and nobody reads a stranger's bytes`(
    _ wire: Wire
  ) async throws {
    let threads = 2
    let tasks = 2
    // The threads live through all rounds: what is tested is the parking, not pthread_create.
    let rounds = Rounds()
    let loops = (0..<threads).map { _ in
      TestThread { () -> Int in
        var closed = 0
        while let reader = rounds.nextBlocking() {
          let error = blockingError { try reader.blocking.receive() }
          if error?.reason == .closed { closed += 1 }
          rounds.done()
        }
        return closed
      }
    }
    for round in 0..<Self.rounds {
      let (raw, writer) = try wire.make()
      if wire == .tcp { try raw.withDescriptor { _ = swsys_set_linger_reset($0.rawValue) } }
      let reader = MessageReader(over: raw)
      let file = try reader.withDescriptor { OpenFile($0) }
      rounds.begin(reader, threads: threads)
      let waiting = (0..<tasks).map { _ in
        Task {
          do throws(EndpointError) {
            _ = try await reader.receive()
            return false
          } catch {
            return error.reason == .closed
          }
        }
      }
      // Sometimes all are parked, sometimes close meets them on their way.
      if round % 2 == 0 { await eventually { reader.queued == threads + tasks } }
      reader.close()
      // A stranger gets the number as soon as it is free; who is still on the way must not read from it.
      let (stranger, friend) = try makePipe()
      try await friend.send([1, 2, 3, 4])
      for task in waiting { #expect(await task.value) }
      await eventually { rounds.isIdle }
      await eventually { !file.isOpen }
      #expect(try await stranger.receive(exactly: 4, timeout: .zero) == [1, 2, 3, 4])
      #expect(await endpointError { try await reader.receive(timeout: .zero) }?.reason == .closed)
      withExtendedLifetime(writer) {}
    }
    rounds.end()
    var closed = 0
    for loop in loops { closed += try await loop.value }
    #expect(closed == threads * Self.rounds)
  }

  /// Hands one reader a round to threads that live on.
  private final class Rounds: Sendable {
    private struct State {
      var reader: MessageReader<VarIntFraming>?
      var begun = 0
      var waiting = 0
      var busy = 0
      var isOver = false
      var gate = Gate()
    }
    private let state = Guarded(State())

    var isIdle: Bool { state.withLock { $0.busy == 0 && $0.waiting == 0 } }

    func begin(_ reader: MessageReader<VarIntFraming>, threads: Int) {
      let gate = state.withLock { state in
        state.reader = reader
        state.waiting = threads
        defer { state.gate = Gate() }
        return state.gate
      }
      gate.open()
    }

    func end() {
      let gate = state.withLock { state in
        state.isOver = true
        return state.gate
      }
      gate.open()
    }

    func nextBlocking() -> MessageReader<VarIntFraming>? {
      while true {
        let (gate, reader, isOver) = state.withLock { state in
          if state.waiting > 0 {
            state.waiting -= 1
            state.busy += 1
            return (nil as Gate?, state.reader, false)
          }
          return (state.gate, nil, state.isOver)
        }
        if isOver { return nil }
        guard let gate else { return reader }
        gate.waitBlocking()
      }
    }

    func done() { state.withLock { $0.busy -= 1 } }
  }

  @Test(arguments: Wire.allCases)
  func `line 5: close ends blocked senders, too`(_ wire: Wire) async throws {
    let (reader, raw) = try wire.make()
    let writer = MessageWriter(over: raw)
    let large = pattern(20_000_000)
    let task = Task { await endpointError { try await writer.send(large) } }
    await eventually { writer.queued == 1 }
    let thread = TestThread { blockingError { try writer.blocking.send([1]) } }
    await eventually { writer.queued == 2 }
    writer.close()
    let begun = await task.value
    #expect(begun?.reason == .closed)
    #expect((begun?.byteCount ?? 0) > 0)
    #expect(try await thread.value?.reason == .closed)
    writer.close()
    #expect(await endpointError { try await writer.send([1]) }?.reason == .closed)
    #expect(await endpointError { try await writer.flush() }?.reason == .closed)
    withExtendedLifetime(reader) {}
  }

  /// Fault 6: a second close closed the stranger who had the number by then.
  @Test func `line 5: fault 6: closing twice closes nobody else`() throws {
    let (reader, writer) = try makePipe()
    let number = try reader.withDescriptor { $0.rawValue }
    reader.close()
    var strangers: [DescriptorHolder] = []
    while !strangers.contains(where: { $0.number == number }) {
      strangers.append(DescriptorHolder(try DescriptorPair.pipe()))
      if strangers.count > 500 { break }
    }
    reader.close()
    for stranger in strangers { #expect(stranger.pair.first.withDescriptor { OpenFile($0) }.isOpen) }
    #expect(blockingError { try reader.blocking.receive() }?.reason == .closed)
    withExtendedLifetime(writer) {}
  }

  private final class DescriptorHolder {
    let pair: DescriptorPair
    let number: Int32
    init(_ pair: consuming DescriptorPair) {
      number = pair.first.withDescriptor { $0.rawValue }
      self.pair = pair
    }
  }

  /// Fault 19: two endpoints on one number; dropped endpoints leaked descriptors.
  @Test(.defaultExecutor("the descriptor has to be closed at once"))
  func `line 5: fault 19: a dropped endpoint closes its descriptor`() throws {
    var files: [OpenFile] = []
    do {
      let (reader, writer) = try makePipe(framing: .varInt)
      let (left, right) = try makeSocketPair(framing: .varInt)
      for endpoint in [reader, writer, left, right] as [any Endpoint] {
        files.append(try endpoint.withDescriptor { OpenFile($0) })
      }
      let over = MessageReader(over: SocketReader(core: reader.core))
      over.close()
      #expect(reader.isClosed)
    }
    #expect(files.count == 4 && files.allSatisfy { !$0.isOpen })
    let (reader, writer) = try makePipe()
    let copy = try reader.withDescriptor { try SocketReader(duplicating: $0) }
    reader.close()
    try writer.blocking.send([5])
    #expect(try copy.blocking.receive() == [5])
  }

  @Test func `line 5: close waits with the number for who borrows it`() async throws {
    let (reader, writer) = try makePipe()
    let inside = Gate()
    let leave = Gate()
    let thread = TestThread {
      try reader.withDescriptor { descriptor in
        inside.open()
        leave.waitBlocking()
        return swsys_get_close_on_exec(descriptor.rawValue)
      }
    }
    await inside.wait()
    reader.close()
    #expect(reader.isClosed)
    leave.open()
    #expect(try await thread.value == 1)
    withExtendedLifetime(writer) {}
  }

  @Test func `line 6: places are first in, first out, across threads and tasks`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    var tasks: [Task<[UInt8], any Error>] = []
    var threads: [TestThread<[UInt8]>] = []
    for index in 0..<8 {
      if index % 2 == 0 {
        tasks.append(Task { try await left.receive() })
      } else {
        threads.append(TestThread { try left.blocking.receive() })
      }
      await eventually { left.queued == index + 1 }
    }
    // One who leaves does not hold up those behind.
    tasks[1].cancel()
    await eventually { left.queued == 7 }
    let expected: [UInt8] = [0, 1, 3, 4, 5, 6, 7]
    for byte in expected { try await right.send([byte]) }
    for (index, task) in tasks.enumerated() where index != 1 {
      #expect(try await task.value == [UInt8(index * 2)])
    }
    for (index, thread) in threads.enumerated() {
      #expect(try await thread.value == [UInt8(index * 2 + 1)])
    }
    _ = await tasks[1].result
  }

  /// The main actor's task has the first place, and its executor is blocked in a synchronous call, so
  /// another caller takes the step for it.
  @MainActor
  @Test func `line 6: a task whose executor is blocked holds up nobody`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let first = Task { @MainActor in try await left.receive() }
    await eventually { left.queued == 1 }
    let sender = TestThread {
      while left.queued < 2 {}
      try right.blocking.send(contentsOf: [[1], [2]] as [[UInt8]])
    }
    // The main thread blocks behind the main actor's task.
    #expect(try blockInSynchronousHelper(left) == [2])
    #expect(try await first.value == [1])
    try await sender.value
  }

  private nonisolated func blockInSynchronousHelper(_ endpoint: MessageDuplex<VarIntFraming>) throws
    -> [UInt8]
  {
    try endpoint.blocking.receive()
  }

  @Test func `a descriptor that is lent is not detached`() throws {
    let (reader, writer) = try makePipe(framing: .varInt)
    let refusals = try reader.withDescriptor { _ in
      try writer.withDescriptor { _ in
        [
          blockingError { _ = try reader.detach() }?.reason,
          blockingError { _ = try writer.detach() }?.reason,
        ]
      }
    }
    #expect(refusals == [.busy, .busy])
    _ = try reader.detach()
    _ = try writer.detach()
  }

  @Test func `a descriptor that has been detached is watched no more`() async throws {
    let (reader, writer) = try makePipe()
    let before = Reactor.shared.load.registrations
    let waiting = Task { try await reader.receive() }
    await eventually { Reactor.shared.load.registrations == before + 1 }
    waiting.cancel()
    _ = await waiting.result
    await eventually { reader.core.receiving?.inspect { !$0.turn } ?? false }
    let detached = try reader.detach()
    #expect(Reactor.shared.load.registrations == before)
    withExtendedLifetime(writer) {}
    _ = detached
  }

  @Test func `detach hands back the descriptor and every unread byte, and another goes on`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    try await right.send(contentsOf: [[1], [2], pattern(100_000)] as [[UInt8]])
    #expect(try await left.receive() == [1])
    let waiting = Task { try await right.receive() }
    await eventually { right.queued == 1 }
    do throws(EndpointError) {
      _ = try right.detach()
      Issue.record("detached in use")
    } catch {
      #expect(error.reason == .busy)
    }
    try await left.send([9])
    #expect(try await waiting.value == [9])
    let detached = try left.detach().release()
    #expect(left.isClosed)
    #expect(detached.unread.first == 1 && detached.unread.count > 1)
    let next = try MessageDuplex(
      adopting: detached.descriptor, unread: detached.unread, framing: .varInt, mode: .exact)
    #expect(try await next.receive() == [2])
    #expect(try await next.receive() == pattern(100_000))
    try await next.send("back")
    #expect(try await right.receive() == Array("back".utf8))
    #expect(blockingDetachError(left) == .closed)
  }

  private func blockingDetachError(_ endpoint: some Endpoint) -> EndpointError.Reason? {
    do throws(EndpointError) {
      _ = try endpoint.detach()
      return nil
    } catch {
      return error.reason
    }
  }
}
