import Glibc
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// A read of a Unix stream stops behind bytes that came with a descriptor, however much is behind them
/// and however much room there was: a short read says nothing there. The same as urgent data, which is known.
@Suite(.lastResort, .leavesNothing) struct BarrierTests {
  @Test(.blocksItsThread)
  func `what is behind bytes with a descriptor is found by a task`() async throws {
    let pair = try DescriptorPair.sockets(.unix)
    let receiving = pair.first
    let writer = try SocketDuplex(adopting: pair.second)
    let reader = try MessageReader(adopting: receiving, framing: .varInt)
    let (passed, _) = try makePipe()
    let first = Task { try await reader.receive() }
    await eventually { reader.queued == 1 }
    _ = try writer.withDescriptor { try $0.writeAll([1, 0, 1, 1]) }
    #expect(try await first.value == [0])
    // The receiver may be resumed before the reactor has released the turn.
    await eventually { reader.core.receiving?.inspect { !$0.turn } ?? false }
    try await reader.withMessage { message in
      #expect(message[0] == 1)
      try writer.blocking.send([1, 2], passing: [try passed.withDescriptor { $0 }])
      try writer.blocking.send([1, 3])
      try awaitReactorHeard()
    }
    #expect(try await reader.receive() == [2])
    let isDone = Raised()
    let last = Task {
      defer { isDone.raise() }
      return try await reader.receive()
    }
    #expect(await holds { isDone.isUp }, "it waits for what is there")
    // It was there all the time: every attempt finds it, for the caller that came first.
    if !isDone.isUp { _ = try? await reader.receive(timeout: .zero) }
    #expect(try await last.value == [3])
    withExtendedLifetime(passed) {}
  }
}
