import CSysShim
import Glibc
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Line 12 of the contract as a table: a test is a column, `Row.all` are the rows.
@Suite(.lastResort, .leavesNothing) struct KindTests {
  /// More than fits between the two ends, so both wait for each other.
  private static let count = 400

  @Test(arguments: Row.all)
  func `line 12: blocking sends and receives`(_ row: Row) async throws {
    let (reader, writer) = try row.lines()
    let sending = TestThread {
      for number in 0..<Self.count { try writer.blocking.send(line(number)) }
    }
    let receiving = TestThread {
      for number in 0..<Self.count where try reader.blocking.receive() != line(number) { return number }
      return Self.count
    }
    #expect(try await receiving.value == Self.count)
    try await sending.value
  }

  @Test(arguments: Row.all)
  func `line 12: asynchronous sends and receives`(_ row: Row) async throws {
    let (reader, writer) = try row.lines()
    let sending = Task { for number in 0..<Self.count { try await writer.send(line(number)) } }
    for number in 0..<Self.count {
      let message = try await reader.receive()
      try #require(message == line(number))
    }
    try await sending.value
  }

  @Test(arguments: Row.all)
  func `line 12: raw receives of so many bytes, in whatever pieces they come`(_ row: Row) async throws {
    let (reader, writer) = try row.raw()
    let text = Array("abcdefghijklmnopqrstuvwxyz\n".utf8)
    for _ in 0..<20 {
      try await writer.send(text)
      #expect(try await reader.receive(exactly: 1) == Array(text[..<1]))
      #expect(try await reader.receive(exactly: 12) == Array(text[1..<13]))
      #expect(try await TestThread { try reader.blocking.receive(exactly: 3) }.value == Array(text[13..<16]))
      #expect(try await reader.receive(exactly: 11) == Array(text[16...]))
    }
    let waiting = Task { try await reader.receive(exactly: 9 * text.count + 5) }
    for _ in 0..<10 { try await writer.send(text) }
    #expect(try await waiting.value.count == 9 * text.count + 5)
    #expect(try await reader.receive(exactly: text.count - 5) == Array(text[5...]))
  }

  @Test(arguments: Row.all)
  func `line 12: a receive that times out or is cancelled loses nothing`(_ row: Row) async throws {
    let (raw, writer) = try row.raw()
    let reader = MessageReader(over: raw, framing: .lines)
    // A terminal keeps an unfinished line to itself.
    let held = row.kind == .terminal ? 0 : 3
    #expect(await endpointError { try await reader.receive(timeout: .zero) }?.reason == .timedOut)
    try await writer.send("abc")
    // Where a helper makes the attempts, the bytes may come after the first deadline.
    let limit = Deadline.after(.patience)
    var late: EndpointError?
    repeat {
      late = await endpointError { try await reader.receive(timeout: .milliseconds(20)) }
      #expect(late?.reason == .timedOut)
    } while late?.byteCount != held && !limit.hasPassed
    #expect(late?.byteCount == held)
    let thread = TestThread { blockingError { try reader.blocking.receive(timeout: .milliseconds(20)) } }
    #expect(try await thread.value?.reason == .timedOut)
    let task = Task { await endpointError { try await reader.receive() } }
    await eventually { reader.queued == 1 }
    task.cancel()
    let cancelled = await task.value
    #expect(cancelled?.reason == .cancelled && cancelled?.byteCount == held)
    try await writer.send("def\n")
    #expect(try await reader.receive(timeout: .patience) == Array("abcdef".utf8))
    try await writer.send("at once\n")
    await eventually { (try? isReadable(reader)) ?? false }
    #expect(try await reader.receive(timeout: .zero) == Array("at once".utf8))
  }

  private func isReadable(_ reader: some Endpoint) throws -> Bool {
    try reader.withDescriptor { swsys_poll_now($0.rawValue, Int32(SWSYS_READABLE)) > 0 }
  }

  /// How a sender who waits for room is made to leave.
  enum Leaving: String, CaseIterable, Sendable { case timeout, blockingTimeout, cancellation }

