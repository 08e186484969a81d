internal import CSysShim
package import SWIO
internal import Synchronization
package import SystemPackage

/// A listening socket as a source of items: accepted connections.
///
///     accepted, admitted     the item
///     accepted, refused      closed, counted and reported; the next one
///     the peer's error       the next one; after 64 in a row, a pause
///     a shortage of ours     a pause, from 10 ms to 1 s, which ends at once when the library closes a descriptor
///     any other error        the listener fails, or, if the error is not known to be final, a pause
package final class AcceptSource: AcceptingSource, ClosesLater {
  /// The meaning of an error of `accept`.
  package enum Meaning: Hashable, Sendable {
    case nothingThere
    /// One connection has failed before it was accepted.
    case peers
    /// There are not enough descriptors, or not enough memory.
    case shortage
    case final

    /// Source: accept(2), section "Error handling". An error that is not listed there is not known to be final.
    package init(_ errno: Errno) {
      switch errno {
      case .wouldBlock: self = .nothingThere
      case .connectionAbort, .protocolError, .networkDown, .protocolNotAvailable, .hostIsDown, .noRouteToHost,
        .networkUnreachable, .connectionReset, .timedOut, .notPermitted, .notSupportedOnSocket,
        Errno(rawValue: 64):
        self = .peers
      case .badFileDescriptor, .invalidArgument, .notSocket, .badAddress: self = .final
      default: self = .shortage
      }
    }
  }

  private let number: Int32
  private let kind: ConnectionKind
  private let isUnix: Bool
  private let policy: AcceptPolicy
  /// Whether to clear O_NONBLOCK at the end, because it was set on an open file description that others share.
  private let restoresBlocking: Bool
  private enum Holders: Sendable {
    /// A Unix socket that this listener has made, and that nobody else has: it can be told to refuse.
    case own
    case shared
    case refuses
  }

  private let holders: Guarded<Holders>
  private let ownership: SoleOwnership
  /// Replaces the system call in tests. It returns the number of a descriptor, or a negative errno.
  private let acceptCall: (@Sendable (FileDescriptor) -> Int32)?
  private let closes: DescriptorShortage
  package let reporter = AcceptReporter()
  private let wake = Guarded<(@Sendable () -> Void)?>(nil)

  /// Takes over a listening descriptor.
  package init(
    _ descriptor: consuming OwnedDescriptor, _ kind: ConnectionKind, isUnix: Bool, _ policy: AcceptPolicy,
    restoresBlocking: Bool = false, isOwn: Bool = false, closes: DescriptorShortage = .shared,
    acceptCall: (@Sendable (FileDescriptor) -> Int32)? = nil
  ) {
    number = descriptor.release().rawValue
    self.kind = kind
    self.isUnix = isUnix
    self.policy = policy
    self.restoresBlocking = restoresBlocking
    holders = Guarded(isOwn && isUnix ? .own : .shared)
    ownership = SoleOwnership(number, isOwn)
    self.closes = closes
    self.acceptCall = acceptCall
  }

  /// Calls `wake` when an attempt may succeed before its pause is over.
  func setWake(_ wake: @escaping @Sendable () -> Void) { self.wake.withLock { $0 = wake } }

  /// Has the kernel refuse further connections. Those that have been made stay in the queue, so a listener that drains
  /// loses nobody: neither a client that connects too late nor one that has connected in time finds a connection that ends
  /// without a word. A TCP socket knows no such state: it would reset its queue.
  ///
  /// The caller knows that the descriptor is open.
  func refuse() {
    holders.withLock { holders in
      guard holders == .own, ownership.holds else { return }
      holders = .refuses
      _ = swsys_shutdown_receive(number)
    }
  }

  /// The descriptor is lent to code that may duplicate it, or pass it to another process which goes on to listen.
  func noteLent() {
    holders.withLock { holders in if holders == .own { holders = .shared } }
  }

  // MARK: ItemSource

  package var readinessSource: ReadinessSource { .descriptor(FileDescriptor(rawValue: number)) }

  package var capabilities: TransportCapabilities {
    var capabilities = TransportCapabilities()
    capabilities.shortestPause = 10_000_000
    capabilities.longestPause = 1_000_000_000
    return capabilities
  }

  /// The number of consecutive connections without a result after which other halves are served.
  private static var patience: Int { 64 }

  package func receiveItems(atMost limit: Int, _ take: (ReceivedItem) -> Void) -> Attempt {
    var isEntered = false
    var hasAccepted = false
    for _ in 0..<Self.patience {
      let result = accept()
      if result >= 0 {
        hasAccepted = true
        endShortage()
        if let fresh = admitted(result) {
          take(.value(fresh, stays: false))
          return .transferred(1)
        }
        continue
      }
      let errno = Errno(rawValue: -result)
      switch Meaning(errno) {
      case .nothingThere:
        endShortage()
        return .wouldBlock
      case .peers: continue
      // Some kernels say so when the queue is empty.
      case .final where errno == .invalidArgument && holders.withLock({ $0 == .refuses }): return .wouldBlock
      case .final: return .failed(TransportError(.accept, errno, scope: .connection))
      case .shortage:
        // A descriptor may be closed between the attempt and the entry, so another attempt follows the entry.
        if isEntered {
          reporter.beginShortage(errno)
          return .retryLater
        }
        isEntered = true
        if let wake = wake.withLock({ $0 }) { closes.enter(self, wake) }
      }
    }
    // Connections have come, but none of them is an item. If all were errors, the fault may be no peer's: a filter of system
    // calls may refuse every `accept` with EPERM.
    return hasAccepted ? .transferred(0) : .retryLater
  }

  package func close(then done: @escaping @Sendable () -> Void) {
    closes.leave(self)
    wake.withLock { $0 = nil }
    reporter.end()
    if restoresBlocking { _ = swsys_set_nonblocking(number, false) }
    if isUnix, Reactor.isCurrentThread {
      CloserThread.run { [self] in closeNumber(then: done) }
    } else {
      closeNumber(then: done)
    }
  }

  /// The connections of a Unix socket that have not been accepted may hold descriptors, and then the close takes as long as a peer
  /// likes.
  private func closeNumber(then done: @escaping @Sendable () -> Void) {
    if isUnix, mayHoldConnections { return OwnedDescriptor.closeForPeer(number, then: done) }
    OwnedDescriptor.closeHere(number)
    done()
  }

  private var mayHoldConnections: Bool {
    // While clients can connect, no look decides. A connection of a shared socket may also be another process's to accept.
    refuse()
    if holders.withLock({ $0 != .refuses }) { return true }
    // A socket that refuses is readable, whether it has connections or not. Only `accept` tells.
    let result = FileDescriptor(rawValue: number).accept()
    if result >= 0 { OwnedDescriptor.closeForPeer(result) {} }
    return switch result < 0 ? Meaning(Errno(rawValue: -result)) : .peers {
    case .nothingThere, .final: false
    case .peers, .shortage: true
    }
  }

  // MARK: Steps

  private func accept() -> Int32 {
    let descriptor = FileDescriptor(rawValue: number)
    return acceptCall.map { $0(descriptor) } ?? descriptor.accept()
  }

  private func admitted(_ number: Int32) -> FreshDescriptor? {
    let descriptor = OwnedDescriptor(adopting: FileDescriptor(rawValue: number))
    let fresh = FreshDescriptor(descriptor, kind, isUnix: isUnix)
    if policy.admits(fresh) { return fresh }
    // In this order the refusal is counted and told when the peer sees the end. The descriptor is closed here, because an
    // observer may keep the credentials, which retain it.
    reporter.refused(PeerCredentials(of: fresh))
    _ = fresh.take()
    return nil
  }

  private func endShortage() {
    closes.leave(self)
    reporter.endShortage()
  }
}
