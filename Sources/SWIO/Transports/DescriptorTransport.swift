internal import CSysShim
internal import Synchronization
internal import SystemPackage

/// A transport over a descriptor. Its attempts never wait, leave no flag on an open file description that others share, and
/// raise no SIGPIPE.
///
///     descriptor          class                  receive                    send
///     stream socket       StreamSocket           recvmsg MSG_DONTWAIT       sendmsg MSG_DONTWAIT | MSG_NOSIGNAL
///     datagrams, packets  DatagramSocket         likewise, recvmmsg         likewise, sendmmsg
///     anonymous pipe      PipeTransport          preadv2 RWF_NOWAIT         pwritev2 RWF_NOWAIT | RWF_NOSIGNAL
///       older kernels     NonblockingTransport   read, own description      writev; SIGPIPE blocked and taken back
///     FIFO, tty           NonblockingTransport   likewise, where /proc allows it
///       else, FIFO        PolledTransport        splice SPLICE_F_NONBLOCK through a pipe of the library's own
///       else              PolledTransport        poll, then a read or a small write on a thread that may wait
///     regular file        FileTransport          preadv2 RWF_NOWAIT; else on a thread that may wait
package protocol DescriptorTransport: ClosesLater {
  /// The owner's number, which can be lent, detached and duplicated.
  var number: Int32 { get }
  /// The number for attempts and waits: `number`, or that of a description that the library opened.
  var working: Int32 { get }
  /// Whether `close(2)` may have to wait: the reactor closes no such descriptor.
  var mayTakeLongToClose: Bool { get }
  /// Whether `close(2)` may wait for something that a peer has chosen: no caller closes such a descriptor. The descriptor is
  /// closed after that, because the socket may receive nothing more.
  func isCloseUpToPeer() -> Bool
  /// Notes that this process alone has the descriptor.
  func noteSole()
  /// Notes that others may have the descriptor from now on.
  func noteShared()
  /// Closes the descriptor here, or on a thread of its own if that is up to a peer. Then calls `done`.
  func closeNumber(then done: @escaping @Sendable () -> Void)
}

extension DescriptorTransport {
  package var readinessSource: ReadinessSource { .descriptor(FileDescriptor(rawValue: working)) }

  package var mayTakeLongToClose: Bool { true }
  package func isCloseUpToPeer() -> Bool { false }
  package func noteSole() {}
  package func noteShared() {}

  /// Half-closing. Only a stream socket can tell its peer without closing the descriptor.
  package func finishSending() throws(TransportError) {
    throw TransportError(.finishSending, .notSupported)
  }

  package func isInheritable() throws(TransportError) -> Bool { try OwnedDescriptor.isInheritable(number) }

  package func setInheritable(_ inheritable: Bool) throws(TransportError) {
    try OwnedDescriptor.setInheritable(number, inheritable)
  }

  /// Closes the library's own description, if there is one, here or for the reactor on another thread, and then calls `done`. `number`
  /// stays open.
  package func closeWorking(then done: @escaping @Sendable () -> Void) {
    if working == number { return done() }
    let body: @Sendable () -> Void = { [working] in
      OwnedDescriptor.closeAtOnce(working)
      done()
    }
    if reactorWouldWait { CloserThread.run(body) } else { body() }
  }

  package func close(then done: @escaping @Sendable () -> Void) {
    if reactorWouldWait {
      CloserThread.run { [self] in closeBoth(then: done) }
    } else {
      closeBoth(then: done)
    }
  }

  private var reactorWouldWait: Bool { Reactor.isCurrentThread && mayTakeLongToClose }

  private func closeBoth(then done: @escaping @Sendable () -> Void) {
    if working != number { OwnedDescriptor.closeAtOnce(working) }
    closeNumber(then: done)
  }

  package func closeNumber(then done: @escaping @Sendable () -> Void) {
    if isCloseUpToPeer() { return OwnedDescriptor.closeForPeer(number, then: done) }
    OwnedDescriptor.closeHere(number)
    done()
  }
}

/// A transport whose descriptor another thread may close a moment later.
package protocol ClosesLater: SocketLike {
  /// Closes the descriptor, and calls `done` when that has happened: before the call returns, or on another thread.
  func close(then done: @escaping @Sendable () -> Void)
}

extension ClosesLater {
  package func close() { close {} }
}

/// Makes the transport for a descriptor. It does not own the descriptor; `close` gives the descriptor up.
///
/// - Throws: `TransportError` `adopt` if the descriptor is not open, not open for all of these directions, or no stream.
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
  let isAnonymous = swsys_is_anonymous_pipe(number)
  if features.nowaitPipes, isAnonymous { return PipeTransport(number, noSignal: features.nosignalPipes) }
  let quiet: EmptyRead =
    isPipe
    ? isAnonymous ? .end : .endIfHungUp(number)
    : swsys_is_terminal(number) ? .endOfTerminal(TerminalModes(number)) : .end
  // Opening it again comes first, because another process may clear O_NONBLOCK on a shared description.
  let own = features.reopens ? swsys_reopen_nonblocking(number, access) : -1
  if own >= 0 { return NonblockingTransport(number, working: own, isPipe: isPipe, quiet) }
  return PolledTransport(number, isPipe: isPipe, quiet)
}

/// Makes the transport for a connected socket whose properties are known, and which this process alone has, without asking the
/// system as ``makeTransport(over:for:)`` does.
package func makeTransport(
  connected number: Int32, _ kind: ConnectionKind, isUnix: Bool
) throws(TransportError) -> any DescriptorTransport {
  switch kind {
  case .stream: StreamSocket(number, isUnix: isUnix, drains: true, isSole: true)
  case .packets: try DatagramSocket(number, isPacket: true, isSole: true)
  case .datagrams: try DatagramSocket(number, isPacket: false, isSole: true)
  }
}

