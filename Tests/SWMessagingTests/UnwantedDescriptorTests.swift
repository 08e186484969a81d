import CSysShim
import Glibc
import SWFraming
import SWIO
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// Over Unix datagrams and packets every receive takes descriptors in, also for callers that never asked
/// for any: a hostile peer fills the table with them, and has `close` called on what it likes, on the reactor and
/// under the half's lock.
@Suite(.serialized, .lastResort, .leavesNothing) struct UnwantedDescriptorTests {
  @Test(arguments: [SocketPairKind.unixDatagrams, .unixPackets])
  func `line 11: what a peer passes unasked is not closed on the reactor`(_ kind: SocketPairKind) async throws
  {
    let (left, right) = try makeSocketPair(kind)
    let victim = MessageDuplex(over: right, framing: .varInt)
    let receiving = Task { try await victim.receive() }
    await eventually { victim.queued == 1 }
    let pair = try makeLingeringConnection(seconds: 120)
    let (passed, silent) = (pair.first.release(), pair.second.release())
    // The reactor is kept until the only reference is the one that travels.
    let isHeld = Raised()
    let mayGo = Raised()
    let holding = Task(executorPreference: .reactor) { @concurrent in
      isHeld.raise()
      while !mayGo.isUp { sched_yield() }
    }
    // On a thread of its own: the pool may be busy with what waits for the reactor.
    try await TestThread {
      defer { mayGo.raise() }
      while !isHeld.isUp { sched_yield() }
      try left.blocking.send([2, 0x68, 0x69], passing: [passed])
      try passed.close()
    }.value
    await holding.value
    let start = ContinuousClock.now
    #expect(try await receiving.value == Array("hi".utf8))
    let received = ContinuousClock.now - start
    // Neither this endpoint nor any other has to wait.
    victim.close()
    let closed = ContinuousClock.now - start
    await Task(executorPreference: .reactor) { @concurrent in }.value
    let served = ContinuousClock.now - start
    #expect(
      served < .seconds(60),
      "after \(received) it was received, after \(closed) closed, after \(served) the reactor had a turn for others"
    )
    try silent.close()
  }

  @Test func `a message is received though there is no room for descriptors that nobody wants`() async {
    await #expect(processExitsWith: .success) {
      let (left, right) = try makeSocketPair(.unixDatagrams)
      let (reader, writer) = try makePipe()
      // Twenty, where there is room for ten: Dispatch needs some now and then, and traps without.
      try await left.send([7], passing: Array(repeating: try writer.withDescriptor { $0 }, count: 20))
      var limit = rlimit(rlim_cur: 128, rlim_max: 128)
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      var taken: [Int32] = []
      while case let copy = swsys_duplicate(0, 3), copy >= 0 { taken.append(copy) }
      for number in taken.suffix(10) { _ = swsys_close(number) }
      var received: [UInt8]?
      do throws(EndpointError) {
        received = try await right.receive(timeout: .zero)
      } catch {
        Issue.record("\(error)")
      }
      #expect(received == [7])
      withExtendedLifetime(reader) {}
    }
  }

  /// Of a socket with SO_PASSPIDFD, which may be found switched on in one that is adopted.
  @Test func `a descriptor for the sender's process is closed like any other`() async {
    await #expect(processExitsWith: .success) {
      let (left, right) = try makeSocketPair(.unixDatagrams)
      var on: Int32 = 1
      let isOn = try right.withDescriptor {
        unsafe setsockopt($0.rawValue, SOL_SOCKET, 76, &on, socklen_t(MemoryLayout<Int32>.size))
      }
      // Linux 6.5.
      guard isOn == 0 else { return }
      try await left.send([0])
      _ = try await right.receive()
      let before = openDescriptors()
      for number in 1...10 as ClosedRange<UInt8> {
        try await left.send([number])
        #expect(try await right.receive() == [number])
      }
      let leaked = openDescriptors().subtracting(before)
      // The runtime may have opened an event counter of its own.
      #expect(leaked.count < 10, "one for each datagram is still open")
    }
  }
}
