import CSysShim
import CSysTestSupport
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#endif

/// Lines 3 and 4 of the contract.
@Suite(.lastResort, .leavesNothing) struct SendingTests {
  /// Fills a wire until not one byte more is accepted; returns how many were. TCP does not stay full: the kernel probes a
  /// window that is too small for a segment, and moves what fits into it.
  private func fill(_ writer: SocketWriter) throws -> Int {
    try writer.withDescriptor { descriptor in
      let transport = try makeTransport(over: descriptor.rawValue, for: .writable)
      defer { transport.closeWorking {} }
      var count = 0
      for size in [65_536, 512, 1] {
        let bytes = [UInt8](repeating: 0xAA, count: size)
        while case .transferred(let written) = unsafe bytes.withUnsafeBytes({ unsafe transport.send($0) }) {
          count += written
        }
      }
      return count
    }
  }

  private func drain(_ reader: SocketReader, _ count: Int) async throws {
    var rest = count
    while rest > 0 { rest -= try await reader.receive(upTo: min(rest, 60_000)).count }
  }

  @Test(arguments: [Wire.pipe, .oldPipe, .unix])
  func `line 3: before the first byte is accepted a timeout leaves nothing on the wire`(_ wire: Wire)
    async throws
  {
    let (reader, raw) = try wire.make()
    let filled = try fill(raw)
    let writer = MessageWriter(over: raw)
    let first = await endpointError { try await writer.send([1, 2, 3], timeout: .zero) }
    #expect(first?.reason == .timedOut && first?.isCommitted == false && first?.byteCount == 0)
    let second = try await TestThread {
      blockingError { try writer.blocking.send([1, 2, 3], timeout: .milliseconds(1)) }
    }.value
    #expect(second?.reason == .timedOut && second?.isCommitted == false)
    let task = Task { await endpointError { try await writer.send([1, 2, 3]) } }
    await eventually { writer.queued == 1 }
    task.cancel()
    let third = await task.value
    #expect(third?.reason == .cancelled && third?.isCommitted == false)
    #expect(writer.queued == 0)
    try await drain(reader, filled)
    try await writer.send([9])
    #expect(try await MessageReader(over: reader).receive() == [9])
  }

  /// Fault 3 of the original: the next send landed inside the payload of one that had timed out.
  @Test(arguments: Wire.allCases)
  func `line 3: a committed send goes out whole, ahead of later messages`(_ wire: Wire) async throws {
    let (raw, rawWriter) = try wire.make()
    // Fixed sizes: TCP would make room for all of it.
    for end in [raw as any Endpoint, rawWriter] {
      try end.withDescriptor { _ = swsys_set_buffer_sizes($0.rawValue, 65_536, 65_536) }
    }
    let writer = MessageWriter(over: rawWriter)
    let reader = MessageReader(over: raw)
    let large = pattern(9_000_000, seed: 1)
    let error = try await TestThread {
      blockingError { try writer.blocking.send(large, timeout: .milliseconds(5)) }
    }.value
    #expect(error?.reason == .timedOut && error?.isCommitted == true)
    #expect((error?.byteCount ?? 0) > 0)
    let cancelled = Task { await endpointError { try await writer.send([5]) } }
    await eventually { writer.queued == 2 }
    cancelled.cancel()
    #expect(await cancelled.value?.isCommitted == false)
    async let next: Void = writer.send([6])
    #expect(try await reader.receive() == large)
    #expect(try await reader.receive() == [6])
    try await next
    // Once more with a cancelled task.
    let task = Task { await endpointError { try await writer.send(large) } }
    await eventually { (writer.core.sending?.inspect { ($0.queue.first as? SendPlace)?.sent ?? 0 } ?? 0) > 0 }
    task.cancel()
    let second = await task.value
    #expect(second?.reason == .cancelled && second?.isCommitted == true)
    async let flushed: Void = writer.flush()
    #expect(try await reader.receive() == large)
    try await flushed
    #expect(writer.queued == 0)
  }

