import Glibc
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Packets of a peer that has closed with something unread. The kernel reports that once, in front of the packets.
@Suite(.lastResort, .leavesNothing) struct PacketResetTests {
  private static let reset = TransportError(.receive, .connectionReset)

  /// A transport over one end, whose peer has sent these packets and then closed with one unread.
  private func left(behind packets: [[UInt8]]) throws -> SystemTransport {
    let pair = try DescriptorPair.sockets(.unixPackets)
    _ = try pair.first.withDescriptor { try $0.writeAll([9]) }
    let number = pair.second.withDescriptor { $0.rawValue }
    for packet in packets {
      // `write` sends no empty packet.
      let count = unsafe packet.withUnsafeBytes { unsafe send(number, $0.baseAddress, $0.count, 0) }
      #expect(count == packet.count)
    }
    try pair.second.release().close()
    return try SystemTransport(adopting: pair.first)
  }

  private func receive(_ transport: SystemTransport) -> (attempt: Attempt, bytes: [UInt8]) {
    unsafe bytes { unsafe transport.receive(into: $0) }
  }

  private func peek(_ transport: SystemTransport) -> (attempt: Attempt, bytes: [UInt8]) {
    unsafe bytes { unsafe transport.peek(into: $0) }
  }

  private func bytes(
    of make: (UnsafeMutableRawBufferPointer) -> Attempt
  ) -> (attempt: Attempt, bytes: [UInt8]) {
    var attempt = Attempt.wouldBlock
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 100) { memory, filled in
      attempt = unsafe make(UnsafeMutableRawBufferPointer(memory))
      if case .transferred(let count) = attempt { filled = count }
    }
    return (attempt, bytes)
  }

  @Test func `a look at the size does not take the reset for the end of the packets`() throws {
    let transport = try left(behind: [[1, 2], [3]])
    #expect(transport.nextDatagramSize() == .transferred(2))
    #expect(receive(transport).bytes == [1, 2])
    #expect(transport.nextDatagramSize() == .transferred(1))
    #expect(receive(transport).bytes == [3])
    for _ in 0..<3 { #expect(transport.nextDatagramSize() == .failed(Self.reset)) }
    transport.close()
  }

  @Test func `neither does a receive, nor a look at the bytes`() throws {
    let received = try left(behind: [[1, 2]])
    #expect(receive(received).bytes == [1, 2])
    #expect(received.nextDatagramSize() == .failed(Self.reset))
    received.close()
    let seen = try left(behind: [[3, 4]])
    #expect(peek(seen).bytes == [3, 4])
    #expect(receive(seen).bytes == [3, 4])
    #expect(peek(seen).attempt == .failed(Self.reset))
    guard case .failed(let error) = seen.nextDatagramSize() else {
      Issue.record("the reset is forgotten")
      return
    }
    #expect(error == Self.reset && error.scope == .connection)
    seen.close()
  }

  @Test func `the reset follows at once if no packet was sent, or an empty one`() throws {
    let silent = try left(behind: [])
    #expect(silent.nextDatagramSize() == .failed(Self.reset))
    silent.close()
    let brief = try left(behind: [[]])
    #expect(brief.nextDatagramSize() == .transferred(0))
    #expect(receive(brief).attempt == .transferred(0))
    #expect(brief.nextDatagramSize() == .failed(Self.reset))
    brief.close()
  }

  @Test func `a service over packets that closes early is heard in full`() async throws {
    let listener = try Listener(.abstract("sw-reset-\(getpid())"), framing: .varInt, kind: .packets)
    for isBlocking in [true, false] {
      let client = try await connect(to: listener.address, framing: .varInt, kind: .packets)
      let server = try await listener.accept(timeout: .patience)
      try await client.send("request")
      try await client.send("another, which is never read")
      #expect(try await server.receive() == Array("request".utf8))
      for answer in ["one", "two", "three"] { try await server.send(answer) }
      server.close()
      await eventually { (try? client.withDescriptor { $0.isReady(for: .hangUps) }) ?? true }
      for answer in ["one", "two", "three"] {
        let received =
          isBlocking
          ? try await TestThread { try client.blocking.receive(timeout: .patience) }.value
          : try await client.receive(timeout: .patience)
        #expect(received == Array(answer.utf8))
      }
      for _ in 0..<2 {
        let error = await endpointError { try await client.receive(timeout: .patience) }
        #expect(error?.reason == .transport(Self.reset))
      }
      client.close()
    }
    listener.close()
  }
}
