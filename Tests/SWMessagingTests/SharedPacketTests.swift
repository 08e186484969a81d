import CSysTestSupport
import Glibc
import SWIO
import SWMessaging
import SWTesting
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Workers that share one socket of packets or datagrams. Each may take a packet at any moment of another one's attempt.
@Suite(.serialized, .lastResort, .leavesNothing) struct SharedPacketTests {
  private func sendPacket(_ bytes: [UInt8], over descriptor: FileDescriptor) -> Bool {
    unsafe bytes.withUnsafeBytes {
      unsafe send(descriptor.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) == $0.count
    }
  }

  private func receive(_ transport: SystemTransport) -> Attempt {
    var bytes = [UInt8](repeating: 0, count: 10)
    return unsafe bytes.withUnsafeMutableBytes { unsafe transport.receive(into: $0) }
  }

  private func peek(_ transport: SystemTransport) -> Attempt {
    var bytes = [UInt8](repeating: 0, count: 10)
    return unsafe bytes.withUnsafeMutableBytes { unsafe transport.peek(into: $0) }
  }

  /// A worker that has looked at a packet may find that another one has taken it, and that the peer has closed.
  @Test func `every attempt distinguishes an empty packet from the end`() throws {
    let pair = try DescriptorPair.sockets(.unixPackets)
    let reader = try SystemTransport(adopting: pair.second)
    let peer = pair.first.release()
    func receive() -> Attempt { self.receive(reader) }
    func peek() -> Attempt { self.peek(reader) }
    func receiveDatagrams() -> Attempt {
      reader.receiveDatagrams(atMost: 16, maximumDescriptors: 0, mayTakeLong: false) { _ in }
    }
    #expect(receive() == .wouldBlock && peek() == .wouldBlock && receiveDatagrams() == .wouldBlock)
    for _ in 0..<3 { #expect(sendPacket([], over: peer)) }
    #expect(peek() == .transferred(0) && receive() == .transferred(0))
    try peer.close()
    #expect(peek() == .transferred(0) && receive() == .transferred(0))
    var taken: [Datagram] = []
    let last = reader.receiveDatagrams(atMost: 16, maximumDescriptors: 0, mayTakeLong: false) {
      taken.append($0)
    }
    #expect(last == .transferred(0) && taken.map(\.bytes) == [[]] && taken.allSatisfy { $0.ancillary == nil })
    #expect(receive() == .endOfStream && peek() == .endOfStream && receiveDatagrams() == .endOfStream)
    #expect(reader.nextDatagramSize() == .endOfStream)
    reader.close()
  }

  /// An option that is set and reset belongs to all workers. One would undo what another one needs, or what a caller has set.
  @Test func `attempts change no option of the socket`() async throws {
    let isKept = try await TestThread { () throws -> Bool in
      let pair = try DescriptorPair.sockets(.unixPackets)
      let reader = try SystemTransport(adopting: pair.second)
      let peer = pair.first.release()
      let isSent = sendPacket([], over: peer) && sendPacket([7], over: peer)
      try peer.close()
      guard isSent, swsys_forbid_here(Int32(SWSYS_CALL_SETSOCKOPT)) == 0 else { return false }
      let isFound =
        reader.nextDatagramSize() == .transferred(0) && receive(reader) == .transferred(0)
        && reader.nextDatagramSize() == .transferred(1)
      reader.close()
      return isFound
    }.value
    #expect(isKept)
  }

  /// If a filter of system calls refuses the option, packets have no mark.
  @Test func `without the option an empty packet is told from the end before the peer shuts down`()
    async throws
  {
    let isRight = try await TestThread { () throws -> Bool in
      guard swsys_forbid_here(Int32(SWSYS_CALL_SETSOCKOPT)) == 0 else { return false }
      let pair = try DescriptorPair.sockets(.unixPackets)
      let reader = try SystemTransport(adopting: pair.second)
      let peer = pair.first.release()
      let isSent = sendPacket([], over: peer) && sendPacket([7], over: peer)
      let isFound =
        reader.nextDatagramSize() == .transferred(0) && receive(reader) == .transferred(0)
        && receive(reader) == .transferred(1)
      try peer.close()
      let isOver = receive(reader) == .endOfStream
      reader.close()
      return isSent && isFound && isOver
    }.value
    #expect(isRight)
  }

  /// One in four packets has a byte, the others are empty. The peer closes after the last.
  @Test func `workers that share packets lose none, invent none, and are told the end after the last`()
    async throws
  {
    for round in 0..<stressed(300) {
      let count = 40
      let pair = try DescriptorPair.sockets(.unixPackets)
      let peer = pair.first.release()
      let other = try OwnedDescriptor(duplicating: pair.second.withDescriptor { $0 })
      let readers = [
        try MessageDuplex(adopting: pair.second, framing: .datagram),
        try MessageDuplex(adopting: other, framing: .datagram),
      ]
      let start = Gate()
      let threads = readers.map { reader in
        TestThread { () throws -> [Int] in
          start.waitBlocking()
          var sizes: [Int] = []
          while let packet = try reader.blocking.next(timeout: .patience) { sizes.append(packet.count) }
          return sizes
        }
      }
      if round % 2 == 0 { start.open() }
      for number in 0..<count { #expect(sendPacket(number % 4 == 3 ? [1] : [], over: peer)) }
      try peer.close()
      start.open()
      var sizes: [Int] = []
      for thread in threads { sizes += try await thread.value }
      #expect(sizes.count == count && sizes.count { $0 == 1 } == count / 4)
      for reader in readers { reader.close() }
    }
  }

  /// The kernel looks for a packet first, and for the end afterwards. A peer may send and close in between.
  @Test func `the last packet is received, however soon the peer closes behind it`() async throws {
    let peers = Guarded((next: nil as FileDescriptor?, isOver: false))
    let sender = TestThread { () throws -> Void in
      var round: UInt32 = 0
      while true {
        let (peer, isOver) = peers.withLock { peers in
          defer { peers.next = nil }
          return (peers.next, peers.isOver)
        }
        if isOver { return }
        guard let peer else { continue }
        round += 1
        for _ in 0..<round % 64 { _ = Deadline.now }
        #expect(sendPacket([1], over: peer))
        try peer.close()
      }
    }
    var lost = 0
    for _ in 0..<stressed(2_000, full: 100_000) {
      let pair = try DescriptorPair.sockets(.unixPackets)
      let reader = try SystemTransport(adopting: pair.second)
      let peer = pair.first.release()
      peers.withLock { $0.next = peer }
      var isReceived = false
      while true {
        let result = receive(reader)
        if result == .transferred(1) { isReceived = true }
        if result == .endOfStream { break }
      }
      if !isReceived { lost += 1 }
      reader.close()
    }
    peers.withLock { $0.isOver = true }
    try await sender.value
    #expect(lost == 0)
  }

  /// One worker may receive a datagram of any size in place of a small one.
  @Test(arguments: [SocketPairKind.unixDatagrams, .unixPackets])
  func `workers that share a socket lose no datagram of megabytes`(_ kind: SocketPairKind) async throws {
    let (small, large) = (10, 3 << 19)
    let pair = try DescriptorPair.sockets(kind)
    let peer = pair.first.release()
    guard swsys_force_send_buffer(peer.rawValue, 8 << 20) >= large + 1_000 else {
      return try peer.close()  // Only a sender with more rights can make one so large here.
    }
    let other = try OwnedDescriptor(duplicating: pair.second.withDescriptor { $0 })
    let readers = [
      try MessageDuplex(adopting: pair.second, framing: .datagram),
      try MessageDuplex(adopting: other, framing: .datagram),
    ]
    let threads = readers.map { reader in
      TestThread { () -> (sizes: [Int], errors: [EndpointError]) in
        var found: (sizes: [Int], errors: [EndpointError]) = ([], [])
        while true {
          do throws(EndpointError) {
            let datagram = try reader.blocking.receive(timeout: .patience)
            // Each worker ends with one of these.
            if datagram.count == 1 { return found }
            #expect(datagram.first == 5 && datagram.last == 5)
            found.sizes.append(datagram.count)
          } catch {
            found.errors.append(error)
          }
        }
      }
    }
    let count = stressed(200) * 2
    let (little, much) = ([UInt8](repeating: 5, count: small), [UInt8](repeating: 5, count: large))
    for number in 0..<count { #expect(sendPacket(number % 2 == 1 ? much : little, over: peer)) }
    for _ in readers { #expect(sendPacket([0], over: peer)) }
    var sizes: [Int] = []
    for thread in threads {
      let found = try await thread.value
      #expect(found.errors.isEmpty)
      sizes += found.sizes
    }
    #expect(sizes.count { $0 == small } == count / 2 && sizes.count { $0 == large } == count / 2)
    try peer.close()
    for reader in readers { reader.close() }
  }
}
