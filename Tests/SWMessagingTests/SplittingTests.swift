import SWFraming
import SWMessaging
import SWTesting
import SystemPackage
import TestSupport
import Testing

/// A reader and a writer of their own over the two directions of a duplex.
@Suite(.lastResort, .leavesNothing) struct SplittingTests {
  @Test func `a reader and a writer work beside each other and beside the duplex`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let (reader, writer) = (MessageReader(over: left), MessageWriter(over: left))
    try await right.send(contentsOf: [[1], [2], [3]])
    // One buffer: what one has read ahead is there for the other.
    #expect(try await reader.receive() == [1])
    #expect(try await left.receive(timeout: .zero) == [2])
    #expect(try await reader.receive(timeout: .zero) == [3])
    try await writer.send("a")
    try await left.send("b")
    #expect(try await right.receive() == Array("a".utf8))
    #expect(try await right.receive() == Array("b".utf8))
  }

  @Test func `raw ends split likewise, and messages go over the parts`() async throws {
    let (left, right) = try makeSocketPair()
    let (reader, writer) = (SocketReader(over: left), SocketWriter(over: left))
    try await right.send([1, 2, 3])
    #expect(try await reader.receive(exactly: 1) == [1])
    #expect(try await left.receive(exactly: 2) == [2, 3])
    try await writer.send([4])
    #expect(try await right.receive(exactly: 1) == [4])
    let messages = (MessageReader(over: left, framing: .lines), MessageWriter(over: right))
    try await right.send("line\n")
    #expect(try await messages.0.receive() == Array("line".utf8))
    try await messages.1.send("framed")
    #expect(try await MessageReader(over: left).receive() == Array("framed".utf8))
  }

  @Test func `to close the reader ends receiving alone`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let file = try left.withDescriptor { OpenFile($0) }
    let (reader, writer) = (MessageReader(over: left), MessageWriter(over: left))
    let waiting = Task { await endpointError { try await left.receive() }?.reason }
    await eventually { left.queued == 1 }
    reader.close()
    #expect(await waiting.value == .closed)
    #expect(await endpointError { try await left.receive() }?.reason == .closed)
    #expect(reader.isClosed && !left.isClosed && !writer.isClosed)
    try await writer.send("on")
    try await left.send("and on")
    #expect(try await right.receive() == Array("on".utf8))
    #expect(try await right.receive() == Array("and on".utf8))
    #expect(file.isOpen)
    writer.close()
    #expect(left.isClosed)
    await eventually { !file.isOpen }
    #expect(try await right.next() == nil)
  }

  @Test func `to close the writer ends sending alone, and tells the peer nothing`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let (reader, writer) = (MessageReader(over: left), MessageWriter(over: left))
    writer.close()
    #expect(await endpointError { try await left.send("x") }?.reason == .closed)
    #expect(await endpointError { try await right.receive(timeout: .zero) }?.reason == .timedOut)
    try await right.send("y")
    #expect(try await reader.receive() == Array("y".utf8))
  }

  @Test func `to finish sending tells the peer, and the reader goes on`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let (reader, writer) = (MessageReader(over: left), MessageWriter(over: left))
    writer.finishSending()
    #expect(try await right.next() == nil)
    try await right.send("y")
    #expect(try await reader.receive() == Array("y".utf8))
  }

  @Test func `the descriptor closes with the last of them`() async throws {
    var ends: (MessageDuplex<VarIntFraming>, MessageDuplex<VarIntFraming>)? = try makeSocketPair(
      framing: .varInt)
    let right = try #require(ends?.1)
    let file = try #require(try ends?.0.withDescriptor { OpenFile($0) })
    var reader = ends.map { MessageReader(over: $0.0) }
    var writer = ends.map { MessageWriter(over: $0.0) }
    ends = nil
    // The parts keep it.
    try await writer?.send("x")
    #expect(try await right.receive() == Array("x".utf8))
    writer = nil
    #expect(file.isOpen)
    try await right.send("y")
    #expect(try await reader?.receive() == Array("y".utf8))
    reader = nil
    #expect(try await right.next() == nil)
    await eventually { !file.isOpen }
  }

  @Test func `to close the duplex closes the parts`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let (reader, writer) = (MessageReader(over: left), MessageWriter(over: left))
    left.close()
    #expect(reader.isClosed && writer.isClosed)
    #expect(await endpointError { try await writer.send("x") }?.reason == .closed)
    #expect(try await right.next() == nil)
  }

  @Test func `one direction of a descriptor is detached when the other has left it`() async throws {
    let (left, right) = try makeSocketPair(framing: .varInt)
    let (reader, writer) = (MessageReader(over: left), MessageWriter(over: left))
    #expect(detachError(reader) == .busy)
    #expect(detachError(writer) == .busy)
    try await right.send(contentsOf: [[1], [2]])
    #expect(try await reader.receive() == [1])
    writer.close()
    let detached = try reader.detach().release()
    #expect(detached.unread == (try varIntFrame([2])))
    #expect(left.isClosed)
    #expect(detachError(writer) == .closed)
    let again = try MessageDuplex(
      adopting: detached.descriptor, unread: detached.unread, framing: .varInt)
    #expect(try await again.receive() == [2])
    try await again.send("x")
    #expect(try await right.receive() == Array("x".utf8))
  }

  @Test func `over two descriptors each direction has its own`() async throws {
    let (input, peerOutput) = try makePipe()
    let (peerInput, output) = try makePipe()
    let duplex = try MessageDuplex(
      reading: try input.detach().release().descriptor, writing: try output.detach().release().descriptor,
      framing: .varInt)
    let (reader, writer) = (MessageReader(over: duplex), MessageWriter(over: duplex))
    // It has a descriptor of its own, whatever the other direction does.
    let detached = try reader.detach().release()
    try await writer.send("x")
    #expect(try await MessageReader(over: peerInput).receive() == Array("x".utf8))
    // To close it closes its descriptor, which tells the peer.
    writer.close()
    #expect(
      await endpointError { try await peerInput.receive(upTo: 1, timeout: .patience) }?.reason == .endOfStream
    )
    let again = try SocketReader(adopting: detached.descriptor)
    try await peerOutput.send([9])
    #expect(try await again.receive(exactly: 1) == [9])
  }

  @Test(arguments: [true, false])
  func `the descriptor of a duplex can be used while one direction is open`(_ receives: Bool) throws {
    for kind in [SocketPairKind.tcp, .unix] {
      let (left, right) = try makeSocketPair(kind, framing: .varInt)
      let before = left.credentialsOfPeer()
      if receives { MessageWriter(over: left).close() } else { MessageReader(over: left).close() }
      #expect(!left.isClosed)
      let file = try left.withDescriptor { OpenFile($0) }
      #expect(file.isOpen)
      try left.setInheritable(true)
      #expect(left.isInheritable)
      if kind == .tcp {
        try left.setLossDetection(within: .seconds(5))
        #expect(left.localAddress != nil && left.localAddress == right.peerAddress)
      } else {
        #expect(try before?.groups() == left.credentialsOfPeer()?.groups())
        #expect(before != nil && left.credentialsOfPeer() != nil)
      }
      // The error of a body is its own.
      var calls = 0
      #expect(
        blockingError {
          try left.withDescriptor { _ in
            calls += 1
            throw EndpointError(.closed)
          }
        }?.reason == .closed)
      #expect(calls == 1)
      left.close()
      #expect(blockingError { try left.withDescriptor { OpenFile($0) } }?.reason == .closed)
      #expect(blockingError { try left.setInheritable(true) }?.reason == .closed)
      #expect(!left.isInheritable && left.credentialsOfPeer() == nil)
      if let before { #expect(blockingError { try before.groups() }?.reason == .closed) }
    }
  }

  /// A duplex over two pipes, and the peer's ends of them.
  private func pipes() throws -> (MessageDuplex<VarIntFraming>, MessageReader<VarIntFraming>, SocketWriter) {
    let (input, peerOutput) = try makePipe()
    let (peerInput, output) = try makePipe()
    let duplex = try MessageDuplex(
      reading: try input.detach().release().descriptor, writing: try output.detach().release().descriptor,
      framing: .varInt)
    return (duplex, MessageReader(over: peerInput), peerOutput)
  }

  @Test func `a duplex over two descriptors detaches the one that is left`() async throws {
    let (duplex, peerInput, peerOutput) = try pipes()
    let reading = try duplex.withDescriptor { $0 }
    try await peerOutput.send(try varIntFrame([1]) + varIntFrame([2]))
    #expect(try await duplex.receive() == [1])
    try MessageWriter(over: duplex).withDescriptor { _ in
      duplex.finishSending()
      // The descriptor is lent, so it is still there.
      #expect(!duplex.isClosed && detachError(duplex) == .busy)
    }
    #expect(try await peerInput.next() == nil)
    var detached = try duplex.detach()
    #expect(detached.descriptor.withDescriptor { $0 } == reading && detached.sendingDescriptor.take() == nil)
    #expect(detached.unread == (try varIntFrame([2])))
    #expect(duplex.isClosed && detachError(duplex) == .closed)
    let (other, otherInput, _) = try pipes()
    let writer = MessageWriter(over: other)
    let writing = try writer.withDescriptor { $0 }
    MessageReader(over: other).close()
    try other.setInheritable(true)
    #expect(writer.isInheritable)
    #expect(try other.withDescriptor { $0 } == writing)
    let rest = try other.detach()
    #expect(rest.descriptor.withDescriptor { $0 } == writing && rest.unread.isEmpty)
    #expect(other.isClosed && writer.isClosed)
    _ = otherInput
  }

  @Test func `a duplex whose receiving was closed detaches its descriptor, and no unread bytes`() async throws
  {
    let (left, right) = try makeSocketPair(framing: .varInt)
    try await right.send(contentsOf: [[1], [2]])
    #expect(try await left.receive() == [1])
    MessageReader(over: left).close()
    let detached = try left.detach().release()
    #expect(detached.unread.isEmpty && left.isClosed)
    let again = try MessageDuplex(adopting: detached.descriptor, framing: .varInt)
    try await again.send("x")
    #expect(try await right.receive() == Array("x".utf8))
  }

  @Test func `all endpoints over a descriptor read it in one mode`() async throws {
    let ends = try DescriptorPair.sockets()
    let raw = try SocketDuplex(adopting: ends.first, mode: .exact)
    let peer = try SocketDuplex(adopting: ends.second)
    let readers = [MessageReader(over: raw), MessageReader(over: SocketReader(over: raw))]
    let duplex = MessageDuplex(over: raw)
    try await peer.send(try (0..<4 as Range<UInt8>).flatMap { try varIntFrame([$0]) })
    #expect(try await readers[0].receive() == [0])
    #expect(try await readers[1].receive() == [1])
    #expect(try await MessageReader(over: duplex).receive() == [2])
    // Nothing was read ahead: the rest is still the descriptor's.
    let unread = try duplex.detach().unread
    #expect(unread.isEmpty)
  }

  private func detachError(_ endpoint: some Endpoint) -> EndpointError.Reason? {
    blockingError { _ = try endpoint.detach().release() }?.reason
  }
}
