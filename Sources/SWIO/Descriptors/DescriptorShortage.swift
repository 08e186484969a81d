internal import Synchronization

/// Notifies callers that wait for a free descriptor when this library has closed one.
///
/// If no caller waits, this costs a close one relaxed load. That is enough: a waiter enters itself, and only then makes the
/// attempt that fails for lack of a descriptor. That attempt and the close both take the kernel's lock of the descriptor
/// table. So a close that comes after the attempt sees the entry.
package final class DescriptorShortage: Sendable {
  /// The shortage of this process. Tests make their own.
  package static let shared = DescriptorShortage()

  private let waiterCount = Atomic(0)
  private let waiters = Guarded<[ObjectIdentifier: @Sendable () -> Void]>([:])

  package init() {}

  /// Calls `wake` once when a descriptor has been closed, on the thread that closed it. `wake` must take no lock under which
  /// a descriptor is closed.
  package func enter(_ waiter: AnyObject, _ wake: @escaping @Sendable () -> Void) {
    let id = ObjectIdentifier(waiter)
    waiters.withLock { waiters in
      waiters[id] = wake
      waiterCount.store(waiters.count, ordering: .sequentiallyConsistent)
    }
  }

  /// Removes the entry. Its `wake` may be running.
  package func leave(_ waiter: AnyObject) {
    if waiterCount.load(ordering: .relaxed) == 0 { return }
    let id = ObjectIdentifier(waiter)
    let last = waiters.withLock { waiters in
      defer { waiterCount.store(waiters.count, ordering: .sequentiallyConsistent) }
      return waiters.removeValue(forKey: id)
    }
    _ = last  // released here, without the lock
  }

  /// Notes that a descriptor has been closed.
  @inline(__always)
  package func noteClose() {
    if waiterCount.load(ordering: .relaxed) > 0 { tell() }
  }

  private func tell() {
    let all = waiters.withLock { waiters in
      defer {
        waiters = [:]
        waiterCount.store(0, ordering: .sequentiallyConsistent)
      }
      return Array(waiters.values)
    }
    for wake in all { wake() }
  }

  /// The number of waiters, for tests.
  package var count: Int { waiterCount.load(ordering: .relaxed) }
}