  @Test(arguments: Row.all, Leaving.allCases)
  func `line 12: a send that leaves is committed or has sent nothing`(
    _ row: Row, _ leaving: Leaving
  ) async throws {
    let (reader, writer) = try row.lines()
    var expected: [[UInt8]] = []
    var left: EndpointError?
    while left == nil {
      let next = line(expected.count)
      expected.append(next)
      switch leaving {
      case .timeout: left = await error { try await writer.send(next, timeout: .milliseconds(20)) }
      case .blockingTimeout:
        left = try await TestThread { () -> EndpointError? in
          do {
            try writer.blocking.send(next, timeout: .milliseconds(20))
            return nil
          } catch let error as EndpointError { return error }
        }.value
      case .cancellation:
        let isDone = Guarded(false)
        let task = Task {
          defer { isDone.withLock { $0 = true } }
          return await error { try await writer.send(next) }
        }
        // It goes out, or waits: then it is cancelled.
        await eventually { isDone.withLock { $0 } || writer.queued > 0 }
        if writer.queued > 0 { task.cancel() }
        left = await task.value
      }
    }
    #expect(left?.reason == (leaving == .cancellation ? .cancelled : .timedOut))
    if left?.isCommitted == false { expected.removeLast() }
    let receiving = Task { [expected] in
      for message in expected where try await reader.receive() != message { return false }
      return try await reader.receive() == Array("the last".utf8)
    }
    try await writer.send("the last")
    #expect(try await receiving.value)
  }

  private func error(of call: () async throws -> Void) async -> EndpointError? {
    do {
      try await call()
      return nil
    } catch {
      return error as? EndpointError
    }
  }

  @Test(arguments: Row.all)
  func `line 12: close wakes whoever waits, for bytes or for room`(_ row: Row) async throws {
    let (reader, writer) = try row.lines()
    let receivers = (
      TestThread { blockingError { try reader.blocking.receive() } },
      Task { await endpointError { try await reader.receive() } }
    )
    await eventually { reader.queued == 2 }
    reader.close()
    #expect(try await receivers.0.value?.reason == .closed)
    #expect(await receivers.1.value?.reason == .closed)
    writer.close()

    let (other, filled) = try row.lines()
    // One of them waits for room, in the end; the other behind it.
    let senders = (
      TestThread { blockingError { while true { try filled.blocking.send(line(80)) } } },
      Task { await endpointError { while true { try await filled.send(line(80)) } } }
    )
    await eventually { filled.queued == 2 }
    filled.close()
    #expect(try await senders.0.value?.reason == .closed)
    #expect(await senders.1.value?.reason == .closed)
    other.close()
  }

  @Test(arguments: Row.all)
  func `line 12: the end of the stream reaches whoever waits, and all who come`(_ row: Row) async throws {
    let (reader, writer) = try row.lines()
    try await writer.send("one")
    #expect(try await reader.receive() == Array("one".utf8))
    let thread = TestThread { try reader.blocking.next() }
    await eventually { reader.queued == 1 }
    let task = Task { try await reader.next() }
    await eventually { reader.queued == 2 }
    writer.finishSending()
    #expect(try await thread.value == nil)
    #expect(try await task.value == nil)
    #expect(await endpointError { try await reader.receive(timeout: .zero) }?.reason == .endOfStream)
  }

  @Test(arguments: Row.all.filter(\.kind.keepsBytesBehindTheEnd))
  func `line 12: what was sent before the end is delivered, and an unfinished message shown`(
    _ row: Row
  ) async throws {
    let (raw, writer) = try row.raw()
    let reader = MessageReader(over: raw, framing: .lines)
    try await writer.send("one\ntwo\nthr")
    writer.close()
    #expect(try await reader.receive() == Array("one".utf8))
    #expect(try await TestThread { try reader.blocking.receive() }.value == Array("two".utf8))
    let error = await endpointError { try await reader.receive() }
    #expect(error?.reason == .truncated && error?.partialBytes == Array("thr".utf8))
  }

  /// How the peer's end is met: by a task or a thread that receives, by a batch, or by a send before the receives.
  enum Meeting: String, CaseIterable, Sendable { case task, thread, batch, send }

