import SWMessaging
import SWTesting

/// Received messages are released: how much memory a process has gained by receiving.
extension Probe {
  static func churn() async throws {
    let (left, right) = try makeSocketPair(.unixDatagrams)
    let bytes = makeBytes(4_000) { UInt8(truncatingIfNeeded: $0) }
    try growBlocking("datagrams, raw") {
      try left.blocking.send(bytes)
      _ = try right.blocking.receive()
    }
    try growBlocking("datagrams, cut") {
      try left.blocking.send(bytes)
      _ = try right.blocking.receive(upTo: 1_000)
    }
    try await grow("datagrams, accompanied, by a task") {
      try await left.send(bytes)
      _ = try await right.receiveBytes()
    }
    let (writer, reader) = (MessageDuplex(over: left), MessageDuplex(over: right))
    try await grow("datagrams, framed") {
      try await writer.send(bytes)
      _ = try await reader.receive()
    }
    try await grow("datagrams, framed and lent") {
      try await writer.send(bytes)
      try await reader.withMessage { _ in }
    }
    try await grow("datagrams, framed, to who waits") {
      async let message = reader.receive()
      try await writer.send(bytes)
      _ = try await message
    }
    let (first, second) = try makeSocketPair(framing: .varInt)
    try await grow("frames") {
      try await first.send(bytes)
      _ = try await second.receive()
    }
    try await grow("frames, to who waits") {
      async let message = second.receive()
      try await first.send(bytes)
      _ = try await message
    }
    try await grow("frames, several in a read") {
      try await first.send(contentsOf: [bytes, bytes, bytes])
      for _ in 0..<3 { _ = try await second.receive() }
    }
    let large = bytes + bytes + bytes + bytes + bytes
    let (leftStream, rightStream) = try makeSocketPair(.unix)
    let (start, end) = (
      MessageDuplex(over: leftStream), MessageDuplex(core: rightStream.core, framing: .varInt, mode: .exact)
    )
    try await grow("frames, straight into their array") {
      try await start.send(large)
      _ = try await end.receive()
    }
    try await grow("bytes") {
      try await leftStream.send(large)
      _ = try await rightStream.receive(exactly: large.count)
    }
  }

  private static func growBlocking(_ what: String, _ body: () throws -> Void) throws {
    for _ in 0..<200 { try body() }
    let before = status("VmRSS:")
    for _ in 0..<2_000 { try body() }
    print("\(what)=\(max(status("VmRSS:") - before, 0))")
  }

  private static func grow(_ what: String, _ body: () async throws -> Void) async throws {
    for _ in 0..<200 { try await body() }
    let before = status("VmRSS:")
    for _ in 0..<2_000 { try await body() }
    print("\(what)=\(max(status("VmRSS:") - before, 0))")
  }
}
