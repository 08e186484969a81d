internal import Synchronization

/// The descriptors that the peer of one socket has passed and nobody wants, until they are closed.
///
/// They are closed one after the other, by one thread at a time. So a peer that passes descriptors whose close takes as
/// long as it likes occupies one of the closing threads, and others find the rest free.
package final class UnwantedDescriptors: Sendable {
  private struct State: Sendable {
    /// The descriptors that no thread has begun to close.
    var waiting: [Int32] = []
    /// The number of descriptors that are not closed yet.
    var count = 0
    /// Whether a thread closes them, or is about to.
    var isClosing = false
  }

  private let state = Guarded(State())

  package init() {}

  /// Whether they are more than one message can bring (SCM_MAX_FD). The socket receives nothing then, so a peer cannot pass
  /// descriptors faster than they are closed.
  package var areTooMany: Bool { state.withLock { $0.count > 253 } }

  /// Closes descriptors soon, and owns their numbers from now on. Any thread may call it, and none waits.
  package func close(_ numbers: [Int32]) {
    if numbers.isEmpty { return }
    let begins = state.withLock { state in
      state.waiting += numbers
      state.count += numbers.count
      defer { state.isClosing = true }
      return !state.isClosing
    }
    if begins { CloserThread.run { [self] in closeAll() } }
  }

  private func closeAll() {
    while let number = next() {
      OwnedDescriptor.closeHere(number)
      state.withLock { $0.count -= 1 }
    }
  }

  private func next() -> Int32? {
    state.withLock { state in
      let number = state.waiting.popLast()
      state.isClosing = number != nil
      return number
    }
  }
}
