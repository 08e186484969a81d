internal import CSysShim
internal import SystemPackage

/// A transport over a descriptor. Its attempts never wait, leave no flag behind on a description that others share,
/// and raise no SIGPIPE.
///
///     descriptor          class                  receive                    send
///     stream socket       StreamSocket           recvmsg MSG_DONTWAIT       sendmsg MSG_DONTWAIT | MSG_NOSIGNAL
///     datagrams, packets  DatagramSocket         likewise, recvmmsg         likewise, sendmmsg
///     anonymous pipe      PipeTransport          preadv2 RWF_NOWAIT         pwritev2 RWF_NOWAIT | RWF_NOSIGNAL
///       older kernels     NonblockingTransport   read, own description      writev; SIGPIPE blocked and taken back
///     FIFO, tty           NonblockingTransport   likewise, where /proc allows it
///       else              PolledTransport        poll; then a read or a small write on a thread that may wait
///     regular file        FileTransport          preadv2 RWF_NOWAIT; else on a thread that may wait
package protocol DescriptorTransport: SocketLike {
  /// The owner's number: lent, handed on, duplicated.
  var number: Int32 { get }
  /// The number that attempts and waits use: `number`, or that of a description of our own.
  var working: Int32 { get }
}

extension DescriptorTransport {
  package var readinessSource: ReadinessSource { .descriptor(FileDescriptor(rawValue: working)) }

  /// Half-close: only closing a descriptor that is no stream socket tells the peer.
  package func finishSending() throws(TransportError) {
    throw TransportError(.finishSending, .notSupported)
  }

  package func isInheritable() throws(TransportError) -> Bool { try OwnedDescriptor.isInheritable(number) }

  package func setInheritable(_ inheritable: Bool) throws(TransportError) {
    try OwnedDescriptor.setInheritable(number, inheritable)
  }

  /// Gives up our own description, if there is one; the number stays open.
  package func closeWorking() { if working != number { OwnedDescriptor.closeAtOnce(working) } }

  package func close() {
    closeWorking()
    OwnedDescriptor.close(number)
  }
}

/// Makes the transport for a descriptor. Takes no ownership: `close` gives the descriptor up.
///
/// - Throws: `TransportError` `adopt` if the descriptor is not open, not open for every one of these directions, or
///   no stream.
package func makeTransport(
  over number: Int32, for directions: Readiness
) throws(TransportError) -> any DescriptorTransport {
  let access = try checked(.adopt, swsys_access_mode(number))
  let (readOnly, writeOnly, readWrite) = (
    FileDescriptor.AccessMode.readOnly.rawValue, FileDescriptor.AccessMode.writeOnly.rawValue,
    FileDescriptor.AccessMode.readWrite.rawValue
  )
  let isOpen =
    access == readWrite || (directions == .readable && access == readOnly)
    || (directions == .writable && access == writeOnly)
  guard isOpen else { throw TransportError(.adopt, .badFileDescriptor) }
  let kind = UInt32(try checked(.adopt, swsys_kind(number)))
  let features = KernelFeatures.current
  switch swsys_kind(rawValue: kind) {
  case SWSYS_STREAM_SOCKET: return StreamSocket(number)
  case SWSYS_DATAGRAM_SOCKET, SWSYS_PACKET_SOCKET:
    return try DatagramSocket(number, isPacket: kind == SWSYS_PACKET_SOCKET.rawValue)
  case SWSYS_ALWAYS_READY: return FileTransport(number)
  default: break
  }
  let isPipe = kind == SWSYS_PIPE.rawValue
  let isAnonymous = isPipe && swsys_is_anonymous_pipe(number)
  if features.nowaitPipes, isAnonymous { return PipeTransport(number, noSignal: features.nosignalPipes) }
  let quiet: EmptyRead =
    isPipe
    ? isAnonymous ? .end : .endIfHungUp(number) : swsys_is_terminal(number) ? .endOfTerminal : .end
  // A description of our own first: others may take O_NONBLOCK away from a shared one.
  let own = features.reopens ? swsys_reopen_nonblocking(number, access) : -1
  if own >= 0 { return NonblockingTransport(number, working: own, isPipe: isPipe, quiet) }
  if swsys_is_nonblocking(number) > 0 {
    return NonblockingTransport(number, working: number, isPipe: isPipe, quiet)
  }
  return PolledTransport(number, isPipe: isPipe, quiet)
}

