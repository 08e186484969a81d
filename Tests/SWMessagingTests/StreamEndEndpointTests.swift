import SWFraming
import SWMessaging
import SWTesting
import Synchronization
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

  /// Wants more than it ever gets, and counts how often it is asked about the end.
  private struct Asked: ByteFraming {
    final class Count: Sendable {
      private let value = Atomic(0)
      var now: Int { value.load(ordering: .relaxed) }
      func add() { value.wrappingAdd(1, ordering: .relaxed) }
    }
    struct Scanner: FrameScanner {
      let count: Count
      mutating func demand(in received: Span<UInt8>) -> FrameDemand { .atLeast(received.count + 1) }
      mutating func atEnd(of received: Span<UInt8>) -> FrameEnd {
        count.add()
        return .incomplete
      }
    }
    let count = Count()
    func makeScanner() -> Scanner { Scanner(count: count) }
    func envelope(for payload: Span<UInt8>) -> FrameEnvelope { FrameEnvelope() }
  }

  @Test func `a scanner is asked once about the end`() async throws {
    let (raw, writer) = try makePipe()
    let framing = Asked()
    let reader = MessageReader(over: raw, framing: framing)
    try await writer.send("one")
    writer.close()
    for _ in 0..<3 {
      let error = await endpointError { try await reader.receive() }
      #expect(error?.reason == .truncated && error?.partialBytes == Array("one".utf8))
    }
    #expect(framing.count.now == 1)
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
