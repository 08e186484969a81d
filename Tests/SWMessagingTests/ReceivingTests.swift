import SWMessaging
import SWTesting
import TestSupport
import Testing

/// Lines 1, 2 and 7 of the contract, on the receiving side.
@Suite(.lastResort, .leavesNothing) struct ReceivingTests {
  @Test(arguments: Wire.allCases)
  func `line 1: a zero timeout succeeds when the message is there`(_ wire: Wire) async throws {
    let (raw, writer) = try wire.make()
    let reader = MessageReader(over: raw)
    try await writer.send(try varIntFrame([1]) + varIntFrame([2]))
    #expect(try await reader.receive(timeout: .zero) == [1])
    #expect(try await TestThread { try reader.blocking.receive(timeout: .zero) }.value == [2])
    #expect(await endpointError { try await reader.receive(timeout: .zero) }?.reason == .timedOut)
    let error = try await TestThread { blockingError { try reader.blocking.receive(timeout: .zero) } }.value
    #expect(error?.reason == .timedOut)
  }

  /// Over a pipe it does on the reactor's own threads, where an attempt might hang.
  @Test func `line 1: a zero timeout needs no reactor and leaves no place`() async throws {
    let (reader, writer) = try makeSocketPair(framing: .varInt)
    #expect(await endpointError { try await reader.receive(timeout: .zero) }?.reason == .timedOut)
    #expect(reader.queued == 0)
    #expect(reader.core.receiving?.inspect { $0.isRegistered } == false)
    withExtendedLifetime(writer) {}
  }

  @Test func `line 1: behind others a zero timeout is served by the one pass that serves them`() async throws
  {
    let (reader, writer) = try makePipe(framing: .varInt)
    let ahead = Task { try await reader.receive() }
    await eventually { reader.queued == 1 }
    // Stir by hand is not needed: a caller that takes the turn serves the head first, then itself.
    try await writer.send([1])
    #expect(try await ahead.value == [1])
    try await writer.send(contentsOf: [[2], [3]] as [[UInt8]])
    async let first = reader.receive()
    async let second = reader.receive(timeout: .zero)
    #expect(Set([try await first, try await second]) == [[2], [3]])
  }

  /// A scanner that is held up holds the turn: a new caller cannot attempt for itself.
  private struct HeldUp: Framing {
    let entered = Gate()
    let leave = Gate()

    struct Scanner: FrameScanner {
      let framing: HeldUp
      func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
        framing.entered.open()
        holdUp()
        return .frame(byteCount: 1, payload: 0..<1)
      }
      private func holdUp() { framing.leave.waitBlocking() }
    }

