import Foundation
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// The helpers of SWTesting for services: a listener in memory, and the check of listeners.
@Suite(.lastResort, .leavesNothing) struct TestKitTests {
  @Test(arguments: [SimulationPlan(seed: 1), .unsteady(seed: 2)])
  func `a listener in memory keeps what listeners promise`(_ plan: SimulationPlan) async throws {
    try await checkListener(connections: 20) {
      let memory = MemoryListener(framing: .varInt, plan: plan)
      return (memory.listener, { try memory.connect() })
    }
  }

  @Test(arguments: ListenPlace.allCases)
  func `listeners keep what they promise`(_ place: ListenPlace) async throws {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let kind = place.kind
    try await checkListener(connections: 20) {
      let listener = try place.listener(directory)
      return (listener, { try await connect(to: listener.address, framing: .varInt, kind: kind) })
    }
  }

  @Test func `a listener in memory refuses whom a real one would`() async throws {
    let memory = MemoryListener(framing: .varInt, backlog: 1)
    let first = try memory.connect()
    #expect(reason { try memory.connect() } == .transport(.init(.connect, .resourceTemporarilyUnavailable)))
    memory.listener.finish()
    #expect(reason { try memory.connect() } == .transport(.init(.connect, .connectionRefused)))
    memory.listener.close()
    #expect(try await first.next() == nil)
    first.close()
  }

  private func reason<Value>(_ body: () throws -> Value) -> EndpointError.Reason? {
    do {
      _ = try body()
      return nil
    } catch {
      return (error as? EndpointError)?.reason
    }
  }

  @Test func `errors of accept are waited out, passed over, or final`() async throws {
    let memory = MemoryListener(framing: .varInt)
    memory.failAccepts(.tooManyOpenFiles, .connectionAbort, .noMemory)
    let client = try memory.connect()
    let server = try await memory.listener.accept(timeout: .patience)
    client.close()
    server.close()
    memory.failAccepts(.invalidArgument)
    for _ in 0..<2 {
      let error = await endpointError { _ = try await memory.listener.accept() }
      #expect(error?.reason == .transport(TransportError(.accept, .invalidArgument)))
    }
    memory.listener.close()
  }

  @Test func `an accept that finds nothing, although clients wait, loses none`() async throws {
    let memory = MemoryListener(framing: .varInt)
    let accepting = Task { try await memory.listener.accept(timeout: .patience) }
    await eventually { memory.listener.waiting == 1 }
    memory.failAccepts(.wouldBlock, .resourceTemporarilyUnavailable)
    let first = try memory.connect()
    let second = try memory.connect()
    try await accepting.value.close()
    memory.failAccepts(.wouldBlock)
    memory.listener.finish()
    try await memory.listener.accept(timeout: .patience).close()
    let error = await endpointError { _ = try await memory.listener.accept() }
    #expect(error?.reason == .closed)
    for client in [first, second] { client.close() }
  }

  @Test func `a listener of which a client cannot be accepted is found out`() async throws {
    let made = Guarded(0)
    let violation = await #expect(throws: ListenerViolation.self) {
      try await checkListener(connections: 5) {
        let (memory, other) = (MemoryListener(framing: .varInt), MemoryListener(framing: .varInt))
        // The fourth is the one that is told to finish. One of its clients goes elsewhere.
        let isLossy = made.withLock { made in
          made += 1
          return made == 4
        }
        let lost = Guarded(isLossy)
        return (
          memory.listener,
          {
            let isLost = lost.withLock { lost in
              defer { lost = false }
              return lost
            }
            return try isLost ? other.connect() : memory.connect()
          }
        )
      }
    }
    #expect(violation?.law == .finishLosesNone)
  }
}
