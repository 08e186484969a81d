import CSysShim
import CSysTestSupport
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Sockets whose close takes as long as a peer likes.
@Suite(.serialized, .lastResort, .leavesNothing) struct ParkedSocketTests {
  /// A socket whose queue holds another one, whose close waits until `silent` is closed.
  private struct Stuck {
    let number: Int32
    let peer: FileDescriptor
    let silent: FileDescriptor

    init() throws {
      let pair = try DescriptorPair.sockets(.unix)
      number = pair.first.release().rawValue
      peer = pair.second.release()
      let lingering = try makeLingeringConnection(seconds: 600)
      let passed = lingering.first.release()
      silent = lingering.second.release()
      let sent = unsafe withUnsafePointer(to: passed.rawValue) { unsafe swsys_pass(peer.rawValue, $0, 1) }
      try #require(sent == 1)
      // The queue holds a reference, so this close is not the last one.
      try passed.close()
    }

    var isTold: Bool { swsys_is_hung_up(peer.rawValue, 0) }

    func end() throws {
      try silent.close()
      try peer.close()
    }
  }

  @Test func `a peer is told, however many closes take long`() async throws {
    // One thread begins at once; each further one comes later.
    let parked = ParkedSockets(name: "sw-test", merges: true, usual: 1, most: 3)
    let ended = Guarded(0)
    let stuck = [try Stuck(), try Stuck(), try Stuck()]
    for each in stuck {
      let isParked = parked.park([each.number], whenClosed: { ended.withLock { $0 += 1 } })
      #expect(isParked)
      await eventually { each.isTold && !parked.mayHaveUntoldPeers }
    }
    #expect(ended.withLock { $0 } == 0)
    // As many threads as there may be are stuck. The next one takes over when a close is over.
    let last = try Stuck()
    #expect(parked.park([last.number]))
    #expect(parked.mayHaveUntoldPeers && !last.isTold)
    try stuck[0].end()
    await eventually { last.isTold && ended.withLock { $0 } == 1 }
    for each in [stuck[1], stuck[2], last] { try each.end() }
    await eventually { ended.withLock { $0 } == 3 && !parked.mayHaveUntoldPeers }
  }

  @Test func `numbers are free before there is a thread, and peers are told before anything waits`()
    async throws
  {
    let bodies = Guarded<[@Sendable () -> Void]>([])
    let parked = ParkedSockets(name: "", merges: true, usual: 1, most: 1) { body in
      bodies.withLock { $0.append(body) }
      return nil
    }
    let lingering = try makeLingeringConnection(seconds: 600)
    let (direct, silent) = (lingering.first.release(), lingering.second.release())
    let file = OpenFile(direct)
    #expect(parked.park([], behind: [direct.rawValue]))
    #expect(!file.isOpen)
    let (first, second) = (try Stuck(), try Stuck())
    // More than there is room for in the queue of one socket.
    var others: [FileDescriptor] = []
    for number in [first.number, second.number] { #expect(parked.park([number])) }
    for _ in 0..<400 {
      let pair = try DescriptorPair.sockets(.unix)
      others.append(pair.second.release())
      #expect(parked.park([pair.first.release().rawValue]))
    }
    #expect(!first.isTold && parked.mayHaveUntoldPeers)
    let started = bodies.withLock { bodies in
      defer { bodies = [] }
      return bodies
    }
    let body = try #require(started.count == 1 ? started[0] : nil)
    let thread = TestThread { body() }
    await eventually { first.isTold && second.isTold && swsys_is_hung_up(others[0].rawValue, 0) }
    for each in [first, second] { try each.end() }
    try silent.close()
    try await thread.value
    #expect(others.allSatisfy { swsys_is_hung_up($0.rawValue, 0) })
    for other in others { try other.close() }
    #expect(!parked.mayHaveUntoldPeers)
  }

  @Test func `what is parked while no thread can be started is closed when one can`() async throws {
    let isShort = Guarded(true)
    let parked = ParkedSockets(name: "", merges: true, usual: 1, most: 2) { body in
      isShort.withLock { $0 } ? .resourceTemporarilyUnavailable : HelperThread.start(body)
    }
    let pair = try DescriptorPair.sockets(.unix)
    let (number, peer) = (pair.first.release().rawValue, pair.second.release())
    #expect(parked.park([number]))
    isShort.withLock { $0 = false }
    await eventually { swsys_is_hung_up(peer.rawValue, 0) }
    try peer.close()
  }

  @Test func `further closes begin later, the more take long`() {
    let delays = [0, 63, 64, 127, 128, 640, 1_023, 100_000].map {
      ParkedSockets.delay(besides: $0, usual: 64)
    }
    #expect(delays == [0, 0, 1, 1, 2, 512, 16_384, 1_048_576].map { $0 * 10_000_000 })
  }

  /// The close of a stream whose queue holds bytes alone needs no other thread.
  @Test func `a look finds descriptors anywhere in the queue of a stream`() throws {
    let pair = try DescriptorPair.sockets(.unix)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    #expect(!swsys_stream_may_hold_descriptors(ours.rawValue))
    _ = try theirs.writeAll([UInt8](repeating: 1, count: 50_000))
    #expect(!swsys_stream_may_hold_descriptors(ours.rawValue))
    let sent = unsafe withUnsafePointer(to: theirs.rawValue) { unsafe swsys_pass(theirs.rawValue, $0, 1) }
    #expect(sent == 1)
    #expect(swsys_stream_may_hold_descriptors(ours.rawValue))
    // Nothing has been taken.
    var bytes = [UInt8](repeating: 0, count: 50_001)
    let count = try unsafe bytes.withUnsafeMutableBytes { try unsafe ours.read(into: $0) }
    #expect(count == 50_001)
    #expect(!swsys_stream_may_hold_descriptors(ours.rawValue))
    try ours.close()
    try theirs.close()
  }

  @Test func `a look sees a mebibyte of bytes that bring nothing, and leaves more to another thread`() throws
  {
    let pair = try DescriptorPair.sockets(.unix)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    // Only a sender with more rights can have so much underway.
    if swsys_force_send_buffer(theirs.rawValue, 8 << 20) >= 8 << 20 {
      #expect(try theirs.writeAll([UInt8](repeating: 1, count: 1 << 20)) == 1 << 20)
      #expect(!swsys_stream_may_hold_descriptors(ours.rawValue))
      #expect(try theirs.writeAll([1]) == 1)
      #expect(swsys_stream_may_hold_descriptors(ours.rawValue))
    }
    try ours.close()
    try theirs.close()
  }
}
