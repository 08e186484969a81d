import CSysShim
import CSysTestSupport
import Glibc
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Faults that a review has found, each under the name of what had gone wrong.
@Suite(.lastResort, .leavesNothing) struct RegressionTests {
  @Test func `a wake-up that is signalled while its wait ends is not lost to the next wait`() async throws {
    // A thread that signals for as long as another waits: no wait may last until its deadline.
    let wakeUp = WakeUp.take()
    let isDone = Atomic(false)
    let late = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<2 {
        let signaller = TestThread {
          while !isDone.load(ordering: .acquiring) {
            for _ in 0..<Int.random(in: 1..<50) { wakeUp.signal() }
            sched_yield()
          }
          return 0
        }
        group.addTask { try await signaller.value }
      }
      let waiter = TestThread {
        defer { isDone.store(true, ordering: .releasing) }
        var late = 0
        for _ in 0..<stressed(100_000) where late == 0 {
          let limit = Deadline.after(.patience)
          wakeUp.wait(watching: nil, for: .readable, until: limit)
          if limit.hasPassed { late += 1 }
        }
        return late
      }
      group.addTask { try await waiter.value }
      return try await group.reduce(0, +)
    }
    #expect(late == 0)
  }

  @Test func `a demand that grows byte by byte does not have everything copied each time`() {
    var buffer = ReceiveBuffer()
    var copies = 0
    var capacity = 0
    while buffer.count < 4 << 20 {
      unsafe buffer.fill(minimum: 1, maximum: .max, declared: buffer.count + 1) { room in
        (min(room.count, 4096), ())
      }
      if buffer.capacity != capacity { copies += 1 }
      capacity = buffer.capacity
      if copies > 100 { break }
    }
    #expect(copies < 10)
  }

  @Test func `a duplex that reads and writes the same number closes it once`() async throws {
    let pair = try DescriptorPair.sockets()
    let peer = try SocketDuplex(adopting: pair.second)
    let number = pair.first.release()
    let duplex = try SocketDuplex(reading: number, writing: number)
    try await duplex.send([1])
    #expect(try await peer.receive() == [1])
    try await peer.send([2])
    // Waits as a task: the same number could not be watched twice.
    #expect(try await duplex.receive(timeout: .patience) == [2])
    let detached = try duplex.detach()
    let hasSecond = detached.sendingDescriptor != nil
    #expect(!hasSecond)
  }

  @Test func `the master of a pseudo-terminal is not opened a second time`() async throws {
    let terminal = try PseudoTerminal(isRaw: true)
    let endpoint = try SocketDuplex(adopting: terminal.master)
    _ = try terminal.line.withDescriptor { try $0.writeAll("hello".utf8) }
    #expect(try await endpoint.receive(timeout: .patience) == Array("hello".utf8))
  }

  /// `pv` and some `cat`s splice: the kernel then takes RWF_NOWAIT away from that pipe's description.
  @Test func `a pipe that somebody has spliced still works`() async throws {
    let (reader, writer) = try makePipe()
    let sink = try DescriptorPair.pipe()
    try await writer.send(pattern(20))
    let spliced = try reader.withDescriptor { descriptor in
      sink.second.withDescriptor { swsys_splice(descriptor.rawValue, $0.rawValue, 10) }
    }
    #expect(spliced == 10)
    #expect(try await reader.receive(exactly: 10) == Array(pattern(20)[10...]))
    let waiting = Task { try await reader.receive(exactly: 300_000) }
    try await writer.send(pattern(300_000))
    #expect(try await waiting.value == pattern(300_000))
  }

  /// Fault 2 of the original: a signal in the middle of a receive dropped the bytes that had been read.
  @Test func `line 2: fault 2: signals in the middle of a blocking receive lose nothing`() async throws {
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = { _ in }  // and no SA_RESTART
    let isSet = unsafe sigaction(SIGUSR2, &action, nil) == 0
    #expect(isSet)
    let (raw, writer) = try makeSocketPair()
    let reader = MessageDuplex(over: raw)
    let thread = Guarded<pthread_t?>(nil)
    let receiving = TestThread {
      var signals = sigset_t()
      unsafe sigemptyset(&signals)
      unsafe sigaddset(&signals, SIGUSR2)
      _ = unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
      thread.withLock { $0 = pthread_self() }
      return try reader.blocking.receive()
    }
    await eventually { reader.queued == 1 }
    let interrupted = try #require(thread.withLock { $0 })
    let payload = pattern(300_000)
    let frame = try varIntFrame(payload)
    for start in stride(from: 0, to: frame.count - 1, by: 10_007) {
      try await writer.send(frame[start..<min(start + 10_007, frame.count - 1)])
      pthread_kill(interrupted, SIGUSR2)
    }
    pthread_kill(interrupted, SIGUSR2)
    try await writer.send(frame[(frame.count - 1)...])
    #expect(try await receiving.value == payload)
  }
}