  @Test func `line 3: a committed send that timed out, then waiting for the reply`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let large = pattern(3_000_000)
    let exchange = TestThread {
      let error = blockingError { try left.blocking.send(large, timeout: .milliseconds(2)) }
      return (error, try left.blocking.receive())
    }
    await eventually { left.core.receiving?.inspect { $0.waiterCount > 0 } ?? false }
    #expect(try await right.receive() == large)
    try await right.send("thanks")
    let (error, reply) = try await exchange.value
    #expect(error?.isCommitted == true)
    #expect(reply == Array("thanks".utf8))
  }

  @Test func `line 3: the caller's memory is free once a committed send has thrown`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let count = 2_000_000
    try await TestThread {
      let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
      for index in 0..<count { unsafe memory[index] = UInt8(truncatingIfNeeded: index &* 7) }
      let error = blockingError {
        unsafe try left.blocking.send(UnsafeRawBufferPointer(memory), timeout: .milliseconds(1))
      }
      #expect(error?.isCommitted == true)
      for index in 0..<count { unsafe memory[index] = 0xFF }
      unsafe memory.deallocate()
    }.value
    #expect(try await right.receive() == (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) })
  }

  @Test func `line 3: close drops the rest, a draining close waits for it`() async throws {
    let large = pattern(3_000_000)
    do {
      let (left, right) = try makeSocketPair(framing: .varInt)
      #expect(
        await endpointError { try await left.send(large, timeout: .milliseconds(1)) }?.isCommitted == true)
      left.close()
      let error = await endpointError { try await right.receive() }
      #expect(error?.reason == .truncated)
    }
    do {
      let (left, right) = try makeSocketPair(framing: .varInt)
      #expect(
        await endpointError { try await left.send(large, timeout: .milliseconds(1)) }?.isCommitted == true)
      async let received = right.receive()
      try await left.close(drainingFor: .patience)
      #expect(try await received == large)
      #expect(left.isClosed)
      #expect(try await right.next() == nil)
    }
    do {
      let (left, right) = try makeSocketPair(framing: .varInt)
      #expect(
        await endpointError { try await left.send(large, timeout: .milliseconds(1)) }?.isCommitted == true)
      #expect(
        await endpointError { try await left.close(drainingFor: .milliseconds(1)) }?.reason == .timedOut)
      #expect(left.isClosed)
      withExtendedLifetime(right) {}
    }
  }

  @Test func `line 3: a dropped endpoint drops its tail and does not wait`() async throws {
    let right = try await abandonHalfSent()
    #expect(await endpointError { try await right.receive(timeout: .patience) }?.reason == .truncated)
  }

  /// Leaves the peer of an endpoint that is gone, with a tail still owed.
  private func abandonHalfSent() async throws -> MessageDuplex<VarIntFraming> {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let error = await endpointError { try await left.send(pattern(3_000_000), timeout: .milliseconds(1)) }
    #expect(error?.isCommitted == true)
    return right
  }

  @Test func `line 3: a tail that fails ends sending`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    #expect(
      await endpointError { try await left.send(pattern(3_000_000), timeout: .milliseconds(1)) }?.isCommitted
        == true)
    right.close()
    let flushed = await endpointError { try await left.flush() }
    guard case .transport = flushed?.reason else {
      Issue.record("\(String(describing: flushed))")
      return
    }
    let error = await endpointError { try await left.send([1]) }
    guard case .transport = error?.reason else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  /// Fault 9 of the original: a header was written, then the send failed.
  @Test func `line 3: fault 9: a message that cannot be encoded leaves nothing on the wire`() async throws {
    struct Refusal: Error {}
    struct Picky: Framing {
      func makeScanner() -> VarIntFraming.Scanner { VarIntFraming().makeScanner() }
      func decode(_ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing VarIntFraming.Scanner) throws
        -> Int
      {
        payload.count
      }
      func encode(_ message: Int, into parts: inout FrameParts) throws {
        parts.append(UInt8(4))
        if message < 0 { throw Refusal() }
        parts.append([UInt8](repeating: 1, count: 4))
      }
    }
    let (reader, writer) = try makePipe(framing: Picky())
    guard case .codec(let error) = await endpointError(of: { try await writer.send(-1) })?.reason else {
      Issue.record("it was sent")
      return
    }
    #expect(error is Refusal)
    let batch = await endpointError { try await writer.send(contentsOf: [1, 2, -3, 4]) }
    #expect(batch?.messageCount == 2)
    try await writer.send(7)
    writer.close()
    var counts: [Int] = []
    for try await count in reader.messages { counts.append(count) }
    #expect(counts == [4, 4, 4])
  }

  @Test(arguments: Wire.allCases)
  func `line 4: send returns when the kernel has accepted every byte, not before`(_ wire: Wire) async throws {
    let (reader, writer) = try wire.make()
    let total = 5_000_000
    let sending = Task { try await writer.send(pattern(total)) }
    await eventually { writer.queued == 1 }
    // Less than a frame is missing, and it still has not returned.
    var received: [UInt8] = []
    while received.count < 100_000 { received += try await reader.receive() }
    #expect(writer.queued == 1)
    while received.count < total { received += try await reader.receive() }
    #expect(try await sending.value == total)
    #expect(received == pattern(total))
    // Accepted bytes survive the sender.
    try await writer.send([1, 2, 3])
    writer.close()
    #expect(try await reader.receive(exactly: 3) == [1, 2, 3])
  }

  @Test func `send takes bytes in every form`() async throws {
    let (reader, writer) = try makePipe(framing: .varInt)
    let bytes: [UInt8] = [1, 2, 3, 4]
    try await writer.send(bytes)
    try await writer.send(bytes[1...])
    try await writer.send("text")
    try await writer.send(bytes.span)
    unsafe try await writer.send(bytes.span.bytes)
    try await writer.send(ContiguousArray(bytes))
    try await writer.send(bytes.lazy.map { $0 + 1 })
    try await writer.send(Data(bytes))
    let expected: [[UInt8]] = [
      bytes, [2, 3, 4], Array("text".utf8), bytes, bytes, bytes, [2, 3, 4, 5], bytes,
    ]
    for message in expected { #expect(try await reader.receive(timeout: .zero) == message) }
    try await TestThread {
      try writer.blocking.send(bytes)
      try writer.blocking.send(bytes[1...])
      try writer.blocking.send("text")
      try writer.blocking.send(bytes.span)
      unsafe try writer.blocking.send(bytes.span.bytes)
      try writer.blocking.send(ContiguousArray(bytes))
      try unsafe bytes.withUnsafeBytes { try unsafe writer.blocking.send($0) }
      try writer.blocking.send(Data(bytes))
    }.value
    let blocking: [[UInt8]] = [bytes, [2, 3, 4], Array("text".utf8), bytes, bytes, bytes, bytes, bytes]
    for message in blocking { #expect(try await reader.receive(timeout: .zero) == message) }
  }

  @Test func `send contentsOf sends all, whatever their sizes`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let messages = (0..<5_000).map { pattern([0, 1, 64, 300, 5_000, 40_000][$0 % 6], seed: $0) }
    let sending = Task { try await left.send(contentsOf: messages) }
    for message in messages { #expect(try await right.receive() == message) }
    try await sending.value
    let blocking = TestThread { try left.blocking.send(contentsOf: messages) }
    for message in messages { #expect(try await right.receive() == message) }
    try await blocking.value
  }

  @Test func `send contentsOf that times out says how many went out, and they did`() async throws {
    let (reader, writer) = try makePipe(framing: .varInt)
    let messages = (0..<100_000).map { pattern(64, seed: $0) }
    let error = await endpointError {
      try await writer.send(contentsOf: messages, timeout: .milliseconds(20))
    }
    #expect(error?.reason == .timedOut)
    let count = error?.messageCount ?? 0
    #expect(count > 0 && count < messages.count)
    let closing = Task { try await writer.close(drainingFor: .patience) }
    for message in messages[..<count] { #expect(try await reader.receive() == message) }
    #expect(try await reader.next() == nil)
    try await closing.value
  }

  @Test func `pipe batches are cut at frame borders, so that several writers can share a pipe`() async throws
  {
    let (reader, first) = try makePipe(framing: .varInt)
    let second = try first.withDescriptor { descriptor in
      try MessageWriter(duplicating: descriptor, framing: .varInt)
    }
    let each = 3_000
    let senders = [first, second].enumerated().map { id, writer in
      Task {
        try await writer.send(contentsOf: (0..<each).map { [UInt8(id)] + pattern($0 % 3_500, seed: $0) })
      }
    }
    var next = [0, 0]
    for _ in 0..<2 * each {
      let message = try await reader.receive()
      let id = Int(message[0])
      #expect(Array(message[1...]) == pattern(next[id] % 3_500, seed: next[id]))
      next[id] += 1
    }
    for sender in senders { try await sender.value }
  }

  @Test func `finishSending is a half-close behind everything sent`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let large = pattern(2_000_000)
    #expect(
      await endpointError { try await left.send(large, timeout: .milliseconds(1)) }?.isCommitted == true)
    left.finishSending()
    #expect(try await right.receive() == large)
    #expect(try await right.next() == nil)
    #expect(await endpointError { try await left.send([1]) }?.reason == .closed)
    try await right.send("still there")
    #expect(try await left.receive() == Array("still there".utf8))
    // A pipe has no half to close but itself.
    let (reader, writer) = try makePipe(framing: .varInt)
    try await writer.send([1])
    writer.finishSending()
    #expect(try await reader.receive() == [1])
    #expect(try await reader.next() == nil)
    #expect(writer.isClosed)
  }

  @Test func `flushing and draining after a half-close find everything sent`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    #expect(
      await endpointError { try await left.send(pattern(2_000_000), timeout: .milliseconds(1)) }?
        .isCommitted == true)
    left.finishSending()
    let flushing = Task { try await left.flush() }
    await eventually { left.queued == 3 }
    #expect(try await right.receive() == pattern(2_000_000))
    try await flushing.value
    try await left.flush(timeout: .zero)
    try await left.close(drainingFor: .patience)
    let (reader, writer) = try makePipe(framing: .varInt)
    try await writer.send([1])
    writer.finishSending()
    try await writer.close(drainingFor: .patience)
    #expect(try await reader.receive() == [1])
  }

  /// Accepts and returns a little at every attempt, and never makes a call wait.
  private final class Steady: SocketLike {
    var readinessSource: ReadinessSource { .signal }
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      unsafe memory[0] = 0xFA  // a frame of 16 million bytes
      return .transferred(1)
    }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { .transferred(1) }
    func finishSending() throws(TransportError) {}
    func close() {}
  }

  @Test func `a timeout covers the transfer, though bytes never stop moving`() async throws {
    let endpoint = MessageDuplex(transport: Steady(), framing: .varInt)
    let large = [UInt8](repeating: 0, count: 100_000_000)
    let sent = await endpointError { try await endpoint.send(large, timeout: .milliseconds(5)) }
    #expect(sent?.reason == .timedOut && sent?.isCommitted == true)
    #expect((sent?.byteCount ?? 0) > 0)
    let blocking = try await TestThread {
      blockingError { try endpoint.blocking.receive(timeout: .milliseconds(5)) }
    }.value
    #expect(blocking?.reason == .timedOut)
    let received = await endpointError { try await endpoint.receive(timeout: .milliseconds(5)) }
    #expect(received?.reason == .timedOut)
    #expect((received?.byteCount ?? 0) > (blocking?.byteCount ?? 0))
    endpoint.close()
  }

  @Test func `an endpoint over a transport of one's own is not detached, and goes on`() {
    let endpoint = MessageDuplex(transport: Steady(), framing: .varInt)
    do throws(EndpointError) {
      _ = try endpoint.detach()
      Issue.record("there is nothing to hand back")
    } catch {
      #expect(error.reason == .transport(TransportError(.detach, .notSupported)))
    }
    #expect(!endpoint.isClosed)
  }

  /// Fault 22 of the original: with the default disposition a send killed the process. A test of its own
  /// process checks the disposition; here any SIGPIPE would end the tests.
  @Test(arguments: Wire.allCases)
  func `line 8: fault 22: writing to a closed peer throws`(_ wire: Wire) async throws {
    let (reader, writer) = try wire.make()
    reader.close()
    var failure: EndpointError?
    for _ in 0..<100 where failure == nil {
      do throws(EndpointError) { try await writer.send(pattern(10_000), timeout: .milliseconds(50)) } catch {
        failure = error
      }
    }
    guard case .transport(let error) = failure?.reason else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect([Errno.brokenPipe, .connectionReset].contains(error.errno))
    #expect(error.operation == .send)
    let again = try await TestThread { blockingError { try writer.blocking.send([1]) } }.value
    #expect(again?.reason == failure?.reason)
  }

  @Test func `line 7: a TCP reset is an error on the reading side, though the writer saw it first`()
    async throws
  {
    for writesFirst in [true, false] {
      let (left, right) = try makeSocketPair(.tcp, framing: .varInt)
      try right.withDescriptor { descriptor in #expect(swsys_set_linger_reset(descriptor.rawValue) == 0) }
      right.close()
      if writesFirst {
        let sent = await endpointError {
          for _ in 0..<1000 { try await left.send(pattern(100_000)) }
        }
        guard case .transport = sent?.reason else {
          Issue.record("\(String(describing: sent))")
          return
        }
      }
      for _ in 0..<2 {
        let error = await endpointError { try await left.next() }
        #expect(
          error?.reason == .transport(TransportError(.receive, .connectionReset))
            || error?.reason == .transport(TransportError(.send, .connectionReset)))
      }
    }
  }

  @Test(.defaultExecutor("the peer has to be closed when `close` returns"))
  func `line 7: data that came before a reset's broken pipe is delivered first`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    try await right.send(contentsOf: [[1], [2]] as [[UInt8]])
    right.close()
    // EPIPE ends sending only.
    #expect(
      await endpointError { try await left.send([9]) }?.reason
        == .transport(TransportError(.send, .brokenPipe)))
    #expect(try await left.receive() == [1])
    #expect(try await left.receive() == [2])
    #expect(try await left.next() == nil)
  }
}
