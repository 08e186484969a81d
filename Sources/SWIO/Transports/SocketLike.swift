public import SystemPackage

/// How one attempt to move bytes ended. An attempt never waits.
@nonexhaustive
public enum Attempt: Hashable, Sendable {
  /// So many bytes moved: at least one on a stream. On datagrams one moved whole, and it may be empty.
  case transferred(Int)
  /// Nothing can move now, and nothing was taken. Readiness for the attempt's own direction will tell when
  /// another is worth it.
  case wouldBlock
  /// Nothing can move before the transport is ready for this, which need not be the attempt's own
  /// direction: TLS may have to write before it can read. Nothing at all (`[]`): before its
  /// ``ReadinessSignal`` is raised, whatever the descriptor shows. Nothing was taken.
  case waitsFor(Readiness)
  /// The peer will send nothing more. Receiving only.
  case endOfStream
  /// The attempt may take long, such as a large read from a disk, and has not been made: it is repeated with
  /// ``SocketLike/receiveTakingLong(into:)`` or ``SocketLike/sendTakingLong(gathering:)`` on a thread that may wait.
  case offload
  /// It failed. `Errno.interrupted` means: try again at once.
  case failed(TransportError)
}

/// Where a transport's readiness comes from.
@nonexhaustive
public enum ReadinessSource: Sendable {
  /// A descriptor that `poll(2)` and `epoll(7)` can watch, for both directions.
  case descriptor(FileDescriptor)
  /// The transport itself: it calls the ``ReadinessSignal`` it was given.
  case signal
}

/// What a transport carries.
@nonexhaustive
public enum TransportContent: Hashable, Sendable {
  /// Bytes in order, cut anywhere.
  case stream
  /// Datagrams: an attempt moves one, whole. A receive that is given less room than it takes cuts it.
  case datagrams
}

/// A transport: moves bytes, never waits, knows nothing of messages. Endpoints call `receive` from one
/// thread at a time and `send` from one thread at a time; both may run at once, on different threads.
///
/// Five members are all that must be written. The others have defaults: a stream, whose parts are sent one
/// block at a time, that can neither peek nor pass descriptors.
///
/// ```swift
/// final class Loud: SocketLike {
///   let readinessSource: ReadinessSource = .descriptor(…)
///   func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt { … }
///   func send(_ bytes: UnsafeRawBufferPointer) -> Attempt { … }
///   func finishSending() throws(TransportError) { … }
///   func close() { … }
/// }
/// ```
///
/// What every transport must keep to is checked by `checkTransport` of SWTesting:
/// - What was accepted arrives in order, once. What would block has taken nothing: the next attempt may
///   bring other bytes, or none.
/// - After an attempt that would block, readiness comes when another may get on. It may come without need:
///   the attempt is the truth.
/// - Data before an end is received before it, and the end stays.
/// - Room for one byte is enough to receive from a stream.
public protocol SocketLike: AnyObject, Sendable {
  /// Where readiness comes from. Asked once, before anything else.
  var readinessSource: ReadinessSource { get }

  /// Receives what is there, at most as much as there is room for, which is at least one byte.
  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt

  /// Sends as much as is accepted at once; of a datagram transport, this as one datagram.
  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt

  /// Tells the peer that nothing more will be sent; receiving goes on. Called once at most, and no `send` comes
  /// after it.
  ///
  /// - Throws: `Errno.wouldBlock` when it has to wait, for the readiness of sending; it is called again then.
  ///   `Errno.notSupported` where only closing tells the peer: the endpoint gives the transport up for sending.
  func finishSending() throws(TransportError)

  /// Closes. Called exactly once, when no attempt runs and none will follow.
  func close()

  // MARK: With defaults

  /// Hands over what to call when the transport may have become ready; called once, before the first
  /// attempt. A transport with a descriptor needs it only if it knows more than its descriptor shows.
  func attach(_ signal: ReadinessSignal)

  /// Whether it carries a stream, which is the default, or datagrams. Asked once.
  var content: TransportContent { get }

