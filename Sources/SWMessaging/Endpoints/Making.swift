public import SWFraming
public import SWIO

// The functions that make connected endpoints.

/// Makes a pipe and a raw endpoint at either end.
///
/// - Throws: ``EndpointError`` `transport`, at EMFILE for instance.
public func makePipe() throws(EndpointError) -> (reader: SocketReader, writer: SocketWriter) {
  let ends = try made { () throws(TransportError) in try DescriptorPair.pipe() }
  return (try SocketReader(adopting: ends.first), try SocketWriter(adopting: ends.second))
}

/// Makes a pipe and a message endpoint at either end.
///
/// - Throws: ``EndpointError`` `transport`, at EMFILE for instance.
public func makePipe<F: Framing>(
  framing: F
) throws(EndpointError) -> (reader: MessageReader<F>, writer: MessageWriter<F>) {
  let ends = try made { () throws(TransportError) in try DescriptorPair.pipe() }
  return (
    try MessageReader(adopting: ends.first, framing: framing),
    try MessageWriter(adopting: ends.second, framing: framing)
  )
}

/// Makes two connected sockets and a raw endpoint at either end.
///
/// - Throws: ``EndpointError`` `transport`, at EMFILE or without a loopback interface for instance.
public func makeSocketPair(
  _ kind: SocketPairKind = .unix
) throws(EndpointError) -> (SocketDuplex, SocketDuplex) {
  let ends = try made { () throws(TransportError) in try DescriptorPair.sockets(kind) }
  let (first, second) = (try SocketDuplex(adopting: ends.first), try SocketDuplex(adopting: ends.second))
  first.core.noteSole()
  second.core.noteSole()
  return (first, second)
}

/// Makes two connected sockets and a message endpoint at either end.
public func makeSocketPair<F: Framing>(
  _ kind: SocketPairKind = .unix, framing: F
) throws(EndpointError) -> (MessageDuplex<F>, MessageDuplex<F>) {
  try makeSocketPair(kind, framing: framing, peer: framing)
}

/// Makes two connected sockets and message endpoints of two framings: what one end sends, the
/// other receives.
public func makeSocketPair<F: Framing, G: Framing>(
  _ kind: SocketPairKind = .unix, framing: F, peer: G
) throws(EndpointError) -> (MessageDuplex<F>, MessageDuplex<G>) {
  let ends = try made { () throws(TransportError) in try DescriptorPair.sockets(kind) }
  let first = try MessageDuplex(adopting: ends.first, framing: framing)
  let second = try MessageDuplex(adopting: ends.second, framing: peer)
  first.core.noteSole()
  second.core.noteSole()
  return (first, second)
}

private func made(
  _ make: () throws(TransportError) -> DescriptorPair
) throws(EndpointError) -> DescriptorPair {
  do throws(TransportError) {
    return try make()
  } catch {
    throw EndpointError(.transport(error))
  }
}
