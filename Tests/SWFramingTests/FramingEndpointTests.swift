import SWFraming
import SWJSON
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// The framings as endpoints use them: what sticks and what does not, and how far an endpoint reads.
@Suite(.lastResort, .leavesNothing) struct FramingEndpointTests {
  static let framings: [(name: String, framing: AnyByteFraming)] = [
    ("varInt", AnyByteFraming(.varInt)),
    ("multiprocessingBytes", AnyByteFraming(.multiprocessingBytes)),
    ("delimited", AnyByteFraming(.delimited(by: "\r\n--"))),
    ("lines", AnyByteFraming(.lines)),
    (
      "lengthPrefixed", AnyByteFraming(.lengthPrefixed(.uint32, byteOrder: .littleEndian, countsHeader: true))
    ),
    ("fixedSize", AnyByteFraming(.fixedSize(5))),
    ("contentLength", AnyByteFraming(.contentLength)),
    ("protobufDelimited", AnyByteFraming(.protobufDelimited)),
  ]

  @Test(arguments: framings)
  func `an exact endpoint leaves the next frame to who reads next`(
    _ name: String, _ framing: AnyByteFraming
  ) async throws {
    let (raw, writer) = try makePipe()
    try await MessageWriter(over: writer, framing: framing)
      .send(contentsOf: ["hello", "world", "again"].map { Array($0.utf8) })
    var received: [String] = []
    for _ in 0..<3 {
      // Each has a buffer of its own: what one reads too much is lost to the others.
      let reader = try raw.withDescriptor { number throws(EndpointError) in
        try MessageReader(duplicating: number, framing: framing, mode: .exact)
      }
      received.append(String(decoding: try await reader.receive(), as: UTF8.self))
    }
    #expect(received == ["hello", "world", "again"])
  }

  @Test(arguments: framings.filter { $0.name != "fixedSize" })
  func `large messages arrive, read ahead and exactly`(_ name: String, _ framing: AnyByteFraming) async throws
  {
    for mode in [ReceiveMode.readAhead, .exact]
    where mode == .readAhead || name != "delimited" && name != "lines" {
      let ends = try DescriptorPair.pipe()
      let reader = try MessageReader(adopting: ends.first, framing: framing, mode: mode)
      let writer = try SocketWriter(adopting: ends.second)
      let messages = [100_000, 3, 70_000, 0].map { byteCount in
        payload(byteCount: byteCount).map { byte in byte == 0x0a || byte == 0x0d ? 0x7e : byte }
      }
      async let received = messages.indices.asyncMap { _ in try await reader.receive() }
      try await MessageWriter(over: writer, framing: framing).send(contentsOf: messages)
      #expect(try await received == messages)
    }
  }

  static let broken: [(framing: AnyByteFraming, wire: [UInt8])] = [
    (AnyByteFraming(.multiprocessingBytes), [0x80, 0, 0, 0]),
    (AnyByteFraming(.lengthPrefixed(.uint16, countsHeader: true)), [0, 1]),
    (AnyByteFraming(.contentLength), Array("Listening on port 80\r\n".utf8)),
    (AnyByteFraming(.protobufDelimited), Array(repeating: 0xff, count: 11)),
  ]

  @Test(arguments: broken)
  func `what breaks a framing stays an error, for tasks and threads`(
    _ framing: AnyByteFraming, _ wire: [UInt8]
  ) async throws {
    let (raw, writer) = try makePipe()
    let reader = MessageReader(over: raw, framing: framing)
    try await MessageWriter(over: writer, framing: framing).send([7])
    _ = try await writer.send(wire + wire)
    #expect(try await reader.receive() == [7])
    var errors: [EndpointError?] = []
    errors.append(await #expect(throws: EndpointError.self) { try await reader.receive() })
    errors.append(
      try await TestThread { #expect(throws: EndpointError.self) { try reader.blocking.receive() } }.value)
    for error in errors {
      guard case .framing(let framing) = error?.reason else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(framing.kind == .malformedHeader)
      #expect(!framing.explanation.isEmpty)
    }
  }

  @Test func `a message that is not understood is consumed, and the stream goes on`() async throws {
    let (raw, writer) = try makePipe()
    let reader = MessageReader(over: raw, framing: .lines.json([Int].self))
    _ = try await writer.send("[1]\nnonsense\n{}\n[2,3]\r\n".utf8)
    #expect(try await reader.receive() == [1])
    for _ in 0..<2 {
      let error = await #expect(throws: EndpointError.self) { try await reader.receive() }
      guard case .codec(let inner) = error?.reason, inner is DecodingError else {
        Issue.record("\(String(describing: error))")
        return
      }
    }
    #expect(try await reader.receive() == [2, 3])
  }

  @Test func `what cannot be sent leaves nothing on the wire`() async throws {
    let (reader, writer) = try makePipe(framing: .delimited(by: "--"))
    for refused in ["a--b", "x-"] {
      let error = await #expect(throws: EndpointError.self) { try await writer.send(refused) }
      guard case .framing(let framing) = error?.reason else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(framing.kind == .unrepresentable)
      #expect(framing.offset == 1)
    }
    try await writer.send("good")
    #expect(try await reader.receive() == Array("good".utf8))
  }

  @Test(arguments: MultiprocessingVectors.golden.maxlength)
  func `a message above the limit is an error, as Python's maxlength has it`(
    _ golden: MultiprocessingVectors.Limited
  ) async throws {
    let (raw, writer) = try makePipe()
    // Ours counts the header.
    let reader = MessageReader(
      over: raw, framing: .multiprocessingBytes, maximumFrameSize: 4 + golden.maxlength)
    let message = Array(repeating: UInt8(0), count: golden.length)
    try await MessageWriter(over: writer, framing: .multiprocessingBytes).send(message)
    if let expected = golden.first.message {
      #expect(expected.bytes == message)
      #expect(try await reader.receive() == message)
    } else {
      let error = await #expect(throws: EndpointError.self) { try await reader.receive() }
      let (declared, limit) = (UInt64(4 + golden.length), UInt64(4 + golden.maxlength))
      #expect(error?.reason == .framing(FramingError(.tooLarge(declared: declared, limit: limit), offset: 0)))
    }
  }

  @Test func `progress is told on the way, whatever the framing is`() async throws {
    let log = ProgressLog()
    let framing = AnyByteFraming(.multiprocessingBytes)
    let (reader, writer) = try makePipe(framing: framing.progress(every: 65_536, log: log))
    let message = payload(byteCount: 300_000)
    async let received = reader.receive()
    try await writer.send(message)
    #expect(try await received == message)
    let total = 300_004
    let counts = log.entries.compactMap { entry in
      if case .received(let count, of: total) = entry { count } else { nil }
    }
    #expect(counts == counts.sorted() && counts.count > 1 && counts.last ?? 0 > 200_000)
    #expect(log.entries.contains(.sent(total, of: total)))
  }
}

extension Collection {
  /// The results of an async call for each element, in order.
  fileprivate func asyncMap<Result>(_ call: (Element) async throws -> Result) async throws -> [Result] {
    var results: [Result] = []
    for element in self { results.append(try await call(element)) }
    return results
  }
}
