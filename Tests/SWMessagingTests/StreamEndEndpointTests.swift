import SWFraming
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// How a framing treats the end of a stream, through endpoints.
@Suite(.lastResort, .leavesNothing) struct StreamEndEndpointTests {
  enum Way: String, CaseIterable, Sendable { case task, thread, waitingTask, waitingThread }

  /// Everything that a reader gets, until the end.
  private func all<F: Framing>(
    _ text: String, _ framing: F, _ way: Way
  ) async throws -> [[UInt8]] where F.Incoming == [UInt8] {
    let (raw, writer) = try makePipe()
    let reader = MessageReader(over: raw, framing: framing)
    let receiveAll: @Sendable () throws -> [[UInt8]] = {
      var messages: [[UInt8]] = []
      while let message = try reader.blocking.next() { messages.append(message) }
      return messages
    }
    let task = way == .waitingTask ? Task { try await collected(reader) } : nil
    let thread = way == .waitingThread ? TestThread(receiveAll) : nil
    if task != nil || thread != nil { await eventually { reader.queued == 1 } }
    try await writer.send(text)
    writer.close()
    if let task { return try await task.value }
    if let thread { return try await thread.value }
    return way == .task ? try await collected(reader) : try await TestThread(receiveAll).value
  }

  @Test(arguments: Way.allCases) func `a last line without an end is a message where that is wanted`(
    _ way: Way
  )
    async throws
  {
    let messages = try await all("one\ntwo", LineFraming.lines(takesLastLine: true), way)
    #expect(messages == [Array("one".utf8), Array("two".utf8)])
  }

  @Test func `a last line without an end is truncated where it is not`() async throws {
    let (raw, writer) = try makePipe()
    let reader = MessageReader(over: raw, framing: .lines)
    try await writer.send("one\ntwo")
    writer.close()
    #expect(try await reader.receive() == Array("one".utf8))
    for _ in 0..<2 {
      let error = await endpointError { try await reader.receive() }
      #expect(error?.reason == .truncated)
      #expect(error?.partialBytes == Array("two".utf8))
    }
  }

  @Test(arguments: Way.allCases) func `a framing until the end has one message`(_ way: Way) async throws {
    let messages = try await all("all of it", UntilEndFraming.untilEnd, way)
    #expect(messages == [Array("all of it".utf8)])
  }
}

@concurrent
private func collected<F: Framing>(
  _ reader: MessageReader<F>
) async throws -> [[UInt8]] where F.Incoming == [UInt8] {
  var messages: [[UInt8]] = []
  while let message = try await reader.next() { messages.append(message) }
  return messages
}
