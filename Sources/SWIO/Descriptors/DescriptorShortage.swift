internal import Synchronization

/// Tells those who wait for a descriptor to become free that this library has closed one.
///
/// While nobody waits, a close costs one relaxed load more. That is enough: a waiter enters itself and only then makes the
/// attempt that fails for want of a descriptor; that attempt and the close both take the kernel's lock of the table of
/// descriptors, so the load of a close that comes after the attempt sees the entry.
package final class DescriptorShortage: Sendable {
  /// Of this process. A test has its own.
  package static let shared = DescriptorShortage()

  private let waiterCount = Atomic(0)
  private let waiters = Guarded<[ObjectIdentifier: @Sendable () -> Void]>([:])

  package init() {}

  /// Has `wake` called once when a descriptor has been closed, on the thread that closed it. It must take no lock under
  /// which a descriptor is closed.
  package func enter(_ waiter: AnyObject, _ wake: @escaping @Sendable () -> Void) {
    let id = ObjectIdentifier(waiter)
    waiters.withLock { waiters in
      waiters[id] = wake
      waiterCount.store(waiters.count, ordering: .sequentiallyConsistent)
    }
  }

  /// Takes the entry back. The call may be under way.
  package func leave(_ waiter: AnyObject) {
    if waiterCount.load(ordering: .relaxed) == 0 { return }
    let id = ObjectIdentifier(waiter)
    let last = waiters.withLock { waiters in
      defer { waiterCount.store(waiters.count, ordering: .sequentiallyConsistent) }
      return waiters.removeValue(forKey: id)
    }
    _ = last  // released here, without the lock
  }

  /// A descriptor has been closed.
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

  /// How many wait; for tests.
  package var count: Int { waiterCount.load(ordering: .relaxed) }
}
