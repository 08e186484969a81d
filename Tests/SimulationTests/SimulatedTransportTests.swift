import SWMessaging
import SWTesting
import TestSupport
import Testing

/// The simulated transport as its users have it: with tasks and threads of their own.
@Suite(.lastResort, .leavesNothing) struct SimulatedTransportTests {
  private static func message(_ index: Int) -> [UInt8] {
    (0..<(index * 7 % 90)).map { UInt8(truncatingIfNeeded: $0 &+ index) }
  }

  @Test(arguments: 1...5 as ClosedRange<UInt64>)
  func `messages between tasks arrive whole and in order, both ways`(_ seed: UInt64) async throws {
    let (first, second) = SimulatedTransport.pair(capacity: 16, plan: .unsteady(seed: seed))
    let left = MessageDuplex(transport: first, framing: .varInt)
    let right = MessageDuplex(transport: second, framing: .varInt)
    let echo = Task {
      for try await message in right.messages { try await right.send(message) }
      right.finishSending()
    }
    let sender = Task {
      for index in 0..<100 { try await left.send(Self.message(index)) }
      left.finishSending()
    }
    for index in 0..<100 { #expect(try await left.receive() == Self.message(index)) }
    #expect(try await left.next() == nil)
    try await sender.value
    try await echo.value
  }

  @Test(arguments: 1...5 as ClosedRange<UInt64>)
  func `messages from a thread reach tasks and threads, each once`(_ seed: UInt64) async throws {
    let (first, second) = SimulatedTransport.pair(capacity: 16, plan: .unsteady(seed: seed))
    let writer = MessageWriter(transport: first, framing: .varInt)
    let reader = MessageReader(transport: second, framing: .varInt)
    let sender = TestThread {
      for index in 0..<100 { try writer.blocking.send([UInt8(index)]) }
      writer.close()
    }
    let thread = TestThread {
      var received: [UInt8] = []
      while let message = try reader.blocking.next() { received += message }
      return received
    }
    var received: [UInt8] = []
    while let message = try await reader.next() { received += message }
    #expect(received == received.sorted())
    let others = try await thread.value
    #expect(others == others.sorted())
    #expect((received + others).sorted() == (0..<100).map { UInt8($0) })
    try await sender.value
  }

  @Test func `a stalled direction gets on when it is told to`() async throws {
    var plan = SimulationPlan(seed: 1)
    plan.stall = 1
    plan.stallLength = nil
    let (first, second) = SimulatedTransport.pair(plan: plan)
    let writer = MessageWriter(transport: first, framing: .varInt)
    await #expect(throws: EndpointError.self) { try await writer.send("hello", timeout: .zero) }
    #expect(first.isStalled)
    #expect(first.readiness == [])
    first.tick()
    #expect(first.readiness == .writable)
    first.calm()
    try await writer.send("hello")
    second.calm()
    let reader = MessageReader(transport: second, framing: .varInt)
    #expect(try await reader.receive() == Array("hello".utf8))
  }

  @Test func `data before a hang-up is received, a reset drops it`() async throws {
    for isReset in [false, true] {
      let (first, second) = SimulatedTransport.pair(plan: SimulationPlan(seed: 1))
      let writer = MessageWriter(transport: first, framing: .varInt)
      let reader = MessageReader(transport: second, framing: .varInt)
      try await writer.send("hello")
      if isReset { first.reset() } else { first.hangUp() }
      await #expect(throws: EndpointError.self) { try await writer.send("more") }
      if isReset {
        await #expect(throws: EndpointError.self) { try await reader.next() }
      } else {
        #expect(try await reader.next() == Array("hello".utf8))
        #expect(try await reader.next() == nil)
      }
    }
  }
}
