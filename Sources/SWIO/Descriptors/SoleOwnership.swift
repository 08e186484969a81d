internal import CSysShim
internal import Synchronization

/// Whether this process alone has a socket, through one number. Then `shutdown(2)` on it takes nothing from others.
///
/// That is so of a socket that the library has made or accepted, until its descriptor is lent or made inheritable, and until
/// the process is copied by `fork(2)`.
package struct SoleOwnership: ~Copyable, Sendable {
  /// How often the process had been copied when it got the socket; negative if others may have it.
  private let forkCount: Atomic<Int32>

  package init(_ isSole: Bool) { forkCount = Atomic(isSole ? swsys_fork_count() : -1) }

  package var holds: Bool {
    let count = forkCount.load(ordering: .relaxed)
    return count >= 0 && count == swsys_fork_count()
  }

  package func begin() { forkCount.store(swsys_fork_count(), ordering: .relaxed) }
  package func end() { forkCount.store(-1, ordering: .relaxed) }
}
