import CSysShim
import CSysTestSupport
import Foundation
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Lines 8, 9 and 13 of the contract, and what bad arguments do.
@Suite(.lastResort, .leavesNothing) struct HostileTests {
  /// Fault 12 of the original: no size limit.
  @Test func `line 9: fault 12: a header that declares 2^63 bytes is an error, and it stays one`()
    async throws
  {
    let (raw, writer) = try makePipe()
    let reader = MessageReader(over: raw)
    try await writer.send([0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 1, count: 30_000))
    for _ in 0..<3 {
      guard case .framing(let error) = await endpointError(of: { try await reader.receive() })?.reason,
        case .tooLarge(let declared, _) = error.kind
      else {
        Issue.record("not refused")
        return
      }
      #expect(declared == 1 << 63)
      let thread = TestThread { blockingError { try reader.blocking.receive() } }
      guard case .framing = try await thread.value?.reason else {
        Issue.record("not refused the second time")
        return
      }
    }
  }

  @Test func `line 9: a frame above the limit is refused before anything is reserved`() async throws {
    let (raw, writer) = try makePipe()
    let reader = MessageReader(over: raw, framing: .varInt, maximumFrameSize: 1000)
    try await writer.send(try varIntFrame(pattern(997)) + varIntFrame(pattern(999)))
    #expect(try await reader.receive() == pattern(997))
    let error = await endpointError { try await reader.receive() }
    #expect(
      error?.reason == .framing(FramingError(.tooLarge(declared: 1001, limit: 1000), offset: 0)))
  }

  @Test func `line 9: a large declared length with nothing behind it costs no memory`() async throws {
    var ends: [(MessageReader<VarIntFraming>, SocketWriter)] = []
    let before = try residentBytes()
    for _ in 0..<100 {
      let (raw, writer) = try makePipe()
      let reader = MessageReader(over: raw)
      // 1,000,000,000 bytes: below the limit of 1 GiB.
      try await writer.send([0xFB, 0x3B, 0x9A, 0xCA, 0x00])
      #expect(await endpointError { try await reader.receive(timeout: .zero) }?.byteCount == 5)
      ends.append((reader, writer))
    }
    // A hundred of them: a gigabyte each was promised.
    #expect(try residentBytes() - before < 100 << 20)
  }

  /// Fault 21 of the original: peak memory 2.1 times the message. Ours is checked in a process of its own.
  private func residentBytes() throws -> Int {
    let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
    return try #require(text.split(separator: " ").dropFirst().first.flatMap { Int($0) }) * 4096
  }

  @Test func `line 13: arbitrary bytes give messages, waiting or a typed error`() async throws {
    var generator = SplitMix(seed: 11)
    var (rounds, messages, refused, truncated) = (0, 0, 0, 0)
    for _ in 0..<stressed(5_000) {
      let (raw, writer) = try makeSocketPair()
      let reader = MessageDuplex(over: raw, framing: .varInt, maximumFrameSize: 100_000)
      let bytes = (0..<Int(generator.next() % 400)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
      try await writer.send(bytes)
      writer.close()
      var consumed = 0
      rounds += 1
      loop: while true {
        do throws(EndpointError) {
          guard let message = try await reader.next() else { break }
          consumed += message.count
        } catch {
          switch error.reason {
          case .framing:
            refused += 1
            break loop
          case .truncated:
            truncated += 1
            #expect(!error.partialBytes.isEmpty)
            #expect(bytes.suffix(error.partialBytes.count) == error.partialBytes[...])
            break loop
          default:
            Issue.record("\(error)")
            break loop
          }
        }
      }
      messages += consumed > 0 ? 1 : 0
      #expect(consumed <= bytes.count)
    }
    // Each outcome that there is has been seen.
    #expect(messages > 0 && refused > 0 && truncated > 0 && refused + truncated <= rounds)
  }

  private struct SplitMix {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
  }

  @Test func `line 13: a decode error consumes its frame and the stream goes on`() async throws {
    struct Text: Framing {
      struct Invalid: Error {}
      func makeScanner() -> VarIntFraming.Scanner { VarIntFraming().makeScanner() }
      func decode(
        _ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing VarIntFraming.Scanner
      ) throws -> String {
        let bytes = unsafe frame.extracting(payload).withUnsafeBufferPointer { unsafe Array($0) }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Invalid() }
        return text
      }
      func encode(_ message: String, into parts: inout FrameParts) throws {
        try VarIntFraming().encode(Array(message.utf8), into: &parts)
      }
    }
    let (raw, writer) = try makePipe()
    let reader = MessageReader(over: raw, framing: Text())
    let frames =
      try varIntFrame(Array("one".utf8)) + varIntFrame([0xFF, 0xFE]) + varIntFrame(Array("two".utf8))
    for parked in [false, true] {
      let tasks = parked ? (0..<3).map { _ in Task { try await reader.receive() } } : []
      if parked { await eventually { reader.queued == 3 } }
      try await writer.send(frames)
      var texts: [String?] = []
      for index in 0..<3 {
        do {
          texts.append(parked ? try await tasks[index].value : try await reader.receive())
        } catch let error as EndpointError {
          guard case .codec(let reason) = error.reason else { throw error }
          #expect(reason is Text.Invalid)
          texts.append(nil)
        }
      }
      if parked {
        #expect(Set(texts) == ["one", nil, "two"])
      } else {
        #expect(texts == ["one", nil, "two"])
      }
    }
  }

  @Test func `a scanner that breaks its laws is named, not obeyed`() async throws {
    struct Stuck: Framing {
      struct Scanner: FrameScanner {
        func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand { .atLeast(1) }
      }
      func makeScanner() -> Scanner { Scanner() }
      func decode(_ frame: Span<UInt8>, payload: Range<Int>, scanned: borrowing Scanner) throws -> Int { 0 }
      func encode(_ message: Int, into parts: inout FrameParts) throws { parts.append(0) }
    }
    let (reader, writer) = try makePipe(framing: Stuck())
    try await writer.send(1)
    guard case .framing(let error) = await endpointError(of: { try await reader.receive() })?.reason else {
      Issue.record("obeyed")
      return
    }
    #expect(error.kind == .brokenScanner)
  }

  @Test(arguments: [0, 1]) func `an error says how a scanner broke its laws`(_ demand: Int) async throws {
    struct Shrinking: ByteFraming {
      struct Scanner: FrameScanner {
        let last: Int
        func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
          .atLeast(received.count < 5 ? 5 : last)
        }
      }
      let last: Int
      func makeScanner() -> Scanner { Scanner(last: last) }
      func envelope(for payload: Span<UInt8>) -> FrameEnvelope { FrameEnvelope() }
    }
    let (reader, writer) = try makePipe(framing: Shrinking(last: demand))
    try await writer.send("12")
    // Now it has demanded five bytes.
    #expect(await endpointError(of: { try await reader.receive(timeout: .zero) })?.reason == .timedOut)
    try await writer.send("345")
    guard case .framing(let error) = await endpointError(of: { try await reader.receive() })?.reason else {
      Issue.record("obeyed")
      return
    }
    let words = demand == 0 ? "the scanner demands 0 bytes" : "the demand shrank to 1 bytes"
    #expect(error.kind == .brokenScanner && error.explanation.contains(words), "\(error)")
  }

  /// A length of one byte before the payload. The byte 0xFF gives a frame of no bytes, and 0xFE a demand for none.
  private struct Careless: ByteFraming {
    struct Scanner: FrameScanner {
      func demand(in received: Span<UInt8>) throws(FramingError) -> FrameDemand {
        if received.isEmpty { return .atLeast(1) }
        switch received[0] {
        case 0xFF: return .frame(byteCount: 0, payload: 0..<0)
        case 0xFE: return .atLeast(0)
        case let length: return .frame(byteCount: 1 + Int(length), payload: 1..<(1 + Int(length)))
        }
      }
    }
    func makeScanner() -> Scanner { Scanner() }
    func envelope(for payload: Span<UInt8>) throws(FramingError) -> FrameEnvelope {
      FrameEnvelope(header: ShortBytes([UInt8(payload.count)]))
    }
  }

  private static func carelessPair(
    _ kind: SocketPairKind, _ mode: ReceiveMode
  ) throws -> (SocketDuplex, MessageDuplex<Careless>) {
    let pair = try DescriptorPair.sockets(kind)
    return (
      try SocketDuplex(adopting: pair.first),
      try MessageDuplex(adopting: pair.second, framing: Careless(), mode: mode)
    )
  }

  /// The calls that receive messages. Each returns how many messages it received.
  private static let receives: [@Sendable (MessageDuplex<Careless>) async throws -> Int] = [
    {
      _ = try await $0.receive()
      return 1
    },
    { try await $0.receiveBatch().count },
    { try await $0.withMessage { _ in 1 } },
    { try await $0.withMessages { _ in } },
    {
      _ = try await $0.receiveMessage()
      return 1
    },
    { peer in
      try await TestThread {
        _ = try peer.blocking.receive()
        return 1
      }.value
    },
    { peer in try await TestThread { try peer.blocking.receiveBatch().count }.value },
    { peer in try await TestThread { try peer.blocking.withMessage { _ in 1 } }.value },
    { peer in try await TestThread { try peer.blocking.withMessages { _ in } }.value },
  ]

  @Test(arguments: [0xFE, 0xFF] as [UInt8], [ReceiveMode.readAhead, .exact])
  func `a demand for no bytes and a frame of none are a broken scanner on every way`(
    byte: UInt8, mode: ReceiveMode
  ) async throws {
    for receive in Self.receives {
      for (bytes, expected) in [([byte], 0), ([1, 65, byte, 1, 66], 1), ([1, 65, 1, 66, byte], 2)] {
        let (writer, reader) = try Self.carelessPair(.unix, mode)
        try await writer.send(bytes)
        var count = 0
        while count < expected { count += try await receive(reader) }
        #expect(count == expected)
        for _ in 0..<2 {
          let error = await endpointError { try await receive(reader) }
          guard case .framing(let reason) = error?.reason else {
            Issue.record("\(error as Any)")
            continue
          }
          #expect(reason.kind == .brokenScanner)
        }
        reader.close()
        writer.close()
      }
    }
    // Callers that wait when the bytes arrive.
    for receive in Self.receives {
      let (writer, reader) = try Self.carelessPair(.unix, mode)
      let waiting = Task { try await receive(reader) }
      await eventually { reader.queued == 1 }
      try await writer.send([byte])
      let error = await endpointError { try await waiting.value }
      guard case .framing(let reason) = error?.reason else {
        Issue.record("\(error as Any)")
        continue
      }
      #expect(reason.kind == .brokenScanner)
    }
    // A datagram must be one frame, so only itself is lost.
    let (sender, reader) = try Self.carelessPair(.unixDatagrams, mode)
    try await sender.send([byte])
    try await sender.send([1, 65])
    let error = await endpointError { try await reader.receive() }
    guard case .codec(let reason as FramingError) = error?.reason else {
      Issue.record("\(error as Any)")
      return
    }
    #expect(reason.kind == .brokenScanner)
    #expect(try await reader.receive() == [65])
  }

  @Test func `a closed or unfit descriptor is a typed error, and still the caller's`() throws {
    #expect(
      blockingError { try SocketReader(adopting: 1_000_000) }?.reason
        == .transport(TransportError(.adopt, .badFileDescriptor)))
    let pair = try DescriptorPair.pipe()
    let (reading, writing) = pair.first.withDescriptor { first in
      pair.second.withDescriptor { (first.rawValue, $0.rawValue) }
    }
    #expect(
      blockingError { try MessageReader(adopting: writing, framing: .varInt) }?.reason
        == .transport(TransportError(.adopt, .badFileDescriptor)))
    #expect(
      blockingError { try MessageWriter(adopting: reading, framing: .varInt) }?.reason
        == .transport(TransportError(.adopt, .badFileDescriptor)))
    #expect(blockingError { try SocketDuplex(adopting: reading) } != nil)
    #expect(
      blockingError { try SocketDuplex(reading: .init(rawValue: reading), writing: .init(rawValue: reading)) }
        != nil)
    #expect(swsys_get_close_on_exec(reading) == 1 && swsys_get_close_on_exec(writing) == 1)
    let (reader, writer) = (
      try SocketReader(adopting: pair.first), try SocketWriter(adopting: pair.second)
    )
    try writer.blocking.send([1])
    #expect(try reader.blocking.receive() == [1])
  }

  /// Fault 8 of the original: O_NONBLOCK was left on shared descriptions.
  @Test(arguments: Wire.allCases)
  func `line 8: no flag of a shared description changes, and everything is close-on-exec`(
    _ wire: Wire
  ) async throws {
    let (reader, writer) = try wire.make()
    for endpoint in [reader as any Endpoint, writer] {
      try endpoint.withDescriptor { descriptor in
        #expect(swsys_is_nonblocking(descriptor.rawValue) == 0)
        #expect(swsys_get_close_on_exec(descriptor.rawValue) == 1)
      }
      #expect(!endpoint.isInheritable)
    }
    let waiting = Task { try await reader.receive(exactly: 500_000) }
    try await writer.send(pattern(500_000))
    _ = try await waiting.value
    for endpoint in [reader as any Endpoint, writer] {
      try endpoint.withDescriptor { #expect(swsys_is_nonblocking($0.rawValue) == 0) }
      endpoint.isInheritable = true
      #expect(endpoint.isInheritable)
      endpoint.isInheritable = false
      #expect(!endpoint.isInheritable)
    }
    if wire == .tcp || wire == .tcp6 {
      // Fault 4: header and payload met Nagle.
      try reader.withDescriptor { #expect(swsys_get_no_delay($0.rawValue) == 1) }
      try writer.withDescriptor { #expect(swsys_get_no_delay($0.rawValue) == 1) }
    }
  }

  @Test func `line 8: without RWF_NOWAIT and without /proc a pipe still works, only more slowly`()
    async throws
  {
    let (reader, writer) = try KernelFeatures.$override.withValue(
      KernelFeatures(nowaitPipes: false, nosignalPipes: false, reopens: false)
    ) { try makePipe(framing: .varInt) }
    let large = pattern(300_000)
    async let received = reader.receive()
    try await writer.send(large)
    #expect(try await received == large)
    try reader.withDescriptor { #expect(swsys_is_nonblocking($0.rawValue) == 0) }
    reader.close()
    // Between a fork and its exec the child of another test has a copy of every descriptor: a few bytes may
    // still find a reader.
    var failure: EndpointError?
    while failure == nil {
      do throws(EndpointError) {
        try await writer.send([1], timeout: .patience)
        await Task.yield()
      } catch {
        failure = error
      }
    }
    #expect(failure?.reason == .transport(TransportError(.send, .brokenPipe)))
  }

  @Test func `a peer that stalls inside a header costs a timeout and no more`() async throws {
    let (raw, writer) = try makeSocketPair(.tcp)
    let reader = MessageDuplex(over: raw)
    try await writer.send([0xFA, 0x00])
    for _ in 0..<3 {
      let error = await endpointError { try await reader.receive(timeout: .milliseconds(1)) }
      #expect(error?.reason == .timedOut && error?.byteCount == 2)
    }
    try await writer.send([0x00, 0x02, 7, 8])
    #expect(try await reader.receive() == [7, 8])
  }

  /// Fault 15 of the original: `socketpair(AF_INET, SOCK_STREAM)` failed.
  @Test(arguments: [SocketPairKind.tcp, .tcp6])
  func `fault 15: TCP socket pairs exist`(_ kind: SocketPairKind) throws {
    let (left, right) = try makeSocketPair(kind)
    try left.blocking.send("there")
    #expect(try right.blocking.receive() == Array("there".utf8))
  }

  /// Fault 7 of the original: a closed event loop broke the endpoint for all other callers.
  @Test func `fault 7: a task that is gone poisons nothing`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    for _ in 0..<20 {
      let task = Task { @MainActor in try await left.receive() }
      await eventually { left.queued == 1 }
      task.cancel()
      _ = await task.result
    }
    try await right.send("still fine")
    #expect(try await TestThread { try left.blocking.receive() }.value == Array("still fine".utf8))
  }

  @Test func `deadlines round up, saturate, and sort`() {
    #expect(Deadline.after(nil) == .never)
    #expect(Deadline.after(.zero) == .immediately)
    #expect(Deadline.after(.seconds(-5)) == .immediately)
    #expect(Deadline.after(.seconds(Int64.max)) == .never)
    #expect(Deadline.after(.seconds(10)) < Deadline.after(.seconds(20)))
    #expect(Deadline.never > Deadline.after(.seconds(1 << 33)))
  }
}