/// Makes the transport for a connected socket, of which all is known that ``makeTransport(over:for:)`` would ask for.
package func makeTransport(
  connected number: Int32, _ kind: ConnectionKind, isUnix: Bool
) throws(TransportError) -> any DescriptorTransport {
  switch kind {
  case .stream: StreamSocket(number, isUnix: isUnix, drains: true)
  case .packets: try DatagramSocket(number, isPacket: true)
  case .datagrams: try DatagramSocket(number, isPacket: false)
  }
}

/// What a read that brings nothing means.
///
///     FIFO without a writer that has hung up         there was none yet: wait for one
///     raw terminal with VMIN 0                       nothing has been typed
///     master of a pseudo-terminal, EIO               the last other side is closed: the end
enum EmptyRead: Hashable, Sendable {
  case end
  /// Only the description that was given, under this number, knows whether there ever was a writer.
  case endIfHungUp(Int32)
  case endOfTerminal

  /// The attempt that such a read stands for; nil: the error says it.
  func attempt(_ result: Int, working: Int32) -> Attempt? {
    switch self {
    case .end: return result == 0 ? .endOfStream : nil
    case .endIfHungUp(let number):
      // A writer that came, wrote and went since the read is seen by the next attempt.
      return result != 0 ? nil : swsys_is_hung_up(number, Int32(SWSYS_READABLE)) ? .endOfStream : .wouldBlock
    case .endOfTerminal:
      guard result == 0 || result == -Int(Errno.ioError.rawValue) else { return nil }
      if swsys_is_hung_up(working, 0) { return .endOfStream }
      return result != 0 ? nil : swsys_is_canonical(working) ? .endOfStream : .wouldBlock
    }
  }

  /// The master of a pseudo-terminal that nobody has open takes bytes for as long as it has room. Then a
  /// write would block, though `poll` always has something to say.
  func isStuck(_ working: Int32) -> Bool {
    self == .endOfTerminal && swsys_is_hung_up(working, Int32(SWSYS_WRITABLE))
  }
}

/// Writes up to this size to a pipe are atomic (PIPE_BUF on Linux), in bytes.
package var atomicPipeWrite: Int { 4096 }

extension TransportCapabilities {
  /// Of a pipe. A pipe whose writers have set O_DIRECT hands out packets of at most PIPE_BUF bytes, and nothing but
  /// the reading end's own flag says so.
  static func pipe(_ number: Int32) -> TransportCapabilities {
    var capabilities = TransportCapabilities()
    capabilities.atomicSendSize = atomicPipeWrite
    capabilities.packetSize = atomicPipeWrite
    capabilities.keepsPackets = swsys_keeps_packets(number)
    return capabilities
  }
}

extension Attempt {
  /// The result of a system call on a file, a pipe or a terminal: an error concerns one direction. The kernel's
  /// want of memory passes.
  static func file(_ operation: TransportError.Operation, _ result: Int) -> Attempt {
    if result == -Int(Errno.noMemory.rawValue) { return .retryLater }
    return Attempt(operation, result: result, scope: .direction)
  }
}

/// The kernel takes so many parts at once (UIO_MAXIOV).
private var mostParts: Int { 1024 }

/// Hands parts on as the kernel takes them: as many as it takes at once.
@inline(__always)
func withVectors(
  _ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, _ call: (UnsafePointer<iovec>?, Int32) -> Int
) -> Int {
  let count = min(parts.count, mostParts)
  return unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: max(count, 1)) { vectors in
    for index in 0..<count {
      let part = unsafe parts[index]
      unsafe vectors.initializeElement(
        at: index,
        to: iovec(iov_base: UnsafeMutableRawPointer(mutating: part.baseAddress), iov_len: part.count))
    }
    return unsafe call(vectors.baseAddress, Int32(count))
  }
}

/// The same for bytes in one piece.
@inline(__always)
func withVector(_ bytes: UnsafeRawBufferPointer, _ call: (UnsafePointer<iovec>?, Int32) -> Int) -> Int {
  let vector = unsafe iovec(
    iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
  return unsafe withUnsafePointer(to: vector) { unsafe call($0, 1) }
}
