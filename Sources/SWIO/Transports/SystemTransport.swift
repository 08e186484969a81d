internal import CSysShim
public import SystemPackage

/// A descriptor as a transport: what endpoints do by themselves with the descriptors that they adopt, for
/// transports of your own that stand on one.
///
/// Attempts never wait, leave no flag behind on a description that others share, and raise no SIGPIPE. Sockets
/// pass descriptors and peek; datagram and seqpacket sockets carry datagrams.
public final class SystemTransport: SocketLike {
  private let transport: DescriptorTransport

  /// Takes over a descriptor, which is closed even when this throws.
  ///
  /// - Parameter directions: what it must be open for.
  /// - Throws: ``TransportError`` when it is not open, or not for these directions.
  public init(
    adopting descriptor: consuming OwnedDescriptor, for directions: Readiness = [.readable, .writable]
  ) throws(TransportError) {
    let number = descriptor.withDescriptor { $0.rawValue }
    transport = try DescriptorTransport(number, for: directions)
    _ = descriptor.release()
  }

  public var readinessSource: ReadinessSource {
    .descriptor(FileDescriptor(rawValue: transport.working))
  }

  public var content: TransportContent { transport.carriesDatagrams ? .datagrams : .stream }

  public func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    unsafe transport.receive(into: memory, mayTakeLong: false)
  }

  public func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    unsafe transport.receive(into: memory, mayTakeLong: true)
  }

  public func receive(
    into memory: UnsafeMutableRawBufferPointer, with companions: inout Companions?
  ) -> Attempt {
    unsafe transport.receive(into: memory, with: &companions)
  }

  public func nextDatagramSize() -> Attempt { transport.nextDatagramSize() }

  public func peek(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    unsafe transport.peek(into: memory)
  }

  public func send(_ bytes: UnsafeRawBufferPointer) -> Attempt {
    let part = unsafe iovec(
      iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
    return unsafe withUnsafePointer(to: part) { part in
      unsafe transport.send(UnsafeBufferPointer(start: part, count: 1))
    }
  }

  public func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    unsafe withParts(parts) { parts in unsafe transport.send(parts, mayTakeLong: false) }
  }

  public func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    unsafe withParts(parts) { parts in unsafe transport.send(parts, mayTakeLong: true) }
  }

  public func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, passing descriptors: [FileDescriptor],
    to address: SocketAddress?
  ) -> Attempt {
    unsafe withParts(parts) { parts in unsafe transport.send(parts, passing: descriptors, to: address) }
  }

  /// The kernel takes so many at once (UIO_MAXIOV).
  private static var mostParts: Int { 1024 }

  private func withParts(
    _ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, _ send: (UnsafeBufferPointer<iovec>) -> Attempt
  ) -> Attempt {
    let count = content == .datagrams ? parts.count : min(parts.count, Self.mostParts)
    return unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: max(count, 1)) { blocks in
      for index in 0..<count {
        let part = unsafe parts[index]
        unsafe blocks.initializeElement(
          at: index,
          to: iovec(iov_base: UnsafeMutableRawPointer(mutating: part.baseAddress), iov_len: part.count))
      }
      return unsafe send(UnsafeBufferPointer(rebasing: blocks[..<count]))
    }
  }

  /// - Throws: ``TransportError`` `Errno.notSupported` where only closing tells the peer: on anything but a
  ///   stream or seqpacket socket.
  public func finishSending() throws(TransportError) {
    guard try transport.finishSending() else { throw TransportError(.finishSending, .notSupported) }
  }

  public func isInheritable() throws(TransportError) -> Bool {
    try OwnedDescriptor.isInheritable(transport.number)
  }

  public func setInheritable(_ inheritable: Bool) throws(TransportError) {
    try OwnedDescriptor.setInheritable(transport.number, inheritable)
  }

  public func close() { transport.close() }
}
