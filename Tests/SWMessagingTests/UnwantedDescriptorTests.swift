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
    let null = try FileDescriptor.open(FilePath("/dev/null"), .readOnly)
    var silent: [FileDescriptor] = []
    for _ in 0..<UnwantedDescriptors.mostBatches {
      let lingering = try makeLingeringConnection(seconds: 120)
      let passed = lingering.first.release()
      silent.append(lingering.second.release())
      #expect(send([null, passed]) == .transferred(1))
      // The message has not been received yet, so the reference in it keeps this close from being the last.
      try passed.close()
      #expect(receive() == .transferred(1))
    }
    // Each of them occupies a thread, as long as its close takes.
    #expect(send([null]) == .transferred(1))
    #expect(receive() == .retryLater)
    for descriptor in silent { try descriptor.close() }
    await eventually { receive() == .transferred(1) }
    for descriptor in [null, ours, theirs] { try descriptor.close() }
  }

  /// Closes that take long are one peer's doing, and a bound socket has others.
  @Test func `line 15: a peer whose descriptors take long to close does not stop others of a bound socket`()
    async throws
  {
    let directory = try TestDirectory()
    defer { directory.remove() }
    let address = Address.unix(directory("s"))
    let service = try bindDatagrams(at: address, framing: .datagram)
    let good = try await connect(to: address, framing: .datagram, kind: .datagrams)
    let bad = try await connect(to: address, framing: .datagram, kind: .datagrams)
    var silent: [FileDescriptor] = []
    for _ in 0...UnwantedDescriptors.mostBatches {
      let lingering = try makeLingeringConnection(seconds: 600)
      let passed = lingering.first.release()
      silent.append(lingering.second.release())
      try await bad.send("bad", passing: [passed])
      // The message has not been received yet, so the reference in it keeps this close from being the last.
      try passed.close()
      #expect(try await service.receive(timeout: .seconds(60)) == Array("bad".utf8))
    }
    try await good.send("good")
    #expect(try await service.receive(timeout: .seconds(60)) == Array("good".utf8))
    for descriptor in silent { try descriptor.close() }
  }

  /// A socket that is parked has no number any more. Otherwise a peer that passes many, one after the other, is heard no more.
  @Test func `line 21: sockets that have been passed and closed do not count for ever`() async throws {
    let unwanted = UnwantedDescriptors()
    for _ in 0..<3 {
      // TCP sockets, which are parked behind others.
      let numbers = (0..<100).map { _ in swsys_socket(AF_INET, swsys_sock_stream) }
      try #require(numbers.allSatisfy { $0 > 2 })
      unwanted.close(numbers)
    }
    await eventually { !unwanted.areTooMany }
  }

  /// A batch is stuck at one close. The others of it, and those that come later, must not hold numbers meanwhile.
  @Test func `line 21: no number is in use while a close takes long`() async throws {
    let pair = try DescriptorPair.sockets(.unix)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    let victim = try MessageDuplex(adopting: ours.rawValue, framing: .varInt)
    let peer = try MessageDuplex(adopting: theirs.rawValue, framing: .varInt)
    let null = try FileDescriptor.open(FilePath("/dev/null"), .readOnly)
    let lingering = try makeLingeringConnection(seconds: 120)
    let (passed, silent) = (lingering.first.release(), lingering.second.release())
    let before = openDescriptors()
    let start = ContinuousClock.now
    try await peer.send("one", passing: Array(repeating: null, count: 252) + [passed])
    try await peer.send("two", passing: Array(repeating: null, count: 253))
    try passed.close()
    #expect(try await victim.receive() == Array("one".utf8))
    #expect(try await victim.receive() == Array("two".utf8))
    // The runtime may open event counters of its own.
    await eventually { openDescriptors().subtracting(before).count < 10 }
    #expect(ContinuousClock.now - start < .seconds(60))
    try silent.close()
    try null.close()
  }

  @Test func `line 21: a peer that passes more than a message may have has to wait, too`() async throws {
    let pair = try DescriptorPair.sockets(.unix)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    let victim = try MessageDuplex(adopting: ours.rawValue, framing: .varInt)
    victim.maximumDescriptors = 1
    let peer = try SocketDuplex(adopting: theirs.rawValue)
    // A message that has begun, each byte of it with a descriptor.
    var silent: [FileDescriptor] = []
    for byte in [80] + Array(repeating: 7 as UInt8, count: 19) {
      let lingering = try makeLingeringConnection(seconds: 120)
      let passed = lingering.first.release()
      silent.append(lingering.second.release())
      try await peer.send([byte], passing: [passed])
      try passed.close()
    }
    for _ in 0..<60 { _ = try? await victim.receive(timeout: .zero) }
    // The rest is still the peer's, because only a few closes may be under way for it.
    #expect(swsys_queue_holds_something(ours.rawValue, true))
    for descriptor in silent { try descriptor.close() }
    try await peer.send([UInt8](repeating: 7, count: 61))
    #expect(try await victim.receive().count == 80)
  }

  enum Ending: CaseIterable { case close, drop }

  @Test(arguments: [SocketPairKind.unix, .unixDatagrams, .unixPackets], Ending.allCases)
  func `lines 5 and 11: an endpoint ends without waiting for what its peer has passed`(
    _ kind: SocketPairKind, _ ending: Ending
  ) async throws {
    let pair = try DescriptorPair.sockets(kind)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    let peer = try MessageDuplex(adopting: theirs.rawValue, framing: .varInt)
    let file = OpenFile(ours)
    let lingering = try makeLingeringConnection(seconds: 120)
    let (passed, silent) = (lingering.first.release(), lingering.second.release())
    try await peer.send("hi", passing: [passed])
    // The message has not been received yet, so the reference in it keeps this close from being the last.
    try passed.close()
    let start = ContinuousClock.now
    switch ending {
    case .close: try MessageDuplex(adopting: ours.rawValue, framing: .varInt).close()
    case .drop: _ = try MessageDuplex(adopting: ours.rawValue, framing: .varInt)
    }
    #expect(ContinuousClock.now - start < .seconds(60))
    await eventually { !file.isOpen }
    try silent.close()
  }

  @Test func `a descriptor that a peer has passed is dropped without waiting for it`() throws {
    let lingering = try makeLingeringConnection(seconds: 120)
    let silent = lingering.second.release()
    let received = ReceivedDescriptors([lingering.first.release()])
    let start = ContinuousClock.now
    do { _ = received.take() }
    #expect(ContinuousClock.now - start < .seconds(60))
    try silent.close()
  }

  @Test(arguments: [false, true])
  func `a listener ends, and refuses, without waiting for what its clients have passed`(
    _ refuses: Bool
  ) async throws {
    let listener = try Listener(
      .abstract(""), framing: .varInt, accepting: refuses ? .when { _ in false } : .sameUser)
    let client = try await Connector(to: listener.address).connect(framing: .varInt)
    let lingering = try makeLingeringConnection(seconds: 120)
    let (passed, silent) = (lingering.first.release(), lingering.second.release())
    try await client.send("hi", passing: [passed])
    try passed.close()
    let start = ContinuousClock.now
    if refuses { _ = try? await listener.accept(timeout: .zero) }
    listener.close()
    #expect(ContinuousClock.now - start < .seconds(60))
    // The client is told, by an end or by an error.
    _ = try? await client.next()
    try silent.close()
  }

  /// More of them than a fixed number of closing threads: an attacker has as many connections as it likes.
  @Test func `line 5: closes that take long do not delay those of others`() async throws {
    var silent: [FileDescriptor] = []
    var victims: [MessageDuplex<VarIntFraming>] = []
    for _ in 0..<80 {
      let (peer, victim) = try makeSocketPair(framing: .varInt)
      let lingering = try makeLingeringConnection(seconds: 120)
      let passed = lingering.first.release()
      silent.append(lingering.second.release())
      try await peer.send("hi", passing: [passed])
      try passed.close()
      victims.append(victim)
    }
    let closing = victims
    let start = ContinuousClock.now
    await Task(executorPreference: .reactor) { @concurrent in for victim in closing { victim.close() } }.value
    let (left, right) = try makeSocketPair(framing: .varInt)
    await Task(executorPreference: .reactor) { @concurrent in right.close() }.value
    #expect(try await left.next() == nil)
    #expect(ContinuousClock.now - start < .seconds(60))
    for descriptor in silent { try descriptor.close() }
  }

  /// More than there may be threads for such closes. Nothing stops an attacker from connecting again.
  @Test func `line 5: an end is heard of, however many closes take long`() async {
    await #expect(processExitsWith: .success) {
      var limit = rlimit()
      _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      limit.rlim_cur = min(limit.rlim_max, 65_536)
      _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      for _ in 0..<1_030 {
        let (peer, victim) = try makeSocketPair(framing: .varInt)
        let lingering = try makeLingeringConnection(seconds: 600)
        let passed = lingering.first.release()
        _ = lingering.second.release()
        try await peer.send("hi", passing: [passed])
        try passed.close()
        victim.close()
      }
      // This one has passed something, too.
      let (peer, victim) = try makeSocketPair(framing: .varInt)
      let (reader, writer) = try makePipe()
      try await peer.send("hi", passing: [try writer.withDescriptor { $0 }])
      victim.close()
      do throws(EndpointError) {
        _ = try await peer.next(timeout: .seconds(60))
      } catch {
        guard case .transport(let failure) = error.reason else { throw error }
        #expect(failure.errno == .connectionReset)
      }
      withExtendedLifetime(reader) {}
    }
  }

  /// As in a full table, where there is no room for a pair of sockets. A descriptor frees its number before its close waits, and
  /// those behind it must not wait for that.
  @Test func `line 21: no number is in use while a close takes long, though nothing can be parked`() async {
    await #expect(processExitsWith: .success) {
      let pair = try DescriptorPair.sockets(.unix)
      let (ours, theirs) = (pair.first.release(), pair.second.release())
      let victim = try MessageDuplex(adopting: ours.rawValue, framing: .varInt)
      let peer = try MessageDuplex(adopting: theirs.rawValue, framing: .varInt)
      let null = try FileDescriptor.open(FilePath("/dev/null"), .readOnly)
      let lingering = try makeLingeringConnection(seconds: 600)
      let passed = lingering.first.release()
      _ = lingering.second.release()
      try await peer.send("hi", passing: [passed] + Array(repeating: null, count: 199))
      try passed.close()
      try #require(swsys_forbid(Int32(SWSYS_CALL_SOCKETPAIR), 0) == 0)
      let before = openDescriptors()
      let start = ContinuousClock.now
      #expect(try await victim.receive() == Array("hi".utf8))
      // Of the 200. The threads that close have event counters.
      await eventually { openDescriptors().subtracting(before).count < 100 }
      #expect(ContinuousClock.now - start < .seconds(60))
    }
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
