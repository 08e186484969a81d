import Glibc
import SWIO
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import SWMessaging

/// Readiness that `poll` reports for ever, and that no attempt uses up.
@Suite(.lastResort, .leavesNothing) struct RepeatedPollTests {
  /// Over a Unix datagram socket on which `shutdown` has been called, which is readable and has nothing.
  private final class Counted: SocketLike {
    private let socket: FileDescriptor
    private let attempts = Atomic(0)
    var count: Int { attempts.load(ordering: .relaxed) }

    init() throws {
      let pair = try DescriptorPair.sockets(.unixDatagrams)
      socket = pair.first.release()
      try #require(shutdown(socket.rawValue, Int32(SHUT_RD)) == 0)
    }

    var readinessSource: ReadinessSource { .descriptor(socket) }

    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      attempts.wrappingAdd(1, ordering: .relaxed)
      let count = unsafe recv(socket.rawValue, memory.baseAddress, memory.count, Int32(MSG_DONTWAIT))
      return count < 0 ? .wouldBlock : .transferred(count)
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { .wouldBlock }
    func finishSending() {}
    func close() { try? socket.close() }
  }

  /// A single thread waits without a place, and two threads wait in line.
  @Test(arguments: [1, 2]) func `line 10: a thread does not spin on what no attempt uses up`(
    _ threads: Int
  ) async throws {
    let transport = try Counted()
    let receiver = SocketDuplex(transport: transport)
    let receiving = (0..<threads).map { _ in
      TestThread { blockingError { try receiver.blocking.receive(timeout: .milliseconds(500)) } }
    }
    for thread in receiving { #expect(try await thread.value?.reason == .timedOut) }
    // Each attempt but a few waits for a millisecond at least, so a slow machine makes fewer.
    #expect(transport.count < 600)
    receiver.close()
  }

  /// The waits of a thread for the reading end of a pipe.
  private struct Waits: ~Copyable {
    let pair: DescriptorPair
    let wakeUp = WakeUp.take()
    var polls = RepeatedPolls()

    init() throws { pair = try DescriptorPair.pipe() }
    deinit { WakeUp.giveBack(wakeUp) }

    mutating func wait(until deadline: Deadline = .never, moves: UInt16 = 0) {
      let number = pair.first.withDescriptor { $0.rawValue }
      polls.wait(for: wakeUp, watching: number, for: .readable, until: deadline, spinning: 0, moves)
    }
  }

  @Test func `rests become longer, and end by themselves`() throws {
    var waits = try Waits()
    _ = try waits.pair.second.withDescriptor { try $0.writeAll([1]) }
    // Two reports, a look, and the attempt after it.
    for _ in 0..<3 {
      #expect(waits.polls.rest == 1_000_000)
      waits.wait()
    }
    for length in [1, 2, 4, 8, 10, 10, 10] as [UInt64] {
      #expect(waits.polls.isResting && waits.polls.rest == length * 1_000_000)
      waits.wait()
    }
  }

  @Test func `a descriptor that is ready no more is waited for again`() throws {
    var waits = try Waits()
    _ = try waits.pair.second.withDescriptor { try $0.writeAll([1]) }
    for _ in 0..<2 {
      #expect(!waits.polls.isResting)
      waits.wait()
    }
    #expect(waits.polls.isResting)
    var bytes: [UInt8] = [0]
    let count = try unsafe bytes.withUnsafeMutableBytes { memory in
      try waits.pair.first.withDescriptor { try unsafe $0.read(into: memory) }
    }
    #expect(count == 1 && bytes == [1])
    waits.wait(until: .immediately)
    #expect(!waits.polls.isResting)
  }

  /// A description that others share: another process takes the bytes between `poll` and the read.
  private final class Stuck: DescriptorTransport {
    private let pair: DescriptorPair
    let gate = Gate()
    let attempts = Atomic(0)

    init() throws { pair = try DescriptorPair.pipe() }

    var number: Int32 { pair.first.withDescriptor { $0.rawValue } }
    var working: Int32 { number }
    var capabilities: TransportCapabilities {
      var capabilities = TransportCapabilities()
      capabilities.attemptsMayHang = true
      return capabilities
    }
    func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt { .offload }
    func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
      attempts.wrappingAdd(1, ordering: .relaxed)
      gate.waitBlocking()
      return .wouldBlock
    }
    func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { .transferred(bytes.count) }
    func close(then done: @escaping @Sendable () -> Void) { done() }
  }

  @Test(arguments: [false, true]) func `line 5: a read that never ends holds up neither a deadline nor close`(
    _ closes: Bool
  ) async throws {
    let transport = try Stuck()
    let half = ReceiveHalf(Port(connected: transport, for: .readable, reactor: Reactor.shared))
    let core = EndpointCore(receiving: half, sending: nil)
    let reader = MessageReader(
      core: core, framing: .varInt, mode: .readAhead, maximumFrameSize: defaultMaximumFrameSize)
    let thread = TestThread {
      blockingError { try reader.blocking.receive(timeout: closes ? nil : .milliseconds(20)) }
    }
    if closes {
      await eventually { transport.attempts.load(ordering: .relaxed) > 0 }
      reader.close()
    }
    #expect(try await thread.value?.reason == (closes ? .closed : .timedOut))
    transport.gate.open()
    reader.close()
  }

  @Test func `an attempt that has moved something begins the count anew`() throws {
    var waits = try Waits()
    _ = try waits.pair.second.withDescriptor { try $0.writeAll([1]) }
    for _ in 0..<2 { waits.wait() }
    #expect(waits.polls.isResting)
    waits.wait(moves: 1)
    #expect(!waits.polls.isResting)
    waits.wait(moves: 1)
    #expect(waits.polls.isResting)
  }
}
