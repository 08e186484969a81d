import SWFraming
import SWMessaging
import SWTesting
import TestSupport
import Testing

/// Contract line 13: a scan error sticks. It did not for a message that lies in the buffer when a raw
/// receiver over the same half has moved on: then it depends on timing what the endpoint says.
@Suite(.lastResort, .leavesNothing) struct StickyErrorTests {
  /// - Parameter isThere: whether the next message is in the buffer. Otherwise it comes when a call waits for it.
  @Test(arguments: [true, false])
  func `line 13: a scan error sticks, also when somebody else has taken the bytes`(_ isThere: Bool)
    async throws
  {
    let (left, right) = try makeSocketPair()
    let reader = MessageDuplex(over: right, framing: .varInt)
    let bad = [UInt8](repeating: 0xff, count: 9)
    try await left.send(isThere ? bad + [1, 7] : bad)
    let error = await endpointError { try await reader.receive() }
    guard case .framing = error?.reason else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(try await right.receive(exactly: 9) == bad)
    let receiving = Task { try await reader.receive(timeout: .seconds(10)) }
    if !isThere {
      // One that waits for its bytes does throw.
      await eventually { right.queued == 1 }
      try await left.send([1, 7])
    }
    let next = await endpointError { try await receiving.value }
    guard case .framing = next?.reason else {
      Issue.record("it does not stick: \(String(describing: next))")
      return
    }
  }
}
