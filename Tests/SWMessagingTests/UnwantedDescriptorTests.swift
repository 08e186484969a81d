import CSysShim
import CSysTestSupport
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
    let pair = try makeLingeringConnection(seconds: 120)
    let (passed, silent) = (pair.first.release(), pair.second.release())
    try await left.send([2, 0x68, 0x69], passing: [passed])
    // The message has not been received yet, so the reference in it keeps this close from being the last.
    try passed.close()
    let start = ContinuousClock.now
    let received = try await Task(executorPreference: .reactor) { @concurrent in
      let message = try await victim.receive()
      return (message, ContinuousClock.now - start)
    }.value
    #expect(received.0 == Array("hi".utf8))
    // Neither this endpoint nor any other has to wait.
    victim.close()
    let closed = ContinuousClock.now - start
    await Task(executorPreference: .reactor) { @concurrent in }.value
    let served = ContinuousClock.now - start
    #expect(
      served < .seconds(60),
      "after \(received.1) it was received, after \(closed) closed, after \(served) the reactor had a turn for others"
    )
    try silent.close()
  }

  /// The kernel would drop the byte when the receiver comes past it, and close the descriptor then, which takes as long as
  /// the peer likes.
  @Test func `line 11: what comes with an out-of-band byte is not closed on the reactor`() async throws {
    let (left, right) = try makeSocketPair()
    let victim = MessageDuplex(over: right, framing: .varInt)
    let pair = try makeLingeringConnection(seconds: 120)
    let (passed, silent) = (pair.first.release(), pair.second.release())
    // The header of the message. A kernel that knows no such bytes over Unix sockets has nothing to test.
    let sent = try left.withDescriptor { swsys_send_out_of_band($0.rawValue, 2, passed.rawValue) }
    if sent == 1 {
      try await TestThread { try passed.close() }.value
      try await left.send("hi")
      let message = try await Task(executorPreference: .reactor) { try await victim.receive() }.value
      #expect(message == Array("hi".utf8))
    }
    try silent.close()
  }

  /// Else a peer fills the table of the process while one of its closes is stuck.
  @Test(
    arguments: [SocketPairKind.unix, .unixDatagrams, .unixPackets],
    // They have not been asked for, or they have been and nobody takes them.
    [0, 253])
  func `line 21: a peer that passes descriptors faster than they are closed has to wait`(
    _ kind: SocketPairKind, _ maximum: Int
  ) async throws {
    let pair = try DescriptorPair.sockets(kind)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    let receiver = try makeTransport(over: ours.rawValue, for: [.readable, .writable])
    let sender = try makeTransport(over: theirs.rawValue, for: [.readable, .writable])
    @Sendable func receive() -> Attempt {
      var bytes: [UInt8] = [0, 0]
      var dropped: Ancillary?
      return unsafe bytes.withUnsafeMutableBytes {
        unsafe receiver.receive(into: $0, maximumDescriptors: maximum, ancillary: &dropped)
      }
    }
    func send(_ descriptors: [FileDescriptor]) -> Attempt {
      unsafe [1 as UInt8].withUnsafeBytes { bytes in
        let parts = unsafe [bytes]
        return unsafe parts.withUnsafeBufferPointer { parts in
          unsafe sender.send(gathering: parts, with: OutgoingAncillary(descriptors: descriptors))
        }
      }
    }
    let lingering = try makeLingeringConnection(seconds: 120)
    let (passed, silent) = (lingering.first.release(), lingering.second.release())
    #expect(send([passed]) == .transferred(1))
    // The message has not been received yet, so the reference in it keeps this close from being the last.
    try passed.close()
    #expect(receive() == .transferred(1))
    let null = try FileDescriptor.open(FilePath("/dev/null"), .readOnly)
    #expect(send(Array(repeating: null, count: 253)) == .transferred(1))
    #expect(receive() == .transferred(1))
    // 254 are not closed, as long as that one takes.
    #expect(send([null]) == .transferred(1))
    #expect(receive() == .retryLater)
    try silent.close()
    await eventually { receive() == .transferred(1) }
    for descriptor in [null, ours, theirs] { try descriptor.close() }
  }

  @Test func `a peer whose descriptors take long to close occupies one closing thread`() async throws {
    let one = try makeLingeringConnection(seconds: 120)
    let two = try makeLingeringConnection(seconds: 120)
    let passed = [one.first.release(), two.first.release()]
    let silent = [one.second.release(), two.second.release()]
    let files = passed.map { OpenFile($0) }
    _ = ReceivedDescriptors(passed)
    // The descriptors of others are closed all the same.
    let pipe = try DescriptorPair.pipe()
    let (end, other) = (pipe.first.release(), pipe.second.release())
    let file = OpenFile(other)
    CloserThread.close(other.rawValue)
    await eventually { !file.isOpen }
    await eventually { files.count { $0.isOpen } < 2 }
    #expect(files.count { $0.isOpen } == 1)
    for descriptor in silent { try descriptor.close() }
    await eventually { files.allSatisfy { !$0.isOpen } }
    try end.close()
  }

  @Test func `a Unix stream that has been received to its end is closed where that is asked for`() throws {
    let pair = try DescriptorPair.sockets(.unix)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    let socket = try makeTransport(over: ours.rawValue, for: [.readable, .writable])
    var bytes: [UInt8] = [0, 0]
    func receive() -> Attempt { unsafe bytes.withUnsafeMutableBytes { unsafe socket.receive(into: $0) } }
    #expect(receive() == .wouldBlock && socket.mayTakeLongToClose)
    _ = try theirs.writeAll([1])
    try theirs.close()
    // There may be descriptors behind it.
    #expect(receive() == .transferred(1) && socket.mayTakeLongToClose)
    #expect(receive() == .endOfStream && socket.mayTakeLongToClose != KernelFeatures.collectsInBackground)
    try ours.close()
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
