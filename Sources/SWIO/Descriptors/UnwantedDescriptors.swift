internal import CSysShim
internal import Synchronization

/// The descriptors that the peer of one socket has passed and nobody wants, until they are closed.
///
/// Each batch is closed by a thread of its own, because a close may take as long as the peer likes. The thread first puts the
/// batch into the queue of a private socket, and closes the numbers: none of these closes is the last one of its file. Then it
/// closes the socket. Only that waits for the peer, and no number is in use meanwhile.
package final class UnwantedDescriptors: Sendable {
  private struct State: Sendable {
    /// The number of batches that are not closed yet.
    var batchCount = 0
    /// The number of descriptors that still have a number.
    var count = 0
  }

  private let state = Guarded(State())

  package init() {}

  /// Whether the socket receives nothing for now, so that its peer cannot pass descriptors faster than they are closed.
  ///
  /// Each batch occupies a thread. And even a close that is not the last one of its file may take long, because FUSE tells its
  /// server. So there is also a limit for numbers: one message can bring as many (SCM_MAX_FD).
  package var areTooMany: Bool { state.withLock { $0.batchCount >= Self.mostBatches || $0.count > 253 } }
  package static var mostBatches: Int { 4 }

  /// Closes descriptors soon, and owns their numbers from now on. Any thread may call it, and none waits.
  package func close(_ numbers: [Int32]) {
    if numbers.isEmpty { return }
    state.withLock { state in
      state.batchCount += 1
      state.count += numbers.count
    }
    CloserThread.runForPeer { [self] in closeAll(numbers) }
  }

  private func closeAll(_ numbers: [Int32]) {
    // The number of a single descriptor is free before its close can wait. If there is no room for the socket, or for more
    // descriptors in flight (ETOOMANYREFS), the numbers behind one whose close takes long have to wait for it.
    let parked =
      numbers.count == 1
      ? -1 : unsafe numbers.withUnsafeBufferPointer { unsafe swsys_park($0.baseAddress, Int32($0.count)) }
    for number in numbers {
      state.withLock { $0.count -= 1 }
      OwnedDescriptor.closeHere(number)
    }
    if parked >= 0 { OwnedDescriptor.closeHere(parked) }
    state.withLock { $0.batchCount -= 1 }
  }
}
