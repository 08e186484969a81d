internal import SystemPackage

/// A transport: moves bytes, never waits, knows nothing of messages. Endpoints call `receive` from one
/// thread at a time and `send` from one thread at a time; both may run at once, on different threads.
///
/// Five members are all that must be written. The others have defaults: a stream, whose parts are sent one
/// block at a time, that can neither peek nor pass descriptors. A transport around another one hands on what it does
/// not change, and loses nothing by it: batches, packets and the scope of errors are members, too.
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
///
/// An error says in ``TransportError/scope`` what it ends. If it does not, an error about datagrams ends that
/// datagram alone, unless it says that the socket is unusable; over a stream a broken pipe ends sending, and any other
/// error ends both directions.
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

  /// How the transport wants to be used. Asked once.
  var capabilities: TransportCapabilities { get }

  /// Whether a receive that does not fill its room has taken all that was there, so that another one is in vain
  /// until readiness is signalled again. Asked after such a receive. The default says no.
  var drainsInOneReceive: Bool { get }

  /// Receives, and takes what came beside the bytes: descriptors, at most so many, the sender's address and
  /// credentials. Surplus descriptors are closed. `ancillary` is nil before, and stays so if nothing came. By default
  /// nothing comes beside the bytes.
  func receive(
    into memory: UnsafeMutableRawBufferPointer, maximumDescriptors: Int, ancillary: inout Ancillary?
  ) -> Attempt

  /// Sends with descriptors, which go with the first byte or with the datagram, or to an address. The default
  /// cannot: `Errno.notSupported`.
  func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, with ancillary: OutgoingAncillary
  ) -> Attempt

  /// How many bytes the next datagram has: `transferred` with that size, which may be 0; `wouldBlock`,
  /// `endOfStream` and `failed` as a receive. Datagram transports only.
  ///
  /// The default says 65,536: what is larger would be cut.
  func nextDatagramSize() -> Attempt

  /// Receives whole datagrams, at most so many, and hands each to `take`. `transferred` with any count if there
  /// was one at least. Datagram transports only.
  ///
  /// The default receives one, into as much room as ``nextDatagramSize()`` says.
  ///
  /// - Parameters:
  ///   - maximumDescriptors: how many descriptors each may bring; surplus ones are closed.
  ///   - mayTakeLong: the attempt is made on a thread that may wait; it must not say ``Attempt/offload``.
  func receiveDatagrams(
    atMost limit: Int, maximumDescriptors: Int, mayTakeLong: Bool, _ take: (Datagram) -> Void
  ) -> Attempt

  /// Sends each part as a datagram, as many as are accepted at once: `transferred` with the bytes of those, all of
  /// them whole. There is at least one part. Datagram transports only.
  ///
  /// The default sends the first.
  func sendDatagrams(_ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt

  /// Has receives bring the sender's credentials, or no more. The default cannot: `Errno.notSupported`.
  func setReceivesCredentials(_ receives: Bool) throws(TransportError)

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

  public var capabilities: TransportCapabilities { TransportCapabilities() }

  public var drainsInOneReceive: Bool { false }

  public func receive(
    into memory: UnsafeMutableRawBufferPointer, maximumDescriptors: Int, ancillary: inout Ancillary?
  ) -> Attempt {
    unsafe receive(into: memory)
  }

  public func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, with ancillary: OutgoingAncillary
  ) -> Attempt {
    .failed(TransportError(.send, .notSupported, scope: .item))
  }

  public func nextDatagramSize() -> Attempt { .transferred(65_536) }

  public func receiveDatagrams(
    atMost limit: Int, maximumDescriptors: Int, mayTakeLong: Bool, _ take: (Datagram) -> Void
  ) -> Attempt {
    let size = nextDatagramSize()
    guard case .transferred(let byteCount) = size else { return size }
    return unsafe Datagram.receive(byteCount, take) { room, ancillary in
      unsafe mayTakeLong
        ? receiveTakingLong(into: room)
        : receive(into: room, maximumDescriptors: maximumDescriptors, ancillary: &ancillary)
    }
  }

  public func sendDatagrams(_ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt {
    unsafe send(parts.first ?? UnsafeRawBufferPointer(start: nil, count: 0))
  }

  public func setReceivesCredentials(_ receives: Bool) throws(TransportError) {
    throw TransportError(.receive, .notSupported)
  }

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
