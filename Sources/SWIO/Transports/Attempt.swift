public import SystemPackage

/// The result of one attempt to move bytes. An attempt never waits.
@nonexhaustive
public enum Attempt: Hashable, Sendable {
  /// The number of bytes that moved: at least one on a stream. On datagrams exactly one datagram moved, which may be
  /// empty.
  case transferred(Int)
  /// No byte can move now, and none was taken. Readiness of the attempt's own direction is signalled when another
  /// attempt may succeed.
  case wouldBlock
  /// No byte can move before the transport is ready for this direction, and none was taken. The direction need not be
  /// the attempt's own: TLS may have to write before it can read. The empty set means that the attempt waits for the
  /// transport's ``ReadinessSignal``, whatever the descriptor shows.
  case waitsFor(Readiness)
  /// No byte can move now, none was taken, and no readiness will be signalled: the receiver of a datagram has a full
  /// queue, or the kernel is short of memory. The endpoint repeats the attempt after a pause, which grows from 1 ms to
  /// 100 ms.
  case retryLater
  /// The peer will send no more bytes. Only receiving returns this.
  case endOfStream
  /// The attempt could block the thread, as a read from a disk does, and has not been made. The endpoint repeats it with
  /// ``SocketLike/receiveTakingLong(into:)`` or ``SocketLike/sendTakingLong(gathering:)`` on a thread that may wait.
  case offload
  /// The attempt failed, and no byte was taken. After `Errno.interrupted` the endpoint tries again at once.
  case failed(TransportError)

  /// Makes the result of a system call: a byte count, or a negative errno.
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

/// The source of a transport's readiness.
@nonexhaustive
public enum ReadinessSource: Sendable {
  /// A descriptor that `poll(2)` and `epoll(7)` can watch, for both directions.
  case descriptor(FileDescriptor)
  /// The transport itself, which calls its ``ReadinessSignal``.
  case signal
}

/// The content of a transport: a stream or datagrams.
@nonexhaustive
public enum TransportContent: Hashable, Sendable {
  /// Bytes in order, without boundaries.
  case stream
  /// Datagrams. An attempt moves one whole datagram. A receive with too little room cuts it.
  case datagrams
}

/// The abilities and wishes of a transport. The defaults are right for every transport.
public struct TransportCapabilities: Hashable, Sendable {
  /// The largest write, in bytes, that is never mixed with the bytes of other writers. If it is not 0, a send ends at the
  /// end of a frame and has at most this size, unless one frame is larger.
  public var atomicSendSize = 0

  /// The size of packets, in bytes, if the transport may return packets and drop the part that does not fit. If it is not
  /// 0, receives have at least this much room if reading ahead is allowed.
  public var packetSize = 0

  /// Whether the transport always returns packets. If so, every receive has room for one.
  public var keepsPackets = false

  /// Whether other processes can make an attempt wait for as long as they like: at a terminal, by taking what `poll` has shown; at a
  /// pipe, by a splice(2) that holds its lock. A transport that makes its attempts on such a descriptor says so. Then calls end in
  /// time all the same, and other connections go on.
  public var attemptsMayHang = false

  /// The length of the first pause before an attempt is repeated, in nanoseconds.
  package var shortestPause: UInt64 = 1_000_000
  /// The longest pause, in nanoseconds.
  package var longestPause: UInt64 = 100_000_000

  public init() {}
}
