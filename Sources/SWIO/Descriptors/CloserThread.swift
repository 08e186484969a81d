internal import SystemPackage

/// Closes descriptors on separate threads, because `close(2)` can block, and neither the reactor's thread nor the holder of
/// a lock may wait for it.
///
/// A TCP socket with `SO_LINGER` waits for its peer, a file of FUSE or NFS for its server, a terminal for its output. A Unix
/// socket closes the descriptors in its receive queue, and the peer chooses those. So a descriptor that a peer has used must
/// not be closed on a thread that others wait for.
///
/// One thread works through the descriptors in order. While its closes are stuck another one goes on, up to 64.
/// ``UnwantedDescriptors`` keeps one peer from occupying them all.
package enum CloserThread {
  private static let threads = HelperThreads(name: "sw-closer", usual: 1, most: 64)

  /// Closes a descriptor soon, and owns the number from now on.
  ///
  /// If no thread can be started, the caller's thread closes the descriptor at once.
  package static func close(_ number: Int32) {
    run { OwnedDescriptor.closeHere(number) }
  }

  /// Runs code that closes descriptors, soon, and at once if no thread can be started.
  static func run(_ work: @escaping @Sendable () -> Void) {
    if threads.submit(work) != nil { work() }
  }

  /// Closes a descriptor: on this thread, or soon on another one if this is a thread of the reactor. Then calls `done`, on the
  /// thread that closed the descriptor.
  ///
  /// - Parameter willClose: called before the descriptor is closed.
  static func close(
    _ number: Int32, after willClose: (@Sendable () -> Void)? = nil, then done: @escaping @Sendable () -> Void
  ) {
    let close: @Sendable () -> Void = {
      willClose?()
      OwnedDescriptor.closeHere(number)
      done()
    }
    if !Reactor.isCurrentThread || threads.submit(close) != nil { close() }
  }
}
