internal import CSysShim
internal import Synchronization

/// Whether this process alone has a socket, through one number. Then `shutdown(2)` on it takes nothing from others.
///
/// That is so of a socket that the library has made or accepted, until its descriptor is lent or made inheritable, and until
/// the process is copied by `fork(2)`.
package struct SoleOwnership: ~Copyable, Sendable {
  /// How often the process had been copied before the socket was made; negative if others may have it. Between its making and
  /// its endpoint a caller may wait for a thread, and the process be copied.
  private let forkCount: Atomic<Int32>

  /// - Parameter isSole: whether the library has made the socket, and no other code has had its number.
  package init(_ number: Int32, _ isSole: Bool) { forkCount = Atomic(isSole ? swsys_birth(number) : -1) }

  package var holds: Bool {
    let count = forkCount.load(ordering: .relaxed)
    return count >= 0 && count == swsys_fork_count()
  }

  package func begin(_ number: Int32) { forkCount.store(swsys_birth(number), ordering: .relaxed) }
  package func end() { forkCount.store(-1, ordering: .relaxed) }
}