  @Test(
    arguments: [SocketPairKind.unix, .tcp, .tcp6, .unixPackets, .unixDatagrams], Meeting.allCases)
  func `line 7: all that a peer sent before it closed with something unread is received`(
    _ kind: SocketPairKind, _ meeting: Meeting
  ) async throws {
    // When a datagram is sent to a socket that is gone, the kernel drops what has come from there.
    if kind == .unixDatagrams, meeting == .send { return }
    let (left, right) = try makeSocketPair(kind, framing: .varInt)
    try await left.send("never read")
    let sent = ["one", "two", "three"].map { Array($0.utf8) }
    for message in sent { try await right.send(message) }
    // Over TCP they may be on their way. Of datagrams only the first is counted.
    let count = kind == .unixDatagrams ? 4 : sent.reduce(0) { $0 + $1.count + 1 }
    await eventually { (try? left.withDescriptor { unreadCount($0) }) == count }
    right.close()
    if kind != .unixDatagrams {
      await eventually { (try? left.withDescriptor { $0.isReady(for: .hangUps) }) ?? false }
    }
    if meeting == .send {
      guard case .transport = await endpointError(of: { try await left.send("to nobody") })?.reason else {
        Issue.record("the peer is gone")
        return
      }
    }
    var received: [[UInt8]] = []
    while received.count < sent.count {
      switch meeting {
      case .task, .send: received.append(try await left.receive(timeout: .patience))
      case .thread:
        received.append(try await TestThread { try left.blocking.receive(timeout: .patience) }.value)
      case .batch: received += try await left.receiveBatch(upTo: 2, timeout: .patience)
      }
    }
    #expect(received == sent)
    // Datagrams have no end.
    let error = await endpointError {
      try await left.receive(timeout: kind == .unixDatagrams ? .zero : .patience)
    }
    switch error?.reason {
    case .transport(let failure): #expect(failure.errno == .connectionReset && kind != .unixDatagrams)
    case .timedOut: #expect(kind == .unixDatagrams)
    default: Issue.record("\(String(describing: error))")
    }
  }

  /// How many bytes the kernel holds for a reader.
  private func unreadCount(_ descriptor: FileDescriptor) -> Int {
    var count: Int32 = 0
    return unsafe ioctl(descriptor.rawValue, UInt(FIONREAD), &count) == 0 ? Int(count) : -1
  }

  @Test(arguments: Row.all)
  func `line 12: sending to nobody is a typed error`(_ row: Row) async throws {
    let (reader, writer) = try row.lines()
    reader.close()
    let task = await endpointError { while true { try await writer.send("into nothing") } }
    guard case .transport = task?.reason else {
      Issue.record("\(String(describing: task))")
      return
    }
    let thread = TestThread { blockingError { try writer.blocking.send("into nothing") } }
    guard case .transport = try await thread.value?.reason else {
      Issue.record("the second time another error")
      return
    }
  }

