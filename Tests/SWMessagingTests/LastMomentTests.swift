import CSysShim
import CSysTestSupport
import Glibc
import SWFraming
import SWIO
import SWTesting
import SystemPackage
import TestSupport
import Testing

@testable import SWMessaging

/// A peer may pass descriptors between a look at a socket's queue and its close.
@Suite(.serialized, .lastResort, .leavesNothing) struct LastMomentTests {
  private static let kinds: [(SocketPairKind, ConnectionKind)] = [
    (.unix, .stream), (.unixPackets, .packets), (.unixDatagrams, .datagrams),
  ]

  private func send(_ byte: UInt8, over descriptor: FileDescriptor) -> Bool {
    var byte = byte
    return unsafe Glibc.send(descriptor.rawValue, &byte, 1, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)) == 1
  }

  @Test(arguments: kinds)
  func `a socket that others may have is closed elsewhere, though nothing is in its queue`(
    _ kind: SocketPairKind, _: ConnectionKind
  ) throws {
    let pair = try DescriptorPair.sockets(kind)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    let transport = try makeTransport(over: ours.rawValue, for: [.readable, .writable])
    #expect(transport.isCloseUpToPeer())
    // The look has changed nothing.
    #expect(send(1, over: theirs) && transport.isCloseUpToPeer())
    try ours.close()
    try theirs.close()
  }

  @Test(arguments: kinds)
  func `a socket that this process alone has is closed here, and receives nothing after the look`(
    _ kind: SocketPairKind, _ connection: ConnectionKind
  ) throws {
    for holdsByte in [false, true] {
      let pair = try DescriptorPair.sockets(kind)
      let (ours, theirs) = (pair.first.release(), pair.second.release())
      if holdsByte { #expect(send(1, over: theirs)) }
      let transport = try makeTransport(connected: ours.rawValue, connection, isUnix: true)
      // A look sees the first packet alone, so one that is there may hold anything.
      #expect(transport.isCloseUpToPeer() == (holdsByte && connection != .stream))
      #expect(!send(2, over: theirs))
      try ours.close()
      try theirs.close()
    }
  }

  @Test(arguments: [true, false])
  func `a socket without an endpoint is closed here if its queue is empty`(_ isSole: Bool) throws {
    for kind in [SocketPairKind.unix, .unixPackets, .unixDatagrams] {
      let pair = try DescriptorPair.sockets(kind)
      let (ours, theirs) = (pair.first.release(), pair.second.release())
      #expect(!swsys_close_is_up_to_peer(ours.rawValue, isSole))
      // Nothing can come into the queue of one that this process alone has.
      #expect(send(2, over: theirs) != isSole)
      try ours.close()
      try theirs.close()
    }
    // An empty packet is no end, and something may be behind it.
    let pair = try DescriptorPair.sockets(.unixPackets)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    _ = try unsafe theirs.write(UnsafeRawBufferPointer(start: nil, count: 0))
    #expect(swsys_close_is_up_to_peer(ours.rawValue, isSole))
    for end in [ours, theirs] { try end.close() }
    let listener = try Listener(
      .abstract("sw-last-moment-\(getpid())-\(isSole)"), framing: .varInt)
    #expect(try listener.withDescriptor { swsys_close_is_up_to_peer($0.rawValue, isSole) } == isSole)
    listener.close()
  }

  @Test func `after the peer has shut down, a look is certain`() throws {
    let pair = try DescriptorPair.sockets(.unix)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    let transport = try makeTransport(over: ours.rawValue, for: [.readable, .writable])
    #expect(send(1, over: theirs))
    #expect(shutdown(theirs.rawValue, Int32(SHUT_WR)) == 0)
    #expect(transport.isCloseUpToPeer())
    var bytes: [UInt8] = [0]
    let attempt = unsafe bytes.withUnsafeMutableBytes { unsafe transport.receive(into: $0) }
    #expect(attempt == .transferred(1))
    // No receive has found the end.
    #expect(!transport.isCloseUpToPeer())
    try ours.close()
    try theirs.close()
  }

  private typealias Ends = (MessageDuplex<VarIntFraming>, MessageDuplex<VarIntFraming>)

  private func connectedPair() async throws -> Ends {
    let listener = try Listener(.abstract("sw-last-lent-\(getpid())"), framing: .varInt)
    let client = try await connect(to: listener.address, framing: .varInt)
    let server = try await listener.accept(timeout: .patience)
    listener.close()
    return (client, server)
  }

  /// Another number, and another process, keep the socket whole.
  @Test(arguments: [true, false])
  func `a socket that has been lent goes on receiving after the close`(_ isPair: Bool) async throws {
    let (client, server) = try await isPair ? makeSocketPair(framing: .varInt) : connectedPair()
    let copy = try server.withDescriptor { try OwnedDescriptor(duplicating: $0).release().rawValue }
    server.close()
    try await client.send("hello")
    let other = try MessageDuplex(adopting: copy, framing: .varInt)
    #expect(try await other.receive(timeout: .patience) == Array("hello".utf8))
    other.close()
    client.close()
  }

  @Test func `a socket that may be inherited, or has been copied by fork, is closed elsewhere`() throws {
    for event in 0..<4 {
      let pair = try DescriptorPair.sockets(.unix)
      let (ours, theirs) = (pair.first.release(), pair.second.release())
      // A caller may wait for long before the socket gets its endpoint.
      if event == 2 { #expect(swsys_fork_in_vain() == 0) }
      let transport = try makeTransport(connected: ours.rawValue, .stream, isUnix: true)
      if event == 0 { transport.noteShared() }
      if event == 1 { #expect(swsys_fork_in_vain() == 0) }
      #expect(transport.isCloseUpToPeer() == (event < 3))
      try ours.close()
      try theirs.close()
    }
  }

  @Test(arguments: [SocketPairKind.unix, .unixPackets, .unixDatagrams])
  func `an endpoint whose socket children may inherit is closed elsewhere`(_ kind: SocketPairKind) throws {
    for isShared in [true, false] {
      let (left, right) = try makeSocketPair(kind)
      if isShared { try left.setInheritable(true) }
      let port = try #require(left.core.receiving?.port)
      #expect(port.ours?.isCloseUpToPeer() == isShared)
      left.close()
      right.close()
    }
  }

  @Test func `a packet socket without marks is closed elsewhere`() async throws {
    let isUpToPeer = try await TestThread { () -> [Bool] in
      let pair = try DescriptorPair.sockets(.unixPackets)
      let numbers = [pair.first.release(), pair.second.release()]
      let marked = try makeTransport(connected: numbers[0].rawValue, .packets, isUnix: true)
      #expect(swsys_forbid_here(Int32(SWSYS_CALL_SETSOCKOPT)) == 0)
      let unmarked = try makeTransport(connected: numbers[1].rawValue, .packets, isUnix: true)
      let results = [
        marked.isCloseUpToPeer(), unmarked.isCloseUpToPeer(),
        swsys_close_is_up_to_peer(numbers[1].rawValue, true),
      ]
      for number in numbers { try number.close() }
      return results
    }.value
    #expect(isUpToPeer == [false, true, true])
  }

  @Test(arguments: UDPSocket.Version.allCases)
  func `no peer can pass descriptors to a UDP socket, so it is closed here`(_ version: UDPSocket.Version)
    throws
  {
    let socket = try UDPSocket(version)
    let number = socket.descriptor.release()
    let transport = try makeTransport(over: number.rawValue, for: [.readable, .writable])
    #expect(!transport.isCloseUpToPeer())
    try number.close()
  }

  @Test func `a TCP socket that lingers is closed elsewhere`() throws {
    let pair = try DescriptorPair.sockets(.tcp)
    let (ours, theirs) = (pair.first.release(), pair.second.release())
    let transport = try makeTransport(over: ours.rawValue, for: [.readable, .writable])
    #expect(!transport.isCloseUpToPeer())
    var option = linger(l_onoff: 1, l_linger: 1)
    let size = socklen_t(MemoryLayout<linger>.size)
    #expect(unsafe setsockopt(ours.rawValue, SOL_SOCKET, SO_LINGER, &option, size) == 0)
    #expect(transport.isCloseUpToPeer())
    try ours.close()
    try theirs.close()
  }

  /// A peer that has another descriptor of the socket can set SO_LINGER at any time.
  @Test func `a TCP socket that a peer has passed is never closed on the thread that asks for it`() throws {
    let pair = try DescriptorPair.sockets(.tcp)
    let passed = ReceivedDescriptors([pair.first.release()])
    let taken = passed.take()?.release()
    let number = try #require(taken).rawValue
    let copy = try OwnedDescriptor(duplicating: FileDescriptor(rawValue: number)).release().rawValue
    for each in [number, copy] {
      let transport = try makeTransport(over: each, for: [.readable, .writable])
      #expect(transport.isCloseUpToPeer())
      transport.close()
    }
    let own = try makeTransport(
      over: pair.second.withDescriptor { $0.rawValue }, for: [.readable, .writable])
    #expect(!own.isCloseUpToPeer())
  }

  @Test func `a listener refuses before it looks at its queue`() async throws {
    let listener = try Listener(.abstract("sw-last-listener-\(getpid())"), framing: .varInt)
    let address = listener.address
    let waiting = try await connect(to: address, framing: .varInt)
    listener.close()
    // The connection that was not accepted has ended, and there is no other one.
    let end = await endpointError { try await waiting.receive(timeout: .patience) }?.reason
    #expect(end != nil && end != .timedOut)
    #expect(await endpointError { _ = try await connect(to: address, framing: .varInt) } != nil)
    waiting.close()
  }
}