    func makeScanner() -> Scanner { Scanner(framing: self) }
    func decode(_ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Scanner) throws -> UInt8 {
      frame[0]
    }
    func encode(_ message: UInt8, into parts: inout FrameParts) throws { parts.append(message) }
  }

  @Test(arguments: [false, true])
  func `line 1: a zero timeout that meets somebody's turn gets the pass it was promised`(
    _ asThread: Bool
  ) async throws {
    let framing = HeldUp()
    let (reader, writer) = try makePipe(framing: framing)
    try await writer.send(contentsOf: [1, 2] as [UInt8])
    let first = TestThread { try reader.blocking.receive() }
    await framing.entered.wait()
    let second = Task {
      if asThread { return try await TestThread { try reader.blocking.receive(timeout: .zero) }.value }
      return try await reader.receive(timeout: .zero)
    }
    await eventually { reader.queued == 1 }
    let third = Task { await endpointError { try await reader.receive(timeout: .zero) } }
    await eventually { reader.queued == 2 }
    framing.leave.open()
    #expect(try await first.value == 1)
    #expect(try await second.value == 2)
    // And no more than a pass: there was nothing for the third.
    #expect(await third.value?.reason == .timedOut)
  }

  @Test func `line 1: a call that starts cancelled throws and takes nothing`() async throws {
    let (reader, writer) = try makePipe(framing: .varInt)
    try await writer.send([1])
    let gate = Gate()
    let task = Task {
      await gate.wait()
      return await endpointError { try await reader.receive() }
    }
    task.cancel()
    gate.open()
    #expect(await task.value?.reason == .cancelled)
    #expect(try await reader.receive(timeout: .zero) == [1])
    let sending = Task {
      unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
      return await endpointError { try await writer.send([2]) }
    }
    let error = await sending.value
    #expect(error?.reason == .cancelled && error?.isCommitted == false)
    #expect(await endpointError { try await reader.receive(timeout: .zero) }?.reason == .timedOut)
  }

  /// Faults 1 and 2 of the original: a timeout inside a message desynchronised the stream.
  @Test(arguments: Wire.allCases)
  func `line 2: a timeout or a cancellation at any byte of a frame loses nothing`(_ wire: Wire) async throws {
    let (raw, writer) = try wire.make()
    let reader = MessageReader(over: raw)
    let payload = pattern(300)
    let frame = try varIntFrame(payload)
    for cut in 1..<frame.count where cut < 8 || cut % 37 == 0 || cut == frame.count - 1 {
      try await writer.send(frame[..<cut])
      switch cut % 4 {
      case 0:
        let error = await endpointError { try await reader.receive(timeout: .zero) }
        #expect(error?.reason == .timedOut)
        #expect(error?.byteCount == cut)
      case 1:
        let error = try await TestThread {
          blockingError { try reader.blocking.receive(timeout: .microseconds(100)) }
        }.value
        #expect(error?.reason == .timedOut)
        #expect(error?.byteCount == cut)
      case 2:
        let error = await endpointError { try await reader.receive(timeout: .microseconds(100)) }
        #expect(error?.reason == .timedOut)
        #expect(error?.byteCount == cut)
      default:
        let task = Task { await endpointError { try await reader.receive() } }
        await eventually { reader.queued == 1 && reader.held == cut }
        task.cancel()
        let error = await task.value
        #expect(error?.reason == .cancelled)
        #expect(error?.byteCount == cut)
      }
      try await writer.send(frame[cut...])
      if cut % 2 == 0 {
        #expect(try await reader.receive() == payload)
      } else {
        #expect(try await TestThread { try reader.blocking.receive() }.value == payload)
      }
    }
  }

  @Test func `line 2: fault 1: the classic: five, he, timeout, llo`() async throws {
    let (raw, writer) = try makePipe()
    let reader = MessageReader(over: raw)
    try await writer.send([5] + Array("he".utf8))
    let error = await endpointError { try await reader.receive(timeout: .milliseconds(1)) }
    #expect(error?.reason == .timedOut && error?.byteCount == 3)
    try await writer.send(Array("llo".utf8) + [3] + Array("xyz".utf8))
    #expect(try await reader.receive() == Array("hello".utf8))
    #expect(try await reader.receive() == Array("xyz".utf8))
  }

  @Test func `line 2: a large message goes on after any number of timeouts`() async throws {
    let (raw, writer) = try makeSocketPair()
    let reader = MessageDuplex(over: raw)
    let payload = pattern(1_000_003)
    let frame = try varIntFrame(payload)
    var at = 0
    while at < frame.count - 1 {
      let next = min(at + 70_001, frame.count - 1)
      try await writer.send(frame[at..<next])
      at = next
      #expect(await endpointError { try await reader.receive(timeout: .zero) }?.byteCount == at)
    }
    try await writer.send(frame[at...] + [2, 8, 9])
    #expect(try await reader.receive() == payload)
    #expect(try await reader.receive() == [8, 9])
  }

  @Test(arguments: Wire.allCases)
  func `line 7: the end between frames is clean, after all data`(_ wire: Wire) async throws {
    let (raw, writer) = try wire.make()
    let reader = MessageReader(over: raw)
    try await writer.send(try varIntFrame([1]) + varIntFrame(pattern(60_000)))
    writer.close()
    #expect(try await reader.receive() == [1])
    #expect(try await reader.next() == pattern(60_000))
    #expect(try await reader.next() == nil)
    for _ in 0..<3 {
      #expect(await endpointError { try await reader.receive() }?.reason == .endOfStream)
      let thread = TestThread { blockingError { try reader.blocking.receive() } }
      #expect(try await thread.value?.reason == .endOfStream)
    }
    var count = 0
    for try await _ in reader.messages { count += 1 }
    #expect(count == 0)
  }

  @Test(arguments: Wire.allCases)
  func `line 7: the end inside a frame is an error with the partial bytes, again and again`(
    _ wire: Wire
  ) async throws {
    let frame = try varIntFrame(pattern(260))
    for cut in [1, 2, 3, 100, frame.count - 1] {
      let (raw, writer) = try wire.make()
      let reader = MessageReader(over: raw)
      let task = Task { await endpointError { try await reader.next() } }
      try await writer.send(frame[..<cut])
      writer.close()
      let error = await task.value
      #expect(error?.reason == .truncated)
      #expect(error?.partialBytes == Array(frame[..<cut]))
      let again = try await TestThread { blockingError { try reader.blocking.next() } }.value
      #expect(again?.reason == .truncated)
      #expect(again?.partialBytes == Array(frame[..<cut]))
      // The bytes are still there for who can use them.
      #expect(try await raw.receive(upTo: 1000) == Array(frame[..<cut]))
      #expect(await endpointError { try await raw.receive(upTo: 1) }?.reason == .endOfStream)
    }
  }

  @Test func `line 7: a large message cut off by the end is reported whole`() async throws {
    let (raw, writer) = try makeSocketPair()
    let reader = MessageDuplex(over: raw)
    let frame = try varIntFrame(pattern(500_000))
    let sending = Task {
      try await writer.send(frame[..<400_000])
      writer.close()
    }
    let error = await endpointError { try await reader.receive() }
    try await sending.value
    #expect(error?.reason == .truncated)
    #expect(error?.partialBytes == Array(frame[..<400_000]))
  }

  @Test func `raw receives take what they are asked for`() async throws {
    let (reader, writer) = try makePipe()
    try await writer.send(pattern(100))
    #expect(try await reader.receive(exactly: 0) == [])
    #expect(try await reader.receive(exactly: 10) == Array(pattern(100)[..<10]))
    #expect(try await reader.receive(upTo: 5) == Array(pattern(100)[10..<15]))
    #expect(
      try await TestThread { try reader.blocking.receive(upTo: 5) }.value == Array(pattern(100)[15..<20]))
    #expect(try await reader.receive() == Array(pattern(100)[20...]))
    try await writer.send([1, 2])
    let error = await endpointError { try await reader.receive(exactly: 3, timeout: .zero) }
    #expect(error?.reason == .timedOut && error?.byteCount == 2)
    #expect(try await reader.receive(upTo: 0) == [])
    writer.close()
    #expect(await endpointError { try await reader.receive(exactly: 3) }?.reason == .truncated)
    #expect(try await reader.receive() == [1, 2])
    #expect(await endpointError { try await reader.receive(exactly: 3) }?.reason == .endOfStream)
  }

  /// Fault 13 of the original: an unsized receive could return hundreds of megabytes.
  @Test func `fault 13: an unsized receive is bounded`() async throws {
    let (reader, writer) = try makeSocketPair()
    let sending = Task { try? await writer.send([UInt8](repeating: 1, count: 4_000_000)) }
    var total = 0
    while total < 4_000_000 {
      let chunk = try await reader.receive()
      #expect(chunk.count <= SocketReader.largestChunk)
      total += chunk.count
    }
    _ = await sending.value
  }

  @Test func `withMessage lends the bytes, and consumes them even when its body throws`() async throws {
    struct Refusal: Error {}
    let (reader, writer) = try makePipe(framing: .varInt)
    try await writer.send(contentsOf: [[1, 2, 3], [4], [5]] as [[UInt8]])
    #expect(try await reader.withMessage { $0.count } == 3)
    await #expect(throws: Refusal.self) { try await reader.withMessage { _ in throw Refusal() } }
    #expect(try await TestThread { try reader.blocking.withMessage { $0[0] } }.value == 5)
    let parked = Task { try await reader.withMessage { bytes in (0..<bytes.count).map { bytes[$0] } } }
    await eventually { reader.queued == 1 }
    let large = pattern(200_000)
    try await writer.send(large)
    #expect(try await parked.value == large)
    async let sent: Void = writer.send(large)
    #expect(try await reader.withMessage { $0.count } == large.count)
    try await sent
  }

  @Test func `exact mode never reads past the frame`() async throws {
    let ends = try DescriptorPair.sockets()
    let left = try SocketDuplex(adopting: ends.first, mode: .exact)
    let right = try SocketDuplex(adopting: ends.second)
    let exact = MessageDuplex(over: left, framing: .varInt)
    let payloads = [[], [1], pattern(240), pattern(241), pattern(2288), pattern(100_000)]
    let sending = Task {
      for payload in payloads { try await right.send(try varIntFrame(payload) + [0xEE]) }
    }
    for payload in payloads {
      #expect(try await exact.receive() == payload)
      #expect(unsafe left.core.receiving?.turn.count == 0)
      #expect(try await left.receive(exactly: 1) == [0xEE])
    }
    try await sending.value
  }

  @Test func `a raw receive takes over where a message receive gave up, and back`() async throws {
    let (left, right) = try makeSocketPair()
    let messages = MessageDuplex(over: left)
    let payload = pattern(200_000)
    let frame = try varIntFrame(payload)
    try await right.send(frame[..<100_000])
    #expect(await endpointError { try await messages.receive(timeout: .zero) }?.byteCount == 100_000)
    // The large payload was on its way into its array: all of it is there for a raw receive.
    #expect(try await left.receive(exactly: 100_000) == Array(frame[..<100_000]))
    try await right.send(try varIntFrame([7, 7]))
    #expect(try await messages.receive() == [7, 7])
  }

  @Test func `two framings may stand over one raw endpoint`() async throws {
    let (left, right) = try makeSocketPair()
    let first = MessageDuplex(over: left)
    let second = MessageDuplex(over: left, framing: .varInt, maximumFrameSize: 10)
    try await right.send(try varIntFrame([1]) + varIntFrame([2]) + varIntFrame(pattern(20)))
    #expect(try await first.receive() == [1])
    #expect(try await second.receive() == [2])
    guard case .framing = await endpointError(of: { try await second.receive() })?.reason else {
      Issue.record("a frame above the limit of its endpoint")
      return
    }
    // The refusal is that endpoint's alone: nothing was consumed.
    #expect(try await first.receive() == pattern(20))
  }

  @MainActor @Test func `a loop over messages stays on its actor, whether it waits or not`() async throws {
    let (reader, writer) = try makePipe(framing: .varInt)
    try await writer.send(contentsOf: [[1], [2]] as [[UInt8]])
    var received: [UInt8] = []
    for try await message in reader.messages {
      MainActor.assertIsolated()
      received += message
      if received.count == 4 { break }
      // The first two are there. Each of the others comes while the loop waits.
      guard received.count >= 2 else { continue }
      let next = UInt8(received.count + 1)
      Task.detached {
        await eventually { reader.queued == 1 }
        try await writer.send([next])
      }
    }
    #expect(received == [1, 2, 3, 4])
  }
}