  @Test(arguments: Row.all, [ReceiveMode.readAhead, .exact])
  func `line 12: an endpoint is taken apart and up again, and nothing is lost`(
    _ row: Row, _ mode: ReceiveMode
  ) async throws {
    let (raw, writer) = try row.raw()
    let first = MessageReader(core: raw.core, framing: .lines, mode: mode)
    try await writer.send("one\n2\nthree\nfo")
    #expect(try await first.receive() == Array("one".utf8))
    let detached = try first.detach().release()
    if mode == .exact, row.kind != .packetPipe { #expect(detached.unread.isEmpty) }
    let second = try KernelFeatures.$override.withValue(row.branch.features) {
      try MessageReader(
        adopting: detached.descriptor, unread: detached.unread, framing: .lines, mode: mode)
    }
    #expect(try await second.receive(timeout: .patience) == Array("2".utf8))
    #expect(try await TestThread { try second.blocking.receive() }.value == Array("three".utf8))
    let waiting = Task { try await second.receive() }
    await eventually { second.queued == 1 }
    try await writer.send("ur\n")
    #expect(try await waiting.value == Array("four".utf8))
    // The writing end, too: its peer does not notice.
    let sending = try KernelFeatures.$override.withValue(row.branch.features) {
      try SocketWriter(adopting: try writer.detach().release().descriptor)
    }
    try await sending.send("five\n")
    #expect(try await second.receive() == Array("five".utf8))
    sending.close()
    #expect(try await second.next() == nil)
  }

  /// Fault 8 of the original left O_NONBLOCK behind.
  @Test(arguments: Row.all)
  func `line 8: fault 8: the flags of a shared description stay what they were`(_ row: Row) async throws {
    let pair = try row.descriptors()
    let reading = try OwnedDescriptor(duplicating: pair.first.withDescriptor { $0 })
    let writing = try OwnedDescriptor(duplicating: pair.second.withDescriptor { $0 })
    let numbers = (reading.withDescriptor { $0.rawValue }, writing.withDescriptor { $0.rawValue })
    let before = (try descriptionFlags(numbers.0), try descriptionFlags(numbers.1))
    let terminals = (PseudoTerminal.settings(numbers.0), PseudoTerminal.settings(numbers.1))
    func check(_ when: Comment) throws {
      #expect(try descriptionFlags(numbers.0) == before.0, when)
      #expect(try descriptionFlags(numbers.1) == before.1, when)
      #expect(PseudoTerminal.settings(numbers.0) == terminals.0, when)
      #expect(PseudoTerminal.settings(numbers.1) == terminals.1, when)
    }
    let adopted = (pair.first.release(), pair.second.release())
    let (reader, writer) = try KernelFeatures.$override.withValue(row.branch.features) {
      (
        try MessageReader(adopting: adopted.0, framing: .lines),
        try MessageWriter(adopting: adopted.1, framing: .lines)
      )
    }
    try check("adopted")
    let task = Task { try await reader.receive() }
    let thread = TestThread { try reader.blocking.receive() }
    await eventually { reader.queued == 2 }
    try check("waiting")
    try await writer.send("one")
    try await TestThread { try writer.blocking.send("two") }.value
    _ = try await task.value
    _ = try await thread.value
    try check("used")
    reader.close()
    writer.close()
    try check("closed")
    withExtendedLifetime(reading) {}
    withExtendedLifetime(writing) {}
  }

  /// A description that cannot be opened again and has O_NONBLOCK. Another process that shares it may clear the flag.
  @Test(arguments: [true, false])
  func `a call ends in time although another process has cleared O_NONBLOCK`(_ receives: Bool) async throws {
    let features = KernelFeatures(nowaitPipes: false, nosignalPipes: false, reopens: false)
    let pair = try DescriptorPair.pipe()
    let (from, to) = (pair.first.withDescriptor { $0.rawValue }, pair.second.withDescriptor { $0.rawValue })
    for end in [from, to] { #expect(swsys_set_nonblocking(end, true) == 0) }
    let adopted = (pair.first.release(), pair.second.release())
    let (reader, writer) = try KernelFeatures.$override.withValue(features) {
      (try SocketReader(adopting: adopted.0), try SocketWriter(adopting: adopted.1))
    }
    try await writer.send([1])
    #expect(try await reader.receive(exactly: 1) == [1])
    if !receives {
      // The pipe is full.
      #expect(
        await endpointError { try await writer.send([UInt8](repeating: 0, count: 1 << 20), timeout: .zero) }?
          .reason == .timedOut)
    }
    let number = receives ? from : to
    #expect(swsys_set_nonblocking(number, false) == 0)
    let hasEnded = Raised()
    let thread = TestThread { () -> EndpointError? in
      defer { hasEnded.raise() }
      if receives {
        return blockingError { try reader.blocking.receive(exactly: 1, timeout: .milliseconds(50)) }
      }
      return blockingError { try writer.blocking.send([1], timeout: .milliseconds(50)) }
    }
    await eventually { hasEnded.isUp }
    // An attempt that blocks ends now, too.
    #expect(swsys_set_nonblocking(number, true) == 0)
    reader.close()
    writer.close()
    #expect(try await thread.value?.reason == .timedOut)
  }
}
