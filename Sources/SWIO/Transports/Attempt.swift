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
  /// Nothing can move now, nothing was taken, and no readiness will tell when another attempt is worth it: the
  /// receiver of a datagram has a full queue, or the kernel is short of memory. The attempt is repeated after a
  /// pause, which grows from 1 ms to 100 ms.
  case retryLater
  /// The peer will send nothing more. Receiving only.
  case endOfStream
  /// The attempt may block the thread, such as a read from a disk, and has not been made: it is repeated with
  /// ``SocketLike/receiveTakingLong(into:)`` or ``SocketLike/sendTakingLong(gathering:)`` on a thread that may wait.
  case offload
  /// It failed, and nothing was taken. `Errno.interrupted` means: try again at once.
  case failed(TransportError)

  /// The result of a system call: a byte count, or a negative errno.
  package init(_ operation: TransportError.Operation, result: Int, scope: TransportError.Scope? = nil) {
    if result >= 0 {
      self = .transferred(result)
    } else if result == -Int(Errno.wouldBlock.rawValue) {
      self = .wouldBlock
    } else {
      self = .failed(TransportError(operation, Errno(rawValue: Int32(-result)), scope: scope))
    }
  }
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

/// What a transport can do, and how it wants to be used. The defaults hold for every transport.
public struct TransportCapabilities: Hashable, Sendable {
  /// Writes up to this size are not mixed with those of other writers, and larger ones may be: sends end where a
  /// frame ends, and at this size at the latest unless one frame is larger. In bytes; 0: sends are not cut.
  public var atomicSendSize = 0

  /// The transport may hand out packets, and drop what does not fit into the room of a receive. In bytes: receives
  /// have at least so much room wherever reading ahead is allowed. 0: it drops nothing.
  public var packetSize = 0

  /// The transport is known to hand out packets: every receive has room for one.
  public var keepsPackets = false

  /// How long the first pause is, in nanoseconds, when an attempt is to be repeated later.
  package var shortestPause: UInt64 = 1_000_000
  /// How long a pause is at most, in nanoseconds.
  package var longestPause: UInt64 = 100_000_000

  public init() {}
}
