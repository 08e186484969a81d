internal import SystemPackage

/// Closes descriptors on separate threads, because `close(2)` can block, and no thread that others rely on may wait for it:
/// not the reactor's, not one of Swift's pool, not the holder of a lock.
///
/// A TCP socket with `SO_LINGER` waits for its peer, a file of FUSE or NFS for its server, a terminal for its output. A Unix
/// socket closes the descriptors in its receive queue, and the peer chooses those.
///
///     a close that waits for      is made by
///     nothing                     the caller
///     a disk, a terminal          the caller; for the reactor a thread that works through such closes in order, or,
///                                 while its closes are stuck, another one
///     what a peer has chosen      for sockets: the threads of `ParkedSockets`; else a thread that does nothing else meanwhile
///     what a peer may choose      likewise
///
/// A peer can pass descriptors between a look at the queue and the close. So the look decides only if nothing can be put into
/// the queue any more: after the peer has shut down, or after `shutdown(SHUT_RD)`, which is allowed only on a socket that this
/// process alone has (`SoleOwnership`). The Unix socket of any other endpoint is parked, and so is a socket that a peer has passed.
/// A bare descriptor is only looked at: its owner may bind the name again at once.
///
/// A stuck close of the last kind holds a thread, and no number of a descriptor.
package enum CloserThread {
  private static let threads = HelperThreads(name: "sw-closer", usual: 1, most: mostThreads)
  private static let peersThreads = HelperThreads(
    name: "sw-peer-closer", usual: mostThreads, most: mostThreads)
  private static var mostThreads: Int { 1024 }

  /// Closes a descriptor soon, and owns the number from now on.
  static func close(_ number: Int32, isSole: Bool) {
    run { OwnedDescriptor.closeHereOrForPeer(number, isSole: isSole) }
  }

  /// Runs code that closes descriptors for the reactor, soon. If no thread runs and none can be started, this thread runs it:
  /// what is up to a peer goes to a thread of its own from there.
  package static func run(_ close: @escaping @Sendable () -> Void) {
    if threads.submit(close) != nil { close() }
  }

  /// Runs code whose closes take as long as a peer likes, as soon as a thread can be had.
  static func runForPeer(_ close: @escaping @Sendable () -> Void) { peersThreads.run(close) }

  /// Whether a socket whose close is up to a peer may not have told that peer yet.
  package static var mayHaveUntoldPeers: Bool {
    ParkedSockets.shared.mayHaveUntoldPeers || ParkedSockets.lone.mayHaveUntoldPeers
  }
}
