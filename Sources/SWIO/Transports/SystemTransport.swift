internal import SystemPackage

/// A descriptor as a transport. Endpoints use the same code for the descriptors that they adopt. Use it as the inner
/// transport of your own one.
///
/// Attempts never wait, change no flag of an open file description that other processes share, and raise no SIGPIPE.
/// Sockets pass descriptors and peek. Datagram and seqpacket sockets carry datagrams.
public final class SystemTransport: SocketLike {
  private let transport: any DescriptorTransport

  /// Takes over a descriptor, which is closed even if this throws.
  ///
  /// - Parameter directions: the directions that it must be open for.
  /// - Throws: ``TransportError`` if the descriptor is not open, not open for these directions, or no stream.
  public init(
    adopting descriptor: consuming OwnedDescriptor, for directions: Readiness = [.readable, .writable]
  ) throws(TransportError) {
    transport = try makeTransport(over: descriptor.withDescriptor { $0.rawValue }, for: directions)
    _ = descriptor.release()
  }

  public var readinessSource: ReadinessSource { transport.readinessSource }
  public var content: TransportContent { transport.content }
  public var capabilities: TransportCapabilities { transport.capabilities }
  public var drainsInOneReceive: Bool { transport.drainsInOneReceive }

  public func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    unsafe transport.receive(into: memory)
  }

  public func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    unsafe transport.receiveTakingLong(into: memory)
  }

  public func receive(
    into memory: UnsafeMutableRawBufferPointer, maximumDescriptors: Int, ancillary: inout Ancillary?
  ) -> Attempt {
    unsafe transport.receive(into: memory, maximumDescriptors: maximumDescriptors, ancillary: &ancillary)
  }

  public func nextDatagramSize() -> Attempt { transport.nextDatagramSize() }

  public func receiveDatagrams(
    atMost limit: Int, maximumDescriptors: Int, mayTakeLong: Bool, _ take: (Datagram) -> Void
  ) -> Attempt {
    transport.receiveDatagrams(
      atMost: limit, maximumDescriptors: maximumDescriptors, mayTakeLong: mayTakeLong, take)
  }

  public func peek(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    unsafe transport.peek(into: memory)
  }

  public func setReceivesCredentials(_ receives: Bool) throws(TransportError) {
    try transport.setReceivesCredentials(receives)
  }

  public func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { unsafe transport.send(bytes) }

  public func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    unsafe transport.send(gathering: parts)
  }

  public func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    unsafe transport.sendTakingLong(gathering: parts)
  }

  public func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, with ancillary: OutgoingAncillary
  ) -> Attempt {
    unsafe transport.send(gathering: parts, with: ancillary)
  }

  public func sendDatagrams(_ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    unsafe transport.sendDatagrams(parts)
  }

  /// - Throws: ``TransportError`` `Errno.notSupported` on everything except stream and seqpacket sockets, where only
  ///   closing tells the peer.
  public func finishSending() throws(TransportError) { try transport.finishSending() }

  public func isInheritable() throws(TransportError) -> Bool { try transport.isInheritable() }

  public func setInheritable(_ inheritable: Bool) throws(TransportError) {
    try transport.setInheritable(inheritable)
  }

  public func close() { transport.close() }
}
