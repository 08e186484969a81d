internal import SystemPackage

/// A transport. It moves bytes, never waits, and does not know messages.
///
/// Endpoints call `receive` from one thread at a time and `send` from one thread at a time. Both may run at the same
/// time on different threads.
///
/// Five members are required. The others have defaults, which describe a stream that sends its parts as one block and
/// can neither peek nor pass descriptors. A transport around another one forwards the members that it does not change,
/// and keeps all abilities of the inner one: batches, packets and the scope of errors are members, too.
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
/// Every transport keeps these laws, which `checkTransport` of SWTesting checks:
/// - Accepted bytes arrive in order, exactly once. An attempt that would block has taken nothing: the next attempt may
///   bring other bytes, or none.
/// - After an attempt that would block, readiness is signalled when another one may make progress. It may also be
///   signalled without need.
/// - Data before an end is received before the end, and later receives find the end again. The same holds for an error that
///   ends receiving: it takes the place of the end. A transport that learns of it earlier keeps it until then.
/// - Room for one byte is enough to receive from a stream.
///
/// ``TransportError/scope`` says whether an error ends one item, one direction or the connection. If it is nil, an error
/// on datagrams ends that datagram only, unless the error says that the socket is unusable. On a stream, a broken pipe
/// ends sending, and any other error ends both directions.
public protocol SocketLike: AnyObject, Sendable {
  /// The source of readiness. The endpoint asks once, before it calls any other member.
  var readinessSource: ReadinessSource { get }

  /// Receives the bytes that are there, at most as many as there is room for. There is room for at least one byte.
  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt

  /// Sends as many bytes as are accepted at once. A datagram transport sends the bytes as one datagram.
  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt

  /// Tells the peer that no more bytes will be sent. Receiving continues. The endpoint calls it at most once, and calls
  /// no `send` after it.
  ///
  /// - Throws: `Errno.wouldBlock` if it has to wait for the readiness of sending; the endpoint calls it again then.
  ///   `Errno.notSupported` if only closing tells the peer; the endpoint then stops sending over this transport.
  func finishSending() throws(TransportError)

  /// Closes the transport. The endpoint calls it exactly once, when no attempt runs and none will follow.
  func close()

  // MARK: With defaults

  /// Gives the transport the signal that it raises when it may have become ready. The endpoint calls it once, before the
  /// first attempt. A transport with a descriptor needs the signal only if it knows more than its descriptor shows.
  func attach(_ signal: ReadinessSignal)

  /// Whether the transport carries a stream, which is the default, or datagrams. The endpoint asks once.
  var content: TransportContent { get }

  /// Sends several parts as if they were one block, as many bytes as are accepted at once. There is at least one part.
  ///
  /// The default copies short parts into one block of at most 16 KiB (a datagram as a whole), and makes one attempt with
  /// it.
  func send(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt

  /// Makes the attempt that returned ``Attempt/offload``, on a thread that may wait. It must not return that again. The
  /// default is an ordinary attempt.
  func receiveTakingLong(into memory: UnsafeMutableRawBufferPointer) -> Attempt

  /// Makes the attempt that returned ``Attempt/offload``, on a thread that may wait. It must not return that again. The
  /// default is an ordinary attempt.
  func sendTakingLong(gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt

  /// Copies the bytes that an attempt to receive would return, without taking them. The default fails with
  /// `Errno.notSupported`.
  func peek(into memory: UnsafeMutableRawBufferPointer) -> Attempt

  /// The abilities and wishes of the transport. They are asked for only while the endpoint is made.
  var capabilities: TransportCapabilities { get }

  /// Whether a receive that did not fill its room has taken all bytes that were there, so another one would block until
  /// readiness is signalled again. The endpoint asks after such a receive. The default is false.
  var drainsInOneReceive: Bool { get }

  /// Receives bytes with their control data: at most `maximumDescriptors` descriptors, the sender's address and
  /// credentials. Surplus descriptors are closed. `ancillary` is nil before the call, and stays nil if there is no control
  /// data. By default there is none.
  func receive(
    into memory: UnsafeMutableRawBufferPointer, maximumDescriptors: Int, ancillary: inout Ancillary?
  ) -> Attempt

  /// Sends bytes with descriptors, which go with the first byte or with the datagram, or to an address. The default fails
  /// with `Errno.notSupported`.
  func send(
    gathering parts: UnsafeBufferPointer<UnsafeRawBufferPointer>, with ancillary: OutgoingAncillary
  ) -> Attempt

  /// The size of the next datagram in bytes: `transferred` with that size, which may be 0; `wouldBlock`, `endOfStream`
  /// and `failed` as for a receive. For datagram transports.
  ///
  /// The default is 65,536. A larger datagram would be cut.
  func nextDatagramSize() -> Attempt

  /// Receives at most `maximum` whole datagrams and hands each to `take`. Returns `transferred` with any count if there
  /// was at least one. For datagram transports.
  ///
  /// The default receives one, into as much room as ``nextDatagramSize()`` returns.
  ///
  /// - Parameters:
  ///   - maximumDescriptors: the number of descriptors that each may bring. Surplus ones are closed.
  ///   - mayTakeLong: whether the attempt is made on a thread that may wait. If so, it must not return
  ///     ``Attempt/offload``.
  func receiveDatagrams(
    atMost limit: Int, maximumDescriptors: Int, mayTakeLong: Bool, _ take: (Datagram) -> Void
  ) -> Attempt

  /// Sends each part as a datagram, as many as are accepted at once. Returns `transferred` with the total size of those.
  /// There is at least one part. For datagram transports.
  ///
  /// The default sends the first part.
  func sendDatagrams(_ parts: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Attempt

  /// Sets whether receives return the sender's credentials. The default fails with `Errno.notSupported`.
  func setReceivesCredentials(_ receives: Bool) throws(TransportError)

  /// Whether child processes inherit the transport's descriptor at exec. The default asks the descriptor of
  /// ``readinessSource``, and is false without one.
  func isInheritable() throws(TransportError) -> Bool

  /// Sets whether child processes inherit the transport's descriptor. The default sets the flag of the descriptor of
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
      for index in parts.indices {
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
