internal import CSysShim
internal import Synchronization

/// The numbers of the sockets that have come from peers, and that the program has taken.
///
/// A peer may have another descriptor of such a socket. It can set SO_LINGER at any time, and then close its own one: no look
/// before a close is certain. So such a socket is always parked. Unix sockets are not listed, because their own close decides.
///
/// A number that the program closes by itself stays in the list. If another socket gets it, that one is parked without need.
enum PassedSockets {
  private static let count = Atomic(0)
  private static let numbers = Guarded<Set<Int32>>([])

  static func add(_ number: Int32) {
    let family = swsys_socket_family(number)
    guard family >= 0, family != Int32(SWSYS_UNIX_FAMILY) else { return }
    numbers.withLock { numbers in
      numbers.insert(number)
      count.store(numbers.count, ordering: .relaxed)
    }
  }

  static func contains(_ number: Int32) -> Bool {
    count.load(ordering: .relaxed) > 0 && numbers.withLock { $0.contains(number) }
  }

  /// Before the number is closed: afterwards it may be another file's.
  static func remove(_ number: Int32) -> Bool {
    guard count.load(ordering: .relaxed) > 0 else { return false }
    return numbers.withLock { numbers in
      defer { count.store(numbers.count, ordering: .relaxed) }
      return numbers.remove(number) != nil
    }
  }
}
