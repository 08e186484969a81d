import SWMessaging
import SWTesting
import TestSupport
import Testing

/// Sends at once of more than a pipe holds.
@Suite(.lastResort, .leavesNothing) struct ConcurrentLineTests {
  @Test func `case 31: a line that is sent meanwhile stands after a large one, also if that is cancelled`()
    async throws
  {
    let (reader, writer) = try makePipe(framing: .lines)
    let large = [UInt8](repeating: 0x61, count: 300_000)
    let first = Task { await endpointError { try await writer.send(large) } }
    // The pipe is full, and the rest of the line waits.
    await eventually { (writer.core.sending?.inspect { ($0.queue.first as? SendPlace)?.sent ?? 0 } ?? 0) > 0 }
    let second = Task { try await writer.send("twenty bytes of text") }
    await eventually { writer.queued == 2 }
    first.cancel()
    let error = await first.value
    #expect(error?.reason == .cancelled && error?.isCommitted == true)
    #expect(try await reader.receive() == large)
    #expect(try await reader.receive() == Array("twenty bytes of text".utf8))
    try await second.value
    #expect(writer.queued == 0)
  }
}