  /// Sends from several parts, one after the other, as if they were in one piece: as much as is accepted at
  /// once. There is at least one part.
  ///
  /// The default copies what is short into one block, 16 KiB at the most (a datagram whole), and makes one
  /// attempt with it.
  func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt

  /// Makes the attempt that said ``Attempt/offload``, on a thread that may wait for a while. Must not say so
  /// again. The default is an ordinary attempt.
  func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt

  /// Makes the attempt that said ``Attempt/offload``, on a thread that may wait for a while. Must not say so
  /// again. The default is an ordinary attempt.
  func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt

  /// Copies what an attempt to receive would bring, and takes nothing. The default cannot:
  /// `Errno.notSupported`.
  func peek(into memory: UnsafeMutableRawBufferPointer) -> Attempt

  /// Receives, and takes what came with the bytes: descriptors, the sender's address. `companions` is nil before,
  /// and stays so where nothing came. The default cannot: `Errno.notSupported`.
  func receive(into memory: UnsafeMutableRawBufferPointer, with companions: inout Companions?) -> Attempt

  /// Sends with descriptors, which go with the first byte or with the datagram, or to an address. They are the
  /// caller's, and stay open until the attempt has ended. The default cannot: `Errno.notSupported`.
  func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, passing descriptors: [FileDescriptor],
    to address: SocketAddress?
  ) -> Attempt

  /// How many bytes the next datagram has: `transferred` with that size, which may be 0; `wouldBlock`,
  /// `endOfStream` and `failed` as a receive. Datagram transports only.
  ///
  /// The default says 65,536: what is larger would be cut.
  func nextDatagramSize() -> Attempt

  /// Whether child processes inherit its descriptor, if it has one, at exec. The default looks at the
  /// descriptor of ``readinessSource``, and is false without.
  func isInheritable() throws(TransportError) -> Bool

  /// Lets child processes inherit its descriptor, or not. The default sets the flag of the descriptor of
  /// ``readinessSource``; without one it throws `Errno.notSupported`.
  func setInheritable(_ inheritable: Bool) throws(TransportError)
}

extension SocketLike {
  public func attach(_ signal: ReadinessSignal) {}

  public var content: TransportContent { .stream }

  public func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    let isDatagram = content == .datagrams
    guard let first = unsafe parts.first else {
      return unsafe send(UnsafeRawBufferPointer(start: nil, count: 0))
    }
    var count = 0
    for index in parts.indices { count += unsafe parts[index].count }
    let largestBlock = 16_384
    if parts.count == 1 || (!isDatagram && first.count >= largestBlock) { return unsafe send(first) }
    if !isDatagram { count = min(count, largestBlock) }
    return unsafe withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) { block in
      var filled = 0
      for index in parts.indices where filled < count {
        let part = unsafe parts[index]
        let taken = min(part.count, count - filled)
        unsafe UnsafeMutableRawBufferPointer(rebasing: block[filled...]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: part[..<taken]))
        filled += taken
      }
      return unsafe send(UnsafeRawBufferPointer(block))
    }
  }

  public func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    unsafe receive(into: memory)
  }

  public func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    unsafe send(gathering: parts)
  }

  public func peek(into memory: UnsafeMutableRawBufferPointer) -> Attempt {
    .failed(TransportError(.receive, .notSupported))
  }

  public func receive(
    into memory: UnsafeMutableRawBufferPointer, with companions: inout Companions?
  ) -> Attempt {
    .failed(TransportError(.receive, .notSupported))
  }

  public func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, passing descriptors: [FileDescriptor],
    to address: SocketAddress?
  ) -> Attempt {
    .failed(TransportError(.send, .notSupported))
  }

  public func nextDatagramSize() -> Attempt { .transferred(65_536) }

  public func isInheritable() throws(TransportError) -> Bool {
    guard case .descriptor(let descriptor) = readinessSource else { return false }
    return try OwnedDescriptor.isInheritable(descriptor.rawValue)
  }

  public func setInheritable(_ inheritable: Bool) throws(TransportError) {
    guard case .descriptor(let descriptor) = readinessSource else {
      throw TransportError(.inheritance, .notSupported)
    }
    try OwnedDescriptor.setInheritable(descriptor.rawValue, inheritable)
  }
}
