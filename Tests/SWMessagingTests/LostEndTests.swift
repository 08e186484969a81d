import Glibc
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// "A short read on a stream socket, nothing stirred since" says that no more data is there. It does not
/// say that the end is not: that may have been signalled before the read that came back short, and makes no other
/// edge. Contract lines 7 and 14.
@Suite(.lastResort, .leavesNothing) struct LostEndTests {
  enum Ending: String, CaseIterable, Sendable { case halfClose, close }

  @Test(.blocksItsThread, arguments: [SocketPairKind.unix, .tcp], Ending.allCases)
  func `line 7: a task is told of an end that came while a turn was held, behind a message`(
    _ kind: SocketPairKind, _ ending: Ending
  ) async throws {
    let pair = try DescriptorPair.sockets(kind)
    let receiving = pair.first
    let writer = try SocketWriter(adopting: pair.second)
    let reader = try MessageReader(adopting: receiving, framing: .varInt)
    // The reactor watches for it from here on.
    let first = Task { try await reader.receive() }
    await eventually { reader.queued == 1 }
    // Two at once: the second waits in the buffer.
    _ = try writer.withDescriptor { try $0.writeAll([1, 0, 1, 1]) }
    #expect(try await first.value == [0])
    // The receiver may be resumed before the reactor has released the turn.
    await eventually { reader.core.receiving?.inspect { !$0.turn } ?? false }
    // The turn is held while the last message comes and the end right behind it.
    try await reader.withMessage { message in
      #expect(message[0] == 1)
      try writer.withDescriptor { descriptor in
        _ = try descriptor.writeAll([1, 2])
        if ending == .halfClose { #expect(shutdown(descriptor.rawValue, Int32(SHUT_WR)) == 0) }
      }
      if ending == .close { writer.close() }
      try awaitReactorHeard()
    }
    #expect(try await reader.receive() == [2])
    let isDone = Raised()
    let end = Task {
      defer { isDone.raise() }
      return try await reader.next()
    }
    #expect(await holds { isDone.isUp }, "it waits for an end that is there")
    // The data is there after all: a timeout attempts before it waits.
    if !isDone.isUp {
      #expect(try await reader.next(timeout: .zero) == nil, "the end is there, for who looks")
    }
    end.cancel()
    _ = await end.result
    withExtendedLifetime(writer) {}
  }
}
