internal import SystemPackage

/// Closes descriptors on threads of its own: `close(2)` can block, and neither the reactor's thread nor a lock
/// may wait for it.
///
/// A TCP socket with `SO_LINGER` waits for its peer, a file of FUSE or NFS for its server, a terminal for its output.
/// A Unix socket closes the descriptors that wait in its queue, and those are the peer's choice. So no descriptor that
/// a peer has touched is safe to close where something else waits.
///
/// One thread works through the descriptors in order. While closes are stuck, each later call starts another thread,
/// up to 64.
package enum CloserThread {
  private static let threads = HelperThreads(name: "sw-closer", usual: 1, most: 64)

  /// Closes a descriptor soon. The number is the closer's from now on.
  ///
  /// If no thread can be had, the descriptor is closed at once, by the caller.
  package static func close(_ number: Int32) {
    if threads.submit({ OwnedDescriptor.closeHere(number) }) != nil { OwnedDescriptor.closeHere(number) }
  }

  /// Runs `body` and then closes a descriptor: here, or soon if this is the reactor's thread.
  static func close(_ number: Int32, after body: @escaping @Sendable () -> Void) {
    let close: @Sendable () -> Void = {
      body()
      OwnedDescriptor.closeHere(number)
    }
    if !Reactor.isCurrentThread || threads.submit(close) != nil { close() }
  }
}