/// The meaning of a read that returns nothing.
///
///     FIFO without a writer that has hung up         there was no writer yet: wait for one
///     raw terminal with VMIN 0                       nothing has been typed
///     master of a pseudo-terminal, EIO               the last other side is closed: the end
///     terminal, EIO in the background                nothing is for this process until it is in front again
///     terminal, EIO, in front                        it may have come to the front since the read: read again, after pauses
package enum EmptyRead: Sendable {
  case end
  /// Only the description that was given, under this number, knows whether there ever was a writer.
  case endIfHungUp(Int32)
  case endOfTerminal(TerminalModes)

  var isTerminal: Bool { if case .endOfTerminal = self { true } else { false } }

  /// Reads from the descriptor `working`, and says what the result stands for.
  package func attempt(_ working: Int32, _ read: () -> Int) -> Attempt {
    let result = read()
    if result > 0 {
      if case .endOfTerminal(let modes) = self { modes.forgetErrors() }
      return .transferred(result)
    }
    switch self {
    case .end: return result == 0 ? .endOfStream : .file(.receive, result)
    case .endIfHungUp(let number):
      guard result == 0 else { return .file(.receive, result) }
      // If a writer has come, written and gone since the read, the next attempt sees that.
      return swsys_is_hung_up(number, Int32(SWSYS_READABLE)) ? .endOfStream : .wouldBlock
    case .endOfTerminal(let modes):
      let isError = result == -Int(Errno.ioError.rawValue)
      guard result == 0 || isError else { return .file(.receive, result) }
      if swsys_is_hung_up(working, 0) { return .endOfStream }
      if !isError { return modes.isEnd(working) ? .endOfStream : .wouldBlock }
      if swsys_is_in_background(working) {
        modes.forgetErrors()
        return .retryLater
      }
      return modes.excusesError() ? .retryLater : .file(.receive, result)
    }
  }

  /// Whether a write would block although `poll` reports writable. The master of a pseudo-terminal whose other side is not
  /// open takes bytes only while it has room.
  func isStuck(_ working: Int32) -> Bool {
    isTerminal && swsys_is_hung_up(working, Int32(SWSYS_WRITABLE))
  }
}

/// Tells what a read from a terminal means, although another process may change the terminal between the read and the look.
package final class TerminalModes: Sendable {
  /// Whether a read returned nothing, or would have, at the last look.
  private let wasQuiet: Atomic<Bool>

  /// How many errors in a row have had no explanation.
  private let errorCount = Atomic(0)

  package init(_ number: Int32) { wasQuiet = Atomic(swsys_may_return_nothing(number)) }

  /// How many errors in a row may be without an explanation.
  package static var mostErrors: Int { 64 }

  /// Whether an error that nothing explains any more may have been that of a program in the background. The shell may have
  /// brought it to the front right behind the read. A pause later that is not so again, so the error of a broken terminal is
  /// reported soon.
  func excusesError() -> Bool { errorCount.wrappingAdd(1, ordering: .relaxed).newValue <= Self.mostErrors }
  func forgetErrors() { errorCount.store(0, ordering: .relaxed) }

  /// Whether a read that has returned nothing means the end. Where the mode has changed since the last look, it may be of
  /// either mode, and the stream goes on: an end can be typed once more, and one that is reported cannot be taken back.
  func isEnd(_ working: Int32) -> Bool {
    let isQuiet = !swsys_is_canonical(working)
    return !wasQuiet.exchange(isQuiet, ordering: .relaxed) && !isQuiet
  }
}

/// Writes up to this size to a pipe are atomic (PIPE_BUF on Linux), in bytes.
package var atomicPipeWrite: Int { 4096 }

extension TransportCapabilities {
  /// The capabilities of a pipe, or of a terminal or the like.
  static func shared(_ number: Int32, isPipe: Bool) -> TransportCapabilities {
    if isPipe { return pipe(number) }
    var capabilities = TransportCapabilities()
    capabilities.attemptsMayHang = true
    return capabilities
  }

  /// The capabilities of a pipe. If its writers have set O_DIRECT, a pipe returns packets of at most PIPE_BUF bytes, and
  /// only the reading end's own flag can say so.
  static func pipe(_ number: Int32) -> TransportCapabilities {
    var capabilities = TransportCapabilities()
    capabilities.atomicSendSize = atomicPipeWrite
    capabilities.packetSize = atomicPipeWrite
    capabilities.keepsPackets = swsys_keeps_packets(number)
    capabilities.attemptsMayHang = true
    return capabilities
  }
}

extension Attempt {
  /// The result of a system call on a file, a pipe or a terminal. An error concerns one direction. A lack of kernel memory
  /// is temporary. A disk that is full has moved nothing, and there may be room for the next item.
  static func file(_ operation: TransportError.Operation, _ result: Int) -> Attempt {
    if result == -Int(Errno.noMemory.rawValue) { return .retryLater }
    let isFull = [Errno.noSpace, .diskQuotaExceeded].contains { result == -Int($0.rawValue) }
    return Attempt(operation, result: result, scope: isFull ? .item : .direction)
  }
}

/// The most parts that the kernel takes at once (UIO_MAXIOV).
private var mostParts: Int { 1024 }

/// Passes as many parts to the kernel as it takes at once.
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

/// The same for contiguous bytes.
@inline(__always)
func withVector(_ bytes: UnsafeRawBufferPointer, _ call: (UnsafePointer<iovec>?, Int32) -> Int) -> Int {
  let vector = unsafe iovec(
    iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
  return unsafe withUnsafePointer(to: vector) { unsafe call($0, 1) }
}
