public import SystemPackage

/// How one attempt to move bytes ended. An attempt never waits.
public enum Attempt: Sendable {
  /// So many bytes moved, at least one.
  case transferred(Int)
  /// Nothing can move now; readiness will tell when another attempt is worth it.
  case wouldBlock
  /// The peer will send nothing more. Receiving only.
  case endOfStream
  /// It failed. `Errno.interrupted` means: try again at once.
  case failed(TransportError)
}

/// Where a transport's readiness comes from.
public enum ReadinessSource: Sendable {
  /// A descriptor that `poll(2)` and `epoll(7)` can watch, for both directions.
  case descriptor(FileDescriptor)
  /// The transport itself: it calls the ``ReadinessSignal`` it was given.
  case signal
}

/// A transport: moves bytes, never waits, knows nothing of messages. Endpoints call `receive` from one
/// thread at a time and `send` from one thread at a time; both may run at once.
public protocol SocketLike: AnyObject, Sendable {
  /// Where readiness comes from. Asked once, before anything else.
  var readinessSource: ReadinessSource { get }

  /// Hands over what to call when the transport may have become ready; called once, before the first
  /// attempt, when ``readinessSource`` is `.signal`.
  func attach(_ signal: ReadinessSignal)

  /// Receives what is there, at most as much as there is room for.
  func receive(into memory: UnsafeMutableRawBufferPointer) -> Attempt

  /// Sends as much as is accepted at once.
  func send(_ bytes: UnsafeRawBufferPointer) -> Attempt

  /// Tells the peer that nothing more will be sent; receiving goes on.
  func finishSending() throws(TransportError)

  /// Closes. Called exactly once, when no attempt runs and none will follow.
  func close()
}

extension SocketLike {
  public func attach(_ signal: ReadinessSignal) {}
}
